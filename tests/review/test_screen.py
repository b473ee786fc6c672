"""What is drawn: the same facts at every width, nothing wider than the window, no text of an author but print."""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
from memory.helpers import TECH, change, note
from rich.cells import cell_len
from rich.console import Console

from peercoord.memory import merge, outcome
from peercoord.memory.contribution import Contribution
from peercoord.memory.document import split_document
from peercoord.memory.store import Waiting
from peercoord.memory.textmerge import merger
from peercoord.review import diff, items, screen
from peercoord.review.items import Item, ItemSide

NOW = "2026-01-01T09:00:00Z"
OLD = "Sessions expire after 20 minutes.\nUploads are at most 5 MB.\nNames are unique."


def view(*given: Contribution, of: bytes = TECH) -> Item:
    """What is shown of the first candidate that a merge of these gives."""
    bases = {section.hash: section.core for section in split_document(of).sections}
    with merger() as merge3:
        found = merge.merge("techContext.md", of, given, bases, merge3)
    known = {one.id: one for one in given}
    return items.item_of(Waiting(found.candidates[0], NOW, "candidates"), 4, known.get, NOW, 30)


@cache
def clash(left: str, right: str) -> Item:
    return view(change(left, peer="instance-1", time=1), change(right, peer="instance-2", time=2))


def long(last: str) -> str:
    return "\n".join([f"- line {number} of {last}" for number in range(200)])


WIDE = clash(OLD.replace("20", "日本語の三十"), OLD.replace("20", "🙂" * 40 + "ŷ" * 300))


def lines(shown: Item, width: int, height: int | None = None, place: str = "") -> list[str]:
    """What is drawn, line by line, without colours."""
    console = Console(width=width, color_system=None, highlight=False, markup=False, emoji=False)
    with console.capture() as captured:
        console.print(screen.draw(shown, width, height, place))
    return [line.rstrip() for line in captured.get().rstrip("\n").split("\n")]


@pytest.mark.parametrize("width", [40, 79, 80, 133])
@pytest.mark.parametrize("height", [12, None])
def test_nothing_is_wider_than_the_window_and_every_frame_closes(width: int, height: int | None) -> None:
    for shown in (WIDE, clash(long("a"), long("b")), clash(OLD.replace("20", "30"), OLD.replace("20", "60"))):
        drawn = lines(shown, width, height, "1 of 2")
        assert max(map(cell_len, drawn)) <= width
        framed = [line for line in drawn if line[:1] in ("┌", "│", "├", "└")]
        assert {cell_len(line) for line in framed} == {width}
        assert all(line[-1] in "┐│┤┘" for line in framed)
        text = " ".join(" ".join(drawn).split())
        for fact in ("instance-1", "instance-2", "task 7", "1 of 2", "two updates", "proposed"):
            assert fact in text, (fact, width)
        if height:
            assert "q leave pending" in text


@pytest.mark.parametrize(("width", "beside", "frames"), [(79, False, 3), (80, True, 2)])
def test_two_sides_stand_beside_each_other_or_one_after_the_other(width: int, beside: bool, frames: int) -> None:
    drawn = lines(clash(OLD.replace("20", "30"), OLD.replace("20", "60")), width)
    assert any("30 minutes" in line and "60 minutes" in line for line in drawn) == beside
    assert "\n".join(drawn).count("┌") == frames


@pytest.mark.parametrize("width", [40, 79, 80, 200])
def test_long_lines_are_broken_and_no_character_of_them_is_lost(width: int) -> None:
    text = "".join(lines(WIDE, width))
    assert [text.count(char) for char in "ŷ🙂語"] == [600, 80, 2], "on its side, and in what is proposed"


@pytest.mark.parametrize("width", [40, 100])
def test_a_long_item_is_cut_to_the_window_and_says_so(width: int) -> None:
    height = 24
    drawn = lines(clash(long("a"), long("b")), width, height, "1 of 1")
    assert len(drawn) <= max(height, 42)
    assert re.search(r"… \d+ more lines, d shows all", "\n".join(drawn))
    whole = lines(clash(long("a"), long("b")), width)
    assert "more lines" not in "\n".join(whole)
    assert sum("of b" in line for line in whole) >= 400


def test_untouched_lines_are_folded_away_and_counted() -> None:
    many = "\n".join(f"- fact {number}" for number in range(30))
    document = b"# Tech context\n\n## Limits\n\n" + many.encode() + b"\n"
    left, right = (change(many.replace("fact 15", f"fact {n}"), of=document, peer=f"p{n}", time=n) for n in (1, 2))
    text = "\n".join(lines(view(left, right, of=document), 100, 40))
    assert [fact in text for fact in ("⋯ 13 lines unchanged", "- fact 12", "- fact 14")] == [True, False, True]


def test_no_control_character_of_an_author_reaches_the_screen() -> None:
    evil = "\x1b[2J\x1b]0;title\x07\u202egnp.exe\u2066\x9b31m\u200b\x00 done"
    shown = clash(OLD.replace("20", "30"), OLD.replace("20", "60"))
    left, right = shown.sides
    sides = (ItemSide(evil, evil, f"{left.text}\n{evil}"), ItemSide("b", "", right.text))
    whole = {name: f"{getattr(shown, name)}\n{evil}" for name in ("base", "proposed")}
    forged = replace(shown, place=f"techContext.md › {evil}", why=evil, base_about=evil, sides=sides, **whole)
    drawn = [*lines(forged, 100, 60, "1 of 1"), *lines(forged, 40), *(line.plain for line in screen.full(forged))]
    assert [ascii(line) for line in drawn if not line.isprintable()] == []
    assert "done" in "".join(drawn)


def test_markup_and_emoji_codes_of_an_author_are_text() -> None:
    evil = "[bold red]x[/] :smile: [link=file:///etc/passwd]y[/link] [/nothing]"
    shown = clash(OLD.replace("20", "30"), f"{OLD}\n{evil}".replace("20", "60"))
    forged = replace(shown, place=evil, why=evil, sides=(replace(shown.sides[0], label=evil), shown.sides[1]))
    assert "".join(lines(forged, 200, None)).count(evil) >= 4
    console = Console(width=200, force_terminal=True, color_system="truecolor", markup=False, emoji=False)
    with console.capture() as captured:
        console.print(screen.draw(forged, 200, 60))
    assert "\x1b]8" not in captured.get(), "no link"


def test_a_time_is_shown_by_the_readers_clock() -> None:
    assert re.fullmatch(r"\d\d:\d\d", items.local_time("2026-01-01T09:00:00Z", "2026-01-01T09:00:01Z"))
    assert re.fullmatch(r"2025-0\d-\d\d \d\d:\d\d", items.local_time("2025-06-15T09:00:00Z", NOW))
    assert items.local_time("\x1b[2J", NOW) == "·[2J"


def test_a_change_that_merges_cleanly_is_one_text() -> None:
    shown = view(note("- mypy", ("Tech context", "Tools"), critical=True))
    text = "\n".join(lines(shown, 100, 40))
    assert "proposed: instance-1" in text
    assert "<<<<" not in text
    assert [key for key, _ in screen.keys(shown)] == ["1", "2", "e", "x", "n", "d", "q"]


# -- words -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("Uploads are at most 5 MB.", "Uploads are at most 8 MB.", (["5"], ["8"])),
        ("a fast cache", "a very fast cache", ([], [" very"])),
        ("Uploads are at most 5 MB.", "Completely other words here now", None),
    ],
)
def test_changed_words_are_found_in_similar_lines(old: str, new: str, changed: object) -> None:
    found = diff.changed_words(old, new)
    assert (found and ([old[a:b] for a, b in found[0]], [new[a:b] for a, b in found[1]])) == changed


def test_both_sides_are_laid_along_their_base() -> None:
    rows = diff.rows("a\nb\nc", "a\nnew\nb\nc", "a\nc")
    marks = [[f"{line.mark}{line.text}" if line else None for line in row.sides] for row in rows]
    assert marks == [[" a", " a"], ["+new", None], [" b", "-b"], [" c", " c"]]


def test_additions_of_two_sides_in_one_place_are_compared() -> None:
    left, right = "a\n- Sessions expire after 30 min", "a\n- Sessions expire after 60 min"
    added = diff.rows("a", left, right)[-1]
    assert [[line.text[a:b] for a, b in line.changed] for line in added.sides if line] == [["30"], ["60"]]
    assert [line and line.changed for line in diff.rows("a", left, "a")[-1].sides] == [(), None]


def calls_in(what: Callable[[], object]) -> int:
    """Count the calls of functions that something takes: the same on every machine, however busy."""
    counted = 0

    def count(_frame: object, event: str, _what: object) -> None:
        nonlocal counted
        counted += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        what()
    finally:
        sys.setprofile(None)
    return counted


def test_comparing_a_section_of_many_lines_costs_its_lines() -> None:
    lines = 4_000
    base = "\n".join(f"- same {number % 7}" for number in range(lines))
    found: list[object] = []
    assert calls_in(lambda: found.extend(diff.folded(diff.rows(base, f"{base}\n- new", base)))) < 100 * lines
    assert len(found) < 20


def test_comparing_long_paragraphs_costs_little() -> None:
    chance = random.Random(1)
    left, right = (" ".join(chance.choice("abcdefghij") for _ in range(490)) for _ in range(2))
    assert calls_in(lambda: diff.changed_words(left, right)) < 50_000
    assert calls_in(lambda: diff.changed_words(left * 10, right * 10)) < 100


def test_markers_of_the_document_itself_are_no_markers() -> None:
    own = "<<<<<<< example\nx\n>>>>>>> example"
    shown = clash(f"{OLD}\n{own}".replace("20", "30"), f"{OLD}\n{own}".replace("20", "60"))
    assert shown.marker == 8
    rows = diff.marked(shown.proposed, shown.marker)
    assert sum(row.sides[0].mark == diff.MARKER for row in rows if row.sides[0]) == 4
    assert outcome.marker_size(own) == 8
