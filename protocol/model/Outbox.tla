------------------------------- MODULE Outbox --------------------------------
(* The sandbox door of one worktree: calls are files in the outbox, its agent acts on them and answers. Both may  *)
(* crash between any two steps, so that a call is carried out again, and a copy of it may turn up at any later   *)
(* time. Meanwhile people and other peers move the tickets, and the worktree's peer may join again.              *)
(*                                                                                                              *)
(* A statement (here: complete, release) is served whenever it is found. A question (here: take) is served only  *)
(* while its caller waits at the door.                                                                          *)
EXTENDS Naturals, FiniteSets, TLC

CONSTANTS
    Tasks,          \* model values, interchangeable
    Requests,       \* how many calls are made, numbered in order
    MaxEpoch,
    Others,         \* how often others take a ticket away, or evict the peer
    Crashes,        \* of the agent
    Copies,         \* how often a request that is gone turns up again
    Mutant

Symmetry == Permutations(Tasks)
Ids == 1..Requests

VARIABLES
    ticket,     \* of each task: [at: "ready", "mine", "other", "done"; e: its epoch]
    life,       \* the incarnation of this worktree's peer
    made,       \* of each request: [do; t; e; life], the ticket and incarnation that its caller saw
    outbox,     \* requests that lie in the outbox
    answers,    \* requests with an answer kept
    door,       \* requests whose caller waits
    told,       \* of each task: the epoch that the session was told it holds, 0 for none
    agent,      \* [id, step: "idle", "picked", "acted", "answered"]
    effects,    \* of each request: what was carried out for it, a set of [do, t, e]
    used

vars == <<ticket, life, made, outbox, answers, door, told, agent, effects, used>>

NoTask == "none"
Nothing == [do |-> "none", t |-> NoTask, e |-> 0, life |-> 0]
Idle == [id |-> 0, step |-> "idle"]
Statement(i) == made[i].do \in {"complete", "release"}

Init ==
    /\ ticket = [t \in Tasks |-> [at |-> "ready", e |-> 0]]
    /\ life = 1
    /\ made = [i \in Ids |-> Nothing]
    /\ outbox = {} /\ answers = {} /\ door = {}
    /\ told = [t \in Tasks |-> 0]
    /\ agent = Idle
    /\ effects = [i \in Ids |-> {}]
    /\ used = [others |-> 0, crashes |-> 0, copies |-> 0]

-------------------------------------------------------------------------------
(* The session. It names the ticket and the incarnation that it sees.                                           *)
Ask(do, t) ==
    \E i \in Ids :
        /\ made[i] = Nothing /\ \A j \in Ids : j < i => made[j] # Nothing
        /\ door = {}
        /\ made' = [made EXCEPT ![i] = [do |-> do, t |-> t, life |-> life, e |-> IF do = "take" THEN 0 ELSE told[t]]]
        /\ outbox' = outbox \cup {i}
        /\ door' = door \cup {i}
        /\ UNCHANGED <<ticket, life, answers, told, agent, effects, used>>

Calls == Ask("take", NoTask) \/ \E t \in Tasks : told[t] # 0 /\ (Ask("complete", t) \/ Ask("release", t))

(* It is interrupted, or tired of waiting.                                                                      *)
GiveUp ==
    /\ door # {} /\ door' = {}
    /\ UNCHANGED <<ticket, life, made, outbox, answers, told, agent, effects, used>>

-------------------------------------------------------------------------------
(* The agent: an answer that is there is given again. A question for nobody is dropped.                         *)
Pick ==
    /\ agent = Idle
    /\ \E i \in outbox :
        IF i \in answers THEN /\ agent' = [id |-> i, step |-> "answered"] /\ UNCHANGED outbox
        ELSE IF Statement(i) \/ i \in door \/ Mutant = "asked_for_nobody"
        THEN /\ agent' = [id |-> i, step |-> "picked"] /\ UNCHANGED outbox
        ELSE /\ outbox' = outbox \ {i} /\ UNCHANGED agent
    /\ UNCHANGED <<ticket, life, made, answers, door, told, effects, used>>

(* A statement is refused if its incarnation is no longer this one, or a ticket of its task is held that it does *)
(* not name.                                                                                                    *)
Fits(r) == /\ r.life = life
           /\ ticket[r.t].at = "mine"
           /\ ticket[r.t].e = r.e \/ Mutant = "no_epoch"

Did(i, do, t, e) == effects' = [effects EXCEPT ![i] = @ \cup {[do |-> do, t |-> t, e |-> e]}]

(* One rename. Who takes is answered with what is held already.                                                 *)
Act ==
    LET i == agent.id
        r == made[i]
        free == {t \in Tasks : ticket[t].at = "ready" /\ ticket[t].e < MaxEpoch}
    IN
    /\ agent.step = "picked"
    /\ agent' = [agent EXCEPT !.step = "acted"]
    /\ IF r.do = "take"
       THEN IF free = {} \/ \E t \in Tasks : ticket[t].at = "mine"
            THEN UNCHANGED <<ticket, effects>>
            ELSE \E t \in free :
                 /\ ticket' = [ticket EXCEPT ![t] = [at |-> "mine", e |-> @.e + 1]]
                 /\ Did(i, "take", t, ticket[t].e + 1)
       ELSE IF Fits(r)
            THEN /\ ticket' = [ticket EXCEPT ![r.t].at = IF r.do = "complete" THEN "done" ELSE "ready"]
                 /\ Did(i, r.do, r.t, ticket[r.t].e)
            ELSE UNCHANGED <<ticket, effects>>
    /\ UNCHANGED <<life, made, outbox, answers, door, told, used>>

(* The caller, if it still waits, is told; the answer is kept.                                                  *)
Reply ==
    /\ agent.step = "acted"
    /\ answers' = answers \cup {agent.id}
    /\ agent' = [agent EXCEPT !.step = "answered"]
    /\ told' = IF agent.id \in door
               THEN [t \in Tasks |-> IF ticket[t].at = "mine" THEN ticket[t].e ELSE 0] ELSE told
    /\ door' = door \ {agent.id}
    /\ UNCHANGED <<ticket, life, made, outbox, effects, used>>

(* Later: the request goes, and only then its answer.                                                           *)
ClearRequest ==
    /\ agent.step = "answered"
    /\ outbox' = outbox \ {agent.id}
    /\ door' = door \ {agent.id}
    /\ agent' = Idle
    /\ UNCHANGED <<ticket, life, made, answers, told, effects, used>>

ClearAnswer ==
    /\ \E i \in answers :
        /\ i \notin outbox
        /\ answers' = answers \ {i}
    /\ UNCHANGED <<ticket, life, made, outbox, door, told, agent, effects, used>>

(* Its caller reads the end of the door.                                                                        *)
Crash ==
    /\ used.crashes < Crashes /\ agent # Idle
    /\ agent' = Idle
    /\ door' = {}
    /\ used' = [used EXCEPT !.crashes = @ + 1]
    /\ UNCHANGED <<ticket, life, made, outbox, answers, told, effects>>

(* A backup, a copy, a file found years later.                                                                  *)
Copy ==
    /\ used.copies < Copies
    /\ \E i \in Ids : made[i] # Nothing /\ i \notin outbox /\ outbox' = outbox \cup {i}
    /\ used' = [used EXCEPT !.copies = @ + 1]
    /\ UNCHANGED <<ticket, life, made, answers, door, told, agent, effects>>

-------------------------------------------------------------------------------
(* A person or another peer takes the task away, lets go of it, or evicts this peer, which joins again.          *)
TakeAway(t) ==
    /\ ticket[t].at = "mine" /\ used.others < Others
    /\ \/ ticket[t].e < MaxEpoch /\ ticket' = [ticket EXCEPT ![t] = [at |-> "other", e |-> @.e + 1]]
       \/ ticket' = [ticket EXCEPT ![t].at = "ready"]
    /\ used' = [used EXCEPT !.others = @ + 1]
    /\ UNCHANGED <<life, made, outbox, answers, door, told, agent, effects>>

LetGo(t) ==
    /\ ticket[t].at = "other"
    /\ ticket' = [ticket EXCEPT ![t].at = "ready"]
    /\ UNCHANGED <<life, made, outbox, answers, door, told, agent, effects, used>>

Evicted ==
    /\ used.others < Others
    /\ ticket' = [t \in Tasks |-> IF ticket[t].at = "mine" THEN [ticket[t] EXCEPT !.at = "ready"] ELSE ticket[t]]
    /\ life' = life + 1
    /\ used' = [used EXCEPT !.others = @ + 1]
    /\ UNCHANGED <<made, outbox, answers, door, told, agent, effects>>

Next ==
    \/ Calls \/ GiveUp \/ Pick \/ Act \/ Reply \/ ClearRequest \/ ClearAnswer \/ Crash \/ Copy \/ Evicted
    \/ \E t \in Tasks : TakeAway(t) \/ LetGo(t)

Spec == Init /\ [][Next]_vars

-------------------------------------------------------------------------------
(* What a request completes or gives back is the very claim that it was made for.                               *)
EffectFits == \A i \in Ids : \A x \in effects[i] : x.do # "take" => x.e = made[i].e

(* Carried out again, or found again, it does nothing again.                                                    *)
StatedOnce == \A i \in Ids : Statement(i) => Cardinality(effects[i]) <= 1

(* If nobody else interferes, a call for work takes at most one task, however often it is carried out.           *)
TakenOnce == Others = 0 => \A i \in Ids : Cardinality(effects[i]) <= 1

FairSpec == Spec /\ WF_vars(Pick \/ Act \/ Reply \/ ClearRequest)
Served == \A i \in Ids : i \in outbox ~> i \notin outbox
=============================================================================
