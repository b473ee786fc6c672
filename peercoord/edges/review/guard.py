"""Who decides, and from where: a person, in a terminal of their own.

This is a guard against accidents, not against malice: a coding agent that is told to tidy up should not approve its
own merge by the way. It is refused where a program above the call is a known coding agent, or where the environment
bears the mark that such agents leave in what they run. The record of every decision says who made it and from where,
so that what slips through can be seen, and undone.
"""

from __future__ import annotations

import os
import shlex

from peercoord.core import ids
from peercoord.core.errors import PeercoordError, UsageError
from peercoord.core.sessions import PROGRAMS, SANDBOX_MARKS
from peercoord.fs import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from peercoord.core.records import Json

MARKS = (
    *("AI_AGENT", "CLAUDECODE", "CODEX_CI", "CODEX_THREAD_ID", "CURSOR_AGENT", "GEMINI_CLI", "OPENCODE"),
    *SANDBOX_MARKS,
)
"""Environment variables by which coding agents tell what they run that it was started by one."""
GENERIC = "AGENT"  # set by some of them to their own name; by other programs to anything
NAME_MOST = 80  # characters


class NotAPersonError(PeercoordError):
    """A decision was asked for from within a coding session, or by nobody that can be named."""

    code = "not-a-person"


def person(project: str, named: str, words: Sequence[str]) -> tuple[str, Json]:
    """Say who decides, and from where.

    Args:
        project: Absolute path of the project, for the command that the message gives.
        named: Who it is, if they said so; else git's ``user.name``, else the login name.
        words: What was asked for, as it is to be called again: ``approve``, ``k-…``.

    Returns:
        The person's name; and host, user, terminal, pid and the program that the call was made from.

    Raises:
        NotAPersonError: From within a coding session; or without a terminal and without a name.
        UsageError: The name is none.
    """
    refuse_agents(project, words)
    terminal = _terminal()
    if not terminal and not named:
        raise NotAPersonError(
            "nobody is at a terminal here, so it is not known who decides",
            f"say who: {again(project, [*words, '--as', 'NAME'])}",
        )
    return _checked(named) if named else _usual_name(project), {
        "host": process.here()["host"],
        "user": _login(),
        "tty": terminal,
        "pid": os.getpid(),
        "program": program_of(process.words_of(os.getppid())),
    }


def refuse_agents(project: str, words: Sequence[str]) -> None:
    """Refuse a decision that is asked for from within a coding session.

    Raises:
        NotAPersonError: It is.
    """
    session = coding_session(os.environ)
    if session:
        raise NotAPersonError(
            f"this is a person's decision, and the call comes from within a coding session ({session}). "
            "It is a guard against accidents: ask the person you work for to decide",
            f"in a terminal of their own: {again(project, words)}",
        )


def coding_session(environ: Mapping[str, str]) -> str:
    """Name the coding session that this process runs in, and how that shows; empty if it runs in none."""
    found = process.session_of(os.getpid()) or {}
    if found.get("program"):
        return f"{found['program']}, process {found['pid']}"
    mark = next((name for name in MARKS if environ.get(name)), "")
    if not mark and environ.get(GENERIC, "").lower() in PROGRAMS:
        mark = GENERIC
    return f"{mark} is set in the environment" if mark else ""


def again(project: str, words: Sequence[str]) -> str:
    """Give the command line that asks for the same elsewhere."""
    return shlex.join(["peercoord", "-C", project, "review", *words])


def program_of(words: Sequence[str]) -> str:
    """Name the program of a command line: its file name, without the dash of a login shell."""
    name = words[0].rpartition("/")[2].lstrip("-") if words else ""
    return "".join(char for char in name if char.isprintable())[:NAME_MOST]


def _terminal() -> str:
    """Give the terminal that the call is made in; empty if none of its streams is one."""
    for stream in (0, 1, 2):
        try:
            return os.ttyname(stream)
        except OSError:
            continue
    return ""


def _usual_name(project: str) -> str:
    from peercoord.edges.team import git

    try:
        said = git.ask(project, "config", "--get", "user.name", ok=(0, 1, 128)).out.strip()
    except PeercoordError:
        said = ""  # no git here: the login name will do
    usable = "".join(char for char in said if char.isprintable())[:NAME_MOST].strip()
    return usable or _login()


def _login() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def _checked(name: str) -> str:
    trimmed = name.strip()
    if not trimmed or not trimmed.isprintable() or len(trimmed) > NAME_MOST:
        raise UsageError(
            f"{ids.shown(name)} is no name", f"--as takes one line of at most {NAME_MOST} characters", code="bad-name"
        )
    return trimmed
