#!/usr/bin/env python3
"""Run the conformance suite against an implementation: see PEER-CLI.md.

python protocol/conformance/run.py [--only NAME]… [--with 'COMMAND …'] [--xfails FILE] [--disk DIR] -- COMMAND [WORD …]
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from pathlib import Path

import peersuite.between
import peersuite.flushing
import peersuite.intake
import peersuite.races
import peersuite.reading
import peersuite.trouble
import peersuite.watching  # noqa: F401 -- these register their checks
from peersuite.checks import CHECKS as ALL
from peersuite.checks import CLAUSES, SMALL
from peersuite.command import ConformanceError, NotTriedError, World


def say(line: str) -> None:
    """Write one line, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def outcome(name: str, commands: list[list[str]], disk: Path | None) -> str:
    """Run one check in a new world; empty if it passed, else what was wrong."""
    with tempfile.TemporaryDirectory(dir=disk) as project:
        try:
            ALL[name](World(Path(project).resolve(), commands, small=disk is not None))
        except ConformanceError as failure:
            return str(failure)
    return ""


def main(argv: list[str]) -> int:
    """Run the suite; 0 if it went as expected."""
    parser = argparse.ArgumentParser(description="Drive a peer by its commands and judge the directory.")
    parser.add_argument("--list", action="store_true", help="name every check and its clauses")
    parser.add_argument("--only", action="append", metavar="NAME", help="run only this check; may be repeated")
    parser.add_argument("--with", dest="company", metavar="COMMAND", help="a second implementation for mixed company")
    parser.add_argument("--xfails", type=Path, metavar="FILE", help="names of checks that are known to fail")
    parser.add_argument("--disk", type=Path, metavar="DIR", help="a small filesystem: full disks are full in earnest")
    parser.add_argument("command", nargs="*", help="how the implementation is called")
    words = parser.parse_args(argv)
    if words.list:
        for name in ALL:
            say(f"{name}  {' '.join(CLAUSES[name])}")
        return 0
    if not words.command:
        parser.error("name the implementation: run.py -- COMMAND [WORD …]")
    commands = [words.command, *([shlex.split(words.company)] if words.company else [])]
    known = set(words.xfails.read_text(encoding="utf-8").split()) if words.xfails else set()
    unexpected = 0
    for name in words.only or ALL:
        if name in SMALL and not words.disk:
            say(f"skipped   {name}: needs --disk")
            continue
        try:
            wrong = outcome(name, commands, words.disk)
        except NotTriedError as why:
            say(f"skipped   {name}: {why}")
            continue
        state = (
            ("known gap" if name in known else "FAILED") if wrong else ("PASSED, but listed" if name in known else "ok")
        )
        unexpected += bool(wrong) != (name in known)
        say(f"{state:9} {name}{f': {wrong}' if wrong else ''}")
    say(f"{unexpected} of {len(words.only or ALL)} checks not as expected")
    return 1 if unexpected else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
