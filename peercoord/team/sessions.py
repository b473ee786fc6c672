"""Which coding agent works in which worktree, and how its session is started."""

from __future__ import annotations

import shlex
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from peercoord.errors import NotFoundError, UsageError
from peercoord.foreign import shown
from peercoord.integrations import check, launch
from peercoord.integrations.agents import AGENTS, CLAUDE
from peercoord.store import manifest, paths
from peercoord.store import root as roots
from peercoord.system.git import pasted
from peercoord.team import rebuild
from peercoord.team.hooks import INDEX
from peercoord.team.plan import Action
from peercoord.team.tmux import Window

if TYPE_CHECKING:
    from collections.abc import Iterable

    from peercoord.integrations.agents import CodingAgent
    from peercoord.store.project import Project
    from peercoord.team.plan import Instance

_AGENTS = "agents"  # key of the team's record


@dataclass(frozen=True, slots=True)
class Choice:
    """What a person chose to run in the sessions."""

    agents: tuple[CodingAgent, ...]  # repeated over the instances; none if a command was named
    command: tuple[str, ...] = ()  # the words of another command
    named: bool = True  # the person named it

    @classmethod
    def read(cls, agents: str, command: str) -> Choice:
        """Read the options: names of coding agents with commas between (empty: Claude Code), or a command line."""
        if command and agents:
            raise UsageError("--agent and --command cannot both be given", "leave one of them out")
        if command:
            try:
                return cls((), tuple(shlex.split(command)))
            except ValueError as error:
                raise UsageError(f"{shown(command)} cannot be split into words: {error}", "close the quote") from None
        keys = [key.strip() for key in agents.split(",")] if agents else [CLAUDE.key]
        for key in keys:
            if key not in AGENTS:
                raise UsageError(f"there is no coding agent {shown(key)}", f"known: {', '.join(AGENTS)}")
        return cls(tuple(AGENTS[key] for key in keys), named=bool(agents))

    @classmethod
    def of_team(cls, project: Project, agents: str, command: str) -> Choice:
        """Read the options; if none is given, what the team's sessions were started with before."""
        before = manifest.read_project(project.common, project.sub).get(_AGENTS)
        if agents or command or not isinstance(before, str):
            return cls.read(agents, command)
        known = [key for key in before.split(",") if key in AGENTS]
        return cls.read(",".join(known), "")

    def remember(self, project: Project) -> None:
        """Record the coding agents, so that the next ``up`` starts the same ones; a ``--command`` is not recorded."""
        if self.named and self.agents:
            keys = ",".join(agent.key for agent in self.agents)
            manifest.note_project(project.common, project.sub, **{_AGENTS: keys})

    @property
    def programs(self) -> list[str]:
        """The programs that must be installed."""
        return [self.command[0]] if self.command else [agent.program for agent in self.agents]

    def is_installed(self) -> bool:
        """Check whether tmux and the programs are there."""
        return all(map(shutil.which, ("tmux", *self.programs)))

    def notes(self, instances: Iterable[Instance]) -> list[str]:
        """Return what a person must do before the hooks run."""
        trees: dict[str, list[str]] = {}
        for instance in instances if self.agents else ():
            trees.setdefault(self.agent_of(instance).key, []).append(str(instance.directory))
        return [note for key, some in trees.items() for note in check.note(AGENTS[key], some)]

    def agent_of(self, instance: Instance) -> CodingAgent:
        """Return the coding agent of a worktree."""
        return self.agents[(instance.index - 1) % len(self.agents)]


def windows(project: Project, instances: Iterable[Instance], choice: Choice) -> list[Window]:
    """Return what is to run in the window of each worktree."""
    if not choice.named and not shutil.which(CLAUDE.program):
        text = f"there is nothing to run in the sessions: {CLAUDE.program} is not installed"
        hint = "name a coding agent: --agent AGENT, or a program: --command CMD; or start by hand: --launch none"
        raise NotFoundError(text, hint, code="no-command")
    return [_window(project, instance, choice) for instance in instances]


def lines_to_type(project: Project, instances: Iterable[Instance], choice: Choice) -> list[str]:
    """Return the line that starts a session in each worktree."""
    lines = []
    for window in (_window(project, instance, choice, prompt="") for instance in instances):
        env = {INDEX: str(window.instance.index), **window.env}
        settings = " ".join(f"{key}={shlex.quote(value)}" for key, value in env.items())
        lines.append(f"cd {pasted(window.instance.directory)} && {settings} {shlex.join(window.command)}")
    return lines


def _window(project: Project, instance: Instance, choice: Choice, prompt: str = launch.PROMPT) -> Window:
    if choice.command:
        return Window(instance, choice.command)
    agent, hooks = choice.agent_of(instance), str(project.directory / paths.ROOT / paths.HOOKS)
    env = launch.environment(agent, hooks, str(instance.directory))
    return Window(instance, launch.command(agent, hooks, prompt, str(instance.directory)), env)


def plan_settings(project: Project) -> list[Action]:
    """Plan to write the hook script and the settings of coding agents, where they are missing."""
    root = rebuild.opened(project)
    if root is not None and not launch.missing(root, str(project.directory), _bank(project)):
        return []
    state = project.directory / paths.ROOT

    def install() -> None:
        launch.install(roots.open_root(str(state)), str(project.directory), _bank(project))

    where = project.short(state / paths.HOOKS)
    return [Action(f"write the hooks and settings of coding agents in {where}/", install)]


def _bank(project: Project) -> str:
    """Return the memory bank's path in the project, as set-up takes it where the record of it was lost."""
    return str(manifest.read_project(project.common, project.sub).get("bank", paths.BANK) or "").strip("/")
