#!/bin/sh
# The verbs for whoever works in this worktree:
#   coordinate.sh request-task | report-progress | update-memory | check-status | release
#
# A request goes to this worktree's background agent through files beside this script, so it works from inside a
# sandbox that may write nothing but the worktree. No program is started on that path. What it relies on:
# - a request is taken by creating its file exclusively (set -C), which also takes the FIFO of the same name;
# - the agent holds the write end of that FIFO: if the agent dies, the read below ends at once;
# - opening a FIFO for reading and writing never blocks, so it is opened so first.
# Where no agent answers, the command line itself is called.

[ -z "${ZSH_VERSION-}" ] || emulate sh
patience=${PEERCOORD_WAIT:-30} # seconds

case $0 in
  */*) here=${0%/*} ;;
  *) here=. ;;
esac

direct() {
  tree=$(CDPATH='' cd -- "$here/.." && pwd) || exit 1
  exec @PYTHON@ -m peercoord -C "$tree" "$@"
}

attach() { # put what file $1 holds into $held; the agent reads no file for a caller
  held=$(cat -- "$1" && printf x) || exit 1
  held=${held%x}
}

late() {
  echo "peercoord: the agent of this worktree does not answer; the request stays queued" >&2
  echo "hint: peercoord agent status" >&2
  exit 3
}

ask() { # put the words to the agent; come back if there is none, or no free door
  taken=
  for fifo in "$here"/inbox/*.door; do
    [ -p "$fifo" ] && [ -r "$fifo" ] && [ -w "$fifo" ] && [ -p "$here/inbox/wake" ] || continue
    id=${fifo##*/}
    id=${id%.door}
    # A door may go between the look and the opening: that must neither end the shell nor be heard.
    { command exec 3<>"$fifo" 4<"$fifo" 3>&-; } 2>/dev/null || continue
    if { printf '%s\0' 1 "$id" "$mine" "$tickets" "$$" "$PPID" "$PWD" "$#" "$@" >"$here/outbox/$id"; } 2>/dev/null; then
      printf '%s\n' "$id" 3<>"$here/inbox/wake" >&3
      hear
      exec 4<&-
      direct agent call --request "$id" -- "$@"
    fi
    exec 4<&-
    [ -e "$here/outbox/$id" ] && taken=yes
  done
}

hear() { # print the answer and end; come back if there is none
  # A stopped agent does not die. Shells that can read with a time limit do; the others are woken by a child's end.
  read -t 0 -r code </dev/null 2>/dev/null
  if [ $? -ne 2 ]; then
    read -t "$patience" -r code errors size whose <&4 || { [ $? -gt 128 ] && late; code=; }
  else
    trap late CHLD
    sleep "$patience" 4<&- >/dev/null 2>&1 &
    read -r code errors size whose <&4 || code=
    trap - CHLD
    kill "$!" 2>/dev/null
  fi
  [ -n "$code" ] && [ "$whose" = "$$" ] || return 0
  while [ "$errors" -gt 0 ]; do
    IFS= read -r line <&4
    printf '%s\n' "$line" >&2
    errors=$((errors - 1))
  done
  if [ "$size" = long ]; then
    cat <&4
  else
    while IFS= read -r line <&4; do
      printf '%s\n' "$line"
    done
    printf %s "$line"
  fi
  exit "$code"
}

case ${1-} in
  request-task | check-status | release) ;;
  report-progress) file=--file content=--file-content ;;
  update-memory) file=--from content=--content ;;
  *) direct "$@" ;;
esac

set -C
verb=$1
left=$#
value=yes # the first word is the verb
while [ "$left" -gt 0 ]; do
  word=$1
  shift
  left=$((left - 1))
  if [ -n "$value" ]; then
    value=
  else
    case $word in
      -h | --help) direct "$verb" --help ;;
      "${file-/}")
        attach "${1-}"
        shift
        left=$((left - 1))
        set -- "$@" "$content"
        word=$held
        ;;
      "${file-/}"=*)
        attach "${word#*=}"
        set -- "$@" "$content"
        word=$held
        ;;
      --json | --critical | --*=*) ;;
      --*) value=yes ;;
    esac
  fi
  set -- "$@" "$word"
done

mine='' tickets=''
[ -r "$here/inbox/current" ] && read -r mine tickets <"$here/inbox/current"
ask "$@"
tries=0
while [ -n "$taken" ] && [ "$tries" -lt 100 ]; do
  sleep 0.05
  tries=$((tries + 1))
  ask "$@"
done
direct agent call -- "$@"
