"""Commands of a worker (request, report, release, check), and reassign, for the person who looks after the team."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from peercoord.cli import completion
from peercoord.cli.main import Call
from peercoord.errors import DownError
from peercoord.mailbox.verbs import RequestTask, json_option
from peercoord.mailbox.verbs import check_status as check
from peercoord.mailbox.verbs import release as release
from peercoord.mailbox.verbs import report_progress as report
from peercoord.mailbox.verbs import request_task as request
from peercoord.store import ids
from peercoord.worktree import actions
from peercoord.worktree.call import WorktreeCall
from peercoord.worktree.reply import Reply

if TYPE_CHECKING:
    from peercoord.mailbox.verbs import Verb

__all__ = ["check", "perform", "reassign", "release", "report", "request"]


def perform(call: Call, verb: Verb) -> Reply:
    """Carry out a verb that was typed.

    A caller that waits for a task is answered when one is ready. While the team is down, a statement is queued.
    """
    unseen: list[str] = []  # notes of the answers before the last one

    def ask() -> tuple[Reply, bool]:
        made = WorktreeCall(call.place, call.caller, heard=not call.quiet)
        made.notes += unseen
        call.notes = made.notes
        call.withdraw = made.withdraw if isinstance(verb, RequestTask) else None
        reply = actions.run(made, verb)
        reply.notes = unseen[:] = list(dict.fromkeys(reply.notes))
        return reply, actions.unready(verb, reply)

    try:
        if not verb.wait:
            return ask()[0]
        from peercoord.worktree import waiting

        return waiting.until_ready(call.place, verb.wait, ask)
    except DownError:
        from peercoord.agent import client

        queued = client.queued_while_down(call.place, verb)
        if queued is None:
            raise
        raise queued from None


@click.command()
@click.argument("task", shell_complete=completion.tasks)
@click.argument("peer", shell_complete=completion.instances)
@json_option
@click.pass_obj
def reassign(call: Call, task: str, peer: str, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """Assign TASK to PEER, also if another instance holds it. The former holder is told with its next report.

    Outside of every project, the only running team of yours that has both is meant.
    """
    from peercoord.membership.membership import living
    from peercoord.queue.queue import Queue
    from peercoord.queue.reassign import reassign as put

    task = ids.typed(task)
    notes = call.stand(["reassign", task, peer], peer, task)
    root = call.root
    peer = ids.check(ids.meant(peer, (i.peer for i in living(root))), "peer name")
    was, epoch = put(Queue(root, call.actor), task, peer)
    data = {"task_id": ids.public(task), "assigned_to": peer, "was": was or None, "epoch": epoch}
    return Reply(data, [f"task {task}: {f'{was} → ' if was else ''}{peer} (epoch {epoch})"], notes)
