"""What is typed is understood, or refused with what to type."""

from __future__ import annotations

import json
import shlex

import pytest
from support.project import Project

from peercoord.cli import main


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


def said_by_script(*words: str) -> str:
    """What ``coordinate.sh`` says: it names its own verbs, not the commands they stand for."""
    _, out, err = main.serve(list(words), name=main.COORDINATE, command=main.coordinate_sh)
    return (out + err).decode()


def test_the_script_names_its_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    said_by_script("--help")
    said = capsys.readouterr().out
    assert said.startswith("Usage: coordinate.sh [OPTIONS] VERB [ARGS]...")
    assert all(f"\n  {verb}" in said for verb in (*main.VERBS, "release"))
    assert not any(f"\n  {word} " in said for word in ("up", "task", "agent"))
    assert said_by_script("-C", "/tmp").count("Usage: coordinate.sh") == 1
    for verb in (*main.VERBS, "release"):
        assert f"Usage: coordinate.sh {verb} " in said_by_script(verb, "--no-such-option")


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
def test_another_word_for_the_script_suggests_a_verb(typed: str, meant: str) -> None:
    said = said_by_script(typed, "--no-such-option")
    assert ("Did you mean" in said, f"'{meant}'" in said) == (bool(meant), bool(meant))


def test_an_unknown_word_names_the_verbs_to_programs_too_and_other_mistakes_do_not() -> None:
    _, out, _ = main.serve(["foo", "--json"])
    assert "request-task | report-progress" in json.loads(out)["error"]["hint"]
    assert b"hint" not in main.serve(["task", "show"])[2]


def test_progress_may_be_a_percentage_and_anything_else_is_refused_with_what_to_type(busy: Project) -> None:
    for word, share in (("50%", 0.5), ("50 %", 0.5), ("0.5", 0.5), ("100%", 1.0), ("0", 0.0), ("1", 1.0)):
        assert busy.data("report", "--progress", word)["progress"] == share, word
    for word in ("50", "half", "-1", "-0.1", "1.5", "150%", "nan", "inf", "%"):
        code, _, err = busy("report", "--progress", word)
        assert (code, err.endswith("hint: write 0.7 or 70%\n")) == (2, True), word
    assert busy.data("check")["assigned_tasks"][0]["progress"] == 1.0


@pytest.mark.parametrize(("word", "status"), [("completed", "done"), ("Done", "done"), ("in review", "review")])
def test_a_status_may_be_said_in_other_words(busy: Project, word: str, status: str) -> None:
    for other in ("in_progress", "in-progress", "started", "doing"):
        assert busy.data("report", "--status", other, "--progress", "0.2")["status"] == "in-progress"
        assert [t["task_id"] for t in busy.data("task", "list", "--status", other)["tasks"]] == [1]
    for unknown, hint in (("pending", "release TASK"), ("banana", "one of in-progress, done, blocked, review, failed")):
        code, _, err = busy("report", "--status", unknown)
        assert (code, hint in err) == (2, True)
    assert busy.data("report", "--status", word)["status"] == status


@pytest.mark.parametrize("option", ["-q", "--quiet", "-C"])
def test_an_option_of_peercoord_after_the_command_says_where_it_goes(project: Project, option: str) -> None:
    code, _, err = project("task", "add", "Docs", option)
    assert (code, f"hint: it goes before the command: peercoord {option} …" in err) == (2, True)


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["-v is broken"], "-- '-v is broken'"),
        (["--verbose is broken"], "-- '--verbose is broken'"),
        (["-x"], "-- -x"),
        (["-v is broken", "-p", "high"], "-p high -- '-v is broken'"),
    ],
)
def test_a_title_that_begins_with_a_dash_says_what_to_type(project: Project, words: list[str], shown: str) -> None:
    code, _, err = project("task", "add", *words)
    assert (code, f"peercoord task add {shown}\n" in err) == (2, True)
    project("task", "add", *shlex.split(shown))
    assert project.data("task", "show", "1")["definition"]["title"] == words[0]
    code, _, err = project("task", "add", "t", "--prioritty", "high")
    assert (code, "after '--'" in err) == (2, False), "an option that is misspelt is no title"
