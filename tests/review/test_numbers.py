"""A number means what was shown beside it, for good."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from review.conftest import Scene

from peercoord.errors import NotFoundError, UsageError
from peercoord.memory.bank import Decider
from peercoord.review.items import ReviewQueue, pick
from peercoord.store import paths


def queue(scene: Scene) -> ReviewQueue:
    return ReviewQueue(scene.bank, scene.bank.root, str(scene.project.state))


def test_a_number_is_never_given_to_anything_else(scene: Scene) -> None:
    """A decided, B listed anew under another number: what was typed for A hits nothing."""
    first = scene.clash()
    assert scene.numbers() == {first: 1}
    scene.bank.reject(first, "no", Decider("Ada"))
    second = scene.clash((40, 50))
    assert scene.numbers() == {second: 2}
    for word in ("1", "#1"):
        with pytest.raises(NotFoundError, match=f"{first}.*waits no more"):
            queue(scene).find(word)
    assert queue(scene).find("#2").ident == second
    with pytest.raises(NotFoundError, match="ever listed"):
        queue(scene).find("3")


def test_what_one_list_showed_holds_for_whoever_lists_next(scene: Scene) -> None:
    later = scene.critical()
    assert scene.numbers() == {later: 1}
    earlier = scene.clash()
    assert scene.numbers() == {later: 1, earlier: 2}
    assert queue(scene).find("1").ident == later


def test_many_that_list_at_once_give_each_thing_one_number(scene: Scene) -> None:
    code = (
        "import sys\nfrom peercoord.store.root import open_root\nfrom peercoord.review.items import give_numbers\n"
        "state, name = sys.argv[1:]\nroot = open_root(state)\nprint(flush=True)\ninput()\n"
        "for count in range(20):\n"
        "    for pair in give_numbers(root, state, [f'k-{name}{count}', f'k-{count}']).items(): print(*pair)\n"
    )
    words = [sys.executable, "-c", code, str(scene.project.state)]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    running = [subprocess.Popen([*words, name], text=True, env=env, **pipes) for name in "abcd"]
    for one in running:
        assert one.stdout
        one.stdout.readline()  # ready
    for one in running:
        assert one.stdin
        one.stdin.write("\n")
        one.stdin.flush()
    said = {line for one in running for line in one.communicate()[0].splitlines()}
    shown = dict(line.split()[::-1] for line in said)
    assert len(said) == len(shown) == 100, "one number for each, and each number for one"


def test_where_nothing_can_be_written_there_are_no_numbers_but_all_else(scene: Scene) -> None:
    ident = scene.clash()
    (scene.project.state / paths.NUMBERS_LOCK).mkdir()
    assert scene.numbers() == {ident: None}
    assert queue(scene).find(ident[:8]).called == ident


def test_a_prefix_names_one_or_none(scene: Scene) -> None:
    known = ["k-0123456789abcdef", "k-0123ffffffffffff", "e-0123456789abcdef"]
    assert pick("k-01234", known, "waits") == known[0]
    with pytest.raises(UsageError, match="too short"):
        pick("k-0123", known, "waits")
    with pytest.raises(UsageError, match="too short"):
        pick("e-", known, "waits")
    with pytest.raises(NotFoundError):
        pick("k-9999", known, "waits")


def test_broken_lines_in_the_file_are_passed_over(scene: Scene) -> None:
    (scene.project.state / paths.NUMBERS).write_bytes(b"7 k-aaaa\n\xff\xfe\nx y z\n-1 k-b\n8 ../../etc\n")
    ident = scene.clash()
    assert scene.numbers()[ident] == 8
