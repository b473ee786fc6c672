"""``peercoord up`` and ``claude-team-coordinated``: set a team up, extend it or repair it."""

from __future__ import annotations

import os
import re
import shlex
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from peercoord.cli.main import Call
from peercoord.cli.team import carry_out, failed_lines, failures, instance_record, one_at_a_time
from peercoord.errors import PeercoordError, StoppedError, UsageError
from peercoord.foreign import plain
from peercoord.mailbox.verbs import json_option
from peercoord.system.git import pasted
from peercoord.worktree.handover import SHELL
from peercoord.worktree.reply import Reply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peercoord.foreign import Json
    from peercoord.store.project import Project
    from peercoord.team.plan import Plan
    from peercoord.team.sessions import Choice
    from peercoord.team.up import SetupOptions

LINE_MOST = 76  # characters of one line of a command to paste


@click.command(short_help="Set up a coordinated team on PROJECT, or repair it.")
@click.argument("project", default="")
@click.argument("count", type=click.IntRange(min=1), required=False, metavar="[N]")
@click.option("--tasks", default="", metavar="PATH", help="A list to keep in step, both ways; one found is only read.")
@click.option("--import-only", is_flag=True, help="Read the list once, also one that is named.")
@click.option("--tag", metavar="T", help="The tag of a tasks.json; as chosen before, or the one that is current now.")
@click.option("--take-in-progress", is_flag=True, help="Take tasks a person has in progress there as free to claim.")
@click.option("--database", default="", metavar="PATH_OR_URL", help="Keep the tasks in step with it; 'none' for none.")
@click.option(
    "--project", "key", default="", metavar="NAME", help="What a database of several projects calls this one."
)
@click.option("--sync", is_flag=True, help="Keep a list in step that is only found.")
@click.option("--base", default="", metavar="REV", help="What new branches start from; HEAD if left out.")
@click.option("--branch-prefix", metavar="P", help="Before instance-<k> in a branch's name; team/ if never said.")
@click.option("--bank", metavar="DIR", help="The memory bank's directory; memory-bank if never said.")
@click.option("--setup", default="", metavar="CMD", help="A command to run in each new worktree.")
@click.option("--launch", type=click.Choice(["none", "tmux"]), help="Start the sessions; asked on a terminal.")
@click.option(
    "--agent", default="", metavar="A[,B…]", help="The coding agents, repeated over the worktrees; claude if left out."
)
@click.option(
    "--command", default="", metavar="CMD", help="Another program for each session, with no settings of ours."
)
@click.option("--nested", is_flag=True, help="Set up a second team, below a project that has one.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@json_option
@click.pass_obj
def up(
    call: Call,
    /,
    project: str,
    count: int | None,
    launch: str | None,
    agent: str,
    command: str,
    nested: bool,
    dry_run: bool,
    as_json: bool,
    **wished: Any,
) -> Reply:
    """Set up a coordinated team on PROJECT: N worktrees (3 if left out), each with its agent.

    Run again, it repairs what is missing; with a larger N it adds worktrees.

    Agents are claude, codex, gemini, copilot, opencode. Sessions that are started work by themselves, which costs
    money. They may call the verbs, edit their worktree and commit; they ask for the rest.
    """
    from peercoord.store import paths
    from peercoord.team import repository, sessions, tmux
    from peercoord.team.up import flush, plan

    if project.isdigit() and count is None and not os.path.isdir(project):
        project, count = "", int(project)
    ask = not (as_json or call.quiet or dry_run)
    with _nothing_done():
        found = repository.discover(project or call.directory or ".", exact=True)
        repository.commit(found)
        _check_not_below(found, nested, ask=ask)
        choice = sessions.Choice.of_team(found, agent, command)
        offered = _offer_shared(found, wished, ask=ask)
        launches = launch == "tmux" or (launch is None and ask and _is_to_launch(found, choice))
    is_new = not (found.directory / paths.ROOT / paths.PROTOCOL).exists()
    with one_at_a_time(found, dry_run):
        with _nothing_done():
            made = plan(found, _options(count, wished))
            made.notes += offered
            if launches:
                made.actions += tmux.plan_open(found.directory, sessions.windows(found, made.instances, choice))
                made.notes += choice.notes(made.instances)
        undo = f"take it away: {_undo(found, is_new)}"
        warnings = carry_out(call, made, dry_run, as_json, undo)
        if not dry_run:
            if launches:
                choice.remember(found)
            flush(found, made)
            made.notes += _no_tasks(found)
    opened = {} if dry_run else _opened(made, warnings)
    ready = [instance for instance in made.instances if instance.peer not in {*made.failed, *opened}]
    to_type = [] if launches else sessions.lines_to_type(found, ready, choice)
    data: Json = {
        "project": str(found.directory),
        "dry_run": dry_run,
        "actions": [action.text for action in made.actions],
        "notes": made.notes,
        "warnings": warnings,
        "instances": [instance_record(instance) for instance in made.instances],
        "sessions": opened,
        "to_type": to_type,
        "failed": failures(made),
    }
    notes = [*warnings, *failed_lines(made, "not set up")]
    return Reply(data, closing(data, dry_run, found, is_new), notes, code=1 if made.failed else 0)


def _no_tasks(found: Project) -> list[str]:
    """Return the lines that say how to add a task, if the team has none."""
    from peercoord.queue.queue import Queue
    from peercoord.store import paths
    from peercoord.store.root import open_root
    from peercoord.worktree.handover import NO_TASKS

    tasks = Queue(open_root(str(found.directory / paths.ROOT))).all_tasks()
    return [] if tasks else [f"there are no tasks yet: {NO_TASKS}"]


@contextmanager
def _nothing_done() -> Iterator[None]:
    """Report that an interrupt changed nothing."""
    try:
        yield
    except (KeyboardInterrupt, click.Abort):
        raise StoppedError("interrupted; nothing was done", "to begin again: the same command") from None


def _check_not_below(found: Project, nested: bool, *, ask: bool) -> None:
    """Refuse a directory below a project that has a team, unless a second team is meant."""
    from peercoord.store import paths
    from peercoord.team import repository

    above = repository.discover(found.directory)
    has_team = (above.directory / paths.ROOT / paths.PROTOCOL).exists() or repository.is_known(above)
    if nested or above.sub == found.sub or not has_team:
        return
    whole, part = plain(above.directory), shlex.quote(str(found.directory))
    prefix = shlex.quote(f"{found.directory.name}/")  # two teams cannot have branches of one name
    question = f"{whole} has a team already. Set up a second one for {plain(found.sub)}/ alone?"
    if not (ask and sys.stdin.isatty() and click.confirm(question, default=False, err=True)):
        raise UsageError(
            f"{plain(found.directory)} lies in {whole}, which has a team already",
            f"for that team: claude-team-coordinated {shlex.quote(str(above.directory))}; "
            f"for a second one: claude-team-coordinated {part} --nested --branch-prefix {prefix}",
            code="below-a-project",
        )


def _is_to_launch(found: Project, choice: Choice) -> bool:
    """Ask whether sessions are to be started, where they can be and the team has none."""
    from peercoord.team import tmux

    if not (sys.stdin.isatty() and choice.is_installed()) or tmux.session_of(found.directory):
        return False
    what = ", ".join(dict.fromkeys(plain(program) for program in choice.programs))
    question = f"Start {what} in tmux, a window each? They work unattended, which costs money."
    return click.confirm(question, default=False, err=True)


def _opened(made: Plan, warnings: list[str]) -> dict[str, str]:
    from peercoord.team import tmux

    try:
        return tmux.open_windows(made.instances)
    except PeercoordError as error:
        warnings.append(error.message)
        return {}


def _offer_shared(found: Project, wished: dict[str, Any], *, ask: bool) -> list[str]:
    """Offer a new team the shared database of this machine, if it has one."""
    from peercoord.store import paths
    from peercoord.team import tasklist

    shared = tasklist.shared_database()
    new = not (found.directory / paths.ROOT / paths.PROTOCOL).exists()
    if not (new and shared) or wished["database"] or (wished["tasks"] and tasklist.is_database(str(wished["tasks"]))):
        return []
    if not (ask and sys.stdin.isatty()):
        command = f"claude-team-coordinated {pasted(found.directory)} --database {shared}"
        return [f"{shared} is there; to keep this project's tasks in it: {command}"]
    if click.confirm(f"{shared} is there. Keep this project's tasks in it?", default=False, err=True):
        wished["database"] = shared
    return []


def _options(count: int | None, wished: dict[str, Any]) -> SetupOptions:
    from peercoord.team.up import SetupOptions
    from peercoord.team.worktrees import WorktreeOptions

    about_worktrees = {key: wished.pop(key) for key in ("base", "branch_prefix", "bank")}
    command = wished.pop("setup")
    worktrees = WorktreeOptions(**about_worktrees, setup=("/bin/sh", "-c", command) if command else ())
    return SetupOptions(count, worktrees, **{**wished, "tag": wished["tag"] or None})


def _undo(found: Project, is_new: bool) -> str:
    """The command that takes away what `up` made; of an older team, only what is safe to remove."""
    return f"peercoord -C {pasted(found.directory)} down {'--purge' if is_new else '--remove'}"


def broken(command: str) -> list[str]:
    """Break a long command so that it can still be pasted."""
    lines, last = [""], ""
    for word in re.findall(r"""(?:'[^']*'|"[^"]*"|[^\s'"])+""", command):
        stays = last.startswith("-")  # an option and its value stand on one line
        if lines[-1] and len(lines[-1]) + len(word) > LINE_MOST and not stays:
            lines[-1] += " \\"
            lines.append(f"    {word}")
        else:
            lines[-1] += f" {word}" if lines[-1] else word
        last = word
    return lines


def closing(data: Json, dry_run: bool, found: Project, is_new: bool) -> list[str]:
    """Write what follows the steps of `up`: notes, and what a person may type next."""
    notes = [f"  {plain(note)}" for note in data["notes"]]
    if dry_run:
        return [*notes, "nothing was done (--dry-run)"]
    if not data["actions"] and not data["failed"]:
        notes.append("  nothing to do: the team is as it should be")
    start = "Start these sessions, and ask each to work on the tasks of its team:"
    by_hand = ["", start, *[f"  {plain(line)}" for command in data["to_type"] for line in broken(command)]]
    watch = f"claude-coordination-status {pasted(found.directory)}"
    return [
        *notes,
        *(_attach(data["sessions"]) if data["sessions"] else []),
        *(by_hand if data["to_type"] else []),
        "",
        f"Watch    {watch}",
        f"Work     in a worktree: {SHELL} request-task",
        f"{'Undo ' if is_new else 'Clear'}    {_undo(found, is_new)}",
    ]


def _attach(opened: dict[str, str]) -> list[str]:
    """Write how to look at the sessions: one line for the team, as each window is one key away."""
    names = dict.fromkeys(target.partition(":")[0] for target in opened.values())
    verb = "switch-client" if os.environ.get("TMUX") else "attach"
    windows = ", ".join(plain(target.partition(":")[2]) for target in opened.values())
    shown = f"Sessions: {windows} (next window: C-b n; leave them: C-b d)"
    return ["", shown, *[f"  tmux {verb} -t {name}" for name in names]]
