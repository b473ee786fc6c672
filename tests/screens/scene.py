"""A small team at work, the same in every run but for its path: what the screens are tested with, and pictured from.

Everything is made by the commands, on a real repository, by a clock that stands still.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from memory.helpers import LIMITS, TECH, change
from support.project import MAIN, Project, add_worktree, git

from peercoord.cli import main as cli
from peercoord.landing.forecast import forecasts
from peercoord.membership import membership as members
from peercoord.membership.leadership import Leadership
from peercoord.memory.bank import Bank
from peercoord.memory.document import split_document
from peercoord.queue.queue import Queue
from peercoord.screens.dash_source import Source
from peercoord.store import root as roots
from peercoord.store import session_records
from peercoord.system import process
from peercoord.system.clock import Clock
from peercoord.system.sessions import Caller
from peercoord.worktree import context

DAY = "2026-05-26"
NOW = f"{DAY}T14:32:05Z"
NAMES = ("instance-1", "instance-2", "instance-3")
TASKS = (
    ("Project setup", "high", ()),
    ("Compare three HTTP frameworks", "medium", ()),
    ("API design", "high", (1,)),
    ("Pricing rules", "medium", (1,)),
    ("Session handling", "high", (2,)),
    ("Rate limiting", "medium", (5,)),
    ("Import of old invoices", "low", (2,)),
    ("Release notes", "low", (3, 6)),
    ("Translate the error pages", "low", ()),
)


class At:
    """What the clock says."""

    text = NOW


@contextmanager
def at(text: str = NOW) -> Iterator[None]:
    """Let the wall clock of every record stand still."""
    before, At.text = At.text, text
    with mock.patch.object(Clock, "now", side_effect=lambda: At.text):
        yield
    At.text = before


def clock(time: str) -> None:
    At.text = f"{DAY}T{time}:00Z" if len(time) == 5 else f"{DAY}T{time}Z"


def begun(home: Path) -> Project:
    """Make a repository with three worktrees and a memory bank."""
    main = home / MAIN
    (main / "memory-bank").mkdir(parents=True)
    git(main, "init", "-q", "-b", "main", "--template=")
    (main / ".git" / "info").mkdir(exist_ok=True)
    (main / ".git" / "info" / "exclude").write_text(".claude-coordination/\n.claude-instance/\n")
    (main / "memory-bank" / "techContext.md").write_bytes(TECH)
    (main / "api.py").write_text("def routes():\n    return []\n")
    git(main, "add", "-A")
    git(main, "commit", "-q", "-m", "first")
    made = Project(main, main, Queue(roots.create(str(main / ".claude-coordination"), "my-app")))
    for one in NAMES:
        made.worktree = add_worktree(made, one, f"team/{one}")
    return made


def tree(project: Project, number: int) -> Path:
    return project.main.parent / f"instance-{number}"


def caller() -> Caller:
    """A coding agent that runs as long as the tests do."""
    return Caller({**(process.identify(os.getpid()) or {}), "program": "claude"}, "claude")


def call(project: Project, number: int, *words: str) -> str:
    """Call a command that must succeed, for an instance, or for a person with 0."""
    place = context.find(str(tree(project, number) if number else project.main))
    code, out, err = cli.serve(list(words), cli.Call(place, caller()))
    assert code == 0, f"{words}: {code} {err.decode()}"
    return out.decode()


def commit(project: Project, number: int, name: str, text: str) -> None:
    (tree(project, number) / name).write_text(text)
    git(tree(project, number), "add", "-A")
    git(tree(project, number), "commit", "-q", "-m", f"change {name}")


def lead(project: Project, name: str) -> None:
    """Let an instance lead the team."""
    root = project.queue.root
    me = next(who for who in members.living(root) if who.peer == name)
    assert Leadership(members.Membership(root, me)).take() is not None


def said(project: Project, number: int, state: str, since: str, why: str = "") -> None:
    """Let the coding session of an instance say what it does."""
    who = f"instance-{number}"
    record = {"agent": "claude", "state": state, "process": caller().session, "since": f"{DAY}T{since}Z", "why": why}
    session_records.write(project.queue.root.files, who, record)


def at_work(home: Path) -> Project:
    """A team in the middle of its work: one asks, one is blocked, two disagree about the memory bank."""
    with at():
        clock("12:58")
        project = begun(home)
        for title, priority, needs in TASKS:
            depends = [word for one in needs for word in ("--depends-on", str(one))]
            call(project, 0, "task", "add", title, "--priority", priority, *depends)
        clock("13:02")
        call(project, 1, "request-task")
        lead(project, "instance-1")
        call(project, 2, "request-task")
        commit(project, 1, "setup.py", "from setuptools import setup\nsetup()\n")
        clock("13:31")
        call(project, 1, "report-progress", "1", "--status", "done", "--achievement", "builds and tests run")
        commit(project, 1, "api.py", "def routes():\n    return ['/v1/invoices']\n")
        call(project, 1, "request-task")
        clock("13:40")
        call(project, 2, "report-progress", "2", "--status", "done", "--achievement", "starlette: small, typed")
        call(project, 2, "request-task")
        clock("13:51")
        call(project, 3, "request-task")
        call(project, 1, "report-progress", "3", "--progress", "0.4", "--achievement", "schema written, 6 tests")
        _conflict(project)
        clock("14:26")
        held = project.data("check-status", at=tree(project, 3))["assigned_tasks"][0]["task_id"]
        call(
            project, 3, "report-progress", str(held), "--status", "blocked", "--blocker", "needs a decision on pricing"
        )
        call(project, 3, "request-task")
        (project.main / "api.py").write_text("def routes():\n    return ['/health']\n")
        git(project.main, "commit", "-q", "-am", "health check")
        commit(project, 2, "sessions.py", "TTL = 30 * 60\n")
        said(project, 2, "needs permission", "14:28:05", "npm publish")
        clock("14:31:53")
        call(project, 1, "report-progress", "3", "--progress", "0.7", "--achievement", "handlers for invoices")
        clock("14:32:05")
        while len(forecasts(project.queue.root, [f"team/{one}" for one in NAMES])) < len(NAMES):
            pass  # git has a second for all of them, which a busy machine may not give it at once
    return project


def _conflict(project: Project) -> None:
    """Two instances changed one section of the memory bank differently."""
    bank = Bank(project.queue.root, str(project.main / "memory-bank"))
    bank.store.texts.keep({section.hash: section.core for section in split_document(TECH).sections})
    for minutes in (30, 60):
        text = f"Sessions expire after {minutes} minutes.\nUploads are at most 5 MB.\nNames are unique."
        bank.store.publish(change(text, LIMITS, peer=f"instance-{minutes // 30}", time=minutes // 30))
    bank.merge("instance-1", lambda: True)


def source(project: Project) -> Source:
    return Source(str(project.main), roots.open_root(str(project.state)))
