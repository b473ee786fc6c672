"""What must hold of a coordination directory at any moment, said of the files themselves.

The checks here read a ``MemoryDisk`` whole, in one instant, and use nothing of the roles they check.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

from peercoord.store import paths, records
from support.memory import MemoryDisk

_ID = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_TICKET = rf"{_ID}~\d+"
_PEER = rf"{_ID}~\d+\.\w+"
_HOME = rf"(peers/{_PEER}|departed/{_PEER}~{_PEER})"
_FILES = (
    r"protocol\.json",
    r"README\.md",
    rf"(births|tasks)/[0-9a-f]{{2}}/{_ID}\.json",
    rf"results/[0-9a-f]{{2}}/{_TICKET}\.(done|failed|evicted|released)\.json",
    rf"queue/new/{_ID}~\w+",
    rf"queue/waiting/{_ID}/{_TICKET}",
    rf"queue/ready/\d/\d{{6}}/{_TICKET}",
    rf"queue/parked/({'|'.join(paths.PARKED_WHY)})/{_TICKET}",
    rf"queue/done/[0-9a-f]{{2}}/{_ID}",
    r"queue/leader/leader~\d+",
    rf"{_HOME}/claims/{_TICKET}(~done)?",
    rf"{_HOME}/assignments/{_TICKET}\.json",
    rf"{_HOME}/(peer\.json|beat~\d+(~{_PEER})?|leader~\d+)",
    rf"progress-reports/{_ID}\.json",
    rf"events/{_ID}\.jsonl(\.1)?",
    r"schemas/\w+\.schema\.json",
    r"bell/ring",
    r"locks/(order|intake)",
    r"tmp/.*",
    r"quarantine/.*",
)
_KNOWN = re.compile("|".join(f"(?:{pattern})" for pattern in _FILES))
_CLAIMS = re.compile(rf"({_HOME})/claims/([^/]+)")


def born(disk: MemoryDisk) -> dict[str, str]:
    """Every task that has a birth record, with its nonce."""
    found = {}
    for path, data in disk.files().items():
        if path.startswith("births/"):
            record = records.decode(data, path)
            found[str(record["task_id"])] = str(record["nonce"])
    return found


def tickets(disk: MemoryDisk) -> dict[str, list[str]]:
    """Every path that stands for a born task as its ticket."""
    nonces = born(disk)
    found: dict[str, list[str]] = {task: [] for task in nonces}
    for path in disk.files():
        task = stands_for(path, nonces)
        if task in found:
            found[task].append(path)
    return found


def stands_for(path: str, nonces: dict[str, str]) -> str:
    """Return the task whose ticket lies at this path; empty if none does."""
    home, _, name = path.rpartition("/")
    if home == paths.NEW:
        new = paths.parse_new(name)
        return new[0] if new and nonces.get(new[0]) == new[1] else ""
    if home.startswith(paths.DONE):
        return name
    if home.startswith(("queue/waiting/", "queue/ready/", "queue/parked/")) or _CLAIMS.fullmatch(path):
        ticket = paths.parse_ticket(name)
        return ticket.task if ticket else ""
    return ""


@functools.cache
def _is_known(path: str) -> bool:
    return _KNOWN.fullmatch(path) is not None


def check(disk: MemoryDisk) -> None:
    """Assert what holds at every single moment, a crash's included."""
    for task, found in tickets(disk).items():
        assert len(found) == 1, f"task {task} has {len(found)} tickets: {found}"
    for path, data in disk.files().items():
        assert _is_known(path), f"{path} is no file of this protocol"
        if path.endswith(".json") and not path.startswith(("tmp/", "quarantine/")):
            records.decode(data, path)
    folders = disk.folders()
    for folder in folders:
        living = folder.startswith("peers/") and folder.count("/") == 1
        whole = not living or {f"{folder}/claims", f"{folder}/assignments"} <= folders
        assert whole, f"{folder} is half a peer"


def check_at_rest(disk: MemoryDisk) -> None:
    """Assert what holds once everything was repaired."""
    check(disk)
    nonces = born(disk)
    for path in disk.files():
        if path.startswith("queue/new/"):
            new = paths.parse_new(path.rpartition("/")[2])
            assert new, path
            assert new[0] not in nonces, f"{path} is still being added, or lost the race for its birth"
        seat = _CLAIMS.fullmatch(path)
        assert not (seat and seat[1].startswith("departed/")), f"{path} was not given back"
    for folder in disk.folders():
        assert not re.fullmatch(r"departed/[^/]+/claims", folder), f"{folder} is not sealed"
    leaders = [path for path in disk.files() if "leader~" in path and not path.startswith("departed/")]
    assert len(leaders) == 1, f"leader's tickets: {leaders}"


def story(disk: MemoryDisk, task: str) -> list[str]:
    """Every event that names a task, in the order of time: what a failed check shows."""
    lines = [line for path, data in disk.files().items() if path.startswith("events/") for line in data.splitlines()]
    told = [records.decode(line, "events") for line in lines if f'"{task}"'.encode() in line]
    return [str(event) for event in sorted(told, key=lambda event: str(event["at"]))]


def situation(disk: MemoryDisk) -> dict[str, bytes]:
    """What decides anything: the files without notes, bells and staging."""
    aside = ("events/", "bell/", "tmp/", "locks/")
    return {path: data for path, data in disk.files().items() if not path.startswith(aside)}


def snapshot(project: Path) -> MemoryDisk:
    """Read a whole coordination directory into memory, to be checked at leisure."""
    root, disk = project / paths.ROOT, MemoryDisk()
    for path in sorted(root.rglob("*")):
        inside = str(path.relative_to(root))
        if path.is_dir():
            disk.mkdir(inside)
        else:
            disk.create(inside, path.read_bytes(), False)
    return disk
