------------------------------- MODULE Leader --------------------------------
(* Leadership is a ticket as well: leader~<term>, taken with a higher term, never made twice. The database       *)
(* refuses what comes with a lower term than it has seen, inside the transaction.                               *)
(*                                                                                                              *)
(* As in Tickets.tla a step is one file operation or one transaction, listings and lost replies need no state   *)
(* of their own, and any peer may be evicted at any time.                                                       *)
EXTENDS Naturals, FiniteSets, TLC

CONSTANTS
    Peers,          \* model values, interchangeable
    Nobody,
    Lives,          \* incarnations a peer may have
    MaxTerm,        \* nobody leads beyond it
    FirstTerm,      \* the term that the database has seen at first (higher than the ticket's: a restored root)
    Crashes, Zombies,
    Moves,          \* resignations, takings by zombies, takings from a peer that has the ticket
    Follow,         \* a client may go on reaching a directory that was moved
    Mutant

Symmetry == Permutations(Peers)

VARIABLES
    dir, proc,      \* as in Tickets.tla
    names,          \* of the one ticket: a set of [who, term]; who = None: in queue/leader/
    mine,           \* of each incarnation: the term its process believes to lead with, 0 for none
    db,             \* the highest term the database has accepted
    top,            \* the highest term any name had
    used

vars == <<dir, proc, names, mine, db, top, used>>

Actors == Peers \X (1..Lives)
None == <<Nobody, 0>>
Name(who, term) == [who |-> who, term |-> term]
Max(a, b) == IF a > b THEN a ELSE b
Up(a) == proc[a] = "up"
Gone(a) == dir[a] \in {"moved", "sealed"}
Anyone == LET up == {a \in Actors : Up(a)} IN IF up = {} THEN {} ELSE {CHOOSE a \in up : TRUE}

(* A name can be made beside claims/ in the directory of a. The seal does not keep out a client that still       *)
(* follows the moved directory: only what lies in claims/ is behind it.                                         *)
Path(a) == dir[a] = "live" \/ (Follow /\ Gone(a))

Init ==
    /\ dir = [a \in Actors |-> IF a[2] = 1 THEN "live" ELSE "none"]
    /\ proc = [a \in Actors |-> IF a[2] = 1 THEN "up" ELSE "none"]
    /\ names = {Name(None, 0)}
    /\ mine = [a \in Actors |-> 0]
    /\ db = FirstTerm
    /\ top = 0
    /\ used = [crashes |-> 0, zombies |-> 0, moves |-> 0]

Rename(src, dst) ==
    /\ src \in names
    /\ names' = (names \ {src}) \cup {dst}
    /\ top' = Max(top, dst.term)

(* The database was read before; whatever it has seen since came from a term that the ticket went through.      *)
Next1(term, seen) == IF Mutant = "same_term" THEN Max(term, 1)
                     ELSE IF Mutant = "ignores_db" THEN term + 1 ELSE Max(term, seen) + 1

Take(a) ==
    /\ Up(a) /\ Path(a)
    /\ dir[a] # "live" => used.moves < Moves
    /\ used' = IF dir[a] # "live" THEN [used EXCEPT !.moves = @ + 1] ELSE used
    /\ \E src \in names, seen \in FirstTerm..db :
        /\ src.who = None /\ Next1(src.term, seen) <= MaxTerm
        /\ Rename(src, Name(a, Next1(src.term, seen)))
    /\ UNCHANGED <<dir, proc, mine, db>>

(* From a peer that has the ticket and does not lead: its agent is gone, or the views do not change. Nothing    *)
(* here asks whether that is true.                                                                              *)
TakeFrom(a, b) ==
    /\ Up(a) /\ Path(a) /\ Path(b) /\ used.moves < Moves
    /\ \E src \in names, seen \in FirstTerm..db :
        /\ src.who = b /\ b # a /\ Next1(src.term, seen) <= MaxTerm
        /\ Rename(src, Name(a, Next1(src.term, seen)))
    /\ used' = [used EXCEPT !.moves = @ + 1]
    /\ UNCHANGED <<dir, proc, mine, db>>

Look(a) ==
    /\ Up(a)
    /\ \E n \in names : n.who = a /\ mine[a] # n.term /\ mine' = [mine EXCEPT ![a] = n.term]
    /\ UNCHANGED <<dir, proc, names, db, top, used>>

(* One transaction: it reads the term and writes. A zombie may still try.                                       *)
Write(a) ==
    /\ Up(a) /\ mine[a] # 0
    /\ mine[a] >= db \/ Mutant = "unchecked_db"
    /\ db' = mine[a]
    /\ UNCHANGED <<dir, proc, names, mine, top, used>>

Resign(a) ==
    /\ Up(a) /\ Path(a) /\ used.moves < Moves
    /\ \E n \in names : n.who = a /\ Rename(n, Name(None, n.term))
    /\ used' = [used EXCEPT !.moves = @ + 1]
    /\ UNCHANGED <<dir, proc, mine, db>>

Evict(b, a) ==
    /\ Up(b) /\ dir[a] = "live"
    /\ Up(a) => used.zombies < Zombies
    /\ dir' = [dir EXCEPT ![a] = "moved"]
    /\ used' = IF Up(a) THEN [used EXCEPT !.zombies = @ + 1] ELSE used
    /\ UNCHANGED <<proc, names, mine, db, top>>

(* Tombstones are looked at as well.                                                                            *)
Sweep(b, a) ==
    /\ Up(b) /\ (dir[a] = "moved" \/ (dir[a] = "sealed" /\ Mutant # "sealed_is_over"))
    /\ \E n \in names : n.who = a /\ Rename(n, Name(None, n.term))
    /\ UNCHANGED <<dir, proc, mine, db, used>>

(* rmdir claims/, after the leader's ticket was moved.                                                          *)
Seal(b, a) ==
    /\ Up(b) /\ dir[a] = "moved"
    /\ \A n \in names : n.who # a
    /\ dir' = [dir EXCEPT ![a] = "sealed"]
    /\ UNCHANGED <<proc, names, mine, db, top, used>>

Rejoin(p, n) ==
    /\ Gone(<<p, n>>) /\ n < Lives /\ dir[<<p, n + 1>>] = "none"
    /\ dir' = [dir EXCEPT ![<<p, n + 1>>] = "live"]
    /\ proc' = [proc EXCEPT ![<<p, n + 1>>] = "up"]
    /\ UNCHANGED <<names, mine, db, top, used>>

Crash(a) ==
    /\ Up(a) /\ used.crashes < Crashes
    /\ proc' = [proc EXCEPT ![a] = "dead"]
    /\ mine' = [mine EXCEPT ![a] = 0]
    /\ used' = [used EXCEPT !.crashes = @ + 1]
    /\ UNCHANGED <<dir, names, db, top>>

Restart(a) ==
    /\ proc[a] = "dead"
    /\ proc' = [proc EXCEPT ![a] = "up"]
    /\ UNCHANGED <<dir, names, mine, db, top, used>>

Next ==
    \/ \E a \in Actors : Take(a) \/ Look(a) \/ Write(a) \/ Resign(a) \/ Crash(a) \/ Restart(a)
    \/ \E b \in Anyone, a \in Actors : Evict(b, a) \/ Sweep(b, a) \/ Seal(b, a)
    \/ \E a, b \in Actors : TakeFrom(a, b)
    \/ \E p \in Peers, n \in 1..Lives : Rejoin(p, n)

Spec == Init /\ [][Next]_vars

-------------------------------------------------------------------------------
OneTicket == Cardinality(names) = 1

OneLeader == \A a, b \in Actors : a # b /\ mine[a] # 0 => mine[a] # mine[b]

TermsRise == \A n \in names : n.term = top
DatabaseRises == [][db' >= db]_db
HandsRaise == [][\A n \in names' \ names : n.who # None => n.term > top]_names

-------------------------------------------------------------------------------
Living(a) == Up(a) /\ dir[a] = "live"

Useful ==
    \/ \E b \in Actors : Living(b) /\
        \/ Take(b) \/ Look(b) \/ (Write(b) /\ db # mine[b])
        \/ \E a \in Actors : (proc[a] = "dead" /\ Evict(b, a)) \/ Sweep(b, a) \/ Seal(b, a)
    \/ \E p \in Peers, n \in 1..Lives : Up(<<p, n>>) /\ Rejoin(p, n)

FairSpec == Spec /\ WF_vars(Useful)

(* What a zombie took along into its tombstone comes back.                                                      *)
NotBuried == \A a \in Actors : (dir[a] = "sealed" /\ \E n \in names : n.who = a) ~> ~ \E n \in names : n.who = a

(* In the end a living peer leads, and the database takes what it writes.                                       *)
Led == <>[](\E a \in Actors, n \in names : Living(a) /\ n.who = a /\ mine[a] = n.term /\ db = n.term)
NothingCut == top < MaxTerm
=============================================================================
