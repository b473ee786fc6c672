"""The page about platforms names what the code really asks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import peercoord
from protocol import document

PAGE = (document.PROTOCOL / "platforms.md").read_text(encoding="utf-8")
CODE = "".join(p.read_text(encoding="utf-8") for p in (Path(peercoord.__file__).parent / "system").glob("*.py"))
ROWS = document.table("as peers on other machines do.\n", PAGE)
NAMED = sorted({word for row in ROWS for cell in row[1:] for word in re.findall(r"`([^`]+)`", cell)} - {"T"})


@pytest.mark.parametrize("name", NAMED)
def test_what_is_named_is_asked(name: str) -> None:
    wanted = name.replace("<pid>", "{pid}").replace("/proc/self/ns/", "/proc/{pid}/ns/{kind}")
    assert wanted in CODE


def test_every_platform_has_its_column() -> None:
    assert {len(row) for row in ROWS} == {4}
    assert all(cell for row in ROWS for cell in row)
