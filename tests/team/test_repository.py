"""Where a directory stands, in every shape a repository comes in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from peercoord.errors import NotFoundError, PeercoordError
from peercoord.store import manifest
from peercoord.team.repository import commit, discover, worktrees


def test_every_directory_of_every_checkout_leads_to_the_main_one(repo):
    repo.git("worktree", "add", "-q", "../other", "-b", "other")
    other = repo.beside("other").path
    for start in (repo.path, repo.path / "src", other, other / "src"):
        found = discover(start)
        assert (found.main, found.sub, found.directory) == (repo.path, "", repo.path)
        assert found.common == repo.path / ".git"
    assert discover(other / "src").here == other
    assert discover(repo.path).name == "app"


def test_a_project_may_be_a_directory_of_its_repository(repo):
    repo.git("worktree", "add", "-q", "../other", "-b", "other")
    exact = discover(repo.path / "src", exact=True)
    assert (exact.sub, exact.directory, exact.name) == ("src", repo.path / "src", "src")
    assert exact.path("memory-bank") == "src/memory-bank"
    (repo.path / "src" / ".claude-coordination").mkdir()
    (repo.path / "src" / "deep").mkdir()
    assert discover(repo.path / "src" / "deep").sub == "src"
    assert discover(repo.beside("other").path / "src").directory == repo.path / "src"
    assert discover(repo.path).sub == ""


def test_worktrees_are_listed_the_main_one_first(repo):
    repo.git("worktree", "add", "-q", "../a b", "-b", "one")
    repo.git("worktree", "add", "-q", "--detach", "../zwei-ü")
    repo.git("worktree", "lock", "--reason", "on a\nstick", "../a b")
    listed = worktrees(repo.project())
    assert [tree.path.name for tree in listed] == ["app", "a b", "zwei-ü"]
    assert [tree.branch for tree in listed] == ["main", "one", ""]
    assert [tree.locked for tree in listed] == [None, "on a\nstick", None]
    assert [tree.git_dir.parent for tree in listed[1:]] == [repo.path / ".git/worktrees"] * 2
    assert {tree.head for tree in listed} == {commit(repo.project())}


def test_a_worktree_whose_directory_is_gone_is_listed_with_its_own_git_directory(repo):
    repo.git("worktree", "add", "-q", "../other", "-b", "other")
    os.rename(repo.beside("other").path, repo.beside("elsewhere").path)
    tree = worktrees(repo.project())[1]
    assert tree.missing
    assert tree.git_dir == repo.path / ".git/worktrees/other"


def test_paths_with_spaces_newlines_and_letters_of_all_kinds(repo, tmp_path):
    odd = tmp_path / "wörk\nspace 文"
    odd.mkdir()
    os.rename(repo.path, odd / "äpp\nx")
    found = discover(odd / "äpp\nx" / "src")
    assert found.main == odd / "äpp\nx"
    assert worktrees(found)[0].path == odd / "äpp\nx"
    assert "\n" not in found.short(odd / "äpp\nx")


def test_a_path_that_is_no_text_is_refused(repo, tmp_path):
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    os.rename(repo.path, odd)
    with pytest.raises(PeercoordError, match="not UTF-8"):
        discover(odd)


def test_no_commit_yet_is_a_clear_error(repo, tmp_path):
    repo.git("init", "-q", str(tmp_path / "empty"))
    found = discover(tmp_path / "empty")
    with pytest.raises(PeercoordError, match="has no commit yet") as caught:
        commit(found)
    assert "git commit --allow-empty" in caught.value.hint
    with pytest.raises(NotFoundError, match="'v9' is no commit, branch or tag"):
        commit(repo.project(), "v9")
    with pytest.raises(NotFoundError):
        commit(repo.project(), "--all")


def test_outside_a_checkout(repo, tmp_path):
    with pytest.raises(NotFoundError, match="not inside a git repository"):
        discover(tmp_path)
    with pytest.raises(NotFoundError, match="is not a directory"):
        discover(tmp_path / "nowhere")
    with pytest.raises(NotFoundError, match="lies in a git directory") as caught:
        discover(repo.path / ".git")
    assert str(repo.path) in caught.value.hint


def test_a_bare_repository_with_worktrees(repo, tmp_path):
    bare = tmp_path / "proj" / ".bare"
    repo.git("clone", "-q", "--bare", ".", str(bare))
    (tmp_path / "proj" / ".git").write_text("gitdir: ./.bare\n")
    with pytest.raises(NotFoundError, match="is a bare repository") as caught:
        discover(tmp_path / "proj")
    assert "worktree add" in caught.value.hint
    repo.git("-C", str(bare), "worktree", "add", "-q", str(tmp_path / "proj" / "main"))
    repo.git("-C", str(bare), "worktree", "add", "-q", str(tmp_path / "proj" / "other"))
    found = discover(tmp_path / "proj" / "main")
    assert (found.main, found.common) == (tmp_path / "proj" / "main", bare)
    assert [tree.path.name for tree in worktrees(found)] == ["main", "other"]
    manifest.note_team(bare, main=str(found.main))
    assert discover(tmp_path / "proj" / "other").main == found.main
    assert discover(tmp_path / "proj").main == found.main
    assert discover(bare).main == found.main


def test_a_recorded_main_checkout_that_moved_away_is_not_believed(repo, tmp_path):
    bare = tmp_path / "proj.git"
    repo.git("clone", "-q", "--bare", ".", str(bare))
    repo.git("-C", str(bare), "worktree", "add", "-q", str(tmp_path / "one"), "main")
    manifest.note_team(bare, main=str(repo.path))
    assert discover(tmp_path / "one").main == tmp_path / "one"


def test_a_separate_git_directory(repo, tmp_path):
    repo.git("init", "-q", "--separate-git-dir", str(tmp_path / "store"))
    repo.git("worktree", "add", "-q", "../other", "-b", "other")
    found = discover(repo.path)
    assert (found.main, found.common) == (repo.path, tmp_path / "store")
    assert [tree.path for tree in worktrees(found)] == [repo.path, repo.beside("other").path]
    manifest.note_team(found.common, main=str(repo.path))
    assert discover(repo.beside("other").path).main == repo.path


def test_a_project_that_is_a_submodule(repo, tmp_path):
    sup = tmp_path / "super"
    repo.git("init", "-q", str(sup))
    repo.git("-C", str(sup), "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(repo.path), "lib")
    found = discover(sup / "lib" / "src")
    assert (found.main, found.common) == (sup / "lib", sup / ".git/modules/lib")
    repo.git("-C", str(sup / "lib"), "worktree", "add", "-q", str(tmp_path / "lib-2"), "-b", "two")
    there = discover(tmp_path / "lib-2")
    assert there.main == sup / "lib"
    assert [tree.path for tree in worktrees(there)] == [sup / "lib", tmp_path / "lib-2"]


def test_a_shallow_clone_says_so(repo, tmp_path):
    repo.commit("a")
    repo.git("clone", "-q", "--depth=1", f"file://{repo.path}", str(tmp_path / "shallow"))
    assert discover(tmp_path / "shallow").shallow
    assert not repo.project().shallow


def test_a_directory_reached_through_a_link(repo, tmp_path):
    (tmp_path / "link").symlink_to(repo.path)
    assert discover(tmp_path / "link" / "src").main == repo.path
