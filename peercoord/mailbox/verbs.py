"""The verbs of ``coordinate.sh`` and their options, defined once for the command line, the mailbox and the agent.

``read`` turns the words of a request into a value; ``words`` turns a value into the words of a request. The actions
take the value, so nothing after ``read`` looks at words again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import click

from peercoord import foreign
from peercoord.errors import PeercoordError, UsageError
from peercoord.foreign import plain
from peercoord.mailbox.protocol import WAIT_MOST, WAIT_SECONDS
from peercoord.store import paths, records

if TYPE_CHECKING:
    from collections.abc import Sequence

    from click.shell_completion import CompletionItem

    from peercoord.foreign import Json
    from peercoord.mailbox.protocol import Request

COORDINATE = "coordinate.sh"
HELP = {"help_option_names": ["-h", "--help"]}
STATUSES = ("in-progress", "done", "blocked", "review", "failed")
ENDS = STATUSES[1:]
_OTHER_WORDS = {
    "in-progress": ("inprogress", "progress", "started", "doing", "active", "wip", "working"),
    "done": ("completed", "complete", "finished", "closed", "resolved"),
    "blocked": ("stuck", "on-hold"),
    "review": ("in-review", "needs-review"),
    "failed": ("failure", "error"),
}
_GIVEN_BACK = ("pending", "todo", "open", "ready", "released", "deferred", "cancelled", "canceled", "abandoned")
_STATUS_OF = {word: status for status, words in _OTHER_WORDS.items() for word in (status, *words)}


# -- values ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Verb:
    """What a caller asks for."""

    task: str = ""  # the task that it names; empty if it names none
    wait: int = 0  # seconds that the caller waits for a task
    path: str = ""  # a file that it names; in a request from the mailbox there must be none
    as_json: bool = False  # the caller wants JSON


@dataclass(frozen=True, kw_only=True)
class RequestTask(Verb):
    """Claim the next task."""


@dataclass(frozen=True, kw_only=True)
class ReportProgress(Verb):
    """Report on a task: progress, or how it ended."""

    status: str = "in-progress"  # one of ``STATUSES``
    reason: str = ""  # why it ended undone
    progress: float | None = None
    steps: tuple[str, ...] = ()
    achievements: tuple[str, ...] = ()
    blockers: tuple[str, ...] = ()
    time_spent: int | None = None
    estimate: str | None = None
    content: str | None = None  # what the named progress file holds

    @property
    def facts(self) -> Json:
        """What it reports, as ``queue.progress.updated`` takes it."""
        keys = ("progress", "steps", "achievements", "blockers", "time_spent", "estimate")
        return {key: getattr(self, key) for key in keys}

    @property
    def of_file(self) -> bool:
        """Whether it reports what a progress file says, and nothing else."""
        said = self.task or self.status != "in-progress" or any(one not in (None, ()) for one in self.facts.values())
        return self.content is not None or bool(self.path) or not said


@dataclass(frozen=True, kw_only=True)
class UpdateMemory(Verb):
    """Contribute to the memory bank."""

    document: str = ""  # the bank's document, as ``techContext.md``
    section: str = ""  # its heading; empty for the document as a whole
    kind: str = "addition"  # ``addition`` or ``update``
    critical: bool = False  # a person must approve it
    content: str | None = None  # the text

    @property
    def of_folder(self) -> bool:
        """Whether it hands in the files of ``memory-contributions/``."""
        named = self.document or self.section or self.critical or self.kind == "update"
        return not (named or self.content is not None or self.path)


@dataclass(frozen=True, kw_only=True)
class CheckStatus(Verb):
    """Show what the worktree holds and how the team stands."""


@dataclass(frozen=True, kw_only=True)
class Release(Verb):
    """Give a task back."""

    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Misuse(Verb):
    """Words that cannot be understood, and the error that says why."""

    error: PeercoordError = field(default_factory=lambda: UsageError("nothing was asked for"))


# -- words that people type --------------------------------------------------------------------------------------


def state(word: str) -> str:
    """Return the status that a word means; a word that means none in its normal form."""
    plain = "-".join(word.strip().lower().replace("_", " ").replace("-", " ").split())
    parked = next((why for why, shown in paths.PARKED_WORDS.items() if shown == plain), plain)
    return _STATUS_OF.get(plain, parked)


def share(word: str) -> float | str:
    """Return a progress in percent as a share; any other text as it is."""
    number = word.strip().removesuffix("%").strip()
    if not word.strip().endswith("%"):
        return word
    try:
        return float(number) / 100
    except ValueError:
        return word


class Status(click.Choice[str]):
    """The status of a task, in any word that means it."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ARG002
        """Return the status.

        Raises:
            UsageError: The word means none; the hint says what to type.
        """
        found = state(value)
        if found in STATUSES:
            return found
        hint = f"one of {', '.join(STATUSES)}"
        if found in _GIVEN_BACK:
            hint += "; to give the task back: release TASK --reason TEXT"
        raise UsageError(f"status {foreign.shown(value)} is not known", hint)


class Progress(click.ParamType[float]):
    """A share, 0 to 1, or a percentage."""

    name = "share"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ARG002
        """Return the share."""
        return records.fraction(share(value) if isinstance(value, str) else value)


class TaskId(click.ParamType[str]):
    """A task's id. The group of commands knows which ones there are, and completes them."""

    name = "task"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete an id."""
        complete = getattr(ctx.find_root().command, "complete_task", None)
        return list(complete(ctx, param, incomplete)) if complete else []


# -- the table ---------------------------------------------------------------------------------------------------

json_option = click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object.")
task_argument = click.argument("task", default="", type=TaskId())


@click.command(short_help="Claim the next task that is ready.", context_settings=HELP)
@click.option(
    "--wait",
    type=click.IntRange(0, WAIT_MOST),
    is_flag=False,
    flag_value=str(WAIT_SECONDS),
    default=0,
    metavar="[SECONDS]",
    help=f"Wait until a task is ready, {WAIT_SECONDS} seconds unless you say how long.",
)
@json_option
def request_task(**given: Any) -> Verb:
    """Claim the next task: the most urgent one whose dependencies are done.

    Asked again, it answers with the task you hold. Exit 4 if nothing is ready now, or the list is still empty: it says
    why, and whether to wait and for whom. Exit 0 and "finished" if every task is done.
    """
    return RequestTask(**given)


@click.command(short_help="Report progress on a task, or how it ended.", context_settings=HELP)
@task_argument
@click.option("--progress", type=Progress(), help="How far it is, as 0.7 or 70%. Tasks with steps count these instead.")
@click.option("--status", type=Status(STATUSES), default="in-progress", help="How it stands or ends.")
@click.option("--step", "steps", multiple=True, metavar="ID", help="A step that is done now, as 2.1. Repeatable.")
@click.option("--achievement", "achievements", multiple=True, metavar="TEXT", help="What was reached. Repeatable.")
@click.option("--blocker", "blockers", multiple=True, metavar="TEXT", help="What is in the way. Repeatable.")
@click.option("--time-spent", type=click.IntRange(min=0), metavar="S", help="Seconds spent on it in all.")
@click.option("--estimate", metavar="TEXT", help="What is left, as '2h remaining'.")
@click.option("--reason", default="", metavar="TEXT", help="Why it ends undone (blocked, review, failed).")
@click.option("--file", "path", metavar="F", default="", help="Report what this progress file says.")
@click.option("--file-content", "content", hidden=True, help="What that file holds, as coordinate.sh sends it.")
@json_option
def report_progress(**given: Any) -> Verb:
    """Report progress on TASK (may be left out while you hold one), or that it is done.

    With nothing but the command, what .claude-instance/progress.json says is reported.
    """
    return ReportProgress(**given)


@click.command(short_help="Contribute to the shared memory bank.", context_settings=HELP)
@click.option("--file", "document", default="", metavar="DOC", help="The bank's document, as techContext.md.")
@click.option("--section", default="", metavar="H", help="Its heading; several levels with › between.")
@click.option(
    "--type", "kind", type=click.Choice(["addition", "update"]), default="addition", help="Append, or replace."
)
@click.option("--critical", is_flag=True, help="A person must approve it.")
@click.option("--content", metavar="TEXT", help="The text itself.")
@click.option("--from", "path", default="", metavar="F", help="A file that holds the text.")
@json_option
def update_memory(**given: Any) -> Verb:
    """Queue a contribution: merged with the others', never overwriting them.

    Without options, everything in .claude-instance/memory-contributions/ is queued.
    """
    return UpdateMemory(**given)


@click.command(context_settings=HELP)
@json_option
def check_status(**given: Any) -> Verb:
    """Show what this worktree holds and how the team stands."""
    return CheckStatus(**given)


@click.command(short_help="Give a task back to the queue.", context_settings=HELP)
@task_argument
@click.option("--reason", default="", metavar="TEXT", help="Why you give it back.")
@json_option
def release(**given: Any) -> Verb:
    """Give TASK back to the queue; the next one is told how far you came."""
    return Release(**given)


COMMANDS: dict[str, click.Command] = {
    "request-task": request_task,
    "report-progress": report_progress,
    "update-memory": update_memory,
    "check-status": check_status,
    "release": release,
}
WORDS: dict[type[Verb], str] = {
    RequestTask: "request-task",
    ReportProgress: "report-progress",
    UpdateMemory: "update-memory",
    CheckStatus: "check-status",
    Release: "release",
}
STATEMENTS = (ReportProgress, UpdateMemory, Release)


# -- from words to a value, and back -----------------------------------------------------------------------------


def read(given: Sequence[str]) -> Verb:
    """Return what the words of a request ask for; a ``Misuse`` if they cannot be understood."""
    verb, *rest = given or [""]
    if verb not in COMMANDS:
        unknown = UsageError(f"{verb or 'nothing'} is not for the agent to do", "call it outside the sandbox")
        return Misuse(error=unknown, as_json="--json" in rest)
    error: PeercoordError
    name = f"{COORDINATE} {verb}"
    try:
        # not main(), which prints help, completes words and may end the process
        with COMMANDS[verb].make_context(name, [*rest], help_option_names=[]) as ctx:
            found: Verb = ctx.command.invoke(ctx)
            return found
    except PeercoordError as refused:
        error = refused
    except click.ClickException as refused:
        error = usage_error(refused, COORDINATE, given)
        if isinstance(refused, click.NoSuchOption) and refused.option_name in HELP["help_option_names"]:
            error = UsageError("the agent shows no help", f"call it outside the sandbox: {name} --help")
    return Misuse(error=error, as_json="--json" in rest)


def of(request: Request) -> Verb:
    """Return what a request asks for; its words are read once."""
    if request.meaning is None:
        request.meaning = read(request.words)
    meaning: Verb = request.meaning
    return meaning


def words(verb: Verb) -> list[str]:
    """Return the words of a request that asks for a verb."""
    word = WORDS[type(verb)]
    found, last, left_out = [word], [], type(verb)()
    for param in COMMANDS[word].params:
        value, option = getattr(verb, str(param.name)), param.opts[-1]
        if value == getattr(left_out, str(param.name)):
            continue
        if isinstance(param, click.Argument):
            last = ["--", value] if value.startswith("-") else [value]
        elif value is True:
            found.append(option)
        else:
            found += [f"{option}={one}" for one in (value if isinstance(value, tuple) else (value,))]
    return found + last


def with_content(verb: Verb, content: str) -> Verb:
    """Put what a file holds in the place of its name; only two verbs name a file."""
    return replace(verb, path="", content=content) if isinstance(verb, (ReportProgress, UpdateMemory)) else verb


def file_option(verb: Verb) -> str:
    """Return the option by which a verb names a file to read; empty if it names none."""
    params = COMMANDS[WORDS[type(verb)]].params if verb.path else []
    return next((param.opts[-1] for param in params if param.name == "path"), "")


def usage_error(error: click.ClickException, name: str, given: Sequence[str], hint: str = "") -> UsageError:
    """Return the error that says how a command line was misused."""
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    found = UsageError(error.format_message(), hint or _dash_hint(error, ctx, name, given))
    found.usage = ctx.get_usage() if ctx else ""
    return found


BEFORE = ("-q", "--quiet", "-C")
"""The options of ``peercoord`` itself."""


def _dash_hint(error: click.ClickException, ctx: click.Context | None, name: str, given: Sequence[str]) -> str:
    """Return where to put a text that begins with a dash, if an unknown option looks like such a text."""
    texts = [param for param in ctx.command.params if isinstance(param, click.Argument)] if ctx else []
    if isinstance(error, click.NoSuchOption) and error.option_name in BEFORE and "coordinate.sh" not in name:
        return f"it goes before the command: peercoord {error.option_name} …"
    if not isinstance(error, click.NoSuchOption) or not texts:
        return ""
    word = next((word for word in given if word.startswith(error.option_name)), error.option_name)
    if word.startswith("--") and " " not in word:
        return ""
    import shlex

    rest = [plain(other) for other in given if other != word]
    return f"a text that begins with '-' comes last, after '--': {shlex.join([name, *rest, '--', plain(word)])}"
