"""Check the hooks of coding agents: when they last fired, and what silences them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from peercoord.doctor.checks import Finding, command, good, warning
from peercoord.errors import PeercoordError
from peercoord.integrations import check
from peercoord.integrations.agents import AGENTS, CODEX
from peercoord.integrations.setup import PersonalSetup
from peercoord.store import instance_records, paths
from peercoord.system.git import shown_path
from peercoord.team import repository
from peercoord.team.sessions import Choice
from peercoord.worktree import context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peercoord.integrations.agents import CodingAgent
    from peercoord.store.root import Root


def examine(project: str, root: Root | None) -> Iterator[Finding]:
    """Check the hooks of the sessions that ``up`` starts, and those that a person has set up.

    The ``root`` is ``None`` if the coordination directory cannot be read.
    """
    home, person = Path(project) / paths.ROOT / paths.HOOKS, PersonalSetup()
    for agent in AGENTS.values():
        if since := check.last_fired(home, agent):
            yield good("hooks", f"{agent.title} last fired a hook of this team {since} ago")
    trees = [str(known["worktree"]) for known in instance_records.all(root).values()] if root else []
    if trees and CODEX in _launched(project):
        for one in check.launched(person.target(CODEX).parent, home, Path(trees[0])):
            yield _finding(f"hooks of {CODEX.title} as up starts it", one)
    mine = [agent for agent in AGENTS.values() if person.known(agent) is not None]
    for agent in mine:
        yield from (
            _finding(f"hooks of {agent.title}", one) for one in check.check(person, agent, Path(project), trees)
        )
    if mine:
        yield from _silent(person, project, trees, mine[0])


def _finding(about: str, one: check.Finding) -> Finding:
    return Finding(about, one.state, shown_path(one.text), one.fix)


def _launched(project: str) -> tuple[CodingAgent, ...]:
    """Return the coding agents with which the team's sessions were started."""
    with suppress(PeercoordError):
        return Choice.of_team(repository.discover(project), "", "").agents
    return ()


def _silent(person: PersonalSetup, project: str, trees: list[str], agent: CodingAgent) -> Iterator[Finding]:
    """Name the worktrees in which the hooks of a person's own sessions are silent.

    Such a hook believes a project beside the worktree, and any other one only if ``peercoord setup`` recorded it.
    """
    script, found = str(Path(project) / paths.ROOT / paths.HOOK_SCRIPT), []
    for tree in trees:
        with suppress(PeercoordError):  # it is gone, which other checks say
            place = context.at(project, tree)
            if not (context.is_beside(place) or person.knows_team(place.worktree, script)):
                found.append(shown_path(tree))
    if found:
        lie = "which does not lie" if len(found) == 1 else "which do not lie"
        text = f"your own sessions' hooks say nothing in {', '.join(found)}, {lie} beside the project"
        yield warning("hooks", text, command("peercoord", "-C", project, "setup", agent.key))
