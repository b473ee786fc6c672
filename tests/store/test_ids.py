"""Ids are the only text from outside that becomes part of a path."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peercoord import foreign
from peercoord.errors import UsageError
from peercoord.foreign import visible, whole
from peercoord.store import ids

FIRST = string.ascii_letters + string.digits
IDS = st.builds(str.__add__, st.sampled_from(FIRST), st.text(FIRST + "._-", max_size=63))
BAD = [
    *("", ".", "..", ".a", "-a", "_a", "a/b", "../a", "/a", "a\\b", "a~1", "~", "a b", " a", "a ", "a\n", "a\0b"),
    *("é", "٣", "²", "a" * 65, "a:b", "a*b", "$(x)", "`x`", "a;b", "a|b", "%2e", "\udcff", "a\u202eb", "a\u200b"),
    *("a\x1b[0m", None, True, False, -1, -1.0, 1.5, 1e15, float("nan"), float("inf"), [], ["a"], {}, b"a", object),
    *(10**5000, -(10**5000)),
]


@pytest.mark.parametrize("text", BAD, ids=lambda value: ascii(value)[:20] if not isinstance(value, int) else "int")
def test_anything_else_is_refused(text: object) -> None:
    assert not ids.is_id(text)
    with pytest.raises(UsageError, match=r"is not allowed$") as caught:
        ids.check(text, "peer name")
    assert caught.value.message.startswith("peer name ")
    assert visible(caught.value.message) == caught.value.message
    assert caught.value.code == "bad-id"
    assert caught.value.hint


def test_a_whole_number_is_an_id_however_it_is_written() -> None:
    """FMT-1, NAM-2: but not one whose digits a float no longer holds."""
    given = (5, 0, 10**63, 5.0, -0.0, 999_999_999_999_999.0)
    assert [ids.check(value) for value in given] == ["5", "0", "1" + "0" * 63, "5", "0", "999999999999999"]
    assert [whole(value) for value in (1, 1.0, -3.0)] == [1, 1, -3]
    assert [whole(value) for value in (1.5, True, "1", None, 1e15, float("inf"))] == [None] * 6
    assert [ids.read(value) for value in (7.0, "7", 7, "7.0", True, -1, "a/b", None)] == ["7"] * 3 + ["7.0"] + [""] * 4


@given(st.text())
def test_an_id_climbs_nowhere_and_separates_nothing(text: str) -> None:
    if ids.is_id(text):
        assert not set(text) & set("/~\\\0 \n")
        assert not text.startswith((".", "-"))
        assert len(text.encode()) <= 64


@given(st.text() | st.binary() | st.integers() | st.none())
def test_foreign_text_is_shown_as_one_plain_line(text: object) -> None:
    shown = foreign.shown(text)
    assert visible(shown) == shown
    assert shown[0] == shown[-1] == "'"
    assert len(shown) <= 83


def test_foreign_text_is_cut_escaped_and_otherwise_kept() -> None:
    assert foreign.shown("x" * 500) == f"'{'x' * 80}…'"
    assert foreign.shown("\x1b[31mred\n") == "'\\x1b[31mred\\n'"
    for name in ("проект", "ログイン画面", "שלום", "دستور\u200cکار", "👩\u200d💻"):
        assert foreign.shown(name) == f"'{name}'"
    assert foreign.shown(["Вход", "a\u202eb"]) == "'['Вход', 'a\\u202eb']'"


def test_the_natural_order() -> None:
    mixed = ["b-10", "a", "2.10", "10", "2.2", "b-2", "1", "a10", "2", "a2", "2.1", "b-1"]
    assert sorted(mixed, key=ids.natural) == [
        *("1", "2", "2.1", "2.2", "2.10", "10", "a", "a2", "a10", "b-1", "b-2", "b-10")
    ]


@given(IDS, IDS)
def test_the_natural_order_tells_all_ids_apart(one: str, other: str) -> None:
    keys = ids.natural(one), ids.natural(other)
    assert (keys[0] == keys[1]) == (one == other)
    assert (keys[0] < keys[1]) or (keys[1] < keys[0]) or one == other


def test_ids_as_people_type_them() -> None:
    assert [ids.typed(text) for text in ("#8", "8", "#fix-login")] == ["8", "8", "fix-login"]
    for bad in ("##8", "#", "# 8", "8#", "#8\n"):
        with pytest.raises(UsageError):
            ids.typed(bad)
    assert ids.meant("Instance-2", ["instance-1", "instance-2"]) == "instance-2"
    assert ids.meant("INSTANCE-2", ["instance-2", "Instance-2"]) == "INSTANCE-2", "which of the two is not known"
    assert ids.meant("Instance-2", ["instance-2", "Instance-2"]) == "Instance-2", "a real name wins"
    assert ids.meant("instance-3", ["instance-2"]) == "instance-3"


@pytest.mark.parametrize(("task", "found"), [("7", 7), ("007", 7), ("²", 0), ("9" * 64, 0), ("bd-1", 0), ("", 0)])
def test_the_number_that_an_id_spells(task: str, found: int) -> None:
    assert ids.number(task) == found
