"""Nothing that an agent wrote is interpreted on any part of the dash, and every line fits."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.text import Text
from screens import scene
from screens.seen import Played, played
from support.project import Project, git

from peercoord.landing.forecast import Forecast
from peercoord.membership.liveness import ALIVE, Verdict
from peercoord.queue.placement import Location
from peercoord.screens import dash_lines
from peercoord.screens.dash_source import View
from peercoord.screens.overview import Overview
from peercoord.status.needs import Need
from peercoord.status.views import Board, PeerView, Row
from peercoord.store import records

EVIL = (
    "[bold red]X[/] [@click=app.quit]q[/] \x1b[2J\x1b]8;;http://evil\x07L\x9b31m \u202eabc\u2066 :bomb: $x"
    "\nNEEDS YOU (0)"
)
TITLES = (EVIL, "表" * 150, "👩‍💻 émigré 🇨🇭 " * 20, "ملاحظات الإصدار " * 20, "x" * 300, "", "a\tb")
STEERING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
OWN = re.compile("(?<=[\u0600-\u06ff])\u200e")  # the dash's own marks, behind right-to-left words
WIDTHS = (20, 41, 80, 120)


def view(text: str) -> View:
    """A board on which every text of a person or agent is this one."""
    raw = {**records.define("3", "t").raw, "title": text, "parked": {"why": "blocked", "reason": text}}
    definition = records.Definition("3", 2, ["1"], [], raw)
    who = "a~1~000000000000"
    held = Row("3", definition, Location("3", "claimed", who, 1, "", ""), holder="a", entry={"progress": 0.4})
    waits = replace(held, location=Location("3", "waiting", text, 1, "", ""), holder="")
    record = {"branch": text, "worktree": text}
    told = {"state": "needs permission", "why": text, "since": text}
    one = PeerView("a", who, record, "", True, Verdict(ALIVE, text), session="runs", said=told)
    board = Board(text, "", scene.NOW, [held, waits], [one], {"last_merge": text})
    need = Need("permission", text, text, [("peercoord", text)], who=text, why=text, since=text)
    forecast = Forecast(text, "main", 3, 1, "", (text, "b.py"))
    return View(
        Overview(board, [need], None, {text: forecast}, [], "", ""),
        board.rows,
        [{"at": text, "event": text, "peer": text}],
    )


def drawn(shown: View, width: int) -> list[Text]:
    board = shown.board
    return [
        dash_lines.header(shown, scene.NOW, width),
        *dash_lines.need(shown.needs[0], scene.NOW, width),
        *dash_lines.peer(board.peers[0], shown, scene.NOW, width),
        *(line for row in shown.rows for line in dash_lines.task(row, width, row.waits_for * 5)),
        *dash_lines.event(shown.events[0], scene.NOW, width),
    ]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("text", TITLES, ids=range(len(TITLES)))
def test_every_line_fits_and_is_plain(text: str, width: int) -> None:
    for line in drawn(view(text), width):
        assert cell_len(line.plain) == width, line.plain
        assert not STEERING.search(OWN.sub("", line.plain))
        assert all(isinstance(span.style, str) and "@click" not in span.style for span in line.spans)


def test_markup_is_shown_as_it_was_written() -> None:
    lines = [line.plain for line in drawn(view(EVIL), 300)]
    assert all("[bold red]X[/]" in line for line in lines), lines


# -- the whole screen --------------------------------------------------------------------------------------------


def poisoned(project: Project) -> None:
    """Write hostile text into every file that an agent can write, past all that cleans it."""
    escaped = records.encode({"": EVIL}).decode().split('"')[3]
    words = ("API design", "Pricing rules", "schema written, 6 tests", "needs a decision on pricing", "npm publish")
    words += ("two updates of this section differ", "Sessions expire after", "builds and tests run")
    for path in [*project.state.rglob("*.json"), *project.state.rglob("*.jsonl")]:
        text = path.read_text()
        for word in words:  # a title has one line, or it cannot be read
            text = text.replace(word, escaped.replace("\\n", " ") if path.parent.parent.name == "tasks" else escaped)
        path.write_text(text)
    log = scene.tree(project, 1) / ".claude-instance" / "agent.log"
    log.write_text(f"{EVIL}\n" * 3)
    name = EVIL.replace("/", "").replace("\n", " ")
    (scene.tree(project, 1) / name).write_text("x\n")
    git(scene.tree(project, 1), "add", "-A")
    git(scene.tree(project, 1), "commit", "-q", "-m", EVIL)


def check(shown: Played) -> str:
    """Assert that nothing on the screen steers a terminal or reacts to a click."""
    for strip in shown.app.screen._compositor.render_strips():
        for segment in strip:
            assert not segment.control
            assert not STEERING.search(segment.text), segment.text
            assert segment.style is None or (segment.style.link is None and "@click" not in segment.style.meta)
    return shown.text()


@pytest.mark.slow
def test_nothing_on_any_screen_is_interpreted(team: Project) -> None:
    poisoned(team)

    async def play(shown: Played) -> None:
        assert check(shown).count("[bold red]X") >= 5
        for panel, rows in (("1", 3), ("2", 2), ("3", 4), ("4", 2)):
            await shown.keys(panel, *(["d"] if panel == "3" else []))
            for _ in range(rows):
                await shown.keys("enter")
                check(shown)
                await shown.keys("escape", "down")
                check(shown)
        for keys in (("3", "home", "d", "r"), ("3", "R"), ("3", "down", "a"), ("m", "a"), ("m", "x"), ("l",)):
            await shown.keys(*keys)
            check(shown)
            await shown.keys("escape", "escape")
        shown.app.tell(EVIL)
        await shown.settled()
        assert "✗" in check(shown) or "[bold red]X" in check(shown)

    played(scene.source(team), play, (110, 40))


@pytest.mark.slow
def test_story_names_every_hostile_text_as_it_is(team: Project) -> None:
    poisoned(team)

    async def play(shown: Played) -> None:
        task = await shown.keys("3", "home", "enter")
        assert "✓ [bold red]X[/] [@click=app.quit]q[/]" in task, task
        assert "+1 −0       [bold red]X[] [@click=app.quit]" in task, "a file of its branch"
        log = await shown.keys("escape", "2", "home", "enter", "pagedown", "pagedown", "pagedown")
        assert "Agent log" in log, log

    played(scene.source(team), play, (140, 60))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a pseudo-terminal")
def test_a_real_terminal_gets_no_sequence_of_an_agent(team: Project, tmp_path: Path) -> None:
    import pty
    import subprocess
    import sys

    poisoned(team)
    main, side = pty.openpty()
    words = [sys.executable, "-m", "peercoord", "-C", str(team.main), "dash"]
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
    with subprocess.Popen(words, stdin=side, stdout=side, stderr=side, env=env) as running:
        os.close(side)
        seen = b""
        while b"[bold red]X" not in seen:  # the test's own time limit ends it
            seen += os.read(main, 65536)
        os.write(main, b"q")
        try:
            while data := os.read(main, 65536):
                seen += data
        except OSError:  # the other end is closed
            pass
        assert running.wait() == 0, seen[-2000:]
    os.close(main)
    assert b"http://evil" not in seen.replace(b"\xc2\xb7]8;;http://evil", b"")
    assert not re.search(rb"\x1b\[2J[^\x1b]*\x1b\]8;;", seen)
