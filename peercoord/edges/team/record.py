"""What the team added to a repository, written down in the git directory so that all of it can be taken away again.

Two records, both out of reach of ``git clean``. The team's, ``peercoord/team.json`` in the shared git directory: where
the main checkout is, which settings were turned on, which branches and which memory bank were made. And each
worktree's, ``peercoord.json`` in its own git directory, gone when git removes the worktree: which peer works there,
whether the team made it, which files were copied into it. An intention is written before it is carried out, so a
crash leaves a record of too much, never of too little.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from pathlib import Path

from peercoord.core import records
from peercoord.fs import mutex
from peercoord.fs.files import refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from peercoord.core.records import Json

HOME = "peercoord"
DATABASE = "taskmaster.db"
"""The database of a team that named none: in the record's directory, out of reach of ``git clean`` as well. Further
projects of the repository have ``taskmaster-2.db`` and so on: of two teams, a database refuses the second."""
_TEAM, _WORKTREE, _LOCK = "team.json", "peercoord.json", "lock"


def read_team(common: Path) -> Json:
    """Read the team's record; empty if there is none.

    Raises:
        BrokenFileError: It cannot be understood.
    """
    return _read(common / HOME / _TEAM)


def note_team(common: Path, **facts: object) -> None:
    """Put facts into the team's record, keeping the others."""
    home = common / HOME
    home.mkdir(exist_ok=True)
    put(home / _TEAM, records.encode({"schema_version": records.SCHEMA_VERSION, **read_team(common), **facts}))


def table(known: Json, key: str) -> Json:
    """Give a part of a record that has parts itself; empty if it is missing or of another kind."""
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
    """Give the database of a project that named none: the one it has, or the first that no other project has.

    Args:
        common: The shared git directory.
        sub: Which project.
    """
    projects = table(read_team(common), "projects")
    used = {key: _own(table(table(projects, key), "lists").get("database")) for key in projects}
    mine = used.pop(sub, "")
    path = Path(DATABASE)
    free = (f"{path.stem}-{number}{path.suffix}" for number in range(2, len(used) + 3))
    return common / HOME / (mine or next(name for name in (DATABASE, *free) if name not in used.values()))


def _own(noted: object) -> str:
    """Give the file of a database that lies in the record's directory; empty for any other."""
    if not isinstance(noted, str) or "://" in noted or os.path.isabs(noted):
        return ""
    path = Path(noted)
    return path.name if path.parent.name == HOME else ""


def forget_project(common: Path, sub: str) -> bool:
    """Take a project out of the team's record; say whether it was the last one: then all of ours there goes with it."""
    own = database(common, sub)
    for suffix in ("", "-wal", "-shm", "-journal"):
        own.with_name(f"{own.name}{suffix}").unlink(missing_ok=True)
    others = {key: known for key, known in table(read_team(common), "projects").items() if key != sub}
    if others:
        note_team(common, projects=others)
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
    """Read a worktree's record; empty if it is not of the team.

    Raises:
        BrokenFileError: It cannot be understood.
    """
    return _read(git_dir / _WORKTREE)


def note_worktree(git_dir: Path, **facts: object) -> None:
    """Put facts into a worktree's record, keeping the others."""
    known = read_worktree(git_dir)
    put(git_dir / _WORKTREE, records.encode({"schema_version": records.SCHEMA_VERSION, **known, **facts}))


def forget_worktree(git_dir: Path) -> None:
    """Remove a worktree's record: it is not of the team any more."""
    (git_dir / _WORKTREE).unlink(missing_ok=True)


@contextmanager
def held(common: Path) -> Iterator[None]:
    """Hold the mutex for set-up and removal: one at a time in a repository. One that came to nothing leaves nothing.

    Raises:
        LostError: Another set-up or removal runs there.
    """
    home = common / HOME
    try:
        home.mkdir(exist_ok=True)
    except OSError as error:
        raise refused(error, str(home)) from None
    with mutex.held(str(home / _LOCK), 0, f"another set-up or removal runs in {common}"):
        try:
            yield
        finally:
            if not (home / _TEAM).exists():
                _remove(home)


def put(path: Path, data: bytes) -> None:
    """Write a file whole, with the mode it had: beside its place, then renamed into it.

    Raises:
        StorageError: The filesystem refused; the old file is as it was.
    """
    staged = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        staged.write_bytes(data)
        if path.exists():
            staged.chmod(path.stat().st_mode)
        staged.replace(path)
    except OSError as error:
        staged.unlink(missing_ok=True)
        raise refused(error, str(path)) from None


def _read(path: Path) -> Json:
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise refused(error, str(path)) from None
    return records.decode(data, str(path))
