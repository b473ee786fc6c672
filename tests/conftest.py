"""For all tests: the examples that hypothesis makes up are the same in every run, and a slow machine is no failure.

Ctrl-C reaches the programs that tests start, also where a shell started the tests in its background and so made them
ignore it.

The whole default run uses every processor, with one process more than there are: many tests wait for a real agent. What
is named on the command line, and what is marked, runs one by one.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Generator

import pytest
from hypothesis import settings
from support.task_master import task_master  # noqa: F401 - a fixture for all tests

from peercoord.landing import forecast
from peercoord.screens import changes

INSTALLED = ("java", "postgres", "psycopg", "PostgreSQL", "tla", "faketime", "tmux", "git-lfs", "mfusepy", "FUSE")
INSTALLED += ("strace", "mkfs", "PEERCOORD_AGENTS", "bubblewrap", "network namespace")

MEMORY = "/dev/shm"
MEMORY_BYTES = 4 << 30  # free there, for files that are flushed thousands of times and kept for seconds

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # tests start hundreds of programs; each would compile the package
sys.dont_write_bytecode = False

forecast.SECONDS = changes.SECONDS = 60.0  # for git, whose answers a screen leaves out if they come late

settings.register_profile("here", deadline=None, derandomize=True, database=None, print_blob=True)
settings.load_profile("here")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the transcripts be rewritten."""
    parser.addoption(
        "--regenerate",
        action="store_true",
        help="write the results in tests/transcripts, memory and tasklists/stories again, to be read as a diff",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Share the whole default run among the processors, unless something else is asked for."""
    whole = config.args_source == pytest.Config.ArgsSource.TESTPATHS and config.option.markexpr.startswith("not slow")
    if whole and getattr(config.option, "numprocesses", 0) is None and not hasattr(config, "workerinput"):
        config.option.numprocesses = min((os.cpu_count() or 1) + 1, 8)
        config.option.dist = "worksteal"
        if os.path.isdir(MEMORY) and shutil.disk_usage(MEMORY).free > MEMORY_BYTES:
            os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", MEMORY)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where all that tests need was installed (``PEERCOORD_ALL``), what is left out for want of it has failed."""
    report = yield
    if report.skipped and os.environ.get("PEERCOORD_ALL") and not hasattr(report, "wasxfail"):
        why = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if any(word in why for word in INSTALLED):
            report.outcome, report.longrepr = "failed", f"left out: {why}"
    return report
