"""Set-up: N worktrees beside the main checkout, each fitted with the memory bank and what else it needs.

``plan`` looks and decides; carrying out its actions makes the next plan empty. So the same call makes a team, adds to
it, repairs it and goes on after a failure. A worktree is recognised by the record in its own git directory, wherever
it lies. One whose directory was deleted gets it back from its own index: pruning it would also lose what was staged,
a rebase under way, and the commits of its submodules.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from peercoord.core import ids
from peercoord.core.errors import PeercoordError, UsageError
from peercoord.edges.team import bank, branches, excludes, git, include, making, record, setup, sparse, submodules
from peercoord.edges.team.plan import Action, Plan, Seat
from peercoord.edges.team.repository import discover, worktrees
from peercoord.edges.team.seats import MOST, home, peer_name, seats

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from peercoord.edges.team.repository import Project, Worktree

DEFAULT_COUNT = 3
BANK = "memory-bank"
PREFIX = "team/"


@dataclass(frozen=True, slots=True)
class Options:
    """What people may choose about a team's worktrees.

    Attributes:
        base: What new branches start from; empty: where the main checkout stands.
        branch_prefix: Before ``instance-<k>`` in a branch's name; ``None``: as last time, or ``PREFIX``.
        bank: The memory bank's directory in the project, empty for none; ``None``: as last time, or ``BANK``.
        setup: A command to run in each new worktree, as a list of words; empty for none.
    """

    base: str = ""
    branch_prefix: str | None = None
    bank: str | None = None
    setup: tuple[str, ...] = ()


def plan(project: Project, count: int | None = None, options: Options | None = None) -> Plan:
    """Plan a team's worktrees.

    Args:
        project: The project.
        count: How many worktrees there are to be; ``None``: as many as there are, or ``DEFAULT_COUNT``. Fewer than
            there are changes nothing, and a note says so.
        options: What people chose.

    Raises:
        UsageError: The count is out of range, or a name is not allowed.
        PeercoordError: Something stands in the way; nothing was done.
    """
    if count is not None and not 1 <= count <= MOST:
        raise UsageError(f"{count} worktrees cannot be made", f"ask for 1 to {MOST}")
    team = {seat.index: seat for seat in seats(project)}
    wanted = count if count is not None else 0 if team else DEFAULT_COUNT
    planner = _Planner(project, list(team.values()), options or Options())
    if count is not None and count < len(team):
        planner.made.notes.append(
            f"the team has {len(team)} worktrees, and keeps them (take some away: peercoord down)"
        )
    taken = {seat.peer for seat in team.values()}
    numbers = [index for index in range(1, wanted + 1) if index not in team and peer_name(index) not in taken]
    missing = {index: planner.missing(index) for index in numbers}
    planner.prepare([*team.values(), *missing.values()])
    if any(seat.git_dir is None for seat in missing.values()):
        planner.look_around()
    for _, seat in sorted({**team, **missing}.items()):
        if seat.git_dir is None:
            planner.new(seat)
        else:
            planner.there(seat, seat.git_dir)
    return planner.finish()


def plan_join(project: Project, path: Path, peer: str = "", bank_name: str | None = None) -> Plan:
    """Plan to take an existing worktree into the team, or to repair one that is in it.

    Args:
        project: The project.
        path: A directory in the worktree.
        peer: Name of its peer; empty: ``instance-<k>`` with the next free number.
        bank_name: As ``Options.bank``.

    Raises:
        UsageError: The name cannot be a peer's.
        PeercoordError: It is the main checkout, a worktree of another repository, or the name is taken.
    """
    root = discover(path).here
    tree = next((tree for tree in worktrees(project) if tree.path == root), None)
    if tree is None or tree.path == project.main:
        what = "is no worktree of this repository" if tree is None else "is the main checkout, and no peer works there"
        hint = f"make a worktree: git worktree add ../{project.name}-2"
        raise PeercoordError(f"{git.shown_path(root)} {what}", hint, code="no-worktree")
    team = seats(project)
    seat = next((seat for seat in team if seat.worktree == root), None)
    if seat is None:
        seat = _newcomer(project, team, tree, peer)
    planner = _Planner(project, team, Options(bank=bank_name))
    planner.prepare([*team, seat])
    planner.made.actions += excludes.plan_inner(project, root)
    planner.there(seat, tree.git_dir)
    return planner.finish()


def _newcomer(project: Project, team: list[Seat], tree: Worktree, peer: str) -> Seat:
    free = [index for index in range(1, MOST + 1) if index not in {seat.index for seat in team}]
    index = next((index for index in free if peer_name(index) == peer), free[0])
    name = ids.check(peer, "peer name") if peer else peer_name(index)
    if any(seat.peer.casefold() == name.casefold() for seat in team):
        raise PeercoordError(
            f"the team has a peer '{name}' already", "join under another name: --name", code="name-taken"
        )
    return Seat(index, name, tree.path, tree.path / project.sub, tree.branch, made=False, git_dir=tree.git_dir)


class _Planner:
    """What is known while a plan is made."""

    def __init__(self, project: Project, team: list[Seat], options: Options) -> None:
        known = record.read_project(project.common, project.sub)
        self.project, self.options, self.made = project, options, Plan()
        self.prefix = _chosen(options.branch_prefix, known.get("prefix"), PREFIX)
        self.bank_name = _chosen(options.bank, known.get("bank"), BANK)
        if team and self.bank_name != _chosen(None, known.get("bank"), self.bank_name):
            text = f"the team's memory bank is '{known['bank']}', and its worktrees link to it"
            raise UsageError(text, "leave --bank out, or start anew: peercoord down --purge")
        self.branches = branches.survey(project, options.base)
        self.trees = {tree.path: tree for tree in worktrees(project)}

    def do(self, text: str, step: Callable[[], str]) -> None:
        self.made.actions.append(Action(text, step))

    def missing(self, index: int) -> Seat:
        """Give the seat for a number that has none: a worktree that lies there already, or one to be made."""
        path = home(self.project, index)
        tree = self.trees.get(path)
        if tree is not None:
            made = tree.branch in record.table(record.read_project(self.project.common, self.project.sub), "branches")
            return Seat(index, peer_name(index), path, path / self.project.sub, tree.branch, made, tree.git_dir)
        making.check_place(path)
        branch = branches.name(self.prefix, peer_name(index))
        branches.check(self.project, self.branches, branch)
        return Seat(index, peer_name(index), path, path / self.project.sub, branch, made=True)

    def prepare(self, team: list[Seat]) -> None:
        """Plan what concerns the repository as a whole."""
        project = self.project
        tracked = git.fields(project.main, "ls-files", "-z", "--", *map(project.path, excludes.NAMES))
        if tracked:
            text = f"the repository tracks {git.shown_path(tracked[0])}, where a team keeps its own state"
            hint = f"take it out of the repository: git rm --cached {git.shown_path(tracked[0])}"
            raise PeercoordError(text, hint, code="state-tracked")
        tips = self.branches.existing
        starts = {tips.get(seat.branch, self.branches.base) for seat in team}
        self.bank = bank.look(project, self.bank_name, starts | {self.branches.base})
        self.made.notes += [self.bank.note] if self.bank.note else []
        shared = self.bank.path if self.bank.shared else ""
        self.made.actions += excludes.plan_block(project, shared, self.bank.hidden)
        self.made.actions += bank.plan_make(project, self.bank)
        if self.bank.shared and self.bank.tracked:
            self.made.actions += sparse.plan_extension(project)
        self.copies = include.selected(project, self.bank.path)

    def look_around(self) -> None:
        """Say where worktrees would show: beside a checkout that lies in another one, as a submodule does."""
        beside = self.project.main.parent
        try:
            outer = Path(git.text(beside, "rev-parse", "--show-toplevel"))
        except PeercoordError:
            return
        place = f"{home(self.project, 1).relative_to(outer)}/"
        if not git.ignored(outer, [place]):
            hint = (
                f"hide them there with a line {excludes.pattern(place.replace('-1/', '-'))}*/ in its .git/info/exclude"
            )
            self.made.notes.append(f"the worktrees lie in the checkout {git.shown_path(outer)}; {hint}")

    def new(self, seat: Seat) -> None:
        """Plan a worktree that is to be made."""
        exists = seat.branch in self.branches.existing
        start = self.branches.existing.get(seat.branch, self.branches.base)
        branches.check_has(self.project, start, self.project.sub)
        origin = branches.origin(self.project, self.branches, seat.branch)
        step = partial(making.add, self.project, self.bank, seat, "" if exists else start, self.options.setup)
        self.do(f"add worktree {self.project.short(seat.worktree)} on {origin}", step)
        self._fit(seat, None, start)
        self.made.actions += setup.plan_hook(self.project, seat)
        self.made.actions += setup.plan_command(self.project, seat, self.options.setup)
        self.made.seats.append(seat)

    def there(self, seat: Seat, git_dir: Path) -> None:
        """Plan what a worktree that git knows still lacks."""
        project, where = self.project, self.project.short(seat.worktree)
        head = next((tree.head for tree in self.trees.values() if tree.git_dir == git_dir), "")
        whole = making.belongs_to(seat.worktree, git_dir)
        if not whole:
            seat = self._bring_back(seat, git_dir)
        if not record.read_worktree(git_dir):
            on = f"branch {seat.branch}" if seat.branch else "no branch"
            text = f"take worktree {where}, on {on}, in as {seat.peer}"
            self.do(text, partial(making.take_in, project, seat, git_dir))
        fresh = not (git_dir / "index").exists()
        if fresh:
            text = f"finish worktree {where}, which was left half made"
            self.do(text, partial(making.check_out, project, self.bank, seat.worktree))
        self._fit(seat, git_dir if whole and not fresh else None, head)
        if fresh:
            self.made.actions += setup.plan_hook(project, seat)
        self.made.actions += setup.plan_again(project, seat, git_dir, self.options.setup)
        self.made.seats.append(seat)

    def _fit(self, seat: Seat, git_dir: Path | None, start: str) -> None:
        """Plan what goes into a worktree: the link, the copies, the submodules."""
        links, notes = bank.plan_link(self.project, self.bank, seat.worktree, git_dir)
        self.made.actions += links
        self.made.notes += notes
        self.made.actions += include.plan_copies(self.project, seat.worktree, self.copies)
        self.made.actions += submodules.plan_fill(self.project, seat.worktree, "" if git_dir else start)

    def _bring_back(self, seat: Seat, git_dir: Path) -> Seat:
        """Plan for a worktree that is not where git has it, or does not know where its repository is."""
        project, where = self.project, self.project.short(seat.worktree)
        if making.belongs_to(seat.worktree, git_dir, moved=True):
            text = f"git worktree repair {where}, since the main checkout moved"
            self.do(text, partial(making.repair, project, seat.worktree))
            return seat
        locked = self.trees[seat.worktree].locked
        if locked is not None:
            text = f"worktree {where} is gone, and locked" + (f": {git.shown_path(locked)}" if locked else "")
            raise PeercoordError(text, f"bring its disk back, or: git worktree unlock {where}", code="worktree-locked")
        moved = making.moved_to(seat.worktree.parent, git_dir) or making.moved_to(project.main.parent, git_dir)
        if moved:
            text = f"git worktree repair {project.short(moved)}, which was {where}"
            self.do(text, partial(making.repair, project, moved))
            return replace(seat, worktree=moved, directory=moved / project.sub)
        if os.path.lexists(seat.worktree) and any(seat.worktree.iterdir()):
            text = f"{where} is a worktree no more (its .git file is gone or leads elsewhere), and is not empty"
            raise PeercoordError(text, "move it away, then run the same command again", code="place-taken")
        text = f"make worktree {where} again: it is gone (had you moved it: git worktree repair NEW-PLACE)"
        self.do(text, partial(making.make_again, project, seat.worktree))
        return seat

    def finish(self) -> Plan:
        """Give the plan, led by the note of it: what is added must be known before it is there."""
        project = self.project

        def remember() -> str:
            record.note_team(project.common, main=str(project.main))
            record.note_project(project.common, project.sub, bank=self.bank_name, prefix=self.prefix)
            return ""

        if self.made.actions:
            home_of_record = project.short(project.common / record.HOME)
            self.made.actions.insert(0, Action(f"note in {home_of_record} what is added, to undo it one day", remember))
        self.made.seats.sort(key=lambda seat: seat.index)
        return self.made


def _chosen(given: str | None, before: object, default: str) -> str:
    """Give what people chose now, else what they chose last time, else the default."""
    return given if given is not None else before if isinstance(before, str) else default
