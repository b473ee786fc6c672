"""What the commands say about a team, and what they do when their output is not read."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

from support.project import Project, project

from peercoord.system import process

__all__ = ["project"]

STEPS = """\
import sys
from peercoord.cli.team import _say
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


def test_a_worktree_that_is_gone_is_told_and_only_where_it_can_be_told(project: Project) -> None:
    here = {key: process.here()[key] for key in ("host", "machine", "boot_id", "pid_ns", "time_ns")}
    lost = str(project.main / "lost")
    records = {
        "there": {**here, "worktree": str(project.main)},
        "lost": {**here, "worktree": lost},
        "apart": {**here, "machine": "another", "worktree": lost},
        "unknown": {},
    }
    for peer, record in records.items():
        home = project.state / "peers" / f"{peer}~1.a"
        (home / "claims").mkdir(parents=True)
        (home / "peer.json").write_text(json.dumps({"peer": peer, "incarnation": f"{peer}~1.a", **record}))
    told = [need for need in project.data("status", at=project.main)["needs_you"] if need["kind"] == "worktree"]
    assert [(need["who"], need["why"], need["commands"]) for need in told] == [
        ("lost", lost, ["peercoord -C " + shlex.quote(str(project.main)) + " doctor --fix"])
    ]
