"""Inspecting worktrees: nothing that a hostile configuration names runs, and the answer is that of git."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.poison import ATTRIBUTES, Canary

from peercoord.errors import NotFoundError, PeercoordError
from peercoord.store import inspection, instance_records, isolated_git, manifest, root
from peercoord.system import git
from peercoord.team import plan as plans
from peercoord.team import safety
from peercoord.team.removal import leave, plan_purge, plan_remove, remove
from peercoord.team.repository import discover, git_dirs, team_instances
from peercoord.worktree import landed


@pytest.fixture
def canary(tmp_path: Path) -> Canary:
    return Canary(tmp_path / "canary")


def git_dir(team, index=1) -> Path:
    return team.path / f".git/worktrees/app-instance-{index}"


def inspected(team, index=1):
    project = team.project()
    tree = team.instance(index).path
    return inspection.of_worktree(project, tree, git_dirs(project)[tree])


def changes(team, index=1) -> isolated_git.Changes:
    with inspected(team, index) as found:
        return found.changes()


# -- ways to make a worktree hostile -----------------------------------------------------------------------------


def in_a_replaced_directory(team, canary: Canary) -> None:
    tree = team.instance(1)
    (tree.path / ".git").rename(tree.path / ".git.old")
    tree.git("init", "-q")
    tree.git("add", "src")
    tree.git("commit", "-qm", "x")
    canary.poison(tree.path / ".git/config")


def in_a_replaced_file(team, canary: Canary) -> None:
    tree = team.instance(1)
    in_a_replaced_directory(team, canary)
    (tree.path / ".git").rename(tree.path / "evil.git")
    (tree.path / ".git").write_text("gitdir: evil.git\n")


def in_another_common_directory(team, canary: Canary) -> None:
    evil = team.path.parent / "evil.git"
    shutil.copytree(team.path / ".git", evil)
    canary.poison(evil / "config")
    (git_dir(team) / "commondir").write_text(f"{evil}\n")


def in_the_worktree_s_config(team, canary: Canary) -> None:
    team.git("config", "extensions.worktreeConfig", "true")
    canary.poison(git_dir(team) / "config.worktree")


def everywhere(team, canary: Canary) -> None:
    in_the_worktree_s_config(team, canary)
    evil = team.instance(1).path / "evil.config"
    for config in (team.path / ".git/config", evil, Path(os.environ["GIT_CONFIG_GLOBAL"])):
        canary.poison(config)
    team.git("config", "include.path", str(evil))


def edit(team) -> None:
    """Work that git can only judge by content: a file whose time changed, and a new one."""
    tree = team.instance(1)
    tree.write(".gitattributes", ATTRIBUTES)
    tree.write("src/new.py")
    team.write(".git/info/attributes", ATTRIBUTES)
    for index in (1, 2):
        os.utime(team.instance(index).path / "src/main.py", (1, 1))


def attacked(team, canary: Canary, way: Callable[..., None]) -> None:
    way(team, canary)
    edit(team)
    assert canary.bites(team.instance(1).path)


# -- what is called ----------------------------------------------------------------------------------------------


def look(team) -> None:
    for instance in team_instances(team.project()):
        safety.removable(team.project(), instance.worktree)


def remove_all(team) -> None:
    project = team.project()
    plans.run(plan_remove(project, team_instances(project)).actions)
    remove(project, team_instances(project)[0], despite=True)


def purge(team) -> None:
    plans.run(plan_purge(team.project(), ["instance-1"]).actions)


def leave_it(team) -> None:
    leave(team.project(), team_instances(team.project())[0])


def up(team) -> None:
    plans.run(team.plan().actions)


def up_without_link(team) -> None:
    (team.instance(1).path / "memory-bank").unlink()
    up(team)


def up_without_index(team) -> None:
    (team.instance(1).path / ".claude-instance").mkdir()
    (git_dir(team) / "index").unlink()
    up(team)
    assert team.instance(1).path.joinpath("src/new.py").exists()


def up_without_directory(team) -> None:
    shutil.rmtree(team.instance(1).path)
    up(team)
    assert team.instance(1).path.joinpath("src/main.py").read_text() == "print('hello')\n"


def is_landed(team) -> None:
    tip = team.git("rev-parse", "team/instance-1").strip()
    landed.kept_in(team.project(), tip, ["team/instance-1"])


CALLS = [look, remove_all, purge, leave_it, up, up_without_link, up_without_index, up_without_directory, is_landed]


@pytest.mark.parametrize("call", CALLS)
def test_no_call_runs_what_a_configuration_names(team, canary, call):
    team.instance(1).commit("src/more.py")
    team.commit("src/main.py", "print('changed')\n")
    attacked(team, canary, everywhere)
    call(team)
    assert canary.ran() == ""


@pytest.mark.parametrize("way", [in_a_replaced_directory, in_a_replaced_file, in_another_common_directory])
def test_a_replaced_git_directory_is_refused(team, canary, way):
    attacked(team, canary, way)
    with pytest.raises(PeercoordError, match="does not lead to") as caught, inspected(team):
        pass
    assert caught.value.code == isolated_git.CHANGED
    assert [reason.kind for reason in safety.removable(team.project(), team.instance(1).path)] == ["unknown"]
    instance = team_instances(team.project())[0]
    assert "is left as it is" in leave(team.project(), instance)
    assert team.instance(1).path.joinpath("src/new.py").exists()
    remove(team.project(), instance, despite=True)
    assert not team.instance(1).path.exists(), "a person named it"
    assert canary.ran() == ""


def test_a_configuration_that_changes_meanwhile_is_not_read(team, canary):
    team.git("config", "extensions.worktreeConfig", "true")
    with inspected(team) as found:
        attacked(team, canary, in_the_worktree_s_config)
        assert found.changes().entries == [("??", ".gitattributes"), ("??", "src/new.py")]
    assert canary.ran() == ""


def test_a_git_directory_that_the_record_does_not_name_is_refused(team):
    made = root.create(str(team.path / ".claude-coordination"), "app")
    tree = str(team.instance(1).path)
    instance_records.write(made, "instance-1", worktree=tree, checkout=tree, git_dir=str(git_dir(team, 2)))
    with pytest.raises(PeercoordError, match="its record") as caught, inspected(team):
        pass
    assert caught.value.code == isolated_git.CHANGED


def test_a_worktree_that_no_instance_has_is_not_inspected(team, canary):
    made = root.create(str(team.path / ".claude-coordination"), "app")
    in_a_replaced_directory(team, canary)
    with pytest.raises(NotFoundError), inspection.of_instance(made, str(team.path), str(team.instance(1).path)):
        pass
    assert canary.ran() == ""


def test_a_fifo_in_the_place_of_a_file_of_git_s_does_not_hold_an_inspection_up(team, monkeypatch):
    os.mkfifo(team.instance(1).path / "src/.gitignore")
    with monkeypatch.context() as patch:
        patch.setattr(git, "_SECONDS", 1)
        reasons = safety.removable(team.project(), team.instance(1).path)
    assert [reason.kind for reason in reasons] == ["unknown"]
    assert "gave no answer" in reasons[0].text
    (team.instance(1).path / "src/.gitignore").unlink()
    (team.path / ".git/info/attributes").unlink(missing_ok=True)
    os.mkfifo(team.path / ".git/info/attributes")
    assert changes(team).entries == []


# -- what is said is true ----------------------------------------------------------------------------------------


def test_an_honest_worktree_is_seen_as_git_sees_it(team):
    tree = team.instance(1)
    tree.commit("src/a.py")
    tree.commit("src/b.py")
    tree.write("src/a.py", "changed\n")
    tree.write("src/staged.py")
    tree.git("add", "src/staged.py")
    tree.git("rm", "-q", "--cached", "src/b.py")
    (tree.path / "src/main.py").chmod(0o755)
    tree.write("new dir/ü\n.txt")
    with inspected(team) as found:
        seen = found.changes()
        assert found.text("rev-parse", "HEAD") == tree.git("rev-parse", "HEAD").strip()
        assert found.text("rev-parse", "--abbrev-ref", "HEAD") == "team/instance-1"
    listed = tree.git("status", "--porcelain", "-z", "--no-renames").split("\0")[:-1]
    assert [f"{marks} {path}" for marks, path in seen.entries] == listed
    assert seen.unsure == []


def test_settings_that_say_how_files_compare_are_kept(team):
    tree = team.instance(1)
    tree.git("config", "core.autocrlf", "true")
    tree.git("config", "core.fileMode", "false")
    tree.git("config", "status.showUntrackedFiles", "no")  # how a person's git shows it does not count
    tree.git("config", "core.excludesFile", str(team.path.parent / "mine"))
    (team.path.parent / "mine").write_text("*.own\n")
    tree.write("src/main.py", "print('hello')\r\n").chmod(0o755)
    tree.write("x.own")
    tree.git("add", "src/main.py")
    os.utime(tree.path / "src/main.py", (1, 1))
    assert (changes(team).entries, tree.status()) == ([], "")
    tree.write("new.py")
    assert changes(team).entries == [("??", "new.py")]


@pytest.mark.parametrize("branch", ["fix(detached)", "(detached)x", "(initial)"])
def test_a_branch_is_named_whatever_git_writes_for_none(team, branch):
    tree = team.instance(1)
    tree.git("checkout", "-q", "-b", branch)
    assert (changes(team).branch, changes(team).commit) == (branch, tree.git("rev-parse", "HEAD").strip())
    tree.git("checkout", "-q", "--detach")
    assert changes(team).branch == "HEAD"


def test_a_repository_with_other_object_names(tmp_path):
    tree = tmp_path / "sha256"
    subprocess.run(["git", "init", "-q", "--object-format=sha256", str(tree)], check=True)
    subprocess.run(["git", "-C", str(tree), "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    with inspection.of_main(discover(tree)) as found:
        assert len(found.text("rev-parse", "HEAD")) == 64
        assert found.changes().entries == []


def test_a_change_of_the_same_size_and_second_is_seen_also_in_a_split_index(team):
    tree = team.instance(1)
    tree.git("update-index", "--split-index")
    tree.write("src/main.py", "print('HELLO')\n")
    index = git_dir(team) / "index"
    stat = (tree.path / "src/main.py").stat()
    tree.git("update-index", "--really-refresh", ok=False)
    os.utime(index, ns=(stat.st_mtime_ns, stat.st_mtime_ns))
    assert changes(team).entries == [(" M", "src/main.py")]
    tree.commit(".gitattributes", "* filter=nobody\n")  # a filter that nobody configured is none
    assert (changes(team).entries, changes(team).unsure) == ([(" M", "src/main.py")], [])


# -- filters that are a person's own -----------------------------------------------------------------------------


@pytest.fixture
def filtered(team):
    """A worktree with a file whose filter is configured: upper case where it lies, lower case in git."""
    team.git("config", "filter.case.clean", "tr A-Z a-z")
    team.git("config", "filter.case.smudge", "tr a-z A-Z")
    tree = team.instance(1)
    tree.commit(".gitattributes", "*.case filter=case\n*.bin filter=lfs\n")
    tree.commit("a.case", "TEXT\n")
    assert tree.git("show", "HEAD:a.case") == "text\n"
    return team


def written_before(team, *names) -> None:
    """Bring the index up to files that were all written long before it."""
    for name in names:
        os.utime(team.instance(1).path / name, (1_000_000_000, 1_000_000_000))
    team.instance(1).git("add", "--", *names)


def test_a_filtered_file_is_judged_by_the_index_alone(filtered):
    written_before(filtered, "a.case")
    assert (changes(filtered).entries, changes(filtered).unsure) == ([], []), "the index has its size and time"
    os.utime(filtered.instance(1).path / "a.case")
    assert (changes(filtered).entries, changes(filtered).unsure) == ([], ["a.case"])
    reasons = safety.removable(filtered.project(), filtered.instance(1).path)
    unknown = [reason.text for reason in reasons if reason.kind == "unknown"]
    assert unknown == ["git cannot tell whether it changed without running its filter: a.case"]
    written_before(filtered, "a.case")
    filtered.instance(1).write("b.case", "NEW\n")
    filtered.instance(1).git("add", "b.case")
    os.utime(filtered.instance(1).path / "b.case", (1, 1))
    seen = changes(filtered)
    assert (seen.entries, seen.unsure) == ([("A ", "b.case")], ["b.case"]), "what is staged is certain"


@pytest.mark.parametrize(("later", "unsure"), [(400_000_000, []), (0, ["a.case"])])
def test_a_file_of_the_index_s_own_second_is_told_by_the_finer_clock(filtered, later, unsure):
    tree, written = filtered.instance(1), 10**18 + 1000
    os.utime(tree.path / "a.case", ns=(written, written))
    tree.git("add", "a.case")
    os.utime(git_dir(filtered) / "index", ns=(written + later, written + later))
    assert (changes(filtered).entries, changes(filtered).unsure) == ([], unsure)


def test_a_large_file_is_known_by_its_digest(team):
    tree = team.instance(1)
    content = b"large\0" * 1000
    pointer = (
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{hashlib.sha256(content).hexdigest()}\nsize 6000\n"
    )
    tree.commit(".gitattributes", "*.bin filter=lfs\n")
    tree.commit("big.bin", pointer)
    team.git("config", "filter.lfs.clean", "git-lfs clean -- %f")
    for now, entries in ((content, []), (content[:-1] + b"x", [(" M", "big.bin")]), (pointer.encode(), [])):
        (tree.path / "big.bin").write_bytes(now)
        assert (changes(team).entries, changes(team).unsure) == (entries, [])


# -- submodules --------------------------------------------------------------------------------------------------


@pytest.fixture
def nested(repo, tmp_path):
    """A team of one whose worktree has a submodule ``lib``."""
    origin = repo.beside("lib")
    shutil.copytree(repo.path, origin.path)
    repo.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(origin.path), "lib")
    repo.git("commit", "-q", "-m", "submodule")
    repo.up(1)
    assert (repo.instance(1).path / "lib/src/main.py").exists()
    return repo


def submodule_reasons(team) -> list[str]:
    return [reason.text for reason in safety.removable(team.project(), team.instance(1).path)]


def test_a_hostile_submodule_runs_nothing_and_is_seen(nested, canary):
    lib = nested.instance(1).beside("app-instance-1/lib")
    canary.poison(git_dir(nested) / "modules/lib/config")
    lib.write(".gitattributes", ATTRIBUTES)
    os.utime(lib.path / "src/main.py", (1, 1))
    assert canary.bites(nested.instance(1).path), "git status of the superproject runs the filter of a submodule"
    with inspected(nested) as found:
        assert found.changes().entries == []
        assert inspection.submodule_changes(found).paths() == ["lib"]
    assert submodule_reasons(nested) == ["submodule lib: not tracked: .gitattributes"]
    for call in (look, up, remove_all):
        call(nested)
    assert (nested.instance(1).path.exists(), canary.ran()) == (False, "")


@pytest.mark.parametrize("inside", [True, False])
def test_a_submodule_with_a_git_directory_elsewhere_keeps_the_worktree(nested, canary, inside):
    lib = nested.instance(1).path / "lib"
    (lib / ".git").unlink()
    subprocess.run(["git", "init", "-q", str(lib)], check=True)
    canary.poison(lib / ".git/config")
    if not inside:
        (lib / ".git").rename(nested.path.parent / "evil")
        (lib / ".git").write_text(f"gitdir: {nested.path.parent}/evil\n")
    (reason,) = submodule_reasons(nested)
    assert reason.startswith("submodule lib: git cannot tell what is in it")
    with inspected(nested) as found:
        assert inspection.submodule_changes(found).unsure == ["lib"]
    assert canary.ran() == ""


def test_an_agent_s_submodules_are_not_filled_again(nested):
    tree = nested.instance(1)
    (tree.path / ".claude-instance").mkdir()
    shutil.rmtree(tree.path / "lib")
    made = nested.plan()
    assert (made.actions, len(made.notes)) == ([], 1)
    assert "submodule lib of ../app-instance-1 is empty, and stays so; " in made.notes[0]


# -- set-up ------------------------------------------------------------------------------------------------------


def test_a_set_up_command_is_taken_from_no_record(team, canary):
    manifest.note_worktree(git_dir(team), setup={"command": [str(canary.program)], "status": 1})
    made, _ = team.up()
    assert made.notes == ["set-up of ../app-instance-1 did not succeed; to run it again name it: --setup COMMAND"]
    assert canary.ran() == ""


def test_changes_of_a_conflict_and_a_detached_head_are_those_that_git_lists(team):
    tree = team.instance(1)
    tree.git("checkout", "-q", "-b", "other")
    tree.write("src/main.py", "theirs\n")
    tree.git("commit", "-qam", "theirs")
    tree.git("checkout", "-q", "--detach", "HEAD~")
    tree.write("src/main.py", "ours\n")
    tree.git("commit", "-qam", "ours")
    subprocess.run(["git", "-C", str(tree.path), "merge", "-q", "other"], capture_output=True, check=False)
    tree.write("a name\nin two lines", "x")
    tree.git("add", "-N", "a name\nin two lines")
    listed = tree.git("status", "--porcelain", "-z", "--no-renames").split("\0")[:-1]
    found = changes(team)
    assert sorted(found.entries) == sorted((line[:2], line[3:]) for line in listed)
    assert ("UU", "src/main.py") in found.entries
    assert (found.commit, found.branch) == (tree.git("rev-parse", "HEAD").strip(), "HEAD")
