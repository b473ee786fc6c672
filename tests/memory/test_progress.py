from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory.helpers import DOCUMENTS

from peercoord.membership import liveness
from peercoord.memory import markdown
from peercoord.memory.document import front_matter_end, lf_text
from peercoord.memory.progress_section import (
    ALL,
    BEGIN,
    END,
    FOCUS,
    escaped,
    focus,
    is_generated,
    percent,
    progress,
    with_progress,
    without_progress,
)
from peercoord.queue.placement import Location
from peercoord.status.views import Board, PeerView, Row
from peercoord.store import records
from peercoord.team.bank_link import DOCUMENTS as DOCUMENTS_MADE

Json = dict[str, Any]
Held = tuple[str, str, Json]
"""A task that a peer holds: its id, its title, and the peer's last report of it."""
NOW, LATER = "14 of 23\n", "15 of 23\n\n| a |\n| --- |\n"


def board(*rows: Row, **peers: tuple[str, Sequence[Held]]) -> Board:
    """Peers by name, each with its verdict and the tasks that it holds; and further tasks."""
    held = [
        Row(
            task,
            records.define(task, title, steps=report.get("steps", ())),
            Location(task, "claimed", f"{name}~1", 1),
            holder=name,
            entry=report,
            assignment={"assigned_at": report.get("since")},
        )
        for name, (_, tasks) in peers.items()
        for task, title, report in tasks
    ]
    seen = [
        PeerView(name, f"{name}~1", {}, "", False, liveness.Verdict(state, "")) for name, (state, _) in peers.items()
    ]
    return Board("p", "", "", [*held, *rows], seen, {})


def row(task: str, state: str, detail: str = "") -> Row:
    return Row(task, records.define(task, "t"), Location(task, state, detail))


def around(document: bytes) -> tuple[bytes, bytes]:
    before, _, rest = document.partition(BEGIN.encode())
    return before, rest.partition(END.encode())[2]


def test_a_new_document_gets_a_title_and_the_section() -> None:
    report = {"progress": 0.75, "achievements": ["auth.py"]}
    rest = [row("1", "done"), row("2", "waiting", "1"), row("3", "parked", "review"), row("4", "parked", "cancelled")]
    text = progress(board(*rest, one=("alive", [("14", "OAuth callback", report)]), two=(liveness.DEAD, [])))
    assert with_progress(b"", text).decode() == (
        "# Progress\n\n## Progress of all instances\n\n<!-- peercoord: progress -->\n"
        "**44%** · 1 of 4 tasks done · 1 in progress · 1 blocked · 1 parked\n\n"
        "| Instance | State | Task | Progress | Newest |\n| --- | --- | --- | --- | --- |\n"
        "| one | working | 14 OAuth callback | ~75% | auth.py |\n| two | gone | – | – | – |\n"
        "<!-- peercoord: end of progress -->\n"
    )
    steps = [{"id": "1.1", "title": "s", "status": "done"}, {"id": "1.2", "title": "s"}]
    blocked = {"steps": steps, "progress": 0.5, "blockers": ["a key", "b"], "achievements": ["x"]}
    assert "| one | working | 1 t | 50% | blocked: b |" in progress(board(one=("alive", [("1", "t", blocked)])))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_only_what_is_between_the_markers_changes(name: str) -> None:
    document = DOCUMENTS[name]
    first = with_progress(document, NOW)
    assert with_progress(first, NOW) == first
    second = with_progress(first, LATER)
    assert second != first
    assert around(second) == around(first)
    assert with_progress(second, NOW) == first
    if BEGIN.encode() not in document:
        assert first.startswith(document) or first.endswith(document[front_matter_end(document) :])


def test_the_section_is_taken_out_again_where_it_was_added() -> None:
    for made in (*DOCUMENTS_MADE.values(), "# Ours\r\n\r\ntext\r\n"):
        document = made.encode()
        assert without_progress(with_progress(with_progress(document, NOW), LATER)) == document
    edited = with_progress(b"# Ours\n", NOW) + b"more\n"
    assert without_progress(edited) == edited
    assert without_progress(b"# Ours\n") == b"# Ours\n"


def test_text_that_looks_like_the_section_stays() -> None:
    quoted = f"# How it works\n\n```\n{BEGIN}\nkeep me\n{END}\n```\n".encode()
    assert with_progress(quoted, NOW).startswith(quoted), "markers in a fence"
    stray = with_progress(f"# P\n\n{BEGIN}\n\nby hand\n\n".encode(), NOW)
    assert b"by hand" in with_progress(stray, LATER), "text between a stray marker and the section"
    assert with_progress(stray, LATER).count(b"of 23") == 1
    assert b"\n" not in with_progress(DOCUMENTS["crlf"], NOW).replace(b"\r\n", b"")


TEXTS = st.one_of(
    st.text(), st.sampled_from([END, BEGIN, "| a | b |", "--> <b>", "`x` *y* [z](q)", "a\n# b", "\\|", "&lt;"])
)


@settings(max_examples=40)
@given(TEXTS, TEXTS)
def test_words_of_others_never_become_markup(title: str, note: str) -> None:
    plain = progress(board(one=("alive", [("1", "t", {"achievements": ["n"]})])))
    title = " ".join(f"t{title}".split())  # one line, as every definition's
    foreign = progress(board(one=("alive", [("1", title, {"achievements": [f"n{note}"]})])))
    shape = [(block.marker, len(block.text.split("\n"))) for block in blocks_of(plain)]
    assert [(block.marker, len(block.text.split("\n"))) for block in blocks_of(foreign)] == shape
    line = blocks_of(foreign)[1].text.split("\n")[2]
    assert line.replace("\\\\", "").replace("\\|", "").count("|") == 6
    assert with_progress(with_progress(b"", foreign), plain) == with_progress(b"", plain)


def blocks_of(text: str) -> list[markdown.Block]:
    return markdown.blocks(lf_text(with_progress(b"", text).partition(BEGIN.encode() + b"\n")[2]))


def test_escaped_text_reads_as_it_was_written() -> None:
    from markdown_it import MarkdownIt

    words = r"a*b_c`d[e](f)<g>&amp;|#~!\{}"
    assert MarkdownIt().render(escaped(words)) == ("<p>a*b_c`d[e](f)&lt;g&gt;&amp;amp;|#~!\\{}</p>\n")


@pytest.mark.parametrize(("share", "text"), [(0.0, "0%"), (0.005, "1%"), (0.999, "99%"), (1.0, "100%")])
def test_only_what_is_finished_is_a_hundred(share: float, text: str) -> None:
    assert percent(share) == text


# -- the current focus -------------------------------------------------------------------------------------------


def test_the_focus_says_who_works_on_what_since_when() -> None:
    report = {"achievements": ["auth.py"], "since": "2026-01-31T15:30:12Z"}
    two = (liveness.DEAD, [("15", "Docs", {})])
    text = focus(board(one=("alive", [("14", "OAuth | callback", report)]), two=two, three=("alive", [])))
    made = with_progress(b"# Active context\n\nOurs.\n", text, FOCUS)
    assert made.decode() == (
        "# Active context\n\nOurs.\n\n## Current focus of all instances\n\n<!-- peercoord: focus -->\n"
        "| Instance | Works on | Since | Newest |\n| --- | --- | --- | --- |\n"
        "| one | 14 OAuth \\| callback | 2026-01-31 15:30 UTC | auth.py |\n"
        "| two (gone) | 15 Docs | – | – |\n<!-- peercoord: end of focus -->\n"
    )
    nobody = with_progress(made, focus(board(three=("alive", []))), FOCUS)
    assert b"\nNo instance works on a task now.\n<!--" in nobody
    assert without_progress(nobody) == b"# Active context\n\nOurs.\n"


def test_a_peer_rewrites_no_section_that_is_kept() -> None:
    for kept in ALL:
        assert is_generated(f"text\n{kept.begin}\n")
        assert is_generated(f"  {kept.end}\n")
    assert not is_generated("<!-- peercoord -->")
