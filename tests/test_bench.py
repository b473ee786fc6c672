"""Each measurement of ``tests/bench`` runs and answers; no test says whether a bar holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bench import calls, dash, idle
from bench.__main__ import bench
from click.testing import CliRunner


def measured(tmp_path: Path, *words: str) -> tuple[int, Any]:
    done = CliRunner().invoke(bench, [*words, "--dir", str(tmp_path), "--json"])
    assert done.exit_code in (0, 1), done.output
    assert not done.exception or isinstance(done.exception, SystemExit), done.exception
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"
    return done.exit_code, json.loads(done.output)


def test_calls_are_timed_in_python_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "WARM_UP", 1)
    code, data = measured(tmp_path, "cli", "--rounds", "5")
    commands = data["commands"]
    assert commands["python -c pass"]["b"] == 1.0
    assert {name for name, one in commands.items() if "bar" in one} == calls.BARS.keys()
    assert code == (0 if all(one["holds"] for one in [data["hook"], *map(commands.get, calls.BARS)]) else 1)


@pytest.mark.slow
def test_idle_agents_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "SETTLE_SECONDS", 0.0)
    code, data = measured(tmp_path, "agent", "--seconds", "1")
    assert data["rss_mib"]["mean"] >= data["own_mib"]["mean"] > 0
    assert (len(data["bars"]), code) == (3, 0 if all(data["bars"].values()) else 1)


@pytest.mark.slow
def test_an_open_page_is_measured(tmp_path: Path) -> None:
    code, data = measured(tmp_path, "web", "--tasks", "20", "--seconds", "1")
    assert data["rss_mib"] > 0
    assert (len(data["bars"]), code) == (2, 0 if all(data["bars"].values()) else 1)


def test_syncs_are_measured(tmp_path: Path) -> None:
    _, data = measured(tmp_path, "sync", "--tasks", "60", "--rounds", "3")
    assert data["first_import"]["taken_in"] == 60
    assert data["nothing_to_do"]["definitions_read"] == 0
    assert len(data["bars"]) == 3


@pytest.mark.slow
def test_merges_are_measured(tmp_path: Path) -> None:
    _, data = measured(tmp_path, "merge", "--kib", "30", "--count", "40", "--rounds", "3")
    assert {name: (one["git_calls"], one["settled"]) for name, one in data["shapes"].items()} == {
        "of everything": (4, 40),
        "all contested": (20, 40),
    }


@pytest.mark.slow
def test_ways_are_counted(tmp_path: Path) -> None:
    _, data = measured(tmp_path, "ways", "--cold")
    assert len(data["actions"]) == 8
    for one in data["actions"].values():
        assert 0 < one["files"] <= one["changes"] + 1 <= one["calls"]


@pytest.mark.slow
def test_the_status_of_a_large_team_is_timed(tmp_path: Path) -> None:
    code, data = measured(tmp_path, "screens", "--tasks", "3000", "--rounds", "3")
    assert data["first_s"] > 0 < data["median_s"]
    assert (len(data["bars"]), code) == (1, 0 if all(data["bars"].values()) else 1)


@pytest.mark.slow
def test_an_open_dash_is_measured(tmp_path: Path) -> None:
    _, data = measured(tmp_path, "dash", "--tasks", "40", "--seconds", "1")
    assert data["rss_mib"] > 0
    assert max(data["first_seconds"], data["last_row_seconds"], data["change_seconds"]) < dash.FIRST_SECONDS
