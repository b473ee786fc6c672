"""Where a directory stands, in every shape a repository comes in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from peercoord.errors import NotFoundError, PeercoordError
from peercoord.store import manifest
from peercoord.system.gitdirs import git_dir_of
from peercoord.team.repository import commit, discover, worktrees


def test_every_directory_of_every_checkout_leads_to_the_main_one(repo, tmp_path):
    repo.git("worktree", "add", "-q", "../other", "-b", "other")
    other = repo.beside("other").path
    (tmp_path / "link").symlink_to(repo.path)
    for start in (repo.path, repo.path / "src", other, other / "src", tmp_path / "link" / "src"):
        found = discover(start)
        assert (found.main, found.sub, found.directory) == (repo.path, "", repo.path)
        assert found.common == repo.path / ".git"
    assert (discover(other / "src").here, discover(repo.path).name) == (other, "app")


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
    os.rename(repo.beside("zwei-ü").path, repo.beside("elsewhere").path)
    listed = worktrees(repo.project())
    assert [(tree.path.name, tree.branch, tree.locked, tree.missing) for tree in listed] == [
        ("app", "main", None, False),
        ("a b", "one", "on a\nstick", False),
        ("zwei-ü", "", None, True),
    ]
    assert [tree.git_dir.parent for tree in listed[1:]] == [repo.path / ".git/worktrees"] * 2
    assert {tree.head for tree in listed} == {commit(repo.project())}


def test_paths_of_all_kinds_of_letters_are_understood_and_one_that_is_no_text_is_refused(repo, tmp_path):
    odd = tmp_path / "wörk\nspace 文" / "äpp\nx"
    odd.parent.mkdir()
    os.rename(repo.path, odd)
    found = discover(odd / "src")
    assert (found.main, worktrees(found)[0].path, "\n" in found.short(odd)) == (odd, odd, False)
    no_text = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    os.rename(odd, no_text)
    with pytest.raises(PeercoordError, match="not UTF-8"):
        discover(no_text)


def test_no_commit_yet_is_a_clear_error(repo, tmp_path):
    repo.git("init", "-q", str(tmp_path / "empty"))
    with pytest.raises(PeercoordError, match="has no commit yet") as caught:
        commit(discover(tmp_path / "empty"))
    assert "git commit --allow-empty" in caught.value.hint
    for word in ("v9", "--all"):
        with pytest.raises(NotFoundError, match=f"'{word}' is no commit, branch or tag"):
            commit(repo.project(), word)


def test_outside_a_checkout_the_error_says_where_it_is(repo, tmp_path):
    for place, text in (
        (tmp_path, "not inside a git repository"),
        (tmp_path / "nowhere", "is not a directory"),
        (repo.path / ".git", "lies in a git directory"),
    ):
        with pytest.raises(NotFoundError, match=text) as caught:
            discover(place)
    assert str(repo.path) in caught.value.hint


def test_a_bare_repository_with_worktrees(repo, tmp_path):
    home = tmp_path / "proj"
    bare, main, other = home / ".bare", home / "main", home / "other"
    repo.git("clone", "-q", "--bare", ".", str(bare))
    (home / ".git").write_text("gitdir: ./.bare\n")
    with pytest.raises(NotFoundError, match="is a bare repository") as caught:
        discover(home)
    assert "worktree add" in caught.value.hint
    for tree in (main, other):
        repo.git("-C", str(bare), "worktree", "add", "-q", str(tree))
    found = discover(main)
    assert (found.main, found.common) == (main, bare)
    assert [tree.path for tree in worktrees(found)] == [main, other]
    assert git_dir_of(str(main), str(other)) == str(bare / "worktrees/other")
    manifest.note_team(bare, main=str(main))
    assert {discover(place).main for place in (other, home, bare)} == {main}
    manifest.note_team(bare, main=str(repo.path))
    assert discover(main).main == main, "one of another repository is not believed"


@pytest.mark.parametrize("kind", ["separate git directory", "submodule", "shallow"])
def test_a_checkout_whose_git_directory_is_elsewhere(repo, tmp_path, kind):
    main, common = repo.path, tmp_path / "store"
    if kind == "separate git directory":
        repo.git("init", "-q", "--separate-git-dir", str(common))
    elif kind == "submodule":
        main, common = tmp_path / "super/lib", tmp_path / "super/.git/modules/lib"
        allowed = ("-c", "protocol.file.allow=always", "submodule", "--quiet")
        repo.git("init", "-q", str(main.parent))
        repo.git("-C", str(main.parent), *allowed, "add", str(repo.path), "lib")
    else:
        repo.commit("a")
        main, common = tmp_path / "shallow", tmp_path / "shallow/.git"
        repo.git("clone", "-q", "--depth=1", f"file://{repo.path}", str(main))
    repo.git("-C", str(main), "worktree", "add", "-q", str(tmp_path / "two"), "-b", "two")
    found = discover(main / "src")
    assert (found.main, found.common, found.shallow) == (main, common, kind == "shallow")
    assert [tree.path for tree in worktrees(found)] == [main, tmp_path / "two"]
    assert git_dir_of(str(main), str(tmp_path / "two")) == str(common / "worktrees/two")
    manifest.note_team(found.common, main=str(main))
    assert discover(tmp_path / "two").main == main
