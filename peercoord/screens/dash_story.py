"""The whole story of a task, an instance or a change of the memory bank, as text for the dash."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from peercoord.errors import PeercoordError
from peercoord.foreign import plain
from peercoord.memory import runner
from peercoord.review import screen
from peercoord.review.items import ReviewQueue, local_time
from peercoord.screens import dash_lines
from peercoord.status.attempts import HELD, effort
from peercoord.status.dashboard import age, bar, state
from peercoord.status.needs import doing
from peercoord.status.sentences import chosen, sentence
from peercoord.store import paths, records
from peercoord.store.records import percent
from peercoord.worktree import context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from peercoord.review.items import Item
    from peercoord.screens.dash_source import Source, View
    from peercoord.status.needs import Need
    from peercoord.status.views import PeerView, Row
    from peercoord.store.records import Definition

TEXT_CHARS = 4000  # of one text of an agent
LOG_LINES, EVENTS_MOST, FILES_MOST = 40, 30, 30
LOG = "agent.log"
UNREADABLE = "It cannot be read: "


def of(source: Source, view: View | None, kind: str, name: str, width: int) -> RenderableType:
    """All of one thing; see ``TeamScreen.target`` for its kinds."""
    if view is None or not kind:
        return Text()
    try:
        if kind == "review":
            return review(source, name, width)
        if kind == "need":
            found = (one for one in view.needs if f"{one.kind} {one.about}" == name)
            return Text("\n").join(line for one in found for line in needed(one))
        return Text("\n").join(task(source, view, name) if kind == "task" else instance(view, name))
    except (PeercoordError, OSError) as error:
        return Text(plain(error), "yellow")


def task(source: Source, view: View, name: str) -> list[Text]:
    """The story of a task: what it is, what it needs, who held it when, what its branch changes."""
    row = view.row(name)
    if row is None:
        return [Text(f"There is no task {plain(name)}.")]
    lines = [Text(plain(row.title), "bold"), _state(row), Text()]
    try:
        definition: Definition | None = source.queue.definition(name)
    except PeercoordError as error:
        definition = None
        lines.append(Text(f"{UNREADABLE}{plain(error.message)}", "yellow"))
    if definition is not None:
        lines += _definition(definition, view)
    lines += _reported(row)
    lines += _attempts(source, view, row)
    lines += _changes(source, view, row)
    lines += _events(view, task=name)
    return lines


def instance(view: View, name: str) -> list[Text]:
    """The story of an instance: what it does, what it holds, its branch, its events, the log of its agent."""
    one = view.peer(name)
    if one is None:
        return [Text(f"There is no instance {plain(name)}.")]
    does = doing(view.board, one)
    tone = dash_lines.TONES.get(does.state, "yellow")
    leads = " · leads the team" if one.leads else ""
    lines = [
        Text(plain(one.name), "bold"),
        Text.assemble((state(does, view.board.now), tone), leads),
        Text(f"{one.verdict.state}: {plain(one.verdict.because)}", "dim"),
        Text(),
        _fact("branch", dash_lines.branch(one, view.team.forecasts.get(one.branch))[0].plain or "none"),
        _fact("worktree", one.record.get("worktree") or "none"),
        _fact("heartbeat", f"{age(one.heartbeat, view.board.now)} ago" if one.heartbeat else "never"),
    ]
    for row in view.board.held_by(one.incarnation):
        lines += [Text(), Text.assemble((f"#{row.task} ", "cyan"), (plain(row.title), "bold"))]
        lines += [Text.assemble((bar(row.progress), "green"), f" {percent(row.progress)}"), *_reported(row)]
    lines += _events(view, peer=name)
    return [*lines, *_log(one)]


def review(source: Source, ident: str, width: int) -> RenderableType:
    """A change of the memory bank that waits: both sides beside each other, and what is proposed."""
    try:
        return screen.draw(item(source, ident), width)
    except PeercoordError as error:
        return Group(Text(plain(error.message), "yellow"), Text(plain(error.hint or ""), "dim"))


def item(source: Source, ident: str) -> Item:
    """Return the change of an id, with the texts to choose from."""
    return review_queue(source).find(ident)


def review_queue(source: Source) -> ReviewQueue:
    """Return what waits in the memory bank."""
    return ReviewQueue(runner.bank_of(source.root), source.root, f"{source.project}/{paths.ROOT}")


def needed(one: Need) -> list[Text]:
    """A need that is about no task, instance or change: its reason and its commands."""
    lines = [Text(f"{plain(one.about)} {plain(one.what)}", "bold"), Text(plain(one.why)), Text()]
    return [*lines, *(Text(f"$ {' '.join(map(plain, words))}", "cyan") for words in one.commands)]


# -- parts -------------------------------------------------------------------------------------------------------


def _state(row: Row) -> Text:
    sign, tone = dash_lines.SIGNS.get(row.status, ("!", "yellow"))
    parts = [f"{sign} {paths.PARKED_WORDS.get(row.status, row.status).replace('-', ' ')}"]
    if row.holder:
        parts += [plain(row.holder), percent(row.progress)]
    elif row.finished_by:
        parts.append(f"by {plain(row.finished_by)}")
    parts.append(f"epoch {row.epoch}" if row.epoch is not None else "")
    return Text(" · ".join(filter(None, parts)), tone)


def _definition(definition: Definition, view: View) -> Iterator[Text]:
    needs = ", ".join(f"#{plain(one)}" for one in definition.dependencies) or "nothing"
    waiters = [row for row in view.rows if row.definition and definition.task in row.definition.dependencies]
    waiting = [f"#{plain(row.task)}" for row in waiters[:8]] + (["…"] if len(waiters) > 8 else [])
    yield _fact("priority", paths.PRIORITIES[definition.level])
    yield _fact("needs", needs)
    yield _fact("needed by", ", ".join(waiting) or "nothing")
    parked = definition.raw.get("parked")
    if isinstance(parked, dict) and parked.get("reason"):
        yield _fact("reason", parked["reason"])
    yield from _block(definition.raw.get("description"))
    for step in definition.steps:
        yield Text.assemble(("  ✓ " if step.done else "  · ", "green" if step.done else "dim"), plain(step.title))
    for one in records.answers(definition.raw.get("answers")):
        yield Text(f"? {plain(one.get('question') or 'it was parked')}", "yellow")
        yield Text(f"→ {plain(one['answer'])} ({plain(one.get('by'))})")


def _reported(row: Row) -> Iterator[Text]:
    """What the holder reported: achievements and blockers."""
    for key, sign, tone in (("achievements", "✓", "green"), ("blockers", "!", "yellow")):
        for note in records.notes(row.entry.get(key)):
            yield Text.assemble((f"  {sign} ", tone), plain(note)[:TEXT_CHARS])


def _attempts(source: Source, view: View, row: Row) -> Iterator[Text]:
    """Who held a task when, how it went, and what it took."""
    found = source.attempts(view, row)
    if not found:
        return
    now = view.board.now
    total = effort(found, now)
    parts = [f"{len(found)} attempt{'s' * (len(found) != 1)}", spent(total.seconds), total.usage.words]
    yield from _heading(f"Who held it: {', '.join(filter(None, parts))}")
    for one in found:
        ended = "now" if one.outcome == HELD else _when(one.ended, now)
        span = f"{_when(one.began, now) or '?'}–{ended:<5}"
        reached = f" at {percent(one.progress)}" if one.progress is not None and one.outcome != "done" else ""
        why = f": {plain(one.reason)}" if one.reason else ""
        word = "holds it" if one.outcome == HELD else one.outcome
        yield Text.assemble((f"  {span}  ", "dim"), f"{plain(one.peer) or '?'} {word}{reached}{why}")


def spent(seconds: int | None) -> str:
    """A time in hand, in words; empty if it is not known."""
    if seconds is None:
        return ""
    hours, minutes = divmod(seconds // 60, 60)
    return f"{hours}h {minutes}m in hand" if hours else f"{minutes}m in hand" if minutes else f"{seconds}s in hand"


def _changes(source: Source, view: View, row: Row) -> Iterator[Text]:
    """What the branch of a task's holder changes, or what was recorded when the task was done."""
    record = (source.queue.result(row.task) or (0, "", {}))[2]
    try:
        found = source.changes.of_task(view.peer(row.holder), record)
    except PeercoordError as error:
        yield Text(f"  {plain(error.message)}", "dim")
        return
    if found is None:
        return
    yield from _heading(f"{plain(found.branch) or 'commit'}: {found.told}")
    for added, removed, path in found.files[:FILES_MOST]:
        figures = "binary" if added is None else f"+{added} −{removed}"
        yield Text.assemble((f"  {figures:<12}", "dim"), plain(path))
    if len(found.files) > FILES_MOST:
        yield Text(f"  … and {len(found.files) - FILES_MOST} more", "dim")


def _events(view: View, peer: str = "", task: str = "") -> Iterator[Text]:
    found = [*chosen(view.events, "", peer, task)][:EVENTS_MOST]
    if found:
        yield from _heading("Events")
    for event in found:
        yield Text.assemble((f"  {_when(event.get('at'), view.board.now)}  ", "dim"), sentence(event))


def _log(one: PeerView) -> Iterator[Text]:
    """The end of the log of an instance's agent."""
    worktree = str(one.record.get("worktree") or "")
    try:
        data = context.instance_files(worktree).read_tail(LOG) if worktree else b""
    except (PeercoordError, OSError, ValueError):
        data = b""
    lines = data[-64_000:].decode("utf-8", "replace").splitlines()[-LOG_LINES:]
    if lines:
        yield from _heading("Agent log")
    for line in lines:
        yield Text(f"  {plain(line)[:500]}", "dim")


def _heading(text: str) -> Iterator[Text]:
    yield Text()
    yield Text(text, "bold")


def _fact(name: str, value: object) -> Text:
    return Text.assemble((f"{name:<10} ", "dim"), plain(value)[:TEXT_CHARS])


def _block(text: object) -> Iterator[Text]:
    said = str(text or "")[:TEXT_CHARS].strip()
    if said:
        yield Text()
        for line in said.splitlines():
            yield Text(plain(line))
        yield Text()


def _when(at: object, now: str) -> str:
    return local_time(at, now) if isinstance(at, str) and at else ""
