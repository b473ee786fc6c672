r"""The sandbox door: requests in ``.claude-instance/outbox/``, answers in ``inbox/``. Names and formats, no I/O.

A coding agent in a sandbox may write nothing outside its worktree, so ``coordinate.sh`` drops a request here and the
background agent, outside, acts on it and answers. What shaped the format:

- A shell writes it with ``printf '%s\0'`` alone. Arguments may hold any byte but NUL; their number stands before
  them, so a request that is still being written is seen as incomplete.
- A request names itself, and the incarnation and tickets that its caller saw: a copy, or one found years later, must
  not complete or release a later claim.
- It is done once: the answer is written before the request goes, and names the request's content, so that the same
  request is answered the same and another one under a name used before is not.

Files, below ``.claude-instance/``::

    outbox/<id>          a request; made by its caller, exclusively, which also takes the door of that id
    inbox/<id>.door      a FIFO whose write end the agent holds: when the agent dies, its reader sees the end
    inbox/<id>.answer    the answer
    inbox/wake           a FIFO that the agent reads: the id of a request that is there
    inbox/current        the incarnation and its tickets, for requests to name
"""

from __future__ import annotations

from peercoord.core import ids, names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from peercoord.core.names import Ticket
    from peercoord.core.records import Json

OUTBOX, INBOX = "outbox", "inbox"
WAKE, CURRENT = f"{INBOX}/wake", f"{INBOX}/current"
VERSION = "1"
QUESTIONS = ("request-task", "check-status")  # asked by someone who waits; nobody waits: nothing to answer
STATEMENTS = ("report-progress", "update-memory", "release")
FILE_OPTIONS = {"report-progress": "--file", "release": "", "update-memory": "--from"}
FLAGS = ("--json", "--critical", "--help", "-h")  # options that take no value
_HEAD = 8  # fields before the arguments


def request(number: str) -> str:
    """Path of a request."""
    return f"{OUTBOX}/{number}"


def fifo(number: str) -> str:
    """Path of the FIFO on which a request's caller waits."""
    return f"{INBOX}/{number}.door"


def answer(number: str) -> str:
    """Path of the answer to a request."""
    return f"{INBOX}/{number}.answer"


def parse_name(name: str, suffix: str = "") -> str | None:
    """Read the id from a name in the outbox, or, with its suffix, in the inbox."""
    number = name.removesuffix(suffix)
    return number if ids.is_id(number) and name == number + suffix else None


class Request:
    """What a caller asks.

    Attributes:
        number: The request's id.
        incarnation: The incarnation that its caller saw.
        tickets: The tickets that its caller saw in that incarnation's hands.
        pid: The caller's pid in its own pid namespace; 0 if it gave none.
        parent: Its parent's.
        cwd: Its working directory.
        words: The verb and its arguments.
    """

    __slots__ = ("cwd", "incarnation", "number", "parent", "pid", "tickets", "words")

    def __init__(
        self,
        number: str,
        words: Sequence[str],
        *,
        incarnation: str = "",
        tickets: Iterable[str] = (),
        pid: int = 0,
        parent: int = 0,
        cwd: str = "",
    ) -> None:
        self.number, self.words, self.incarnation, self.pid, self.parent = number, list(words), incarnation, pid, parent
        self.tickets: list[Ticket] = [t for t in map(names.parse_ticket, tickets) if t]
        self.cwd = cwd

    @property
    def verb(self) -> str:
        """Its first word; empty if it has none."""
        return self.words[0] if self.words else ""

    def encode(self) -> bytes:
        """Write the request as ``coordinate.sh`` does."""
        tickets = " ".join(str(ticket) for ticket in self.tickets)
        head = [VERSION, self.number, self.incarnation, tickets, str(self.pid), str(self.parent), self.cwd]
        fields = [*head, str(len(self.words)), *self.words]
        return b"".join(field.encode("utf-8", "surrogateescape") + b"\0" for field in fields)


def parse_request(data: bytes, number: str) -> Request | None:
    """Read a request that lies under the id ``number``; ``None`` while it is incomplete, or if it is none."""
    fields = data.decode("utf-8", "surrogateescape").split("\0")
    if len(fields) <= _HEAD or fields.pop() or fields[0] != VERSION or fields[1] != number:
        return None
    count = names.number(fields[_HEAD - 1])
    if count is None or len(fields) != _HEAD + count:
        return None
    pid, parent = (names.number(field) or 0 for field in fields[4:6])
    return Request(
        number,
        fields[_HEAD:],
        incarnation=fields[2],
        tickets=fields[3].split(),
        pid=pid,
        parent=parent,
        cwd=fields[6],
    )


def named_file(words: Sequence[str]) -> str | None:
    """Give the option of a request that names a file to read, which no request may; ``None`` if none does.

    Whoever waits behind the door is not to be handed what only the agent may read, so the caller sends content.
    """
    wanted = FILE_OPTIONS.get(words[0]) if words else None
    skip = True  # the verb
    for word in words:
        if skip:
            skip = False
        elif wanted and (word == wanted or word.startswith(f"{wanted}=")):
            return wanted
        elif word.startswith("--") and "=" not in word and word not in FLAGS:
            skip = True
    return None


def about(words: Sequence[str]) -> str:
    """Give the task that a statement names; empty if it names none."""
    skip = True
    for word in words:
        if skip:
            skip = False
        elif word.startswith("-"):
            skip = "=" not in word and word not in FLAGS
        else:
            return word
    return ""


def outdated(asked: Request, incarnation: str, held: Sequence[Ticket]) -> str:
    """Say why a statement about a task no longer fits; empty if it does.

    Args:
        asked: The request.
        incarnation: The incarnation that this worktree has now.
        held: The tickets in its hands now.
    """
    if asked.verb not in ("report-progress", "release"):
        return ""
    if asked.incarnation != incarnation:
        return f"it was made for {asked.incarnation or 'no incarnation'}, this worktree is {incarnation} now"
    task = about(asked.words)
    now = [ticket for ticket in held if not task or ticket.task == task]
    then = {str(ticket) for ticket in asked.tickets}
    other = next((str(ticket) for ticket in now if str(ticket) not in then), "")
    if not other:
        return ""
    before = ", ".join(str(t) for t in asked.tickets if not task or t.task == task) or "no claim"
    return f"it was made for {before}, this worktree holds {other} now"


class Answer:
    """What a caller is told.

    Attributes:
        code: Exit code.
        out: Standard output.
        err: Standard error.
    """

    __slots__ = ("code", "err", "out")

    def __init__(self, code: int, out: bytes, err: bytes) -> None:
        self.code, self.out, self.err = code, out, err

    def record(self, request_mark: str) -> Json:
        """Give the record to keep: the answer, and which content of the request it answers."""
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
        """Give what goes through the FIFO: a head, the lines of standard error, then standard output.

        The head: exit code, number of error lines, whether the rest is long (then ``cat`` is quicker than the
        shell's own ``read``), and the caller's pid as it gave it.
        """
        err = self.err if not self.err or self.err.endswith(b"\n") else self.err + b"\n"
        lines, size = err.count(b"\n"), "long" if len(self.out) > LONG else "short"
        return f"{self.code} {lines} {size} {pid}\n".encode() + err + self.out


LONG = 6000  # bytes of output from which ``cat`` is quicker than a shell's ``read``
