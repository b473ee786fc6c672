"""Measurements on this machine, for developers: ``python tests/bench --help``."""
