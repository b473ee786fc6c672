"""A thousand contributions into a megabyte cost a few readings of it, and one run of git for each contested section."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import answers

from peercoord.edges.bench import merge as bench
from peercoord.edges.cli import main as cli


def test_the_measure_itself(tmp_path: Path) -> None:
    data = bench.measure(30_000, 40, 3, str(tmp_path))
    assert {name: (one["git_calls"], one["settled"]) for name, one in data["shapes"].items()} == {
        "of everything": (4, 40),
        "all to one section": (0, 40),
        "each a new section": (0, 40),
        "all contested": (20, 40),
    }
    assert all(one["ratio"] > 0 for one in data["shapes"].values())
    assert list(tmp_path.iterdir()) == []


def test_the_command_answers_with_its_figures(tmp_path: Path) -> None:
    code, out, _ = cli.serve(
        ["bench", "merge", "--kib", "20", "--count", "20", "--rounds", "3", "--dir", str(tmp_path), "--json"]
    )
    bars = answers.read(out, "bench", "merge")["data"]["bars"]
    assert code == (0 if all(bars.values()) else 1), "a document so small says nothing about the bars"
    assert bars["every contribution is merged"]
    assert bars["git is called once for each contested section"]


@pytest.mark.slow
def test_a_thousand_contributions_into_a_megabyte() -> None:
    """What it costs in time, the bench says; here, what does not depend on who else uses the machine."""
    data = bench.measure(1_000_000, 1_000, 1)
    counted = {name: held for name, held in data["bars"].items() if "readings" not in name}
    assert len(counted) == 2
    assert all(counted.values()), data
