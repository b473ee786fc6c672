"""What a branch changes: the lines added and removed in each file, since it left the project's own branch.

The answer depends on two commits alone, so git is asked once for each pair of them, and never longer than a moment.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from peercoord.errors import PeercoordError
from peercoord.store import inspection
from peercoord.system import git, gitdirs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from peercoord.status.views import PeerView

SECONDS = 2.0  # for git, of one pair of commits
FRESH_SECONDS = 0.5  # how long the commits of branches are believed
KEPT_MOST, FILES_MOST = 2000, 100_000  # answers that are kept, and files in them
_FLAGS = ("--no-ext-diff", "--no-textconv", "--no-color", "--no-renames")


@dataclass(frozen=True, slots=True)
class Diff:
    """What a branch or a commit changes.

    Attributes:
        branch: The branch; empty if only the commit is known.
        files: Lines added, lines removed and path of each file; ``None`` for both numbers of a binary file.
    """

    branch: str
    files: tuple[tuple[int | None, int | None, str], ...]

    @property
    def told(self) -> str:
        """The sum in one line: ``+212 −40 in 7 files``."""
        added, removed = (sum(file[at] or 0 for file in self.files) for at in (0, 1))  # type: ignore[misc]
        return f"+{added} −{removed} in {len(self.files)} file{'' if len(self.files) == 1 else 's'}"


class Changes:
    """Asks git what branches of a project change, and keeps the answers.

    Git runs isolated: no configuration, attribute or filter of the repository has a say.

    Args:
        project: The project's directory in the main checkout.

    Attributes:
        left: Seconds that git may take for all that is asked from now on.
    """

    def __init__(self, project: str) -> None:
        self.project = project
        self.left = math.inf
        self._read: tuple[float, str, str, dict[str, str]] = (-math.inf, "", "", {})
        self._known: dict[tuple[str, str], tuple[tuple[int | None, int | None, str], ...]] = {}

    def of_task(self, holder: PeerView | None, result: Mapping[str, object]) -> Diff | None:
        """Return what the branch of a task's holder changes, or what the record of its result names.

        Raises:
            PeercoordError: Git cannot tell.
        """
        if holder is not None:
            return self.of(holder.branch)
        return self.of(*(str(result.get(key) or "") for key in ("branch", "commit")))

    def of(self, branch: str, commit: str = "") -> Diff | None:
        """Return what a branch changes, or a commit if there is one; ``None`` if nothing, or there is no such branch.

        Raises:
            PeercoordError: Git cannot tell.
        """
        if not branch and not commit:
            return None
        main, base, tips = self._branches()
        onto, tip = tips.get(base, ""), commit or tips.get(branch, "")
        if not onto or not tip or onto == tip:
            return None
        files = self._known.get((onto, tip))
        if files is None:
            files = self._known[onto, tip] = self._asked(main, onto, tip)
            while len(self._known) > KEPT_MOST or sum(map(len, self._known.values())) > FILES_MOST:
                del self._known[next(iter(self._known))]
        return Diff(branch, files) if files else None

    def _branches(self) -> tuple[str, str, dict[str, str]]:
        """The main checkout, its branch, and the commit of each branch, read a moment ago or now."""
        if time.monotonic() - self._read[0] > FRESH_SECONDS:
            main, git_dir, _ = gitdirs.repository(self.project)
            base = gitdirs.line(f"{git_dir}/HEAD").removeprefix("ref: refs/heads/") if main else ""
            tips = git.branches(git.text(main, "for-each-ref", git.TIPS, "refs/heads")) if base else {}
            self._read = time.monotonic(), main, base, tips
        return self._read[1:]

    def _asked(self, main: str, onto: str, tip: str) -> tuple[tuple[int | None, int | None, str], ...]:
        if self.left <= 0:
            raise PeercoordError("there was no time to ask git", "look at its branch: git diff --stat")
        began = time.monotonic()
        try:
            return self._compared(main, onto, tip)
        finally:
            self.left -= time.monotonic() - began

    @staticmethod
    def _compared(main: str, onto: str, tip: str) -> tuple[tuple[int | None, int | None, str], ...]:
        with inspection.of_directory(main) as inspected:
            inspected.ends = time.monotonic() + SECONDS
            words = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{tip}^{{commit}}")
            there = inspected.ask(*words, ok=(0, 1)).out.strip()
            fork = inspected.ask("merge-base", onto, there, ok=(0, 1)).out.strip() if there else ""
            if fork in ("", there):
                return ()
            fields = inspected.fields("diff", "--numstat", "-z", *_FLAGS, fork, there)
        found = (entry.split("\t", 2) for entry in fields)
        return tuple((_number(one[0]), _number(one[1]), _text(one[2])) for one in found if len(one) == 3)


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def _text(path: str) -> str:
    """A path as text: bytes that are no UTF-8 are replaced, for a page cannot be sent with them."""
    return path.encode(errors="replace").decode()
