"""Contributed files as files: each file of ``readings/`` holds what an author saves, step by step, and what it gives.

After a change that is meant, write the results again with ``pytest tests/memory/test_reading_cases.py --regenerate``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from memory.helpers import at, texts
from support import golden

from peercoord.errors import UsageError
from peercoord.memory.contribution import Author
from peercoord.memory.document import path_text
from peercoord.memory.merge import merge
from peercoord.memory.reader import from_call, from_file

if TYPE_CHECKING:
    from peercoord.memory.contribution import Contribution
    from peercoord.memory.outcome import Merge3
    from peercoord.memory.reader import Reading


class Story:
    """One worktree and the bank.

    ``>>> bank progress.md`` is a document, ``>>> saves learnings.md`` a file that the author saves, ``>>> adds to
    Limits`` and ``>>> updates Limits`` are calls for ``techContext.md``, and ``>>> merged`` merges what was given and
    not withdrawn. The other parts are what each step gives.
    """

    def __init__(self, merge3: Merge3) -> None:
        self.merge3 = merge3
        self.bank: dict[str, bytes] = {}
        self.copied: dict[str, bytes] = {}
        self.kept: dict[str, bytes] = {}
        self.given: list[Contribution] = []
        self.merged: set[str] = set()
        self.withdrawn: set[str] = set()
        self.time = 0

    def play(self, text: str) -> str:
        """The file as it is with the results of these steps."""
        written, parts = golden.steps(text)
        for head, body in parts:
            word, _, name = head.partition(" ")
            if word == "bank":
                self.bank[name] = body.encode()
                written += f">>> {head}\n{body}"
            elif word == "saves":
                written += f">>> {head}\n{body}" + self.told(self.read(name, body.encode()))
            elif word in ("adds", "updates"):
                written += f">>> {head}\n{body}" + self.called(body.removesuffix("\n"), word, name.removeprefix("to "))
            elif word == "merged":
                written += f">>> merged\n{self.merge()}"
        return written

    def read(self, name: str, data: bytes) -> Reading:
        self.time += 1
        origin = self.copied.get(name)
        if name in self.bank:
            self.copied.setdefault(name, self.bank[name])
        known = {"earlier": list(self.given), "merged": self.merged, "withdrawn": self.withdrawn}
        found = from_file(Author("instance-1", "7", at(self.time)), name, data, self.bank, origin=origin, **known)  # type: ignore[arg-type]
        self.given += found.contributions
        self.withdrawn |= set(found.withdrawn)
        self.kept |= found.texts
        return found

    def called(self, text: str, verb: str, section: str) -> str:
        self.time += 1
        author, kind = Author("instance-1", "7", at(self.time)), "update" if verb == "updates" else "addition"
        briefed, nonce = self.bank.get("techContext.md"), str(self.time)
        try:
            found = from_call(author, "techContext.md", text, nonce, briefed=briefed, section=section, kind=kind)
        except UsageError as error:
            return f">>> refuses ({error.code}): {error.message}\n"
        self.given += found.contributions
        self.kept |= found.texts
        return self.told(found)

    def number(self, ident: str) -> str:
        return str([one.id for one in self.given].index(ident) + 1)

    def told(self, found: Reading) -> str:
        parts = []
        for one in found.contributions:
            replaced = ", ".join(map(self.number, one.supersedes))
            words = f"{one.kind} to {one.document}: {path_text(one.section, one.occurrence)}"
            words += f", replaces {replaced}" if replaced else ""
            words += ", critical" if one.critical else ""
            parts.append(f">>> gives {self.number(one.id)}: {words}\n{one.content}\n")
        parts += [f">>> withdraws {self.number(ident)}\n" for ident in found.withdrawn]
        parts += [f">>> refuses ({why.code}): {why.message}\n" for why in found.refused]
        parts += [f">>> notes: {note}\n" for note in found.notes]
        return "".join(parts) or ">>> gives nothing\n"

    def merge(self) -> str:
        """Merge what waits; the documents that change."""
        said = ""
        waits = [one for one in self.given if one.id not in self.merged and one.id not in self.withdrawn]
        for name in sorted({one.document for one in waits}):
            mine = [one for one in waits if one.document == name]
            store = {**self.kept, **texts(self.bank.get(name, b""))}
            outcome = merge(name, self.bank.get(name), mine, store, self.merge3)
            assert outcome.candidates == []
            self.bank[name] = outcome.document
            self.merged |= set(outcome.applied) | set(outcome.duplicates)
            self.merged |= set(outcome.superseded)
            said += f"{name}:\n{outcome.document.decode()}"
        return said


@golden.files(Path(__file__).parent / "readings")
def test_a_file_gives_what_its_story_says(path: Path, merge3: Merge3, request: pytest.FixtureRequest) -> None:
    """MEM-15."""
    golden.check(path, Story(merge3).play, request)
