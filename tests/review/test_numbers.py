"""A number means what was shown beside it, for good."""

from __future__ import annotations

import multiprocessing

import pytest
from review.conftest import Scene

from peercoord.errors import NotFoundError, PeercoordError, UsageError
from peercoord.memory.bank import Decider
from peercoord.review.items import ReviewQueue, give_numbers, pick
from peercoord.store import paths
from peercoord.store.root import open_root


def queue(scene: Scene) -> ReviewQueue:
    return ReviewQueue(scene.bank, scene.bank.root, str(scene.project.state))


def test_a_number_is_never_given_to_anything_else(scene: Scene) -> None:
    first = scene.clash()
    assert scene.numbers() == {first: 1}
    critical = scene.critical()
    assert scene.numbers() == {first: 1, critical: 2}
    scene.bank.reject(first, "no", Decider("Ada"))
    second = scene.clash((40, 50))
    assert scene.numbers() == {critical: 2, second: 3}
    for word in ("1", "#1"):
        with pytest.raises(NotFoundError, match=f"{first}.*no longer waits"):
            queue(scene).find(word)
    assert queue(scene).find("#3").ident == second
    with pytest.raises(NotFoundError, match="ever listed"):
        queue(scene).find("4")


def test_many_that_list_at_once_give_each_thing_one_number(scene: Scene) -> None:
    state = str(scene.project.state)
    processes = multiprocessing.get_context("fork")
    start, said = processes.Barrier(4), processes.SimpleQueue()

    def work(name: str) -> None:
        root = open_root(state)
        start.wait()
        for count in range(20):
            said.put(give_numbers(root, state, [f"k-{name}{count}", f"k-{count}"]))

    running = [processes.Process(target=work, args=(name,)) for name in "abcd"]
    for one in running:
        one.start()
    pairs = {pair for _ in range(80) for pair in said.get().items()}
    for one in running:
        one.join()
    assert len(pairs) == len(dict(pairs)) == len({number for _, number in pairs}) == 100


def test_an_unwritable_disk_gives_no_numbers_but_all_else(scene: Scene) -> None:
    ident = scene.clash()
    (scene.project.state / paths.NUMBERS_LOCK).mkdir()
    assert scene.numbers() == {ident: None}
    assert queue(scene).find(ident[:8]).called == ident


@pytest.mark.parametrize(
    ("word", "error"), [("k-01234", None), ("k-0123", UsageError), ("e-", UsageError), ("k-9999", NotFoundError)]
)
def test_a_prefix_names_one_or_none(word: str, error: type[PeercoordError] | None) -> None:
    known = ["k-0123456789abcdef", "k-0123ffffffffffff", "e-0123456789abcdef"]
    if error is None:
        assert pick(word, known, "waits") == known[0]
    else:
        with pytest.raises(error):
            pick(word, known, "waits")


def test_broken_lines_in_the_file_are_passed_over(scene: Scene) -> None:
    ident = scene.clash()
    (scene.project.state / paths.NUMBERS).write_bytes(b"7 k-aaaa\n\xff\xfe\nx y z\n-1 k-b\n8 ../../etc\n")
    assert scene.numbers() == {ident: 8}
