"""The dash on a real team: what it shows, where the keys lead, what they do."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from screens import scene
from screens.seen import Played, played
from support.project import Project, git

from peercoord.screens import dash_acting, dash_actions, dash_story
from peercoord.screens.dash import Dash
from peercoord.status.needs import Need
from peercoord.system import process
from peercoord.team import tmux

GOLDEN = Path(__file__).parent / "golden"
pytestmark = pytest.mark.slow  # each makes a repository with three worktrees: two seconds


def states(project: Project) -> dict[str, str]:
    return {str(one["task_id"]): one["status"] for one in project.data("task", "list")["tasks"]}


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person sits at a terminal, and no coding session is around."""
    monkeypatch.setattr(dash_actions.actions, "coding_session", lambda _: "")
    monkeypatch.setattr(process, "terminal", lambda: "/dev/pts/1")


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (60, 20)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_the_screen_is_as_drawn(team: Project, size: tuple[int, int], request: pytest.FixtureRequest) -> None:
    async def play(shown: Played) -> None:
        text = await shown.keys("3")
        path = GOLDEN / f"dash-{size[0]}x{size[1]}.txt"
        if request.config.getoption("--regenerate"):
            path.write_text(text)
        assert text == path.read_text()

    played(scene.source(team), play, size)


def test_keys_lead_through_every_list_and_enter_opens(team: Project) -> None:
    async def play(shown: Played) -> None:
        at = [shown.app.focused.id]
        for _ in range(4):
            await shown.keys("tab")
            at.append(shown.app.focused.id)
        assert at == ["peers", "tasks", "events", "needs", "peers"]
        await shown.keys("end", "down")
        assert shown.app.focused.id == "tasks", "the last row leads on into the next list"
        assert "builds and tests run" not in shown.text()
        story = await shown.keys("d", "home", "enter")
        for words in ("Task #1", "✓ done · by instance-1", "priority   high", "needed by  #3, #4", "setup.py"):
            assert words in story, story
        assert "13:02–13:31  instance-1 done" in story
        assert "INSTANCES 3" in await shown.keys("escape")

    played(scene.source(team), play, (100, 40))


def test_a_double_click_opens_and_a_click_chooses(team: Project) -> None:
    async def play(shown: Played) -> None:
        await shown.pilot.click("#tasks", offset=(5, 2))
        await shown.settled()
        assert shown.app.target() == ("task", "4")
        await shown.pilot.click("#tasks", offset=(5, 1), times=2)
        await shown.settled()
        assert "Task #3" in shown.text()

    played(scene.source(team), play)


def test_the_filter_narrows_every_list(team: Project) -> None:
    async def play(shown: Played) -> None:
        await shown.keys("/")
        text = await shown.typed("pricing")
        assert [row.task for row in shown.app.rows("tasks").items] == ["4"]
        assert "reported 70%" not in text
        assert "parked #4 as blocked" in text
        await shown.keys("enter", "escape")
        assert len(shown.app.rows("tasks").items) == 7

    played(scene.source(team), play)


def test_a_task_is_reassigned_after_a_question(team: Project) -> None:
    async def play(shown: Played) -> None:
        assert "Who gets #3" in await shown.keys("3", "r")
        question = await shown.keys("down", "enter")
        assert 'Reassign #3 "API design" from instance-1 to instance-3?' in question
        assert "the same by hand: peercoord reassign 3 instance-3" in question
        await shown.keys("enter")
        assert held() == "instance-1", "enter alone is no"
        said = await shown.keys("r", "down", "enter", "y")
        assert "✓ #3: instance-1 → instance-3 (epoch 2)" in said
        assert held() == "instance-3"

    def held() -> str:
        return str(next(one for one in team.data("task", "list")["tasks"] if one["task_id"] == 3)["assigned_to"])

    played(scene.source(team), play)


def test_one_key_shows_the_window_of_an_instance(
    team: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = tmp_path / "seen"
    windows = {str(scene.tree(team, 2)): ("sh", "-c", f"echo instance-2 > {seen}")}
    monkeypatch.setattr(tmux, "looked_at", lambda place: windows.get(place, ()))
    monkeypatch.setattr(Dash, "suspend", lambda _: nullcontext())

    async def play(shown: Played) -> None:
        await shown.keys("2", "down", "t")
        assert seen.read_text() == "instance-2\n"
        assert "instance-1 has no tmux window" in await shown.keys("up", "enter", "t")

    played(scene.source(team), play, (200, 30))


def test_a_task_is_released_answered_and_reopened(team: Project) -> None:
    async def play(shown: Played) -> None:
        assert 'Release #5 "Session handling"' in await shown.keys("2", "down", "R")
        assert "✓ #5 is back in the queue" in await shown.keys("y")
        assert states(team)["5"] == "ready"
        await shown.look()
        assert "needs a decision on pricing" in await shown.keys("1", "down", "a")
        await shown.typed("flat fee")
        assert "✓ #4 is answered" in await shown.keys("enter")
        assert team.queue.definition("4").raw["answers"][-1]["answer"] == "flat fee"
        await shown.look()
        assert 'Put #1 "Project setup" back into the queue?' in await shown.keys("d", "3", "home", "o")
        assert "✓ #1 is back: ready" in await shown.keys("y")
        assert states(team)["1"] == "ready"

    played(scene.source(team), play, (100, 30))


@pytest.mark.usefixtures("person")
def test_a_change_of_the_memory_bank_is_approved_and_taken_back(team: Project) -> None:
    document = team.main / "memory-bank" / "techContext.md"

    async def play(shown: Played) -> None:
        text = await shown.keys("m")
        assert "Sessions expire after 60 minutes." in text
        assert "take the text of" in await shown.keys("a", "down", "enter")
        assert "✓ #1 approved (instance-2)" in await shown.keys("y")
        assert "after 60 minutes" in document.read_text()
        assert "Take back techContext.md" in await shown.keys("u")
        assert "is taken back: techContext.md" in await shown.keys("y")
        assert "after 20 minutes" in document.read_text()

    played(scene.source(team), play, (100, 60))


@pytest.mark.usefixtures("person")
def test_a_change_of_the_memory_bank_is_edited_in_the_persons_editor(
    team: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = team.main / "memory-bank" / "techContext.md"
    before = document.read_text()
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nprintf "Sessions expire after 45 minutes.\\n" > "$1"\n')
    editor.chmod(0o755)
    monkeypatch.setenv("VISUAL", str(editor))
    monkeypatch.setattr(Dash, "suspend", lambda _: nullcontext())  # a test has no terminal to leave

    async def play(shown: Played) -> None:
        await shown.keys("m")
        assert "✓ #1 approved (edited)" in await shown.keys("e")
        assert "after 45 minutes" in document.read_text()
        await shown.keys("u")
        assert "is taken back: techContext.md" in await shown.keys("y")
        assert document.read_text() == before

    played(scene.source(team), play, (100, 60))


def test_a_coding_session_may_neither_approve_nor_reject_nor_land(
    team: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAUDECODE", "1")
    monkeypatch.setattr(Dash, "suspend", lambda _: nullcontext())
    before = git(team.main, "rev-parse", "main")

    async def play(shown: Played) -> None:
        await shown.keys("m", "a", "enter")
        assert "this is a person's decision" in await shown.keys("y")
        await shown.keys("enter", "m", "x")
        await shown.typed("no")
        assert "this is a person's decision" in await shown.keys("enter")
        assert "this is a person's decision" in await shown.keys("enter", "m", "e")
        await shown.keys("enter", "l")
        assert "this is a person's decision" in await shown.keys("y")

    played(scene.source(team), play)
    assert len(scene.source(team).view().reviews) == 1
    assert git(team.main, "rev-parse", "main") == before


@pytest.mark.usefixtures("person")
def test_finished_work_is_landed_after_a_look_and_taken_back(team: Project) -> None:
    before = git(team.main, "rev-parse", "main")

    async def play(shown: Played) -> None:
        plan = await shown.keys("l")
        assert '✓ task 1 "Project setup" of instance-1: lands' in plan
        assert "looking what would land" not in plan, "it has been found"
        assert git(team.main, "rev-parse", "main") == before
        said = await shown.keys("y")
        assert "landed on main" in said, said
        assert (team.main / "setup.py").exists()
        await shown.keys("u", "y")
        assert git(team.main, "rev-parse", "main") == before

    played(scene.source(team), play)


def test_a_change_by_another_process_is_shown_unasked(team: Project) -> None:
    """The reader waits for the files; this test waits for the screen, as long as its time limit."""

    async def run() -> None:
        app = Dash(scene.source(team))
        async with app.run_test(size=(100, 30)) as pilot:
            shown = Played(app, pilot)
            while "TASKS  ready 1" not in shown.text():
                await pilot.pause(0.02)
            scene.call(team, 0, "task", "add", "Seen at once")
            while "TASKS  ready 2" not in shown.text():
                await pilot.pause(0.02)
            assert [row.title for row in app.rows("tasks").items if row.task == "10"] == ["Seen at once"]
        assert app.looking is not None
        assert not app.looking.thread.is_alive()

    asyncio.run(run())


def test_what_cannot_be_read_is_said_and_read_again_later(team: Project) -> None:
    async def run() -> None:  # wide: the line names a directory whose path may be long
        app = Dash(scene.source(team))
        async with app.run_test(size=(300, 30)) as pilot:
            shown = Played(app, pilot)
            while "TASKS  ready 1" not in shown.text():
                await pilot.pause(0.02)
            team.state.rename(team.state.with_name("away"))
            app.looking.wake()
            while "3 need you" in shown.text():
                await pilot.pause(0.02)
            assert "there is no" in shown.text() or "no coordination" in shown.text(), shown.text()
            assert "TASKS  ready 1" in await shown.keys("3", "home", "enter", "escape"), "what was read last stays"
            team.state.with_name("away").rename(team.state)
            app.looking.wake()
            while "3 need you" not in shown.text():
                await pilot.pause(0.02)

    asyncio.run(run())


def test_a_need_that_is_over_by_now_is_no_other_one(team: Project) -> None:
    async def play(shown: Played) -> None:
        first, second = (Need("quarantined", name, "cannot be read", [], why=f"why of {name}") for name in ("a", "b"))
        view = shown.app.view
        shown.app.team.show(replace(view, team=replace(view.team, needs=[first, second]), reviews={}))
        kind, name = dash_acting.about(shown.app.view, 1, second)
        assert "why of b" in str(dash_story.of(shown.app.source, shown.app.view, kind, name, 80))
        shown.app.team.show(replace(view, team=replace(view.team, needs=[first]), reviews={}))
        assert str(dash_story.of(shown.app.source, shown.app.view, kind, name, 80)) == ""

    played(scene.source(team), play)
