"""Stories as files: each file of ``stories/`` holds what peers contribute and people do, and what the bank makes of it.

After a change that is meant, write the results again with ``pytest tests/memory/test_stories.py --regenerate``.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from memory.banks import ANN, Scene, always, check_chain, intents, litter, places
from memory.helpers import note, texts
from support import golden

from peercoord.errors import PeercoordError
from peercoord.memory.document import parse_path, path_text, split_document
from peercoord.memory.journal import state_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from peercoord.memory.contribution import Contribution
    from peercoord.memory.journal import Entry
    from peercoord.memory.outcome import Candidate

GIVEN = re.compile(r"(\d+): (\S+) (adds to|updates) (.*?)((?:, (?:critical|replaces \d+|in \S+))*)$")


class Story:
    """One memory bank, whose ``techContext.md`` is ``TECH``. A file is a title and steps that begin with ``>>>``.

    ``saves NAME``, ``edits NAME`` (a line, and the lines in its place) and ``removes NAME`` are what a person does to a
    document. ``1: instance-1 adds to Tools, critical``
    queues a contribution; it may replace an earlier one, and be for another document. ``merge`` (of documents named),
    ``approves`` (one side, or the text that follows), ``rejects``, ``undoes N`` (an entry) and ``progress`` show all
    that they change: lines of documents, where contributions and candidates are, and entries of the journal.
    """

    def __init__(self) -> None:
        self.scene, self.time = Scene(), 0
        self.scene.write()
        self.given: dict[str, Contribution] = {}
        self.candidate: Candidate | None = None
        self.seen = self.state()

    def play(self, text: str) -> str:
        """The file as it is with the results of these steps."""
        written, parts = golden.steps(text)
        for head, body in parts:
            found, (word, _, more) = GIVEN.match(head), head.partition(" ")
            if found:
                self.queue(body.strip("\n"), *found.groups())
            elif word in ("saves", "edits", "removes"):
                self.scene.write(self.edited(more, body) if word != "removes" else None, more)
            else:
                act: Callable[[str, str], None] = getattr(self, word)
                text = "".join(body.partition("----\n")[:2]) if f"{word} {more}" == "approves text" else ""
                body = text + self.shown(act, more, text.removesuffix("----\n").strip("\n"))
            written += f">>> {head}\n{body}"
            self.seen = self.state()
        return written

    def edited(self, name: str, body: str) -> bytes:
        if not body.startswith("- "):
            return body.encode()
        old, _, new = re.sub("(?m)^[-+] ?", "", body).partition("\n")
        return (self.scene.document(name) or b"").replace(f"{old}\n".encode(), new.encode())

    def queue(self, text: str, number: str, peer: str, verb: str, place: str, words: str) -> None:
        self.time += 1
        more = dict(word.split(" ") for word in words.split(", ") if " " in word)
        document = more.get("in", "techContext.md")
        section = () if place == "the document" else parse_path(place)
        before = self.scene.document(document) or b""
        base = split_document(before).find(section) if verb == "updates" else None
        one = note(
            text,
            section,
            peer=peer,
            time=self.time,
            kind="update" if verb == "updates" else "addition",
            base=base.hash if base else "",
            critical=", critical" in words,
            document=document,
            supersedes=tuple(self.given[more[key]].id for key in more if key == "replaces"),
        )
        self.given[number] = one
        store = self.scene.bank().store
        store.texts.keep(texts(before))
        store.publish(one)

    # -- what people and the leader do -----------------------------------------------------------------------

    def merge(self, names: str, _: str) -> None:
        self.scene.bank().merge("leader", always, names.split() or None)

    def approves(self, side: str, text: str) -> None:
        candidate = self.decided()
        self.scene.bank().approve(candidate.id, text if side == "text" else candidate.takes[side], ANN)

    def rejects(self, reason: str, _: str) -> None:
        self.scene.bank().reject(self.decided().id, reason, ANN)

    def decided(self) -> Candidate:
        """The candidate that waits, or waited last."""
        self.candidate = next((waits.candidate for waits in self.scene.bank().waiting()), self.candidate)
        assert self.candidate
        return self.candidate

    def undoes(self, number: str, _: str) -> None:
        bank = self.scene.bank()
        bank.undo(bank.entries()[int(number) - 1].id, ANN)

    def progress(self, done: str, _: str) -> None:
        self.scene.bank().progress(f"{done} of 3 tasks done\n", "leader", always)

    # -- what is shown ---------------------------------------------------------------------------------------

    def state(self) -> dict[str, str]:
        """Where everything is, and what holds in every state: one place each, a whole chain, nothing left over."""
        bank, found = self.scene.bank(), {}
        where = places(self.scene)
        for number, one in self.given.items():
            why = bank.store.rejection(one.id)
            found[f"contribution {number}"] = " ".join(
                [where[one.id], *(why[key] for key in ("code", "reason") if why)]
            )
        for waits in bank.waiting():
            one = waits.candidate
            members = ", ".join(number for number, each in self.given.items() if each.id in one.members)
            place = path_text(one.section, one.occurrence)
            found[one.id] = f"{members} in {waits.state}, {place}: {one.why}\n{one.proposed}"
        entries = bank.entries()
        for name in {one.document for one in entries}:
            check_chain(bank.entries(name))
        numbers = {one.id: str(at) for at, one in enumerate(entries, 1)}
        for at, one in enumerate(entries, 1):
            found[f"entry {at}"] = self.entry(one, numbers)
        for name in bank.documents():
            found[name] = (self.scene.document(name) or b"").decode()
        assert (litter(self.scene), intents(self.scene)) == ([], [])
        return found

    @staticmethod
    def entry(one: Entry, numbers: dict[str, str]) -> str:
        sections = ", ".join(path_text(edit.section, edit.occurrence) for edit in one.edits)
        undoes = f" of {numbers[one.undoes]}" if one.undoes else ""
        return f"{one.kind}{undoes} by {one.by} in {one.document}: {sections}"

    def shown(self, act: Callable[[str, str], None], more: str, text: str) -> str:
        """Do something; return all that it changed."""
        before, files = self.seen, self.scene.disk.files()
        try:
            act(more, text)
            said = ""
        except PeercoordError as error:
            said = f"fails ({error.code}): {error.message}\n"
        now = self.state()
        for what in [*before, *(each for each in now if each not in before)]:
            was, is_now = before.get(what, ""), now.get(what, "")
            if was == is_now:
                continue
            if what.endswith(".md"):
                lines = difflib.ndiff(was.splitlines(), is_now.splitlines())
                said += "".join(f"{line.rstrip()}\n" for line in [f"{what}:", *lines] if line[:1] not in ("?", " "))
            elif what.startswith("k-"):
                said += f"waits: {is_now}\n" if is_now else "waits no more\n"
            else:
                said += f"{what}: {is_now}\n"
        newest = self.scene.bank().entries()[-1:]
        for entry in newest if len(now) > len(before) else []:
            assert entry.after == state_of(self.scene.document(entry.document))
        return said or ("nothing is written\n" if self.scene.disk.files() == files else "nothing changes\n")


@pytest.mark.usefixtures("shared")
@golden.files(Path(__file__).parent / "stories")
def test_a_story_ends_as_its_file_says(path: Path, request: pytest.FixtureRequest) -> None:
    golden.check(path, Story().play, request)
