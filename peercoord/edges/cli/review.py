"""``peercoord review``: what the merge may not decide, decided by a person; and what was merged, taken back."""

from __future__ import annotations

import os
import sys

import click

from peercoord.core import ids
from peercoord.core.errors import UsageError
from peercoord.edges.cli.main import Call
from peercoord.edges.cli.work import json_option
from peercoord.edges.reply import Reply, plain
from peercoord.roles.root import open_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from peercoord.edges.review.deciding import Done
    from peercoord.edges.review.model import View
    from peercoord.edges.review.pile import Pile
    from peercoord.roles.bank import Decider

WAITING = 5  # exit code with --check
as_option = click.option("--as", "named", default="", metavar="NAME", help="Who decides; git's user.name if left out.")
id_argument = click.argument("ident", metavar="ID")


def pile_of(call: Call) -> Pile:
    """Give what lies before a person in the project that a call stands in."""
    from peercoord.edges import banking
    from peercoord.edges.review.pile import Pile

    root = open_root(call.place.coordination, call.place.store_id)
    return Pile(banking.bank_of(root), root, call.place.coordination)


def decider_of(call: Call, named: str, words: Sequence[str]) -> Decider:
    """Say who decides; refused from within a coding session."""
    from peercoord.edges.review import guard
    from peercoord.roles.bank import Decider

    return Decider(*guard.person(call.place.project, named, words))


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
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
    from peercoord.edges.review import guard, keys, listing

    call: Call = ctx.obj
    pile = pile_of(call)
    session = guard.coding_session(os.environ)
    if as_json or session or not keys.interactive():
        hint = f"decide in a terminal of your own: {guard.again(call.place.project, [])}"
        return Reply(listing.data(pile), listing.lines(pile), [hint] if pile.views else [])
    from peercoord.edges.review.walk import Walk

    if not pile.views:
        return Reply({}, listing.lines(pile))
    walk = Walk(lambda: pile_of(call), decider_of(call, named, []))
    walk.run()
    return Reply({}, [walk.summary(len(pile_of(call).views))])


@review.command(name="list")
@click.option("--check", is_flag=True, help="Exit 5 if something waits.")
@json_option
@click.pass_obj
def list_(call: Call, check: bool, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """List what waits, merged text that is gone, edits by no one known, and what can be undone."""
    from peercoord.edges.review import listing

    pile = pile_of(call)
    return Reply(listing.data(pile), listing.lines(pile), code=WAITING if check and pile.views else 0)


@review.command()
@id_argument
@json_option
@click.pass_obj
def show(call: Call, ident: str, as_json: bool) -> Reply:
    """Show ID: both sides, what they change, what is proposed."""
    from peercoord.edges.review import listing

    pile = pile_of(call)
    view = pile.find(ident)
    gone = view.ident in pile.missing
    data = listing.missing(pile, view.ident) if gone else listing.candidate(pile, view.ident)
    return Reply(data, [] if as_json else _drawn(view))


@review.command()
@id_argument
@click.option(
    "--take", "choice", type=click.Choice(["left", "right", "both", "proposed"]), help="Which text, if sides differ."
)
@as_option
@json_option
@click.pass_obj
def approve(call: Call, ident: str, choice: str | None, named: str, as_json: bool) -> Reply:  # noqa: ARG001 - the frame
    """Approve ID: the text that is proposed, or one side, or both; or put merged text back that is gone."""
    from peercoord.edges.review import deciding

    words = ["approve", ident, *(["--take", choice] if choice else [])]
    by = decider_of(call, named, words)
    pile = pile_of(call)
    return _told(deciding.take(pile.bank, pile.find(ident), choice or "", by), by)


@review.command()
@id_argument
@click.option("--reason", default="", metavar="TEXT", help="Why: the authors are told.")
@as_option
@json_option
@click.pass_obj
def reject(call: Call, ident: str, reason: str, named: str, as_json: bool) -> Reply:  # noqa: ARG001 - the frame
    """Reject ID, with the reason; or let merged text go that is gone."""
    from peercoord.edges.review import deciding

    by = decider_of(call, named, ["reject", ident, "--reason", reason])
    pile = pile_of(call)
    return _told(deciding.reject(pile, pile.find(ident), reason, by), by)


@review.command()
@id_argument
@as_option
@json_option
@click.pass_obj
def edit(call: Call, ident: str, named: str, as_json: bool) -> Reply:
    """Write the text of ID in your editor ($VISUAL, $EDITOR), and approve that."""
    from peercoord.edges.review import deciding, keys

    by = decider_of(call, named, ["edit", ident])
    pile = pile_of(call)
    ask = keys.yes if keys.interactive() and not as_json else lambda _: False
    return _told(deciding.edit(pile.bank, pile.find(ident), by, ask, os.environ), by)


@review.command()
@click.argument("entry", metavar="ENTRY")
@as_option
@json_option
@click.pass_obj
def undo(call: Call, entry: str, named: str, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """Take back what ENTRY of the list merged; what came after it stays."""
    from peercoord.edges.review.pile import pick

    by = decider_of(call, named, ["undo", entry])
    pile = pile_of(call)
    known = {one.id: one for one in pile.bank.entries()}
    if entry not in known and not entry.startswith("e-"):
        raise UsageError(f"{ids.shown(entry)} is no entry", "name one of: peercoord review list")
    one = known[pick(entry, known, "was merged")]
    made = pile.bank.undo(one.id, by)
    data = {"id": one.id, "entry": made.id, "file": one.document, "by": by.name}
    return Reply(data, [f"✓ {one.id} is taken back: {plain(one.document)}   undo: peercoord review undo {made.id}"])


def _told(done: Done, by: Decider) -> Reply:
    return Reply(done.as_json(by.name), [plain(done.told)])


def _drawn(view: View) -> list[str]:
    from rich.console import Console

    from peercoord.edges.review import screen, walk

    columns = walk.size()[0]
    drawn = screen.draw(view, columns, None, frame=screen.ASCII if walk.dumb() else screen.ROUND)
    console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
    return walk.rendered(drawn, console).removesuffix("\n").split("\n")
