"""A project with a memory bank in which two updates clash, and a person's terminal in it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from memory.helpers import LIMITS, TECH, change, note
from review.terminal import Terminal
from support.project import Project, project, second

from peercoord.memory import change as bank_change
from peercoord.memory.bank import Bank
from peercoord.memory.contribution import Contribution
from peercoord.memory.document import split_document

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
def terminal(scene: Scene) -> Iterator[Callable[..., Terminal]]:
    made: list[Terminal] = []

    def start(program: str = "sh", at: Path | None = None, **options: object) -> Terminal:
        made.append(Terminal(at or scene.main, program, **options))  # type: ignore[arg-type]
        return made[-1]

    yield start
    for one in made:
        one.close()
