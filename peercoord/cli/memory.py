"""Commands on the memory bank's contributions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from peercoord.cli.main import Call
from peercoord.foreign import plain
from peercoord.mailbox.verbs import HELP, json_option, update_memory
from peercoord.store import paths as names
from peercoord.worktree.reply import Reply

if TYPE_CHECKING:
    from peercoord.foreign import Json
    from peercoord.memory.merging import MergeSummary
    from peercoord.queue.queue import Queue


@click.group(
    short_help="Contribute to the shared memory bank, list, merge.",
    context_settings=HELP,
)
def memory() -> None:
    """Contribute to the shared memory bank, and see what waits to be merged."""


memory.add_command(update_memory, "add")


@memory.command(short_help="List contributions by state.", name="list")
@json_option
@click.pass_obj
def list_(call: Call, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """List contributions by state: queued, merged, candidates, approvals, rejected."""
    from peercoord.memory.runner import health

    queue = call.queue
    found: dict[str, object] = {state: _listed(queue, state) for state in names.MEMORY_STATES}
    found["refused"] = _refused(queue)
    merged = health(queue.root)
    found["last_merge"] = {key: merged.get(key) for key in ("at", "by", "ok", "message", "notes")} if merged else None
    counts = {key: f"{key}: {len(value)}" for key, value in found.items() if isinstance(value, list)}
    counts["queued"] += _what_for(queue, len(_listed(queue, "queued")))
    lines = list(counts.values())
    told = [*_listed(queue, "queued"), *_listed(queue, "rejected"), *_refused(queue)]
    for one in told:
        why = f": {plain(one['reason'])}" if one.get("reason") else ""
        lines.append(f"  {plain(one['id'])}  {plain(one['file'])}  {plain(one['by'])}{why}")
    lines.append(f"last merge: {plain(merged.get('at') or 'never')}")
    return Reply(found, lines)


def _what_for(queue: Queue, queued: int) -> str:
    """Return what queued contributions wait for: the next merge, or a person."""
    waiting = (f"{names.MEMORY}/{state}" for state in ("candidates", "approvals"))
    paths = [f"{home}/{name}" for home in waiting for name in queue.files.scan(home) if name.endswith(".json")]
    members = [(queue.read_record(path) or {}).get("contributions") for path in paths]
    held = sum(len(some) for some in members if isinstance(some, list))
    every = queue.root.number("merge_seconds")
    merge = f"{queued - held} for the next merge, every {every} s, or now: peercoord memory merge"
    said = [merge] if queued > held else []
    said += [f"{held} for a person: peercoord review"] if held else []
    return f" ({'; '.join(said)})" if said else ""


def _listed(queue: Queue, state: str) -> list[Json]:
    found = []
    for name in sorted(n for n in queue.files.scan(f"{names.MEMORY}/{state}") if n.endswith(".json")):
        record = queue.read_record(f"{names.MEMORY}/{state}/{name}") or {}
        ident = name.removesuffix(".json")
        entry = {"id": ident, "file": record.get("file"), "section": record.get("section")}
        entry["by"] = record.get("instance_id")
        if state == "rejected":
            entry["reason"] = (queue.read_record(names.rejection(ident)) or {}).get("reason")
        found.append(entry)
    return found


def _refused(queue: Queue) -> list[Json]:
    """Files, and parts of them, that could not be taken."""
    there = set(queue.files.scan(f"{names.MEMORY}/rejected"))
    own = [name.removesuffix(".why") for name in sorted(there) if name.endswith(".why")]
    found = [(i, queue.read_record(names.rejection(i)) or {}) for i in own if f"{i}.json" not in there]
    return [{"id": i, **{key: r.get(key) for key in ("file", "by", "reason", "hint", "at", "size")}} for i, r in found]


@memory.command()
@click.option("--term", type=click.IntRange(min=0), hidden=True)
@json_option
@click.pass_obj
def merge(call: Call, term: int | None, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """Merge what is queued into the memory bank now.

    The leader's agent does so every ten minutes, and whenever a person has decided something.
    """
    from peercoord.memory import runner

    root = call.root
    done = runner.run(root, call.actor, term)
    data = {"documents": [_told(one) for one in done.summaries], "commit": done.commit or None, "notes": done.notes}
    lines = [_line(one) for one in done.summaries] or ["nothing to merge"]
    lines += [f"committed: {done.commit[:12]}"] if done.commit else []
    return Reply(data, lines, done.notes)


WORDS = {
    "applied": "merged",
    "duplicates": "already there",
    "candidates": "to decide (peercoord review)",
    "waiting": "waiting for that decision",
}
"""What a merge did with contributions, where its key is not the word for it."""


def _told(one: MergeSummary) -> Json:
    keys = ("applied", "duplicates", "superseded", "candidates", "waiting", "rejected")
    return {"file": one.document, "entry": one.entry or None, **{key: list(getattr(one, key)) for key in keys}}


def _line(one: MergeSummary) -> str:
    words = [f"{len(ids)} {WORDS.get(key, key)}" for key, ids in _told(one).items() if isinstance(ids, list) and ids]
    return f"{plain(one.document)}: {', '.join(words) or 'left alone'}"
