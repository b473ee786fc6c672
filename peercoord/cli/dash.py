"""``peercoord dash``: the team on one screen, with keys and mouse."""

from __future__ import annotations

import sys

import click

from peercoord.cli.main import Call
from peercoord.errors import UsageError
from peercoord.worktree.reply import Reply


@click.command(short_help="Watch and steer the team on one screen.")
@click.argument("project", default="")
@click.pass_obj
def dash(call: Call, project: str) -> Reply:
    """Watch and steer the team of PROJECT on one screen: who needs you, who does what, how far it is.

    Keys and mouse; ? shows them. Whatever changes something asks first. Landing, approving and rejecting are a
    person's decision: they are refused from within a coding session.
    """
    call.directory = project or call.directory
    if not all(stream and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise UsageError("the dash needs a terminal", "without one: claude-coordination-status")
    from peercoord.screens.dash import Dash
    from peercoord.screens.dash_source import Source

    app = Dash(Source(str(call.place.project), call.root, call.actor))
    app.run()
    return Reply({}, [], code=app.return_code or 0)
