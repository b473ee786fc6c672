"""What the commands say of a team, and what they do when nobody reads it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from peercoord.core import liveness
from peercoord.core.views import Seat
from peercoord.edges.cli import main as cli
from peercoord.edges.cli.status import gone
from peercoord.fs import process

STEPS = """\
import sys
from peercoord.edges.cli.team import _say
for step in range(3):
    _say(f"step {step}")
open(sys.argv[1], "w").close()
"""


def test_a_step_is_done_though_nobody_reads_what_is_said_of_it(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    with subprocess.Popen([sys.executable, "-c", STEPS, str(tmp_path / "done")], stdout=write) as said:
        os.close(write)
        assert said.wait() == 0
    assert (tmp_path / "done").exists()


def test_help_names_all_that_may_be_let_go(capfd: pytest.CaptureFixture[str]) -> None:
    cli.serve(["down", "--help"])
    said = " ".join(capfd.readouterr().out.split())
    assert "'memory': the contributions to the memory bank that wait" in said


def test_a_worktree_that_is_gone_is_told_and_only_where_it_can_be_told(tmp_path: Path) -> None:
    verdict = liveness.Verdict(liveness.ALIVE, "its agent runs")
    here = {"host": process.here()["host"], "machine": process.here()["machine"]}
    records = {
        "there": {**here, "worktree": str(tmp_path)},
        "lost": {**here, "worktree": str(tmp_path / "lost")},
        "elsewhere": {**here, "host": "another", "worktree": str(tmp_path / "lost")},
        "unknown": {},
    }
    seats = [Seat(peer, f"{peer}~1~a", record, "", False, verdict) for peer, record in records.items()]
    assert gone(seats) == [f"the worktree of lost is gone, {tmp_path}/lost: mend it with peercoord doctor --fix"]
