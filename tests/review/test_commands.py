"""The commands, called in a person's terminal; each answer is what its schema says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from review.conftest import Scene
from review.terminal import Terminal

from protocol import document

Open = Callable[..., Terminal]


def answer(person: Terminal, *words: str) -> tuple[int, Any]:
    """Call with ``--json``; exit code, and the data or the error."""
    code, said = person(f"peercoord review {' '.join(words)} --json >out 2>err; code=$?; cat out; (exit $code)")
    found = json.loads(said[: said.rindex("}") + 1])
    document.valid("envelope", found)
    if "data" in found:
        document.valid(f"cli/review-{words[0]}", found["data"])
    return code, found.get("data", found.get("error"))


def test_list_shows_everything_that_lies_before_a_person(scene: Scene, terminal: Open) -> None:
    entry = scene.merged()
    scene.tech.write_text(scene.text.replace("- rust too\n", "") + "\nBy hand.\n")
    ident, critical = scene.clash(), scene.critical()
    code, out, _ = scene.project("review", "list", at=scene.main)
    assert code == 0
    assert "2 changes wait for a person:" in out
    assert f"#1  {ident}" in out or f"#2  {ident}" in out
    assert f"peercoord review approve {ident} --take left|right|both" in out
    assert critical in out
    assert "changed by no one known: techContext.md" in out
    assert entry in out
    data = scene.project.data("review", "list", at=scene.main)
    document.valid("cli/review-list", data)
    assert {one["id"] for one in data["waiting"]} == {ident, critical}
    assert data["missing"] == []
    assert len(data["foreign"]) == 1
    assert scene.project("review", "list", "--check", at=scene.main)[0] == 5


def test_an_empty_list_says_so_and_nothing_is_asked(scene: Scene, terminal: Open) -> None:
    person = terminal()
    assert "nothing waits for a person" in person("peercoord review")[1]
    assert answer(person, "list", "--check") == (0, {"waiting": [], "missing": [], "foreign": [], "recent": []})


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("--as Eve approve {}", "Eve"),
        ("approve {} --as Ada", "Ada"),
        ("--as Eve reject {} --reason no --as Ada", "Ada"),
        ("--as Eve reject {} --reason no", "Eve"),
    ],
)
def test_who_decides_is_named_before_the_command_or_after_it(
    scene: Scene, terminal: Open, words: str, name: str
) -> None:
    ident = scene.critical()
    person = terminal()
    assert person("peercoord review --as Eve list")[0] == 0
    code, said = person(f"peercoord review {words.format(ident)} --json")
    assert (code, json.loads(said[said.index("{") : said.rindex("}") + 1])["data"]["by"]) == (0, name)


def test_approve_takes_what_is_named_by_number_or_id_and_refuses_to_guess(scene: Scene, terminal: Open) -> None:
    ident = scene.clash()
    person = terminal()
    scene.numbers()
    code, error = answer(person, "approve", "1")
    assert (code, error["code"]) == (2, "usage")
    assert "instance-1 and instance-2" in error["message"]
    assert "--take left|right|both" in error["hint"]
    code, data = answer(person, "approve", "1", "--take", "right", "--as", "'Ada Lovelace'")
    assert (code, data["id"], data["by"], data["action"]) == (0, ident, "Ada Lovelace", "approved")
    assert "after 60 minutes" in scene.text
    code, error = answer(person, "approve", ident, "--take", "left")
    assert (code, error["code"]) == (3, "not-found")


def test_the_record_says_who_decided_and_from_where(scene: Scene, terminal: Open) -> None:
    ident = scene.critical()
    person = terminal()
    assert answer(person, "approve", ident[:9], "--as", "Ada")[0] == 0
    made = scene.bank.entries()[-1]
    record = scene.bank.store.decision(made.id)
    assert (made.by, record["by"], record["what"]) == ("Ada", "Ada", "approve")
    assert set(record["source"]) == {"host", "user", "tty", "pid", "program"}
    assert record["source"]["tty"].startswith("/dev/")
    assert record["source"]["program"] == "sh"


def test_git_knows_the_name_and_else_the_system_does(scene: Scene, terminal: Open) -> None:
    person = terminal()
    first = scene.critical()
    login = answer(person, "approve", first)[1]["by"]
    assert login == person("id -un")[1].split("\n")[0]
    person("git config user.name 'Grace Hopper'")
    assert answer(person, "approve", scene.critical("- pylint"))[1]["by"] == "Grace Hopper"


def test_reject_wants_a_reason_and_keeps_it(scene: Scene, terminal: Open) -> None:
    ident = scene.clash()
    person = terminal()
    assert answer(person, "reject", ident)[0] == 2
    code, data = answer(person, "reject", ident, "--reason", "'neither is measured'")
    assert (code, data["action"], data["entry"]) == (0, "rejected", None)
    assert scene.bank.store.decision(ident)["reason"] == "neither is measured"
    assert scene.bank.waiting() == []


def test_undo_takes_one_merge_back_and_can_be_undone(scene: Scene, terminal: Open) -> None:
    before = scene.text
    entry = scene.merged()
    after = scene.text
    person = terminal()
    code, data = answer(person, "undo", entry[:10])
    assert (code, data["id"], scene.text) == (0, entry, before)
    assert answer(person, "undo", entry)[0] == 4
    assert answer(person, "undo", data["entry"])[0] == 0
    assert scene.text == after
    assert answer(person, "undo", "4")[0] == 2
    assert answer(person, "undo", "e-0000000000000000")[0] == 3


def test_show_says_it_all_in_the_width_there_is(scene: Scene, terminal: Open) -> None:
    ident = scene.clash()
    shown = terminal(columns=60)(f"peercoord review show {ident}")[1]
    assert "proposed" in shown
    assert max(len(line) for line in shown.splitlines()) <= 60
    code, data = answer(terminal(), "show", ident)
    assert (code, data["takes"]["left"].split("\n")[0]) == (0, "Sessions expire after 30 minutes.")


def test_all_that_is_written_has_its_row_in_the_layout(scene: Scene, terminal: Open) -> None:
    from protocol.test_schemas import SHARED, check_tree, layout

    scene.merged()
    ident, other = scene.clash(), scene.critical()
    scene.tech.write_text(scene.text.replace("- rust too\n", ""))
    person = terminal()
    assert answer(person, "list")[0] == 0
    assert answer(person, "approve", ident, "--take", "both")[0] == 0
    assert answer(person, "reject", other, "--reason", "no")[0] == 0
    assert {"candidate", "decision", "entry", "rejection"} - check_tree(scene.project.state, layout(SHARED)) == {
        "candidate"
    }


# -- the editor --------------------------------------------------------------------------------------------------


def editor(scene: Scene, body: str) -> dict[str, str]:
    """An editor: a shell script with a name that takes quoting; its words are those of a command line."""
    script = scene.main.parent / "my editor"
    script.write_text(f'#!/bin/sh\n[ "$1" = --wait ] || exit 9\nf="$2"\n{body}\n')
    script.chmod(0o755)
    return {"VISUAL": f"'{script}' --wait"}


def test_an_edited_text_is_approved(scene: Scene, terminal: Open) -> None:
    ident = scene.clash()
    person = terminal(env=editor(scene, "printf 'Sessions never expire; $HOME `id`.\\r\\n' > \"$f\""))
    code, data = answer(person, "edit", ident)
    assert (code, data["action"], data["detail"]) == (0, "approved", "edited")
    assert "Sessions never expire; $HOME `id`.\n" in scene.text
    assert "20 minutes" not in scene.text


def test_an_editor_that_changes_nothing_leaves_the_conflict_pending(scene: Scene, terminal: Open) -> None:
    ident = scene.clash()
    code, data = answer(terminal(env=editor(scene, "true")), "edit", ident)
    assert (code, data["action"], data["entry"]) == (0, "pending", None)
    assert len(scene.bank.waiting()) == 1


@pytest.mark.parametrize(("typed", "left"), [("n", 1), ("y", 0)])
def test_an_emptied_text_is_asked_about(scene: Scene, terminal: Open, typed: str, left: int) -> None:
    ident = scene.clash()
    person = terminal(env=editor(scene, ': > "$f"'))
    person.type(f"peercoord review edit {ident}\n")
    person.asked("Empty the section? [y/N]")
    person.type(typed)
    assert person.prompt()[0] == 0
    assert len(scene.bank.waiting()) == left
    assert ("Sessions" in scene.text) == bool(left)


def test_left_conflict_markers_are_refused_and_the_text_is_kept(scene: Scene, terminal: Open) -> None:
    ident = scene.clash()
    person = terminal(env=editor(scene, "echo 'my hour of work' >> \"$f\""), columns=2000)
    person.type(f"peercoord review edit {ident}\n")
    person.asked("Edit it again? [y/N]")
    person.type("n")
    code, said = person.prompt()
    kept = re.search(r"your text is kept in (\S+)", said)
    assert (code, len(scene.bank.waiting())) == (2, 1)
    assert kept
    with open(kept[1], encoding="utf-8") as handle:
        assert "my hour of work" in handle.read()


def test_an_editor_that_fails_decides_nothing(scene: Scene, terminal: Open) -> None:
    ident = scene.clash()
    code, error = answer(terminal(env=editor(scene, "echo changed > $f; exit 3")), "edit", ident)
    assert code == 1
    assert "Editing failed" in error["message"]
    assert "your text is kept in" in error["message"]
    for command, code in (("/no/such/editor", "no-editor"), ("vi '", "usage")):
        error = answer(terminal(env={"EDITOR": command}, columns=2000), "edit", ident)[1]
        assert (error["code"], "your text is kept in " in error["message"]) == (code, True)
    assert answer(terminal(env={"EDITOR": "vi 'open quote"}), "edit", ident)[0] == 2
    assert len(scene.bank.waiting()) == 1


def test_the_screen_edits_too(scene: Scene, terminal: Open) -> None:
    scene.clash()
    person = terminal(env=editor(scene, "echo 'Sessions expire after 45 minutes.' > \"$f\""))
    person.type("peercoord review\n")
    person.asked()
    person.type("e")
    assert "approved (edited)" in person.prompt()[1]
    assert "45 minutes" in scene.text
