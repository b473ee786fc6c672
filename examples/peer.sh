#!/bin/sh
# A complete peer in POSIX sh: no Python, no jq. State is file names, so almost all of it is ls, mv, mkdir and rmdir.
#   join ROOT NAME    prints NAME~1.k3f9, the incarnation that the other commands are told as ME
#   beat|claim|sweep|leave|lead ROOT ME   complete|release|fail|place|cancel ROOT ME TASK   report ROOT ME TASK PROGRESS
#   park ROOT ME TASK blocked|review   reassign ROOT ME TASK WHO   evict ROOT ME WHO   add ROOT ME TASK PRIORITY IDS
#
# Where it is weak: it reads definitions by the line, as peercoord writes them (indented by two, one dependency a line).
# One laid out otherwise it leaves to others, or parks it as unreadable, from where the next peercoord peer takes it.
# It finishes no additions, rebuilds no definition, neither edits nor reopens, hands no progress over, judges nobody,
# ignores ASM-10, and leaves empty blocks where they are. What it names durable is so where sync(1) takes a file, as in
# coreutils; adding, cancelling, parking and reassigning need flock(1).
export LC_ALL=C && set -u
say() { touch "$r/bell/ring"; echo "$*"; exit 0; }
fail() { echo "$2"; exit "$1"; } # 2: not allowed, 3: not found, 4: lost a race or nothing to do, 1: all else
word() { od -An -N5 -tx1 /dev/urandom | tr -d ' \n'; }
now() { date -u +'"%Y-%m-%dT%H:%M:%SZ"'; }
listed() { ls "${1%/*}" 2>/dev/null | grep -Fxq -e "${1##*/}"; } # a stat may be half a minute old, a listing is not
lost() { listed "$home" || fail 4 evicted; listed "${mine-}" && fail 1 "stuck $1"; fail 4 "lost $1"; }
is_done() { listed "$r/queue/done/$(shard "$1")/$1" && ! strange "$r/queue/done/$(shard "$1")/$1"; }
strange() { # PATH: a directory, link or FIFO under a ticket's name, which is no ticket and goes to quarantine/
  [ -L "$1" ] || { [ -e "$1" ] && [ ! -f "$1" ]; } && move "$1" "$r/quarantine/$(word)"
}
cancelled() { # whatever stands there, but for null and false
  grep -s '^  "cancelled": ' "$r/tasks/$(shard "$1")/$1.json" | grep -Eqv '": (null|false),?$'
}
readable() { grep -qs '^  "dependencies": \[\]\{0,1\},\{0,1\}$' "$r/tasks/$(shard "$1")/$1.json"; }
shard() { printf %02x $(($(printf %s "$1" | tr A-Z a-z | cksum | cut -d ' ' -f 1) & 255)); }
public() { case $1 in *[!0-9]* | 0?* | ????????????????*) echo "\"$1\"" ;; *) echo "$1" ;; esac; }
record() { # [KEY JSON]…: what goes in are ids, numbers, words of our own, and strings copied from JSON
  printf '{\n  "schema_version": 1'; while [ $# -gt 0 ]; do printf ',\n  "%s": %s' "$1" "$2"; shift 2; done; echo '}'; }
intake() { exec 9>>"$r/locks/intake"; until flock -n 9; do sleep 0.1; done; } # the mutex, to the end of this command
put() { # PATH [new]: what comes in, as a whole or not at all; new: durable, and only if there is none
  new=$r/tmp/$(word); cat >"$new" || { rm -f "$new"; return 1; }
  [ "${2-}" ] || { mv -f "$new" "$1"; return; }
  sync "$new" && mkdir -p "${1%/*}" && ln "$new" "$1" 2>/dev/null; rm "$new"; [ -e "$1" ] && sync "${1%/*}" "${1%/*/*}"
}
move() { # SOURCE TARGET [how often its directory may be made]: one rename; after a failure a look where the ticket is
  [ -d "$2" ] && [ ! -d "$1" ] && strange "$2" # into a directory is not where a ticket goes
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
spot() { # TASK: where its ticket belongs if no peer holds it, below queue/
  ! readable "$1" && echo parked/unreadable && return; cancelled "$1" && echo parked/cancelled && return
  file=$r/tasks/$(shard "$1")/$1.json; why=$(sed -n '/^  "parked": {/,/^  }/s/^    "why": "\([a-z]*\)".*/\1/p' "$file")
  case $why in blocked | review | deferred | cancelled | failed | held | unreadable) echo "parked/$why"; return ;; esac
  for need in $(sed -n '/^  "dependencies": \[$/,/^  \]/{s/^\(    [0-9]*\)\.0*\(,*\)$/\1\2/
    s/^    "\{0,1\}\([^",]*\).*/\1/p;}' "$file"); do
    is_done "$need" && continue
    if ! listed "$r/births/$(shard "$need")/$need.json" || cancelled "$need"; then echo parked/blocked; return; fi
    echo "waiting/$need"; return
  done
  level=$(sed -n 's/^  "priority": "\{0,1\} *\([^",]*[^", ]\).*/\1/p' "$file" | tr A-Z a-z |
    sed 's/^critical$/0/; s/^high$/1/; s/^medium$/2/; s/^low$/3/; s/^lowest$/4/; s/\.0*$//; s/^0*\([0-4]\)$/\1/')
  case $level in ??* | [!0-4]) echo parked/unreadable; return ;; esac
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
  move "$1" "$r/queue/done/$(shard "$2")/$2" 16; sync "$r/queue/done/$(shard "$2")" "$r/queue/done"
  place_all "$r/queue/waiting/$2"/*; rmdir "$r/queue/waiting/$2" 2>/dev/null
)
epochs() { # TASK OUTCOME: at which it has such results
  ls "$r/results/$(shard "$1")/$1~"*.json 2>/dev/null | sed -n "s/.*~\([1-9][0-9]\{0,14\}\)\.$2\.json/\1/p" | sort -nu
}
give_back() ( # PATH TASK EPOCH INCARNATION OUTCOME REASON: back into the queue, aside after too many attempts
  result "$2" "$3" "$5" "$4" "$6"; most=$(sed -n 's/^ *"max_attempts": \([1-9][0-9]*\).*/\1/p' "$r/protocol.json")
  if [ "$5" = released ] || [ "$(epochs "$2" '[ef].*ed' | wc -l)" -lt "${most:-3}" ]; then place "$1" "$2" "$3"
  else move "$1" "$r/queue/parked/failed/$2~$3"; fi
)
seal() ( # WHO~BY: gives back what a departed peer held, until its claims/ is empty and can be removed
  gone=$r/departed/$1 by=${1#*'~'*'~'} && who=${1%"~$by"} outcome=evicted; [ "$who" = "$by" ] && outcome=released
  for _ in 1 2 3 4 5 6 7 8; do
    for one in "$gone"/leader~*; do strange "$one" || move "$one" "$r/queue/leader/${one##*/}"; done
    for one in "$gone"/claims/*; do
      if strange "$one"; then continue
      elif ! ticket "${one##*/}"; then move "$one" "$r/quarantine/$(word)"
      elif [ "$mark" ]; then finish "$one" "$task" "$epoch" "$who"
      else give_back "$one" "$task" "$epoch" "$who" "$outcome" "$outcome by $by"; fi
    done
    rmdir "$gone/claims" 2>/dev/null; [ -d "$gone/claims" ] || return 0; done
)
held() { # prints each task this peer holds, newest first, with its epoch; what it had completed, it carries to the end
  ls -tc "$home/claims" 2>/dev/null | while read -r one; do ticket "$one" || continue
    strange "$home/claims/$one" && continue
    if [ "$mark" ]; then finish "$home/claims/$one" "$task" "$epoch" "$me"; else echo "$task $epoch"; fi; done
}
holding() { # TASK: sets epoch and mine, or ends here, with the same answer if it is asked again
  epoch=$(held | while read -r task epoch; do [ "$task" = "$1" ] && echo "$epoch"; done)
  if [ "$epoch" ]; then mine=$home/claims/$1~$epoch; return; fi
  newest=$r/results/$(shard "$1")/$1~$(epochs "$1" '[a-z]*' | tail -n 1).done.json
  is_done "$1" && grep -Fqs "\"$me\"" "$newest" && say done "$1"
  for mine in "$home/claims/$1~"*'~done'; do [ ! -e "$mine" ] || fail 1 "stuck $1"; done; mine=; lost "$1"
}
join() { # built aside, moved into place whole; of two that join at once, whoever sees the other leaves
  [ ! -e "$r/down.json" ] || fail 3 'the team is down'
  there=$(ls -d "$home~"* 2>/dev/null) && fail 2 "taken ${there##*/}"; [ ${#me} -le 64 ] || fail 2 'too long'
  known=$(ls "$r/peers" "$r/departed" | sed -n 's/~.*//p') # a new name that differs only in case is refused
  echo "$known" | grep -Fxq -e "$me" || { echo "$known" | grep -Fixq -e "$me" && fail 2 'taken but for case'; }
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
assign() { # TASK EPOCH INCARNATION: the record of a claim, for people
  title=$(sed -n 's/^  "title": \(".*"\),\{0,1\}$/\1/p' "$r/tasks/$(shard "$1")/$1.json")
  record task_id "$(public "$1")" title "${title:-'""'}" assigned_to "\"${3%%'~'*}\"" status '"in-progress"' \
    assigned_at "$(now)" dependencies_satisfied true epoch "$2" incarnation "\"$3\"" |
    put "$r/peers/$3/assignments/$1~$2.json"
}
next() { # TASK EPOCH: one above that and above all results
  last=$(epochs "$1" '[a-z]*' | tail -n 1); [ "${last:-0}" -gt "$2" ] || last=$2; echo $((last + 1)); }
claim() { # most urgent first, then oldest block: the rename decides, then a second look at what the task is
  [ ! -e "$r/down.json" ] || fail 3 'the team is down'
  held | while read -r task epoch; do case $(spot "$task") in parked/cancelled | parked/unreadable)
    place "$home/claims/$task~$epoch" "$task" "$epoch" ;; esac; done
  set -- $(held); [ $# -gt 1 ] && say held "$1" "$2"
  for one in "$r"/queue/ready/[0-4]/[0-9][0-9][0-9][0-9][0-9][0-9]*/*; do
    block=${one%/*}; case ${block##*/} in *[!0-9]* | 0??????*) continue ;; esac
    ticket "${one##*/}" && [ ! "$mark" ] && ! strange "$one" && readable "$task" || continue
    epoch=$(next "$task" "$epoch"); mine=$home/claims/$task~$epoch; move "$one" "$mine" || continue
    case $(spot "$task") in ready/*) ;; *) place "$mine" "$task" "$epoch"; continue ;; esac
    assign "$task" "$epoch" "$me"; say claimed "$task" "$epoch"; done
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
give_up() { # TASK: as failed; aside after too many attempts
  holding "$1"; result "$1" "$epoch" failed "$me" failed || fail 1 'the result cannot be written'
  give_back "$mine" "$1" "$epoch" "$me" failed failed || lost "$1"; say failed "$1"
}
refused() { rm -f "$1"; fail 1 'a record cannot be written'; }
define() { # TASK [KEY JSON]: stages its definition with a key more as $new
  file=$r/tasks/$(shard "$1")/$1.json new=$r/tmp/$(word)
  ! grep -q "^  \"$2\":" "$file" || fail 1 "$2 is said already"
  sed "1a\\
  \"$2\": $3," "$file" >"$new" 2>/dev/null && sync "$new" || refused "$new"
}
defined() { mv -f "$new" "$file" && sync "${file%/*}" "${file%/*/*}"; }
park() { # TASK WHY: the ticket first, then why; what that will be is written before
  case $2 in blocked | review) ;; *) fail 2 'a holder parks as blocked or review' ;; esac
  holding "$1"; intake; define "$1" parked "{\"why\": \"$2\", \"by\": \"$peer\", \"at\": $(now)}"
  result "$1" "$epoch" released "$me" "$2" || refused "$new"
  move "$mine" "$r/queue/parked/$2/$1~$epoch" || { rm -f "$new"; lost "$1"; }; defined; say parked "$1"
}
seek() { # TASK: sets at and epoch: where its ticket lies if no peer holds it; else it ends here
  for at in "$r"/queue/ready/[0-4]/*/"$1~"* "$r"/queue/waiting/*/"$1~"* "$r"/queue/parked/*/"$1~"*; do
    [ -e "$at" ] && ticket "${at##*/}" && return; done
  listed "$r/births/$(shard "$1")/$1.json" || fail 3 'no such task'; at=
}
place_one() { seek "$1"; [ "$at" ] || fail 4 'it is held or done'; place "$at" "$1" "$epoch"; say placed "$1"; } # TASK
add() { # TASK PRIORITY NEEDS: a ticket, then the birth record that decides, then the definition
  case $2 in critical | high | medium | low | lowest) ;; *) fail 2 'no such priority' ;; esac
  ticket "$1~0" && [ ${#1} -le 64 ] || fail 2 'that is no id'; intake; needs=
  ls "$r/births/$(shard "$1")" 2>/dev/null | grep -Fixq -e "$1.json" && fail 2 'the id is taken'
  for need in $(echo "$3" | tr , ' '); do
    ticket "$need~0" && listed "$r/births/$(shard "$need")/$need.json" || fail 2 'a dependency is not known'
    needs="$needs${needs:+,}
    $(public "$need")"; done
  order=$(cat "$r/locks/order" 2>/dev/null)
  case $order in '' | *[!0-9]*) order=$(ls "$r"/births/* | grep -c json) ;; esac
  definition=$(record task_id "$(public "$1")" title "\"Task $1\"" dependencies "[${needs:+$needs
  }]" priority "\"$2\"") nonce=$(word) new=$r/tmp/$(word) birth=$r/births/$(shard "$1")/$1.json
  record task_id "$(public "$1")" nonce "\"$nonce\"" order "$order" added_by "\"$peer\"" added_at "$(now)" \
    definition "$definition" >"$new" 2>/dev/null && sync "$new" || refused "$new"
  at=$r/queue/new/$1~$nonce; true >"$at" && sync "${at%/*}" || refused "$new"
  mkdir -p "${birth%/*}"; ln "$new" "$birth" 2>/dev/null; rm "$new"
  grep -q "\"$nonce\"" "$birth" || { rm "$at"; fail 2 'the id is taken'; }; sync "${birth%/*}" "${birth%/*/*}"
  echo "$definition" | put "$r/tasks/$(shard "$1")/$1.json" new && place "$at" "$1" 0
  echo $((order + 1)) | put "$r/locks/order"; say added "$1"
}
cancel() { # TASK: the definition, then its ticket, then what waits for it
  intake; is_done "$1" && fail 2 'it is done'; seek "$1"
  cancelled "$1" || { define "$1" cancelled "{\"by\": \"$peer\", \"at\": $(now)}"; defined; }
  [ ! "$at" ] || place "$at" "$1" "$epoch"; place_all "$r/queue/waiting/$1"/*; say cancelled "$1"
}
reassign() { # TASK WHO: from whoever holds it, or from ready, at an epoch above all
  listed "$r/peers/$2" || fail 4 "gone $2"; intake; seek "$1"; who=
  if [ ! "$at" ]; then for at in "$r"/peers/*/claims/"$1~"*; do
    [ -e "$at" ] && ticket "${at##*/}" && [ ! "$mark" ] || fail 4 'it is done'
    who=${at%/claims/*} who=${who##*/}; [ "$who" != "$2" ] || fail 4 'it is held already'; done
  else case $at in "$r"/queue/ready/*) ;; *) fail 4 'it waits, or is set aside' ;; esac; fi
  [ ! "$who" ] || result "$1" "$epoch" released "$who" "reassigned to ${2%%'~'*}"
  epoch=$(next "$1" "$epoch"); move "$at" "$r/peers/$2/claims/$1~$epoch" || fail 4 'it moved'
  sync "$r/peers/$2/claims"; assign "$1" "$epoch" "$2"; say reassigned "$1" "$epoch"
}
lead() { # [WHO]: takes the leader's ticket where it lies free, or from WHO
  for from in "$home" "$r/${1:+peers/}${1:-queue/leader}"; do for one in "$from"/leader~*; do
    ticket "x~${one##*'leader~'}" && [ ! "$mark" ] && ! strange "$one" || continue
    [ "$from" != "$home" ] || say leads "$epoch"
    move "$one" "$home/leader~$((epoch + 1))" && say leads $((epoch + 1)); done; done
  listed "$home" || fail 4 evicted; fail 4 follows
}
evict() { # WHO
  [ "$1" != "$me" ] || fail 2 'leave instead'
  move "$r/peers/$1" "$r/departed/$1~$me" || fail 4 "gone $1"; seal "$1~$me"; say evicted "$1"
}
leave() { move "$home" "$r/departed/$me~$me" || fail 4 evicted; seal "$me~$me"; say left; }
sweep() { # what crashes left: departed peers that are not sealed, tickets that wait for something done
  for at in "$r"/departed/*~*~*~*/[cl]*; do
    case ${at##*/} in claims | leader~*) at=${at%/*} && seal "${at##*/}" ;; esac; done
  place_all "$r"/queue/waiting/*/* "$r"/queue/parked/blocked/*; say swept
}
case $#$1 in 3join | 3beat | 3claim | 3sweep | 3leave | [34]lead | 4complete | 4release | 4evict | 4cancel) ;;
  4fail) set -- give_up "$2" "$3" "$4" ;; 4place) set -- place_one "$2" "$3" "$4" ;;
  5report | 5park | 5reassign | 6add) ;; *) exit 2 ;; esac
case $1+$3+${4-0} in *+[!A-Za-z0-9]* | *[!A-Za-z0-9._~+-]* | join*'~'*) fail 2 'not allowed' ;; esac
[ "$1" != reassign ] || case $5 in [!A-Za-z0-9]* | *[!A-Za-z0-9._~-]*) fail 2 'not allowed' ;; esac
r=$(cd "$2" 2>/dev/null && pwd) me=$3 peer=${3%%'~'*} && home=$r/peers/$me command=$1 && shift 3
[ -e "$r/protocol.json" ] || fail 3 'no coordination directory'
grep -qs '"least_writer": 1,\{0,1\}$' "$r/protocol.json" || fail 1 'protocol.json cannot be used'; $command "$@"
