"""Which program is a coding agent, and which process the session behind a call."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from peercoord.core.sessions import coding_agent, runs_one_command
from peercoord.fs import process

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["claude"], "claude"),
        (["/usr/local/bin/claude", "--resume"], "claude"),
        (["node", "/opt/lib/node_modules/@anthropic-ai/claude-code/cli.js"], "claude-code"),
        (["/usr/bin/node", "--no-warnings", "/opt/@google/gemini-cli/dist/index.js"], "gemini-cli"),
        (["/home/x/.codex/bin/codex", "exec"], "codex"),
        (["python3.11", "/home/x/venv/bin/aider"], "aider"),
        (["bun", "/x/opencode"], "opencode"),
        (["bash", "-c", "claude"], ""),
        (["vim", "claude"], ""),
        (["python3", "train.py", "claude.txt"], ""),
        (["claude-notes"], ""),
        ([], ""),
        ([""], ""),
    ],
)
def test_the_table_of_coding_agents(words: list[str], name: str) -> None:
    assert coding_agent(words) == name


@pytest.mark.parametrize(
    ("words", "one"),
    [
        (["bash", "-c", "x"], True),
        (["/bin/zsh", "-lc", "x"], True),
        (["sh", "-e", "-c", "x"], True),
        (["bash"], False),
        (["-bash"], False),
        (["bash", "--rcfile", "x"], False),
        (["python", "-c", "x"], False),
        ([], False),
    ],
)
def test_a_shell_that_was_given_one_command(words: list[str], one: bool) -> None:
    assert runs_one_command(words) == one


ASK = "from peercoord.fs import process; import os, json; print(json.dumps(process.session_of(os.getpid())))"


def asked(words: list[str], **options: object) -> dict[str, object]:
    import json

    done = subprocess.run(words, capture_output=True, text=True, check=True, **options)  # type: ignore[call-overload]
    found: dict[str, object] = json.loads(done.stdout)
    return found


@LINUX
def test_the_nearest_coding_agent_above_is_the_session(tmp_path: Path) -> None:
    script = f'echo $$ >&2; setsid sh -c \'"$0" -c "$1"; :\' {sys.executable} "$0"; :'
    done = subprocess.run(
        ["claude", "-c", script, ASK], executable="/bin/sh", capture_output=True, text=True, check=True
    )
    import json

    assert json.loads(done.stdout)["pid"] == int(done.stderr)
    assert json.loads(done.stdout)["program"] == "claude"


@LINUX
def test_a_worker_in_a_session_of_its_own_is_the_session() -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]], check=True)"
    with subprocess.Popen(
        [sys.executable, "-c", code, ASK], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as worker:
        assert worker.stdout is not None
        found = worker.stdout.read()
    assert f'"pid": {worker.pid}' in found


@LINUX
def test_a_shell_started_for_one_call_is_no_session() -> None:
    """Some agents give each command a session of its own, which is over when the command is."""
    found = asked(["sh", "-c", f"{sys.executable} -c '{ASK}'; :"], start_new_session=True)
    mine = process.session_leader(os.getpid())
    assert found == process.identify(mine) or found is None or found["pid"] != mine
    assert process.identify(int(str(found["pid"]))) is not None, "whatever was found outlives the call"
