#!/bin/sh
# A complete peer in POSIX sh: no Python, no jq. State is file names, so almost all of it is ls, mv, mkdir and rmdir.
#   join ROOT NAME    prints NAME~1.k3f9, the incarnation that the other commands are told as ME
#   beat|claim|sweep|leave ROOT ME   complete|release ROOT ME TASK   report ROOT ME TASK PROGRESS   evict ROOT ME WHO
#
# Where it is weak: it reads definitions by the line, as peercoord writes them (indented by two, one dependency a line).
# One laid out otherwise it leaves to others, or parks it as unreadable, from where the next peercoord peer takes it.
# It finishes no additions, rebuilds no definition, hands no progress over, judges nobody, never leads, ignores ASM-10,
# and leaves empty blocks where they are. What it names durable is so where sync(1) takes a file, as in coreutils.
export LC_ALL=C && set -u
say() { touch "$r/bell/ring"; echo "$*"; exit 0; }
fail() { echo "$2"; exit "$1"; } # 2: not allowed, 3: not found, 4: lost a race or nothing to do, 1: all else
word() { od -An -N5 -tx1 /dev/urandom | tr -d ' \n'; }
now() { date -u +'"%Y-%m-%dT%H:%M:%SZ"'; }
listed() { ls "${1%/*}" 2>/dev/null | grep -Fxq -e "${1##*/}"; } # a stat may be half a minute old, a listing is not
lost() { listed "$home" || fail 4 evicted; listed "${mine-}" && fail 1 "stuck $1"; fail 4 "lost $1"; }
is_done() { listed "$r/queue/done/$(shard "$1")/$1"; }
cancelled() { grep -qs '^  "cancelled": {' "$r/tasks/$(shard "$1")/$1.json"; }
readable() { grep -qs '^  "dependencies": \[\]\{0,1\},\{0,1\}$' "$r/tasks/$(shard "$1")/$1.json"; }
shard() { printf %02x $(($(printf %s "$1" | tr A-Z a-z | cksum | cut -d ' ' -f 1) & 255)); }
public() { case $1 in *[!0-9]* | 0?* | ????????????????*) echo "\"$1\"" ;; *) echo "$1" ;; esac; }
record() { # [KEY JSON]…: what goes in are ids, numbers, words of our own, and strings copied from JSON
  printf '{\n  "schema_version": 1'; while [ $# -gt 0 ]; do printf ',\n  "%s": %s' "$1" "$2"; shift 2; done; echo '}'; }
put() { # PATH [new]: what comes in, as a whole or not at all; new: durable, and only if there is none
  new=$r/tmp/$(word); cat >"$new" || { rm -f "$new"; return 1; }
  [ "${2-}" ] || { mv -f "$new" "$1"; return; }
  sync "$new" && mkdir -p "${1%/*}" && ln "$new" "$1" 2>/dev/null; rm "$new"; [ -e "$1" ] && sync "${1%/*}"
}
move() { # SOURCE TARGET [how often its directory may be made]: one rename; after a failure a look where the ticket is
  mv -f "$1" "$2" 2>/dev/null && return; [ -e "$1" ] || { listed "$2"; return; }
  [ "${3:-0}" -gt 0 ] && mkdir -p "${2%/*}" && move "$1" "$2" $(($3 - 1))
}
ticket() { # NAME: sets task, epoch and mark, or is false
  task=${1%%'~'*} epoch=${1#*'~'} mark=
  case $epoch in *'~done') epoch=${epoch%'~done'} mark='~done' ;; esac
  case $task in '' | [!A-Za-z0-9]* | *[!A-Za-z0-9._-]*) return 1 ;; esac
  case $epoch in '' | 0?* | *[!0-9]* | ????????????????*) return 1 ;; *) [ "$1" = "$task~$epoch$mark" ] ;; esac
}
result() { # TASK EPOCH OUTCOME INCARNATION REASON
  record task_id "$(public "$1")" epoch "$2" outcome "\"$3\"" peer "\"${4%%'~'*}\"" incarnation "\"$4\"" \
    by "\"$peer\"" at "$(now)" reason "\"$5\"" | put "$r/results/$(shard "$1")/$1~$2.$3.json" new
}
spot() { # TASK: where its ticket belongs if nobody holds it, below queue/
  ! readable "$1" && echo parked/unreadable && return; cancelled "$1" && echo parked/cancelled && return
  file=$r/tasks/$(shard "$1")/$1.json; why=$(sed -n '/^  "parked": {/,/^  }/s/^    "why": "\([a-z]*\)".*/\1/p' "$file")
  case $why in blocked | review | deferred | cancelled | failed | held | unreadable) echo "parked/$why"; return ;; esac
  for need in $(sed -n '/^  "dependencies": \[$/,/^  \]/s/^    "\{0,1\}\([^",]*\).*/\1/p' "$file"); do
    is_done "$need" && continue
    if ! listed "$r/births/$(shard "$need")/$need.json" || cancelled "$need"; then echo parked/blocked; return; fi
    echo "waiting/$need"; return
  done
  level=$(sed -n 's/^  "priority": //p' "$file" | sed 's/critical/0/; s/high/1/; s/lowest/4/; s/low/3/' | tr -cd 0-4)
  order=$(sed -n 's/^  "order": //p' "$r/births/$(shard "$1")/$1.json" | tr -d ,)
  printf 'ready/%s/%06d' "${level:-2}" $((order / 256))
}
place() ( # PATH TASK EPOCH: to where it belongs, with another look once it lies there; to 000000 if there is no block
  from=$1; while to=$r/queue/$(spot "$2")/$2~$3; [ "$from" != "$to" ]; do move "$from" "$to" 16 && from=$to && continue
    case $to in "$r"/queue/ready/*) move "$from" "${to%/*/*}/000000/$2~$3" 1 ;; *) false ;; esac; return; done
)
place_all() { for one; do ticket "${one##*/}" && readable "$task" && place "$one" "$task" "$epoch"; done; } # PATH…
finish() ( # PATH TASK EPOCH INCARNATION: what is completed, and has a result, goes to done/; what waited for it goes on
  listed "$r/results/$(shard "$2")/$2~$3.done.json" || result "$2" "$3" done "$4" completed || return
  move "$1" "$r/queue/done/$(shard "$2")/$2" 16; sync "$r/queue/done/$(shard "$2")"
  place_all "$r/queue/waiting/$2"/*; rmdir "$r/queue/waiting/$2" 2>/dev/null
)
epochs() { # TASK OUTCOME: at which it has such results
  ls "$r/results/$(shard "$1")/$1~"*.json 2>/dev/null | sed -n "s/.*~\([1-9][0-9]\{0,14\}\)\.$2\.json/\1/p" | sort -nu
}
give_back() ( # PATH TASK EPOCH INCARNATION OUTCOME REASON: back into the queue, aside after too many attempts
  result "$2" "$3" "$5" "$4" "$6"; most=$(sed -n 's/^ *"max_attempts": \([0-9]*\).*/\1/p' "$r/protocol.json")
  if [ "$5" = released ] || [ "$(epochs "$2" '[ef].*ed' | wc -l)" -lt "${most:-3}" ]; then place "$1" "$2" "$3"
  else move "$1" "$r/queue/parked/failed/$2~$3"; fi
)
seal() ( # WHO~BY: gives back what a departed peer held, until its claims/ is empty and can be removed
  gone=$r/departed/$1 by=${1#*'~'*'~'} && who=${1%"~$by"} outcome=evicted; [ "$who" = "$by" ] && outcome=released
  for _ in 1 2 3 4 5 6 7 8; do
    for one in "$gone"/leader~*; do move "$one" "$r/queue/leader/${one##*/}"; done
    for one in "$gone"/claims/*; do
      if ! ticket "${one##*/}"; then move "$one" "$r/quarantine/$(word)"
      elif [ "$mark" ]; then finish "$one" "$task" "$epoch" "$who"
      else give_back "$one" "$task" "$epoch" "$who" "$outcome" "$outcome by $by"; fi
    done
    rmdir "$gone/claims" 2>/dev/null; [ -d "$gone/claims" ] || return 0; done
)
held() { # prints each task this peer holds, newest first, with its epoch; what it had completed, it carries to the end
  ls -tc "$home/claims" 2>/dev/null | while read -r one; do ticket "$one" || continue
    if [ "$mark" ]; then finish "$home/claims/$one" "$task" "$epoch" "$me"; else echo "$task $epoch"; fi; done
}
holding() { # TASK: sets epoch and mine, or ends here, with the same answer if it is asked again
  epoch=$(held | while read -r task epoch; do [ "$task" = "$1" ] && echo "$epoch"; done)
  if [ "$epoch" ]; then mine=$home/claims/$1~$epoch; return; fi
  newest=$r/results/$(shard "$1")/$1~$(epochs "$1" '[a-z]*' | tail -n 1).done.json
  is_done "$1" && grep -Fqs "\"$me\"" "$newest" && say done "$1"; lost "$1"
}
join() { # built aside, moved into place whole; of two that join at once, whoever sees the other leaves
  there=$(ls -d "$home~"* 2>/dev/null) && fail 2 "taken ${there##*/}"; [ ${#me} -le 64 ] || fail 2 'too long'
  last=$(ls -d "$r/departed/$me~"* 2>/dev/null | sed 's/.*departed.//' | cut -d '~' -f 2 | sort -n | tail -n 1)
  last=${last%%.*} && me=$peer~$((${last:-0} + 1)).$(word) && at=$r/tmp/$me
  mkdir "$at" "$at/claims" "$at/assignments" && true >"$at/beat~0" &&
    record peer "\"$peer\"" incarnation "\"$me\"" joined_at "$(now)" | put "$at/peer.json" && move "$at" "$r/peers/$me"
  listed "$r/peers/$me" || fail 1 'the peer cannot be made'; [ "$(ls -d "$home~"*)" = "$r/peers/$me" ] && say "$me"
  move "$r/peers/$me" "$r/departed/$me~$me"; seal "$me~$me"; fail 2 'taken at the same moment'
}
beat() { # [how often it was tried]: to its next number, also from under a challenge
  listed "$home" || fail 4 evicted; [ "${1-0}" -lt 16 ] || fail 1 'the heartbeat cannot be moved'
  old=$(ls "$home" | grep -E '^beat~(0|[1-9][0-9]{0,14})(~|$)' | sort -t '~' -k 2n | tail -n 1)
  [ "$old" ] || { old=beat~0; true >"$home/$old"; }; seq=${old#beat~} && seq=${seq%%'~'*}
  move "$home/$old" "$home/beat~$((seq + 1))" && say beat "$((seq + 1))"; beat $((${1-0} + 1))
}
claim() { # most urgent first, then oldest block: the rename decides, then a second look at what the task is
  held | while read -r task epoch; do case $(spot "$task") in parked/cancelled | parked/unreadable)
    place "$home/claims/$task~$epoch" "$task" "$epoch" ;; esac; done
  set -- $(held); [ $# -gt 1 ] && say held "$1" "$2"
  for one in "$r"/queue/ready/[0-4]/[0-9][0-9][0-9][0-9][0-9][0-9]*/*; do
    block=${one%/*}; case ${block##*/} in *[!0-9]* | 0??????*) continue ;; esac
    ticket "${one##*/}" && [ ! "$mark" ] && readable "$task" || continue
    last=$(epochs "$task" '[a-z]*' | tail -n 1); [ "${last:-0}" -gt "$epoch" ] && epoch=$last
    epoch=$((epoch + 1)); mine=$home/claims/$task~$epoch; move "$one" "$mine" || continue
    case $(spot "$task") in ready/*) ;; *) place "$mine" "$task" "$epoch"; continue ;; esac
    title=$(sed -n 's/^  "title": \(".*"\),\{0,1\}$/\1/p' "$r/tasks/$(shard "$task")/$task.json")
    record task_id "$(public "$task")" title "${title:-'""'}" assigned_to "\"$peer\"" status '"in-progress"' \
      assigned_at "$(now)" dependencies_satisfied true epoch "$epoch" incarnation "\"$me\"" |
      put "$home/assignments/$task~$epoch.json"
    say claimed "$task" "$epoch"; done
  listed "$home" || fail 4 evicted; fail 4 nothing
}
report() { # TASK PROGRESS: its report has one entry, the last one
  holding "$1"; echo "$2" | grep -Eqx '0|1|0\.[0-9]+' || fail 2 'progress is a number from 0 to 1'
  entry=$(record task_id "$(public "$1")" title '""' progress "$2" status '"in-progress"' epoch "$epoch")
  record instance_id "\"$peer\"" updated_at "$(now)" assigned_tasks "[$entry]" memory_contributions '[]' |
    put "$r/progress-reports/$peer.json" || fail 1 'the report cannot be written'; say reported "$1"
}
complete() { # TASK: its result, then the rename that decides
  holding "$1"; result "$1" "$epoch" done "$me" completed || fail 1 'the result cannot be written'
  move "$mine" "$mine~done" || lost "$1"
  finish "$mine~done" "$1" "$epoch" "$me"; rm -f "$home/assignments/$1~$epoch.json"; say done "$1"
}
release() { holding "$1"; give_back "$mine" "$1" "$epoch" "$me" released 'given back' || lost "$1"; say released "$1"; }
evict() { move "$r/peers/$1" "$r/departed/$1~$me" || fail 4 "gone $1"; seal "$1~$me"; say evicted "$1"; } # WHO
leave() { move "$home" "$r/departed/$me~$me" || fail 4 evicted; seal "$me~$me"; say left; }
sweep() { # what crashes left: departed peers that are not sealed, tickets that wait for something done
  for at in "$r"/departed/*~*~*~*/[cl]*; do
    case ${at##*/} in claims | leader~*) at=${at%/*} && seal "${at##*/}" ;; esac; done
  place_all "$r"/queue/waiting/*/* "$r"/queue/parked/blocked/*; say swept
}
case $#$1 in 3join | 3beat | 3claim | 3sweep | 3leave | 4complete | 4release | 4evict | 5report) ;; *) exit 2 ;; esac
case $1+$3+${4-0} in *+[!A-Za-z0-9]* | *[!A-Za-z0-9._~+-]* | join*'~'*) fail 2 'not allowed' ;; esac
r=$(cd "$2" 2>/dev/null && pwd) me=$3 peer=${3%%'~'*} && home=$r/peers/$me command=$1 && shift 3
grep -qs '"least_writer": 1,\{0,1\}$' "$r/protocol.json" || fail 3 'no coordination directory'; $command "$@"
