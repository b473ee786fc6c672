"""The mutex between real processes: one holder at a time, freed by its death, no endless wait."""

from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from peercoord.errors import LostError, StorageError
from peercoord.store.lock import held

HOLD = """
import sys
from peercoord.store.lock import held
with held(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
print("freed", flush=True)
"""


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "lock"


@pytest.fixture
def start(lock: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Start processes that take the mutex and hold it until their input ends."""
    started: list[subprocess.Popen[str]] = []

    def run() -> subprocess.Popen[str]:
        words = [sys.executable, "-c", HOLD, str(lock)]
        started.append(subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield run
    for process in started:
        process.communicate(timeout=240)


def test_it_is_refused_while_another_process_holds_it(lock: Path, start: Callable[..., subprocess.Popen[str]]) -> None:
    other = start()
    assert other.stdout
    assert other.stdout.readline() == "held\n"
    with pytest.raises(LostError, match=r"^someone adds tasks$") as caught, held(str(lock), 0, "someone adds tasks"):
        pytest.fail("two hold it")
    assert caught.value.code == "busy"
    with pytest.raises(LostError, match="lock is held by another call"), held(str(lock), 0.05):
        pytest.fail("two hold it")
    waiting = start()
    assert other.communicate(timeout=240)[0] == "freed\n"
    assert waiting.communicate(timeout=240)[0] == "held\nfreed\n"
    with held(str(lock), 0):
        assert lock.exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_death_frees_it_at_once(lock: Path, start: Callable[..., subprocess.Popen[str]], number: int) -> None:
    other = start()
    assert other.stdout
    assert other.stdout.readline() == "held\n"
    other.send_signal(number)
    assert other.wait(240) == -number
    with held(str(lock), 0):
        assert lock.exists()


def test_it_is_flock_so_a_peer_in_any_language_can_take_it(lock: Path) -> None:
    """OPS-12: not ``fcntl``, which on Linux does not exclude it."""
    lock.touch()
    with lock.open() as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(LostError), held(str(lock), wait=0):
            pass
        fcntl.flock(handle, fcntl.LOCK_UN)
    with held(str(lock)), lock.open() as handle, pytest.raises(BlockingIOError):
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_an_error_names_the_place_and_a_link_is_not_followed(lock: Path, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=f"^{tmp_path}/no/lock: ") as caught, held(str(tmp_path / "no" / "lock")):
        pytest.fail("held nothing")
    assert caught.value.hint
    lock.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="a symbolic link stands"), held(str(lock)):
        pytest.fail("held a link")
    assert not (tmp_path / "elsewhere").exists()
