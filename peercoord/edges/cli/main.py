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
from peercoord.edges import context
from peercoord.edges.reply import Reply, plain

COMMANDS = {
    "up": "team:up",
    "down": "team:down",
    "join": "team:join",
    "leave": "team:leave",
    "status": "status:status",
    "instance": "status:instance",
    "reassign": "work:reassign",
    "task": "task:task",
    "request": "work:request",
    "report": "work:report",
    "release": "work:release",
    "check": "work:check",
    "memory": "memory:memory",
    "review": "review:review",
    "agent": "agent:agent",
    "sync": "sync:sync_",
    "doctor": "doctor:doctor",
    "events": "status:events",
    "config": "config:config",
    "demo": "demo:demo",
    "bench": "bench:bench",
}
"""Each command's module below this package and its name there."""

VERBS = {
    "request-task": ["request"],
    "report-progress": ["report"],
    "update-memory": ["memory", "add"],
    "check-status": ["check"],
}
"""The mission's words in ``coordinate.sh``, and the commands they stand for."""

VERBS_HINT = f"in a worktree: coordinate.sh {' | '.join([*VERBS, 'release'])}; all commands: peercoord --help"


class Call:
    """One call of the command line: where it stands, found when a command first asks.

    Args:
        place: Where it stands, if that is known.
        session: The coding session on whose behalf it is made, ``{"pid", "start"}``, if that is known.
        request: The id of the request that it executes; empty if it is no request.
    """

    def __init__(
        self, place: context.Place | None = None, session: dict[str, object] | None = None, request: str = ""
    ) -> None:
        self.directory = ""
        self.quiet = False
        self.session = session
        self.request = request
        self._place = place

    @property
    def place(self) -> context.Place:
        """Where the call stands."""
        if self._place is None:
            self._place = context.find(given=self.directory)
        return self._place


def _called(word: str) -> click.Command:
    """Import a command."""
    module, _, name = COMMANDS[word].partition(":")
    found: click.Command = getattr(import_module(f"peercoord.edges.cli.{module}"), name)
    return found


class Lazy(click.Group):
    """A group whose commands are imported when they are called for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Give every command's name, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        """Import a command."""
        return _called(cmd_name) if cmd_name in COMMANDS else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Understand the mission's words as well; suggest what may have been meant by others."""
        if args[0] in VERBS:
            args = [*VERBS[args[0]], *args[1:]]
        if args[0] not in COMMANDS:
            from difflib import get_close_matches

            near = get_close_matches(args[0], [*COMMANDS, *VERBS], n=1)
            ctx.fail(f"No such command '{plain(args[0])}'." + (f" Did you mean '{near[0]}'?" if near else ""))
        return super().resolve_command(ctx, args)


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="peercoord")
@click.option("-C", "directory", metavar="DIR", default="", help="Act for the project or worktree at DIR.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing on stderr but errors.")
@click.pass_context
def cli(ctx: click.Context, directory: str, quiet: bool) -> None:
    """Coordinate AI coding agents that work on one project, each in its own git worktree.

    No server: the state is files under .claude-coordination/ in the main checkout, for anyone to read.

    Exit codes: 0 ok, 1 failure, 2 usage, 3 not found, not running or queued, 4 lost a race or nothing to claim
    (safe to retry), 5 a decision is waiting (with --check), 130 interrupted.
    """
    ctx.obj = ctx.obj or Call()
    ctx.obj.directory = directory
    ctx.obj.quiet = quiet or ctx.obj.quiet


def serve(
    args: list[str], call: Call | None = None, name: str = "peercoord", command: click.Command = cli
) -> tuple[int, bytes, bytes]:
    """Execute one command line.

    Args:
        args: The words after the command's name; the mission's verbs are understood as well.
        call: Where it stands, if that is known.
        name: The command's name, for usage messages.
        command: What is called by that name: all of them, or one.

    Returns:
        Exit code, standard output, standard error.
    """
    call = call or Call()
    as_json = "--json" in args
    try:
        reply = command.main(args, prog_name=name, standalone_mode=False, obj=call)
    except PeercoordError as error:
        reply = Reply.of(error)
    except click.exceptions.Abort:
        return 130, b"", b"\n"
    except click.ClickException as error:
        ctx = error.ctx if isinstance(error, click.UsageError) else None
        hint = VERBS_HINT if ctx and ctx.command is cli else ""
        if not as_json:
            usage = f"{ctx.get_usage()}\n" if ctx else ""
            end = f"hint: {hint}\n" if hint else ""
            return error.exit_code, b"", f"{usage}peercoord: {error.format_message()}\n{end}".encode()
        reply = Reply.of(PeercoordError(error.format_message(), hint, code="usage"))
        reply.code = error.exit_code
    if not isinstance(reply, Reply):  # --help and --version have printed what they had to say
        return reply if isinstance(reply, int) else 0, b"", b""
    return reply.render(as_json, call.quiet)


def run(name: str = "peercoord", command: click.Command = cli) -> None:
    """Run what was typed and end the process with the published exit code."""
    try:
        code, answer, messages = serve(sys.argv[1:], name=name, command=command)
        sys.stderr.buffer.write(messages)
        sys.stderr.flush()
        sys.stdout.buffer.write(answer)
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whoever read us has gone: not a failure
        code = 0
    raise SystemExit(code)


def main() -> None:
    """``peercoord``."""
    run()


def team() -> None:
    """``claude-team-coordinated PROJECT [N]``."""
    run("claude-team-coordinated", _called("up"))


def status() -> None:
    """``claude-coordination-status [PROJECT]``."""
    run("claude-coordination-status", _called("status"))


def instance() -> None:
    """``claude-instance-status [ID]``."""
    run("claude-instance-status", _called("instance"))


def reassign() -> None:
    """``claude-reassign-task TASK PEER``."""
    run("claude-reassign-task", _called("reassign"))
