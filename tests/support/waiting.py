"""For tests: which process waits for which lock."""

from __future__ import annotations

import psutil


def waits_at(pid: int, path: str) -> bool:
    """Whether a process has a lock's file open: it holds the lock, or waits for it."""
    return path in {opened.path for opened in psutil.Process(pid).open_files()}
