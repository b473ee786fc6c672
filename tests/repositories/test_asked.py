"""What a person asks for is done for the place where they stand, wholly, or it is said how far it came."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from support import answers

from .conftest import BIN, Shell, instances


@pytest.fixture
def repo(sh: Shell) -> Path:
    made = sh.repository()
    sh.commit(made, "api/main.py")
    return made


@pytest.mark.slow
def test_a_directory_below_a_project_is_asked_about(sh: Shell, repo: Path) -> None:
    assert len(sh.peercoord(repo, "up", "2", "--dry-run")["instances"]) == 2, "a number alone is how many"
    sh.up(repo, 1, "--database", "none")
    before = sh.git(repo, "worktree", "list")
    for words in ([], [repo / "api", "2"]):
        refused = sh.peercoord(repo / "api", "up", *words)
        assert (refused["exit"], refused["code"]) == (2, "below-a-project")
        assert f"for that team: claude-team-coordinated {repo};" in refused["hint"]
    command = refused["hint"].partition("for a second one: ")[2].split()
    made = sh.data(repo, BIN / command[0], *command[1:], "--dry-run")
    assert made["instances"][0]["worktree_path"].endswith("/api-instance-1/api")
    master, terminal = os.openpty()
    streams = {"stdin": terminal, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    words = [str(BIN / "claude-team-coordinated")]
    with subprocess.Popen(words, cwd=repo / "api", env=sh.env, text=True, **streams) as asked:
        os.write(master, b"n\n")
        said = asked.communicate()[1]
    os.close(master)
    os.close(terminal)
    assert "has a team already. Set up a second one for api/ alone? [y/N]" in said
    assert asked.returncode == 2
    assert sh.git(repo, "worktree", "list") == before


@pytest.mark.slow
def test_leave_takes_a_path_from_where_the_person_stands(sh: Shell, repo: Path) -> None:
    one, two = instances(sh.up(repo, 2))
    sh.task(repo)
    assert sh.verb(one, "request-task")["task_id"] == 1
    agents = {agent.pid for agent in sh.agents() if any(word == str(one) for word in agent.cmdline())}
    other = sh.repository("other")
    refused = sh.peercoord(other, "-C", other, "leave", f"../{two.name}")
    assert (refused["exit"], "is no worktree of the project at" in refused["message"]) == (2, True)
    done = sh.peercoord(one / "api", "-C", repo, "leave", f"../../{two.name}")  # no such path from the project
    assert done["instance"]["id"] == "instance-2"
    assert {agent.pid for agent in sh.agents()} == agents, "the other agents go on"
    assert sh.tasks(repo) == {"1": "in-progress"}
    sh.peercoord(repo, "leave", "../app-instance-1")
    assert fixes(sh, repo)["no peer is in the team"] == f"claude-team-coordinated {repo}"


@pytest.mark.slow
def test_an_interrupted_set_up_says_how_far_it_came_and_goes_on(sh: Shell, repo: Path) -> None:
    done = sh.run(repo, BIN / "claude-team-coordinated", repo, 1, "--setup", "kill -INT $PPID; sleep 60", ok=False)
    assert done.returncode == 130
    for said in ("interrupted at step 7 of ", "the steps before it are done", f"peercoord -C {repo} down --purge"):
        assert said in done.stderr
    sh.up(repo, 1)
    sh.task(repo)
    assert sh.verb(repo.parent / "app-instance-1", "request-task")["task_id"] == 1


@pytest.mark.slow
def test_after_a_failure_half_way_the_next_run_goes_on_from_there(sh: Shell, repo: Path) -> None:
    planned = sh.data(repo, "claude-team-coordinated", repo, 3, "--dry-run")["actions"]
    blocker = repo / ".git" / "refs" / "heads" / "team" / "instance-2.lock"
    blocker.parent.mkdir()
    blocker.touch()
    broken = sh.run(repo, "claude-team-coordinated", repo, 3, "--json", ok=False)
    found = answers.read(broken.stdout, "claude-team-coordinated")["data"]
    (failed,) = found["failed"]
    assert (broken.returncode, failed["id"], "instance-2.lock" in failed["message"]) == (1, "instance-2", True)
    assert [line for line in found["to_type"] if "instance-2" in line] == [], "no session can start there"
    three = repo.parent / "app-instance-3"
    assert sh.verb(three, "check-status")["instance_id"] == "instance-3", "the others are set up"
    blocker.unlink()
    made = sh.up(repo, 3)
    assert 0 < len(made["actions"]) < len(planned)
    assert [tree.name for tree in instances(made)] == ["app-instance-1", "app-instance-2", "app-instance-3"]


def test_an_interrupt_before_anything_is_done_says_so(sh: Shell, repo: Path) -> None:
    programs = sh.base / "bin"
    programs.mkdir()
    (programs / "git").write_text(f'#!/bin/sh\nkill -INT $PPID\nexec {shutil.which("git")} "$@"\n')
    (programs / "git").chmod(0o755)
    sh.env["PATH"] = f"{programs}:{sh.env['PATH']}"
    stopped = sh.peercoord(repo, "up", "1")
    assert (stopped["exit"], stopped["message"]) == (130, "interrupted; nothing was done")
    assert not os.path.lexists(repo / ".claude-coordination")


@pytest.mark.skipif(not shutil.which("tmux"), reason="tmux is not installed")
def test_launch_without_a_program_fails_before_anything_is_done(sh: Shell, repo: Path) -> None:
    refused = sh.peercoord(repo, "up", "--launch", "tmux", "--command", "no-such-program")
    assert (refused["exit"], "no-such-program" in refused["message"]) == (3, True)
    assert not os.path.lexists(repo / ".claude-coordination")


def fixes(sh: Shell, repo: Path) -> dict[str, str]:
    """What the doctor finds wrong, and the command that mends each."""
    return {one["text"]: one["fix"] for one in sh.peercoord(repo, "doctor")["checks"] if one["state"] != "ok"}


@pytest.mark.slow
def test_what_the_doctor_prints_can_be_pasted(sh: Shell) -> None:
    repo = sh.repository("it's my app")
    assert f"claude-team-coordinated '{repo.parent}/it'\"'\"'s my app';" in sh.peercoord(repo, "status")["hint"]
    two = instances(sh.up(repo, 2))[1]
    for agent in sh.agents():
        agent.kill()
        agent.wait()
    assert any("dead" in text for text in fixes(sh, repo))
    shutil.rmtree(two)
    gone = fixes(sh, repo)
    assert gone[f"the worktree of instance-2 is gone: {two}"] == "peercoord doctor --fix"
    for fix in dict.fromkeys(gone.values()):
        sh.run(repo, "sh", "-c", fix, ok=False)
    left = fixes(sh, repo)
    assert not any("gone:" in text or "dead" in text for text in left), left
    assert two.is_dir()


@pytest.mark.skipif(not shutil.which("tmux"), reason="tmux is not installed")
@pytest.mark.slow
def test_on_a_terminal_it_asks_whether_to_start_the_sessions(sh: Shell, repo: Path) -> None:
    sockets = Path(tempfile.mkdtemp(prefix="peercoord-ask-", dir="/tmp"))  # a socket's path has little room
    sh.env["TMUX_TMPDIR"] = str(sockets)
    programs = sh.base / "bin"
    programs.mkdir()
    os.mkfifo(sh.base / "started")
    (programs / "claude").write_text(f'#!/bin/sh\necho "$PWD $2" >{sh.base}/started\nexec cat\n')
    (programs / "claude").chmod(0o755)
    sh.env["PATH"] = f"{programs}:{sh.env['PATH']}"

    def answered(answer: bytes) -> tuple[str, str]:
        master, terminal = os.openpty()
        streams = {"stdin": terminal, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen([BIN / "claude-team-coordinated", repo, "1"], env=sh.env, text=True, **streams) as asked:
            os.write(master, answer)
            said = asked.communicate()
        os.close(master)
        os.close(terminal)
        assert asked.returncode == 0, said
        return said

    try:
        out, err = answered(b"n\n")
        assert "Start claude in tmux, a window each? They work unattended, which costs money. [y/N]" in err
        assert f"claude --settings {repo}/.claude-coordination/hooks/claude-costs.json" in out
        out, _ = answered(b"y\n")
        one, settings = (sh.base / "started").read_text().split()
        assert (one, settings) == (f"{repo}-instance-1", f"{repo}/.claude-coordination/hooks/claude-costs.json")
        assert f"tmux attach -t {repo.name}\n" in out
        _, err = answered(b"")
        assert "Start claude" not in err, "they run"
        sh.peercoord(repo, "down")
        assert sh.run(repo, "tmux", "list-windows", "-a", ok=False).stdout == ""
    finally:
        sh.run(repo, "tmux", "kill-server", ok=False)
        shutil.rmtree(sockets, ignore_errors=True)  # the server removes its socket meanwhile
