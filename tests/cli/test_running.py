"""A person who stands in no project and names an instance means the one running team that has it."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.project import Project, add_worktree, git, project

from peercoord.cli import main
from peercoord.queue.peer import Peer
from peercoord.queue.queue import Queue
from peercoord.store import paths
from peercoord.store import root as roots
from peercoord.system import process
from peercoord.worktree import context

__all__ = ["project"]
Run = Callable[..., None]


@pytest.fixture
def agents(tmp_path: Path) -> Iterator[Run]:
    """Start processes that look like agents of worktrees; other teams may run on this machine."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "peercoord"
    program.write_text("print('up', flush=True)\ninput()\n")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with ExitStack() as stack:

        def start(tree: Path, recorded: bool = True) -> None:
            words = [sys.executable, str(program), "-C", str(tree), "agent", "run"]
            child = stack.enter_context(subprocess.Popen(words, **pipes))
            stack.callback(child.kill)
            assert child.stdout is not None
            assert child.stdout.readline() == b"up\n"
            if recorded:
                place = context.find(str(tree))
                joined = {"worktree": str(tree), "agent": process.identify(child.pid), **process.here()}
                stack.callback(Peer.join(place.project, place.instance, record=joined).leave)

        yield start


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory outside of every project."""
    place = tmp_path / "elsewhere"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


@pytest.fixture
def lone(project: Project, agents: Run, outside: Path) -> str:
    """The name of an instance that one team has, which runs."""
    name = f"lone-{project.queue.root.store_id[:8]}"
    agents(add_worktree(project, name))
    return name


def call(*words: str) -> tuple[int, str, str]:
    code, out, err = main.serve(list(words[1:]), command=main._called(words[0]))
    return code, out.decode(), err.decode()


def second_project(base: Path) -> Project:
    other = base / "second" / "other"
    other.mkdir(parents=True)
    git(other, "init", "-q", "-b", "main")
    git(other, "commit", "-q", "--allow-empty", "-m", "first")
    return Project(other, other, Queue(roots.create(str(other / paths.ROOT), "other")))


def test_the_running_team_that_has_the_instance_is_meant(
    lone: str, project: Project, tmp_path: Path, agents: Run
) -> None:
    """A coding agent may start a process that looks like an agent, in a project of its own: no peer names it."""
    agents(add_worktree(second_project(tmp_path), lone), recorded=False)
    code, out, err = call("instance", lone)
    assert (code, out.startswith(f"{lone}: ")) == (0, True), err
    assert err == f"peercoord: for the running team of {project.main}\n"
    project("task", "add", "t")
    assert call("reassign", "1", lone)[:2] == (0, f"task 1: {lone} (epoch 1)\n")
    code, _, err = call("reassign", "77", lone)
    assert (code, str(project.main) in err) == (3, True)
    assert f"no running team has an instance '{lone}' and a task '77': " in err
    assert "hint: look at one of them: " in err, "none of them is meant"


def test_several_that_fit_are_listed_and_none_is_taken(
    lone: str, project: Project, agents: Run, tmp_path: Path
) -> None:
    other = second_project(tmp_path)
    agents(add_worktree(other, lone))
    code, _, err = call("instance", lone)
    assert (code, f"2 running teams have an instance '{lone}': " in err) == (3, True)
    for place in (other.main, project.main):
        assert f"peercoord -C {shlex.quote(str(place))} instance {lone}" in err


def test_a_state_that_every_user_may_write_is_no_team(lone: str, project: Project) -> None:
    project.state.chmod(0o777)
    assert call("instance", lone)[0] == 3


def test_a_project_that_is_named_is_meant(lone: str, outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEERCOORD_PROJECT", str(outside))
    code, _, err = call("instance", lone)
    assert (code, "running team" in err) == (3, False)
