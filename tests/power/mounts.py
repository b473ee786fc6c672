"""Small filesystems of one's own, whose power can be cut: nothing that was not flushed is there afterwards."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import subprocess
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from agent.crew import until

SHUTDOWN = 0x8004587D  # FS_IOC_SHUTDOWN
LOGFLUSH, NOLOGFLUSH = 1, 2
MIB = {"ext4": 256, "xfs": 320}


def kill_below(home: Path) -> None:
    """Kill whatever was called with a path below a directory, and what that started meanwhile."""
    while found := [process for process in psutil.process_iter() if _is_below(process, home)]:
        for process in found:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        psutil.wait_procs(found)


def _is_below(process: psutil.Process, home: Path) -> bool:
    try:
        return process.pid != os.getpid() and any(f"{home}/" in word for word in process.cmdline())
    except psutil.Error:
        return False


class Mount:
    """A filesystem in an image file."""

    def __init__(self, base: Path, kind: str, options: str) -> None:
        self.kind, self.options = kind, options
        self.image, self.home = base / "image", base / "m"
        self.home.mkdir()
        with self.image.open("wb") as handle:
            handle.truncate(MIB[kind] << 20)
        self._try(f"mkfs.{kind}", "-q", str(self.image))
        self.mount()

    def mount(self) -> None:
        options = ",".join(filter(None, ("loop", self.options)))
        self._try("mount", "-t", self.kind, "-o", options, str(self.image), str(self.home))

    @staticmethod
    def _try(*words: str) -> None:
        try:
            done = subprocess.run(words, capture_output=True, text=True, check=False)
        except OSError as error:
            pytest.skip(f"{words[0]}: {error}")
        if done.returncode:
            pytest.skip(f"{' '.join(words[:3])}: {done.stderr.strip()}")

    def flush(self) -> None:
        """Make all that is there survive."""
        subprocess.run(["sync", "-f", str(self.home)], check=True)

    def cut(self, how: int) -> None:
        """Cut the power: from now on every call fails, and what was not flushed is gone."""
        handle = os.open(self.home, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, SHUTDOWN, struct.pack("I", how))
        finally:
            os.close(handle)

    def again(self) -> None:
        """Start the machine again: no process of before, the filesystem as the disk has it."""
        until(self._is_mounted_again, "nobody holds the filesystem that was shut down")

    def _is_mounted_again(self) -> bool:
        """Mount again; a copy of the mount in another program's namespace would keep what was shut down."""
        self.unmount()
        self.mount()
        try:
            os.listdir(self.home)
        except OSError:
            return False
        return True

    def unmount(self) -> None:
        self.kill()
        until(lambda: subprocess.run(["umount", str(self.home)], capture_output=True, check=False).returncode == 0)

    def kill(self) -> None:
        kill_below(self.home)

    def close(self) -> None:
        """Detach every mount at this place, one that was shut down too: `ismount` cannot see that one (EIO)."""
        self.kill()
        while subprocess.run(["umount", "-l", str(self.home)], capture_output=True, check=False).returncode == 0:
            pass
