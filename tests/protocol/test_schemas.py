"""The schemas are true: examples, the code's own checks, and what real commands write and answer agree with them."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from support.project import Project, git, project, second
from support.worlds import unknown

from peercoord.cli.main import COMMANDS, cli
from peercoord.errors import PeercoordError
from peercoord.membership.leadership import Leadership
from peercoord.memory import contribution
from peercoord.memory.journal import Entry
from peercoord.memory.outcome import Candidate
from peercoord.queue.peer import Peer
from peercoord.queue.queue import Queue
from peercoord.queue.recovery import Janitor
from peercoord.status.board import Reader
from peercoord.store import paths, records, settings
from peercoord.store import root as roots
from peercoord.worktree import context
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
LEVELS = (
    "high",
    " High ",
    "\u3000low\x1c",
    "\ufefflow",
    "urgent",
    "03",
    "000",
    "5",
    "²",
    0,
    4,
    5,
    1.0,
    1.5,
    -0.0,
    True,
)
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


# -- what is really written --------------------------------------------------------------------------------------

PLACES = {
    "<id>": r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}",
    "<e>": r"(?:0|[1-9][0-9]{0,14})",
    "<shard>": "[0-9a-f]{2}",
    "<level>": "[0-4]",
    "<block>": "[0-9]{6,}",
    "<why>": "|".join(paths.PARKED_WHY),
    "<outcome>": "|".join(paths.OUTCOMES),
    "<state>": "|".join(paths.MEMORY_STATES),
    "<token>": "[A-Za-z0-9]{6,64}",
    "<path>": "[^/]+",
    "<hash>": "[0-9a-f]{64}",
    "<doc>": r"[A-Za-z0-9][A-Za-z0-9._-]{0,60}\.md",
}
for alias, of in (("<dep>", "<id>"), ("<nonce>", "<id>"), ("<peer>", "<id>"), ("<cid>", "<id>"), ("<record>", "<id>")):
    PLACES[alias] = PLACES[of]
for alias in ("<seq>", "<term>"):
    PLACES[alias] = PLACES["<e>"]
PLACES["<n>"] = PLACES["<e>"] + r"\.[A-Za-z0-9]+"
PLACES["<by>"] = f"{PLACES['<peer>']}~{PLACES['<n>']}"


SHARED, OWN = "`<shard>` two hexadecimal digits.", "belongs to that worktree's peer alone:"
MEMORY = "`<hash>` a SHA-256 in hexadecimal."
NOTED = "decide anything about tasks:"


def pattern(path: str) -> re.Pattern[str]:
    """What a path of the layout table matches."""
    parts = re.split(r"(<\w+>)", path)
    return re.compile("".join(f"(?:{PLACES[part]})" if part in PLACES else re.escape(part) for part in parts))


def layout(after: str) -> dict[str, str]:
    """Each path of a layout table, and what it holds; that of the root goes on on the page of the memory bank."""
    found = {}
    for row in (*document.table(after), *(document.table(MEMORY) if after == SHARED else ())):
        for path in re.findall(r"`([^`]+)`", row[0]):
            found[path] = row[2].strip("`")
    return found


def claimed_by(path: str, places: dict[str, str]) -> list[str]:
    """What the rows that a path falls under say it holds."""
    if path.startswith("departed/"):
        who = re.match(rf"departed/{PLACES['<peer>']}~{PLACES['<n>']}~{PLACES['<by>']}/", path)
        path = f"peers/a~1.x/{path[who.end() :]}" if who else path
    return [content for place, content in places.items() if pattern(place).fullmatch(path)]


def check_file(path: str, content: str, data: bytes) -> None:
    """Assert that a file holds what its row says."""
    if content == "ticket":
        assert data == b"", path
        assert is_ticket(path), path
    elif content == "event":
        for line in data.splitlines():
            document.valid("event", json.loads(line))
    elif content == "empty":
        assert data == b"", path
    elif content not in ("text", "any"):
        document.valid(content, json.loads(data))


def is_ticket(path: str) -> bool:
    """Whether the parsers of names take a path for a ticket's."""
    home, _, name = path.rpartition("/")
    if home == paths.NEW:
        return paths.parse_new(name) is not None
    if home.startswith(paths.DONE):
        return paths.ids.is_id(name)
    found = paths.parse_ticket(name), paths.parse_beat(name), paths.parse_leader(name)
    return any(one is not None for one in found)


def check_tree(root: Path, places: dict[str, str]) -> set[str]:
    """Check every file below a directory; say which rows were met."""
    return check_files(root, sorted(path for path in root.rglob("*") if path.is_file()), places)


def noted(common: Path) -> set[str]:
    """Check every file of ours in a git directory; say which rows were met."""
    return check_files(common, [*common.glob("peercoord/*"), *common.glob("worktrees/*/peercoord*")], layout(NOTED))


def check_files(root: Path, paths: Iterable[Path], places: dict[str, str]) -> set[str]:
    """Check that one row each claims these files below a directory, and what they hold; say which rows were met."""
    met = set()
    for path in paths:
        name = str(path.relative_to(root))
        found = claimed_by(name, places)
        assert len(found) == 1, f"{name} is claimed by {found or 'no row'}"
        check_file(name, found[0], path.read_bytes())
        met.add(found[0])
    return met


AT_WORK = """
one task add First --step a --step b --priority critical
one task add Second --depends-on 1 -d Two
one task add Third
one task add Fourth
one task add Fifth
one task add Sixth
one request
one report --step 1 --achievement reached --blocker hard --time-spent 60
one memory add --file techContext.md --content '- one fact'
one memory add --file techContext.md --content '- handle with care' --critical
one memory merge
one memory add --file techContext.md --content '- another fact'
one report 1 --status done --estimate none
two request
two report --status review --reason look
two request
two release --reason tired
two request
two report --status failed --reason luck
one request
two request
one reassign 3 two
one task cancel 4
one task reopen 1
one config max_attempts 2
"""
"""Commands of two worktrees that leave files of every kind; what each answers is held against its schema."""


def test_every_file_is_claimed_by_one_schema(project: Project, second: Path) -> None:
    """LAY-1, FMT-1, FMT-2, FMT-5, FMT-8: after real commands, an eviction, a broken file and a leader's views."""
    (project.main / "memory-bank").mkdir()
    (project.main / "memory-bank" / "techContext.md").write_text("# Tech context")
    for line in AT_WORK.strip().splitlines():
        who, *words = shlex.split(line)
        assert project(*words, "--json", at=second if who == "two" else None)[0] == 0, line
    library = Peer.join(project.main, "library")
    Leadership(library.membership).take()
    victim = context.find(str(second)).incarnation
    assert victim
    assert Janitor(project.queue, "library").evict(victim, library.membership.me, "the test says so")
    broken = project.state / paths.definition("5")
    broken.write_bytes(b"{,")
    assert project.queue.location_of("5").detail == "unreadable"
    (project.state / "tmp" / "litter").write_bytes(b"")
    Reader(Queue(library.root), unknown).publish()
    met = check_tree(project.state, layout(SHARED))
    assert {"protocol", "birth", "definition", "result", "peer", "assignment", "report", "contribution"} <= met
    assert {"candidate", "entry", "last-merge"} <= met
    assert {"event", "state", "task_queue", "ticket", "text", "empty", "any"} <= met
    inside = check_tree(project.worktree / ".claude-instance", layout(OWN))
    assert {"info", "report"} <= inside


@pytest.mark.slow
def test_a_team_with_agents_leaves_only_files_that_the_layout_knows(tmp_path: Path) -> None:
    """LAY-1, FMT-2, BOX-5: the installed commands, agents in the background, calls through the sandbox door."""
    home = tmp_path / "p"
    home.mkdir()
    git(home, "init", "-q", "-b", "main")
    git(home, "commit", "-q", "--allow-empty", "-m", "first")
    program = [sys.executable, "-m", "peercoord", "-C", str(home)]
    subprocess.run([*program, "up", str(home), "2"], check=True, capture_output=True)
    try:
        subprocess.run([*program, "task", "add", "First"], check=True, capture_output=True)
        worktrees = sorted(tmp_path.glob("p-*"))
        script = str(worktrees[0] / paths.INSTANCE / "coordinate.sh")
        for words in (["request-task"], ["report-progress", "--progress", "0.5"], ["check-status"]):
            done = subprocess.run([script, *words, "--json"], check=True, capture_output=True)
            document.valid("envelope", json.loads(done.stdout))
        assert "agent" in check_tree(worktrees[0] / paths.INSTANCE, layout(OWN))
        assert "answer" in check_tree(worktrees[0] / paths.INSTANCE, layout(OWN))
        assert "peer" in check_tree(home / paths.ROOT, layout(SHARED))
        assert noted(home / ".git") >= {"team", "worktree"}
    finally:
        subprocess.run([*program, "down", "--remove"], check=True, capture_output=True)


def test_the_classification_tells_what_is_foreign() -> None:
    """VER-4, NAM-3: no row claims a name that is almost ours."""
    places = layout(SHARED)
    for path in ("births/a1/1.json~", "queue/ready/7/000000/1~0", "queue/done/a1/1~1~done", "peers/a/beat~1", "x.json"):
        assert claimed_by(path, places) == [], path


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


# -- files that people edit --------------------------------------------------------------------------------------


def test_files_that_people_edit_name_a_schema_that_lies_beside_them(tmp_path: Path) -> None:
    """FMT-9: no network is needed to find it, and it is the very schema."""
    root = roots.create(str(tmp_path / paths.ROOT), "p")
    Queue(root).add(records.define("1", "First"))
    for path, record in ((paths.PROTOCOL, "protocol"), (paths.definition("1"), "definition")):
        file = tmp_path / paths.ROOT / path
        schema = (file.parent / json.loads(file.read_text())["$schema"]).resolve()
        assert schema.read_bytes() == (document.SCHEMAS / f"{record}.schema.json").read_bytes()
