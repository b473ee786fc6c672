"""The script that hooks run: what it answers by itself, and that it never fails its agent."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from agent.crew import until
from integrations.coder import Coder

from peercoord.integrations import quiet, script
from peercoord.store import down, paths, records

Make = Callable[..., Coder]


def run(
    one: Coder, event: str, data: bytes | None = None, *, shell: str = "sh", tree: str = "", **more: Any
) -> subprocess.CompletedProcess[bytes]:
    """Run the script as the program of a coding session does."""
    said = json.dumps({"session_id": one.ident, "cwd": str(one.tree)}).encode() if data is None else data
    words = [shell, script.install(one.crew.root), event, one.agent.key, tree or str(one.tree)]
    env = {**os.environ, **one.environ}
    return subprocess.run(words, input=said, env=env, cwd=one.tree, capture_output=True, check=False, **more)


def log(one: Coder) -> str:
    path = one.tree / paths.INSTANCE / "hook.log"
    return path.read_text() if path.exists() else ""


def without_program(one: Coder) -> Path:
    """Put a program in the place of Python's that only notes that it was called."""
    called = one.crew.base / "called"
    stand_in = one.crew.base / "stand-in"
    stand_in.write_text(f'#!/bin/sh\necho "$@" >>{called}\n')
    stand_in.chmod(0o755)
    place = Path(script.install(one.crew.root))
    lines = [f"python={stand_in}" if line.startswith("python=") else line for line in place.read_text().splitlines()]
    place.write_text("\n".join(lines) + "\n")
    return called


class TestAnswers:
    def test_it_lies_in_the_coordination_directory_for_its_owner_to_write(self, coder: Make) -> None:
        one = coder()
        place = Path(script.install(one.crew.root))
        assert place == one.crew.state / "hooks" / "hook.sh"
        assert place.stat().st_mode & 0o777 == 0o755
        place.chmod(0o777)
        script.install(one.crew.root)
        assert place.stat().st_mode & 0o777 == 0o755

    def test_a_start_is_answered_by_the_program(self, coder: Make) -> None:
        one = coder()
        answer = run(one, "start")
        assert (answer.returncode, answer.stderr) == (0, b"")
        assert "This worktree is one" in json.loads(answer.stdout)["hookSpecificOutput"]["additionalContext"]
        assert one.state == "idle"

    def test_when_a_hook_fired_last_is_marked(self, coder: Make) -> None:
        one = coder()
        run(one, "start")
        assert (one.crew.state / "hooks" / "fired-claude").exists()

    def test_a_check_changes_nothing(self, coder: Make) -> None:
        one = coder()
        answer = run(one, "check")
        assert (answer.returncode, answer.stdout, one.record()) == (0, b"{}\n", {})
        assert not (one.crew.state / "hooks" / "fired-claude").exists()

    def test_a_waiter_that_wakes_exits_with_2_and_any_other_hook_never(self, coder: Make) -> None:
        one = coder()
        one.tell("start")
        one.verb("request-task")
        one.tell("stop-failure", error="rate_limit", last_assistant_message="try again in 1s")
        answer = run(one, "wait")
        assert answer.returncode == 2
        assert b"The rate limit has reset" in answer.stderr


STATUS = {  # as Claude Code tells it
    "session_id": "7f979666-11c0-4ca3-87d1-42bf6226062b",
    "cwd": '/home/me/"total_cost_usd":9',
    "model": {"id": "claude-opus-5-5", "display_name": "Opus 5.5"},
    "cost": {"total_cost_usd": 0.0022, "total_duration_ms": 106695, "total_lines_added": 0},
    "context_window": {"total_input_tokens": 10, "used_percentage": 0},
}


class TestStatusLine:
    def noted(self, one: Coder) -> list[str]:
        path = one.crew.state / paths.quiet(str(one.tree)) / paths.COSTS
        return path.read_text().splitlines() if path.exists() else []

    def tell(self, one: Coder, data: bytes, shell: str = "sh") -> None:
        called = without_program(one)
        words = [shell, str(one.crew.state / paths.HOOK_SCRIPT), "status", "claude"]
        env = {**os.environ, "PEERCOORD_WORKTREE": str(one.tree)}
        done = subprocess.run(words, input=data, env=env, cwd="/", capture_output=True, check=False, timeout=60)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b""), "nothing is shown"
        assert not called.exists(), "no program is started"

    @pytest.mark.parametrize("shell", ["dash", "bash", "zsh"])
    def test_it_notes_what_the_session_cost(self, coder: Make, shell: str) -> None:
        from shutil import which

        if which(shell) is None:
            pytest.skip(f"no {shell} here")
        one = coder()
        one.tell("tools")
        before = int(time.time())
        for cost in (0.0022, 12, 1e-07):
            told = {**STATUS, "cost": {"total_cost_usd": cost, "total_duration_ms": 106695}}
            self.tell(one, json.dumps(told, separators=(",", ":")).encode(), shell)
        noted = [line.split(" ") for line in self.noted(one)]
        assert [rest for _, *rest in noted] == [[STATUS["session_id"], cost] for cost in ("0.0022", "12", "1e-07")]
        assert all(before <= int(at) <= time.time() for at, *_ in noted)
        assert not (one.crew.state / "hooks" / "fired-claude").exists(), "it is no hook"

    def test_what_says_no_cost_is_not_noted(self, coder: Make) -> None:
        one = coder()
        one.tell("tools")
        for data in (b"", b"{}", b"[1]", b'{"cost":{"total_cost_usd":1}}', b"\xff" * 9):
            self.tell(one, data)
        assert self.noted(one) == []

    def test_a_fifo_in_place_of_the_notes_is_not_waited_for(self, coder: Make) -> None:
        one = coder()
        one.tell("tools")
        os.mkfifo(one.crew.state / paths.quiet(str(one.tree)) / paths.COSTS)
        self.tell(one, json.dumps(STATUS, separators=(",", ":")).encode())

    def test_a_worktree_without_a_session_gets_no_marks(self, coder: Make) -> None:
        one = coder()
        self.tell(one, json.dumps(STATUS, separators=(",", ":")).encode())
        assert not (one.crew.state / paths.quiet(str(one.tree))).exists()

    def test_long_notes_go_when_another_session_begins(self, coder: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        one = coder()
        one.tell("tools")
        (one.crew.state / paths.quiet(str(one.tree)) / paths.COSTS).write_text("1 a 0.5\n")
        one.tell("start")
        assert self.noted(one) == ["1 a 0.5"]
        monkeypatch.setattr(quiet, "COSTS_MOST", 3)
        one.tell("start", source="compact")
        assert self.noted(one) == ["1 a 0.5"], "the session goes on"
        before = int(time.time())
        one.tell("start")
        [(at, *rest)] = [line.split(" ") for line in self.noted(one)]
        assert (rest, before <= int(at) <= time.time()) == (["-", "0"], True), "it is known that there were others"


class TestNothingToSay:
    @pytest.fixture(params=["dash", "bash", "busybox sh", "ksh", "zsh"])
    def shell(self, request: pytest.FixtureRequest) -> str:
        from shutil import which

        if which(request.param.split()[0]) is None:
            pytest.skip(f"no {request.param} here")
        return str(request.param)

    def quiet(self, one: Coder, called: Path, shell: str) -> bool:
        """Whether the script answers a call of a tool by itself."""
        before = called.read_text() if called.exists() else ""
        words = [*shell.split(), script.install.__name__]
        place = str(one.crew.state / paths.HOOK_SCRIPT)
        words = [*shell.split(), place, "tools", "claude", str(one.tree)]
        done = subprocess.run(words, input=b"{}" * 100_000, capture_output=True, cwd="/", check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        return (called.read_text() if called.exists() else "") == before

    def told(self, one: Coder) -> None:
        """Bring the session to where there is nothing to say, some seconds ago."""
        one.tell("tools")
        for name in ("claims", "tasks", "memory-bank", "memory-updates"):
            for path in [*one.crew.state.rglob(name), one.crew.state / name]:
                for each in [path, *path.rglob("*")] if path.exists() else []:
                    os.utime(each, (1, 1), follow_symlinks=False)

    def test_the_script_answers_by_itself(self, coder: Make, shell: str) -> None:
        one = coder()
        one.tell("start")
        one.verb("request-task")
        (one.crew.state / "memory-bank").mkdir()
        self.told(one)
        called = without_program(one)
        assert self.quiet(one, called, shell)

    @pytest.mark.parametrize("what", ["definition", "claims", "bank", "time", "state", "another worktree"])
    def test_whatever_there_may_be_to_say_is_for_the_program(self, coder: Make, what: str) -> None:
        one = coder()
        one.tell("start")
        one.verb("request-task")
        (one.crew.state / "memory-bank").mkdir()
        self.told(one)
        called = without_program(one)
        home = one.crew.home("one")
        assert home is not None
        changed = {
            "definition": (one.crew.state / paths.definition("1")).parent,
            "claims": home / "claims",
            "bank": one.crew.state / "memory-bank",
        }
        marks = one.crew.state / paths.quiet(str(one.tree))
        assert self.quiet(one, called, "sh")
        if what in changed:
            os.utime(changed[what])
        elif what == "time":
            os.utime(marks / "due", (1, 1))
        elif what == "state":
            one.tell("permission", tool_name="Bash")
        else:
            (marks / "heard").write_text((marks / "heard").read_text().replace(str(one.tree), "/elsewhere", 1))
        assert not self.quiet(one, called, "sh")

    def test_no_program_is_looked_for_where_the_agent_may_have_put_one(self, coder: Make, tmp_path: Path) -> None:
        one = coder()
        one.tell("start")
        self.told(one)
        (tmp_path / "cat").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        (tmp_path / "cat").chmod(0o755)
        place = str(one.crew.state / paths.HOOK_SCRIPT)
        without_program(one)
        env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        subprocess.run(["/bin/sh", place, "tools", "claude", str(one.tree)], input=b"{}", env=env, check=True)
        assert not (tmp_path / "ran").exists()
        assert not (one.crew.base / "called").exists()

    def test_each_call_is_a_sign_of_work(self, coder: Make) -> None:
        one = coder()
        one.tell("start")
        (one.crew.state / "memory-bank").mkdir()
        self.told(one)
        beat = one.crew.state / paths.quiet(str(one.tree)) / "beat"
        os.utime(beat, (1, 1))
        assert self.quiet(one, without_program(one), "sh")
        assert beat.stat().st_mtime > 1


class TestTrouble:
    def test_a_long_path_has_marks_that_a_filesystem_takes(self, coder: Make) -> None:
        one = coder()
        for tree in ("/a" * 200, "/a" * 200 + "/b"):
            (one.crew.state / paths.quiet(tree)).mkdir(parents=True)

    @pytest.mark.parametrize("event", ["start", "tools", "stop", "end", "no-such-event", "", "--help"])
    @pytest.mark.parametrize(
        "data", [b"", b"\x00garbage{", b'{"a":' + b"1" * (5 << 20) + b"}"], ids=["none", "bad", "huge"]
    )
    def test_no_input_fails_the_agent(self, coder: Make, event: str, data: bytes) -> None:
        assert run(coder(), event, data).returncode == 0

    @pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full"])
    def test_closed_streams_fail_no_agent(self, coder: Make, closed: str) -> None:
        one = coder()
        line = f'exec sh "$0" start claude "$1" {closed}'
        words = ["sh", "-c", line, script.install(one.crew.root), str(one.tree)]
        assert subprocess.run(words, env={**os.environ, **one.environ}, check=False, input=b"{}").returncode == 0

    def test_a_task_whose_answer_cannot_be_written_goes_back(self, coder: Make) -> None:
        one = coder()
        one.tell("start")
        one.verb("request-task")
        one.verb("report-progress", "1", "--status", "done")
        line = 'exec sh "$0" stop claude "$1" >/dev/full'
        words = ["sh", "-c", line, script.install(one.crew.root), str(one.tree)]
        said = json.dumps({"session_id": one.ident}).encode()
        assert subprocess.run(words, env={**os.environ, **one.environ}, check=False, input=said).returncode == 0
        assert one.crew.where("2") == "ready"
        assert "stop: " in log(one)

    def test_a_program_that_is_gone_fails_no_agent(self, coder: Make) -> None:
        one = coder()
        place = Path(script.install(one.crew.root))
        place.write_text(place.read_text().replace("python=", "python=/gone/"))
        done = subprocess.run(["sh", str(place), "start", "claude", str(one.tree)], input=b"{}", capture_output=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")

    def test_a_team_that_is_down_and_a_place_without_a_team_say_nothing(self, coder: Make, tmp_path: Path) -> None:
        one = coder()
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        for tree in (str(elsewhere), "/no/such/place", str(one.crew.project)):
            answer = run(one, "start", b"{}", tree=tree)
            assert (answer.returncode, answer.stdout) == (0, b"")
        down.write(one.crew.root, "a person")
        answer = run(one, "start")
        assert (answer.returncode, answer.stdout, log(one)) == (0, b"", "")

    def test_a_broken_coordination_directory_is_logged(self, coder: Make) -> None:
        one = coder()
        script.install(one.crew.root)
        (one.crew.state / "protocol.json").write_text("{")
        words = ["sh", str(one.crew.state / "hooks/hook.sh"), "start", "claude", str(one.tree)]
        done = subprocess.run(words, env={**os.environ, **one.environ}, check=False, input=b"{}", capture_output=True)
        assert (done.returncode, done.stdout) == (0, b"")
        assert "start: " in log(one)

    @pytest.mark.slow
    def test_a_busy_worktree_delays_no_agent_beyond_its_time_limit(self, coder: Make) -> None:
        one = coder()
        one.tell("start")
        with one.place.files().held("call.lock"):
            answer = run(one, "tools")
        assert (answer.returncode, answer.stdout) == (0, b"")
        assert "tools: " in log(one)

    @pytest.mark.slow
    def test_an_input_that_never_ends_delays_no_agent_beyond_its_time_limit(self, coder: Make) -> None:
        one = coder()
        read, write = os.pipe()
        words = ["sh", script.install(one.crew.root), "tools", "claude", str(one.tree)]
        with os.fdopen(write, "wb"), os.fdopen(read, "rb") as never:
            done = subprocess.run(words, stdin=never, env={**os.environ, **one.environ}, check=False)
        assert done.returncode == 0
        assert "not answered within" in log(one)


class TestAgent:
    def test_a_session_that_began_is_watched_and_its_kill_is_seen(self, coder: Make) -> None:
        one = coder(session_grace_seconds=1, heartbeat_seconds=300)
        one.crew.agent("one")
        run(one, "start")
        one.verb("request-task")
        one.process.close()
        until(lambda: "the coding session has ended" in one.crew.log("one"), what="the agent's notice")
        until(lambda: one.crew.where("1") == "ready", what="the task is back")

    def test_after_an_end_that_was_told_no_grace_is_waited_for(self, coder: Make) -> None:
        one = coder(session_grace_seconds=250, heartbeat_seconds=300)
        one.crew.agent("one")
        run(one, "start")
        one.verb("request-task")
        run(one, "end")
        assert one.crew.holder("1") == "one", "it runs still"
        one.process.close()
        until(lambda: one.crew.where("1") == "ready", what="the task is back")
        ended = until(lambda: one.crew.record("one").get("session_ended"))
        assert ended["pid"] == one.identity["pid"]


class TestPlugin:
    """The plugin for opencode, run by Node.js as opencode runs it."""

    DRIVER = """
    const { Peercoord } = await import(process.argv[2])
    const prompts = []
    const client = { session: { prompt: async (it) => prompts.push(it) } }
    const hooks = await Peercoord({ client, directory: process.argv[3] })
    const event = (type, properties) => hooks.event({ event: { type, properties } })
    const said = { system: [], context: [], output: "it ran" }
    await event("session.created", { sessionID: "s", info: { id: "s" } })
    await hooks["experimental.chat.system.transform"]({ sessionID: "s" }, said)
    await hooks["chat.message"]({ sessionID: "s" })
    await hooks["tool.execute.after"]({ sessionID: "s" }, said)
    await hooks["experimental.session.compacting"]({ sessionID: "s" }, said)
    await event("session.idle", { sessionID: "s" })
    await event("no.such.event", null)
    console.log(JSON.stringify({ ...said, prompts }))
    """

    def test_a_session_is_told_its_context_and_goes_on_when_it_is_idle(self, coder: Make, tmp_path: Path) -> None:
        from shutil import which

        node = which("node")
        if node is None:
            pytest.skip("no Node.js here")
        one = coder(agent="opencode")
        plugin, driver = tmp_path / "peercoord.mjs", tmp_path / "driver.mjs"
        patient = script.plugin(script.install(one.crew.root), "").replace("timeout: 3000", "timeout: 240000")
        plugin.write_text(patient)
        driver.write_text(self.DRIVER)
        one.verb("request-task")
        one.crew.queue.add(records.define("9", "last"))
        env = {**os.environ, **one.environ, "PEERCOORD_WORKTREE": str(one.tree)}
        done = subprocess.run([node, driver, plugin, one.tree], env=env, capture_output=True, check=True, text=True)
        said = json.loads(done.stdout)
        assert "This worktree is one" in said["system"][0]
        assert "task 1" in said["context"][0]
        assert said["output"].startswith("it ran")
        assert "report-progress 1 --status done" in said["prompts"][0]["body"]["parts"][0]["text"]
        assert one.record()["state"] == "ended", "its process told its end"
