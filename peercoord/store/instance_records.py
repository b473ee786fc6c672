"""The team's worktrees, as the coordination directory records them: one file per instance.

A worktree belongs to a coding agent, which may have been talked into anything. What lies in it says nothing to a
program outside that agent's sandbox: where an instance's worktree and its git directory are is read here.
"""

from __future__ import annotations

from peercoord.store import paths, records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from peercoord.foreign import Json
    from peercoord.store.root import Root


def read(root: Root, peer: str) -> Json:
    """Return the record of an instance; empty if none is whole: the next ``up`` or agent writes it again."""
    record = root.files.record(paths.instance(peer)) or {}
    whole = record.get("instance_id") == peer and _is_path(record.get("worktree")) and _is_path(record.get("git_dir"))
    return record if whole and f"{record['worktree']}/".startswith(f"{record.get('checkout', '')}/") else {}


def write(root: Root, peer: str, **facts: object) -> None:
    """Write facts into the record of an instance, keeping the others; it survives a power cut."""
    known = read(root, peer)
    record = {"schema_version": records.SCHEMA_VERSION, "instance_id": peer, **known, **facts}
    if record != known:
        root.files.put(paths.instance(peer), records.encode_stored(record), durable=True)


def of_worktree(root: Root, path: str) -> Json:
    """Return the record of the instance whose worktree is ``path``; empty if no instance has it."""
    return next((record for record in each(root) if record["worktree"] == path), {})


def all(root: Root) -> dict[str, Json]:  # noqa: A001 - read as ``instances.all``
    """Return the records of all instances that can be read, by name."""
    return {str(record["instance_id"]): record for record in each(root)}


def each(root: Root) -> Iterator[Json]:
    """Go over the records of the instances that can be read, each read when it is asked for."""
    peers = filter(None, map(paths.parse_record, root.files.scan(paths.INSTANCES)))
    return filter(None, (read(root, peer) for peer in sorted(peers)))


def remove(root: Root, peer: str) -> bool:
    """Remove the record of an instance that leaves the team; ``False`` if there was none."""
    return root.files.remove(paths.instance(peer))


def _is_path(value: object) -> bool:
    return isinstance(value, str) and value.startswith("/")
