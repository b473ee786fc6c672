"""``instance_assignments``: who had which task when, one row for each time it was in an instance's hands.

A row is known by its task and epoch, so writing it again changes nothing. Rows without an epoch are someone else's.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from sqlalchemy import ColumnElement, Connection, TableClause

    from peercoord.edges.adapters.layout import Shape

    Json = dict[str, Any]

_MOST = 400  # ids in one statement


def write(connection: Connection, shape: Shape, claims: Sequence[tuple[object, Json]], project: object = None) -> None:
    """Bring the rows of some tasks up to date.

    Args:
        connection: A transaction that may write.
        shape: The table.
        claims: The id of each task as the table of tasks holds it, with one claim of it.
        project: What the column ``project`` says of these tasks, where the database tells projects apart.
    """
    if not claims:
        return
    table = shape.clause()
    known = _known(connection, table, {key for key, _ in claims}, project)
    new, changed = [], []
    for key, claim in claims:
        row = known.get((str(key), claim["epoch"]))
        if row is None:
            new.append(_cells(key, claim, project))
        elif _differs(row, claim):
            changed.append({"row": row[0], **_later(row, claim)})
    if new:
        connection.execute(table.insert(), _numbered(connection, table, shape, new))
    if changed:
        from sqlalchemy import bindparam

        names = ("instance_id", "status", "assigned_at", "ended_at")
        values: Json = {name: bindparam(f"new_{name}") for name in names}
        update = table.update().where(table.c.id == bindparam("row")).values(values)
        connection.execute(update, [{"row": c["row"], **{f"new_{n}": c[n] for n in names}} for c in changed])


def _known(
    connection: Connection, table: TableClause, keys: set[object], project: object
) -> dict[tuple[str, int], tuple[Any, ...]]:
    from sqlalchemy import select

    c = table.c
    wanted = (c.id, c.task_id, c.epoch, c.instance_id, c.status, c.assigned_at, c.ended_at)
    where: list[ColumnElement[bool]] = [c.epoch.is_not(None)]
    if project is not None:
        where.append(c.project == project)
    if len(keys) <= _MOST:
        where.append(c.task_id.in_(list(keys)))
    rows = connection.execute(select(*wanted).where(*where)).all()
    return {(str(row[1]), int(row[2])): tuple(row) for row in rows}


def _cells(key: object, claim: Json, project: object) -> Json:
    cells = {
        "task_id": key,
        "instance_id": claim["instance"],
        "assigned_at": claim["assigned_at"],
        "status": claim["status"],
        "epoch": claim["epoch"],
        "ended_at": claim["ended_at"],
    }
    return cells if project is None else {**cells, "project": project}


def _differs(row: tuple[Any, ...], claim: Json) -> bool:
    """Compare what counts; a time, once known, stays, for every database writes it in its own way."""
    began, ended = row[5] is None and claim["assigned_at"], row[6] is None and claim["ended_at"]
    return (row[3], row[4]) != (claim["instance"], claim["status"]) or bool(began or ended)


def _later(row: tuple[Any, ...], claim: Json) -> Json:
    return {
        "instance_id": claim["instance"],
        "status": claim["status"],
        "assigned_at": row[5] if row[5] is not None else claim["assigned_at"],
        "ended_at": row[6] if row[6] is not None else claim["ended_at"],
    }


def _numbered(connection: Connection, table: TableClause, shape: Shape, rows: Iterable[Json]) -> list[Json]:
    """Give rows their numbers where the database does not number them itself."""
    if not shape.columns["id"].needed:
        return list(rows)
    from sqlalchemy import func, select

    last = connection.execute(select(func.max(table.c.id))).scalar() or 0
    return [{"id": last + at, **row} for at, row in enumerate(rows, 1)]
