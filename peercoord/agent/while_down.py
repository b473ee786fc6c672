"""Calls that are made while the team is down.

A question is refused. A statement is queued in the worktree's mailbox and served after the next start, in order. By
then its claim was given back, so it is served as *late*: a task that no peer took since is taken again and ended as the
statement says; otherwise the statement is kept with the record of the claim, for the task's next holder and for people.
A late statement never touches another holder's claim.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from peercoord.errors import DownError
from peercoord.mailbox import protocol, verbs
from peercoord.mailbox.server import refusal
from peercoord.queue.progress import Reports
from peercoord.queue.queue import Queue
from peercoord.store import down, paths
from peercoord.store.root import open_root

if TYPE_CHECKING:
    from peercoord.foreign import Json
    from peercoord.mailbox.protocol import Answer, Request
    from peercoord.store.files import Files
    from peercoord.store.paths import Ticket
    from peercoord.worktree.context import Place


def answer(files: Files, request: Request, mark: Json) -> Answer:
    """Return the answer to a request while the team is down."""
    return refusal(error(files, request, mark), verbs.of(request).as_json)


def error(files: Files, request: Request, mark: Json) -> DownError:
    """Return the error for a request: a question is refused, a statement that lies in the mailbox is queued."""
    found = down.error(files, mark)
    if request.verb not in protocol.STATEMENTS:
        return found
    queued = f"{request.verb} stays queued and is served after the next start, in order"
    return DownError("; ".join(filter(None, [found.message, queued, _outcome(request)])), found.hint)


def _outcome(request: Request) -> str:
    """Return what will become of a statement about a task that was given back."""
    verb = verbs.of(request)
    if isinstance(verb, verbs.Release):
        return "its task was given back already"
    if not isinstance(verb, verbs.ReportProgress):
        return ""
    named = verb.task.removeprefix("#") or ", ".join(ticket.task for ticket in request.tickets)
    task = f"task {named}" if named else "the task"
    taken = f"if no peer has claimed {task} since, it is ended as you say; else " if verb.status in verbs.ENDS else ""
    return f"{taken}what you say is kept for the next holder of {task}, if it was given back"


def given_back(place: Place, request: Request) -> dict[str, Ticket]:
    """Map the tasks that a request is about to the claims of its own worktree that were given back.

    Only a claim that the worktree itself released counts, with its record to show it. An old request must not touch
    what was taken from the worktree, or ended.
    """
    who = paths.parse_incarnation(request.incarnation)
    if who is None or who.peer != place.instance or request.verb not in ("report-progress", "release"):
        return {}
    if place.shared_files().stat(paths.peer_dir(who)) is not None:
        return {}  # it is still a peer
    queue = Queue(open_root(place.coordination, place.store_id))
    task = verbs.of(request).task.removeprefix("#")
    known = request.tickets or Reports(queue).interrupted(who.peer)  # a caller without an agent may know no tickets
    asked = {ticket.task: ticket for ticket in known if not task or ticket.task == task}
    return {
        task: ticket
        for task, ticket in asked.items()
        if queue.released_result(ticket).get("incarnation") == request.incarnation
    }
