-------------------------------- MODULE Claim --------------------------------
(* One claim, looked at closely: the listing that may be old, the rename, its reply that may be lost, the look   *)
(* for one's own destination. Tickets.tla leaves these out; here they have states of their own, for every peer. *)
(*                                                                                                              *)
(* An answer of the filesystem is "ok", "noent" or "error"; "error" and "noent" may be told though the rename   *)
(* was done (NFS after a restart of the server, a cut link). A look may be old: it may miss what is there.      *)
EXTENDS Naturals, FiniteSets, TLC

CONSTANTS
    Peers, Tasks,   \* model values, interchangeable
    LostReplies,    \* renames done although an error is told
    StaleLooks,     \* looks for one's own destination that miss it
    Crashes,        \* crashed peers start again, and know nothing
    Mutant          \* "none", or the rule that is broken

Symmetry == Permutations(Peers) \cup Permutations(Tasks)

VARIABLES
    ready,      \* the tasks whose ticket lies in ready/
    claims,     \* of each peer: the tasks whose ticket lies in its claims/
    running,    \* the tasks whose ticket lies under one name for all (Mutant "shared_name" only)
    pc,         \* of each peer: "idle", "chosen", "moved", "told", "unsure"
    pick,       \* of each peer: the task it tries for
    told,       \* of each peer: the tasks it answered "you hold this" for
    used        \* what was used up of LostReplies, StaleLooks, Crashes

vars == <<ready, claims, running, pc, pick, told, used>>

NoTask == "none"

Init ==
    /\ ready = Tasks
    /\ claims = [p \in Peers |-> {}]
    /\ running = {}
    /\ pc = [p \in Peers |-> "idle"]
    /\ pick = [p \in Peers |-> NoTask]
    /\ told = [p \in Peers |-> {}]
    /\ used = [lost |-> 0, stale |-> 0, crashes |-> 0]

(* Asked twice, it answers with what it holds: it lists its own claims/ before anything else. That look may be  *)
(* old as well.                                                                                                 *)
AskAgain(p) ==
    /\ pc[p] = "idle" /\ Mutant # "error_is_loss"
    /\ \E t \in claims[p] \ told[p] : told' = [told EXCEPT ![p] = @ \cup {t}]
    /\ UNCHANGED <<ready, claims, running, pc, pick, used>>

MissesOwn(p) == claims[p] \subseteq told[p] \/ used.stale < StaleLooks
CountsMiss(p) == IF claims[p] \subseteq told[p] THEN used ELSE [used EXCEPT !.stale = @ + 1]

(* A listing of ready/, as old as it likes: every task lay there once.                                          *)
List(p) ==
    /\ pc[p] = "idle" /\ MissesOwn(p)
    /\ \E t \in Tasks \ told[p] : pick' = [pick EXCEPT ![p] = t]
    /\ pc' = [pc EXCEPT ![p] = "chosen"]
    /\ used' = CountsMiss(p)
    /\ UNCHANGED <<ready, claims, running, told>>

Answer(p, ok) == pc' = [pc EXCEPT ![p] = IF ok THEN "told" ELSE "unsure"]

(* rename ready/<t> to a name below one's own claims/: the server decides.                                      *)
Rename(p) ==
    LET t == pick[p] IN
    /\ pc[p] = "chosen" /\ Mutant \notin {"copy", "shared_name"}
    /\ IF t \in ready
       THEN /\ ready' = ready \ {t}
            /\ claims' = [claims EXCEPT ![p] = @ \cup {t}]
            /\ \/ Answer(p, TRUE) /\ UNCHANGED used
               \/ used.lost < LostReplies /\ Answer(p, FALSE) /\ used' = [used EXCEPT !.lost = @ + 1]
       ELSE Answer(p, FALSE) /\ UNCHANGED <<ready, claims, used>>
    /\ UNCHANGED <<running, pick, told>>

(* An error is not an answer: look for one's own destination, a name that nobody else can have made.            *)
Settle(p) ==
    LET t == pick[p] IN
    /\ pc[p] \in {"told", "unsure"}
    /\ pc' = [pc EXCEPT ![p] = "idle"]
    /\ pick' = [pick EXCEPT ![p] = NoTask]
    /\ \/ /\ pc[p] = "told" \/ (t \in claims[p] /\ Mutant # "error_is_loss")
          /\ told' = [told EXCEPT ![p] = @ \cup {t}]
          /\ UNCHANGED used
       \/ /\ pc[p] = "unsure" /\ (t \notin claims[p] \/ Mutant = "error_is_loss")
          /\ UNCHANGED <<told, used>>
       \/ /\ pc[p] = "unsure" /\ t \in claims[p] /\ used.stale < StaleLooks
          /\ used' = [used EXCEPT !.stale = @ + 1]
          /\ UNCHANGED told
    /\ UNCHANGED <<ready, claims, running>>

Crash(p) ==
    /\ used.crashes < Crashes
    /\ pc' = [pc EXCEPT ![p] = "idle"]
    /\ pick' = [pick EXCEPT ![p] = NoTask]
    /\ told' = [told EXCEPT ![p] = {}]
    /\ used' = [used EXCEPT !.crashes = @ + 1]
    /\ UNCHANGED <<ready, claims, running>>

-------------------------------------------------------------------------------
(* Read, then write: it lists ready/, makes its own ticket, removes the other (and is content with ENOENT).     *)
Copy(p) ==
    /\ Mutant = "copy" /\ pc[p] = "chosen"
    /\ claims' = [claims EXCEPT ![p] = @ \cup {pick[p]}]
    /\ pc' = [pc EXCEPT ![p] = "moved"]
    /\ UNCHANGED <<ready, running, pick, told, used>>

Remove(p) ==
    /\ Mutant = "copy" /\ pc[p] = "moved"
    /\ ready' = ready \ {pick[p]}
    /\ Answer(p, TRUE)
    /\ UNCHANGED <<claims, running, pick, told, used>>

(* Toward one name for all. The client of the second may still find the file under the old name, and finds the  *)
(* same file under the new one: two names of one file, POSIX says "done" and does nothing.                      *)
RenameShared(p) ==
    LET t == pick[p] IN
    /\ Mutant = "shared_name" /\ pc[p] = "chosen"
    /\ IF t \in ready
       THEN ready' = ready \ {t} /\ running' = running \cup {t} /\ Answer(p, TRUE)
       ELSE UNCHANGED <<ready, running>> /\ \E ok \in BOOLEAN : Answer(p, ok)
    /\ UNCHANGED <<claims, pick, told, used>>

Next == \E p \in Peers :
    \/ AskAgain(p) \/ List(p) \/ Rename(p) \/ Settle(p) \/ Crash(p)
    \/ Copy(p) \/ Remove(p) \/ RenameShared(p)

Spec == Init /\ [][Next]_vars

-------------------------------------------------------------------------------
OneTicket == \A t \in Tasks :
    Cardinality({p \in Peers : t \in claims[p]}) + (IF t \in ready \cup running THEN 1 ELSE 0) = 1

OneHolder == \A t \in Tasks : \A p, q \in Peers : p # q => ~ (t \in told[p] /\ t \in told[q])

ToldIsTrue == \A p \in Peers : told[p] \subseteq claims[p]

(* What is in a peer's hand does not stay there unknown to it, if it goes on asking.                            *)
FairSpec == Spec /\ \A p \in Peers :
    /\ WF_vars(AskAgain(p)) /\ WF_vars(Rename(p)) /\ WF_vars(Settle(p)) /\ WF_vars(List(p))

Known == \A p \in Peers, t \in Tasks : t \in claims[p] ~> t \in told[p]
AllClaimed == <>(ready = {})
=============================================================================
