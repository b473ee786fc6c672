"""Calls of git: their errors, and what of their surroundings they must not feel."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from peercoord.errors import NotFoundError, PeercoordError
from peercoord.store import inspection
from peercoord.system import git


def test_an_error_is_english_harmless_and_says_why_and_where(repo, monkeypatch):
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("LANGUAGE", "de")
    with pytest.raises(git.GitError) as caught:
        git.ask(repo.path, "rev-parse", "--verify", "\x1b[31mred\x07")
    error = caught.value
    assert "fatal: Needed a single revision" in error.message
    assert (str(repo.path) in error.message, "\x1b" in error.message, error.status) == (True, False, 128)
    assert error.hint
    repo.write(".git/index.lock", "")
    with pytest.raises(git.GitError) as caught:
        git.set_up(repo.path, "reset", "-q", "--hard")
    assert "another git command" in caught.value.hint


def test_a_directory_outside_any_repository_and_a_missing_git_are_named(repo, tmp_path, monkeypatch):
    with pytest.raises(NotFoundError, match="is not inside a git repository"):
        git.ask(tmp_path, "ls-files")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotFoundError, match="there is no git"):
        git.ask(repo.path, "ls-files")


def test_an_old_git_is_refused(tmp_path, monkeypatch):
    old = tmp_path / "git"
    old.write_text("#!/bin/sh\necho git version 2.30.2\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    git.version.cache_clear()
    with pytest.raises(PeercoordError, match=r"git 2\.30 is too old") as caught:
        git.check_version()
    assert "2.36" in caught.value.hint
    git.version.cache_clear()


def test_variables_of_a_calling_hook_do_not_lead_elsewhere(repo, tmp_path, monkeypatch):
    other = tmp_path / "other"
    git.set_up(tmp_path, "init", "-q", str(other))
    for name, value in (("GIT_DIR", ".git"), ("GIT_INDEX_FILE", "index"), ("GIT_WORK_TREE", "")):
        monkeypatch.setenv(name, str(other / value))
    assert Path(git.text(repo.path, "rev-parse", "--show-toplevel")) == repo.path
    assert "src/main.py" in git.text(repo.path, "ls-files")


def test_no_hook_of_the_repository_runs_in_a_call(repo):
    for name in ("post-checkout", "pre-commit", "reference-transaction", "post-index-change"):
        hook = repo.write(f".git/hooks/{name}", f"#!/bin/sh\necho {name} >> ran\nexit 1\n")
        hook.chmod(0o755)
    git.set_up(repo.path, "checkout", "-q", "-b", "other")
    assert not (repo.path / "ran").exists()
    assert git.has_hook(repo.path, "post-checkout")
    with pytest.raises(git.GitError):
        git.hook(repo.path, "post-checkout", "0", "1", "1")
    assert (repo.path / "ran").read_text() == "post-checkout\n"


def test_paths_are_taken_and_given_as_they_are(repo):
    name = os.fsdecode(b"caf\xe9.txt")
    repo.write(name)
    assert git.fields(repo.path, "ls-files", "--others", "-z") == [name]
    assert git.shown_path(name) == "caf\\udce9.txt"
    repo.commit(":(top)*")
    assert git.fields(repo.path, "ls-files", "-z", "--", ":(top)*") == [":(top)*"], "no magic"
    assert git.ignored(repo.path, [":x.log", "a b.log", "x.txt", "build/"]) == [":x.log", "a b.log", "build/"]


def test_status_takes_no_lock_from_a_person(repo):
    repo.write(".git/index.lock", "")
    with inspection.of_main(repo.project()) as found:
        assert found.changes().entries == []


@pytest.mark.parametrize("words", [("status",), ("diff", "HEAD"), ("log",), ("hash-object", "x"), ("commit",)])
def test_what_may_run_a_configured_program_is_not_asked(repo, words):
    with pytest.raises(ValueError, match="may run"):
        git.ask(repo.path, *words)
