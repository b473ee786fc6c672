"""Windows in a real tmux: one for each worktree, opened once, closed on request; others are not touched."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from peercoord.errors import NotFoundError, PeercoordError
from peercoord.team import plan as plans
from peercoord.team import tmux
from peercoord.team.plan import Instance
from peercoord.team.tmux import Window

# Each program writes what it was given into a pipe that the test reads: reading waits for it, no time is guessed.
SHOW = """\
import json, os, sys
with open(sys.argv[1], "w") as pipe:
    json.dump([os.getcwd(), os.environ["PEERCOORD_INSTANCE_INDEX"], os.environ.get("MORE"), sys.argv[2:]], pipe)
sys.stdin.read()
"""


@pytest.fixture
def server(tmp_path):
    """A tmux server of this test's own."""
    if not shutil.which("tmux"):
        pytest.skip("tmux is not installed")
    home = Path(tempfile.mkdtemp(prefix="peercoord-tmux-", dir="/tmp"))  # a socket's path has little room
    patch = pytest.MonkeyPatch()
    patch.setenv("TMUX_TMPDIR", str(home))
    yield home
    subprocess.run(["tmux", "kill-server"], capture_output=True, check=False)
    patch.undo()
    shutil.rmtree(home, ignore_errors=True)  # the server removes its socket meanwhile


def run_tmux(*words: str) -> str:
    return subprocess.run(["tmux", *words], capture_output=True, text=True, check=True).stdout


def instance(directory: Path, index: int = 1) -> Instance:
    directory.mkdir(parents=True, exist_ok=True)
    return Instance(index, f"instance-{index}", directory, directory, f"team/instance-{index}", made=True)


def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


def names() -> list[str]:
    return sorted(run_tmux("list-windows", "-a", "-F", "#{session_name}:#{window_name}").split("\n")[:-1])


def opened(project: Path, *instances: Instance) -> None:
    plans.run(tmux.plan_open(project, [Window(one, ["cat"]) for one in instances]))


@pytest.mark.parametrize("name", ["my app", "äpp 文", "a#{session_name}b", "x'$(touch pwned)\"", "a.b:c", "-x"])
def test_each_worktree_has_a_window_in_its_directory_with_its_number(server, tmp_path, name):
    told = pipe(tmp_path)
    project, here = tmp_path / "app", instance(tmp_path / name, 7)
    words = ["a b", "$HOME", "c;"]
    assert (tmux.open_windows([here]), tmux.plan_close([here])) == ({}, []), "no server runs yet"
    command = [sys.executable, "-c", SHOW, str(told), *words]
    plans.run(tmux.plan_open(project, [Window(here, command, {"MORE": "d;"})]))
    assert json.loads(told.read_text()) == [str(here.directory), "7", "d;", words]
    assert (tmux.open_windows([here]), tmux.session_of(project)) == ({"instance-7": "app:instance-7"}, "app")
    opened(project, instance(tmp_path / "two", 2))
    assert names() == ["app:instance-2", "app:instance-7", "app:status"]
    assert tmux.plan_open(project, [Window(here, [sys.executable])]) == [], "it is open"
    assert not (tmp_path / "pwned").exists()


def test_the_status_window_shows_the_team_again_and_again(server, tmp_path, monkeypatch):
    out = pipe(tmp_path)
    program = tmp_path / "program"
    program.write_text(f'#!/bin/sh\necho "$@" >{out}\n')
    program.chmod(0o755)
    monkeypatch.setattr(tmux.child, "command", lambda: [str(program)])
    monkeypatch.setattr(tmux, "STATUS_SECONDS", 0)
    opened(tmp_path / "it's", instance(tmp_path / "app-instance-1"))
    for _ in range(2):  # a reader that is slow to close sees the next line too
        assert set(out.read_text().splitlines()) == {f"-C {tmp_path}/it's status --watch"}


def test_what_is_somebody_elses_is_neither_taken_nor_closed(server, tmp_path):
    run_tmux("new-session", "-d", "-s", "app", "-n", "instance-1", "cat")
    here, elsewhere = instance(tmp_path / "one/app-instance-1"), instance(tmp_path / "two/app-instance-1")
    opened(tmp_path / "one/app", here)
    opened(tmp_path / "two/app", elsewhere)
    assert len(set(run_tmux("list-sessions", "-F", "#{session_name}").split())) == 3
    mine = tmux.session_of(tmp_path / "one/app")
    run_tmux("new-window", "-d", "-t", f"={mine}:", "-n", "editor", "cat")
    close = tmux.plan_close([here], tmp_path / "one/app")
    assert [action.text for action in close] == [
        f"close tmux window {mine}:{name}" for name in ("instance-1", "status")
    ]
    for _ in range(2):  # twice is no error
        plans.run(close)
    assert "app:instance-1" in names()
    assert f"{mine}:editor" in names(), "a window that the person opened in the session stays"
    assert tmux.open_windows([here]) == {}
    assert tmux.open_windows([elsewhere]).keys() == {"instance-1"}


def test_the_window_of_a_worktree_is_shown_by_one_command(server, tmp_path, monkeypatch):
    monkeypatch.delenv("TMUX", raising=False)
    one = instance(tmp_path / "a b")
    assert tmux.looked_at(str(one.directory)) == (), "no server runs yet"
    opened(tmp_path / "my app", one)
    (name,) = [name for name in names() if name.endswith("instance-1")]
    assert tmux.looked_at(str(one.directory)) == ("tmux", "attach", "-t", name)
    assert tmux.looked_at(str(tmp_path)) == ()
    monkeypatch.setenv("TMUX", f"{run_tmux('display-message', '-p', '#{socket_path}').strip()},1,0")
    assert tmux.looked_at(str(one.directory))[1] == "switch-client"


def test_a_first_hook_is_due_some_time_after_a_coding_agent_was_started(server, tmp_path, monkeypatch):
    one, two, project = instance(tmp_path / "a"), instance(tmp_path / "b", 2), tmp_path / "my app"
    monkeypatch.setattr(tmux.clock, "wall", lambda: 1000.5)
    hooked = Window(one, ["cat"], {"PEERCOORD_WORKTREE": str(one.directory)})
    plans.run(tmux.plan_open(project, [hooked, Window(two, ["cat"])]))
    trees = [str(one.directory), str(two.directory), str(tmp_path)]
    assert tmux.hooks_due(trees) == {}
    monkeypatch.setattr(tmux.clock, "wall", lambda: 1000 + tmux.START_SECONDS)
    assert tmux.hooks_due(trees) == {trees[0]: 1000.0}, "another program has no hooks"


def test_a_window_that_closed_is_opened_again_by_one_command(server, tmp_path):
    one, two, project = instance(tmp_path / "a"), instance(tmp_path / "b"), tmp_path / "my app"
    assert tmux.started_again(project, str(one.directory)) == (), "the team has no session"
    opened(project, one)
    assert tmux.started_again(project, str(one.directory)) == ()
    assert tmux.started_again(project, str(two.directory)) == ("peercoord", "up", "--launch", "tmux")


def test_a_long_command_is_shown_shortened(server, tmp_path):
    (action,) = tmux.plan_open(tmp_path / "app", [Window(instance(tmp_path / "a"), ["cat", "x" * 200])])
    assert action.text == f"open tmux window instance-1: cat {'x' * 96}… (tmux attach -t app)"


def test_a_session_that_lost_its_status_takes_new_windows(server, tmp_path):
    project, one, two = tmp_path / "app", instance(tmp_path / "a"), instance(tmp_path / "b", 2)
    opened(project, one)
    run_tmux("kill-window", "-t", "=app:status")
    opened(project, two)
    assert names() == ["app:instance-1", "app:instance-2"]


def test_the_server_does_not_stand_in_a_worktree(server, tmp_path, monkeypatch):
    import psutil

    there = instance(tmp_path / "app-instance-1")
    monkeypatch.chdir(there.directory)
    opened(tmp_path / "app", there)
    assert psutil.Process(int(run_tmux("display-message", "-p", "#{pid}"))).cwd() == "/"


def test_a_program_that_ends_at_once_is_a_warning(server, tmp_path, monkeypatch):
    tell = tmux._tmux

    def late(*words: str) -> str:
        if words[:2] == ("set-option", "-w"):
            run_tmux("kill-window", "-t", words[3])
        return tell(*words)

    monkeypatch.setattr(tmux, "_tmux", late)
    warnings = plans.run(tmux.plan_open(tmp_path / "app", [Window(instance(tmp_path / "a"), ["cat"])]))
    assert warnings == ["'cat' ended at once in the window of instance-1"]


def test_what_cannot_be_opened_is_an_error_with_its_reason(server, tmp_path, monkeypatch):
    there = instance(tmp_path / "app-instance-1")
    with pytest.raises(NotFoundError, match="no program 'no-such-agent'"):
        tmux.plan_open(tmp_path / "app", [Window(there, ["no-such-agent"])])
    monkeypatch.setattr(tmux, "session_name", lambda *_: "app")
    run_tmux("new-session", "-d", "-s", "app", "cat")
    with pytest.raises(PeercoordError, match="duplicate session"):
        opened(tmp_path / "app", there)


def test_without_tmux_it_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    there = instance(tmp_path / "x")
    with pytest.raises(NotFoundError, match="no tmux") as caught:
        tmux.plan_open(tmp_path, [Window(there, ["cat"])])
    assert "--launch none" in caught.value.hint
    assert tmux.open_windows([there]) == {}
    assert tmux.plan_close([there], tmp_path) == []
