"""Sessions in a real tmux: one for each worktree, opened once, closed on request; others are not touched."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

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
def server(tmp_path):
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


def pipe(tmp_path: Path, name: str = "pipe") -> Path:
    os.mkfifo(tmp_path / name)
    return tmp_path / name


def names() -> list[str]:
    return sorted(run_tmux("list-sessions", "-F", "#{session_name}").split("\n")[:-1])


@needs_tmux
def test_one_session_for_each_worktree_in_its_directory_with_its_number(server, tmp_path):
    instances = [instance(tmp_path / f"my app-instance-{index}", index) for index in (1, 2)]
    out = pipe(tmp_path)
    for one in instances:
        plans.run(tmux.plan_open([one], [sys.executable, "-c", SHOW, str(out), "a b", "$HOME", "c;"]))
        assert out.read_text() == f'["{one.directory}", "{one.index}", ["a b", "$HOME", "c;"]]'
    assert names() == ["my_app-instance-1", "my_app-instance-2"]
    assert tmux.open_sessions(instances) == {"instance-1": "my_app-instance-1", "instance-2": "my_app-instance-2"}


@needs_tmux
@pytest.mark.parametrize("name", ["äpp 文", "a#{session_name}b", "x'$(touch pwned)\"", "a.b:c", "-x"])
def test_directories_of_any_letters(server, tmp_path, name):
    out = pipe(tmp_path)
    there = instance(tmp_path / name)
    plans.run(tmux.plan_open([there], [sys.executable, "-c", SHOW, str(out)]))
    import json

    assert json.loads(out.read_text())[0] == str(there.directory)
    assert tmux.plan_open([there], [sys.executable]) == []
    assert not (tmp_path / "pwned").exists()


@needs_tmux
def test_a_session_that_is_there_is_left_alone(server, tmp_path):
    there = instance(tmp_path / "app-instance-1")
    first = tmux.plan_open([there], ["cat"])
    assert [action.text for action in first] == [
        "open tmux session app-instance-1: cat (tmux attach -t app-instance-1)"
    ]
    plans.run(first)
    created = run_tmux("list-sessions", "-F", "#{session_id} #{session_created} #{pane_pid}")
    assert tmux.plan_open([there], ["cat"]) == []
    assert run_tmux("list-sessions", "-F", "#{session_id} #{session_created} #{pane_pid}") == created


@needs_tmux
def test_a_session_of_somebody_elses_is_neither_taken_nor_closed(server, tmp_path):
    run_tmux("new-session", "-d", "-s", "app-instance-1", "cat")
    here, elsewhere = instance(tmp_path / "one/app-instance-1"), instance(tmp_path / "two/app-instance-1")
    plans.run(tmux.plan_open([here], ["cat"]))
    plans.run(tmux.plan_open([elsewhere], ["cat"]))
    assert len(names()) == 3
    assert "app-instance-1" in names()
    plans.run(tmux.plan_close([here]))
    assert tmux.open_sessions([here, elsewhere]).keys() == {"instance-1"}
    assert len(names()) == 2
    assert "app-instance-1" in names()


@needs_tmux
def test_closing_ends_what_runs_there_and_twice_is_no_error(server, tmp_path):
    there = instance(tmp_path / "app-instance-1")
    run_tmux("new-session", "-d", "-s", "keeps-the-server", "cat")
    plans.run(tmux.plan_open([there], ["cat"]))
    close = tmux.plan_close([there])
    plans.run(close)
    plans.run(close)
    assert names() == ["keeps-the-server"]
    assert tmux.plan_close([there]) == []


@needs_tmux
def test_without_a_server_nothing_is_open(server, tmp_path):
    there = instance(tmp_path / "app-instance-1")
    assert tmux.open_sessions([there]) == {}
    assert tmux.plan_close([there]) == []


@needs_tmux
def test_the_server_does_not_stand_in_a_worktree(server, tmp_path, monkeypatch):
    import psutil

    there = instance(tmp_path / "app-instance-1")
    monkeypatch.chdir(there.directory)
    plans.run(tmux.plan_open([there], ["cat"]))
    assert psutil.Process(int(run_tmux("display-message", "-p", "#{pid}"))).cwd() == "/"


@needs_tmux
def test_a_command_that_is_not_there_is_said_before_anything_is_opened(server, tmp_path):
    there = instance(tmp_path / "app-instance-1")
    with pytest.raises(NotFoundError, match="no program 'no-such-agent'"):
        tmux.plan_open([there], ["no-such-agent"])
    with pytest.raises(NotFoundError, match="nothing to run"):
        tmux.plan_open([there], [])


@needs_tmux
def test_what_tmux_refuses_is_an_error_with_its_words(server, tmp_path):
    there = instance(tmp_path / "app-instance-1")
    actions = tmux.plan_open([there], ["cat"])
    run_tmux("new-session", "-d", "-s", "app-instance-1", "cat")
    with pytest.raises(PeercoordError, match="duplicate session"):
        plans.run(actions)


def test_without_tmux_it_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotFoundError, match="no tmux") as caught:
        tmux.plan_open([instance(tmp_path / "x")], ["cat"])
    assert "--launch none" in caught.value.hint
    assert tmux.open_sessions([instance(tmp_path / "x")]) == {}
    assert tmux.plan_close([instance(tmp_path / "x")]) == []


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
