"""Find what would be lost if a worktree were removed, also where git's own check does not look.

Git refuses to remove a worktree with changed or untracked files. It ignores ignored files, commits of a detached head,
stashes, submodules, files marked as unchanged, and running programs. A worktree may go only if none of these is found.
Whatever cannot be determined is a reason to keep it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from peercoord.errors import PeercoordError
from peercoord.mailbox import protocol
from peercoord.memory import contribution, reader
from peercoord.store import inspection, isolated_git, manifest, paths, records
from peercoord.store.settings import DOCUMENT_BYTES, RECORD_BYTES
from peercoord.system import gitdirs
from peercoord.system.disk import Disk, read_file
from peercoord.system.git import shown_path, shown_paths
from peercoord.team import files
from peercoord.team.repository import instance_files, state_of, worktrees
from peercoord.worktree import landed, progress_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from peercoord.foreign import Json
    from peercoord.memory.contribution import Contribution
    from peercoord.store.isolated_git import Inspection
    from peercoord.store.project import Project, Worktree
    from peercoord.team.plan import Instance

_REBUILT = ("__pycache__", "node_modules", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".tox", ".nox")
_MARKS = ("CACHEDIR.TAG", "pyvenv.cfg")  # in directories that a program can rebuild


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a worktree is kept."""

    kind: str  # ``changed untracked ignored hidden commits stash process locked under-way submodule unknown``
    text: str  # what was found, for people


def removable(project: Project, worktree: Path) -> list[Reason]:
    """List what would be lost if a worktree were removed.

    The files of ``.claude-instance/`` do not count: a removal collects what the peer left there.
    """
    tree = next(tree for tree in worktrees(project) if tree.path == worktree)
    found = [] if tree.locked is None else [Reason("locked", f"it is locked: {shown_path(tree.locked) or 'no reason'}")]
    found += [Reason("under-way", f"{what} is under way") for what in gitdirs.under_way(str(tree.git_dir))]
    try:
        found += _commits(project, tree)
        found += _stashes(project, tree)
        if tree.missing:
            found += _left_behind(project, tree)
        else:
            copied = manifest.table(manifest.read_worktree(tree.git_dir), "copied")
            link = project.path(str(manifest.read_project(project.common, project.sub).get("bank") or ""))
            with inspection.of_worktree(project, tree.path, tree.git_dir) as git:
                found += [*_files(git, project.main, link, copied), *_submodules(git, project.main)]
    except PeercoordError as error:
        found.append(Reason("unknown", f"git cannot tell what is in it: {error.message}"))
    return found if tree.missing else [*found, *_processes(tree.path)]


def _left_behind(project: Project, tree: Worktree) -> list[Reason]:
    """List what the git directory of a deleted worktree still holds."""
    found = []
    if (tree.git_dir / "index").exists():
        with isolated_git.of(isolated_git.Checkout("", str(tree.git_dir), str(project.common))) as git:
            words = ("diff-index", "--cached", "--name-only", "--ignore-submodules=none", "-z", "HEAD", "--")
            staged = git.fields(*words)
        if staged:
            found.append(Reason("changed", f"its directory is gone, but this was staged: {shown_paths(staged)}"))
    if (tree.git_dir / "modules").exists():
        found.append(Reason("submodule", "its directory is gone, but not the commits of its submodules"))
    return found


def _commits(project: Project, tree: Worktree) -> list[Reason]:
    if not tree.head or landed.kept_in(project, tree.head, [tree.branch]):
        return []
    count = landed.own_commits(project, tree.head)
    many = "1 commit is" if count == 1 else f"{count} commits are"
    where = f"on {tree.branch}" if tree.branch else "on no branch"
    return [Reason("commits", f"{many} {where} alone, neither merged nor pushed")]


def _stashes(project: Project, tree: Worktree) -> list[Reason]:
    with inspection.of_main(project) as git:
        lines = git.fields("stash", "list", "-z", "--format=%gd %gs")
    made = []
    for name, _, words in (line.partition(" ") for line in lines):  # "stash@{0} WIP on main: 1a2b3c4 words"
        branch = words.removeprefix("WIP ").removeprefix("On ").removeprefix("on ").partition(": ")[0]
        if branch == (tree.branch or "(no branch)"):
            made.append(name)
    return [Reason("stash", f"stashed there: {', '.join(made)}")] if made else []


# -- files -------------------------------------------------------------------------------------------------------


def _files(git: Inspection, main: Path, link: str, copied: dict[str, str]) -> list[Reason]:
    """List files that are only in a checkout."""
    tree, status = Path(git.checkout.tree), git.changes("--untracked-files=all", "--ignored=matching")
    entries = [
        (m, path) for m, path in status.entries if m not in ("??", "!!") or paths.INSTANCE not in path.split("/")
    ]
    changed = [path for marks, path in entries if marks not in ("??", "!!")]
    untracked = [path for marks, path in entries if marks == "??"]
    ignored = [new for marks, path in entries if marks == "!!" for new in _new(tree, main, path, link, copied)]
    found = []
    marked = [(line[0], line[2:]) for line in git.fields("ls-files", "-v", "-z")]
    asked = [path for mark, path in marked if (mark == "S" or mark.islower()) and files.is_own_file(tree / path)]
    listed = [entry.partition("\t") for entry in git.fields("ls-files", "-s", "-z", "--", *asked)] if asked else []
    hidden = [path for facts, _, path in listed if git.differs(path, facts.split(" ")[1])]
    for kind, word, some in (
        ("changed", "not committed", changed),
        ("untracked", "not tracked", untracked),
        ("ignored", "ignored by git, and only there", ignored),
        ("hidden", "changed, but hidden from git status (assume-unchanged, skip-worktree)", hidden),
        ("unknown", "git cannot tell whether it changed without running its filter", status.unsure),
    ):
        if some:
            found.append(Reason(kind, f"{word}: {shown_paths(some)}"))
    return found


def _new(tree: Path, main: Path, path: str, link: str, copied: dict[str, str]) -> Iterable[str]:
    """Yield ignored files that are nowhere else and that no program rebuilds."""
    place = tree / path
    if path == link and place.is_symlink():
        return
    if not place.is_symlink() and place.is_dir():
        if place.name in _REBUILT or any((place / mark).exists() for mark in _MARKS):
            return
        for entry in sorted(os.listdir(place)):
            yield from _new(tree, main, f"{path.rstrip('/')}/{entry}", link, copied)
        return
    own, there = (files.digest(one) if one.is_symlink() or one.is_file() else None for one in (place, main / path))
    if own is None or own not in (copied.get(path), there):
        yield path


# -- submodules and processes --------------------------------------------------------------------------------------


def _submodules(git: Inspection, main: Path) -> list[Reason]:
    """List what is only in the submodules of a checkout, at every depth."""
    found = []
    for path in inspection.submodules(git):
        try:
            with inspection.of_submodule(git, path) as inner:
                reasons = [*_in_submodule(inner, main / path), *_submodules(inner, main / path)]
        except PeercoordError as error:
            reasons = [Reason("unknown", f"git cannot tell what is in it: {error.message}")]
        found += [Reason("submodule", f"submodule {shown_path(path)}: {reason.text}") for reason in reasons]
    return found


def _in_submodule(git: Inspection, original: Path) -> list[Reason]:
    reasons = _files(git, original, "", {})
    if git.text("stash", "list", "-n1"):
        reasons.append(Reason("stash", "it has stashes"))
    unpushed = git.text("rev-list", "HEAD", "--branches", "--not", "--remotes").split()[:3]
    alone = [commit[:7] for commit in unpushed if not _has(original, commit)]
    if alone:
        reasons.append(Reason("commits", f"commits are there alone, not pushed: {', '.join(alone)}"))
    return reasons


def _has(original: Path, commit: str) -> bool:
    """Check whether a branch or tag of the main checkout's submodule has a commit."""
    if not (original / ".git").exists():
        return False
    words = ("for-each-ref", "--count=1", "--contains", commit)
    with inspection.of_directory(str(original)) as git:
        answer = git.ask(*words, ok=(0, 1, 129))
    return answer.status == 0 and bool(answer.out)


def _processes(tree: Path) -> list[Reason]:
    """List this user's processes that work in a directory."""
    import psutil

    found = []
    for process in psutil.process_iter(["cwd"]):
        cwd = process.info["cwd"]
        if not cwd or process.pid == os.getpid() or not Path(cwd).is_relative_to(tree):
            continue
        try:
            command = shown_path(" ".join(process.cmdline()) or process.name())[:80]
        except psutil.Error:
            command = "gone by now"
        found.append(Reason("process", f"process {process.pid} works there: {command}"))
    return found


# -- what a peer left for others -----------------------------------------------------------------------------------


QUEUED = "queued"
WAITING = (QUEUED, "candidates", "approvals")
FOLDER = "memory-contributions"
_SCRATCH = ("~", ".swp", ".tmp", ".part", ".crdownload")
_ANY_TIME = "1970-01-01T00:00:00Z"  # of contributions that are only counted


@dataclass(frozen=True, slots=True)
class Left(Reason):
    """A reason of kind ``requests``, ``memory`` or ``typed``."""

    place: str  # the entry of ``.claude-instance/`` that holds it


def undelivered(project: Project, instance: Instance) -> list[Left]:
    """List what a peer wrote in its worktree and the team has not received."""
    found: list[Left] = []
    requests, files = unserved(instance), uncollected(project, instance)
    if requests:
        text = f"requests lie in its outbox that no agent has served: {', '.join(requests)}"
        found.append(Left("requests", text, protocol.OUTBOX))
    if files:
        some = ", ".join(map(shown_path, files))
        found.append(Left("memory", f"contributions to the memory bank that were not collected: {some}", FOLDER))
    return [*found, *_typed(project, instance)]


def _typed(project: Project, instance: Instance) -> list[Left]:
    """List hand edits of ``progress.json`` that were not taken in."""
    files = instance_files(instance)
    published = state_of(project).files.read(paths.report(instance.peer)) or b"{}"
    found = []
    if progress_file.ProgressFile(files).says_news(records.decode(published, paths.report(instance.peer))):
        text = f"something was typed into {progress_file.NAME} that is not taken in"
        found.append(Left("typed", text, progress_file.NAME))
    aside = [name for name in files.scan("") if name.startswith(f"{progress_file.NAME}.kept-")]
    return found + [Left("typed", f"{name} holds what was typed and could not be taken in", name) for name in aside]


def unserved(instance: Instance) -> list[str]:
    """List the verbs of unanswered statements in a worktree's outbox."""
    files = instance_files(instance)
    verbs = []
    for name in sorted(files.scan(protocol.OUTBOX)):
        data = files.peek(protocol.request(name)) if protocol.parse_name(name) else None
        request = protocol.parse_request(data, name) if data is not None else None
        # a request stays a while after it was answered
        if request and request.verb in protocol.STATEMENTS and files.stat(protocol.answer(name)) is None:
            verbs.append(request.verb)
    return verbs


def uncollected(project: Project, instance: Instance) -> list[str]:
    """List the files of ``memory-contributions/`` that are not collected."""
    files = instance_files(instance)
    found = [name for name in sorted(files.scan(FOLDER)) if not name.startswith((".", "#"))]
    found = [name for name in found if not name.endswith(_SCRATCH)]
    if not found:
        return []
    state = project.directory / paths.ROOT / paths.MEMORY
    earlier = list(_contributions(state))
    merged = {path.stem for path in (state / "merged").glob("*.json")}
    bank = _documents(project)
    return [name for name in found if _has_news(name, instance, bank, earlier, merged)]


def waiting_contributions(project: Project) -> int:
    """Count collected contributions that wait for the merge or a person.

    One that a person has to decide on lies in the queue as well, and in each change that it takes part in.
    """
    state, found = project.directory / paths.ROOT / paths.MEMORY, set[str]()
    for path in (path for kind in WAITING for path in (state / kind).glob("*.json")):
        inner: object = None
        with suppress(PeercoordError, OSError):  # an unreadable file counts as one contribution
            inner = None if path.parent.name == QUEUED else _record(path).get("contributions")
        held = [one for one in inner if isinstance(one, str)] if isinstance(inner, list) else []
        found.update(held or [path.stem])
    return len(found)


def _has_news(
    name: str, instance: Instance, bank: dict[str, bytes], earlier: list[Contribution], merged: set[str]
) -> bool:
    files = instance_files(instance)
    data = files.peek(f"{FOLDER}/{name}")
    if data is None:
        return True  # it cannot be collected, but is work
    if not data.strip():
        return False
    kept = files.peek(f"collected/{name}")
    author = contribution.Author(instance.peer, "", _ANY_TIME)
    try:
        found = reader.from_file(author, name, data, bank, origin=kept, earlier=earlier, merged=merged)
    except PeercoordError:
        return True
    return bool(found.contributions or found.refused)


def _record(path: Path) -> Json:
    return records.decode(read_file(str(path), RECORD_BYTES + 1), path.name)


def _contributions(state: Path) -> Iterator[Contribution]:
    for kind in paths.MEMORY_STATES:
        for path in sorted((state / kind).glob("*.json")):
            try:
                yield contribution.Contribution.read(_record(path), path.name)
            except (PeercoordError, OSError):
                continue  # a candidate, or it moved meanwhile


def _documents(project: Project) -> dict[str, bytes]:
    name = manifest.read_project(project.common, project.sub).get("bank")
    place = project.main / project.path(name) if isinstance(name, str) and name else None
    if place is None or not place.is_dir():
        return {}
    disk, documents = Disk(str(place)), {}
    for path in sorted(place.glob("*.md")):
        with suppress(OSError):
            documents[path.name] = disk.read(path.name, DOCUMENT_BYTES)
    return documents
