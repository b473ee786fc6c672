"""For all tests: the examples that hypothesis makes up are the same in every run, and a slow machine is no failure.

Ctrl-C reaches the programs that tests start, also where a shell started the tests in its background and so made them
ignore it.
"""

from __future__ import annotations

import signal

from hypothesis import settings
from support.task_master import task_master  # noqa: F401 - a fixture for all tests

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("here", deadline=None, derandomize=True, database=None, print_blob=True)
settings.load_profile("here")
