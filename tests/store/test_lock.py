"""The mutex between real processes: one at a time, freed by death, never a reason to wait for ever."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
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

ADD_UP = """
import sys
from peercoord.store.lock import held
lock, count = sys.argv[1:]
for _ in range(40):
    with held(lock):
        with open(count) as handle:
            number = int(handle.read())
        with open(count, "w") as handle:
            handle.write(str(number + 1))
"""


def holder(lock: Path) -> subprocess.Popen[str]:
    """A process that holds the mutex until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str]) -> str:
    out, _ = process.communicate(timeout=240)
    return out


def test_it_is_refused_while_another_process_holds_it_and_given_afterwards(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    other = holder(lock)
    with pytest.raises(LostError, match=r"^someone adds tasks$") as caught, held(str(lock), 0, "someone adds tasks"):
        pytest.fail("two hold it")
    assert caught.value.code == "busy"
    assert end(other) == "freed\n"
    with held(str(lock), 0):
        assert lock.exists()


def test_it_is_flock_which_a_peer_in_any_language_can_take(tmp_path: Path) -> None:
    """OPS-12: not ``fcntl``, which on Linux does not exclude it."""
    lock = tmp_path / "lock"
    lock.touch()
    with lock.open() as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(LostError), held(str(lock), wait=0):
            pass
        fcntl.flock(handle, fcntl.LOCK_UN)
    with held(str(lock)), lock.open() as handle, pytest.raises(BlockingIOError):
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_waiting_for_it_ends_when_it_is_freed(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    other = holder(lock)
    waiting = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    end(other)
    assert end(waiting) == "held\nfreed\n"


def test_waiting_for_it_ends_in_time(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    other = holder(lock)
    with pytest.raises(LostError, match="lock is held by another call"), held(str(lock), 0.05):
        pytest.fail("two hold it")
    end(other)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_death_frees_it_at_once(tmp_path: Path, number: int) -> None:
    lock = tmp_path / "lock"
    other = holder(lock)
    other.send_signal(number)
    end(other)
    with held(str(lock), 0):
        assert other.returncode == -number


def test_an_error_inside_frees_it(tmp_path: Path) -> None:
    lock = str(tmp_path / "lock")
    with pytest.raises(KeyError), held(lock, 0):
        raise KeyError
    with held(lock, 0):
        pass
    assert os.path.exists(lock)


def test_of_many_processes_one_at_a_time_is_inside(tmp_path: Path) -> None:
    count = tmp_path / "count"
    count.write_text("0")
    crowd = [subprocess.Popen([sys.executable, "-c", ADD_UP, str(tmp_path / "lock"), str(count)]) for _ in range(4)]
    assert [process.wait(60) for process in crowd] == [0] * 4
    assert count.read_text() == str(4 * 40)


def test_where_it_cannot_be_made_the_error_names_the_place(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=f"^{tmp_path}/no/lock: ") as caught, held(str(tmp_path / "no" / "lock")):
        pytest.fail("held nothing")
    assert caught.value.hint


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="a symbolic link stands"), held(str(tmp_path / "lock")):
        pytest.fail("held a link")
    assert not (tmp_path / "elsewhere").exists()
