"""The one door to the git command: argument lists, fixed language, no pager, no prompt, errors with what git said.

Three accidents shaped it. A call made from a git hook or alias inherits ``GIT_DIR`` and would work on the wrong
repository: the variables that say where a repository is are taken out, ``-C`` alone decides. A hook of the
repository (or of its file-system monitor) that fails or hangs would break a set-up half way: hooks never run inside
our calls; ``hook`` runs one on purpose, afterwards. And a ``git status`` of ours must not take the index lock from
under a person's own command: optional locks are off.

Needs git 2.36: ``worktree list --porcelain -z``, ``hook run``, and sparse patterns that ``worktree add`` carries over.
"""

from __future__ import annotations

import os
from functools import cache

from peercoord.core.errors import NotFoundError, PeercoordError
from peercoord.core.ids import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path, PurePath

MINIMUM = (2, 36)

_WHERE = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_COMMON_DIR",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_PREFIX",
    "GIT_NAMESPACE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_SHALLOW_FILE",
    "GIT_GRAFT_FILE",
    "GIT_INTERNAL_SUPER_PREFIX",
)
_PLAIN = {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "GIT_LITERAL_PATHSPECS": "1"}
_NO_HOOKS = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false")
_QUIET = ("-c", "gc.auto=0", "-c", "maintenance.auto=false", "-c", "advice.detachedHead=false")

_HINTS = (
    ("dubious ownership", "the repository belongs to someone else: git config --global --add safe.directory PATH"),
    (".lock': File exists", "another git command may be at work there: try again when it is done"),
    ("No space left on device", "free some space, then run the same command again"),
    ("Permission denied", "check the owner and mode of that path"),
)


class GitError(PeercoordError):
    """Git refused or failed.

    Attributes:
        status: Its exit status.
        said: All that it said, standard output first.
    """

    code = "git"

    def __init__(self, message: str, hint: str, status: int, said: str) -> None:
        super().__init__(message, hint)
        self.status = status
        self.said = said


class Answer:
    """What git answered: exit status and standard output, undecodable bytes kept as surrogates."""

    __slots__ = ("out", "status")

    def __init__(self, status: int, out: str) -> None:
        self.status, self.out = status, out


def ask(
    at: Path | str,
    *words: str,
    ok: Collection[int] = (0,),
    data: str = "",
    env: Mapping[str, str] | None = None,
) -> Answer:
    """Run one git command, without any hook.

    Args:
        at: The directory to run it in (``-C``).
        words: The command and its arguments.
        ok: The exit statuses that are answers; every other is an error.
        data: Text for its standard input.
        env: Variables to add to its environment.

    Raises:
        GitError: Git failed; the message has the line in which it says why.
        NotFoundError: There is no git, or ``at`` is in no repository.
    """
    name = next(word for word in words if not word.startswith("-"))
    return _run(at, (*_NO_HOOKS, *_QUIET, *words), name, ok, data, {**_PLAIN, **(env or {})})


def text(at: Path | str, *words: str, ok: Collection[int] = (0,)) -> str:
    """Run one git command and give its output without the final newline."""
    return ask(at, *words, ok=ok).out.removesuffix("\n")


def fields(at: Path | str, *words: str, ok: Collection[int] = (0,)) -> list[str]:
    """Run one git command that ends each field of its output with NUL, and give the fields."""
    return ask(at, *words, ok=ok).out.split("\0")[:-1]


def ignored(at: Path | str, paths: Iterable[str], also_tracked: bool = False) -> list[str]:
    """Give those of some paths that git ignores.

    Args:
        at: Root of a checkout.
        paths: Paths from there; a ``/`` at the end asks about a directory, which need not be there.
        also_tracked: Ask the patterns alone, whether or not a path is tracked.
    """
    # check-ignore knows no literal pathspecs; "./" keeps a leading colon from being magic
    asked = "".join(f"./{path}\0" for path in paths)
    words = ("check-ignore", "-z", "--stdin", *(["--no-index"] if also_tracked else []))
    answer = ask(at, *words, data=asked, ok=(0, 1), env={"GIT_LITERAL_PATHSPECS": "0"})
    return [path.removeprefix("./") for path in answer.out.split("\0")[:-1]]


def has_hook(at: Path | str, name: str) -> bool:
    """Tell whether the repository has a hook of its own of that name that could run."""
    words = ("rev-parse", "--path-format=absolute", "--git-path", f"hooks/{name}")
    path = _run(at, words, "rev-parse", (0,), "", _PLAIN).out.removesuffix("\n")
    return os.path.isfile(path) and os.access(path, os.X_OK)


def hook(at: Path | str, name: str, *words: str) -> None:
    """Run one of the repository's own hooks, if it has it, in the caller's own language.

    Raises:
        GitError: The hook failed.
    """
    _run(at, ("hook", "run", "--ignore-missing", name, "--", *words), f"hook {name}", (0,), "", {})


def _run(
    at: Path | str,
    words: tuple[str, ...],
    name: str,
    ok: Collection[int],
    data: str,
    env: Mapping[str, str],
) -> Answer:
    import subprocess

    surroundings = {key: value for key, value in os.environ.items() if key not in _WHERE}
    try:
        done = subprocess.run(
            ["git", "--no-pager", "-C", str(at), *words],
            input=os.fsencode(data),
            capture_output=True,
            env={**surroundings, **env},
            check=False,
        )
    except FileNotFoundError:
        raise NotFoundError("there is no git on this machine", "install git 2.36 or later", code="no-git") from None
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
    why = shown(_why(said), 300) if said.strip() else f"exit status {status}"
    return GitError(f"git {name} in {shown_path(at)} failed: {why}", hint, status, said)


def _why(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[0])


def shown_path(path: PurePath | str) -> str:
    """Write a path for people: as it is, letters of every script too, but nothing that a terminal would obey."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(path))


@cache
def check_version() -> None:
    """Refuse a git that is too old.

    Raises:
        PeercoordError: It is older than ``MINIMUM``.
    """
    words = text("/", "version").split()
    numbers = words[2].split(".") if len(words) > 2 else []
    found = tuple(int(number) for number in numbers[:2] if number.isdigit())
    if found < MINIMUM:
        wanted = ".".join(map(str, MINIMUM))
        raise PeercoordError(f"git {'.'.join(numbers)} is too old", f"install git {wanted} or later", code="old-git")
