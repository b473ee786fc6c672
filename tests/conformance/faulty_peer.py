#!/usr/bin/env python3
"""This project's peer with one fault: ``faulty_peer.py FAULT WORD …``. The suite must notice each of them.

Faults that it notices in the peer written in sh are not repeated here: see ``BREAKS`` in ``test_conformance.py``.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2] / "protocol" / "conformance"))

import python_peer
from simulation.mutants import planted

from peercoord.agent.monitor import Observation, Observer
from peercoord.membership import liveness, membership
from peercoord.membership.liveness import DEAD, Verdict
from peercoord.queue.progress import Reports
from peercoord.queue.queue import Queue
from peercoord.queue.recovery import Janitor
from peercoord.store import paths, records
from peercoord.store.files import Files
from peercoord.store.paths import Ticket
from peercoord.system import process
from peercoord.system.disk import Disk


def flushes_nothing() -> None:
    """CMP-2: the result may be empty after a power cut."""
    create = Disk.create
    Disk.create = lambda self, path, data, durable: create(self, path, data, False)  # type: ignore[method-assign]


def flushes_no_directory() -> None:
    """ASM-6: the result may have no name after a power cut."""
    Disk.sync = lambda self, path: None  # type: ignore[method-assign]


def makes_its_claims_again() -> None:
    """OPS-3: a zombie raises itself."""
    move = Files.move

    def making(self: Files, source: str, target: str, make_home: bool = False) -> bool:
        if target.startswith(f"{paths.PEERS}/") and target.count("/") > 1:
            os.makedirs(os.path.join(self.disk.root, os.path.dirname(target)), exist_ok=True)  # type: ignore[attr-defined]
        return move(self, source, target, make_home)

    Files.move = making  # type: ignore[method-assign]


def speaks_over_the_holder() -> None:
    """END-4: what is written on behalf of another takes the place of what that one wrote."""
    write = Janitor.write_result

    def over(self: Janitor, ticket: Ticket, who: Any, outcome: str, reason: str) -> None:
        self.files.remove(paths.result(ticket.task, ticket.epoch, outcome))
        write(self, ticket, who, outcome, reason)

    Janitor.write_result = over  # type: ignore[method-assign]


def writes_the_result_of_what_has_one() -> None:
    """CMP-4, END-4: a sweeper writes the result of a completed task again."""
    speaks_over_the_holder()
    finish = Janitor.finish

    def noting(self: Janitor, path: str, ticket: Ticket, who: Any) -> None:
        self.write_result(ticket, who, "done", "its result was lost in a crash")
        finish(self, path, ticket, who)

    Janitor.finish = noting  # type: ignore[method-assign]


def answers_for_every_life_of_its_name() -> None:
    """CMP-3: who completed the task under this name before is taken for this peer."""
    found = Queue.result

    def mine(self: Queue, task: str) -> Any:
        last = found(self, task)
        living = [str(one) for one in membership.living(self.root) if one.peer == self.actor]
        return last and living and (*last[:2], {**last[2], "incarnation": living[0]})

    Queue.result = mine  # type: ignore[method-assign]


def is_content_with_any_result() -> None:
    """CMP-4, INV-6: a result of an earlier epoch stands for a task that was reopened since."""
    listed = Files.listed

    def any_of_it(self: Files, path: str) -> bool:
        home, _, name = path.rpartition("/")
        if home.startswith(f"{paths.RESULTS}/") and name.endswith(".done.json"):
            return any(one.startswith(f"{name.partition('~')[0]}~") and ".done" in one for one in self.scan(home))
        return listed(self, path)

    Files.listed = any_of_it  # type: ignore[method-assign]


# -- adding, placing, changing -----------------------------------------------------------------------------------


def forgets_what_it_worked_on() -> None:
    """RPT-5: who comes back is not offered its work first."""
    Reports.interrupt = lambda *_: None  # type: ignore[method-assign]


def removes_tickets_without_a_birth() -> None:
    """ADD-4: the ticket of an adder that is only slow."""
    settle = Janitor.finish_new

    def removing(self: Janitor) -> None:
        settle(self)
        for name in self.files.scan(paths.NEW):
            self.files.remove(f"{paths.NEW}/{name}")

    Janitor.finish_new = removing  # type: ignore[method-assign]


def rebuilds_beside_a_quarantined_copy() -> None:
    """PLC-6: a person's edit is undone silently."""
    Queue._quarantined_copy = lambda *_: ""  # type: ignore[method-assign]


def leaves_what_cannot_be_read() -> None:
    """FMT-3: it is not quarantined."""
    Queue._quarantine = lambda *_: None  # type: ignore[method-assign]


def leaves_an_edited_ticket() -> None:
    """CHG-2: the ticket stays where it was before the edit."""
    Queue.place_again = Queue.find  # type: ignore[method-assign]


def drops_an_unknown_key() -> None:
    """VER-3: what a person wrote into a definition is lost."""
    encode = records.encode_stored
    records.encode_stored = lambda record: encode({key: record[key] for key in record if key != "mood"})


def overlooks_edits() -> None:
    """CHG-5, TDY-3: what a person changed with an editor counts at the next claim only."""
    Janitor._place_edited = lambda *_: None  # type: ignore[method-assign]


def reopens_at_the_epoch_it_sees() -> None:
    """CHG-4: an epoch is given out that a result has."""
    Queue.highest_epoch = lambda self, task, epoch: epoch  # type: ignore[method-assign]


def parks_without_a_reason_on_a_full_disk() -> None:
    """END-1: a ticket that cannot be parked does not come back."""
    move = Files.move

    def keeping(self: Files, source: str, target: str, make_home: bool = False) -> bool:
        back = source.startswith(f"{paths.PARKED}/") and target.startswith(f"{paths.PEERS}/")
        return not back and move(self, source, target, make_home)

    Files.move = keeping  # type: ignore[method-assign]


# -- leading and judging -----------------------------------------------------------------------------------------


def settles_no_challenge() -> None:
    """LIV-7: the answer may be on its way."""
    Observer._withdraw_challenge = lambda *_: True  # type: ignore[method-assign]


def challenges_what_is_challenged() -> None:
    """LIV-7: two observers take the challenge from each other for ever."""

    def again(self: Observer, who: Any, silence: Any) -> None:
        home = paths.peer_dir(who)
        old = paths.beat(home, silence.number, silence.challenger) if silence.challenger else ""
        if self.files.move(old or paths.beat(home, silence.number), paths.beat(home, silence.number, self.me)):
            silence.challenger, silence.challenged_at = self.me, self.root.clock.monotonic()

    Observer._challenge = again  # type: ignore[method-assign]


def counts_from_the_first_look() -> None:
    """LIV-4: a new number does not end the silence."""
    sight = Observer.observe
    first: dict[Any, float] = {}

    def since(self: Observer, who: Any) -> Observation:
        seen = sight(self, who)
        if time.monotonic() - first.setdefault(who, time.monotonic()) > 2:
            seen.verdict, seen.gone = Verdict(DEAD, "it was looked at for long"), True
        return seen

    Observer.observe = since  # type: ignore[method-assign]


def counts_while_it_was_stopped() -> None:
    """LIV-4: a gap between two looks counts as silence."""
    look = liveness.Stillness.look
    liveness.Stillness.look = lambda self, now, value, gap: look(self, now, value, 1e9)  # type: ignore[method-assign]


def believes_the_time_of_a_heartbeat() -> None:
    """LIV-1: a time that another machine wrote is compared with the own clock."""
    sight = Observer.observe

    def timed(self: Observer, who: Any) -> Observation:
        seen = sight(self, who)
        beat = self.files.stat(f"{paths.peer_dir(who)}/beat~0")
        if beat and time.time() - beat.modified_ns / 1e9 > 900:
            seen.verdict, seen.gone = Verdict(DEAD, "its heartbeat is old"), True
        return seen

    Observer.observe = timed  # type: ignore[method-assign]


def judges_processes_of_every_machine() -> None:
    """LIV-3: a pid of another machine is looked up on this one."""
    liveness.elsewhere = lambda record, here: None


def knows_a_process_by_its_pid() -> None:
    """LIV-2: a pid that was given out again."""
    process.running = lambda one: os.path.exists(f"/proc/{one['pid']}")


def overlooks_sessions() -> None:
    """LIV-8: a peer that waits for a person is dead."""
    Observer._session_runs = lambda *_: False  # type: ignore[method-assign]


def looks_once_before_it_joins() -> None:
    """MBR-3: of two that join at once, both stay."""
    others = membership._others
    membership._others = lambda root, me: [] if str(me) in root.files.scan(paths.PEERS) else others(root, me)


FAULTS = {
    flushes_nothing: "flushes_the_result_before_it_decides",
    flushes_no_directory: "flushes_the_result_before_it_decides",
    makes_its_claims_again: "makes_no_directory_of_a_peer_again",
    speaks_over_the_holder: "overwrites_no_word_of_the_holder",
    writes_the_result_of_what_has_one: "overwrites_no_word_of_the_holder",
    answers_for_every_life_of_its_name: "does_not_answer_for_an_earlier_life",
    is_content_with_any_result: "finishes_with_a_result_at_this_very_epoch",
    forgets_what_it_worked_on: "leaves_its_work_as_interrupted",
    removes_tickets_without_a_birth: "finishes_what_was_being_added",
    rebuilds_beside_a_quarantined_copy: "rebuilds_a_definition_unless_one_is_quarantined",
    leaves_what_cannot_be_read: "sets_aside_a_definition_that_cannot_be_read",
    leaves_an_edited_ticket: "edits_a_task_and_places_it",
    drops_an_unknown_key: "edits_a_task_and_places_it",
    overlooks_edits: "places_again_what_a_person_edited",
    reopens_at_the_epoch_it_sees: "reopens_at_the_highest_epoch",
    parks_without_a_reason_on_a_full_disk: "keeps_what_it_cannot_park_on_a_full_disk",
    settles_no_challenge: "evicts_who_is_silent_and_answers_no_challenge",
    challenges_what_is_challenged: "settles_the_challenge_of_another_before_it_evicts",
    counts_from_the_first_look: "spares_who_beats",
    counts_while_it_was_stopped: "counts_no_silence_while_it_was_stopped",
    believes_the_time_of_a_heartbeat: "believes_no_clock_but_its_own",
    judges_processes_of_every_machine: "judges_no_process_of_another_machine",
    knows_a_process_by_its_pid: "takes_no_later_process_for_the_recorded_one",
    overlooks_sessions: "never_evicts_for_silence_who_is_seen_running",
    looks_once_before_it_joins: "sees_who_joined_after_its_look",
}
"""Each fault, and the check that must notice it."""
MUTANTS = {
    "placement_without_the_second_look": "looks_again_after_it_made_a_task_wait",
    "a_claim_counts_under_two_names": "claims_nothing_that_has_another_name",
    "silence_without_a_challenge": "evicts_who_is_silent_and_answers_no_challenge",
}
"""Faults that the simulator knows too."""

if __name__ == "__main__":
    for fault in FAULTS:
        if fault.__name__ == sys.argv[1]:
            fault()
    with planted(sys.argv[1] if sys.argv[1] in MUTANTS else ""):
        sys.exit(python_peer.main(sys.argv[2:]))
