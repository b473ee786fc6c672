"""What a peer left in its worktree for others and nobody has taken yet: queued requests, contributions to the bank.

Both lie in ``.claude-instance/``, which git ignores, so nothing else would keep a worktree for them. A file in
``memory-contributions/`` stays there after it was collected; whether anything in it is still new is asked of the very
reading that collects it.
"""

from __future__ import annotations

from dataclasses import dataclass

from peercoord.core import door, names, records
from peercoord.core.errors import PeercoordError
from peercoord.core.memory import contributions, reading
from peercoord.edges.team import record
from peercoord.edges.team.git import shown_path
from peercoord.edges.team.safety import Reason
from peercoord.edges.team.seats import instance_dir

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from peercoord.core.memory.contributions import Contribution
    from peercoord.edges.team.plan import Seat
    from peercoord.edges.team.repository import Project

WAITING = ("queued", "candidates", "approvals")
FOLDER = "memory-contributions"
_SCRATCH = ("~", ".swp", ".tmp", ".part", ".crdownload")
_ANY_TIME = "1970-01-01T00:00:00Z"  # of contributions that are only counted


@dataclass(frozen=True, slots=True)
class Left(Reason):
    """A reason of kind ``requests`` or ``memory``.

    Attributes:
        place: The directory of ``.claude-instance/`` that holds it.
    """

    place: str


def reasons(project: Project, seat: Seat) -> list[Left]:
    """Give what keeps a worktree: what its peer said that has not reached the others."""
    found: list[Left] = []
    requests, files = unserved(seat), uncollected(project, seat)
    if requests:
        text = f"requests lie in its outbox that no agent has served: {', '.join(requests)}"
        found.append(Left("requests", text, door.OUTBOX))
    if files:
        some = ", ".join(map(shown_path, files))
        found.append(Left("memory", f"contributions to the memory bank that nobody has collected: {some}", FOLDER))
    return found


def unserved(seat: Seat) -> list[str]:
    """List the verbs of the statements that wait in a worktree's outbox."""
    outbox = instance_dir(seat) / door.OUTBOX
    verbs = []
    for path in sorted(outbox.glob("*")) if outbox.is_dir() else ():
        if path.is_file() and not path.is_symlink() and door.parse_name(path.name):
            request = door.parse_request(path.read_bytes(), path.name)
            answered = (instance_dir(seat) / door.answer(path.name)).exists()  # a request stays a while after it
            if request and request.verb in door.STATEMENTS and not answered:
                verbs.append(request.verb)
    return verbs


def uncollected(project: Project, seat: Seat) -> list[str]:
    """List the files of ``memory-contributions/`` that hold anything nobody has taken."""
    folder = instance_dir(seat) / FOLDER
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    paths = [path for path in paths if not path.name.startswith((".", "#")) and not path.name.endswith(_SCRATCH)]
    if not paths:
        return []
    state = project.directory / names.ROOT / names.MEMORY
    earlier = list(_contributions(state))
    merged = {path.stem for path in (state / "merged").glob("*.json")}
    bank = _bank(project)
    return [path.name for path in paths if _is_new(path, seat, bank, earlier, merged)]


def waiting(project: Project) -> int:
    """Count the contributions that were collected and wait: for the merge, or for a person.

    One that a person has to decide on lies in the queue as well, and in each change that it takes part in.
    """
    state = project.directory / names.ROOT / names.MEMORY
    return len({one for kind in WAITING for path in (state / kind).glob("*.json") for one in _held_in(path, kind)})


def _held_in(path: Path, kind: str) -> list[str]:
    """Name the contributions that one file stands for; one that cannot be read stands for itself."""
    try:
        inner = None if kind == "queued" else records.decode(path.read_bytes(), path.name).get("contributions")
    except (PeercoordError, OSError):
        inner = None
    held = [one for one in inner if isinstance(one, str)] if isinstance(inner, list) else []
    return held or [path.stem]


def _is_new(path: Path, seat: Seat, bank: dict[str, bytes], earlier: list[Contribution], merged: set[str]) -> bool:
    if path.is_symlink() or not path.is_file():
        return True  # nothing that can be collected, but somebody's
    data = path.read_bytes()
    if not data.strip():
        return False
    origin = instance_dir(seat) / "collected" / path.name
    kept = origin.read_bytes() if origin.is_file() else None
    author = contributions.Author(seat.peer, "", _ANY_TIME)
    try:
        found = reading.from_file(author, path.name, data, bank, origin=kept, earlier=earlier, merged=merged)
    except PeercoordError:
        return True
    return bool(found.contributions or found.refused)


def _contributions(state: Path) -> Iterator[Contribution]:
    for kind in names.MEMORY_STATES:
        for path in sorted((state / kind).glob("*.json")):
            try:
                yield contributions.Contribution.read(records.decode(path.read_bytes(), path.name), path.name)
            except (PeercoordError, OSError):
                continue  # a candidate, or one that moved: nothing that a file was read into


def _bank(project: Project) -> dict[str, bytes]:
    name = record.read_project(project.common, project.sub).get("bank")
    place = project.main / project.path(name) if isinstance(name, str) and name else None
    if place is None or not place.is_dir():
        return {}
    return {path.name: path.read_bytes() for path in sorted(place.glob("*.md")) if path.is_file()}
