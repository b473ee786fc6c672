"""The merge: a pure function of a document, what is contributed to it, and what already waits for a person.

Promise: the same contributions give the same document in whatever order they come; only sections that something is
contributed to change; each contribution ends in exactly one place of the outcome; what is settled is never applied
again, and what was merged and is given again by mistake does not stand there twice. So the leader may run it at any
time, again and again.

In one section: updates first (those whose base still stands simply apply, others go through a three-way merge with
their base as ancestor), then additions in the order of their making. Two sides that differ become a candidate, and
the section holds still until a person decides. Critical contributions are worked out the same way, on top of what
applies freely, but only proposed.
"""

from __future__ import annotations

from peercoord.core.errors import LostError, UsageError
from peercoord.core.memory import additions, conflicts, outcome, progress, sections
from peercoord.core.memory.draft import Draft
from peercoord.core.memory.outcome import Candidate, Edit, Outcome, Side
from peercoord.core.memory.places import KNOWN, STATIC
from peercoord.core.memory.updates import Fold, Updates

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence

    from peercoord.core.memory.conflicts import Merge3
    from peercoord.core.memory.contributions import Contribution
    from peercoord.core.memory.sections import Path, Section

_WHY_CONFLICT = "two updates of this section differ"
_WHY_CURRENT = "the section changed since the author saw it"
_WHY_GONE = "the section that it updates is no longer there"
_WHY_BASE = "the text that its author started from is not known"
_WHY_OPEN = "the heading that follows would no longer be one, or headings would lie too deep"
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
    """Merge contributions into a document.

    Args:
        name: The document's name.
        document: Its bytes; ``None`` if there is no such document.
        given: All its contributions that are not settled, members of waiting candidates too.
        texts: Section texts by hash, at least those that the bases of updates name.
        merge3: The three-way text merge.
        candidates: Those that wait for a person.
        settled: Ids that are merged, undone or rejected: never applied again, whatever is given.

    Raises:
        UsageError: The document is not valid UTF-8; nothing can be merged into it until it is.
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
    """Put a person's decision into the document.

    Args:
        name: The document's name.
        document: Its bytes; ``None`` if there is no such document.
        candidate: What was decided.
        text: The section's text: one of the candidate's ``takes``, or edited. Headings are allowed.

    Raises:
        LostError: The section changed since the candidate was made.
        UsageError: With this text, the next heading would no longer be one; or it still holds conflict markers.
    """
    work = _Work(name, document, {}, lambda ours, base, theirs: conflicts.whole(ours, base, theirs))
    if work.current(candidate.section, candidate.occurrence) != candidate.current:
        raise LostError(
            f"{name}, {sections.shown(candidate.section)} changed since {candidate.id} was made",
            hint="see the new state with: peercoord review list",
        )
    text = sections.trimmed(sections.plain(text.encode()))
    size = conflicts.marker_size(candidate.base, candidate.takes["both"])  # shorter ones are the document's own
    if candidate.conflict and any(line.startswith(("<" * size, ">" * size)) for line in text.split("\n")):
        raise UsageError("the text still holds conflict markers", hint=f"peercoord review edit {candidate.id}")
    if not work.draft.put(candidate.section, candidate.occurrence, text, free=True):
        raise UsageError(f"this text cannot stand there: {_WHY_OPEN}", hint=f"peercoord review edit {candidate.id}")
    work.apply(candidate.section, candidate.occurrence, candidate.members)
    result = work.finish()
    # With headings in it, the text is several sections, and each is undone as what it is.
    result.edits, result.texts = outcome.compare(work.document, sections.split(result.document), work.sources)
    return result


class _Group:
    """The contributions to one section, in order; ``section`` is ``None`` while it does not exist."""

    __slots__ = ("guard", "members", "occurrence", "path", "section")

    def __init__(self, path: Path, occurrence: int, section: Section | None, guard: str) -> None:
        self.path, self.occurrence, self.section, self.guard = path, occurrence, section, guard
        self.members: list[Contribution] = []

    @property
    def key(self) -> tuple[Path, int]:
        return sections.fold(self.path), self.occurrence

    def reason(self, one: Contribution) -> str:
        """Say why a contribution must wait for a person even if it merges cleanly; nothing if it need not."""
        if self.guard:
            return self.guard
        empties = one.kind == "update" and not one.content.strip()
        return _WHY_CRITICAL if one.critical else _WHY_EMPTY if empties else ""


class _Work:
    """One merge of one document, under way."""

    def __init__(self, name: str, document: bytes | None, texts: Mapping[str, bytes], merge3: Merge3) -> None:
        self.name, self.texts, self.merge3 = name, texts, merge3
        self.before = document or b""
        self.document = sections.split(self.before, name)
        self.draft = Draft(self.document)
        self.result = Outcome()
        self.held: dict[tuple[Path, int], str] = {}
        self.sources: dict[tuple[Path, int], list[str]] = {}
        static = any(name.casefold() == known.casefold() for known in STATIC)
        usual = any(name.casefold() == known.casefold() for known in KNOWN)
        self.guard = _WHY_STATIC if static else _WHY_NEW if document is None and not usual else ""

    # -- who goes where --------------------------------------------------------------------------------------

    def current(self, path: Path, occurrence: int) -> str:
        """Give the hash of a section as it is now; ``""`` if there is none."""
        node = self.draft.at(path, occurrence)
        return sections.digest(node.core) if node else ""

    def hold(self, candidate: Candidate, left: dict[str, Contribution]) -> None:
        """Let a waiting candidate stand, with its members; or drop it, and its members go through the merge again."""
        key = sections.fold(candidate.section), candidate.occurrence
        stands = self.current(candidate.section, candidate.occurrence) == candidate.current
        if not stands or key in self.held or not all(one in left for one in candidate.members):
            self.result.void.append(candidate.id)
            return
        for one in candidate.members:
            del left[one]
        self.held[key] = candidate.id
        self.result.standing.append(candidate)

    def groups(self, left: Iterable[Contribution]) -> list[_Group]:
        """Sort contributions by section: those that exist first, then those to be made, outer ones first."""
        found: dict[tuple[Path, int], _Group] = {}
        for one in sorted(left, key=lambda c: c.order):
            reason = self._unfit(one)
            if reason:
                self.result.rejected[one.id] = reason
                continue
            made = self._group(one)
            found.setdefault(made.key, made).members.append(one)
        return sorted(found.values(), key=lambda g: (g.section is None, len(g.path) if g.section is None else 0))

    def _group(self, one: Contribution) -> _Group:
        base = one.base if one.kind == "update" else ""
        named = one.section or one.kind == "update"
        section = self.document.find(one.section, one.occurrence, base) if named else self.document.root
        if section:
            guard = self.guard or (_WHY_MARK if section.guarded else "")
            return _Group(section.path, section.occurrence, section, guard)
        path, parent = self.document.place(one.section)
        return _Group(path, 1, None, self.guard or (_WHY_MARK if parent.guarded else ""))

    def _unfit(self, one: Contribution) -> str:
        if progress.kept(one.content):
            return "it holds the marks of the section that the leader keeps"
        section = self.document.find(one.section, one.occurrence)
        if one.kind == "update" and section and progress.kept(section.text):
            return "the leader keeps this section; add to another one"
        return ""

    def _updates(self, group: _Group) -> Updates:
        return Updates(group.section, self.texts, self.merge3)

    # -- one section -----------------------------------------------------------------------------------------

    def run(self, group: _Group) -> None:
        """Work out one section."""
        behind = self._behind(group)
        if behind:
            self._wait(group.members, behind)
            return
        free = [one for one in group.members if not group.reason(one)]
        critical = [one for one in group.members if group.reason(one)]
        text = group.section.text if group.section else ""
        after = self._apply(group, text, free)
        if after is None:
            self._wait(critical, self.held[group.key])
        elif critical:
            self._propose(group, after, critical)

    def _behind(self, group: _Group) -> str:
        for depth in range(len(group.path) - 1, -1, -1):
            above = group.path[:depth]
            if self.draft.at(above) is None and (sections.fold(above), 1) in self.held:
                return self.held[sections.fold(above), 1]
        return self.held.get(group.key, "")

    def _wait(self, ones: Iterable[Contribution], behind: str) -> None:
        self.result.waiting.update({one.id: behind for one in ones})

    def _apply(self, group: _Group, text: str, free: Sequence[Contribution]) -> str | None:
        """Apply what needs no one's word. Gives the section's text after it, ``None`` if a candidate came of it."""
        fold = self._updates(group).fold(text, [one for one in free if one.kind == "update"])
        if fold.clash:
            self._conflict(group, text, fold, critical=False)
            self._rest(free, fold, self.held[group.key])
            return None
        news = [one for one in free if one.kind == "addition"]
        after, added, known = additions.append(fold.text, news, group.section)
        members = [*fold.members, *added]
        if after != text and not self.draft.put(group.path, group.occurrence, after):
            self._candidate(group, _WHY_OPEN, members, text, after, critical=False)
        else:
            self.apply(group.path, group.occurrence, [one.id for one in members])
        self._same(fold, known)
        return after if group.key not in self.held else None

    def _propose(self, group: _Group, text: str, critical: Sequence[Contribution]) -> None:
        """Work out what needs a person's word, on top of what is applied, as a candidate."""
        fold = self._updates(group).fold(text, [one for one in critical if one.kind == "update"])
        if fold.clash:
            self._conflict(group, text, fold, critical=True)
            self._rest(critical, fold, self.held[group.key])
            return
        after, added, known = additions.append(fold.text, [one for one in critical if one.kind == "addition"])
        self._same(fold, known)
        members = [*fold.members, *added]
        if members:
            why = next(reason for one in members if (reason := group.reason(one)))
            self._candidate(group, why, members, text, after, critical=True)

    def apply(self, path: Path, occurrence: int, members: Iterable[str]) -> None:
        """Note what went into a section."""
        new = list(members)
        self.result.applied += new
        self.sources.setdefault((sections.fold(path), occurrence), []).extend(new)

    def _same(self, fold: Fold, known: Iterable[Contribution]) -> None:
        self.result.superseded.update(fold.overruled)
        self.result.duplicates += [one.id for one in (*fold.same, *known)]

    def _rest(self, ones: Iterable[Contribution], fold: Fold, behind: str) -> None:
        inside = {one.id for one in (*fold.members, fold.clash) if one}
        done = inside | {one.id for one in fold.same} | fold.overruled.keys()
        self._wait((one for one in ones if one.id not in done), behind)
        self._same(fold, ())

    # -- candidates ------------------------------------------------------------------------------------------

    def _conflict(self, group: _Group, text: str, fold: Fold, critical: bool) -> None:
        """Make a candidate of two sides; neither is applied."""
        one = fold.clash
        if one is None:
            return
        base = self._updates(group).base(one)
        why = _WHY_CONFLICT if fold.members else _WHY_CURRENT
        if group.section is None and one.base:
            why = _WHY_GONE
        elif base is None:
            why = _WHY_BASE
        left = _side(fold.members, fold.text)
        right = _side([one], sections.trimmed(one.content))
        if right.label == left.label:
            right = Side(f"{right.label} (later)", right.text, right.authors)
        takes = {
            "left": sections.trimmed(fold.merged.take(ours=True, theirs=False)),
            "right": sections.trimmed(fold.merged.take(ours=False, theirs=True)),
            "both": sections.trimmed(fold.merged.take(ours=True, theirs=True)),
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
        """Give the outcome, with the document and what changed in it."""
        result = self.result
        for node in self.draft:
            old = node.was.span if node.was else b""
            new = node.span
            if node.was is None or old != new:
                before = sections.digest(old) if node.was else ""
                key = sections.fold(node.path), node.occurrence
                edit = Edit(node.path, node.occurrence, before, sections.digest(new), tuple(self.sources.get(key, ())))
                result.edits.append(edit)
                result.texts.update({edit.after: new, **({edit.before: old} if before else {})})
        result.document = self.draft.join() if result.edits else self.before
        return result


def _side(members: Sequence[Contribution], text: str) -> Side:
    peers = list(dict.fromkeys(one.peer for one in members))
    authors = tuple(dict.fromkeys((one.peer, one.task) for one in members))
    return Side(" + ".join(peers) if peers else outcome.BANK, text, authors)
