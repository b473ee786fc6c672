"""What ``json.dumps`` writes keeps its style; any other text is reformatted once and loses nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peercoord.errors import BrokenFileError
from peercoord.tasklists.tasks_json import JsonStyle, refuse_lossy

KEYS = st.text('abé"\\\n\x9b\u202e', max_size=4)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(KEYS, VALUES, max_size=5)
STYLES = st.sampled_from(
    [
        {}, {"indent": 2}, {"indent": "\t"}, {"separators": (",", ":")}, {"separators": (",", ": ")},
        {"indent": 4, "ensure_ascii": False}, {"indent": 1, "separators": (",", ":"), "ensure_ascii": False},
    ]
)  # fmt: skip


@settings(max_examples=50)
@given(DOCUMENTS, STYLES, st.sampled_from(["", "\n", "\r\n", " \n\n"]), st.sampled_from(["", "\ufeff"]), st.booleans())
def test_what_json_dumps_writes_is_reproduced(value: Any, style: Any, end: str, start: str, dos: bool) -> None:
    text = json.dumps(value, **style)
    text = start + (text.replace("\n", "\r\n") if dos else text) + end
    found = JsonStyle.of(text, json.loads(text.removeprefix("\ufeff")))
    assert found.is_exact
    assert found.write(value) == text


@settings(max_examples=50)
@given(DOCUMENTS, STYLES, st.dictionaries(KEYS, VALUES, min_size=1, max_size=3))
def test_what_is_added_is_there_and_all_else_stays(value: Any, style: Any, more: Any) -> None:
    found = JsonStyle.of(json.dumps(value, **style), value)
    changed = {**value, **more}
    text = found.write(changed)
    assert json.loads(text) == changed
    assert list(json.loads(text)) == list(changed), "the order stays"


@pytest.mark.parametrize(
    "text",
    [
        '{ "a": 1 }', '{"a":1.50}', '{\n  "a": [1, 2]\n}', '{"a": 1,\n "b": [\n ]}', '{"a": "\\/"}',
        '{"a": "\\u00E9"}', '{"a": 1, "b":2}',
    ],
)  # fmt: skip
def test_another_text_is_reformatted_once(text: str) -> None:
    value = json.loads(text)
    found = JsonStyle.of(text, value)
    assert not found.is_exact
    refuse_lossy(text, "it")
    again = found.write(value)
    assert json.loads(again) == value
    assert JsonStyle.of(again, value).is_exact


def test_half_characters_and_control_codes_stay_escaped() -> None:
    text = '{"a": "\\ud83d", "b": "\\u202e", "c": "é"}'
    found = JsonStyle.of(text, json.loads(text))
    assert found.is_exact
    assert found.write({**json.loads(text), "d": "\x9b"}) == text[:-1] + ', "d": "\\u009b"}'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"a":1, "a": 2}', "'a' twice"),
        ('{ "a": 1e400}', "1e400"),
        ('{ "a": NaN}', "NaN"),
        ('{ "a": 12345678901234567890.5}', "more digits"),
        ('{ "a": 1e-400}', "more digits"),
        ('{ "a": 1e-99999999999999999999999}', "more digits"),
    ],
)
def test_a_text_that_would_lose_something_is_refused(text: str, why: str) -> None:
    with pytest.raises(BrokenFileError, match=why):
        refuse_lossy(text, "it")


@pytest.mark.parametrize("number", ["1.50", "1E2", "0.10000000000000001", "-0.0", "1.000000000000000000000"])
def test_a_number_in_another_form_loses_nothing(number: str) -> None:
    refuse_lossy(f'{{ "a": {number}}}', "it")
