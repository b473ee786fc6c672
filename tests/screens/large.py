"""A large team on disk to look at: one peer is dead, attempts lie over some hours, and the memory has a clash."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from memory.helpers import LIMITS, TECH, change
from support.project import Project, build, git

from peercoord.membership import membership as members
from peercoord.membership.liveness import UNKNOWN, Verdict
from peercoord.memory.bank import Bank
from peercoord.memory.document import split_document
from peercoord.queue.queue import Queue
from peercoord.queue.reassign import reassign
from peercoord.queue.recovery import Janitor
from peercoord.queue.worker import Worker
from peercoord.store import paths, records, session_records
from peercoord.system import clock, process
from peercoord.system.sessions import LIMITED, PERMISSION

HOSTILE = (
    "<script>document.title='taken'</script>",
    "<img src=x onerror=\"document.title='taken'\">",
    '"><svg onload=document.title=1>&amp;</textarea></title>',
    "{{ 7*7 }} {% raw %} ${7*7} javascript:alert(1)",
    "\x1b[31mred\x1b[0m \x07bell\x9b31m \u202egnp.exe\u202c \u200bhidden",
    "多言語のタイトル、日本語で長い説明を書く",
    "כותרת מימין לשמאל עם English באמצע",
    "🧑‍💻 emoji title 👩🏽‍🚀",
    "A title of three hundred characters " + "that goes on and on " * 14,
)
"""Titles that must do nothing but be read."""
VERBS = ("Add", "Fix", "Write", "Move", "Test", "Document", "Remove", "Measure")
THINGS = ("the login form", "rate limits", "the importer", "search", "the billing report", "caching", "the audit log")


class Past(clock.Clock):
    """A clock that stands some hours ago and is moved by hand."""

    def __init__(self, hours: float) -> None:
        self.at = time.time() - hours * 3600

    def now(self) -> str:
        return clock.moment(self.at)


def make(
    home: Path,
    tasks: int = 1000,
    peers: int = 50,
    hours: float = 9.0,
    texts: Sequence[str] = HOSTILE,
    branches: int = 4,
) -> Project:
    """Make the team: the same arguments, the same team, but for its times. ``texts`` stand wherever text may."""
    chance = random.Random(7)
    project = build(home)
    root, past = project.queue.root, Past(hours)
    root.clock = past
    names = [f"instance-{number}" for number in range(1, peers + 1)]
    with root.intake():
        listed = [(_task(number, chance, texts), number, False) for number in range(1, tasks + 1)]
        for _ in project.queue.create_all(listed):
            past.at += hours * 360 / tasks
    workers = [_join(project, name) for name in names]
    steps = tasks // 2
    for _ in range(steps):
        past.at += hours * 3200 / steps
        _goes_on(chance.choice(workers), chance, texts)
    _happens(project, workers, texts, branches)
    _clash(project, texts)
    root.clock = clock.Clock()
    return project


def _task(number: int, chance: random.Random, texts: Sequence[str]) -> records.Definition:
    plain = f"{chance.choice(VERBS)} {chance.choice(THINGS)}"
    title = texts[number % 97] if number % 97 < len(texts) else plain
    latest = range(max(1, number - 40), number) if number > 9 else range(0)
    needs = list(dict.fromkeys(str(chance.choice(latest)) for _ in range(chance.choice((0, 0, 1, 1, 2))) if latest))
    steps = [{"id": "1", "title": texts[number % len(texts)]}] if number % 3 == 0 else []
    priority = chance.choice(paths.PRIORITIES)
    said = texts[number % len(texts)]
    return records.define(
        str(number), title, dependencies=needs, priority=priority, steps=steps, description=f"{said}\n{said}"
    )


def _join(project: Project, name: str) -> Worker:
    tree = project.main.parent / "trees" / name
    tree.mkdir(parents=True)
    queue = Queue(project.queue.root, name)
    me = process.identify(os.getpid()) or {}
    record = {**process.here(), "session": {**me, "program": "claude"}, "worktree": str(tree), "branch": f"team/{name}"}
    member = members.join(project.queue.root, name, record, lambda _: Verdict(UNKNOWN, ""), Janitor(queue, name).evict)
    return Worker(queue, member)


def _goes_on(worker: Worker, chance: random.Random, texts: Sequence[str]) -> None:
    """Claim a task, or report on the one in hand, or finish it."""
    held = worker.held()
    if not held:
        worker.request()
    elif chance.random() < 0.3:
        said = {
            "progress": round(chance.uniform(0.1, 0.9), 2),
            "achievements": [chance.choice(texts)],
            "blockers": [chance.choice(texts)],
        }
        worker.report(held[0].task, said)
    elif chance.random() < 0.04:
        worker.release(held[0].task, chance.choice(texts))
    else:
        worker.complete(held[0].task)


def _happens(project: Project, workers: list[Worker], texts: Sequence[str], branches: int) -> None:
    """Let one peer die and one be evicted; park, reassign and reach a limit; make branches that clash."""
    root, main = project.queue.root, project.main
    busy = [worker for worker in workers if worker.request()]
    ended = subprocess.Popen(["true"])
    gone = {"pid": ended.pid, "start": "1", "program": "claude"}
    ended.wait()
    home = paths.peer_dir(busy[0].me)
    root.files.put(
        paths.peer_record(home), records.encode({**(root.files.record(paths.peer_record(home)) or {}), "session": gone})
    )
    Janitor(Queue(root, busy[2].me.peer), busy[2].me.peer).evict(busy[1].me, busy[2].me, texts[2])
    busy[3].park(busy[3].held()[0].task, "blocked", f"needs a decision {texts[0]}")
    busy[4].park(busy[4].held()[0].task, "review", texts[1])
    reassign(project.queue, busy[5].held()[0].task, busy[3].me.peer)
    mine = process.identify(os.getpid())
    until = clock.moment(time.time() + 3600)
    for worker, state, why in ((busy[6], LIMITED, ""), (busy[7], PERMISSION, f"npm publish {texts[0]}")):
        said = {
            "process": mine,
            "agent": "claude",
            "state": state,
            "since": root.clock.now(),
            "why": why,
            "until": until,
        }
        session_records.write(root.files, worker.me.peer, said)
    (main / "api.py").write_text("one\n")
    git(main, "add", "api.py")
    git(main, "commit", "-q", "-m", "api")
    for worker in workers[:branches]:
        git(main, "checkout", "-q", "-b", f"team/{worker.me.peer}", "HEAD~1")
        (main / "api.py").write_text(f"{worker.me.peer}\n")
        git(main, "add", "api.py")
        git(main, "commit", "-q", "-m", worker.me.peer)
        git(main, "checkout", "-q", "main")


def _clash(project: Project, texts: Sequence[str]) -> None:
    """Let two peers change one line of the memory bank."""
    home = project.main / "memory-bank"
    home.mkdir()
    (home / "techContext.md").write_bytes(TECH)
    os.utime(home / "techContext.md", (1, 1))
    bank = Bank(project.queue.root, str(home))
    bank.store.texts.keep({section.hash: section.core for section in split_document(TECH).sections})
    old = "Sessions expire after 20 minutes.\nUploads are at most 5 MB.\nNames are unique."
    for peer, text in (("instance-1", f"30 {texts[0]}"), ("instance-2", f"60 {texts[1]}")):
        bank.store.publish(change(old.replace("20", text), LIMITS, peer=peer, time=1))
    bank.merge("instance-1", lambda: True)
