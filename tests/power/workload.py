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


class Refused(Exception):  # noqa: N818 - an answer
    """A command was refused: by the state of things, or because the disk is gone."""


class Workload:
    """One person and two coding agents, by turns."""

    def __init__(self, project: Path, seed: str, log: Path) -> None:
        self.project, self.chance = project, random.Random(seed)
        self.trees = sorted(project.parent.glob(f"{project.name}-instance-*"))
        self.log = log.open("a", buffering=1)
        self.count = 0
        self.tasks: list[str] = []

    def call(self, at: Path, *words: str) -> Any:
        code, out, err = cli.serve([*words, "--json"], cli.Call(context.find(str(at))))
        if code:
            raise Refused(f"{words}: {code} {out.decode()} {err.decode()}")
        return json.loads(out)["data"]

    def act(self, kind: str, do: Callable[[], dict[str, object] | None], **about: object) -> None:
        """Do something, and write down that it was begun, and that it was acknowledged."""
        self.count += 1
        self.log.write(json.dumps({"act": self.count, "kind": kind, **about}) + "\n")
        try:
            known = do() or {}
        except Refused as error:
            self.log.write(json.dumps({"act": self.count, "refused": str(error)[:500]}) + "\n")
            return
        self.log.write(json.dumps({"act": self.count, "done": True, **known}) + "\n")

    def run(self) -> None:
        acts = [self.add, self.add, self.add, self.edit, self.cancel, self.complete, self.complete, self.give_back]
        acts += [self.hand_over, self.reopen, self.contribute, self.contribute, self.guarded, self.decide, self.merge]
        for _ in range(4):
            self.add()
        while True:
            self.chance.choice(acts)()

    # -- a person --------------------------------------------------------------------------------------------

    def add(self) -> None:
        title = f"Task {self.count}"

        def do() -> dict[str, object]:
            task = str(
                self.call(self.project, "task", "add", title, "-d", "x" * self.chance.choice((1, 9000)))["task_id"]
            )
            self.tasks.append(task)
            return {"task": task}

        self.act("add", do, title=title)

    def edit(self) -> None:
        task, title = self.chance.choice(self.tasks), f"Edited {self.count}"
        self.act(
            "edit",
            lambda: self.call(self.project, "task", "edit", task, "--title", title) and None,
            task=task,
            title=title,
        )

    def cancel(self) -> None:
        task = self.chance.choice(self.tasks)
        self.act("cancel", lambda: self.call(self.project, "task", "cancel", task) and None, task=task)

    def reopen(self) -> None:
        task = self.chance.choice(self.tasks)
        self.act("reopen", lambda: self.call(self.project, "task", "reopen", task) and None, task=task)

    def decide(self) -> None:
        waiting = self.call(self.project, "review", "list")["waiting"]
        if waiting:
            one = self.chance.choice(waiting)
            words = self.chance.choice((["approve", "--as", "ann"], ["reject", "--reason", "no", "--as", "ann"]))
            do = lambda: self.call(self.project, "review", words[0], one["id"], *words[1:]) and None  # noqa: E731
            self.act(words[0], do, contributions=one["contributions"])

    def merge(self) -> None:
        self.act("merge", lambda: self.call(self.project, "memory", "merge") and None)

    # -- a coding agent --------------------------------------------------------------------------------------

    def with_task(self, do: Callable[[Path, str, int], None]) -> None:
        tree = self.chance.choice(self.trees)
        held: list[tuple[str, int]] = []

        def claim() -> dict[str, object]:
            found = self.call(tree, "request")
            held.extend([(str(found["task_id"]), found["epoch"])] if "task_id" in found else [])
            return {"tasks": [task for task, _ in held]}

        self.act("claim", claim)
        if held:
            do(tree, *held[0])

    def complete(self) -> None:
        def do(tree: Path, task: str, _epoch: int) -> None:
            words = ("report", task, "--status", "done", "--achievement", f"reached {self.count}")
            self.act("complete", lambda: self.call(tree, *words) and None, task=task, achievement=words[-1])

        self.with_task(do)

    def give_back(self) -> None:
        def do(tree: Path, task: str, epoch: int) -> None:
            self.act("release", lambda: self.call(tree, "release", task) and None, task=task, epoch=epoch)

        self.with_task(do)

    def hand_over(self) -> None:
        def do(tree: Path, task: str, _epoch: int) -> None:
            other = next(one for one in self.trees if one != tree).name.removeprefix(f"{self.project.name}-")
            self.act("reassign", lambda: self.call(self.project, "reassign", task, other) and None, task=task, to=other)

        self.with_task(do)

    def contribute(self) -> None:
        text = f"- fact {self.count}."
        words = ("memory", "add", "--file", DOCUMENT, "--section", SECTION, "--content", text)
        self.act("contribute", lambda: self.call(self.chance.choice(self.trees), *words) and None, text=text)

    def guarded(self) -> None:
        """A contribution that waits for a person."""
        text = f"- aim {self.count}."
        words = ("memory", "add", "--file", GUARDED, "--section", "Brief", "--content", text)

        def do() -> dict[str, object]:
            found = self.call(self.chance.choice(self.trees), *words)
            return {"ids": [one["id"] for one in found["queued"]]}

        self.act("guarded", do, text=text)


if __name__ == "__main__":
    Workload(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])).run()
