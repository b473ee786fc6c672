"""``peercoord land`` as a person calls it, and what instances and the status screen say around it."""

from __future__ import annotations

import pytest
from landing.conftest import Scene

from peercoord.doctor.checks import examine_team
from peercoord.landing import forecast
from peercoord.review import actions
from peercoord.store import landings, paths
from peercoord.store.landings import Landing
from peercoord.worktree import merging


@pytest.fixture
def conflict(scene: Scene) -> Scene:
    """Task 1 of instance-1, and task 2 of instance-2 that changes the same line."""
    scene.done(1, "1", {"src/main.py": "one\n"}, title="One")
    scene.done(2, "2", {"src/main.py": "two\n"}, title="Two")
    return scene


def test_what_a_person_reads_after_a_conflict(conflict: Scene) -> None:
    conflict.repo.instance(2).write("left.txt")
    two = conflict.tip("team/instance-2")
    code, out, err = conflict.call("land")
    assert (code, err) == (1, "")
    assert out == (
        f' ✓ task 1 "One" of instance-1\n'
        f' ✗ task 2 "Two" of instance-2: conflict\n'
        f"\n"
        f"main is at {conflict.tip()[:7]}: task 1 landed\n"
        f"  take it back: peercoord land --undo\n"
        f"\n"
        f'NEEDS YOU: task 2 "Two" of instance-2 (branch team/instance-2) cannot be merged into main\n'
        f"  in conflict: src/main.py\n"
        f"  Merge it yourself on main: git -C {conflict.repo.path} merge {two[:12]}\n"
        f"  settle the files, git commit; then: peercoord land\n"
        f"  Or let instance-2 do it: peercoord land --offer\n"
        f"\n"
        f"Left where it is, untouched:\n"
        f" - instance-2: 1 file is not committed: left.txt\n"
    )


def test_the_typed_line_settles_the_conflict(conflict: Scene) -> None:
    said = conflict.call("land")[1]
    line = next(line for line in said.splitlines() if "Merge it yourself" in line)
    conflict.repo.git(*line.partition(": git ")[2].split()[2:], ok=False)
    conflict.repo.commit("src/main.py", "both\n")
    code, out, _ = conflict.call("land")
    assert code == 0
    assert " · tasks 1, 2 are on main already (merged)\n" in out
    assert "there is nothing to land" in out


def test_a_task_without_a_commit_is_not_called_merged(scene: Scene) -> None:
    scene.repo.git("commit", "-q", "--amend", "--no-edit", GIT_COMMITTER_DATE="2020-01-01T00:00:00Z")
    for number in (1, 2, 3):
        scene.repo.instance(number).git("reset", "-q", "--hard", "main")
    for number in (1, 2):
        scene.complete(scene.claim(number, str(number)), number, str(number))
    scene.done(3, "3", {"three.txt": "3\n"})
    scene.repo.instance(3).git("commit", "-q", "--amend", "--no-edit", GIT_COMMITTER_DATE="2020-01-02T00:00:00Z")
    scene.complete(scene.claim(3, "4"), 3, "4")
    scene.repo.git("merge", "-q", "team/instance-3")
    said = scene.call("land")[1]
    assert " · nothing was committed for tasks 1, 2, 4\n\nmain stays at " in said
    assert "(merged)" not in said
    assert [one["without_commit"] for one in scene.data("land")["works"]] == [[1, 2], [], [4]]


def test_a_changed_checkout_is_named_with_the_line_to_type(conflict: Scene) -> None:
    conflict.repo.write("src/main.py", "mine\n")
    code, out, _ = conflict.call("land", "instance-1")
    assert code == 1
    where = conflict.repo.path
    assert f"main was not moved: {where}: src/main.py is changed there and not committed\n" in out
    assert f"  All is merged. Move it yourself: git -C {where} merge --ff-only refs/peercoord/landing\n" in out
    assert "  or commit or stash that, then: peercoord land\n" in out
    assert "Merged work waits to come onto main: peercoord land\n" in conflict.call("status")[1]


def test_answers_for_programs_are_what_the_schema_says(conflict: Scene) -> None:
    assert conflict.data("land", "--dry-run")["moved"] is False
    landed = conflict.data("land", "--check", "true", "--offer")
    assert (landed["moved"], [one["state"] for one in landed["works"]]) == (True, ["landed", "conflict"])
    assert landed["offered"] == {"task_id": 3, "assigned_to": "instance-2"}
    back = conflict.data("land", "--undo")
    assert (back["undone"], back["after"]) == (True, landed["before"])
    assert conflict.data("land", "--undo")["code"] == "no-landing"


def test_a_coding_session_does_not_land(conflict: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "coding_session", lambda _: "claude, process 7")
    before = conflict.tip()
    for words in (["land"], ["land", "--undo"], ["land", "--as", "Ada"]):
        code, _, err = conflict.call(*words)
        assert code == 1
        assert "the call comes from within a coding session (claude, process 7)" in err
    assert f"peercoord -C {conflict.repo.path} land" in err
    assert conflict.tip() == before
    assert conflict.call("land", "--dry-run")[0] == 1, "looking is free"


def test_without_a_terminal_a_name_is_asked_for(conflict: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peercoord.system.process.terminal", lambda: "")
    assert "land --onto main --as NAME" in conflict.call("land", "--onto", "main")[2]
    assert conflict.call("land", "--as", "Ada", "instance-1")[0] == 0
    assert '"by": "Ada"' in (conflict.repo.path / paths.ROOT / paths.landing(1)).read_text()


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (landings.BESIDE, "merged work waits to come onto 'main'"),
        (landings.MOVING, "a landing on 'main' is under way or was cut short"),
        (landings.UNDOING, "a landing on 'main' is under way or was cut short"),
        (landings.LANDED, ""),
    ],
)
def test_the_doctor_names_a_landing_that_is_not_over(scene: Scene, state: str, said: str) -> None:
    landings.write(scene.root, Landing(1, "main", scene.tip(), scene.tip(), state))
    found = [(one.text, one.fix) for one in examine_team(scene.queue) if one.about == "landing"]
    assert found == ([(said, "peercoord land")] if said else [])


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["instance-9"], 3, "there is no instance instance-9"),
        (["--onto", "nowhere"], 3, "there is no branch nowhere"),
        (["--undo", "--dry-run"], 2, "goes with nothing else"),
        (["--undo"], 3, "there is no landing to take back"),
    ],
)
def test_what_cannot_be_is_said(scene: Scene, words: list[str], code: int, said: str) -> None:
    answer = scene.call("land", *words)
    assert (answer[0], said in answer[2]) == (code, True)


def test_titles_and_branches_do_not_steer_the_terminal(scene: Scene) -> None:
    scene.repo.instance(1).git("checkout", "-q", "-b", "evil\u202ebranch")
    scene.done(1, "1", {"src/main.py": "1\n"}, title="t\x1b]0;x\x07itle")
    scene.repo.commit("src/main.py", "main\n")
    code, out, err = scene.call("land")
    assert code == 1
    assert "\x1b" not in out + err
    assert "\u202e" not in out + err


def test_a_failed_check_is_shown_with_what_to_type(scene: Scene) -> None:
    scene.done(1, "1", {"bad.txt": "1\n"})
    code, out, _ = scene.call("land", "--check", "printf 'it is \\033[31mred\\n'; test ! -e bad.txt")
    assert code == 1
    assert out.splitlines()[:3] == [
        ' ✗ task 1 "Task 1" of instance-1: the check fails with it',
        "     | it is ·[31mred",
        "     send it back to the queue: peercoord task reopen 1",
    ]


def test_a_check_that_fails_on_the_branch_itself_blames_no_task(scene: Scene) -> None:
    scene.done(1, "1", {"good.txt": "1\n"})
    code, out, _ = scene.call("land", "--check", "false")
    assert code == 1
    assert "the check fails without it too" in out
    assert "main stays at " in out
    assert "main itself does not pass the check: mend that first" in out
    assert "task reopen" not in out


def test_a_conflict_is_settled_in_the_checkout_that_stands_on_the_branch(conflict: Scene) -> None:
    conflict.repo.git("worktree", "add", "-q", "-b", "next", "../beside")
    said = conflict.call("land", "--onto", "next")[1]
    assert f"  Merge it yourself on next: git -C {conflict.repo.beside('beside').path} merge " in said
    conflict.repo.git("worktree", "remove", "../beside")
    assert "git -C A-CHECKOUT-OF-next merge " in conflict.call("land", "--onto", "next")[1]


# -- a conflict as a task ----------------------------------------------------------------------------------------


def test_an_offered_conflict_is_settled_by_its_instance_and_lands(conflict: Scene) -> None:
    out = conflict.call("land", "--offer")[1]
    assert "  It is task 3 now, and instance-2 has it; once that is done: peercoord land\n" in out
    assert "It is task 3 now" in conflict.call("land", "--offer")[1], "it is offered once"
    for words in (["--offer"], [], ["--dry-run"]):
        assert "It is task 3 now" in (out := conflict.call("land", *words)[1]), "nor is a person asked for it again"
        assert "NEEDS YOU" not in out
    peer, tree = conflict.peers[2], conflict.repo.instance(2)
    claim = peer.worker.request()
    assert claim
    assert (claim.task, claim.definition.title) == ("3", "Settle the conflict of task 2 with main")
    typed = [line.rpartition(": ")[2] for line in str(claim.definition.raw["description"]).splitlines()]
    tree.git(*typed[2].split()[1:], ok=False)
    tree.commit("src/main.py", "both\n")
    conflict.complete(peer, 2, "3")
    code, out, _ = conflict.call("land")
    assert code == 0
    assert ' ✓ task 2 "Two" of instance-2: came with task 3\n' in out
    assert (conflict.repo.path / "src/main.py").read_text() == "both\n"


def test_a_person_is_asked_again_once_the_offered_task_is_blocked(conflict: Scene) -> None:
    conflict.call("land", "--offer")
    peer = conflict.peers[2]
    claim = peer.worker.request()
    assert claim
    peer.worker.park(claim.task, "blocked", "which of both?", {}, {})
    assert "NEEDS YOU: task 2" in conflict.call("land")[1]


def test_a_conflict_with_work_that_has_not_landed_is_not_to_be_merged_yet(conflict: Scene) -> None:
    out = conflict.call("land", "--dry-run")[1]
    assert "  Land task 1 first: peercoord land; it says then how to merge this one.\n" in out
    assert "git -C" not in out
    conflict.call("land")
    assert "  Merge it yourself on main: git -C" in conflict.call("land", "--dry-run")[1]


def test_a_conflict_of_an_instance_that_left_may_be_claimed_by_any(conflict: Scene) -> None:
    conflict.peers[2].leave()
    assert "It is task 3 now, and the next instance that asks gets it" in conflict.call("land", "--offer")[1]
    claim = conflict.peers[1].worker.request()
    assert claim
    assert claim.task == "3"


# -- what instances are told -------------------------------------------------------------------------------------


def base_for(scene: Scene, number: int, *dependencies: str) -> tuple[list[str], str]:
    """What an instance is told to merge with a task: for dependencies, and what has landed."""
    tree, main = str(scene.repo.instance(number).path), str(scene.repo.path)
    missing, base = merging.missing(scene.queue, main, tree, f"instance-{number}", dependencies)
    return [one["command"] for one in missing], base["command"] if base else ""


def test_after_a_landing_the_others_are_told_until_they_have_merged(scene: Scene) -> None:
    scene.done(1, "1", {"a.txt": "1\n"})
    assert base_for(scene, 2) == ([], "")
    scene.land()
    assert base_for(scene, 1) == ([], "")
    assert base_for(scene, 2, "1") == ([], "git merge main"), "it brings the dependency too"
    scene.repo.commit("more.txt")
    assert base_for(scene, 2) == ([], "git merge main")
    scene.repo.instance(2).git("merge", "-q", "main")
    assert base_for(scene, 2) == ([], "")


def test_a_landing_that_was_taken_back_or_waits_is_not_told(scene: Scene) -> None:
    scene.done(1, "1", {"a.txt": "1\n"})
    scene.land()
    scene.undo()
    assert base_for(scene, 2, "1") == (["git merge team/instance-1"], "")
    scene.repo.write("src/main.py", "mine\n")
    assert scene.land().obstacles
    assert base_for(scene, 2) == ([], "")


# -- the status screen -------------------------------------------------------------------------------------------


def told(scene: Scene) -> dict[str, str]:
    names = [f"team/instance-{number}" for number in (1, 2, 3)]
    return {one.branch.removeprefix("team/"): one.told for one in forecast.forecasts(scene.root, names)}


def test_the_screen_says_how_branches_stand_and_where_they_would_conflict(conflict: Scene) -> None:
    assert told(conflict) == {"instance-1": "1 ahead of main", "instance-2": "1 ahead of main", "instance-3": ""}
    conflict.land("instance-1")
    assert told(conflict) == {
        "instance-1": "",
        "instance-2": "1 ahead of main, 1 behind, would conflict in src/main.py",
        "instance-3": "1 behind main",
    }
    screen = " ".join(conflict.call("status")[1].split())
    assert "team/instance-2, 1 ahead of main, 1 behind, would conflict in src/main.py " in screen
    assert conflict.data("status")["branches"][1]["conflicts"] == ["src/main.py"]


def test_work_that_was_squashed_is_not_called_ahead(scene: Scene) -> None:
    scene.done(1, "1", {"a.txt": "1\n"})
    scene.repo.commit("own.txt")
    scene.repo.git("merge", "-q", "--squash", "team/instance-1")
    scene.repo.git("commit", "-q", "-m", "squashed")
    assert told(scene)["instance-1"] == "on main already (picked over)"


def test_answers_are_kept_by_their_commits(conflict: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    first = told(conflict)

    def never(*_: object) -> None:
        raise AssertionError("asked again")

    monkeypatch.setattr(forecast, "_asked", never)
    assert told(conflict) == first
    conflict.repo.commit("more.txt")
    with pytest.raises(AssertionError, match="asked again"):
        told(conflict)


def test_what_there_is_no_time_for_is_left_out(conflict: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "SECONDS", 0.0)
    assert told(conflict) == {}


@pytest.mark.parametrize("kept", ["", "no json", "[]", '{"branches": []}', '{"branches": {"a..b": 7}}'])
def test_kept_answers_that_cannot_be_read_are_made_again(conflict: Scene, kept: str) -> None:
    first = told(conflict)
    (conflict.repo.path / paths.ROOT / paths.FORECAST).write_text(kept)
    assert told(conflict) == first


def test_a_look_writes_nothing_into_the_repository(conflict: Scene) -> None:
    conflict.land("instance-1")
    top = conflict.repo.path / ".git" / "objects"
    before = sorted(map(str, top.rglob("*")))
    assert "would conflict" in told(conflict)["instance-2"]
    assert sorted(map(str, top.rglob("*"))) == before


def test_a_main_checkout_on_no_branch_has_no_forecast(conflict: Scene) -> None:
    conflict.repo.git("checkout", "-q", "--detach")
    assert told(conflict) == {}
