"""Git, asked about a checkout without running any program that its configuration names.

A coding agent can write its worktree's configuration, and git runs the filters, hooks, drivers, monitors and transports
named there. So git does not read that configuration here. Each inspection has a git directory of its own: references,
objects and index are links to the real ones, and a few plain settings are copied. It has no driver, hook or remote.

The cost: content that a filter would convert is compared as it lies. A file with the size and time of its index entry
is unchanged, a large file (LFS) is known by the digest in its pointer, and any other filtered file that differs is
*unsure*: only its filter could tell.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING

from peercoord.errors import PeercoordError
from peercoord.store import manifest
from peercoord.store.refusals import refused
from peercoord.system import clock, git, gitdirs
from peercoord.system.git import shown_path

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from peercoord.store.beneath import Beneath

CHANGED = "git-dir-changed"  # error code: a worktree and its git directory do not lead to each other

_VALUES = (
    *("core.autocrlf", "core.checkstat", "core.eol", "core.filemode", "core.ignorecase", "core.precomposeunicode"),
    *("core.symlinks", "core.trustctime", "user.useconfigonly"),
)
"""Settings that say how files and index compare. Each is a word, and none names a program or a file."""
_FORMAT = ("extensions.objectformat", "extensions.refstorage")
_LISTS = {"core.excludesfile": "excludes", "core.attributesfile": "attributes"}  # files of patterns: copied
_WORD = re.compile(r"[A-Za-z0-9_.-]*", re.ASCII)
_FILTER = re.compile(r"filter\.(.*)\.(?:clean|smudge|process|required)", re.DOTALL)
_HEAD = re.compile(r"ref: refs/[^\x00-\x20]+|[0-9a-f]{40}|[0-9a-f]{64}")
_LINKED = ("objects", "refs", "packed-refs", "reftable", "shallow", "logs")
_LIST_BYTES = 1 << 20

_POINTER = re.compile(
    r"version https://git-lfs\.github\.com/spec/v1\n(?:.*\n)*?oid sha256:([0-9a-f]{64})\nsize ([0-9]+)\n"
)
_POINTER_BYTES = 1024
_ENTRY = re.compile(
    r"(?P<mode>\d{6}) (?P<object>[0-9a-f]+) \d\t(?P<path>[^\0]*)\0  ctime: .*\n  mtime: (?P<sec>\d+):(?P<nsec>\d+)\n"
    r"  dev: .*\n  uid: .*\n  size: (?P<size>\d+)\t.*\n"
)


@dataclass(frozen=True, slots=True)
class Checkout:
    """Where the parts of a checkout are; its own ``.git`` is not believed."""

    tree: str  # its root; empty if its directory is gone
    git_dir: str  # its own git directory
    common: str  # the git directory that it shares with the others

    def check(self) -> None:
        """Refuse a worktree and a git directory that do not lead to each other: git would speak of another one."""
        if self.git_dir == self.common:
            return
        pointer = os.path.join(self.tree, ".git")
        for file, leads_to, wanted in (
            (pointer, gitdirs.target(pointer), self.git_dir),
            (os.path.join(self.git_dir, "gitdir"), gitdirs.root_of(self.git_dir), self.tree),
            (os.path.join(self.git_dir, "commondir"), gitdirs.common_of(self.git_dir), self.common),
        ):
            if not leads_to or os.path.realpath(leads_to) != os.path.realpath(wanted):
                raise PeercoordError(
                    f"{shown_path(file)} does not lead to {shown_path(wanted)} any more, so git is not asked there",
                    "see who changed it; after a move: git worktree repair",
                    code=CHANGED,
                )


@dataclass(slots=True)
class Changes:
    """What ``git status`` says of a checkout."""

    commit: str = ""  # the one that is checked out; empty if there is none yet
    branch: str = ""  # the one that is checked out; ``HEAD`` if none is
    entries: list[tuple[str, str]] = field(default_factory=list)  # two letters and a path for each file that differs
    unsure: list[str] = field(default_factory=list)  # files of which git cannot tell without running a filter

    def paths(self) -> list[str]:
        """List the files that differ."""
        return [path for _, path in self.entries]


class Inspection:
    """Git, asked about one checkout. It runs no program but itself.

    ``home`` is the git directory that was made for it, ``values`` are the settings there. ``config`` is all of the
    repository's configuration, as data, and ``filters`` are the names of the filters that it defines.
    """

    def __init__(
        self,
        checkout: Checkout,
        home: str,
        values: Mapping[str, str],
        filters: Collection[str],
        config: Mapping[str, str],
    ) -> None:
        self.checkout, self.home, self.filters, self.config = checkout, home, filters, config
        self.values = values
        self.objects = ""  # where new objects go; empty: into the repository
        self.ends: float | None = None  # monotonic time at which all questions together give up
        self._env = {
            "GIT_DIR": home,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",  # a replacement could make a commit seem to contain another
            "GIT_CONFIG_GLOBAL": os.devnull,
            **({"GIT_WORK_TREE": checkout.tree} if checkout.tree else {}),
            **git.settings(values),
        }

    def ask(
        self, *words: str, ok: Collection[int] = (0,), data: str = "", env: Mapping[str, str] | None = None
    ) -> git.Answer:
        """Run one git command, as ``git.ask``."""
        at = self.checkout.tree or self.home
        left = None if self.ends is None else self.ends - time.monotonic()
        return git.ask_alone(at, *words, ok=ok, data=data, env={**self._env, **(env or {})}, seconds=left)

    def text(self, *words: str, ok: Collection[int] = (0,)) -> str:
        """Run one git command and return its output without the final newline."""
        return self.ask(*words, ok=ok).out.removesuffix("\n")

    def fields(self, *words: str, ok: Collection[int] = (0,)) -> list[str]:
        """Run one git command that ends each field of its output with NUL, and return the fields."""
        return self.ask(*words, ok=ok).out.split("\0")[:-1]

    def changes(self, *words: str) -> Changes:
        """Compare commit, index and files; what lies in a submodule is not looked at."""
        modes = ("--untracked-files=normal", "--ignored=no", "--ignore-submodules=dirty", "--no-renames")
        listed = self.fields("status", "--porcelain=v2", "--branch", "-z", *modes, *words)
        at = dict(line.split(" ", 2)[1:] for line in listed if line[0] == "#")
        commit, branch = at["branch.oid"], at["branch.head"]
        found = Changes(
            commit="" if commit == "(initial)" else commit,
            branch="HEAD" if branch == "(detached)" else branch,
            entries=[_entry(line) for line in listed if line[0] != "#"],
        )
        edited = [path for marks, path in found.entries if marks[1] == "M"]
        same, unsure = self._judge(edited)
        if same or unsure:
            rest = [(marks[0] + " " if path in same | unsure else marks, path) for marks, path in found.entries]
            found.entries = [(marks, path) for marks, path in rest if marks != "  "]
            found.unsure = [path for path in edited if path in unsure]
        return found

    def differs(self, path: str, known: str) -> bool:
        """Check whether a file's content is not ``known``, an object's name; unsure counts as differing."""
        return self.text("hash-object", f"--path={path}", "--", path) != known and path not in self._judge([path])[0]

    def filtered(self, paths: Collection[str]) -> dict[str, str]:
        """Map those of some files whose content a filter would convert to the filter's name."""
        if not paths or not self.filters:
            return {}
        named = "".join(f"{path}\0" for path in paths)
        facts = self.ask("check-attr", "-z", "--stdin", "filter", data=named).out.split("\0")
        return {path: value for path, _, value in zip(*[iter(facts)] * 3, strict=False) if value in self.filters}

    def ignored(self, paths: Iterable[str]) -> list[str]:
        """Return those of some paths that git ignores, as ``git.ignored``."""
        named = "".join(f"./{path}\0" for path in paths)
        env = {"GIT_LITERAL_PATHSPECS": "0"}
        answer = self.ask("check-ignore", "-z", "--stdin", data=named, ok=(0, 1), env=env)
        return [path.removeprefix("./") for path in answer.out.split("\0")[:-1]]

    def write_objects_to(self, directory: str) -> None:
        """Write new objects to a directory of its own, so that the repository stays as it is."""
        self.objects, objects = directory, os.path.join(self.checkout.common, "objects")
        self._env |= {"GIT_OBJECT_DIRECTORY": directory, "GIT_ALTERNATE_OBJECT_DIRECTORIES": quoted(objects)}

    @property
    def signs_commits(self) -> bool:
        """Whether the configuration asks for signed commits."""
        return self.config.get("commit.gpgsign", "").lower() in ("true", "yes", "on", "1")

    def identity(self) -> dict[str, str]:
        """Return the variables that name author and committer: from the environment, else from the configuration."""
        values = {}
        for role in ("author", "committer"):
            for what in ("name", "email"):
                variable = f"GIT_{role.upper()}_{what.upper()}"
                known = self.config.get(f"{role}.{what}") or self.config.get(f"user.{what}")
                values[variable] = os.environ.get(variable) or known or ""
        return {key: value for key, value in values.items() if value}

    def leave_out(self, patterns: Iterable[str], cone: bool = False) -> None:
        """Make index and files fit sparse patterns, without a filter for files that return."""
        _write(f"{self.home}/info/sparse-checkout", "".join(f"{line}\n" for line in patterns))
        sparse = {"core.sparseCheckout": "true", "core.sparseCheckoutCone": "true" if cone else "false"}
        expect = {"sparse.expectFilesOutsideOfPatterns": "false" if cone else "true"}
        self.write_index("sparse-checkout", "reapply", env=git.settings({**self.values, **sparse, **expect}))

    def write_index(self, *words: str, env: Mapping[str, str] | None = None) -> None:
        """Run a git command that writes the index, on a copy: git would follow a link in the index's place."""
        with self.locked_index() as write:
            write(*words, env=env)

    @contextmanager
    def locked_index(self, mark: bytes = b"") -> Iterator[Callable[..., None]]:
        """Hold git's own lock of the index while the block runs, so that no other git command changes the checkout.

        Yields what runs a git command on a copy of the index and puts that into its place. ``mark`` is what the lock
        says, for a program that finds it after a crash.
        """
        lock = "index.lock"
        files = manifest.beneath(Path(self.checkout.git_dir)).beneath
        try:
            handle = files.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        except OSError as error:
            raise refused(error, f"{self.checkout.git_dir}/{lock}") from None
        try:
            os.write(handle, mark)
            yield partial(self._replace_index, files)
        except OSError as error:
            raise refused(error, f"{self.checkout.git_dir}/index") from None
        finally:
            os.close(handle)
            with suppress(OSError):
                files.unlink(lock)

    def _replace_index(
        self, files: Beneath, *words: str, env: Mapping[str, str] | None = None, ok: Collection[int] = (0,)
    ) -> None:
        new, copy = f"index.{clock.token()}", f"{self.home}/written"
        if is_indexed(self.checkout.git_dir):
            with open(files.open("index", os.O_RDONLY), "rb") as source, open(copy, "wb") as file:
                shutil.copyfileobj(source, file)
                seen = os.fstat(source.fileno())
            os.utime(copy, ns=(seen.st_atime_ns, seen.st_mtime_ns))
        self.ask(*words, ok=ok, env={**(env or {}), "GIT_INDEX_FILE": copy})
        try:
            with open(copy, "rb") as file, open(files.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as target:
                shutil.copyfileobj(file, target)
                target.flush()
                os.fsync(target.fileno())
                written = os.stat(copy)  # git compares file times with the index's own
                os.utime(target.fileno(), ns=(written.st_atime_ns, written.st_mtime_ns))
            files.rename(new, "index")
        except BaseException:
            with suppress(OSError):
                files.unlink(new)
            raise

    def _judge(self, paths: Collection[str]) -> tuple[set[str], set[str]]:
        """Find, among files whose bytes differ, those that are the same to git and those git is unsure of."""
        drivers = self.filtered(paths)
        if not drivers:
            return set(), set()
        written = os.stat(f"{self.home}/index").st_mtime_ns  # before the entries are read: an older time proves less
        listed = self.ask("ls-files", "--stage", "--debug", "-z", "--", *drivers).out
        entries = [entry.groupdict() for entry in _ENTRY.finditer(listed)]
        pointers = self._pointers({entry["object"] for entry in entries if drivers[entry["path"]] == "lfs"})
        same: set[str] = set()
        unsure: set[str] = set()
        for entry in entries:
            verdict = _same(self.checkout.tree, entry, written, pointers.get(entry["object"]))
            if verdict is not False:
                (same if verdict else unsure).add(entry["path"])
        return same, unsure

    def _pointers(self, objects: Collection[str]) -> dict[str, tuple[str, int]]:
        """Read digest and size from those objects that are pointers to large files."""
        listed = self.ask("cat-file", "--batch-check", data="".join(f"{one}\n" for one in sorted(objects))).out
        small = [words[0] for words in map(str.split, git.lines(listed)) if _is_small(words)]
        found = {}
        for one in small:
            pointer = _POINTER.fullmatch(self.ask("cat-file", "blob", one).out)
            if pointer:
                found[one] = (pointer[1], int(pointer[2]))
        return found


def _entry(line: str) -> tuple[str, str]:
    """Read a line of ``git status --porcelain=v2``: two letters, as its first version writes them, and a path."""
    kind, _, rest = line.partition(" ")
    if kind in "?!":
        return kind * 2, rest
    facts = rest.split(" ", 9 if kind == "u" else 7)
    return facts[0].replace(".", " "), facts[-1]


def quoted(path: str) -> str:
    """Quote a path for a list separated by colons."""
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"' if os.pathsep in path or path[0] == '"' else path


def is_indexed(git_dir: Path | str) -> bool:
    """Check whether a worktree has an index: a regular file, for git would follow a link in its place."""
    seen = manifest.beneath(Path(git_dir)).stat("index")
    return seen is not None and seen.is_file


def _is_small(words: list[str]) -> bool:
    return len(words) == 3 and words[1] == "blob" and int(words[2]) < _POINTER_BYTES


def _same(tree: str, entry: dict[str, str], written: int, pointer: tuple[str, int] | None) -> bool | None:
    """Check whether a file is what the index has; ``None`` if only its filter could show it."""
    path = os.path.join(tree, entry["path"])
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    with open(handle, "rb") as file:
        facts = os.fstat(handle)
        if not S_ISREG(facts.st_mode) or bool(facts.st_mode & 0o100) != (entry["mode"] == "100755"):
            return False
        stamp = int(entry["sec"]) * 10**9 + int(entry["nsec"])
        if facts.st_size == int(entry["size"]) and facts.st_mtime_ns == stamp < written:
            return True
        if pointer is None:
            return None
        return facts.st_size == pointer[1] and hashlib.file_digest(file, "sha256").hexdigest() == pointer[0]


@contextmanager
def of(checkout: Checkout) -> Iterator[Inspection]:
    """Inspect a checkout whose parts are known to belong together."""
    config = _config(checkout.git_dir)
    try:
        made = tempfile.TemporaryDirectory(prefix="peercoord-git-", ignore_cleanup_errors=True)
    except OSError as error:
        raise refused(error, "the temporary directory") from None
    with made as home:
        try:
            values = _furnish(home, checkout, config)
        except OSError as error:
            raise refused(error, str(error.filename or home)) from None
        filters = {found[1] for key in config if (found := _FILTER.fullmatch(key))}
        yield Inspection(checkout, home, values, filters, config)


def _config(git_dir: str) -> dict[str, str]:
    """Read a checkout's whole configuration as data: the person's own and the repository's. Nothing in it is run."""
    own = {key: value for key, value in os.environ.items() if key.startswith("GIT_CONFIG_")}
    entries = git.ask_alone("/", f"--git-dir={git_dir}", "config", "--list", "-z", env=own).out.split("\0")[:-1]
    pairs = (entry.partition("\n") for entry in entries)
    return {key: value if line else "true" for key, line, value in pairs}


def _furnish(home: str, checkout: Checkout, config: Mapping[str, str]) -> dict[str, str]:
    """Make the inspection's own git directory; return the settings that go with it."""
    _write(f"{home}/HEAD", f"{_head(checkout.git_dir)}\n")
    form = {key: value for key in _FORMAT if _WORD.fullmatch(value := config.get(key, ""))}
    lines = "".join(f"[extensions]\n{key.partition('.')[2]} = {value}\n" for key, value in form.items() if value)
    bare = "false" if checkout.tree else "true"
    _write(f"{home}/config", f"[core]\nrepositoryFormatVersion = {1 if lines else 0}\nbare = {bare}\n{lines}")
    for name in _LINKED:
        if os.path.lexists(place := os.path.join(checkout.common, name)):
            os.symlink(place, f"{home}/{name}")
    os.symlink(os.path.join(checkout.git_dir, "index"), f"{home}/index")
    for name in os.listdir(checkout.git_dir):
        if name.startswith("sharedindex."):
            os.symlink(os.path.join(checkout.git_dir, name), f"{home}/{name}")
    os.mkdir(f"{home}/info")
    for name in ("exclude", "attributes"):
        _copy(os.path.join(checkout.common, "info", name), f"{home}/info/{name}")
    values = {key: config[key] for key in _VALUES if key in config and _WORD.fullmatch(config[key])}
    values["core.splitindex"] = "false"  # a shared part would be written here and be lost
    for key, name in _LISTS.items():
        if config.get(key):
            place = os.path.join(checkout.tree, os.path.expanduser(config[key]))
            values[key] = f"{home}/{name}"
            _copy(place, values[key])
    return values


def _head(git_dir: str) -> str:
    head = gitdirs.line(os.path.join(git_dir, "HEAD"))
    if not _HEAD.fullmatch(head):
        raise PeercoordError(
            f"{shown_path(git_dir)}/HEAD names no branch and no commit", f"see: git --git-dir={shown_path(git_dir)} log"
        )
    return head


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)


def _copy(source: str, target: str) -> None:
    """Copy a list of patterns; anything but a regular file counts as no list."""
    try:
        handle = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return
    with open(handle, "rb") as file:
        if S_ISREG(os.fstat(handle).st_mode):
            with open(target, "wb") as copy:
                copy.write(file.read(_LIST_BYTES))
