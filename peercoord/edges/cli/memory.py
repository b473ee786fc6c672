"""Commands on the memory bank's contributions."""

from __future__ import annotations

import click

from peercoord.core import names
from peercoord.core.errors import StorageError, UsageError
from peercoord.core.memory.contributions import FILE_BYTES, decode
from peercoord.edges.cli.main import Call
from peercoord.edges.cli.work import desk, json_option
from peercoord.edges.reply import Reply, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from peercoord.core.records import Json
    from peercoord.roles.bank import Summary
    from peercoord.roles.queue import Queue


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def memory() -> None:
    """Contribute to the shared memory bank, and see what waits to be merged."""


@memory.command()
@click.option("--file", "document", required=True, metavar="DOC", help="The bank's document, as techContext.md.")
@click.option("--section", default="", metavar="H", help="Its heading; several levels with › between.")
@click.option(
    "--type", "kind", type=click.Choice(["addition", "update"]), default="addition", help="Append, or replace."
)
@click.option("--critical", is_flag=True, help="A person must approve it.")
@click.option("--content", metavar="TEXT", help="The text itself.")
@click.option("--from", "path", metavar="F", help="A file that holds the text.")
@json_option
@click.pass_obj
def add(
    call: Call,
    document: str,
    section: str,
    kind: str,
    critical: bool,
    content: str | None,
    path: str | None,
    as_json: bool,  # noqa: ARG001 - read by the frame
) -> Reply:
    """Queue a contribution: merged with the others', never overwriting them."""
    if (content is None) == (path is None):
        raise UsageError("give the text once", hint="with --content TEXT or --from FILE")
    text = content if content is not None else _text(path or "")
    return desk(call).remember(document, section, kind, text, critical)


def _text(path: str) -> str:
    try:
        with open(path, "rb") as handle:  # the user's own file, named on the command line
            data = handle.read(FILE_BYTES + 1)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}", hint="name a text file: --from FILE") from None
    return decode(data, path)


@memory.command(name="list")
@json_option
@click.pass_obj
def list_(call: Call, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """List contributions by state: queued, merged, candidates, approvals, rejected."""
    from peercoord.edges.banking import health
    from peercoord.edges.cli.task import queue_of

    queue = queue_of(call)
    found: dict[str, object] = {state: _listed(queue, state) for state in names.MEMORY_STATES}
    found["refused"] = _refused(queue)
    merged = health(queue.root)
    found["last_merge"] = {key: merged.get(key) for key in ("at", "by", "ok", "message", "notes")} if merged else None
    lines = [f"{key}: {len(value)}" for key, value in found.items() if isinstance(value, list)]
    told = [*_listed(queue, "queued"), *_listed(queue, "rejected"), *_refused(queue)]
    lines += [f"  {plain(one['id'])}  {plain(one['file'])}  {plain(one['by'])}{_why(one)}" for one in told]
    lines.append(f"last merge: {plain(merged.get('at') or 'never')}")
    return Reply(found, lines)


def _why(one: Json) -> str:
    return f": {plain(one['reason'])}" if one.get("reason") else ""


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
    from peercoord.edges import banking
    from peercoord.roles.root import open_root

    root = open_root(call.place.coordination, call.place.store_id)
    done = banking.run(root, call.place.instance or "person", term)
    data = {"documents": [_told(one) for one in done.summaries], "commit": done.commit or None, "notes": done.notes}
    lines = [_line(one) for one in done.summaries] or ["nothing to merge"]
    lines += [f"committed: {done.commit[:12]}"] if done.commit else []
    return Reply(data, lines, done.notes)


def _told(one: Summary) -> Json:
    keys = ("applied", "duplicates", "superseded", "candidates", "waiting", "rejected")
    return {"file": one.document, "entry": one.entry or None, **{key: list(getattr(one, key)) for key in keys}}


def _line(one: Summary) -> str:
    words = [f"{len(ids)} {word}" for word, ids in _told(one).items() if isinstance(ids, list) and ids]
    return f"{plain(one.document)}: {', '.join(words) or 'left alone'}"
