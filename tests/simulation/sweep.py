"""Run many seeds, and say which do not hold.

cd tests && python -m simulation.sweep 0 10000 [--mutant NAME] [--stop]      a line for each seed that does not hold
cd tests && python -m simulation.sweep --trace 936 [--mutant NAME]            one seed, every file operation of it
cd tests && python -m simulation.sweep 0 1000 --table                         the rows of the table in README.md
"""

from __future__ import annotations

import argparse
import re
import sys
import time

from simulation.mutants import MUTANTS, planted
from simulation.world import Told, tell

WITHIN = 2000  # seeds within which each broken rule must be noticed
LAST = 80  # file operations shown before what went wrong


def replay(seed: int) -> str:
    """Return how to run a seed again."""
    return f"PEERCOORD_SEED={seed} pytest tests/simulation -k one_seed"


def failures(first: int, end: int, mutant: str = "", stop: bool = False) -> list[Told]:
    """Run the seeds from ``first`` to before ``end``; give those that do not hold, or the first of them alone."""
    found = []
    with planted(mutant):
        for seed in range(first, end):
            told = tell(seed)
            if told.wrong:
                found.append(told)
                if stop:
                    break
    return found


def story(seed: int, mutant: str = "", most: int = LAST) -> str:
    """Describe a seed by its last file operations."""
    with planted(mutant):
        told = tell(seed, traced=True)
    return "\n".join([*told.trace[-most:], str(told), f"again: {replay(seed)}"])


def row(mutant: str, found: Told | None) -> str:
    """Return a mutant's row in the table: its name, what is broken, the first seed that shows it, what is noticed."""
    what = (MUTANTS[mutant].__doc__ or "").strip().splitlines()[0].rstrip(".")
    laws = ", ".join(dict.fromkeys(re.findall(r"[A-Z]{3}-\d+", found.wrong))) if found else ""
    return f"| `{mutant}` | {what} | {found.seed if found else 'not found'} | {laws or 'CRA-1: not at rest'} |"


def main(words: list[str]) -> int:
    """Run the command line; 1 if a seed does not hold."""
    parser = argparse.ArgumentParser(description="Run seeds of the simulator.")
    parser.add_argument("first", type=int)
    parser.add_argument("end", type=int, nargs="?")
    parser.add_argument("--mutant", default="", choices=["", *MUTANTS])
    parser.add_argument("--stop", action="store_true", help="at the first seed that does not hold")
    parser.add_argument("--table", action="store_true", help="the first seed for each mutant")
    parser.add_argument("--trace", action="store_true", help="tell every file operation of the first seed")
    given = parser.parse_args(words)
    if given.trace:
        print(story(given.first, given.mutant, most=1_000_000))
        return 0
    end = given.end if given.end is not None else given.first + 1
    if given.table:
        for mutant in MUTANTS:
            print(row(mutant, next(iter(failures(given.first, end, mutant, stop=True)), None)), flush=True)
        return 0
    begun = time.process_time()
    found = failures(given.first, end, given.mutant, given.stop)
    for told in found:
        print(told, flush=True)
    spent = time.process_time() - begun
    print(
        f"{len(found)} of the seeds {given.first} … {end - 1} do not hold; {spent:.0f} s of processor time", flush=True
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
