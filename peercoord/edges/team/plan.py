"""What set-up and removal are going to do, decided before any of it is done.

A plan is made by looking only. Its actions are small, each safe to repeat; after a failure half way, what was done
is usable and a new plan holds just the rest. So ``--dry-run`` is printing the plan, and the real run prints the same
lines, because they are the same objects.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from peercoord.fs.files import refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@dataclass(frozen=True, slots=True)
class Action:
    """One step.

    Attributes:
        text: What it does, one line without a full stop, in the imperative.
        do: Does it. Gives a warning, or an empty string.
    """

    text: str
    do: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Seat:
    """One worktree of the team, there or about to be.

    Attributes:
        index: Its number, from 1.
        peer: Name of the peer that works there.
        worktree: Root of the worktree.
        directory: The project in it.
        branch: Its branch; empty when detached.
        made: The team made it; otherwise it was there before and joined.
        git_dir: Its own git directory; ``None`` until the worktree is made.
    """

    index: int
    peer: str
    worktree: Path
    directory: Path
    branch: str
    made: bool
    git_dir: Path | None = None


@dataclass(slots=True)
class Plan:
    """Actions in order, what else there is to say, and the worktrees as they are once all is done.

    Attributes:
        actions: What to do, in order.
        notes: What people should know, one line each; nothing is done about it.
        seats: The team's worktrees, by index.
    """

    actions: list[Action] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seats: list[Seat] = field(default_factory=list)


def run(actions: Iterable[Action], say: Callable[[str], None] | None = None) -> list[str]:
    """Carry out actions in order.

    Args:
        actions: The actions.
        say: Called with the text of each, before it is done.

    Returns:
        The warnings: things that did not go well and stop nothing.

    Raises:
        PeercoordError: An action failed; those before it are done, those after it are not.
    """
    warnings = []
    for action in actions:
        if say:
            say(action.text)
        try:
            warning = action.do()
        except OSError as error:
            raise refused(error, str(error.filename or action.text)) from None
        if warning:
            warnings.append(warning)
    return warnings
