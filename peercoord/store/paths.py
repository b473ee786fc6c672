"""Every file name of the coordination directory, with its parser. No other module spells a path.

All paths are relative to the coordination directory, with ``/`` between parts. A *ticket* is a file made empty; its
name says which task and which epoch it stands for, its directory says what state the task is in::

    <id>~<nonce>      in queue/new/        being added
    <id>~<epoch>      waiting, ready, parked, or in a peer's claims/
    <id>~<epoch>~done in a peer's claims/  completed: the holder's private commit point
    <id>              in queue/done/<shard>/

Parsers are strict: a name that the forward function would not have made (a leading zero, a sign, a stray suffix) parses
to ``None`` and is ignored. That keeps foreign files harmless.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from peercoord.store import ids
from peercoord.store.settings import EPOCH_DIGITS, READY_BLOCK
from peercoord.system.cksum import cksum

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = ".claude-coordination"
INSTANCE = ".claude-instance"
BANK = "memory-bank"

PROTOCOL = "protocol.json"
STATE = "state.json"
TASK_QUEUE = "task_queue.json"
SYNC = "sync.json"  # the outcome of the last sync with other lists: a note, like a view
DOWN = "down.json"  # a person took the team down; absent while it is up
BIRTHS, TASKS, QUEUE, PEERS, DEPARTED = "births", "tasks", "queue", "peers", "departed"
NEW, WAITING, READY = "queue/new", "queue/waiting", "queue/ready"
PARKED, DONE, LEADER = "queue/parked", "queue/done", "queue/leader"
REPORTS, RESULTS, EVENTS = "progress-reports", "results", "events"
MEMORY, BELL, LOCKS, TMP, QUARANTINE = "memory-updates", "bell", "locks", "tmp", "quarantine"
README = "README.md"  # explains the rest to people; no program reads it
SCHEMAS = "schemas"  # of the files that people edit, for their editors
EDITED = ("protocol", "definition")
INSTANCES = "instances"  # the team's worktrees: made with the first record, an older root has none
SESSIONS = "sessions"  # what each coding session last said of itself; likewise
HOOKS = "hooks"  # the script that hooks of coding agents run, and its marks; likewise
HOOK_SCRIPT = "hooks/hook.sh"
QUIET_HEARD, QUIET_DUE, QUIET_BEAT = "heard", "due", "beat"  # the marks of one worktree: see ``integrations.quiet``
COSTS = "costs"  # beside them, what status lines were told that sessions cost
LANDINGS = "landings"  # made with the first landing
FORECAST = "landings/forecast.json"  # what merges would meet, by commits: a note, made again if lost
LANDING_LOCK = "locks/landing"
BELL_FILE = "bell/ring"
INTAKE_LOCK = "locks/intake"
ORDER = "locks/order"  # the next number in the order of adding: counted again if lost
NUMBERS, NUMBERS_LOCK = "locks/numbers", "locks/review"  # of the items that wait for a person, each used once

PARKED_WORDS = {"held": "elsewhere"}
"""What people read instead of the reason ``held``, because for them instances hold tasks."""
PARKED_WHY = ("blocked", "review", "deferred", "cancelled", "failed", "held", "unreadable")
MEMORY_STATES = ("queued", "merged", "candidates", "approvals", "rejected")
LEDGER, TEXTS, BACKUPS = f"{MEMORY}/ledger", f"{MEMORY}/texts", f"{MEMORY}/backups"
DECISIONS = f"{MEMORY}/decisions"
MERGED = f"{MEMORY}/last-merge.json"  # the outcome of the last merge: a note, like a view
BANK_LOCK = "locks/memory-bank"
BANK_COPY, BANK_CURRENT = "memory-bank", "current"  # the bank's copies for worktrees, and the link to the latest
BANK_COPY_LOCK = "locks/memory-copy"
PRIORITIES = ("critical", "high", "medium", "low", "lowest")  # level 0 … 4; the level is the directory's name
LEVELS = frozenset(map(str, range(len(PRIORITIES))))
_HEX = frozenset("0123456789abcdef")
OUTCOMES = ("done", "failed", "evicted", "released")

SKELETON = (
    *(BIRTHS, TASKS, QUEUE, NEW, WAITING, READY),
    *(f"{READY}/{level}" for level in range(len(PRIORITIES))),
    *(f"{READY}/{level}/{0:06d}" for level in range(len(PRIORITIES))),
    *(PARKED, *(f"{PARKED}/{why}" for why in PARKED_WHY), DONE, LEADER),
    *(PEERS, DEPARTED, REPORTS, RESULTS, EVENTS),
    *(MEMORY, *(f"{MEMORY}/{state}" for state in MEMORY_STATES)),
    *(BELL, LOCKS, TMP, QUARANTINE, SCHEMAS),
)
"""The directories of a new root, parents first. Shards are made when they are first needed, but for each level's first
ready shard: it stays, so that a ticket can be given back on a disk too full for a new directory.
"""


# -- numbers and shards ------------------------------------------------------------------------------------------


def number(text: str) -> int | None:
    """Read a whole number as this protocol writes it: ASCII digits, no leading zero, at most 15 of them."""
    if not text.isascii() or not text.isdigit() or len(text) > EPOCH_DIGITS:
        return None
    return None if text[0] == "0" and text != "0" else int(text)


def shard(task: str) -> str:
    """The shard of a task's records: two hexadecimal digits from the ``cksum`` of the id in lower case.

    Ids that differ only in case share a shard, so that a listing of it shows the clash.
    """
    return f"{cksum(task.lower().encode()) & 0xFF:02x}"


def is_shard(name: str) -> bool:
    """Check whether a directory is a shard. Any other beside the shards is foreign and holds no records."""
    return len(name) == 2 and _HEX.issuperset(name)


def ready_shard(order: int) -> str:
    """The ready shard of the task added as number ``order``: blocks of 256, oldest first when sorted."""
    return f"{order // READY_BLOCK:06d}"


def parse_block(name: str) -> int | None:
    """Read the name of a directory below a level: the number of the block."""
    digits = 6 <= len(name) <= EPOCH_DIGITS and name.isascii() and name.isdigit()
    return int(name) if digits and (len(name) == 6 or name[0] != "0") else None


# -- tickets -----------------------------------------------------------------------------------------------------


class Ticket(NamedTuple):
    """A ticket's name as a value."""

    task: str  # task id
    epoch: int  # the number of times the task was claimed
    done: bool = False  # the holder has decided that it is complete (``~done``)

    def __str__(self) -> str:
        return f"{self.task}~{self.epoch}~done" if self.done else f"{self.task}~{self.epoch}"

    def claimed(self) -> Ticket:
        """The ticket once claimed: its epoch is one higher, always."""
        return Ticket(self.task, self.epoch + 1)

    def completed(self) -> Ticket:
        """The ticket as its holder renames it to complete the task."""
        return Ticket(self.task, self.epoch, done=True)


def parse_ticket(name: str) -> Ticket | None:
    """Read a ticket's name; ``None`` for anything else."""
    parts = name.split("~")
    if len(parts) not in (2, 3) or not ids.is_id(parts[0]):
        return None
    epoch = number(parts[1])
    if epoch is None or (len(parts) == 3 and parts[2] != "done"):
        return None
    return Ticket(parts[0], epoch, done=len(parts) == 3)


def new_ticket(task: str, nonce: str) -> str:
    """Path of a ticket being added."""
    return f"{NEW}/{task}~{nonce}"


def parse_new(name: str) -> tuple[str, str] | None:
    """Read the name of a ticket being added: task id and nonce."""
    task, tilde, nonce = name.partition("~")
    return (task, nonce) if tilde and ids.is_id(task) and ids.is_id(nonce) else None


def waiting_dir(dependency: str) -> str:
    """Path of the directory of tickets that wait for ``dependency``."""
    return f"{WAITING}/{dependency}"


def waiting(dependency: str, ticket: Ticket) -> str:
    """Path of a ticket that waits for ``dependency``."""
    return f"{WAITING}/{dependency}/{ticket}"


def ready(level: int, order: int, ticket: Ticket) -> str:
    """Path of a ticket that any peer may claim."""
    return f"{READY}/{level}/{ready_shard(order)}/{ticket}"


def parked(why: str, ticket: Ticket) -> str:
    """Path of a ticket that no peer may claim, by reason (one of ``PARKED_WHY``)."""
    return f"{PARKED}/{why}/{ticket}"


def done_dir(task: str) -> str:
    """Path of the done shard of a task. Nothing in it moves, so a listing of it is reliable."""
    return f"{DONE}/{shard(task)}"


def done(task: str) -> str:
    """Path of a finished task's ticket."""
    return f"{DONE}/{shard(task)}/{task}"


# -- records -----------------------------------------------------------------------------------------------------


def birth(task: str) -> str:
    """Path of a task's birth record."""
    return f"{BIRTHS}/{shard(task)}/{task}.json"


def definition(task: str) -> str:
    """Path of a task's definition, which people may edit."""
    return f"{TASKS}/{shard(task)}/{task}.json"


def parse_record(name: str) -> str | None:
    """Read the id from the name of a record: of a task's birth or definition, or of an instance."""
    ident = name.removesuffix(".json")
    return ident if ident != name and ids.is_id(ident) else None


def results_dir(task: str) -> str:
    """Path of the results shard of a task."""
    return f"{RESULTS}/{shard(task)}"


def result(task: str, epoch: int, outcome: str) -> str:
    """Path of the result record of one attempt."""
    return f"{RESULTS}/{shard(task)}/{task}~{epoch}.{outcome}.json"


def parse_result(name: str) -> tuple[str, int, str] | None:
    """Read the name of a result: task id, epoch, outcome."""
    stem, _, outcome = name.removesuffix(".json").rpartition(".")
    ticket = parse_ticket(stem)
    if not name.endswith(".json") or outcome not in OUTCOMES or ticket is None or ticket.done:
        return None
    return ticket.task, ticket.epoch, outcome


# -- peers -------------------------------------------------------------------------------------------------------


class Incarnation(NamedTuple):
    """One life of a peer: its name, a rising number and a random suffix, never used again.

    Written ``instance-1~7.k3f9``; that is also the name of its directory.
    """

    peer: str
    number: int
    suffix: str

    def __str__(self) -> str:
        return f"{self.peer}~{self.number}.{self.suffix}"


def parse_incarnation(name: str) -> Incarnation | None:
    """Read the name of a peer's directory."""
    peer, tilde, rest = name.partition("~")
    digits, dot, suffix = rest.partition(".")
    count = number(digits)
    if not tilde or not dot or count is None or not ids.is_id(peer) or not (suffix.isascii() and suffix.isalnum()):
        return None
    return Incarnation(peer, count, suffix)


def peer_dir(who: Incarnation) -> str:
    """Path of a living peer's directory."""
    return f"{PEERS}/{who}"


def departed_dir(who: Incarnation, by: Incarnation) -> str:
    """Path of a peer's directory once it is evicted, or left (``by`` itself)."""
    return f"{DEPARTED}/{who}~{by}"


def parse_departed(name: str) -> tuple[Incarnation, Incarnation] | None:
    """Read the name of a departed peer's directory: the peer, and the one that evicted it."""
    parts = name.split("~")
    if len(parts) != 4:
        return None
    who, by = parse_incarnation("~".join(parts[:2])), parse_incarnation("~".join(parts[2:]))
    return (who, by) if who and by else None


def owner(home: str) -> Incarnation | None:
    """The incarnation whose directory this is, living or departed; ``None`` for any other directory."""
    base, _, name = home.partition("/")
    if base == PEERS:
        return parse_incarnation(name)
    both = parse_departed(name) if base == DEPARTED else None
    return both[0] if both else None


def is_peer_directory(directory: str) -> bool:
    """Check whether losing this directory means eviction: a peer's own, or its ``claims/``. It is never made again."""
    base, *inside = directory.split("/")
    return base in (PEERS, DEPARTED) and (len(inside) == 1 or inside[1:] == ["claims"])


def claims_dir(home: str) -> str:
    """Path of the claims below a peer's directory, living or departed."""
    return f"{home}/claims"


def claim(home: str, ticket: Ticket) -> str:
    """Path of a claim below a peer's directory."""
    return f"{home}/claims/{ticket}"


def peer_record(home: str) -> str:
    """Path of a peer's identity below its directory."""
    return f"{home}/peer.json"


def assignments_dir(home: str) -> str:
    """Path of a peer's assignment records, which are for people."""
    return f"{home}/assignments"


def assignment(home: str, ticket: Ticket) -> str:
    """Path of the mission's assignment record of one claim."""
    return f"{home}/assignments/{ticket.task}~{ticket.epoch}.json"


def beat(home: str, seq: int, challenger: Incarnation | None = None) -> str:
    """Path of a heartbeat, plain or challenged by another peer."""
    return f"{home}/beat~{seq}" if challenger is None else f"{home}/beat~{seq}~{challenger}"


def parse_beat(name: str) -> tuple[int, Incarnation | None] | None:
    """Read the name of a heartbeat: its number, and the peer that challenged it."""
    parts = name.split("~", 2)
    if len(parts) < 2 or parts[0] != "beat":
        return None
    seq = number(parts[1])
    if seq is None or len(parts) == 2:
        return None if seq is None else (seq, None)
    by = parse_incarnation(parts[2])
    return (seq, by) if by else None


def leader(home: str, term: int) -> str:
    """Path of the leader's ticket, in a peer's directory or in ``LEADER``."""
    return f"{home}/leader~{term}"


def parse_leader(name: str) -> int | None:
    """Read the term from the leader's ticket."""
    word, _, term = name.partition("~")
    return number(term) if word == "leader" and term else None


def terms(names: Iterable[str]) -> list[int]:
    """The terms of the leader's tickets among the names in a directory."""
    return [t for name in names if name.startswith("leader~") and (t := parse_leader(name)) is not None]


def schema(record: str) -> str:
    """Path of the schema of a record that people edit, one of ``EDITED``."""
    return f"{SCHEMAS}/{record}.schema.json"


def instance(peer: str) -> str:
    """Path of the record of an instance's worktree."""
    return f"{INSTANCES}/{peer}.json"


def session(peer: str) -> str:
    """Path of what the coding session of an instance last said of itself."""
    return f"{SESSIONS}/{peer}.json"


def hook_settings(name: str) -> str:
    """Path of the settings with which a coding agent is started."""
    return f"{HOOKS}/{name}"


def quiet(worktree: str) -> str:
    """Path of the marks by which the script of the hooks answers for a worktree by itself."""
    name = worktree.replace("/", ",")
    data = name.encode("utf-8", "surrogateescape")
    if len(data) > 255:  # no file's name; the script finds none then, so the program always answers
        import hashlib

        name = hashlib.sha256(data).hexdigest()
    return f"{HOOKS}/quiet/{name}"


def landing(count: int) -> str:
    """Path of the record of a landing, by its number."""
    return f"{LANDINGS}/{count}.json"


def may_be_bank(name: str) -> bool:
    """Check whether a path can be the memory bank's: below the project and not reserved."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    reserved = (ROOT, INSTANCE, ".git", "..")
    return bool(parts) and name[0] != "/" and name.isprintable() and not any(part in reserved for part in parts)


def report(peer: str) -> str:
    """Path of a peer's published progress report."""
    return f"{REPORTS}/{peer}.json"


def contribution(state: str, contribution_id: str) -> str:
    """Path of a memory contribution or merge candidate, by state (one of ``MEMORY_STATES``)."""
    return f"{MEMORY}/{state}/{contribution_id}.json"


def rejection(ident: str) -> str:
    """Path of the reason why a contribution or a file was rejected."""
    return f"{MEMORY}/rejected/{ident}.why"


def ledger(document: str) -> str:
    """Path of the ledger of a document of the memory bank."""
    return f"{LEDGER}/{document}"


def entry(document: str, ident: str) -> str:
    """Path of an entry of a document's ledger: a change that was made."""
    return f"{LEDGER}/{document}/{ident}.json"


def intent(document: str, ident: str) -> str:
    """Path of an entry whose change is not confirmed: before the document is replaced, or if it was not."""
    return f"{LEDGER}/{document}/{ident}.intent"


def text(digest: str) -> str:
    """Path of the bytes of a section, by their hash."""
    return f"{TEXTS}/{digest}"


def backup(document: str, digest: str) -> str:
    """Path of an earlier version of a whole document, by its hash."""
    return f"{BACKUPS}/{document}/{digest}"


def decision(ident: str) -> str:
    """Path of what a person decided."""
    return f"{DECISIONS}/{ident}.json"


def events(peer: str) -> str:
    """Path of a peer's events."""
    return f"{EVENTS}/{peer}.jsonl"
