"""The schemas are true: examples and the code's own checks agree with them, and every answer has one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from support.project import project, second

from peercoord.cli.main import COMMANDS, cli
from peercoord.errors import PeercoordError
from peercoord.memory import contribution
from peercoord.memory.journal import Entry
from peercoord.memory.outcome import Candidate
from peercoord.store import records, settings
from peercoord.store import root as roots
from protocol import document

__all__ = ["project", "second"]

RECORDS = [name for name in document.schema_names() if not name.startswith("cli/")]
ANSWERS = [name for name in document.schema_names() if name.startswith("cli/")]
CASES = sorted(document.EXAMPLES.rglob("*.json"))


# -- the schemas themselves --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", document.schema_names())
def test_a_schema_is_one_names_itself_and_takes_unknown_keys(name: str) -> None:
    """VER-3."""
    schema = json.loads((document.SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    document.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"{name.rpartition('/')[2]}.schema.json"
    assert schema["title"]
    assert schema["description"]
    assert '"additionalProperties": false' not in json.dumps(schema)
    assert "unevaluatedProperties" not in json.dumps(schema)
    used = set(re.findall(r'"#/\$defs/(\w+)"', json.dumps(schema)))
    assert used == set(schema.get("$defs", {})), "a definition is missing, or not used"


@pytest.mark.parametrize("name", RECORDS)
def test_a_schema_describes_every_key(name: str) -> None:
    """FMT-2: the meaning of each key stands in its schema."""
    assert list(document.undescribed(document.schema(name))) == []


def test_what_schemas_define_in_common_is_the_same_in_each() -> None:
    defined: dict[str, Any] = {}
    for name in document.schema_names():
        schema = json.loads((document.SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
        for key, value in schema.get("$defs", {}).items():
            assert defined.setdefault(key, value) == value, f"{name}: {key}"


def test_a_key_that_no_branch_of_a_schema_knows_is_found_at_any_depth() -> None:
    """VER-3: what the code writes, a page documents. Else tests would take what readers take."""
    report = {"instance_id": "a", "assigned_tasks": [{"task_id": 1, "mood": {"today": "good"}}], "weather": 1}
    assert list(document.foreign("report", report)) == ["/assigned_tasks[]/mood", "/weather"]
    assert list(document.foreign("task_queue", {"tasks": [{"task_id": 1, "assigned_to": {"id": "a"}}]})) == [
        "/tasks[]/assigned_to/id"
    ]
    assert list(document.foreign("cli/request", {"definition": {"source": {"extra": {"x": 1}, "y": 2}}})) == [
        "/definition/source/y"
    ]
    assert list(document.foreign("event", {"event": "claimed", "because": {"x": 1}})) == []
    with pytest.raises(AssertionError, match="/parked/mood"):
        document.valid("definition", {"task_id": 1, "title": "a", "parked": {"why": "held", "mood": 1}})


# -- examples ----------------------------------------------------------------------------------------------------


def _protocol(raw: Any) -> None:
    roots._check(raw, "here", "")


CHECKS: dict[str, Callable[[Any], object]] = {
    "definition": records.checked,
    "birth": lambda raw: records.Birth.read(raw, "here", "2"),
    "contribution": contribution.check,
    "protocol": _protocol,
    "candidate": lambda raw: Candidate.read(raw, "here"),
    "entry": lambda raw: Entry.read(raw, "here"),
}
LENIENT = {"current-that-is-no-hash", "unknown-kind", "without-members"}  # read by their own writer alone
"""How the code itself checks a record, where it does."""


@pytest.mark.parametrize("path", CASES, ids=lambda path: str(path.relative_to(document.EXAMPLES)))
def test_an_example_is_what_its_folder_says(path: Path) -> None:
    """FMT-2, FMT-6: and the code agrees."""
    record, kind = path.parts[-3:-1]
    raw = json.loads(path.read_text(encoding="utf-8"))
    assert document.validator(record).is_valid(raw) == (kind == "valid")
    check = CHECKS.get(record)
    if check and isinstance(raw, dict):
        if kind == "valid":
            check(raw)
        elif path.stem not in LENIENT:
            with pytest.raises(PeercoordError):
                check(raw)


def test_every_record_has_examples_of_both_kinds() -> None:
    found = {path.parts[-3:-1] for path in CASES}
    assert found == {(name, kind) for name in RECORDS for kind in ("valid", "invalid")}


TEXTS = ("", " ", "\u3000", "\x1f", "\x85", "a", " a\u2028b", "two\nlines", "two\rlines")
TEXTS += ("x" * 500, "x" * 501, "😀" * 500)
IDS = (0, 1, 1.0, -0.0, -1, 1.5, "7", "a", "a/b", "", "~", "x" * 64, "x" * 65, True, None, [], 10**15 - 1)
ODD = (None, True, False, 0, 1, 1.0, -1, "", "text", [], ["text"], {}, {"why": "held"}, {"why": "no reason"}, {"by": 5})
LEVELS: tuple[object, ...] = ("high", " High ", "\u3000low\x1c", "\ufefflow", "urgent", "03", "000", "5", "²")
LEVELS += (0, 4, 5, 1.0, 1.5, -0.0, True)
DEFINITIONS = st.fixed_dictionaries(
    {},
    optional={
        "task_id": st.sampled_from(IDS),
        "title": st.sampled_from((*TEXTS, *ODD)),
        **{key: st.sampled_from((*TEXTS, *ODD)) for key in ("description", "details")},
        "priority": st.sampled_from((*LEVELS, *ODD)),
        "dependencies": st.lists(st.sampled_from(IDS), max_size=2) | st.sampled_from(ODD),
        "subtasks": st.lists(
            st.fixed_dictionaries(
                {},
                optional={"id": st.sampled_from(IDS), **dict.fromkeys(("title", "status"), st.sampled_from(ODD))},
            ),
            max_size=1,
        )
        | st.sampled_from(ODD),
        **{key: st.sampled_from(ODD) for key in ("cancelled", "parked", "notes", "source", "edited_at", "due", "new")},
        **{key: st.sampled_from(ODD) for key in ("schema_version", "$schema")},
    },
)


@given(DEFINITIONS)
@example({"description": "x" * (settings.TEXT_CHARS + 1)})
@example({"details": "x" * settings.TEXT_CHARS})
@example({"dependencies": [str(number) for number in range(settings.DEPENDENCIES_MOST + 1)]})
@example({"subtasks": [{"id": number, "title": "x"} for number in range(settings.STEPS_MOST + 1)]})
@example({"priority": "9" * 5000})
def test_a_definition_is_broken_exactly_if_its_schema_refuses_it(raw: Any) -> None:
    """FMT-6: but for what no schema says: two steps of one id, and a step's full id above 64 characters."""
    raw = {"task_id": 5, "title": "a", **raw}
    steps = raw.get("subtasks")
    if isinstance(steps, list):
        steps = raw["subtasks"] = [{"id": 1, "title": "a", **one} if isinstance(one, dict) else one for one in steps]
        long = any(isinstance(one, dict) and one["id"] == "x" * 64 for one in steps)
        assume(not long and raw["task_id"] != "x" * 64)
    try:
        records.checked(raw)
        refused = ""
    except PeercoordError as error:
        refused = error.message
    assert document.validator("definition").is_valid(raw) == (not refused)
    assert not refused or (refused.isprintable() and len(refused) < 300)


@pytest.mark.parametrize(
    "raw",
    [
        {"subtasks": [{"id": 1, "title": "a"}, {"id": "5.1", "title": "b"}]},
        {"subtasks": [{"id": "x" * 63, "title": "a"}]},
    ],
)
def test_what_no_schema_says_is_broken_all_the_same(raw: Any) -> None:
    """FMT-6."""
    raw = {"task_id": 5, "title": "a", **raw}
    assert document.validator("definition").is_valid(raw)
    with pytest.raises(PeercoordError):
        records.checked(raw)


# -- commands ----------------------------------------------------------------------------------------------------


def answering() -> Iterator[str]:
    """Every command that knows ``--json``, by the name of its schema."""
    context_ = click.Context(cli)
    for name in COMMANDS:
        try:
            command = cli.get_command(context_, name)
        except ModuleNotFoundError:
            continue
        leaves = {name: command}
        if isinstance(command, click.Group):
            leaves = {f"{name}-{sub}": one for sub, one in command.commands.items()}
        for leaf, one in leaves.items():
            if one is not None and any("--json" in option.opts for option in one.params):
                yield f"cli/{leaf}"


def test_every_answer_has_a_schema() -> None:
    found = set(answering())
    assert sorted(found - set(ANSWERS)) == [], "write their schemas in protocol/schemas/v1/cli/"
    assert sorted(set(ANSWERS) - found) == [], "no command answers like this any more"
