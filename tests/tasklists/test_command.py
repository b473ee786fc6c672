"""Commands about lists of tasks: each file of ``commands/`` holds calls in one project, and all that they answer.

After a change that is meant, write the answers again with ``pytest tests/tasklists/test_command.py --regenerate``.
"""

from __future__ import annotations

import json
import re
import shlex
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support import golden
from support.lists import files_below, make_database, query
from support.project import Project, git, project

from peercoord.store import manifest
from peercoord.tasklists.export import FORMATS, export, gather
from peercoord.tasklists.source import read_source
from peercoord.team import up

__all__ = ["project"]

CHANGING = [
    (re.compile(r"\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "TIME"),
    (re.compile(r'("store": "|, store )\w+'), r"\1STORE"),
    (re.compile(r"\.json~\w+"), ".json~TOKEN"),
    (re.compile(r"(in hand for )\d+s"), r"\1Ns"),
    (re.compile(r'^\s*"time_spent": \d+,\n', re.MULTILINE), ""),  # of a second or more, and else not there
    (re.compile(r'("time_spent": )\d+((, "\w*|,)?…)?'), r"\1N"),
]
"""What is another in every run."""
LISTS = re.compile("in step|taken in|before-peercoord|database|tasks.json|--tasks|another team|projects")
CHOICES = ("database", "database_project", "tasks_file", "schema_version")


class Calls:
    """A file is a title and steps that begin with ``>>>``; ``PROJECT`` lies in ``HOME``, the rest is beside it.

    ``sql FILE`` (a script for a database), ``file FILE`` (its content), ``remove FILE``, ``peercoord WORDS`` (exit
    code, answer, messages), ``ask FILE QUERY`` (rows of a database), ``chosen`` (the lists that are kept in step).
    ``up WORDS`` sets up the team ``HOME/team`` without agents; of its answer, what is about lists of tasks is shown.
    """

    def __init__(self, project: Project) -> None:
        self.project, self.home, self.state = project, project.main.parent, project.state

    def play(self, text: str) -> str:
        """The file as it is with the answers of these calls."""
        written, parts = golden.steps(text)
        for head, body in parts:
            words = [self.place(word) for word in shlex.split(head)]
            written += f">>> {head}\n{self.step(words[0], words[1:], body)}"
        return written

    def place(self, word: str) -> str:
        return word.replace("PROJECT", str(self.project.main)).replace("HOME", str(self.home))

    def step(self, what: str, words: list[str], body: str) -> str:
        if what == "repository":
            (self.home / "team").mkdir()
            git(self.home / "team", "init", "-q", "-b", "main")
            git(self.home / "team", "commit", "-q", "--allow-empty", "-m", "first")
            return ""
        if what in ("sql", "file"):
            path = self.home / words[0]
            path.parent.mkdir(parents=True, exist_ok=True)
            if what == "file":
                path.write_text(body)
            else:
                with closing(sqlite3.connect(path)) as connection, connection:
                    connection.executescript(body)
            return body
        if what == "ask":
            return "".join(f"{' | '.join(map(str, row))}\n" for row in query(self.home / words[0], words[1]))
        if what == "chosen":
            path = self.state / "protocol.json"
            kept = json.loads(path.read_text()) if path.exists() else {}
            return self.shown(json.dumps({key: kept[key] for key in CHOICES if key in kept}) + "\n")
        if what == "remove":
            (self.home / words[0]).unlink()
            return ""
        if what == "up":
            words = ["up", str(self.home / "team"), "1", *words]
            self.state = self.home / "team" / ".claude-coordination"
        code, out, err = self.project(*words)
        if "--json" in words:
            data = json.loads(out)["data"]
            out = "".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in data.items())
        if what == "up":
            out, err = ("".join(f"{line}\n" for line in text.splitlines() if LISTS.search(line)) for text in (out, err))
        return self.shown(f"[{code}]\n{out}" + "".join(f"2> {line}\n" for line in err.splitlines()))

    def shown(self, text: str) -> str:
        text = text.replace(str(self.project.main), "PROJECT").replace(str(self.home), "HOME")
        for pattern, word in CHANGING:
            text = pattern.sub(word, text)
        return "".join(f"{' '.join(line.split())}\n" for line in text.splitlines())


@golden.files(Path(__file__).parent / "commands")
def test_the_calls_of_a_file_answer_as_it_says(
    path: Path, project: Project, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(up, "_start", lambda *_: "")  # no agents
    monkeypatch.setenv("HOME", str(project.main.parent / "home"))
    golden.check(path, Calls(project).play, request)


def test_the_choice_of_a_database_is_in_the_manifest_and_not_in_git(project: Project) -> None:
    project("sync")
    assert manifest.read_project(project.main / ".git", "")["lists"] == {"database": ".git/peercoord/taskmaster.db"}
    assert not [path for path in files_below(project.main) if path.endswith(".db") and "/.git/" not in path]


def test_a_password_is_used_and_not_written_down(project: Project) -> None:
    pytest.importorskip("psycopg")
    answer = project.data("sync", "--database", "postgresql://me:s3cret@127.0.0.1:1/db")
    assert answer["exit"] == 1
    assert "s3cret" not in json.dumps(answer)
    assert "s3cret" not in "".join(p.read_text() for p in project.state.rglob("*.json*"))
    assert '"database"' not in (project.state / "protocol.json").read_text(), (
        "it cannot be reached, so it is not chosen"
    )


def test_a_look_changes_nothing(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "list"
    path = make_database(folder / "shared.db", (1, "One", "todo"), (2, "Two", "doing"))
    (folder / "tasks.json").write_text('{"t": {"tasks": []}}')
    monkeypatch.chdir(folder)
    project("task", "add", "Here", "--id", "9")
    before = files_below(folder, project.state, project.main / ".git")
    choices = [["--project", "p"], ["--tag", "t", "--tasks-file", "tasks.json"], ["--take-over"], []]
    for flags in (["--explain"], ["--dry-run"], ["--dry-run", "--explain"]):
        for choice in choices:
            answer = project.data("sync", "--database", str(path), *choice, *flags)
            assert answer["dry_run"] is True
            assert ("explain" in answer) == ("--explain" in flags)
        assert project("sync", "--database", "none", *flags)[0] == 0
        assert files_below(folder, project.state, project.main / ".git") == before, flags


def test_a_hand_edited_priority_of_0_is_shown(project: Project) -> None:
    project("task", "add", "t")
    path = next((project.state / "tasks").rglob("1.json"))
    raw = json.loads(path.read_text())
    path.write_text(json.dumps({**raw, "priority": 0}))
    assert "priority critical" in project("request")[1]
    del raw["priority"]
    path.write_text(json.dumps(raw))
    assert "priority medium" in project("request")[1]


# -- exports -----------------------------------------------------------------------------------------------------


@pytest.fixture
def worked(project: Project) -> Project:
    project("task", "add", "First é", "-d", "=SUM(A1)", "-p", "critical", "--step", "a", "--step", "b")
    project("task", "add", "Second", "--depends-on", "1", "-p", "lowest")
    project("task", "add", "Third")
    project("task", "add", "Fourth", "--id", "four")
    project("request")
    project("report", "1", "--step", "1.1", "--achievement", "x")
    project("task", "cancel", "3", "--reason", "no use")
    return project


@pytest.mark.parametrize(("form", "name"), [("tasks.json", "tasks.json"), ("beads", "issues.jsonl")])
def test_an_export_is_imported_as_the_same_board(worked: Project, tmp_path: Path, form: str, name: str) -> None:
    out = worked("task", "export", "--format", form)[1]
    assert worked.data("task", "export", "--format", form)["content"] == out
    (tmp_path / name).write_text(out)
    reading = read_source(str(tmp_path / name))
    found: dict[str, Any] = {task.definition.task: task for task in reading.tasks}
    states = {"1": "held", "2": "open", "3": "cancelled", "four": "open"}
    assert ({task: item.state for task, item in found.items()}, reading.refused) == (states, [])
    first, second = found["1"].definition, found["2"].definition
    assert (first.title, first.raw["description"], first.raw["priority"]) == ("First é", "=SUM(A1)", "critical")
    assert [(step.step, step.title, step.done) for step in first.steps] == [("1.1", "a", True), ("1.2", "b", False)]
    assert (first.dependencies, second.dependencies, second.raw["priority"]) == ([], ["1"], "lowest")


@pytest.mark.parametrize("form", FORMATS)
def test_an_unchanged_board_is_exported_the_same_at_any_time(worked: Project, form: str) -> None:
    tasks, _ = gather(worked.queue)
    today, tomorrow = (export(tasks, form, moment) for moment in ("2030-01-01T00:00:00Z", "2030-01-02T00:00:00Z"))
    assert today == tomorrow
    assert "2030-01-0" not in today
