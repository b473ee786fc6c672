"""The memory bank on disk: what a file of ``stories/`` cannot show."""

from __future__ import annotations

import errno
import json

import pytest
from memory.banks import ANN, PLACE, Below, Scene, check_chain, litter, merge, places
from memory.helpers import LIMITS, TECH, note, text_of
from support.memory import refuse

from peercoord.errors import NotFoundError
from peercoord.memory.document import path_text
from peercoord.queue.retention import TMP_SECONDS
from peercoord.store import paths, records

NAME = "techContext.md"
TOOLS = ("Tech context", "Tools")

pytestmark = pytest.mark.usefixtures("shared")


def test_a_settled_contribution_queued_again_is_not_merged(scene: Scene) -> None:
    """MEM-7."""
    one = note("- a fact")
    scene.add(one)
    scene.merge()
    path = paths.contribution("queued", one.id)
    scene.disk.create(path, records.encode(one.raw), False)
    scene.write(TECH)
    scene.merge()
    assert scene.document() == TECH
    assert places(scene) == {one.id: "merged"}


def test_what_was_merged_meanwhile_is_not_rejected(scene: Scene) -> None:
    one = note("- a fact")
    scene.add(one)
    scene.merge()
    scene.bank().store.reject(one.id, "withdrawn", "too late", "instance-1")
    assert places(scene) == {one.id: "merged"}
    assert scene.bank().store.rejection(one.id) == {}


def test_folders_and_hard_links_are_not_needed(scene: Scene) -> None:
    """The folder of merged contributions is created; without hard links a new document is renamed into place."""

    class NoLinks(Below):
        def link(self, source: str, target: str) -> None:
            raise refuse(errno.EPERM, target)

    scene.disk.rmdir(paths.contribution("merged", "x").rpartition("/")[0])
    one, two = note("- now", (), document="activeContext.md"), note("- a fact")
    scene.add(one, two)
    bank = scene.bank(kind=NoLinks)
    assert len(bank.store.queued()) == 2
    assert bank.store.merged([one.id]) == {}, "what is queued is not merged"
    merge(bank)
    assert scene.document("activeContext.md") == b"- now\n"
    assert places(scene) == {one.id: "merged", two.id: "merged"}


def test_a_broken_record_is_set_aside_and_the_others_go_on(scene: Scene) -> None:
    one = note("- a fact")
    scene.add(one)
    for name in ("c-broken", "c-other"):
        scene.disk.create(paths.contribution("queued", name), b'{"id": "c-elsewhere"}', False)
    for path in (paths.contribution("candidates", "k-broken"), paths.entry(NAME, "e-0123456789abcdef")):
        scene.world.files.put(path, b'{"id": "half', durable=False)
    scene.disk.mkdir(paths.entry(NAME, "e-fedcba9876543210"))  # a folder in an entry's place
    scene.merge()
    assert places(scene) == {one.id: "merged"}
    assert len([p for p in scene.disk.files() if p.startswith("quarantine/") and not p.endswith(".why")]) == 4
    assert paths.entry(NAME, "e-fedcba9876543210") not in scene.disk.folders()


def test_a_document_that_is_not_text_is_left_alone_and_hides_no_other(scene: Scene) -> None:
    """MEM-13."""
    scene.add(note("- now", (), document="activeContext.md"))
    scene.merge()
    scene.write(b"\xff\xfe", "activeContext.md")
    scene.disk.mkdir(f"{paths.LEDGER}/not a document")
    scene.add(note("- x", (), document="activeContext.md", time=1), note("- a fact"))
    found = {one.document: one for one in scene.merge()}
    assert "UTF-8" in found["activeContext.md"].note
    assert found[NAME].applied
    assert scene.document("activeContext.md") == b"\xff\xfe"


def test_without_the_bank_nothing_is_merged_and_nothing_made(scene: Scene) -> None:
    """MEM-17: its branch is not checked out, or its filesystem not mounted."""
    scene.disk.rename(PLACE, "elsewhere")
    scene.add(note("- a fact"))
    with pytest.raises(NotFoundError, match="not there"):
        scene.merge()
    assert PLACE not in scene.disk.folders()
    scene.disk.rename("elsewhere", PLACE)
    scene.merge()
    assert (scene.document() or b"").count(b"- a fact") == 1


def test_very_many_are_merged_in_several_entries(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peercoord.memory.merging.MOST", 4)
    ones = [note(f"- fact {number}", time=number) for number in range(10)]
    scene.add(*ones)
    assert [len(one.applied) for one in scene.merge()] == [4, 4, 2]
    entries, kept = scene.bank().entries(NAME), scene.bank().store.texts
    check_chain(entries)
    assert kept.keys() >= {edit.after for entry in entries for edit in entry.edits}
    assert text_of(scene.document() or b"", *LIMITS).endswith("- fact 8\n- fact 9")


def test_a_decision_says_who_decided_and_an_unchanged_candidate_keeps_its_age(scene: Scene) -> None:
    """MEM-16."""
    scene.add(note("- careful", critical=True))
    scene.merge()
    (waits,) = scene.bank().waiting()
    scene.merge()
    assert scene.bank().waiting(NAME) == [waits]
    assert scene.bank().waiting("progress.md") == []
    entry = scene.bank().approve(waits.candidate.id, waits.candidate.takes["right"], ANN)
    record = scene.bank().store.decision(entry.id)
    assert (record["what"], record["by"], record["source"]) == ("approve", "ann", {"host": "h", "pid": 1})


def test_what_is_no_merge_cannot_be_undone(scene: Scene) -> None:
    with pytest.raises(NotFoundError, match="no merge"):
        scene.bank().undo("e-0123456789abcdef", ANN)


def test_litter_beside_the_documents_is_cleared_when_it_is_old(scene: Scene) -> None:
    scene.disk.create(f"{PLACE}/.peercoord-old", b"half", False)
    scene.merge()
    assert litter(scene) == [f"{PLACE}/.peercoord-old"]
    scene.disk.ticks += (TMP_SECONDS + 1) * 10**9
    scene.merge()
    assert litter(scene) == []


def test_a_merge_writes_an_event_for_each_document(scene: Scene) -> None:
    one = note("- a fact")
    scene.add(one)
    scene.merge()
    lines = scene.disk.files()["events/leader.jsonl"].splitlines()
    (event,) = [raw for raw in map(json.loads, lines) if raw["event"] == "merged"]
    assert (event["file"], event["sections"], event["contributions"]) == (NAME, [path_text(LIMITS)], [one.id])
