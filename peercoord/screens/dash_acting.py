"""The keys of the dash that change something: each asks first, then calls the function of a command in a thread."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from rich.text import Text
from textual.binding import Binding

from peercoord.errors import PeercoordError
from peercoord.foreign import plain
from peercoord.screens import dash_actions as actions
from peercoord.screens import dash_story
from peercoord.screens.dash_dialogs import Ask, Choose, Confirm
from peercoord.status.needs import doing

if TYPE_CHECKING:
    from collections.abc import Callable

    from peercoord.screens.dash_actions import Done
    from peercoord.screens.dash_source import Source, View
    from peercoord.status.needs import Need
    from peercoord.status.views import PeerView, Row

BINDINGS = [Binding(key, f"act('{key}')", show=False) for key in ("a", "e", "x", "r", "R", "o", "t", "m", "l", "u")]
_WAITS = ("blocked", "failed")  # states of a task that an answer ends
_REOPENED = ("done", "blocked", "review", "deferred", "cancelled", "failed", "held", "unreadable")


def about(view: View, index: int, need: Need) -> tuple[str, str]:
    """What a need is about, as ``TeamScreen.target`` names it."""
    if index in view.reviews:
        return "review", view.reviews[index]
    if need.task:
        return "task", need.task
    return ("peer", need.who) if view.peer(need.who) else ("need", f"{need.kind} {need.about}")


def keys_for(view: View | None, kind: str, name: str) -> list[tuple[str, str]]:
    """The keys that act on one thing, with what they do."""
    if kind == "review":
        return [("a", "approve"), ("e", "edit"), ("x", "reject")]
    if view is None or kind not in ("task", "peer"):
        return []
    found = []
    row = view.row(name) if kind == "task" else held_row(view, name)
    if row is not None:
        found += [("a", "accept")] if row.status == "review" else []
        found += [("a", "answer")] if row.status in _WAITS else []
        found += [("r", "reassign")] if row.holder or row.status == "ready" else []
        found += [("R", "release")] if row.holder else []
        found += [("o", "reopen")] if row.status in _REOPENED else []
    return [*found, *([("t", "attach")] if kind == "peer" or (row and row.holder) else [])]


def held_row(view: View, name: str) -> Row | None:
    """The first task that an instance holds; ``None`` if it holds none."""
    peer = view.peer(name)
    return next(iter(view.board.held_by(peer.incarnation)), None) if peer else None


class Acting:
    """What the dash does on a key. Mixed into the app."""

    source: Source
    _undo: tuple[Callable[[], Done], str] | None = None
    push_screen: Any
    run_worker: Any
    suspend: Any
    call_from_thread: Any
    tell: Callable[..., None]
    target: Callable[[], tuple[str, str]]
    attach: Callable[[PeerView], None]
    open: Callable[[str, str], None]

    @property
    def view(self) -> View | None:
        """What is shown."""
        raise NotImplementedError

    @property
    def undoable(self) -> bool:
        """Whether the last action can be taken back."""
        return self._undo is not None

    def action_act(self, key: str) -> None:
        """Act on the chosen row."""
        self.act(key, *self.target())

    def act(self, key: str, kind: str, name: str) -> None:
        """Act on one thing, or on the whole team."""
        if key == "l":
            self._plan_landing()
        elif key == "u":
            self._undo_last()
        elif key == "m":
            self._first_review()
        elif kind == "review" and key == "e":
            self._edit(name)
        elif kind == "review" and key in "ax":
            self._decide(key, name)
        elif self.view is not None:
            row = self.view.row(name) if kind == "task" else held_row(self.view, name) if kind == "peer" else None
            peer = self.view.peer(name if kind == "peer" else row.holder if row else "")
            if key == "t" and peer:
                self.attach(peer)
            elif row is None:
                self.tell("choose a task, or an instance that holds one", "yellow")
            else:
                self._act_on(key, row, peer)

    def _act_on(self, key: str, row: Row, peer: PeerView | None) -> None:
        named = f'#{row.task} "{plain(row.title)}"'
        if key == "r":
            self._reassign(row, named)
        elif key == "R" and peer and row.holder:
            worktree = str(peer.record.get("worktree") or "")
            question = f"Release {named}, which {plain(peer.name)} holds, to the queue?"
            command = f"peercoord -C {shlex.quote(worktree)} release {row.task}"
            self._ask(question, lambda: actions.release(self.source, row.task, worktree), command)
        elif key == "o" and row.status in _REOPENED:
            command = f"peercoord task reopen {row.task}"
            self._ask(f"Put {named} back into the queue?", lambda: actions.reopen(self.source, row.task), command)
        elif key == "a" and row.status == "review":
            command = f"peercoord task accept {row.task}"
            self._ask(f"Accept {named}: it is done?", lambda: actions.accept(self.source, row.task), command)
        elif key == "a" and row.status in _WAITS:
            self._answer(row, named)
        else:
            self.tell(f"that does not go with #{row.task}, which is {row.status.replace('-', ' ')}", "yellow")

    # -- each action -------------------------------------------------------------------------------------------

    def _reassign(self, row: Row, named: str) -> None:
        view = self.view
        others = [peer for peer in view.board.peers if peer.name != row.holder] if view else []
        if view is None or not others or row.status not in ("ready", "in-progress", "review", "deferred", "held"):
            self.tell(f"#{row.task} cannot be reassigned: it is {row.status}, or there is no other instance", "yellow")
            return
        choices = [
            (
                peer.name,
                Text.assemble((f" {plain(peer.name):<14}", "bold"), f" {doing(view.board, peer).word.rstrip(',')}"),
            )
            for peer in others
        ]

        def chosen(name: str) -> None:
            if name:
                was = f" from {plain(row.holder)}" if row.holder else ""
                question = f"Reassign {named}{was} to {plain(name)}?"
                command = f"peercoord reassign {row.task} {name}"
                self._ask(question, lambda: actions.reassign(self.source, row.task, name), command)

        self.push_screen(Choose(f"Who gets {named}?", choices), chosen)

    def _answer(self, row: Row, named: str) -> None:
        note = row.definition.raw.get("parked") if row.definition else None
        reason = plain(note.get("reason")) if isinstance(note, dict) and note.get("reason") else ""

        def said(text: str) -> None:
            if text:
                self._run(lambda: actions.answer(self.source, row.task, text))

        self.push_screen(Ask(f"Answer {named}", [reason] if reason else []), said)

    def _first_review(self) -> None:
        if self.view is not None and self.view.reviews:
            self.open("review", next(iter(self.view.reviews.values())))
        else:
            self.tell("nothing of the memory bank waits for you", "yellow")

    def _decide(self, key: str, ident: str) -> None:
        try:
            item = dash_story.item(self.source, ident)
        except PeercoordError as error:
            self._failed(error)
            return
        place = plain(item.place)
        if key == "x":
            screen = Ask(f"Reject the change of {place}: why? Its authors are told.")
            self.push_screen(
                screen, lambda why: self._run(lambda: actions.reject(self.source, ident, why)) if why else None
            )
        elif item.conflict:
            labels = [
                ("left", item.sides[0].label),
                ("right", item.sides[1].label),
                ("both", "both, one after the other"),
            ]
            choices = [(choice, Text(f" {plain(label)}")) for choice, label in labels]

            def chosen(choice: str) -> None:
                if choice:
                    command = f"peercoord review approve {ident} --take {choice}"
                    label = plain(dict(labels)[choice])
                    question = f"{place}: take the text of {label}?" if choice != "both" else f"{place}: take both?"
                    self._ask(question, lambda: actions.approve(self.source, ident, choice), command)

            self.push_screen(Choose(f"{place}: whose text?", choices), chosen)
        else:
            command = f"peercoord review approve {ident}"
            question = f"Approve the change of {place} by {plain(item.sides[0].label)}?"
            self._ask(question, lambda: actions.approve(self.source, ident, ""), command)

    def _edit(self, ident: str) -> None:
        """Leave the terminal to the person's editor, and approve what was written."""
        try:
            with self.suspend():
                done = actions.edit(self.source, ident)
        except PeercoordError as error:
            self._failed(error)
        else:
            self._succeeded(done)

    def _plan_landing(self) -> None:
        self.tell("looking what would land …", "cyan")

        def plan() -> None:
            try:
                lines = actions.planned(actions.plan_landing(self.source))
            except PeercoordError as error:
                self.call_from_thread(self._failed, error)
                return
            self.call_from_thread(show, lines)

        def show(lines: list[str]) -> None:
            if not lines:
                self.tell("there is nothing to land", "yellow")
                return
            self.tell("")
            say = lambda text: self.call_from_thread(self.tell, f"{text} …", "cyan")  # noqa: E731
            question = "Land the finished work on the project's branch?"
            self._ask(question, lambda: actions.land(self.source, say), "peercoord land", lines)

        self.run_worker(plan, thread=True, group="act")

    def _undo_last(self) -> None:
        if self._undo is None:
            self.tell("nothing that was done here can be taken back", "yellow")
        else:
            undo, what = self._undo
            self._ask(f"Take back {plain(what)}?", undo)

    # -- asking and doing ----------------------------------------------------------------------------------------

    def _ask(self, question: str, do: Callable[[], Done], command: str = "", lines: list[str] | None = None) -> None:
        """Ask, and do it if the answer is yes."""
        self.push_screen(Confirm(question, lines or [], plain(command)), lambda yes: self._run(do) if yes else None)

    def _run(self, do: Callable[[], Done]) -> None:
        """Do something in a thread, and say what became of it."""

        def work() -> None:
            try:
                done = do()
            except PeercoordError as error:
                self.call_from_thread(self._failed, error)
            else:
                self.call_from_thread(self._succeeded, done)

        self.run_worker(work, thread=True, group="act")

    def _succeeded(self, done: Done) -> None:
        self._undo = (done.undo, done.what) if done.undo else None
        self.tell(f"{done.told}{'   u takes it back' if done.undo else ''}")

    def _failed(self, error: PeercoordError) -> None:
        self.tell(f"✗ {error.message}{f' ({error.hint})' if error.hint else ''}", "red")
