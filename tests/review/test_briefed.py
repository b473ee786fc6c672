"""What someone else changed meanwhile is not replaced by who was never told of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from review.conftest import Scene, project, scene, second
from review.test_notices import told

from peercoord.memory import news
from peercoord.worktree import context, notices
from peercoord.worktree.call import WorktreeCall

__all__ = ["project", "scene", "second"]


def update(scene: Scene, text: str, at: Path | None = None) -> None:
    """Contribute an update of one section as a worktree's peer, and merge."""
    words = ("memory", "add", "--file", "techContext.md", "--section", "Tools", "--type", "update", "--content", text)
    code, _, err = scene.project(*words, at=at)
    assert code == 0, err
    scene.merge()


def test_an_update_by_a_peer_that_was_not_told_waits(scene: Scene, second: Path) -> None:
    """MEM-3."""
    told(scene)
    told(scene, second)
    update(scene, "Use ruff and mypy.")
    update(scene, "Use flake8.", second)
    assert "Use ruff and mypy." in scene.text
    (waits,) = [one.candidate for one in scene.bank.waiting()]
    assert (waits.base, waits.conflict) == ("Use ruff.", True)
    assert waits.takes["right"] == "Use flake8."


def test_a_peer_that_was_told_may_replace_it(scene: Scene, second: Path) -> None:
    told(scene)
    told(scene, second)
    update(scene, "Use ruff and mypy.")
    assert told(scene, second)
    update(scene, "Use flake8.", second)
    assert "Use flake8." in scene.text
    assert scene.bank.waiting() == []


def test_a_peers_own_change_is_no_news(scene: Scene) -> None:
    told(scene)
    update(scene, "Use ruff and mypy.")
    update(scene, "Use pylint.")
    assert "Use pylint." in scene.text
    assert scene.bank.waiting() == []


def test_a_change_elsewhere_in_the_document_is_no_conflict(scene: Scene, second: Path) -> None:
    told(scene)
    told(scene, second)
    scene.merged("- rust too", peer="instance-9")
    update(scene, "Use flake8.", second)
    assert "Use flake8." in scene.text
    assert "- rust too" in scene.text
    assert scene.bank.waiting() == []


@pytest.mark.parametrize("kept", [True, False])
def test_the_document_as_it_was_known_comes_from_its_backup(scene: Scene, kept: bool) -> None:
    before, files = scene.text.encode(), scene.project.queue.files
    mark = news.latest(files)
    scene.merged("- rust too", peer="instance-9")
    now = scene.text.encode()
    if not kept:
        for backup in (scene.project.state / "memory-updates" / "backups").glob("*/*"):
            backup.unlink()
    known = scene.bank.store.briefed("techContext.md", now, mark, "one")
    assert known == (before if kept else now)
    assert scene.bank.store.briefed("techContext.md", now, None, "one") == now
    assert scene.bank.store.briefed("techContext.md", now, mark, "instance-9") == now
    assert scene.bank.store.briefed("techContext.md", now, news.latest(files), "one") == now
    assert scene.bank.store.briefed("progress.md", b"", mark, "one") == b""


def test_notes_that_nobody_hears_do_not_count_as_told(scene: Scene) -> None:
    told(scene)
    scene.merged(peer="instance-9")
    call = WorktreeCall(context.find(str(scene.project.worktree)), heard=False)
    with call.peer():
        assert call.told is not None
    assert call.notes == []
    assert scene.project("-q", "check")[0] == 0
    assert len(told(scene)) == 1
    assert context.find(str(scene.project.worktree)).info[notices.TOLD] > (call.told or 0)
