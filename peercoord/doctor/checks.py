"""Check a team: peers, leader, views, tickets, quarantine, sizes, and the lists it is kept in step with."""

from __future__ import annotations

import os
import shlex
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from peercoord import foreign
from peercoord.errors import BrokenFileError, PeercoordError
from peercoord.foreign import counted, shown
from peercoord.membership import liveness
from peercoord.membership import membership as members
from peercoord.membership.leadership import leader_name
from peercoord.membership.membership import judge
from peercoord.store import ids, instance_records, landings, paths, records, settings
from peercoord.store.settings import LOOKS
from peercoord.system import clock, process
from peercoord.tasklists import runner, selection
from peercoord.team import files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from peercoord.foreign import Json
    from peercoord.queue.queue import Queue
    from peercoord.store.root import Root

GOOD, WARNING, BAD = "ok", "warning", "bad"
FIX = "peercoord doctor --fix"
SHOWN = 5  # examples named in one line
STALE_VIEWS = 4  # times state_seconds


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's report."""

    about: str  # what was checked
    state: str  # ``ok``, ``warning`` (works, but look) or ``bad`` (does not work, or must not be trusted)
    text: str  # what was found
    fix: str = ""  # the command that fixes it; empty if nothing needs fixing
    repair: Callable[[], list[str]] | None = None  # returns lines for people; ``None`` where no program can

    def record(self) -> Json:
        """Return it for programs."""
        return {"check": self.about, "state": self.state, "text": self.text, "fix": self.fix}


def command(*words: str) -> str:
    """Return a command that can be pasted into a shell."""
    return shlex.join(words)


def good(about: str, text: str) -> Finding:
    """Return a finding that is in order."""
    return Finding(about, GOOD, text)


def warning(about: str, text: str, fix: str = "") -> Finding:
    """Return a finding that works but needs a look."""
    return Finding(about, WARNING, text, fix)


def bad(about: str, text: str, fix: str = "") -> Finding:
    """Return a finding that does not work or must not be trusted."""
    return Finding(about, BAD, text, fix)


# -- the team ------------------------------------------------------------------------------------------------------


def examine_team(queue: Queue) -> list[Finding]:
    """Check a team."""
    root = queue.root
    found = [*_settings(root), *_peers(root), *_leader(root), *_views(root), *_tickets(queue)]
    return [*found, *_departed(root), *_quarantine(root), *_sizes(root), *_landing(root)]


def _settings(root: Root) -> Iterator[Finding]:
    version = root.protocol["protocol"]
    yield good("protocol", f"version {version.get('version')}, store {root.store_id}")
    for problem in settings.problems(root.protocol.get("settings")):
        yield warning("settings", problem.text, problem.fix or f"remove it from {root.files.place}/{paths.PROTOCOL}")
    own = root.number("heartbeat_seconds")
    for who in members.living(root):
        theirs = foreign.whole(members.record_of(root, who).get("heartbeat_seconds"))
        if theirs is not None and theirs != own:
            yield warning("settings", f"{who} beats every {theirs} s, the rule is {own} s: it has not taken it in yet")


def _landing(root: Root) -> Iterator[Finding]:
    landing = landings.newest(root)
    if landing and landing.state == landings.BESIDE:
        yield warning("landing", f"merged work waits to come onto {shown(landing.branch)}", "peercoord land")
    elif landing and landing.state not in (landings.LANDED, landings.UNDONE):
        text = f"a landing on {shown(landing.branch)} is under way or was cut short"
        yield warning("landing", text, "peercoord land")


def _again(root: Root) -> str:
    """Return the command that restarts a team's agents."""
    return command("claude-team-coordinated", os.path.dirname(root.files.place))


def _peers(root: Root) -> Iterator[Finding]:
    from peercoord import __version__

    living = members.living(root)
    if not living:
        yield warning("peers", "no peer is in the team", _again(root))
    for who in living:
        record = members.record_of(root, who)
        verdict = judge(root, who)
        tree = str((record or instance_records.read(root, who.peer)).get("worktree", ""))
        start = command("peercoord", "-C", tree, "agent", "start") if tree else _again(root)
        agent = liveness.agent_of(record)
        here = liveness.elsewhere(record, process.here()) is None
        if not record:
            yield bad("peers", f"{who}: its record cannot be read", start)
        elif verdict.state == liveness.DEAD:
            yield bad("peers", f"{who} is dead ({verdict.because}) and no peer has noticed", start)
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
    """List the leader's tickets; look again while none is seen, since one may be moving."""
    for _ in range(LOOKS):
        homes = [f"{base}/{home}" for base in (paths.PEERS, paths.DEPARTED) for home in root.files.scan(base)]
        names = [f"{home}/{name}" for home in (paths.LEADER, *homes) for name in root.files.scan(home)]
        found = [name for name in names if paths.parse_leader(name.rpartition("/")[2]) is not None]
        if found:
            return found
    return []


def _leader(root: Root) -> Iterator[Finding]:
    tickets = leader_tickets(root)
    if not tickets:
        yield bad("leader", "the leader's ticket is gone: no peer can lead", FIX)
    elif len(tickets) > 1:
        yield bad("leader", f"there are {len(tickets)} leader's tickets: {_some(tickets)}", FIX)
    else:
        who = leader_name(root.files)
        yield good("leader", f"{who} leads" if who else "no peer leads")


def _views(root: Root) -> Iterator[Finding]:
    try:
        data = root.files.read(paths.STATE)
        state = records.decode(data, paths.STATE) if data else {}
    except BrokenFileError as error:
        yield warning("views", error.message, _again(root))
        return
    age = time.time() - clock.seconds(state.get("updated_at"))
    if not state:
        yield warning("views", "there are none yet", _again(root))
    elif age > STALE_VIEWS * root.number("state_seconds"):
        yield warning("views", f"state.json was published {age:.0f} s ago: no peer leads", _again(root))
    else:
        yield good("views", f"published {max(0, age):.0f} s ago")


def _tickets(queue: Queue) -> Iterator[Finding]:
    born, states = set(queue.all_tasks()), queue.survey()
    missing = sorted(born - states.keys(), key=ids.natural)
    twice = duplicate_tickets(queue)
    waiting = [s.task for s in states.values() if s.state == "waiting" and queue.dependency_state(s.detail) == "done"]
    adding = [new[0] for new in map(paths.parse_new, queue.files.scan(paths.NEW)) if new]
    for text, tasks in (
        (("has no ticket", "have no ticket"), missing),
        (("has two tickets", "have two tickets"), sorted(twice, key=ids.natural)),
        (("waits for something done", "wait for something done"), waiting),
        (("is still being added", "are still being added"), adding),
    ):
        if tasks:
            yield bad("tickets", f"{counted(tasks, 'task', *text)}: {_some(tasks)}", FIX)
    if not (missing or twice or waiting or adding):
        yield good("tickets", f"{len(born)} tasks, each with one ticket")


def duplicate_tickets(queue: Queue) -> dict[str, list[str]]:
    """Return the tasks seen under the same several names twice."""
    looks: list[dict[str, set[str]]] = [{}, {}]
    for seen in looks:
        for sighting in queue.locations():
            seen.setdefault(sighting.task, set()).add(sighting.path)
    first, second = looks
    return {task: sorted(paths) for task, paths in first.items() if len(paths) > 1 and second.get(task) == paths}


def _departed(root: Root) -> Iterator[Finding]:
    unsealed = [n for n in root.files.scan(paths.DEPARTED) if "claims" in root.files.scan(f"{paths.DEPARTED}/{n}")]
    if unsealed:
        yield bad("departed", f"{counted(unsealed, 'departed peer')} not swept: {_some(unsealed)}", FIX)
    litter = root.files.scan(paths.TMP)
    if len(litter) > 20:
        yield warning("litter", f"{len(litter)} files lie in tmp/", FIX)


def _quarantine(root: Root) -> Iterator[Finding]:
    kept = sorted(name for name in root.files.scan(paths.QUARANTINE) if not name.endswith(".why"))
    if not kept:
        yield good("quarantine", "empty")
    for name in kept[:SHOWN]:
        why = (root.files.read(f"{paths.QUARANTINE}/{name}.why") or b"").decode("utf-8", "replace").strip().splitlines()
        task = _missing(root, why[0] if why else "")
        place = f"{root.files.place}/{paths.QUARANTINE}/{name}"
        rest = "" if task else "; nothing misses it, look and remove it"
        fix = f"peercoord task reopen {task}" if task else command("rm", "-rf", "--", place, f"{place}.why")
        yield warning("quarantine", f"{shown(name)}: {why[-1] if why else 'no reason was kept'}{rest}", fix)
    if len(kept) > SHOWN:
        fix = command("ls", f"{root.files.place}/{paths.QUARANTINE}")
        yield warning("quarantine", f"and {len(kept) - SHOWN} more", fix)


def _missing(root: Root, path: str) -> str:
    """Return the task whose only definition was quarantined; empty if there is none."""
    task = paths.parse_record(path.rpartition("/")[2])
    lost = task and path == paths.definition(task) and root.files.stat(path) is None
    return task if task and lost else ""


def _sizes(root: Root) -> Iterator[Finding]:
    sizes = {base: _size(f"{root.files.place}/{base}") for base in sorted(root.files.scan("")) if "." not in base}
    whole = sum(size for _, size in sizes.values())
    largest = sorted(sizes.items(), key=lambda item: -item[1][1])[:SHOWN]
    listed = ", ".join(f"{base} {count} files {size >> 10} KiB" for base, (count, size) in largest if count)
    days = root.number("retention_days")
    yield good("sizes", f"{whole >> 10} KiB in all; {listed}; what is past is kept for {days} days")


def _size(path: str) -> tuple[int, int]:
    count = size = 0
    for folder, _, inside in os.walk(path):
        for name in inside:
            try:
                size += os.lstat(f"{folder}/{name}").st_size
            except OSError:
                continue
            count += 1
    return count, size


def _some(tasks: list[str]) -> str:
    return ", ".join(tasks[:SHOWN]) + (" …" if len(tasks) > SHOWN else "")


# -- the task lists ------------------------------------------------------------------------------------------------


SYNC = "peercoord sync"
WAIT_SECONDS = 0.5  # for a database that another program has locked


def examine_lists(root: Root) -> Iterator[Finding]:
    """Check the lists that a project is kept in step with.

    A list that cannot be read now concerns only the people who read it: claims and reports go on, and the next sync
    brings what it missed.
    """
    choice = selection.Choice.of(root.protocol)
    if not choice:
        yield good("database", "none is kept in step")
        return
    met = [bad("sync", what, hint) for what, hint in runner.troubles(root)]
    found = met + [one for one in _now(root, choice) if not any(one.text in before.text for before in met)]
    yield from found
    home = root.project
    for peer, copy in files.stale_copies(instance_records.all(root), home, choice.tasks_file):
        what = f"{peer} has a copy of the list in step, {shown(copy, 300)}: changes there reach no one else"
        yield warning("database", what, f"claude-team-coordinated {shlex.quote(str(home))}")
    if switched := selection.switched(root):
        yield warning("database", *switched)
    if not found:
        last = runner.health(root).get("last_ok")
        name = runner.Lists.shown(choice)
        if last:
            yield good("database", f"{name}: in step, as of {last}")
        else:
            yield warning("database", f"{name}: no sync yet", SYNC)


def _now(root: Root, choice: selection.Choice) -> Iterator[Finding]:
    """Read each list as a sync would."""
    try:
        lists = runner.Lists(root, "doctor", choice, wait=WAIT_SECONDS)
    except PeercoordError as error:
        yield bad("database", error.message, error.hint or SYNC)
        return
    for store in lists.all:
        try:
            store.snapshot()
        except PeercoordError as error:
            say = warning if error.code == "locked" else bad
            yield say("database", error.message, error.hint or SYNC)
    path = lists.database.database.address.path
    by_effect = os.access in os.supports_effective_ids
    if path is not None and path.exists() and not os.access(path, os.W_OK, effective_ids=by_effect):
        yield bad("database", f"{lists.database.name} may not be written", f"chmod u+w {shlex.quote(str(path))}")
