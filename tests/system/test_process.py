"""Which process is which: gone, a zombie, another one under the same pid."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from peercoord.store import ids
from peercoord.system import process
from peercoord.system.clock import Clock, chance, token

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
SLEEP = [sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.read()"]


@pytest.fixture
def child() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(SLEEP, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == "up\n"
        yield started
        started.kill()


def test_a_running_process_is_known_again(child: subprocess.Popen[str]) -> None:
    identity = process.identify(child.pid)
    assert identity is not None
    assert identity["pid"] == child.pid
    assert process.running(identity)
    assert process.identify(child.pid) == identity


def test_a_stopped_process_still_runs(child: subprocess.Popen[str]) -> None:
    identity = process.identify(child.pid)
    assert identity is not None
    child.send_signal(signal.SIGSTOP)
    os.waitpid(child.pid, os.WUNTRACED)
    assert process.running(identity)
    child.send_signal(signal.SIGCONT)


def test_a_zombie_is_gone_before_anyone_collects_it(child: subprocess.Popen[str]) -> None:
    identity = process.identify(child.pid)
    assert identity is not None
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE
    assert not process.running(identity)
    assert process.identify(child.pid) is None


def test_a_collected_process_is_gone(child: subprocess.Popen[str]) -> None:
    identity = process.identify(child.pid)
    assert identity is not None
    child.kill()
    child.wait()
    assert not process.running(identity)
    assert process.identify(child.pid) is None


def test_another_process_under_the_same_pid_is_another(child: subprocess.Popen[str]) -> None:
    identity = process.identify(child.pid)
    assert identity is not None
    assert not process.running({**identity, "start": identity["start"] - 1})


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"pid": 1},
        {"pid": None, "start": 1},
        {"pid": "1", "start": 1},
        {"pid": 0, "start": 0},
        {"pid": -1, "start": 1},
        {"pid": True, "start": 1},
        {"pid": 1, "start": None},
        {"pid": 1 << 70, "start": 1},
        {"pid": [1], "start": {}},
    ],
)
def test_nonsense_does_not_run(record: dict[str, object]) -> None:
    assert not process.running(record)


@LINUX
def test_a_name_full_of_traps_does_not_shift_the_fields(tmp_path: object) -> None:
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


def test_parents(child: subprocess.Popen[str]) -> None:
    assert process.parent_of(child.pid) == os.getpid()
    child.kill()
    child.wait()
    assert process.parent_of(child.pid) == 0


def test_here_is_one_boot_of_one_machine() -> None:
    here = process.here()
    assert here == process.here()
    assert set(here) >= {"host", "boot_id", "pid_ns"}
    assert here["host"]
    assert here["boot_id"]


def test_words_of_chance_are_ids_and_differ() -> None:
    words = {token() for _ in range(500)}
    assert len(words) == 500
    assert all(len(word) == 12 and ids.is_id(word) and word == word.lower() for word in words)
    assert len({chance() for _ in range(50)}) > 45
    assert all(0 <= chance() < 1 << 32 for _ in range(50))


def test_the_clock_writes_utc() -> None:
    clock = Clock()
    assert clock.now()[10] + clock.now()[-1] == "TZ"
    assert len(clock.now()) == 20


def test_the_monotonic_clock_does_not_follow_the_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """LIV-1: a wall clock that is set back or forward changes no silence."""
    before = time.monotonic()
    for wall in (0.0, 4e9):
        monkeypatch.setattr(time, "time", lambda wall=wall: wall)
        assert before <= Clock().monotonic() <= time.monotonic()
