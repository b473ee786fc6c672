"""The coordination directory as a whole: made in one step, recognised by its store id, with its settings.

Two accidents shaped this. A root that is made on the way gives every host a world of its own when the mount is
missing: so it is built under another name and renamed into place, only by set-up, and everyone else finds it or
fails. And a restored backup or a wrong mount looks like the right root: so it carries a store id, and who has
worked with the project before knows which one to expect.
"""

from __future__ import annotations

from contextlib import nullcontext, suppress

from peercoord.core import ids, names, records
from peercoord.core.errors import BrokenFileError, NotFoundError, PeercoordError, StorageError, UsageError
from peercoord.core.limits import DEFAULT_SETTINGS, EVENTS_BYTES, PROTOCOL_VERSION
from peercoord.fs import clock as clocks
from peercoord.fs.clock import Clock
from peercoord.fs.disk import Disk
from peercoord.fs.files import Files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from peercoord.core.records import Json


LEFT_SECONDS = 3600  # set-up takes a second; what it built and did not touch for so long, a crash left there
TOKEN_LETTERS = 12


class Root:
    """An open coordination directory: the files, the clock, chance, and what ``protocol.json`` says.

    Args:
        files: The door to the directory.
        protocol: The content of ``protocol.json``.
        clock: Wall and monotonic time.
        chance: Gives a random whole number at each call.
        intake: Gives the mutex for adding and editing, as a context manager.
    """

    def __init__(
        self,
        files: Files,
        protocol: Json,
        clock: Clock | None = None,
        chance: Callable[[], int] = clocks.chance,
        intake: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self.files = files
        self.protocol = protocol
        self.clock = clock or Clock()
        self.chance = chance
        self.intake = intake

    @property
    def store_id(self) -> str:
        """What tells this coordination directory from every other."""
        return str(self.protocol["store_id"])

    def setting(self, key: str) -> int | str:
        """Give a shared setting, its default where ``protocol.json`` does not say or says something unusable."""
        default = DEFAULT_SETTINGS[key]
        settings = self.protocol.get("settings")
        value = settings.get(key, default) if isinstance(settings, dict) else default
        return value if type(value) is type(default) else default

    def number(self, key: str) -> int:
        """Give a shared setting that is a whole number."""
        value = self.setting(key)
        return value if isinstance(value, int) and value > 0 else int(DEFAULT_SETTINGS[key])

    def event(self, peer: str, kind: str, **facts: object) -> None:
        """Note what happened in ``events/<peer>.jsonl``. A note: when it cannot be written, work goes on."""
        path = names.events(peer)
        try:
            line = records.encode_line({"at": self.clock.now(), "event": kind, "peer": peer, **facts})
            self.files.append(path, line)
            seen = self.files.stat(path)
            if seen and seen.size > EVENTS_BYTES:
                self.files.move(path, f"{path}.1")
        except (StorageError, UsageError):
            return


def create(path: str, project: str, settings: Json | None = None) -> Root:
    """Make the coordination directory, whole, or open it if it is there.

    Args:
        path: Absolute path of the directory to make; its parent must exist.
        project: The project's name, for people.
        settings: Shared settings that differ from the defaults.

    Raises:
        StorageError: It cannot be written there.
    """
    parent, _, name = path.rpartition("/")
    files = Files(Disk(parent), clocks.token)
    if files.stat(f"{name}/{names.PROTOCOL}") is not None:
        return open_root(path)
    staged = f"{name}.{clocks.token(TOKEN_LETTERS)}"
    protocol: Json = {
        "$schema": names.schema("protocol"),
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
    """Build a coordination directory aside, rename it into its place, and clear away what others left beside it.

    Args:
        files: The door to the directory that is to hold it.
        staged: Where it is built.
        name: Its place.
        protocol: The content of ``protocol.json``.

    Returns:
        ``False`` if no directory can stand there; what was built is still there.

    Raises:
        StorageError: It cannot be written, or the place is taken; what was built is still there.
    """
    build(files, staged, protocol)
    for record in names.EDITED:
        files.make(f"{staged}/{names.schema(record)}", _schema(record))
    seen = files.stat(staged)
    if not files.move(staged, name):
        return False
    with suppress(StorageError):  # litter
        for left in staged_before(files, name, seen.modified_ns if seen else 0):
            _discard(files, left)
    return True


def staged_before(files: Files, name: str, now: int) -> list[str]:
    """Give the directories that set-ups built beside a place and left there, untouched for an hour.

    One in which anybody ever was is none of these, but somebody's copy.

    Args:
        files: The door to the directory that holds the place.
        name: The place.
        now: The filesystem's own time, nanoseconds: no clock of a machine makes anything old.
    """
    return [
        entry
        for entry in sorted(files.scan(""))
        if entry.rpartition(".")[0] == name and len(entry) == len(name) + 1 + TOKEN_LETTERS
        if (seen := files.stat(entry)) and seen.is_dir and seen.modified_ns < now - LEFT_SECONDS * 10**9
        if not any(files.scan(f"{entry}/{home}") for home in (names.BIRTHS, names.PEERS, names.EVENTS))
    ]


def _schema(record: str) -> bytes:
    """Give the schema of a record that people edit: their editors find it beside the file, without a network."""
    from importlib.resources import files

    return files("peercoord").joinpath("schemas", f"{record}.schema.json").read_bytes()


def build(files: Files, at: str, protocol: Json) -> None:
    """Lay out a new coordination directory at ``at`` (relative; empty for the root of ``files`` itself)."""
    prefix = f"{at}/" if at else ""
    if at:
        files.make_dir(at)
    for directory in names.SKELETON:
        files.make_dir(f"{prefix}{directory}")
    files.make(f"{prefix}{names.PROTOCOL}", records.encode(protocol), durable=True)
    files.ticket(f"{prefix}{names.leader(names.LEADER, 0)}")


def _discard(files: Files, at: str) -> None:
    files.remove(f"{at}/{names.PROTOCOL}")
    files.remove(f"{at}/{names.leader(names.LEADER, 0)}")
    for record in names.EDITED:
        files.remove(f"{at}/{names.schema(record)}")
    for directory in reversed(names.SKELETON):
        files.remove_dir(f"{at}/{directory}")
    files.remove_dir(at)


def open_root(path: str, expected: str = "") -> Root:
    """Open the coordination directory at ``path``.

    Args:
        path: Its absolute path.
        expected: The store id this project recorded; empty if it recorded none.

    Raises:
        NotFoundError: There is none, or it is another project's.
        BrokenFileError: ``protocol.json`` cannot be understood.
        PeercoordError: It needs a newer version of this program.
    """
    from peercoord.fs.mutex import held

    files = Files(Disk(path), clocks.token)
    protocol = read_protocol(files, path, expected)
    return Root(
        files, protocol, intake=lambda: held(f"{path}/{names.INTAKE_LOCK}", busy="another call is adding tasks")
    )


def read_protocol(files: Files, path: str, expected: str = "") -> Json:
    """Read ``protocol.json``, and check that one can work by it.

    Args:
        files: The door to the coordination directory.
        path: Its absolute path, for messages.
        expected: The store id that must stand there; empty: any.

    Raises:
        NotFoundError: There is none, or it is another project's.
        BrokenFileError: It cannot be understood.
        PeercoordError: It needs a newer version of this program.
    """
    try:
        data = files.read(names.PROTOCOL)
        if data is None:
            raise NotFoundError(
                f"{path} is no coordination directory",
                hint="bring back what was there: peercoord doctor --fix; or set up: claude-team-coordinated PROJECT",
                code="no-coordination",
            )
        protocol = records.decode(data, f"{path}/{names.PROTOCOL}")
        _check(protocol, path, expected)
    except BrokenFileError as error:
        raise BrokenFileError(error.message, f"mend it by hand, or have it written anew: {anew(path)}") from None
    return protocol


def anew(path: str) -> str:
    """Give the command that has the ``protocol.json`` of a coordination directory written anew, the old one kept."""
    import shlex

    place = f"{path}/{names.PROTOCOL}"
    return f"mv {shlex.quote(place)} {shlex.quote(f'{place}.broken')} && peercoord doctor --fix"


def _check(protocol: Json, path: str, expected: str) -> None:
    version = protocol.get("protocol")
    writer = version.get("least_writer") if isinstance(version, dict) else None
    reader = version.get("least_reader", 0) if isinstance(version, dict) else None
    if not isinstance(writer, int) or not isinstance(reader, int) or not ids.is_id(protocol.get("store_id")):
        raise BrokenFileError(f"{path}/{names.PROTOCOL} lacks its versions or its store id")
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
