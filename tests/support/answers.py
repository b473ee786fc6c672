"""What commands answer with ``--json``, held against the schema of the command wherever a test asks one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from protocol import document

PROGRAMS = {
    "claude-team-coordinated": ("up",),
    "claude-coordination-status": ("status",),
    "claude-instance-status": ("instance",),
    "claude-reassign-task": ("reassign",),
    "request-task": ("request",),
    "report-progress": ("report",),
    "update-memory": ("memory", "add"),
    "check-status": ("check",),
}
"""Other words for commands: a program that is one, and the verbs of ``coordinate.sh``."""


def read(out: str | bytes, *words: object) -> Any:
    """Read the answer of a command, and assert that it is what its schema says, with no key that it does not say.

    Args:
        out: What the command wrote.
        words: The command with its arguments; programs called before its name may stand there.

    Returns:
        The whole answer: ``data`` or ``error``.
    """
    answer = json.loads(out)
    document.valid("envelope", answer)
    if "data" in answer:
        document.valid(f"cli/{command(*words)}", answer["data"])
    return answer


def command(*words: object) -> str:
    """Name the schema of the command that stands among some words, after programs and their options."""
    said = [one for word in words for one in PROGRAMS.get(Path(str(word)).name, (str(word),))]
    known = {name.removeprefix("cli/") for name in document.schema_names() if name.startswith("cli/")}
    pairs = (("-".join(said[at : at + 2]), said[at]) for at in range(len(said)))
    found = next((name for pair in pairs for name in pair if name in known), "")
    assert found, f"no command that answers: {said}"
    return found


def check_team(common: Path) -> int:
    """Assert that what a team noted in a repository's git directory is what its schemas say; tell how much there is.

    Args:
        common: The git directory that all worktrees share.
    """
    found = [("team", path) for path in common.glob("peercoord/team.json")]
    found += [("worktree", path) for path in common.glob("worktrees/*/peercoord.json")]
    for name, path in found:
        document.valid(name, json.loads(path.read_text(encoding="utf-8")))
    return len(found)
