"""Hand edits of ``progress.json`` are taken in once, before it is overwritten, and reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.project import Project, project

from peercoord.agent import client as calls
from peercoord.membership import membership as members
from peercoord.memory import store as bank_store
from peercoord.queue.peer import Peer
from peercoord.store import down, paths
from peercoord.worktree import context, hand_edits
from peercoord.worktree.call import WorktreeCall
from peercoord.worktree.progress_file import ProgressFile

__all__ = ["project"]

ENTRY = {
    "file": "techContext.md",
    "type": "update",
    "content": "Added TypeScript configuration details",
    "timestamp": "2025-05-26T15:20:00Z",
}


@pytest.fixture(autouse=True)
def no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEERCOORD_NO_AGENT", "1")


def path(of: Project) -> Path:
    return of.worktree / ".claude-instance" / "progress.json"


def read(of: Project) -> Any:
    return json.loads(path(of).read_text())


def typed(of: Project, **changes: Any) -> None:
    """Type into the file as an editor saves it."""
    path(of).write_text(json.dumps(read(of) | changes, indent=4))


def typed_entry(of: Project, **changes: Any) -> None:
    """Type into the entry of the task."""
    [entry] = read(of)["assigned_tasks"]
    typed(of, assigned_tasks=[entry | changes])


def published(of: Project) -> Any:
    """The entry of the task in what the worktree publishes."""
    return json.loads((of.state / paths.report("one")).read_text())["assigned_tasks"][0]


def queued(of: Project) -> list[str]:
    """What was contributed, without what was replaced since."""
    found = sorted(bank_store.MemoryStore(of.queue.root).queued(), key=lambda one: one.content)
    replaced = {old for one in found for old in one.supersedes}
    return [one.content for one in found if one.id not in replaced]


def call(of: Project, *words: str) -> str:
    """Call a command; return what it said beside its answer."""
    code, _, err = of(*words)
    assert code == 0, err
    return err


# -- memory contributions ----------------------------------------------------------------------------------------


def test_a_typed_contribution_is_queued_and_the_next_answer_says_so(busy: Project) -> None:
    typed(busy, memory_contributions=[ENTRY, {**ENTRY, "content": "another"}])
    WorktreeCall(context.find(str(busy.worktree)), heard=False).pick_up()  # as the agent does in the background
    assert "1 contribution queued for techContext.md" in call(busy, "check")
    assert queued(busy) == [ENTRY["content"], "another"]
    noted = read(busy)["memory_contributions"][0]
    assert noted.items() >= {key: ENTRY[key] for key in ("file", "content", "timestamp")}.items()
    assert "contribution" not in call(busy, "check")
    assert len(queued(busy)) == 2


def test_it_is_queued_once_when_the_agent_dies_before_the_file_is_written(
    busy: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    typed(busy, memory_contributions=[ENTRY])
    with monkeypatch.context() as patch:
        patch.setattr("peercoord.queue.progress.Reports.contributed", die)
        with pytest.raises(Killed), WorktreeCall(context.find(str(busy.worktree))).peer():
            raise AssertionError("it died before")
    assert queued(busy) == [ENTRY["content"]]
    call(busy, "check")
    assert len(bank_store.MemoryStore(busy.queue.root).queued()) == 1
    assert [one["content"] for one in read(busy)["memory_contributions"]] == [ENTRY["content"]]


def test_an_entry_that_is_edited_after_it_was_queued_replaces_what_was_queued(
    busy: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(busy, memory_contributions=[ENTRY])
    with monkeypatch.context() as patch:
        patch.setattr(ProgressFile, "write", lambda *_: None)  # queued, and the file is as it was typed
        call(busy, "check")
    typed(busy, memory_contributions=[{**ENTRY, "content": "first edit"}])
    call(busy, "check")
    assert queued(busy) == ["first edit"]
    [written] = read(busy)["memory_contributions"]  # with its id
    typed(busy, memory_contributions=[{**written, "content": "second edit"}])
    for _ in range(2):
        call(busy, "check")
    assert queued(busy) == ["second edit"]
    assert [one["content"] for one in read(busy)["memory_contributions"]] == ["second edit"]


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("just text", "needs 'file' and 'content'"),
        ({"file": "techContext.md"}, "needs 'file' and 'content'"),
        ({**ENTRY, "file": "../etc/passwd"}, "is not allowed"),
        ({**ENTRY, "type": "removal"}, "is not known"),
        ({**ENTRY, "content": "  "}, "nothing to contribute"),
        ({**ENTRY, "id": ["x"], "content": ["a", "list"]}, "needs 'file' and 'content'"),
    ],
)
def test_a_bad_entry_is_named_once_with_its_reason_and_costs_the_others_nothing(
    busy: Project, bad: Any, why: str
) -> None:
    typed(busy, memory_contributions=[bad, ENTRY])
    said = call(busy, "check")
    assert ("was not taken, and stays as you typed it: " in said, why in said) == (True, True)
    assert queued(busy) == [ENTRY["content"]]
    for _ in range(2):
        assert bad in read(busy)["memory_contributions"]
        assert "not taken" not in call(busy, "check")
        typed_entry(busy, achievements=["more"])


# -- tasks and other keys ----------------------------------------------------------------------------------------


def test_everything_that_is_typed_of_a_task_is_reported_and_unknown_keys_stay(busy: Project) -> None:
    new = {
        "time_spent": 60,
        "completion_estimate": "an hour",
        "blockers": ["b"],
        "achievements": ["a"],
        "progress": 0.4,
    }
    typed_entry(busy, **new, reviewer="anna")
    typed(busy, mood="good")
    call(busy, "report", "1", "--achievement", "more")
    assert published(busy).items() >= {**new, "achievements": ["a", "more"]}.items()
    entry = read(busy)["assigned_tasks"][0]
    assert (entry["achievements"], entry["reviewer"], read(busy)["mood"]) == (["a", "more"], "anna", "good")
    assert "mood" not in (busy.state / paths.report("one")).read_text()
    typed_entry(busy, reviewer="ben")  # nothing that is reported
    call(busy, "check")
    assert read(busy)["assigned_tasks"][0]["reviewer"] == "ben"


@pytest.mark.parametrize("broken", ["{ half", "[]", '{"assigned_tasks": 1}', "\ufeffnonsense"])
def test_a_broken_file_is_kept_aside_and_named(busy: Project, broken: str) -> None:
    path(busy).write_text(broken)
    assert "it is kept as .claude-instance/progress.json.kept-" in call(busy, "check")
    (aside,) = path(busy).parent.glob("progress.json.kept-*")
    assert aside.read_text() == broken
    assert read(busy)["assigned_tasks"][0]["task_id"] == 1
    assert "kept" not in call(busy, "check")


@pytest.mark.parametrize(
    "words",
    [
        ("report", "99", "--progress", "0.5"),
        ("report", "1", "--step", "9"),
        ("release", "99"),
        ("memory", "add", "--file", "../x", "--content", "y"),
    ],
)
def test_an_error_in_the_file_reaches_an_answer_that_is_an_error(busy: Project, words: tuple[str, ...]) -> None:
    path(busy).write_text("{ broken")
    code, _, err = busy(*words)
    assert code != 0
    assert err.count("progress.json is not JSON") == 1
    typed_entry(busy, progress=7)
    code, _, err = busy(*words, "--json")
    assert code != 0
    assert err.count("progress '7' is not a number from 0 to 1") == 1
    assert "progress.json" not in busy("check")[2]


def test_a_value_that_cannot_be_meant_is_named_kept_aside_and_costs_the_others_nothing(busy: Project) -> None:
    typed_entry(busy, progress="most of it", achievements=["a"], title="another title")
    said = call(busy, "check")
    assert "title of task 1 cannot be changed there" in said
    assert "'most of it' is not a number from 0 to 1" in said
    assert published(busy)["achievements"] == ["a"]
    (aside,) = path(busy).parent.glob("progress.json.kept-*")
    assert json.loads(aside.read_text())["assigned_tasks"][0]["progress"] == "most of it"


def test_an_entry_of_a_task_that_is_not_held_stays_as_it_was_typed(busy: Project) -> None:
    other = {"task_id": 7, "title": "?", "achievements": ["elsewhere"]}
    typed(busy, assigned_tasks=[*read(busy)["assigned_tasks"], other])
    assert "stays there: there is no task 7" in call(busy, "check")
    call(busy, "report", "1", "--progress", "0.5")
    assert other in read(busy)["assigned_tasks"]


def test_an_edit_that_comes_while_a_call_is_at_work_is_not_written_over(busy: Project) -> None:
    with WorktreeCall(context.find(str(busy.worktree))).peer():
        typed_entry(busy, achievements=["meanwhile"])
    assert read(busy)["assigned_tasks"][0]["achievements"] == ["meanwhile"]
    call(busy, "check")
    assert published(busy)["achievements"] == ["meanwhile"]


def test_an_edit_typed_for_an_earlier_claim_does_not_count_for_a_later_one(busy: Project) -> None:
    [entry] = read(busy)["assigned_tasks"]
    call(busy, "release", "1")
    call(busy, "request")
    typed(busy, assigned_tasks=[{**entry, "progress": 0.9}])
    call(busy, "check")
    assert (published(busy)["epoch"], published(busy)["progress"]) == (2, 0.0)


def test_a_crash_between_the_two_writes_is_no_edit(busy: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path(busy).read_bytes()
    call(busy, "report", "1", "--time-spent", "30", "--progress", "0.3")
    path(busy).write_bytes(before)  # the file of before, its marks of after
    monkeypatch.setattr(hand_edits, "take", lambda *_: pytest.fail("nothing was typed"))
    call(busy, "check")
    assert published(busy)["time_spent"] == 30


# -- while the team is down --------------------------------------------------------------------------------------


def test_a_call_without_an_agent_is_queued_while_the_team_is_down_and_served_by_the_next(busy: Project) -> None:
    root = busy.queue.root
    down.write(root, "anna")
    Peer.resume(root, members.living(root)[0]).leave()
    code, _, err = busy("report", "#1", "--status", "done", "--achievement", "meanwhile")
    assert (code, "by anna; report-progress stays queued" in err) == (3, True)
    code, _, err = busy("memory", "add", "--file", "techContext.md", "--content", "use make")
    assert (code, "update-memory stays queued" in err) == (3, True)
    assert (busy("check")[0], busy("memory", "add")[0]) == (3, 3)
    outbox = busy.worktree / ".claude-instance" / "outbox"
    assert len(list(outbox.iterdir())) == 3, "no question stays queued"
    down.remove(root)
    place = context.find(str(busy.worktree))
    answer = calls.call(place, ["check-status"])
    assert answer.code == 0, answer.err
    assert busy.queue.is_done("1")
    assert queued(busy) == ["use make"]


# -- the mission's calls, without arguments ----------------------------------------------------------------------


def contribute(of: Project, name: str, text: str) -> None:
    folder = of.worktree / ".claude-instance" / "memory-contributions"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)


def test_report_progress_alone_publishes_the_file_and_says_what(busy: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    typed_entry(busy, progress=0.4)
    code, out, _ = busy("report")
    assert (code, out.splitlines()) == (0, ["reported from .claude-instance/progress.json: 1", "  task 1: 40% t"])
    assert published(busy)["progress"] == 0.4
    with monkeypatch.context() as patch:
        patch.setattr(ProgressFile, "write", lambda *_: None)  # the file stays as it was before this report
        call(busy, "report", "1", "--progress", "0.7")
    assert "70%" in busy("report")[1], "nothing old is said again"
    # the mission's own schema is enough
    path(busy).write_text(json.dumps({"instance_id": "one", "assigned_tasks": [{"task_id": 1, "status": "done"}]}))
    assert "progress.json: task 1 is done" in call(busy, "report")
    assert busy.queue.is_done("1")


def test_update_memory_alone_queues_what_lies_there_at_once_and_once(busy: Project) -> None:
    assert busy("memory", "add")[1] == "nothing to queue in .claude-instance/memory-contributions\n"
    contribute(busy, "techContext-additions.md", "- ruff\n")
    contribute(busy, "learnings.md", "# Learnings\n\nTests come first.\n")
    assert "techContext-additions.md: 1 contribution queued for techContext.md" in busy("memory", "add")[1]
    assert sorted(queued(busy)) == ["- ruff", "Tests come first."]
    again = busy("memory", "add")[1].splitlines()
    assert again == ["learnings.md: nothing new", "techContext-additions.md: nothing new"]
    assert busy.data("memory", "add") == {"queued": [], "critical": False}
    assert len(queued(busy)) == 2
    contribute(busy, "a b.md", "- x\n")
    contribute(busy, "techContext-additions.md", "- y\n")
    code, out, err = busy("memory", "add")
    assert (code, "1 contribution queued" in out, "is not allowed" in err) == (1, True, True)
    code, _, err = busy("memory", "add", "--content", "x")
    assert (code, "name the bank's document" in err) == (2, True)


def test_a_note_of_the_last_content_that_a_power_cut_tore_changes_no_word(busy: Project) -> None:
    """The file of notes is written in place: pages of two states may stand in it, and still be JSON."""
    known = path(busy).with_name("progress.known.json")
    states = []
    for letter in "ABC":
        typed(busy, own=letter * 6000)
        call(busy, "check")
        states.append(known.read_bytes())
    torn = states[2][:4096] + states[1][4096:]
    assert {"B", "C"} <= set(json.loads(torn)["content"]["own"])
    known.write_bytes(torn)
    call(busy, "check")
    assert read(busy)["own"] == "C" * 6000
