"""claude-task-master itself: where it is, or installed for as long as the tests last."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = "task-master-ai@0.43.1"


@pytest.fixture(scope="session")
def task_master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Find the program, or install it (1.4 GB) for as long as the tests last."""
    found = os.environ.get("TASK_MASTER") or shutil.which("task-master")
    if found:
        yield found
        return
    place = tmp_path_factory.mktemp("npm")
    try:
        yield installed(place)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def installed(place: Path) -> str:
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("npm is not installed, so claude-task-master cannot be had")
    command = [npm, "install", "--prefix", str(place), "--no-audit", "--no-fund", "--ignore-scripts", PACKAGE]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=600)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm did not install {PACKAGE} in 600 s")
    if ended.returncode:
        pytest.skip(f"npm could not install {PACKAGE}: {ended.stderr.strip()[-200:]}")
    program = str(place / "node_modules" / ".bin" / "task-master")
    try:
        started = subprocess.run(
            [program, "--version"], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"{PACKAGE} does not start here: {error}")
    if started.returncode:
        pytest.skip(f"{PACKAGE} does not start here: {started.stderr.strip()[-200:]}")
    return program
