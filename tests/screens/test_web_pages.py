"""What the pages and the report show, and that text from outside is read, never obeyed."""

from __future__ import annotations

import re
import time
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
from screens import large

from peercoord.screens.web import pages, report
from peercoord.screens.web.drawing import Site, draw, environment
from peercoord.screens.web.model import Scene, Source
from peercoord.screens.web.parts import mark
from peercoord.store import paths, records, session_records
from peercoord.store import root as roots
from peercoord.system import clock
from peercoord.system.sessions import PERMISSION

STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2066-\u2069]")
PLAIN = tuple(f"text {number}" for number in range(len(large.HOSTILE)))
MAY_LOAD = {"src", "href", "action", "data", "poster", "srcset", "style", "formaction", "background"}


class Skeleton(HTMLParser):
    """The tags of a page, each with the names of its attributes; and every address that it names."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, ...]] = []
        self.loads: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, *(name for name, _ in attrs)))
        self.loads += [(name, value or "") for name, value in attrs if name in MAY_LOAD or name.startswith("on")]
        self.texts += [value or "" for _, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        self.tags.append((f"/{tag}",))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        self.tags.append(("comment", data))


class Bare(HTMLParser):
    """The texts from right to left that stand in no element which isolates them."""

    ALONE = ("br", "img", "input", "link", "meta", "rect", "circle", "col")
    CANNOT = ("title", "option", "script", "style")  # these hold text alone

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.open: list[tuple[str, bool]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.ALONE:
            self.open.append((tag, tag == "bdi" or dict(attrs).get("dir") == "auto"))

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not any(unicodedata.bidirectional(letter) == "R" for letter in data):
            return
        if self.open[-1][0] in self.CANNOT:
            return
        if not any(one[1] for one in self.open) or re.match(r"\s*#\d", data):  # a number would stand at the other end
            self.texts.append(f"{self.open[-1][0]}: {data.strip()}")


MOMENT = time.time()


def made(home: Path, texts: tuple[str, ...]) -> Scene:
    """A small team; these texts stand in every field of its records that may hold text.

    All teams are of one moment: one that is made in the next hour has a row more in its table of hours.
    """
    with (
        mock.patch.object(large, "time", SimpleNamespace(time=lambda: MOMENT)),
        mock.patch.object(clock.Clock, "now", return_value=clock.moment(MOMENT)),
    ):
        return filled(home, texts)


def filled(home: Path, texts: tuple[str, ...]) -> Scene:
    home.mkdir()
    project = large.make(home, tasks=30, peers=9, texts=texts, branches=0)
    root = project.queue.root
    for number, path in enumerate(f"{paths.PEERS}/{name}/peer.json" for name in sorted(root.files.scan(paths.PEERS))):
        record = root.files.record(path) or {}
        changed = {"branch": texts[number % 7], "host": texts[1]} | ({"machine": "other"} if number > 8 else {})
        root.files.put(path, records.encode({**record, **changed}))
        said = {
            "process": record["session"],
            "agent": texts[2],
            "state": PERMISSION,
            "why": texts[4],
            "since": texts[3],
        }
        session_records.write(root.files, str(record["peer"]), said)
    asked = {"question": texts[0], "answer": texts[1], "by": texts[2], "at": root.clock.now(), "asked_by": "ann"}
    told = {**(root.files.record(paths.definition("1")) or {}), "answers": [asked]}
    root.files.put(paths.definition("1"), records.encode(told))
    born = {**(root.files.record(paths.birth("1")) or {}), "added_by": texts[2]}
    root.files.put(paths.birth("1"), records.encode(born))
    for path in (f"{paths.results_dir('1')}/{name}" for name in root.files.scan(paths.results_dir("1"))):
        noted = {"branch": texts[0], "achievements": [texts[1]], "blockers": [texts[2]], "reason": texts[3]}
        root.files.put(path, records.encode({**(root.files.record(path) or {}), **noted}))
    sync = {"ok": False, "message": texts[0], "hint": texts[1], "database": texts[2], "at": root.clock.now()}
    refused = [{"what": texts[3], "why": texts[4]}]
    root.files.put(paths.SYNC, records.encode({**sync, "refused": refused}))
    root.event("instance-1", texts[0], task="1", reason=texts[4], to=texts[2])
    root.event("instance-1", "parked", task=texts[1], why=texts[2], reason=texts[4])
    found = Source(str(project.main), str(project.state)).scene()
    found.source.root.protocol["project"] = texts[0]
    return found


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return made(tmp_path_factory.mktemp("pages") / "hostile", large.HOSTILE)


@pytest.fixture(scope="module")
def shown(hostile: Scene) -> dict[str, str]:
    """Every page of the team with hostile texts."""
    return dict(drawn(hostile))


@pytest.fixture(scope="module")
def reported(hostile: Scene) -> str:
    return report.draw(hostile)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return made(tmp_path_factory.mktemp("pages") / "plain", PLAIN)


def drawn(scene: Scene) -> Iterator[tuple[str, str]]:
    """Every page, with every task and instance."""
    site = Site(actions=True, csrf="token", now=scene.board.now)
    for name, page in pages.PAGES.items():
        yield name, page(scene, site, {})
    for row in scene.board.rows:
        yield f"task {row.task}", pages.task(scene, site, row.task)
    for peer, _ in scene.peers:
        yield f"instance {peer.name}", pages.instance(scene, site, peer.name)
    shell = {"title": large.HOSTILE[0], "name": "board", "live": "", "signed_in": True, "scripts": [], "content": ""}
    yield "shell", draw("shell.html", site, project=str(scene.source.root.protocol["project"]), **shell)
    yield "result", draw("result.html", site, ok=False, said=large.HOSTILE[4], back="/")


def test_hostile_text_makes_no_tag_and_no_attribute(shown: dict[str, str], plain: Scene) -> None:
    """The skeleton of every page is the same, whatever text stands in it."""
    ours = dict(drawn(plain))
    assert list(shown) == list(ours)
    for name, text in shown.items():
        if name != "memory":  # words that differ between two versions are marked there
            assert Skeleton(text).tags == Skeleton(ours[name]).tags, name


def test_every_foreign_text_is_isolated(plain: Scene, tmp_path: Path) -> None:
    """A title from right to left turns nothing around that stands before or after it."""
    hebrew = tuple(f"אב {number} (ג" for number in range(len(large.HOSTILE)))
    found = made(tmp_path / "hebrew", hebrew)
    for name, text in [*drawn(found), ("report", report.draw(found))]:
        assert Bare(text).texts == [], name
    assert len(hebrew) == len({text for text in hebrew if text in report.draw(found)})


def test_no_page_names_an_address_of_another_place(shown: dict[str, str]) -> None:
    for name, text in shown.items():
        for attribute, value in Skeleton(text).loads:
            assert attribute in ("href", "action", "src"), (name, attribute)
            assert re.match(r"/(?![/\\])|#", value), (name, value)


def test_no_character_that_steers_or_hides_gets_through(shown: dict[str, str]) -> None:
    for name, text in shown.items():
        assert not STEERING.search(text), name
        assert "\u202e" not in "".join(Skeleton(text).texts), name


@pytest.mark.parametrize("at", range(4))
def test_hostile_text_is_shown_as_it_is(shown: dict[str, str], at: int) -> None:
    told = [" ".join(" ".join(Skeleton(text).texts).split()) for text in shown.values()]
    assert sum(large.HOSTILE[at] in one for one in told) > 3


def test_every_template_escapes() -> None:
    made_ = environment()
    for name in made_.list_templates():
        assert made_.autoescape, name
        source = made_.loader.get_source(made_, name)[0] if made_.loader else ""
        assert "|safe" not in source.replace(" ", ""), name
        assert "autoescape" not in source, name
        assert not re.search(r"<[^>]+\s(style|on[a-z]+)=", source), name
        assert not re.search(r"=\{\{", source), f"{name}: an attribute without quotes"


# -- the report --------------------------------------------------------------------------------------------------


def test_the_report_is_one_file_that_loads_nothing(reported: str, plain: Scene) -> None:
    text = reported
    seen = Skeleton(text)
    assert all(value.startswith("#") for _, value in seen.loads)
    assert not {"img", "link", "iframe", "object", "form"} & {tag[0] for tag in seen.tags}
    assert "default-src 'none'" in text
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert sum(len(one.encode()) for one in scripts) <= 200_000
    assert all("Permission is hereby granted" in one for one in scripts[:2])
    assert [tag[0] for tag in seen.tags].count("script") == len(scripts) == 3
    outside = [tag for tag in Skeleton(report.draw(plain)).tags if tag[0] not in ("mark", "/mark")]
    assert [tag for tag in seen.tags if tag[0] not in ("mark", "/mark")] == outside


def test_every_link_of_the_report_leads_somewhere(hostile: Scene, reported: str) -> None:
    text = reported
    named = set(re.findall(r'\sid="([^"]+)"', text))
    assert set(re.findall(r'href="#([^"]+)"', text)) <= named
    assert {f"task-{row.task}" for row in hostile.board.rows} <= named


def test_no_id_of_the_report_is_used_twice(reported: str) -> None:
    named = re.findall(r'\sid="([^"]+)"', reported)
    assert sorted(set(named)) == sorted(named)


# -- what is shown -----------------------------------------------------------------------------------------------


def test_a_team_without_tasks_and_instances_is_shown(tmp_path: Path) -> None:
    roots.create(str(tmp_path / paths.ROOT), "app")
    empty = Source(str(tmp_path), str(tmp_path / paths.ROOT)).scene()
    site = Site(now=empty.board.now)
    told = {name: " ".join(Skeleton(page(empty, site, {})).texts) for name, page in pages.PAGES.items()}
    assert "No tasks yet: peercoord task add" in " ".join(told["board"].split())
    assert "No instance has joined" in told["instances"]
    assert "Nothing has happened yet" in told["timeline"]
    assert "No task is finished yet" in told["progress"]
    assert "No task waits for another one" in told["graph"]
    assert "Nothing waits for a decision" in told["memory"]
    assert "Nothing needs you" in report.draw(empty)


def test_ages_alone_are_no_change(plain: Scene) -> None:
    site = Site(now=plain.board.now)
    later = Site(now="2099-01-01T00:00:00Z")
    board = pages.board(plain, site, {})
    assert mark(board) == mark(pages.board(plain, later, {}))
    assert mark(board) != mark(pages.board(plain, Site(now=site.now, actions=True), {}))


def test_tasks_are_found_by_words_and_by_state(plain: Scene) -> None:
    site = Site(now=plain.board.now)
    every = set(re.findall(r'id="row-(\d+)"', pages.tasks(plain, site, {})))
    assert every == {row.task for row in plain.board.rows}
    parked = set(re.findall(r'id="row-(\d+)"', pages.tasks(plain, site, {"state": "parked"})))
    assert parked == {row.task for row in plain.board.by_status["blocked"] + plain.board.by_status["review"]}
    named = set(re.findall(r'id="row-(\d+)"', pages.tasks(plain, site, {"q": "#7"})))
    assert named == {"7"}
    assert "No task is like this" in pages.tasks(plain, site, {"q": "nothing has this title", "state": "<x>"})


def test_the_story_of_a_task_has_every_attempt(plain: Scene) -> None:
    site = Site(now=plain.board.now)
    task = next(one.task for one in plain.history.attempts if one.outcome == "evicted")
    text = pages.task(plain, site, task)
    for one in plain.attempts[task]:
        assert f'href="/instance/{one.peer}"' in text
        assert f's-{one.outcome}">{"in hand" if one.outcome == "held" else one.outcome}</span>' in text
        assert one.reason in text


def test_both_versions_of_a_memory_text_are_beside_each_other(hostile: Scene) -> None:
    text = pages.memory(hostile, Site(now=hostile.board.now), {})
    cells = ["".join(Skeleton(cell).texts) for cell in re.findall(r'<td class="added">(.*?)</td>', text, re.DOTALL)]
    assert len(cells) == 2
    assert f"after 30 {large.HOSTILE[0]} minutes" in cells[0]
    assert f"after 60 {large.HOSTILE[1]} minutes" in cells[1]
    typed = re.findall(r'<code class="command">(peercoord review approve [^<]*)</code>', text)
    assert [command.rpartition(" ")[2] for command in typed] == ["left", "right", "both"]
    (item,) = hostile.reviews
    bank = replace(item, sides=[replace(item.sides[0], label="memory bank, as it stands"), item.sides[1]])
    for one, first in ((item, "Take instance-1's"), (bank, "Keep it as it stands")):
        with mock.patch.dict(vars(hostile), reviews=[one]):
            drawn = pages.memory(hostile, Site(actions=True, csrf="token", now=hostile.board.now), {})
        buttons = [button for button in Skeleton(drawn).texts if re.match("(Take|Keep) ", button)]
        assert buttons == [first, "Take instance-2's", "Take both"]


@pytest.mark.parametrize("then", ["2026-01-31T15:30:00Z\r\revent: x\rdata: y", "\r\u2028\x1b[2J", '"><script>'])
def test_a_moment_steers_nothing(then: str) -> None:
    """A carriage return would end a line of the stream of changes, too."""
    site = Site(now="2026-02-01T00:00:00Z")
    for drawn in (site.at(then), site.age(then), site.until(then)):
        assert drawn == drawn.replace("\r", "").replace("\n", "")
        assert str(drawn).isprintable()
        assert "<script" not in drawn
