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
from hypothesis import strategies as st
from support.project import Project, project

from peercoord.cli import main as cli
from peercoord.doctor import filesystem
from peercoord.doctor.checks import Finding
from peercoord.store import manifest, paths, settings
from peercoord.store.settings import DEFAULT_SETTINGS
from peercoord.system import process
from peercoord.worktree import context

__all__ = ["project"]

Team = Callable[..., Crew]


def told(crew: Crew, *words: str, at: Path | None = None) -> tuple[int, dict[str, Any]]:
    place = context.find(str(at or crew.project))
    code, out, _ = cli.serve(["doctor", "--json", *words], cli.Call(place))
    answer = json.loads(out)
    assert "data" in answer, answer
    return code, answer["data"]


def of(data: dict[str, Any], about: str) -> list[dict[str, str]]:
    return [check for check in data["checks"] if check["check"] == about]


def found(findings: list[Finding], about: str) -> list[Finding]:
    return [one for one in findings if one.about == about]


class TestDisk:
    def test_a_good_one_is_called_good_and_left_clean(self, team: Team) -> None:
        crew = team()
        findings = filesystem.probe(str(crew.state))
        assert [one.about for one in findings if one.state == "bad"] == []
        assert {"rename", "link if free", "mkdir", "moves", "seal", "fsync", "locks", "events"} <= {
            f.about for f in findings
        }
        assert os.listdir(crew.state / "tmp") == []

    @pytest.mark.parametrize("race", list(filesystem.RACES))
    def test_one_that_lets_two_win_is_refused(self, team: Team, monkeypatch: pytest.MonkeyPatch, race: str) -> None:
        crew = team()
        monkeypatch.setitem(filesystem.RACES, race, lambda home, name, racer: None)
        first = filesystem.probe(str(crew.state))[0]
        assert first.state == "bad"
        assert race in first.text
        assert "not fit" in first.text

    def test_one_where_nobody_wins_is_refused(self, team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
        def lost(home: str, name: str, racer: int) -> None:
            raise FileExistsError(17, "taken")

        crew = team()
        monkeypatch.setitem(filesystem.RACES, "mkdir", lost)
        assert filesystem.probe(str(crew.state))[0].state == "bad"

    def test_one_that_cannot_link_is_refused(self, team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
        def none(home: str, name: str, racer: int) -> None:
            raise OSError(95, "not supported")

        crew = team()
        monkeypatch.setitem(filesystem.RACES, "link if free", none)
        findings = filesystem.probe(str(crew.state))
        assert findings[0].state == "bad"
        assert "not supported" in found(findings, "link if free")[0].text

    def test_one_whose_removal_ignores_what_is_inside_is_refused(
        self, team: Team, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        crew = team()
        monkeypatch.setattr(os, "rmdir", lambda path, **_: None)
        seal = found(filesystem.probe(str(crew.state)), "seal")[0]
        assert seal.state == "bad"

    def test_one_that_cannot_be_written_is_told(self, tmp_path: Path) -> None:
        assert filesystem.probe(str(tmp_path / "missing"))[0].state == "bad"

    def test_racers_meet(self, tmp_path: Path) -> None:
        """Were they to run one after the other, the first would win everything, every time."""
        for number in range(100):
            place = tmp_path / str(number)
            place.mkdir()
            assert filesystem.winners(str(place), "rename", rounds=200) == [1] * 200
            if len({path.suffix for path in place.iterdir()}) > 1:
                return
        pytest.fail("in 100 races the first racer won every time")


class TestTeam:
    def test_all_well(self, team: Team) -> None:
        crew = team()
        crew.agent("one")
        data = told(crew)[1]
        assert [c for c in data["checks"] if c["state"] == "bad" and c["check"] not in ("git", "set-up")] == []
        assert of(data, "tickets")[0]["text"] == "3 tasks, each with one ticket"

    def test_an_agent_that_is_missing_is_named_with_its_command_and_started(self, team: Team) -> None:
        from peercoord.agent import control

        crew = team()
        crew.agent("one")
        crew.call("one", "request-task")
        control.stop(str(crew.tree("one")))
        data = told(crew)[1]
        peers = of(data, "peers")[0]
        assert peers["state"] == "warning"
        assert peers["fix"] == f"peercoord -C {crew.tree('one')} agent start"
        assert any("started the agent of one" in text for text in told(crew, "--fix")[1]["mended"])
        assert crew.agent_pid("one")

    @pytest.mark.slow
    def test_a_lost_ticket_is_made_anew_with_a_later_epoch(self, team: Team) -> None:
        crew = team(1)
        crew.agent("one")
        crew.call("one", "request-task")
        next(crew.state.glob("peers/*/claims/1~1")).unlink()
        code, data = told(crew)
        assert code == 1
        assert of(data, "tickets")[0]["text"] == "1 task(s) have no ticket: 1"
        assert any("created its ticket again" in text for text in told(crew, "--fix")[1]["mended"])
        assert next(crew.state.glob("queue/ready/*/*/1~*")).name == "1~2"
        assert of(told(crew)[1], "tickets")[0]["state"] == "ok"

    def test_the_lower_of_two_names_of_one_ticket_goes(self, team: Team) -> None:
        crew = team(1)
        low = next(crew.state.glob("queue/ready/*/*/1~0"))
        os.link(low, crew.state / "queue" / "parked" / "held" / "1~3")
        assert "have two tickets" in of(told(crew)[1], "tickets")[0]["text"]
        mended = told(crew, "--fix")[1]["mended"]
        assert mended == [f"task 1: removed {low.relative_to(crew.state)}"]
        assert not low.exists()
        assert (crew.state / "queue" / "parked" / "held" / "1~3").exists()

    def test_two_tickets_that_are_two_files_are_left_for_a_person(self, team: Team) -> None:
        crew = team(1)
        low = next(crew.state.glob("queue/ready/*/*/1~0"))
        (crew.state / "queue" / "parked" / "held" / "1~3").touch()
        told(crew, "--fix")
        assert low.exists()
        assert (crew.state / "queue" / "parked" / "held" / "1~3").exists()

    def test_a_leader_ticket_that_was_lost_is_made_above_every_term(self, team: Team) -> None:
        crew = team()
        crew.agent("one")
        until(lambda: crew.leader() == "one")
        next(crew.state.glob("peers/*/leader~*")).unlink()
        (crew.state / "events" / "x.jsonl").write_text('{"event": "leads", "term": 41}\nnot json\n')
        assert of(told(crew)[1], "leader")[0]["state"] == "bad"
        told(crew, "--fix")
        until(lambda: crew.leader() == "one")
        assert [paths.parse_leader(p.name) for p in crew.state.rglob("leader~*")] == [43]

    def test_what_crashes_left_is_brought_to_an_end(self, team: Team) -> None:
        crew = team(2)
        crew.agent("one")
        crew.call("one", "request-task")
        home = crew.home("one")
        assert home is not None
        for session in crew.running():
            session.kill()
            session.wait()
        home.rename(crew.state / "departed" / f"{home.name}~two~1.x")
        assert of(told(crew)[1], "departed")[0]["state"] == "bad"
        told(crew, "--fix")
        assert of(told(crew)[1], "departed") == []
        assert crew.where("1") == "ready"

    def test_quarantine_is_listed_with_reasons(self, team: Team) -> None:
        crew = team()
        path = next(crew.state.glob("tasks/*/1.json"))
        path.write_text("{ no JSON")
        crew.call("one", "request-task")
        check = of(told(crew)[1], "quarantine")[0]
        assert check["state"] == "warning"
        assert "JSON" in check["text"]
        assert check["fix"] == "peercoord task reopen 1"
        assert cli.serve(["task", "reopen", "1"], cli.Call(context.find(str(crew.project))))[0] == 0
        again = of(told(crew)[1], "quarantine")[0]
        assert "nothing misses it" in again["text"]
        subprocess.run(["sh", "-c", again["fix"]], check=True)
        assert of(told(crew)[1], "quarantine")[0]["text"] == "empty"

    def test_a_directory_in_quarantine_is_no_file_to_print(self, team: Team) -> None:
        crew = team()
        path = next(crew.state.glob("tasks/*/1.json"))
        path.unlink()
        path.mkdir()
        crew.call("one", "request-task")
        assert of(told(crew)[1], "quarantine")[0]["fix"] == "peercoord task reopen 1"

    def test_a_stopped_agent_is_named_with_what_makes_it_go_on(self, team: Team) -> None:
        crew = team()
        pid = crew.agent("one")
        os.kill(pid, signal.SIGSTOP)
        until(lambda: process.stopped(process.identify(pid) or {}), what="the stop")
        check = of(told(crew)[1], "peers")[0]
        assert (check["state"], check["fix"]) == ("warning", f"kill -CONT {pid}")

    def test_stale_views_mean_that_nobody_leads(self, team: Team) -> None:
        crew = team()
        (crew.state / "state.json").write_text(json.dumps({"updated_at": "2020-01-01T00:00:00Z"}))
        check = of(told(crew)[1], "views")[0]
        assert check["state"] == "warning"
        assert "no peer leads" in check["text"]


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
        assert of(told(crew, at=tree)[1], "outbox")[0]["text"] == "1 request(s) wait for an agent"


class TestGit:
    def gone(self, project: Project) -> dict[str, str]:
        """Delete a worktree by hand; what the doctor says of git then."""
        shutil.rmtree(project.worktree)
        out = cli.serve(["doctor", "--json"], cli.Call(context.find(str(project.main))))[1]
        return of(json.loads(out)["data"], "git")[0]

    def test_a_worktree_of_the_team_that_is_gone_is_mended_not_forgotten(self, project: Project) -> None:
        git_dir = project.main / ".git" / "worktrees" / "one"
        manifest.note_worktree(git_dir, sub="", index=1, peer="one", made=True)
        check = self.gone(project)
        assert (check["text"], check["fix"]) == (
            f"1 worktree(s) are registered and gone: {project.worktree}",
            "peercoord doctor --fix",
        )

    def test_one_that_was_never_the_teams_is_gits_own_affair(self, project: Project) -> None:
        assert self.gone(project)["fix"] == f"git -C '{project.main}' worktree prune"


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

    def test_the_defaults_fit_together(self) -> None:
        assert settings.problems({}) == []

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


def test_text_for_people_says_what_to_do(team: Team) -> None:
    crew = team()
    shutil.rmtree(crew.state / "bell")
    out = cli.serve(["doctor"], cli.Call(context.find(str(crew.project))))[1]
    assert "fix: " in out.decode()
    assert out.decode().rstrip().endswith("bad")
