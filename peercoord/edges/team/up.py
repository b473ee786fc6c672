"""Setting a team up, whole: worktrees, the coordination directory, tasks, each instance's own files, its agent.

One plan of small actions, each left out when there is nothing to do: so the same call makes, adds to, repairs and
goes on after a failure, and ``--dry-run`` prints what the real run does because it is the same list.
"""

from __future__ import annotations

import os
import shlex
from functools import partial

from peercoord.core import names, records
from peercoord.edges import agentctl, context
from peercoord.edges.adapters.source import find_source, read_source
from peercoord.edges.importing import take_in
from peercoord.edges.team import agents, excludes, lists, rebuild, record, repository, worktrees
from peercoord.edges.team.plan import Action, Plan, Seat
from peercoord.edges.team.seats import seats
from peercoord.fs.clock import Clock
from peercoord.roles import root as roots
from peercoord.roles.queue import Queue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from peercoord.core.records import Json
    from peercoord.edges.adapters.imported import Reading
    from peercoord.edges.team.repository import Project

SHELL_TEMPLATE = "coordinate.sh"
DIRECTORIES = ("memory-contributions", "outbox", "inbox")


class Wishes:
    """What the user asked for.

    Attributes:
        count: How many worktrees; ``None``: as many as there are, or the default.
        options: What they chose about the worktrees.
        tasks: Where tasks come from; empty: looked for in the project.
        tag: The tag of a tasks.json.
        take_in_progress: Take what a person has in progress there.
        settings: Shared settings that differ from the defaults.
        database: The database to keep the tasks in step with; empty: the one chosen before, or the project's own.
        sync: Write back to where the tasks come from.
        key: What a database of several projects calls this one; empty: its name.
    """

    def __init__(
        self,
        count: int | None = None,
        options: worktrees.Options | None = None,
        tasks: str = "",
        tag: str | None = None,
        take_in_progress: bool = False,
        settings: Json | None = None,
        database: str = "",
        sync: bool = False,
        key: str = "",
    ) -> None:
        self.database, self.sync, self.key = database, sync, key
        self.count, self.options = count, options or worktrees.Options()
        self.tasks, self.tag, self.take_in_progress = tasks, tag, take_in_progress
        self.settings = settings or {}


def plan(project: Project, wishes: Wishes) -> Plan:
    """Plan a team, or what is missing of it.

    Args:
        project: The project.
        wishes: What the user asked for.

    Raises:
        PeercoordError: Something stands in the way; nothing was done.
    """
    repository.commit(project)
    made = worktrees.plan(project, wishes.count, wishes.options)
    state = project.directory / names.ROOT
    gone = rebuild.is_gone(project)
    if gone:
        made.actions += rebuild.plan_gone(project, made.notes)
    elif not (state / names.PROTOCOL).exists():
        made.actions.append(Action(f"create {names.ROOT}/", partial(_create, project, state, wishes.settings)))
    again = {seat.peer for seat in made.seats} if gone else rebuild.astray(project)
    made.actions += rebuild.plan_ghosts(project, made)
    made.actions += rebuild.plan_behind(project, made.notes)
    source = wishes.tasks or find_source(project.directory) or ""
    if source:
        if not gone and not (state / names.PROTOCOL).exists():
            _read(project, source, wishes)  # what cannot be read is told before anything is made
        text = f"take in the tasks of {source}"
        made.actions.append(Action(text, partial(_import, project, source, wishes, made.notes)))
    made.actions += lists.plan(
        project, wishes.database, wishes.sync, source, wishes.tag, made.notes, wishes.key, wishes.count
    )
    _plan_instances(project, made, again)
    return made


def plan_repair(project: Project) -> Plan:
    """Plan to mend what set-up made, as it was: no worktree is added, no task taken in, no stopped agent started.

    Args:
        project: The project.

    Raises:
        PeercoordError: Something stands in the way; nothing was done.
    """
    team = seats(project)
    made = worktrees.plan(project) if team else Plan()
    gone = rebuild.is_gone(project)
    made.actions += rebuild.plan_gone(project, made.notes)
    again = {seat.peer for seat in made.seats} if gone else rebuild.astray(project)
    made.actions += rebuild.plan_ghosts(project, made)
    made.actions += rebuild.plan_behind(project, made.notes)
    for seat in made.seats:
        made.actions += _fit(project, seat)
        lost = agents.strays(seat.directory)
        if lost or (seat.peer in again and agents.at([seat.directory])):
            made.actions.append(Action(f"start the agent of {seat.peer} again", partial(_start, seat, True)))
    return made


def plan_join(project: Project, path: Path, peer: str = "") -> Plan:
    """Plan to take an existing worktree into a team that is set up.

    Args:
        project: The project.
        path: A directory in the worktree.
        peer: Name of its peer; empty: the next free ``instance-<k>``.

    Raises:
        NotFoundError: The project has no team.
        PeercoordError: It is no worktree of this repository, or the name is taken.
    """
    roots.open_root(str(project.directory / names.ROOT))
    made = worktrees.plan_join(project, path, peer)
    _plan_instances(project, made)
    return made


def _plan_instances(project: Project, made: Plan, again: Collection[str] = ()) -> None:
    for seat in made.seats:
        fitting = _fit(project, seat)
        made.actions += fitting
        there = (seat.directory / context.INFO).exists()
        running = there and agentctl.locked(str(seat.directory))
        if not running:
            made.actions.append(Action(f"start the agent of {seat.peer}", partial(_start, seat)))
        elif seat.peer in again or fitting or agents.strays(seat.directory):
            made.actions.append(Action(f"start the agent of {seat.peer} again", partial(_start, seat, True)))


def _create(project: Project, state: Path, settings: Json) -> str:
    root = roots.create(str(state), project.name, settings)
    excludes.hide(state)
    record.note_project(project.common, project.sub, store_id=root.store_id, settings=settings)
    return ""


def _read(project: Project, source: str, wishes: Wishes) -> Reading:
    return read_source(source, wishes.tag, project.directory, lists.key_in(project, source, wishes.key))


def _import(project: Project, source: str, wishes: Wishes, notes: list[str]) -> str:
    reading = _read(project, source, wishes)
    if "@" not in source.partition("://")[2]:  # a URL with a password is not written down
        noted = source if "://" in source else os.path.abspath(os.path.expanduser(source))
        if noted.startswith(f"{project.directory}/"):
            noted = os.path.relpath(noted, project.directory)  # the project may be moved
        record.note_project(project.common, project.sub, source=noted, tag=wishes.tag)
    queue = Queue(roots.open_root(str(project.directory / names.ROOT)))
    intake = take_in(queue, reading.tasks, take_in_progress=wishes.take_in_progress)
    intake.refused += reading.refused
    known = f", {len(intake.known)} were known" if intake.known else ""
    notes.append(f"{len(intake.added)} tasks taken in ({len(intake.done)} of them done before){known}")
    notes.extend(f"task {task} is parked: {why}" for task, why in intake.parked.items())
    notes.extend(f"refused: {what}: {why}" for what, why in intake.refused)
    return ""


def _start(seat: Seat, again: bool = False) -> str:
    """Start an agent; before that, end those of this worktree that do not serve it, or ``again``: all of them."""
    agents.end(agents.strays(seat.directory))
    if again:
        agents.end(agents.at([seat.directory]))
    agentctl.start(str(seat.directory))
    return ""


# -- an instance's own files -------------------------------------------------------------------------------------


def _fit(project: Project, seat: Seat) -> list[Action]:
    """Plan what is missing of a worktree's ``.claude-instance/``."""
    home = seat.directory / names.INSTANCE
    info = context.find(given=str(seat.directory)).info if (home / "info.json").exists() else {}
    script = home / "coordinate.sh"
    whole = all((home / name).is_dir() for name in DIRECTORIES) and (home / "progress.json").exists()
    same = script.exists() and script.read_bytes() == coordinate_sh()
    right = {"project": str(project.directory), "worktree_path": str(seat.directory), "instance_id": seat.peer}
    if whole and same and right.items() <= info.items():
        return []
    where = project.short(home)
    return [Action(f"write {where}/ (info.json, progress.json, coordinate.sh)", partial(fit, project, seat))]


def fit(project: Project, seat: Seat) -> str:
    """Write an instance's own files; what is there and right stays as it is."""
    home = seat.directory / names.INSTANCE
    for name in DIRECTORIES:
        (home / name).mkdir(parents=True, exist_ok=True)
    excludes.hide(home)
    place = str(seat.directory)
    known: Json = {}
    if (home / "info.json").exists():
        known = context.find(given=place).info
    root = roots.open_root(str(project.directory / names.ROOT))
    info: Json = {
        "schema_version": records.SCHEMA_VERSION,
        "index": seat.index,
        "created": Clock().now(),
        "assigned_tasks": [],
        **known,
        "instance_id": seat.peer,
        "project": str(project.directory),
        "coordination": str(project.directory / names.ROOT),
        "store_id": root.store_id,
        "worktree_path": place,
        "branch": seat.branch,
    }
    context.write_instance(place, "info.json", info)
    if not (home / "progress.json").exists():
        empty: Json = {"instance_id": seat.peer, "assigned_tasks": [], "memory_contributions": []}
        published = Queue(root).read_record(names.report(seat.peer))
        context.write_instance(place, "progress.json", published or empty)
    _write_script(home / "coordinate.sh")
    return ""


def _write_script(path: Path) -> None:
    staged = path.with_name(f".{path.name}.new")
    staged.write_bytes(coordinate_sh())
    staged.chmod(0o755)
    staged.replace(path)


def coordinate_sh() -> bytes:
    """Give the ``coordinate.sh`` that calls this very installation."""
    from importlib.resources import files

    template = files("peercoord.edges").joinpath(SHELL_TEMPLATE).read_text(encoding="utf-8")
    python = " ".join(shlex.quote(word) for word in agentctl.command()[:-2])
    return template.replace("@PYTHON@", python).encode()
