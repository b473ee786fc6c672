"""Five scenes in which every command is called: a fresh team, one at work, a dead peer, a memory conflict, a list."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from memory.helpers import LIMITS, TECH, change
from support.project import Project

from peercoord.cli import main as cli
from peercoord.memory.bank import Bank
from peercoord.memory.document import split_document
from peercoord.store import records
from peercoord.system import process
from peercoord.system.sessions import Caller
from peercoord.worktree import context

SCENES: dict[str, Callable[[Project], None]] = {}


def scene(build: Callable[[Project], None]) -> Callable[[Project], None]:
    SCENES[build.__name__.replace("_", " ")] = build
    return build


def caller() -> Caller:
    """Return a coding agent that runs as long as the tests do."""
    return Caller({**(process.identify(os.getpid()) or {}), "program": "claude"}, "claude")


def done(project: Project, *words: str, at: Path | None = None, by: Caller | None = None) -> str:
    """Call a command that must succeed; return what it printed."""
    place = context.find(str(at or project.worktree))
    code, out, err = cli.serve(list(words), cli.Call(place, by or caller()))
    assert code == 0, f"{words}: {code} {err.decode()}"
    return out.decode()


@scene
def fresh_team(project: Project) -> None:
    """Four unclaimed tasks; one depends on another, one is cancelled."""
    for title, more in (
        ("Set up the project", ["--priority", "high"]),
        ("Design the API", ["--depends-on", "1"]),
        ("Research", []),
        ("Old idea", []),
    ):
        done(project, "task", "add", title, *more, at=project.main)
    done(project, "task", "cancel", "4", at=project.main)


@scene
def team_at_work(project: Project) -> None:
    """One task is done, one held at 40 %, one reported blocked."""
    fresh_team(project)
    for word in ("Write the docs", "Release"):
        done(project, "task", "add", word, at=project.main)
    done(project, "request-task")
    done(project, "report-progress", "1", "--progress", "0.5", "--achievement", "it builds")
    done(project, "report-progress", "1", "--status", "done", "--achievement", "all is set up")
    done(project, "request-task")
    done(project, "report-progress", "2", "--status", "blocked", "--blocker", "which database?")
    done(project, "request-task")
    done(project, "report-progress", "3", "--progress", "0.4", "--achievement", "two papers read")


@scene
def dead_peer(project: Project) -> None:
    """The only instance holds a task, and its session and agent have ended."""
    fresh_team(project)
    ended = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    gone = Caller({**(process.identify(ended.pid) or {}), "program": "codex"}, "codex")
    done(project, "request-task", by=gone)
    ended.communicate()


@scene
def memory_conflict(project: Project) -> None:
    """Two instances changed one section differently; a person has to decide."""
    fresh_team(project)
    home = project.main / "memory-bank"
    home.mkdir()
    (home / "techContext.md").write_bytes(TECH)
    bank = Bank(project.queue.root, str(home))
    bank.store.texts.keep({section.hash: section.core for section in split_document(TECH).sections})
    for minutes in (30, 60):
        text = f"Sessions expire after {minutes} minutes.\nUploads are at most 5 MB.\nNames are unique."
        bank.store.publish(change(text, LIMITS, peer=f"instance-{minutes // 30}", time=minutes // 30))
    bank.merge("instance-1", lambda: True)


@scene
def list_in_step(project: Project) -> None:
    """The tasks come from a tasks.json, which is kept in step."""
    path = project.main / ".taskmaster" / "tasks" / "tasks.json"
    path.parent.mkdir(parents=True)
    rows = [
        {"id": 1, "title": "Set up", "description": "the project", "status": "done", "priority": "high"},
        {"id": 2, "title": "Design", "description": "the API", "status": "pending", "dependencies": [1]},
        {"id": 3, "title": "Release", "status": "pending", "dependencies": [2]},
    ]
    path.write_text(json.dumps({"master": {"tasks": rows}}, indent=2))
    with closing(sqlite3.connect(project.main / "tm.db")) as database:
        database.execute("CREATE TABLE tasks (id INTEGER PRIMARY KEY, title TEXT, status TEXT, project_id TEXT)")
    root = project.queue.root
    chosen = {"database": "tm.db", "tasks_file": {"path": ".taskmaster/tasks/tasks.json", "tag": "master"}}
    root.files.put("protocol.json", records.encode({**root.protocol, **chosen}), durable=True)
    done(project, "sync", at=project.main)
