"""The mailbox: a request reaches the agent whole, is done once, and is answered the same."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from agent.crew import LINUX, ROOT, Crew, killed, until

from peercoord.store import records

SHELLS = [["dash"], ["bash"], ["bash", "--posix"], ["busybox", "sh"], ["mksh"], ["ksh93"], ["zsh"]]
HOSTILE = ["plain", "", " two  words ", "a\nb\n"]
BLOCKER = "$(touch x) `id` \\n \\"

Team = Callable[..., Crew]
Served = tuple[Crew, str]


class TestVerbs:
    """Through the agent alone: no program can be started."""

    def test_all_of_them(self, served: Served) -> None:
        crew, task = served
        code, out, _ = crew.call("one", "request-task", "--json")
        assert (code, json.loads(out)["data"]["task_id"]) == (0, int(task))
        assert crew.call("one", "report-progress", task, "--progress", "0.5", "--achievement", "half")[0] == 0
        assert crew.entry("one", task)["achievements"] == ["half"]
        code, out, _ = crew.call("one", "check-status")
        assert (code, f"task {task}" in out) == (0, True)
        queued = crew.state / "memory-updates" / "queued"
        before = len(list(queued.iterdir()))
        assert crew.call("one", "update-memory", "--file", "techContext.md", "--content", "uses sh")[0] == 0
        assert len(list(queued.iterdir())) == before + 1
        assert (crew.call("one", "release", task)[0], crew.where(task)) == (0, "ready")
        crew.call("one", "request-task")
        assert (crew.call("one", "report-progress", task, "--status", "done")[0], crew.where(task)) == (0, "done")

    @pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
    def test_in_every_shell_with_every_argument(self, served: Served, shell: list[str]) -> None:
        if shutil.which(shell[0]) is None:
            pytest.skip(f"{shell[0]} is not installed")
        crew, task = served
        crew.call("one", "request-task")
        words = [word for text in HOSTILE for word in ("--achievement", text)]
        words += ["--blocker", BLOCKER, "--estimate", "é € 日本 \x1b[31m"]
        done = subprocess.run(
            [*shell, str(crew.script("one")), "report-progress", task, *words],
            capture_output=True,
            text=True,
            cwd="/",
            timeout=240,
        )
        assert (done.returncode, done.stderr) == (0, "")
        said = crew.entry("one", task)
        assert (said["achievements"], said["blockers"]) == (HOSTILE, [BLOCKER])
        assert said["completion_estimate"] == "é € 日本 ", "what steers a terminal is left out"
        assert not (Path("/") / "x").exists()

    def test_exit_codes_messages_and_json_come_through(self, served: Served) -> None:
        crew, task = served
        code, out, err = crew.call("one", "report-progress", task, "--progress", "0.5")
        assert (code, out, f"does not hold task {task}" in err, "hint: " in err) == (4, "", True, True)
        out = crew.call("one", "report-progress", task, "--progress", "0.5", "--json")[1]
        assert json.loads(out)["error"]["code"] == "lost"
        code, _, err = crew.call("one", "report-progress", "--nonsense")
        assert (code, "--nonsense" in err) == (2, True)

    def test_a_long_answer_comes_whole(self, served: Served) -> None:
        crew, task = served
        text = "".join(f"line {number} é\n" for number in range(12_000))
        crew.queue.cancel(task)
        crew.queue.add(records.define("9000", "big", description=text))
        code, out, _ = crew.call("one", "request-task", "--json")
        assert (code, json.loads(out)["data"]["description"] == text) == (0, True)

    def test_files_are_read_by_the_caller_not_by_the_agent(self, served: Served) -> None:
        crew, task = served
        crew.call("one", "request-task")
        (crew.tree("one") / "note.md").write_text("# Title\n\nwith a last line\n")
        assert crew.call("one", "update-memory", "--file", "techContext.md", "--from", "note.md")[0] == 0
        queued = (crew.state / "memory-updates" / "queued").iterdir()
        assert any("with a last line" in one.read_text() for one in queued)
        progress = {"assigned_tasks": [{"task_id": int(task), "progress": 0.25, "achievements": ["from a file"]}]}
        (crew.tree("one") / "mine.json").write_text(json.dumps(progress))
        assert crew.call("one", "report-progress", "--file=mine.json")[0] == 0
        assert crew.entry("one", task)["progress"] == 0.25
        code, _, err = crew.call("one", "update-memory", "--file", "techContext.md", "--from", "missing.md")
        assert (code, "missing.md" in err) == (1, True)

    def test_many_callers_at_once_are_all_answered(self, served: Served) -> None:
        crew, task = served
        crew.call("one", "request-task")
        told: list[tuple[int, str, str]] = []

        def call(number: int) -> None:
            told.append(crew.call("one", "report-progress", task, "--achievement", f"a{number}"))

        callers = [threading.Thread(target=call, args=(number,)) for number in range(16)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        assert [code for code, _, _ in told] == [0] * 16, [said for said in told if said[0]]
        assert sorted(crew.entry("one", task)["achievements"]) == sorted(f"a{n}" for n in range(16))


class TestWithoutAgent:
    def test_the_command_line_serves_and_starts_an_agent(self, team: Team) -> None:
        crew = team()
        crew.tree("one")
        code, out, _ = crew.call("one", "request-task", "--json")
        assert (code, json.loads(out)["data"]["task_id"], crew.holder("1")) == (0, 1, "one")
        until(lambda: crew.agent_pid("one"), what="the agent it started")
        assert "Usage" in crew.call("one", "report-progress", "--help")[1], "no agent shows help"

    def test_an_agent_killed_while_it_is_waited_for_is_seen_at_once(self, team: Team) -> None:
        crew = team()
        pid = crew.agent("one")
        os.kill(pid, signal.SIGSTOP)
        told: list[int] = []
        caller = threading.Thread(target=lambda: told.append(crew.call("one", "request-task", "--json")[0]))
        caller.start()
        until(lambda: crew.outbox("one"), what="the request")
        os.kill(pid, signal.SIGKILL)
        caller.join()
        assert (told, crew.holder("1")) == ([0], "one"), "the call was served by the command line"
        assert not [name for name in crew.outbox("one") if name.startswith("0000")], "and nothing is left to do"


class TestHandEdits:
    """By the agent, without a call; all else of them: tests/cli/test_hand_edits.py."""

    def test_edits_of_the_progress_file_are_published_and_what_cannot_be_read_is_left_alone(self, team: Team) -> None:
        crew = team()
        crew.agent("one")
        crew.call("one", "request-task")
        path = crew.tree("one") / ".claude-instance" / "progress.json"

        def typed(**entry: object) -> None:
            """Type an entry in place; the agent takes it in, and then replaces the file."""
            file = path.stat().st_ino
            path.write_text(json.dumps({"assigned_tasks": [{"task_id": 1, **entry}]}))
            until(lambda: path.stat().st_ino != file, what="the file is written again")

        typed(progress=0.4, achievements=["by hand"], blockers=["--status=done"])
        entry = crew.entry("one", "1")
        assert (entry["progress"], entry["achievements"], entry["blockers"]) == (0.4, ["by hand"], ["--status=done"])
        assert crew.holder("1") == "one"
        path.write_text("{ half")
        until(lambda: "hand edits failed" in crew.log("one"))
        assert path.read_text() == "{ half"
        typed(progress=0.6)
        assert crew.entry("one", "1")["progress"] == 0.6


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

    def test_all_verbs(self, team: Team) -> None:
        crew = team()
        proof = f"touch x && ! touch {crew.state}/x && [ $$ = 1 ]"
        is_one = subprocess.run([*sandboxed(crew, "one"), "sh", "-c", proof], stderr=subprocess.DEVNULL)
        assert is_one.returncode == 0, "the sandbox is one"
        crew.agent("one")
        code, out, err = self.inside(crew, "request-task", "--json")
        assert (code, err, json.loads(out)["data"]["task_id"]) == (0, "", 1)
        assert self.inside(crew, "check-status")[0] == 0
        assert self.inside(crew, "update-memory", "--file", "techContext.md", "--content", "x")[0] == 0
        assert self.inside(crew, "report-progress", "1", "--status", "done")[0] == 0
        assert crew.where("1") == "done"

    def test_a_dead_agent_is_seen_at_once_and_nothing_is_lost(self, team: Team) -> None:
        crew = team()
        pid = crew.agent("one")
        self.inside(crew, "request-task")
        killed(pid)
        code, _, err = self.inside(crew, "report-progress", "1", "--progress", "0.5")
        assert (code, "stays queued" in err, "agent start" in err) == (3, True, True)
        code, _, err = self.inside(crew, "request-task")
        assert (code, "no agent answers" in err) == (3, True)
        assert not crew.agent_pid("one"), "none is started inside the sandbox"
        crew.without_python("one")
        code, _, err = self.inside(crew, "report-progress", "1", "--status", "done")
        assert (code, "the request stays queued" in err) == (3, True), "without a program too"
        crew.agent("one")
        until(lambda: crew.where("1") == "done", what="the queued reports")
        assert crew.where("2") == "ready", "a question is not answered to nobody"

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
        crew.without_python("one")
        words = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
        words += ["./.claude-instance/coordinate.sh", "request-task"]
        done = subprocess.run(words, cwd=tree, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        assert crew.holder("1") == "one"


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_the_fast_path_starts_no_program_but_its_timer(served: Served) -> None:
    crew, task = served
    crew.call("one", "request-task")
    script = str(crew.script("one"))
    done = subprocess.run(
        ["strace", "-f", "-qq", "-e", "trace=execve", script, "report-progress", task, "--progress", "0.5"],
        capture_output=True,
        text=True,
    )
    if "ptrace" in done.stderr:
        pytest.skip("may not be traced here")
    started = [line.split('"')[1] for line in done.stderr.splitlines() if "execve(" in line and "= 0" in line]
    assert started[0] == script
    assert [os.path.basename(path) for path in started[1:]] in ([], ["sleep"])


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
