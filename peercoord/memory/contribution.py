"""A contribution: one peer's text for one section of one document, made once and never edited.

Promise: its id follows from its author, source and text alone. A file that is seen again after a crash, or by a second
collector, gives the same ids, and nothing is counted twice. An edited file gives new contributions that name those they
supersede. Keys that this version does not know are kept.

A contribution never holds a heading: a text with headings becomes one contribution for each section. So a merge can
change one section and leave every other byte alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from peercoord.errors import BrokenFileError, UsageError
from peercoord.foreign import shown, unmarked, whole
from peercoord.memory import markdown
from peercoord.memory.document import decode_utf8, digest, fold_path, lf_text
from peercoord.store import ids

if TYPE_CHECKING:
    from peercoord.foreign import Json
    from peercoord.memory.document import Path

STATIC = ("projectbrief.md", "productContext.md")
KNOWN = (*STATIC, "systemPatterns.md", "techContext.md", "activeContext.md", "progress.md")
SCHEMA_VERSION = 1
KINDS = ("addition", "update")
CRITICALITIES = ("normal", "critical")
FILE_BYTES = 4 << 20  # a contribution file larger than this is refused unread
CONTENT_BYTES = 256 << 10  # one contribution; its record stays below the limit of all records
DEPTH_MOST = 6  # headings have no more levels
HEADING_CHARS = 500


@dataclass(frozen=True, slots=True, eq=False)
class Contribution:
    """One contribution, checked."""

    id: str  # ``c-`` and 32 hexadecimal digits; also its file name
    peer: str  # who made it
    task: str  # the task it was made for, ``""`` if none
    document: str  # file name in the memory bank
    # heading path; ``()`` is the text above the first heading for an update, the whole document for an addition
    section: Path
    occurrence: int  # which of the sections with that path, from 1
    kind: str  # ``addition`` (appended) or ``update`` (the section's whole text)
    critical: bool  # it waits for a person even when it merges cleanly
    base: str  # hash of the section's text that its author saw; ``""`` if there was no such section
    content: str  # the text, ``LF`` line endings, no headings
    time: str  # when it was made or collected, RFC 3339 in UTC. It orders additions; it decides nothing
    supersedes: tuple[str, ...]  # ids of its author's earlier ones that it replaces where they are not merged yet
    source: str  # the file it came from, or the call
    raw: Json  # the record, unknown keys included

    @property
    def order(self) -> tuple[str, str, str]:
        """Where it stands among others: by time, then peer, then id; the same on every machine."""
        return (self.time, self.peer, self.id)

    @property
    def key(self) -> tuple[str, Path, int]:
        """The place it is for: document, section, occurrence, as they are compared."""
        return (self.document.casefold(), fold_path(self.section), self.occurrence)

    @classmethod
    def read(cls, raw: Json, where: str) -> Contribution:
        """Check a record read from ``where``; a ``BrokenFileError`` says why it is no contribution."""
        try:
            return check(raw)
        except UsageError as error:
            raise BrokenFileError(f"{where}: {error.message}", error.hint, error.code) from None


@dataclass(frozen=True, slots=True)
class Author:
    """Who contributes, for which task (empty if for none), and when (RFC 3339, UTC)."""

    peer: str
    task: str
    time: str

    def __post_init__(self) -> None:
        ids.check(self.peer, "peer")
        if self.task:
            ids.check(self.task)


def make(
    author: Author,
    source: str,
    document: str,
    path: Path,
    content: str,
    *,
    occurrence: int = 1,
    kind: str = "addition",
    base: str = "",
    critical: bool = False,
    supersedes: tuple[str, ...] = (),
) -> Contribution:
    """Make a contribution, checked; a ``UsageError`` says what is not allowed."""
    named = (author.peer, source, document, kind, str(occurrence), *path, "", content, "", *supersedes)
    lengths = ",".join(map(str, map(len, named)))
    return check(
        {
            "schema_version": SCHEMA_VERSION,
            "id": "c-" + digest(f"{lengths}:{''.join(named)}".encode("utf-8", "surrogatepass"))[:32],
            "instance_id": author.peer,
            "task_id": ids.public(author.task) if author.task else None,
            "file": document,
            "section": list(path),
            "occurrence": occurrence,
            "type": kind,
            "criticality": CRITICALITIES[critical],
            "base": base,
            "content": content,
            "timestamp": author.time,
            "supersedes": list(supersedes),
            "source": source,
        }
    )


# -- checking ----------------------------------------------------------------------------------------------------


def check(raw: Json) -> Contribution:
    """Check a record, perhaps of another program, and return its contribution; a ``UsageError`` says what is wrong."""
    base, time, old = raw.get("base", ""), raw.get("timestamp"), raw.get("supersedes", [])
    ids.check(raw.get("id"), "contribution id")
    ids.check(raw.get("instance_id"), "peer")
    if raw.get("task_id") not in (None, ""):
        ids.check(raw["task_id"])
    check_document(raw.get("file"))
    _check_section(raw.get("section"), raw.get("occurrence", 1))
    for key, word, words in (("type", None, KINDS), ("criticality", "normal", CRITICALITIES)):
        if raw.get(key, word) not in words:
            what = f"{key} {shown(raw.get(key))} is not known"
            raise UsageError(what, hint=f"one of {', '.join(words)}", code="bad-contribution")
    if not isinstance(base, str) or (base and not is_hash(base)):
        raise UsageError(f"base {shown(base)} is no hash", code="bad-contribution")
    if not isinstance(time, str) or not time.isascii() or not 20 <= len(time) <= 40 or time[-1] != "Z":
        raise UsageError(f"timestamp {shown(time)} is no time in UTC", code="bad-contribution")
    if not isinstance(old, list) or not all(ids.is_id(one) for one in old):
        raise UsageError("'supersedes' must be a list of contribution ids", code="bad-contribution")
    check_content(raw.get("content"))
    return Contribution(
        id=raw["id"],
        peer=raw["instance_id"],
        task=ids.read(raw.get("task_id")),
        document=raw["file"],
        section=tuple(map(unmarked, raw["section"])),
        occurrence=int(raw.get("occurrence", 1)),
        kind=raw["type"],
        critical=raw.get("criticality") == "critical",
        base=base,
        content=unmarked(raw["content"]),
        time=time,
        supersedes=tuple(old),
        source=str(raw.get("source", "")),
        raw=raw,
    )


def check_document(name: object) -> str:
    """Return a document's name, checked: a plain file name that ends in ``.md``. The bank has no subfolders."""
    if isinstance(name, str) and ids.is_id(name) and name.endswith(".md") and len(name) > len(".md"):
        return name
    raise UsageError(
        f"document name {shown(name)} is not allowed",
        hint="name a file of the memory bank, such as techContext.md: letters, digits, '.', '_', '-', no folder",
        code="bad-document",
    )


def check_content(content: object) -> str:
    """Return a contribution's text, checked."""
    if not isinstance(content, str):
        raise UsageError("a contribution needs 'content', a text", code="bad-content")
    check_text(content, "the contribution")
    if len(content.encode()) > CONTENT_BYTES:
        raise UsageError(
            f"the contribution has {len(content.encode())} bytes; {CONTENT_BYTES} are allowed",
            hint="divide it under several headings, or say it shorter",
            code="too-large",
        )
    found = markdown.headings(f"{content}\n\n{markdown.SENTINEL}\n")
    if not found or found[-1].start != content.count("\n") + 2:
        raise UsageError(
            "the text ends inside an open code fence, comment or HTML block",
            hint="close it and contribute again",
            code="open-block",
        )
    if len(found) > 1:
        raise UsageError("a contribution holds no headings of its own", hint="name the section instead", code="heading")
    return content


def check_text(text: str, what: str) -> str:
    """Return text, checked for what no Markdown holds."""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.isprintable():
            for char in line:
                if (char < " " or char == "\x7f" or "\ud800" <= char <= "\udfff") and char != "\t":
                    raise UsageError(
                        f"{what} is not plain text: character {ord(char):#04x} in line {number}",
                        hint="contribute Markdown text, not a binary file or terminal output with colours",
                        code="binary",
                    )
    return text


def decode(data: bytes, what: str) -> str:
    """Return the bytes of a contribution file, refused if large or binary, as text with ``LF`` line endings."""
    if len(data) > FILE_BYTES:
        hint = "contribute what is new, not a whole file"
        raise UsageError(f"{what} is larger than {FILE_BYTES} bytes", hint=hint, code="too-large")
    if b"\0" in data:
        raise UsageError(f"{what} is a binary file", hint="contribute Markdown text", code="binary")
    return lf_text(decode_utf8(data, what).removeprefix("\ufeff").encode())


def is_hash(text: str) -> bool:
    """Check whether a text is a hash as ``digest`` gives it."""
    return len(text) == 64 and not text.strip("0123456789abcdef")


def _check_section(path: object, occurrence: object) -> None:
    if not isinstance(path, list) or not all(isinstance(part, str) for part in path):
        raise UsageError("'section' must be a list of headings, outermost first", code="bad-section")
    for part in path:
        if len(part) > HEADING_CHARS or markdown.heading_text(part) != unmarked(part):
            raise UsageError(
                f"heading {shown(part)} is not allowed",
                hint=f"one line of at most {HEADING_CHARS} characters, as it reads in the document",
                code="bad-section",
            )
        check_text(part, "the heading")
    if len(path) > DEPTH_MOST:
        raise UsageError(f"a section lies at most {DEPTH_MOST} headings deep", code="bad-section")
    number = whole(occurrence)
    if number is None or number < 1:
        raise UsageError("'occurrence' must be a whole number from 1", code="bad-section")
