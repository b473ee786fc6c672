"""Check the hooks of coding agents: when they last fired, and what silences those of a person."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from peercoord.doctor.checks import Finding, good
from peercoord.integrations import check
from peercoord.integrations.agents import AGENTS
from peercoord.integrations.setup import PersonalSetup
from peercoord.store import paths
from peercoord.system.git import shown_path

if TYPE_CHECKING:
    from collections.abc import Iterator


def examine(project: str) -> Iterator[Finding]:
    """Check the hooks of the sessions that ``up`` starts, and those that a person has set up.

    Args:
        project: The project in the main checkout.
    """
    home = Path(project) / paths.ROOT / paths.HOOKS
    for agent in AGENTS.values():
        if since := check.last_fired(home, agent):
            yield good("hooks", f"{agent.title} last fired a hook of this team {since} ago")
    person = PersonalSetup()
    for agent in AGENTS.values():
        if person.known(agent) is not None:
            for one in check.check(person, agent, Path(project)):
                yield Finding(f"hooks of {agent.title}", one.state, shown_path(one.text), one.fix)
