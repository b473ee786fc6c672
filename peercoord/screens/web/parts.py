"""What of a page has changed: its parts are replaced one by one, and the whole page only where they are others.

A template puts a part between two comments, ``<!--[ID-->`` and ``<!--]-->``; the part is one element with that id. No
text from outside can hold such a comment, for it is escaped. Ages alone are no change: the browser keeps them.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_PART = re.compile(r"<!--\[([\w.~-]+)-->(.*?)<!--\]-->", re.DOTALL)
_AGES = re.compile(r"<time [^>]*data-age>[^<]*</time>")


@dataclass(frozen=True, slots=True)
class Shown:
    """What a browser shows: marks of the page around the parts, and of each part."""

    frame: str
    parts: Mapping[str, str]


def shown(content: str) -> Shown:
    """Return the marks of a page as it was drawn."""
    parts = {found[1]: mark(found[2]) for found in _PART.finditer(content)}
    return Shown(mark(_PART.sub(r"<!--\1-->", content)), parts)


def changed(before: Shown | None, content: str) -> str:
    """Return what a browser has to replace, given what it shows; the whole page if its parts are others."""
    now = shown(content)
    if before is None or now.frame != before.frame:
        return whole(content)
    return "".join(
        f'<hx-partial hx-target="[id=\'{found[1]}\']" hx-swap="outerMorph">{found[2]}</hx-partial>'
        for found in _PART.finditer(content)
        if now.parts[found[1]] != before.parts[found[1]]
    )


def whole(content: str) -> str:
    """Return a page without the comments around its parts."""
    return _PART.sub(r"\2", content)


def mark(content: str) -> str:
    """Return a short text that tells two states of a page apart."""
    return hashlib.sha256(_AGES.sub("", content).encode()).hexdigest()[:16]
