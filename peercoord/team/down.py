"""Take a team down: sessions, agents, then worktrees that hold nothing of their own; with ``purge``, every trace.

There are two plans: whether a worktree may go depends on no process working in it any more, so the second plan is made
once the first is done. Claims go back to the queue in any case.
"""

from __future__ import annotations

import signal
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from peercoord.agent import control
from peercoord.errors import PeercoordError, StorageError
from peercoord.membership import liveness, signals
from peercoord.membership import membership as members
from peercoord.queue.peer import Peer
from peercoord.review.actions import login
from peercoord.store import down, paths
from peercoord.system import process
from peercoord.system.clock import wait_until
from peercoord.team import agents, final_sync, rebuild, removal, tmux
from peercoord.team.plan import Action, Instance, Plan, apart, own
from peercoord.team.repository import MOST, home, team_instances
from peercoord.team.safety import unserved

SERVE_SECONDS = 10.0

if TYPE_CHECKING:
    from collections.abc import Collection

    from peercoord.store.paths import Incarnation
    from peercoord.store.project import Project
    from peercoord.store.root import Root


def plan_stop(project: Project) -> Plan:
    """Plan to close sessions, stop every agent and release every claim.

    First the outboxes are served. Then the mark is written, so that no agent joins while others are stopped. Last, the
    lists, the memory bank and the views are brought up to date.

    No action depends on another one: a failure is recorded for what it concerns, and the others go on.
    """
    made = Plan(instances=team_instances(project))
    state = project.directory / paths.ROOT
    root = agents.opened(state)
    mark = down.read(root.files) if root else None
    if mark is None:
        _plan_serve(made, state)
        made.actions += _plan_note(root)
    unlisted = _unlisted(root, {instance.peer for instance in made.instances})
    _plan_agents(made, root, state, [*made.instances, *unlisted], project.directory)
    with apart(made, "peers whose worktree is gone"):
        made.actions += rebuild.plan_stale(project)
    places = [home(project, index) / project.sub for index in range(1, MOST + 1)]
    for record in agents.at(set(places) - {instance.directory for instance in made.instances}):
        text = f"end process {record['agent']['pid']}, the agent of a worktree that is gone"
        made.actions.append(Action(text, partial(agents.end, [record]), f"process {record['agent']['pid']}"))
    if root is not None and (made.actions or not (mark or {}).get("settled_at")):
        made.actions.append(_bring_up_to_date(project, root))
    return made


def _bring_up_to_date(project: Project, root: Root) -> Action:
    text = "bring lists, memory bank and views up to date: all work has stopped"
    return Action(text, partial(final_sync.bring_up_to_date, project, root), "lists, memory bank and views")


def plan_stop_on_record(state: Path) -> Plan:
    """Plan to stop every agent on record, where git cannot list the worktrees."""
    made = Plan()
    root = agents.opened(state)
    _plan_agents(made, root, state, _unlisted(root, ()))
    if made.actions and root is not None and down.read(root.files) is None:
        made.actions = [*_plan_note(root), *made.actions]
    return made


def _plan_agents(
    made: Plan, root: Root | None, state: Path, instances: Collection[Instance], project: Path | None = None
) -> None:
    """Plan to close the windows of worktrees, and that of a project's status, and stop their agents."""
    with apart(made, "tmux"):
        made.actions += tmux.plan_close(instances, project)
    seen = {record["worktree"] for record in agents.at([instance.directory for instance in instances])}
    for instance in instances:
        with apart(made, instance.peer):
            if str(instance.directory) in seen or _living(root, instance):
                text = f"stop the agent of {instance.peer} and give its tasks back"
                made.actions.append(Action(text, partial(_stop, state, instance)))


def _unlisted(root: Root | None, known: Collection[str]) -> list[Instance]:
    """List worktrees of recorded agents that git does not list as the team's."""
    found: list[Instance] = []
    if root is None:
        return found
    for who in members.living(root):
        record = members.record_of(root, who)
        agent, tree = liveness.agent_of(record), record.get("worktree")
        runs = agent is not None and agents.is_here(record) and process.running(agent)
        if runs and who.peer not in known and isinstance(tree, str):
            found.append(Instance(0, who.peer, Path(tree), Path(tree), "", made=False))
    return found


def _plan_note(root: Root | None) -> list[Action]:
    def note(root: Root) -> str:
        try:
            down.write(root, login())
        except StorageError as error:
            return f"that the team is down cannot be noted, so an agent may start again: {error.message}"
        return ""

    return [] if root is None else [Action("note that the team is down", partial(note, root), paths.DOWN)]


def refuse_loss(project: Project, named: Collection[str], dry_run: bool = False) -> None:
    """Save what can be saved before a purge; refuse if something would still be lost that was not ``named``."""
    root = agents.opened(project.directory / paths.ROOT)
    if not dry_run:
        final_sync.require_sync(project, named)
        if root is not None and removal.MEMORY not in named:
            with suppress(PeercoordError):  # contributions that remain are counted below
                final_sync.merge_memory(root)
    removal.refuse_waiting(project, named)


def _plan_serve(made: Plan, state: Path) -> None:
    for instance in made.instances:
        what = f"the outbox of {instance.peer}"
        with suppress(PeercoordError, OSError):
            if unserved(instance):
                made.actions.append(Action(f"serve what waits in {what}", partial(_serve, state, instance), what))


def _living(root: Root | None, instance: Instance) -> list[Incarnation]:
    return [who for who in members.living(root) if who.peer == instance.peer] if root is not None else []


def plan_leave(project: Project, instance: Instance) -> Plan:
    """Plan to take one worktree out of the team; it stays as an ordinary one."""
    made = Plan(instances=[instance])
    state = project.directory / paths.ROOT
    root = agents.opened(state)
    _plan_serve(made, state)
    _plan_agents(made, root, state, [instance])
    made.actions += own(removal.plan_leave(project, instance), instance.peer)
    if root is not None and not [who for who in members.living(root) if who.peer != instance.peer]:
        made.actions.append(_bring_up_to_date(project, root))
    return made


def _stop(state: Path, instance: Instance) -> None:
    """Ask a worktree's agent to release and leave, and end it if it does not; leave on its behalf if none runs."""
    root = agents.opened(state)
    met: list[PeercoordError] = []
    for record in control.agents_of(root, str(instance.directory), instance.peer):
        joined = bool(record.get("incarnation"))
        numbers = (control.GIVE_BACK, signal.SIGCONT) if joined else ()
        try:
            if not signals.send(record, *numbers, wait=control.STOP_SECONDS if joined else 0.0):
                agents.end([record])
        except PeercoordError as error:
            if not agents.is_here(record):
                raise
            met.append(error)
    for who in _living(root, instance):
        if root is not None and str(who) in root.files.scan(paths.PEERS):
            Peer.resume(root, who).leave()
    if met:
        raise met[0]


def _serve(state: Path, instance: Instance) -> None:
    """Let the agent serve its outbox before it leaves; unserved requests keep the worktree."""
    try:
        if not unserved(instance):
            return
        control.start(str(instance.directory), str(state.parent))
        wait_until(lambda: not unserved(instance), SERVE_SECONDS)
    except (PeercoordError, OSError):
        return  # it cannot be served now
