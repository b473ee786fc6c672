#!/bin/sh
# What the hooks of coding agents run: hook.sh EVENT AGENT [WORKTREE], with the agent's JSON on standard input.
#
# A call of a tool is answered here if there is nothing to say, without starting a program but cat; and the status line,
# which is told what the session cost. Everything else is for peercoord itself. Whatever is wrong, the agent is not
# disturbed: the exit code is 0, but for a waiter that wakes its session, which says 2.

[ -z "${ZSH_VERSION-}" ] || emulate sh
python=@PYTHON@
event=${1-} agent=${2-} tree=${3:-${PEERCOORD_WORKTREE-}}
here=${0%/*}
[ "$event" = check ] || [ "$event" = status ] || { : >"$here/fired-$agent"; } 2>/dev/null # when a hook fired last

marks() { # where the marks of this worktree lie
  set -f
  IFS=/
  set -- ${tree:-$PWD}
  IFS=,
  marks=$here/quiet/$*
  unset IFS
  set +f
}

quiet() { # is there nothing to say? see quiet.py
  marks
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

costs() { # note when the session had cost how much; see agent/usage.py
  marks
  IFS= read -r told
  case $told in *'"session_id":"'*'"total_cost_usd":'*) ;; *) return ;; esac
  session=${told#*'"session_id":"'} cost=${told#*'"total_cost_usd":'}
  session=${session%%\"*} cost=${cost%%[!0-9.e-]*}
  case $session$cost in *[!0-9A-Za-z.-]*) return ;; esac
  [ -d "$marks" ] || return
  [ -f "$marks/costs" ] || [ ! -e "$marks/costs" ] || return # a FIFO would wait
  exec /bin/date "+%s $session $cost" >>"$marks/costs"
} 2>/dev/null

if [ "$event" = status ]; then
  costs
  exit 0 # nothing is shown
fi
if [ "$event" = tools ] && quiet || [ ! -x "$python" ]; then
  [ ! -x /bin/cat ] || exec /bin/cat >/dev/null # a search may find one of the agent's own making
  exec cat >/dev/null
fi
# which project it speaks for, the script's own place says, never the worktree
"$python" @FLAG@ -m peercoord --project "${here%/*/*}" hook "$event" --agent "$agent" --worktree "$tree"
[ $? -ne 2 ] || [ "$event" != wait ] || exit 2
exit 0
