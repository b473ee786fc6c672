"""Records: what is read, what is refused and in which words, and that unknown keys are kept."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peercoord.errors import BrokenFileError, UsageError
from peercoord.store import records
from peercoord.store.records import Birth, Definition
from peercoord.store.settings import (
    NESTING_MOST,
    NOTE_CHARS,
    NOTES_MOST,
    RECORD_BYTES,
)

GOOD: dict[str, Any] = {"schema_version": 1, "task_id": 5, "title": "Fix the login"}


class TestDefinitions:
    """Which definitions are broken, tests/protocol/test_schemas.py asks of the schema; here is how that is said."""

    def test_a_definition_must_be_of_the_task_that_its_file_names(self) -> None:
        with pytest.raises(BrokenFileError, match=r"tasks/aa/6.json: task_id is '5', its name says '6'"):
            Definition.read(dict(GOOD), "tasks/aa/6.json", "6")

    def test_dependencies_are_ids_without_repeats_in_order(self) -> None:
        assert records.define("5", "x", dependencies=[4, "3", "4", 3]).dependencies == ["4", "3"]
        assert records.define("5", "x", dependencies=[4, "a"]).raw["dependencies"] == [4, "a"]

    def test_unknown_keys_are_kept(self) -> None:
        raw = {**GOOD, "x-team": {"deep": [1, None, "é"]}, "subtasks": [{"id": 1, "title": "a", "x": 1}]}
        again = records.checked(records.decode(records.encode(raw), "x"))
        assert again.raw == raw
        assert list(again.raw) == list(raw)
        assert again.steps[0].raw == {"id": 1, "title": "a", "x": 1}
        assert records.define("5", "x", colour="red").raw["colour"] == "red"

    @pytest.mark.parametrize(
        ("given_id", "full"),
        [(1, "5.1"), ("1", "5.1"), ("5.1", "5.1"), ("5.1.2", "5.1.2"), ("55.1", "5.55.1"), ("a", "5.a")],
    )
    def test_steps_have_dotted_ids(self, given_id: object, full: str) -> None:
        assert records.step_id(given_id, "5") == full

    @pytest.mark.parametrize(
        ("note", "reason"),
        [("no", "no"), ({"reason": "no"}, "no"), (True, "cancelled"), ({"reason": 5}, "cancelled"), (" ", "cancelled")],
    )
    def test_a_cancelled_task_has_a_reason(self, note: object, reason: str) -> None:
        assert records.define("5", "x", cancelled=note).cancelled == reason

    def test_a_whole_number_may_be_written_as_a_float(self) -> None:
        """FMT-1: ``1.0`` and ``1`` are one JSON number."""
        text = b'{"task_id": 5.0, "title": "x", "priority": 1e0, "dependencies": [4.0], '
        text += b'"subtasks": [{"id": 1.0, "title": "a"}]}'
        definition = Definition.read(records.decode(text, "x"), "x", "5")
        assert (definition.task, definition.level, definition.dependencies) == ("5", 1, ["4"])
        assert [step.step for step in definition.steps] == ["5.1"]


class TestBirths:
    BIRTH = Birth("5", "n0nce", 7, records.define("5", "x", colour="red"))
    RAW = BIRTH.record("person", "2026-01-31T15:30:00Z")

    def test_a_birth_record_is_read_back(self) -> None:
        again = Birth.read(records.decode(records.encode(self.RAW), "x"), "births/aa/5.json", "5")
        assert again == self.BIRTH

    @pytest.mark.parametrize(
        ("key", "value"), [("nonce", "a~b"), ("order", True), ("definition", {**GOOD, "task_id": 6})]
    )
    def test_a_bad_one_is_broken(self, key: str, value: object) -> None:
        with pytest.raises(BrokenFileError, match=r"^births/aa/5.json"):
            Birth.read({**self.RAW, key: value}, "births/aa/5.json", "5")


class TestJson:
    @pytest.mark.parametrize(
        "data",
        [
            *(b"", b" ", b"{", b'{"a":', b"[]", b'"text"', b"5", b"null", b"\xff\xfe", b"\x00" * 100, b"[" * 100_000),
            *(b'{"a": NaN}', b'{"a": Infinity}', b'{"a": 1e999}', b'{"a": 1}x', b'{"a": "\xff"}', b"\xef\xbb\xbf"),
            *(b'{"a": "\\ud800"}', b'{"\\udfff": 1}', b'\xef\xbb\xbf\xef\xbb\xbf{"a": 1}', b"\xff\xfe{\x00}\x00"),
            *(b'{"a":' + b"[" * 1024 + b"]" * 1024 + b"}", b" " * (RECORD_BYTES + 1)),
        ],
        ids=lambda value: ascii(value)[:20],
    )
    def test_anything_but_one_json_object_is_broken_and_never_empty(self, data: bytes) -> None:
        with pytest.raises(BrokenFileError, match=r"^some/file.json "):
            records.decode(data, "some/file.json")

    def test_what_every_reader_makes_of_json_at_its_edges(self) -> None:
        """FMT-1: one rule for each; a record of this depth is read and written."""
        assert records.decode(b'\xef\xbb\xbf{"a": 1}', "x") == {"a": 1}
        assert records.decode(b'{"a": 1, "a": 2}', "x") == {"a": 2}
        assert records.decode(b'{"a": "\\ud83d\\ude00"}', "x") == {"a": "\U0001f600"}
        nested: Any = 1
        for _ in range(NESTING_MOST - 1):
            nested = [nested]
        assert records.decode(records.encode_stored({"a": nested}), "x") == {"a": nested}

    def test_records_are_written_for_people(self) -> None:
        assert records.encode({"b": "é", "a": [1]}) == '{\n  "b": "é",\n  "a": [\n    1\n  ]\n}\n'.encode()
        assert records.encode_line({"b": 1, "a": "x\ny"}) == b'{"b":1,"a":"x\\ny"}\n'

    @pytest.mark.parametrize("value", ["\udcff", 1 << 70, {"\udcff": 1}, {1: 2}, object(), [{"deep": "\udcff"}]])
    def test_a_value_that_json_cannot_hold_is_refused(self, value: object) -> None:
        for write in (records.encode, records.encode_line):
            with pytest.raises(UsageError, match="cannot be written"):
                write({"a": value})

    def test_a_record_that_could_not_be_read_again_is_not_written(self) -> None:
        with pytest.raises(UsageError, match=f"at most {RECORD_BYTES}"):
            records.encode_stored({"a": "x" * RECORD_BYTES})
        assert len(records.encode_stored({"a": "x" * (RECORD_BYTES - 14)})) == RECORD_BYTES

    @given(
        st.dictionaries(st.text(max_size=5), st.text() | st.integers(-(1 << 53), 1 << 53) | st.none() | st.booleans())
    )
    def test_every_record_is_read_back(self, record: dict[str, Any]) -> None:
        for data in (records.encode(record), records.encode_line(record)):
            assert records.decode(data, "x") == record == json.loads(data)


class TestNotes:
    def test_the_newest_notes_are_kept_and_each_is_cut(self) -> None:
        assert records.notes(["a", 1, 2.5, None, [], {"b": 1}, "b"]) == ["a", "1", "2.5", "b"]
        assert records.notes([str(number) for number in range(NOTES_MOST + 5)])[0] == "5"
        assert records.notes(["x" * (NOTE_CHARS + 1)]) == ["x" * NOTE_CHARS]
        assert [records.notes(found) for found in (None, "text", 5, {"a": 1}, b"x")] == [[]] * 5
        most = records.notes(["\U0001f600" * NOTE_CHARS for _ in range(NOTES_MOST)])
        assert len(records.encode_stored({"achievements": most, "blockers": most})) > RECORD_BYTES // 3

    def test_a_fraction_is_a_number_from_0_to_1(self) -> None:
        assert [records.fraction(value) for value in (0, 0.5, 1, "0.25", True)] == [0, 0.5, 1, 0.25, 1]
        for value in (-0.1, 1.01, 70, "70%", "", None, [], "nan", float("nan"), float("inf"), 10**400):
            with pytest.raises(UsageError, match="not a number from 0 to 1"):
                records.fraction(value)
