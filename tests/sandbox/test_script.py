"""coordinate.sh in surroundings that lack something: it does its work, or says what is wrong and what to do."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from agent.crew import Crew, crew, killed, until

NEVER = {"heartbeat_seconds": 300}
SHELLS = [shell for shell in ("dash", "bash", "busybox", "mksh", "ksh93", "zsh") if shutil.which(shell)]


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Crew]:
    with ExitStack() as stack:
        yield stack.enter_context(crew(tmp_path, 3, **NEVER))


def script(team: Crew) -> Path:
    return team.tree("one") / ".claude-instance" / "coordinate.sh"


def call(*words: str | Path, shell: str = "sh", **more: object) -> subprocess.CompletedProcess[str]:
    name = [shell, "sh"] if shell == "busybox" else [shell]
    given = {"capture_output": True, "text": True, "timeout": 60, **more}
    return subprocess.run([*name, *map(str, words)], check=False, **given)  # type: ignore[call-overload,no-any-return]


def outbox(team: Crew) -> list[str]:
    return sorted(path.name for path in (team.tree("one") / ".claude-instance" / "outbox").glob("*"))


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("wait", ["", "soon", "-1", "0", "1.5", "99999999999999999999", "1e3", " 3", "$(id)"])
def test_a_wait_that_is_no_number_changes_nothing(team: Crew, shell: str, wait: str) -> None:
    team.agent("one")
    done = call(script(team), "check-status", shell=shell, env={**os.environ, "PEERCOORD_WAIT": wait})
    assert (done.returncode, done.stderr) == (0, "")
    assert "holds 0 task(s)" in done.stdout


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("path", ["", "/nonexistent"])
def test_an_empty_path_changes_nothing(team: Crew, shell: str, path: str, tmp_path: Path) -> None:
    team.agent("one")
    where = shutil.which(shell) or ""
    env = {**os.environ, "PATH": path}
    assert call(script(team), "request-task", shell=where, env=env).returncode == 0
    note = tmp_path / "note.md"
    note.write_text("- from a file\n")
    words = ["update-memory", "--file", "techContext.md", "--from", note]
    done = call(script(team), *words, shell=where, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert team.holder("1") == "one"


@pytest.mark.parametrize("kind", ["relative", "absolute", "chain", "directory", "path", "cdpath", "name"])
@pytest.mark.parametrize("agent", [True, False], ids=["agent", "none"])
def test_it_is_called_through_a_link(team: Crew, tmp_path: Path, kind: str, agent: bool) -> None:
    here = tmp_path / "-a b\n"
    here.mkdir()
    target, link = script(team), here / "co"
    if agent:
        team.agent("one")
    env = {**os.environ, "PEERCOORD_NO_AGENT": "1"}
    words: list[str | Path] = [link]
    if kind == "relative":
        link.symlink_to(os.path.relpath(target, here))
    elif kind == "chain":
        (here / "two").symlink_to(target)
        (here / "sub").mkdir()
        (here / "sub" / "three").symlink_to("../two")
        link.symlink_to("sub/three")
    elif kind == "directory":
        (here / "home").symlink_to(target.parent)
        words = [here / "home" / "coordinate.sh"]
    else:
        link.symlink_to(target)
    if kind == "path":
        env["PATH"] = f"{here}:{env['PATH']}"
        words = ["-c", "co request-task"]
    elif kind == "cdpath":
        env["CDPATH"] = f"{tmp_path}:{here}"
        words = ["./co"]
    elif kind == "name":
        words = ["co"]
    done = call(*words, *([] if kind == "path" else ["request-task"]), cwd=here, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert team.holder("1") == "one"


@pytest.mark.parametrize("shell", SHELLS)
def test_without_its_program_it_says_what_to_do(team: Crew, shell: str) -> None:
    pid = team.agent("one")
    text = script(team).read_text()
    line = next(line for line in text.splitlines() if line.startswith("python="))
    script(team).write_text(text.replace(line, "python='/gone for ever/python'"))
    assert call(script(team), "request-task", shell=shell).returncode == 0, "the agent needs no program"
    killed(pid)
    done = call(script(team), "report-progress", "1", "--progress", "0.5", shell=shell)
    assert done.returncode == 3
    assert "/gone for ever/python" in done.stderr
    assert "hint: install peercoord again" in done.stderr
    assert ("stays queued" in done.stderr) == bool(outbox(team)), "said of a request that was written, and of no other"
    done = call(script(team), "check-status", shell=shell)
    assert (done.returncode, "stays queued" in done.stderr) == (3, False)


def test_without_its_package_it_says_what_to_do(team: Crew) -> None:
    team.tree("one")
    text = script(team).read_text()
    script(team).write_text(text.replace("from peercoord.cli.main", "from peercoord.gone"))
    done = call(script(team), "check-status")
    assert done.returncode == 3
    assert "peercoord.gone" in done.stderr
    assert "hint: install peercoord again" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("where", ["&-", "/dev/full"])
@pytest.mark.parametrize("agent", [True, False], ids=["agent", "none"])
def test_output_that_cannot_be_written_undoes_no_statement(team: Crew, shell: str, where: str, agent: bool) -> None:
    if agent:
        team.agent("one")
    env = {**os.environ, "PEERCOORD_NO_AGENT": "1"}
    at = script(team)
    assert call(at, "request-task", shell=shell, env=env).returncode == 0
    said = [f"exec >{where}; . '{at}'" if False else f"exec '{shutil.which(shell)}' '{at}' \"$@\" >{where}", "sh"]
    done = call("-c", *said, "report-progress", "1", "--status", "done", env=env)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert team.where("1") == "done"
    done = call("-c", *said, "check-status", env=env)
    assert done.returncode == (0 if where == "&-" and not agent else 1)
    done = call("-c", *said, "request-task", env=env)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    again = call(at, "request-task", "--json", shell=shell, env=env)
    assert json.loads(again.stdout)["data"]["task_id"] == 2, "it is not lost"


@pytest.mark.parametrize("shell", SHELLS)
def test_a_late_answer_is_told_as_what_it_is(team: Crew, shell: str) -> None:
    pid = team.agent("one")
    env = {**os.environ, "PEERCOORD_WAIT": "1"}
    os.kill(pid, signal.SIGSTOP)
    try:
        asked = call(script(team), "request-task", shell=shell, env=env)
        told = call(script(team), "update-memory", "--file", "techContext.md", "--content", "- x", shell=shell, env=env)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert (asked.returncode, "stays queued" in asked.stderr, "ask again" in asked.stderr) == (3, False, True)
    assert (told.returncode, "stays queued" in told.stderr) == (3, True)
    until(lambda: list((team.state / "memory-updates" / "queued").iterdir()), what="the queued contribution")
    assert team.where("1") == "ready", "nobody was there who would work on it"


Mount = Callable[[], None]


@pytest.mark.distributed
@pytest.mark.parametrize("agent", [True, False], ids=["agent", "none"])
def test_on_a_full_disk_only_what_was_written_is_said_to_be_queued(tmp_path: Path, agent: bool) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(disk)], check=False)
    if mounted.returncode:
        pytest.skip("nothing can be mounted here")
    env = {**os.environ, "PEERCOORD_NO_AGENT": "1"}
    try:
        with crew(disk, 3, **NEVER) as team:
            at = script(team)
            assert call(at, "request-task", env=env).returncode == 0
            if agent:
                team.agent("one")
            with (disk / "fill").open("wb", buffering=0) as fill:
                for size in (1 << 20, 4096):
                    try:
                        while fill.write(b"x" * size) == size:
                            continue
                    except OSError:
                        continue
            for words in (
                ["update-memory", "--file", "techContext.md", "--content", "- x"],
                ["report-progress", "1", "--status", "done"],
            ):
                done = call(at, *words, env=env)
                assert done.returncode == 1
                assert "the disk is full" in done.stderr
                assert "stays queued" not in done.stderr
            assert outbox(team) == []
            assert team.holder("1") == "one", "what needs a record fails before it changes anything"
            assert call(at, "release", "1", env=env).returncode == 0
            assert team.where("1") == "ready"
            assert call(at, "request-task", env=env).returncode == 0
            assert team.holder("1") == "one"
            (disk / "fill").unlink()
            assert call(at, "report-progress", "1", "--status", "done", env=env).returncode == 0
            assert team.where("1") == "done"
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)
