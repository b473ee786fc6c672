"""The ``peercoord`` command and the mission's commands, which are thin names for it.

Each subcommand lives in a module of its own that is imported when it is called: ``coordinate.sh`` and hooks come
through here, and none of them should pay for a dashboard.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

import click

from peercoord import __version__
from peercoord.core.errors import PeercoordError
from peercoord.edges.cli import out

COMMANDS = {
    "up": "team:up",
    "down": "team:down",
    "status": "status:status",
    "instance": "status:instance",
    "reassign": "work:reassign",
    "task": "task:task",
    "request": "work:request",
    "report": "work:report",
    "release": "work:release",
    "check": "work:check",
    "memory": "memory:memory",
    "agent": "agent:agent",
    "doctor": "doctor:doctor",
    "events": "status:events",
    "config": "config:config",
    "demo": "demo:demo",
    "bench": "bench:bench",
}
"""Each command's module below this package and its name there."""


class Lazy(click.Group):
    """A group whose commands are imported when they are called for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Give every command's name, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        found: click.Command = getattr(import_module(f"peercoord.edges.cli.{module}"), name)
        return found


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="peercoord")
@click.option("-C", "directory", metavar="DIR", help="Act for the project or worktree at DIR.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing on stderr but errors.")
def cli(directory: str | None, quiet: bool) -> None:
    """Coordinate AI coding agents that work on one project, each in its own git worktree.

    No server: the state is files under .claude-coordination/ in the main checkout, for anyone to read.

    Exit codes: 0 ok, 1 failure, 2 usage, 3 not found, not running or queued, 4 lost a race or nothing to claim
    (safe to retry), 5 a decision is waiting (with --check), 130 interrupted.
    """
    if directory:
        os.environ["PEERCOORD_PROJECT"] = directory
    if quiet:
        os.environ["PEERCOORD_QUIET"] = "1"


def run(args: list[str], name: str = "peercoord") -> None:
    """Run the command line and end the process with the published exit code.

    Args:
        args: The words after the command's name.
        name: The name to show in usage messages.
    """
    as_json = "--json" in args
    try:
        cli.main(args, prog_name=name, standalone_mode=False)
    except PeercoordError as error:
        out.fail(error, as_json)
    except click.exceptions.Abort:
        raise SystemExit(130) from None
    except click.ClickException as error:
        if as_json:
            out.fail(PeercoordError(error.format_message(), code="usage"), as_json)
        error.show()
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read us has gone: not a failure
        raise SystemExit(0) from None


def main() -> None:
    """``peercoord``."""
    run(sys.argv[1:])


def team() -> None:
    """``claude-team-coordinated PROJECT [N]``."""
    run(["up", *sys.argv[1:]], "claude-team-coordinated")


def status() -> None:
    """``claude-coordination-status [PROJECT]``."""
    run(["status", *sys.argv[1:]], "claude-coordination-status")


def instance() -> None:
    """``claude-instance-status [ID]``."""
    run(["instance", *sys.argv[1:]], "claude-instance-status")


def reassign() -> None:
    """``claude-reassign-task TASK PEER``."""
    run(["reassign", *sys.argv[1:]], "claude-reassign-task")
