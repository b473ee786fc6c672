"""The specification is true: its examples, tables and clauses are held equal to the code and to the tests."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from support.worlds import World

from peercoord.store import ids, paths, settings
from peercoord.store import root as roots
from peercoord.system import disk
from protocol import document, sequences

PAGES = sorted(
    path for path in document.PROTOCOL.rglob("*.md") if not {"__pycache__", "node_modules"} & set(path.parts)
)

DEFINITIONS = {"EVI-3", "LIM-3"}
"""Clauses that define a word or state a fact, and bind no program by themselves."""


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as they are made where it is shown."""
    titles = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


# -- clauses -----------------------------------------------------------------------------------------------------


def test_every_clause_has_one_place_and_each_family_counts_from_one() -> None:
    found = document.clauses()
    assert len(found) == len(set(found))
    families: dict[str, list[int]] = {}
    for clause in found:
        family, number = clause.split("-")
        families.setdefault(family, []).append(int(number))
    for family, numbers in families.items():
        assert sorted(numbers) == list(range(1, len(numbers) + 1)), family
    headed = re.findall(r"^## \d+ .* \(([A-Z, ]+)\)$", document.PAGES["spec"], re.MULTILINE)
    assert set(families) == {"MEM", "BOX", *(family for heading in headed for family in heading.split(", "))}


def test_every_clause_says_in_capitals_whether_it_binds() -> None:
    """A row of a table binds as its page says; the rest has a keyword, or defines a word."""
    rows = {"ASM", "INV", "ORD"}
    silent = {
        clause
        for clause, text in document.texts().items()
        if clause[:3] not in rows and not re.search(r"\b(MUST|SHOULD|MAY)\b", text)
    }
    assert silent == DEFINITIONS


@pytest.mark.parametrize("part", ["protocol", "examples", "tests", "peercoord"])
def test_every_clause_that_any_source_names_exists(part: str) -> None:
    known = set(document.clauses())
    families = {clause.partition("-")[0] for clause in known}
    for path in (document.REPOSITORY / part).rglob("*"):
        if path.suffix in (".py", ".sh", ".tla", ".cfg", ".toml", ".md", ".json") and path.is_file():
            named = set(document.CLAUSE.findall(path.read_text(encoding="utf-8", errors="replace")))
            assert {mark for mark in named if mark.partition("-")[0] in families} <= known, path


# -- examples and links ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(document.PROTOCOL)))
def test_every_json_of_a_page_is_valid_by_the_schema_it_names(path: Path) -> None:
    """FMT-2."""
    for name, text in document.fences(path.read_text(encoding="utf-8")):
        assert name, f"no schema is named above {text[:60]!r}"
        document.valid(name, json.loads(text))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(document.PROTOCOL)))
def test_every_link_of_a_page_leads_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        place, _, anchor = link.partition("#")
        assert ":" not in place, f"{link}: the protocol names no network host"
        target = (path.parent / place) if place else path
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), link


# -- tables ------------------------------------------------------------------------------------------------------


def test_the_directories_of_set_up() -> None:
    """LAY-2: root built whole."""
    block = document.SPEC.split("```text\n")[1].split("```")[0]
    assert block.split() == list(paths.SKELETON)
    world = World.new()
    assert set(block.split()) == world.disk.folders()  # type: ignore[attr-defined]
    assert set(world.disk.files()) == {"protocol.json", "queue/leader/leader~0"}  # type: ignore[attr-defined]


def test_a_page_in_the_root_explains_every_entry(tmp_path: Path) -> None:
    """Set-up makes it, repair makes it again, and a person's own stays."""
    files = roots.create(str(tmp_path / paths.ROOT), "p").files
    page = (files.read(paths.README) or b"").decode()
    rows = document.table("`<shard>` two hexadecimal digits.")
    entries = {document.code(row[0]).split("/")[0] for row in rows}
    assert {entry for entry in entries - {paths.README, ".gitignore"} if f"`{entry}" not in page} == set()
    assert not roots.explain(files)
    for gone in (lambda: files.remove(paths.README), lambda: files.put(paths.README, b"")):
        gone()
        assert roots.explain(files)
        assert (files.read(paths.README) or b"").decode() == page
    files.put(paths.README, b"a person's own")
    assert not roots.explain(files)


def test_old_remains_of_a_crashed_set_up_are_removed(tmp_path: Path) -> None:
    """LAY-2: by the next set-up; not what may be another one at work, nor what somebody put there."""
    door = roots.Files(roots.Disk(str(tmp_path)), lambda: "staged")
    hour = roots.LEFT_SECONDS + 60
    for token, age in (("oldoldoldold", hour), ("newnewnewnew", 0), ("copycopycopy", hour), ("notes.bak", hour)):
        staged = tmp_path / f"{paths.ROOT}.{token}"
        roots.build(door, staged.name, {})
        if token.startswith("copy"):
            (staged / paths.BIRTHS / "a1").mkdir()
        os.utime(staged, (staged.stat().st_mtime - age,) * 2)
    roots.create(str(tmp_path / paths.ROOT), "p")
    left = {path.name.removeprefix(paths.ROOT) for path in tmp_path.iterdir()}
    assert left == {"", ".newnewnewnew", ".copycopycopy", ".notes.bak"}
    assert (tmp_path / f"{paths.ROOT}.copycopycopy" / paths.PROTOCOL).exists()


def test_the_reasons_to_park() -> None:
    """LAY-4."""
    assert [document.code(row[0]) for row in document.table("why a ticket is set aside:")] == list(paths.PARKED_WHY)


def test_the_outcomes() -> None:
    """END-3."""
    rows = document.table("The outcomes:")
    assert [document.code(row[0]) for row in rows] == list(paths.OUTCOMES)
    assert {document.code(row[0]) for row in rows if row[2] == "yes"} == {"failed", "evicted"}


def test_the_levels() -> None:
    """NAM-7."""
    said = re.search(r"`<level>` is ((?:\d \(\w+\)[, or]*)+)", " ".join(document.SPEC.split()))
    assert said
    assert re.findall(r"\d \((\w+)\)", said[1]) == list(paths.PRIORITIES)


def test_the_limits() -> None:
    """LIM-1: in its table, in the schemas, in the clauses and the grammar."""
    fixed = {key: value for key, value in vars(settings).items() if key.isupper() and type(value) is int}
    said = {document.code(row[0]): int(row[1]) for row in document.table("**LIM-1** Fixed")}
    keys = document.schema("definition")["properties"]
    said |= {"TITLE_CHARS": keys["title"]["maxLength"], "TEXT_CHARS": keys["description"]["maxLength"]}
    said |= {"STEPS_MOST": keys["subtasks"]["maxItems"], "DEPENDENCIES_MOST": keys["dependencies"]["maxItems"]}
    notes = document.schema("report")["$defs"]["notes"]
    assert (notes["maxItems"], notes["items"]["maxLength"]) == (said["NOTES_MOST"], said["NOTE_CHARS"])
    texts = {clause: " ".join(text.split()).replace(",", "") for clause, text in document.texts().items()}
    places = {"RECORD_BYTES": "FMT-1", "EVENTS_BYTES": "FMT-8", "READY_BLOCK": "NAM-7", "DOCUMENT_BYTES": "MEM-2"}
    for name, clause in places.items():
        assert re.search(rf"\b{fixed[name]}\b", texts[clause]), name
        said[name] = fixed[name]
    assert f"MUST take {settings.NESTING_MOST} levels" in document.SPEC
    assert f"the newest {settings.BACKUPS_MOST} (`BACKUPS_MOST`)" in document.SPEC
    assert f"[1-9][0-9]{{0,{settings.EPOCH_DIGITS - 1}}}" in document.SPEC
    assert f"[A-Za-z0-9._-]{{0,{ids.ID_MAX - 1}}}" in document.SPEC
    assert fixed.keys() - said.keys() == {"PROTOCOL_VERSION", "NESTING_MOST", "BACKUPS_MOST", "EPOCH_DIGITS"}
    assert {name: fixed[name] for name in said} == said


def test_the_settings() -> None:
    """LIM-2."""
    keys = document.schema("protocol")["properties"]["settings"]["properties"]
    assert {key: value["default"] for key, value in keys.items()} == settings.DEFAULT_SETTINGS


def test_the_filesystems_that_are_one_machines_alone() -> None:
    """LIV-3."""
    page = (document.PROTOCOL / "platforms.md").read_text(encoding="utf-8")
    said = page.partition("*The root may be reached from other machines* (**LIV-3**)")[2].partition("\n\n")[0]
    assert set(re.findall(r"`([a-z0-9]+)`", said)) == disk._LOCAL


# -- the crash table ---------------------------------------------------------------------------------------------


def test_the_crash_table_has_every_step_once() -> None:
    """CRA-1, CRA-2, INV-1, INV-4, INV-9: what each says of call and end is run as a vector."""
    run = "run: python tests/protocol/sequences.py, and say in the notes who goes on"
    assert [vector["description"] for vector in sequences.table()] == list(sequences.rows()), run
    assert sequences.TABLE.read_text(encoding="utf-8") == sequences.rewritten(), run


def test_every_row_of_the_crash_table_says_who_goes_on() -> None:
    """CRA-1."""
    assert [vector["description"] for vector in sequences.table() if len(vector.get("note", "")) < 10] == []


# -- decisions, words --------------------------------------------------------------------------------------------


def test_every_decision_is_listed_and_says_what_the_template_asks() -> None:
    folder = document.PROTOCOL / "decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    pages = sorted(path.name for path in folder.glob("[0-9]*.md"))
    numbers = [name.partition("-")[0] for name in pages]
    assert numbers == sorted(set(numbers))
    wanted = re.findall(r"^## .*", (folder / pages[0]).read_text(encoding="utf-8"), re.MULTILINE)
    for name in pages[1:]:
        text = (folder / name).read_text(encoding="utf-8")
        assert re.findall(r"^## .*", text, re.MULTILINE) == wanted, name
        title = text.splitlines()[0].removeprefix("# ")
        assert f"]({name}) | {title} |" in index, name


def test_every_word_of_the_glossary_stands_there_once() -> None:
    text = (document.PROTOCOL / "glossary.md").read_text(encoding="utf-8")
    rows = document.table("is not used for it.", text)
    words = [word for row in rows for word in re.findall(r"\*([^*]+)\*", row[0])]
    assert len(words) == len(set(words))
    for word in ("peer", "agent", "session", "ticket", "claim", "epoch", "incarnation", "term", "heartbeat"):
        assert word in words
    for word in ("observation", "verdict", "evict", "contribution", "candidate", "view"):
        assert word in words
