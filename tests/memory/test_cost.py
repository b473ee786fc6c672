"""A thousand contributions into a megabyte cost a few readings of it, and one run of git for each contested section."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

import pytest
from markdown_it import MarkdownIt
from memory.helpers import note, texts

from peercoord.core.memory import sections
from peercoord.core.memory.merge import merge

if TYPE_CHECKING:
    from peercoord.core.memory.conflicts import Merge3, Merged
    from peercoord.core.memory.contributions import Contribution

SIZE = 1_000_000
COUNT = 1_000
ROUNDS = 5
WORDS = ("quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog", "while", "servers", "restart", "again")


def prose(chance: random.Random) -> str:
    return " ".join(chance.choice(WORDS) for _ in range(40))


def section(chance: random.Random, number: int) -> str:
    items = f"- {prose(chance)}\n- `x` **{prose(chance)}**\n  - nested\n"
    return (
        f"\n## Section {number}\n\n{prose(chance)}\n\n{items}\n```py\n# code\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
    )


def of_sections(chance: random.Random) -> bytes:
    parts, size = ["# Title\n"], 0
    while size < SIZE:
        parts.append(section(chance, len(parts)))
        size += len(parts[-1])
    return "".join(parts).encode()


def of_one(chance: random.Random) -> bytes:
    return ("# Title\n\n## Section 1\n\n" + "\n\n".join(prose(chance) for _ in range(SIZE // 230))).encode()


def revised(of: sections.Section, text: str, peer: str = "i-1") -> Contribution:
    return note(text, of.path, kind="update", base=of.hash, peer=peer)


def mixed(document: bytes) -> list[Contribution]:
    found = sections.split(document).sections[2:]
    made = [note(f"- addition {n}", found[n].path, time=n, peer=f"i-{n % 10}") for n in range(600)]
    made += [note("- x", ("Title", f"New {n}"), time=n) for n in range(100)]
    made += [revised(one, one.text.replace("nested", "N")) for one in found[600:700]]
    return made + contested_ones(found[700:800])


def one_section(document: bytes) -> list[Contribution]:
    return [note(f"- addition {n}", ("Title", "Section 1"), time=n, peer=f"i-{n % 10}") for n in range(COUNT)]


def new_sections(document: bytes) -> list[Contribution]:
    return [note(f"- addition {n}", ("Title", f"New {n}"), time=n) for n in range(COUNT)]


def contested(document: bytes) -> list[Contribution]:
    return contested_ones(sections.split(document).sections[2 : 2 + COUNT // 2])


def contested_ones(found: Sequence[sections.Section]) -> list[Contribution]:
    made = [revised(one, f"first\n\n{one.text}") for one in found]
    return made + [revised(one, f"{one.text}\n\nlast", "i-2") for one in found]


def timed(work: Callable[[], object]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "contribute"),
    [(of_sections, mixed), (of_one, one_section), (of_sections, new_sections), (of_sections, contested)],
    ids=["mixed", "one section", "new sections", "all contested"],
)
def test_a_thousand_contributions_into_a_megabyte(
    merge3: Merge3,
    shape: Callable[[random.Random], bytes],
    contribute: Callable[[bytes], list[Contribution]],
    record_property: Callable[[str, object], None],
) -> None:
    document = shape(random.Random(1))
    text, given, store = document.decode(), contribute(document), texts(document)
    assert len(given) == COUNT
    asked: list[float] = []

    def counted(ours: str, base: str, theirs: str) -> Merged:
        start = perf_counter()
        merged = merge3(ours, base, theirs)
        asked.append(perf_counter() - start)
        return merged

    rounds = []
    for _ in range(ROUNDS):
        asked.clear()
        parse = timed(lambda: MarkdownIt().parse(text))
        whole = timed(lambda: merge("techContext.md", document, given, store, counted))
        rounds.append(((whole - sum(asked)) / parse, parse, whole, len(asked), sum(asked)))
    ratio = median(one[0] for one in rounds)
    contested_count = {"mixed": 100, "contested": COUNT // 2}.get(contribute.__name__, 0)
    record_property("figures", rounds[-1])
    print(
        f"\n{contribute.__name__}: {ratio:.2f} × parse; parse {rounds[-1][1]:.2f} s, git {rounds[-1][3]} × in "
        f"{rounds[-1][4]:.2f} s, whole {rounds[-1][2]:.2f} s"
    )
    assert rounds[-1][3] == contested_count
    assert ratio <= 3
    done = merge("techContext.md", document, given, store, merge3)
    assert len(done.applied) == COUNT
