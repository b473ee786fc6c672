"""The page and the report in a real browser, on a team with 1,000 tasks, 50 peers, a dead one and a conflict.

With ``PEERCOORD_SCREENSHOTS=DIRECTORY`` the pictures are kept there, for someone to look at.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from screens import large, programs
from screens.serving import serve
from support.project import Project

from peercoord.screens.web import live
from peercoord.screens.web.drawing import PAGES

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

pytestmark = pytest.mark.browser

LONG_MS = 60_000  # nobody waits so long: a page that is not there by then has failed
SIZES = {"desk": (1280, 900), "phone": (390, 844)}
KEYS = {name: ("a" if name == "tasks" else name[0]) for name in PAGES}
WORKER = """
import sys
from peercoord.queue.queue import Queue
from peercoord.membership.membership import Membership, living
from peercoord.queue.worker import Worker
from peercoord.store.root import open_root
root = open_root(sys.argv[1])
me = next(one for one in living(root) if one.peer == sys.argv[2])
worker = Worker(Queue(root, me.peer), Membership(root, me))
"""
CLAIM = f"{WORKER}print(worker.request().task)"
REPORT = f"{WORKER}worker.report(sys.argv[3], {{'progress': 0.57}})"
COMMAND = "from peercoord.cli.main import main; main()"


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return large.make(Path(os.path.realpath(tmp_path_factory.mktemp("large"))))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = programs.chromium()
    with sync_api.sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield made
        made.close()


class Served:
    """A page that is served, and what a browser noticed on it."""

    def __init__(self, process: subprocess.Popen[str], context: BrowserContext, address: str) -> None:
        self.process, self.context, self.address = process, context, address  # of the board, without its last slash
        self.origin = "/".join(address.split("/")[:3])
        self.heard: list[str] = []
        self.asked: list[str] = []
        context.on("console", lambda message: self.heard.append(f"{message.type}: {message.text}"))
        context.on("weberror", lambda error: self.heard.append(f"error: {error.error}"))
        context.on("request", lambda request: self.asked.append(request.url))

    def open(self) -> Page:
        page = self.context.new_page()
        page.set_default_timeout(LONG_MS)
        page.goto(f"{self.address}/")
        page.wait_for_selector("#connection.live")
        return page

    def quiet(self) -> None:
        """Nothing was said on the console, and nothing was asked of another place."""
        assert self.heard == []
        assert [url for url in self.asked if not url.startswith(f"{self.origin}/")] == []


@pytest.fixture
def served(team: Project, browser: Browser) -> Iterator[Served]:
    words = [sys.executable, "-c", COMMAND, "-C", str(team.main), "web"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    context = browser.new_context()
    try:
        assert process.stderr is not None
        told = ""
        while "/in/" not in told:
            told = process.stderr.readline()
            assert told, "it ended"
        link = re.search(r"(http://127\.0\.0\.1:\d+)/in/\w+", told)
        assert link
        page = context.new_page()
        page.goto(link[0])
        found = Served(process, context, page.url.rstrip("/"))
        page.close()
        yield found
    finally:
        context.close()
        process.terminate()
        process.communicate()


def heading(page: Page, text: str) -> None:
    page.wait_for_function("text => document.querySelector('h1')?.textContent.trim().startsWith(text)", arg=text)
    if page.locator("#stream").count():
        page.wait_for_selector("#connection.live")  # its keys work from then on


def fits(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"))


SIDEWAYS = """() => [...document.querySelectorAll("body *")].filter(one => one.scrollWidth > one.clientWidth + 1
  && ["auto", "scroll"].includes(getComputedStyle(one).overflowX)).map(one => one.id || one.className)"""


def serious(page: Page, source: str) -> list[str]:
    """What axe-core finds on a page that keeps someone from using it."""
    page.evaluate(source)
    found: Any = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']}: {node['html'][:160]} {json.dumps(node.get('failureSummary'))[:200]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"][:3]
    ]


def test_every_page_is_reached_and_used_by_keyboard_alone(served: Served) -> None:
    page = served.open()
    for name, (_, label) in PAGES.items():
        page.keyboard.press("g")
        page.keyboard.press(KEYS[name])
        heading(page, label)
    page.keyboard.press("g")
    page.keyboard.press("b")
    heading(page, "Board")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("?")
    assert page.evaluate("document.getElementById('help').open")
    page.keyboard.press("Escape")
    assert not page.evaluate("document.getElementById('help').open")
    page.evaluate("document.querySelector('#live').scrollTop = 0")
    while not page.evaluate("document.activeElement.matches('.card')"):
        page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid", "focus is visible"
    number = page.evaluate("document.activeElement.querySelector('.id').textContent")
    page.keyboard.press("Enter")
    heading(page, number)
    page.keyboard.press("/")
    heading(page, "Tasks")
    page.keyboard.press("/")
    page.keyboard.type("billing report")
    shown = page.locator("#tasks-list tr:visible")
    assert 0 < shown.count() < 1000
    page.keyboard.press("Enter")
    page.wait_for_url("**/tasks?q=billing+report")
    page.keyboard.press("g")
    page.keyboard.press("t")
    heading(page, "Timeline")
    page.locator(".scroll").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.matches('[data-bar]')")
    first = page.locator(".told").inner_text()
    page.keyboard.press("ArrowRight")
    assert page.locator(".told").inner_text() != first
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == page.locator(".told").inner_text()
    page.keyboard.press("g")
    page.keyboard.press("g")
    heading(page, "Graph")
    page.locator("#drawn-graph").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    heading(page, "#")
    served.quiet()


def test_pointing_and_focus_tell_the_same(served: Served) -> None:
    page = served.open()
    for path, parts in (
        ("/timeline", ("[data-bar]", ".k-evicted", ".k-reassigned", ".k-limited")),
        ("/graph", (".node",)),
    ):
        page.goto(f"{served.address}{path}")
        page.wait_for_selector(parts[0], state="attached")
        for part in parts:
            one, told = page.locator(part).first, page.locator(".told")
            one.scroll_into_view_if_needed()
            page.mouse.move(0, 0)
            one.hover(force=True)
            pointed = told.inner_text()
            told.evaluate("one => one.textContent = ''")
            one.focus()
            assert told.inner_text() == pointed, part
            assert re.search(r"#\d+|instance-\d+", pointed), part


def test_the_pipeline_is_one_column_on_a_phone(served: Served) -> None:
    page = served.open()
    page.set_viewport_size({"width": 390, "height": 844})
    shown = page.locator(".column:visible")
    assert [one.get_attribute("data-column") for one in shown.all()] == ["in-progress"]
    page.locator("#pick-in-progress").focus()
    page.keyboard.press("ArrowRight")
    assert [one.get_attribute("data-column") for one in shown.all()] == ["parked"]
    served.quiet()


def test_a_node_that_is_next_stays_outlined_on_the_critical_path(served: Served) -> None:
    page = served.open()
    page.goto(f"{served.address}/graph")
    page.wait_for_selector("#drawn-graph .node")
    page.locator(".node.critical").first.wait_for(state="attached")
    width = "(name) => parseFloat(getComputedStyle(document.querySelector(name)).strokeWidth)"
    assert page.evaluate(width, ".edge.critical") > page.evaluate(width, ".edge:not(.critical)")
    assert page.evaluate(width, ".node.ready .box") > page.evaluate(width, ".node.waiting:not(.critical) .box")
    assert page.locator(".node").count() <= 300
    assert "drawn together" in page.locator(".line").inner_text()


@pytest.mark.parametrize(
    ("size", "scheme"), [("desk", "light"), ("phone", "dark"), ("desk", "dark"), ("phone", "light")]
)
def test_every_page_fits_and_is_accessible(served: Served, scheme: Any, size: str) -> None:
    judged = (size, scheme) in (("desk", "light"), ("phone", "dark"))  # every width and every colour once
    source, kept = programs.axe(), os.environ.get("PEERCOORD_SCREENSHOTS")
    page = served.open()
    width, height = SIZES[size]
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme=scheme)
    found: list[str] = []
    for path in (*(path for path, _ in PAGES.values()), "/task/500", "/instance/instance-4"):
        page.goto(f"{served.address}{path}")
        page.wait_for_selector("#connection.live")
        if path == "/graph":
            page.wait_for_selector("#drawn-graph .node")
        if path == "/progress":
            told = page.locator("#burn-up .u-legend").inner_text().lower()
            assert all(word in told for word in ("total", "done", "in hand", "reopened")), told
            assert page.locator("#throughput canvas").count() == 1
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        assert fits(page), path
        assert set(page.evaluate(SIDEWAYS)) <= {"drawn-graph"}, f"{path}: only a map is moved sideways"
        if kept:
            name = path.strip("/").replace("/", "-") or "board"
            page.screenshot(path=f"{kept}/{name}-{size}-{scheme}.png")
        found += [f"{path} {one}" for one in serious(page, source)] if judged else []
    assert found == []
    served.quiet()


def test_a_claim_of_another_process_shows(served: Served, team: Project) -> None:
    page = served.open()
    page.locator('[data-column="in-progress"] .card').first.focus()
    focused = page.evaluate("document.activeElement.getAttribute('href')")
    tasks = served.open()
    tasks.goto(f"{served.address}/tasks")
    tasks.wait_for_selector("#connection.live")
    before = page.locator("#column-in-progress .count").inner_text()
    words = [sys.executable, "-c", CLAIM, str(team.state), "instance-6"]
    task = subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()
    page.wait_for_function(
        "before => document.querySelector('#column-in-progress .count').textContent !== before", arg=before
    )
    assert page.locator(f'.peer a[href$="/task/{task}"]').count() == 1
    tasks.wait_for_function(
        "row => document.getElementById(row).textContent.includes('in progress')", arg=f"row-{task}"
    )
    tasks.evaluate("document.querySelector('h1').title = 'as it was'")
    subprocess.run([sys.executable, "-c", REPORT, str(team.state), "instance-6", task], check=True)
    tasks.wait_for_function("row => document.getElementById(row).innerText.includes('57%')", arg=f"row-{task}")
    assert tasks.locator("#tasks-list tr").count() == 1000
    assert tasks.locator("h1").get_attribute("title") == "as it was", "only a fragment came"
    assert page.evaluate("document.activeElement.getAttribute('href')") == focused
    served.quiet()


def test_motion_is_off_for_those_who_want_none(served: Served) -> None:
    page = served.open()
    moves = "() => getComputedStyle(document.querySelector('.card')).transitionDuration"
    assert 0 < float(page.evaluate(moves).removesuffix("s")) <= 0.2
    page.emulate_media(reduced_motion="reduce")
    assert page.evaluate(moves) == "0s"


def test_what_a_person_opened_stays_open(served: Served, team: Project) -> None:
    page = served.open()
    page.goto(f"{served.address}/timeline")
    page.wait_for_selector("#connection.live")
    page.locator(".as-list summary").click()
    before = page.locator(".as-list tr").count()
    words = [sys.executable, "-c", CLAIM, str(team.state), "instance-5"]
    subprocess.run(words, check=True, capture_output=True)
    page.wait_for_function("before => document.querySelectorAll('.as-list tr').length !== before", arg=before)
    assert page.locator(".as-list").evaluate("one => one.open")
    served.quiet()


def test_a_lost_connection_is_told(served: Served) -> None:
    page = served.open()
    served.process.terminate()
    page.wait_for_selector("#connection.lost")
    assert "connection lost" in page.locator("#connection").inner_text()


def test_a_page_too_many_says_so_and_repairs_itself(
    team: Project, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "STREAMS_MOST", 0)
    door = serve(team)
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(LONG_MS)
    page.goto(door.link)
    page.wait_for_selector("#connection.lost")
    assert page.locator("#connection").inner_text() == "not live: too many pages are open"
    heading_is = page.locator("h1").inner_text()
    monkeypatch.setattr(live, "STREAMS_MOST", 1)
    page.wait_for_selector("#connection.live")
    assert page.locator("h1").inner_text() == heading_is == "Board"
    context.close()


def test_the_address_opens_one_browser_only(served: Served, browser: Browser) -> None:
    other = browser.new_context()
    page = other.new_page()
    page.goto(f"{served.address}/")
    heading(page, "Sign in")
    assert page.url == f"{served.origin}/in"
    other.close()


def test_a_typed_code_and_a_form_work_in_a_browser(team: Project, browser: Browser) -> None:
    """A browser says of its own forms where they come from, as the guard asks."""
    asked: list[list[str]] = []

    def do(words: list[str]) -> tuple[int, str]:
        asked.append(words)
        return 0, "it is done"

    door = serve(team, do)
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(LONG_MS)
    page.goto(f"{door.origin}/")
    page.locator("input[name=code]").fill(door.code)
    page.locator("input[name=code]").press("Enter")
    heading(page, "Board")
    page.locator(".need input[name=text]").first.fill("yes <b>")
    page.locator(".need input[name=text]").first.press("Enter")
    heading(page, "Done")
    assert [words[:2] + words[-1:] for words in asked] == [["task", "answer", "yes <b>"]]
    page.locator("text=Back").click()
    heading(page, "Board")
    context.close()


def test_the_report_is_read_without_a_network(team: Project, browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    subprocess.run([sys.executable, "-c", COMMAND, "-C", str(team.main), "html", "-o", str(file)], check=True)
    context = browser.new_context(offline=True)
    with subprocess.Popen(["true"], text=True) as ended:
        seen = Served(ended, context, "file://")
    page = context.new_page()
    page.set_default_timeout(LONG_MS)
    page.goto(file.as_uri())
    page.wait_for_selector("#burn-up canvas")
    page.wait_for_selector("#drawn-graph .node")
    page.locator('nav a[href="#timeline"]').click()
    page.locator('[data-zoom="3600"]').click()
    assert page.locator("svg.time .axis text").count() > 10
    for width, height in SIZES.values():
        page.set_viewport_size({"width": width, "height": height})
        assert fits(page)
        assert set(page.evaluate(SIDEWAYS)) <= {"drawn-graph", "scroll"}, "the graph, and the timeline that was zoomed"
    assert seen.heard == []
    assert seen.asked == [file.as_uri()]
    context.close()
