"""Additions to a person's JSON: what is there stays, what was put in comes out, byte for byte."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peercoord.integrations import jsonc

MORE = {
    "hooks": {"Stop": [{"hooks": [{"command": "/x/hook.sh"}]}], "End": [{"hooks": [{"command": "/x/hook.sh end"}]}]}
}

SHAPES = {
    "nothing": "",
    "blank": "\n\n",
    "empty object": "{}",
    "open object": "{\n}\n",
    "a comment alone in it": "{ // nothing yet\n}\n",
    "minified": '{"model":"opus","hooks":{"Stop":[{"hooks":[{"command":"mine"}]}]}}',
    "other hooks": '{\n  "hooks": {\n    "Stop": [\n      {"hooks": [{"command": "mine"}]}\n    ]\n  }\n}\n',
    "last commas": '{\n\t"a": [1, 2,],\n\t"hooks": {"Stop": [{"hooks": []},],},\n}',
    "comments": '// head\n{\n  /* "hooks": {} */\n  "a": "// none", // why\n  "b": 2 // last\n  // end\n}\n// foot',
    "windows": '{\r\n    "a": 1,\r\n    "hooks": {\r\n    }\r\n}\r\n',
    "empty hooks": '{"hooks": {}}\n',
    "an empty array": '{\n  "hooks": {"Stop": [], "Other": [ ]}\n}\n',
    "deep spaces": '\n\n   {   "a"   :   1   }   \n',
    "escapes": '{"a\\"b": "\\u007d]", "c": "\\\\"}',
}


def value(text: str) -> object:
    """The value of a text, by a parser of another make."""
    bare = re.sub(r'("(?:[^"\\]|\\.)*")|//[^\r\n]*|/\*.*?\*/', lambda m: m.group(1) or "", text, flags=re.DOTALL)
    return json.loads(re.sub(r'("(?:[^"\\]|\\.)*")|,(?=\s*[\]}])', lambda m: m.group(1) or "", bare) or "{}")


@pytest.mark.parametrize("text", SHAPES.values(), ids=SHAPES)
def test_an_addition_is_there_and_comes_out_byte_for_byte(text: str) -> None:
    edit = jsonc.extend(text, MORE)
    before, after = (value(one) if one.strip() else {} for one in (text, edit.text))
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    for event in ("Stop", "End"):
        assert after["hooks"][event] == [*before.get("hooks", {}).get(event, []), *MORE["hooks"][event]]
    assert {key: one for key, one in after.items() if key != "hooks"} == {
        key: one for key, one in before.items() if key != "hooks"
    }
    assert jsonc.take_out(edit.text, edit.pieces) == text


@pytest.mark.parametrize("text", SHAPES.values(), ids=SHAPES)
def test_comments_and_lines_of_the_person_stay(text: str) -> None:
    added = jsonc.extend(text, MORE).text
    rest = iter(added)
    assert all(letter in rest for letter in text)  # nothing of it is gone or in another order
    assert ("\r\n" in text) == ("\r\n" in added)
    assert text.count("\n") > 0 or not text.strip() or "\n" not in added or text == "{}"


@pytest.mark.parametrize("text", SHAPES.values(), ids=SHAPES)
def test_what_was_reformatted_is_found_by_what_it_holds(text: str) -> None:
    written = json.dumps(value(jsonc.extend(text, MORE).text))
    left = value(jsonc.prune(written, lambda entry: str(entry.get("command", "")).startswith("/x/hook.sh")))
    mine = value(text) if text.strip() else {}
    assert isinstance(left, dict)
    assert isinstance(mine, dict)
    hooks = {event: held for event, held in mine.get("hooks", {}).items() if held or event not in ("Stop", "End")}
    assert {**left, "hooks": left.get("hooks", {})} == {**mine, "hooks": hooks}


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("{", "line 1, column 2"),
        ('{\n  "a": tru\n}', "line 2, column 8"),
        ('{"a" 1}', "line 1, column 2"),
        ('{"a": 1 "b": 2}', "line 1, column 9"),
        ('{"a": 1} x', "line 1, column 10"),
        ("[]", "line 1, column 1"),
        ('{"hooks": []}', "line 1, column 11"),
        ('{"hooks": {"Stop": {}}}', "line 1, column 20"),
        ("// only this", "comments alone"),
        ('{"a": 1, "a": 2}', "line 1, column 10"),
        ("{" + '"a":{' * 300, "too deep"),
        ("{} /* never closed", "line 1, column 4"),
    ],
)
def test_what_is_no_json_is_refused_with_its_place(text: str, where: str) -> None:
    with pytest.raises(jsonc.JsonError, match=re.escape(where)):
        jsonc.extend(text, MORE)


def test_a_piece_that_was_changed_or_doubled_is_not_taken_out() -> None:
    edit = jsonc.extend('{"a": 1}', MORE)
    assert jsonc.take_out(edit.text.replace("End", "Fin"), edit.pieces) is None
    assert jsonc.take_out(edit.text * 2, edit.pieces) is None


def test_what_the_person_adds_later_stays() -> None:
    edit = jsonc.extend('{\n  "a": 1\n}\n', MORE)
    later = edit.text.replace('"a": 1', '"b": 2, // new\n  "a": 1')
    assert jsonc.take_out(later, edit.pieces) == '{\n  "b": 2, // new\n  "a": 1\n}\n'


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


@given(
    st.dictionaries(st.sampled_from(["a", "b", "c"]), JSON, max_size=3),
    st.dictionaries(
        st.sampled_from(["Stop", "End", "Other"]), st.lists(st.just({"hooks": [{"command": "m"}]})), max_size=3
    ),
    st.sampled_from([None, 1, 4, "\t"]),
)
def test_any_settings(rest: dict[str, object], hooks: dict[str, object], indent: int | str | None) -> None:
    mine = {**rest, "hooks": hooks}
    text = json.dumps(mine, indent=indent)
    edit = jsonc.extend(text, MORE)
    assert json.loads(edit.text)["hooks"].get("End") == [*hooks.get("End", []), *MORE["hooks"]["End"]]  # type: ignore[misc]
    assert jsonc.take_out(edit.text, edit.pieces) == text
    again = json.loads(jsonc.prune(edit.text, lambda entry: "/x/hook.sh" in str(entry.get("command"))))
    assert {key: again.get(key) for key in rest} == rest
