r"""The mailbox: requests in ``.claude-instance/outbox/``, answers in ``inbox/``. Names and formats, no I/O.

A coding agent in a sandbox may write nothing outside its worktree. So ``coordinate.sh`` leaves a request here, and the
background agent, outside the sandbox, carries it out and answers. The reasons for the format:

- A shell can write a request with ``printf '%s\0'`` alone. Arguments may hold any byte but NUL. Their number comes
  before them, so an incomplete request is recognised.
- A request holds its own id, and the incarnation and tickets that its caller saw: a copy, or a request found years
  later, must not complete or release a later claim.
- A request is carried out once: the answer is written before the request is removed, and identifies the request's
  content. The same request gets the same answer; another request under the same id does not.

Files, below ``.claude-instance/``::

    outbox/<id>          a request; made by its caller, exclusively, which also takes the door of that id
    inbox/<id>.door      a FIFO whose write end the agent holds: when the agent dies, its reader sees the end
    inbox/<id>.answer    the answer
    inbox/wake           a FIFO that the agent reads: the id of a request that is there
    inbox/current        the incarnation and its tickets, for requests to name
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from peercoord.store import ids, paths

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from peercoord.foreign import Json
    from peercoord.store.paths import Ticket

OUTBOX, INBOX = "outbox", "inbox"
WAKE, CURRENT = f"{INBOX}/wake", f"{INBOX}/current"
VERSION = "1"
QUESTIONS = ("request-task", "check-status")  # dropped if the caller has gone
STATEMENTS = ("report-progress", "update-memory", "release")
WAIT_SECONDS, WAIT_MOST = 90, 86_400  # for which a caller waits for a task: default and maximum
_HEAD = 8  # fields before the arguments


def request(number: str) -> str:
    """Return the path of a request."""
    return f"{OUTBOX}/{number}"


def fifo(number: str) -> str:
    """Return the path of the FIFO that a caller reads its answer from."""
    return f"{INBOX}/{number}.door"


def answer(number: str) -> str:
    """Return the path of the answer to a request."""
    return f"{INBOX}/{number}.answer"


def parse_name(name: str, suffix: str = "") -> str | None:
    """Read a request's id from a name in the outbox, or in the inbox with its suffix."""
    number = name.removesuffix(suffix)
    return number if ids.is_id(number) and name == number + suffix else None


@dataclass(slots=True, kw_only=True)
class Request:
    """A request as it lies in the outbox."""

    number: str = field(kw_only=False)  # the request's id
    words: list[str] = field(kw_only=False)  # the verb and its arguments
    incarnation: str = ""  # the incarnation that its caller saw
    tickets: Sequence[Ticket] = ()  # the tickets that its caller saw held by that incarnation
    pid: int = 0  # the caller's pid in its own pid namespace; 0 if it gave none
    parent: int = 0  # its parent's
    cwd: str = ""  # its working directory
    meaning: Any = None  # what the words ask for, once ``verbs.of`` has read them

    @property
    def verb(self) -> str:
        """The first word; empty if there is none."""
        return self.words[0] if self.words else ""

    def encode(self) -> bytes:
        """Write the request as ``coordinate.sh`` does."""
        tickets = " ".join(str(ticket) for ticket in self.tickets)
        head = [VERSION, self.number, self.incarnation, tickets, str(self.pid), str(self.parent), self.cwd]
        fields = [*head, str(len(self.words)), *self.words]
        return "\0".join([*fields, ""]).encode("utf-8", "surrogateescape")


def parse_tickets(names: str) -> list[Ticket]:
    """Read the tickets in a text that names them, with spaces between."""
    return [ticket for ticket in map(paths.parse_ticket, names.split()) if ticket]


def parse_request(data: bytes, number: str) -> Request | None:
    """Read the request with this id; ``None`` if it is incomplete or no request."""
    fields = data.decode("utf-8", "surrogateescape").split("\0")
    if len(fields) <= _HEAD or fields.pop() or fields[0] != VERSION or fields[1] != number:
        return None
    count = paths.number(fields[_HEAD - 1])
    if count is None or len(fields) != _HEAD + count:
        return None
    pid, parent = (paths.number(field) or 0 for field in fields[4:6])
    return Request(
        number,
        fields[_HEAD:],
        incarnation=fields[2],
        tickets=parse_tickets(fields[3]),
        pid=pid,
        parent=parent,
        cwd=fields[6],
    )


def outdated(asked: Request, task: str, incarnation: str, held: Sequence[Ticket]) -> str:
    """Return why a statement about a task is outdated, given what the worktree is and holds now; empty if it is not."""
    if asked.verb not in ("report-progress", "release"):
        return ""
    if asked.incarnation != incarnation:
        return f"it was made for {asked.incarnation or 'no incarnation'}, this worktree is {incarnation} now"
    now = [ticket for ticket in held if not task or ticket.task == task]
    then = {str(ticket) for ticket in asked.tickets}
    other = next((str(ticket) for ticket in now if str(ticket) not in then), "")
    if not other:
        return ""
    before = ", ".join(str(t) for t in asked.tickets if not task or t.task == task) or "no claim"
    return f"it was made for {before}, this worktree holds {other} now"


@dataclass(slots=True)
class Answer:
    """The answer to a request.

    Attributes:
        code: Exit code.
        out: Standard output.
        err: Standard error.
        withdraw: Undoes the action if the answer does not reach the caller; ``None`` if the action stays.
        unready: No task is ready: a caller that waits for one is served again later.
    """

    code: int
    out: bytes
    err: bytes
    withdraw: Callable[[], str] | None = None
    unready: bool = False

    def tell_first(self, messages: bytes) -> None:
        """Put the messages of earlier, unsent answers before those of this one; each line once."""
        lines = dict.fromkeys([*messages.splitlines(keepends=True), *self.err.splitlines(keepends=True)])
        self.err = b"".join(lines) if messages else self.err

    def record(self, request_mark: str) -> Json:
        """Return the record to keep: the answer, and the mark of the request's content."""
        return {
            "schema_version": 1,
            "request": request_mark,
            "code": self.code,
            "out": self.out.decode("utf-8", "replace"),
            "err": self.err.decode("utf-8", "replace"),
        }

    @classmethod
    def read(cls, record: Json) -> Answer:
        """Read a kept record."""
        return cls(int(record["code"]), str(record["out"]).encode(), str(record["err"]).encode())

    def stream(self, pid: int) -> bytes:
        """Return the bytes for the FIFO: a head, the lines of standard error, then standard output.

        The head: exit code, number of error lines, whether the rest is long (then ``cat`` is quicker than the
        shell's own ``read``), and the pid that the caller gave.
        """
        err = self.err if not self.err or self.err.endswith(b"\n") else self.err + b"\n"
        lines, size = err.count(b"\n"), "long" if len(self.out) > LONG else "short"
        return f"{self.code} {lines} {size} {pid}\n".encode() + err + self.out


LONG = 6000  # bytes of output from which ``cat`` is quicker than a shell's ``read``
