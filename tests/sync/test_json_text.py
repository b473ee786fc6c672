"""A patch changes what it is meant to and no other byte."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peercoord.edges.adapters.json_text import Patches, Span, elements, members, span

INDENTED = """{
  "a": 1.50,
  "tasks": [
    {"id": 1, "title":  "ein\\u00e9"},
    {
      "id": 2,
      "sub": [
        {
          "id": 1
        }
      ]
    }
  ]
}
"""


def tasks(text: str) -> tuple[Span, list[Span]]:
    array = members(text, 0)["tasks"]
    return array, list(elements(text, array.start))


def test_a_value_is_replaced_in_its_place() -> None:
    patches = Patches(INDENTED)
    _, (first, second) = tasks(INDENTED)
    patches.set_member(first, "title", "new")
    patches.set_member(second, "id", "2")
    assert patches.result() == INDENTED.replace('"ein\\u00e9"', '"new"').replace('"id": 2', '"id": "2"')


def test_members_and_elements_are_added_as_the_text_is_written() -> None:
    patches = Patches(INDENTED)
    array, (first, second) = tasks(INDENTED)
    patches.set_member(first, "note", {"x": [1]})
    patches.set_member(second, "note", {"x": [1], "y": {}})
    patches.extend(array, [{"id": 3}, {"id": 4}])
    expected = INDENTED.replace('"ein\\u00e9"}', '"ein\\u00e9", "note": {"x": [1]}}').replace(
        "      ]\n    }\n  ]",
        '      ],\n      "note": {\n        "x": [\n          1\n        ],\n        "y": {}\n      }\n    },\n'
        '    {\n      "id": 3\n    },\n    {\n      "id": 4\n    }\n  ]',
    )
    assert patches.result() == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"tasks":[]}', '{"tasks":[{"id": 1}, {"id": 2}]}'),
        ('{"tasks":[{"id":0}]}', '{"tasks":[{"id":0}, {"id": 1}, {"id": 2}]}'),
        ('{\n\t"tasks": []\n}', '{\n\t"tasks": [\n\t\t{\n\t\t\t"id": 1\n\t\t},\n\t\t{\n\t\t\t"id": 2\n\t\t}\n\t]\n}'),
        (
            '{\r\n  "tasks": [\r\n  ]\r\n}',
            '{\r\n  "tasks": [\r\n    {\r\n      "id": 1\r\n    },\r\n    {\r\n      "id": 2\r\n    }\r\n  ]\r\n}',
        ),
    ],
)
def test_an_empty_list_and_other_styles(text: str, expected: str) -> None:
    patches = Patches(text)
    patches.extend(members(text, 0)["tasks"], [{"id": 1}, {"id": 2}])
    assert patches.result() == expected
    assert [task["id"] for task in json.loads(expected)["tasks"]][-2:] == [1, 2]


def test_of_a_key_that_stands_there_twice_the_last_counts() -> None:
    text = '{"a": 1, "a": 2}'
    patches = Patches(text)
    patches.set_member(span(text, 0), "a", 3)
    assert patches.result() == '{"a": 1, "a": 3}'


@pytest.mark.parametrize("text", ["", "{", '{"a"', '{"a":', '{"a": 1', '{"a": 1,', "[1]", '{"a" 1}', "{1: 2}", "nul"])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises((ValueError, IndexError)):
        members(text, 0)


KEYS = st.text('abé"\\\n', max_size=4)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(KEYS, VALUES, max_size=5)
STYLES = st.sampled_from(
    [{}, {"indent": 2}, {"indent": "\t"}, {"separators": (",", ":")}, {"indent": 4, "ensure_ascii": False}]
)


@given(DOCUMENTS, STYLES, st.dictionaries(KEYS, VALUES, min_size=1, max_size=3))
def test_what_is_set_is_set_and_all_else_is_as_it_was(document: Any, style: Any, changes: Any) -> None:
    text = json.dumps(document, **style)
    before = members(text, 0)
    patches = Patches(text)
    whole = span(text, 0)
    for key, value in changes.items():
        patches.set_member(whole, key, value)
    result = patches.result()
    assert json.loads(result) == {**document, **changes}
    assert list(json.loads(result))[: len(document)] == list(document), "the order stays"
    for key, found in before.items():
        if key not in changes:
            assert text[found.start : found.end] in result


@given(st.lists(VALUES, max_size=4), STYLES, st.lists(VALUES, min_size=1, max_size=3))
def test_what_is_added_to_a_list_comes_last(there: Any, style: Any, more: Any) -> None:
    text = json.dumps({"tasks": there}, **style)
    patches = Patches(text)
    patches.extend(members(text, 0)["tasks"], more)
    assert json.loads(patches.result()) == {"tasks": [*there, *more]}
