"""coordinate.sh in surroundings that lack something: it does its work, or says what is wrong and what to do."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from agent.crew import Crew, crew, killed, until

from peercoord.store import records

Team = Callable[..., Crew]
ALONE = {**os.environ, "PEERCOORD_NO_AGENT": "1"}
SHELLS = [shell for shell in ("dash", "bash", "busybox", "mksh", "ksh93", "zsh") if shutil.which(shell)]
IN_EVERY_SHELL = pytest.mark.parametrize("shell", SHELLS)


def call(*words: str | Path, shell: str = "sh", **more: object) -> subprocess.CompletedProcess[str]:
    name = [shell, "sh"] if shell == "busybox" else [shell]
    given = {"capture_output": True, "text": True, "timeout": 60, **more}
    return subprocess.run([*name, *map(str, words)], check=False, **given)  # type: ignore[call-overload,no-any-return]


@IN_EVERY_SHELL
def test_a_wait_that_is_no_number_changes_nothing(standing: Crew, shell: str) -> None:
    for wait in ("", "soon", "-1", "0", "1.5", "99999999999999999999", "1e3", " 3", "$(id)"):
        env = {**os.environ, "PEERCOORD_WAIT": wait}
        done = call(standing.script("one"), "check-status", shell=shell, env=env)
        assert (done.returncode, done.stderr, "holds 0 tasks" in done.stdout) == (0, "", True), wait


@IN_EVERY_SHELL
@pytest.mark.parametrize("path", ["", "/nonexistent"])
def test_an_empty_path_changes_nothing(served: tuple[Crew, str], shell: str, path: str, tmp_path: Path) -> None:
    crew, task = served
    env, note = {**os.environ, "PATH": path}, tmp_path / "note.md"
    note.write_text("- from a file\n")
    for words in (["request-task"], ["update-memory", "--file", "techContext.md", "--from", note]):
        done = call(crew.script("one"), *words, shell=shutil.which(shell) or "", env=env)
        assert (done.returncode, done.stderr) == (0, "")
    assert crew.holder(task) == "one"


LINKS = {  # how a person in a directory makes a link to the script, and calls it
    "relative": ('ln -s "$RELATIVE" co', "./co"),
    "absolute": ('ln -s "$SCRIPT" co', '"$PWD/co"'),
    "chain": ('ln -s "$SCRIPT" two; mkdir sub; ln -s ../two sub/three; ln -s sub/three co', "./co"),
    "directory": ('ln -s "${SCRIPT%/*}" home', "home/coordinate.sh"),
    "path": ('ln -s "$SCRIPT" co', 'PATH="$PWD:$PATH"; co'),
    "cdpath": ('ln -s "$SCRIPT" co', 'CDPATH="${PWD%/*}:$PWD" ./co'),
    "name": ('ln -s "$SCRIPT" co', "sh co"),
}


def call_through_link(crew: Crew, here: Path, kind: str, env: dict[str, str]) -> None:
    here.mkdir()
    script = crew.script("one")
    make, run = LINKS[kind]
    own = {"SCRIPT": str(script), "RELATIVE": os.path.relpath(script, here)}
    done = call("-ec", f"{make}; {run} request-task", cwd=here, env={**env, **own})
    assert (done.returncode, done.stderr) == (0, ""), kind


@pytest.mark.parametrize("kind", LINKS)
def test_the_script_is_called_through_a_link(served: tuple[Crew, str], tmp_path: Path, kind: str) -> None:
    crew, task = served
    call_through_link(crew, tmp_path / "-a b\n", kind, {**os.environ})
    assert crew.holder(task) == "one"


def test_the_command_line_is_called_through_a_link(team: Team, tmp_path: Path) -> None:
    crew = team(1)
    for kind in ("directory", "cdpath", "name"):
        call_through_link(crew, tmp_path / f"-{kind}\n", kind, ALONE)
    assert crew.holder("1") == "one"


def test_a_killed_agent_and_a_program_that_is_gone_are_named_at_once(team: Team) -> None:
    crew = team()
    pid = crew.agent("one")
    crew.without_python("one")
    assert crew.call("one", "request-task")[0] == 0, "the agent needs no program"
    killed(pid)
    for shell in SHELLS:
        before = crew.outbox("one")
        done = call(crew.script("one"), "report-progress", "1", "--progress", "0.5", shell=shell)
        assert (done.returncode, "/gone for ever/python" in done.stderr) == (3, True)
        assert "hint: install peercoord again" in done.stderr
        assert ("stays queued" in done.stderr) == (crew.outbox("one") != before), "only what was written is queued"
        done = call(crew.script("one"), "check-status", shell=shell)
        assert (done.returncode, "stays queued" in done.stderr) == (3, False)


@pytest.mark.parametrize("stays", [False, True], ids=["goes", "stays"])
@pytest.mark.parametrize("shell", SHELLS)
def test_a_door_that_goes_before_it_is_opened_is_looked_for_again_once(
    team: Team, tmp_path: Path, shell: str, stays: bool
) -> None:
    """Sixteen callers at once found every door of a list gone, and so took their agent for dead."""
    crew = team()
    crew.without_python("one")
    going = crew.tree("one") / ".claude-instance" / "inbox" / "00000001-a.door"
    going.parent.mkdir(exist_ok=True)
    going.symlink_to("nowhere")  # it is listed, and not there
    remove = "" if stays else f'rm -f "{going}"'
    (tmp_path / "sleep").write_text(f'#!/bin/sh\necho slept >>"{tmp_path}/told"\n{remove}\n')
    (tmp_path / "sleep").chmod(0o755)
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = call(crew.script("one"), "check-status", shell=shell, env={**os.environ, **path})
    assert (done.returncode, "/gone for ever/python" in done.stderr) == (3, True), "there is no agent"
    assert (tmp_path / "told").read_text() == "slept\n"


def test_without_its_package_the_script_says_what_to_do(team: Team) -> None:
    script = team().script("one")
    script.write_text(script.read_text().replace("from peercoord.cli.main", "from peercoord.gone"))
    done = call(script, "check-status")
    assert (done.returncode, "Traceback" in done.stderr) == (3, False)
    assert "peercoord.gone" in done.stderr
    assert "hint: install peercoord again" in done.stderr


def check_output_lost(crew: Crew, task: str, where: str, shell: str, env: dict[str, str]) -> None:
    """A statement whose answer cannot be written is done; a claim whose answer cannot be written is answered again."""
    script = crew.script("one")
    lost = ["-c", f"exec '{shutil.which(shell)}' '{script}' \"$@\" >{where}", "sh"]
    assert call(script, "request-task", shell=shell, env=env).returncode == 0
    done = call(*lost, "report-progress", task, "--status", "done", env=env)
    assert (done.returncode, "Traceback" in done.stderr, crew.where(task)) == (0, False, "done")
    closed_on_purpose = where == "&-" and env is ALONE
    assert call(*lost, "check-status", env=env).returncode == (0 if closed_on_purpose else 1)
    crew.queue.add(records.define(f"{task}0", "next"))
    done = call(*lost, "request-task", env=env)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    again = call(script, "request-task", "--json", shell=shell, env=env)
    assert json.loads(again.stdout)["data"]["task_id"] == int(f"{task}0"), "it is not lost"


@IN_EVERY_SHELL
@pytest.mark.parametrize("where", ["&-", "/dev/full"])
def test_output_that_cannot_be_written_undoes_no_statement(served: tuple[Crew, str], shell: str, where: str) -> None:
    check_output_lost(*served, where, shell, {**os.environ})


@pytest.mark.parametrize("where", ["&-", "/dev/full"])
def test_output_that_the_command_line_cannot_write_undoes_no_statement(team: Team, where: str) -> None:
    check_output_lost(team(1), "1", where, "sh", ALONE)


@pytest.mark.slow
def test_a_late_answer_is_called_late(team: Team) -> None:
    crew = team()
    env, pid = {**os.environ, "PEERCOORD_WAIT": "1"}, crew.agent("one")
    os.kill(pid, signal.SIGSTOP)
    try:
        asked = call(crew.script("one"), "request-task", env=env)
        words = ["update-memory", "--file", "techContext.md", "--content", "- x"]
        told = {shell: call(crew.script("one"), *words, shell=shell, env=env) for shell in SHELLS}
    finally:
        os.kill(pid, signal.SIGCONT)
    assert (asked.returncode, "stays queued" in asked.stderr, "ask again" in asked.stderr) == (3, False, True)
    for shell, done in told.items():
        assert (done.returncode, "stays queued" in done.stderr) == (3, True), shell
    queued = crew.state / "memory-updates" / "queued"
    until(lambda: len(list(queued.iterdir())) == len(SHELLS), what="the queued contributions")
    assert crew.where("1") == "ready", "no caller was there who would work on it"


@pytest.mark.distributed
@pytest.mark.parametrize("agent", [True, False], ids=["agent", "none"])
def test_on_a_full_disk_only_what_was_written_is_said_to_be_queued(tmp_path: Path, agent: bool) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(disk)], check=False)
    if mounted.returncode:
        pytest.skip("nothing can be mounted here")
    try:
        with crew(disk, 3, heartbeat_seconds=300) as team:
            script = team.script("one")
            assert call(script, "request-task", env=ALONE).returncode == 0
            if agent:
                team.agent("one")
            with (disk / "fill").open("wb", buffering=0) as fill:
                for size in (1 << 20, 4096):
                    with suppress(OSError):
                        while fill.write(b"x" * size) == size:
                            continue
            for words in ("update-memory --file techContext.md --content x", "report-progress 1 --status done"):
                done = call(script, *words.split(), env=ALONE)
                assert (done.returncode, "stays queued" in done.stderr) == (1, False)
                assert "the disk is full" in done.stderr
            assert team.outbox("one") == []
            assert team.holder("1") == "one", "what needs a record fails before it changes anything"
            for words in ("release 1", "request-task"):
                assert call(script, *words.split(), env=ALONE).returncode == 0
            assert team.holder("1") == "one"
            (disk / "fill").unlink()
            assert call(script, "report-progress", "1", "--status", "done", env=ALONE).returncode == 0
            assert team.where("1") == "done"
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)
