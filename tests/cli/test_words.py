"""What is typed is understood, or refused with what to type."""

from __future__ import annotations

import json
from collections.abc import Iterator

import click
import pytest
from support.project import Project

from peercoord.cli import main


def commands(command: click.Command, name: str) -> Iterator[tuple[str, str]]:
    """Give the help of a command and of all below it, as click writes it on a terminal of 80 columns."""
    context = click.Context(command, info_name=name, terminal_width=78)
    yield name, command.get_help(context)
    if isinstance(command, click.Group):
        for word in command.list_commands(context):
            below = command.get_command(context, word)
            assert below
            yield from commands(below, f"{name} {word}")


def test_every_one_line_help_fits_its_line() -> None:
    cut = [
        f"{name}: {line}"
        for top, name in ((main.cli, "peercoord"), (main.coordinate_sh, "coordinate.sh"))
        for name, text in commands(top, name)
        for line in text.splitlines()
        if line.endswith("...") and not line.startswith("Usage:")
    ]
    assert cut == []


@pytest.mark.parametrize("words", [[], ["-q"], ["task"], ["memory"], ["-C", "/tmp", "agent"]])
def test_a_command_without_its_subcommand_prints_its_usage_once(words: list[str]) -> None:
    code, out, err = main.serve(words)
    said = (out + err).decode()
    assert (code, said.count("Usage:"), "Missing" in said) == (2, 1, False)
    assert said.startswith("Usage: peercoord")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("start", "up"),
        ("stop", "down"),
        ("strat", "up"),
        ("add", "task add"),
        ("ls", "task list"),
        ("stauts", "status"),
    ],
)
def test_a_word_that_people_try_suggests_the_command(typed: str, meant: str) -> None:
    code, _, err = main.serve([typed])
    assert (code, f"Did you mean '{meant}'?" in err.decode()) == (2, True)


class TestTheScript:
    """``coordinate.sh`` names its own verbs, not the commands they stand for."""

    @staticmethod
    def said(*words: str) -> str:
        _, out, err = main.serve(list(words), name=main.COORDINATE, command=main.coordinate_sh)
        return (out + err).decode()

    def test_its_help_lists_the_verbs(self, capsys: pytest.CaptureFixture[str]) -> None:
        main.serve(["--help"], name=main.COORDINATE, command=main.coordinate_sh)
        said = capsys.readouterr().out
        assert said.startswith("Usage: coordinate.sh [OPTIONS] VERB [ARGS]...")
        assert all(f"\n  {verb}" in said for verb in (*main.VERBS, "release"))
        assert not any(f"\n  {word} " in said for word in ("up", "task", "agent"))

    def test_without_a_verb_it_prints_its_usage(self) -> None:
        assert self.said("-C", "/tmp").count("Usage: coordinate.sh") == 1

    @pytest.mark.parametrize("verb", [*main.VERBS, "release"])
    def test_an_error_of_usage_names_the_verb(self, verb: str) -> None:
        assert f"Usage: coordinate.sh {verb} " in self.said(verb, "--no-such-option")

    @pytest.mark.parametrize(
        ("typed", "meant"),
        [
            ("report", ""),
            ("done", "report-progress --status done"),
            ("next", "request-task"),
            ("request_task", "request-task"),
            ("start", ""),
        ],
    )
    def test_another_word_suggests_a_verb(self, typed: str, meant: str) -> None:
        said = self.said(typed, "--no-such-option")
        assert ("Did you mean" in said) == bool(meant)
        assert f"'{meant}'" in said or not meant


@pytest.mark.parametrize(
    ("words", "progress"), [("50%", 0.5), ("50 %", 0.5), ("0.5", 0.5), ("100%", 1.0), ("0", 0.0), ("1", 1.0)]
)
def test_progress_may_be_a_percentage(project: Project, words: str, progress: float) -> None:
    project("task", "add", "t")
    project("request")
    assert project.data("report", "--progress", words)["progress"] == progress


@pytest.mark.parametrize("words", ["50", "half", "-1", "150%", "nan", "%"])
def test_another_progress_is_refused_with_what_to_type(project: Project, words: str) -> None:
    project("task", "add", "t")
    project("request")
    code, _, err = project("report", "--progress", words)
    assert (code, err.endswith("hint: write 0.7 or 70%\n")) == (2, True)


@pytest.mark.parametrize(("word", "status"), [("completed", "done"), ("Done", "done"), ("in review", "review")])
def test_a_status_may_be_said_in_other_words(project: Project, word: str, status: str) -> None:
    project("task", "add", "t")
    project("request")
    assert project.data("report", "--status", word)["status"] == status


@pytest.mark.parametrize("word", ["in_progress", "in-progress", "started", "doing"])
def test_a_status_in_other_words_may_mean_in_progress(project: Project, word: str) -> None:
    project("task", "add", "t")
    project("request")
    assert project.data("report", "--status", word, "--progress", "0.2")["status"] == "in-progress"
    assert [t["task_id"] for t in project.data("task", "list", "--status", word)["tasks"]] == [1]


def test_a_status_that_means_giving_back_names_the_command(project: Project) -> None:
    project("task", "add", "t")
    project("request")
    code, _, err = project("report", "--status", "pending")
    assert (code, "release TASK" in err) == (2, True)
    code, _, err = project("report", "--status", "banana")
    assert (code, "one of in-progress, done, blocked, review, failed" in err) == (2, True)


@pytest.mark.parametrize(("status", "outcome"), [("completed", "done"), ("Done", "done")])
def test_the_progress_file_takes_the_same_words(project: Project, status: str, outcome: str) -> None:
    project("task", "add", "t")
    project("request")
    path = project.worktree / ".claude-instance" / "progress.json"
    said = json.loads(path.read_text())
    said["assigned_tasks"][0] |= {"progress": "40%", "status": "in_progress"}
    path.write_text(json.dumps(said))
    assert project.data("check")["assigned_tasks"][0]["progress"] == 0.4
    said = json.loads(path.read_text())
    said["assigned_tasks"][0]["status"] = status
    path.write_text(json.dumps(said))
    project("check")
    assert project.data("task", "show", "1")["state"] == outcome


@pytest.mark.parametrize("title", ["-v is broken", "--verbose is broken", "-x"])
def test_a_title_that_begins_with_a_dash_says_what_to_type(project: Project, title: str) -> None:
    code, _, err = project("task", "add", title)
    shown = title if title == "-x" else f"'{title}'"
    assert (code, f"peercoord task add -- {shown}\n" in err) == (2, True)
    project("task", "add", "--", title)
    assert project.data("task", "show", "1")["definition"]["title"] == title


def test_the_command_that_is_named_keeps_the_other_words(project: Project) -> None:
    err = project("task", "add", "-v is broken", "-p", "high")[2]
    assert "peercoord task add -p high -- '-v is broken'\n" in err
    project("task", "add", "-p", "high", "--", "-v is broken")
    assert project.data("task", "show", "1")["definition"]["priority"] == "high"


def test_an_option_that_is_misspelt_is_no_title(project: Project) -> None:
    code, _, err = project("task", "add", "t", "--prioritty", "high")
    assert (code, "after '--'" in err) == (2, False)
