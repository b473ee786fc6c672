#!/bin/sh
# What the hooks of coding agents run: hook.sh EVENT AGENT [WORKTREE], with the agent's JSON on standard input.
#
# A call of a tool is answered here if there is nothing to say, without starting a program but cat. Everything else is
# for peercoord itself. Whatever is wrong, the agent is not disturbed: the exit code is 0, but for a waiter that wakes
# its session, which says 2.

[ -z "${ZSH_VERSION-}" ] || emulate sh
python=@PYTHON@
event=${1-} agent=${2-} tree=${3:-${PEERCOORD_WORKTREE-}}
here=${0%/*}
[ "$event" = check ] || { : >"$here/fired-$agent"; } 2>/dev/null # when a hook fired last

quiet() { # is there nothing to say? see quiet.py
  set -f
  IFS=/
  set -- ${tree:-$PWD}
  IFS=,
  marks=$here/quiet/$*
  unset IFS
  set +f
  [ -f "$marks/heard" ] && [ -f "$marks/beat" ] || return 1
  { : >"$marks/beat"; } 2>/dev/null || return 1
  [ "$marks/due" -nt "$marks/beat" ] || return 1
  {
    IFS= read -r path && [ "$path" = "${tree:-$PWD}" ] || return 1
    while IFS= read -r path; do
      [ "$marks/heard" -nt "$path" ] || return 1
    done
  } <"$marks/heard"
}

if [ "$event" = tools ] && quiet || [ ! -x "$python" ]; then
  [ ! -x /bin/cat ] || exec /bin/cat >/dev/null # a search may find one of the agent's own making
  exec cat >/dev/null
fi
# which project it speaks for, the script's own place says, never the worktree
"$python" @FLAG@ -m peercoord --project "${here%/*/*}" hook "$event" --agent "$agent" --worktree "$tree"
[ $? -ne 2 ] || [ "$event" != wait ] || exit 2
exit 0
