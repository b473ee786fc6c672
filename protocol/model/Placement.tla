------------------------------ MODULE Placement ------------------------------
(* Where a ticket lies that nobody holds: waiting for ONE unmet dependency, or ready. Placing is: look at all    *)
(* dependencies, rename, look once more at the one that is now watched. Whoever finishes a task places again    *)
(* what waits for it; every agent now and then places again what no longer has to wait (the tick).              *)
(*                                                                                                              *)
(* Workers are pairs of hands without identity: peers, agents, the adder. Each look may be old.                 *)
EXTENDS Naturals, Sequences, FiniteSets, TLC

CONSTANTS
    Workers,        \* who does the work
    Tasks,          \* 1..n
    Adding,         \* tasks that are being added at first; the others are ready
    Deps,           \* of each task: the sequence of the tasks it depends on, as first defined
    Ticks,          \* does the re-placing tick run
    Crashes, StaleLooks, Reopens, Edits,    \* how often each may happen
    Mutant

DepsPair == <<<<>>, <<1>>>>            \* task 2 depends on task 1
DepsJoin == <<<<>>, <<>>, <<1, 2>>>>    \* task 3 depends on tasks 1 and 2
Symmetry == Permutations(Workers)

VARIABLES
    deps,       \* of each task: its dependencies as now defined
    at,         \* of each task: <<"new">>, <<"waiting", d>>, <<"ready">>, <<"held">>, <<"out">> (handed out), <<"done">>
    job,        \* of each worker: what it is doing
    used,
    early       \* a task was handed out by someone who had not seen all its dependencies done

vars == <<deps, at, job, used, early>>

Idle == [do |-> "idle"]
Done == {t \in Tasks : at[t] = <<"done">>}
Range(s) == {s[i] : i \in 1..Len(s)}
Met(t) == Range(deps[t]) \subseteq Done

Init ==
    /\ deps = Deps
    /\ at = [t \in Tasks |-> IF t \in Adding THEN <<"new">> ELSE <<"ready">>]
    /\ job = [w \in Workers |-> Idle]
    /\ used = [crashes |-> 0, stale |-> 0, reopens |-> 0, edits |-> 0, ticks |-> 0]
    /\ early = FALSE

(* The spot that a definition and a view of done/ give: the first dependency not seen done, else ready.         *)
RECURSIVE First(_, _)
First(s, seen) == IF s = <<>> THEN <<"ready">>
                  ELSE IF Head(s) \in seen THEN First(Tail(s), seen) ELSE <<"waiting", Head(s)>>

(* A look at done/: what is there now, or, if it is old, less (or a task that was reopened since: not modelled, *)
(* the claim looks again).                                                                                      *)
Views == {<<Done, FALSE>>} \cup (IF used.stale < StaleLooks THEN {<<s, TRUE>> : s \in SUBSET Done} ELSE {})
Count(view) == IF view[2] THEN [used EXCEPT !.stale = @ + 1] ELSE used

-------------------------------------------------------------------------------
(* A placing in steps. "rest": what to place after this one.                                                    *)
PlaceLook(w) ==
    /\ job[w].do = "place"
    /\ \E view \in Views :
        /\ used' = Count(view)
        /\ job' = [job EXCEPT ![w] = [do |-> "move", t |-> @.t, src |-> @.src, rest |-> @.rest,
                                      dst |-> First(deps[@.t], view[1])]]
    /\ UNCHANGED <<deps, at, early>>

NextOf(rest) == IF rest = {} THEN Idle
                ELSE LET t == CHOOSE t \in rest : TRUE
                     IN [do |-> "place", t |-> t, src |-> at[t], rest |-> rest \ {t}]

PlaceMove(w) ==
    LET j == job[w] IN
    /\ j.do = "move"
    /\ IF at[j.t] = j.src
       THEN /\ at' = [at EXCEPT ![j.t] = j.dst]
            /\ job' = [job EXCEPT ![w] = IF j.dst[1] = "waiting" /\ Mutant # "no_second_look"
                                         THEN [do |-> "second", t |-> j.t, src |-> j.dst, rest |-> j.rest]
                                         ELSE NextOf(j.rest)]
       ELSE /\ UNCHANGED at                      \* ENOENT: somebody else placed it, or took it
            /\ job' = [job EXCEPT ![w] = NextOf(j.rest)]
    /\ UNCHANGED <<deps, used, early>>

(* Once more at the one watched: done meanwhile, then place again.                                              *)
PlaceSecond(w) ==
    LET j == job[w] IN
    /\ j.do = "second"
    /\ \E view \in Views :
        /\ used' = Count(view)
        /\ job' = [job EXCEPT ![w] = IF j.src[2] \in view[1]
                                     THEN [do |-> "place", t |-> j.t, src |-> j.src, rest |-> j.rest]
                                     ELSE NextOf(j.rest)]
    /\ UNCHANGED <<deps, at, early>>

Place(w, t) == job' = [job EXCEPT ![w] = [do |-> "place", t |-> t, src |-> at[t], rest |-> {}]]

-------------------------------------------------------------------------------
AddPlace(w, t) ==
    /\ job[w] = Idle /\ at[t] = <<"new">>
    /\ Place(w, t)
    /\ UNCHANGED <<deps, at, used, early>>

Claim(w, t) ==
    /\ job[w] = Idle /\ at[t] = <<"ready">>
    /\ at' = [at EXCEPT ![t] = <<"held">>]
    /\ job' = [job EXCEPT ![w] = [do |-> "check", t |-> t]]
    /\ UNCHANGED <<deps, used, early>>

(* The claimed task's definition is read: dependencies no longer done? Then it is placed again, from the hand.  *)
Check(w) ==
    LET t == job[w].t IN
    /\ job[w].do = "check"
    /\ IF Met(t) \/ Mutant = "no_check"
       THEN /\ at' = [at EXCEPT ![t] = <<"out">>]
            /\ early' = (early \/ ~ Met(t))
            /\ job' = [job EXCEPT ![w] = [do |-> "work", t |-> t]]
       ELSE /\ Place(w, t)
            /\ UNCHANGED <<at, early>>
    /\ UNCHANGED <<deps, used>>

(* The ticket is carried to done/.                                                                              *)
Finish(w) ==
    /\ job[w].do = "work"
    /\ at' = [at EXCEPT ![job[w].t] = <<"done">>]
    /\ job' = [job EXCEPT ![w] = [do |-> "wake", t |-> job[w].t]]
    /\ UNCHANGED <<deps, used, early>>

(* It lists waiting/<t>/ and places what it finds.                                                              *)
Wake(w) ==
    /\ job[w].do = "wake"
    /\ job' = [job EXCEPT ![w] = NextOf({x \in Tasks : at[x] = <<"waiting", job[w].t>>})]
    /\ UNCHANGED <<deps, at, used, early>>

(* What waits for something done, or for something that it does not depend on (an edit cut short).              *)
InVain(t) == /\ at[t][1] = "waiting"
             /\ \/ at[t][2] \in Done
                \/ at[t][2] \notin Range(deps[t]) /\ Mutant # "tick_done_only"

Tick(w) ==
    /\ Ticks /\ Mutant # "no_tick" /\ job[w] = Idle
    /\ \E t \in Tasks : InVain(t) /\ Place(w, t)
    /\ UNCHANGED <<deps, at, used, early>>

(* What a crashed claimer or worker held comes back: the sweep places it.                                       *)
Sweep(w, t) ==
    /\ job[w] = Idle /\ at[t][1] \in {"held", "out"}
    /\ \A v \in Workers : job[v].do \in {"check", "work", "place", "move"} => job[v].t # t
    /\ Place(w, t)
    /\ UNCHANGED <<deps, at, used, early>>

Crash(w) ==
    /\ used.crashes < Crashes /\ job[w] # Idle
    /\ job' = [job EXCEPT ![w] = Idle]
    /\ used' = [used EXCEPT !.crashes = @ + 1]
    /\ UNCHANGED <<deps, at, early>>

Reopen(w, t) ==
    /\ used.reopens < Reopens /\ at[t] = <<"done">> /\ job[w] = Idle
    /\ used' = [used EXCEPT !.reopens = @ + 1]
    /\ Place(w, t)
    /\ UNCHANGED <<deps, at, early>>

(* The definition is replaced, then the ticket is placed again if it lies still. Here: one dependency turned    *)
(* round, t no longer waits for d, d waits for t.                                                               *)
Edit(w, t) ==
    /\ used.edits < Edits /\ job[w] = Idle /\ at[t][1] = "waiting"
    /\ LET d == at[t][2] IN
        /\ d \in Range(deps[t]) /\ at[d] = <<"ready">>
        /\ deps' = [deps EXCEPT ![t] = SelectSeq(@, LAMBDA x : x # d), ![d] = Append(@, t)]
        /\ job' = [job EXCEPT ![w] = [do |-> "place", t |-> t, src |-> at[t], rest |-> {d}]]
    /\ used' = [used EXCEPT !.edits = @ + 1]
    /\ UNCHANGED <<at, early>>

Step(w) == PlaceLook(w) \/ PlaceMove(w) \/ PlaceSecond(w) \/ Check(w) \/ Wake(w)

Next == \E w \in Workers :
    \/ Step(w) \/ Finish(w) \/ Tick(w) \/ Crash(w)
    \/ \E t \in Tasks : AddPlace(w, t) \/ Claim(w, t) \/ Sweep(w, t) \/ Reopen(w, t) \/ Edit(w, t)

Spec == Init /\ [][Next]_vars

-------------------------------------------------------------------------------
(* Nothing is handed out before somebody saw, after the claim, that its dependencies are done.                  *)
NotEarly == early = FALSE

(* Without a crash and without an old look nothing is left to the tick: when all rest, nothing waits in vain.   *)
Prompt == (used.crashes = 0 /\ used.stale = 0 /\ \A w \in Workers : job[w] = Idle)
    => \A t \in Tasks : ~ (at[t][1] = "waiting" /\ at[t][2] \in Done)

(* Ready too early is possible (an old look, a task reopened) and harmless; ready without a reason is not.      *)
ReadyHadReason == (Reopens = 0 /\ Edits = 0) => \A t \in Tasks :
    at[t][1] \in {"ready", "held", "out", "done"} => Met(t)

(* Somebody goes on as long as there is something to do. This is little to assume: no order, no fairness among  *)
(* workers or tasks. It is enough because no sequence of these steps is endless.                                *)
Useful == \E v \in Workers :
    \/ Step(v) \/ Finish(v) \/ Tick(v)
    \/ \E t \in Tasks : AddPlace(v, t) \/ Claim(v, t) \/ Sweep(v, t)

FairSpec == Spec /\ WF_vars(Useful)

NoneWaitsInVain == \A t, d \in Tasks : at[t] = <<"waiting", d>> /\ d \in Done ~> at[t] # <<"waiting", d>> \/ d \notin Done
AllDone == <>[](Done = Tasks)
=============================================================================
