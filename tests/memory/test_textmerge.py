from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peercoord.errors import NotFoundError, PeercoordError, StorageError
from peercoord.memory import outcome
from peercoord.memory.textmerge import merger

if TYPE_CHECKING:
    from peercoord.memory.outcome import Merge3

BASE = "one\ntwo\nthree\nfour\nfive\n"


def pieces(merged: outcome.Merged) -> list[object]:
    return [p if isinstance(p, str) else (p.ours, p.base, p.theirs) for p in merged.pieces]


MARKS = "<<<<<<< a\n||||||| b\n=======\n>>>>>>>>>> c\n"


@pytest.mark.parametrize(
    ("ours", "base", "theirs", "expected"),
    [
        (BASE.replace("one", "ONE"), BASE, BASE.replace("five", "FIVE"), ["ONE\ntwo\nthree\nfour\nFIVE\n"]),
        ("same\nours\nend\n", "old\n", "same\ntheirs\nend\n", ["same\n", ("ours\n", "old\n", "theirs\n"), "end\n"]),
        (f"{MARKS}ours\n", f"{MARKS}base\n", f"{MARKS}theirs\n", [MARKS, ("ours\n", "base\n", "theirs\n")]),
        ("a\0\n", "b\n", "c\n", [("a\0\n", "b\n", "c\n")]),  # binary, for git
    ],
)
def test_texts_are_merged_or_given_in_pieces(
    merge3: Merge3, ours: str, base: str, theirs: str, expected: list[object]
) -> None:
    merged = merge3(ours, base, theirs)
    assert pieces(merged) == expected
    assert merged.clean == (len(expected) == 1 and isinstance(expected[0], str))


def test_a_conflict_is_taken_from_one_side_or_marked(merge3: Merge3) -> None:
    merged = merge3(BASE.replace("three", "ours"), BASE, BASE.replace("three", "theirs"))
    sides = {(True, False): "ours", (False, True): "theirs", (True, True): "ours\ntheirs"}
    for (ours, theirs), text in sides.items():
        assert merged.take(ours=ours, theirs=theirs) == BASE.replace("three", text)
    assert merged.marked("a", "b") == (
        "one\ntwo\n<<<<<<< a\nours\n||||||| base\nthree\n=======\ntheirs\n>>>>>>> b\nfour\nfive\n"
    )
    marked = merge3(f"{MARKS}ours\n", f"{MARKS}base\n", f"{MARKS}theirs\n").marked("x", "y")
    assert marked.endswith("<<<<<<<<<<< x\nours\n||||||||||| base\nbase\n===========\ntheirs\n>>>>>>>>>>> y\n")


LINES = st.lists(st.sampled_from(["a", "b", "c", "", "=======", "<<<<<<< x", "é\u2028", "\x0b"]), max_size=6)
TEXTS = LINES.map(lambda lines: "".join(f"{line}\n" for line in lines))


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TEXTS, TEXTS, TEXTS)
def test_nothing_is_lost_on_the_way_through_git(merge3: Merge3, ours: str, base: str, theirs: str) -> None:
    merged = merge3(ours, base, theirs)
    if ours == base:
        assert merged.take(ours=True, theirs=True) == theirs
    if theirs == base:
        assert merged.take(ours=True, theirs=True) == ours
    size = outcome.marker_size(ours, base, theirs)
    left, right = (merged.take(ours=own, theirs=not own) for own in (True, False))
    assert {*left.split("\n")} <= {*ours.split("\n"), *theirs.split("\n"), ""}
    assert {*right.split("\n")} <= {*ours.split("\n"), *theirs.split("\n"), ""}
    marked = "".join(
        p
        if isinstance(p, str)
        else f"{'<' * size} a\n{p.ours}{'|' * size} b\n{p.base}{'=' * size}\n{p.theirs}{'>' * size}\n"
        for p in merged.pieces
    )
    assert pieces(outcome.parse_marked(marked, size)) == pieces(merged)


def test_git_variables_of_the_environment_take_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", "/nowhere/at/all")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "nonsense")
    with merger() as merge:
        assert merge("a\n", "b\n", "b\n").take(ours=True, theirs=True) == "a\n"


def program(path: Path, text: str) -> str:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_an_older_git_is_asked_in_its_own_words(tmp_path: Path) -> None:
    script = '#!/bin/sh\nfor w; do [ "$w" = --zdiff3 ] && exit 129; done\nexec git "$@"\n'
    with merger(program(tmp_path / "oldgit", script)) as merge:
        assert pieces(merge("ours\n", "base\n", "theirs\n")) == [("ours\n", "base\n", "theirs\n")]
        assert merge("a\n", "b\n", "b\n").clean


@pytest.mark.parametrize(
    ("script", "kind", "why"),
    [
        ("#!/bin/sh\necho fatal: no luck >&2\nexit 255\n", PeercoordError, "status 255: fatal: no luck"),
        ("", NotFoundError, "somegit was not found"),
    ],
)
def test_a_git_that_fails_or_is_missing_is_named(
    tmp_path: Path, script: str, kind: type[PeercoordError], why: str
) -> None:
    path = tmp_path / "somegit"
    with merger(program(path, script) if script else str(path)) as merge, pytest.raises(kind, match=why):
        merge("a\n", "b\n", "c\n")


def test_the_directory_is_removed_and_its_loss_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with merger() as merge:
        merge("a\n", "b\n", "c\n")
        (home,) = tmp_path.iterdir()
        subprocess.run(["rm", "-r", str(home)], check=True)
        with pytest.raises(StorageError, match="ours"):
            merge("a\n", "b\n", "c\n")
        home.mkdir()
    assert os.listdir(tmp_path) == []
