"""Agents and the memory bank: from a file in one worktree to the document that all of them read."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

import pytest
from agent.crew import Crew, until
from support.faults import Counting

from peercoord.memory import runner
from peercoord.memory.bank import Bank, Decider
from peercoord.store import paths
from peercoord.store.files import Files
from peercoord.store.root import Root
from peercoord.system import clock
from peercoord.system.disk import Disk

Team = Callable[..., Crew]
TECH = "# Tech context\n\n## Limits\n\nUploads are at most 5 MB.\n"


def bank_of(crew: Crew) -> Bank:
    place = crew.project / paths.BANK
    if not place.exists():
        place.mkdir()
        (place / "techContext.md").write_text(TECH)
    return runner.bank_of(crew.root)


def put(crew: Crew, name: str, file: str, text: str) -> None:
    (crew.tree(name) / paths.INSTANCE / "memory-contributions" / file).write_text(text)


@pytest.mark.slow
def test_a_file_in_one_worktree_stands_in_the_bank_and_every_agent_collects_its_own(team: Team) -> None:
    crew = team(merge_seconds=1)
    bank_of(crew)
    for name in ("one", "two"):
        crew.agent(name)
        put(crew, name, "techContext-additions.md", f"## Limits\n\n- said by {name}\n")
    document = crew.project / paths.BANK / "techContext.md"
    until(lambda: all(f"- said by {n}\n" in document.read_text() for n in ("one", "two")), what="both merged")
    assert document.read_text().count("- said by") == 2
    progress = crew.project / paths.BANK / "progress.md"
    until(lambda: progress.exists() and "| two |" in progress.read_text(), what="the kept section")
    focus = crew.project / paths.BANK / "activeContext.md"
    until(lambda: focus.exists() and "Current focus of all instances" in focus.read_text(), what="the focus")
    assert len(crew.events("contributed")) == 2

    def told() -> set[str]:
        return {ident for event in crew.events("merged") for ident in event["contributions"]}

    until(lambda: len(told()) == 2, what="an event for what was merged")
    assert "Traceback" not in crew.log("one") + crew.log("two")


def test_a_merge_reads_tasks_only_for_a_document_that_tells_of_them(team: Team) -> None:
    crew = team()
    bank_of(crew)
    subprocess.run(["git", "init", "-q", str(crew.project)], check=True)
    disk = Counting(Disk(str(crew.state)))
    disk.root = str(crew.state)  # type: ignore[attr-defined]
    root = Root(Files(disk, clock.token), crew.root.protocol)

    def read() -> set[str]:
        disk.calls.clear()
        runner.run(root, "one")
        return {call.path for call in disk.calls if call.path.startswith(paths.TASKS)}

    assert not read(), "git would show a new progress.md, so there will be none"
    document = crew.project / paths.BANK / "progress.md"
    document.write_text("# Progress\n")
    os.utime(document, (1, 1))
    assert paths.definition("1") in read()
    assert "Progress of all instances" in document.read_text()


@pytest.mark.slow
def test_a_decision_brings_on_at_once_what_waits_behind_it(team: Team) -> None:
    crew = team(merge_seconds=3600)
    bank = bank_of(crew)
    for name, size in (("one", 8), ("two", 6)):
        words = ("--file", "techContext.md", "--section", "Limits", "--type", "update", "--content", f"{size} MB.")
        assert crew.call(name, "update-memory", *words)[0] == 0
    crew.call("one", "update-memory", "--file", "techContext.md", "--section", "Limits", "--content", "- behind")
    crew.agent("one")
    (waits,) = until(bank.waiting, what="the candidate, made by the leader's first merge")
    bank.approve(waits.candidate.id, waits.candidate.takes["right"], Decider("ann"))
    document = crew.project / paths.BANK / "techContext.md"
    until(lambda: "- behind" in document.read_text(), what="what waited behind the candidate")


def test_without_a_memory_bank_the_agent_has_nothing_to_say(team: Team) -> None:
    crew = team(merge_seconds=1)
    crew.agent("one")
    until(lambda: crew.leader() == "one")
    until(lambda: (crew.state / paths.STATE).exists())
    assert "memory" not in crew.log("one")
    assert not (crew.state / paths.MERGED).exists()
