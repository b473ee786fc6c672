"""The page about the database is true: its tables are what the code does."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing

import pytest
from support.lists import Lists
from tasklists.test_reconcile import base, ours, theirs

from peercoord.tasklists import normalize, reconcile, sql_schema
from peercoord.tasklists.normalize import status_or_blocked
from protocol import document

PAGE = (document.PROTOCOL / "database.md").read_text(encoding="utf-8")
FIELDS = {row[0].strip("`"): row for row in document.table("## Who wins\n", PAGE)}
STATES = document.table("The state, where both sides differ:\n", PAGE)
WORDS = {row[0].strip("`"): row[1] for row in document.table("## Words for a state\n", PAGE)}
COLUMN = {"dependencies": "needs", "steps_done": "steps", "state": "status"}
VALUES = {
    "dependencies": (["1"], ["2"], ["3"]),
    "steps": ([["1.1", "a"]], [["1.1", "b"]], [["1.1", "c"]]),
    "steps_done": (["1.1"], ["1.1", "1.2"], ["1.1", "1.3"]),
}


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_every_field_has_a_row() -> None:
    assert FIELDS.keys() == reconcile.WINS.keys()


@pytest.mark.parametrize("field", [field for field in FIELDS if field != "state"])
def test_who_wins_where_both_changed_a_field(field: str) -> None:
    was, here, there = VALUES.get(field, ("was", "here", "there"))
    agreed = base(ours(**{field: was}), theirs(**{field: was}))
    found = reconcile.resolve(agreed, ours(**{field: here}), theirs(**{field: there}))
    both = ["1.1", "1.2", "1.3"]
    expected = {"theirs": ({field: there}, {}), "ours": ({}, {field: here}), "both": ({field: both}, {field: both})}
    assert (found.incoming, found.outgoing) == expected[FIELDS[field][2]]
    assert reconcile.WINS[field].startswith(FIELDS[field][2])


@pytest.mark.parametrize("field", [field for field in FIELDS if field not in reconcile.OUTWARD])
def test_the_columns_that_a_field_is_found_in(field: str) -> None:
    assert quoted(FIELDS[field][1]) == list(sql_schema.COLUMNS[COLUMN.get(field, field)])


@pytest.mark.parametrize("row", STATES, ids=lambda row: f"{row[0]} | {row[1]}".replace("`", ""))
def test_who_wins_where_the_state_differs(row: list[str]) -> None:
    [here], [there] = quoted(row[0]), quoted(row[1])
    was = here if row[0].endswith("before that") else "open" if there != "open" else "deferred"
    agreed = base(ours(state=was), theirs(state=was))
    found = reconcile.resolve(agreed, ours(state=here, holder="w" if here == "held" else ""), theirs(state=there))
    assert bool(found.incoming) == row[2].startswith("there wins")
    assert bool(found.outgoing) == row[2].startswith("here wins")


def test_the_words_for_a_state() -> None:
    assert {state: tuple(quoted(cell)) for state, cell in WORDS.items()} == normalize.STATUS_WORDS
    assert all(status_or_blocked(word) == state for state, cell in WORDS.items() for word in quoted(cell))
    assert status_or_blocked("no word at all") == "blocked"


def test_what_is_added(lists: Lists) -> None:
    lists.plain((1, "A"))
    with closing(sqlite3.connect(lists.path)) as connection:
        before = {name: columns(connection, name) for name in tables(connection)}
    lists.settled()
    with closing(sqlite3.connect(lists.path)) as connection:
        after = {name: columns(connection, name) for name in tables(connection)}
    told = {row[0].strip("`"): row for row in document.table("After that only additions:\n", PAGE)}
    assert {name for name, row in told.items() if row[1] == "a table"} == after.keys() - before.keys()
    assert {name for name, row in told.items() if row[1] == "`tasks`"} == after["tasks"] - before["tasks"]
    assert set(quoted(told["instance_assignments"][2])) == after["instance_assignments"] - {"id"}
    assert lists.path.with_name("memory.db.before-peercoord").exists()


def test_what_the_column_for_coordination_holds(lists: Lists) -> None:
    lists.plain((1, "A"))
    lists.settled()
    worker = lists.join()
    worker.request()
    worker.report("1", {"achievements": ["x"], "blockers": ["y"], "time_spent": 5})
    lists.settled()
    held = json.loads(lists.row(1, "coordination_data"))
    told = next(row for row in document.table("After that only additions:\n", PAGE) if row[0] == "`coordination_data`")
    for word in told[2].removeprefix("JSON: ").split(", "):
        assert word.replace(" ", "_") in held, word


def tables(connection: sqlite3.Connection) -> list[str]:
    return [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]


def columns(connection: sqlite3.Connection, table: str) -> set[str]:
    return {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
