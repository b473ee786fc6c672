"""The service files are what the service managers read."""

from __future__ import annotations

import plistlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from peercoord.edges import agentctl, service

WORDS = ["/opt/my venv/bin/python", "-I", "-m", "peercoord"]


def test_the_unit_names_the_program_and_ends_with_the_agent() -> None:
    text = service.text("/work/tree", "one", WORDS, "linux")
    assert 'ExecStart="/opt/my venv/bin/python" -I -m peercoord -C /%I agent run --foreground' in text
    assert "@" not in text.partition("[Unit]")[2]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / service.SYSTEMD
    unit.write_text(service.text("/", "one", agentctl.command(), "linux"))
    done = subprocess.run(["systemd-analyze", "verify", "--user", str(unit)], capture_output=True, text=True)
    assert unit.name not in done.stderr, done.stderr


def test_the_property_list_is_one() -> None:
    text = service.text("/work/a & b", "one", WORDS, "darwin")
    found = plistlib.loads(text.encode())
    assert found["Label"] == "peercoord.agent.one"
    assert found["ProgramArguments"] == [*WORDS, "-C", "/work/a & b", "agent", "run", "--foreground"]
    assert found["StandardErrorPath"] == "/work/a & b/.claude-instance/agent.log"


def test_the_words_start_this_installation() -> None:
    done = subprocess.run([*agentctl.command(), "--version"], capture_output=True, text=True, check=True)
    assert "peercoord" in done.stdout
    assert agentctl.command()[0] == sys.executable
