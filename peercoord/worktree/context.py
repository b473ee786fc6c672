"""Where a call stands: its project, worktree and peer, found from the working directory without git.

The main checkout is known by its ``.claude-coordination/``. A worktree is known by its ``.claude-instance/info.json``,
but its coding agent may have written that file: it counts only if the project, outside the worktree, has recorded the
worktree. A worktree that has not joined leads to its main checkout by its ``.git`` file, under the same rule.
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING

from peercoord.errors import BrokenFileError, NotFoundError, PeercoordError
from peercoord.foreign import shown, visible
from peercoord.membership import liveness
from peercoord.membership import membership as members
from peercoord.store import ids, instance_records, paths, records
from peercoord.store.beneath import Beneath, InstanceFiles
from peercoord.store.files import Files
from peercoord.store.paths import Incarnation
from peercoord.store.root import Root
from peercoord.store.settings import CLAIMED_MOST
from peercoord.system import clock as clocks
from peercoord.system import gitdirs, process
from peercoord.system.disk import Disk, filesystem_type, is_local

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peercoord.foreign import Json

FIX = "peercoord doctor --fix"
INFO = f"{paths.INSTANCE}/info.json"
_LEVELS = 8  # of directories above a worktree that are searched for its project


class Place:
    """Where a call stands: absolute paths, and the worktree's ``info.json``."""

    def __init__(
        self,
        project: str,
        worktree: str = "",
        info: Json | None = None,
        stray: str = "",
        checkout: str = "",
        files: InstanceFiles | None = None,
    ) -> None:
        self.project = project  # the main checkout, or the directory in it that was set up
        self.worktree = worktree  # the joined worktree the call stands in; empty in the main checkout
        self.info = info or {}  # its ``info.json``, corrected by what its project has recorded
        self.stray = stray  # the worktree the call stands in, if that has not joined, or has left
        self.checkout = checkout or worktree  # the worktree's root: ``worktree`` itself, or above it
        self._files = files
        self._noted: Json = {}
        self.seen: tuple[int, ...] | None = None  # the ``state`` of ``info.json`` as this process knows it; an agent's

    @property
    def coordination(self) -> str:
        """Absolute path of the coordination directory."""
        return f"{self.project}/{paths.ROOT}"

    @property
    def instance(self) -> str:
        """The worktree's peer; empty in the main checkout."""
        return str(self.info.get("instance_id", ""))

    @property
    def incarnation(self) -> Incarnation | None:
        """The incarnation under which the worktree last joined."""
        return paths.parse_incarnation(str(self.info.get("incarnation", "")))

    @property
    def store_id(self) -> str:
        """The store this worktree joined; empty if it never did."""
        return str(self.info.get("store_id", ""))

    def files(self) -> InstanceFiles:
        """Return the files of this worktree's ``.claude-instance/``."""
        if self._files is None:
            self._files = instance_files(self.worktree, self.checkout)
        return self._files

    def tree(self) -> Beneath:
        """Return the directory of this worktree that holds ``.claude-instance/``."""
        inside = os.path.relpath(self.worktree, self.checkout)
        return Beneath(self.checkout, "" if inside == "." else inside)

    def shared_files(self) -> Files:
        """Return the files of the coordination directory, without reading ``protocol.json``."""
        return _shared(self.project)

    def require_worktree(self) -> None:
        """Refuse a call outside of a joined worktree."""
        if self.stray:
            why = f"it never joined, or its {paths.INSTANCE}/ is gone"
            text = f"{shown(self.stray, 200)} is no instance's worktree: {why}"
            hint = f"bring back what is gone: {FIX}; or join: peercoord join"
            raise NotFoundError(text, hint, code="no-instance")
        if not self.worktree:
            text = f"{shown(self.project, 200)} is the main checkout, no instance's worktree"
            hint = "call this in a worktree, or name one: peercoord -C WORKTREE …"
            raise NotFoundError(text, hint, code="no-instance")

    def note(self, **facts: object) -> None:
        """Take facts for the worktree's ``info.json`` that the next ``remember`` writes."""
        self._noted |= facts

    def remember(self, **facts: object) -> None:
        """Write facts into the worktree's ``info.json``, with those that were noted, and keep the others."""
        new = {**self.info, **self._noted, **facts}
        if new != self.info:
            self.files().replace("info.json", records.encode(new))
            self.info, self._noted = new, {}
            if self.seen is not None:
                self.seen = self.state()

    def state(self) -> tuple[int, ...]:
        """Return what changes with each writing of ``info.json``, without reading it."""
        try:
            seen = self.files().beneath.lstat("info.json")
        except OSError:
            return ()
        return seen.st_mtime_ns, seen.st_size, seen.st_ino


def find(start: str = "", given: str = "") -> Place:
    """Find where a call stands that starts in a directory, or in the one that the user named.

    ``given`` is what the user named with ``-C``; then comes ``PEERCOORD_PROJECT``, then ``start``, then the working
    directory. An error says that no project is set up there or above, or that none knows the worktree.
    """
    named = given or os.environ.get("PEERCOORD_PROJECT", "")
    begin = os.path.realpath(os.path.expanduser(named) if named else start or os.getcwd())
    for directory in _upward(begin):
        if os.path.lexists(f"{directory}/{INFO}"):
            return _instance(directory)
        if os.path.isfile(f"{directory}/{paths.ROOT}/{paths.PROTOCOL}"):
            _refuse_inside(directory)
            return Place(directory)
        main = _main_checkout(directory)
        if main and os.path.isfile(f"{main}/{paths.ROOT}/{paths.PROTOCOL}"):
            return Place(_beside(directory)[0] or main, stray=directory)
    import shlex

    checkout = shlex.quote(visible(gitdirs.repository(begin)[0])) if gitdirs.repository(begin)[0] else "PROJECT"
    text = f"no coordinated project at or above {shown(begin, 200)}"
    hint = f"set one up with: claude-team-coordinated {checkout}; one that was here comes back with: {FIX}"
    raise NotFoundError(text, hint, code="no-project")


def at(project: str, worktree: str) -> Place:
    """Return the place of a worktree whose project is known, if the project knows it."""
    facts = _known(project, worktree)
    if not facts or _within(project, worktree) or _within(project, facts.get("checkout", worktree)):
        text = f"{shown(project, 200)} knows no worktree {shown(worktree, 200)}"
        hint = f"take it in: claude-team-coordinated {pasted(project)}"
        raise NotFoundError(text, hint, code="no-instance")
    return _placed(project, worktree, facts)


def is_beside(place: Place) -> bool:
    """Check whether a worktree was found by a project beside it, where its coding agent cannot have put one."""
    return _beside(place.worktree)[0] == place.project


def instance_path(worktree: str, name: str) -> str:
    """Return the absolute path of a file of a worktree's ``.claude-instance/``."""
    return f"{worktree}/{paths.INSTANCE}/{name}"


def instance_files(worktree: str, checkout: str = "") -> InstanceFiles:
    """Return the files of a worktree's ``.claude-instance/``; the worktree's root may be a ``checkout`` above."""
    top = checkout or worktree
    inside = os.path.relpath(worktree, top)
    return InstanceFiles(Beneath(top, paths.INSTANCE if inside == "." else f"{inside}/{paths.INSTANCE}"))


def read_copy(files: InstanceFiles) -> Json:
    """Read a worktree's ``info.json``, which its coding agent may have written; empty if it is broken."""
    return files.peek_record("info.json")


# -- what a worktree says, and who confirms it -------------------------------------------------------------------


def _instance(directory: str) -> Place:
    """Find the project that has recorded a worktree: one beside it, or the one that it names."""
    project, facts = _beside(directory)
    if facts:
        return _placed(project, directory, facts)
    copy = read_copy(instance_files(directory))
    claimed = copy.get("project")
    if not isinstance(claimed, str) or not os.path.isabs(claimed) or not ids.is_id(copy.get("instance_id")):
        claimed = _main_checkout(directory)
        if not claimed:
            text = f"{directory}/{INFO} cannot be understood, and no project beside this worktree has recorded it"
            hint = f"have it written again from the main checkout: {FIX}"
            raise BrokenFileError(text, hint)
    if not os.path.lexists(f"{claimed}/{paths.ROOT}"):
        # it may be named in an error if it is gone too, moved or deleted, or if its repository lists this worktree
        inside = os.path.lexists(claimed) and _within(claimed, directory)
        if not os.path.lexists(claimed) or (not inside and gitdirs.git_dir_of(claimed, directory)):
            return Place(claimed, directory, copy)
    facts = {} if _within(claimed, directory) else _known(claimed, directory)
    if not facts:
        raise NotFoundError(
            f"{directory}/{INFO} names the project {shown(claimed, 200)}, which knows no such worktree",
            hint="call it for the project itself: peercoord -C PROJECT; "
            "take the worktree in: claude-team-coordinated PROJECT",
            code="no-instance",
        )
    return _placed(claimed, directory, facts)


def _placed(project: str, worktree: str, facts: Json) -> Place:
    """Return the place of a worktree: facts from its project, and only notes from its own ``info.json``."""
    checkout = str(facts.get("checkout") or worktree)
    files = instance_files(worktree, checkout)
    copy, peer = read_copy(files), str(facts["instance_id"])
    last = paths.parse_incarnation(str(copy.get("incarnation", "")))
    if last is None or last.peer != peer or last.number > CLAIMED_MOST:
        copy.pop("incarnation", None)
    if not ids.is_id(copy.get("store_id")):
        copy.pop("store_id", None)
    copy.update(joined(_shared(project), peer, worktree, str(copy.get("incarnation", ""))))
    info = {
        **copy,
        "instance_id": peer,
        "project": project,
        "worktree_path": worktree,
        "branch": str(facts.get("branch", copy.get("branch", ""))),
    }
    return Place(project, worktree, info, checkout=checkout, files=files)


def joined(files: Files, peer: str, worktree: str, last: str) -> Json:
    """Find the incarnation under which a worktree is a peer, as a fact of ``info.json``; empty if it is still ``last``.

    Where its ``peer.json`` cannot be read, the record of the instance says whether it is the worktree's. A team of
    version 0.1.0 has no such record: on a local filesystem its only incarnation of that name counts.
    """
    peers = files.scan(paths.PEERS)
    for who in [] if last in peers else sorted(filter(None, map(paths.parse_incarnation, peers))):
        if who.peer != peer:
            continue
        record = members.read_record(files, paths.peer_dir(who))
        if record is None:
            known = instance_records.read(Root(files, {}), peer)
            ours = known.get("incarnation") == str(who)
            if known.get("worktree") == worktree and "incarnation" not in known:
                ours = is_local(filesystem_type(files.place))
        else:
            ours = record.get("worktree") == worktree and liveness.same_host(record, process.here())
        if ours:
            return {"incarnation": str(who)}
    return {}


def _beside(directory: str) -> tuple[str, Json]:
    """Find a project next to a worktree, or next to its root, that has recorded the worktree.

    The outermost counts: the coding agent may write anywhere in its worktree, but not next to it.
    """
    home, sub = directory, ""
    found: tuple[str, Json] = ("", {})
    for _ in range(_LEVELS):
        above = os.path.dirname(home)
        if above in ("/", home):
            break
        found = _recorded_in(above, home, (sub, directory)) or found
        home, sub = above, f"{os.path.basename(home)}/{sub}".rstrip("/")
    return found


def _recorded_in(above: str, home: str, *wanted: tuple[str, str]) -> tuple[str, Json] | None:
    """Find a project, in a directory other than ``home``, that has recorded one of the wanted worktrees."""
    try:
        entries = sorted(os.listdir(above))
    except OSError:
        return None
    for entry in entries:
        for sub, worktree in wanted:
            project = f"{above}/{entry}/{sub}".rstrip("/")
            if os.path.isfile(f"{project}/{paths.ROOT}/{paths.PROTOCOL}") and not _within(project, home):
                facts = _known(project, worktree)
                if facts:
                    return project, facts
    return None


def _known(project: str, worktree: str) -> Json:
    """Return what a project has recorded of a worktree; empty if nothing.

    A team of version 0.1.0 has no records of instances. There a peer's own record counts, or git's list of worktrees
    with what set-up noted there.
    """
    root = Root(_shared(project), {})
    for known in instance_records.each(root):
        if _is_at(known, worktree):
            return known
    git_dir, checkout = gitdirs.find(project, worktree)
    located = {"git_dir": git_dir, "checkout": checkout} if git_dir else {}
    for who in members.living(root):
        record = members.record_of(root, who)
        if record.get("worktree") == worktree:
            return {"instance_id": who.peer, **located}
    noted: Json = {}
    with suppress(PeercoordError):
        noted = Files(Disk(git_dir), clocks.token).record("peercoord.json") or {} if git_dir else {}
    return {"instance_id": noted["peer"], **located} if ids.is_id(noted.get("peer")) else {}


def _is_at(known: Json, worktree: str) -> bool:
    """Check whether a record is about this worktree, also through links above it."""
    if known["worktree"] == worktree:
        return True
    checkout = str(known.get("checkout", known["worktree"]))
    inside = os.path.relpath(known["worktree"], checkout)
    return os.path.normpath(f"{os.path.realpath(checkout)}/{inside}") == worktree


@lru_cache(maxsize=8)
def _shared(project: str) -> Files:
    return Files(Disk(f"{project}/{paths.ROOT}"), clocks.token)


def _within(path: str, directory: str) -> bool:
    """Check whether a path is a directory, or lies below it, wherever links lead."""
    real, home = os.path.realpath(path), os.path.realpath(directory)
    return real == home or real.startswith(f"{home}/")


def _refuse_inside(directory: str) -> None:
    """Refuse a coordination directory in the worktree of an instance: its coding agent could have made it."""
    for home in _upward(directory):
        wanted = {"": home, os.path.relpath(directory, home): directory} if home != directory else {"": home}
        found = _recorded_in(os.path.dirname(home), home, *wanted.items())
        project = found[0] if found else ""
        if project or os.path.lexists(f"{home}/{INFO}"):
            text = f"{shown(directory, 200)}/{paths.ROOT} lies in the worktree of an instance, and is not used"
            hint = f"call it for the project itself: peercoord -C {pasted(project) if project else 'PROJECT'}"
            raise NotFoundError(text, hint, code="no-project")


def pasted(path: str) -> str:
    """Write a path for a command that can be pasted into a shell."""
    import shlex

    return shlex.quote(shown(path, 200))


def _upward(directory: str) -> Iterator[str]:
    while True:
        yield directory.rstrip("/") or "/"
        above = os.path.dirname(directory)
        if above == directory:
            return
        directory = above


def _main_checkout(directory: str) -> str:
    """Follow a worktree's ``.git`` file to the main checkout that lists the worktree; empty if there is none."""
    word, _, git_dir = gitdirs.line(f"{directory}/.git").partition("gitdir: ")
    common, found, _ = os.path.join(directory, git_dir).rpartition("/.git/worktrees/")
    main = os.path.realpath(common) if found and not word else ""
    return main if main and not _within(main, directory) and gitdirs.git_dir_of(main, directory) else ""
