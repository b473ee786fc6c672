------------------------------- MODULE Tickets -------------------------------
(* Tickets, peer directories, eviction, zombies, the sweep and its seal.                                        *)
(*                                                                                                              *)
(* One step is one file operation, so a crash between any two operations is a crash between any two steps. No   *)
(* step remembers a listing: a peer may try any name at any time, which is more than the most outdated listing  *)
(* could suggest, and a name that is gone changes nothing (ENOENT). A lost reply is a step after which the      *)
(* peer does not know: what it believes (mine) and what it was told (acks) change in steps of their own.        *)
(*                                                                                                              *)
(* Any peer may be evicted at any time: nothing here rests on a verdict being right.                            *)
EXTENDS Naturals, FiniteSets, TLC

CONSTANTS
    Peers, Tasks,   \* model values, interchangeable
    Nobody,         \* stands for "no peer" in a name
    Lives,          \* incarnations a peer may have
    MaxEpoch,       \* no ticket is claimed beyond it
    Crashes,        \* crashes of a process, or of its machine in the middle of a rename
    Zombies,        \* evictions of a peer whose process runs on (a departure counts as well)
    Reopens,        \* finished tasks taken up again
    Moves,          \* 0: no limit. Else the releases, reassignments and claims by zombies there may be
    Follow,         \* a client may go on reaching a directory that was moved, until its claims/ is removed
    TwoNames,       \* a rename cut short by a crash may leave both names
    Results,        \* model the result that is written before a completion
    Mutant          \* "none", or the rule that is broken

Symmetry == Permutations(Peers) \cup Permutations(Tasks)
TaskSymmetry == Permutations(Tasks)

VARIABLES
    dir,        \* of each incarnation: "none", "live" (in peers/), "moved" (in departed/), "sealed"
    proc,       \* its process: "none", "up", "dead"
    names,      \* of each task: the names of its ticket
    mine,       \* of each incarnation and task: the epoch its process believes to hold, 0 for none
    acks,       \* of each task: the completions acknowledged, as <<incarnation, epoch>>
    results,    \* of each task: the results that say done, as <<incarnation, epoch>>
    high,       \* of each task: the highest epoch any of its names ever had
    top,        \* of each task: the highest rank any of its names ever had (TwoNames only)
    plan,       \* of each task: the epoch from which somebody decided to reopen it, 0 for none (Reopens only)
    scan,       \* of each task: what a broken rule remembers (Mutants "trust_listing" and "hand_first" only)
    late,       \* a process changed something through its own directory after that was sealed
    used        \* what was used up of Crashes, Zombies, Reopens, Moves

vars == <<dir, proc, names, mine, acks, results, high, top, plan, scan, late, used>>

(* done/<id> says no epoch: as the protocol has it, where every claim is above all results, and without that.    *)
Bare == Mutant \in {"bare_done", "bare_done_guarded"}

Actors == Peers \X (1..Lives)
None == <<Nobody, 0>>
Epochs == 0..MaxEpoch

(* The names of a ticket:  ready   any directory where it lies unclaimed                                        *)
(*                         held    <peer>~<n>/claims/<id>~<e>                                                   *)
(*                         sure    <peer>~<n>/claims/<id>~<e>~done                                              *)
(*                         done    done/<id>~<e>                                                                *)
Name(kind, who, e) == [kind |-> kind, who |-> who, e |-> e]
ReadyAt(e) == Name("ready", None, e)
Held(a, e) == Name("held", a, e)
Sure(a, e) == Name("sure", a, e)
DoneAt(e) == Name("done", None, IF Bare THEN 0 ELSE e)

Max(S) == CHOOSE x \in S : \A y \in S : y <= x
Newest(t) == Max({0} \cup {r[2] : r \in results[t]})
Above(t, e) == IF Mutant = "bare_done_guarded" THEN Max({e, Newest(t)}) + 1 ELSE e + 1

(* Which of two names of one ticket goes, and which stays: finished beats all, then the epoch, then out of the    *)
(* hand, then any fixed order of the incarnations, for two claims that came from one torn rename. Every move     *)
(* raises this rank, or leaves it: that is what makes it safe to remove the lower name long after one looked.    *)
PeerOrder == CHOOSE f \in [Peers -> 1..Cardinality(Peers)] : \A p, q \in Peers : f[p] = f[q] => p = q
Tie(a) == IF Mutant = "no_tie_break" THEN 0 ELSE PeerOrder[a[1]] * (Lives + 1) + a[2]
Rank(n) == CASE n.kind = "done"  -> 1001
             [] n.kind = "sure"  -> 1000
             [] n.kind = "ready" -> 20 * n.e + 19
             [] OTHER            -> 20 * n.e + Tie(n.who)

Up(a) == proc[a] = "up"

(* The directory that the path peers/<a>/ leads to, as a client of the process a may see it.                    *)
Home(a) == IF Mutant = "reuse_incarnation" /\ a[2] < Lives /\ dir[<<a[1], a[2] + 1>>] = "live"
           THEN <<a[1], a[2] + 1>> ELSE a

(* A name can be made below it, or moved away from it.                                                          *)
Path(a) == LET h == Home(a) IN
    \/ dir[h] = "live"
    \/ dir[h] = "moved" /\ (Follow \/ Mutant = "no_fence")
    \/ dir[h] = "sealed" /\ (Mutant = "no_fence" \/ (Follow /\ Mutant = "no_seal"))

(* Who does what anyone may do. It matters only where the doer may die in the middle and leave both names.      *)
Anyone == LET up == {a \in Actors : Up(a)} IN
    IF TwoNames \/ up = {} THEN up ELSE {CHOOSE a \in up : TRUE}

Gone(a) == dir[a] \in {"moved", "sealed"}

Init ==
    /\ dir = [a \in Actors |-> IF a[2] = 1 THEN "live" ELSE "none"]
    /\ proc = [a \in Actors |-> IF a[2] = 1 THEN "up" ELSE "none"]
    /\ names = [t \in Tasks |-> {ReadyAt(0)}]
    /\ mine = [a \in Actors |-> [t \in Tasks |-> 0]]
    /\ acks = [t \in Tasks |-> {}]
    /\ results = [t \in Tasks |-> {}]
    /\ high = [t \in Tasks |-> 0]
    /\ top = [t \in Tasks |-> 0]
    /\ plan = [t \in Tasks |-> 0]
    /\ scan = [t \in Tasks |-> {}]
    /\ late = FALSE
    /\ used = [crashes |-> 0, zombies |-> 0, reopens |-> 0, moves |-> 0]

-------------------------------------------------------------------------------
(* The one primitive. Two names of one file are left alone by POSIX; a machine that dies in the middle of it    *)
(* may leave both. "through" is the incarnation whose own directory the process b works through.                *)

Note(t, n) ==
    /\ high' = [high EXCEPT ![t] = Max({high[t], n.e})]
    /\ top' = IF TwoNames THEN [top EXCEPT ![t] = Max({top[t], Rank(n)})] ELSE top

Rename(b, through, t, src, dst) ==
    /\ src \in names[t]
    /\ Note(t, dst)
    /\ late' = (late \/ (through # None /\ b = through /\ dir[b] = "sealed"))
    /\ \/ /\ names' = [names EXCEPT ![t] = IF dst \in @ THEN @ ELSE (@ \ {src}) \cup {dst}]
          /\ UNCHANGED proc
       \/ /\ TwoNames /\ used.crashes < Crashes
          /\ names' = [names EXCEPT ![t] = @ \cup {dst}]
          /\ proc' = [proc EXCEPT ![b] = "dead"]

(* After Rename: a process that died in it forgets, and is counted.                                             *)
Torn == proc' # proc
Forgets(b) == IF Torn THEN [mine EXCEPT ![b] = [t \in Tasks |-> 0]] ELSE mine
Spent(u) == IF Torn THEN [u EXCEPT !.crashes = @ + 1] ELSE u

MayMove == Moves = 0 \/ used.moves < Moves
Moved == IF Moves = 0 THEN used ELSE [used EXCEPT !.moves = @ + 1]

-------------------------------------------------------------------------------
Claim(a, t) ==
    /\ Up(a) /\ Path(a)
    /\ dir[a] # "live" => MayMove
    /\ \E src \in names[t] :
        /\ src.kind = "ready" /\ Above(t, src.e) <= MaxEpoch
        /\ Rename(a, a, t, src, Held(Home(a), Above(t, src.e)))
    /\ mine' = Forgets(a)
    /\ used' = Spent(IF dir[a] = "live" THEN used ELSE Moved)
    /\ UNCHANGED <<dir, acks, results, plan, scan>>

(* The reply, or a later look into one's own claims/: only now the process knows. Where a crash can leave two   *)
(* names, a claim counts only when the link count is 1.                                                         *)
Look(a, t) ==
    /\ Up(a)
    /\ \E n \in names[t] :
        /\ n.kind = "held" /\ n.who = a /\ n.e # mine[a][t]
        /\ TwoNames => Cardinality(names[t]) = 1 \/ Mutant = "any_link_count"
        /\ mine' = [mine EXCEPT ![a][t] = n.e]
    /\ UNCHANGED <<dir, proc, names, acks, results, high, top, plan, scan, late, used>>

(* A zombie may write one late: it counts as the ticket agrees.                                                 *)
WriteResult(a, t) ==
    /\ Results /\ Up(a) /\ mine[a][t] # 0 /\ <<a, mine[a][t]>> \notin results[t]
    /\ results' = [results EXCEPT ![t] = @ \cup {<<a, mine[a][t]>>}]
    /\ UNCHANGED <<dir, proc, names, mine, acks, high, top, plan, scan, late, used>>

(* The private commit point. The reply comes (acknowledged at once) or is lost.                                 *)
Commit(a, t) ==
    LET e == mine[a][t] IN
    /\ Up(a) /\ Path(a) /\ e # 0 /\ Mutant # "shared_done"
    /\ Results => <<a, e>> \in results[t] \/ Mutant = "commit_first"
    /\ Rename(a, a, t, Held(a, e), Sure(a, e))
    /\ \/ acks' = acks /\ mine' = Forgets(a)
       \/ ~ Torn /\ acks' = [acks EXCEPT ![t] = @ \cup {<<a, e>>}] /\ mine' = [mine EXCEPT ![a][t] = 0]
    /\ used' = Spent(used)
    /\ UNCHANGED <<dir, results, plan, scan>>

(* After a lost reply, or a restart: it sees its own ~done, a name that only it can have made.                  *)
Ack(a, t) ==
    /\ Up(a)
    /\ \E n \in names[t] :
        /\ n.kind = "sure" /\ n.who = a
        /\ <<a, n.e>> \notin acks[t]
        /\ acks' = [acks EXCEPT ![t] = @ \cup {<<a, n.e>>}]
        /\ mine' = [mine EXCEPT ![a][t] = 0]
    /\ UNCHANGED <<dir, proc, names, results, high, top, plan, scan, late, used>>

(* Asked again, when it holds nothing any more: the record says who completed a task, by its newest result.      *)
AckByRecord(a, t) ==
    /\ Results /\ Up(a) /\ dir[a] = "live"
    /\ \E n \in names[t] : n.kind = "done"
    /\ \E r \in results[t] :
        /\ r[1] = a /\ r \notin acks[t]
        /\ r[2] = Newest(t) \/ Mutant = "any_own_result"
        /\ acks' = [acks EXCEPT ![t] = @ \cup {r}]
    /\ UNCHANGED <<dir, proc, names, mine, results, high, top, plan, scan, late, used>>

(* To done/: by the holder, or by whoever sweeps its directory.                                                 *)
Carry(b, a, t) ==
    /\ Up(b)
    /\ (b = a /\ Path(a)) \/ dir[a] = "moved"
    /\ \E n \in names[t] :
        /\ n.kind = "sure" /\ n.who = a
        /\ Rename(b, IF b = a THEN a ELSE None, t, n, DoneAt(n.e))
    /\ mine' = Forgets(b)
    /\ used' = Spent(used)
    /\ UNCHANGED <<dir, acks, results, plan, scan>>

Release(a, t) ==
    /\ Up(a) /\ Path(a) /\ MayMove
    /\ \E n \in names[t] :
        /\ n.kind = "held" /\ n.who = a
        /\ Rename(a, a, t, n, ReadyAt(n.e))
    /\ mine' = Forgets(a)
    /\ used' = Spent(Moved)
    /\ UNCHANGED <<dir, acks, results, plan, scan>>

(* By a person, or by any peer. The new holder finds it in its claims/.                                         *)
Reassign(b, a, c, t) ==
    /\ Up(b) /\ a # c /\ Path(a) /\ Path(c) /\ dir[c] # "none" /\ MayMove
    /\ \E n \in names[t] :
        /\ n.kind = "held" /\ n.who = a /\ n.e < MaxEpoch
        /\ Rename(b, None, t, n, Held(c, IF Mutant = "same_epoch" THEN n.e ELSE Above(t, n.e)))
    /\ mine' = Forgets(b)
    /\ used' = Spent(Moved)
    /\ UNCHANGED <<dir, acks, results, plan, scan>>

-------------------------------------------------------------------------------
(* The fence: one rename of the whole directory, by anyone, a zombie too, or by the peer itself when it leaves. *)
Evict(b, a) ==
    /\ Up(b) /\ dir[a] = "live"
    /\ Up(a) => used.zombies < Zombies
    /\ dir' = [dir EXCEPT ![a] = "moved"]
    /\ used' = IF Up(a) THEN [used EXCEPT !.zombies = @ + 1] ELSE used
    /\ UNCHANGED <<proc, names, mine, acks, results, high, top, plan, scan, late>>

Sweep(b, a, t) ==
    /\ Up(b) /\ dir[a] = "moved"
    /\ \E n \in names[t] :
        /\ n.kind = "held" /\ n.who = a
        /\ Rename(b, None, t, n, ReadyAt(n.e))
    /\ mine' = Forgets(b)
    /\ used' = Spent(used)
    /\ UNCHANGED <<dir, acks, results, plan, scan>>

(* rmdir claims/: ENOTEMPTY unless nothing is left in it.                                                       *)
Seal(b, a) ==
    /\ Up(b) /\ dir[a] = "moved"
    /\ \A t \in Tasks : \A n \in names[t] : n.who # a
    /\ dir' = [dir EXCEPT ![a] = "sealed"]
    /\ UNCHANGED <<proc, names, mine, acks, results, high, top, plan, scan, late, used>>

(* Under the next incarnation; the old process may still be around, and go on.                                  *)
Rejoin(p, n) ==
    /\ Gone(<<p, n>>) /\ n < Lives /\ dir[<<p, n + 1>>] = "none"
    /\ Mutant = "reuse_incarnation" => dir[<<p, n>>] = "sealed"
    /\ dir' = [dir EXCEPT ![<<p, n + 1>>] = "live"]
    /\ proc' = [proc EXCEPT ![<<p, n + 1>>] = "up"]
    /\ UNCHANGED <<names, mine, acks, results, high, top, plan, scan, late, used>>

Crash(a) ==
    /\ Up(a) /\ used.crashes < Crashes
    /\ proc' = [proc EXCEPT ![a] = "dead"]
    /\ mine' = [mine EXCEPT ![a] = [t \in Tasks |-> 0]]
    /\ used' = [used EXCEPT !.crashes = @ + 1]
    /\ UNCHANGED <<dir, names, acks, results, high, top, plan, scan, late>>

(* A restarted agent goes on with its incarnation; what it held it reads from its directory.                    *)
Restart(a) ==
    /\ proc[a] = "dead"
    /\ proc' = [proc EXCEPT ![a] = "up"]
    /\ UNCHANGED <<dir, names, mine, acks, results, high, top, plan, scan, late, used>>

(* Two names of one ticket were seen (a listing may show a moving one twice): the lower goes. Seen is enough:   *)
(* the higher one need not be there any more.                                                                   *)
Unlink(b, t) ==
    /\ TwoNames /\ Up(b)
    /\ \E n \in names[t] :
        /\ (Rank(n) < top[t] /\ Mutant # "hand_first") \/ (Mutant = "unlink_equal" /\ Cardinality(names[t]) > 1 /\ Rank(n) = top[t])
        /\ names' = [names EXCEPT ![t] = @ \ {n}]
    /\ UNCHANGED <<dir, proc, mine, acks, results, high, top, plan, scan, late, used>>

-------------------------------------------------------------------------------
(* Reopening: the epoch is read first, the rename may come much later.                                          *)
PlanReopen(t) ==
    /\ used.reopens < Reopens /\ plan[t] = 0
    /\ \E n \in names[t] :
        /\ n.kind = "done"
        /\ plan' = [plan EXCEPT ![t] = IF Bare THEN Newest(t) ELSE n.e]
    /\ UNCHANGED <<dir, proc, names, mine, acks, results, high, top, scan, late, used>>

Reopen(t, e) ==
    /\ used.reopens < Reopens
    /\ DoneAt(e) \in names[t]
    /\ names' = [names EXCEPT ![t] = (@ \ {DoneAt(e)}) \cup {ReadyAt(e)}]
    /\ used' = [used EXCEPT !.reopens = @ + 1]
    /\ UNCHANGED <<dir, proc, mine, acks, results, high, top, scan, late>>

ReopenAtOnce(t) ==
    /\ \E n \in names[t] :
        n.kind = "done" /\ Reopen(t, IF Bare THEN Newest(t) ELSE n.e)
    /\ UNCHANGED plan

ReopenAsPlanned(t) ==
    /\ plan[t] # 0 /\ Reopen(t, plan[t])
    /\ plan' = [plan EXCEPT ![t] = 0]

-------------------------------------------------------------------------------
(* Broken rules that need steps of their own.                                                                   *)

(* Straight to the name that all share; after an error it looks there.                                          *)
FinishShared(a, t) ==
    LET e == mine[a][t] IN
    /\ Mutant = "shared_done" /\ Up(a) /\ Path(a) /\ e # 0
    /\ Rename(a, a, t, Held(a, e), DoneAt(e))
    /\ acks' = [acks EXCEPT ![t] = @ \cup {<<a, e>>}]
    /\ mine' = [mine EXCEPT ![a][t] = 0]
    /\ UNCHANGED <<dir, results, plan, scan, used>>

SettleShared(a, t) ==
    LET e == mine[a][t] IN
    /\ Mutant = "shared_done" /\ Up(a) /\ e # 0
    /\ Held(a, e) \notin names[t] /\ \E n \in names[t] : n.kind = "done"
    /\ acks' = [acks EXCEPT ![t] = @ \cup {<<a, e>>}]
    /\ mine' = [mine EXCEPT ![a][t] = 0]
    /\ UNCHANGED <<dir, proc, names, results, high, top, plan, scan, late, used>>

(* In a hand comes before out of the hand, as it does for views; both names are there when this is decided, but  *)
(* perhaps no longer when the other one is removed.                                                              *)
Doom(t) ==
    /\ Mutant = "hand_first"
    /\ \E n, m \in names[t] :
        /\ n.kind = "ready" /\ m.kind = "held" /\ n.e = m.e
        /\ scan' = [scan EXCEPT ![t] = @ \cup {n}]
    /\ UNCHANGED <<dir, proc, names, mine, acks, results, high, top, plan, late, used>>

RemoveDoomed(t) ==
    /\ Mutant = "hand_first"
    /\ \E n \in scan[t] \cap names[t] : names' = [names EXCEPT ![t] = @ \ {n}]
    /\ UNCHANGED <<dir, proc, mine, acks, results, high, top, plan, scan, late, used>>

(* A task found in no listing is given a new ticket.                                                            *)
Dirs == {<<"ready", None>>, <<"done", None>>} \cup {<<"claims", a>> : a \in {a \in Actors : dir[a] # "none"}}
Lies(n) == IF n.kind \in {"held", "sure"} THEN <<"claims", n.who>> ELSE <<n.kind, None>>

List(t) ==
    /\ Mutant = "trust_listing"
    /\ \E d \in Dirs \ scan[t] :
        scan' = [scan EXCEPT ![t] = IF \E n \in names[t] : Lies(n) = d THEN {} ELSE @ \cup {d}]
    /\ UNCHANGED <<dir, proc, names, mine, acks, results, high, top, plan, late, used>>

Mint(t) ==
    /\ Mutant = "trust_listing" /\ Dirs \subseteq scan[t]
    /\ names' = [names EXCEPT ![t] = @ \cup {ReadyAt(0)}]
    /\ scan' = [scan EXCEPT ![t] = {}]
    /\ UNCHANGED <<dir, proc, mine, acks, results, high, top, plan, late, used>>

(* ENOENT is answered with mkdir, for claims/ as for a shard of ready/.                                         *)
Remake(a) ==
    /\ Mutant = "remake_claims" /\ Up(a) /\ Follow /\ dir[a] = "sealed"
    /\ dir' = [dir EXCEPT ![a] = "moved"]
    /\ UNCHANGED <<proc, names, mine, acks, results, high, top, plan, scan, late, used>>

-------------------------------------------------------------------------------
Next ==
    \/ \E a \in Actors, t \in Tasks :
        \/ Claim(a, t) \/ Look(a, t) \/ WriteResult(a, t) \/ Commit(a, t) \/ Ack(a, t) \/ AckByRecord(a, t)
        \/ Carry(a, a, t) \/ Release(a, t) \/ Unlink(a, t) \/ FinishShared(a, t) \/ SettleShared(a, t)
    \/ \E b \in Anyone, a \in Actors :
        \/ Evict(b, a) \/ Seal(b, a)
        \/ \E t \in Tasks :
            \/ Carry(b, a, t) \/ Sweep(b, a, t)
            \/ \E c \in Actors : Reassign(b, a, c, t)
    \/ \E p \in Peers, n \in 1..Lives : Rejoin(p, n)
    \/ \E a \in Actors : Crash(a) \/ Restart(a) \/ Remake(a)
    \/ \E t \in Tasks :
        \/ PlanReopen(t) \/ ReopenAtOnce(t) \/ ReopenAsPlanned(t) \/ List(t) \/ Mint(t)
        \/ Doom(t) \/ RemoveDoomed(t)

Spec == Init /\ [][Next]_vars

-------------------------------------------------------------------------------
(* Safety.                                                                                                      *)

OneTicket == \A t \in Tasks : Cardinality(names[t]) = 1

NeverLost == \A t \in Tasks : names[t] # {}

(* No two processes ever believe to hold one task at one epoch: the epoch is a fencing token.                   *)
OneHolder == \A t \in Tasks : \A a, b \in Actors :
    a # b /\ mine[a][t] # 0 => mine[a][t] # mine[b][t]

EpochsRise == \A t \in Tasks :
    LET open == {n \in names[t] : n.kind # "done"} IN
    open # {} => (\E n \in names[t] : n.kind \in {"sure", "done"}) \/ Max({n.e : n \in open}) = high[t]

(* What was acknowledged is recorded, once, and nobody was told of two.                                         *)
AckedOnce == \A t \in Tasks : Cardinality(acks[t]) <= 1 + used.reopens

AckStands == (Reopens = 0) => \A t \in Tasks :
    acks[t] # {} => \E n \in names[t] : n.kind \in {"sure", "done"}

(* Nobody works on a task that was acknowledged as complete.                                                    *)
NoWorkAfterDone == (Reopens = 0) => \A t \in Tasks : \A x \in acks[t] : \A a \in Actors : mine[a][t] <= x[2]

ZombieIsStill == late = FALSE
SealedIsEmpty == \A a \in Actors, t \in Tasks : dir[a] = "sealed" => \A n \in names[t] : n.who # a

SealIsFinal == [][\A a \in Actors : dir[a] = "sealed" => dir'[a] = "sealed"]_dir

(* A finished task has a result at the epoch it was finished, and no later one: the record says who did it.     *)
ResultStands == Results => \A t \in Tasks : \A n \in names[t] :
    n.kind \in {"sure", "done"} => results[t] # {} /\ (n.e = Newest(t) \/ (Bare /\ n.kind = "done"))

(* Every move into a hand raises the epoch above all there were.                                                *)
HandsRaise == [][\A t \in Tasks : \A n \in names'[t] \ names[t] : n.kind = "held" => n.e > high[t]]_names

-------------------------------------------------------------------------------
(* Liveness. Some living peer goes on as long as there is something to do: sweep, seal, evict what is dead, join  *)
(* again, complete what it holds, claim. No fairness among peers or tasks is assumed: no sequence of these steps *)
(* is endless.                                                                                                  *)
Living(a) == Up(a) /\ dir[a] = "live"

Useful ==
    \/ \E b \in Actors : Living(b) /\
        \/ \E t \in Tasks : Claim(b, t) \/ Look(b, t) \/ Commit(b, t) \/ Unlink(b, t)
        \/ \E a \in Actors :
            \/ proc[a] = "dead" /\ Evict(b, a)
            \/ \E t \in Tasks : Carry(b, a, t)
            \/ Mutant # "no_sweep" /\ (Seal(b, a) \/ \E t \in Tasks : Sweep(b, a, t))
    \/ \E p \in Peers, n \in 1..Lives : Up(<<p, n>>) /\ Rejoin(p, n)

FairSpec == Spec /\ WF_vars(Useful)

Finished == <>[](\A t \in Tasks : \E n \in names[t] : n.kind = "done")
ReadyIsTaken == \A t \in Tasks :
    (\E n \in names[t] : n.kind = "ready") ~> (\E n \in names[t] : n.kind # "ready")
DeadHolds(t) == \E n \in names[t] : n.who # None /\ proc[n.who] = "dead"
DeadGivesBack == \A t \in Tasks : DeadHolds(t) ~> ~ DeadHolds(t)
NothingCut == \A t \in Tasks : high[t] < MaxEpoch
Unsealed == \E a \in Actors : dir[a] = "moved"
DepartedIsSealed == Unsealed ~> ~ Unsealed
=============================================================================
