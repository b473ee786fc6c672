"""Accidents that happen to real repositories: each is told at the next command, and mended by the one it names."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from agent.crew import until

from peercoord.doctor import checks, repair
from peercoord.errors import PeercoordError
from peercoord.mailbox import protocol
from peercoord.worktree import context

from .conftest import BIN, Shell, instances, snapshot

STATE = ".claude-coordination"
Act = Callable[["Team"], None]


@dataclass
class Team:
    """A team of two in the middle of its work: task 1 done, 2 in the first one's hands, 3 waits for it, 4 is ready."""

    sh: Shell
    main: Path
    one: Path
    two: Path

    def look(self) -> list[checks.Finding]:
        try:
            place = context.find(str(self.main))
        except PeercoordError:
            place = repair.find_project(str(self.main))
        return repair.find_damage(place)

    def fix(self) -> list[str]:
        """Mend everything; check that nothing is left to be mended."""
        said = [line for finding in self.look() if finding.repair for line in finding.repair()]
        until(
            lambda: not [finding for finding in self.look() if finding.repair], "of two agents begun at once, one ends"
        )
        return said

    def goes_on(self, epoch: int = 2) -> None:
        """Check that the work goes on where it was."""
        assert self.sh.tasks(self.main)["1"] == "done"
        again = self.sh.verb(self.one, "request-task")
        assert again["task_id"] == 2, again
        assert again["epoch"] >= epoch, "a number is never given twice"
        assert self.sh.verb(self.one, "report-progress", "2", "--status", "done")["status"] == "done"
        assert self.sh.verb(self.two, "request-task")["task_id"] in (3, 4)
        assert self.sh.git(self.main, "status", "--porcelain") == ""
        assert len(self.sh.agents()) == 2


def tasks_json(repo: Path) -> None:
    tasks = [
        {"id": n, "title": f"task {n}", "description": f"all about {n}", "status": "pending"} for n in (1, 2, 3, 4)
    ]
    tasks[1]["priority"] = "high"
    tasks[2]["dependencies"] = [2]
    path = repo / ".taskmaster" / "tasks" / "tasks.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"master": {"tasks": tasks}}))


@pytest.fixture(autouse=True)
def as_installed(sh: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Look and mend as the installed command would: with its interpreter and its environment."""
    monkeypatch.setattr(sys, "executable", (BIN / "peercoord").read_text().partition("\n")[0].removeprefix("#!"))
    for key in os.environ.keys() - sh.env.keys():
        monkeypatch.delenv(key)
    for key, value in sh.env.items():
        monkeypatch.setenv(key, value)


@pytest.fixture
def team(sh: Shell) -> Team:
    repo = sh.repository()
    tasks_json(repo)
    sh.git(repo, "add", "-A")
    sh.commit(repo, "memory-bank/techContext.md", "# Tech\n")
    made = Team(sh, repo, *instances(sh.up(repo, 2)))
    sh.peercoord(repo, "task", "edit", "1", "--priority", "critical")
    assert sh.verb(made.one, "request-task")["task_id"] == 1
    sh.verb(made.one, "report-progress", "1", "--status", "done", "--achievement", "first")
    assert sh.verb(made.one, "request-task")["task_id"] == 2
    sh.verb(made.one, "report-progress", "2", "--progress", "0.4", "--achievement", "half of it")
    assert made.look() == []
    return made


# -- the coordination directory is gone --------------------------------------------------------------------------


def clean(team: Team) -> None:
    while team.sh.run(team.main, "git", "clean", "-qfdx", ok=False).returncode:  # agents are at work in there
        continue
    assert not (team.main / STATE).exists()


def delete(team: Team) -> None:
    gone = team.main / f"{STATE}.gone"  # at once: agents are at work in there
    (team.main / STATE).rename(gone)
    until(lambda: deleted(gone), "the directory is gone")


def delete_half(team: Team) -> None:
    """A deletion that found a directory not empty, since an agent had just written in it."""
    for name in ("protocol.json", "queue/ready", "peers", "departed", "tasks"):
        place = team.main / STATE / name
        place.rename(team.main / "gone")
        shutil.rmtree(team.main / "gone") if (team.main / "gone").is_dir() else (team.main / "gone").unlink()


def by_hand(team: Team) -> str:
    return " ".join(team.fix())


def by_set_up(team: Team) -> str:
    planned = team.sh.data(team.main, "claude-team-coordinated", team.main, "--dry-run")
    made = team.sh.up(team.main)
    assert made["actions"] == planned["actions"]
    assert any(f"rebuild {STATE}/" in text for text in made["actions"])
    return " ".join(made["notes"])


def by_the_doctor(team: Team, at: Path) -> str:
    told = team.sh.run(at, "peercoord", "doctor", ok=False)
    assert (told.returncode, f"{STATE} is gone" in told.stdout) == (1, True)
    assert "fix: peercoord doctor --fix" in told.stdout
    cleaned(team.sh, team.two)
    return " ".join(team.sh.peercoord(at, "doctor", "--fix")["mended"])


@pytest.mark.parametrize(
    ("accident", "mend"),
    [
        (clean, by_hand),
        (delete_half, by_hand),
        (delete, by_set_up),
        (delete, lambda team: by_the_doctor(team, team.main)),
        (delete, lambda team: by_the_doctor(team, team.one)),
    ],
    ids=["clean", "half", "set-up", "doctor in the main checkout", "doctor in a worktree"],
)
@pytest.mark.slow
def test_a_lost_coordination_directory_is_rebuilt(team: Team, accident: Act, mend: Callable[[Team], str]) -> None:
    store = json.loads((team.main / STATE / "protocol.json").read_bytes())["store_id"]
    accident(team)
    for at in (team.main, team.one):
        told = team.sh.peercoord(at, "status")
        assert (told["exit"], "claude-team-coordinated" in told["hint"]) == (3, True), told
    assert "4 tasks are back, 1 of them done" in mend(team)
    assert json.loads((team.main / STATE / "protocol.json").read_bytes())["store_id"] == store
    assert (team.main / STATE / "quarantine" / "before-rebuild").exists() == (accident is delete_half)
    assert "all about 2" in json.dumps(team.sh.peercoord(team.main, "task", "show", "2"))
    again = team.sh.verb(team.one, "request-task")
    assert (again["task_id"], again["epoch"] > 1) == (2, True), "its last holder is preferred, the epoch goes on"
    assert again["hand_over"]["achievements"] == ["half of it"]
    assert (again["hand_over"]["progress"], again["hand_over"]["peer"]) == (0.4, "instance-1")
    team.goes_on()


# -- an older copy -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_restored_backup_is_brought_up_to_what_the_worktrees_know(team: Team) -> None:
    backup = team.main.parent / "backup"
    shutil.copytree(team.main / STATE, backup)
    team.sh.verb(team.one, "report-progress", "2", "--status", "done")
    assert team.sh.verb(team.one, "request-task")["task_id"] == 3
    assert team.sh.verb(team.two, "request-task")["task_id"] == 4
    for number in range(2):
        team.sh.verb(team.two, "release", "4", "--reason", str(number))
        team.sh.verb(team.two, "request-task")
    delete(team)
    backup.rename(team.main / STATE)
    assert any("older than what the worktrees know" in finding.text for finding in team.look())
    assert "were brought up to it" in " ".join(team.fix())
    tasks = team.sh.tasks(team.main)
    assert (tasks["1"], tasks["2"]) == ("done", "done"), "done is never done twice"
    assert team.sh.verb(team.two, "request-task")["epoch"] > 3, "the epoch goes on above any known"
    assert team.sh.verb(team.one, "request-task")["task_id"] == 3


@pytest.mark.slow
def test_a_task_that_was_reopened_and_is_held_again_stays_with_its_holder(team: Team) -> None:
    """The worktree that once completed it still says "done", at an epoch below that of the new claim."""
    team.sh.peercoord(team.main, "task", "reopen", "1")
    assert (team.look(), team.sh.tasks(team.main)["1"]) == ([], "ready")
    team.sh.run(team.main, BIN / "claude-reassign-task", "1", "instance-2")
    current = team.two / ".claude-instance" / protocol.CURRENT
    until(lambda: b"1~2" in current.read_bytes(), what="its agent hears of the claim")
    assert team.look() == []
    team.sh.up(team.main)
    assert team.sh.tasks(team.main)["1"] == "in-progress"
    assert team.sh.verb(team.two, "report-progress", "1", "--progress", "0.5")["progress"] == 0.5


@pytest.mark.slow
def test_a_backup_from_before_a_peer_joined_again_leaves_no_ghost(team: Team) -> None:
    backup = team.main.parent / "backup"
    shutil.copytree(team.main / STATE, backup)
    team.sh.peercoord(team.main, "down")
    team.sh.up(team.main)
    team.sh.verb(team.one, "request-task")
    delete(team)
    backup.rename(team.main / STATE)
    team.fix()
    again = team.sh.verb(team.one, "request-task")
    assert again["task_id"] == 2
    assert again["epoch"] > 2
    living = [path.name for path in (team.main / STATE / "peers").iterdir()]
    assert sorted(name.partition("~")[0] for name in living) == ["instance-1", "instance-2"]


# -- worktrees ---------------------------------------------------------------------------------------------------


def test_a_cleaned_worktree_gets_its_files_back_and_keeps_its_task(team: Team) -> None:
    cleaned(team.sh, team.one)
    assert not (team.one / ".claude-instance").exists()
    found = team.look()
    assert any(".claude-instance/" in finding.text for finding in found)
    assert all(finding.fix == checks.FIX for finding in found)
    team.fix()
    again = team.sh.verb(team.one, "request-task")
    assert (again["task_id"], again["epoch"], again["held_before"]) == (2, 1, True)
    kept = json.loads((team.one / ".claude-instance" / "progress.json").read_bytes())
    assert kept["assigned_tasks"][-1]["achievements"] == ["half of it"]
    assert (team.one / "memory-bank" / "techContext.md").exists()
    team.goes_on(epoch=1)


@pytest.mark.slow
@pytest.mark.parametrize("words", [("clean", "-qfdx"), ("stash", "-q", "-a")], ids=" ".join)
def test_all_checkouts_lose_their_files_at_once(team: Team, words: tuple[str, ...]) -> None:
    team.sh.peercoord(team.main, "sync")
    with team.sh.held():  # an agent that writes meanwhile leaves git a directory that it cannot remove
        for tree in (team.main, team.one, team.two):
            (tree / "new.txt").write_text("new")
            team.sh.git(tree, *words)
    assert "4 tasks are back, 1 of them done" in " ".join(team.fix()), "the database, which lies elsewhere, knows"
    assert team.sh.verb(team.one, "request-task")["task_id"] == 2
    until(lambda: len(team.sh.agents()) == 2, "each worktree has one agent")


@pytest.mark.slow
def test_a_stash_and_garbage_collection_take_nothing_of_ours(team: Team) -> None:
    (team.one / "new.txt").write_text("new")
    for tree in (team.main, team.one):
        team.sh.git(tree, "stash", "-q", "-u")
    team.sh.git(team.main, "gc", "-q", "--prune=now")
    team.sh.git(team.main, "worktree", "prune", "--expire=now")
    assert team.look() == []
    team.sh.git(team.one, "stash", "pop", "-q")
    (team.one / "new.txt").unlink()
    team.goes_on(epoch=1)


@pytest.mark.parametrize("way", ["git worktree remove", "rm -rf"])
@pytest.mark.slow
def test_a_worktree_taken_away_by_hand(team: Team, way: str) -> None:
    deleted = way == "rm -rf"
    while deleted and team.one.exists():  # its agent may write into it meanwhile
        shutil.rmtree(team.one, ignore_errors=True)
    if not deleted:
        team.sh.git(team.main, "worktree", "remove", team.one)
    for words in (["status"], ["instance", "instance-1"]):
        told = team.sh.run(team.main, BIN / "peercoord", *words).stdout
        assert "! instance-1 its worktree is gone" in " ".join(told.split())
        assert "peercoord doctor --fix\n" in told
    others = {process.pid for process in team.sh.agents() if str(team.two) in process.cmdline()}
    assert any("instance-1" in finding.text for finding in team.look())
    said = " ".join(team.fix())
    back = f"the worktree of instance-1 is gone; claude-team-coordinated {team.main} 2 brings it back on its branch"
    assert back not in said if deleted else back in said or not said, "unless another agent was quicker"
    assert others <= {process.pid for process in team.sh.agents()}, "no other agent is started again"
    tasks = team.sh.tasks(team.main)
    assert (tasks["1"], tasks["2"]) == ("done", tasks["2"] if deleted else "ready")
    assert not team.sh.up(team.main, 2)["warnings"]
    assert team.sh.verb(team.one, "request-task")["task_id"] == 2
    assert len(team.sh.agents()) == 2


@pytest.mark.slow
def test_a_moved_worktree(team: Team) -> None:
    moved = team.one.with_name("another place")
    team.one.rename(moved)
    team.fix()
    team.one = moved
    assert team.sh.verb(moved, "check-status")["instance_id"] == "instance-1"
    team.goes_on(epoch=1)


@pytest.mark.slow
def test_a_moved_main_checkout(team: Team) -> None:
    moved = team.main.with_name("moved")
    team.main.rename(moved)
    told = team.sh.verb(team.one, "check-status")
    assert told["exit"] == 3, told
    assert str(team.main) in told["message"]
    found = context.find(str(team.one))
    assert found.project == str(moved), "it lies beside the worktree, and has it on record"
    assert "the main checkout moved" in repair.find_damage(found)[0].text
    team.main = moved
    team.fix()
    team.goes_on(epoch=1)
    assert team.sh.git(team.one, "status", "--porcelain") == ""


def cleaned(sh: Shell, tree: Path) -> None:
    """Clean a checkout of all that git does not know, though an agent may be writing there."""
    until(lambda: sh.run(tree, "git", "clean", "-qfdx", ok=False).returncode == 0, "git clean gets to its end")


def deleted(tree: Path) -> bool:
    """Delete a directory in which agents may write meanwhile."""
    shutil.rmtree(tree, ignore_errors=True)
    return not tree.exists()


@pytest.mark.slow
def test_a_deleted_main_checkout_is_explained_and_nothing_else_is_touched(team: Team) -> None:
    until(lambda: deleted(team.main), "the agents end, or write nothing while it is deleted")
    before = {key for key in snapshot(team.one) if not key.startswith(".claude-instance")}
    found = repair.find_damage(context.find(str(team.one)))
    assert found[0].repair is None
    assert "restore it from a backup" in found[0].fix
    assert team.sh.verb(team.one, "request-task")["exit"] == 3
    assert {key for key in snapshot(team.one) if not key.startswith(".claude-instance")} == before


@pytest.mark.slow
def test_a_bank_that_went_into_a_stash_is_not_made_again(sh: Shell) -> None:
    repo = sh.repository()
    (repo / "memory-bank").mkdir()
    (repo / "memory-bank" / "techContext.md").write_text("# Tech\n")
    sh.up(repo, 1)
    sh.git(repo, "stash", "-q", "-u")
    assert not (repo / "memory-bank").exists()
    found = repair.find_damage(context.find(str(repo)))
    assert "has it" in found[0].text
    for finding in found:
        if finding.repair:
            finding.repair()
    assert not (repo / "memory-bank").exists()
    sh.run(repo, "sh", "-c", found[0].fix)
    assert repair.find_damage(context.find(str(repo))) == []


@pytest.mark.slow
def test_down_works_where_nothing_is_as_it_was(team: Team) -> None:
    delete(team)
    until(lambda: deleted(team.one), "a worktree is gone")
    until(lambda: deleted(team.two / ".claude-instance"), "an agent's files are gone")
    done = team.sh.peercoord(team.main, "down", "--purge")
    assert "actions" in done, done
    assert team.sh.agents() == []
    assert not (team.main / ".git" / "peercoord").exists()
