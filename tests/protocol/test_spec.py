"""The specification is true: its examples, tables and clauses are held equal to the code and to the tests."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from support import crashes
from support.worlds import World

from peercoord.core import ids, limits, names
from peercoord.roles import root as roots
from protocol import coverage, document, sequences

PAGES = sorted(
    path for path in document.PROTOCOL.rglob("*.md") if not {"__pycache__", "node_modules"} & set(path.parts)
)


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
        assert numbers == list(range(1, len(numbers) + 1)), family
    listed = [family for row in document.table("**How to read it.**") for family in row[1].split(", ")]
    assert sorted(families) == sorted(listed)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(document.PROTOCOL)))
def test_every_clause_that_a_page_names_exists(path: Path) -> None:
    known = set(document.clauses())
    text = re.sub(r"SHA-\d+|UTF-\d+|ISO-\d+|RFC-\d+", "", path.read_text(encoding="utf-8"))
    assert set(document.CLAUSE.findall(text)) <= known


@pytest.mark.parametrize("part", ["protocol", "examples", "tests"])
def test_every_clause_that_any_source_names_exists(part: str) -> None:
    known = set(document.clauses())
    families = {clause.partition("-")[0] for clause in known}
    for path in (document.REPOSITORY / part).rglob("*"):
        if path.suffix in (".py", ".sh", ".tla", ".cfg", ".toml", ".md", ".json") and path.is_file():
            named = set(document.CLAUSE.findall(path.read_text(encoding="utf-8", errors="replace")))
            assert {mark for mark in named if mark.partition("-")[0] in families} <= known, path


def test_every_clause_that_a_test_names_exists() -> None:
    known = set(document.clauses())
    assert set(coverage.by_tests()) <= known
    assert set(coverage.by_vectors()) <= known


def test_every_clause_is_held_by_a_test_or_a_vector() -> None:
    held = coverage.by_tests().keys() | coverage.by_vectors().keys()
    assert [clause for clause in document.clauses() if clause not in held] == []


def test_the_table_of_coverage_is_what_the_tests_say() -> None:
    assert coverage.TABLE.read_text(encoding="utf-8") == coverage.page(), "run: python tests/protocol/coverage.py"


def test_every_test_that_clauses_toml_names_exists() -> None:
    for clause, nodes in coverage.mapped().items():
        for node in nodes:
            name, _, function = node.partition("::")
            path = document.REPOSITORY / "tests" / name
            assert path.is_file(), f"{clause}: {node}"
            assert function in coverage.test_functions(path), f"{clause}: {node}"


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
    assert block.split() == list(names.SKELETON)
    world = World.new()
    assert set(block.split()) == world.disk.folders()  # type: ignore[attr-defined]
    assert set(world.disk.files()) == {"protocol.json", "queue/leader/leader~0"}  # type: ignore[attr-defined]


def test_the_root_is_built_aside_and_never_over_another(tmp_path: Path) -> None:
    """LAY-2: of two set-ups at once, the second uses what is there; and it finds it, on every later call."""
    place = str(tmp_path / names.ROOT)
    first = roots.create(place, "p")
    assert roots.create(place, "q").store_id == first.store_id
    other = roots.Files(roots.Disk(str(tmp_path)), lambda: "staged")
    roots.build(other, "staged", first.protocol)
    with pytest.raises(roots.StorageError):
        other.move("staged", names.ROOT)
    assert roots.open_root(place, first.store_id).store_id == first.store_id
    assert sorted(path.name for path in tmp_path.iterdir()) == [names.ROOT, "staged"]


def test_what_a_set_up_that_crashed_left_is_cleared_away_once_it_is_old(tmp_path: Path) -> None:
    """LAY-2: by the next set-up; not what may be another one at work, nor what somebody put there."""
    door = roots.Files(roots.Disk(str(tmp_path)), lambda: "staged")
    hour = roots.LEFT_SECONDS + 60
    for token, age in (("oldoldoldold", hour), ("newnewnewnew", 0), ("copycopycopy", hour), ("notes.bak", hour)):
        staged = tmp_path / f"{names.ROOT}.{token}"
        roots.build(door, staged.name, {})
        if token.startswith("copy"):
            (staged / names.BIRTHS / "a1").mkdir()
        os.utime(staged, (staged.stat().st_mtime - age,) * 2)
    roots.create(str(tmp_path / names.ROOT), "p")
    left = {path.name.removeprefix(names.ROOT) for path in tmp_path.iterdir()}
    assert left == {"", ".newnewnewnew", ".copycopycopy", ".notes.bak"}
    assert (tmp_path / f"{names.ROOT}.copycopycopy" / names.PROTOCOL).exists()


def test_the_reasons_to_park() -> None:
    """LAY-4."""
    assert [document.code(row[0]) for row in document.table("why a ticket is set aside:")] == list(names.PARKED_WHY)


def test_the_outcomes() -> None:
    """END-3."""
    rows = document.table("what the next holder is told.")
    assert [document.code(row[0]) for row in rows] == list(names.OUTCOMES)
    assert {document.code(row[0]) for row in rows if row[2] == "yes"} == {"failed", "evicted"}


def test_the_levels() -> None:
    """NAM-7."""
    said = re.search(r"`<level>` is ((?:\d \(\w+\)[, or]*)+)", " ".join(document.SPEC.split()))
    assert said
    assert re.findall(r"\d \((\w+)\)", said[1]) == list(names.PRIORITIES)


def test_the_limits() -> None:
    """LIM-1."""
    said = {document.code(row[0]): int(row[1]) for row in document.table("**LIM-1** Fixed")}
    fixed = {key: value for key, value in vars(limits).items() if key.isupper() and isinstance(value, int)}
    del fixed["PROTOCOL_VERSION"]
    assert said == {**fixed, "ID_MAX": ids.ID_MAX}


def test_the_settings() -> None:
    """LIM-2."""
    rows = document.table("**LIM-2** Shared")
    assert {document.code(row[0]): document.code(row[1]) for row in rows} == {
        key: str(value) for key, value in limits.DEFAULT_SETTINGS.items()
    }


def test_a_setting_that_is_unusable_counts_as_its_default() -> None:
    """LIM-2, LIM-3."""
    world = World.new()
    for bad in (None, 0, -5, "300", 1.5, True, []):
        world.root.protocol = {**world.protocol, "settings": {"max_attempts": bad}}
        assert world.root.number("max_attempts") == limits.DEFAULT_SETTINGS["max_attempts"]
    world.root.protocol = {**world.protocol, "settings": {"max_attempts": 7}}
    assert world.root.number("max_attempts") == 7


# -- the crash table ---------------------------------------------------------------------------------------------


def test_the_crash_table_is_what_a_crash_before_each_step_comes_to() -> None:
    """CRA-1, CRA-2, INV-1, INV-4, INV-9: found by crashing there, and letting the others repair it."""
    said = [(row[0], document.code(row[1]), row[3]) for row in document.table(sequences.TABLE)]
    assert said == sequences.rows(), "run: python tests/protocol/sequences.py, and say who goes on"


def test_no_step_that_the_crash_tests_know_is_missing_from_the_crash_table() -> None:
    """CRA-1: by the kind of the call, and where it works. That a directory is made first is said by OPS-3."""

    def kind(call: str) -> str:
        return re.sub(r"<[^>]*>", "<>", call.replace(" → ", " "))

    said = {kind(document.code(row[1])) for row in document.table(sequences.TABLE)}
    known = {(row.call, row.path) for row in crashes.crash_table() if row.mode == "after" and row.call != "mkdir"}
    unseen = ("tmp/", *sequences.NOTES)
    steps = {kind(f"{call} {path}") for call, path in known if not path.rpartition(" → ")[2].startswith(unseen)}
    assert steps - said == set()


def test_every_row_of_the_crash_table_says_who_goes_on() -> None:
    """CRA-1."""
    assert [row[0] for row in document.table(sequences.TABLE) if len(row[2]) < 10] == []


# -- decisions, words --------------------------------------------------------------------------------------------


def test_every_decision_is_listed_and_says_what_the_template_asks() -> None:
    folder = document.PROTOCOL / "decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    pages = sorted(path.name for path in folder.glob("[0-9]*.md"))
    assert [name.partition("-")[0] for name in pages] == [f"{number:04d}" for number in range(len(pages))]
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
