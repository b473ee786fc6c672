"""What a branch changes: git is asked once for each pair of commits, and not for long."""

from __future__ import annotations

import pytest
from screens import scene
from support.project import Project, git

from peercoord.errors import PeercoordError
from peercoord.screens import changes
from peercoord.screens.changes import Changes, Diff
from peercoord.screens.web import pages, report
from peercoord.screens.web.drawing import Site
from peercoord.screens.web.model import Source


@pytest.fixture
def asks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The inspections that git was asked in."""
    asked: list[str] = []
    inspect = changes.inspection.of_directory
    monkeypatch.setattr(changes.inspection, "of_directory", lambda at: asked.append(at) or inspect(at))
    return asked


def test_a_branch_is_counted_from_where_it_left(
    team: Project, asks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Changes(str(team.main))
    first = found.of("team/instance-1")
    assert first == Diff("team/instance-1", ((1, 1, "api.py"), (2, 0, "setup.py")))
    assert first.told == "+3 −1 in 2 files"
    assert found.of("team/instance-1") == first
    assert len(asks) == 1, "nothing was committed since"
    (scene.tree(team, 1) / "a\udcff b").write_bytes(b"\0\0")
    git(scene.tree(team, 1), "add", "-A")
    git(scene.tree(team, 1), "commit", "-q", "-m", "more")
    monkeypatch.setattr(changes, "FRESH_SECONDS", -1)
    later = found.of("team/instance-1")
    assert later is not None
    assert (None, None, "a? b") in later.files
    assert len(asks) == 2


@pytest.mark.parametrize(("answers", "files", "asked"), [(9, 3, 2), (9, 2, 4), (1, 9, 4)])
def test_only_so_much_is_kept(
    team: Project, asks: list[str], monkeypatch: pytest.MonkeyPatch, answers: int, files: int, asked: int
) -> None:
    monkeypatch.setattr(changes, "KEPT_MOST", answers)
    monkeypatch.setattr(changes, "FILES_MOST", files)
    found = Changes(str(team.main))
    earlier = git(scene.tree(team, 1), "rev-parse", "HEAD~1").strip()
    for commit, count in (("", 2), (earlier, 1)) * 2:
        said = found.of("team/instance-1", commit)
        assert said is not None
        assert len(said.files) == count
    assert len(asks) == asked


def test_a_commit_stands_for_a_branch_that_went_on(team: Project) -> None:
    tip = git(scene.tree(team, 1), "rev-parse", "HEAD~1").strip()
    found = Changes(str(team.main)).of("team/instance-1", tip)
    assert found is not None
    assert found.told == "+2 −0 in 1 file"


def test_what_is_no_branch_changes_nothing(team: Project) -> None:
    found = Changes(str(team.main))
    for branch, commit in (("", ""), ("main", ""), ("none", ""), ("--output=x", "-x"), ("", "0" * 40)):
        assert found.of(branch, commit) is None, branch
    assert not (team.main / "x").exists()


def test_git_is_not_waited_for(team: Project, asks: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    found = Changes(str(team.main))
    found.left = 0
    with pytest.raises(PeercoordError, match="no time to ask git"):
        found.of("team/instance-1")
    assert asks == []
    found.left = 60
    monkeypatch.setattr(changes, "SECONDS", -1)
    with pytest.raises(PeercoordError, match="no answer"):
        found.of("team/instance-1")
    assert 0 < found.left < 60


def test_the_page_of_a_task_lists_the_files_of_its_branch(team: Project) -> None:
    found = Source(str(team.main), str(team.state)).scene()
    text = pages.task(found, Site(now=found.board.now), "3")
    assert '<span class="count">+3 −1 in 2 files</span>' in text
    assert '<li><span class="number">+2 −0</span> <bdi>setup.py</bdi></li>' in text
    assert "Changes" not in pages.task(found, Site(now=found.board.now), "9"), "nobody has begun it"
    assert "+3 −1 in 2 files" in report.draw(found)
