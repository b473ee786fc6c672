"""A peer in Node.js, written from the specification alone, passes vectors and suite, alone and in mixed company."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from peersuite import between, flushing, intake, races, reading, trouble, watching  # noqa: F401 -- these register
from peersuite.checks import CHECKS, SMALL
from peersuite.command import NotTriedError, World

ROOT = Path(__file__).parent.parent.parent
NODE = ["node", str(Path(__file__).parent / "node" / "peer.mjs")]
PYTHON = [sys.executable, str(ROOT / "protocol" / "conformance" / "python_peer.py")]
VECTORS = [path for path in (ROOT / "protocol" / "vectors" / "v1").glob("*.json") if ".schema." not in path.name]
ELSEWHERE = {"request", "fits", "names-file", "merge", "sections", "base", "summary", "crash"}
"""Rules of the mailbox, the memory bank and the views; and what takes a crash to try."""
RACES = [name for name, check in CHECKS.items() if check.__module__ == races.__name__]
MIXED = [*RACES, "of_adders_of_one_id_one_adds_it", "race_for_the_leadership", "evicts_and_seals"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("node"), reason="node is not installed"),
    pytest.mark.skipif(not shutil.which("flock"), reason="flock(1) is not installed"),
]


def passes(check: str, world: World) -> None:
    """Run a check; what it needs and cannot have here is no failure."""
    try:
        CHECKS[check](world)
    except NotTriedError as why:
        pytest.skip(str(why))


def test_it_agrees_with_every_vector_of_a_task_peer() -> None:
    done = subprocess.run([*NODE, "vectors", *map(str, VECTORS)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    rules = Counter(vector["rule"] for path in VECTORS for vector in json.loads(path.read_text())["vectors"])
    ran = json.loads(done.stdout)
    assert ran == {rule: count for rule, count in rules.items() if rule not in ELSEWHERE}


@pytest.mark.parametrize("check", [name for name in CHECKS if name not in SMALL])
def test_it_passes_alone(check: str, tmp_path: Path) -> None:
    passes(check, World(tmp_path, [NODE]))


@pytest.mark.parametrize("check", MIXED)
@pytest.mark.parametrize("commands", [[NODE, PYTHON], [PYTHON, NODE]], ids=["node-python", "python-node"])
def test_it_passes_in_mixed_company(commands: list[list[str]], check: str, tmp_path: Path) -> None:
    passes(check, World(tmp_path, commands))
