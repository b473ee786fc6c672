"""For all tests: the examples that hypothesis makes up are the same in every run, and a slow machine is no failure."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("here", deadline=None, derandomize=True, database=None, print_blob=True)
settings.load_profile("here")
