#!/bin/sh
# What the hooks of this plugin run: hook.sh EVENT AGENT, with Claude Code's JSON on standard input.
#
# Whatever is wrong, the session is not disturbed: the exit code is 0, but for a waiter that wakes it.

[ -z "${ZSH_VERSION-}" ] || emulate sh
PATH=${PATH:+$PATH:}/usr/bin:/bin
event=${1-} agent=${2-} tree=$PWD
setup=${XDG_DATA_HOME:-${HOME-}/.local/share}/peercoord/setup.json

# a session that `up --launch` started, or a person who typed `peercoord setup claude`, has these hooks already
[ -z "${PEERCOORD_WORKTREE-}" ] && command -v peercoord >/dev/null || exec cat >/dev/null
# nobody can wake a session without a screen, which would wait for its waiter
[ "$event" != wait ] || [ "${CLAUDE_CODE_SESSION_ATTENDED-}" != 0 ] || exec cat >/dev/null
until [ -d "$tree/.claude-instance" ]; do
  case $tree in
    */*) tree=${tree%/*} ;;
    *) exec cat >/dev/null ;; # no worktree of a team: there is nothing to say
  esac
done
[ ! -e "$setup" ] || ! grep -q '"claude"' "$setup" || exec cat >/dev/null
peercoord hook "$event" --agent "$agent"
[ $? -ne 2 ] || [ "$event" != wait ] || exit 2
exit 0
