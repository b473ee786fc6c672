"""What a peer must flush before it decides: ``strace`` shows it, the directory does not."""
# ruff: noqa: D103 -- the name of a check is its sentence

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from peersuite.checks import check
from peersuite.command import NotTriedError, expect
from peersuite.store import shard

if TYPE_CHECKING:
    from peersuite.command import Member, World

CALLS = ("fsync", "fdatasync", "sync", "syncfs", "rename", "renameat", "renameat2", "link", "linkat", "open", "openat")
STRACE = ["strace", "-f", "-y", "-qq", "-s", "4096", "-e", f"trace={','.join(f'?{call}' for call in CALLS)}"]
MOVES = ("rename", "renameat", "renameat2", "link", "linkat")


class Call:
    """One system call of a command.

    Attributes:
        name: Which.
        paths: The last parts of the paths that it names, and of those of its open files.
        line: All of it.
    """

    def __init__(self, name: str, line: str) -> None:
        self.name, self.line = name, line
        self.paths = [Path(found[0] or found[1]).name for found in re.findall(r'"([^"]*)"|\d<([^>]*)>', line)]

    def flushes(self, names: set[str]) -> bool:
        """Whether it flushes a file or directory with one of these names to disk."""
        if self.name in ("sync", "syncfs"):
            return True
        if self.name in ("open", "openat"):
            return "SYNC" in self.line and self.paths[-1] in names
        return self.name in ("fsync", "fdatasync") and bool(names & set(self.paths))


def traced(world: World, peer: Member, line: str, *words: str) -> list[Call]:
    """Run one command of a peer, which must answer with this line; the calls that it made, in their order.

    Raises:
        NotTriedError: Calls cannot be seen here.
    """
    if not shutil.which("strace") or subprocess.run([*STRACE, "true"], capture_output=True, check=False).returncode:
        raise NotTriedError("needs strace, and the right to use it")
    log = world.store.root.parent / "calls"
    world.run([*STRACE, "-o", str(log), *peer.command], words[0], peer.me, *words[1:]).must(line)
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    found = (re.match(r"\d+ +([a-z0-9]+)\(", line) for line in lines)
    return [Call(match[1], match.string) for match in found if match]


def first(calls: list[Call], names: tuple[str, ...], last: str) -> int:
    """Place of the first call of such a name that leads to a path which ends like this.

    Raises:
        NotTriedError: There is none: the command lets another process do it.
    """
    for at, call in enumerate(calls):
        if call.name in names and call.paths and call.paths[-1] == last:
            return at
    raise NotTriedError(f"no process of the command moved anything to {last}")


@check("CMP-2", "ORD-2", "OPS-2", "ASM-6")
def flushes_the_result_before_it_decides(world: World) -> None:
    peer = world.holding("1")
    calls = traced(world, peer, "done 1", "complete", "1")
    decided = first(calls, MOVES, "1~1~done")
    staged = {call.paths[-2] for call in calls[:decided] if call.name in MOVES and call.paths[-1] == "1~1.done.json"}
    named = max((at for at, call in enumerate(calls[:decided]) if "1~1.done.json" in call.paths), default=0)
    expect(
        any(call.flushes({"1~1.done.json", *staged}) for call in calls[:decided]),
        "the result was not flushed before the rename to ~done",
    )
    expect(
        any(call.flushes({shard("1")}) for call in calls[named:decided]),
        f"results/{shard('1')} was not flushed between the making of the result and the rename to ~done",
    )
    expect(
        any(call.flushes({"results"}) for call in calls[:decided]),
        f"results/ was not flushed before the rename to ~done, and results/{shard('1')} was new",
    )
    filed = first(calls, MOVES, "1")
    for home in (shard("1"), "done"):
        expect(
            any(call.flushes({home}) for call in calls[filed:]),
            f"queue/done/{shard('1')}, a new directory, and queue/done were not both flushed before the answer",
        )


@check("ORD-1", "ORD-13", "ORD-14", "ADD-2", "ASM-6")
def flushes_the_birth_before_the_task_exists(world: World) -> None:
    peer = world.join("a")
    calls = traced(world, peer, "added 1", "add", "1", "medium", "")
    born = first(calls, MOVES, "1.json")
    staged = {call.paths[-2] for call in calls[: born + 1] if call.name in MOVES and call.paths[-1] == "1.json"}
    expect(
        any(call.flushes({"1.json", *staged}) for call in calls[:born]),
        "the birth record was not flushed before it got its name",
    )
    expect(
        any(call.flushes({shard("1")}) for call in calls[born:]),
        f"births/{shard('1')} was not flushed before the answer",
    )
    made = [at for at, call in enumerate(calls) if call.paths and call.paths[-1].startswith("1~")]
    expect(made and made[0] < born, "the birth record was there before the ticket")
