"""For tests: a real repository that tracks its memory bank."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from memory.banks import always
from memory.helpers import TECH, texts
from support.project import Project, git, project, second

from peercoord.memory import runner
from peercoord.memory.bank import Bank, MergeSummary
from peercoord.store import paths

__all__ = ["project", "real", "second"]

NAME = "techContext.md"
PATH = f"{paths.BANK}/{NAME}"


class Real:
    """A repository that tracks its memory bank."""

    def __init__(self, project: Project) -> None:
        self.project, self.main = project, project.main
        self.root = project.queue.root
        (self.main / paths.BANK).mkdir()
        self.file.write_bytes(TECH)
        self.commit("the bank")

    @property
    def file(self) -> Path:
        return self.main / PATH

    def commit(self, message: str) -> str:
        git(self.main, "add", "-A")
        git(self.main, "commit", "-q", "-m", message)
        return git(self.main, "rev-parse", "HEAD").strip()

    def bank(self) -> Bank:
        return runner.bank_of(self.root)

    def add(self, *ones: object) -> None:
        store = self.bank().store
        store.texts.keep(texts(TECH))
        for one in ones:
            store.publish(one)  # type: ignore[arg-type]

    def merge(self) -> list[MergeSummary]:
        return self.bank().merge("leader", always)

    def text(self) -> str:
        return self.file.read_text()


@pytest.fixture
def real(project: Project, monkeypatch: pytest.MonkeyPatch) -> Real:
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "t")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "t@localhost")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    return Real(project)
