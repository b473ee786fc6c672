"""The one call to git: argument lists, a fixed language, no pager, no prompt, and git's own words in errors.

``GIT_DIR`` and other variables that a git hook or alias hands down are removed: ``-C`` alone decides which repository
is meant. Hooks never run inside these calls: a hook that fails or hangs would stop a set-up half way. ``hook`` runs one
on purpose. Optional locks are off, so a ``git status`` here never disturbs a person's own command.

Three kinds of calls differ in what of a repository's configuration they may run. ``ask`` runs nothing: it is for
commands that read or write references, settings and the index, never the content of files (``ASKED``). ``Inspection``
looks at content and runs nothing either. ``set_up`` runs the person's own filters and transports, only in a worktree
that no coding agent has had.

Needs git 2.36: ``worktree list --porcelain -z``, ``hook run``, and sparse patterns that ``worktree add`` carries over.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from peercoord.errors import NotFoundError, PeercoordError
from peercoord.foreign import shown, visible

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path, PurePath

MINIMUM = (2, 36)

_WHERE = (
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"),
    *("GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_PREFIX", "GIT_NAMESPACE", "GIT_IMPLICIT_WORK_TREE"),
    *("GIT_SHALLOW_FILE", "GIT_GRAFT_FILE", "GIT_INTERNAL_SUPER_PREFIX"),
)
_PLAIN = {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "GIT_LITERAL_PATHSPECS": "1"}
_NO_HOOKS = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false")
_DURABLE = ("-c", "core.fsync=all")  # a person would have to repair a branch or index that a power cut left blank
_NO_TRANSPORT = {"GIT_ALLOW_PROTOCOL": "none", "GIT_NO_LAZY_FETCH": "1"}  # an absent object is an error, not a fetch
_SECONDS = 60  # limit of a reading call: a FIFO in place of one of git's files would block it for ever
ASKED = (
    *("check-ignore", "check-ref-format", "config", "for-each-ref", "ls-files", "ls-tree", "rev-list", "rev-parse"),
    *("update-ref", "version", "worktree"),
)
"""The commands that ``ask`` runs: with hooks, monitor and transports off, none of them runs a configured program."""
TIPS = "--format=%(refname) %(objectname)"
MARKED_TIPS = "--format=%(HEAD)%(refname) %(objectname)"  # with ``*`` before the branch that is checked out, or a space
_QUIET = ("-c", "gc.auto=0", "-c", "maintenance.auto=false", "-c", "advice.detachedHead=false")

_HINTS = (
    ("dubious ownership", "the repository belongs to someone else: git config --global --add safe.directory PATH"),
    (".lock': File exists", "another git command may be at work there: try again when it is done"),
    ("No space left on device", "free some space, then run the same command again"),
    ("Permission denied", "check the owner and mode of that path"),
)


class GitError(PeercoordError):
    """Git refused or failed: its exit ``status``, and all that it ``said``, standard output first."""

    code = "git"

    def __init__(self, message: str, hint: str, status: int, said: str) -> None:
        super().__init__(message, hint)
        self.status, self.said = status, said


@dataclass(frozen=True, slots=True)
class Answer:
    """What git answered: exit status and standard output, undecodable bytes kept as surrogates."""

    status: int
    out: str


def ask(
    at: Path | str, *words: str, ok: Collection[int] = (0,), data: str = "", env: Mapping[str, str] | None = None
) -> Answer:
    """Run one git command that runs nothing which configuration names: one of ``ASKED``.

    Args:
        at: The directory to run it in (``-C``).
        words: The command and its arguments.
        ok: The exit statuses that are answers; every other is a ``GitError`` with the line in which git says why.
        data: Text for its standard input.
        env: Variables to add to its environment.
    """
    name = _name(words)
    if name not in ASKED:
        raise ValueError(f"git {name} may run what the configuration names")
    variables = {**_surroundings(), **_PLAIN, **_NO_TRANSPORT, **(env or {})}
    return _run(at, (*_NO_HOOKS, *_QUIET, *_DURABLE, *words), name, ok, data, variables, _SECONDS)


def ask_alone(
    at: Path | str,
    *words: str,
    ok: Collection[int] = (0,),
    data: str = "",
    env: Mapping[str, str] | None = None,
    seconds: float | None = None,
) -> Answer:
    """Run a git command as ``ask`` does, with none of git's environment variables but ``env``: for ``Inspection``."""
    own = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    variables = {**own, **_PLAIN, **_NO_TRANSPORT, **(env or {})}
    limit = _SECONDS if seconds is None else max(0.0, min(seconds, _SECONDS))
    return _run(at, (*_NO_HOOKS, *_QUIET, *_DURABLE, *words), _name(words), ok, data, variables, limit)


def lines(said: str) -> list[str]:
    """Split what git printed at its own ends of lines alone: a name may hold others that Python knows."""
    return said.removesuffix("\n").split("\n") if said else []


def tips(said: str) -> dict[str, str]:
    """Read the output of ``for-each-ref`` with ``TIPS`` as its format: the commit of each reference, by full name."""
    return dict(line.rsplit(" ", 1) for line in lines(said))


def branches(said: str) -> dict[str, str]:
    """Read what ``tips`` reads of ``refs/heads``: the commit of each branch, by its short name."""
    return {name.removeprefix("refs/heads/"): tip for name, tip in tips(said).items()}


def set_up(at: Path | str, *words: str, data: str = "", env: Mapping[str, str] | None = None) -> None:
    """Run one git command of set-up: without hooks, but with the person's own filters and transports.

    ``at`` is the main checkout, or a worktree that no coding agent has had yet.
    """
    variables = {**_surroundings(), **_PLAIN, **(env or {})}
    _run(at, (*_NO_HOOKS, *_QUIET, *_DURABLE, *words), _name(words), (0,), data, variables)


def settings(values: Mapping[str, str]) -> dict[str, str]:
    """Write settings for one command as environment variables: a name may hold a ``=``, which ``-c`` would split at."""
    env = {"GIT_CONFIG_COUNT": str(len(values))}
    for number, (key, value) in enumerate(values.items()):
        env |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return env


def text(at: Path | str, *words: str, ok: Collection[int] = (0,)) -> str:
    """Run one git command; return its output without the final newline."""
    return ask(at, *words, ok=ok).out.removesuffix("\n")


def fields(at: Path | str, *words: str, ok: Collection[int] = (0,)) -> list[str]:
    """Run one git command that ends each field of its output with NUL; return the fields."""
    return ask(at, *words, ok=ok).out.split("\0")[:-1]


def ignored(at: Path | str, paths: Iterable[str], also_tracked: bool = False) -> list[str]:
    """Return those paths, from the root of a checkout, that git ignores; one with ``/`` at its end is a directory.

    With ``also_tracked``, the patterns alone are asked, whether or not a path is tracked.
    """
    # check-ignore knows no literal pathspecs; "./" keeps a leading colon from being magic
    asked = "".join(f"./{path}\0" for path in paths)
    words = ("check-ignore", "-z", "--stdin", *(["--no-index"] if also_tracked else []))
    answer = ask(at, *words, data=asked, ok=(0, 1), env={"GIT_LITERAL_PATHSPECS": "0"})
    return [path.removeprefix("./") for path in answer.out.split("\0")[:-1]]


def has_hook(at: Path | str, name: str) -> bool:
    """Check whether the repository has a hook of its own of that name that could run."""
    words = ("rev-parse", "--path-format=absolute", "--git-path", f"hooks/{name}")
    path = _run(at, words, "rev-parse", (0,), "", {**_surroundings(), **_PLAIN}, _SECONDS).out.removesuffix("\n")
    return os.path.isfile(path) and os.access(path, os.X_OK)


def hook(at: Path | str, name: str, *words: str) -> None:
    """Run one of the repository's own hooks, if it has it, in the caller's own language."""
    _run(at, ("hook", "run", "--ignore-missing", name, "--", *words), f"hook {name}", (0,), "", _surroundings())


def _name(words: tuple[str, ...]) -> str:
    return next(word for word in words if not word.startswith("-"))


def _surroundings() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key not in _WHERE}


def _run(
    at: Path | str,
    words: tuple[str, ...],
    name: str,
    ok: Collection[int],
    data: str,
    env: Mapping[str, str],
    seconds: float | None = None,
) -> Answer:
    import subprocess

    try:
        done = subprocess.run(
            ["git", "--no-pager", "-C", str(at), *words],
            input=os.fsencode(data),
            capture_output=True,
            env=env,
            check=False,
            timeout=seconds,
        )
    except FileNotFoundError:
        raise NotFoundError("there is no git on this machine", "install git 2.36 or later", code="no-git") from None
    except subprocess.TimeoutExpired:
        text = f"git {name} in {shown_path(at)} gave no answer in {seconds:.0f} s"
        raise GitError(text, "is a file of git's there a FIFO, or its disk out of reach?", -1, "") from None
    out = os.fsdecode(done.stdout)
    if done.returncode in ok:
        return Answer(done.returncode, out)
    raise _failure(at, name, done.returncode, out + os.fsdecode(done.stderr))


def _failure(at: Path | str, name: str, status: int, said: str) -> PeercoordError:
    if "not a git repository" in said:
        return NotFoundError(
            f"{shown_path(at)} is not inside a git repository",
            "name a directory of the project, or make it one: git init",
            code="no-repository",
        )
    hint = next((hint for needle, hint in _HINTS if needle in said), "what was done before this is kept and usable")
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    why = next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[0] if lines else "")
    reason = shown(why, 300) if why else f"exit status {status}"
    return GitError(f"git {name} in {shown_path(at)} failed: {reason}", hint, status, said)


def shown_path(path: PurePath | str) -> str:
    """Write a path for people: unchanged, in any script, but without characters that steer a terminal."""
    return visible(str(path))


def pasted(path: PurePath | str) -> str:
    """Write a path for a command that can be pasted into a shell, from the home directory if it lies there."""
    import shlex

    shown, home = shown_path(path), os.path.expanduser("~")
    if len(home) > 1 and shown.startswith(f"{home}/"):
        return f"~/{shlex.quote(shown[len(home) + 1 :])}"
    return shlex.quote(shown)


@cache
def version() -> tuple[int, ...]:
    """Return the first two numbers of git's version."""
    words = text("/", "version").split()
    numbers = words[2].split(".") if len(words) > 2 else []
    return tuple(int(number) for number in numbers[:2] if number.isdigit())


def shown_paths(paths: Sequence[str], most: int = 3) -> str:
    """Return the first of some paths for people, and how many more there are."""
    rest = len(paths) - most
    return ", ".join(map(shown_path, paths[:most])) + (f" and {rest} more" if rest > 0 else "")


def check_version() -> None:
    """Refuse a git that is older than ``MINIMUM``."""
    if version() < MINIMUM:
        found, wanted = (".".join(map(str, numbers)) for numbers in (version(), MINIMUM))
        raise PeercoordError(f"git {found} is too old", f"install git {wanted} or later", code="old-git")
