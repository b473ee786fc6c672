#!/bin/sh
# The verbs for the coding agent or person who works in this worktree:
#   coordinate.sh request-task [--wait [SECONDS]] | report-progress | update-memory | check-status | release
#
# A request goes to this worktree's background agent through files beside this script, so it works from inside a
# sandbox that may write nothing but the worktree. No program is started on that path. What it relies on:
# - a request is taken by creating its file exclusively (set -C), which also takes the FIFO of the same name;
# - the agent holds the write end of that FIFO: if the agent dies, the read below ends at once;
# - opening a FIFO for reading and writing never blocks, so that is done first.
# If no agent answers, the command line itself is called.

[ -z "${ZSH_VERSION-}" ] || emulate sh
PATH=${PATH:+$PATH:}/usr/bin:/bin # for cat, readlink, rm and sleep, where the caller's lacks them
python=@PYTHON@

case ${PEERCOORD_WAIT-} in # seconds, whole
  '' | *[!0-9]* | ??????*) patience=30 ;;
  *[1-9]*) patience=$PEERCOORD_WAIT ;;
  *) patience=30 ;;
esac

fail() { # say what is wrong and what to do
  printf 'peercoord: %s\n' "$1" >&2
  printf 'hint: %s\n' "$2" >&2
  exit "${3-1}"
}

direct() { # call the command line itself
  tree=$(CDPATH='' cd -P -- "$here/.." 2>/dev/null && pwd -P && printf x) || fail "$here cannot be entered" "see: ls -la"
  tree=${tree%?x}
  if [ -x "$python" ]; then
    exec "$python" @FLAG@ -c 'import sys
try:
    from peercoord.cli.main import coordinate
except ImportError as error:
    print(f"peercoord: this worktree was set up by a program that is broken or gone: {error}'"${written:+; the request stays queued}"'", file=sys.stderr)
    print("hint: install peercoord again, then in the main checkout: peercoord up", file=sys.stderr)
    sys.exit(3)
coordinate()' -C "$tree" "$@"
  fi
  echo "peercoord: this worktree was set up by a program that does not start: $python" >&2
  [ -z "$written" ] || echo "peercoord: the request stays queued" >&2
  echo "hint: install peercoord again, then in the main checkout: peercoord up" >&2
  exit 3
}

attach() { # put what file $1 holds into $held; the agent reads no file for a caller
  held=$(cat -- "$1" && printf x) || fail "'$1' cannot be read" "name a file that you may read"
  held=${held%x}
  [ "${#held}" -le 30000 ] || long=yes # too long, perhaps, for a program's argument
}

gone() { # a door that was listed and is not there was another caller's: the agent is at work
  [ -e "$fifo" ] || [ "$fifo" = "$here/inbox/*.door" ] || case $missed in
    *"/$fifo/"*) ;; # a link to nothing: no door has the number of an earlier one
    *) taken=yes missed=$missed/$fifo/ ;;
  esac
}

ask() { # send the words to the agent; return if there is no agent, or no free door
  taken=
  for fifo in "$here"/inbox/*.door; do
    if ! { [ -p "$fifo" ] && [ -r "$fifo" ] && [ -w "$fifo" ] && [ -p "$here/inbox/wake" ]; }; then
      gone
      continue
    fi
    id=${fifo##*/}
    id=${id%.door}
    request=$here/outbox/$id
    # The door may go between test and open: that must neither end the shell nor print an error.
    { command exec 3<>"$fifo" 4<"$fifo" 3>&-; } 2>/dev/null || { gone; continue; }
    [ ! -g "$here/outbox" ] || { mask=$(umask) && umask 007; } # a team of several users: the group's
    { command exec 5>"$request"; } 2>/dev/null && ours=yes || ours=
    [ -z "${mask-}" ] || umask "$mask"
    if [ -n "$ours" ]; then # the door is ours, on a full disk too
      if { printf '%s\0' 1 "$id" "$mine" "$tickets" "$$" "$PPID" "$PWD" "$#" "$@" >&5; } 2>/dev/null; then
        exec 5>&-
        written=$statement
        printf '%s\n' "$id" 3<>"$here/inbox/wake" >&3
        hear
        exec 4<&-
        direct agent call --request "$id"
      fi
      exec 4<&- 5>&-
      rm -f -- "$request" 2>/dev/null || printf '' >|"$request" # what was written of it is no request
      return
    fi
    exec 4<&-
    [ -e "$request" ] && taken=yes
  done
}

late() { # the agent did not answer in time
  trap - CHLD
  exec 4<&-
  direct agent call --late --request "$id"
}

timed() { # read the head of the answer, woken by the end of a program that waits
  broken=
  "$@" 4<&- >/dev/null 2>&1 &
  read -r code errors size whose <&4 || code=
}

hear() { # print the answer and exit; return if there is none
  # A stopped agent does not die. Shells that can read with a time limit do; the others are woken by a child's end.
  read -t 0 -r code </dev/null 2>/dev/null
  if [ $? -ne 2 ]; then
    read -t "$patience" -r code errors size whose <&4 || { [ $? -gt 128 ] && late; code=; }
  else
    trap 'wait "$!" && late; broken=yes' CHLD
    timed sleep "$patience"
    [ -z "$broken" ] || [ -n "$code" ] || timed "$python" -c 'import sys, time; time.sleep(int(sys.argv[1]))' "$patience"
    trap - CHLD
    kill "$!" 2>/dev/null
    [ -z "$broken" ] || [ -n "$code" ] || read -r code errors size whose <&4 || code= # no timer works: wait without a limit
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
      printf '%s\n' "$line" || break
    done && printf %s "$line"
  fi 2>/dev/null || unprinted
  exit "$code"
}

unprinted() { # standard output is closed or full: a statement is done, a question has no answer
  echo "peercoord: the answer could not be written to standard output" >&2
  [ -z "$statement" ] || return 0
  [ "$verb" = request-task ] || { command : >&1; } 2>/dev/null || return 0 # closed on purpose
  echo "hint: ask again, with somewhere to write to: the answer will be the same" >&2
  [ "$code" -ne 0 ] || code=1
}

self=$0
case $self in
  */*) ;;
  *) if [ -e "./$self" ]; then self=./$self; else self=$(command -v -- "$self"); fi ;;
esac
while [ -h "$self" ]; do
  link=$(readlink -- "$self" && printf x) || fail "$self is a link that cannot be read" "call coordinate.sh itself"
  link=${link%?x}
  case $link in
    /*) self=$link ;;
    *) self=${self%/*}/$link ;;
  esac
done
here=${self%/*}

lengthen() { # a caller who waits for a task waits that long for the agent, and the usual time on top
  longer='' value=''
  for word; do
    case $value$word in
      yes-* | --wait) longer=90 ;;
      yes*) longer=$word ;;
      --wait=*) longer=${word#--wait=} ;;
    esac
    [ "$word" = --wait ] && value=yes || value=
  done
  while [ "${longer#0}" != "$longer" ]; do longer=${longer#0}; done
  case $longer in
    '' | *[!0-9]* | ??????*) ;;
    *) patience=$((patience + longer)) ;;
  esac
}

statement=yes written='' long=''
case ${1-} in
  request-task) statement= && lengthen "$@" ;;
  check-status) statement= ;;
  release) ;;
  report-progress) file=--file content=--file-content ;;
  update-memory) file=--from content=--content ;;
  *) direct "$@" ;;
esac

pack() { # send the words to the agent, with the contents of files instead of their names
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

  ask "$@"
  tries=0
  while [ -n "$taken" ] && [ "$tries" -lt 100 ]; do
    sleep 0.05
    tries=$((tries + 1))
    ask "$@"
  done
  [ -n "$long" ] || direct agent call -- "$@"
}

set -C
verb=$1 mine='' tickets='' missed=''
[ -r "$here/inbox/current" ] && read -r mine tickets <"$here/inbox/current"
pack "$@"
direct agent call -- "$@"
