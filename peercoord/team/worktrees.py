"""Plan a team's worktrees: N of them beside the main checkout, each with the memory bank and what else it needs.

After the actions are carried out, the next plan is empty. A worktree is recognised by the record in its own git
directory. If its directory was deleted, its files are restored from its own index: pruning it would lose what was
staged, a rebase under way, and the commits of its submodules.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from peercoord.errors import PeercoordError, UsageError
from peercoord.store import ids, instance_records, isolated_git, manifest, paths
from peercoord.store import root as roots
from peercoord.system import git, gitdirs
from peercoord.team import agents, bank_link, create, excludes, files, hooks
from peercoord.team.plan import Action, Instance, Plan, apart, own
from peercoord.team.repository import (
    MOST,
    discover,
    home,
    instance_dir,
    irregular,
    is_place_of,
    leads_to,
    left_behind,
    peer_name,
    refuse_irregular,
    state_of,
    team_instances,
    worktrees,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from peercoord.store.project import Project

DEFAULT_COUNT = 3
PREFIX = "team/"


@dataclass(frozen=True, slots=True)
class WorktreeOptions:
    """What people may choose about a team's worktrees."""

    base: str = ""  # what new branches start from; empty: where the main checkout stands
    branch_prefix: str | None = None  # before ``instance-<k>`` in a branch; ``None``: as last time, or ``PREFIX``
    bank: str | None = None  # the memory bank's directory, empty for none; ``None``: as last time, or ``memory-bank``
    setup: tuple[str, ...] = ()  # the words of a command to run in each new worktree; empty for none


def plan(project: Project, count: int | None = None, options: WorktreeOptions | None = None) -> Plan:
    """Plan a team's worktrees."""
    if count is not None and not 1 <= count <= MOST:
        raise UsageError(f"{count} worktrees cannot be made", f"ask for 1 to {MOST}")
    team = {instance.index: instance for instance in team_instances(project)}
    wanted = count if count is not None else 0 if team else DEFAULT_COUNT
    planner = _Planner(project, list(team.values()), options or WorktreeOptions())
    if count is not None and count < len(team):
        last = shlex.quote(str(team[max(team)].directory))
        planner.made.notes.append(
            f"the team has {len(team)} worktrees, and keeps them (take some away: peercoord leave {last})"
        )
    taken = {instance.peer for instance in team.values()}
    numbers = [index for index in range(1, wanted + 1) if index not in team and peer_name(index) not in taken]
    planner.name_irregular()
    missing = {index: planner.missing(index) for index in numbers if peer_name(index) not in planner.made.failed}
    planner.prepare([*team.values(), *missing.values()])
    if any(instance.git_dir is None for instance in missing.values()):
        planner.look_around()
    for _, instance in sorted({**team, **missing}.items()):
        if instance.git_dir is None:
            planner.plan_new(instance)
            continue
        with apart(planner.made, instance.peer):
            planner.plan_existing(instance, instance.git_dir)
    return planner.finish()


def plan_join(project: Project, path: Path, peer: str = "") -> Plan:
    """Plan to add an existing worktree to the team, or to repair a member."""
    root = discover(path).here
    tree = next((tree for tree in worktrees(project) if tree.path == root), None)
    if tree is None or tree.path == project.main:
        what = "is no worktree of this repository" if tree is None else "is the main checkout, and no peer works there"
        hint = f"make a worktree: git worktree add ../{project.name}-2"
        raise PeercoordError(f"{git.shown_path(root)} {what}", hint, code="no-worktree")
    team = team_instances(project)
    instance = next((instance for instance in team if instance.worktree == root), None)
    if instance is None:
        free = [index for index in range(1, MOST + 1) if index not in {member.index for member in team}]
        index = next((index for index in free if peer_name(index) == peer), free[0])
        name = ids.check(peer, "peer name") if peer else peer_name(index)
        if any(member.peer.casefold() == name.casefold() for member in team):
            text = f"the team has a peer '{name}' already"
            raise PeercoordError(text, "join under another name: --name", code="name-taken")
        directory = tree.path / project.sub
        instance = Instance(index, name, tree.path, directory, tree.branch, made=False, git_dir=tree.git_dir)
    planner = _Planner(project, team, WorktreeOptions())
    planner.prepare([*team, instance])
    planner.made.actions += excludes.plan_inner(project, root)
    planner.plan_existing(instance, tree.git_dir)
    return planner.finish()


class _Planner:
    """The state of planning."""

    def __init__(self, project: Project, team: list[Instance], options: WorktreeOptions) -> None:
        known = manifest.read_project(project.common, project.sub)
        self.project, self.options, self.made = project, options, Plan()
        self.prefix = _chosen(options.branch_prefix, known.get("prefix"), PREFIX)
        self.bank_name = _chosen(options.bank, known.get("bank"), paths.BANK)
        new = options.bank is None and "bank" not in known and not os.path.lexists(project.directory / paths.BANK)
        if elsewhere := bank_link.find_elsewhere(project.directory) if new else "":
            self.bank_name = elsewhere
            self.made.notes.append(f"the memory bank is {elsewhere}/, as found (another one: --bank DIR)")
        if team and self.bank_name != _chosen(None, known.get("bank"), self.bank_name):
            text = f"the team's memory bank is '{known['bank']}', and its worktrees link to it"
            raise UsageError(text, "leave --bank out, or start again: peercoord down --purge")
        self.branches = create.survey(project, options.base)
        self.trees = {tree.path: tree for tree in worktrees(project)}

    def do(self, text: str, step: Callable[[], str | None]) -> None:
        self.made.actions.append(Action(text, step))

    def name_irregular(self) -> None:
        """Record instances whose git directory would block git as failed."""
        out_of_order = {str(path.parent) for path in irregular(self.project.common)}
        for peer, known in instance_records.all(state_of(self.project)).items() if out_of_order else ():
            if known.get("git_dir") in out_of_order:
                with apart(self.made, peer):
                    refuse_irregular(Path(str(known["git_dir"])).parent.parent)

    def missing(self, index: int) -> Instance:
        """Return the instance for a free number: an existing worktree or a new one."""
        project, peer, path = self.project, peer_name(index), home(self.project, index)
        tree = self.trees.get(path)
        if tree is not None:
            left = path in {instance.worktree for instance in left_behind(project)}
            made = left or tree.branch in manifest.branches(project.common, project.sub)
            return Instance(index, peer, path, path / project.sub, tree.branch, made, tree.git_dir)
        create.check_place(path)
        branch = create.branch_name(self.prefix, peer)
        create.check_branch(project, self.branches, branch)
        return Instance(index, peer, path, path / project.sub, branch, made=True)

    def prepare(self, team: list[Instance]) -> None:
        """Plan what concerns the repository as a whole."""
        project = self.project
        tracked = git.fields(project.main, "ls-files", "-z", "--", *map(project.path, excludes.NAMES))
        if tracked:
            text = f"the repository tracks {git.shown_path(tracked[0])}, where a team keeps its own state"
            hint = f"take it out of the repository: git rm --cached -- {git.pasted(tracked[0])}"
            raise PeercoordError(text, hint, code="state-tracked")
        tips = self.branches.existing
        starts = {tips.get(instance.branch, self.branches.base) for instance in team}
        self.bank = bank_link.look(project, self.bank_name, starts | {self.branches.base})
        self.made.notes += [self.bank.note] if self.bank.note else []
        shared = self.bank.path if self.bank.shared else ""
        self.made.actions += excludes.plan_block(project, shared, self.bank.hidden)
        self.made.actions += bank_link.plan_make(project, self.bank)
        if self.bank.shared and self.bank.tracked:
            self.made.actions += excludes.plan_extension(project)
        self.copies = files.selected_files(project, self.bank.path)

    def look_around(self) -> None:
        """Add a note if the worktrees would show up in an outer checkout."""
        beside = self.project.main.parent
        try:
            outer = Path(git.text(beside, "rev-parse", "--show-toplevel"))
        except PeercoordError:
            return
        place = f"{home(self.project, 1).relative_to(outer)}/"
        if not git.ignored(outer, [place]):
            line = f"{excludes.pattern(place.replace('-1/', '-'))}*/"
            hint = f"hide them there with a line {line} in its .git/info/exclude"
            self.made.notes.append(f"the worktrees lie in the checkout {git.shown_path(outer)}; {hint}")

    def plan_new(self, instance: Instance) -> None:
        """Plan a new worktree."""
        exists = instance.branch in self.branches.existing
        start = self.branches.existing.get(instance.branch, self.branches.base)
        create.check_has_project(self.project, start, self.project.sub)
        begin = len(self.made.actions)
        origin = create.branch_origin(self.project, self.branches, instance.branch)
        step = partial(create.add, self.project, self.bank, instance, "" if exists else start, self.options.setup)
        self.do(f"add worktree {self.project.short(instance.worktree)} on {origin}", step)
        self._fit(instance, None, start, fresh=True)
        self.made.actions += hooks.plan_hook(self.project, instance)
        self.made.actions += hooks.plan_command(self.project, instance, self.options.setup)
        self.made.actions[begin:] = own(self.made.actions[begin:], instance.peer)
        self.made.instances.append(instance)

    def plan_existing(self, instance: Instance, git_dir: Path) -> None:
        """Plan what an existing worktree lacks."""
        project, where = self.project, self.project.short(instance.worktree)
        head = next((tree.head for tree in self.trees.values() if tree.git_dir == git_dir), "")
        whole = leads_to(instance.worktree, git_dir)
        if not whole:
            instance = self._bring_back(instance, git_dir)
        elif os.path.realpath(gitdirs.root_of(str(git_dir))) != os.path.realpath(instance.worktree):
            text = f"git worktree repair {where}, which git has elsewhere"
            self.do(text, partial(create.repair, instance.worktree, git_dir))
            whole = False
        known = manifest.read_worktree(git_dir)
        if not known or known.get("left") is True:
            on = f"branch {instance.branch}" if instance.branch else "no branch"
            text = f"take worktree {where}, on {on}, in as {instance.peer}"
            self.do(text, partial(create.take_in, project, instance, git_dir))
        fresh, indexed = self._is_fresh(instance), isolated_git.is_indexed(git_dir)
        if fresh and not indexed:
            text = f"finish worktree {where}, which was left half made"
            self.do(text, partial(create.check_out, project, self.bank, instance.worktree, git_dir))
        elif whole and not indexed:
            text = f"make the index of {where} again from its commit; its files stay as they are"
            self.do(text, partial(create.restore_index, project, instance.worktree, git_dir))
        self._fit(instance, git_dir if whole and indexed else None, head, fresh)
        if fresh and not indexed:
            self.made.actions += hooks.plan_hook(project, instance)
        if hooks.is_unfinished(git_dir) and self.options.setup:
            self.made.actions += hooks.plan_command(project, instance, self.options.setup)
        elif hooks.is_unfinished(git_dir):
            self.made.notes.append(f"set-up of {where} did not succeed; to run it again name it: --setup COMMAND")
        self.made.instances.append(instance)

    def _is_fresh(self, instance: Instance) -> bool:
        """Check whether no coding agent has had a worktree, so git may run filters there."""
        try:
            known = instance_records.read(roots.open_root(str(self.project.directory / paths.ROOT)), instance.peer)
        except PeercoordError:  # lost: if there was a team, nothing is known of who had a worktree
            noted = manifest.read_project(self.project.common, self.project.sub)
            known = noted if noted.get("store_id") else {}
        return not known and not os.path.lexists(instance_dir(instance))

    def _fit(self, instance: Instance, git_dir: Path | None, start: str, fresh: bool) -> None:
        """Plan a worktree's link, copies and submodules."""
        links, notes = bank_link.plan_link(self.project, self.bank, instance.worktree, git_dir)
        self.made.actions += links
        self.made.notes += notes
        self.made.actions += files.plan_copies(self.project, instance.worktree, self.copies)
        start = "" if git_dir else start
        if fresh:
            self.made.actions += files.plan_submodules(self.project, instance.worktree, start)
            return
        for path in files.empty_submodules(self.project, instance.worktree, start):
            where = self.project.short(instance.worktree)
            fill = f"git -C {git.pasted(instance.worktree)} submodule update --init {git.pasted(path)}"
            self.made.notes.append(
                f"submodule {git.shown_path(path)} of {where} is empty, and stays so; to fill it: {fill}"
            )

    def _bring_back(self, instance: Instance, git_dir: Path) -> Instance:
        """Plan for a worktree that is missing, was moved, or whose repository was moved."""
        project, where = self.project, self.project.short(instance.worktree)
        if create.led_to(instance.worktree, git_dir):
            text = f"git worktree repair {where}, since the main checkout moved"
            self.do(text, partial(create.repair, instance.worktree, git_dir))
            if agents.at([instance.directory]):
                text = f"end the agent of {instance.peer}, which looks for the project where it was"
                self.do(text, lambda: agents.end(agents.at([instance.directory])))
            return instance
        locked = self.trees[instance.worktree].locked
        if locked is not None:
            text = f"worktree {where} is gone, and locked" + (f": {git.shown_path(locked)}" if locked else "")
            hint = f"bring its disk back, or: git worktree unlock {git.pasted(instance.worktree)}"
            raise PeercoordError(text, hint, code="worktree-locked")
        moved = create.moved_to(instance.worktree.parent, git_dir) or create.moved_to(project.main.parent, git_dir)
        if moved and moved not in self.trees:
            text = f"git worktree repair {project.short(moved)}, which was {where}"
            self.do(text, partial(create.repair, moved, git_dir))
            return replace(instance, worktree=moved, directory=moved / project.sub)
        if os.path.lexists(instance.worktree) and any(instance.worktree.iterdir()):
            text = f"{where} is no longer a worktree (its .git file is gone or leads elsewhere), and is not empty"
            raise PeercoordError(text, "move it away, then run the same command again", code="place-taken")
        if not is_place_of(project, instance):
            text = f"git's list alone says that {instance.peer} had its worktree in {where}, and nothing is there"
            hint = "take it out of the list: git worktree prune; then: peercoord up"
            raise PeercoordError(text, hint, code="place-unknown")
        text = f"make worktree {where} again: it is gone (had you moved it: git worktree repair NEW-PLACE)"
        self.do(text, partial(create.make_again, project, instance.worktree, git_dir))
        return instance

    def finish(self) -> Plan:
        """Return the plan, preceded by the step that records what is added."""
        project = self.project

        def remember() -> None:
            manifest.note_team(project.common, main=str(project.main))
            manifest.take_up(project.common, project.sub)
            manifest.note_project(project.common, project.sub, bank=self.bank_name, prefix=self.prefix)

        if self.made.actions:
            home_of_record = project.short(project.common / manifest.HOME)
            self.made.actions.insert(0, Action(f"note in {home_of_record} what is added, to undo it one day", remember))
        self.made.instances.sort(key=lambda instance: instance.index)
        return self.made


def _chosen(given: str | None, before: object, default: str) -> str:
    """Return the choice made now, else the one made before, else the default."""
    return given if given is not None else before if isinstance(before, str) else default
