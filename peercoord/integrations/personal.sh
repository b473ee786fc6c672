#!/bin/sh
# Written by `peercoord setup`; it goes with `peercoord setup AGENT --remove`.
# Coding agents that a person starts run it: hook.sh EVENT AGENT, with the agent's JSON on standard input.
#
# Whatever is wrong, the agent is not disturbed: the exit code is 0, but for a waiter that wakes its session.

[ -z "${ZSH_VERSION-}" ] || emulate sh
PATH=${PATH:+$PATH:}/usr/bin:/bin
python=@PYTHON@
event=${1-} agent=${2-} tree=$PWD here=${0%/*}
[ "$event" = check ] || { : >"$here/fired-$agent"; } 2>/dev/null
[ -x "$python" ] || exec cat >/dev/null
if [ "$event" != check ]; then
  # a session that `up --launch` started has hooks of its own
  [ -z "${PEERCOORD_WORKTREE-}" ] || exec cat >/dev/null
  # nobody can wake a session without a screen, which would wait for its waiter
  [ "$event" != wait ] || [ "${CLAUDE_CODE_SESSION_ATTENDED-}" != 0 ] || exec cat >/dev/null
  until [ -d "$tree/.claude-instance" ]; do
    case $tree in
      */*) tree=${tree%/*} ;;
      *) exec cat >/dev/null ;; # no worktree of a team: there is nothing to say
    esac
  done
  # the team's own script, once a session has begun there: it answers after most tools without starting a program
  if [ -r "$here/at$tree/.hook" ] && IFS= read -r script <"$here/at$tree/.hook" && [ -x "$script" ]; then
    exec "$script" "$event" "$agent" "$tree"
  fi
fi
"$python" @FLAG@ -m peercoord hook "$event" --agent "$agent"
status=$?
[ "$event" = check ] && exit $status
[ $status -ne 2 ] || [ "$event" != wait ] || exit 2
exit 0
