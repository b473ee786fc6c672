"""What the team added to a repository, recorded in the git directory so that it can be removed again.

There are two records, both out of reach of ``git clean``. The team's, ``peercoord/team.json`` in the shared git
directory, says where the main checkout is and which settings, branches and memory bank were made. A worktree's,
``peercoord.json`` in its own git directory, says which peer works there, whether the team made it, and which files
were copied into it. Intentions are recorded first: a crash leaves too much on record, never too little.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from peercoord.errors import BrokenFileError
from peercoord.store import lock, records
from peercoord.store.beneath import Beneath, InstanceFiles
from peercoord.store.refusals import refused
from peercoord.store.settings import RECORD_BYTES
from peercoord.system import clock
from peercoord.system.disk import Disk, read_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from peercoord.foreign import Json

HOME = "peercoord"
DATABASE = "taskmaster.db"
"""The database of a team that named none: in the record's directory, out of reach of ``git clean`` as well. Further
projects of the repository have ``taskmaster-2.db`` and so on: of two teams, a database refuses the second."""
_TEAM, _WORKTREE, _LOCK = "team.json", "peercoord.json", "lock"


def read_team(common: Path) -> Json:
    """Read the team's record; empty if there is none, or a power cut left nothing whole."""
    return _read(common / HOME / _TEAM)


def note_team(common: Path, **facts: object) -> None:
    """Put facts into the team's record, keeping the others."""
    home = common / HOME
    home.mkdir(exist_ok=True)
    put(home / _TEAM, records.encode({"schema_version": records.SCHEMA_VERSION, **read_team(common), **facts}))


def table(known: Json, key: str) -> Json:
    """Return a part of a record that has parts itself; empty if it is missing or of another kind."""
    found = known.get(key)
    return found if isinstance(found, dict) else {}


def read_project(common: Path, sub: str) -> Json:
    """Read what the team's record says of one project of the repository."""
    return table(table(read_team(common), "projects"), sub)


def note_project(common: Path, sub: str, **facts: object) -> None:
    """Put facts about one project into the team's record, keeping the others."""
    known = table(read_team(common), "projects")
    note_team(common, projects={**known, sub: {**table(known, sub), **facts}})


def database(common: Path, sub: str) -> Path:
    """Return the database of a project that named none: its own, or the first that no other project has."""
    projects = table(read_team(common), "projects")
    used = {key: _own(table(table(projects, key), "lists").get("database")) for key in projects}
    mine = used.pop(sub, "")
    path = Path(DATABASE)
    free = (f"{path.stem}-{number}{path.suffix}" for number in range(2, len(used) + 3))
    return common / HOME / (mine or next(name for name in (DATABASE, *free) if name not in used.values()))


def _own(noted: object) -> str:
    """Return the file of a database that lies in the record's directory; empty for any other."""
    if not isinstance(noted, str) or "://" in noted or os.path.isabs(noted):
        return ""
    path = Path(noted)
    return path.name if path.parent.name == HOME else ""


def branches(common: Path, sub: str) -> dict[str, str]:
    """Map the branches that a project's team made to the commits they began at, a former team's among them."""
    known = read_team(common)
    return {**table(table(known, "left"), sub), **table(table(table(known, "projects"), sub), "branches")}


def take_up(common: Path, sub: str) -> None:
    """Take what a former team left into a project's record: it is this team's to remove."""
    left = table(read_team(common), "left")
    if sub in left:
        note_project(common, sub, branches=branches(common, sub))
        note_team(common, left={key: found for key, found in left.items() if key != sub})


def forget_project(common: Path, sub: str, left: Mapping[str, str] | None = None) -> bool:
    """Take a project out of the team's record, except branches that stay; return whether the record is empty now."""
    own = database(common, sub)
    for suffix in ("", "-wal", "-shm", "-journal"):
        own.with_name(f"{own.name}{suffix}").unlink(missing_ok=True)
    others = {key: known for key, known in table(read_team(common), "projects").items() if key != sub}
    known = read_team(common)
    all_left = {key: found for key, found in table(known, "left").items() if key != sub}
    all_left |= {sub: dict(left)} if left else {}
    if others:
        note_team(common, projects=others, left=all_left)
        return False
    if all_left:
        kept: Json = {key: known[key] for key in ("schema_version", "main") if key in known}
        put(common / HOME / _TEAM, records.encode({**kept, "projects": {}, "left": all_left}))
        return False
    (common / HOME / _TEAM).unlink(missing_ok=True)
    _remove(common / HOME)
    return True


def _remove(home: Path) -> None:
    """Remove the record's directory, unless something else lies in it."""
    (home / _LOCK).unlink(missing_ok=True)
    with suppress(OSError):
        home.rmdir()


def read_worktree(git_dir: Path) -> Json:
    """Read a worktree's record; empty if it is not of the team, or a power cut left nothing whole."""
    data = beneath(git_dir).read(_WORKTREE)
    return {} if data is None else _understood(data, str(git_dir / _WORKTREE))


def was_cut(git_dir: Path) -> bool:
    """Check whether a power cut left a worktree's record unreadable."""
    return not read_worktree(git_dir) and (git_dir / _WORKTREE).exists()


def note_worktree(git_dir: Path, **facts: object) -> None:
    """Put facts into a worktree's record, keeping the others."""
    known = read_worktree(git_dir)
    whole = {"schema_version": records.SCHEMA_VERSION, **known, **facts}
    beneath(git_dir).replace(_WORKTREE, records.encode(whole), durable=True)


def leave_worktree(git_dir: Path) -> None:
    """Record that a worktree, which a team made, has left that team."""
    known = read_worktree(git_dir)
    kept: Json = {key: known[key] for key in ("sub", "index", "peer", "made", "copied") if key in known}
    forget_worktree(git_dir)
    note_worktree(git_dir, **kept, left=True)


def forget_worktree(git_dir: Path) -> None:
    """Remove a worktree's record: it is not of the team any more."""
    beneath(git_dir).remove(_WORKTREE)


def beneath(git_dir: Path) -> InstanceFiles:
    """Open the git directory of a worktree, in which its coding agent may write if it may commit."""
    common = git_dir.parent.parent
    return InstanceFiles(Beneath(str(common), str(git_dir.relative_to(common))))


@contextmanager
def held(common: Path, wait: float = 0.0) -> Iterator[None]:
    """Hold the mutex for set-up and removal, one at a time in a repository. A failed call leaves nothing behind."""
    home = common / HOME
    try:
        home.mkdir(exist_ok=True)
    except OSError as error:
        raise refused(error, str(home)) from None
    with lock.held(str(home / _LOCK), wait, f"another set-up or removal runs in {common}"):
        try:
            yield
        finally:
            if not (home / _TEAM).exists():
                _remove(home)


def put(path: Path, data: bytes) -> None:
    """Write a file whole and durable, with the mode it had: beside its place, then renamed into it."""
    disk, staged = Disk(str(path.parent)), f".{path.name}.{clock.token()}"
    try:
        disk.create(staged, data, True)
        if path.is_file() and not path.is_symlink():
            os.chmod(path.with_name(staged), path.stat().st_mode & 0o777)
        disk.rename(staged, path.name)
        disk.sync("")
    except OSError as error:
        with suppress(OSError):
            disk.unlink(staged)
        raise refused(error, str(path)) from None


def settle(*paths: Path) -> None:
    """Make files that another program wrote survive a power cut; missing ones are left out."""
    for path in paths:
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
            Disk(str(path.parent)).sync("")
        except FileNotFoundError:
            continue
        except OSError as error:
            raise refused(error, str(path)) from None


def _read(path: Path) -> Json:
    try:
        data = read_file(str(path), RECORD_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise refused(error, str(path)) from None
    return _understood(data, str(path))


def _understood(data: bytes, where: str) -> Json:
    try:
        return records.decode(data, where)
    except BrokenFileError:
        if records.is_cut(data):
            return {}  # the next set-up records it again
        raise
