"""Taking a team down: sessions, agents, then worktrees that hold nothing of their own; with ``purge``, every trace.

In two plans, because the second can only be made when the first is done: whether a worktree may go depends on no
process working in it any more. Claims go back to the queue in any case.
"""

from __future__ import annotations

from functools import partial

from peercoord.core import names
from peercoord.core.errors import PeercoordError
from peercoord.edges import agentctl, context
from peercoord.edges.team import agents, launch, rebuild, removal
from peercoord.edges.team.leftover import unserved
from peercoord.edges.team.plan import Action, Plan
from peercoord.edges.team.seats import MOST, home, seats
from peercoord.roles import root as roots
from peercoord.roles.peer import Peer

SERVE_SECONDS = 10.0

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    import psutil

    from peercoord.edges.team.plan import Seat
    from peercoord.edges.team.repository import Project


def plan_stop(project: Project) -> Plan:
    """Plan to close the sessions that were opened, stop every agent and give every claim back."""
    made = Plan(seats=seats(project))
    made.actions += launch.plan_close(made.seats)
    for seat in made.seats:
        made.actions += _plan_stop(seat)
    made.actions += rebuild.plan_ghosts(project)
    places = [home(project, index) / project.sub for index in range(1, MOST + 1)]
    for process in agents.at(set(places) - {seat.directory for seat in made.seats}):
        text = f"end process {process.pid}, the agent of a worktree that is gone"
        made.actions.append(Action(text, partial(_end, [process])))
    return made


def _plan_stop(seat: Seat) -> list[Action]:
    there = (seat.directory / context.INFO).exists()
    if not (there and _is_up(seat)) and not agents.strays(seat.directory):
        return []
    return [Action(f"stop the agent of {seat.peer} and give its tasks back", partial(_stop, seat))]


def plan_leave(project: Project, seat: Seat) -> Plan:
    """Plan to take one worktree out of the team; it stays, as an ordinary one."""
    made = Plan(seats=[seat])
    made.actions += launch.plan_close([seat])
    made.actions += _plan_stop(seat)
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
    place = str(seat.directory)
    try:
        return agentctl.locked(place) or bool(agentctl.status(place)["present"])
    except PeercoordError:
        return False  # its coordination directory is gone, and no agent runs


def _stop(seat: Seat) -> str:
    """Stop an agent, which gives back and leaves; where none runs, leave on its behalf."""
    place = str(seat.directory)
    if not (seat.directory / context.INFO).exists():
        return _end(agents.strays(seat.directory))
    if unserved(seat):
        _serve(seat)
    agentctl.stop(place, give_back=True)
    agents.end(agents.strays(seat.directory))
    found = context.find(given=place)
    me = found.incarnation
    try:
        root = roots.open_root(f"{found.project}/{names.ROOT}", found.store_id)
    except PeercoordError:
        return ""  # it is gone, and with it all that this peer held
    if me and str(me) in root.files.scan(names.PEERS):
        Peer.resume(root, me).leave()
    return ""


def _serve(seat: Seat) -> None:
    """Let what was queued be served before anyone leaves; what is not served in time keeps its worktree."""
    import time

    try:
        agentctl.start(str(seat.directory))
    except PeercoordError:
        return  # nobody can serve it now
    end = time.monotonic() + SERVE_SECONDS
    while unserved(seat) and time.monotonic() < end:
        time.sleep(0.02)


def _end(processes: Collection[psutil.Process]) -> str:
    agents.end(processes)
    return ""
