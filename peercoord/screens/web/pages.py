"""What each page shows, as values for its template."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import orjson

from peercoord.errors import BrokenFileError, NotFoundError
from peercoord.queue.progress import Reports
from peercoord.review import diff
from peercoord.screens.history import figures
from peercoord.screens.web import drawing, lanes
from peercoord.screens.web.drawing import draw, slices
from peercoord.status import views
from peercoord.status.attempts import HELD, effort
from peercoord.status.sentences import chosen
from peercoord.store import ids, paths, records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from peercoord.foreign import Json
    from peercoord.review.items import Item
    from peercoord.screens.web.drawing import Site
    from peercoord.screens.web.model import Scene

CARDS_MOST = 12  # in one column of the board
NEEDS_FIRST, NEEDS_MOST = 9, 100  # those that are shown at once, and all
ROWS_MOST = 2000  # tasks in one list
EVENTS_MOST = 200
FILES_MOST = 100  # of one branch
COLUMNS = (
    ("waiting", "Waiting", ("waiting", "adding", "returning")),
    ("ready", "Ready", ("ready",)),
    ("in-progress", "In progress", ("in-progress",)),
    ("parked", "Parked", tuple(why for why in (*paths.PARKED_WHY, "missing") if why != "cancelled")),
    ("done", "Done", ("done",)),
)
"""The columns of the board: a word for addresses, a heading, and the states of tasks."""


def board(scene: Scene, site: Site, _: Mapping[str, str]) -> str:
    """What needs a person, the instances, the pipeline."""
    columns = []
    for word, heading, states in COLUMNS:
        rows = [row for row in scene.board.rows if row.status in states]
        if word == "done":
            rows = sorted(rows, key=lambda row: str(row.entry.get("updated_at") or ""), reverse=True)
        columns.append((word, heading, rows[:CARDS_MOST], len(rows)))
    most = None if site.report else NEEDS_MOST
    facts = {"columns": columns, "wanted": scene.overview.needs[:most], "first_needs": NEEDS_FIRST}
    return draw("board.html", site, **shared(scene), **facts)


def tasks(scene: Scene, site: Site, query: Mapping[str, str]) -> str:
    """All tasks, or those that are asked for."""
    state, words = query.get("state", ""), query.get("q", "").casefold().split()
    states = next((states for word, _heading, states in COLUMNS if word == state), (state,))
    rows = [row for row in scene.board.rows if not state or row.status in states]
    rows = [row for row in rows if all(word in f"#{row.task} {row.title} {row.holder}".casefold() for word in words)]
    counts = [(word, heading, scene.board.count(*states)) for word, heading, states in COLUMNS]
    shown = rows if site.report else rows[:ROWS_MOST]
    facts = {"rows": shown, "found": len(rows), "counts": counts, "state": state, "q": query.get("q", "")}
    return draw("tasks.html", site, **shared(scene), **facts)


def instances(scene: Scene, site: Site, _: Mapping[str, str]) -> str:
    """Every instance: what it does, the verdict on it, and why."""
    return draw("instances.html", site, **shared(scene))


def timeline(scene: Scene, site: Site, _: Mapping[str, str]) -> str:
    """Who worked on what, and when."""
    names = [peer.name for peer, _ in scene.peers]
    drawn = lanes.timeline(scene.history, names, scene.board.now)
    facts = {"drawn": drawn, "titles": _titles(scene), "zooms": lanes.ZOOMS, "words": lanes.WORDS, "signs": lanes.SIGNS}
    return draw("timeline.html", site, **shared(scene), **facts)


def progress(scene: Scene, site: Site, _: Mapping[str, str]) -> str:
    """Tasks over time, and how many are finished in an hour."""
    found = figures(scene.history, scene.board.now)
    latest = [*zip(found.hours, found.finished, strict=True)][-48:]
    return draw("progress.html", site, **shared(scene), figures=_json(asdict(found)), found=found, latest=latest)


def graph(scene: Scene, site: Site, _: Mapping[str, str]) -> str:
    """What tasks wait for."""
    found = scene.graph
    rows = scene.board.by_task
    nodes = [
        {
            "id": node.task,
            "label": drawing.safe(node.title),
            "status": node.status,
            "critical": node.critical,
            "href": site.task(node.task) if len(node.tasks) == 1 else "",
        }
        for node in found.nodes
    ]
    drawn = _json({"nodes": nodes, "edges": found.edges})
    return draw("graph.html", site, **shared(scene), found=found, drawn=drawn, path=[rows[one] for one in found.path])


def memory(scene: Scene, site: Site, _: Mapping[str, str]) -> str:
    """What waits for a decision about the memory bank, its versions side by side."""
    items = [(item, *_compared(item)) for item in scene.reviews]
    return draw("memory.html", site, **shared(scene), items=items)


def _compared(item: Item) -> tuple[list[list[Json]], list[list[Json]]]:
    """The texts of an item beside each other, and the text that is proposed for two that differ."""
    beside = diff.folded(diff.rows(item.base, *(side.text for side in item.sides)))
    return _lines(beside), _lines(diff.folded(diff.marked(item.proposed, item.marker))) if item.proposed else []


def _lines(rows: Iterable[diff.Row | int]) -> list[list[Json]]:
    """Rows for the template: each cell is a line with its mark, nothing, or how many lines are left out."""
    found: list[list[Json]] = []
    for row in rows:
        if isinstance(row, int):
            found.append([{"folded": row}])
        else:
            found.append(
                [
                    {"mark": line.mark, "parts": slices(line.text, line.changed)} if line else {"mark": "none"}
                    for line in row.sides
                ]
            )
    return found


def task(scene: Scene, site: Site, ident: str) -> str:
    """One task with its whole story.

    Raises:
        NotFoundError: There is no such task.
    """
    row = scene.board.by_task.get(ident)
    if row is None:
        raise NotFoundError(f"there is no task {ident[:80]}", "see all tasks", code="no-task")
    source = scene.source
    try:
        raw = source.queue.definition(ident).raw
        steps = source.queue.definition(ident).steps
    except (BrokenFileError, NotFoundError):
        raw, steps = {}, []
    rows = scene.board.by_task
    known = [rows[one] for one in row.definition.dependencies if one in rows] if row.definition else []
    tried = scene.attempts.get(ident, [])
    reported = row.entry.get("steps_done")
    diff, untold = source.diff(scene, row)
    done = {step.step for step in steps if step.done} | set(map(str, reported if isinstance(reported, list) else []))
    return draw(
        "task.html",
        site,
        **shared(scene),
        row=row,
        raw=raw,
        steps=[(step, row.status == "done" or step.step in done) for step in steps],
        dependencies=known,
        after=[rows[one] for one in scene.after.get(ident, ())],
        attempts=tried,
        records={one.epoch: source.result(one) for one in tried if one.outcome != HELD},
        added=source.historian.birth(ident),
        answers=records.answers(raw.get("answers")),
        events=scene.events.get(ident, [])[-EVENTS_MOST:],
        wanted=[need for need in scene.overview.needs if need.task == ident],
        took=effort(tried, scene.board.now),
        diff=diff,
        untold=untold,
        files_most=None if site.report else FILES_MOST,
    )


def instance(scene: Scene, site: Site, name: str) -> str:
    """One instance: what it does, what it reported, what happened to it.

    Raises:
        NotFoundError: There is no such instance.
    """
    found = next(((peer, doing) for peer, doing in scene.peers if peer.name == name), None)
    if found is None:
        raise NotFoundError(f"there is no instance {name[:80]}", "see all instances", code="no-peer")
    entries = [
        (ids.read(entry.get("task_id")), entry)
        for entry in reversed(Reports(scene.source.queue).read(name)["assigned_tasks"])
        if isinstance(entry, dict)
    ]
    return draw(
        "instance.html",
        site,
        **shared(scene),
        peer=found[0],
        doing=found[1],
        entries=[(task, entry) for task, entry in entries if task][:EVENTS_MOST],
        events=[*chosen(scene.history.events, peer=name)][-EVENTS_MOST:],
        wanted=[need for need in scene.overview.needs if need.who == name],
        took=effort((one for one in scene.history.attempts if one.peer == name), scene.board.now),
    )


PAGES: dict[str, Callable[[Scene, Site, Mapping[str, str]], str]] = {
    "board": board,
    "tasks": tasks,
    "instances": instances,
    "timeline": timeline,
    "progress": progress,
    "graph": graph,
    "memory": memory,
}


def shared(scene: Scene) -> dict[str, object]:
    """What every page shows."""
    seen = scene.overview
    return {
        "board": seen.board,
        "summary": views.summary(seen.board.rows),
        "peers": scene.peers,
        "gone": sum(doing.state == "gone" for _, doing in scene.peers),
        "forecasts": seen.forecasts,
        "needs": seen.needs,
        "standing": seen.standing,
        "priorities": paths.PRIORITIES,
        "parked_words": paths.PARKED_WORDS,
    }


def _titles(scene: Scene) -> dict[str, str]:
    return {row.task: row.title for row in scene.board.rows}


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
