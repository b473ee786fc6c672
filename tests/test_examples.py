"""Every example runs, and does what its text says."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from peercoord.queue.queue import Queue
from peercoord.store import paths, records
from peercoord.store import root as roots

EXAMPLES = Path(__file__).parent.parent / "examples"
WORKER = [sys.executable, str(EXAMPLES / "library_worker.py")]
SHELL = str(EXAMPLES / "peer.sh")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    roots.create(str(tmp_path / paths.ROOT), "examples")
    return tmp_path


def queue(project: Path) -> Queue:
    return Queue(roots.open_root(str(project / paths.ROOT)))


def add(project: Path, task: str, described: str, needs: tuple[str, ...] = ()) -> None:
    queue(project).add(records.define(task, f"Task {task}", description=described, dependencies=needs))


def shell(project: Path, word: str, *more: str) -> str:
    words = [SHELL, word, str(project / paths.ROOT), *more]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=240)
    assert not done.stderr
    return done.stdout.strip()


def test_two_library_workers_share_the_list(project: Path) -> None:
    for number in range(1, 7):
        (project / f"d{number}.md").write_text("word " * number)
        add(project, str(number), f"d{number}.md", needs=(str(number - 1),) if number % 2 == 0 else ())
    team = [subprocess.Popen([*WORKER, str(project), name], stdout=subprocess.PIPE, text=True) for name in ("a", "b")]
    said = "".join(one.communicate(timeout=240)[0] for one in team)
    late = subprocess.run([*WORKER, str(project), "c"], check=True, capture_output=True, text=True, timeout=240)
    for number in range(1, 7):
        assert queue(project).find(str(number)).state == "done"
        assert (project / "out" / f"{number}.txt").read_text() == f"{number} words in d{number}.md\n"
        assert (said + late.stdout).count(f": task {number}: ") == 1


def test_a_library_worker_is_not_led_out_of_the_project(project: Path) -> None:
    add(project, "1", "../../etc/passwd")
    add(project, "2", "no such file")
    subprocess.run([*WORKER, str(project), "a"], check=True, timeout=240, capture_output=True)
    for task in ("1", "2"):
        sighting = queue(project).find(task)
        assert (sighting.state, sighting.detail) == ("parked", "failed")
    assert os.listdir(project / "out") == []


def test_a_killed_library_worker_loses_nothing(project: Path) -> None:
    os.mkfifo(project / "endless.md")
    add(project, "1", "endless.md")
    victim = subprocess.Popen([*WORKER, str(project), "victim"], stdout=subprocess.DEVNULL)
    with (project / "endless.md").open("w"):  # opens once the worker reads it: it holds the task now
        victim.send_signal(signal.SIGKILL)
        victim.wait(timeout=240)
    (project / "endless.md").unlink()
    (project / "endless.md").write_text("two words")
    held = queue(project).find("1")
    assert held.state == "claimed"
    me = shell(project, "join", "judge")
    assert shell(project, "evict", me, held.detail) == f"evicted {held.detail}"
    subprocess.run([*WORKER, str(project), "next"], check=True, timeout=240, capture_output=True)
    assert queue(project).find("1").state == "done"
    assert queue(project).result("1")[0] == 2  # type: ignore[index]


def test_the_peer_in_sh_does_what_the_page_says(project: Path) -> None:
    add(project, "1", "anything")
    page = (EXAMPLES / "README.md").read_text()
    me = shell(project, "join", "shelly")
    assert re.fullmatch(r"shelly~1\.[0-9a-f]{10}", me)
    steps = re.findall(r"^\$ examples/peer\.sh (\w+) \$R \$me ?(.*)\n(.+)$", page, flags=re.MULTILINE)
    assert [step[0] for step in steps] == ["claim", "report", "complete", "leave"]
    for word, more, answer in steps:
        assert shell(project, word, me, *more.split()) == answer
    assert queue(project).find("1").state == "done"


def test_the_peer_in_sh_stays_small() -> None:
    lines = Path(SHELL).read_text().splitlines()
    assert len(lines) < 250
    assert all(len(line) <= 120 for line in lines)
    assert f"in {len(lines)} lines" in (EXAMPLES / "README.md").read_text()
    assert os.access(SHELL, os.X_OK)


@pytest.mark.parametrize("shell_name", ["dash", "bash"])
def test_the_peer_in_sh_is_understood_by(shell_name: str) -> None:
    words = [shell_name, *(["--posix"] if shell_name == "bash" else []), "-n", SHELL]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip(f"{shell_name} is not installed")
    assert (done.returncode, done.stderr) == (0, "")
