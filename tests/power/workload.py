"""Acknowledged work without pause, in one process: what was answered with exit code 0 is written down elsewhere.

``python workload.py PROJECT SEED LOG`` works until it is killed, or until the disk refuses. Each line of LOG is an act:
first as begun, then, if the command line said 0, as acknowledged.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from peercoord.cli import main as cli
from peercoord.worktree import context

DOCUMENT, GUARDED = "techContext.md", "projectbrief.md"
SECTION = "Tech context › Limits"


class Workload:
    """One person and two coding agents, by turns."""

    def __init__(self, project: Path, seed: str, log: Path) -> None:
        self.project, self.chance = project, random.Random(seed)
        self.trees = sorted(project.parent.glob(f"{project.name}-instance-*"))
        self.log = log.open("a", buffering=1)
        self.count = 0
        self.tasks: list[str] = []

    def run(self) -> None:
        acts = [self.add, self.add, self.add, self.edit, self.cancel, self.complete, self.complete, self.give_back]
        acts += [self.hand_over, self.reopen, self.contribute, self.contribute, self.guarded, self.decide, self.merge]
        for _ in range(4):
            self.add()
        while True:
            self.chance.choice(acts)()

    def call(self, at: Path, *words: str) -> tuple[int, Any]:
        code, out, err = cli.serve([*words, "--json"], cli.Call(context.find(str(at))))
        return code, f"{words}: {code} {out.decode()} {err.decode()}" if code else json.loads(out)["data"]

    def act(
        self,
        kind: str,
        at: Path,
        *words: str,
        known: Callable[[Any], dict[str, object]] = lambda _: {},
        **about: object,
    ) -> Any:
        """Do something, and write down that it was begun, and that it was acknowledged; what it answered."""
        self.count += 1
        self._note(kind=kind, **about)
        code, found = self.call(at, *words)
        self._note(**({"refused": found[:500]} if code else {"done": True, **known(found)}))
        return None if code else found

    def _note(self, **said: object) -> None:
        self.log.write(json.dumps({"act": self.count, **said}) + "\n")

    # -- a person --------------------------------------------------------------------------------------------

    def add(self) -> None:
        title, text = f"Task {self.count}", "x" * self.chance.choice((1, 9000))
        words = ("task", "add", title, "-d", text)
        found = self.act("add", self.project, *words, known=lambda found: {"task": str(found["task_id"])}, title=title)
        if found:
            self.tasks.append(str(found["task_id"]))

    def edit(self) -> None:
        task, title = self.chance.choice(self.tasks), f"Edited {self.count}"
        self.act("edit", self.project, "task", "edit", task, "--title", title, task=task, title=title)

    def cancel(self) -> None:
        task = self.chance.choice(self.tasks)
        self.act("cancel", self.project, "task", "cancel", task, task=task)

    def reopen(self) -> None:
        task = self.chance.choice(self.tasks)
        self.act("reopen", self.project, "task", "reopen", task, task=task)

    def decide(self) -> None:
        code, found = self.call(self.project, "review", "list")
        if not code and found["waiting"]:
            one = self.chance.choice(found["waiting"])
            verb, *more = self.chance.choice((["approve"], ["reject", "--reason", "no"]))
            words = ("review", verb, one["id"], *more, "--as", "ann")
            self.act(verb, self.project, *words, contributions=one["contributions"])

    def merge(self) -> None:
        self.act("merge", self.project, "memory", "merge")

    # -- a coding agent --------------------------------------------------------------------------------------

    def claim(self) -> tuple[Path, str, int]:
        """Claim a task in one of the worktrees; no task if there is none."""
        tree = self.chance.choice(self.trees)
        known = lambda found: {"tasks": [str(found["task_id"])] if "task_id" in found else []}  # noqa: E731
        found = self.act("claim", tree, "request", known=known) or {}
        return tree, str(found.get("task_id", "")), found.get("epoch", 0)

    def complete(self) -> None:
        tree, task, _ = self.claim()
        said = f"reached {self.count}"
        if task:
            words = ("report", task, "--status", "done", "--achievement", said)
            self.act("complete", tree, *words, task=task, achievement=said)

    def give_back(self) -> None:
        tree, task, epoch = self.claim()
        if task:
            self.act("release", tree, "release", task, task=task, epoch=epoch)

    def hand_over(self) -> None:
        tree, task, _ = self.claim()
        other = next(one for one in self.trees if one != tree).name.removeprefix(f"{self.project.name}-")
        if task:
            known = lambda found: {"epoch": found["epoch"]}  # noqa: E731
            self.act("reassign", self.project, "reassign", task, other, known=known, task=task, to=other)

    def contribute(self) -> None:
        text = f"- fact {self.count}."
        words = ("memory", "add", "--file", DOCUMENT, "--section", SECTION, "--content", text)
        self.act("contribute", self.chance.choice(self.trees), *words, text=text)

    def guarded(self) -> None:
        """A contribution that waits for a person."""
        text = f"- aim {self.count}."
        words = ("memory", "add", "--file", GUARDED, "--section", "Brief", "--content", text)
        known = lambda found: {"ids": [one["id"] for one in found["queued"]]}  # noqa: E731
        self.act("guarded", self.chance.choice(self.trees), *words, known=known, text=text)


if __name__ == "__main__":
    Workload(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])).run()
