"""Processes: which one a record means, and which program is a coding agent."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from peercoord.system import process
from peercoord.system.clock import Clock
from peercoord.system.sessions import coding_agent, program

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as started:
        yield started
        started.kill()


def known(child: subprocess.Popen[bytes]) -> dict[str, int]:
    identity = process.identify(child.pid)
    assert identity is not None
    return identity


def test_a_process_runs_until_it_has_ended(child: subprocess.Popen[bytes]) -> None:
    identity = known(child)
    assert identity["pid"] == child.pid
    assert process.running(identity)
    assert process.parent_of(child.pid) == os.getpid()
    child.send_signal(signal.SIGSTOP)
    os.waitpid(child.pid, os.WUNTRACED)
    assert process.running(identity), "a stopped process still runs"
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE
    assert not process.running(identity), "a zombie has ended before its parent collects it"
    assert process.identify(child.pid) is None
    child.wait()
    assert not process.running(identity)
    assert process.identify(child.pid) is None
    assert process.parent_of(child.pid) == 0


def test_a_process_with_the_same_pid_and_another_start_is_another(child: subprocess.Popen[bytes]) -> None:
    identity = known(child)
    assert not process.running({**identity, "start": identity["start"] - 1})


@pytest.mark.parametrize(
    "record",
    [
        *({}, {"pid": 1}, {"pid": None, "start": 1}, {"pid": "1", "start": 1}, {"pid": 0, "start": 0}),
        *({"pid": -1, "start": 1}, {"pid": True, "start": 1}, {"pid": 1, "start": None}),
        *({"pid": 1 << 70, "start": 1}, {"pid": [1], "start": {}}),
    ],
)
def test_a_record_of_nonsense_means_no_process(record: dict[str, object]) -> None:
    assert not process.running(record)


@LINUX
def test_a_hostile_program_name_does_not_shift_the_fields(tmp_path: Path) -> None:
    trap = f"{tmp_path}/a) S 1 (b"
    os.symlink("/bin/sleep", trap)
    with subprocess.Popen([trap, "60"]) as started:
        try:
            identity = process.identify(started.pid)
            assert identity is not None
            assert process.parent_of(started.pid) == os.getpid()
            boot = psutil.boot_time() + identity["start"] / os.sysconf("SC_CLK_TCK")
            assert abs(boot - psutil.Process(started.pid).create_time()) < 2
        finally:
            started.kill()


# -- coding agents -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("claude", "claude"),
        ("/usr/local/bin/claude --resume", "claude"),
        ("node /opt/lib/node_modules/@anthropic-ai/claude-code/cli.js", "claude-code"),
        ("/usr/bin/node --no-warnings /opt/@google/gemini-cli/dist/index.js", "gemini-cli"),
        ("node --max-old-space-size=9 --no-warnings --x /opt/@google/gemini-cli/dist/index.js", "gemini-cli"),
        ("/home/x/.codex/bin/codex exec", "codex"),
        ("node node_modules/@openai/codex/dist/index.js", "codex"),
        ("python3.11 /home/x/venv/bin/aider", "aider"),
        ("/home/x/.local/share/pipx/venvs/aider-chat/bin/python -m aider.main", "aider-chat"),
        ("/home/x/.local/share/uv/tools/aider-chat/bin/python -m aider.main", "aider-chat"),
        ("bun /x/opencode", "opencode"),
        ("bash /usr/local/bin/claude -c", "claude"),
        ("/bin/sh -e /opt/codex", "codex"),
        ("/x/node /home/x/.local/share/cursor-agent/versions/1/index.js", "cursor-agent"),
        ("/home/x/codex/.venv/bin/python run_all.py", ""),
        ("/home/x/codex/node_modules/.bin/tsc", ""),
        ("bash /srv/copilot/ci/loop.sh", ""),
        ("/home/x/claude-code/target/debug/server", ""),
        ("bash -c claude", ""),
        ("bash -lc claude", ""),
        ("bash notes claude", ""),
        ("python3 train.py claude", ""),
        ("vim claude", ""),
        ("python3 train.py claude.txt", ""),
        ("claude-notes", ""),
        ("", ""),
    ],
)
def test_which_command_line_is_a_coding_agent(line: str, name: str) -> None:
    assert coding_agent(line.split()) == name
    assert coding_agent([""]) == ""


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["python3", "/x/agent.py", "--fast"], "agent.py"),
        (["/usr/bin/vim", "x"], "vim"),
        (["timeout", "30", "x"], ""),
        (["-bash"], ""),
        (["bash", "-c", "x"], ""),
        (["python", "-c", "import x"], "python"),
        (["p" * 99], "p" * 60),
        ([], ""),
    ],
)
def test_an_unknown_caller_has_a_name_for_people(words: list[str], name: str) -> None:
    assert program(words) == name


ASK = """
import json, os
from peercoord.system import process
found = process.caller_of(os.getpid())
print(json.dumps([found.session, found.program]))
"""


@LINUX
def test_the_nearest_coding_agent_above_a_call_is_its_session() -> None:
    script = f'echo $$ >&2; setsid sh -c \'"$0" -c "$1"; :\' {sys.executable} "$0"; :'
    done = subprocess.run(
        ["claude", "-c", script, ASK], executable="/bin/sh", capture_output=True, text=True, check=True
    )
    session, name = json.loads(done.stdout)
    assert (session["pid"], session["program"], name) == (int(done.stderr), "claude", "claude")


@LINUX
@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root and unshare")
def test_the_first_process_of_a_container_may_be_the_coding_agent() -> None:
    words = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-c", 'exec -a claude sh -c "$@"']
    words += ["_", '"$0" -c "$1"; :', sys.executable, ASK]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)[0]["pid"] == 1


@LINUX
def test_an_unknown_program_is_no_coding_session(tmp_path: Path) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text("import subprocess, sys; subprocess.run(['timeout', '60', *sys.argv[1:]], check=True)")
    words = [sys.executable, str(worker), sys.executable, "-c", ASK]
    done = subprocess.run(words, capture_output=True, text=True, check=True, start_new_session=True)
    assert json.loads(done.stdout)[1] == "worker.py"


@LINUX
def test_a_coding_agent_is_found_by_its_working_directory(tmp_path: Path) -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(["claude", "-c", "echo up; read x"], executable="/bin/sh", cwd=tmp_path, **pipes) as agent:
        assert agent.stdout is not None
        agent.stdout.readline()
        found = process.coding_agents_in(str(tmp_path.resolve()))
        assert [(one["pid"], one["program"]) for one in found] == [(agent.pid, "claude")]
        assert agent.pid in [one["pid"] for one in process.coding_agents_in(str(tmp_path.parent))]
        assert process.coding_agents_in(str(tmp_path)[:-1]) == []
        agent.communicate(b"\n")


# -- chance and time ---------------------------------------------------------------------------------------------


def test_the_clock_writes_utc_and_silence_does_not_follow_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """LIV-1: a wall clock that is set back or forward changes no silence."""
    assert Clock().now()[10] + Clock().now()[-1] == "TZ"
    assert len(Clock().now()) == 20
    before = time.monotonic()
    for wall in (0.0, 4e9):
        monkeypatch.setattr(time, "time", lambda wall=wall: wall)
        assert before <= Clock().monotonic() <= time.monotonic()
