"""Where a call stands: which project, which worktree, which peer. Found from the working directory, without git.

A worktree knows its project by ``.claude-instance/info.json``; the main checkout is known by ``.claude-coordination/``
beside or above. A linked worktree that has not joined is led to its main checkout by its ``.git`` file, so that
commands work there too. On the path of every call: nothing is imported that this does not need.
"""

from __future__ import annotations

import os

from peercoord.core import ids, names, records
from peercoord.core.errors import BrokenFileError, NotFoundError
from peercoord.core.names import Incarnation
from peercoord.fs import clock as clocks
from peercoord.fs.disk import Disk
from peercoord.fs.files import Files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from peercoord.core.records import Json

FIX = "peercoord doctor --fix"
_ANEW = f"remove it, then repair the worktree: {FIX}"
INFO = f"{names.INSTANCE}/info.json"


class Place:
    """Where a call stands.

    Attributes:
        project: Absolute path of the project: the main checkout, or the directory in it that was set up.
        worktree: Absolute path of the joined worktree the call stands in; empty in the main checkout.
        info: That worktree's ``info.json``; empty in the main checkout.
        stray: Absolute path of the worktree the call stands in, if it is one that has not joined, or no longer.
    """

    def __init__(self, project: str, worktree: str = "", info: Json | None = None, stray: str = "") -> None:
        self.project = project
        self.worktree = worktree
        self.info = info or {}
        self.stray = stray

    @property
    def coordination(self) -> str:
        """Absolute path of the coordination directory."""
        return f"{self.project}/{names.ROOT}"

    @property
    def instance(self) -> str:
        """Name of the worktree's peer; empty in the main checkout."""
        return str(self.info.get("instance_id", ""))

    @property
    def incarnation(self) -> Incarnation | None:
        """The incarnation under which the worktree last joined."""
        return names.parse_incarnation(str(self.info.get("incarnation", "")))

    @property
    def store_id(self) -> str:
        """The store this worktree joined; empty if it never did."""
        return str(self.info.get("store_id", ""))

    def files(self) -> Files:
        """Open the door to this worktree's ``.claude-instance/``."""
        return Files(Disk(f"{self.worktree}/{names.INSTANCE}"), clocks.token)

    def require_worktree(self) -> None:
        """Go on only in a worktree that has joined.

        Raises:
            NotFoundError: The call stands in another one, or in the main checkout.
        """
        if self.stray:
            raise NotFoundError(
                f"{ids.shown(self.stray, 200)} is no instance's worktree: it never joined, or its {names.INSTANCE}/ "
                "is gone",
                hint=f"bring back what is gone: {FIX}; or join: peercoord join",
                code="no-instance",
            )
        if not self.worktree:
            raise NotFoundError(
                f"{ids.shown(self.project, 200)} is the main checkout, no instance's worktree",
                hint="call this in a worktree, or name one: peercoord -C WORKTREE …",
                code="no-instance",
            )

    def remember(self, **facts: object) -> None:
        """Write facts into the worktree's ``info.json``, keeping the others."""
        new = {**self.info, **facts}
        if new != self.info:
            write_instance(self.worktree, "info.json", new)
            self.info = new


def find(start: str = "", given: str = "") -> Place:
    """Find where a call stands.

    Args:
        start: The directory to start from; the working directory if empty.
        given: A project or worktree named by the user (``-C``, ``PEERCOORD_PROJECT``); empty if none was.

    Raises:
        NotFoundError: No project is set up there or above.
        BrokenFileError: The worktree's ``info.json`` cannot be understood.
    """
    named = given or os.environ.get("PEERCOORD_PROJECT", "")
    begin = os.path.realpath(os.path.expanduser(named) if named else start or os.getcwd())
    for directory in _upward(begin):
        info = _read_info(directory)
        if info is not None:
            return Place(str(info["project"]), directory, info)
        if os.path.isfile(f"{directory}/{names.ROOT}/{names.PROTOCOL}"):
            return Place(directory)
        main = _main_checkout(directory)
        if main and os.path.isfile(f"{main}/{names.ROOT}/{names.PROTOCOL}"):
            return Place(main, stray=directory)
    raise NotFoundError(
        f"no coordinated project at or above {ids.shown(begin, 200)}",
        hint=f"set one up with: claude-team-coordinated PROJECT; one that was here comes back with: {FIX}",
        code="no-project",
    )


def write_instance(worktree: str, name: str, record: Json) -> None:
    """Replace a JSON file of a worktree's ``.claude-instance/``, whole.

    Staged beside its place rather than in a ``tmp/``: an agent may sit in there with a sandbox around it.
    """
    files = Files(Disk(f"{worktree}/{names.INSTANCE}"), clocks.token)
    staged = f".{name}.{clocks.token()}"
    files.disk.create(staged, records.encode(record), False)
    files.move(staged, name)


def _upward(directory: str) -> Iterator[str]:
    while True:
        yield directory.rstrip("/") or "/"
        above = os.path.dirname(directory)
        if above == directory:
            return
        directory = above


def _read_info(directory: str) -> Json | None:
    path = f"{directory}/{INFO}"
    data = Files(Disk(directory), clocks.token).read(INFO)
    if data is None:
        return None
    try:
        info = records.decode(data, path)
    except BrokenFileError as error:
        raise BrokenFileError(error.message, _ANEW) from None
    if not ids.is_id(info.get("instance_id")) or not isinstance(info.get("project"), str):
        raise BrokenFileError(f"{path} lacks its instance_id or project", _ANEW)
    return info


def _main_checkout(directory: str) -> str:
    """Follow a linked worktree's ``.git`` file to its main checkout; empty if there is none to follow."""
    try:
        with open(f"{directory}/.git", encoding="utf-8", errors="surrogateescape") as handle:
            word, _, git_dir = handle.read().rstrip("\n").partition("gitdir: ")
    except OSError:
        return ""
    common, found, _ = os.path.join(directory, git_dir).rpartition("/.git/worktrees/")
    return os.path.realpath(common) if found and not word else ""
