"""Records: what is believed, what is refused and in which words, and that unknown keys live on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peercoord.errors import BrokenFileError, UsageError
from peercoord.store import paths, records
from peercoord.store.records import Birth, Definition
from peercoord.store.settings import (
    DEPENDENCIES_MOST,
    NESTING_MOST,
    NOTE_CHARS,
    NOTES_MOST,
    RECORD_BYTES,
    STEPS_MOST,
    TEXT_CHARS,
    TITLE_CHARS,
)

GOOD: dict[str, Any] = {"schema_version": 1, "task_id": 5, "title": "Fix the login"}
HUGE = "9" * 5000  # more digits than Python reads

BAD_FIELDS: list[tuple[str, object]] = [
    *(
        ("task_id", value)
        for value in (None, "", "a/b", "..", "a~b", 1.5, 1e20, float("inf"), True, [], {}, "x" * 65, -1)
    ),
    *(("title", value) for value in (None, "", "  ", 5, [], "two\nlines", "two\rlines", "x" * (TITLE_CHARS + 1), True)),
    *(("description", value) for value in (None, 5, [], {}, "x" * (TEXT_CHARS + 1))),
    *(("details", value) for value in (None, 5, [], "x" * (TEXT_CHARS + 1))),
    *(
        ("priority", value)
        for value in ("urgent", "", "5", "05", "-1", 5, -1, 1.5, None, [], True, "hi gh", HUGE, "²", "٣")
    ),
    *(("dependencies", value) for value in (None, "4", 4, {"4": 1}, ["a/b"], [None], [[]], [1.5], [True], ["x" * 65])),
    ("dependencies", [str(number) for number in range(DEPENDENCIES_MOST + 1)]),
    *(("subtasks", value) for value in (None, "x", {}, ["x"], [5], [{}], [{"id": 1}], [{"title": "no id"}])),
    *(("subtasks", [{"id": value, "title": "x"}]) for value in (None, "a/b", "", 1.5, True, "x" * 64)),
    *(("subtasks", [{"id": 1, "title": value}]) for value in (None, 5, [])),
    ("subtasks", [{"id": 1, "title": "a"}, {"id": "5.1", "title": "the same"}]),
    ("subtasks", [{"id": number, "title": "x"} for number in range(STEPS_MOST + 1)]),
]


class TestDefinitions:
    @pytest.mark.parametrize(("key", "value"), BAD_FIELDS, ids=lambda value: ascii(value)[:30])
    def test_a_bad_field_is_refused_and_named(self, key: str, value: object) -> None:
        raw = {**GOOD, key: value}
        with pytest.raises(UsageError) as caught:
            records.checked(raw)
        assert caught.value.message.isprintable()
        assert len(caught.value.message) < 300
        with pytest.raises(BrokenFileError) as broken:
            Definition.read(raw, "tasks/aa/5.json", "5")
        assert broken.value.message == f"tasks/aa/5.json: {caught.value.message}"

    @pytest.mark.parametrize("key", ["task_id", "title"])
    def test_what_may_not_be_missing(self, key: str) -> None:
        with pytest.raises(UsageError):
            records.checked({k: v for k, v in GOOD.items() if k != key})

    def test_what_may_be_missing(self) -> None:
        definition = records.checked(dict(GOOD))
        assert (definition.task, definition.title, definition.level) == ("5", "Fix the login", 2)
        assert (definition.dependencies, definition.steps) == ([], [])
        assert definition.cancelled is None
        assert definition.set_aside is None

    def test_a_file_must_be_about_its_own_task(self) -> None:
        with pytest.raises(BrokenFileError, match=r"tasks/aa/6.json: task_id is '5', its name says '6'"):
            Definition.read(dict(GOOD), "tasks/aa/6.json", "6")

    def test_dependencies_are_ids_without_repeats_in_order(self) -> None:
        assert records.define("5", "x", dependencies=[4, "3", "4", 3]).dependencies == ["4", "3"]
        assert records.define("5", "x", dependencies=[4, "a"]).raw["dependencies"] == [4, "a"]

    def test_unknown_keys_live_on(self) -> None:
        raw = {**GOOD, "x-team": {"deep": [1, None, "é"]}, "subtasks": [{"id": 1, "title": "a", "x": 1}]}
        again = records.checked(records.decode(records.encode(raw), "x"))
        assert again.raw == raw
        assert again.steps[0].raw == {"id": 1, "title": "a", "x": 1}
        assert list(again.raw) == list(raw)
        assert records.define("5", "x", colour="red").raw["colour"] == "red"

    @pytest.mark.parametrize(
        ("given_id", "full"),
        [(1, "5.1"), ("1", "5.1"), ("5.1", "5.1"), ("5.1.2", "5.1.2"), ("55.1", "5.55.1"), ("a", "5.a")],
    )
    def test_steps_have_dotted_ids(self, given_id: object, full: str) -> None:
        assert records.step_id(given_id, "5") == full

    @pytest.mark.parametrize(
        ("word", "level"),
        [
            ("critical", 0),
            ("high", 1),
            ("medium", 2),
            ("low", 3),
            ("lowest", 4),
            (" High ", 1),
            ("0", 0),
            ("4", 4),
            ("03", 3),
            ("000", 0),
            ("0" * 5000 + "3", 3),
            (1.0, 1),
            (0, 0),
            (4, 4),
        ],
    )
    def test_priorities(self, word: object, level: int) -> None:
        assert records.priority_level(word) == level

    def test_an_unknown_priority_lists_the_known(self) -> None:
        with pytest.raises(UsageError, match="'\\\\x1b urgent' is not known") as caught:
            records.priority_level("\x1b urgent")
        assert all(word in caught.value.hint for word in paths.PRIORITIES)

    def test_steps_done_where_the_task_came_from_count(self) -> None:
        steps = [
            {"id": n, "title": "x", "status": s} for n, s in enumerate(("done", "completed", "pending", "in-progress"))
        ]
        definition = records.define("5", "x", steps=steps)
        assert records.steps_progress(definition, []) == 0.5
        assert records.steps_progress(definition, ["5.2", "5.2", "5.0", "nonsense"]) == 0.75
        assert records.steps_progress(records.define("5", "x"), ["5.1"]) is None

    def test_a_cancelled_task_says_why(self) -> None:
        assert records.define("5", "x", cancelled={"reason": "no"}).cancelled == "no"
        assert records.define("5", "x", cancelled="a person says so").cancelled == "a person says so"

    @pytest.mark.parametrize("note", [True, "yes", "", " ", [], ["x"], {}, {"reason": None}, {"reason": 5}, 0, 1, 0.0])
    def test_present_and_not_null_or_false_is_cancelled(self, note: object) -> None:
        """PLC-2: a person writes what comes to mind; the task must not be worked on."""
        assert records.define("5", "x", cancelled=note).cancelled is not None

    @pytest.mark.parametrize("note", [None, False])
    def test_null_and_false_are_not(self, note: object) -> None:
        assert records.define("5", "x", cancelled=note).cancelled is None

    def test_a_whole_number_may_be_written_as_a_float(self) -> None:
        """FMT-1: ``1.0`` and ``1`` are one JSON number."""
        text = b'{"task_id": 5.0, "title": "x", "priority": 1e0, "dependencies": [4.0], '
        text += b'"subtasks": [{"id": 1.0, "title": "a"}]}'
        definition = Definition.read(records.decode(text, "x"), "x", "5")
        assert (definition.task, definition.level, definition.dependencies) == ("5", 1, ["4"])
        assert [step.step for step in definition.steps] == ["5.1"]


class TestBirths:
    def test_a_birth_is_read_back(self) -> None:
        birth = Birth("5", "n0nce", 7, records.define("5", "x", colour="red"))
        raw = records.decode(records.encode(birth.record("person", "2026-01-31T15:30:00Z")), "x")
        again = Birth.read(raw, "births/aa/5.json", "5")
        assert (again.task, again.nonce, again.order) == ("5", "n0nce", 7)
        assert again.definition.raw == birth.definition.raw

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            *(("nonce", value) for value in (None, "a~b", 5)),
            *(("order", value) for value in (None, -1, "7", 1.5, True)),
            *(("definition", value) for value in (None, [], {}, {**GOOD, "task_id": 6})),
        ],
    )
    def test_a_bad_one_is_broken(self, key: str, value: object) -> None:
        raw = Birth("5", "n0nce", 7, records.define("5", "x")).record("person", "2026-01-31T15:30:00Z")
        with pytest.raises(BrokenFileError, match=r"^births/aa/5.json"):
            Birth.read({**raw, key: value}, "births/aa/5.json", "5")


class TestFiles:
    @pytest.mark.parametrize(
        "data",
        [
            *(b"", b" ", b"{", b'{"a":', b"[]", b'"text"', b"5", b"null", b"\xff\xfe", b"\x00" * 100, b"[" * 100_000),
            *(b'{"a": NaN}', b'{"a": Infinity}', b'{"a": 1e999}', b'{"a": 1}x', b'{"a": "\xff"}', b"\xef\xbb\xbf"),
            *(b'{"a": "\\ud800"}', b'{"\\udfff": 1}', b'\xef\xbb\xbf\xef\xbb\xbf{"a": 1}', b"\xff\xfe{\x00}\x00"),
            b'{"a":' + b"[" * 1024 + b"]" * 1024 + b"}",
        ],
        ids=lambda value: ascii(value)[:20],
    )
    def test_what_is_no_json_object_is_broken_and_never_empty(self, data: bytes) -> None:
        with pytest.raises(BrokenFileError, match=r"^some/file.json "):
            records.decode(data, "some/file.json")

    def test_what_every_reader_makes_of_json_at_its_edges(self) -> None:
        """FMT-1: one rule for each; a record so nested is read, and is written."""
        assert records.decode(b'\xef\xbb\xbf{"a": 1}', "x") == {"a": 1}
        assert records.decode(b'{"a": 1, "a": 2}', "x") == {"a": 2}
        assert records.decode(b'{"a": "\\ud83d\\ude00"}', "x") == {"a": "\U0001f600"}
        nested: Any = 1
        for _ in range(NESTING_MOST - 1):
            nested = [nested]
        assert records.decode(records.encode_stored({"a": nested}), "x") == {"a": nested}

    def test_a_record_too_large_is_broken(self) -> None:
        with pytest.raises(BrokenFileError, match=r"^f holds"):
            records.decode(b" " * (RECORD_BYTES + 1), "f")

    def test_records_are_written_for_people(self) -> None:
        assert records.encode({"b": "é", "a": [1]}) == '{\n  "b": "é",\n  "a": [\n    1\n  ]\n}\n'.encode()
        assert records.encode_line({"b": 1, "a": "x\ny"}) == b'{"b":1,"a":"x\\ny"}\n'

    @pytest.mark.parametrize("value", ["\udcff", 1 << 70, {"\udcff": 1}, {1: 2}, object(), [{"deep": "\udcff"}]])
    def test_what_json_cannot_hold_is_refused_at_the_door(self, value: object) -> None:
        for write in (records.encode, records.encode_line):
            with pytest.raises(UsageError, match="cannot be written"):
                write({"a": value})

    def test_what_could_not_be_read_again_is_not_written(self) -> None:
        with pytest.raises(UsageError, match=f"at most {RECORD_BYTES}"):
            records.encode_stored({"a": "x" * RECORD_BYTES})
        assert len(records.encode_stored({"a": "x" * (RECORD_BYTES - 14)})) == RECORD_BYTES

    @given(
        st.dictionaries(st.text(max_size=5), st.text() | st.integers(-(1 << 53), 1 << 53) | st.none() | st.booleans())
    )
    def test_what_is_written_is_read_back(self, record: dict[str, Any]) -> None:
        for data in (records.encode(record), records.encode_line(record)):
            assert records.decode(data, "x") == record == json.loads(data)


class TestNotes:
    def test_the_newest_are_kept_and_each_is_cut(self) -> None:
        assert records.notes(["a", 1, 2.5, None, [], {"b": 1}, "b"]) == ["a", "1", "2.5", "b"]
        assert records.notes([str(number) for number in range(NOTES_MOST + 5)])[0] == "5"
        assert records.notes(["x" * (NOTE_CHARS + 1)]) == ["x" * NOTE_CHARS]

    @pytest.mark.parametrize("found", [None, "text", 5, {"a": 1}, b"x"])
    def test_what_is_no_list_holds_no_notes(self, found: object) -> None:
        assert records.notes(found) == []

    def test_all_of_them_fit_into_a_record(self) -> None:
        most = records.notes(["\U0001f600" * NOTE_CHARS for _ in range(NOTES_MOST)])
        assert most
        assert len(records.encode_stored({"achievements": most, "blockers": most})) > RECORD_BYTES // 3

    @pytest.mark.parametrize("value", [0, 0.5, 1, "0.25", True])
    def test_a_fraction(self, value: object) -> None:
        assert 0.0 <= records.fraction(value) <= 1.0

    @pytest.mark.parametrize("value", [-0.1, 1.01, 70, "70%", "", None, [], "nan", float("nan"), float("inf"), 10**400])
    def test_no_fraction(self, value: object) -> None:
        with pytest.raises(UsageError, match="not a number from 0 to 1"):
            records.fraction(value)
