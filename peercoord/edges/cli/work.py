"""Commands for one at work: request, report, release, check; and reassign, for whoever looks after the team."""

from __future__ import annotations

import click

from peercoord.core import ids
from peercoord.edges.cli.main import Call
from peercoord.edges.desk import Desk
from peercoord.edges.reply import Reply

STATUSES = ["in-progress", "done", "blocked", "review", "failed"]

json_option = click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object.")


def desk(call: Call) -> Desk:
    """Give the desk of the worktree that a call stands in."""
    return Desk(call.place, call.session, call.request, heard=not call.quiet)


@click.command()
@json_option
@click.pass_obj
def request(call: Call, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """Claim the next task: the most urgent one whose dependencies are done.

    Asked again, it answers with the task you hold. Exit 4 if nothing is ready now, with the reasons, or the list is
    still empty; exit 0 and "finished" if every task is done.
    """
    return desk(call).request()


@click.command()
@click.argument("task", default="")
@click.option("--progress", type=float, help="How far it is, 0 to 1. Tasks with steps count these instead.")
@click.option("--status", type=click.Choice(STATUSES), default=STATUSES[0], help="How it stands or ends.")
@click.option("--step", "steps", multiple=True, metavar="ID", help="A step that is done now, as 2.1. Repeatable.")
@click.option("--achievement", "achievements", multiple=True, metavar="TEXT", help="What was reached. Repeatable.")
@click.option("--blocker", "blockers", multiple=True, metavar="TEXT", help="What is in the way. Repeatable.")
@click.option("--time-spent", type=click.IntRange(min=0), metavar="S", help="Seconds spent on it in all.")
@click.option("--estimate", metavar="TEXT", help="What is left, as '2h remaining'.")
@click.option("--reason", default="", metavar="TEXT", help="Why it ends undone (blocked, review, failed).")
@click.option("--file", "path", metavar="F", default="", help="Report what this progress file says.")
@json_option
@click.pass_obj
def report(
    call: Call,
    /,
    task: str,
    status: str,
    reason: str,
    path: str,
    as_json: bool,  # noqa: ARG001 - read by the frame
    **said: object,
) -> Reply:
    """Report progress on TASK (may be left out while you hold one), or that it is done.

    With nothing but the command, what .claude-instance/progress.json says is reported.
    """
    at = desk(call)
    if path or not (task or status != "in-progress" or any(v not in (None, ()) for v in said.values())):
        return at.report_file(path or f"{call.place.worktree}/.claude-instance/progress.json")
    return at.report(task, said, status, reason)


@click.command()
@click.argument("task", default="")
@click.option("--reason", default="", metavar="TEXT", help="Why you give it back.")
@json_option
@click.pass_obj
def release(call: Call, task: str, reason: str, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """Give TASK back to the queue; the next one is told how far you came."""
    return desk(call).release(task, reason)


@click.command()
@json_option
@click.pass_obj
def check(call: Call, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """Say what this worktree holds and how the team stands."""
    return desk(call).check()


@click.command()
@click.argument("task")
@click.argument("peer")
@json_option
@click.pass_obj
def reassign(call: Call, task: str, peer: str, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """Put TASK into PEER's hands, whoever holds it now. That one's next report is told so."""
    from peercoord.roles.peer import reassign as put
    from peercoord.roles.queue import Queue
    from peercoord.roles.root import open_root

    root = open_root(call.place.coordination, call.place.store_id)
    was, epoch = put(Queue(root, call.place.instance or "person"), ids.check(task), ids.check(peer, "peer name"))
    data = {"task_id": ids.public(task), "assigned_to": peer, "was": was or None, "epoch": epoch}
    return Reply(data, [f"task {task}: {f'{was} → ' if was else ''}{peer} (epoch {epoch})"])
