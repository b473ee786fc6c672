"""For all tests: the examples that hypothesis makes up are the same in every run, and a slow machine is no failure.

Ctrl-C reaches the programs that tests start, also where a shell started the tests in its background and so made them
ignore it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Generator

import pytest
from hypothesis import settings
from support.task_master import task_master  # noqa: F401 - a fixture for all tests

INSTALLED = ("java", "postgres", "psycopg", "PostgreSQL", "tla", "faketime", "tmux", "git-lfs", "mfusepy", "FUSE")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("here", deadline=None, derandomize=True, database=None, print_blob=True)
settings.load_profile("here")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where all that tests need was installed (``PEERCOORD_ALL``), what is left out for want of it has failed."""
    report = yield
    if report.skipped and os.environ.get("PEERCOORD_ALL") and not hasattr(report, "wasxfail"):
        why = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if any(word in why for word in INSTALLED):
            report.outcome, report.longrepr = "failed", f"left out: {why}"
    return report
