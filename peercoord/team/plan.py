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
from peercoord.store.refusals import refused
from peercoord.system import progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence


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
    """What to do, in order, and the worktrees as they will be."""

    actions: list[Action] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # for people, one line each
    instances: list[Instance] = field(default_factory=list)  # by index
    failed: dict[str, PeercoordError] = field(default_factory=dict)  # by peer: why nothing can be planned for it


@contextmanager
def apart(made: Plan, name: str) -> Iterator[None]:
    """Record a failure of one instance and go on with the others.

    What the block planned is assigned to that instance; if the block fails, it is dropped.
    """
    begin = len(made.actions)
    try:
        yield
        made.actions[begin:] = own(made.actions[begin:], name)
    except (PeercoordError, OSError) as error:
        made.failed[name] = _failure(error, name)
        del made.actions[begin:]


def _failure(error: PeercoordError | OSError, name: str) -> PeercoordError:
    return error if isinstance(error, PeercoordError) else refused(error, str(error.filename or name))


def own(actions: Iterable[Action], peer: str) -> list[Action]:
    """Assign the actions without a peer to one."""
    return [action if action.peer else replace(action, peer=peer) for action in actions]


def run(
    actions: Sequence[Action],
    say: Callable[[str], None] | None = None,
    failed: dict[str, PeercoordError] | None = None,
) -> list[str]:
    """Carry out actions in order, after calling ``say`` with the text of each; return the warnings.

    ``failed`` takes, by peer, why an instance's action failed; its later actions are left out, and the others go on.
    Without it, or if an action of the whole team fails, the first failure ends the run.
    """
    warnings = []
    for action in progress.track(actions, "steps", len(actions)):
        if failed is not None and action.peer in failed:
            continue
        if say:
            say(action.text)
        try:
            warnings.append(action.do())
        except (PeercoordError, OSError) as error:
            failure = _failure(error, action.text)
            if failed is None or not action.peer:
                raise failure from None
            failed[action.peer] = failure
    return [warning for warning in warnings if warning]
