------------------------------- MODULE Adding --------------------------------
(* Adding one task id, by several people at once: a ticket in new/ with a nonce of its own, then the birth       *)
(* record, linked only if the name is free. That link decides; the losers remove their own tickets. The mutex   *)
(* for adding is left out: safety does not rest on it. Anyone may finish or tidy up what lies in new/.           *)
EXTENDS Naturals, FiniteSets, TLC

CONSTANTS
    Adders,         \* model values, interchangeable; each stands for its nonce as well
    Nobody,
    Crashes, LostReplies,
    Mutant

Symmetry == Permutations(Adders)

VARIABLES
    new,        \* adders whose ticket lies in new/
    birth,      \* whose nonce the birth record carries
    placed,     \* the tickets that left new/ for waiting/ or ready/: a set of adders
    pc,         \* of each adder: "start", "ticket", "unsure", "won", "lost", "end"
    tidy,       \* orphans that somebody saw and is about to remove
    used

vars == <<new, birth, placed, pc, tidy, used>>

Init ==
    /\ new = {} /\ placed = {} /\ tidy = {}
    /\ birth = Nobody
    /\ pc = [a \in Adders |-> "start"]
    /\ used = [crashes |-> 0, lost |-> 0]

Goes(a, to) == pc' = [pc EXCEPT ![a] = to]

PutTicket(a) ==
    /\ pc[a] = "start"
    /\ new' = new \cup {a}
    /\ Goes(a, "ticket")
    /\ UNCHANGED <<birth, placed, tidy, used>>

(* link(2) of the birth record: EEXIST if there is one. The reply of a success may be lost.                     *)
Link(a) ==
    /\ pc[a] = "ticket"
    /\ IF birth = Nobody \/ Mutant = "overwrite"
       THEN /\ birth' = a
            /\ \/ Goes(a, "won") /\ UNCHANGED used
               \/ used.lost < LostReplies /\ Goes(a, "unsure") /\ used' = [used EXCEPT !.lost = @ + 1]
       ELSE Goes(a, "unsure") /\ UNCHANGED <<birth, used>>
    /\ UNCHANGED <<new, placed, tidy>>

(* An error is not an answer: whose nonce does the record carry?                                                *)
ReadBirth(a) ==
    /\ pc[a] = "unsure"
    /\ Goes(a, IF birth = a /\ Mutant # "error_is_loss" THEN "won" ELSE "lost")
    /\ UNCHANGED <<new, birth, placed, tidy, used>>

Withdraw(a) ==
    /\ pc[a] = "lost"
    /\ new' = new \ {a}
    /\ Goes(a, "end")
    /\ UNCHANGED <<birth, placed, tidy, used>>

(* By the adder, or by whoever finds a ticket whose nonce is the one in the birth record.                       *)
PlaceIt(a) ==
    /\ birth = a /\ a \in new
    /\ new' = new \ {a}
    /\ placed' = placed \cup {a}
    /\ UNCHANGED <<birth, pc, tidy, used>>

(* Two steps: see that it is an orphan; remove it, perhaps much later.                                          *)
SeeOrphan(a) ==
    /\ a \in new /\ a \notin tidy
    /\ (birth # Nobody /\ birth # a) \/ (birth = Nobody /\ Mutant = "no_birth_is_orphan")
    /\ tidy' = tidy \cup {a}
    /\ UNCHANGED <<new, birth, placed, pc, used>>

RemoveOrphan(a) ==
    /\ a \in tidy
    /\ new' = new \ {a}
    /\ tidy' = tidy \ {a}
    /\ UNCHANGED <<birth, placed, pc, used>>

Crash(a) ==
    /\ used.crashes < Crashes /\ pc[a] \notin {"start", "end"}
    /\ Goes(a, "end")
    /\ used' = [used EXCEPT !.crashes = @ + 1]
    /\ UNCHANGED <<new, birth, placed, tidy>>

Next == \E a \in Adders :
    \/ PutTicket(a) \/ Link(a) \/ ReadBirth(a) \/ Withdraw(a) \/ PlaceIt(a)
    \/ SeeOrphan(a) \/ RemoveOrphan(a) \/ Crash(a)

Spec == Init /\ [][Next]_vars

-------------------------------------------------------------------------------
AtMostOne == Cardinality(placed) <= 1
(* A task that was born has its one ticket, at every instant.                                                   *)
BornHasTicket == birth # Nobody => birth \in new \cup placed

FairSpec == Spec /\ WF_vars(\E a \in Adders :
    Link(a) \/ ReadBirth(a) \/ Withdraw(a) \/ PlaceIt(a) \/ SeeOrphan(a) \/ RemoveOrphan(a))
BornIsPlaced == (birth # Nobody) ~> (placed # {} /\ \A a \in Adders : pc[a] \in {"won", "end", "start"})
=============================================================================
