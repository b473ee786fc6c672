"""Where a directory stands: which repository, which checkout of it, and which of its checkouts is the main one.

The *main checkout* is the one that the team's state and memory bank lie in. Git's own list names it first, except
where it cannot know: a bare repository has none, for a submodule or a separate git directory it names the git
directory instead. There the checkout that set-up ran in is the main one, and the team's record in the git
directory remembers it.

A *project* is a checkout's root or a directory in it (one package of many): then it is the same directory below the
root of every worktree.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path, PurePath, PurePosixPath

from peercoord.core import names
from peercoord.core.errors import NotFoundError, PeercoordError
from peercoord.edges.team import git, record
from peercoord.edges.team.git import shown_path


@dataclass(frozen=True, slots=True)
class Worktree:
    """One checkout of the repository, as git's list has it.

    Attributes:
        path: Its root.
        git_dir: Its own git directory.
        head: The commit it stands on; empty before the first one.
        branch: Its branch without ``refs/heads/``; empty when detached.
        locked: Why it is locked; ``None`` if it is not.
        missing: Its directory is gone.
    """

    path: Path
    git_dir: Path
    head: str
    branch: str
    locked: str | None
    missing: bool


@dataclass(frozen=True, slots=True)
class Project:
    """A project in a repository.

    Attributes:
        main: Root of the main checkout.
        sub: The project's directory below the root of every checkout, with ``/``; empty if it is the root.
        common: The git directory that all checkouts share.
        here: Root of the checkout that was asked about.
        shallow: The history is cut off (a shallow clone).
    """

    main: Path
    sub: str
    common: Path
    here: Path
    shallow: bool

    @property
    def directory(self) -> Path:
        """The project in the main checkout."""
        return self.main / self.sub

    @property
    def name(self) -> str:
        """The project's name: that of its directory."""
        return self.directory.name or "project"

    def path(self, name: str) -> str:
        """Give the path, from a checkout's root, of something in the project."""
        return f"{self.sub}/{name}" if self.sub else name

    def short(self, path: Path) -> str:
        """Write a path for people, from the main checkout where that is shorter."""
        return shown_path(min(os.path.relpath(path, self.main), str(path), key=len))


def discover(directory: Path | str, exact: bool = False) -> Project:
    """Find the project that a directory belongs to.

    Args:
        directory: Any directory of the main checkout or of a worktree.
        exact: The directory itself is the project, as for one that is being set up. Otherwise it is the nearest
            directory above that has a team, or the root of the checkout.

    Raises:
        NotFoundError: There is no such directory, or it is in no checkout.
        PeercoordError: Git is too old, or refuses.
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
        recorded = record.read_team(common).get("main")
        if bare == "true" and isinstance(recorded, str) and _is_root(Path(recorded), common):
            return discover(recorded, exact)
        raise _no_checkout(start, common, bare == "true")
    here = _path(start, "--show-toplevel")
    main = _main(here, _path(start, "--absolute-git-dir"), common)
    below = PurePosixPath(git.text(start, "rev-parse", "--show-prefix"))
    sub = below if exact else _with_team(main, common, below)
    _must_be_text(main, here, common, sub)
    return Project(main, _sub(sub), common, here, shallow == "true")


def is_known(project: Project) -> bool:
    """Tell whether the repository remembers that this project has a team."""
    return bool(record.read_project(project.common, project.sub))


def worktrees(project: Project) -> list[Worktree]:
    """List the checkouts of a project's repository, the main one first; a bare repository itself is left out."""
    listed = _listed(project.common)
    paths = {tree.path for tree in listed}
    if listed and listed[0].path == project.common:
        # git's list has the git directory where it cannot know the main checkout
        first = [] if project.main in paths else [replace(listed[0], path=project.main, missing=False)]
        listed = [*first, *listed[1:]]
    return sorted(listed, key=lambda tree: tree.path != project.main)


def commit(project: Project, name: str = "HEAD") -> str:
    """Give the commit that a name stands for in the main checkout.

    Raises:
        PeercoordError: The repository has no commit yet, or none of that name.
    """
    words = ("rev-parse", "-q", "--verify", "--end-of-options", f"{name}^{{commit}}")
    found = git.ask(project.main, *words, ok=(0, 1, 128)).out.strip()
    if found:
        return found
    if name == "HEAD":
        raise PeercoordError(
            f"the repository in {shown_path(project.main)} has no commit yet, so no worktree can be made of it",
            "make the first one: git commit --allow-empty -m start",
            code="no-commit",
        )
    raise NotFoundError(
        f"'{shown_path(name)}' is no commit, branch or tag of {shown_path(project.main)}",
        "see them with: git branch -a",
        code="no-base",
    )


def _path(at: Path, question: str) -> Path:
    return Path(git.text(at, "rev-parse", "--path-format=absolute", question))


def _no_checkout(start: Path, common: Path, bare: bool) -> NotFoundError:
    checkouts = [tree.path for tree in _listed(common) if not tree.missing]
    if bare and not checkouts:
        hint = f"make a checkout of it first: git -C {shown_path(common)} worktree add ../main"
    else:
        hint = f"name a checkout, such as {shown_path(checkouts[0])}" if checkouts else "name the checkout itself"
    what = "is a bare repository, without files" if bare else "lies in a git directory, not in a checkout"
    return NotFoundError(f"{shown_path(start)} {what}", hint, code="no-checkout")


def _main(here: Path, git_dir: Path, common: Path) -> Path:
    if git_dir == common:
        return here
    recorded = record.read_team(common).get("main")
    configured = git.text(common, "--git-dir=.", "config", "--get", "core.worktree", ok=(0, 1))
    candidates = [common.parent if common.name == ".git" else None]
    candidates += [common / configured] if configured else []
    candidates += [Path(recorded)] if isinstance(recorded, str) else []
    for candidate in candidates:
        if candidate is not None and _is_root(candidate, common):
            return Path(os.path.realpath(candidate))
    return here


def _is_root(candidate: Path, common: Path) -> bool:
    """Tell whether a directory is the root of a checkout of the repository, whatever a record says."""
    if not candidate.is_dir():
        return False
    words = ("rev-parse", "--path-format=absolute", "--git-common-dir")
    answer = git.ask(candidate, *words, "--show-toplevel", ok=(0, 1, 128))
    return answer.out == f"{common}\n{os.path.realpath(candidate)}\n"


def _with_team(main: Path, common: Path, below: PurePosixPath) -> PurePosixPath:
    """Find the project above a directory: by its coordination directory, or if that is gone by the team's record."""
    parts = (below, *below.parents)
    there = next((part for part in parts if (main / part / names.ROOT).is_dir()), None)
    if there is not None:
        return there
    known = record.table(record.read_team(common), "projects")
    return next((part for part in parts if _sub(part) in known), PurePosixPath())


def _sub(below: PurePosixPath) -> str:
    return "" if below == PurePosixPath() else str(below)


def _must_be_text(*paths: PurePath) -> None:
    for path in paths:
        try:
            str(path).encode()
        except UnicodeEncodeError:
            raise PeercoordError(
                f"the path {shown_path(path)} is not UTF-8, and records of it could not be written",
                "rename that directory",
                code="bad-path",
            ) from None


def _listed(common: Path) -> list[Worktree]:
    """Read git's list as it is, without a bare repository's own entry."""
    admin = _admin_dirs(common)
    found = []
    for block in git.ask(common, "--git-dir=.", "worktree", "list", "--porcelain", "-z").out.split("\0\0"):
        facts = dict(line.partition(" ")[::2] for line in block.split("\0") if line)
        if facts and "bare" not in facts:
            path = Path(facts["worktree"])
            head = facts.get("HEAD", "")
            found.append(
                Worktree(
                    path=path,
                    git_dir=admin.get(path, common),
                    head=head if head.strip("0") else "",
                    branch=facts.get("branch", "").removeprefix("refs/heads/"),
                    locked=facts.get("locked"),
                    missing=not (path / ".git").exists(),
                )
            )
    return found


def _admin_dirs(common: Path) -> dict[Path, Path]:
    """Map each linked worktree's root to its own git directory, also where the root is gone."""
    found = {}
    for pointer in common.glob("worktrees/*/gitdir"):
        target = os.fsdecode(pointer.read_bytes()).rstrip("\n")
        found[Path(os.path.normpath(pointer.parent / target)).parent] = pointer.parent
    return found
