"""A change reaches a browser as small fragments, and never as something that a title pretends to be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from peercoord.queue.queue import Queue
from peercoord.screens.web import pages, parts
from peercoord.screens.web.drawing import Site
from peercoord.screens.web.model import Source
from peercoord.store import paths, records
from peercoord.store import root as roots

FAKE = "<!--[row-1-->gone<!--]-->"


@pytest.fixture
def source(tmp_path: Path) -> Source:
    queue = Queue(roots.create(str(tmp_path / paths.ROOT), "app"))
    for number in range(1, 13):
        queue.add(records.define(str(number), f"{FAKE} task {number}"))
    return Source(str(tmp_path), str(tmp_path / paths.ROOT))


def drawn(source: Source, name: str) -> str:
    scene = source.scene(fresh=True)
    return pages.PAGES[name](scene, Site(now=scene.board.now), {})


def test_a_part_is_one_element_with_its_id(source: Source) -> None:
    for name in pages.PAGES:
        content = drawn(source, name)
        found = re.findall(r"<!--\[([^>]*)-->(.*?)<!--\]-->", content, re.DOTALL)
        for ident, text in found:
            tag = re.match(rf'<(\w+)[^>]* id="{re.escape(ident)}"', text)
            assert tag, (name, ident)
            assert text.endswith(f"</{tag[1]}>")
        assert len({ident for ident, _ in found}) == len(found) > 0
        assert "<!--" not in parts.whole(content)


@pytest.mark.parametrize("name", ["board", "tasks"])
def test_only_what_has_changed_is_sent(source: Source, name: str) -> None:
    before = drawn(source, name)
    assert parts.changed(parts.shown(before), before) == ""
    source.queue.cancel("7")
    after = drawn(source, name)
    sent = parts.changed(parts.shown(before), after)
    assert 0 < len(sent) < len(after)
    replaced = set(re.findall(r"hx-target=\"\[id='([^']*)'\]\"", sent))
    assert replaced == {"board": {"strip", "tasks-ready", "segments"}, "tasks": {"strip", "chips", "row-7"}}[name]


def test_another_set_of_parts_is_a_new_page(source: Source) -> None:
    before = drawn(source, "tasks")
    source.queue.add(records.define("41", "one more"))
    after = drawn(source, "tasks")
    assert parts.changed(parts.shown(before), after) == parts.whole(after)
    assert parts.changed(None, before) == parts.whole(before)
