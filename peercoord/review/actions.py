"""Decisions of a person: approve, reject, edit, and who may decide.

The keys of the screen and the commands call the same functions. Who may decide is a guard against accidents, not
against malice: a coding agent that is told to tidy up should not approve its own merge. Every record of a decision
says who decided and from where, so that what slips through can be seen and undone.
"""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from peercoord.errors import NotFoundError, PeercoordError, StorageError, UsageError
from peercoord.foreign import line, shown
from peercoord.system import process

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from peercoord.foreign import Json
    from peercoord.memory.bank import Bank, Decider
    from peercoord.memory.journal import Entry
    from peercoord.review.items import Item

PENDING = "pending"
NAME_MOST = 80  # characters


@dataclass(frozen=True, slots=True)
class Result:
    """What became of an item."""

    item: Item  # the item
    action: str  # ``approved``, ``rejected`` or ``PENDING``
    detail: str = ""  # which side, or why; for people
    entry: Entry | None = None  # the journal entry of the change; ``None`` if the document did not change

    def as_json(self, by: str) -> Json:
        """Return it for programs."""
        return {
            "id": self.item.ident,
            "number": self.item.number or None,
            "place": self.item.place,
            "action": self.action,
            "detail": self.detail,
            "entry": self.entry.id if self.entry else None,
            "by": by,
        }

    @property
    def told(self) -> str:
        """One line for people."""
        mark, word = ("·", "waits on") if self.action == PENDING else ("✓", self.action)
        detail = f" ({self.detail})" if self.detail else ""
        return f"{mark} {self.item.called} {word}{detail}: {self.item.place}"

    @property
    def undo(self) -> str:
        """The command that takes the change back; empty if nothing changed."""
        return f"peercoord review undo {self.entry.id}" if self.entry and self.entry.edits else ""


def take(bank: Bank, item: Item, choice: str, by: Decider) -> Result:
    """Approve one of an item's texts: ``left``, ``right``, ``both`` or, where the sides do not differ, ``proposed``.

    Raises:
        UsageError: The sides differ, and none was chosen.
        NotFoundError: It waits no longer.
        LostError: The section changed since.
    """
    if item.conflict and choice in ("", "proposed"):
        raise UsageError(
            f"{item.called} has two sides that differ: {' and '.join(side.label for side in item.sides)}",
            f"peercoord review approve {item.ident} --take left|right|both, or: peercoord review edit {item.ident}",
        )
    labels = [side.label for side in item.sides]
    said = {"left": labels[0] if item.conflict else "as it stands", "right": labels[-1], "both": "both"}
    entry = bank.approve(item.ident, item.takes[choice or "proposed"], by)
    return Result(item, "approved", said.get(choice, labels[-1]), entry)


def reject(bank: Bank, item: Item, reason: str, by: Decider) -> Result:
    """Reject an item, for a reason; a ``UsageError`` if that is empty, a ``NotFoundError`` if it waits no longer."""
    if not reason.strip():
        raise UsageError("say why: the authors are told", f"peercoord review reject {item.ident} --reason TEXT")
    bank.reject(item.ident, reason, by)
    return Result(item, "rejected", reason)


# -- the editor --------------------------------------------------------------------------------------------------


def edit(bank: Bank, item: Item, by: Decider, ask: Callable[[str], bool]) -> Result:
    """Open the proposed text in the person's editor, and approve the result.

    The file is removed when its text has arrived or was not wanted. After any failure it stays, and the error says
    where. ``ask`` asks the person a question of yes or no.
    """
    from peercoord.memory.outcome import has_markers

    proposed = item.takes["proposed"]
    try:
        home = tempfile.mkdtemp(prefix="peercoord-review-")
        path = f"{home}/{item.place.split(' ', 1)[0]}"
        with open(path, "w", encoding="utf-8", newline="\n") as handle:
            handle.write(f"{proposed}\n" if proposed else "")
    except OSError as error:
        raise StorageError(f"no place for the text to edit: {error.strerror}", "set TMPDIR") from None
    kept = f"your text is kept in {path}"
    while has_markers(text := _edited(path, kept), item.marker) and item.conflict:
        if text.strip() == proposed.strip():
            shutil.rmtree(home, ignore_errors=True)
            return Result(item, PENDING, "unchanged")
        if not ask("The text still holds conflict markers. Edit it again?"):
            raise UsageError(
                f"the text still holds conflict markers: nothing is decided; {kept}",
                f"peercoord review edit {item.ident}",
            )
    question = "The text is as it was proposed. Approve it?" if text.strip() == proposed.strip() else ""
    if not text.strip():
        question = "The text is empty. Empty the section?"
    if question and not ask(question):
        shutil.rmtree(home, ignore_errors=True)
        return Result(item, PENDING, "nothing was written" if text.strip() else "the text was empty")
    try:
        entry = bank.approve(item.ident, text, by)
    except PeercoordError as error:
        error.message = f"{error.message}; {kept}"
        raise
    shutil.rmtree(home, ignore_errors=True)
    return Result(item, "approved", "edited", entry)


def _edited(path: str, kept: str) -> str:
    """Open a file in ``$VISUAL`` or ``$EDITOR``, and return its text afterwards."""
    import click

    try:
        click.edit(filename=path)
    except ValueError as error:
        why = f"the editor's command cannot be understood: {error}; {kept}"
        raise UsageError(why, "correct VISUAL or EDITOR") from None
    except click.ClickException as error:
        if isinstance(error.__cause__, OSError):
            raise NotFoundError(f"{error.message}: no such editor; {kept}", "set EDITOR", code="no-editor") from None
        raise PeercoordError(f"{error.message}: nothing is decided; {kept}") from None
    try:
        with open(path, encoding="utf-8", newline="") as handle:
            return handle.read().replace("\r\n", "\n").replace("\r", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise PeercoordError(f"{path} cannot be read as text: {error}", "nothing is decided") from None


# -- who decides -------------------------------------------------------------------------------------------------


class NotAPersonError(PeercoordError):
    """A coding session asked for a decision, or the person who did is not known."""

    code = "not-a-person"


def person(project: str, named: str, words: Sequence[str], command: str = "review") -> tuple[str, Json]:
    """Return who decides, and from where: host, user, terminal, pid and calling program.

    A ``NotAPersonError`` refuses a call from a coding session, and one that has neither a terminal nor a name.

    Args:
        project: Absolute path of the project, for the command in the message.
        named: The name given with ``--as``; else git's ``user.name``, else the login name.
        words: The command to call again: ``approve``, ``k-…``.
        command: The command that these words follow.
    """
    session = coding_session(os.environ)
    if session:
        raise NotAPersonError(
            f"this is a person's decision, and the call comes from within a coding session ({session}). "
            "It is a guard against accidents: ask the person you work for to decide",
            f"in a terminal of their own: {again(project, words, command)}",
        )
    terminal = process.terminal()
    if not terminal and not named:
        raise NotAPersonError(
            "there is no terminal here, so it is not known who decides",
            f"say who: {again(project, [*words, '--as', 'NAME'], command)}",
        )
    return _checked(named) if named else _usual_name(project), {
        "host": process.here()["host"],
        "user": login(),
        "tty": terminal,
        "pid": os.getpid(),
        "program": program_of(process.words_of(os.getppid())),
    }


def coding_session(environ: Mapping[str, str]) -> str:
    """Name the coding session that this process runs in, and how that shows; empty if it runs in none."""
    caller = process.calling(environ)
    if caller.session:
        return f"{caller.session['program']}, process {caller.session['pid']}"
    return f"{caller.mark} is set in the environment" if caller.mark else ""


def again(project: str, words: Sequence[str], command: str = "review") -> str:
    """Return the command line that asks for the same elsewhere."""
    return shlex.join(["peercoord", "-C", project, command, *words])


def program_of(words: Sequence[str]) -> str:
    """Return the program of a command line: its file name, without the dash of a login shell."""
    return line(words[0].rpartition("/")[2].lstrip("-"))[:NAME_MOST] if words else ""


def login() -> str:
    """Return the name under which this user is logged in."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def _usual_name(project: str) -> str:
    from peercoord.system import git

    try:
        said = git.ask(project, "config", "--get", "user.name", ok=(0, 1, 128)).out.strip()
    except PeercoordError:
        said = ""  # no git here: the login name will do
    return line(said)[:NAME_MOST].strip() or login()


def _checked(name: str) -> str:
    trimmed = name.strip()
    if not trimmed or trimmed != line(trimmed) or len(trimmed) > NAME_MOST:
        raise UsageError(
            f"{shown(name)} is no name", f"--as takes one line of at most {NAME_MOST} characters", code="bad-name"
        )
    return trimmed
