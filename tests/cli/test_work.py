"""The four verbs, as a coding agent calls them: what they answer, and with which exit code."""

from __future__ import annotations

import fcntl
import json
import signal
import subprocess
import sys
from pathlib import Path

from agent.crew import until
from support.poison import Canary
from support.project import Project, git
from support.waiting import waits_at

from peercoord.queue.peer import Peer
from peercoord.queue.recovery import Janitor
from peercoord.store import paths
from peercoord.store.paths import parse_incarnation

PEERCOORD = [sys.executable, "-m", "peercoord"]


def info(worktree: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((worktree / ".claude-instance" / "info.json").read_text())
    return found


def evict(project: Project) -> None:
    """Evict the worktree's peer, by one named "watcher"."""
    who = parse_incarnation(info(project.worktree)["incarnation"])
    assert who is not None
    other = Peer.join(project.main, "watcher")
    assert Janitor(project.queue, "watcher").evict(who, other.membership.me, "a test says so")


def add(project: Project, *titles: str) -> None:
    for title in titles:
        project("task", "add", title)


def test_nothing_ready_is_exit_4_with_the_reasons(project: Project, second: Path) -> None:
    add(project, "first")
    project("task", "add", "second", "--depends-on", "1")
    project("request")
    code, out, _ = project("request", at=second)
    assert (code, "task 1: held by one" in out, "task 2: waits for task 1, which one holds" in out) == (4, True, True)
    answer = project.data("request", at=second)
    assert (answer["finished"], [w["task_id"] for w in answer["waiting_for"]]) == (False, [1, 2])


def test_steps_are_reported_and_progress_is_steps_done_of_all(project: Project) -> None:
    project("task", "add", "in steps", "--step", "a", "--step", "b", "--step", "c", "--step", "d")
    assert "report-progress 1 --step 1.1" in project("request")[1]
    _, _, err = project("report", "1", "--step", "1", "--progress", "0.9")
    assert "they count, not --progress: 1 of 4 are done" in err
    assert "not --progress" not in project("report", "1", "--achievement", "x")[2]
    assert "report-progress 1 --step 1.2" in project("request")[1]
    assert project.data("report-progress", "1", "--step", "1.2", "--progress", "0.9")["progress"] == 0.5
    assert project.data("report", "1", "--step", "1.9")["code"] == "no-step"
    project("report", "1", "--step", "3", "--step", "4")
    out = project("request")[1]
    assert ("report:" in out, "finish: " in out) == (False, True), "no step is left to report"
    assert project.data("report", "1", "--status", "done")["steps_done"] == ["1.1", "1.2", "1.3", "1.4"]


def test_a_task_comes_with_how_to_test_it_and_when_it_is_done(project: Project) -> None:
    add(project, "t")
    raw = project.queue.definition("1").raw | {"testStrategy": "run it\ntwice", "acceptanceCriteria": ["one", "two"]}
    (project.state / paths.definition("1")).write_text(json.dumps(raw))
    out = project("request")[1]
    assert "  how to test it:\n    > run it\n    > twice\n  it is done when:\n    > one\n    > two\n" in out
    found = project.data("request")
    assert (found["testStrategy"], found["acceptanceCriteria"]) == ("run it\ntwice", ["one", "two"])


def test_what_a_sandbox_puts_into_the_worktree_is_no_work(project: Project) -> None:
    """It mounts over files that are missing, which makes them: empty, and for nobody to write."""
    add(project, "t")
    project("config", "uncommitted", "refuse")
    project("request")
    for name in (".bash_profile", "empty"):
        (project.worktree / name).touch()
    (project.worktree / ".bash_profile").chmod(0o444)
    assert "1 file of this worktree is not committed: 'empty'" in project("report", "1", "--status", "done")[2]
    (project.worktree / "empty").unlink()
    assert project("report", "1", "--status", "done")[0] == 0


def test_completing_with_uncommitted_work_warns_and_a_setting_refuses(project: Project) -> None:
    add(project, "t", "u")
    project("request")
    (project.worktree / "new file.txt").write_text("x")
    code, _, err = project("report", "1", "--status", "done")
    assert (code, "not committed: 'new file.txt'" in err) == (0, True)
    project("config", "uncommitted", "refuse")
    project("request")
    assert project.data("report", "2", "--status", "done")["code"] == "dirty"
    assert project.data("check")["assigned_tasks"][0]["task_id"] == 2, "the task is held on"
    git(project.worktree, "add", "-A")
    git(project.worktree, "commit", "-q", "-m", "work")
    done = project.data("report", "2", "--status", "done")
    assert (done["commit"], done["branch"]) == (git(project.worktree, "rev-parse", "HEAD").strip(), "one")


def test_not_knowing_what_is_committed_is_refused_where_uncommitted_work_is(project: Project) -> None:
    add(project, "t")
    project("config", "uncommitted", "refuse")
    project("request")
    (project.worktree / ".git").rename(project.worktree / ".git.old")
    refused = project.data("report", "1", "--status", "done")
    assert (refused["code"], "does not lead to" in refused["message"]) == ("dirty", True)
    project("config", "uncommitted", "warn")
    code, _, err = project("report", "1", "--status", "done")
    assert (code, "git could not be asked" in err) == (0, True)


def test_an_index_that_cannot_be_read_hides_no_commit(project: Project) -> None:
    add(project, "t")
    project("request")
    commit = git(project.worktree, "rev-parse", "HEAD").strip()
    Path(git(project.worktree, "rev-parse", "--git-path", "index").strip()).write_bytes(b"no index")
    done = project.data("report", "1", "--status", "done")
    assert (done["commit"], done["branch"], done["epoch"]) == (commit, "one", 1)


def test_only_the_worktree_of_an_instance_is_inspected_for_a_hand_over(
    project: Project, second: Path, tmp_path: Path
) -> None:
    canary, elsewhere = Canary(tmp_path / "canary"), tmp_path / "elsewhere"
    git(tmp_path, "init", "-q", str(elsewhere))
    git(elsewhere, "commit", "-q", "--allow-empty", "-m", "x")
    canary.poison(elsewhere / ".git" / "config")
    assert canary.bites(elsewhere)
    (second / "unfinished.py").write_text("x")
    for task, place, dirty in (("1", elsewhere, None), ("2", second, ["unfinished.py"])):
        add(project, f"task {task}")
        assert project.data("request", at=second)["task_id"] == int(task)
        project("release", task, at=second)
        [result] = (project.state / "results").glob(f"*/{task}~*.json")
        left = {key: value for key, value in json.loads(result.read_text()).items() if key != "dirty_files"}
        result.write_text(json.dumps({**left, "worktree": str(place)}))
        hand_over = project.data("request")["hand_over"]
        assert (hand_over["worktree"], hand_over.get("dirty_files")) == (str(place), dirty)
        project("report", task, "--status", "done")
    assert canary.ran() == ""


def test_an_evicted_worktree_is_told_who_holds_its_task_and_rejoins(project: Project, second: Path) -> None:
    add(project, "t")
    project("request")
    evict(project)
    assert project.data("request", at=second)["epoch"] == 2
    lost = project.data("report", "1", "--status", "done")
    assert lost["exit"] == 4
    for said in ("was evicted by watcher", "held by two now (epoch 2)"):
        assert said in lost["message"]
    assert info(project.worktree)["incarnation"].startswith("one~2."), "it has joined again"
    assert project("report", "1", "--status", "done", at=second)[0] == 0


def test_a_failed_task_comes_back_until_it_is_poison(project: Project) -> None:
    add(project, "t")
    for epoch in (1, 2, 3):
        assert project.data("request")["epoch"] == epoch
        assert project("report", "1", "--status", "failed", "--reason", f"try {epoch}")[0] == 0
    assert (project("request")[0], project.data("task", "show", "1")["detail"]) == (4, "failed")


def test_the_next_holder_is_told_how_far_the_last_one_came(project: Project, second: Path) -> None:
    add(project, "t")
    project("request")
    project("report", "--progress", "0.6", "--achievement", "tests written", "--blocker", "slow network")
    assert project("release", "1", "--reason", "lunch")[0] == 0
    shown = project("request")[1]
    assert ("  you, earlier, released at 60%\n" in shown, "before you" in shown) == (True, False)
    project("release", "--reason", "for another")
    left = project.data("request", at=second)["hand_over"]
    assert (left["outcome"], left["progress"], left["peer"], left["branch"]) == ("released", 0.6, "one", "one")
    assert (left["achievements"], left["blockers"]) == (["tests written"], ["slow network"])
    assert "  before you: one, released at 60%\n" in project("request", at=second)[1]


def test_a_worktree_that_comes_back_gets_what_it_held_before_anything_more_urgent(project: Project) -> None:
    project("task", "add", "low one", "--priority", "low")
    project("request")
    project("task", "add", "urgent", "--priority", "critical")
    evict(project)
    assert project.data("request")["task_id"] == 1
    project("release", "1")
    assert project.data("request")["task_id"] == 2, "what it gave back itself is not its own any more"


def test_reassign_moves_the_task_and_the_former_holder_is_told(project: Project, second: Path) -> None:
    add(project, "t")
    project("request")
    assert project("request", at=second)[0] == 4, "the other one is a peer now"
    moved = project.data("reassign", "1", "two")
    assert (moved["was"], moved["epoch"]) == ("one", 2)
    assert "held by two now" in project.data("report", "1", "--progress", "0.5")["message"]
    assert project.data("request", at=second)["task_id"] == 1
    assert project.data("reassign", "1", "two")["exit"] == 4
    assert project.data("reassign", "1", "no-such-one")["code"] == "no-peer"


def test_hostile_ids_and_names_are_refused_everywhere(project: Project) -> None:
    add(project, "t")
    before = sorted(str(p) for p in project.state.rglob("*") if "events" not in str(p))
    for task in ("..", "../1", "a/b", "", "-x", "x" * 65, "1\n", "1~2", "\x1b[31m"):
        for words in (["task", "show"], ["task", "cancel"], ["task", "reopen"], ["task", "edit", "--title", "x"]):
            assert project(*words, "--", task)[0] == 2
        assert project("reassign", "--", task, "one")[0] == 2
        assert project("reassign", "--", "1", task)[0] == 2
        assert project("task", "add", "--id", f"x/{task}", "title")[0] == 2
    assert sorted(str(p) for p in project.state.rglob("*") if "events" not in str(p)) == before
    for name in ("../x.md", "/etc/passwd", "a/../../b.md", "", "x\0.md"):
        assert project("update-memory", "--file", name, "--content", "x")[0] == 2, name
    queued = project.state / "memory-updates" / "queued"
    assert list(queued.iterdir()) == []


def test_text_of_tasks_never_reaches_a_terminal_as_it_is(project: Project) -> None:
    evil = "a\x1b[2J\x1b]0;owned\x07b"
    project("task", "add", evil, "--description", evil, "--step", evil)
    for words in (["request"], ["task", "list"], ["task", "show", "1"], ["status"], ["check"], ["instance"]):
        code, out, err = project(*words)
        assert (code, {"\x1b", "\x07"} & set(out + err)) == (0, set()), err
    assert project.data("request")["title"] == "ab", "it is cleaned when it is added"


def test_no_steering_character_lies_raw_in_a_file_that_people_cat(project: Project) -> None:
    evil = "T \u009b31m \u202e \u2066x"
    project("task", "add", "t", "--description", evil)
    project("request")
    definition = next((project.state / "tasks").rglob("1.json"))
    raw = json.loads(definition.read_text())
    definition.write_text(json.dumps({**raw, "title": evil, "details": evil}, ensure_ascii=False))
    project("report", "--achievement", evil, "--blocker", evil, "--estimate", evil)
    project("release", "--reason", evil)
    project("task", "show", "1")
    for file in project.state.rglob("*.json*"):
        assert file == definition or not {"\u009b", "\u202e", "\u2066"} & set(file.read_text(encoding="utf-8")), file


def test_the_installed_command_works_from_a_subdirectory_and_says_where_it_found_no_project(project: Project) -> None:
    below = project.worktree / "src"
    below.mkdir()
    add(project, "t")
    done = subprocess.run([*PEERCOORD, "request", "--json"], cwd=below, capture_output=True, text=True, check=False)
    assert (done.returncode, json.loads(done.stdout)["data"]["task_id"]) == (0, 1)
    lost = subprocess.run([*PEERCOORD, "status"], cwd="/", capture_output=True, text=True, check=False)
    assert (lost.returncode, "claude-team-coordinated" in lost.stderr, lost.stdout) == (3, True, "")


def test_an_interrupt_is_exit_130(project: Project) -> None:
    with open(project.worktree / ".claude-instance" / "call.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        call = subprocess.Popen([*PEERCOORD, "request"], cwd=project.worktree, **pipes)
        until(lambda: waits_at(call.pid, lock.name), what="a call that waits for the lock")
        call.send_signal(signal.SIGINT)
        call.communicate(timeout=240)
        assert call.returncode == 130


def test_a_description_that_repeats_the_title_is_not_told_twice(project: Project) -> None:
    project("task", "add", "Ship it", "--description", "Ship it")
    assert project("request")[1].count("Ship it") == 1
    project("release", "1")
    project("task", "edit", "1", "--description", "Ship it by boat")
    assert "> Ship it by boat" in project("request")[1]


def test_tasks_and_instances_are_named_as_the_dashboard_shows_them(project: Project, second: Path) -> None:
    add(project, "a")
    project("task", "add", "b", "--depends-on", "#1")
    assert project.data("task", "show", "#2")["definition"]["dependencies"] == [1]
    project("check", at=second)
    for words in (
        ("request",),
        ("report", "#1", "--progress", "0.5"),
        ("release", "#1"),
        ("reassign", "#1", "Two"),
        ("task", "cancel", "#2"),
        ("task", "edit", "#2", "--title", "c"),
    ):
        assert project(*words)[0] == 0
    assert project.data("instance", "TWO")["instance_id"] == "two"


# -- the task list -----------------------------------------------------------------------------------------------


def test_tasks_added_without_an_id_at_the_same_time_get_a_number_each(project: Project) -> None:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with open(project.state / paths.INTAKE_LOCK, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        words = [[*PEERCOORD, "task", "add", f"t{number}", "--step", "s", "--json"] for number in range(3)]
        adding = [subprocess.Popen(one, cwd=project.worktree, **pipes) for one in words]
        until(lambda: all(waits_at(one.pid, lock.name) for one in adding), what="all have looked for a number")
    answers = [one.communicate(timeout=240) for one in adding]
    assert [one.returncode for one in adding] == [0] * 3, answers
    assert sorted(json.loads(out)["data"]["task_id"] for out, _ in answers) == [1, 2, 3]
    found = [project.queue.definition(str(number)) for number in (1, 2, 3)]
    assert {definition.title for definition in found} == {"t0", "t1", "t2"}
    assert [definition.steps[0].step for definition in found] == ["1.1", "2.1", "3.1"]


def test_a_task_shows_who_had_it_before_and_how_far_it_came(project: Project, second: Path) -> None:
    add(project, "t")
    project("request")
    project("report", "--progress", "0.6")
    project("report", "--status", "failed", "--reason", "the build is \x1b[31mred")
    project("request", at=second)
    project("report", "--status", "done", at=second)
    out = project("task", "show", "1")[1]
    assert "  attempt 1: failed, one, at 60%, branch one: the build is ·[31mred\n" in out
    assert "  attempt 2: done, two, branch two\n" in out
    results = project.data("task", "show", "1")["results"]
    found = [(one["epoch"], one["outcome"], one["peer"], one["progress"]) for one in results]
    assert found == [(1, "failed", "one", 0.6), (2, "done", "two", 1.0)]
    assert results[1]["commit"] == git(second, "rev-parse", "HEAD").strip()


def test_a_result_that_says_nothing_or_nonsense_is_shown_as_an_attempt(project: Project) -> None:
    add(project, "t")
    for epoch, text in ((1, "{"), (2, '{"peer": 7, "branch": ["x"], "progress": "far", "reason": null}')):
        path = project.state / paths.result("1", epoch, "evicted")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    shown = project.data("task", "show", "1")["results"]
    assert shown == [{"epoch": epoch, "outcome": "evicted"} for epoch in (1, 2)]
