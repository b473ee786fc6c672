"""Run many seeds, and say which do not hold.

cd tests && python -m simulation.sweep 0 10000 [--mutant NAME] [--stop]      a line for each seed that does not hold
cd tests && python -m simulation.sweep --trace 936 [--mutant NAME]            one seed, every file operation of it
"""

from __future__ import annotations

import argparse
import sys

from simulation.mutants import MUTANTS, planted
from simulation.world import Told, tell

LAST = 80  # file operations shown before what went wrong


def replay(seed: int) -> str:
    """Say how a seed is run once more."""
    return f"cd tests && python -m simulation.sweep --trace {seed}"


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
    """Tell a seed with its last file operations."""
    with planted(mutant):
        told = tell(seed, traced=True)
    return "\n".join([*told.trace[-most:], str(told), f"again: {replay(seed)}"])


def main(words: list[str]) -> int:
    """Run the command line; 1 if a seed does not hold."""
    parser = argparse.ArgumentParser(description="Run seeds of the simulator.")
    parser.add_argument("first", type=int)
    parser.add_argument("end", type=int, nargs="?")
    parser.add_argument("--mutant", default="", choices=["", *MUTANTS])
    parser.add_argument("--stop", action="store_true", help="at the first seed that does not hold")
    parser.add_argument("--trace", action="store_true", help="tell every file operation of the first seed")
    given = parser.parse_args(words)
    if given.trace:
        print(story(given.first, given.mutant, most=1_000_000))
        return 0
    end = given.end if given.end is not None else given.first + 1
    found = failures(given.first, end, given.mutant, given.stop)
    for told in found:
        print(told, flush=True)
    print(f"{len(found)} of the seeds {given.first} … {end - 1} do not hold", flush=True)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
