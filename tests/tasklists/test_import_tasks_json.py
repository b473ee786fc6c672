from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peercoord.errors import BrokenFileError, NotFoundError
from peercoord.store import ids, records
from peercoord.tasklists import tasks_json
from peercoord.tasklists.imported import Origin, build

Reader = Callable[..., Any]
Writer = Callable[..., Path]


def file_of(data: Path, project: str) -> Path:
    return data / project / ".taskmaster" / "tasks" / "tasks.json"


# -- files that the real program wrote ---------------------------------------------------------------------------


def test_the_current_tag_is_read_and_unknown_tags_are_refused(read: Reader, data: Path) -> None:
    found = read(file_of(data, "tagged"))
    assert found.states == {"1": "review", "2": "blocked"}
    assert found.needs("2") == ["1"]
    assert found.raw("1")["source"] | {"path": ""} == {
        "kind": "tasks.json",
        "path": "",
        "tag": "feature-sync",
        "status": "review",
        "extra": {"updatedAt": "2026-11-22T15:33:11.141Z"},
    }
    assert found.refused == []
    with pytest.raises(NotFoundError) as caught:
        read(file_of(data, "tagged"), "mastre")
    assert "'mastre'" in caught.value.message
    assert "tasks.json" in caught.value.message
    assert caught.value.hint == "its tags are 'master', 'feature-sync'; say which with --tag"
    standard = read(file_of(data, "standard"))
    assert standard.states == {"1": "done", "2": "open"}
    assert (standard.raw("2")["priority"], standard.raw("2")["source"]["tag"]) == ("critical", "master")


def test_all_of_a_tasks_json_is_understood(read: Reader, data: Path) -> None:
    found = read(file_of(data, "tagged"), "master")
    assert found.states == {"1": "done", "2": "held", "3": "open", "4": "open", "5": "cancelled", "6": "deferred"}
    assert [found.raw(task)["priority"] for task in "12345"] == ["high", "medium", "low", "high", "low"]
    assert found.raw("2")["details"] == "Names from the id alone"
    assert found["2"].reason == "it is 'in-progress' in 'tasks.json'"
    assert found["1"].reason == found["3"].reason == ""
    steps = found["2"].definition.steps
    assert [(step.step, step.title, step.done) for step in steps] == [
        ("2.1", "Write a note", True),
        ("2.2", "Read a note", False),
    ]
    assert steps[1].raw["dependencies"] == ["2.1"]
    assert "parentId" not in steps[1].raw
    assert records.steps_progress(found["2"].definition, []) == 0.5
    assert (found.needs("3"), found.needs("4")) == (["1", "2"], ["2", "3"])
    assert found.notes("3") == ["step 3.1 builds on step 2.1", "step 3.2 builds on step 2.2"]
    assert found["3"].definition.steps[1].raw["dependencies"] == ["3.1"]
    assert found.notes("4") == ["it builds on step 3.1 of task 3"]


def test_a_list_of_an_older_version_is_understood(read: Reader, data: Path) -> None:
    found = read(data / "legacy.json")
    assert found.states == {"1": "done", "2": "held", "3": "open", "4": "blocked", "5": "review", "6": "blocked"}
    assert found.raw("1")["testStrategy"] == "One file of each version"
    assert found.raw("2")["complexity"] == 7
    assert found["2"].reason == "it is 'in-progress' in 'legacy.json', assigned to 'ann'"
    assert found["6"].reason == "its status 'moonshot' in 'legacy.json' is not known"
    assert found.raw("3")["source"]["extra"] == {"expansionPrompt": "Split it into reading and writing"}
    assert found.raw("5")["priority"] == "medium"
    assert found.notes("5") == ["its priority 'someday maybe' is not known: medium"]
    assert found.needs("3") == ["1", "2", "99"]  # 1.1 is done; 2.2 means task 2; 99 is for the importer to judge
    assert found.notes("3") == ["it builds on step 1.1 of task 1", "it builds on step 2.2 of task 2"]
    assert (found.needs("4"), found.needs("6")) == (["3"], ["6"])
    assert [step.step for step in found["2"].definition.steps] == ["2.1", "2.2"]
    assert found["2"].definition.steps[1].raw["dependencies"] == ["2.1"]
    assert found.notes("2") == ["step 2.1 builds on step 1.2"]


def test_a_list_beside_tags_is_the_tag_master(read: Reader, data: Path) -> None:
    assert read(data / "mixed.json").raw("1")["title"] == "Left at the top"
    assert read(data / "mixed.json", "feature-a").raw("1")["title"] == "Under a tag"
    with pytest.raises(NotFoundError, match="no tag 'notes'"):
        read(data / "mixed.json", "notes")


def test_a_list_beside_the_tasks_is_no_tag(read: Reader, tmp_path: Path) -> None:
    """The tag that was pinned before is there as long as the list of tasks is."""
    path = tmp_path / "tasks.json"
    stones = [{"id": 1, "title": "a milestone"}]
    data = {"tasks": [{"id": 1, "title": "a task"}], "metadata": {"tags": ["dev"]}, "milestones": stones}
    path.write_text(json.dumps(data))
    assert read(path).raw("1")["title"] == read(path, "dev").raw("1")["title"] == "a task"
    del data["tasks"]
    path.write_text(json.dumps(data))
    assert read(path).raw("1")["title"] == "a milestone"


def project_with(tmp_path: Path, tags: list[str], state: str | None) -> Path:
    path = tmp_path / ".taskmaster" / "tasks" / "tasks.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({tag: {"tasks": [{"id": 1, "title": tag}]} for tag in tags}))
    if state is not None:
        (tmp_path / ".taskmaster" / "state.json").write_text(state)
    return path


@pytest.mark.parametrize(
    ("tags", "state", "title"),
    [
        (["only"], None, "only"),
        (["only"], '{"currentTag": "gone"}', "only"),
        (["a", "master"], None, "master"),
        (["a", "master"], "{}", "master"),
        (["a", "master"], '{"currentTag": "a"}', "a"),
        (["tasks", "metadata"], '{"currentTag": "tasks"}', "tasks"),
    ],
)
def test_which_tag_is_read(read: Reader, tmp_path: Path, tags: list[str], state: str | None, title: str) -> None:
    assert read(project_with(tmp_path, tags, state)).raw("1")["title"] == title


def test_no_tag_is_guessed(read: Reader, tmp_path: Path) -> None:
    for at, state in enumerate((None, '{"currentTag": "gone"}')):
        with pytest.raises(NotFoundError) as caught:
            read(project_with(tmp_path / str(at), ["a", "b"], state))
        assert caught.value.hint == "say which with --tag: 'a', 'b'"
    path = project_with(tmp_path, ["a", "b"], '{"currentTag": ')
    with pytest.raises(BrokenFileError) as broken:
        read(path)
    assert "state.json" in broken.value.message
    assert "--tag" in broken.value.hint
    assert read(path, "b").raw("1")["title"] == "b"


# -- broken files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"\x7fELF\x02\x01\xff\xfe", "not text in UTF-8 (byte 6)"),
        (b"{\x00\x01", "is not JSON"),
        (b"[]", "no JSON object"),
        (b"null", "no JSON object"),
        (b"{}", "no list of tasks"),
        (b'{"tasks": {}}', "no list of tasks"),
        (b'{"master": {"tasks": 5}}', "no list of tasks"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"tasks": [{"id": ' + b"1" * 5000 + b"}]}", "is not JSON"),
    ],
)
def test_a_file_of_another_kind_is_named(read: Reader, tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "tasks.json"
    path.write_bytes(content)
    with pytest.raises(BrokenFileError) as caught:
        read(path)
    assert says in caught.value.message
    assert str(path) in caught.value.message
    assert caught.value.hint
    assert path.read_bytes() == content


def test_truncated_file_is_refused_with_line_and_column(read: Reader, data: Path, tmp_path: Path) -> None:
    path = tmp_path / "tasks.json"
    whole = file_of(data, "tagged").read_bytes()
    for size in range(1, len(whole), 97):
        path.write_bytes(whole[:size])
        with pytest.raises(BrokenFileError, match=r"line \d+ column \d+"):
            read(path)


def test_merge_conflict_is_called_one(read: Reader, tmp_path: Path) -> None:
    path = tmp_path / "tasks.json"
    path.write_text('{"tasks": [\n<<<<<<< HEAD\n{"id": 1}\n=======\n{"id": 2}\n>>>>>>> other\n]}')
    with pytest.raises(BrokenFileError) as caught:
        read(path)
    assert caught.value.hint == "resolve the merge conflict in it first"


# -- bad rows ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "what", "why"),
    [
        (None, "entry 1", "no task object"),
        (["x"], "entry 1", "no task object"),
        ({"title": "A"}, "entry 1 ('A')", "it has no id"),
        ({"id": True, "title": "A"}, "entry 1 ('A')", "it has no id"),
        ({"id": "../../etc/passwd", "title": "A"}, "task '../../etc/passwd' ('A')", "its id is not allowed"),
        ({"id": "a/b", "title": "A"}, "task 'a/b' ('A')", "its id is not allowed"),
        ({"id": ".hidden", "title": "A"}, "task '.hidden' ('A')", "its id is not allowed"),
        ({"id": "a~1", "title": "A"}, "task 'a~1' ('A')", "its id is not allowed"),
        ({"id": -1, "title": "A"}, "task '-1' ('A')", "its id is not allowed"),
        ({"id": 1.5e300, "title": "A"}, "task '15", "its id is not allowed"),
        ({"id": "x" * 65, "title": "A"}, "task 'xxx", "its id is not allowed"),
        ({"id": "é", "title": "A"}, "task 'é' ('A')", "its id is not allowed"),
        ({"id": {"a": 1}, "title": "A"}, "task ", "its id is not allowed"),
        ({"id": 1}, "task '1'", "it has no title"),
        ({"id": 1, "title": " \n\x1b[0m\u200b"}, "task '1'", "it has no title"),
        ({"id": "2", "title": "Again"}, "task '2' ('Again')", "same id"),
        ({"id": "KEEP", "title": "Case"}, "task 'KEEP' ('Case')", "differs only in case from 'keep'"),
        ({"id": 7, "title": "A", "dependencies": [str(n) for n in range(1001)]}, "task 7", "at most 1000"),
        ({"id": 7, "title": "A", "subtasks": [{"id": n, "title": "s"} for n in range(1001)]}, "task 7", "at most 1000"),
        (
            {"id": 7, "title": "A", "subtasks": [{"id": n, "title": "s", "details": "x" * 150_000} for n in range(8)]},
            "task 7",
            "its record would hold",
        ),
    ],
)
def test_bad_row_is_refused_and_the_rest_goes_on(
    read: Reader, tasks_file: Writer, row: object, what: str, why: str
) -> None:
    good = [{"id": 2, "title": "Second"}, {"id": "keep", "title": "Third"}]
    rows = [*good, row] if isinstance(row, dict) and row.get("id") in ("2", "KEEP") else [row, *good]
    found = read(tasks_file(*rows))
    assert found.states == {"2": "open", "keep": "open"}
    assert len(found.refused) == 1
    assert found.refused[0][0].startswith(what)
    assert why in found.refused[0][1]


def test_a_bad_step_is_refused_and_noted_in_its_task(read: Reader, tasks_file: Writer) -> None:
    steps = [
        {"id": 1, "title": "Good"},
        {"id": "../1", "title": "Climbs"},
        {"id": 1, "title": "Twice"},
        {"title": "Nameless"},
        {"id": 5},
        "no object",
        {"id": 7, "description": "Named by its description"},
    ]
    found = read(tasks_file({"id": 4, "title": "A", "subtasks": steps}, {"id": 5, "title": "B", "subtasks": "none"}))
    assert [(s.step, s.title) for s in found["4"].definition.steps] == [
        ("4.1", "Good"),
        ("4.7", "Named by its description"),
    ]
    assert found.refused == [
        ("step '../1' of task 4 ('Climbs')", "its id is not allowed"),
        ("step '4.1' of task 4 ('Twice')", "an earlier step has the same id"),
        ("step 4 of task 4 ('Nameless')", "it has no id"),
        ("step '4.5' of task 4", "it has no title"),
        ("step 6 of task 4", "it has no id"),
    ]
    assert found.notes("4") == [f"{what} was left out: {why}" for what, why in found.refused]
    assert found["5"].definition.steps == []


def test_a_dependency_that_is_no_id_blocks_what_is_not_finished(read: Reader, tasks_file: Writer) -> None:
    states = {"pending": "blocked", "in-progress": "blocked", "done": "done", "cancelled": "cancelled"}
    needs = [9, "../2"]
    rows = [{"id": n, "title": "A", "status": word, "dependencies": needs} for n, word in enumerate(states, 1)]
    found = read(tasks_file(*rows))
    why = "it depends on '../2', which is no task id"
    assert list(found.states.values()) == list(states.values())
    assert all(found.needs(task) == ["9"] and found.notes(task) == [why] for task in "1234")
    assert [found[task].reason for task in "12"] == [why, why]


def test_references_to_steps_become_edges_or_notes(read: Reader, tasks_file: Writer) -> None:
    steps = [{"id": 1, "title": "a", "dependencies": [9, "5.x/y"]}]
    found = read(
        tasks_file(
            {"id": "3", "title": "A", "dependencies": ["3.1"], "subtasks": [{"id": 1, "title": "a"}, {"id": 2}]},
            {"id": "3.2", "title": "B"},
            {"id": 4, "title": "C", "dependencies": ["3.2", "3.9"]},
            {"id": 5, "title": "D", "subtasks": steps},
        )
    )
    assert found.needs("4") == ["3.2", "3.9"], "an id that looks like a step's is the task's own"
    assert found.needs("3") == [], "no edge to itself"
    assert "it builds on step 3.1" in found.notes("3")
    assert found.notes("5") == [
        "step 5.1 builds on '5.9', which is not there",
        "step 5.1 builds on '5.x/y', which is not there",
    ]


def test_long_text_is_cut_and_said(read: Reader, tasks_file: Writer) -> None:
    found = read(tasks_file({"id": 1, "title": "t" * 900, "description": "d" * 200_001, "details": {"a": "b"}}))
    assert len(found.raw("1")["title"]) == 500
    assert len(found.raw("1")["description"]) == 200_000
    assert found.raw("1")["details"] == "{'a': 'b'}"
    assert found.notes("1") == ["'description' was cut at 200000 characters"]


def test_small_unknown_keys_are_kept_without_a_meaning(read: Reader, tasks_file: Writer) -> None:
    found = read(
        tasks_file(
            {
                "id": 1,
                "title": "A",
                "parked": {"why": "held"},
                "cancelled": {"reason": "no"},
                "schema_version": 9,
                "source": "mine",
                "huge": "x" * 9000,
                "metadata": {"anything": [1, {"deep": None}]},
            }
        )
    )
    definition = found["1"].definition
    assert definition.cancelled is None
    assert definition.set_aside is None
    assert found.raw("1")["schema_version"] == 1
    assert found.raw("1")["source"]["extra"] == {
        "parked": {"why": "held"},
        "cancelled": {"reason": "no"},
        "schema_version": 9,
        "source": "mine",
        "metadata": {"anything": [1, {"deep": None}]},
    }
    assert found.notes("1") == ["left in the source for their size: 'huge'"]


ANY = st.sampled_from(
    [None, True, 0, 1, -5, 10**40, 2.5, float("inf"), float("nan"), [], [1, "2.1", None], {}, {"id": 1}, [[["x"]]]]
) | st.text(max_size=20)
ID = st.sampled_from([1, "1", 2, "2.1", "a", "A", "../x"]) | ANY
STEP = st.fixed_dictionaries(
    {"id": ID, "title": ANY, "status": ANY, "dependencies": st.lists(ID, max_size=2), "x": ANY}
)
KEYS = ("title", "description", "details", "status", "priority", "dependencies", "testStrategy", "x", "parked")
TASK = st.fixed_dictionaries({"id": ID, "subtasks": ANY | st.lists(STEP, max_size=2), **dict.fromkeys(KEYS, ANY)})


@settings(max_examples=40)
@given(st.lists(TASK, max_size=3))
def test_any_row_becomes_a_task_or_is_refused(rows: list[Any]) -> None:
    reading = build([tasks_json.row(row) for row in rows], Origin("tasks.json", Path("tasks.json"), "master"))
    whole_rows = [what for what, _ in reading.refused if not what.startswith("step ")]
    assert len(reading.tasks) + len(whole_rows) == len(rows)
    for task in reading.tasks:
        made = task.definition
        back = records.decode(records.encode(made.raw), "it")
        assert records.Definition.read(back, "it", made.task).raw == back
        assert ids.is_id(made.task)
        assert "\x1b" not in json.dumps(made.raw, ensure_ascii=False)
