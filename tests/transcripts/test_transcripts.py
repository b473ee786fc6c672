"""What every command says in five scenes, word for word: a change of it is seen, and read by a person.

``python -m pytest tests/transcripts --regenerate`` rewrites the transcripts; then read ``git diff``.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from support.project import Project, build, clear
from transcripts import scenes

from peercoord.cli import main as cli
from peercoord.system import clock, process
from peercoord.worktree import context

HERE = Path(__file__).parent
HOST = {"host": "a-host", "machine": "m" * 8, "boot_id": "b" * 8, "pid_ns": "pid:[1]", "time_ns": "time:[1]"}

AT_MAIN = """
status
status --check
status --json
instance one
instance one --json
task list
task list --json
task show 1
task show 1 --json
task show 2
task show 99
task show 99 --json
task export --format tasks.json
memory list
memory list --json
memory merge --json
review list
review list --json
review show 1
review undo no-such-entry
land --dry-run
land --dry-run --json
land --undo --onto main
events
events --json
config
config --json
config heartbeat_seconds
config no_such_setting 1
sync --dry-run
sync --json
sync --explain
request
no-such-command
task
task add
task add Another --json
task edit 1 --priority low
task cancel 99
task reopen 4
reassign 3 two
down --dry-run
down --dry-run --json
"""

AT_WORKTREE = """
check-status
check-status --json
request-task
request-task --json
report-progress 1 --progress 0.7
report-progress 2 --progress 70% --json
report-progress 99 --status done
report-progress --status done
update-memory --file techContext.md --section Tools --content "- uses orjson"
update-memory
update-memory --file nowhere.md
release 1
release 3 --reason later
release 3 --json
agent status
agent status --json
"""

NORMAL = [
    (re.compile(r"\b(?!2026-01-)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "TIME"),
    (re.compile(r"(?m)(?<=last heartbeat )\d.*$"), "TIME"),
    (re.compile(r"\b\d+s\b"), "Ns"),
    (re.compile(r'("\w*(?:seconds|_ns|size|age)"): -?\d+(\.\d+)?'), r"\1: N"),
    (re.compile(r"\b[0-9a-f]{40}\b"), "COMMIT"),
    (re.compile(r"(?<=stays at )[0-9a-f]{7}"), "COMMIT"),
    (re.compile(r"process \d+"), "process PID"),
    (re.compile(r'"(pid|start)": \d+(\.\d+)?'), r'"\1": N'),
]
"""What is another in every run: what comes from the times of files, and from processes."""


class Tokens:
    """Words and numbers instead of random ones."""

    def __init__(self) -> None:
        self.count = 0

    def token(self, length: int = 12) -> str:
        self.count += 1
        return f"t{self.count:0{length - 1}d}"[:length]

    def chance(self) -> int:
        self.count += 1
        return self.count * 7919


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Return a directory whose path has the same length in every run: lines are broken by length."""
    with TemporaryDirectory(prefix="peercoord-", dir="/tmp") as made:
        yield Path(made)


@pytest.fixture
def project(tmp_path: Path, _fixed: None, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Built here, not copied: its times and random words are the same in every run too."""
    clear(monkeypatch)
    return build(Path(os.path.realpath(tmp_path)))


@pytest.fixture(autouse=True)
def _fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = Tokens()
    monkeypatch.setattr(clock, "token", tokens.token)
    monkeypatch.setattr(clock, "chance", tokens.chance)
    monkeypatch.setattr(clock.Clock, "now", lambda _: "2026-01-31T15:30:00Z")
    monkeypatch.setattr(process, "here", lambda: dict(HOST))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setenv("GIT_AUTHOR_DATE", "2026-01-31T15:30:00Z")
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2026-01-31T15:30:00Z")


def calls(at: Path, lines: str) -> Iterator[tuple[Path, list[str]]]:
    for line in lines.strip().splitlines():
        yield at, shlex.split(line)


def transcript(made: Project) -> str:
    """Call one command after the other; give what each said."""
    said = []
    for at, words in [*calls(made.main, AT_MAIN), *calls(made.worktree, AT_WORKTREE)]:
        name = "peercoord" if at == made.main else "coordinate.sh"
        code, out, err = cli.serve(words, cli.Call(context.find(str(at)), scenes.caller()), name)
        said.append(f"$ {name} {' '.join(words)}\n[{code}]\n{out.decode()}")
        if err:
            said.append("".join(f"2> {line}\n" for line in err.decode().splitlines()))
        said.append("\n")
    return normal("".join(said), made)


def normal(text: str, made: Project) -> str:
    text = text.replace(str(made.main.parent), "/code")
    for pattern, word in NORMAL:
        text = pattern.sub(word, text)
    return text


HELP = """
import click
from peercoord.cli import main

def commands(group, above=()):
    for word in group.list_commands(click.Context(main.cli)):
        found = group.get_command(click.Context(main.cli), word)
        if not found.hidden:
            yield [*above, word]
            yield from commands(found, (*above, word)) if isinstance(found, click.Group) else ()

for words in [[], *commands(main.cli)]:
    print(f"$ peercoord {' '.join([*words, '--help'])}")
    assert main.serve([*words, "--help"])[0] == 0
    print()
"""
"""In a process of its own: what a command answered once may stay with it."""


def same_as_kept(said: str, name: str, request: pytest.FixtureRequest) -> None:
    kept = HERE / f"{name.replace(' ', '-')}.txt"
    if request.config.getoption("--regenerate"):
        kept.write_text(said)
    assert said.splitlines() == kept.read_text().splitlines()


@pytest.mark.parametrize("name", scenes.SCENES)
def test_what_is_said(name: str, project: Project, request: pytest.FixtureRequest) -> None:
    scenes.SCENES[name](project)
    same_as_kept(transcript(project), name, request)


def test_the_help_of_each(request: pytest.FixtureRequest) -> None:
    said = subprocess.run([sys.executable, "-c", HELP], check=True, capture_output=True, text=True).stdout
    same_as_kept(said, "help", request)
