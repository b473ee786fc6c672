"""The merge: a pure function of a document, its contributions, and the candidates that wait for a person.

Promise: the same contributions give the same document in whatever order they come. Only sections with contributions
change. Each contribution ends in exactly one place of the outcome. Settled contributions are never applied again, and
text that is given twice stands there once. So the leader may run it at any time, again and again.

In one section: updates first (if the base still stands they simply apply, else a three-way merge with the base as
ancestor), then additions in the order of their making. Two sides that differ become a candidate, and the section waits
for a person. Critical contributions are worked out on top of what applies freely, but only proposed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from peercoord.errors import LostError, UsageError
from peercoord.memory import additions, outcome
from peercoord.memory.contribution import KNOWN, STATIC, Contribution
from peercoord.memory.document import Path, Section, digest, fold_path, lf_text, path_text, split_document, trimmed
from peercoord.memory.draft import Draft
from peercoord.memory.outcome import Candidate, Edit, Merge3, Outcome, Side
from peercoord.memory.progress_section import is_generated
from peercoord.memory.updates import Fold, Updates

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence


_WHY_CONFLICT = "two updates of this section differ"
_WHY_CURRENT = "the section changed since the author saw it"
_WHY_GONE = "the section that it updates is no longer there"
_WHY_BASE = "its base text is not known"
_WHY_OPEN = "it would swallow the next heading, or nest headings too deeply"
_WHY_CRITICAL = "marked critical"
_WHY_STATIC = "a static document"
_WHY_NEW = "the document does not exist yet"
_WHY_MARK = "a person marked this section for approval"
_WHY_EMPTY = "it would empty the section"


def merge(
    name: str,
    document: bytes | None,
    given: Iterable[Contribution],
    texts: Mapping[str, bytes],
    merge3: Merge3,
    *,
    candidates: Iterable[Candidate] = (),
    settled: Container[str] = (),
) -> Outcome:
    """Merge contributions into a document; ``None`` if there is no such document.

    Args:
        name: The document's name.
        document: Its bytes, which must be valid UTF-8.
        given: All its contributions that are not settled, members of waiting candidates too.
        texts: Section texts by hash, at least those that the bases of updates name.
        merge3: The three-way text merge.
        candidates: Those that wait for a person.
        settled: Ids that are merged, undone or rejected: never applied again, whatever is given.
    """
    work = _Work(name, document, texts, merge3)
    own = sorted((one for one in given if one.document.casefold() == name.casefold()), key=lambda c: c.order)
    pool = {one.id: one for one in own if one.id not in settled}
    for one in own:
        for old in one.supersedes:
            if old in pool and pool[old].peer == one.peer and old != one.id:
                work.result.superseded[old] = one.id
    left = {key: one for key, one in pool.items() if key not in work.result.superseded}
    for candidate in candidates:
        work.hold(candidate, left)
    for group in work.groups(left.values()):
        work.run(group)
    return work.finish()


def decide(name: str, document: bytes | None, candidate: Candidate, text: str) -> Outcome:
    """Put a person's decision into the document."""
    work = _Work(name, document, {}, outcome.whole_conflict)
    if work.current(candidate.section, candidate.occurrence) != candidate.current:
        raise LostError(
            f"{name}, {path_text(candidate.section)} changed since {candidate.id} was made",
            hint="see the new state with: peercoord review list",
        )
    text = trimmed(lf_text(text.encode()))
    if candidate.conflict and outcome.has_markers(text, candidate.marker):
        raise UsageError("the text still holds conflict markers", hint=f"peercoord review edit {candidate.id}")
    if not work.draft.put(candidate.section, candidate.occurrence, text, free=True):
        raise UsageError(f"this text cannot stand there: {_WHY_OPEN}", hint=f"peercoord review edit {candidate.id}")
    work.apply(candidate.section, candidate.occurrence, candidate.members)
    result = work.finish()
    # With headings in it, the text is several sections, and each is undone as what it is.
    result.edits, result.texts = outcome.compare(work.document, split_document(result.document), work.sources)
    return result


@dataclass(slots=True)
class _Group:
    """The contributions to one section, in order; ``section`` is ``None`` while it does not exist."""

    path: Path
    occurrence: int
    section: Section | None
    guard: str
    members: list[Contribution] = field(default_factory=list)

    @property
    def key(self) -> tuple[Path, int]:
        return fold_path(self.path), self.occurrence


class _Work:
    """One merge of one document in progress."""

    def __init__(self, name: str, document: bytes | None, texts: Mapping[str, bytes], merge3: Merge3) -> None:
        self.name, self.texts, self.merge3 = name, texts, merge3
        self.before = document or b""
        self.document = split_document(self.before, name)
        self.draft = Draft(self.document)
        self.result = Outcome()
        self.held: dict[tuple[Path, int], str] = {}
        self.sources: dict[tuple[Path, int], list[str]] = {}
        self.unclear: dict[str, str] = {}
        static = any(name.casefold() == known.casefold() for known in STATIC)
        usual = any(name.casefold() == known.casefold() for known in KNOWN)
        self.guard = _WHY_STATIC if static else _WHY_NEW if document is None and not usual else ""

    # -- who goes where --------------------------------------------------------------------------------------

    def current(self, path: Path, occurrence: int) -> str:
        """Return the hash of a section as it is now; ``""`` if there is none."""
        node = self.draft.at(path, occurrence)
        return digest(node.core) if node else ""

    def hold(self, candidate: Candidate, left: dict[str, Contribution]) -> None:
        """Keep a waiting candidate if it still holds; else drop it, and its members are merged again."""
        key = fold_path(candidate.section), candidate.occurrence
        stands = self.current(candidate.section, candidate.occurrence) == candidate.current
        if not stands or key in self.held or not all(one in left for one in candidate.members):
            self.result.void.append(candidate.id)
            return
        for one in candidate.members:
            del left[one]
        self.held[key] = candidate.id
        self.result.standing.append(candidate)

    def groups(self, left: Iterable[Contribution]) -> list[_Group]:
        """Group contributions by section: those that exist first, then those to be made, outer ones first."""
        found: dict[tuple[Path, int], _Group] = {}
        for one in left:
            section = self.document.find(one.section, one.occurrence)
            if is_generated(one.content):
                self.result.rejected[one.id] = "it holds the marks of a section that the leader keeps"
            elif one.kind == "update" and section and is_generated(section.text):
                self.result.rejected[one.id] = "the leader keeps this section; add to another one"
            else:
                made = self._group(one)
                found.setdefault(made.key, made).members.append(one)
        return sorted(found.values(), key=lambda g: (g.section is None, len(g.path) if g.section is None else 0))

    def _group(self, one: Contribution) -> _Group:
        named = one.section or one.kind == "update"
        section = self.document.find(one.section, one.occurrence, one.base) if named else self.document.root
        is_new = not one.base and one.source.casefold() == one.document.casefold()  # in a copy, which names it in full
        if is_new and section and section.folded != fold_path(one.section):
            section = None
        several = self.document.unclear(one.section) if section is None and not is_new else []
        if several:  # a person decides; what is proposed is the first of them
            listed = "; ".join(path_text(each.path, each.occurrence) for each in several[:4])
            section, self.unclear[one.id] = several[0], f"{len(several)} sections may be meant: {listed}"
        if section:
            guard = self.guard or (_WHY_MARK if section.guarded else "")
            return _Group(section.path, section.occurrence, section, guard)
        path, parent = self.document.place(one.section)
        return _Group(path, 1, None, self.guard or (_WHY_MARK if parent.guarded else ""))

    def _reason(self, group: _Group, one: Contribution) -> str:
        """Return why a contribution must wait for a person even if it merges cleanly; nothing if it need not."""
        empties = one.kind == "update" and not one.content.strip()
        own = _WHY_CRITICAL if one.critical else _WHY_EMPTY if empties else ""
        return self.unclear.get(one.id) or group.guard or own

    # -- one section -----------------------------------------------------------------------------------------

    def run(self, group: _Group) -> None:
        """Work out one section: first what applies freely, then, on top of it, what a person must approve."""
        behind, text = self._behind(group), group.section.text if group.section else ""
        for critical in (False, True):
            ones = [one for one in group.members if bool(self._reason(group, one)) is critical]
            if waits := behind or self.held.get(group.key, ""):
                self._wait(ones, waits)
            elif ones:
                text = self._work_out(group, text, ones, critical)

    def _behind(self, group: _Group) -> str:
        for depth in range(len(group.path) - 1, -1, -1):
            above = group.path[:depth]
            if self.draft.at(above) is None and (fold_path(above), 1) in self.held:
                return self.held[fold_path(above), 1]
        return self.held.get(group.key, "")

    def _wait(self, ones: Iterable[Contribution], behind: str) -> None:
        self.result.waiting.update({one.id: behind for one in ones})

    def _work_out(self, group: _Group, text: str, ones: Sequence[Contribution], critical: bool) -> str:
        """Apply contributions to a section's text, or make a candidate of them; return the text after it."""
        updates = Updates(group.section, self.texts, self.merge3)
        fold = updates.fold(text, [one for one in ones if one.kind == "update"])
        self.result.superseded.update(fold.overruled)
        self.result.duplicates += [one.id for one in fold.same]
        if fold.clash:
            self._conflict(group, text, fold, fold.clash, updates.base(fold.clash), critical)
            done = {one.id for one in (*fold.members, fold.clash, *fold.same)} | fold.overruled.keys()
            self._wait((one for one in ones if one.id not in done), self.held[group.key])
            return text
        news = [one for one in ones if one.kind == "addition"]
        after, added, known = additions.append(fold.text, news, group.section)
        self.result.duplicates += [one.id for one in known]
        members = [*fold.members, *added]
        if critical and members:
            why = next(reason for one in members if (reason := self._reason(group, one)))
            self._candidate(group, why, members, text, after, critical)
        elif not critical and after != text and not self.draft.put(group.path, group.occurrence, after):
            self._candidate(group, _WHY_OPEN, members, text, after, critical)
        elif not critical:
            self.apply(group.path, group.occurrence, [one.id for one in members])
        return after

    def apply(self, path: Path, occurrence: int, members: Iterable[str]) -> None:
        """Note what went into a section."""
        new = list(members)
        self.result.applied += new
        self.sources.setdefault((fold_path(path), occurrence), []).extend(new)

    # -- candidates ------------------------------------------------------------------------------------------

    def _conflict(
        self, group: _Group, text: str, fold: Fold, one: Contribution, base: str | None, critical: bool
    ) -> None:
        """Make a candidate of two sides; neither is applied."""
        why = _WHY_CONFLICT if fold.members else _WHY_CURRENT
        if group.section is None and one.base:
            why = _WHY_GONE
        elif base is None:
            why = _WHY_BASE
        left = _side(fold.members, fold.text)
        right = _side([one], trimmed(one.content))
        if right.label == left.label:
            right = Side(f"{right.label} (later)", right.text, right.authors)
        takes = {
            "left": trimmed(fold.merged.take(ours=True, theirs=False)),
            "right": trimmed(fold.merged.take(ours=False, theirs=True)),
            "both": trimmed(fold.merged.take(ours=True, theirs=True)),
            "proposed": fold.merged.marked(left.label, right.label).strip("\n"),
        }
        self._add(group, why, [*fold.members, one], text if base is None else base, left, right, takes, critical, True)

    def _candidate(
        self, group: _Group, why: str, members: Sequence[Contribution], text: str, after: str, critical: bool
    ) -> None:
        """Make a candidate of a change that merges cleanly."""
        takes = {"left": text, "right": after, "both": after, "proposed": after}
        self._add(group, why, members, text, _side((), text), _side(members, after), takes, critical, False)

    def _add(
        self,
        group: _Group,
        why: str,
        members: Sequence[Contribution],
        base: str,
        left: Side,
        right: Side,
        takes: dict[str, str],
        critical: bool,
        conflict: bool,
    ) -> None:
        named = tuple(one.id for one in members)
        current = self.current(group.path, group.occurrence)
        made = Candidate(
            id=outcome.candidate_id(self.name, group.path, group.occurrence, current, named),
            document=self.name,
            section=group.path,
            occurrence=group.occurrence,
            why=why,
            conflict=conflict,
            critical=critical,
            members=named,
            current=current,
            base=base,
            left=left,
            right=right,
            takes=takes,
        )
        self.held[group.key] = made.id
        self.result.candidates.append(made)

    # -- the end ---------------------------------------------------------------------------------------------

    def finish(self) -> Outcome:
        """Return the outcome, with the document and what changed in it."""
        result = self.result
        for node in self.draft:
            old = node.was.span if node.was else b""
            new = node.span
            if node.was is None or old != new:
                before = digest(old) if node.was else ""
                key = fold_path(node.path), node.occurrence
                edit = Edit(node.path, node.occurrence, before, digest(new), tuple(self.sources.get(key, ())))
                result.edits.append(edit)
                result.texts.update({edit.after: new, **({edit.before: old} if before else {})})
        result.document = self.draft.join() if result.edits else self.before
        return result


def _side(members: Sequence[Contribution], text: str) -> Side:
    peers = list(dict.fromkeys(one.peer for one in members))
    authors = tuple(dict.fromkeys((one.peer, one.task) for one in members))
    return Side(" + ".join(peers) if peers else outcome.BANK, text, authors)
