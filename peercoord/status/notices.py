"""What is new on a board that a person who looks elsewhere wants to be told. Each fact is told once, when it begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from peercoord.foreign import plain
from peercoord.status import dashboard, needs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from peercoord.foreign import Json
    from peercoord.status.needs import Need
    from peercoord.status.views import Board

TEXT_CHARS = 200
MOST = 3  # notices at one moment; more are told as one
NEED, FINISHED, GONE = "need", "finished", "gone"


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that has begun.

    Attributes:
        kind: ``need``, ``finished`` or ``gone``.
        key: The same as long as it is the same thing.
        text: One line for people, made safe.
    """

    kind: str
    key: tuple[str, ...]
    text: str

    def as_json(self, project: str) -> Json:
        """Return it for programs."""
        return {"kind": self.kind, "project": project, "text": self.text}


def standing(board: Board, wanted: Iterable[Need]) -> list[Notice]:
    """List what may be told of a board: each need, each instance that is gone, and that all tasks are done."""
    found = [Notice(NEED, (one.kind, one.about, one.since), _told(one)) for one in wanted]
    about = {one.who for one in wanted if one.kind == "gone"}
    quiet = [peer for peer in [*board.peers, *board.lost] if peer.name not in about]
    gone = [peer for peer in quiet if needs.doing(board, peer).state == "gone"]
    found += [Notice(GONE, (GONE, peer.incarnation), _cut(f"{peer.name} is gone")) for peer in gone]
    if board.finished:
        found.append(Notice(FINISHED, (FINISHED, str(board.wanted)), dashboard.all_done(board)))
    return found


def new(found: Iterable[Notice], before: set[tuple[str, ...]]) -> list[Notice]:
    """Pick what was not there before; a number of things at once are told as one."""
    fresh = [one for one in found if one.key not in before]
    if len(fresh) <= MOST:
        return fresh
    asked = sum(one.kind == NEED for one in fresh)
    text = (
        f"{asked} things need you" if asked == len(fresh) else f"{len(fresh)} things changed, {asked} of them need you"
    )
    return [Notice(NEED if asked else fresh[0].kind, ("many",), text)]


def _told(need: Need) -> str:
    return _cut(f"{need.about} {need.what}{f': {need.why}' if need.why else ''}")


def _cut(text: str) -> str:
    said = plain(text)
    return f"{said[:TEXT_CHARS]}…" if len(said) > TEXT_CHARS else said
