"""Every file name and its parser: what is written is read back, and nothing else is read.

Single names, good and bad, are in protocol/vectors/v1/names.json, for peers in every language.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peercoord.store import paths
from peercoord.store.paths import Incarnation, Ticket
from peercoord.store.settings import READY_BLOCK
from peercoord.system import cksum

LONG = "9" * 16
NAMES: list[tuple[Callable[[str], object], Callable[..., str]]] = [
    (paths.parse_ticket, lambda *parts: str(Ticket(*parts))),
    (paths.parse_incarnation, lambda *parts: str(Incarnation(*parts))),
    (paths.parse_departed, paths.departed_dir),
    (paths.parse_result, paths.result),
    (paths.parse_beat, lambda *parts: paths.beat("", *parts)),
    (paths.parse_leader, lambda term: paths.leader("", term)),
    (paths.parse_new, paths.new_ticket),
    (paths.parse_record, paths.birth),
    (paths.parse_block, lambda block: paths.ready_shard(block * READY_BLOCK)),
    (paths.number, str),
]


def last(path: str) -> str:
    return path.rpartition("/")[2]


@given(
    st.text(max_size=30)
    | st.from_regex(r"[a-z0-9.~-]{0,20}(done|json)?", fullmatch=True)
    | st.from_regex(r"(beat|leader|a)~?[0-9]{0,16}(\.x|~b~1\.y|\.done\.json)?", fullmatch=True)
    | st.text(alphabet="0123456789af~ ٣", max_size=17)
)
def test_only_a_name_that_would_be_written_is_read(name: str) -> None:
    for parse, write in NAMES:
        parts = parse(name)
        assert parts is None or last(write(*(parts if isinstance(parts, tuple) else (parts,)))) == name
    assert paths.is_shard(name) == (name in {f"{shard:02x}" for shard in range(256)})


@pytest.mark.parametrize(
    ("parse", "name"),
    [
        *((paths.parse_ticket, name) for name in ("", "~", "5~~1", "a/b~1", "5~²", "5~1\udcff", "5~1~done\udcff")),
        *((paths.parse_new, name) for name in ("", "~x", "../5~x", "5~a/b", "5~é")),
        *((paths.parse_record, name) for name in ("", "5.json ", "-.json", "5.jso", "a b.json", "./a.json", "é.json")),
        *(
            (paths.parse_result, name)
            for name in ("", "5~1.Done.json", "5~1..json", ".done.json", f"5~{LONG}.done.json")
        ),
        *((paths.parse_incarnation, name) for name in ("", "a~-1.x", "a~x.1", "a~1.x ", f"a~{LONG}.x", "a/b~1.x")),
        *((paths.parse_departed, name) for name in ("", "a~1.x~b~2", "a~1.x~~b~2.y", "a~1.x~b~02.y", "~a~1.x~b~2.y")),
        *((paths.parse_beat, name) for name in ("", "beats~1", "beat~1~a~1.x~b", f"beat~{LONG}", "beat1", "xbeat~1")),
        *((paths.parse_leader, name) for name in ("", "Leader~1", "leader~1 ", f"leader~{LONG}", "leaders~1", "~1")),
        *(
            (paths.number, text)
            for text in ("", "00", "01", "-1", "+1", " 1", "1_0", "1.0", "٣", "²", "①", "0x1", LONG)
        ),
    ],
    ids=lambda given: getattr(given, "__name__", None) or ascii(given),
)
def test_a_name_that_is_almost_one_of_ours_is_not_read(parse: Callable[[str], object], name: str) -> None:
    assert parse(name) is None


@pytest.mark.skipif(shutil.which("cksum") is None, reason="no cksum program here")
@pytest.mark.parametrize("data", [b"", b"5", b"A.b_c-D", b"\0" * 7, b"\xff" * 300, bytes(range(256)) * 300])
def test_the_checksum_is_that_of_the_posix_program(data: bytes) -> None:
    said = subprocess.run(["cksum"], input=data, capture_output=True, check=True).stdout
    assert cksum.cksum(data) == int(said.split()[0])
