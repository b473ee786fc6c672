"""Open, create and check a coordination directory; read its settings; log events.

Two accidents shaped this. A root that is made on demand gives every host its own team when the mount is missing, so
only set-up makes one: it is built under another name and renamed into place. And a restored backup or a wrong mount
looks like the right root, so it has a store id, and a worktree that has joined before knows which one to expect.
"""

from __future__ import annotations

from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING

from peercoord.errors import BrokenFileError, NotFoundError, PeercoordError, StorageError, UsageError
from peercoord.foreign import whole
from peercoord.store import ids, paths, records
from peercoord.store.files import Files
from peercoord.store.settings import DEFAULT_SETTINGS, EVENTS_BYTES, PROTOCOL_VERSION
from peercoord.system import clock as clocks
from peercoord.system.clock import Clock
from peercoord.system.disk import Disk

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from peercoord.foreign import Json


_FIX = "peercoord doctor --fix"
LEFT_SECONDS = 3600  # set-up takes a second; a staged directory untouched for this long was left by a crash
TOKEN_LETTERS = 12


_PAGE = "store/coordination-directory.md"


class Root:
    """An open coordination directory: files, clock, randomness, ``protocol.json``, and the mutex for adding tasks."""

    def __init__(
        self,
        files: Files,
        protocol: Json,
        clock: Clock | None = None,
        chance: Callable[[], int] = clocks.chance,
        intake: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self.files, self.protocol, self.clock = files, protocol, clock or Clock()
        self.chance, self.intake = chance, intake

    @property
    def store_id(self) -> str:
        """The random id of this coordination directory."""
        return str(self.protocol["store_id"])

    @property
    def project(self) -> Path:
        """The project that the coordination directory belongs to."""
        from pathlib import Path  # not on the path of a call

        return Path(self.files.place or ".").parent

    def setting(self, key: str) -> int | str:
        """A shared setting; its default if ``protocol.json`` has none or an unusable value."""
        default = DEFAULT_SETTINGS[key]
        settings = self.protocol.get("settings")
        value = settings.get(key, default) if isinstance(settings, dict) else default
        if isinstance(default, int):
            number = whole(value)
            return default if number is None else number
        return value if isinstance(value, str) else default

    def number(self, key: str) -> int:
        """A shared setting that is a whole number."""
        value = self.setting(key)
        return value if isinstance(value, int) and value > 0 else int(DEFAULT_SETTINGS[key])

    def event(self, peer: str, kind: str, **facts: object) -> None:
        """Log an event in ``events/<peer>.jsonl``. If it cannot be written, work goes on."""
        path = paths.events(peer)
        try:
            line = records.encode_line({"at": self.clock.now(), "event": kind, "peer": peer, **facts})
            self.files.append(path, line)
            seen = self.files.stat(path)
            if seen and seen.size > EVENTS_BYTES:
                self.files.move(path, f"{path}.1")
        except (StorageError, UsageError):
            return


def create(path: str, project: str, settings: Json | None = None) -> Root:
    """Create the coordination directory as a whole, or open it if it exists; ``settings`` are those not at default."""
    parent, _, name = path.rpartition("/")
    files = Files(Disk(parent), clocks.token)
    if files.stat(f"{name}/{paths.PROTOCOL}") is not None:
        return open_root(path)
    staged = f"{name}.{clocks.token(TOKEN_LETTERS)}"
    protocol: Json = {
        "$schema": paths.schema("protocol"),
        "schema_version": records.SCHEMA_VERSION,
        "protocol": {"version": PROTOCOL_VERSION, "least_reader": PROTOCOL_VERSION, "least_writer": PROTOCOL_VERSION},
        "store_id": clocks.token(20),
        "project": project,
        "created": Clock().now(),
        "settings": {**DEFAULT_SETTINGS, **(settings or {})},
    }
    try:
        if not set_up(files, staged, name, protocol):
            raise StorageError(f"{path}: a file stands where a directory should be", "move it away", code="enotdir")
    except StorageError as error:
        _discard(files, staged)
        if error.code not in ("enotempty", "eexist"):
            raise
    return open_root(path)


def set_up(files: Files, staged: str, name: str, protocol: Json) -> bool:
    """Build a coordination directory aside, rename it into place, and remove what earlier set-ups left.

    ``False`` if no directory can be at that place. Then, and after an error, the staged one remains.
    """
    build(files, staged, protocol)
    for record in paths.EDITED:
        files.make(f"{staged}/{paths.schema(record)}", _packaged(f"schemas/{record}.schema.json"))
    files.make(f"{staged}/{paths.README}", _packaged(_PAGE))
    files.flush()
    seen = files.stat(staged)
    if not files.move(staged, name):
        return False
    files.sync("")
    with suppress(StorageError):  # litter
        for left in staged_before(files, name, seen.modified_ns if seen else 0):
            _discard(files, left)
    return True


def staged_before(files: Files, name: str, now: int) -> list[str]:
    """The directories that crashed set-ups left beside a place, untouched for an hour of the filesystem's own time.

    A directory that has ever had a peer or task is a copy that a person made, and is left alone.
    """
    return [
        entry
        for entry in sorted(files.scan(""))
        if entry.rpartition(".")[0] == name and len(entry) == len(name) + 1 + TOKEN_LETTERS
        if (seen := files.stat(entry)) and seen.is_dir and seen.modified_ns < now - LEFT_SECONDS * 10**9
        if not any(files.scan(f"{entry}/{home}") for home in (paths.BIRTHS, paths.PEERS, paths.EVENTS))
    ]


def explain(files: Files) -> bool:
    """Write the page that explains the directory to people, if missing; return whether it was written."""
    seen = files.stat(paths.README)
    if seen is not None and (seen.size or not seen.is_file):
        return False
    files.put(paths.README, _packaged(_PAGE))
    return True


def _packaged(path: str) -> bytes:
    """Read a file of this package: schemas and a page lie beside the files they explain."""
    from importlib.resources import files

    return files("peercoord").joinpath(path).read_bytes()


def build(files: Files, at: str, protocol: Json) -> None:
    """Lay out a new coordination directory at ``at`` (relative; empty for the root of ``files`` itself)."""
    prefix = f"{at}/" if at else ""
    if at:
        files.make_dir(at)
    for directory in paths.SKELETON:
        files.make_dir(f"{prefix}{directory}")
    files.make(f"{prefix}{paths.PROTOCOL}", records.encode(protocol), durable=True)
    files.ticket(f"{prefix}{paths.leader(paths.LEADER, 0)}")


def _discard(files: Files, at: str) -> None:
    files.remove(f"{at}/{paths.PROTOCOL}")
    files.remove(f"{at}/{paths.leader(paths.LEADER, 0)}")
    files.remove(f"{at}/{paths.README}")
    for record in paths.EDITED:
        files.remove(f"{at}/{paths.schema(record)}")
    for directory in reversed(paths.SKELETON):
        files.remove_dir(f"{at}/{directory}")
    files.remove_dir(at)


def has_protocol(path: str) -> bool:
    """Check whether a directory has a ``protocol.json`` that no power cut truncated."""
    try:
        data = Files(Disk(path), clocks.token).read(paths.PROTOCOL)
    except PeercoordError:
        return True  # opening it will tell what is wrong
    try:
        return data is not None and bool(records.decode(data, paths.PROTOCOL))
    except BrokenFileError:
        return not records.is_cut(data or b"")


def open_root(path: str, expected: str = "") -> Root:
    """Open the coordination directory at an absolute path, which has to have the ``expected`` store id, if any.

    Raises:
        NotFoundError: There is none, or it is another project's.
        BrokenFileError: ``protocol.json`` cannot be understood.
        PeercoordError: It needs a newer version of this program.
    """
    from peercoord.store.lock import held

    files = Files(Disk(path), clocks.token)
    protocol = read_protocol(files, path, expected)
    return Root(
        files, protocol, intake=lambda: held(f"{path}/{paths.INTAKE_LOCK}", busy="another call is adding tasks")
    )


def read_protocol(files: Files, path: str, expected: str = "") -> Json:
    """Read ``protocol.json`` and check that this program can work with it; see ``open_root``."""
    try:
        data = files.read(paths.PROTOCOL)
        if data is None:
            import shlex

            project = shlex.quote(path.rpartition("/")[0])
            raise NotFoundError(
                f"{path} is no coordination directory",
                hint=f"bring back what was there: {_FIX}; or set up: claude-team-coordinated {project}",
                code="no-coordination",
            )
        if records.is_blank(data):
            raise BrokenFileError(f"{path}/{paths.PROTOCOL} is blank, as after a power cut", _FIX)
        protocol = records.decode(data, f"{path}/{paths.PROTOCOL}")
        _check(protocol, path, expected)
    except BrokenFileError as error:
        if error.hint == _FIX:
            raise
        raise BrokenFileError(
            error.message, f"mend it by hand, or have it written again: {rewrite_command(path)}"
        ) from None
    return protocol


def rewrite_command(path: str) -> str:
    """The command that writes ``protocol.json`` again and keeps the broken one."""
    import shlex

    place = f"{path}/{paths.PROTOCOL}"
    return f"mv {shlex.quote(place)} {shlex.quote(f'{place}.broken')} && peercoord doctor --fix"


def _check(protocol: Json, path: str, expected: str) -> None:
    version = protocol.get("protocol")
    writer = whole(version.get("least_writer")) if isinstance(version, dict) else None
    reader = whole(version.get("least_reader", 0)) if isinstance(version, dict) else None
    if writer is None or reader is None or not ids.is_id(protocol.get("store_id")):
        raise BrokenFileError(f"{path}/{paths.PROTOCOL} lacks its versions or its store id")
    least = max(writer, reader)
    if least > PROTOCOL_VERSION:
        raise PeercoordError(
            f"{path} needs protocol version {least}, this program speaks {PROTOCOL_VERSION}",
            hint="upgrade peercoord in this environment",
            code="version",
        )
    if expected and protocol["store_id"] != expected:
        raise NotFoundError(
            f"{path} is another store ({protocol['store_id']}) than this worktree joined ({expected})",
            hint="is a filesystem not mounted, or a backup restored? look with: peercoord doctor",
            code="other-store",
        )
