"""Set a team up: worktrees, coordination directory, tasks, each instance's own files, its agent.

All of it is one plan of small actions, each left out when there is nothing to do. The same call creates, extends and
repairs a team, and goes on after a failure.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from peercoord.agent import control
from peercoord.errors import NotFoundError
from peercoord.foreign import shown
from peercoord.memory import copy
from peercoord.queue.queue import Queue
from peercoord.store import down, instance_records, manifest, paths, records
from peercoord.store import root as roots
from peercoord.store.refusals import refused
from peercoord.system import child
from peercoord.system.clock import Clock
from peercoord.system.disk import Disk
from peercoord.tasklists import selection
from peercoord.tasklists.importer import take_in
from peercoord.tasklists.source import read_source
from peercoord.team import agents, excludes, files, rebuild, repository, sessions, tasklist, worktrees
from peercoord.team.plan import Action, Instance, Plan, apart
from peercoord.team.repository import instance_dir, instance_files, team_instances
from peercoord.worktree import context

if TYPE_CHECKING:
    from collections.abc import Collection

    from peercoord.foreign import Json
    from peercoord.store.beneath import InstanceFiles
    from peercoord.store.project import Project
    from peercoord.tasklists.imported import Reading

SCRIPT = "coordinate.sh"
DIRECTORIES = ("memory-contributions", "outbox", "inbox")


@dataclass(frozen=True, slots=True)
class SetupOptions:
    """What the user asked of set-up."""

    count: int | None = None  # of worktrees; ``None``: as many as there are, or the default
    worktrees: worktrees.WorktreeOptions = field(default_factory=worktrees.WorktreeOptions)
    tasks: str = ""  # where tasks come from; empty: looked for in the project
    tag: str | None = None  # of a tasks.json
    take_in_progress: bool = False  # import tasks that a person has in progress there
    settings: Json = field(default_factory=dict)  # shared settings that differ from the defaults
    database: str = ""  # to keep the tasks in step with; empty: the one chosen before, or the project's own
    sync: bool = False  # keep the list in step, also if it was only found
    key: str = ""  # what a database of several projects calls this one; empty: its name
    import_only: bool = False  # read the list once, also if it was named


def plan(project: Project, options: SetupOptions) -> Plan:
    """Plan a team, or what is missing of it; an error says what stands in the way, and nothing was done."""
    repository.commit(project)
    made = worktrees.plan(project, options.count, options.worktrees)
    state = project.directory / paths.ROOT
    gone = rebuild.is_gone(project)
    if not gone and not roots.has_protocol(str(state)):
        create = Action(f"create {paths.ROOT}/", partial(_create, project, state, options.settings))
        first = next((at for at, action in enumerate(made.actions) if action.peer), len(made.actions))
        made.actions.insert(first, create)  # a worktree's hook may read the memory bank through its link
    again = rebuild.plan(project, made)
    source = tasklist.source_of(
        project, options.tasks, options.tag, made.notes, sync=options.sync, import_only=options.import_only
    )
    if source.where and source.read:
        if options.tasks or (not gone and not roots.has_protocol(str(state))):
            reading = _read(project, source, options)  # fail before anything is made
            source = replace(source, tag=reading.tag)
        shown_list = source.where if "://" in source.where else project.short(Path(source.where).absolute())
        text = f"take in the tasks of {shown_list}"
        made.actions.append(Action(text, partial(_import, project, source, options, made.notes)))
    if source.where and (
        current := selection.moved_on(Path(os.path.abspath(os.path.expanduser(source.where))), source.tag)
    ):
        other = f"--tasks {shlex.quote(source.where)} --tag {shlex.quote(shown(current))}"
        made.notes.append(
            f"the current tag of {source.where} is {shown(current)} now; the team stays with "
            f"{shown(source.tag)} (to take the other in: {other})"
        )
    made.actions += tasklist.plan(project, options.database, source, made.notes, options.key, options.count)
    files.plan_leave_out_list(project, made, tasklist.kept_file(project, source))
    _plan_instances(project, made, again)
    return made


def flush(project: Project, made: Plan) -> None:
    """Flush what set-up and git wrote on each filesystem that holds it."""
    written = [project.directory, project.common, *(instance.worktree for instance in made.instances)]
    for place in {os.stat(path).st_dev: path for path in written if path.is_dir()}.values():
        try:
            Disk(str(place)).flush()
        except OSError as error:
            raise refused(error, str(place)) from None


def plan_repair(project: Project) -> Plan:
    """Plan to repair what set-up made, without adding worktrees, tasks or stopped agents."""
    team = team_instances(project)
    made = worktrees.plan(project) if team else Plan()
    again = rebuild.plan(project, made)
    root = rebuild.opened(project)
    is_down = root is not None and down.read(root.files) is not None
    made.actions += sessions.plan_settings(project) if team else []
    for instance in made.instances:
        with apart(made, instance.peer):
            made.actions += _fit(project, instance)
            lost = agents.orphan_agents(project, instance)
            if is_down:
                continue  # a person took the team down: a repair starts no agent
            if lost or (instance.peer in again and agents.at([instance.directory])):
                text = f"start the agent of {instance.peer} again"
                made.actions.append(Action(text, partial(_start, project, instance, True)))
    return made


def plan_join(project: Project, path: Path, peer: str = "") -> Plan:
    """Plan to add the existing worktree of a path to the team; its peer is by default the next ``instance-<k>``."""
    roots.open_root(str(project.directory / paths.ROOT))
    made = worktrees.plan_join(project, path, peer)
    _plan_instances(project, made)
    for error in made.failed.values():
        raise error
    return made


def _plan_instances(project: Project, made: Plan, again: Collection[str] = ()) -> None:
    root = rebuild.opened(project)
    mark = down.read(root.files) if root else None
    if root and mark is not None:
        made.actions.append(Action(f"start the team again, taken down {down.since(mark)}", partial(down.remove, root)))
    made.actions += sessions.plan_settings(project)
    for instance in made.instances:
        with apart(made, instance.peer):
            fitting = _fit(project, instance)
            made.actions += fitting
            if not any(agents.serves(record, instance) for record in agents.of(project, instance)):
                made.actions.append(Action(f"start the agent of {instance.peer}", partial(_start, project, instance)))
            elif instance.peer in again or fitting or agents.orphan_agents(project, instance):
                text = f"start the agent of {instance.peer} again"
                made.actions.append(Action(text, partial(_start, project, instance, True)))


def _create(project: Project, state: Path, settings: Json) -> None:
    root = roots.create(str(state), project.name, settings)
    excludes.hide(state)
    manifest.note_project(project.common, project.sub, store_id=root.store_id, settings=settings)
    copy.publish_now(str(project.directory))


def _read(project: Project, source: tasklist.Source, options: SetupOptions) -> Reading:
    key = tasklist.key_in(project, source.where, options.key)
    return read_source(source.where, source.tag, project.directory, key)


def _import(project: Project, source: tasklist.Source, options: SetupOptions, notes: list[str]) -> str:
    """Import tasks; a missing tag of a list that was not named now is a warning."""
    try:
        reading = _read(project, source, options)
    except NotFoundError as error:
        if options.tasks or error.code != "no-tag":
            raise
        return f"nothing was taken in: {error.message}; {error.hint}"
    if "@" not in source.where.partition("://")[2]:  # a URL with a password is not recorded
        use = {"source_use": source.use} if source.use else {}
        noted = tasklist.written(project, source.where)
        manifest.note_project(project.common, project.sub, source=noted, tag=reading.tag, **use)
    queue = Queue(roots.open_root(str(project.directory / paths.ROOT)))
    intake = take_in(queue, reading.tasks, take_in_progress=options.take_in_progress)
    intake.refused += reading.refused
    known = f", {len(intake.known)} were known" if intake.known else ""
    notes.append(f"{len(intake.added)} tasks taken in ({len(intake.done)} of them done before){known}")
    notes.extend(f"task {task} is parked: {why}" for task, why in intake.parked.items())
    notes.extend(f"refused: {what}: {why}" for what, why in intake.refused)
    return ""


def _start(project: Project, instance: Instance, again: bool = False) -> None:
    """Start an agent, after ending the worktree's stray agents, or all of them if ``again``."""
    found = [record for record in agents.of(project, instance) if agents.is_here(record)]
    agents.end([record for record in found if again or not agents.serves(record, instance)])
    control.start(str(instance.directory), str(project.directory))


# -- an instance's own files -------------------------------------------------------------------------------------


def _fit(project: Project, instance: Instance) -> list[Action]:
    """Plan what is missing of a worktree's ``.claude-instance/``."""
    home, files = instance_dir(instance), instance_files(instance)
    info, script = context.read_copy(files), files.peek(SCRIPT)
    whole = all((seen := files.stat(name)) and seen.is_dir for name in DIRECTORIES) and _has_progress(files)
    state, root = project.directory / paths.ROOT, rebuild.opened(project)
    whole = whole and state.is_dir() and files.is_restricted(str(state))
    right = {"project": str(project.directory), "worktree_path": str(instance.directory), "instance_id": instance.peer}
    if whole and script == coordinate_sh() and right.items() <= info.items() and root is not None:
        recorded = instance_records.read(root, instance.peer)
        if _where(project, instance).items() <= recorded.items():
            return []
    where = project.short(home)
    return [Action(f"write {where}/ (info.json, progress.json, coordinate.sh)", partial(fit, project, instance))]


def fit(project: Project, instance: Instance) -> None:
    """Write an instance's own files where they are missing or wrong."""
    state, files = str(project.directory / paths.ROOT), instance_files(instance)
    excludes.hide_instance(instance)
    for name in DIRECTORIES:
        files.claim_directory(name)
    files.restrict(state)
    known = context.read_copy(files)
    root = roots.open_root(state)
    info: Json = {
        "schema_version": records.SCHEMA_VERSION,
        "index": instance.index,
        "created": Clock().now(),
        "assigned_tasks": [],
        **known,
        "instance_id": instance.peer,
        "project": str(project.directory),
        "coordination": state,
        "store_id": root.store_id,
        "worktree_path": str(instance.directory),
        "branch": instance.branch,
    }
    recorded = {"created": Clock().now(), **instance_records.read(root, instance.peer), **_where(project, instance)}
    facts = {"checkout": str(instance.worktree), "index": instance.index, "branch": instance.branch}
    instance_records.write(root, instance.peer, **{**recorded, **facts})
    files.replace("info.json", records.encode(info))
    if not _has_progress(files):
        empty: Json = {"instance_id": instance.peer, "assigned_tasks": [], "memory_contributions": []}
        published = Queue(root).read_record(paths.report(instance.peer))
        files.replace("progress.json", records.encode(published or empty))
    write_script(files)


def _has_progress(files: InstanceFiles) -> bool:
    data = files.peek("progress.json")
    return data is not None and not records.is_blank(data)


def _where(project: Project, instance: Instance) -> Json:
    git_dir = instance.git_dir or repository.git_dirs(project)[instance.worktree]
    return {"worktree": str(instance.directory), "git_dir": str(git_dir)}


def write_script(files: InstanceFiles) -> bool:
    """Write this version's ``coordinate.sh`` into a worktree; ``False`` if it is there."""
    if files.peek(SCRIPT) == coordinate_sh():
        return False
    files.replace(SCRIPT, coordinate_sh(), program=True)
    return True


def coordinate_sh() -> bytes:
    """Return the ``coordinate.sh`` that calls this very installation."""
    from importlib.resources import files

    template = files("peercoord.worktree").joinpath(SCRIPT).read_text(encoding="utf-8")
    python, flag = child.command()[:2]
    return template.replace("@PYTHON@", shlex.quote(python)).replace("@FLAG@", flag).encode()
