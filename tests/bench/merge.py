"""What a merge of the memory bank costs beside one reading of the document and the text merges that it cannot avoid.

Rounds are interleaved: each parses the document once with markdown-it-py, calls ``git merge-file`` once for each
contested section, and merges. What else the machine does falls on all three alike.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from peercoord.memory import contribution
from peercoord.memory.contribution import Author, Contribution
from peercoord.memory.document import Section, split_document
from peercoord.memory.merge import merge
from peercoord.memory.textmerge import merger

if TYPE_CHECKING:
    from peercoord.memory.outcome import Merge3, Merged

BAR = 3.0  # times one parse, beside one run of git for each contested section
NAME = "techContext.md"
PEERS = 10
SIDES = ("ours", "base", "theirs")
_WORDS = ("quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog", "while", "servers", "restart", "again")


def measure(size: int, count: int, rounds: int, where: str = "") -> dict[str, Any]:
    """Measure merges into a document of this size, at least; texts that git merges are written in ``where``."""
    import markdown_it

    shapes = {name: _shape(make(size, count), rounds, where) for name, make in SHAPES.items()}
    return {
        "bytes": size,
        "contributions": count,
        "rounds": rounds,
        "python": sys.version.split()[0],
        "markdown_it": markdown_it.__version__,
        "shapes": shapes,
        "bars": {
            **{f"{name}: at most {BAR:g} readings beside git": one["ratio"] <= BAR for name, one in shapes.items()},
            "git is called once for each contested section": all(
                one["git_calls"] == one["contested"] for one in shapes.values()
            ),
            "every contribution is merged": all(one["settled"] == one["contributions"] for one in shapes.values()),
        },
    }


class Shape(NamedTuple):
    """A document, what is contributed to it, and how many sections are changed from two sides."""

    document: bytes
    given: Sequence[Contribution]
    contested: int


# -- shapes ------------------------------------------------------------------------------------------------------


def mixed(size: int, count: int) -> Shape:
    """Make contributions of every kind, a tenth of each, the rest additions."""
    document = of_sections(size)
    found = _sections(document)
    tenth = max(1, min(count, len(found)) // 10)
    made = revised(found[:tenth], lambda one: one.text.replace("nested", "N"))
    made += _contested(found[tenth : 2 * tenth])
    made += [_note("- x", (*found[0].path[:1], f"New {n}"), n) for n in range(tenth)]
    rest = found[2 * tenth :]
    made += [_note(f"- addition {n}", rest[n % len(rest)].path, n) for n in range(count - len(made))]
    return Shape(document, made, tenth)


def contested(size: int, count: int) -> Shape:
    """Make two updates of each section, in different lines."""
    document = of_sections(size)
    found = _sections(document)[: count // 2]
    return Shape(document, _contested(found), len(found))


SHAPES: dict[str, Callable[[int, int], Shape]] = {
    "of everything": mixed,
    "all contested": contested,
}


def of_sections(size: int) -> bytes:
    """Make a document of many sections, with lists, code and tables in them."""
    chance = random.Random(1)
    parts, length = ["# Title\n"], 0
    while length < size:
        items = f"- {_prose(chance)}\n- `x` **{_prose(chance)}**\n  - nested\n"
        rest = "```py\n# code\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
        parts.append(f"\n## Section {len(parts)}\n\n{_prose(chance)}\n\n{items}\n{rest}")
        length += len(parts[-1])
    return "".join(parts).encode()


def _prose(chance: random.Random) -> str:
    return " ".join(chance.choice(_WORDS) for _ in range(40))


def _sections(document: bytes) -> Sequence[Section]:
    return split_document(document).sections[2:]


def revised(found: Sequence[Section], change: Callable[[Section], str], peer: str = "i-1") -> list[Contribution]:
    """Make an update of each of these sections."""
    return [
        contribution.make(Author(peer, "7", _at(0)), "bench", NAME, one.path, change(one), kind="update", base=one.hash)
        for one in found
    ]


def _contested(found: Sequence[Section]) -> list[Contribution]:
    first = revised(found, lambda one: f"first\n\n{one.text}")
    return first + revised(found, lambda one: f"{one.text}\n\nlast", "i-2")


def _note(text: str, path: tuple[str, ...], number: int) -> Contribution:
    return contribution.make(Author(f"i-{number % PEERS}", "7", _at(number)), "bench", NAME, path, text)


def _at(second: int) -> str:
    return f"2026-01-01T{second // 3600 % 24:02d}:{second // 60 % 60:02d}:{second % 60:02d}Z"


# -- measuring ---------------------------------------------------------------------------------------------------


def _shape(shape: Shape, rounds: int, where: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="peercoord-bench-", dir=where or None) as home, merger() as merge3:
        return _measured(shape, rounds, Path(home), merge3)


def _measured(shape: Shape, rounds: int, home: Path, merge3: Merge3) -> dict[str, Any]:
    from markdown_it import MarkdownIt

    text, parser = shape.document.decode(), MarkdownIt()
    known = {one.hash: one.core for one in split_document(shape.document).sections}
    asked: list[tuple[str, str, str]] = []

    def counted(ours: str, base: str, theirs: str) -> Merged:
        asked.append((ours, base, theirs))
        return merge3(ours, base, theirs)

    done = merge(NAME, shape.document, shape.given, known, counted)
    places = _written(asked, home)
    taken: list[tuple[float, float, float]] = []
    for _ in range(rounds):
        parse = _timed(lambda: parser.parse(text))
        bare = _timed(lambda: _git(places))
        taken.append((parse, bare, _timed(lambda: merge(NAME, shape.document, shape.given, known, merge3))))
    parse, bare, whole = (median(one) for one in zip(*taken, strict=True))
    return {
        "contributions": len(shape.given),
        "contested": shape.contested,
        "git_calls": len(asked),
        "settled": len(done.applied) + len(done.duplicates),
        "parse_ms": round(parse * 1000, 1),
        "git_ms": round(bare * 1000, 1),
        "merge_ms": round(whole * 1000, 1),
        "ratio": round(median((whole - bare) / parse for parse, bare, whole in taken), 2),
    }


def _written(asked: Sequence[tuple[str, str, str]], home: Path) -> list[Path]:
    """Write down what git was asked to merge; the directory of each merge."""
    places = []
    for number, texts in enumerate(asked):
        places.append(home / str(number))
        places[-1].mkdir()
        for name, text in zip(SIDES, texts, strict=True):
            (places[-1] / name).write_text(text, encoding="utf-8")
    return places


def _git(places: Sequence[Path]) -> None:
    for place in places:
        words = ["git", "merge-file", "-p", "-q", "--diff3", *SIDES]
        subprocess.run(words, cwd=place, stdin=subprocess.DEVNULL, capture_output=True, check=False)


def _timed(do: Callable[[], object]) -> float:
    begin = time.perf_counter()
    do()
    return time.perf_counter() - begin
