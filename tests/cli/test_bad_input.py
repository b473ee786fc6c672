"""Bad input to the command line: what, where, the next step; nothing lost, the other tasks go on."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.project import Project

from peercoord.store import manifest


@pytest.fixture
def three(project: Project) -> Project:
    for title in ("one", "two", "three"):
        assert project("task", "add", title)[0] == 0
    return project


def definition(project: Project, task: str) -> Path:
    return next((project.state / "tasks").glob(f"*/{task}.json"))


@pytest.mark.parametrize(
    "content",
    [b"{,", b"[]", b"\xff\xfe", b'{"task_id": 1}', b'{"task_id": 2, "title": "x"}', b"{}" + b" " * (2 << 20)],
)
def test_a_broken_definition_is_set_aside_and_the_others_go_on(three: Project, content: bytes) -> None:
    definition(three, "1").write_bytes(content)
    assert three.data("request")["task_id"] == 2, "the broken one is not handed out"
    aside = [p for p in (three.state / "quarantine").iterdir() if not p.name.endswith(".why")]
    assert [p.read_bytes() for p in aside] == [content]
    assert three.data("task", "list", "--status", "unreadable")["tasks"][0]["task_id"] == 1
    shown = three.data("task", "show", "1")
    assert shown["code"] == "broken-file"
    assert ("quarantine/" in shown["message"], "reopen 1" in shown["hint"]) == (True, True)
    assert three.data("task", "reopen", "1")["task_id"] == 1
    assert three.data("task", "show", "1")["definition"]["title"] == "one", "as it was added"


def test_a_mended_copy_is_taken(three: Project) -> None:
    path = definition(three, "1")
    good = path.read_bytes()
    path.write_bytes(good[:40] + b",,")
    three("request")
    path.write_bytes(good.replace(b'"one"', b'"one, mended"'))
    assert three("task", "reopen", "1")[0] == 0
    assert three.data("task", "show", "1")["definition"]["title"] == "one, mended"


@pytest.mark.parametrize(
    "make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/etc/passwd")], ids=["directory", "FIFO", "link"]
)
def test_what_is_no_file_is_set_aside_and_never_followed(three: Project, make: Callable[[Path], None]) -> None:
    path = definition(three, "1")
    path.unlink()
    make(path)
    assert three.data("request")["task_id"] == 2
    assert three.data("task", "show", "1")["code"] == "broken-file"


# -- protocol.json -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"{", b"{}", b'{"protocol": {"least_writer": 1}}', b"[]", b"\xff"])
def test_a_broken_protocol_file_stops_every_command_with_its_name(three: Project, content: bytes) -> None:
    path = three.state / "protocol.json"
    path.write_bytes(content)
    for words in (["request"], ["status"], ["task", "list"]):
        code, _, err = three(*words)
        assert (code, "protocol.json" in err) == (1, True)
        assert f"hint: mend it by hand, or have it written again: mv {shlex.quote(str(path))} " in err
        assert err.endswith("&& peercoord doctor --fix\n")
    assert path.read_bytes() == content, "it is left as it is"


def bad_set_up(project: Project, *words: str) -> dict[str, str]:
    """What the doctor says of the set-up, which is bad."""
    checks = project.data(*words)["checks"]
    (bad,) = [check for check in checks if (check["check"], check["state"]) == ("set-up", "bad")]
    return dict(bad)


@pytest.mark.parametrize("words", [["doctor"], ["doctor", "--fix"]])
def test_the_doctor_reports_a_broken_protocol_file_with_the_command_that_mends(
    three: Project, words: list[str]
) -> None:
    manifest.note_project(three.main / ".git", "", store_id=three.queue.root.store_id)
    path = three.state / "protocol.json"
    path.write_bytes(b"{]}\n")
    assert (three(*words)[0], path.read_bytes()) == (1, b"{]}\n")
    bad = bad_set_up(three, *words)
    assert "protocol.json is not JSON" in bad["text"]
    fix = bad["fix"].replace("peercoord ", f"{sys.executable} -m peercoord ")
    subprocess.run(["sh", "-c", fix], cwd=three.main, capture_output=True, check=False)
    assert (path.with_name("protocol.json.broken")).read_bytes() == b"{]}\n"
    assert three.data("request")["task_id"] == 1


@pytest.mark.parametrize("share", [0, 40])
def test_a_protocol_file_that_lost_its_end_is_written_again_by_the_doctor(three: Project, share: int) -> None:
    manifest.note_project(three.main / ".git", "", store_id=three.queue.root.store_id)
    path = three.state / "protocol.json"
    left = path.read_bytes()[:share]
    path.write_bytes(left)
    code, _, err = three("request")
    assert (code, "peercoord doctor --fix" in err) == (1, True)
    assert "has lost a part of its content" in bad_set_up(three, "doctor")["text"]
    three("doctor", "--fix")
    assert three.data("request")["task_id"] == 1
    aside = [found for found in (three.state / "quarantine").glob("protocol.json~*") if not found.name.endswith(".why")]
    assert [found.read_bytes() for found in aside] == [left]


def test_another_store_or_a_newer_protocol_in_its_place_is_refused(three: Project) -> None:
    path = three.state / "protocol.json"
    good = path.read_text()
    path.write_text(good.replace('"least_writer": 1', '"least_writer": 99'))
    code, _, err = three("request")
    assert (code, "needs protocol version 99" in err, "upgrade" in err) == (1, True, True)
    path.write_text(good.replace(three.queue.root.store_id, "elsewhere"))
    answer = three.data("request")
    assert (answer["code"], answer["exit"]) == ("other-store", 3)
    three.state.rename(three.main / "away")
    assert three("request")[0] == 3
    assert not three.state.exists(), "none is made in the place of one that has gone"


def test_views_are_never_truth(three: Project) -> None:
    three("request")
    for name in ("state.json", "task_queue.json", "progress-reports/one.json"):
        (three.state / name).write_text("nonsense")
    assert three("status")[0] == 0
    assert three.data("check")["assigned_tasks"][0]["task_id"] == 1
    assert three("report", "1", "--progress", "0.5")[0] == 0


# -- disks -------------------------------------------------------------------------------------------------------


@pytest.fixture
def mounts() -> Iterator[Callable[..., None]]:
    """Mounts what a test asks for, until its end; root alone may."""
    with contextlib.ExitStack() as stack:

        def mount(*words: str) -> None:
            if subprocess.run(["mount", *words], capture_output=True, check=False).returncode:
                pytest.skip("this user may not mount")
            stack.callback(subprocess.run, ["umount", words[-1]], check=False)

        yield mount


def test_a_full_disk_refuses_what_needs_a_record_and_lets_the_rest_go_on(
    three: Project, tmp_path: Path, mounts: Callable[..., None]
) -> None:
    full = tmp_path / "full"
    full.mkdir()
    mounts("-t", "tmpfs", "-o", "size=2m", "tmpfs", str(full))
    subprocess.run(["cp", "-a", f"{three.state}/.", str(full)], check=True)
    mounts("--bind", str(full), str(three.state))
    three("request")
    with (full / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
        while ballast.write(b"x" * 4096):
            pass
    added = three.data("task", "add", "four")
    assert (added["code"], "disk is full" in added["message"]) == ("enospc", True)
    assert three.data("report", "1", "--status", "done")["code"] == "enospc"
    assert three.data("request")["task_id"] == 1, "held on; nothing was changed"
    assert three("release", "1")[0] == 0, "giving back needs no room"
    assert three("request")[0] == 0, "nor does claiming"
    (full / "ballast").unlink()
    assert three("report", "1", "--status", "done")[0] == 0
    assert {t["task_id"] for t in three.data("task", "list")["tasks"]} == {1, 2, 3}


def test_a_read_only_directory_says_so(three: Project, mounts: Callable[..., None]) -> None:
    mounts("--bind", str(three.state), str(three.state))
    subprocess.run(["mount", "-o", "remount,bind,ro", str(three.state)], check=True)
    answer = three.data("request")
    assert (answer["code"], answer["exit"]) == ("erofs", 1)
    assert three("status")[0] == 0, "looking works"
