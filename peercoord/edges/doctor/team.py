"""The state of a team: peers and agents, views, tickets, quarantine, sizes."""

from __future__ import annotations

import os
import shlex

from peercoord.core import ids, liveness, names, records, settings
from peercoord.core.errors import BrokenFileError
from peercoord.core.limits import LOOKS
from peercoord.edges.doctor.findings import bad, good, warning
from peercoord.fs import process
from peercoord.roles import membership as members
from peercoord.roles.peer import judge
from peercoord.roles.tally import leading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from peercoord.core.names import Incarnation
    from peercoord.core.records import Json
    from peercoord.edges.doctor.findings import Finding
    from peercoord.roles.queue import Queue
    from peercoord.roles.root import Root

SHOWN = 5  # examples named in one line
FIX = "peercoord doctor --fix"
STALE_VIEWS = 4  # times state_seconds


def examine(queue: Queue) -> list[Finding]:
    """Look at a team.

    Args:
        queue: Its tasks.
    """
    root = queue.root
    return [
        *_settings(root),
        *_peers(root),
        *_leader(root),
        *_views(root),
        *_tickets(queue),
        *_departed(root),
        *_quarantine(root),
        *_sizes(root),
    ]


def _settings(root: Root) -> Iterator[Finding]:
    version = root.protocol["protocol"]
    yield good("protocol", f"version {version.get('version')}, store {root.store_id}")
    for problem in settings.problems(root.protocol.get("settings")):
        yield warning("settings", problem.text, problem.fix or f"remove it from {root_path(root)}/{names.PROTOCOL}")
    own = root.number("heartbeat_seconds")
    for who in members.living(root):
        theirs = said(root, who).get("heartbeat_seconds")
        if isinstance(theirs, int) and theirs != own:
            yield warning("settings", f"{who} beats every {theirs} s, the rule is {own} s: it has not taken it in yet")


def said(root: Root, who: Incarnation) -> Json:
    """Read a peer's record; empty if it cannot be read."""
    return members.read_record(root, names.peer_dir(who)) or {}


def _peers(root: Root) -> Iterator[Finding]:
    from peercoord import __version__

    living = members.living(root)
    if not living:
        yield warning("peers", "nobody is in the team", "claude-team-coordinated PROJECT")
    for who in living:
        record = said(root, who)
        verdict = judge(root, who)
        tree = str(record.get("worktree", ""))
        start = f"peercoord -C {tree} agent start"
        agent = liveness.agent_of(record)
        here = liveness.elsewhere(record, process.here()) is None
        if not record:
            yield bad("peers", f"{who}: its record cannot be read", start)
        elif verdict.state == liveness.DEAD:
            yield bad("peers", f"{who} is dead ({verdict.because}) and nobody has noticed", start)
        elif here and (agent is None or not process.running(agent)):
            yield warning("peers", f"{who}: no agent runs", start)
        elif here and agent and process.stopped(agent):
            yield warning("peers", f"{who}: its agent is stopped", f"kill -CONT {agent['pid']}")
        elif verdict.state == liveness.SUSPECT:
            yield warning("peers", f"{who}: {verdict.because}")
        elif here and record.get("version") != __version__:
            yield warning("peers", f"{who}: its agent is version {record.get('version')}, this is {__version__}", start)
        else:
            yield good("peers", f"{who}: {verdict.because}")


def leader_tickets(root: Root) -> list[str]:
    """List where leader's tickets lie, looking again while none is seen: one that moves can be missed."""
    for _ in range(LOOKS):
        homes = [f"{base}/{home}" for base in (names.PEERS, names.DEPARTED) for home in root.files.scan(base)]
        found = [
            f"{home}/{name}"
            for home in (names.LEADER, *homes)
            for name in root.files.scan(home)
            if names.parse_leader(name) is not None
        ]
        if found:
            return found
    return []


def _leader(root: Root) -> Iterator[Finding]:
    tickets = leader_tickets(root)
    if not tickets:
        yield bad("leader", "the leader's ticket is gone: nobody can lead", FIX)
    elif len(tickets) > 1:
        yield bad("leader", f"there are {len(tickets)} leader's tickets: {_some(tickets)}", FIX)
    else:
        who = leading(root.files)
        yield good("leader", f"{who} leads" if who else "nobody leads")


def _views(root: Root) -> Iterator[Finding]:
    try:
        data = root.files.read(names.STATE)
        state = records.decode(data, names.STATE) if data else {}
    except BrokenFileError as error:
        yield warning("views", error.message, "peercoord agent start")
        return
    age = _age(str(state.get("updated_at", "")))
    if not state:
        yield warning("views", "there are none yet", "peercoord agent start")
    elif age > STALE_VIEWS * root.number("state_seconds"):
        yield warning("views", f"state.json was published {age:.0f} s ago: nobody leads", "peercoord agent start")
    else:
        yield good("views", f"published {max(0, age):.0f} s ago")


def _age(stamp: str) -> float:
    from datetime import UTC, datetime

    try:
        return (datetime.now(UTC) - datetime.fromisoformat(stamp)).total_seconds()
    except (TypeError, ValueError):
        return float("inf")


def _tickets(queue: Queue) -> Iterator[Finding]:
    born, states = set(queue.all_tasks()), queue.survey()
    missing = sorted(born - states.keys(), key=ids.natural)
    twice = twins(queue)
    waiting = [s.task for s in states.values() if s.state == "waiting" and queue.standing(s.detail) == "done"]
    adding = [new[0] for new in map(names.parse_new, queue.files.scan(names.NEW)) if new]
    for text, tasks in (
        ("have no ticket", missing),
        ("have two tickets", sorted(twice, key=ids.natural)),
        ("wait for something done", waiting),
        ("are still being added", adding),
    ):
        if tasks:
            yield bad("tickets", f"{len(tasks)} task(s) {text}: {_some(tasks)}", FIX)
    if not (missing or twice or waiting or adding):
        yield good("tickets", f"{len(born)} tasks, each with one ticket")


def twins(queue: Queue) -> dict[str, list[str]]:
    """Give the tasks seen under several names in two looks, with these names: what a crashed rename may leave."""
    first, second = _several(queue), _several(queue)
    return {task: paths for task, paths in first.items() if second.get(task) == paths}


def _several(queue: Queue) -> dict[str, list[str]]:
    seen: dict[str, set[str]] = {}
    for sighting in queue.sightings():
        seen.setdefault(sighting.task, set()).add(sighting.path)
    return {task: sorted(paths) for task, paths in seen.items() if len(paths) > 1}


def _departed(root: Root) -> Iterator[Finding]:
    unsealed = [n for n in root.files.scan(names.DEPARTED) if "claims" in root.files.scan(f"{names.DEPARTED}/{n}")]
    if unsealed:
        yield bad("departed", f"{len(unsealed)} departed peer(s) not swept: {_some(unsealed)}", FIX)
    litter = root.files.scan(names.TMP)
    if len(litter) > 20:
        yield warning("litter", f"{len(litter)} files lie in tmp/", FIX)


def _quarantine(root: Root) -> Iterator[Finding]:
    kept = sorted(name for name in root.files.scan(names.QUARANTINE) if not name.endswith(".why"))
    if not kept:
        yield good("quarantine", "empty")
    for name in kept[:SHOWN]:
        why = (root.files.read(f"{names.QUARANTINE}/{name}.why") or b"").decode("utf-8", "replace").strip().splitlines()
        task = _missing(root, why[0] if why else "")
        place = shlex.quote(f"{root_path(root)}/{names.QUARANTINE}/{name}")
        rest = "" if task else "; nothing misses it, look and remove it"
        fix = f"peercoord task reopen {task}" if task else f"rm -rf -- {place} {place}.why"
        yield warning("quarantine", f"{ids.shown(name)}: {why[-1] if why else 'no reason was kept'}{rest}", fix)
    if len(kept) > SHOWN:
        yield warning("quarantine", f"and {len(kept) - SHOWN} more", f"ls {root_path(root)}/{names.QUARANTINE}")


def _missing(root: Root, path: str) -> str:
    """Name the task whose definition was set aside from a path, and that has had no other since; empty if none has."""
    task = names.parse_record(path.rpartition("/")[2])
    lost = task and path == names.definition(task) and root.files.stat(path) is None
    return task if task and lost else ""


def root_path(root: Root) -> str:
    """Give the absolute path of a coordination directory."""
    return str(getattr(root.files.disk, "root", ""))


def _sizes(root: Root) -> Iterator[Finding]:
    sizes = {base: _size(f"{root_path(root)}/{base}") for base in sorted(root.files.scan("")) if "." not in base}
    whole = sum(size for _, size in sizes.values())
    largest = sorted(sizes.items(), key=lambda item: -item[1][1])[:SHOWN]
    listed = ", ".join(f"{base} {count} files {size >> 10} KiB" for base, (count, size) in largest if count)
    days = root.number("retention_days")
    yield good("sizes", f"{whole >> 10} KiB in all; {listed}; what is past is kept for {days} days")


def _size(path: str) -> tuple[int, int]:
    count = size = 0
    for folder, _, files in os.walk(path):
        for name in files:
            try:
                size += os.lstat(f"{folder}/{name}").st_size
            except OSError:
                continue
            count += 1
    return count, size


def _some(tasks: list[str]) -> str:
    return ", ".join(tasks[:SHOWN]) + (" …" if len(tasks) > SHOWN else "")
