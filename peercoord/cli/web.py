"""``peercoord web`` and ``peercoord html``: the team in a browser, live or as one file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from peercoord.cli.main import Call
from peercoord.errors import StorageError
from peercoord.foreign import plain
from peercoord.worktree.reply import Reply

if TYPE_CHECKING:
    from peercoord.screens.web.actions import Do
    from peercoord.screens.web.model import Source


@click.command(short_help="Show the team in a browser, live.")
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="Listen here; any free port if left out.")
@click.option("--open", "opens", is_flag=True, help="Open the browser; it asks for the code that is shown here.")
@click.option("--allow-actions", is_flag=True, help="Let the page answer, reassign, reopen, approve and land.")
@click.option("--as", "named", default="", metavar="NAME", help="Who decides there; git's user.name if left out.")
@click.pass_obj
def web(call: Call, port: int, opens: bool, allow_actions: bool, named: str) -> Reply:
    """Show the team in a browser of this machine: board, timeline, progress, graph, memory.

    The address that is printed lets one browser in, once. It is not in any file, and no other machine can use it.
    Without --allow-actions nothing can be changed from there. Ctrl-C ends it.
    """
    from peercoord.screens.web import server

    do = _actions(call, named) if allow_actions else None
    server.serve(_source(call), port, opens, do, lambda line: click.echo(line, err=True))
    return Reply({}, [])


@click.command(name="html", short_help="Write the team into one HTML file.")
@click.option("-o", "--output", default="report.html", metavar="FILE", help="report.html if left out; - for stdout.")
@click.pass_obj
def html(call: Call, output: str) -> Reply:
    """Write everything that `peercoord web` shows into one file, for a pull request or an archive.

    It needs no network and no other file. Text of tasks and memory is in it: look at it before you publish it.
    """
    from peercoord.screens.web import report

    text = report.draw(_source(call).scene())
    if output == "-":
        return Reply({}, [text])
    try:
        with open(output, "w", encoding="utf-8") as handle:
            handle.write(text)
    except OSError as error:
        raise StorageError(
            f"{plain(output)} cannot be written: {error.strerror}", "name another file: -o FILE"
        ) from None
    return Reply({}, [f"✓ {plain(os.path.abspath(output))}"])


def _source(call: Call) -> Source:
    from peercoord.screens.web.model import Source

    return Source(str(call.place.project), call.place.coordination, call.place.store_id)


def _actions(call: Call, named: str) -> Do:
    """Return what carries out a command of the page; refused from within a coding session."""
    from peercoord.cli.main import serve
    from peercoord.review import actions

    project = str(call.place.project)
    person, _ = actions.person(project, named, ["--allow-actions"], command="web")

    def do(words: list[str]) -> tuple[int, str]:
        decides = words[0] in ("review", "land")
        head, tail = (words[: words.index("--")], words[words.index("--") :]) if "--" in words else (words, [])
        asked = ["-C", project, *head, *(["--as", person] if decides else []), *tail]
        code, answer, messages = serve(asked)
        said = b"\n".join(filter(None, (answer.strip(), messages.strip())))
        return code, said.decode("utf-8", "replace")

    return do
