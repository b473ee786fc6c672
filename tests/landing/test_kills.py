"""A landing that is killed at any step leaves everything as it was, or the next one finishes it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from landing.conftest import Scene

from peercoord.errors import LostError, PeercoordError, StoppedError
from peercoord.landing import branch as branches
from peercoord.landing import checkout
from peercoord.landing.trial import Trial
from peercoord.store import landings
from peercoord.store.isolated_git import Inspection

STEPS = {  # what is killed, which call of it, and whether that call is carried out first
    "before anything is written": (landings, "write", 1, False),
    "with a record": (landings, "write", 1, True),
    "with locks, nothing staged": (checkout.Move, "_stage", 1, False),
    "with staged files": (checkout.Move, "_stage", 1, True),
    "before the branch moves": (branches, "_swap", 1, False),
    "after the branch moved": (branches, "_swap", 1, True),
    "after one file": (checkout, "_rename", 1, True),
    "between removed and new files": (checkout, "_rename", 1, False),
    "before the index": (Inspection, "_replace_index", 1, False),
    "after the index": (Inspection, "_replace_index", 1, True),
    "after the index is refreshed": (Inspection, "_replace_index", 2, True),
    "before it is called landed": (landings, "write", 2, False),
    "at the very end": (branches, "unpin", 1, False),
}
ORDER = list(STEPS)
MOVED = set(ORDER[ORDER.index("after the branch moved") :])


def killed(action: Callable[[], object], step: str) -> None:
    """Carry something out in a process that is killed at a step."""
    home, name, number, carried_out = STEPS[step]
    child = os.fork()
    if not child:
        real, calls = getattr(home, name), [0]

        def deadly(*given: object, **more: object) -> object:
            calls[0] += 1
            if calls[0] == number and not carried_out:
                os.kill(os.getpid(), signal.SIGKILL)
            answer = real(*given, **more)
            if calls[0] == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        setattr(home, name, deadly)
        try:
            action()
        finally:
            os._exit(7)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL, "the step was not met"


@pytest.fixture
def work(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Work that adds, changes and removes files, and puts a file in the place of a directory and the other way."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))  # what is killed cleans nothing up
    for name in ("old/deep/file.txt", "gone.txt", "file"):
        scene.repo.commit(name)
    scene.repo.instance(1).git("merge", "-q", "main")
    tree = scene.repo.instance(1)
    tree.git("rm", "-q", "-r", "old", "gone.txt", "file")
    scene.done(1, "1", {"new/deep/file.txt": "1\n", "src/main.py": "new\n", "old": "now a file\n", "file/in": "1\n"})
    return scene


def content(scene: Scene) -> dict[str, str]:
    top = scene.repo.path
    names = scene.repo.git("ls-files", "-z").split("\0")[:-1]
    return {name: (top / name).read_text() for name in names}


@pytest.mark.parametrize("step", STEPS)
def test_a_killed_landing_is_dropped_or_finished(work: Scene, step: str) -> None:
    before, start = content(work), work.tip()
    killed(lambda: work.land(), step)
    assert (work.tip() != start) == (step in MOVED)
    if step not in MOVED:
        assert (content(work), work.repo.status()) == (before, "")
    made = work.land()
    assert work.tip() == made.after != start
    assert work.repo.status() == ""
    assert content(work)["old"] == "now a file\n"
    assert [one.state for one in landings.listed(work.root)] == ["landed"]
    left = {name for name in os.listdir(work.repo.path / ".git") if "lock" in name or "peercoord-landing" in name}
    assert left == set()


@pytest.mark.parametrize("step", ["with staged files", "after the branch moved", "after one file", "before the index"])
def test_a_killed_undo_is_dropped_or_finished(work: Scene, step: str) -> None:
    before, start = content(work), work.tip()
    after = work.land().after
    killed(work.undo, step)
    assert work.tip() == (start if step in MOVED else after)
    if step in MOVED:
        with pytest.raises(PeercoordError, match="no landing to take back"):
            work.undo()
    else:
        work.undo()
    assert (work.tip(), content(work), work.repo.status()) == (start, before, "")


def test_what_a_person_did_after_the_kill_is_not_written_over(work: Scene) -> None:
    killed(lambda: work.land(), "after the branch moved")
    mine: Path = work.repo.write("src/main.py", "mine\n")
    with pytest.raises(PeercoordError, match=r"src/main\.py was changed since the landing began"):
        work.land()
    assert mine.read_text() == "mine\n"
    work.repo.git("reset", "-q", "--hard")
    assert work.states(work.land()) == {"1": "already-there"}
    assert (work.repo.status(), landings.newest(work.root).state) == ("", "landed")  # type: ignore[union-attr]


@pytest.mark.parametrize("threads", [0, 1])
def test_an_interrupt_in_the_middle_of_the_move_waits_for_its_end(
    work: Scene, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    swap, over = branches._swap, threading.Event()
    others = [threading.Thread(target=over.wait, daemon=True) for _ in range(threads)]

    def interrupted(*given: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        swap(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(branches, "_swap", interrupted)
    start = work.tip()
    for other in others:
        other.start()
    with pytest.raises(StoppedError, match="after the work had landed"):
        work.land()
    over.set()
    assert work.tip() != start
    assert (work.repo.status(), landings.newest(work.root).state) == ("", "landed")  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["README.md", "new.txt"])
def test_what_a_person_saves_while_files_are_staged_is_kept(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    scene.done(1, "1", {"README.md": "landed\n", "new.txt": "landed\n"})
    before, stage = scene.tip(), checkout.Move._stage

    def slowly(move: checkout.Move, trial: Trial) -> dict[str, str]:
        staged = stage(move, trial)
        (scene.repo.path / name).write_text("mine\n")
        return staged

    monkeypatch.setattr(checkout.Move, "_stage", slowly)
    with pytest.raises(LostError, match=name):
        scene.land()
    assert ((scene.repo.path / name).read_text(), scene.tip()) == ("mine\n", before)
    assert landings.listed(scene.root) == []
    assert not (scene.repo.path / ".git" / "index.lock").exists()
