"""A repository with a team whose instances do tasks and commit, as their coding agents would."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import answers
from team.conftest import Repo, copy_of, home, repo, team, templates, tracked

from peercoord.cli import main as cli
from peercoord.landing import land as landing
from peercoord.landing.land import Outcome
from peercoord.queue.peer import Peer
from peercoord.queue.queue import Queue
from peercoord.review import actions
from peercoord.store import paths, records
from peercoord.store import root as roots
from peercoord.system import process
from peercoord.worktree import context

__all__ = ["home", "repo", "team", "templates", "tracked"]


class Scene:
    """A team at work in a repository, where it is set up with its coordination directory."""

    def __init__(self, repo: Repo) -> None:
        self.repo = repo
        self.root = roots.open_root(str(repo.path / paths.ROOT))
        self.queue = Queue(self.root)
        self.peers: dict[int, Peer] = {}

    def claim(self, number: int, task: str, title: str = "", needs: tuple[str, ...] = ()) -> Peer:
        """Add a task and let an instance claim it."""
        self.queue.add(records.define(task, title or f"Task {task}", dependencies=needs))
        if number not in self.peers:
            self.peers[number] = Peer.join(
                str(self.repo.path), f"instance-{number}", record={"branch": f"team/instance-{number}"}
            )
        peer = self.peers[number]
        claim = peer.worker.request()
        assert claim
        assert claim.task == task
        return peer

    def done(self, number: int, task: str, files: dict[str, str], needs: tuple[str, ...] = (), title: str = "") -> str:
        """Let an instance do a task: write files, commit, report it done."""
        peer = self.claim(number, task, title, needs)
        tree = self.repo.instance(number)
        for name, content in files.items():
            tree.write(name, content)
        tree.git("add", "-A")
        tree.git("commit", "-q", "-m", f"work of task {task}")
        return self.complete(peer, number, task)

    def complete(self, peer: Peer, number: int, task: str) -> str:
        tree = self.repo.instance(number)
        commit = tree.git("rev-parse", "HEAD").strip()
        branch = tree.git("rev-parse", "--abbrev-ref", "HEAD").strip()
        facts = {"worktree": str(tree.path), "commit": commit, "branch": branch}
        peer.worker.complete(task, {}, facts)
        return commit

    def land(self, *peers: str, **chosen: object) -> Outcome:
        return landing.land(self.repo.project(), self.queue, "Ada", peers, **chosen)  # type: ignore[arg-type]

    def undo(self) -> object:
        return landing.undo(self.repo.project(), self.queue)

    def states(self, made: Outcome) -> dict[str, str]:
        return {" ".join(step.work.tasks): step.state for step in made.steps}

    def tip(self, branch: str = "main") -> str:
        return self.repo.git("rev-parse", branch).strip()

    def call(self, *words: str, at: Path | None = None) -> tuple[int, str, str]:
        """Call the command line in the main checkout; its answer is held against its schema."""
        code, out, err = cli.serve(list(words), cli.Call(context.find(str(at or self.repo.path))))
        if "--json" in words:
            answers.read(out.decode(), *words)
        return code, out.decode(), err.decode()

    def data(self, *words: str) -> dict[str, object]:
        answer = json.loads(self.call(*words, "--json")[1])
        return answer["data"] if "data" in answer else answer["error"]


@pytest.fixture
def scene(tmp_path: Path, templates: Path) -> Scene:
    """A team of three in a repository whose main checkout is on main; nothing is done yet."""
    return Scene(copy_of(templates / "coordinated", tmp_path / "work"))


@pytest.fixture(autouse=True)
def as_person(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a call of the command line be a person's, wherever the tests run."""
    monkeypatch.setattr(actions, "coding_session", lambda _: "")
    monkeypatch.setattr(process, "terminal", lambda: "/dev/pts/1")
