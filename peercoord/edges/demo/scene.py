"""The demonstration's stage: a git repository with a memory bank, and a TaskMaster database beside it."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from peercoord.edges.team import git

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

TASKS: tuple[tuple[str, str, tuple[int, ...]], ...] = (
    ("Project Setup and Foundation", "high", ()),
    ("Research existing link shorteners", "medium", ()),
    ("API Design", "high", (1,)),
    ("Storage layer", "high", (1,)),
    ("Short code generator", "medium", (1,)),
    ("Create endpoint", "high", (3, 4, 5)),
    ("Redirect endpoint", "high", (3, 4)),
    ("Click statistics", "medium", (4, 7)),
    ("Rate limiter", "medium", (3,)),
    ("Command line client", "low", (6,)),
    ("Web page", "low", (6, 7)),
    ("Load test", "medium", (7, 9)),
    ("Documentation", "low", (6, 7)),
    ("Container image", "medium", (6,)),
    ("Release", "critical", (8, 10, 11, 12, 13, 14)),
)
"""Title, priority, dependencies; ids count from 1."""

BANK = {
    "projectbrief.md": "# Project brief\n\nA small link shortener, made to show a team at work.\n",
    "productContext.md": "# Product context\n\n## Problem\n\nLong links break in mail and on paper.\n",
    "systemPatterns.md": "# System patterns\n\n## Decisions\n\n- One process, one SQLite file.\n",
    "techContext.md": "# Tech context\n\n## Tools\n\n- Python, SQLite.\n",
    "activeContext.md": "# Active context\n\n## Current focus\n\nGetting started.\n",
    "progress.md": "# Progress\n\nNothing yet.\n",
}

_IDENTITY = ("-c", "user.name=peercoord demo", "-c", "user.email=demo@localhost", "-c", "commit.gpgsign=false")


def make(home: Path, tasks: int) -> tuple[Path, Path]:
    """Make the repository and the database.

    Args:
        home: An empty directory.
        tasks: How many tasks; those beyond the written ones extend the last ones.

    Returns:
        Path of the repository, and of the database.
    """
    project = home / "shortlink"
    bank = project / "memory-bank"
    bank.mkdir(parents=True)
    for name, content in BANK.items():
        (bank / name).write_text(content, encoding="utf-8")
    (project / "README.md").write_text("# shortlink\n", encoding="utf-8")
    git.ask(project, "init", "-q", "-b", "main")
    for key, value in (("user.name", "peercoord demo"), ("user.email", "demo@localhost"), ("commit.gpgsign", "false")):
        git.ask(project, "config", key, value)
    git.ask(project, "add", "-A")
    git.ask(project, *_IDENTITY, "commit", "-q", "-m", "A project to work on")
    database = home / "claude_memory.db"
    _make_database(database, tasks)
    return project, database


def _make_database(path: Path, count: int) -> None:
    rows = [(at, *_row(at)) for at in range(1, count + 1)]
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "CREATE TABLE tasks (id INTEGER PRIMARY KEY, title TEXT NOT NULL, description TEXT,"
            " status TEXT DEFAULT 'pending', priority TEXT DEFAULT 'medium', dependencies TEXT DEFAULT '[]')"
        )
        connection.executemany(
            "INSERT INTO tasks (id, title, description, priority, dependencies) VALUES (?, ?, ?, ?, ?)", rows
        )


def _row(at: int) -> tuple[str, str, str, str]:
    if at <= len(TASKS):
        title, priority, needs = TASKS[at - 1]
    else:
        title, priority, needs = f"Follow-up {at - len(TASKS)}", "medium", (at - 3,)
    return title, f"{title} for the link shortener.", priority, str(list(needs))
