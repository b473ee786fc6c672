#!/bin/sh
# The four verbs for whoever works in this worktree: report-progress, request-task, update-memory, check-status.
case $0 in
  */*) here=${0%/*} ;;
  *) here=. ;;
esac
here=$(CDPATH='' cd -- "$here/.." && pwd) || exit 1
exec @PYTHON@ -m peercoord -C "$here" "$@"
