"""Everything that a screen shows of a team at one moment, read once and in one way for all screens."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from peercoord.errors import PeercoordError
from peercoord.foreign import plain
from peercoord.status import brief as in_brief
from peercoord.status import dashboard
from peercoord.status.needs import THEN, Need, doing, needs
from peercoord.store import down, landings, manifest
from peercoord.store.root import open_root
from peercoord.system.clock import moment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from peercoord.foreign import Json
    from peercoord.landing.forecast import Forecast
    from peercoord.status.board import Reader
    from peercoord.status.views import Board


@dataclass(frozen=True)
class Overview:
    """A team at one moment.

    Attributes:
        board: Its tasks, instances and memory bank.
        needs: What needs a person; a session in a tmux window is looked at there.
        down: The record of a team that was taken down; ``None`` while it is up.
        forecasts: What landing each branch would meet, by branch; without those that git could not tell in time.
        unlanded: The branches with work that is not landed, once all tasks are done; ``None`` if git cannot tell.
        landing: What a landing left that waits for a person, in one line; empty if nothing.
        start: The command that starts a team that is down.
    """

    board: Board
    needs: list[Need]
    down: Json | None
    forecasts: Mapping[str, Forecast]
    unlanded: list[str] | None
    landing: str
    start: str

    @cached_property
    def branches(self) -> dict[str, str]:
        """How each branch stands to the project's own, in words."""
        return {name: found.told for name, found in self.forecasts.items()}

    @property
    def standing(self) -> list[str]:
        """Lines on the state of the team as a whole: it is down, all is done, a landing waits.

        A command that may be long has a line of its own, which begins with blanks and is not to be broken.
        """
        lines = []
        if self.down is not None:
            lines += [f"The team is down, taken down {down.since(self.down)}; start it:", f"  {self.start}"]
        if self.board.finished:
            lines += _finished(dashboard.all_done(self.board), self.unlanded)
        if self.landing:
            lines.append(self.landing)
        return lines


def overview(reader: Reader, project: str, brief: bool = False) -> Overview:
    """Read a team at this moment.

    Args:
        reader: Reads its board.
        project: The path of its main checkout.
        brief: Of a large team, read only what the status screen names, and count the rest.

    Raises:
        PeercoordError: The coordination directory is gone, is another one, or cannot be read.
    """
    open_root(reader.files.place, reader.root.store_id)  # one that is gone would look like a team without tasks
    board = in_brief.board(reader) if brief else reader.board()
    return Overview(
        board,
        _needs(board, project),
        down.read(reader.files),
        _forecasts(reader, board),
        _unlanded(board, project) if board.finished else [],
        _landing(reader),
        down.command(reader.files),
    )


def _needs(board: Board, project: str) -> list[Need]:
    """List what needs a person; a session in a tmux window is looked at there, and started again there."""
    from peercoord.team import tmux

    found = needs(board)
    for index, need in enumerate(found):
        first, *others = need.commands
        if need.kind in ("permission", "asks", "turn", "limit") and (shown := tmux.looked_at(first[1])):
            found[index] = replace(need, commands=[shown])
        if need.kind == "gone" and THEN in first and (again := tmux.started_again(Path(project), first[1])):
            found[index] = replace(need, commands=[again, *others])
    return [*found, *_not_started(board)]


def _not_started(board: Board) -> Iterator[Need]:
    """Name the windows in which a coding agent was started and no hook has fired: it may ask a person to sign in."""
    from peercoord.team import tmux

    silent = [one for one in board.peers if not one.said and doing(board, one).state == "no-session"]
    places = {place: peer for peer in silent if (place := str(peer.record.get("worktree") or ""))}
    for place, since in (tmux.hooks_due(places) if places else {}).items():
        name, look = places[place].name, [tmux.looked_at(place)]
        why = "no hook has fired: its window may ask something, such as to sign in"
        yield Need("not-started", name, "has not started yet", look, who=name, why=why, since=moment(since))


def _forecasts(reader: Reader, board: Board) -> dict[str, Forecast]:
    """Look how the instances' branches stand to the project's; empty if git cannot tell."""
    from peercoord.landing.forecast import forecasts

    names = [peer.branch for peer in [*board.peers, *board.lost] if peer.branch]
    try:
        return {one.branch: one for one in forecasts(reader.root, names)} if names else {}
    except PeercoordError:
        return {}


def _landing(reader: Reader) -> str:
    landing = landings.newest(reader.root)
    if landing is None or landing.state in (landings.LANDED, landings.UNDONE):
        return ""
    if landing.state == landings.BESIDE:
        return f"Merged work waits to come onto {plain(landing.branch)}: peercoord land"
    return f"A landing on {plain(landing.branch)} is under way or was cut short: peercoord land finishes it"


def _unlanded(board: Board, project: str) -> list[str] | None:
    """List the instances' branches with work that is not merged; ``None`` if git cannot tell."""
    from peercoord.team import repository
    from peercoord.worktree import landed

    try:
        found = repository.discover(project)
        made = manifest.branches(found.common, found.sub)
        return landed.not_landed(found, [*made, *(peer.branch for peer in [*board.peers, *board.lost])])
    except PeercoordError:
        return None


def _finished(said: str, branches: list[str] | None) -> list[str]:
    """The lines which say that all tasks are done, and which branches are not merged."""
    if branches is None:
        return [f"{said} Git cannot tell which branches are merged."]
    if not branches:
        return [f"{said} Every branch is landed."]
    one, named = len(branches) == 1, ", ".join(map(plain, branches))
    return [
        f"{said} {len(branches)} {'branch is' if one else 'branches are'} not landed: {named}",
        f"Land {'it' if one else 'them'}: peercoord land",
    ]
