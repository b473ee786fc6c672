"""Collection: what lies in memory-contributions/ is queued once, whatever dies meanwhile; what cannot be is told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from memory.banks import Below, Cutting, Scene, places
from memory.helpers import TECH

from peercoord.memory import cleanup
from peercoord.memory.collector import FOLDER, Collected, Collector
from peercoord.memory.contribution import FILE_BYTES
from peercoord.store import paths

if TYPE_CHECKING:
    from peercoord.system.disk import DiskLike

TREE = "tree"


pytestmark = pytest.mark.usefixtures("shared")


class Tree(Below):
    """The worktree, on the same disk in memory."""

    place = TREE


class Worktree:
    """A scene with a worktree in it."""

    def __init__(self, scene: Scene | None = None) -> None:
        self.scene = scene or Scene()
        if scene is None:
            for folder in (TREE, f"{TREE}/{paths.INSTANCE}", f"{TREE}/{FOLDER}"):
                self.scene.disk.mkdir(folder)
            self.scene.write()

    def twin(self) -> Worktree:
        return Worktree(self.scene.twin())

    def gatherer(self, disk: DiskLike | None = None, peer: str = "instance-1") -> Collector:
        """As a new process of the agent has it."""
        on = disk or self.scene.disk
        world = self.scene.world.on(on)
        return Collector(world.root, Tree(on), self.scene.bank(on).files, peer)

    def put(self, name: str, data: bytes | str | None) -> None:
        path = f"{TREE}/{FOLDER}/{name}"
        if path in self.scene.disk.files():
            self.scene.disk.unlink(path)
        if data is not None:
            self.scene.disk.create(path, data if isinstance(data, bytes) else data.encode(), False)

    def gather(self, gatherer: Collector | None = None) -> Collected:
        """Look until everything kept still."""
        gatherer = gatherer or self.gatherer()
        for _ in range(5):
            sight = gatherer.look()
            if gatherer.again(sight) is None:
                break
        return gatherer.take(sight, "7")

    def queued(self) -> dict[str, str]:
        store = self.scene.bank().store
        return {one.content: one.kind for one in store.queued()}

    def refused(self) -> list[dict[str, object]]:
        """The reasons that are kept."""
        return [json.loads(data) for path, data in self.scene.disk.files().items() if path.endswith(".why")]

    def document(self) -> str:
        return (self.scene.document() or b"").decode()


@pytest.fixture
def tree() -> Worktree:
    return Worktree()


def test_an_edited_copy_is_compared_with_what_it_was_copied_from(tree: Worktree) -> None:
    """What others merged since is no wish to take it back, however late the copy is edited."""
    tree.put("techContext.md", TECH)
    assert tree.gather().contributions == []
    tree.put("techContext-additions.md", "## Limits\n\n- by another\n")
    tree.gather(tree.gatherer(peer="instance-2"))
    tree.scene.merge()
    tree.put("techContext-additions.md", None)
    tree.put("techContext.md", TECH.replace(b"Use ruff.", b"Use ruff and mypy."))
    tree.gather()
    tree.scene.merge()
    assert "- by another" in tree.document()
    assert "Use ruff and mypy." in tree.document()
    assert tree.scene.bank().waiting() == []


def test_a_file_is_taken_once_and_what_its_author_takes_out_is_withdrawn(tree: Worktree) -> None:
    """MEM-15: it may come back."""
    both = "## Limits\n\nHasty.\n\n## Tools\n\nKept.\n"
    gatherer = tree.gatherer()
    tree.put("techContext-additions.md", both)
    assert [len(tree.gather(each).contributions) for each in (gatherer, gatherer, tree.gatherer())] == [2, 0, 0]
    tree.put("techContext-additions.md", "## Tools\n\nKept.\n")
    (gone,) = tree.gather().withdrawn
    assert tree.scene.bank().store.rejection(gone)["code"] == "withdrawn"
    assert places(tree.scene)[gone] == "rejected"
    tree.put("techContext-additions.md", both)
    tree.gather()
    tree.scene.merge()
    assert (tree.gather().contributions, tree.queued()) == ([], {})
    assert (tree.document().count("Hasty."), tree.document().count("Kept.")) == (1, 1)


def test_a_withdrawn_member_of_a_candidate_frees_the_others(tree: Worktree) -> None:
    other = tree.gatherer(peer="instance-2")
    for gatherer, text in ((tree.gatherer(), "8 MB."), (other, "6 MB.")):
        tree.put("techContext-updates.md", f"## Limits\n\n{text}\n")
        tree.gather(gatherer)
    tree.scene.merge()
    assert len(tree.scene.bank().waiting()) == 1
    tree.put("techContext-updates.md", "")
    tree.gather(other)
    tree.scene.merge()
    assert tree.scene.bank().waiting() == []
    assert "8 MB." in tree.document()


def test_a_file_read_again_after_its_call_records_were_cleared(tree: Worktree) -> None:
    """MEM-15: what settles a file's contribution outlives every retention."""
    tree.put("techContext-additions.md", "## Limits\n\nOld wisdom.\n")
    tree.gather()
    tree.scene.merge()
    cleanup.clear(tree.scene.world.root, 2 * 10**15, 10**15)
    tree.gather()
    tree.scene.merge()
    assert tree.document().count("Old wisdom.") == 1


def test_everything_is_queued_once_whatever_the_crash(tree: Worktree) -> None:
    """MEM-1, MEM-15."""
    tree.put("techContext-additions.md", "## Limits\n\nHasty.\n\n## Tools\n\nKept.\n")
    tree.gather()
    tree.put("techContext-additions.md", "## Tools\n\nKept.\n\nAnd new.\n")
    tree.put("techContext-updates.md", "## Language\n\n- Python 3.13\n")
    tree.put("techContext.md", TECH + b"\nAt the end.\n")
    tree.put("core.md", b"\0\1\2")
    like = tree.twin()
    like.gather()
    like.scene.merge()
    cut = tree.twin()
    disk = Cutting(cut.scene)
    cut.gather(cut.gatherer(disk))
    assert len(disk.states) > 20
    for hint, state in disk.states.values():
        play = Worktree(state)
        play.gather()
        play.scene.merge()
        assert play.document() == like.document(), hint
        assert places(play.scene) == places(like.scene), hint
        refused = [path for path in play.scene.disk.files() if "/f-" in path]
        assert len(refused) == 1, hint


# -- bad input: refused with a reason that is kept, or deferred; nothing else is disturbed ------------------------


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("techContext-additions.md", b"PNG\0\0", "binary"),
        ("techContext-additions.md", b"caf\xe9\n", "not-utf8"),
        ("techContext-additions.md", b"\x1b[31mred\n", "binary"),
        ("techContext-additions.md", b"## Limits\n\n```\nopen\n", "open-block"),
        ("techContext-additions.md", b"## Limits\n\n<!-- open\n", "open-block"),
        ("techContext-additions.md", b"x" * (FILE_BYTES + 1), "too-large"),
        ("nonsense.txt", b"x\n", "bad-file"),
        ("a\\..\\b-additions.md", b"x\n", "bad-file"),
        ("my notes.md", b"x\n", "bad-file"),
    ],
)
def test_a_bad_file_is_refused_once_with_its_reason(tree: Worktree, name: str, data: bytes, code: str) -> None:
    """MEM-15."""
    tree.put("learnings.md", "- good\n")
    tree.put(name, data)
    gatherer = tree.gatherer()
    assert [len(tree.gather(gatherer).refused) for _ in range(3)] == [1, 0, 0]
    assert tree.queued() == {"- good": "addition"}
    assert [(one["kind"], one["by"], one["size"]) for one in tree.refused()] == [(code, "instance-1", len(data))]
    assert all(len(data) < 2000 for path, data in tree.scene.disk.files().items() if "rejected" in path)
