"""``peercoord review``: what the merge may not decide, decided by a person; and what was merged, taken back."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from peercoord.cli.main import Call
from peercoord.errors import UsageError
from peercoord.foreign import plain, shown
from peercoord.mailbox.verbs import json_option
from peercoord.worktree.reply import Reply

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peercoord.memory.bank import Decider
    from peercoord.review.actions import Result
    from peercoord.review.items import ReviewQueue

WAITING = 5  # exit code with --check
as_option = click.option("--as", "named", default="", metavar="NAME", help="Who decides; git's user.name if left out.")
id_argument = click.argument("ident", metavar="ID")


def queue_of(call: Call) -> ReviewQueue:
    """Return what waits for a person in the project that a call stands in."""
    from peercoord.memory import runner
    from peercoord.review.items import ReviewQueue

    root = call.root
    return ReviewQueue(runner.bank_of(root), root, call.place.coordination)


def decider_of(call: Call, named: str, words: Sequence[str]) -> Decider:
    """Return who decides; refused from within a coding session."""
    from peercoord.memory.bank import Decider
    from peercoord.review import actions

    return Decider(*actions.person(call.place.project, named, words))


@click.group(
    short_help="Decide on contributions that wait for a person.",
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@as_option
@json_option
@click.pass_context
def review(ctx: click.Context, named: str, as_json: bool) -> Reply | None:
    """Decide on what was contributed to the memory bank and waits for a person.

    Without a command, in a terminal: shows one change after the other and takes a key for each. ID is a number of the
    list, as 4 or #4, or an id, or the beginning of one.
    """
    if ctx.invoked_subcommand:
        if named:  # before the command or after it: there it wins
            ctx.default_map = {ctx.invoked_subcommand: {"named": named}}
        return None
    from peercoord.review import actions, terminal

    call: Call = ctx.obj
    queue = queue_of(call)
    session = actions.coding_session(os.environ)
    if as_json or session or not terminal.is_interactive():
        hint = f"decide in a terminal of your own: {actions.again(call.place.project, [])}"
        return Reply(queue.as_json(), queue.lines(), [hint] if queue.waiting else [])
    if not queue.waiting:
        return Reply({}, queue.lines())
    going = terminal.Review(lambda: queue_of(call), decider_of(call, named, []))
    going.run()
    return Reply({}, [going.summary(len(queue_of(call).waiting))])


@review.command(short_help="List what waits for a decision.", name="list")
@click.option("--check", is_flag=True, help="Exit 5 if something waits.")
@json_option
@click.pass_obj
def list_(call: Call, check: bool, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """List what waits, edits by no one known, and what can be undone."""
    queue = queue_of(call)
    return Reply(queue.as_json(), queue.lines(), code=WAITING if check and queue.waiting else 0)


@review.command()
@id_argument
@json_option
@click.pass_obj
def show(call: Call, ident: str, as_json: bool) -> Reply:
    """Show ID: both sides, what they change, what is proposed."""
    from peercoord.review import screen, terminal

    queue = queue_of(call)
    item = queue.find(ident)
    drawn = screen.draw(item, terminal.size()[0], ascii_only=terminal.is_plain())
    return Reply(queue.item_json(item.ident), [] if as_json else terminal.drawn_lines(drawn))


@review.command(short_help="Approve ID: the proposal, one side, or both.")
@id_argument
@click.option(
    "--take", "choice", type=click.Choice(["left", "right", "both", "proposed"]), help="Which text, if sides differ."
)
@as_option
@json_option
@click.pass_obj
def approve(call: Call, ident: str, choice: str | None, named: str, as_json: bool) -> Reply:  # noqa: ARG001 - the frame
    """Approve ID: the text that is proposed, or one side, or both."""
    from peercoord.review import actions

    words = ["approve", ident, *(["--take", choice] if choice else [])]
    by = decider_of(call, named, words)
    queue = queue_of(call)
    return _told(actions.take(queue.bank, queue.find(ident), choice or "", by), by)


@review.command()
@id_argument
@click.option("--reason", default="", metavar="TEXT", help="Why: the authors are told.")
@as_option
@json_option
@click.pass_obj
def reject(call: Call, ident: str, reason: str, named: str, as_json: bool) -> Reply:  # noqa: ARG001 - the frame
    """Reject ID, with the reason."""
    from peercoord.review import actions

    by = decider_of(call, named, ["reject", ident, "--reason", reason])
    queue = queue_of(call)
    return _told(actions.reject(queue.bank, queue.find(ident), reason, by), by)


@review.command(short_help="Write the text of ID in your editor, and approve it.")
@id_argument
@as_option
@json_option
@click.pass_obj
def edit(call: Call, ident: str, named: str, as_json: bool) -> Reply:
    """Write the text of ID in your editor ($VISUAL, $EDITOR), and approve that."""
    from peercoord.review import actions, terminal

    by = decider_of(call, named, ["edit", ident])
    queue = queue_of(call)
    ask = terminal.yes if terminal.is_interactive() and not as_json else lambda _: False
    return _told(actions.edit(queue.bank, queue.find(ident), by, ask), by)


@review.command(short_help="Take back what an entry of the list merged.")
@click.argument("entry", metavar="ENTRY")
@as_option
@json_option
@click.pass_obj
def undo(call: Call, entry: str, named: str, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """Take back what ENTRY of the list merged; what came after it stays."""
    from peercoord.review.items import pick

    by = decider_of(call, named, ["undo", entry])
    queue = queue_of(call)
    known = {one.id: one for one in queue.bank.entries()}
    if entry not in known and not entry.startswith("e-"):
        raise UsageError(f"{shown(entry)} is no entry", "name one of: peercoord review list")
    one = known[pick(entry, known, "was merged")]
    made = queue.bank.undo(one.id, by)
    data = {"id": one.id, "entry": made.id, "file": one.document, "by": by.name}
    return Reply(data, [f"✓ {one.id} is taken back: {plain(one.document)}", f"  undo: peercoord review undo {made.id}"])


def _told(done: Result, by: Decider) -> Reply:
    undo = [f"  undo: {done.undo}"] if done.undo else []
    return Reply(done.as_json(by.name), [plain(done.told), *undo])
