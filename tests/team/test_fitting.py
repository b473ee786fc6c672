"""What goes into a worktree besides its files: copies, submodules, large files, hooks, the set-up command."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from peercoord.store import manifest
from peercoord.system.git import GitError
from peercoord.team import plan as plans
from peercoord.team.repository import discover
from peercoord.team.worktrees import WorktreeOptions, plan

from .conftest import Repo, at_home

# -- .worktreeinclude --------------------------------------------------------------------------------------------


def test_ignored_files_that_it_selects_are_copied_with_mode_and_links(repo: Repo) -> None:
    odd = os.fsdecode(b"caf\xe9\n.log")  # a name that is no text
    for name in (odd, "config/dev.log", "build/keep/x.bin", "build/drop.bin", "notes.txt", ".env"):
        repo.write(name)
    (repo.path / ".env").chmod(0o600)
    (repo.path / "build/keep/link").symlink_to("x.bin")
    repo.commit(".worktreeinclude", "# needed\n.env\n*.log\nbuild/*\n!build/drop.bin\nsrc/main.py\n*.txt\n")
    repo.write("src/main.py", "print('changed, not committed')\n")
    made, warnings = repo.up(1)
    there = repo.instance(1).path
    assert warnings == []
    assert (there / ".env").stat().st_mode & 0o777 == 0o600
    assert os.readlink(there / "build/keep/link") == "x.bin"
    found = [(there / name).exists() for name in (odd, "config/dev.log", "build/drop.bin", "notes.txt")]
    assert found == [True, True, False, False], "one is excluded, one is not ignored"
    assert any("copy 5 files by .worktreeinclude into ../app-instance-1: " in a.text for a in made.actions)
    assert repo.instance(1).status() == ""


def test_nothing_is_overwritten_and_what_is_there_stays(repo: Repo) -> None:
    repo.write(".env", "SECRET=1\n")
    repo.commit(".worktreeinclude", ".env\n")
    steps = repo.plan(1).actions
    copying = next(at for at, step in enumerate(steps) if step.text.startswith("copy"))
    plans.run(steps[:copying])
    repo.instance(1).write(".env", "SECRET=mine\n")  # after the plan
    assert plans.run(steps[copying:]) == [f"not copied into {repo.instance(1).path}: .env"]
    repo.write(".env", "SECRET=2\n")
    assert repo.plan(1).actions == []
    repo.up(2)
    assert (repo.instance(1).path / ".env").read_text() == "SECRET=mine\n"
    assert (repo.instance(2).path / ".env").read_text() == "SECRET=2\n"


def test_the_team_s_own_state_and_the_memory_bank_are_never_copied(repo: Repo) -> None:
    repo.commit(".gitignore", "memory-bank/\n.claude*\n.env\n")
    for name in ("memory-bank/progress.md", ".claude-coordination/state.json", ".claude-instance/info.json"):
        repo.write(name)
    repo.commit(".worktreeinclude", "*\n**/*\n")
    repo.up(1)
    assert sorted(name for name in os.listdir(repo.instance(1).path) if name.startswith(".claude")) == []
    assert (repo.instance(1).path / "memory-bank").is_symlink()


def test_a_copy_never_goes_through_a_link_of_the_worktree_s_branch(repo, tmp_path):
    (tmp_path / "outside").mkdir()
    repo.git("switch", "-q", "-c", "linked")
    (repo.path / "config").symlink_to(tmp_path / "outside")
    repo.git("add", "config")
    repo.git("commit", "-q", "-m", "config elsewhere")
    repo.git("switch", "-q", "main")
    repo.write("config/dev.log")
    repo.commit(".worktreeinclude", "*.log\n")
    _, warnings = repo.up(1, base="linked")
    assert os.listdir(tmp_path / "outside") == []
    assert warnings == [f"not copied into {repo.instance(1).path}: config/dev.log"]


# -- submodules --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def super_template(templates: Path) -> Path:
    """``super/app`` with a submodule ``lib``, which has one of its own, ``deep=er``; and an empty one, ``absent``."""
    base = templates / "super"
    patch = at_home(templates / "gitconfig")
    shutil.copytree(templates / "plain", base)
    repo, origin = Repo(base / "app"), base / "origin"
    for name in ("deeper", "lib", "absent"):
        repo.git("init", "-q", str(origin / name))
        Repo(origin / name).commit(f"{name}.txt")
    allowed = ("-c", "protocol.file.allow=always", "submodule", "--quiet")
    Repo(origin / "lib").git(*allowed, "add", "--name", "deep=er", "../deeper", "deep er")
    Repo(origin / "lib").git("commit", "-q", "-m", "deeper")
    for name in ("lib", "absent"):
        repo.git(*allowed, "add", f"../origin/{name}", name)
    repo.git("commit", "-q", "-m", "submodules")
    repo.git(*allowed, "update", "--init", "--recursive")
    repo.git("submodule", "--quiet", "deinit", "-f", "absent")
    patch.undo()
    return base


@pytest.fixture
def super_(super_template: Path, tmp_path: Path) -> Repo:
    shutil.copytree(super_template, tmp_path / "work", symlinks=True)
    for config in (tmp_path / "work").rglob("config"):
        config.write_text(config.read_text().replace(str(super_template), str(tmp_path / "work")))
    return Repo(tmp_path / "work" / "app")


def origin(super_: Repo, name: str) -> Repo:
    return super_.beside(f"origin/{name}")


def test_submodules_are_filled_at_every_depth_and_again(super_: Repo) -> None:
    made, warnings = super_.up(1)
    there = super_.instance(1)
    assert warnings == []
    assert any("fill submodules of ../app-instance-1 from the main checkout: lib" in a.text for a in made.actions)
    assert (there.path / "lib/lib.txt").exists()
    assert (there.path / "lib/deep er/deeper.txt").exists()
    assert os.listdir(there.path / "absent") == []
    assert there.git("submodule", "status", "--recursive").count("\n") == 3
    assert there.status() == super_.status() == ""
    lib = there.beside("app-instance-1/lib")
    assert lib.git("remote", "get-url", "origin").strip() == str(origin(super_, "lib").path)
    remotes = ["refs/remotes/origin/HEAD", "refs/remotes/origin/main"]
    assert lib.git("for-each-ref", "--format=%(refname)", "refs/remotes").split() == remotes
    assert not list(super_.path.glob(".git/worktrees/*/modules/**/objects/info/alternates")), "nothing is shared"
    assert super_.plan(1).actions == []
    there.git("submodule", "--quiet", "deinit", "-f", "lib")
    made, warnings = super_.up(1)
    assert (len(made.actions), warnings) == (2, [])
    assert (there.path / "lib/lib.txt").exists()


def no_path(super_: Repo, outside: Path) -> None:
    super_.write(".gitmodules", '[submodule "none"]\n\tpath\n')
    super_.git("commit", "-q", "-am", "no path")


def a_command(super_: Repo, outside: Path) -> None:
    super_.git("config", "--file", ".gitmodules", "submodule.lib.update", f"!touch {outside}/ran")
    super_.git("commit", "-q", "-am", "a command")


def out_of_reach(super_: Repo, outside: Path) -> None:
    os.rename(origin(super_, "lib").path.parent, outside / "unplugged")


def a_missing_commit(super_: Repo, outside: Path) -> None:
    lib = origin(super_, "lib")
    super_.git("update-index", "--cacheinfo", f"160000,{lib.commit('later.txt')},lib")
    super_.git("commit", "-q", "-m", "newer lib")
    lib.git("reset", "-q", "--hard", "HEAD~1")
    lib.git("reflog", "expire", "--expire=all", "--all")
    lib.git("gc", "-q", "--prune=now")


@pytest.mark.parametrize(
    ("way", "text"),
    [
        (no_path, ""),
        (a_command, "submodule lib is not filled"),
        (out_of_reach, "submodule update --init lib"),
        (a_missing_commit, "submodule update --init lib"),
    ],
)
def test_a_submodule_that_cannot_be_filled_is_named_and_runs_nothing(
    super_: Repo, tmp_path: Path, way: Callable[[Repo, Path], None], text: str
) -> None:
    way(super_, tmp_path)
    _, warnings = super_.up(1)
    assert [(text in warning, "submodule lib is not filled" in warning) for warning in warnings] == [
        (True, True)
    ] * bool(text)
    assert not (tmp_path / "ran").exists()
    assert (super_.instance(1).path / "src/main.py").exists()


@pytest.mark.parametrize(
    ("entries", "link"),
    [
        ([("lib", "lib")], ""),
        ([("good", "lib/"), ("evil", "lib")], "lib"),
        ([("good", "lib"), ("evil", "lib/below")], "lib/below"),
        ([("evil", "lib"), ("../ignored", "lib")], "lib"),
    ],
    ids=["another address", "slash", "above", "two names"],
)
def test_no_other_address_is_fetched_for_a_submodule(super_, tmp_path, entries, link):
    evil = origin(super_, "absent")
    url = evil.path if link else f"ext::touch {tmp_path}/ran"
    text = "".join(f'[submodule "{name}"]\n\tpath = {path}\n\turl = {url}\n' for name, path in entries)
    super_.git("switch", "-q", "-c", "elsewhere")
    super_.write(".gitmodules", text)
    super_.git("add", ".gitmodules")
    if link:
        super_.git("rm", "-q", "--cached", "lib", "absent")
        super_.git("update-index", "--add", "--cacheinfo", f"160000,{evil.git('rev-parse', 'HEAD').strip()},{link}")
    super_.git("commit", "-q", "-m", "another address")
    super_.git("switch", "-q", "-f", "main")
    super_.up(1, base="elsewhere")
    there = super_.instance(1)
    assert not (there.path / link / "absent.txt").exists()
    assert not (tmp_path / "ran").exists()
    assert "submodule.evil" not in super_.git("config", "--list")
    if not link:
        address = there.beside("app-instance-1/lib").git("remote", "get-url", "origin").strip()
        assert address == str(origin(super_, "lib").path)


# -- large files -------------------------------------------------------------------------------------------------


def a_filter(repo, name, smudge):
    repo.commit("big.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    repo.commit(".gitattributes", f"*.bin filter={name} -text\n")
    for key, value in (("smudge", smudge), ("clean", "cat"), ("required", "true")):
        repo.git("config", f"filter.{name}.{key}", value)


def test_large_files_that_cannot_be_had_are_pointers_and_a_warning(repo, tmp_path):
    smudge = tmp_path / "git-lfs-stand-in"
    smudge.write_text('#!/bin/sh\nif [ -n "$GIT_LFS_SKIP_SMUDGE" ]; then cat; else exit 2; fi\n')
    smudge.chmod(0o755)
    a_filter(repo, "lfs", f"{smudge} %f")
    _, warnings = repo.up(1)
    assert ["lfs pull" in warning for warning in warnings] == [True]
    assert (repo.instance(1).path / "big.bin").read_text().startswith("version https://git-lfs")
    assert (repo.instance(1).path / "src/main.py").exists()


def test_a_checkout_that_fails_for_another_reason_is_an_error_and_can_be_gone_on_from(repo):
    a_filter(repo, "broken", "false")
    with pytest.raises(GitError, match="external filter"):
        repo.up(1)
    repo.git("config", "filter.broken.smudge", "cat")
    made, _ = repo.up(1)
    assert any("finish worktree" in action.text for action in made.actions)
    assert (repo.instance(1).status(), repo.plan(1).actions) == ("", [])


# -- hooks and the set-up command ----------------------------------------------------------------------------------


def hook(repo, name, body):
    path = repo.write(f".git/hooks/{name}", f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("place", [".git/hooks", "../hooks"])
def test_the_repository_s_own_hook_runs_once_at_the_end(repo, place):
    repo.write(".env", "SECRET=1\n")
    repo.commit(".worktreeinclude", ".env\n")
    hook(repo, "post-checkout", 'cat .env > .git-hook.log; ls memory-bank >> .git-hook.log; echo "$@" >> .git-hook.log')
    if place != ".git/hooks":
        os.rename(repo.path / ".git/hooks", repo.path / place)
        repo.git("config", "core.hooksPath", str(repo.path / place))
    repo.coordinated()
    repo.up(1)
    lines = (repo.instance(1).path / ".git-hook.log").read_text().splitlines()
    assert (lines[0], "progress.md" in lines) == ("SECRET=1", True)
    assert lines[-1] == f"{'0' * 40} {repo.git('rev-parse', 'HEAD').strip()} 1"
    assert repo.plan(1).actions == []


@pytest.mark.parametrize("name", ["post-checkout", "post-index-change"])
def test_a_failing_hook_does_not_stop_the_team(repo, name):
    hook(repo, name, "echo the hook is broken >&2; exit 1")
    _, warnings = repo.up(2)
    assert len(warnings) == (2 if name == "post-checkout" else 0)
    assert all("the hook is broken" in warning for warning in warnings)
    assert repo.instance(2).status() == ""
    assert repo.plan(2).actions == []


SETUP = "import os; print('number', os.environ['PEERCOORD_INSTANCE_INDEX'], os.path.basename(os.getcwd()))"


def test_the_set_up_command_runs_in_each_new_worktree_with_its_number_and_its_output_is_kept(repo):
    repo.up(2, setup=(sys.executable, "-c", SETUP))
    for index in (1, 2):
        log = repo.instance(index).path / ".claude-instance/setup.log"
        assert log.read_text() == f"number {index} app-instance-{index}\n"
        assert repo.instance(index).status() == ""
    repo.instance(1).path.joinpath(".claude-instance/setup.log").unlink()
    repo.up(3, setup=(sys.executable, "-c", SETUP))
    assert not (repo.instance(1).path / ".claude-instance/setup.log").exists()
    assert (repo.instance(3).path / ".claude-instance/setup.log").exists()


def test_a_failed_set_up_command_runs_again_only_when_it_is_named_again(repo):
    command = (sys.executable, "-c", "import os, sys; sys.exit('no network') if not os.path.exists('ok.log') else 0")
    _, warnings = repo.up(2, setup=command)
    assert (len(warnings), "(status 1): 'no network'" in warnings[0], "setup.log" in warnings[0]) == (2, True, True)
    for index in (1, 2):
        repo.instance(index).write("ok.log")
    made, warnings = repo.up()
    assert (made.actions, warnings) == ([], [])
    again = "set-up of ../app-instance-{} did not succeed; to run it again name it: --setup COMMAND"
    assert made.notes == [again.format(index) for index in (1, 2)]
    made, warnings = repo.up(setup=command)
    assert (len(made.actions), warnings, repo.plan().actions) == (3, [], [])


def test_the_set_up_command_runs_in_the_project_below_the_root_or_is_missing(repo):
    project = discover(repo.path / "src", exact=True)
    made = plan(project, 1, WorktreeOptions(setup=(sys.executable, "-c", SETUP)))
    plans.run(made.actions)
    log = Path(made.instances[0].directory) / ".claude-instance/setup.log"
    assert log.read_text() == "number 1 src\n"
    _, warnings = repo.up(1, setup=("no-such-program",), branch_prefix="x/")
    assert "status 127" in warnings[0]
    assert manifest.read_worktree(repo.path / ".git/worktrees/app-instance-1")["setup"]["status"] == 127
