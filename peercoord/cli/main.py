"""The ``peercoord`` command, and the mission's commands, which are short names for parts of it.

Each subcommand is imported when it is called, so that a call of ``coordinate.sh`` or of a hook does not load the rest.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

import click

from peercoord import __version__
from peercoord.errors import NotFoundError, PeercoordError, StoppedError
from peercoord.foreign import plain
from peercoord.mailbox.verbs import COORDINATE, HELP, Verb, usage_error
from peercoord.store.refusals import refused
from peercoord.system import streams
from peercoord.worktree import context
from peercoord.worktree.reply import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from click.shell_completion import CompletionItem

    from peercoord.queue.queue import Queue
    from peercoord.store.root import Root
    from peercoord.system.sessions import Caller

COMMANDS = {
    "up": "up:up",
    "down": "down:down",
    "join": "team:join",
    "leave": "team:leave",
    "status": "status:status",
    "dash": "dash:dash",
    "instance": "status:instance",
    "web": "web:web",
    "html": "web:html",
    "reassign": "work:reassign",
    "task": "task:task",
    "request": "work:request",
    "report": "work:report",
    "release": "work:release",
    "check": "work:check",
    "memory": "memory:memory",
    "review": "review:review",
    "land": "land:land",
    "agent": "agent:agent",
    "hook": "hook:hook",
    "prime": "hook:prime",
    "sync": "sync:sync_",
    "setup": "setup:setup",
    "doctor": "doctor:doctor",
    "events": "events:events",
    "config": "config:config",
    "completion": "completion:completion",
    "demo": "demo:demo",
}
"""Each command's module below this package and its name there."""

PROGRAMS = (
    "peercoord",
    "claude-team-coordinated",
    "claude-coordination-status",
    "claude-instance-status",
    "claude-reassign-task",
)
"""The commands that are installed."""

VERBS = {
    "request-task": ["request"],
    "report-progress": ["report"],
    "update-memory": ["memory", "add"],
    "check-status": ["check"],
}
"""The mission's words in ``coordinate.sh``, and the commands they stand for."""

ASKS = ("status", "instance", "events", "check", "check-status", "config", "list", "show", "doctor", "prime")
"""Commands that only show something."""

VERBS_HINT = f"in a worktree: coordinate.sh {' | '.join([*VERBS, 'release'])}; all commands: peercoord --help"


class Call:
    """One call of the command line: where it stands, found when a command first asks."""

    def __init__(self, place: context.Place | None = None, caller: Caller | None = None) -> None:
        self.caller = caller  # who makes it; found from this process if not given
        self.directory = ""  # that ``-C`` names
        self.project = ""  # that ``--project`` names
        self.quiet = False  # show results and errors, but no notes
        self.notes: list[str] = []  # messages for stderr, also shown with an error
        self.withdraw: Callable[[], str] | None = None  # undoes the action if its answer is not delivered
        self._place = place

    @property
    def place(self) -> context.Place:
        """The place where the call stands."""
        if self._place is None:
            named = self.project and self.directory
            worktree = os.path.realpath(self.directory)
            self._place = context.at(self.project, worktree) if named else context.find(given=self.directory)
        return self._place

    @property
    def actor(self) -> str:
        """Who acts, as events and records name it: the instance of the worktree, or a person in the main checkout."""
        return self.place.instance or "person"

    @property
    def root(self) -> Root:
        """The coordination directory of the project."""
        from peercoord.store.root import open_root

        return open_root(self.place.coordination, self.place.store_id)

    @property
    def queue(self) -> Queue:
        """The tasks of the project; changes are recorded as the actor's."""
        from peercoord.queue.queue import Queue

        return Queue(self.root, self.actor)

    def stand(self, command: Sequence[str], peer: str, task: str = "") -> list[str]:
        """Outside of every project, stand in the one running team that fits; return a note that names it."""
        try:
            self.place  # noqa: B018 - finding it is what may fail
        except NotFoundError as error:
            if error.code != "no-project" or self.directory or os.environ.get("PEERCOORD_PROJECT"):
                raise
            from peercoord.agent import running

            project = running.project_of(error, command, peer, task)
            self._place = context.find(given=project)
            return [f"for the running team of {project}"]
        return []


def _called(word: str) -> click.Command:
    """Import a command."""
    module, _, name = COMMANDS[word].partition(":")
    found: click.Command = getattr(import_module(f"peercoord.cli.{module}"), name)
    return found


class Lazy(click.Group):
    """A group whose commands are imported when they are called for."""

    @staticmethod
    def complete_task(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete a task's id, for the verbs."""
        from peercoord.cli import completion

        return completion.tasks(ctx, param, incomplete)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of all commands, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        """Import a command."""
        return _called(cmd_name) if cmd_name in COMMANDS else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Understand the mission's verbs too; suggest a command for an unknown word."""
        if args[0] in VERBS:
            found = _called(VERBS[args[0]][0])
            for word in VERBS[args[0]][1:]:
                found = found.commands[word] if isinstance(found, click.Group) else found
            return args[0], found, args[1:]
        if args[0] not in COMMANDS:
            meant = self._meant(args[0].lower())
            ctx.fail(f"No such command '{plain(args[0])}'." + (f" Did you mean '{meant}'?" if meant else ""))
        return super().resolve_command(ctx, args)

    def _meant(self, word: str) -> str:
        from peercoord.cli.suggestions import meant

        return meant(word, [*COMMANDS, *VERBS])


class Verbs(Lazy):
    """The verbs of ``coordinate.sh``. It accepts all other commands too."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the verbs."""
        return [*VERBS, "release"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command of a verb."""
        return self.resolve_command(ctx, [cmd_name])[1] if cmd_name in VERBS else super().get_command(ctx, cmd_name)

    def _meant(self, word: str) -> str:
        verbs = {"memory": "update-memory", "status": "check-status", "release": "release"}
        verbs |= {word: word for word in VERBS} | {" ".join(words): verb for verb, words in VERBS.items()}
        command, _, options = super()._meant(word).partition(" --")
        return f"{verbs[command]} --{options}".removesuffix(" --") if command in verbs else ""


@click.group(cls=Lazy, context_settings=HELP)
@click.version_option(__version__, prog_name="peercoord")
@click.option("-C", "directory", metavar="DIR", default="", help="Act for the project or worktree at DIR.")
@click.option("--project", metavar="DIR", default="", hidden=True, help="The project of the worktree at -C DIR.")
@click.option("-q", "--quiet", is_flag=True, help="Show results and errors, but no notes.")
@click.pass_context
def cli(ctx: click.Context, directory: str, project: str, quiet: bool) -> None:
    """Coordinate AI coding agents that work on one project, each in its own git worktree.

    No server: the state is files under .claude-coordination/ in the main checkout, for anyone to read.

    Exit codes: 0 ok, 1 failure, 2 usage, 3 not found, not running or queued, 4 lost a race or nothing to claim
    (safe to retry), 5 someone is needed (status --check), 130 interrupted.

    Completion in the shell: eval "$(peercoord completion bash)"
    """
    ctx.obj = ctx.obj or Call()
    ctx.obj.directory = directory
    ctx.obj.project = project
    ctx.obj.quiet = quiet or ctx.obj.quiet


coordinate_sh = Verbs(
    "coordinate",
    subcommand_metavar="VERB [ARGS]...",
    params=[param for param in cli.params if param.name != "directory"]
    + [click.Option(["-C", "directory"], default="", hidden=True)],
    callback=cli.callback,
    context_settings=HELP,
    help="""Work on the tasks of the team, from the worktree of this script.

    Ask for a task, report on it, contribute to the memory bank. `VERB --help` says more of each.

    Exit codes: 0 ok, 1 failure, 2 usage, 3 not found, not running or queued, 4 lost a race or nothing to claim
    (safe to retry).
    """,
)


def serve(
    args: list[str], call: Call | None = None, name: str = "peercoord", command: click.Command = cli
) -> tuple[int, bytes, bytes]:
    """Carry out one command line; return exit code, standard output and standard error."""
    call = call or Call()
    try:
        return _served(args, call, name, command)
    except BaseException:
        if call.withdraw is not None:
            call.withdraw()
        raise


def _served(args: list[str], call: Call, name: str, command: click.Command) -> tuple[int, bytes, bytes]:
    as_json = "--json" in args
    try:
        reply = command.main(args, prog_name=name, standalone_mode=False, obj=call)
        if isinstance(reply, Verb):
            from peercoord.cli import work

            as_json, reply = reply.as_json, work.perform(call, reply)
    except PeercoordError as error:
        reply = Reply.of(error, [note for note in call.notes if note not in error.message])
    except BrokenPipeError:
        raise
    except OSError as error:
        reply = Reply.of(refused(error, os.fsdecode(error.filename or name)))
    except click.exceptions.Abort:
        reply = Reply.of(StoppedError("interrupted"))
    except click.exceptions.NoArgsIsHelpError as error:
        return error.exit_code, b"", f"{error.format_message()}\n".encode()
    except click.ClickException as error:
        ctx = error.ctx if isinstance(error, click.UsageError) else None
        if ctx and isinstance(ctx.command, click.Group) and error.message == "Missing command.":
            return error.exit_code, b"", f"{ctx.get_help()}\n".encode()
        given = args[2:] if args[:1] == ["-C"] and name == COORDINATE else args
        reply = Reply.of(usage_error(error, name, given, HINTS.get(ctx.command.name or "", "") if ctx else ""))
        reply.code = error.exit_code
    if not isinstance(reply, Reply):  # --help and --version have printed what they had to say
        return reply if isinstance(reply, int) else 0, b"", b""
    return reply.render(as_json, call.quiet)


HINTS = {
    "cli": VERBS_HINT,
    "coordinate": f"{' | '.join([*VERBS, 'release'])}; more of each: {COORDINATE} VERB --help",
}
"""By group, the hint for a usage error."""


def run(name: str = "peercoord", command: click.Command = cli) -> None:
    """Run what was typed and end the process with the published exit code."""
    streams.open_closed()
    call = Call()
    try:
        code, answer, messages = serve(sys.argv[1:], call, name, command)
        code = deliver(call, code, answer, messages, asks=_asks(sys.argv[1:], name))
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        code = 0  # the reader of the output has gone: not a failure
    raise SystemExit(max(code, streams.end()))


def deliver(call: Call, code: int, answer: bytes, messages: bytes, *, asks: bool) -> int:
    """Write an answer and its messages; return the exit code.

    If the answer cannot be written, the action stays done and the exit code says so. Only a claim is given back, since
    its caller does not know of it; and a question (``asks``) without an answer has failed.
    """
    streams.say(messages)
    error = streams.deliver(answer)
    if streams.heard() and error is None:
        return code
    if call.withdraw is not None:
        streams.say(f"peercoord: the answer could not be written: {call.withdraw()}\n".encode())
        return 1
    if error is None or isinstance(error, BrokenPipeError):
        return code
    streams.say(f"peercoord: the answer could not be written to standard output: {error.strerror}\n".encode())
    return code or int(asks)


def _asks(args: list[str], name: str) -> bool:
    """Check whether a command line only shows something: without an answer it has failed."""
    words = [word for word in args if not word.startswith("-")]
    told = not {"--dry-run", "--explain"}.isdisjoint(args) or name.endswith("-status")
    return told or ("--fix" not in args and not set(ASKS).isdisjoint(words[:3]))


def main() -> None:
    """``peercoord``."""
    run()


def coordinate() -> None:
    """``coordinate.sh``, where no agent answers."""
    run(COORDINATE, coordinate_sh)


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
