"""A coding agent owns its worktree and may do anything there: what lies there decides nothing outside."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from agent.crew import Crew, until
from support.project import Project, git, project

from peercoord.agent import client, control
from peercoord.cli import main as cli
from peercoord.errors import BrokenFileError, NotFoundError, StorageError
from peercoord.mailbox import verbs
from peercoord.mailbox.protocol import Answer, Request
from peercoord.mailbox.server import Outbox
from peercoord.queue.queue import Queue
from peercoord.store import instance_records, manifest, paths, records
from peercoord.store import root as roots
from peercoord.store.settings import CLAIMED_MOST
from peercoord.team import evidence
from peercoord.team.repository import discover
from peercoord.worktree import context, contributing
from peercoord.worktree.call import WorktreeCall

__all__ = ["project"]

Team = Callable[..., Crew]


def end(processes: list[psutil.Process]) -> None:
    for one in processes:
        one.terminate()
    psutil.wait_procs(processes, timeout=240)


def listing(home: Path) -> list[str]:
    return sorted(f"{path.relative_to(home)} {path.lstat().st_size}" for path in home.rglob("*"))


def own(tree: Path, name: str) -> Path:
    return tree / paths.INSTANCE / name


def forge(tree: Path, **facts: object) -> None:
    """Replace info.json by one that says something else."""
    path = own(tree, "info.json")
    known = json.loads(path.read_text())
    path.with_name("x").write_text(json.dumps({**known, **facts}))
    path.with_name("x").replace(path)


def fake(at: Path, real: Path, peer: str, worktree: Path) -> Path:
    """Make a project whose coordination directory is a copy that names a worktree, and has a task of its own."""
    shutil.copytree(real / paths.ROOT, at / paths.ROOT)
    root = roots.open_root(str(at / paths.ROOT))
    Queue(root).add(records.define("evil", "of the forged project"))
    instance_records.write(root, peer, worktree=str(worktree), git_dir=str(worktree / "git"))
    return at


@pytest.fixture
def away(project: Project) -> Path:
    """A worktree of the project, which lies far from it."""
    tree = project.main.parent / "far" / "away" / "tree"
    git(project.main, "worktree", "add", "-q", str(tree), "-b", "far")
    own(tree, "x").parent.mkdir()
    return tree


def says(tree: Path, peer: str, project: Path) -> None:
    """Write an info.json that names a peer and a project."""
    own(tree, "info.json").write_text(json.dumps({"instance_id": peer, "project": str(project)}))


# -- which project, which peer -----------------------------------------------------------------------------------


def test_a_running_agent_goes_on_with_its_project_whatever_info_json_says(team: Team) -> None:
    crew = team()
    tree = crew.tree("one")
    crew.agent("one")
    inside = fake(tree / "fake", crew.project, "one", tree)
    before = listing(inside)
    forge(tree, project=str(inside), instance_id="two", store_id="elsewhere")
    code, out, err = crew.call("one", "request-task", "--json")
    assert (code, json.loads(out)["data"]["task_id"]) == (0, 1), err
    assert crew.holder("1") == "one"
    assert listing(inside) == before


def test_an_agent_that_was_told_its_project_needs_no_info_json(team: Team) -> None:
    crew = team()
    tree = crew.tree("one")
    own(tree, "info.json").write_text("{")
    control.start(str(tree), str(crew.project))
    assert crew.call("one", "request-task")[0] == 0
    info = json.loads(own(tree, "info.json").read_text())
    assert (info["project"], info["instance_id"]) == (str(crew.project), "one")


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"instance_id": "../x", "project": "/"}', '{"instance_id": "two", "worktree_path": "/w"}'],
)
def test_a_project_beside_that_recorded_the_worktree_is_found_without_info_json(project: Project, content: str) -> None:
    own(project.worktree, "info.json").write_text(content)
    place = context.find(str(project.worktree))
    assert (place.project, place.instance) == (str(project.main), "one")


def test_a_project_beside_is_found_for_a_directory_in_a_worktree(project: Project) -> None:
    """A package of many: what lies beside it in the worktree counts less than what lies beside the worktree."""
    tree, package = project.worktree / "apps" / "web", project.main / "apps" / "web"
    own(tree, "x").parent.mkdir(parents=True)
    root = roots.create(str((package.mkdir(parents=True), package)[1] / paths.ROOT), "web")
    instance_records.write(root, "web", worktree=str(tree), checkout=str(project.worktree), git_dir="/g")
    inside = project.worktree / "apps" / "fake"
    inside.mkdir()
    fake(inside, package, "evil", tree)
    own(tree, "info.json").write_text(json.dumps({"instance_id": "evil", "project": str(inside)}))
    place = context.find(str(tree))
    assert (place.project, place.instance, place.checkout) == (str(package), "web", str(project.worktree))
    assert place.files().beneath.top == str(project.worktree)


def test_a_project_in_the_worktree_itself_is_refused(project: Project, away: Path) -> None:
    inside = fake(away / "fake", project.main, "one", away)
    (away / "link").symlink_to(inside)
    for place in (inside, away / "link"):
        says(away, "one", place)
        with pytest.raises(NotFoundError, match="which knows no such worktree"):
            context.find(str(away))
    for of, tree in ((inside, away), (project.main, project.main)):
        with pytest.raises(NotFoundError, match="knows no worktree"):
            context.at(str(of), str(tree))


def test_what_an_agent_runs_for_its_project_does_not_ask_the_worktree_for_it(
    project: Project, away: Path, tmp_path: Path
) -> None:
    """As the merge and the sync of the leader, which are processes of their own."""
    instance_records.write(project.queue.root, "far", worktree=str(away), git_dir="/g")
    says(away, "far", fake(tmp_path / "forged", project.main, "far", away))
    words = ["-C", str(away), "--project", str(project.main), "task", "list", "--json"]
    assert json.loads(cli.serve(words)[1])["data"]["tasks"] == []
    assert "evil" in cli.serve(["-C", str(away), "task", "list"])[1].decode(), "as a person would be led"


@pytest.mark.parametrize("evidence_of", ["record", "peer", "repository", "none"])
def test_a_project_elsewhere_counts_if_it_knows_the_worktree(project: Project, away: Path, evidence_of: str) -> None:
    """Also one that version 0.1.0 set up: it has no records of instances."""
    git_dir = git(away, "rev-parse", "--absolute-git-dir").strip()
    says(away, "unknown", project.main)
    if evidence_of == "record":
        instance_records.write(project.queue.root, "far", worktree=str(away), git_dir=git_dir)
    elif evidence_of == "peer":
        (project.state / "peers" / "far~1.x").mkdir()
        (project.state / "peers" / "far~1.x" / "peer.json").write_text(json.dumps({"worktree": str(away)}))
    elif evidence_of == "repository":
        manifest.note_worktree(Path(git_dir), sub="", index=7, peer="far", made=True)
    if evidence_of == "none":
        with pytest.raises(NotFoundError) as caught:
            context.find(str(away))
        assert str(project.main) in caught.value.message
        assert "claude-team-coordinated PROJECT" in caught.value.hint
    else:
        place = context.find(str(away / paths.INSTANCE))
        assert (place.project, place.instance, place.worktree) == (str(project.main), "far", str(away))


def test_a_broken_info_json_that_no_project_corrects_is_an_error(tmp_path: Path) -> None:
    own(tmp_path, "x").parent.mkdir()
    own(tmp_path, "info.json").write_text("{")
    with pytest.raises(BrokenFileError, match="cannot be understood"):
        context.find(str(tmp_path))


def test_a_coordination_directory_in_a_worktree_is_not_used(project: Project) -> None:
    inside = project.worktree / "src"
    inside.mkdir()
    fake(inside, project.main, "one", project.worktree)
    for place in (inside, inside / paths.ROOT):
        with pytest.raises(NotFoundError, match="lies in the worktree of an instance"):
            context.find(str(place))
    own(project.worktree, "info.json").unlink()  # that does not make it a main checkout
    with pytest.raises(NotFoundError) as caught:
        context.find(str(inside))
    assert str(project.main) in caught.value.hint


def test_a_git_file_leads_only_to_a_repository_that_lists_the_worktree(project: Project, tmp_path: Path) -> None:
    stray = project.main.parent / "stray"
    git(project.main, "worktree", "add", "-q", str(stray), "-b", "stray")
    assert context.find(str(stray)).stray == str(stray)
    other = fake(tmp_path / "elsewhere", project.main, "one", stray)
    (stray / ".git").write_text(f"gitdir: {other}/.git/worktrees/stray\n")
    with pytest.raises(NotFoundError, match="no coordinated project"):
        context.find(str(stray))


def test_numbers_that_would_use_up_the_numbers_are_not_believed(project: Project) -> None:
    project.queue.add(records.define("1", "First"))
    forge(project.worktree, incarnation=f"one~{'9' * 15}.x")
    assert project("request")[0] == 0
    place = context.find(str(project.worktree))
    assert place.incarnation is not None
    assert place.incarnation.number < CLAIMED_MOST
    git_dir = git(project.worktree, "rev-parse", "--absolute-git-dir").strip()
    manifest.note_worktree(Path(git_dir), sub="", index=1, peer="one", made=True)
    entry = {"task_id": 1, "epoch": 10**15 - 1, "status": "done"}
    own(project.worktree, "progress.json").write_text(json.dumps({"assigned_tasks": [entry]}))
    own(project.worktree, "inbox").mkdir(exist_ok=True)
    own(project.worktree, "inbox/current").write_text(f"one~1.x 1~{10**15 - 1}\n")
    found = evidence.gather(discover(project.main, exact=True), lists=False)
    assert (found.tasks, found.claims) == ({}, {})


# -- files in place of others ------------------------------------------------------------------------------------


def test_an_outbox_that_is_a_link_loses_nothing_outside(team: Team, tmp_path: Path) -> None:
    crew = team()
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "photos.tar").write_bytes(b"x" * (records.RECORD_BYTES + 1))
    (precious / "link").symlink_to("/nowhere")
    before = listing(precious)
    place = context.find(str(crew.tree("one")))
    served: list[object] = []
    box = Outbox(place.files(), served.append, lambda: ("", []), lambda: 0.0)  # type: ignore[arg-type]
    box.open()
    try:
        own(crew.tree("one"), "outbox").rmdir()
        own(crew.tree("one"), "outbox").symlink_to(precious)
        for name in ("photos.tar", "link"):
            assert box.answer(name) is None
        with pytest.raises(StorageError, match="is a link or a file"):
            box.rescan()
    finally:
        box.close()
    assert (listing(precious), served) == (before, [])


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_request_of_any_bytes_does_not_keep_later_ones_from_being_served(
    project: Project, options: list[str]
) -> None:
    served: list[str] = []

    def serve(request: Request) -> Answer:
        served.append(request.number)
        return Answer(0, b"", b"")

    box = Outbox(context.find(str(project.worktree)).files(), serve, lambda: ("one~1.x", []), lambda: 0.0)
    for number, incarnation in (("r1", "\udcff\x1b[2J"), ("r2", "one~1.x")):
        request = Request(number, ["release", *options], incarnation=incarnation)
        own(project.worktree, "outbox").mkdir(exist_ok=True)
        own(project.worktree, f"outbox/{number}").write_bytes(request.encode())
    box.rescan()
    assert served == ["r2"]
    kept = json.loads(own(project.worktree, "inbox/r1.answer").read_text())
    assert "it was made for ··[2J" in kept["err"] + kept["out"]


def test_a_request_that_could_never_be_read_is_not_queued(project: Project) -> None:
    place = context.find(str(project.worktree))
    mark = {"schema_version": 1, "at": "2026-01-01T00:00:00Z", "by": "ann"}
    (project.state / paths.DOWN).write_text(json.dumps(mark))
    answer = client.call(place, ["update-memory", "--file", "techContext.md", "--content", "a\0b"])
    assert (answer.code, b"NUL byte" in answer.err) == (2, True)
    assert list(own(project.worktree, "outbox").iterdir()) == []


def test_words_of_a_request_print_nothing_and_end_no_agent(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_COORDINATE_SH CHECK_STATUS_COMPLETE", "bash_complete")
    for words in (["check-status", "--help"], ["release", "-h"], ["check-status"]):
        verbs.read(words)
    assert capfd.readouterr() == ("", "")
    refused = verbs.read(["request-task", "--help", "--json"])
    assert isinstance(refused, verbs.Misuse)
    assert (refused.error.message, refused.as_json) == ("the agent shows no help", True)


def test_an_agent_whose_directory_becomes_a_link_touches_nothing_there(team: Team, tmp_path: Path) -> None:
    crew = team()
    tree = crew.tree("one")
    crew.agent("one")
    away = tmp_path / "away"
    (tree / paths.INSTANCE).rename(away)
    shutil.copytree(away, tmp_path / "copy", ignore=shutil.ignore_patterns("wake", "*.door"))
    before = listing(tmp_path / "copy")
    (tree / paths.INSTANCE).symlink_to(tmp_path / "copy")
    end([psutil.Process(crew.agent_pid("one"))])
    until(lambda: not crew.running(), what="the end of the agent")
    assert listing(tmp_path / "copy") == before


def test_the_memory_bank_is_read_where_it_lies(project: Project, tmp_path: Path) -> None:
    (project.main / "memory-bank").mkdir()
    (project.main / "memory-bank" / "techContext.md").write_text("# Tech\n")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "techContext.md").write_text("token\n")
    (project.worktree / "memory-bank").symlink_to(tmp_path / "secrets")
    call = WorktreeCall(context.find(str(project.worktree)))
    assert contributing.bank_document(call, "techContext.md") == b"# Tech\n"
    (project.main / "memory-bank" / "techContext.md").unlink()
    os.mkfifo(project.main / "memory-bank" / "techContext.md")
    assert contributing.bank_document(call, "techContext.md") is None


def test_a_progress_file_that_is_a_link_or_a_fifo_is_not_read(project: Project, tmp_path: Path) -> None:
    project("request")
    path = own(project.worktree, "progress.json")
    for make in (lambda: path.symlink_to(tmp_path / "secret"), lambda: os.mkfifo(path), path.mkdir):
        path.unlink(missing_ok=True)
        make()
        code, _, err = project("report")
        assert code == 1
        assert "progress.json" in err
        assert project("check")[0] == 0  # and is replaced by what is published
        assert path.is_file()
        path.unlink()


# -- a person's commands -----------------------------------------------------------------------------------------

FILES = ("info.json", "progress.json", "agent.json", "coordinate.sh", "outbox/0-1", "inbox/0-1.answer", "inbox/current")


def in_place_of_all(tree: Path, make: Callable[[Path], object]) -> None:
    for name in (*FILES, "memory-contributions/learnings.md", "setup.log", ".gitignore"):
        path = own(tree, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        path.unlink(missing_ok=True)
        make(path)


@pytest.fixture
def main(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A repository, whose team is taken down in the end."""
    monkeypatch.delenv("PEERCOORD_PROJECT", raising=False)
    home = Path(os.path.realpath(tmp_path)) / "p"
    (home / "config").mkdir(parents=True)
    (home / "config" / ".env").write_text("KEY=1\n")
    (home / ".worktreeinclude").write_text("config/.env\n")
    (home / ".gitignore").write_text("config/\n")
    git(home, "init", "-q", "-b", "main")
    git(home, "add", ".gitignore", ".worktreeinclude")
    git(home, "commit", "-q", "-m", "first")
    yield home
    code, said = call(home, "down")
    assert code == 0, said


def call(main: Path, *words: str) -> tuple[int, str]:
    code, out, err = cli.serve(["-C", str(main), *words])
    return code, out.decode() + err.decode()


def endless_or_directory(path: Path) -> None:
    """Make a link to itself or a directory: both are refused alike, so each file gets one of them."""
    if len(path.name) % 2:
        path.symlink_to(path)
    else:
        path.mkdir()


@pytest.mark.slow
def test_commands_of_a_person_go_on_whatever_stands_in_a_worktree(main: Path) -> None:
    """FIFOs, links to a device, links without an end, directories: what waits for them runs into the time-out."""
    assert call(main, "up", str(main), "1")[0] == 0
    tree = main.with_name("p-instance-1")
    for make in (os.mkfifo, lambda path: path.symlink_to("/dev/zero"), endless_or_directory):
        control.stop(str(tree))
        in_place_of_all(tree, make)
        for words in (("status",), ("down", "--dry-run"), ("up", str(main), "1", "--dry-run")):
            code, said = call(main, *words)
            assert code == 0, said
        call(main, "doctor")
        code, said = call(main, "up", str(main), "1")
        assert code == 0, said
        assert control.status(str(tree))["running"]
        asked = subprocess.run([own(tree, "coordinate.sh"), "check-status"], capture_output=True, text=True)
        assert asked.returncode == 0, asked.stderr


def test_set_up_writes_through_no_link(main: Path, tmp_path: Path) -> None:
    precious, tree = tmp_path / "precious", main.with_name("p-instance-1")
    precious.mkdir()
    assert call(main, "up", str(main), "1")[0] == 0
    control.stop(str(tree))
    (tree / "memory-bank").unlink()
    for name in ("config", paths.INSTANCE):
        shutil.rmtree(tree / name)
    for name in ("config", paths.INSTANCE, "memory-bank"):
        (tree / name).symlink_to(precious)
    code, said = call(main, "up", str(main), "1")
    assert code == 0, said
    assert (tree / paths.INSTANCE / "coordinate.sh").is_file()
    assert not (tree / paths.INSTANCE).is_symlink()
    assert (tree / "memory-bank").resolve().parent == (main / paths.ROOT / "memory-bank").resolve()
    assert call(main, "down")[0] == 0
    assert list(precious.iterdir()) == []
