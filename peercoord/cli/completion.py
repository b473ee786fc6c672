"""Shell completion: the script that a shell reads, and the completion of ids, instances and settings.

A word is completed on a key press, so a project that cannot be read completes nothing, without a message.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import click

from peercoord.cli.main import PROGRAMS, Call
from peercoord.errors import PeercoordError
from peercoord.foreign import plain
from peercoord.store import ids
from peercoord.store.settings import DEFAULT_SETTINGS, WORDS
from peercoord.worktree.reply import Reply

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from peercoord.queue.queue import Queue

SHELLS = ("bash", "zsh", "fish")
TITLES_MOST = 50  # up to so many tasks are completed with their titles


@click.command(short_help="Print what a shell reads to complete words.")
@click.argument("shell", type=click.Choice(SHELLS))
@click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object.")
@click.pass_obj
def completion(call: Call, shell: str, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """Print what SHELL reads to complete commands, task ids, instances and settings.

    For bash, in ~/.bashrc: eval "$(peercoord completion bash)"; for zsh the same in ~/.zshrc; for fish:
    peercoord completion fish > ~/.config/fish/completions/peercoord.fish
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    scripts = [kind(click.Command(name), {}, name, variable(name)).source() for name in PROGRAMS] if kind else []
    text = "\n".join(script.strip() for script in scripts)
    return Reply({"shell": shell, "text": text}, text.split("\n"))


def variable(program: str) -> str:
    """Return the environment variable by which a shell asks a program for completions."""
    return f"_{program.replace('-', '_').upper()}_COMPLETE"


def _queue(ctx: click.Context) -> Queue:
    """Open the task list of the project that the command line so far is about."""
    from peercoord.queue.queue import Queue
    from peercoord.store.root import open_root

    call = Call()
    call.directory = str(ctx.find_root().params.get("directory") or "")
    return Queue(open_root(call.place.coordination, call.place.store_id))


def tasks(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001 - click's
    """Complete a task's id."""
    from click.shell_completion import CompletionItem

    items = []
    with suppress(PeercoordError, OSError):
        queue = _queue(ctx)
        found = sorted((task for task in queue.all_tasks() if task.startswith(incomplete)), key=ids.natural)
        for task in found:
            title = None
            with suppress(PeercoordError):  # a broken definition
                title = plain(queue.definition(task).title)[:60] if len(found) <= TITLES_MOST else None
            items.append(CompletionItem(task, help=title))
    return items


def instances(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001 - click's
    """Complete an instance's name."""
    from peercoord.membership.membership import living
    from peercoord.store import instance_records as known

    found = set[str]()
    with suppress(PeercoordError, OSError):
        root = _queue(ctx).root
        found = {*known.all(root), *(who.peer for who in living(root))}
    return [name for name in sorted(found, key=ids.natural) if name.startswith(incomplete)]


def settings(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001 - click's
    """Complete a setting's name."""
    return [key for key in DEFAULT_SETTINGS if key.startswith(incomplete)]


def values(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001 - click's
    """Complete the value of a setting that is one of a few words."""
    return [word for word in WORDS.get(str(ctx.params.get("key")), ()) if word.startswith(incomplete)]
