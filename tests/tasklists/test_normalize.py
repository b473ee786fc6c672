from __future__ import annotations

import pytest

from peercoord.store import paths
from peercoord.tasklists import normalize
from peercoord.tasklists.normalize import ColumnWords, TaskStatus


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("Plain", "Plain"),
        ("  two \n lines\r\n\tand a tab ", "two lines and a tab"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;owned\x07title", "title"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b31mred", "red"),
        ("a\x00b\x07c\x7f", "abc"),
        ("safe\u202egnp.exe\u2066", "safegnp.exe"),
        ("half \ud83d an emoji", "half an emoji"),
        ("line\u2028separator", "line separator"),
        ("👩‍👩‍👧 café 漢字", "👩‍👩‍👧 café 漢字"),
        (b"bytes \xff", "bytes \ufffd"),
        (7, "7"),
        (None, ""),
        ("\u200b \u200d", ""),
        ("\x1b\x1b[m[31m", "[31m"),
    ],
)
def test_title_becomes_one_harmless_line(given: object, line: str) -> None:
    assert normalize.one_line(given) == line


def test_title_is_cut_at_its_limit() -> None:
    assert normalize.one_line("x" * 501) == "x" * 499 + "…"
    assert normalize.one_line("x" * 500) == "x" * 500


def test_description_keeps_its_lines_and_nothing_else_of_control() -> None:
    assert normalize.plain("a\r\nb\rc\n\td\x1b[2J\x08e") == "a\nb\nc\n\tde"


@pytest.mark.parametrize("state", normalize.STATUS_WORDS)
def test_every_status_word_is_known_in_any_writing(state: str) -> None:
    for word in normalize.STATUS_WORDS[state]:
        for written in (word, word.upper(), word.replace("-", "_"), word.replace("-", " "), f" {word}\n"):
            assert normalize.status_of(written) == state


def test_no_status_word_means_two_states() -> None:
    every = [word for listed in normalize.STATUS_WORDS.values() for word in listed]
    assert len(every) == len(set(every))


@pytest.mark.parametrize(
    ("word", "state"), [("", "open"), (None, "open"), ("null", "open"), ("moonshot", None), (3, None)]
)
def test_silence_is_open_and_the_unknown_is_not_guessed(word: object, state: str | None) -> None:
    assert normalize.status_of(word) == state


@pytest.mark.parametrize(
    ("given", "priority"),
    [
        *((word, word) for word in paths.PRIORITIES),
        *((level, word) for level, word in enumerate(paths.PRIORITIES)),
        *((f"P{level}", word) for level, word in enumerate(paths.PRIORITIES)),
        ("URGENT", "critical"),
        ("2", "medium"),
        ("3.0", "low"),
        (1.0, "high"),
        (-1, "critical"),
        (5, "lowest"),
        (10**30, "lowest"),
        (float("inf"), "lowest"),
        (float("nan"), "medium"),
        (None, "medium"),
        ("", "medium"),
        ("soonish", None),
        (True, None),
        ([1], None),
    ],
)
def test_priority(given: object, priority: str | None) -> None:
    assert normalize.priority_of(given) == priority


def test_numbers_are_never_turned_round() -> None:
    levels = [paths.PRIORITIES.index(normalize.priority_of(number) or "") for number in range(-2, 12)]
    assert levels == sorted(levels)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (None, []),
        ("", []),
        ("null", []),
        ("[]", []),
        ([1, "2", " 3.1 ", 4.0], ["1", "2", "3.1", "4"]),
        ("1,2;3 4", ["1", "2", "3", "4"]),
        ('["1", 2, {"id": 3}]', ["1", "2", "3"]),
        ("[1, 2", ["1", "2"]),
        ("#7", ["7"]),
        (7, ["7"]),
        (b"7, 8", ["7", "8"]),
        ([None, True, ""], []),
        (["../x"], ["../x"]),
        ("[" * 100_000, []),
    ],
)
def test_references(given: object, found: list[str]) -> None:
    assert normalize.references(given) == found


def test_kept_values_can_be_written() -> None:
    deep: object = "bottom"
    for _ in range(500):
        deep = [deep]
    kept = normalize.kept(
        {"big": 1 << 80, "inf": float("inf"), "text": "\x1b[1mx\ud800", "deep": deep, 5: (1, None, True)}
    )
    import orjson

    back = orjson.loads(orjson.dumps(kept))
    assert back["big"] == str(1 << 80)
    assert back["inf"] is None
    assert back["text"] == "x"
    assert back["5"] == [1, None, True]


# -- the words of one column -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("used", "held", "done"),
    [
        (["todo", "doing", "done"], "doing", "done"),
        (["TODO", "IN_PROGRESS", "CLOSED"], "IN_PROGRESS", "CLOSED"),
        (["not_started", "finished"], "in-progress", "finished"),
        (["Open", "In Review"], "in-progress", "done"),
        ([], "in-progress", "done"),
    ],
)
def test_a_column_keeps_to_its_own_words(used: list[str], held: str, done: str) -> None:
    words = ColumnWords(used)
    states = (TaskStatus.HELD, TaskStatus.DONE, TaskStatus.BLOCKED)
    assert [words.status(state) for state in states] == [held, done, "blocked"]
    for state in TaskStatus:
        assert normalize.status_or_blocked(words.status(state)) == state


def test_a_word_that_means_the_status_already_stays() -> None:
    words = ColumnWords(["todo"] * 9 + ["backlog"])
    assert words.status(TaskStatus.OPEN, "backlog") == "backlog"
    assert words.status(TaskStatus.OPEN, "done") == "todo"


@pytest.mark.parametrize("state", TaskStatus)
def test_only_allowed_words_are_written(state: TaskStatus) -> None:
    word = ColumnWords([], ["todo", "doing", "completed"]).status(state)
    assert word in ("todo", "doing", "completed", None)
    assert (word == "completed") == (state == TaskStatus.DONE), "what is not done is never called done"
