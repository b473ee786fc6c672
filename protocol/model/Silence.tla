------------------------------- MODULE Silence -------------------------------
(* Judging a silent peer of another machine: only its heartbeat is seen, and only as observed. Its number did    *)
(* not change from look to look for Ttl of one's own clock, no two looks further apart than Gap; then the        *)
(* heartbeat is challenged (beat~<seq> -> beat~<seq>~<by>); a challenge that stands for Patience, whoever made    *)
(* it, is proof, once it was settled that it was not answered.                                                  *)
(*                                                                                                              *)
(* Time passes in ticks for all clocks alike. The peer beats when it is due, as long as the server answers and   *)
(* it is not stopped. An observer owes nothing: it may be frozen at any time for as long as it likes.            *)
EXTENDS Naturals, FiniteSets, TLC

CONSTANTS
    Observers,
    Interval,       \* ticks between two heartbeats
    Ttl, Gap, Looks, Patience,  \* 3 intervals, 1.5 intervals, 3 looks, a part of an interval
    Stalls,         \* times that the server stops answering, for any while
    Pauses,         \* times that the watched peer is stopped, for any while
    StaleLooks,     \* looks that show the past; 99: any number
    Settle,         \* the challenge is renamed back to settle whether it was answered; else the last look does
    Crashes,        \* observers that crash
    Regular,        \* observers do on every tick what they can (for liveness)
    Mutant

VARIABLES
    alive, paused, silent,  \* the watched peer: runs, is stopped, ticks since its last beat
    evicted,
    server,                 \* "up", "stalled"
    mark,                   \* who challenged the present heartbeat, "none" if nobody
    obs,                    \* of each observer, what it knows and counts
    wrong,                  \* somebody was judged dead who had answered the challenge
    used

vars == <<alive, paused, silent, evicted, server, mark, obs, wrong, used>>

Most == IF Mutant \in {"own_stall", "until_now"} THEN Ttl ELSE Gap + 1     \* no need to count a gap further
Cap(n, m) == IF n > m THEN m ELSE n

(* phase   "watch", "sure" (it will evict), "dead" (the observer is)                                            *)
(* span    own ticks from the first look at this number to the last                                             *)
(* gap     own ticks since the last look          looks   how many looks showed this number                     *)
(* beaten  the peer has beaten since the number was seen that this observer compares with                       *)
(* mark    the challenger as last seen            stands  own ticks that this challenge was seen to stand       *)
(* fresh   it may look once in a tick                                                                           *)
Anew(m) == [phase |-> "watch", span |-> 0, gap |-> 0, looks |-> 1, beaten |-> FALSE, mark |-> m, stands |-> 0,
            fresh |-> FALSE]

Init ==
    /\ alive = TRUE /\ paused = FALSE /\ silent = 0
    /\ evicted = FALSE /\ server = "up" /\ mark = "none" /\ wrong = FALSE
    /\ obs = [q \in Observers |-> Anew("none")]
    /\ used = [stalls |-> 0, pauses |-> 0, stale |-> 0, crashes |-> 0]

(* A silence counts from look to look, never up to now: after a gap "now" says nothing.                         *)
Seen(o) == IF Mutant = "until_now" THEN o.span + o.gap ELSE o.span
Proven(o) == Seen(o) >= Ttl /\ o.looks >= Looks

(* As long as a challenge stands nobody makes another: else two observers take it from each other for ever.     *)
MayChallenge(q) == LET o == obs[q] IN
    o.phase = "watch" /\ Proven(o)
    /\ (o.mark = "none" \/ (Mutant = "own_challenge" /\ o.mark # q))

MayJudge(q) == LET o == obs[q] IN
    o.phase = "watch" /\ Proven(o) /\ o.mark # "none" /\ o.stands >= Patience
    /\ (Mutant \in {"own_challenge", "number_only"} => o.mark = q)

Owes(q) == Regular /\ server = "up" /\ LET o == obs[q] IN
    (o.fresh /\ o.phase = "watch") \/ MayChallenge(q) \/ MayJudge(q) \/ o.phase = "sure"

Due == alive /\ ~ paused /\ server = "up" /\ silent >= Interval

Tick ==
    /\ ~ evicted /\ ~ Due /\ ~ \E q \in Observers : Owes(q)
    /\ silent' = IF alive THEN Cap(silent + 1, Interval) ELSE 0
    /\ obs' = [q \in Observers |-> [obs[q] EXCEPT !.gap = Cap(@ + 1, Most), !.fresh = TRUE]]
    /\ UNCHANGED <<alive, paused, evicted, server, mark, wrong, used>>

(* The next number, from the plain or the challenged name.                                                      *)
Beat ==
    /\ alive /\ ~ paused /\ server = "up" /\ ~ evicted /\ silent > 0
    /\ silent' = 0
    /\ mark' = "none"
    /\ obs' = [q \in Observers |-> [obs[q] EXCEPT !.beaten = TRUE]]
    /\ UNCHANGED <<alive, paused, evicted, server, wrong, used>>

-------------------------------------------------------------------------------
(* What is there is what it saw last.                                                                           *)
Same(o) == ~ o.beaten /\ o.mark = mark

Goes(o) == o.gap <= Gap \/ Mutant = "own_stall"
On(o) == [o EXCEPT !.span = Cap(@ + o.gap, Ttl), !.looks = Cap(@ + 1, Looks), !.gap = 0, !.fresh = FALSE]

Look(q) ==
    LET o == obs[q] IN
    /\ server = "up" /\ o.fresh /\ o.phase = "watch"
    /\ \E stale \in BOOLEAN :
        /\ stale => ~ Same(o) /\ (StaleLooks = 99 \/ used.stale < StaleLooks)
        /\ used' = IF stale /\ StaleLooks # 99 THEN [used EXCEPT !.stale = @ + 1] ELSE used
        /\ obs' = [obs EXCEPT ![q] =
            IF Goes(o) /\ (stale \/ Same(o))
            THEN [On(o) EXCEPT !.stands = IF o.mark = "none" THEN 0 ELSE Cap(@ + o.gap, Patience)]
            ELSE IF Goes(o) /\ ~ o.beaten THEN [On(o) EXCEPT !.mark = mark, !.stands = 0]
            ELSE IF stale THEN [Anew(o.mark) EXCEPT !.beaten = o.beaten]
            ELSE Anew(mark)]
    /\ UNCHANGED <<alive, paused, silent, evicted, server, mark, wrong>>

(* ENOENT: it lives, or another one challenged it.                                                              *)
Challenge(q) ==
    LET o == obs[q]
        from == IF Mutant = "number_only" THEN "none" ELSE o.mark
    IN
    /\ server = "up" /\ MayChallenge(q)
    /\ IF ~ o.beaten /\ mark = from
       THEN /\ mark' = q
            /\ obs' = [obs EXCEPT ![q].mark = q, ![q].stands = 0, ![q].gap = 0]
       ELSE /\ obs' = [obs EXCEPT ![q] = Anew(mark)]
            /\ UNCHANGED mark
    /\ UNCHANGED <<alive, paused, silent, evicted, server, wrong, used>>

(* The challenge stood. Where a look may be old, renaming it back to the plain name settles whether it was       *)
(* answered: ENOENT, then it was, or another settles it.                                                        *)
Judge(q) ==
    LET o == obs[q]
        there == ~ o.beaten /\ mark = o.mark
        goes == there \/ ~ Settle \/ Mutant = "look_settles"
    IN
    /\ server = "up" /\ MayJudge(q)
    /\ obs' = [obs EXCEPT ![q] = IF goes THEN [@ EXCEPT !.phase = "sure"] ELSE Anew(mark)]
    /\ mark' = IF there /\ Settle THEN "none" ELSE mark
    /\ wrong' = (wrong \/ (goes /\ o.beaten))
    /\ UNCHANGED <<alive, paused, silent, evicted, server, used>>

Evict(q) ==
    /\ server = "up" /\ obs[q].phase = "sure"
    /\ evicted' = TRUE
    /\ UNCHANGED <<alive, paused, silent, server, mark, obs, wrong, used>>

-------------------------------------------------------------------------------
Stall ==
    /\ server = "up" /\ used.stalls < Stalls /\ ~ evicted
    /\ server' = "stalled"
    /\ used' = [used EXCEPT !.stalls = @ + 1]
    /\ UNCHANGED <<alive, paused, silent, evicted, mark, obs, wrong>>

Recover ==
    /\ server = "stalled" /\ server' = "up"
    /\ UNCHANGED <<alive, paused, silent, evicted, mark, obs, wrong, used>>

Pause ==
    /\ alive /\ ~ paused /\ used.pauses < Pauses
    /\ paused' = TRUE
    /\ used' = [used EXCEPT !.pauses = @ + 1]
    /\ UNCHANGED <<alive, silent, evicted, server, mark, obs, wrong>>

Continue ==
    /\ paused /\ paused' = FALSE
    /\ UNCHANGED <<alive, silent, evicted, server, mark, obs, wrong, used>>

Die ==
    /\ alive /\ alive' = FALSE /\ silent' = 0 /\ paused' = FALSE
    /\ UNCHANGED <<evicted, server, mark, obs, wrong, used>>

CrashObserver(q) ==
    /\ used.crashes < Crashes /\ obs[q].phase # "dead"
    /\ obs' = [obs EXCEPT ![q] = [Anew("none") EXCEPT !.phase = "dead"]]
    /\ used' = [used EXCEPT !.crashes = @ + 1]
    /\ UNCHANGED <<alive, paused, silent, evicted, server, mark, wrong>>

Observe == \E q \in Observers : Look(q) \/ Challenge(q) \/ Judge(q) \/ Evict(q)

Next ==
    \/ Tick \/ Beat \/ Observe \/ Stall \/ Recover \/ Pause \/ Continue \/ Die
    \/ \E q \in Observers : CrashObserver(q)

Spec == Init /\ [][Next]_vars

-------------------------------------------------------------------------------
(* A peer that runs is not evicted for silence, whatever the server and the observer suffered.                  *)
OnlyTheDead == (used.pauses = 0 /\ evicted) => ~ alive

(* One that was stopped is not judged dead after it answered the challenge.                                     *)
AnswerCounts == wrong = FALSE

(* Time goes on, observers look. Even if a challenger crashes after its challenge, the dead are found.          *)
FairSpec == Spec /\ WF_vars(Tick) /\ WF_vars(Beat) /\ WF_vars(Recover)
    /\ \A q \in Observers : WF_vars(Look(q)) /\ WF_vars(Challenge(q)) /\ WF_vars(Judge(q)) /\ WF_vars(Evict(q))

DeadIsEvicted == ~ alive ~> evicted
=============================================================================
