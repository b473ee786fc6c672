"""A project with a memory bank in which two updates clash, and a person's terminal in it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from memory.helpers import LIMITS, TECH, change, note
from review.terminal import Program, Screen, Terminal
from support.project import Project, project, second

from peercoord.memory import change as bank_change
from peercoord.memory.bank import Bank
from peercoord.memory.contribution import Contribution
from peercoord.memory.document import split_document
from peercoord.review import actions

__all__ = ["LIMITS", "Scene", "project", "scene", "second"]

TOOLS = ("Tech context", "Tools")
LANGUAGE = ("Tech context", "Language")


@pytest.fixture(autouse=True)
def _no_settling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Documents count as whole at once: what is written here was written to be merged."""
    monkeypatch.setattr(bank_change, "SETTLE_SECONDS", 0.0)


class Scene:
    """A project with a memory bank."""

    def __init__(self, made: Project) -> None:
        self.project, self.main = made, made.main
        self.home = made.main / "memory-bank"
        self.home.mkdir()
        self.tech = self.home / "techContext.md"
        self.tech.write_bytes(TECH)
        os.utime(self.tech, (1, 1))  # for the processes that are started here
        self.bank = Bank(made.queue.root, str(self.home))
        self.bank.store.texts.keep({section.hash: section.core for section in split_document(TECH).sections})

    def merge(self, *given: Contribution) -> None:
        """Contribute, and merge."""
        for one in given:
            self.bank.store.publish(one)
        self.bank.merge("instance-1", lambda: True)

    def clash(self, minutes: tuple[int, int] = (30, 60), section: tuple[str, ...] = LIMITS) -> str:
        """Let two peers change one line differently; the id of the candidate."""
        old = "Sessions expire after 20 minutes.\nUploads are at most 5 MB.\nNames are unique."
        left, right = (old.replace("20", str(count)) for count in minutes)
        self.merge(change(left, section, peer="instance-1", time=1), change(right, section, peer="instance-2", time=2))
        return next(one.candidate.id for one in self.bank.waiting() if one.candidate.conflict)

    def critical(self, text: str = "- mypy --strict") -> str:
        """Contribute what a person must approve; the id of the candidate."""
        self.merge(note(text, TOOLS, peer="instance-2", time=3, critical=True))
        return next(one.candidate.id for one in self.bank.waiting() if not one.candidate.conflict)

    def merged(self, text: str = "- rust too", peer: str = "instance-1", time: int = 4) -> str:
        """Contribute what merges by itself; the id of the entry."""
        self.merge(note(text, LANGUAGE, peer=peer, time=time))
        return self.bank.entries()[-1].id

    def numbers(self) -> dict[str, int]:
        """Under which number each thing that waits is listed."""
        listed = self.project.data("review", "list", at=self.main)
        return {one["id"]: one["number"] for one in listed["waiting"]}

    @property
    def text(self) -> str:
        return self.tech.read_text()


@pytest.fixture
def scene(project: Project) -> Scene:
    return Scene(project)


@pytest.fixture
def opened() -> Iterator[list[Screen]]:
    """The terminals that a test opened; they are hung up after it."""
    made: list[Screen] = []
    yield made
    for one in made:
        one.close()


@pytest.fixture
def terminal(scene: Scene, opened: list[Screen]) -> Callable[..., Terminal]:
    """Open a shell in the main checkout."""

    def start(program: str = "sh", **options: object) -> Terminal:
        opened.append(made := Terminal(scene.main, program, **options))  # type: ignore[arg-type]
        return made

    return start


@pytest.fixture
def review(scene: Scene, opened: list[Screen]) -> Callable[..., Program]:
    """Call ``peercoord review`` in a terminal, in the main checkout."""

    def start(*words: str, **options: object) -> Program:
        opened.append(made := Program(scene.main, "review", *words, **options))  # type: ignore[arg-type]
        return made

    return start


@pytest.fixture
def person(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, Any]]:
    """Call ``peercoord review`` as a person; exit code, and the data or the error of the answer.

    The tests may run below a coding agent: ``test_guard`` shows what such a caller may not do.
    """
    monkeypatch.setattr(actions, "coding_session", lambda _: "")

    def call(*words: str) -> tuple[int, Any]:
        code, out, _ = scene.project("review", *words, "--json", at=scene.main)
        answer = json.loads(out)
        return code, answer.get("data", answer.get("error"))

    return call
