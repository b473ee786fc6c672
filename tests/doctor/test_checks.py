"""The doctor: what it finds, what it mends, and a filesystem that it must not call good."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from agent.crew import Crew, until
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from support.project import Project

from peercoord.agent import control
from peercoord.cli import main as cli
from peercoord.doctor import filesystem
from peercoord.queue.peer import Peer
from peercoord.store import manifest, paths, settings
from peercoord.store.settings import DEFAULT_SETTINGS
from peercoord.system import process
from peercoord.worktree import context

Team = Callable[..., Crew]


def told(crew: Crew, *words: str, at: Path | None = None) -> tuple[int, dict[str, Any]]:
    place = context.find(str(at or crew.project))
    code, out, _ = cli.serve(["doctor", "--json", *words], cli.Call(place))
    answer = json.loads(out)
    assert "data" in answer, answer
    return code, answer["data"]


def of(data: dict[str, Any], about: str) -> list[dict[str, str]]:
    return [check for check in data["checks"] if check["check"] == about]


def check(crew: Crew, about: str, *words: str) -> dict[str, str]:
    """The first that the doctor says about something."""
    return of(told(crew, *words)[1], about)[0]


def mended(crew: Crew) -> list[str]:
    lines: list[str] = told(crew, "--fix")[1]["mended"]
    return lines


@pytest.fixture
def no_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the races on the filesystem out, which take longest."""
    monkeypatch.setattr(filesystem, "probe", lambda _: [])


def nothing(home: str, name: str, racer: int) -> None:
    """A race that everybody wins."""


def refused(error: OSError) -> Callable[..., None]:
    def race(home: str, name: str, racer: int) -> None:
        raise error

    return race


class TestDisk:
    def test_a_good_one_is_called_good_and_left_clean(self, team: Team) -> None:
        crew = team()
        findings = filesystem.probe(str(crew.state))
        assert [one.about for one in findings if one.state == "bad"] == []
        wanted = {"rename", "link if free", "mkdir", "moves", "seal", "fsync", "locks", "events"}
        assert wanted <= {one.about for one in findings}
        assert os.listdir(crew.state / "tmp") == []

    @pytest.mark.parametrize(
        ("race", "happens", "said"),
        [
            *((race, nothing, race) for race in filesystem.RACES),
            ("mkdir", refused(FileExistsError(17, "taken")), "mkdir"),
            ("link if free", refused(OSError(95, "not supported")), "not supported"),
        ],
    )
    def test_one_that_lets_two_win_or_none_is_refused(
        self, team: Team, monkeypatch: pytest.MonkeyPatch, race: str, happens: Callable[..., None], said: str
    ) -> None:
        monkeypatch.setitem(filesystem.RACES, race, happens)
        findings = filesystem.probe(str(team().state))
        assert (findings[0].state, "not fit" in findings[0].text) == ("bad", True)
        assert any(said in one.text for one in (findings[0], *(one for one in findings if one.about == race)))

    def test_one_that_removes_what_is_not_empty_or_cannot_be_written_is_refused(
        self, team: Team, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert filesystem.probe(str(tmp_path / "missing"))[0].state == "bad"
        monkeypatch.setattr(os, "rmdir", lambda path, **_: None)
        assert [one.state for one in filesystem.probe(str(team().state)) if one.about == "seal"] == ["bad"]

    def test_racers_meet(self, tmp_path: Path) -> None:
        """Were they to run one after the other, the first would win everything, every time."""
        for number in range(100):
            place = tmp_path / str(number)
            place.mkdir()
            assert filesystem.winners(str(place), "rename", rounds=200) == [1] * 200
            if len({path.suffix for path in place.iterdir()}) > 1:
                return
        pytest.fail("in 100 races the first racer won every time")


def test_all_well(team: Team) -> None:
    crew = team()
    crew.agent("one")
    data = told(crew)[1]
    assert [c for c in data["checks"] if c["state"] == "bad" and c["check"] not in ("git", "set-up")] == []
    assert of(data, "tickets")[0]["text"] == "3 tasks, each with one ticket"


@pytest.mark.usefixtures("no_probe")
class TestTeam:
    def test_an_agent_that_is_stopped_or_missing_is_named_with_its_remedy(self, team: Team) -> None:
        crew = team()
        pid = crew.agent("one")
        crew.call("one", "request-task")
        os.kill(pid, signal.SIGSTOP)
        until(lambda: process.stopped(process.identify(pid) or {}), what="the stop")
        peers = check(crew, "peers")
        assert (peers["state"], peers["fix"]) == ("warning", f"kill -CONT {pid}")
        control.stop(str(crew.tree("one")))
        peers = check(crew, "peers")
        assert (peers["state"], peers["fix"]) == ("warning", f"peercoord -C {crew.tree('one')} agent start")
        assert any("started the agent of one" in text for text in mended(crew))
        assert crew.agent_pid("one")

    def test_a_lost_ticket_is_created_again_with_a_later_epoch(self, team: Team) -> None:
        crew = team(1)
        with Peer.join(crew.project, "one") as peer:
            peer.request()
            next(crew.state.glob("peers/*/claims/1~1")).unlink()
            code, data = told(crew)
            assert (code, of(data, "tickets")[0]["text"]) == (1, "1 task has no ticket: 1")
            assert any("created its ticket again" in text for text in mended(crew))
            assert next(crew.state.glob("queue/ready/*/*/1~*")).name == "1~2"
            assert check(crew, "tickets")["state"] == "ok"

    def test_the_lower_of_two_names_of_one_ticket_goes_and_two_files_are_left_for_a_person(self, team: Team) -> None:
        crew = team(2)
        one, two = (next(crew.state.glob(f"queue/ready/*/*/{task}~0")) for task in ("1", "2"))
        held = crew.state / "queue" / "parked" / "held"
        os.link(one, held / "1~3")
        (held / "2~3").touch()
        assert "have two tickets" in check(crew, "tickets")["text"]
        assert mended(crew) == [f"task 1: removed {one.relative_to(crew.state)}"]
        assert [path.exists() for path in (one, held / "1~3", two, held / "2~3")] == [False, True, True, True]

    def test_a_leader_ticket_that_was_lost_is_made_above_every_term(self, team: Team) -> None:
        crew = team()
        crew.agent("one")
        until(lambda: crew.leader() == "one")
        next(crew.state.glob("peers/*/leader~*")).unlink()
        (crew.state / "events" / "x.jsonl").write_text('{"event": "leads", "term": 41}\nnot json\n')
        assert check(crew, "leader")["state"] == "bad"
        mended(crew)
        until(lambda: crew.leader() == "one")
        assert [paths.parse_leader(p.name) for p in crew.state.rglob("leader~*")] == [43]

    def test_an_eviction_that_a_crash_broke_off_is_brought_to_an_end(self, team: Team) -> None:
        crew = team(2)
        Peer.join(crew.project, "one").request()
        home = crew.home("one")
        assert home is not None
        home.rename(crew.state / "departed" / f"{home.name}~two~1.x")
        assert check(crew, "departed")["state"] == "bad"
        mended(crew)
        assert (of(told(crew)[1], "departed"), crew.where("1")) == ([], "ready")

    def test_quarantine_is_listed_with_reasons(self, team: Team) -> None:
        crew = team()
        next(crew.state.glob("tasks/*/1.json")).write_text("{ no JSON")
        Peer.join(crew.project, "one").request()
        found = check(crew, "quarantine")
        assert (found["state"], "JSON" in found["text"], found["fix"]) == ("warning", True, "peercoord task reopen 1")
        assert cli.serve(["task", "reopen", "1"], cli.Call(context.find(str(crew.project))))[0] == 0
        again = check(crew, "quarantine")
        assert "nothing misses it" in again["text"]
        subprocess.run(["sh", "-c", again["fix"]], check=True)
        assert check(crew, "quarantine")["text"] == "empty"

    def test_sizes_are_shown(self, team: Team) -> None:
        crew = team(2)
        with Peer.join(crew.project, "one") as peer:
            for end in (peer.fail, peer.fail):
                task = peer.request()
                assert task is not None
                end(task, "not yet")
        size = sum(path.stat().st_size for path in (crew.state / "results").rglob("*") if path.is_file()) >> 10
        assert f"results 2 files {size} KiB" in check(crew, "sizes")["text"]
        assert "30 days" in check(crew, "sizes")["text"]

    def test_stale_views_mean_that_nobody_leads_and_text_for_people_says_what_to_do(self, team: Team) -> None:
        crew = team()
        (crew.state / "state.json").write_text(json.dumps({"updated_at": "2020-01-01T00:00:00Z"}))
        views = check(crew, "views")
        assert (views["state"], "no peer leads" in views["text"]) == ("warning", True)
        shutil.rmtree(crew.state / "bell")
        out = cli.serve(["doctor"], cli.Call(context.find(str(crew.project))))[1].decode()
        assert "fix: " in out
        assert out.rstrip().endswith("bad")


@pytest.mark.usefixtures("no_probe")
class TestWorktree:
    def test_the_script_of_another_version_is_put_right(self, team: Team) -> None:
        crew = team()
        tree = crew.tree("one")
        script = tree / ".claude-instance" / "coordinate.sh"
        whole = script.read_bytes()
        script.write_text("#!/bin/sh\n")
        assert of(told(crew, at=tree)[1], "coordinate.sh")[0]["state"] == "warning"
        told(crew, "--fix", at=tree)
        assert script.read_bytes() == whole
        assert os.access(script, os.X_OK)

    def test_requests_that_wait_for_an_agent_are_counted(self, team: Team) -> None:
        crew = team()
        tree = crew.tree("one")
        (tree / ".claude-instance" / "outbox").mkdir()
        (tree / ".claude-instance" / "outbox" / "r1").touch()
        assert of(told(crew, at=tree)[1], "outbox")[0]["text"] == "1 request waits for an agent"


@pytest.mark.usefixtures("no_probe")
class TestGit:
    @pytest.mark.parametrize("ours", [True, False])
    def test_a_worktree_that_is_gone_is_mended_if_it_was_the_teams(self, project: Project, ours: bool) -> None:
        if ours:
            git_dir = project.main / ".git" / "worktrees" / "one"
            manifest.note_worktree(git_dir, sub="", index=1, peer="one", made=True)
        shutil.rmtree(project.worktree)
        found = of(project.data("doctor", at=project.main), "git")[0]
        assert found["text"] == f"1 worktree is registered and gone: {project.worktree}"
        assert found["fix"] == ("peercoord doctor --fix" if ours else f"git -C '{project.main}' worktree prune")


@pytest.mark.usefixtures("no_probe")
class TestSettings:
    @pytest.mark.parametrize(
        ("changed", "words"),
        [
            ({"heartbeat_seconds": 0}, "its default"),
            ({"heartbeat_seconds": "5"}, "its default"),
            ({"heartbeat_seconds": True}, "its default"),
            ({"uncommitted": "maybe"}, "its default"),
            ({"heartbaet": 5}, "is no setting"),
            ({"ttl_heartbeats": 1}, "late heartbeat"),
            ({"heartbeat_seconds": 7200}, "for hours"),
            ({"heartbeat_seconds": 5}, "state_seconds"),
            ({"session_grace_seconds": 900}, "session_grace_seconds"),
        ],
    )
    def test_related_limits_are_checked_together(self, changed: dict[str, object], words: str) -> None:
        assert any(words in problem.text for problem in settings.problems(changed))
        assert settings.problems({}) == [], "the defaults fit"

    @examples(max_examples=25)
    @given(
        st.dictionaries(
            st.sampled_from([key for key, value in DEFAULT_SETTINGS.items() if isinstance(value, int)]),
            st.integers(-1, 10_000) | st.text(max_size=2),
        )
    )
    def test_the_values_that_are_named_fit(self, changed: dict[str, object]) -> None:
        for _ in DEFAULT_SETTINGS:
            changed |= {p.key: p.value for p in settings.problems(changed)[:1]}
        assert settings.problems(changed) == [], "each command in turn, and all is well"

    @pytest.mark.parametrize("broken", [None, [], "x", 5])
    def test_settings_that_are_no_table_are_the_defaults(self, team: Team, broken: object) -> None:
        crew = team()
        path = crew.state / "protocol.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "settings": broken}))
        assert of(told(crew)[1], "settings") == []

    def test_the_line_names_the_command_that_mends(self, team: Team) -> None:
        crew = team(heartbeat_seconds=4)
        for _ in of(told(crew)[1], "settings"):
            fix = of(told(crew)[1], "settings")[0]["fix"].split()
            assert fix[:2] == ["peercoord", "config"]
            assert cli.serve(fix[1:], cli.Call(context.find(str(crew.project))))[0] == 0
        assert of(told(crew)[1], "settings") == []

    def test_peers_that_disagree_say_so(self, team: Team) -> None:
        crew = team()
        os.kill(crew.agent("one"), signal.SIGSTOP)  # else it takes the change in
        path = crew.state / "protocol.json"
        whole = json.loads(path.read_text())
        whole["settings"]["heartbeat_seconds"] = 200
        path.write_text(json.dumps(whole))
        assert any("has not taken it in yet" in c["text"] for c in of(told(crew)[1], "settings"))
