"""The project of a directory, the checkouts of its repository, and the team's worktrees among them.

The *main checkout* holds the team's state and memory bank. Git lists it first, except where it cannot know it: in a
bare repository, a submodule, or with a separate git directory. There it is the checkout in which set-up ran, as the git
directory's record says. A *project* is a checkout's root, or a directory below the root of every checkout.
"""

from __future__ import annotations

import os
import shlex
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePath, PurePosixPath
from stat import S_ISREG
from typing import TYPE_CHECKING

from peercoord.errors import NotFoundError, PeercoordError
from peercoord.store import ids, instance_records, manifest, paths
from peercoord.store.beneath import Beneath, InstanceFiles
from peercoord.store.files import Files
from peercoord.store.project import Project, Worktree
from peercoord.store.root import Root
from peercoord.system import clock, git, gitdirs
from peercoord.system.disk import Disk
from peercoord.system.git import shown_path
from peercoord.team.plan import Instance

if TYPE_CHECKING:
    from pathlib import Path

    from peercoord.foreign import Json


def discover(directory: Path | str, exact: bool = False) -> Project:
    """Find the project that a directory of the main checkout or of a worktree belongs to.

    It is the nearest directory above that has a team, or the root of the checkout; if ``exact``, as for one that is
    being set up, the directory itself.
    """
    git.check_version()
    start = Path(os.path.realpath(directory))
    if not start.is_dir():
        raise NotFoundError(f"{shown_path(start)} is not a directory", "name the directory of a git repository")
    inside, bare, shallow = git.text(
        start, "rev-parse", "--is-inside-work-tree", "--is-bare-repository", "--is-shallow-repository"
    ).split("\n")
    common = _path(start, "--git-common-dir")
    if inside != "true":
        recorded = manifest.read_team(common).get("main")
        if bare == "true" and isinstance(recorded, str) and _is_root(Path(recorded), common):
            return discover(recorded, exact)
        raise _no_checkout(start, common, bare == "true")
    here = _path(start, "--show-toplevel")
    main = _main(here, _path(start, "--absolute-git-dir"), common)
    below = PurePosixPath(git.text(start, "rev-parse", "--show-prefix"))
    sub = below if exact else _with_team(main, common, below)
    for path in (main, here, common, sub):
        if os.fsencode(path).decode(errors="replace") != str(path):
            text = f"the path {shown_path(path)} is not UTF-8, and records of it could not be written"
            raise PeercoordError(text, "rename that directory", code="bad-path")
    return Project(main, _sub(sub), common, here, shallow == "true")


def is_known(project: Project) -> bool:
    """Check whether the repository remembers that this project has a team."""
    return bool(manifest.read_project(project.common, project.sub))


def worktrees(project: Project) -> list[Worktree]:
    """List the checkouts of a project's repository, the main one first."""
    listed = [_as_recorded(project, tree) for tree in _listed(project.common)]
    paths = {tree.path for tree in listed}
    if listed and listed[0].path == project.common:
        # git lists the git directory itself if it cannot know the main checkout
        first = [] if project.main in paths else [replace(listed[0], path=project.main, missing=False)]
        listed = [*first, *listed[1:]]
    return sorted(listed, key=lambda tree: tree.path != project.main)


def state_of(project: Project) -> Root:
    """Return the coordination directory unchecked, for its instance records."""
    return Root(Files(Disk(str(project.directory / paths.ROOT)), clock.token), {})


def _as_recorded(project: Project, tree: Worktree) -> Worktree:
    """Correct a worktree's place by the coordination directory if git's list is wrong.

    Who may commit may write git's list. A worktree that was moved leads back to its git directory.
    """
    if tree.git_dir == project.common or leads_to(tree.path, tree.git_dir):
        return tree
    place = _by_git_dir(project).get(str(tree.git_dir), {}).get("worktree", str(tree.path / project.sub))
    path = Path(place.removesuffix(f"/{project.sub}") if project.sub else place)
    return replace(tree, path=path, missing=not (path / ".git").exists())


def leads_to(tree: Path, git_dir: Path) -> bool:
    """Check whether a directory's ``.git`` file names ``git_dir``."""
    return gitdirs.target(str(tree / ".git")) == str(git_dir)


def git_dirs(project: Project) -> dict[Path, Path]:
    """Map the root of each linked worktree to its git directory, as the main repository has it."""
    return {tree.path: tree.git_dir for tree in worktrees(project) if tree.git_dir != project.common}


def commit(project: Project, name: str = "HEAD") -> str:
    """Return the commit that a name stands for in the main checkout."""
    words = ("rev-parse", "-q", "--verify", "--end-of-options", f"{name}^{{commit}}")
    found = git.ask(project.main, *words, ok=(0, 1, 128)).out.strip()
    if found:
        return found
    where = shown_path(project.main)
    if name == "HEAD":
        text = f"the repository in {where} has no commit yet, so no worktree can be made of it"
        raise PeercoordError(text, "make the first one: git commit --allow-empty -m start", code="no-commit")
    text = f"'{shown_path(name)}' is no commit, branch or tag of {where}"
    raise NotFoundError(text, "see them with: git branch -a", code="no-base")


def _path(at: Path, question: str) -> Path:
    return Path(git.text(at, "rev-parse", "--path-format=absolute", question))


def _no_checkout(start: Path, common: Path, bare: bool) -> NotFoundError:
    checkouts = [tree.path for tree in _listed(common) if not tree.missing]
    if bare and not checkouts:
        hint = f"make a checkout of it first: git -C {git.pasted(common)} worktree add ../main"
    else:
        hint = f"name a checkout, such as {shown_path(checkouts[0])}" if checkouts else "name the checkout itself"
    what = "is a bare repository, without files" if bare else "lies in a git directory, not in a checkout"
    return NotFoundError(f"{shown_path(start)} {what}", hint, code="no-checkout")


def _main(here: Path, git_dir: Path, common: Path) -> Path:
    if git_dir == common:
        return here
    recorded = manifest.read_team(common).get("main")
    configured = git.text(common, "--git-dir=.", "config", "--get", "core.worktree", ok=(0, 1))
    candidates = [common.parent if common.name == ".git" else None]
    candidates += [common / configured] if configured else []
    candidates += [Path(recorded)] if isinstance(recorded, str) else []
    for candidate in candidates:
        if candidate is not None and _is_root(candidate, common):
            return Path(os.path.realpath(candidate))
    return here


def _is_root(candidate: Path, common: Path) -> bool:
    """Check whether a directory is the root of a checkout of the repository, whatever a record says."""
    if not candidate.is_dir():
        return False
    words = ("rev-parse", "--path-format=absolute", "--git-common-dir")
    answer = git.ask(candidate, *words, "--show-toplevel", ok=(0, 1, 128))
    return answer.out == f"{common}\n{os.path.realpath(candidate)}\n"


def _with_team(main: Path, common: Path, below: PurePosixPath) -> PurePosixPath:
    """Find the project above a directory: by its coordination directory, or if that is gone by the team's record."""
    parts = (below, *below.parents)
    there = next((part for part in parts if (main / part / paths.ROOT).is_dir()), None)
    if there is not None:
        return there
    known = manifest.table(manifest.read_team(common), "projects")
    return next((part for part in parts if _sub(part) in known), PurePosixPath())


def _sub(below: PurePosixPath) -> str:
    return "" if below == PurePosixPath() else str(below)


def _listed(common: Path) -> list[Worktree]:
    """Read git's list as it is, without a bare repository's own entry.

    Git itself would wait for ever at a FIFO in a worktree's git directory, where an agent that may commit can put one.
    Then the files are read here, and the worktree in question is left out.
    """
    admin: dict[Path, list[Path]] = {}  # by root, also where it is gone: several git directories may claim one root
    for pointer in sorted(common.glob("worktrees/*/gitdir")):
        if root := gitdirs.root_of(str(pointer.parent)):
            admin.setdefault(Path(root), []).append(pointer.parent)
    if irregular(common):
        return _read_here(common, admin)
    found = []
    for block in git.ask(common, "--git-dir=.", "worktree", "list", "--porcelain", "-z").out.split("\0\0"):
        facts = dict(line.partition(" ")[::2] for line in block.split("\0") if line)
        if facts and "bare" not in facts:
            path, head = Path(facts["worktree"]), facts.get("HEAD", "")
            # of several git directories that claim one root, the one with the head of this entry
            claims, on = admin.get(path, []), facts.get("branch", head)
            same = [one for one in claims if gitdirs.line(str(one / "HEAD")).removeprefix("ref: ") == on]
            git_dir = next(iter(same or claims), common)
            if git_dir in claims:
                claims.remove(git_dir)
            found.append(
                Worktree(
                    path=path,
                    git_dir=git_dir,
                    head=head if head.strip("0") else "",
                    branch=facts.get("branch", "").removeprefix("refs/heads/"),
                    locked=facts.get("locked"),
                    missing=not (path / ".git").exists(),
                )
            )
    return found


def irregular(common: Path) -> list[Path]:
    """List the files that git reads in every worktree but that are not regular: git would wait for ever at a FIFO."""
    found = []
    for name in ("HEAD", "gitdir", "commondir", "locked"):
        for path in sorted(common.glob(f"worktrees/*/{name}")):
            with suppress(FileNotFoundError):
                if not S_ISREG(os.stat(path).st_mode):
                    found.append(path)
    return found


def refuse_irregular(common: Path) -> None:
    """Refuse to let git read a worktree's git directory that would make it wait."""
    found = irregular(common)
    if found:
        text = f"{shown_path(found[0])} is not a regular file, and git would wait for it"
        hint = f"remove that entry: rm -r {shlex.quote(str(found[0].parent))}"
        raise PeercoordError(text, hint, code="irregular")


def _read_here(common: Path, admin: dict[Path, list[Path]]) -> list[Worktree]:
    """Read the list from its files, without the worktrees whose files are not regular."""
    refused, listed = {path.parent for path in irregular(common)}, []
    tips = git.tips(git.ask(common, "--git-dir=.", "for-each-ref", git.TIPS, "refs/heads").out)
    main = common.parent if common.name == ".git" else common
    linked = [(root, one) for root, claims in admin.items() for one in claims if one not in refused]
    for root, git_dir in [(main, common), *linked]:
        head = gitdirs.line(str(git_dir / "HEAD"))
        branch = head.removeprefix("ref: ") if head.startswith("ref: ") else ""
        locked = gitdirs.line(str(git_dir / "locked")) if (git_dir / "locked").exists() else None
        listed.append(
            Worktree(
                path=root,
                git_dir=git_dir,
                head=tips.get(branch, "") if branch else head,
                branch=branch.removeprefix("refs/heads/"),
                locked=locked,
                missing=not (root / ".git").exists(),
            )
        )
    return listed


# -- the worktrees of the team -------------------------------------------------------------------------------------


MOST = 99
"""Worktrees of one team."""


def team_instances(project: Project) -> list[Instance]:
    """List the worktrees of the project's team by index, also those whose directory is gone.

    Who may commit may write a worktree's git directory: what the coordination directory has of it comes first, and
    must be there where the record in the git directory cannot be understood.
    """
    noted = _by_git_dir(project)
    found = [
        instance
        for tree in worktrees(project)
        if (instance := _instance(project, tree, noted.get(str(tree.git_dir), {})))
    ]
    return sorted(found, key=lambda instance: (instance.index, instance.peer))


def left_behind(project: Project) -> list[Instance]:
    """List the worktrees that a former team made and that had to stay when it was taken away: ordinary ones by now."""
    found = [instance for tree in worktrees(project) if (instance := _instance(project, tree, {}, left=True))]
    return sorted(found, key=lambda instance: (instance.index, instance.peer))


def instance_at(project: Project, path: Path) -> Instance | None:
    """Return the instance whose worktree holds ``path``; ``None`` if it is no worktree of the team."""
    return next((instance for instance in team_instances(project) if path.is_relative_to(instance.worktree)), None)


def peer_name(index: int) -> str:
    """Return the name of the peer in a worktree that the team makes."""
    return f"instance-{index}"


def home(project: Project, index: int) -> Path:
    """Return the place of a worktree that the team makes."""
    return project.main.parent / f"{project.name}-{peer_name(index)}"


def is_place_of(project: Project, instance: Instance) -> bool:
    """Check whether more than git's list says that this is the instance's place.

    The coordination directory says so, or it is a place where the team makes worktrees.
    """
    noted = _by_git_dir(project).get(str(instance.git_dir), {})
    return noted.get("worktree") == str(instance.directory) or instance.worktree == home(project, instance.index)


def _by_git_dir(project: Project) -> dict[str, Json]:
    return {known["git_dir"]: known for known in instance_records.all(state_of(project)).values()}


def _instance(project: Project, tree: Worktree, noted: Json, left: bool = False) -> Instance | None:
    if tree.git_dir == project.common:
        return None
    made = tree.branch in manifest.branches(project.common, project.sub)
    lost = {"sub": project.sub, "made": made} if noted else {}
    try:
        known = manifest.read_worktree(tree.git_dir) or (lost if manifest.was_cut(tree.git_dir) else {})
    except PeercoordError:
        known = {**lost, "made": False} if lost else {}
    if known and noted:
        known = {**known, "peer": noted["instance_id"], "index": noted.get("index", known.get("index"))}
    index, peer = known.get("index"), known.get("peer")
    if known.get("sub") != project.sub or not isinstance(index, int) or not ids.is_id(peer):
        return None
    if (known.get("left") is True) != left:
        return None
    return Instance(
        index=index,
        peer=str(peer),
        worktree=tree.path,
        directory=tree.path / project.sub,
        branch=tree.branch,
        made=known.get("made") is True,
        git_dir=tree.git_dir,
    )


def instance_files(instance: Instance, name: str = paths.INSTANCE) -> InstanceFiles:
    """Return safe access to ``.claude-instance/`` or another directory in a worktree."""
    inside = instance.directory.relative_to(instance.worktree) / name
    return InstanceFiles(Beneath(str(instance.worktree), "" if inside == PurePath() else str(inside)))


def instance_dir(instance: Instance) -> Path:
    """Return a worktree's ``.claude-instance/``."""
    return instance.directory / paths.INSTANCE
