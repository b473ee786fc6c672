"""Sessions in a real tmux: one for each worktree, opened once, closed on request; others are not touched."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from peercoord.errors import NotFoundError, PeercoordError, UsageError
from peercoord.team import plan as plans
from peercoord.team import tmux
from peercoord.team.plan import Instance

needs_tmux = pytest.mark.skipif(not shutil.which("tmux"), reason="tmux is not installed")

# Each program writes what it was given into a pipe that the test reads: reading waits for it, no time is guessed.
SHOW = """\
import json, os, sys
with open(sys.argv[1], "w") as pipe:
    json.dump([os.getcwd(), os.environ["PEERCOORD_INSTANCE_INDEX"], sys.argv[2:]], pipe)
sys.stdin.read()
"""


@pytest.fixture
def server():
    """A tmux server of this test's own."""
    home = Path(f"/tmp/peercoord-tmux-{os.getpid()}")  # a socket's path has little room
    home.mkdir(mode=0o700)
    patch = pytest.MonkeyPatch()
    patch.setenv("TMUX_TMPDIR", str(home))
    yield home
    subprocess.run(["tmux", "kill-server"], capture_output=True, check=False)
    patch.undo()
    shutil.rmtree(home)


def run_tmux(*words: str) -> str:
    return subprocess.run(["tmux", *words], capture_output=True, text=True, check=True).stdout


def instance(directory: Path, index: int = 1) -> Instance:
    directory.mkdir(parents=True, exist_ok=True)
    return Instance(index, f"instance-{index}", directory, directory, f"team/instance-{index}", made=True)


def names() -> list[str]:
    return sorted(run_tmux("list-sessions", "-F", "#{session_name}").split("\n")[:-1])


@needs_tmux
@pytest.mark.parametrize("name", ["my app", "äpp 文", "a#{session_name}b", "x'$(touch pwned)\"", "a.b:c", "-x"])
def test_each_worktree_has_one_session_in_its_directory_with_its_number(server, tmp_path, name):
    os.mkfifo(tmp_path / "pipe")
    here = instance(tmp_path / name, 7)
    words = ["a b", "$HOME", "c;"]
    assert (tmux.open_sessions([here]), tmux.plan_close([here])) == ({}, []), "no server runs yet"
    plans.run(tmux.plan_open([here], [sys.executable, "-c", SHOW, str(tmp_path / "pipe"), *words]))
    assert json.loads((tmp_path / "pipe").read_text()) == [str(here.directory), "7", words]
    assert list(tmux.open_sessions([here])) == ["instance-7"]
    assert tmux.plan_open([here], [sys.executable]) == [], "it is open"
    assert not (tmp_path / "pwned").exists()


@needs_tmux
def test_a_session_of_another_program_is_neither_taken_nor_closed(server, tmp_path):
    run_tmux("new-session", "-d", "-s", "app-instance-1", "cat")
    here, elsewhere = instance(tmp_path / "one/app-instance-1"), instance(tmp_path / "two/app-instance-1")
    plans.run(tmux.plan_open([here], ["cat"]))
    plans.run(tmux.plan_open([elsewhere], ["cat"]))
    assert (len(names()), "app-instance-1" in names()) == (3, True)
    close = tmux.plan_close([here])
    for _ in range(2):  # twice is no error
        plans.run(close)
    assert tmux.open_sessions([here, elsewhere]).keys() == {"instance-1"}
    assert (len(names()), "app-instance-1" in names()) == (2, True)
    assert tmux.plan_close([here]) == []


@needs_tmux
def test_the_server_does_not_stand_in_a_worktree(server, tmp_path, monkeypatch):
    there = instance(tmp_path / "app-instance-1")
    monkeypatch.chdir(there.directory)
    plans.run(tmux.plan_open([there], ["cat"]))
    assert psutil.Process(int(run_tmux("display-message", "-p", "#{pid}"))).cwd() == "/"


@needs_tmux
def test_what_cannot_be_opened_is_an_error_with_its_reason(server, tmp_path):
    there = instance(tmp_path / "app-instance-1")
    for words, reason in ((["no-such-agent"], "no program 'no-such-agent'"), ([], "nothing to run")):
        with pytest.raises(NotFoundError, match=reason):
            tmux.plan_open([there], words)
    actions = tmux.plan_open([there], ["cat"])
    run_tmux("new-session", "-d", "-s", "app-instance-1", "cat")
    with pytest.raises(PeercoordError, match="duplicate session"):
        plans.run(actions)


def test_without_tmux_it_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    there = instance(tmp_path / "x")
    with pytest.raises(NotFoundError, match="no tmux") as caught:
        tmux.plan_open([there], ["cat"])
    assert "--launch none" in caught.value.hint
    assert (tmux.open_sessions([there]), tmux.plan_close([there])) == ({}, [])


def test_lines_to_run_by_hand_work_in_a_shell(tmp_path):
    there = instance(tmp_path / "it's an app", 7)
    show = "import os; print(os.getcwd(), os.environ['PEERCOORD_INSTANCE_INDEX'])"
    (line,) = tmux.lines_to_type([there], [sys.executable, "-c", show])
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=True)
    assert done.stdout == f"{there.directory} 7\n"
    assert tmux.lines_to_type([there], [])[0].endswith("PEERCOORD_INSTANCE_INDEX=7 claude")


def test_a_command_is_words_and_the_default_only_where_installed(tmp_path, monkeypatch):
    assert tmux.command_words("codex --full-auto 'a b'") == ["codex", "--full-auto", "a b"]
    with pytest.raises(UsageError, match="cannot be split into words"):
        tmux.command_words("codex 'a")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert tmux.command_words("") == []
    (tmp_path / "claude").write_text("#!/bin/sh\n")
    (tmp_path / "claude").chmod(0o755)
    assert tmux.command_words("") == ["claude"]
