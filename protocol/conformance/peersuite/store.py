"""A coordination directory as the suite makes and reads it, from the specification alone.

It knows the layout, names and records of spec.md, parts 1 to 3, and what must hold of them at rest. It shares nothing
with the code that it judges.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

ID = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
NUMBER = r"(?:0|[1-9][0-9]{0,14})"
TICKET = rf"{ID}~{NUMBER}"
INCARNATION = rf"{ID}~{NUMBER}\.[A-Za-z0-9]+"
HOME = rf"(?:peers/{INCARNATION}|departed/{INCARNATION}~{INCARNATION})"
PARKED = ("blocked", "review", "deferred", "cancelled", "failed", "held", "unreadable")
LEVELS = ("critical", "high", "medium", "low", "lowest")
DIRECTORIES = (
    *("births", "tasks", "queue", "queue/new", "queue/waiting", "queue/ready"),
    *(f"queue/ready/{level}" for level in range(len(LEVELS))),
    *(f"queue/ready/{level}/000000" for level in range(len(LEVELS))),
    "queue/parked",
    *(f"queue/parked/{why}" for why in PARKED),
    *("queue/done", "queue/leader", "peers", "departed", "progress-reports", "results", "events", "memory-updates"),
    *(f"memory-updates/{state}" for state in ("queued", "merged", "candidates", "approvals", "rejected")),
    *("bell", "locks", "tmp", "quarantine", "schemas"),
)
PROTOCOL: dict[str, Any] = {
    "schema_version": 1,
    "protocol": {"version": 1, "least_reader": 1, "least_writer": 1},
    "store_id": "c0nf0rmance",
    "project": "conformance",
    "created": "2026-01-31T15:30:00Z",
    "settings": {"heartbeat_seconds": 300, "max_attempts": 3},
}
KNOWN = [
    re.compile(pattern)
    for pattern in (
        r"protocol\.json|state\.json|task_queue\.json",
        rf"(?:births|tasks)/[0-9a-f]{{2}}/{ID}\.json",
        rf"results/[0-9a-f]{{2}}/{TICKET}\.(?:done|failed|evicted|released)\.json",
        rf"queue/new/{ID}~{ID}",
        rf"queue/waiting/{ID}/{TICKET}",
        rf"queue/ready/[0-4]/[0-9]{{6,}}/{TICKET}",
        rf"queue/parked/(?:{'|'.join(PARKED)})/{TICKET}",
        rf"queue/done/[0-9a-f]{{2}}/{ID}",
        rf"queue/leader/leader~{NUMBER}",
        rf"{HOME}/claims/{TICKET}(?:~done)?",
        rf"{HOME}/assignments/{TICKET}\.json",
        rf"{HOME}/(?:peer\.json|beat~{NUMBER}(?:~{INCARNATION})?|leader~{NUMBER})",
        rf"progress-reports/{ID}\.json",
        rf"events/{ID}\.jsonl(?:\.1)?",
        r"(?:bell|locks|quarantine|schemas|memory-updates)/.*",
    )
]
TICKET_OF = re.compile(
    rf"(?:queue/waiting/{ID}|queue/ready/[0-4]/[0-9]{{6,}}|queue/parked/[a-z]+|{HOME}/claims)/({ID})~({NUMBER})(~done)?"
    rf"|queue/done/[0-9a-f]{{2}}/({ID})"
)


def cksum(data: bytes) -> int:
    """Return what POSIX ``cksum`` prints: CRC-32, polynomial 04C11DB7, over the data and its length."""
    length, tail = len(data), bytearray()
    while length:
        tail.append(length & 0xFF)
        length >>= 8
    crc = 0
    for byte in data + bytes(tail):
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1) ^ (0x104C11DB7 if crc & 0x80000000 else 0)
    return crc ^ 0xFFFFFFFF


def shard(task: str) -> str:
    """Return the shard of a task's records."""
    return f"{cksum(task.lower().encode()) & 0xFF:02x}"


def public(task: str) -> int | str:
    """Return an id as records show it."""
    return int(task) if task.isdigit() and len(task) <= 15 and str(int(task)) == task else task


class Store:
    """One coordination directory.

    Args:
        root: Its path.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.orders = 0

    @classmethod
    def build(cls, project: Path, **settings: object) -> Store:
        """Create a new one below ``project``."""
        store = cls(project / ".claude-coordination")
        store.root.mkdir(parents=True)
        for directory in DIRECTORIES:
            (store.root / directory).mkdir()
        store.write("protocol.json", {**PROTOCOL, "settings": {**PROTOCOL["settings"], **settings}})
        store.touch("queue/leader/leader~0")
        return store

    # -- making ----------------------------------------------------------------------------------------------

    def write(self, path: str, record: dict[str, Any]) -> None:
        """Write a record, laid out as the specification recommends."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def touch(self, path: str) -> str:
        """Make an empty file."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch(exist_ok=False)
        return path

    def add(
        self, task: str, *, needs: tuple[str, ...] = (), priority: str = "medium", at: str = "", **more: object
    ) -> str:
        """Add a task whose ticket lies at ``at`` (a directory below ``queue/``), or where it belongs as the first.

        Returns:
            The path of its ticket.
        """
        order, self.orders = self.orders, self.orders + 1
        definition: dict[str, Any] = {
            "schema_version": 1,
            "task_id": public(task),
            "title": f'Task "{task}" \\ ü',
            "description": "",
            "priority": priority,
            "dependencies": [public(need) for need in needs],
            "subtasks": [],
            **more,
        }
        born = {
            "schema_version": 1,
            "task_id": public(task),
            "nonce": f"n{order}",
            "order": order,
            "added_by": "person",
            "added_at": "2026-01-31T15:30:00Z",
            "definition": definition,
        }
        self.write(f"births/{shard(task)}/{task}.json", born)
        self.write(f"tasks/{shard(task)}/{task}.json", definition)
        place = at or (f"waiting/{needs[0]}" if needs else f"ready/{LEVELS.index(priority)}/{order // 256:06d}")
        return self.touch(f"queue/{place}/{task}~0")

    def edit(self, task: str, **keys: object) -> None:
        """Change a definition, as a person does."""
        path = f"tasks/{shard(task)}/{task}.json"
        self.write(path, {**self.record(path), **keys})

    def definition(self, task: str) -> dict[str, Any]:
        """Read what a task is now."""
        return self.record(f"tasks/{shard(task)}/{task}.json")

    def settings(self, **settings: object) -> None:
        """Change the shared settings."""
        record = self.record("protocol.json")
        self.write("protocol.json", {**record, "settings": {**record["settings"], **settings}})

    def move(self, source: str, target: str) -> None:
        """Rename a file or directory, as another peer or a person does."""
        (self.root / target).parent.mkdir(parents=True, exist_ok=True)
        (self.root / source).rename(self.root / target)

    def done(self, task: str) -> str:
        """Path of a finished task's ticket."""
        return f"queue/done/{shard(task)}/{task}"

    def finish(self, task: str) -> None:
        """Make an unclaimed task done, as if a peer had completed it at epoch 0."""
        self.result(task, 0, "done", "person", "person~1.p")
        self.move(self.at(task), self.done(task))

    def result(self, task: str, epoch: int, outcome: str, peer: str, incarnation: str) -> None:
        """Put a result on record."""
        record = {
            "schema_version": 1,
            "task_id": public(task),
            "epoch": epoch,
            "outcome": outcome,
            "peer": peer,
            "incarnation": incarnation,
            "by": peer,
            "at": "2026-01-31T15:30:00Z",
        }
        self.write(f"results/{shard(task)}/{task}~{epoch}.{outcome}.json", record)

    def peer(self, incarnation: str, *claims: str, under: str = "") -> str:
        """Make a peer of another program, with what it holds; ``under`` departed if a name is given there.

        Returns:
            The path of its directory.
        """
        home = under or f"peers/{incarnation}"
        for directory in ("claims", "assignments"):
            (self.root / home / directory).mkdir(parents=True)
        name = incarnation.partition("~")[0]
        self.write(f"{home}/peer.json", {"schema_version": 1, "peer": name, "incarnation": incarnation})
        self.touch(f"{home}/beat~0")
        for claim in claims:
            self.touch(f"{home}/claims/{claim}")
        return home

    def hold(self, task: str, home: str, ticket: str) -> None:
        """Put a task, which lies in the queue, into a peer's hands under this ticket."""
        self.move(self.at(task), f"{home}/claims/{ticket}")

    # -- reading ---------------------------------------------------------------------------------------------

    def files(self) -> list[str]:
        """Every file below the root, by its path."""
        found = []
        for home, _, entries in os.walk(self.root):
            found += [os.path.relpath(os.path.join(home, name), self.root) for name in entries]
        return sorted(found)

    def has(self, path: str) -> bool:
        """Check whether a path exists."""
        return (self.root / path).exists()

    def names(self, path: str) -> list[str]:
        """Names in a directory; none if there is none."""
        try:
            return sorted(os.listdir(self.root / path))
        except FileNotFoundError:
            return []

    def record(self, path: str) -> dict[str, Any]:
        """Read a record."""
        found = json.loads((self.root / path).read_bytes())
        if not isinstance(found, dict):
            raise ValueError(f"{path} holds no object")
        return found

    def tickets(self) -> dict[str, list[str]]:
        """Every place where a task's ticket lies."""
        found: dict[str, list[str]] = {}
        for path in self.files():
            match = TICKET_OF.fullmatch(path)
            if match:
                found.setdefault(match[1] or match[4], []).append(path)
        return found

    def at(self, task: str) -> str:
        """Where a task's one ticket lies; all places if there are several."""
        return " and ".join(self.tickets().get(task, ["nowhere"]))

    def outcomes(self, task: str) -> list[str]:
        """Epoch and outcome of each result of a task, as ``4.done``."""
        found = (name.removesuffix(".json").split("~") for name in self.names(f"results/{shard(task)}"))
        return sorted(rest for owner, rest in found if owner == task)

    def faults(self) -> list[str]:
        """Return everything that is wrong with the directory at rest."""
        tickets = self.tickets()
        born = [
            Path(path).stem if path.endswith(".json") else path for path in self.files() if path.startswith("births/")
        ]
        wrong = [
            f"task {t} has {len(tickets.get(t, []))} tickets: {self.at(t)}"
            for t in born
            if len(tickets.get(t, [])) != 1
        ]
        wrong += [f"{path} is the ticket of no task" for t in tickets.keys() - set(born) for path in tickets[t]]
        for path in self.files():
            wrong += self._about(path)
        for task, places in tickets.items():
            done = [place for place in places if place.startswith("queue/done/")]
            if done and not any(outcome.endswith(".done") for outcome in self.outcomes(task)):
                wrong.append(f"task {task} is done without a result")
            wrong += [f"{place} is in the wrong shard" for place in done if place != self.done(task)]
        for home in self.names("peers"):
            missing = {"claims", "assignments", "peer.json"} - set(self.names(f"peers/{home}"))
            wrong += [f"peers/{home} lacks {name}" for name in sorted(missing)]
            beats = [name for name in self.names(f"peers/{home}") if name.startswith("beat~")]
            wrong += [f"peers/{home} has {len(beats)} heartbeats"] if len(beats) != 1 else []
        leaders = [path for path in self.files() if "/leader~" in path]
        return wrong + ([f"leader's tickets: {leaders}"] if len(leaders) != 1 else [])

    def _about(self, path: str) -> list[str]:
        if path.startswith("tmp/"):
            return []  # what a killed command left: litter, and allowed
        if not any(known.fullmatch(path) for known in KNOWN):
            return [f"{path} is no file of this protocol"]
        if path.endswith(".json") and not path.startswith(("quarantine/", "schemas/")):
            try:
                record = self.record(path)
            except ValueError as error:
                return [f"{path} is not JSON: {error}"]
            if path.startswith("results/"):
                ticket, _, outcome = Path(path).stem.rpartition(".")
                said = f"{record.get('task_id')}~{record.get('epoch')}", record.get("outcome")
                return [] if said == (ticket, outcome) else [f"{path} says {said}"]
        elif TICKET_OF.fullmatch(path) and (self.root / path).stat().st_size:
            return [f"{path} is a ticket and not empty"]
        return []
