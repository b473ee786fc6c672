"""Which process may be signalled: the agent that was recorded, and no other, whatever a pid or a name says."""

from __future__ import annotations

import ast
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from peercoord.errors import PeercoordError
from peercoord.membership import signals
from peercoord.system import process

PACKAGE = Path(__file__).parents[2] / "peercoord"
LINUX = sys.platform.startswith("linux")
AGENT = """\
import signal, sys
if "--deaf" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
sys.stdin.read()
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts processes with a given command line; ``agent`` words run a small program in place of the package."""
    (tmp_path / "peercoord").mkdir()
    (tmp_path / "peercoord" / "__init__.py").touch()
    (tmp_path / "peercoord" / "__main__.py").write_text(AGENT)
    started: list[subprocess.Popen[str]] = []

    def run(*words: str) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            words,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=tmp_path,
        )
        started.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == "up\n"
        return child

    yield run
    for child in started:
        child.kill()
        child.communicate()


def words_for(tree: str, *more: str) -> list[str]:
    return [sys.executable, "-m", "peercoord", "-C", tree, "agent", "run", *more]


def record_of(child: subprocess.Popen[str], tree: str, **changed: Any) -> dict[str, Any]:
    """What an agent under this pid would have written in the coordination directory."""
    return {**process.here(), "agent": process.identify(child.pid), "worktree": tree, **changed}


def lives(child: subprocess.Popen[str]) -> bool:
    """Whether a process still answers: it ends as it should once its input does."""
    if child.poll() is not None:
        return False
    child.communicate()
    return child.returncode == 0


# -- the proof ---------------------------------------------------------------------------------------------------


def test_the_recorded_agent_gets_the_signal_and_its_end_is_seen(start: Start) -> None:
    child = start(*words_for("/w"))
    assert not signals.send(record_of(child, "/w"), wait=0)
    record = record_of(child, "/w", host="the machine may be renamed")
    assert signals.send(record, signal.SIGTERM, wait=30)
    assert child.wait() == -signal.SIGTERM
    assert signals.send(record, signal.SIGTERM), "an agent that is gone counts as ended"


def test_a_pid_that_is_used_again_is_not_signalled(start: Start) -> None:
    """The same words and pid, another start: the agent has ended, and its pid went to another process."""
    child = start(*words_for("/w"))
    agent = {"pid": child.pid, "start": record_of(child, "/w")["agent"]["start"] - 1}
    assert signals.send(record_of(child, "/w", agent=agent), signal.SIGKILL)
    assert lives(child)


@pytest.mark.parametrize(
    "words",
    [
        ["sh", "-c", "echo up; read -r line; exit 0"],
        words_for("/other"),
        ["env", "sh", "-c", "echo up; read -r line; exit 0", "-m", "peercoord", "-C", "/w", "agent", "run"],
    ],
    ids=["a shell", "the agent of another worktree", "words of an agent as another program's arguments"],
)
def test_a_process_that_is_not_this_agent_is_refused_with_what_was_seen(start: Start, words: list[str]) -> None:
    child = start(*words)
    with pytest.raises(signals.NotOursError) as caught:
        signals.send(record_of(child, "/w"), signal.SIGKILL)
    assert str(child.pid) in caught.value.message
    assert words[-1] in caught.value.message
    assert caught.value.hint.endswith(f"kill {child.pid}")
    assert lives(child)


@pytest.mark.parametrize(
    "changed", [{"boot_id": "another"}, {"pid_ns": "pid:[1]"}, {"time_ns": "time:[1]"}, {"machine": "ffffffff"}]
)
def test_a_record_from_elsewhere_is_never_followed(start: Start, changed: dict[str, str]) -> None:
    """The pid that a record names there is another process here, even under the same start."""
    child = start(*words_for("/w"))
    record = record_of(child, "/w", **changed)
    if "boot_id" in changed:
        record["machine"] = "ffffffff"
    with pytest.raises(signals.NotOursError) as caught:
        signals.send(record, signal.SIGKILL)
    assert "another" in caught.value.message
    assert "stop it there" in caught.value.hint
    assert lives(child)


@pytest.mark.skipif(not LINUX or os.geteuid() != 0, reason="becomes another user")
@pytest.mark.parametrize("handle", [True, False])
def test_an_agent_of_another_user_is_refused(start: Start, handle: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not handle:
        monkeypatch.setattr(signals, "_opened", lambda _: None)
    child = start(*words_for("/w"))
    record = record_of(child, "/w")
    other = os.fork()
    if other == 0:  # in a child: an effective user cannot be changed for one test in a threaded process
        os.setresuid(65534, 65534, 65534)
        try:
            signals.send(record, signal.SIGKILL)
        except signals.NotOursError as error:
            os._exit(0 if "belongs to another user" in error.message else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(other, 0)[1]) == 0
    assert lives(child)


@pytest.mark.parametrize("agent", [None, {}, {"pid": 1}, {"pid": -1, "start": 1}, {"pid": "1", "start": 1}])
def test_a_record_that_names_no_process_signals_none(agent: object) -> None:
    assert signals.send({**process.here(), "agent": agent, "worktree": "/w"}, signal.SIGKILL)


def test_a_suspended_agent_can_be_ended(start: Start) -> None:
    child = start(*words_for("/w"))
    child.send_signal(signal.SIGSTOP)
    os.waitpid(child.pid, os.WUNTRACED)
    assert signals.send(record_of(child, "/w"), signal.SIGTERM, signal.SIGCONT, wait=30)


def test_signals_work_without_a_handle_on_the_process(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Systems and sandboxes without pidfd and kqueue."""
    monkeypatch.setattr(signals, "_opened", lambda _: None)
    child = start(*words_for("/w"))
    assert not signals.send(record_of(child, "/w"), wait=0.01)
    assert signals.send(record_of(child, "/w"), signal.SIGTERM, wait=30)


def test_an_agent_that_does_not_end_is_killed(start: Start) -> None:
    deaf, other = start(*words_for("/w", "--deaf")), start(*words_for("/v"))
    signals.end([record_of(deaf, "/w"), record_of(other, "/v")], seconds=0.2)
    assert (deaf.wait(), other.wait()) == (-signal.SIGKILL, -signal.SIGTERM)


def test_an_agent_that_cannot_be_ended_does_not_save_the_others(start: Start) -> None:
    stranger, other = start("sh", "-c", "echo up; read -r line; exit 0"), start(*words_for("/v"))
    with pytest.raises(PeercoordError, match=f"process {stranger.pid} was not signalled"):
        signals.end([record_of(stranger, "/w"), record_of(other, "/v")])
    assert other.wait() == -signal.SIGTERM
    assert lives(stranger)


# -- by command line alone ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "tree"),
    [
        ("/usr/bin/python3 -I -m peercoord -C /w agent run", "/w"),
        ("python3.12 -P -m peercoord -C /w agent run --project /p --ready-fd 5", "/w"),
        ("/venv/bin/python /venv/bin/peercoord -C /w agent run --foreground", "/w"),
        ("python3 -m peercoord agent run", ""),
        ("python3 -m peercoord -C /w agent status", ""),
        ("python3 -m peercoord -C /w task list agent run", ""),
        ("python3 -m other -C /w agent run", ""),
        ("python3 -c peercoord -C /w agent run", ""),
        ("strace python3 -m peercoord -C /w agent run", ""),
        ("vim peercoord -C /w agent run", ""),
        ("bash -c peercoord", ""),
        ("", ""),
    ],
)
def test_which_command_lines_are_an_agents(words: str, tree: str) -> None:
    assert signals.worktree_of(words.split()) == tree


def test_agents_are_found_by_their_command_line(start: Start, tmp_path: Path) -> None:
    trees = [str(tmp_path / name) for name in ("a b", "é", "c")]
    children = [start(*words_for(tree)) for tree in trees]
    start("sh", "-c", "echo up; read -r line", "-m", "peercoord", "-C", trees[0], "agent", "run")
    found = signals.visible(trees[:2])
    pids = [child.pid for child in children]
    assert sorted((one["worktree"], one["agent"]["pid"]) for one in found) == list(zip(trees[:2], pids, strict=False))
    signals.end(found)
    assert [child.wait() for child in children[:2]] == [-signal.SIGTERM, -signal.SIGTERM]
    assert lives(children[2])


ISOLATES = pytest.mark.skipif(not (LINUX and os.geteuid() == 0 and shutil.which("unshare")), reason="needs root")


@pytest.mark.distributed
@ISOLATES
@pytest.mark.parametrize("kind", ["--pid", "--mount"])
def test_an_agent_in_a_container_is_not_taken_for_one_of_here(start: Start, kind: str) -> None:
    """Its processes are seen from outside, under other pids, and its worktree may be another one of the same path."""
    start("unshare", kind, "--fork", "--kill-child", *words_for("/w"))
    mine = start(*words_for("/w"))
    assert [one["agent"]["pid"] for one in signals.visible(["/w"])] == [mine.pid]


# -- the one place -----------------------------------------------------------------------------------------------

CALLS = {"kill", "killpg", "terminate", "send_signal", "pidfd_send_signal", "suspend", "tgkill", "pthread_kill"}
ELSEWHERE = {
    "demo/demo.py": "scripted workers, children of its own that it has not collected",
    "integrations/check.py": "a program that it asked, a child of its own that it has not collected",
    "review/terminal.py": "itself, for Ctrl-Z",
    **dict.fromkeys(("screens/dash.py", "screens/dash_acting.py"), "its own drawing, while tmux or an editor runs"),
}


def test_nothing_else_signals_a_process() -> None:
    texts = {str(path.relative_to(PACKAGE)): path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}
    found = {
        name
        for name, text in texts.items()
        if any(f".{call}(" in text for call in CALLS)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CALLS
    }
    assert found == {"membership/signals.py", *ELSEWHERE}
