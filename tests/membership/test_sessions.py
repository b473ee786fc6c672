"""Which program is a coding agent, and which process the session behind a call."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from peercoord.system import process
from peercoord.system.sessions import coding_agent, program

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
        (["bash", "/usr/local/bin/claude", "-c"], "claude"),
        (["/bin/sh", "-e", "/opt/codex"], "codex"),
        (
            ["node", "--max-old-space-size=9", "--no-warnings", "--x", "/opt/@google/gemini-cli/dist/index.js"],
            "gemini-cli",
        ),
        (["/x/node", "/home/x/.local/share/cursor-agent/versions/1/index.js"], "cursor-agent"),
        (["/home/x/.local/share/pipx/venvs/aider-chat/bin/python", "-m", "aider.main"], "aider-chat"),
        (["/home/x/.local/share/uv/tools/aider-chat/bin/python", "-m", "aider.main"], "aider-chat"),
        (["node", "node_modules/@openai/codex/dist/index.js"], "codex"),
        (["/home/x/codex/.venv/bin/python", "run_all.py"], ""),
        (["/home/x/codex/node_modules/.bin/tsc"], ""),
        (["bash", "/srv/copilot/ci/loop.sh"], ""),
        (["/home/x/claude-code/target/debug/server"], ""),
        (["bash", "-c", "claude"], ""),
        (["bash", "-lc", "claude"], ""),
        (["bash", "notes", "claude"], ""),
        (["python3", "train.py", "claude"], ""),
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
    ("words", "name"),
    [
        (["python3", "/x/agent.py", "--fast"], "agent.py"),
        (["/usr/bin/vim", "x"], "vim"),
        (["timeout", "30", "x"], ""),
        (["-bash"], ""),
        (["bash", "-c", "x"], ""),
        (["python", "-c", "import x"], "python"),
        (["p" * 99], "p" * 60),
        ([], ""),
    ],
)
def test_an_unknown_caller_has_a_name_for_people(words: list[str], name: str) -> None:
    assert program(words) == name


ASK = """
import json, os
from peercoord.system import process
found = process.caller_of(os.getpid())
print(json.dumps([found.session, found.program]))
"""


@LINUX
def test_the_nearest_coding_agent_above_is_the_session(tmp_path: Path) -> None:
    script = f'echo $$ >&2; setsid sh -c \'"$0" -c "$1"; :\' {sys.executable} "$0"; :'
    done = subprocess.run(
        ["claude", "-c", script, ASK], executable="/bin/sh", capture_output=True, text=True, check=True
    )
    session, name = json.loads(done.stdout)
    assert (session["pid"], session["program"], name) == (int(done.stderr), "claude", "claude")


@LINUX
@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root and unshare")
def test_the_first_process_of_a_container_may_be_the_coding_agent() -> None:
    words = [
        "unshare",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "bash",
        "-c",
        'exec -a claude sh -c "$@"',
        "_",
    ]
    done = subprocess.run([*words, '"$0" -c "$1"; :', sys.executable, ASK], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)[0]["pid"] == 1


@LINUX
def test_an_unknown_program_is_no_session_in_whatever_session_it_runs(tmp_path: Path) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text("import subprocess, sys; subprocess.run(['timeout', '60', *sys.argv[1:]], check=True)")
    words = [sys.executable, str(worker), sys.executable, "-c", ASK]
    done = subprocess.run(words, capture_output=True, text=True, check=True, start_new_session=True)
    assert json.loads(done.stdout)[1] == "worker.py"


@LINUX
def test_a_coding_agent_is_found_by_where_it_runs(tmp_path: Path) -> None:
    with subprocess.Popen(
        ["claude", "-c", "echo up; read x"],
        executable="/bin/sh",
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as agent:
        assert agent.stdout is not None
        agent.stdout.readline()
        found = process.coding_agents_in(str(tmp_path.resolve()))
        assert [(one["pid"], one["program"]) for one in found] == [(agent.pid, "claude")]
        assert agent.pid in [one["pid"] for one in process.coding_agents_in(str(tmp_path.parent))]
        assert process.coding_agents_in(str(tmp_path)[:-1]) == []
        agent.communicate(b"\n")
