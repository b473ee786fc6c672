"""The bench of calls and of idle agents answers with its figures; whether a bar holds is not for a test to say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from peercoord.edges.bench import calls, idle
from peercoord.edges.cli import main as cli
from protocol import document


def told(tmp_path: Path, name: str, *words: str) -> tuple[int, Any]:
    """Run a bench in a directory of its own; its exit code and its figures, held against their schema."""
    code, out, err = cli.serve(["bench", name, *words, "--dir", str(tmp_path), "--json"])
    answer = json.loads(out)
    assert "data" in answer, (answer, err)
    document.valid(f"cli/bench-{name}", answer["data"])
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"
    return code, answer["data"]


def test_calls_are_timed_beside_the_least_that_a_process_costs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "WARM_UP", 1)
    code, data = told(tmp_path, "cli", "--rounds", "5")
    commands = data["commands"]
    assert {"/bin/sh -c :", "python -c pass", *calls.BARS} <= commands.keys()
    assert (data["rounds"], commands["python -c pass"]["b"]) == (5, 1.0)
    assert {name for name, one in commands.items() if "bar" in one} == calls.BARS.keys()
    assert code == (0 if all(commands[name]["holds"] for name in calls.BARS) else 1)


def test_idle_agents_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "SETTLE_SECONDS", 0.0)
    code, data = told(tmp_path, "agent", "--seconds", "1")
    assert data["agents"] == 1
    assert data["rss_mib"]["mean"] >= data["own_mib"]["mean"] > 0
    assert data["cpu_percent"]["together"] >= 0
    assert (len(data["bars"]), code) == (3, 0 if all(data["bars"].values()) else 1)
