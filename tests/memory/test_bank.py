"""The memory bank on disk: merge, decide, undo, and edits that people make meanwhile."""

from __future__ import annotations

import errno
import json

import pytest
from memory.banks import (
    ANN,
    PLACE,
    Below,
    Scene,
    always,
    check_chain,
    intents,
    litter,
    merge,
    places,
)
from memory.helpers import LIMITS, TECH, change, note, text_of
from support.memory import refuse

from peercoord.errors import LostError, NotFoundError
from peercoord.memory import news
from peercoord.memory.document import path_text
from peercoord.memory.journal import state_of
from peercoord.memory.progress_section import PeerLine, ProgressFacts
from peercoord.store import paths, records

NAME = "techContext.md"
TOOLS = ("Tech context", "Tools")


pytestmark = pytest.mark.usefixtures("shared")


class TestMerging:
    def test_it_merges_moves_and_writes_down(self, scene: Scene) -> None:
        """MEM-10: what is left is the document, the entry, its texts and the contributions."""
        one, two = note("- a fact"), note("- another", TOOLS, peer="instance-2", time=1)
        scene.add(one, two)
        (summary,) = scene.merge()
        assert set(summary.applied) == {one.id, two.id}
        document = scene.document() or b""
        assert "- a fact" in text_of(document, *LIMITS)
        (entry,) = scene.bank().entries(NAME)
        assert (entry.id, entry.kind, entry.by) == (summary.entry, "merge", "leader")
        assert (entry.before, entry.after) == (state_of(TECH), state_of(document))
        assert places(scene) == {one.id: "merged", two.id: "merged"}
        assert scene.bank().store.texts.keys() >= {edit.after for edit in entry.edits}
        assert (litter(scene), intents(scene)) == ([], [])

    def test_nothing_is_written_twice(self, scene: Scene) -> None:
        scene.add(note("- a fact"))
        scene.merge()
        before = scene.disk.files()
        assert scene.merge() == []
        scene.add(note("- a fact"))  # the same call, answered again
        assert scene.state("queued") == set()
        assert scene.merge() == []
        assert scene.disk.files() == before

    def test_a_settled_contribution_queued_again_is_not_merged(self, scene: Scene) -> None:
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

    def test_a_conflict_waits_and_what_comes_later_queues_behind_it(self, scene: Scene) -> None:
        left, right = change("8 MB."), change("6 MB.", peer="instance-2", time=1)
        behind, beside = note("- later", time=2), note("- beside", TOOLS, time=3)
        scene.add(left, right, behind, beside)
        (summary,) = scene.merge()
        (waits,) = scene.bank().waiting()
        assert (waits.state, waits.candidate.id) == ("candidates", summary.candidates[0])
        assert summary.waiting == [behind.id]
        assert places(scene) == {
            left.id: "candidate", right.id: "candidate", behind.id: "queued", beside.id: "merged",
        }  # fmt: skip
        assert scene.merge() == []
        assert scene.bank().waiting()[0].made_at == waits.made_at

    def test_critical_ones_go_to_approvals(self, scene: Scene) -> None:
        """MEM-6."""
        scene.add(note("- careful", critical=True))
        scene.merge()
        assert [one.state for one in scene.bank().waiting()] == ["approvals"]
        assert scene.bank().waiting("progress.md") == []

    def test_a_text_merged_while_its_file_was_edited_stands_once(self, scene: Scene) -> None:
        old = note("A first thought.")
        scene.add(old)
        scene.merge()
        new = note("A first thought.\n\nAnd a second.", time=1, supersedes=(old.id,))
        scene.add(new)
        scene.merge()
        assert (scene.document() or b"").count(b"A first thought.") == 1
        assert (scene.document() or b"").count(b"And a second.") == 1

    def test_what_is_not_merged_is_rejected_with_the_reason(self, scene: Scene) -> None:
        unfit, old = note("<!-- peercoord: progress -->\nmine"), note("- first thought")
        new = note("- second thought", time=1, supersedes=(old.id,))
        scene.add(unfit, old, new)
        assert scene.merge()[0].rejected == [unfit.id]
        assert places(scene) == {unfit.id: "rejected", old.id: "rejected", new.id: "merged"}
        assert "marks" in scene.bank().store.rejection(unfit.id)["reason"]
        assert scene.bank().store.rejection(old.id)["code"] == "superseded"
        assert b"first" not in (scene.document() or b"")

    def test_what_was_merged_meanwhile_is_not_rejected(self, scene: Scene) -> None:
        one = note("- a fact")
        scene.add(one)
        scene.merge()
        scene.bank().store.reject(one.id, "withdrawn", "too late", "instance-1")
        assert places(scene) == {one.id: "merged"}
        assert scene.bank().store.rejection(one.id) == {}

    def test_folders_and_hard_links_are_not_needed(self, scene: Scene) -> None:
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

    def test_capitals_do_not_make_another_document(self, scene: Scene) -> None:
        scene.add(note("- a fact", document="TECHCONTEXT.md"))
        scene.merge()
        assert scene.bank().documents() == [NAME]
        assert b"- a fact" in (scene.document() or b"")

    def test_a_broken_record_is_set_aside_and_the_others_go_on(self, scene: Scene) -> None:
        one = note("- a fact")
        scene.add(one)
        for name in ("c-broken", "c-other"):
            scene.disk.create(paths.contribution("queued", name), b'{"id": "c-elsewhere"}', False)
        for path in (paths.contribution("candidates", "k-broken"), paths.entry(NAME, "e-0123456789abcdef")):
            scene.world.files.put(path, b'{"id": "half', durable=False)
        scene.merge()
        assert places(scene) == {one.id: "merged"}
        assert len([p for p in scene.disk.files() if p.startswith("quarantine/") and not p.endswith(".why")]) == 4

    def test_a_document_that_is_not_text_is_left_alone(self, scene: Scene) -> None:
        """MEM-13."""
        scene.write(b"\xff\xfe", "notes.md")
        scene.add(note("- x", (), document="notes.md"), note("- a fact"))
        found = {one.document: one for one in scene.merge()}
        assert "UTF-8" in found["notes.md"].note
        assert found[NAME].applied
        assert scene.document("notes.md") == b"\xff\xfe"

    def test_a_document_that_cannot_be_read_hides_no_other(self, scene: Scene) -> None:
        scene.add(note("- now", (), document="activeContext.md"))
        scene.merge()
        scene.write(b"\xff\xfe", "activeContext.md")
        scene.disk.mkdir(f"{paths.LEDGER}/not a document")
        scene.add(note("- a fact"))
        scene.merge()
        assert b"- a fact" in (scene.document() or b"")

    def test_without_the_bank_nothing_is_merged_and_nothing_made(self, scene: Scene) -> None:
        scene.write(None)
        scene.disk.rmdir(PLACE)
        scene.add(note("- a fact"))
        with pytest.raises(NotFoundError, match="not there"):
            scene.merge()
        assert PLACE not in scene.disk.folders()

    def test_a_document_that_was_removed_is_not_made_again(self, scene: Scene) -> None:
        """MEM-17."""
        scene.add(note("- a fact"))
        scene.merge()
        whole = scene.document()
        scene.write(None)
        later = note("- later", time=5)
        scene.add(later)
        for _ in range(2):
            (summary,) = scene.merge()
            assert (summary.waiting, summary.changed) == ([later.id], False)
            assert scene.document() is None
        scene.write(whole)
        scene.merge()
        assert b"- later" in (scene.document() or b"")

    def test_very_many_are_merged_in_several_entries(self, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("peercoord.memory.merging.MOST", 4)
        ones = [note(f"- fact {number}", time=number) for number in range(10)]
        scene.add(*ones)
        assert [len(one.applied) for one in scene.merge()] == [4, 4, 2]
        check_chain(scene.bank().entries(NAME))
        assert text_of(scene.document() or b"", *LIMITS).endswith("- fact 8\n- fact 9")

    def test_only_the_documents_asked_for(self, scene: Scene) -> None:
        scene.add(note("- a"), note("- b", (), document="activeContext.md"))
        assert [one.document for one in scene.bank().merge("leader", always, ["activeContext.md"])] == [
            "activeContext.md"
        ]
        assert scene.document() == TECH


class TestDeciding:
    @pytest.fixture
    def waiting(self, scene: Scene) -> Scene:
        scene.add(change("8 MB."), change("6 MB.", peer="instance-2", time=1), note("- behind", time=2))
        scene.merge()
        return scene

    def test_approved_is_in_the_document_and_those_behind_follow(self, waiting: Scene) -> None:
        """MEM-16."""
        (waits,) = waiting.bank().waiting()
        entry = waiting.bank().approve(waits.candidate.id, waits.candidate.takes["both"], ANN)
        assert (entry.kind, entry.by) == ("decision", "ann")
        assert text_of(waiting.document() or b"", *LIMITS) == "8 MB.\n6 MB."
        record = waiting.bank().store.decision(entry.id)
        assert (record["what"], record["by"], record["source"]) == ("approve", "ann", {"host": "h", "pid": 1})
        assert waiting.bank().waiting() == []
        waiting.merge()
        assert set(places(waiting).values()) == {"merged"}
        check_chain(waiting.bank().entries(NAME))

    def test_keeping_what_stands_settles_it_too(self, waiting: Scene) -> None:
        (waits,) = waiting.bank().waiting()
        standing = text_of(TECH, *LIMITS)
        entry = waiting.bank().approve(waits.candidate.id, standing, ANN)
        assert entry.before == entry.after
        assert waiting.document() == TECH
        assert sorted(places(waiting).values()) == ["merged", "merged", "queued"]

    def test_a_rejection_keeps_its_reason(self, waiting: Scene) -> None:
        """MEM-16."""
        (waits,) = waiting.bank().waiting()
        waiting.bank().reject(waits.candidate.id, "neither is right", ANN)
        assert sorted(places(waiting).values()) == ["queued", "rejected", "rejected"]
        why = waiting.bank().store.rejection(waits.candidate.members[0])
        assert (why["code"], why["reason"], why["by"]) == ("decided", "neither is right", "ann")
        waiting.merge()
        assert sorted(places(waiting).values()) == ["merged", "rejected", "rejected"]

    def test_a_section_that_changed_since_is_not_decided_on(self, waiting: Scene) -> None:
        """MEM-9."""
        (waits,) = waiting.bank().waiting()
        waiting.write(TECH.replace(b"5 MB", b"7 MB"))
        with pytest.raises(LostError, match="changed since"):
            waiting.bank().approve(waits.candidate.id, "x", ANN)
        waiting.merge()
        (again,) = waiting.bank().waiting()
        assert again.candidate.id != waits.candidate.id
        assert again.candidate.members == waits.candidate.members[:1]
        assert list(places(waiting).values()).count("queued") == 2

    def test_what_waits_no_longer_cannot_be_decided_on(self, waiting: Scene) -> None:
        (waits,) = waiting.bank().waiting()
        waiting.bank().reject(waits.candidate.id, "", ANN)
        for decide in (waiting.bank().approve, waiting.bank().reject):
            with pytest.raises(NotFoundError, match="waits"):
                decide(waits.candidate.id, "x", ANN)


class TestUndo:
    def test_the_document_is_as_it_was(self, scene: Scene) -> None:
        """MEM-12: and what was undone is not merged again."""
        one = note("- a fact")
        scene.add(one)
        (summary,) = scene.merge()
        entry = scene.bank().undo(summary.entry, ANN)
        assert (entry.kind, entry.undoes) == ("undo", summary.entry)
        assert scene.document() == TECH
        assert scene.merge() == []
        assert places(scene) == {one.id: "merged"}
        with pytest.raises(LostError, match="before"):
            scene.bank().undo(summary.entry, ANN)

    def test_what_came_after_stays(self, scene: Scene) -> None:
        scene.add(note("- one"))
        (first,) = scene.merge()
        scene.add(note("- two", time=1), note("- three", TOOLS, time=2))
        scene.merge()
        scene.bank().undo(first.entry, ANN)
        document = scene.document() or b""
        assert b"- one" not in document
        assert b"- two" in document
        assert b"- three" in document
        check_chain(scene.bank().entries(NAME))

    def test_a_document_that_the_merge_created_is_removed(self, scene: Scene) -> None:
        scene.add(note("- now", (), document="activeContext.md"))
        (summary,) = scene.merge()
        scene.bank().undo(summary.entry, ANN)
        assert scene.document("activeContext.md") is None
        scene.add(note("- again", (), document="activeContext.md", time=4))
        scene.merge()
        assert scene.document("activeContext.md") == b"- again\n"

    def test_without_its_backup_it_is_undone_section_by_section(self, scene: Scene) -> None:
        scene.add(note("- a fact"))
        (summary,) = scene.merge()
        for path in scene.disk.files():
            if path.startswith(paths.BACKUPS):
                scene.disk.unlink(path)
        scene.bank().undo(summary.entry, ANN)
        assert scene.document() == TECH

    def test_what_is_no_merge_cannot_be_undone(self, scene: Scene) -> None:
        with pytest.raises(NotFoundError, match="no merge"):
            scene.bank().undo("e-0123456789abcdef", ANN)


class TestForeign:
    def test_a_change_by_someone_unknown_is_written_down(self, scene: Scene) -> None:
        """MEM-17."""
        assert scene.bank().foreign() == []
        scene.add(note("- a fact"))
        scene.merge()
        edited = (scene.document() or b"").replace(b"Use ruff.", b"Use ruff and mypy.")
        scene.write(edited)
        scene.merge()
        (entry,) = scene.bank().foreign()
        assert (entry.by, entry.after) == ("someone", state_of(edited))
        assert [edit.section for edit in entry.edits] == [TOOLS]
        scene.add(note("- more", time=9))
        scene.merge()
        check_chain(scene.bank().entries(NAME))
        assert b"mypy" in (scene.document() or b"")
        assert len(scene.bank().foreign()) == 1

    def test_a_change_before_any_merge_is_not_written_down(self, scene: Scene) -> None:
        scene.write(TECH + b"\nMine.\n")
        scene.merge()
        assert scene.bank().entries() == []


class TestProgress:
    def test_it_is_written_when_it_says_something_else(self, scene: Scene) -> None:
        """MEM-14."""
        scene.write(b"# Progress\n\nOurs.\n", "progress.md")
        facts = ProgressFacts(3, 1, 1, 1, 0.4, [PeerLine("instance-1", "working", "2", "API", 0.5)])
        entry = scene.bank().progress(facts, "leader", always)
        assert entry
        assert entry.kind == "progress"
        document = scene.document("progress.md") or b""
        assert b"instance-1" in document
        assert document.startswith(b"# Progress\n\nOurs.\n")
        assert scene.bank().progress(facts, "leader", always) is None
        assert scene.bank().progress(ProgressFacts(3, 2, 1, 0, 0.7), "leader", always)
        assert scene.bank().foreign() == []


def test_litter_beside_the_documents_is_cleared_when_it_is_old(scene: Scene) -> None:
    from peercoord.queue.retention import TMP_SECONDS

    scene.disk.create(f"{PLACE}/.peercoord-old", b"half", False)
    scene.merge()
    assert litter(scene) == [f"{PLACE}/.peercoord-old"]
    scene.disk.ticks += (TMP_SECONDS + 1) * 10**9
    scene.merge()
    assert litter(scene) == []


class TestNews:
    def test_what_changed_since(self, scene: Scene) -> None:
        files = scene.world.files
        assert news.changes_since(files, 0) == []
        scene.add(note("- a fact"), note("- b", TOOLS, time=1))
        scene.merge()
        found = news.changes_since(files, 0)
        assert {(one.document, one.section, one.by) for one in found} == {
            (NAME, LIMITS, "leader"),
            (NAME, TOOLS, "leader"),
        }
        mark = max(one.mark for one in found)
        assert mark == news.latest(files)
        assert news.changes_since(files, mark) == []
        scene.bank().progress(ProgressFacts(1, 0, 0, 0, 0.0), "leader", always)
        assert news.changes_since(files, mark) == []
        scene.add(note("- c", time=2))
        scene.merge()
        assert [one.section for one in news.changes_since(files, mark)] == [LIMITS]

    def test_a_line_for_each_document(self, scene: Scene) -> None:
        one = note("- a fact")
        scene.add(one)
        scene.merge()
        lines = scene.disk.files()["events/leader.jsonl"].splitlines()
        (event,) = [raw for raw in map(json.loads, lines) if raw["event"] == "merged"]
        assert (event["file"], event["sections"], event["contributions"]) == (
            NAME,
            [path_text(LIMITS)],
            [one.id],
        )
