"""Hostile configuration, and repositories of every kind."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from landing.conftest import Scene
from support.poison import ATTRIBUTES, Canary
from team.conftest import Repo

from peercoord.landing.works import named
from peercoord.store import landings
from peercoord.system.git import GitError
from peercoord.team import plan as plans
from peercoord.team.worktrees import WorktreeOptions, plan

pytestmark = pytest.mark.slow

# -- configuration -----------------------------------------------------------------------------------------------


def test_nothing_that_the_repository_configures_runs(scene: Scene, tmp_path: Path) -> None:
    canary = Canary(tmp_path / "canary")
    tree = scene.repo.instance(1)
    (scene.repo.path / ".git/info/attributes").write_text("*.py filter=evil diff=evil merge=evil\n")
    tree.write(".gitattributes", ATTRIBUTES)
    scene.done(1, "1", {"a.txt": "1\n"})
    scene.done(2, "2", {"b.txt": "1\n"})
    scene.repo.git("branch", "next")
    scene.repo.git("config", "extensions.worktreeConfig", "true")
    canary.poison(scene.repo.path / ".git/worktrees/app-instance-1/config.worktree")
    canary.poison(scene.repo.path / ".git/config")
    scene.repo.git("config", "--unset", "commit.gpgSign")
    os.utime(scene.repo.path / "src/main.py", (1, 1))
    assert canary.bites(scene.repo.path)
    made = scene.land(check="true")
    assert scene.states(made) == {"1": "landed", "2": "landed"}
    assert [one.why for one in made.obstacles] == [".gitattributes has a filter, which only a person's own git runs"]
    scene.land(dry_run=True)
    onto = scene.land(onto="next")
    assert scene.tip("next") == onto.after
    scene.undo()
    assert canary.ran() == ""


def test_a_file_with_a_merge_driver_that_both_changed_is_left_to_a_person(scene: Scene, tmp_path: Path) -> None:
    scene.repo.commit(".gitattributes", "*.lock merge=own\n*.md merge=union\n")
    scene.repo.commit("x.lock", "1\n2\n3\n4\n5\n6\n7\n8\n9\n")
    scene.repo.commit("log.md", "start\n")
    for number in (1, 2, 3):
        scene.repo.instance(number).git("merge", "-q", "main")
    scene.done(1, "1", {"x.lock": "one\n2\n3\n4\n5\n6\n7\n8\n9\n", "log.md": "start\none\n"})
    scene.done(2, "2", {"log.md": "start\ntwo\n"})
    scene.done(3, "3", {"x.lock": "1\n2\n3\n4\n5\n6\n7\n8\nnine\n"})
    scene.repo.git("config", "merge.own.driver", f"touch {tmp_path}/ran; false")
    made = scene.land()
    assert scene.states(made) == {"1": "landed", "2": "landed", "3": "conflict"}
    assert (made.steps[2].files, made.steps[2].detail) == (
        ["x.lock"],
        "a merge driver is set for it, which only a person's own git runs",
    )
    assert sorted((scene.repo.path / "log.md").read_text().split()) == ["one", "start", "two"]
    assert not (tmp_path / "ran").exists()


def test_signatures_are_made_with_the_person_s_own_program_alone(scene: Scene, home: Path) -> None:
    key = home / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    scene.done(1, "1", {"a.txt": "1\n"})
    scene.done(2, "2", {"b.txt": "1\n"})
    scene.repo.git("config", "commit.gpgSign", "true")
    scene.repo.git("config", "gpg.ssh.program", f"touch {home}/ran")
    for setting in (("gpg.format", "ssh"), ("user.signingKey", f"{key}.pub")):
        scene.repo.git("config", "--global", *setting)
    made = scene.land()
    assert scene.tip() == made.after
    assert "gpgsig -----BEGIN SSH SIGNATURE-----" in scene.repo.git("cat-file", "commit", "main")
    assert not (home / "ran").exists()


def test_without_a_name_git_says_so_and_nothing_lands(scene: Scene, home: Path) -> None:
    scene.done(1, "1", {"a.txt": "1\n"})
    scene.done(2, "2", {"b.txt": "1\n"})
    (home / ".gitconfig").write_text("[user]\n\tuseConfigOnly = true\n")
    before = scene.tip()
    with pytest.raises(GitError, match="no email was given"):
        scene.land()
    assert (scene.tip(), landings.listed(scene.root)) == (before, [])


@pytest.mark.skipif(not shutil.which("git-lfs"), reason="git-lfs is not installed")
def test_large_files_wait_for_the_person_s_own_git(scene: Scene) -> None:
    scene.repo.git("lfs", "install", "--local", "--skip-repo")
    scene.repo.commit(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
    scene.repo.instance(1).git("merge", "-q", "main")
    scene.done(1, "1", {"big.bin": "content\n"})
    made = scene.land()
    assert [one.why for one in made.obstacles] == ["big.bin has a filter, which only a person's own git runs"]
    scene.repo.git(*made.obstacles[0].command.split()[3:])
    assert (scene.repo.path / "big.bin").read_text() == "content\n"
    assert scene.states(scene.land()) == {"1": "already-there"}


# -- files -------------------------------------------------------------------------------------------------------

RAW = b"\xff\xfe".decode(errors="surrogateescape")
NAMES = (
    "a b.txt",
    "new\nline.txt",
    "line\u2028separator",
    "tab\t",
    "-rf",
    ":(glob)*",
    "é/ü.txt",
    '"quoted"',
    "\\",
    "b'x",
)


def test_files_of_every_name_and_mode_arrive(scene: Scene) -> None:
    tree = scene.repo.instance(1)
    for name in NAMES:
        tree.write(name, f"{name}\n")
    tree.write("run.sh", "#!/bin/sh\n").chmod(0o755)
    os.symlink("a b.txt", tree.path / "link")
    os.symlink("/etc", tree.path / "dir")
    (tree.path / RAW).write_bytes(b"\x00\xff")
    scene.done(1, "1", {"empty": ""})
    scene.land()
    top = scene.repo.path
    assert [(top / name).read_text() for name in NAMES] == [f"{name}\n" for name in NAMES]
    assert stat.S_IMODE((top / "run.sh").stat().st_mode) & 0o111
    assert (os.readlink(top / "link"), os.readlink(top / "dir")) == ("a b.txt", "/etc")
    assert scene.repo.status() == ""
    scene.undo()
    assert scene.repo.status() == ""
    assert not any((top / name).exists() for name in NAMES)


def test_conflicts_name_files_of_every_name(scene: Scene) -> None:
    for number in (1, 2):
        (scene.repo.instance(number).path / RAW).write_text(f"{number}\n")
        scene.done(number, str(number), dict.fromkeys(NAMES, f"{number}\n"))
    made = scene.land()
    assert sorted(made.steps[1].files) == sorted([*NAMES, RAW])
    assert scene.data("land", "--dry-run")["works"][1]["state"] == "conflict"
    assert "  in conflict: new\\nline.txt\n" in scene.call("land")[1]


def test_line_ends_are_those_of_the_checkout(scene: Scene) -> None:
    scene.repo.git("config", "core.autocrlf", "true")
    scene.done(1, "1", {"dos.txt": "1\r\n2\r\n"})
    scene.land()
    assert (scene.repo.path / "dos.txt").read_bytes() == b"1\r\n2\r\n"
    assert scene.repo.status() == ""


# -- repositories ------------------------------------------------------------------------------------------------


KINDS = {  # what is done in a repository with one commit, and the main checkout beside it that comes of it
    "sha256": ("git init -q --object-format=sha256 ../x; git -C ../x commit -q --allow-empty -m first", "x"),
    "bare": ("git clone -q --bare . ../bare.git; git -C ../bare.git worktree add -q ../x main", "x"),
    "shallow": ('git commit -q --allow-empty -m second; git clone -q --depth=1 "file://$PWD" ../x', "x"),
    "odd path": ('cp -R . "../my code\nand\u2028more: x"', "my code\nand\u2028more: x"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_work_lands_in_a_repository_of_every_kind(repo: Repo, kind: str) -> None:
    script, name = KINDS[kind]
    subprocess.run(["sh", "-ec", script], cwd=repo.path, check=True)
    main = repo.beside(name)
    main.coordinated()
    main.up(2)
    scene = Scene(main)
    scene.done(1, "1", {"a.txt": "1\n"})
    scene.done(2, "2", {"b.txt": "2\n"})
    made = scene.land()
    assert scene.states(made) == {"1": "landed", "2": "landed"}
    assert (scene.tip(), main.status()) == (made.after, "")
    assert (main.path / "b.txt").read_text() == "2\n"
    scene.undo()
    assert (scene.tip(), main.status()) == (made.before, "")


def test_a_project_in_a_directory_of_its_repository(repo: Repo, tmp_path: Path) -> None:
    repo.commit("part/here.txt")
    part = Repo(repo.path / "part")
    part.coordinated()
    made = plan(part.project(exact=True), 1, WorktreeOptions())
    plans.run(made.actions)
    scene = Scene(part)
    tree, peer = Repo(made.instances[0].directory), scene.claim(1, "1")
    commit = tree.commit("a.txt")
    peer.worker.complete("1", {}, {"worktree": str(tree.path), "commit": commit, "branch": "team/instance-1"})
    seen = tmp_path / "seen"
    assert scene.states(scene.land(check=f"ls > {seen}")) == {"1": "landed"}
    assert seen.read_text().split() == ["a.txt", "here.txt"], "a check runs in the project's directory"
    assert (part.path / "a.txt").exists()
    assert part.status() == ""


def test_history_that_shares_no_commit_is_named(scene: Scene) -> None:
    peer, tree = scene.claim(1, "1"), scene.repo.instance(1)
    tree.git("checkout", "-q", "--orphan", "apart")
    tree.git("commit", "-q", "-m", "apart")
    scene.complete(peer, 1, "1")
    made = scene.land()
    assert scene.states(made) == {"1": "conflict"}
    assert "unrelated histories" in made.steps[0].detail
    assert named(made.steps[0].work) == 'task 1 "Task 1" of instance-1'


def test_a_submodule_that_moves_is_named(scene: Scene, tmp_path: Path) -> None:
    library = Repo(tmp_path / "library")
    library.path.mkdir()
    library.git("init", "-q")
    library.commit("lib.txt")
    peer, tree = scene.claim(1, "1"), scene.repo.instance(1)
    tree.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library.path), "lib")
    tree.git("commit", "-q", "-m", "with a library")
    scene.complete(peer, 1, "1")
    made = scene.land()
    assert scene.tip() == made.after
    assert [note.partition(";")[0] for note in made.notes] == [
        "submodule lib is at another commit now: git submodule update"
    ]
    scene.repo.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "update", "--init")
    assert scene.repo.status() == ""
