"""Taking a team down: sessions, agents, then worktrees that hold nothing of their own; with ``purge``, every trace.

In two plans, because the second can only be made when the first is done: whether a worktree may go depends on no
process working in it any more. Claims go back to the queue in any case.
"""

from __future__ import annotations

from functools import partial

from peercoord.core import names
from peercoord.core.errors import PeercoordError
from peercoord.edges import agentctl, context
from peercoord.edges.team import launch, removal
from peercoord.edges.team.plan import Action, Plan
from peercoord.edges.team.seats import seats
from peercoord.roles import root as roots
from peercoord.roles.peer import Peer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from peercoord.edges.team.plan import Seat
    from peercoord.edges.team.repository import Project


def plan_stop(project: Project) -> Plan:
    """Plan to close the sessions that were opened, stop every agent and give every claim back."""
    made = Plan(seats=seats(project))
    made.actions += launch.plan_close(made.seats)
    for seat in made.seats:
        if (seat.directory / context.INFO).exists() and _is_up(seat):
            made.actions.append(_stop_action(seat))
    return made


def _stop_action(seat: Seat) -> Action:
    return Action(f"stop the agent of {seat.peer} and give its tasks back", partial(_stop, seat))


def plan_leave(project: Project, seat: Seat) -> Plan:
    """Plan to take one worktree out of the team; it stays, as an ordinary one."""
    made = Plan(seats=[seat])
    made.actions += launch.plan_close([seat])
    if (seat.directory / context.INFO).exists() and _is_up(seat):
        made.actions.append(_stop_action(seat))
    made.actions += removal.plan_leave(project, seat)
    return made


def plan_clear(project: Project, named: Collection[str], purge: bool) -> Plan:
    """Plan to remove what may go, once sessions and agents are stopped.

    Args:
        project: The project.
        named: Peers whose worktrees go with all that is in them.
        purge: Take every trace of the team out of the repository.
    """
    if purge:
        return removal.plan_purge(project, named)
    return removal.plan_remove(project, seats(project), named)


def _is_up(seat: Seat) -> bool:
    try:
        now = agentctl.status(str(seat.directory))
    except PeercoordError:
        return False
    return bool(now["running"] or now["present"])


def _stop(seat: Seat) -> str:
    """Stop an agent, which gives back and leaves; where none runs, leave on its behalf."""
    place = str(seat.directory)
    agentctl.stop(place, give_back=True)
    found = context.find(given=place)
    me = found.incarnation
    root = roots.open_root(f"{found.project}/{names.ROOT}", found.store_id)
    if me and str(me) in root.files.scan(names.PEERS):
        Peer.resume(root, me).leave()
    return ""
