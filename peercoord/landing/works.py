"""What there is to land: the commits that were recorded when tasks were done, and the work that is left where it is."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import TYPE_CHECKING

from peercoord.errors import BrokenFileError, NotFoundError, PeercoordError
from peercoord.landing.plan import Work, grouped, ordered
from peercoord.store import ids, inspection
from peercoord.system import clock
from peercoord.system.git import TIPS, branches, lines, shown_paths
from peercoord.team.repository import team_instances, worktrees
from peercoord.worktree import landed, merging

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from peercoord.foreign import Json
    from peercoord.queue.queue import Queue
    from peercoord.store.isolated_git import Inspection
    from peercoord.store.project import Project
    from peercoord.team.plan import Instance

_ENDS = {**merging.ENDS, "": "is in progress"}


@dataclass(frozen=True, slots=True)
class Left:
    """Work that does not land."""

    kind: str  # ``uncommitted``, ``unfinished``, ``gone`` or ``unknown``
    peer: str  # the instance whose work it is
    text: str  # what it is, for people
    tasks: tuple[str, ...] = ()  # the tasks that it belongs to, where that is known


@dataclass(slots=True)
class Found:
    """What there is to land on a branch."""

    works: list[Work] = field(default_factory=list)  # the recorded commits that are to land, in order
    here: dict[str, str] = field(default_factory=dict)  # by commit of those that are on the branch already, how
    left: list[Left] = field(default_factory=list)  # what does not land
    open: dict[str, str] = field(default_factory=dict)  # tasks that are not done
    unchosen: list[Work] = field(default_factory=list)  # works of instances that were not named


def collect(project: Project, queue: Queue, git: Inspection, base: str, peers: Collection[str] = ()) -> Found:
    """Find what there is to land on a branch at ``base``; no ``peers`` means all. Git is that of the main checkout."""
    found = Found()
    recorded = _recorded(queue, found)
    known = _existing(git, [work.commit for work in recorded if work.commit])
    for work in recorded:
        if work.commit not in known:
            why = "its commit is gone" if work.commit else "no commit was noted when it was done"
            found.left.append(Left("gone", work.peer, f"{named(work)}: {why}", work.tasks))
    there = _without_commits(queue, git, [work for work in recorded if work.commit in known])
    works = _with_history(git, grouped(there), base, found)
    tips = branches(git.text("for-each-ref", TIPS, "refs/heads"))
    _recognise(git, works, base, tips, found)
    wanted = [work for work in works if not peers or work.peer in peers]
    found.unchosen = [work for work in works if work not in wanted and work.commit not in found.here]
    found.works = ordered(wanted)
    heads = {tree.path: tree.head for tree in worktrees(project)}
    for instance in team_instances(project):
        if not peers or instance.peer in peers:
            tip = tips.get(instance.branch, "") if instance.branch else heads.get(instance.worktree, "")
            found.left += _left_in(project, queue, git, instance, tip, [base, *known])
    return found


def named(work: Work) -> str:
    """Name the tasks of a work for people: ``task 4 "Title" of instance-2``."""
    tasks = f"task {work.tasks[0]}" if len(work.tasks) == 1 else f"tasks {', '.join(work.tasks)}"
    title = f' "{work.title}"' if work.title and len(work.tasks) == 1 else ""
    return f"{tasks}{title}{f' of {work.peer}' if work.peer else ''}"


def _recorded(queue: Queue, found: Found) -> list[Work]:
    """Read what was recorded of every done task, and note those that are not done."""
    recorded = []
    for task, location in sorted(queue.survey().items(), key=lambda item: ids.natural(item[0])):
        if location.state != "done":
            cancelled = (location.state, location.detail) == ("parked", "cancelled")
            found.open |= {} if cancelled else {task: location.state}
            continue
        record = (queue.result(task) or (0, "", {}))[2]
        work = _work(queue, task, record)
        recorded += [work] if work else []
    return recorded


def _work(queue: Queue, task: str, record: Json) -> Work | None:
    """Make the work of a done task; ``None`` if it was not done in a worktree."""
    commit, branch = merging.recorded_commit(record), record.get("branch")
    if commit is None:
        return None
    try:
        definition = queue.definition(task)
        title, needs = definition.title, frozenset(definition.dependencies) - {task}
    except (BrokenFileError, NotFoundError):
        title, needs = "", frozenset()
    peer = str(record.get("peer") or "")
    name = branch if isinstance(branch, str) and branch != "HEAD" else ""  # HEAD: it was on none
    return Work((task,), title, peer, name, commit, needs, at=str(record.get("at") or ""))


def _existing(git: Inspection, commits: Iterable[str]) -> list[str]:
    """Return those commits that the repository has."""
    wanted = list(dict.fromkeys(commits))
    said = git.ask("cat-file", "--batch-check", data="".join(f"{one}^{{commit}}\n" for one in wanted)).out
    return [one for one, line in zip(wanted, lines(said), strict=True) if line == f"{one} commit {line.split(' ')[-1]}"]


def _without_commits(queue: Queue, git: Inspection, works: list[Work]) -> list[Work]:
    """Mark the works whose recorded commit was there before their task was claimed: nothing was committed for it."""
    words = ("log", "--no-walk=unsorted", "--stdin", "--format=%H %ct")
    said = git.ask(*words, data="".join(f"{work.commit}\n" for work in works)).out if works else ""
    made = {commit: int(at) for commit, _, at in (line.partition(" ") for line in lines(said))}
    began = {
        (peer, claim.task): clock.seconds(claim.began)
        for peer in {work.peer for work in works}
        for claim in merging.past_claims(queue, peer)
        if claim.outcome == "done"
    }
    before = [work for work in works if made[work.commit] < int(began.get((work.peer, work.tasks[0]), 0))]
    return [replace(work, empty=frozenset(work.tasks)) if work in before else work for work in works]


def _with_history(git: Inspection, works: list[Work], base: str, found: Found) -> list[Work]:
    """Fill in which works each contains; those that the base contains are there already."""
    words = "".join(f"{one}\n" for one in (*(work.commit for work in works), f"^{base}"))
    said = git.ask("rev-list", "--stdin", "--parents", "--topo-order", "--reverse", data=words).out
    bit = {work.commit: 1 << number for number, work in enumerate(works)}
    holds: dict[str, int] = {}
    for line in lines(said):
        commit, *parents = line.split(" ")
        holds[commit] = bit.get(commit, 0)
        for parent in parents:
            holds[commit] |= holds.get(parent, 0)
    found.here |= {work.commit: "merged" for work in works if work.commit not in holds}
    return [
        replace(
            work,
            inside=frozenset(
                one.commit for one in works if one is not work and holds.get(work.commit, 0) & bit[one.commit]
            ),
        )
        for work in works
    ]


def _recognise(git: Inspection, works: list[Work], base: str, tips: Mapping[str, str], found: Found) -> None:
    """Find the works that are on the branch in another form, or come rewritten with a later one."""
    changed = cache(partial(landed.changed_paths, git))  # since a common commit

    def contained(commit: str) -> str:
        """Return how the branch contains a commit; not asked in full where the two touch no file in common."""
        start = git.text("merge-base", base, commit, ok=(0, 1))
        mine = changed(start, commit) if start else set()
        return landed.how_contained(git, base, commit) if not mine or mine & changed(start, base) else ""

    contained = cache(contained)
    for work in reversed(ordered(works)):
        if work.commit in found.here:
            continue
        later = next((one for one in works if work.commit in one.inside and one.commit in found.here), None)
        how = found.here[later.commit] if later else contained(work.commit)
        tip = tips.get(work.branch, "")
        on_it = bool(tip) and landed.contains(git, tip, work.commit)
        if not how and on_it:
            how = contained(tip)
        if not how and tip and not on_it:
            how = _rewritten(git, works, work, tip)
        if how:
            found.here[work.commit] = how


def _rewritten(git: Inspection, works: list[Work], work: Work, tip: str) -> str:
    """Name the work of the same instance, still on its branch, that has a rewritten version of this one."""
    for other in works:
        on_it = other is not work and other.peer == work.peer and landed.contains(git, tip, other.commit)
        if on_it and merging.has_rewritten(git, other.commit, work.commit):
            return f"rewritten since, comes with task {other.tasks[0]}"
    return ""


# -- what is left ------------------------------------------------------------------------------------------------


def _left_in(
    project: Project, queue: Queue, git: Inspection, instance: Instance, tip: str, known: list[str]
) -> list[Left]:
    """List what an instance has that no finished task recorded."""
    found = []
    if tip:
        data = "".join(f"{one}\n" for one in (tip, *(f"^{one}" for one in known)))
        count = int(git.ask("rev-list", "--stdin", "--count", data=data).out)
        if count:
            tasks = _unfinished(queue, instance.peer)
            whose = "; ".join(f"task {task} {end}" for task, end in tasks.items()) or "they belong to no task"
            many = "1 commit" if count == 1 else f"{count} commits"
            text = f"{many} on {instance.branch or 'no branch'} that no finished task recorded ({whose})"
            found.append(Left("unfinished", instance.peer, text, tuple(tasks)))
    if instance.git_dir is None or not instance.worktree.is_dir():
        return found
    try:
        with inspection.of_worktree(project, instance.worktree, instance.git_dir) as inside:
            seen = inside.changes()
    except PeercoordError as error:
        return [*found, Left("unknown", instance.peer, f"git cannot tell what is in its worktree: {error.message}")]
    files = list(dict.fromkeys([*seen.paths(), *seen.unsure]))
    if files:
        many = "1 file is" if len(files) == 1 else f"{len(files)} files are"
        held = tuple(task for task, end in _unfinished(queue, instance.peer).items() if end == _ENDS[""])
        found.append(Left("uncommitted", instance.peer, f"{many} not committed: {shown_paths(files, 5)}", held))
    return found


def _unfinished(queue: Queue, peer: str) -> dict[str, str]:
    """Return the tasks that an instance held and did not finish, and how each ended."""
    ends: dict[str, str] = {}
    for claim in merging.past_claims(queue, peer):
        ends[claim.task] = claim.outcome
    open_ends = {task: _ENDS.get(end, end) for task, end in ends.items() if end != "done"}
    return dict(sorted(open_ends.items(), key=lambda item: ids.natural(item[0])))
