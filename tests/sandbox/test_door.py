"""The door: what a caller says reaches the agent whole, is done once, and is answered the same."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from agent.crew import LINUX, ROOT, Crew, Session, crew, killed, until

from peercoord.agent import client, control, host
from peercoord.mailbox import protocol
from peercoord.mailbox.server import Outbox

NEVER = {"heartbeat_seconds": 300}
SHELLS = [["dash"], ["bash"], ["bash", "--posix"], ["busybox", "sh"], ["mksh"], ["ksh93"], ["zsh"]]
HOSTILE = [
    "plain",
    "",
    " two  words ",
    "a\nb\n",
    "$(touch x) `id` \\n \\",
    "é € 日本 \x1b[31m",
    "--progress",
    "'\"'",
    "x" * 50_000,
]


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Callable[..., Crew]]:
    with ExitStack() as stack:
        yield lambda tasks=3, **settings: stack.enter_context(crew(tmp_path, tasks, **{**NEVER, **settings}))


Team = Callable[..., Crew]


def without_python(crew: Crew, name: str) -> None:
    """Leave a worktree's script nothing but the door."""
    script = crew.tree(name) / ".claude-instance" / "coordinate.sh"
    lines = script.read_text().splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("python="))
    lines[at] = "python=/nonexistent/python"
    script.write_text("\n".join(lines) + "\n")


def entry(crew: Crew, name: str, task: str) -> dict[str, object]:
    report = json.loads((crew.state / "progress-reports" / f"{name}.json").read_text())
    found: dict[str, object] = next(e for e in report["assigned_tasks"] if str(e["task_id"]) == task)
    return found


class TestVerbs:
    def test_all_of_them_without_any_program(self, team: Team) -> None:
        crew = team()
        crew.agent("one")
        without_python(crew, "one")
        code, out, _ = crew.call("one", "request-task", "--json")
        assert code == 0
        assert json.loads(out)["data"]["task_id"] == 1
        assert crew.call("one", "report-progress", "1", "--progress", "0.5", "--achievement", "half")[0] == 0
        assert entry(crew, "one", "1")["achievements"] == ["half"]
        code, out, _ = crew.call("one", "check-status")
        assert code == 0
        assert "task 1" in out
        assert crew.call("one", "update-memory", "--file", "techContext.md", "--content", "uses sh")[0] == 0
        assert len(list((crew.state / "memory-updates" / "queued").iterdir())) == 1
        assert crew.call("one", "release", "1")[0] == 0
        assert crew.where("1") == "ready"
        crew.call("one", "request-task")
        assert crew.call("one", "report-progress", "1", "--status", "done")[0] == 0
        assert crew.where("1") == "done"

    @pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
    def test_in_every_shell_with_every_argument(self, team: Team, shell: list[str]) -> None:
        if shutil.which(shell[0]) is None:
            pytest.skip(f"{shell[0]} is not installed")
        crew = team()
        crew.agent("one")
        without_python(crew, "one")
        crew.call("one", "request-task")
        words = [word for text in HOSTILE[:4] for word in ("--achievement", text)] + ["--blocker", HOSTILE[4]]
        words += ["--estimate", HOSTILE[5]]
        script = str(crew.tree("one") / ".claude-instance" / "coordinate.sh")
        done = subprocess.run(
            [*shell, script, "report-progress", "1", *words], capture_output=True, text=True, cwd="/", timeout=240
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        said = entry(crew, "one", "1")
        assert said["achievements"] == HOSTILE[:4]
        assert said["blockers"] == [HOSTILE[4]]
        assert said["completion_estimate"] == "é € 日本 ", "what steers a terminal is left out"
        assert not (Path("/") / "x").exists()

    def test_exit_codes_messages_and_json_come_through(self, team: Team) -> None:
        crew = team(2)
        crew.agent("one")
        without_python(crew, "one")
        code, out, err = crew.call("one", "report-progress", "2", "--progress", "0.5")
        assert (code, out) == (4, "")
        assert "does not hold task 2" in err
        assert "hint: " in err
        code, out, err = crew.call("one", "report-progress", "2", "--progress", "0.5", "--json")
        assert json.loads(out)["error"]["code"] == "lost"
        code, _, err = crew.call("one", "report-progress", "--nonsense")
        assert code == 2
        assert "--nonsense" in err

    def test_a_long_answer_comes_whole(self, team: Team) -> None:
        crew = team(0)
        text = "".join(f"line {number} é\n" for number in range(12_000))
        crew.queue.add(definition("big", text))
        crew.agent("one")
        without_python(crew, "one")
        code, out, _ = crew.call("one", "request-task", "--json")
        assert code == 0
        assert json.loads(out)["data"]["description"] == text

    def test_files_are_read_by_the_caller_not_by_the_agent(self, team: Team, tmp_path: Path) -> None:
        crew = team()
        crew.agent("one")
        without_python(crew, "one")
        crew.call("one", "request-task")
        (crew.tree("one") / "note.md").write_text("# Title\n\nwith a last line\n")
        assert crew.call("one", "update-memory", "--file", "techContext.md", "--from", "note.md")[0] == 0
        queued = next((crew.state / "memory-updates" / "queued").iterdir())
        assert "with a last line" in queued.read_text()
        progress = {"assigned_tasks": [{"task_id": 1, "progress": 0.25, "achievements": ["from a file"]}]}
        (crew.tree("one") / "mine.json").write_text(json.dumps(progress))
        assert crew.call("one", "report-progress", "--file=mine.json")[0] == 0
        assert entry(crew, "one", "1")["progress"] == 0.25
        code, _, err = crew.call("one", "update-memory", "--file", "techContext.md", "--from", "missing.md")
        assert code == 1
        assert "missing.md" in err

    def test_many_callers_at_once_are_all_answered(self, team: Team) -> None:
        crew = team()
        crew.agent("one")
        without_python(crew, "one")
        crew.call("one", "request-task")
        told: list[tuple[int, str, str]] = []
        callers = [
            threading.Thread(
                target=lambda n=n: told.append(crew.call("one", "report-progress", "1", "--achievement", f"a{n}"))
            )
            for n in range(16)
        ]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        assert [code for code, _, _ in told] == [0] * 16, told
        assert sorted(entry(crew, "one", "1")["achievements"]) == sorted(f"a{n}" for n in range(16))  # type: ignore[call-overload]

    def test_help_and_nonsense(self, team: Team) -> None:
        crew = team()
        crew.agent("one")
        assert "Usage" in crew.call("one", "report-progress", "--help")[1]
        assert crew.call("one", "no-such-verb")[0] == 2


def definition(task: str, text: str) -> object:
    from peercoord.store import records

    return records.define(task, "big", description=text)


class TestWithoutAgent:
    def test_the_command_line_serves_and_starts_an_agent(self, team: Team) -> None:
        crew = team()
        crew.tree("one")
        code, out, _ = crew.call("one", "request-task", "--json")
        assert code == 0
        assert json.loads(out)["data"]["task_id"] == 1
        until(lambda: crew.agent_pid("one"), what="the agent it started")
        assert crew.holder("1") == "one"

    def test_a_killed_agent_is_seen_at_once(self, team: Team) -> None:
        crew = team()
        killed(crew.agent("one"))
        without_python(crew, "one")
        code, _, err = crew.call("one", "check-status")
        assert (code, "hint: install peercoord again" in err) == (3, True)

    def test_an_agent_killed_while_it_is_waited_for_is_seen_at_once(self, team: Team) -> None:
        crew = team()
        pid = crew.agent("one")
        os.kill(pid, signal.SIGSTOP)
        told: list[tuple[int, str, str]] = []
        caller = threading.Thread(target=lambda: told.append(crew.call("one", "request-task", "--json")))
        caller.start()
        until(lambda: list((crew.tree("one") / ".claude-instance" / "outbox").iterdir()), what="the request")
        os.kill(pid, signal.SIGKILL)
        caller.join(10)
        assert told[0][0] == 0
        assert crew.holder("1") == "one", "the call was served by the command line"
        assert not list((crew.tree("one") / ".claude-instance" / "outbox").glob("0000*")), "and nothing is left to do"

    @pytest.mark.parametrize("shell", ["dash", "bash"])
    def test_a_stopped_agent_is_not_waited_for_for_ever(self, team: Team, shell: str) -> None:
        crew = team()
        pid = crew.agent("one")
        crew.call("one", "request-task")
        os.kill(pid, signal.SIGSTOP)
        script = str(crew.tree("one") / ".claude-instance" / "coordinate.sh")
        done = subprocess.run(
            [shell, script, "report-progress", "1", "--progress", "0.75"],
            env={**os.environ, "PEERCOORD_WAIT": "1"},
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 3
        assert "stays queued" in done.stderr
        os.kill(pid, signal.SIGCONT)
        until(lambda: entry(crew, "one", "1")["progress"] == 0.75, what="the queued report")


class TestOnce:
    """Requests that are repeated, replayed or interrupted."""

    def outbox(
        self, crew: Crew, name: str, serve: Callable[[protocol.Request], protocol.Answer] | None = None
    ) -> Outbox:
        mine = host.Worktree(control.place_of(str(crew.tree(name))), print, print)
        mine.connect([])
        return Outbox(mine.place().files(), serve or mine.serve, mine.standing, time.monotonic)

    def drop(self, crew: Crew, name: str, number: str, *words: str, tickets: list[str] | None = None) -> Path:
        mine = host.Worktree(control.place_of(str(crew.tree(name))), print, print)
        incarnation, held = mine.standing()
        seen = tickets if tickets is not None else [str(t) for t in held]
        request = protocol.Request(number, words, incarnation=incarnation, tickets=seen)
        path = crew.tree(name) / ".claude-instance" / protocol.request(number)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(request.encode())
        return path

    def told(self, crew: Crew, name: str, number: str) -> dict[str, object]:
        path = crew.tree(name) / ".claude-instance" / protocol.answer(number)
        found: dict[str, object] = json.loads(path.read_text())
        return found

    def test_a_request_found_twice_is_done_once_and_answered_the_same(self, team: Team) -> None:
        crew = team()
        crew.tree("one")
        outbox = self.outbox(crew, "one")
        outbox._folders()
        path = self.drop(crew, "one", "r1", "update-memory", "--file", "techContext.md", "--content", "once")
        assert outbox.answer("r1") is not None
        first = self.told(crew, "one", "r1")
        assert first["code"] == 0
        assert outbox.answer("r1") is None, "served before"
        assert path.exists(), "its id stays taken for a while"
        again = self.outbox(crew, "one")
        assert again.answer("r1") is None, "also by an agent that started meanwhile"
        assert self.told(crew, "one", "r1") == first
        assert len(list((crew.state / "memory-updates" / "queued").iterdir())) == 1

    def test_a_crash_between_the_deed_and_the_answer_does_nothing_twice(self, team: Team) -> None:
        crew = team()
        crew.tree("one")

        class Killed(BaseException):
            pass

        mine = host.Worktree(control.place_of(str(crew.tree("one"))), print, print)

        def killed(request: protocol.Request) -> protocol.Answer:
            mine.serve(request)
            raise Killed

        outbox = self.outbox(crew, "one", killed)
        outbox._folders()
        self.drop(crew, "one", "r1", "update-memory", "--file", "techContext.md", "--content", "once")
        with pytest.raises(Killed):
            outbox.answer("r1")
        assert self.outbox(crew, "one").answer("r1") is not None
        assert self.told(crew, "one", "r1")["code"] == 0
        assert len(list((crew.state / "memory-updates" / "queued").iterdir())) == 1

    def test_done_said_twice_across_a_crash_is_one_result(self, team: Team) -> None:
        crew = team()
        crew.tree("one")
        outbox = self.outbox(crew, "one")
        outbox._folders()
        call_ = host.Worktree(control.place_of(str(crew.tree("one"))), print, print)
        assert call_.serve(protocol.Request("q", ["request-task"])).code == 0
        self.drop(crew, "one", "r1", "report-progress", "1", "--status", "done")
        outbox.answer("r1")
        (crew.tree("one") / ".claude-instance" / protocol.answer("r1")).unlink()  # as if it had been killed before
        self.outbox(crew, "one").answer("r1")
        assert self.told(crew, "one", "r1")["code"] == 0
        assert len(list((crew.state / "results").rglob("1~*"))) == 1
        assert crew.where("1") == "done"

    def test_a_replay_does_not_end_a_later_claim(self, team: Team) -> None:
        crew = team(1)
        crew.tree("one")
        outbox = self.outbox(crew, "one")
        outbox._folders()
        worker = host.Worktree(control.place_of(str(crew.tree("one"))), print, print)
        worker.serve(protocol.Request("q", ["request-task"]))
        path = self.drop(crew, "one", "r1", "report-progress", "1", "--status", "done")
        stale = path.read_bytes()
        path.unlink()
        worker.serve(protocol.Request("q", ["release", "1"], incarnation=worker.standing()[0], tickets=["1~1"]))
        worker.serve(protocol.Request("q", ["request-task"]))
        assert [str(t) for t in worker.standing()[1]] == ["1~2"]
        path.write_bytes(stale)
        outbox.answer("r1")
        told = self.told(crew, "one", "r1")
        assert told["code"] == 4
        assert "made for 1~1, this worktree holds 1~2 now" in str(told["err"])
        assert crew.holder("1") == "one"

    def test_a_refusal_is_told_to_programs_in_their_own_way(self, team: Team) -> None:
        crew = team()
        crew.agent("one")
        crew.call("one", "request-task")
        current = crew.tree("one") / ".claude-instance" / "inbox" / "current"
        current.write_text(f"{current.read_text().split()[0]}\n")
        code, out, err = crew.call("one", "report-progress", "1", "--status", "done", "--json")
        assert (code, err) == (4, "")
        error = json.loads(out)["error"]
        assert "it was made for no claim, this worktree holds 1~1 now" in error["message"]
        assert error["hint"]
        assert crew.holder("1") == "one"

    def test_a_replay_for_an_earlier_incarnation_is_refused(self, team: Team) -> None:
        crew = team(1)
        crew.tree("one")
        outbox = self.outbox(crew, "one")
        outbox._folders()
        path = self.drop(crew, "one", "r1", "release")
        home = crew.home("one")
        assert home is not None
        home.rename(crew.state / "departed" / f"{home.name}~person~1.x")
        outbox = self.outbox(crew, "one")
        assert path.exists()
        outbox.answer("r1")
        assert f"made for {home.name}" in str(self.told(crew, "one", "r1")["err"])

    def test_a_copy_under_another_id_is_no_request(self, team: Team) -> None:
        crew = team(1)
        crew.tree("one")
        outbox = self.outbox(crew, "one")
        outbox._folders()
        path = self.drop(crew, "one", "r1", "update-memory", "--file", "techContext.md", "--content", "once")
        (path.parent / "r2").write_bytes(path.read_bytes())
        assert [request.number for request in outbox.rescan()] == ["r1"]

    def test_another_request_under_an_id_used_before_gets_its_own_answer(self, team: Team) -> None:
        crew = team()
        crew.tree("one")
        outbox = self.outbox(crew, "one")
        outbox._folders()
        path = self.drop(crew, "one", "r1", "update-memory", "--file", "techContext.md", "--content", "one")
        outbox.answer("r1")
        path.unlink()
        self.drop(crew, "one", "r1", "report-progress", "3", "--progress", "0.5")
        outbox.answer("r1")
        assert self.told(crew, "one", "r1")["code"] == 4

    def test_a_question_whose_asker_has_gone_is_dropped(self, team: Team) -> None:
        crew = team()
        tree = crew.tree("one")
        (tree / ".claude-instance" / "outbox").mkdir()
        crew.agent("one")
        path = self.drop(crew, "one", "r1", "request-task")
        control.stop(str(tree))
        crew.agent("one")
        until(lambda: not path.exists())
        assert crew.where("1") == "ready", "nobody is there who would work on it"

    def test_a_claim_whose_caller_goes_before_the_answer_is_released(self, team: Team) -> None:
        crew = team()
        crew.tree("one")
        mine = host.Worktree(control.place_of(str(crew.tree("one"))), print, print)
        readers: list[int] = []

        def serve(request: protocol.Request) -> protocol.Answer:
            answer = mine.serve(request)
            assert crew.holder("1") == "one"
            os.close(readers.pop())
            return answer

        outbox = self.outbox(crew, "one", serve)
        outbox.open()
        number = min(outbox._doors)
        home = crew.tree("one") / ".claude-instance"
        readers.append(os.open(home / protocol.fifo(number), os.O_RDONLY | os.O_NONBLOCK))
        self.drop(crew, "one", number, "request-task")
        outbox.answer(number)
        outbox.close()
        assert crew.where("1") == "ready", "nobody was told of it"
        assert mine.standing()[1] == []
        assert (home / protocol.CURRENT).read_text().split()[1:] == [], "and no request names it"

    @pytest.mark.parametrize("words", [["request-task"], ["request-task", "--json"]])
    def test_a_fault_while_an_answer_is_made_leaves_no_claim(
        self, team: Team, monkeypatch: pytest.MonkeyPatch, words: list[str]
    ) -> None:
        from peercoord.worktree import actions, reply

        def fault(*_: object) -> None:
            raise TypeError("a fault of the program")

        crew = team()
        mine = host.Worktree(control.place_of(str(crew.tree("one"))), print, print)
        mine.connect([])
        for place, name in ((actions, "_hand_over"), (actions, "claim_lines"), (reply.Reply, "render")):
            with monkeypatch.context() as patch:
                patch.setattr(place, name, fault)
                answer = mine.serve(protocol.Request("q", words))
            assert answer.code == 1
            assert b"a fault of the program" in answer.err + answer.out
            assert crew.where("1") == "ready", f"claimed behind its caller's back: {name}"
        assert mine.serve(protocol.Request("q", words)).code == 0
        with monkeypatch.context() as patch:
            patch.setattr(actions, "claim_lines", fault)
            assert mine.serve(protocol.Request("q", words)).code == 1
        assert crew.holder("1") == "one", "held before: it stays"

    def test_what_is_incomplete_waits_and_what_served_its_time_goes(self, team: Team) -> None:
        crew = team()
        crew.tree("one")
        clock = [0.0]
        outbox = self.outbox(crew, "one")
        outbox._now = lambda: clock[0]
        outbox._folders()
        whole = self.drop(crew, "one", "r1", "update-memory", "--file", "techContext.md", "--content", "x")
        torn = whole.with_name("r2")
        torn.write_bytes(whole.read_bytes().replace(b"r1", b"r2")[:-4])
        outbox.rescan()
        assert torn.exists()
        clock[0] = 61
        outbox.rescan()
        assert (whole.exists(), torn.exists()) == (False, True)
        assert (whole.parent.parent / protocol.answer("r1")).exists(), "the answer outlives the request"
        clock[0] = 700
        outbox.rescan()
        assert not torn.exists()
        assert not (whole.parent.parent / protocol.answer("r1")).exists()


class TestHostile:
    """What comes through the door comes out of a sandbox."""

    def serve(self, crew: Crew, *words: str) -> protocol.Answer:
        crew.tree("one")
        mine = host.Worktree(control.place_of(str(crew.tree("one"))), print, print)
        mine.connect([])
        return mine.serve(protocol.Request("r", list(words)))

    @pytest.mark.parametrize(
        "words",
        [
            ["update-memory", "--file", "techContext.md", "--from", "/etc/passwd"],
            ["update-memory", "--file", "techContext.md", "--from=/etc/passwd"],
            ["report-progress", "--file", "/etc/passwd"],
            ["report-progress", "1", "--file=/etc/passwd"],
        ],
    )
    def test_the_agent_reads_no_file_for_a_caller(self, team: Team, words: list[str]) -> None:
        answer = self.serve(team(), *words)
        assert answer.code == 2
        assert b"reads no file" in answer.err
        assert b"root:" not in answer.out + answer.err

    def test_an_option_that_only_looks_like_one_is_text(self, team: Team) -> None:
        answer = self.serve(team(), "update-memory", "--file", "techContext.md", "--content", "--from")
        assert answer.code == 0, answer.err

    @pytest.mark.parametrize(
        "words", [["agent", "stop"], ["-C", "/", "task", "list"], ["up"], ["reassign", "1", "x"], []]
    )
    def test_nothing_but_the_verbs(self, team: Team, words: list[str]) -> None:
        assert self.serve(team(), *words).code == 2

    def test_a_link_in_place_of_the_outbox_is_not_followed(self, team: Team, tmp_path: Path) -> None:
        crew = team()
        tree = crew.tree("one")
        other = tmp_path / "other"
        other.mkdir()
        (other / "id_rsa").write_text("secret")
        (tree / ".claude-instance" / "outbox").symlink_to(other)
        from peercoord.errors import PeercoordError

        with pytest.raises(PeercoordError):
            crew.agent("one")
        assert (other / "id_rsa").read_text() == "secret"

    @pytest.mark.parametrize("kind", ["link", "fifo", "huge", "directory"])
    def test_what_is_no_request_holds_nobody_up(self, team: Team, tmp_path: Path, kind: str) -> None:
        crew = team()
        crew.agent("one")
        at = crew.tree("one") / ".claude-instance" / "outbox" / "r1"
        if kind == "link":
            (tmp_path / "secret").write_text("secret")
            at.symlink_to(tmp_path / "secret")
        elif kind == "fifo":
            os.mkfifo(at)
        elif kind == "directory":
            at.mkdir()
        else:
            at.write_bytes(b"1\0" * (2 << 20))
        assert crew.call("one", "check-status")[0] == 0
        os.kill(crew.agent_pid("one"), signal.SIGTERM)
        until(lambda: not control.status(str(crew.tree("one")))["running"])
        crew.agent("one")
        assert crew.call("one", "check-status")[0] == 0


class TestHandEdits:
    def test_an_edited_progress_file_is_published_at_once(self, team: Team) -> None:
        crew = team()
        crew.agent("one")
        crew.call("one", "request-task")
        path = crew.tree("one") / ".claude-instance" / "progress.json"
        until(path.exists)
        said = json.loads(path.read_text())
        said["assigned_tasks"][0] |= {"progress": 0.4, "achievements": ["by hand"], "blockers": ["--status=done"]}
        path.write_text(json.dumps(said))
        until(lambda: entry(crew, "one", "1")["progress"] == 0.4)
        assert entry(crew, "one", "1")["achievements"] == ["by hand"]
        assert entry(crew, "one", "1")["blockers"] == ["--status=done"]
        assert crew.holder("1") == "one"

    def test_the_missions_own_schema_is_enough(self, team: Team) -> None:
        crew = team()
        crew.agent("one")
        crew.call("one", "request-task")
        path = crew.tree("one") / ".claude-instance" / "progress.json"
        path.write_text(json.dumps({"instance_id": "one", "assigned_tasks": [{"task_id": 1, "status": "done"}]}))
        until(lambda: crew.where("1") == "done")

    def test_an_edit_is_taken_before_a_call_mirrors_over_it(self, team: Team) -> None:
        crew = team()
        crew.agent("one")
        crew.call("one", "request-task")
        path = crew.tree("one") / ".claude-instance" / "progress.json"
        path.write_text(json.dumps({"assigned_tasks": [{"task_id": 1, "progress": 0.3}]}))
        crew.call("one", "report-progress", "1", "--achievement", "x")
        assert entry(crew, "one", "1")["progress"] == 0.3
        assert entry(crew, "one", "1")["achievements"] == ["x"]

    def test_what_cannot_be_read_is_told_once_and_left_alone(self, team: Team) -> None:
        crew = team()
        crew.agent("one")
        crew.call("one", "request-task")
        path = crew.tree("one") / ".claude-instance" / "progress.json"
        path.write_text("{ half")
        until(lambda: "hand edits failed" in crew.log("one"))
        assert path.read_text() == "{ half"
        path.write_text(json.dumps({"assigned_tasks": [{"task_id": 1, "progress": 0.6}]}))
        until(lambda: entry(crew, "one", "1")["progress"] == 0.6)


ISOLATES = pytest.mark.skipif(not (LINUX and ROOT and shutil.which("unshare")), reason="needs root and unshare")


def sandboxed(crew: Crew, name: str) -> list[str]:
    """Words that run what follows with nothing writable but the worktree, in a pid namespace of its own."""
    tree = crew.tree(name)
    script = f'mount --bind "{crew.base}" "{crew.base}" && mount -o remount,bind,ro "{crew.base}" && '
    script += f'mount --bind "{tree}" "{tree}" && mount -o remount,bind,rw "{tree}" && cd "{tree}" && exec "$@"'
    return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", script, "sh"]


@ISOLATES
class TestSandbox:
    """A caller that can write nothing but its worktree and sees no process of the host."""

    def inside(self, crew: Crew, *words: str) -> tuple[int, str, str]:
        run = [*sandboxed(crew, "one"), "./.claude-instance/coordinate.sh", *words]
        done = subprocess.run(run, cwd=crew.tree("one"), capture_output=True, text=True, timeout=240)
        return done.returncode, done.stdout, done.stderr

    def test_the_sandbox_is_one(self, team: Team) -> None:
        crew = team()
        done = subprocess.run(
            [*sandboxed(crew, "one"), "sh", "-c", f"touch x && ! touch {crew.state}/x && [ $$ = 1 ]"],
            stderr=subprocess.DEVNULL,
        )
        assert done.returncode == 0

    def test_all_verbs(self, team: Team) -> None:
        crew = team()
        crew.agent("one")
        code, out, err = self.inside(crew, "request-task", "--json")
        assert (code, err) == (0, "")
        assert json.loads(out)["data"]["task_id"] == 1
        assert self.inside(crew, "report-progress", "1", "--progress", "0.5")[0] == 0
        assert self.inside(crew, "check-status")[0] == 0
        assert self.inside(crew, "update-memory", "--file", "techContext.md", "--content", "x")[0] == 0
        assert self.inside(crew, "report-progress", "1", "--status", "done")[0] == 0
        assert crew.where("1") == "done"

    def test_a_dead_agent_is_seen_at_once_and_nothing_is_lost(self, team: Team) -> None:
        crew = team()
        pid = crew.agent("one")
        self.inside(crew, "request-task")
        killed(pid)
        code, _, err = self.inside(crew, "report-progress", "1", "--status", "done")
        assert code == 3
        assert "stays queued" in err
        assert "agent start" in err
        code, _, err = self.inside(crew, "request-task")
        assert code == 3
        assert "no agent answers" in err
        assert not crew.agent_pid("one"), "none is started inside the sandbox"
        crew.agent("one")
        until(lambda: crew.where("1") == "done", what="the queued report")
        assert crew.where("2") == "ready", "a question is not answered to nobody"

    def test_without_even_a_python_the_request_stays_queued(self, team: Team) -> None:
        crew = team()
        pid = crew.agent("one")
        self.inside(crew, "request-task")
        killed(pid)
        without_python(crew, "one")
        code, _, err = self.inside(crew, "report-progress", "1", "--progress", "0.5")
        assert (code, "the request stays queued" in err) == (3, True)
        crew.agent("one")
        until(lambda: entry(crew, "one", "1")["progress"] == 0.5)

    def test_the_session_outside_is_what_counts(self, team: Team) -> None:
        """Inside, pids mean something else; what is known of the session is kept."""
        crew = team()
        crew.agent("one")
        session = crew.session("one")
        session.verb("check-status")
        until(lambda: crew.record("one").get("sessions"))
        self.inside(crew, "request-task")
        until(lambda: crew.holder("1") == "one")
        assert [s["pid"] for s in crew.record("one")["sessions"]] == [session.process.pid]

    @pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv")
    def test_as_another_user_of_the_teams_group(self, team: Team) -> None:
        crew = team()
        tree = crew.tree("one")
        os.chown(crew.state, -1, 65534)
        crew.state.chmod(0o775)  # a team of several users
        for path in (crew.base, *crew.base.parents):
            if path.stat().st_uid == 0 and not path.stat().st_mode & 0o001:
                path.chmod(path.stat().st_mode | 0o011)
        crew.agent("one")
        without_python(crew, "one")
        done = subprocess.run(
            [
                "setpriv",
                "--reuid",
                "65534",
                "--regid",
                "65534",
                "--clear-groups",
                "./.claude-instance/coordinate.sh",
                "request-task",
            ],
            cwd=tree,
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert crew.holder("1") == "one"


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_the_fast_path_starts_no_program_but_its_timer(team: Team) -> None:
    crew = team()
    crew.agent("one")
    crew.call("one", "request-task")
    script = str(crew.tree("one") / ".claude-instance" / "coordinate.sh")
    done = subprocess.run(
        ["strace", "-f", "-qq", "-e", "trace=execve", script, "report-progress", "1", "--progress", "0.5"],
        capture_output=True,
        text=True,
    )
    if "ptrace" in done.stderr:
        pytest.skip("may not be traced here")
    started = [line.split('"')[1] for line in done.stderr.splitlines() if "execve(" in line and "= 0" in line]
    assert started[0] == script
    assert [os.path.basename(path) for path in started[1:]] in ([], ["sleep"])


def test_a_session_of_its_own_is_found_through_the_door(team: Team) -> None:
    crew = team()
    crew.agent("one")
    session: Session = crew.session("one")
    assert session.verb("request-task")[0] == 0
    until(lambda: crew.record("one")["session"]["pid"] == session.process.pid)
    assert crew.record("one")["session"]["program"] == "claude"


def test_a_second_session_is_told_that_the_first_one_is_at_it(team: Team) -> None:
    crew = team()
    crew.agent("one")
    first, second = crew.session("one"), crew.session("one")
    assert "still runs" not in first.verb("request-task")[1]
    assert "still runs" not in first.verb("request-task")[1], "asking again oneself is nothing to tell"
    code, said = second.verb("request-task")
    assert code == 0
    assert f"task 1 was claimed by claude, process {first.process.pid} of this worktree, which still runs" in said
    first.kill()
    assert "still runs" not in second.verb("request-task")[1]


def test_marks_of_a_sandbox_are_known(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    crew = team()
    place = control.place_of(str(crew.tree("one")))
    for mark in ("SANDBOX_RUNTIME", "CODEX_SANDBOX"):
        monkeypatch.delenv(mark, raising=False)
    assert not client.sandboxed(place)
    monkeypatch.setenv("CODEX_SANDBOX", "seatbelt")
    assert client.sandboxed(place)
