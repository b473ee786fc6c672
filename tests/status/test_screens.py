"""The status screen, cell for cell: a change of it is seen, and read by a person.

``python -m pytest tests/status --regenerate`` writes the screens again; then read ``git diff``.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len

from peercoord.foreign import plain
from peercoord.status import dashboard, screen
from peercoord.status.screen import MARK, draw, fit, written
from status.boards import BOARDS, BRANCHES, HOSTILE

HERE = Path(__file__).parent / "screens"


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def same_as_kept(lines: list[str], name: str, request: pytest.FixtureRequest) -> None:
    kept = HERE / f"{name}.txt"
    said = "".join(f"{line}\n" for line in lines).replace("\x1b", "␛").replace(MARK, "⟨LRM⟩")
    if request.config.getoption("--regenerate"):
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(said)
    assert said.splitlines() == kept.read_text().splitlines()


@pytest.mark.parametrize("colour", [False, True], ids=["plain", "coloured"])
@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("name", BOARDS)
def test_the_screen(name: str, width: int, colour: bool, request: pytest.FixtureRequest) -> None:
    lines = draw(BOARDS[name](), width=width, branches=BRANCHES)
    same_as_kept(written(lines, colour), f"{name}-{width}{'-coloured' if colour else ''}", request)


@pytest.mark.parametrize("width", [40, 79, 80, 120, 200])
@pytest.mark.parametrize("name", BOARDS)
def test_no_line_is_wider_than_the_screen_but_commands(name: str, width: int) -> None:
    board = BOARDS[name]()
    commands = {line for need in screen.needs.needs(board) for line in dashboard.commands(need, "")}
    for line in written(draw(board, width=width, branches=BRANCHES)):
        assert cell_len(line) <= width or line.strip() in commands or "===" in line or "Agent Progress" in line, line


def test_colours_change_no_character() -> None:
    for make in BOARDS.values():
        lines = draw(make(), width=80, branches=BRANCHES)
        bare = [screen.Text.from_ansi(line).plain.rstrip() for line in written(lines, True)]
        assert bare == written(lines)


@pytest.mark.parametrize("colour", [False, True])
def test_no_text_from_outside_steers_the_terminal_or_forges_a_line(colour: bool) -> None:
    lines = written(draw(BOARDS["foreign"](), width=120, branches=BRANCHES), colour)
    assert [line for line in lines if line.startswith("NEEDS YOU (0)")] == []
    for line in lines:
        bare = re.sub(r"\x1b\[[0-9;]*m", "", line) if colour else line
        bare = re.sub(f"(?<=[\u0590-\u05ff]){MARK}", "", bare)  # the screen's own
        assert bare == plain(bare)
    assert sum("[bold red]x[/]" in line for line in lines) >= 2, "markup is shown, not read"


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("#3 תכנון מסד ████ 40%", "#3 תכנון מסד> ████ 40%"),
        ('"שלום 5 דקות (API 2)" blocked: עוד 3 7m', '"שלום 5 דקות> (API 2)" blocked: עוד> 3 7m'),
        ("ملاحظات الإصدار", "ملاحظات الإصدار>"),
        ("#3 設計 ████ 40%", "#3 設計 ████ 40%"),
    ],
)
def test_right_to_left_words_move_nothing_after_them(text: str, marked: str) -> None:
    line = screen.in_order(screen.Text(text, "bold"))
    assert line.plain.replace(MARK, ">") == marked
    assert line.cell_len == cell_len(text)
    assert all(span.style == "bold" for span in line.spans) or line.style == "bold"


def test_a_command_has_no_invisible_mark() -> None:
    work = BOARDS["at-work"]()
    peers = [replace(peer, record={**peer.record, "worktree": "/code/פרויקט 2"}) for peer in work.peers]
    asked = screen.needed(screen.needs.needs(replace(work, peers=peers)), work.now, "", 80)
    commands = [line.plain for line in asked if "cd " in line.plain]
    assert any(line.endswith("cd '/code/פרויקט 2'") for line in commands), commands


def test_a_text_is_cut_by_its_cells() -> None:
    assert [fit("設計する", cells) for cells in (8, 7, 5, 2)] == ["設計する", "設計す…", "設計…", "…"]
    assert fit("x" * 300, 10) == "x" * 9 + "…"
    assert fit(HOSTILE, 5) == "·[2J…"


def test_columns_stay_where_they_are_while_ages_grow() -> None:
    board = BOARDS["at-work"]()
    later = replace(board, now="2026-01-31T16:45:09Z")
    before, after = (written(draw(one, width=80, branches=BRANCHES)) for one in (board, later))
    signs = "●?◌‖✕"
    spots = [[line.index(sign) for sign in signs for line in lines if sign in line[40:]] for lines in (before, after)]
    assert spots[0] == spots[1]
    assert len(spots[0]) == 5


def test_a_command_below_the_needs_is_not_broken() -> None:
    command = f"  claude-team-coordinated '/code/{'a long name ' * 9}'"
    lines = written(
        draw(BOARDS["empty"](), width=40, above=["The team is down since an hour, and more; start it:", command])
    )
    assert lines[2:6] == ["The team is down since an hour, and", "  more; start it:", command, ""]
