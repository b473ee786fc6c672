"""A plan of set-up or removal: actions decided before any of them is carried out.

Making a plan changes nothing. Each action is small and safe to repeat: after a failure, what was done is usable and the
next plan holds the rest. ``--dry-run`` prints the same actions that the real run carries out.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from peercoord.errors import PeercoordError
from peercoord.store.files import refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


@dataclass(frozen=True, slots=True)
class Action:
    """One step."""

    text: str  # what it does, one line without a full stop, in the imperative
    do: Callable[[], str | None]  # does it, and may return a warning
    peer: str = ""  # the one instance that it concerns; empty if it concerns the team. See ``run``


@dataclass(frozen=True, slots=True)
class Instance:
    """One worktree of the team, existing or planned."""

    index: int  # its number, from 1
    peer: str  # name of the peer that works there
    worktree: Path  # root of the worktree
    directory: Path  # the project in it
    branch: str  # its branch; empty when detached
    made: bool  # the team made it; otherwise it existed before and joined
    git_dir: Path | None = None  # its own git directory; ``None`` until the worktree is made


@dataclass(slots=True)
class Plan:
    """Actions in order, notes, and the worktrees as they will be.

    Attributes:
        actions: What to do, in order.
        notes: What people should know, one line each.
        instances: The team's worktrees, by index.
        failed: By peer, why nothing can be planned for that instance.
    """

    actions: list[Action] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    instances: list[Instance] = field(default_factory=list)
    failed: dict[str, PeercoordError] = field(default_factory=dict)


@contextmanager
def apart(made: Plan, name: str) -> Iterator[None]:
    """Record a failure of one instance and go on with the others.

    What the block planned is assigned to that instance; if the block fails, it is dropped.
    """
    begin = len(made.actions)
    try:
        yield
        made.actions[begin:] = own(made.actions[begin:], name)
    except PeercoordError as error:
        made.failed[name] = error
        del made.actions[begin:]
    except OSError as error:
        made.failed[name] = refused(error, str(error.filename or name))
        del made.actions[begin:]


def own(actions: Iterable[Action], peer: str) -> list[Action]:
    """Assign the actions without a peer to one."""
    return [action if action.peer else replace(action, peer=peer) for action in actions]


def run(
    actions: Iterable[Action],
    say: Callable[[str], None] | None = None,
    failed: dict[str, PeercoordError] | None = None,
) -> list[str]:
    """Carry out actions in order.

    Args:
        actions: The actions.
        say: Called with the text of each action before it is carried out.
        failed: Takes, by peer, why an instance's action failed; its later actions are left out and the others go on.
            ``None``: the first failure ends the run.

    Returns:
        Warnings: what did not go well and stopped nothing.

    Raises:
        PeercoordError: An action of the team failed; those before it are done.
    """
    warnings = []
    for action in actions:
        if failed is not None and action.peer in failed:
            continue
        if say:
            say(action.text)
        try:
            warning = _done(action)
        except PeercoordError as error:
            if failed is None or not action.peer:
                raise
            failed[action.peer] = error
            continue
        if warning:
            warnings.append(warning)
    return warnings


def _done(action: Action) -> str | None:
    try:
        return action.do()
    except OSError as error:
        raise refused(error, str(error.filename or action.text)) from None
