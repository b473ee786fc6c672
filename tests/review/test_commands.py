"""The commands of a person: list, show, approve, reject, edit, undo. Each answer is what its schema says."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from protocol.test_layout import SHARED, check_tree, layout
from review.conftest import Scene
from review.terminal import Program

from peercoord.system import process

Person = Callable[..., tuple[int, Any]]
Open = Callable[..., Program]


def test_list_shows_everything_that_waits(scene: Scene, person: Person) -> None:
    assert person("list", "--check") == (0, {"waiting": [], "missing": [], "foreign": [], "recent": []})
    assert "nothing waits for a person" in scene.project("review", at=scene.main)[1]
    entry = scene.merged()
    scene.tech.write_text(scene.text.replace("- rust too\n", "") + "\nBy hand.\n")
    ident, critical = scene.clash(), scene.critical()
    code, out, _ = scene.project("review", "list", at=scene.main)
    assert (code, "2 changes wait for a person:" in out) == (0, True)
    assert f"peercoord review approve {ident} --take left|right|both" in out
    for shown in (ident, critical, entry, "changed by no one known: techContext.md"):
        assert shown in out
    code, data = person("list", "--check")
    assert (code, {one["id"] for one in data["waiting"]}) == (5, {ident, critical})
    assert (data["missing"], len(data["foreign"])) == ([], 1)


def test_show_fits_the_window(scene: Scene, person: Person, review: Open) -> None:
    ident = scene.clash()
    shown = review("show", ident, columns=60).end()[1]
    assert ("proposed" in shown, max(map(len, shown.splitlines())) <= 60) == (True, True)
    assert person("show", ident)[1]["takes"]["left"].split("\n")[0] == "Sessions expire after 30 minutes."


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("--as Eve approve {}", "Eve"),
        ("approve {} --as Ada", "Ada"),
        ("--as Eve reject {} --reason no --as Ada", "Ada"),
        ("--as Eve reject {} --reason no", "Eve"),
    ],
)
@pytest.mark.usefixtures("person")
def test_the_name_stands_before_the_command_or_after_it(scene: Scene, words: str, name: str) -> None:
    ident = scene.critical()
    assert scene.project("review", *words.format(ident).split(), at=scene.main)[0] == 0
    decided = ident if "reject" in words else scene.bank.entries()[-1].id
    assert scene.bank.store.decision(decided)["by"] == name


def test_approve_takes_a_number_or_an_id_and_refuses_to_guess(scene: Scene, person: Person) -> None:
    ident = scene.clash()
    scene.numbers()
    code, error = person("approve", "1", "--as", "Ada")
    assert (code, error["code"], "--take left|right|both" in error["hint"]) == (2, "usage", True)
    code, data = person("approve", "1", "--take", "right", "--as", "Ada Lovelace")
    assert (code, data["id"], data["by"], data["action"]) == (0, ident, "Ada Lovelace", "approved")
    assert "after 60 minutes" in scene.text
    code, error = person("approve", ident, "--take", "left", "--as", "Ada")
    assert (code, error["code"]) == (3, "not-found")


def test_the_record_says_who_decided_and_from_where(
    scene: Scene, person: Person, review: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert review("approve", scene.critical()[:9]).end()[0] == 0
    made = scene.bank.entries()[-1]
    record = scene.bank.store.decision(made.id)
    assert (record["what"], record["by"], bool(made.by)) == ("approve", made.by, True)
    assert set(record["source"]) == {"host", "user", "tty", "pid", "program"}
    assert record["source"]["tty"].startswith("/dev/")
    monkeypatch.setattr(process, "terminal", lambda: "/dev/pts/7")
    with (scene.main / ".git" / "config").open("a") as config:
        config.write("[user]\n\tname = Grace Hopper\n")
    assert person("approve", scene.critical("- pylint"))[1]["by"] == "Grace Hopper", "git knows the name"


def test_reject_needs_a_reason_and_keeps_it(scene: Scene, person: Person) -> None:
    ident = scene.clash()
    assert person("reject", ident, "--as", "Ada")[0] == 2
    code, data = person("reject", ident, "--reason", "neither is measured", "--as", "Ada")
    assert (code, data["action"], data["entry"]) == (0, "rejected", None)
    assert (scene.bank.store.decision(ident)["reason"], scene.bank.waiting()) == ("neither is measured", [])


def test_undo_takes_one_merge_back_and_can_be_undone(scene: Scene, person: Person) -> None:
    before, entry, after = scene.text, scene.merged(), scene.text
    code, data = person("undo", entry[:10], "--as", "Ada")
    assert (code, data["id"], scene.text) == (0, entry, before)
    for ident, expected in ((entry, 4), (data["entry"], 0), ("4", 2), ("e-0000000000000000", 3)):
        assert person("undo", ident, "--as", "Ada")[0] == expected
    assert scene.text == after


def test_all_that_is_written_has_its_row_in_the_layout(scene: Scene, person: Person) -> None:
    scene.merged()
    ident, other = scene.clash(), scene.critical()
    scene.tech.write_text(scene.text.replace("- rust too\n", ""))
    assert person("list")[0] == 0
    assert person("approve", ident, "--take", "both", "--as", "Ada")[0] == 0
    assert person("reject", other, "--reason", "no", "--as", "Ada")[0] == 0
    assert check_tree(scene.project.state, layout(SHARED)) >= {"decision", "entry", "rejection"}


# -- the editor --------------------------------------------------------------------------------------------------


def editor(scene: Scene, body: str) -> dict[str, str]:
    """An editor: a shell script with a name that takes quoting; its words are those of a command line."""
    script = scene.main.parent / "my editor"
    script.write_text(f'#!/bin/sh\n[ "$1" = --wait ] || exit 9\nf="$2"\n{body}\n')
    script.chmod(0o755)
    return {"VISUAL": f"'{script}' --wait"}


def test_an_edited_text_is_approved(scene: Scene, review: Open) -> None:
    scene.clash()
    person = review(env=editor(scene, "printf 'Sessions never expire; $HOME `id`.\\r\\n' > \"$f\""))
    person.asked()
    person.type("e")
    assert "approved (edited)" in person.end()[1]
    assert ("Sessions never expire; $HOME `id`.\n" in scene.text, "20 minutes" in scene.text) == (True, False)


@pytest.mark.parametrize(("typed", "left"), [("n", 1), ("y", 0)])
def test_an_emptied_text_is_asked_about(scene: Scene, review: Open, typed: str, left: int) -> None:
    person = review("edit", scene.clash(), env=editor(scene, ': > "$f"'))
    person.asked("Empty the section? [y/N]")
    person.type(typed)
    assert person.end()[0] == 0
    assert (len(scene.bank.waiting()), "Sessions" in scene.text) == (left, bool(left))


def test_left_conflict_markers_are_refused_and_the_text_is_kept(scene: Scene, review: Open) -> None:
    person = review("edit", scene.clash(), env=editor(scene, "echo 'my hour of work' >> \"$f\""), columns=2000)
    person.asked("Edit it again? [y/N]")
    person.type("n")
    code, said = person.end()
    kept = re.search(r"your text is kept in (\S+)", said)
    assert kept
    assert (code, len(scene.bank.waiting()), "my hour of work" in Path(kept[1]).read_text()) == (2, 1, True)


@pytest.mark.parametrize(
    ("command", "code", "error"),
    [
        ("true", 0, None),  # it changes nothing: the conflict stays pending
        ("echo changed > $f; exit 3", 1, "failed"),
        ("/no/such/editor", 3, "no-editor"),
        ("vi 'open quote", 2, "usage"),
    ],
)
def test_an_editor_that_changes_nothing_or_fails_decides_nothing(
    scene: Scene, person: Person, monkeypatch: pytest.MonkeyPatch, command: str, code: int, error: str | None
) -> None:
    script = editor(scene, command)["VISUAL"] if error in (None, "failed") else command
    monkeypatch.setenv("VISUAL", script)
    found, data = person("edit", scene.clash(), "--as", "Ada")
    assert (found, data.get("code"), len(scene.bank.waiting())) == (code, error, 1)
    assert "your text is kept in " in data["message"] if error else data["action"] == "pending"
