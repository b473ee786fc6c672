"""``peercoord setup``: hooks for the coding agents that a person starts."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from peercoord.cli.main import Call
from peercoord.errors import PeercoordError, UsageError
from peercoord.foreign import counted, plain
from peercoord.integrations.agents import AGENTS, CODEX
from peercoord.store import instance_records, paths
from peercoord.worktree.reply import Reply

if TYPE_CHECKING:
    from peercoord.foreign import Json
    from peercoord.integrations.agents import CodingAgent
    from peercoord.integrations.setup import PersonalSetup


@click.command(short_help="Add hooks to your own settings of a coding agent.")
@click.argument("agent", type=click.Choice(list(AGENTS)), metavar="AGENT")
@click.option("--print", "only_print", is_flag=True, help="Show what would be put where, and change nothing.")
@click.option("--check", is_flag=True, help="Fire a hook, and look for what silences hooks.")
@click.option("--remove", is_flag=True, help="Take all of it out again, byte for byte.")
@click.option(
    "--block", default="", metavar="FILE", help="Add a block to this file too: AGENTS.md, CLAUDE.md, GEMINI.md."
)
@click.option("--allow-commits", is_flag=True, help="Let Codex run git add, commit and merge outside its sandbox.")
@click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object.")
@click.pass_obj
def setup(
    call: Call,
    agent: str,
    only_print: bool,
    check: bool,
    remove: bool,
    block: str,
    allow_commits: bool,
    as_json: bool,  # noqa: ARG001 - read by the frame
) -> Reply:
    """Tell AGENT to call peercoord at the start, the stop and the tools of every session that you start yourself.

    AGENT is claude, codex, gemini, copilot or opencode. The hooks are silent outside of a team's worktrees. Sessions
    that `up --launch` starts need no set-up, but for Gemini CLI.
    """
    from peercoord.integrations.setup import PersonalSetup

    person, one = PersonalSetup(), AGENTS[agent]
    if only_print + check + remove > 1 or ((block or allow_commits) and (only_print or check or remove)):
        raise UsageError("--print, --check and --remove each stand alone", "give one of them")
    if allow_commits and one is not CODEX:
        raise UsageError(f"{one.title} has no sandbox that keeps it from committing", "leave --allow-commits out")
    target = str(person.target(one))
    data: Json = {"agent": agent, "file": target, "script": str(person.script)}
    if only_print:
        text = person.content(one)
        return Reply({**data, "content": text}, [f"in {plain(target)}:", "", *text.splitlines()])
    if check:
        return _checked(call, person, one, data)
    if remove:
        done = person.remove(one)
        return Reply({**data, "done": done}, done or [f"nothing of peercoord's is set up for {one.title}"])
    at = Path(call.directory or ".")
    done = person.set_up(one, at / block if block else None, allow_commits)
    done += _note_worktrees(call, person) if call.directory else []
    lines = done or [f"nothing to do: {one.title} has its hooks"]
    return Reply({**data, "done": done}, [*lines, *_next(person, one, block, at)])


def _note_worktrees(call: Call, person: PersonalSetup) -> list[str]:
    """Note the worktrees of a project that the person named: hooks believe one beside the worktree alone otherwise."""
    try:
        root, script = call.root, f"{call.place.coordination}/{paths.HOOK_SCRIPT}"
    except PeercoordError:
        return []  # it is named for the block alone
    new = [
        one for known in instance_records.all(root).values() if not person.knows_team(one := known["worktree"], script)
    ]
    for one in new:
        person.note_team(one, script)
    return [f"noted {counted(new, 'worktree')} of {plain(call.place.project)}"] if new else []


def _next(person: PersonalSetup, agent: CodingAgent, block: str, at: Path) -> list[str]:
    """Write what a person may type next."""
    review = ["Codex skips new hooks without a word: start codex, type /hooks, and trust those of peercoord"]
    lines = review if agent is CODEX else []
    if agent is CODEX and not person.rules.exists():
        lines.append("Codex asks before each commit, which its sandbox keeps from the git directory of a worktree.")
        lines.append("To let it, in every project: peercoord setup codex --allow-commits")
    lines.append(f"Check    peercoord setup {agent.key} --check")
    lines.append(f"Undo     peercoord setup {agent.key} --remove")
    page = {"claude": "CLAUDE.md", "gemini": "GEMINI.md"}.get(agent.key, "AGENTS.md")
    if not block and (at / page).is_file():
        lines.append(f"If you like, a block about the team in {page}: peercoord setup {agent.key} --block {page}")
    return lines


def _checked(call: Call, person: PersonalSetup, agent: CodingAgent, data: Json) -> Reply:
    from peercoord.integrations import check

    project: Path | None = None
    trees: list[str] = []
    with suppress(PeercoordError):
        project = Path(call.place.project)
        trees = [known["worktree"] for known in instance_records.all(call.root).values()]
    found = check.check(person, agent, project, trees)
    lines = []
    for one in found:
        lines.append(one.text if one.state == check.OK else f"{one.state}: {one.text}")
        lines += [f"  fix: {plain(one.fix)}"] if one.fix else []
    listed = [{"state": one.state, "text": one.text, "fix": one.fix} for one in found]
    bad = any(one.state == check.BAD for one in found)
    return Reply({**data, "checks": listed}, lines, code=1 if bad else 0)
