"""What real commands write is what the layout tables and the schemas say, file by file."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from support.project import Project, git, project, second
from support.worlds import unknown

from peercoord.membership.leadership import Leadership
from peercoord.queue.peer import Peer
from peercoord.queue.queue import Queue
from peercoord.queue.recovery import Janitor
from peercoord.status.board import Reader
from peercoord.store import paths, records
from peercoord.store import root as roots
from peercoord.worktree import context
from protocol import document

__all__ = ["project", "second"]

ID, NUMBER = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", r"(?:0|[1-9][0-9]{0,14})"
LIFE = rf"{NUMBER}\.[A-Za-z0-9]+"
PLACES = {
    **dict.fromkeys(("<id>", "<dep>", "<nonce>", "<peer>", "<cid>", "<record>"), ID),
    **dict.fromkeys(("<e>", "<seq>", "<term>"), NUMBER),
    "<n>": LIFE,
    "<by>": f"{ID}~{LIFE}",
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
    if content in ("ticket", "empty"):
        assert data == b"", path
    elif content == "event":
        for line in data.splitlines():
            document.valid("event", json.loads(line))
    elif content not in ("text", "any"):
        document.valid(content, json.loads(data))


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


def test_files_that_people_edit_name_a_schema_that_lies_beside_them(tmp_path: Path) -> None:
    """FMT-9: no network is needed to find it, and it is the very schema."""
    root = roots.create(str(tmp_path / paths.ROOT), "p")
    Queue(root).add(records.define("1", "First"))
    for path, record in ((paths.PROTOCOL, "protocol"), (paths.definition("1"), "definition")):
        file = tmp_path / paths.ROOT / path
        schema = (file.parent / json.loads(file.read_text())["$schema"]).resolve()
        assert schema.read_bytes() == (document.SCHEMAS / f"{record}.schema.json").read_bytes()
