"""Characters that steer a terminal: none is shown or written raw, and every script stays readable."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peercoord import foreign
from peercoord.store import records

READABLE = (
    *("Страница входа", "ログイン\u3000画面", "שלום עולם", "می\u200cخواهم", "क्\u200dष"),
    *("👩\u200d👩\u200d👧", "✔\ufe0f a\u00a0b"),
)
STEERING = (
    *map(chr, [*range(0x20), *range(0x7F, 0xA0)]),
    *"\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
    *"\u00ad\u200b\u2028\u2029\u2060\u2064\u206a\u206f\ufeff\ufff9\ufffb\U000e0001\U000e0041\U0001d173",
)


@pytest.mark.parametrize("given", READABLE)
def test_every_script_stays_as_it_is(given: str) -> None:
    assert foreign.clean(given) == foreign.unmarked(given) == foreign.visible(given) == foreign.plain(given) == given
    assert records.decode(records.encode({"a": given}), "x") == {"a": given}
    assert given.encode() in records.encode({"a": given})


def test_a_steering_character_is_never_raw() -> None:
    for char in STEERING:
        given = f"a{char}b"
        assert all(char not in shown(given) for shown in (foreign.visible, foreign.plain, foreign.line)), ascii(char)
        assert char in "\n\t" or char not in foreign.clean(given), ascii(char)
        for data in (records.encode({"a": given, char: 1}), records.encode_line({"a": given, char: 1})):
            assert char not in data.decode().replace("\n", "") or char == "\n", ascii(char)
            assert json.loads(data) == {"a": given, char: 1}


def test_no_direction_or_control_character_is_forgotten() -> None:
    bidi = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    for char in map(chr, range(0x110000)):
        if unicodedata.category(char) in ("Cc", "Zl", "Zp", "Cs") or unicodedata.bidirectional(char) in bidi:
            assert foreign.visible(char) != char, ascii(char)


def test_whole_escape_sequences_are_taken_out() -> None:
    assert foreign.clean("a \x9b31mred\x9b0m \x1b]0;title\x07b \x9d52;c;QUJD\x9c\u202ec\r\nd") == "a red b c\nd"


@given(st.text(max_size=40) | st.text("\x1b\x9b[]0;mAx\x07\n\t\u202e", max_size=40))
def test_cleaned_text_is_clean(given: str) -> None:
    once = foreign.clean(given)
    assert foreign.unmarked(once) == once
    assert foreign.visible(once.replace("\n", "").replace("\t", "")) == once.replace("\n", "").replace("\t", "")
