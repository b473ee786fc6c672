"""Commands on the memory bank's contributions."""

from __future__ import annotations

import click

from peercoord.core import names
from peercoord.core.errors import StorageError, UsageError
from peercoord.core.memory.contributions import FILE_BYTES, decode
from peercoord.edges.cli.main import Call
from peercoord.edges.cli.work import desk, json_option
from peercoord.edges.reply import Reply, plain


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
    from peercoord.edges.cli.task import queue_of

    queue = queue_of(call)
    found: dict[str, list[dict[str, object]]] = {}
    for state in names.MEMORY_STATES:
        ids_ = sorted(n for n in queue.files.scan(f"{names.MEMORY}/{state}") if n.endswith(".json"))
        records_ = [(n, queue.read_record(f"{names.MEMORY}/{state}/{n}") or {}) for n in ids_]
        found[state] = [
            {
                "id": n.removesuffix(".json"),
                "file": r.get("file"),
                "section": r.get("section"),
                "by": r.get("instance_id"),
            }
            for n, r in records_
        ]
    lines = [f"{state}: {len(entries)}" for state, entries in found.items()]
    lines += [f"  {plain(e['id'])}  {plain(e['file'])}  {plain(e['by'])}" for e in found["queued"]]
    return Reply(dict(found), lines)
