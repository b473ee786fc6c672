"""Every kind of repository people have: what each command changes in it, and that nothing stays in the end."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from peercoord.memory import copy
from peercoord.store import paths
from peercoord.team import excludes
from peercoord.team import plan as plans
from peercoord.team.removal import leave, plan_purge, plan_remove
from peercoord.team.repository import discover, instance_at, team_instances
from peercoord.team.worktrees import WorktreeOptions, plan, plan_join

from .conftest import Repo, picture

OURS = (
    "/peercoord",  # in the git directory, and nothing else of ours there but what git has of worktrees and branches
    "/worktrees",
    "/refs/heads/team",
    "/logs/refs/heads/team",
    "/info",
    "/config",
    "/config.worktree",
    "/packed-refs",
    "/.claude-coordination",
)
LISTED = {"config", "refs", "worktrees", "beside", "status"}


def with_bank(repo: Repo, tmp_path: Path) -> Repo:
    repo.commit("memory-bank/progress.md", "# Progress\n")
    return repo


def without_bank(repo: Repo, tmp_path: Path) -> Repo:
    return repo


def ignored_bank(repo: Repo, tmp_path: Path) -> Repo:
    repo.commit(".gitignore", "memory-bank/\n*.log\n")
    repo.write("memory-bank/progress.md", "# Progress\n")
    return repo


def untracked_bank(repo: Repo, tmp_path: Path) -> Repo:
    repo.write("memory-bank/progress.md", "# Progress\n")
    repo.write("scratch.txt")
    return repo


def bank_excluded_by_a_person(repo: Repo, tmp_path: Path) -> Repo:
    repo.write("memory-bank/progress.md")
    repo.write(".git/info/exclude", "memory-bank/")  # without a newline at its end
    return repo


def bank_excluded_everywhere(repo: Repo, tmp_path: Path) -> Repo:
    repo.write("memory-bank/progress.md")
    ignore = tmp_path / "home/.config/git/ignore"
    ignore.parent.mkdir(parents=True)
    ignore.write_text("memory-bank/\n*.swp\n")
    return repo


def bank_in_a_submodule(repo: Repo, tmp_path: Path) -> Repo:
    return submodule(repo, tmp_path, at="memory-bank")


def submodule(repo: Repo, tmp_path: Path, at: str = "lib") -> Repo:
    if at == "lib":
        with_bank(repo, tmp_path)
    repo.git("init", "-q", str(tmp_path / "lib"))
    Repo(tmp_path / "lib").commit("progress.md")
    repo.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(tmp_path / "lib"), at)
    repo.git("commit", "-q", "-m", "submodule")
    return repo


def is_a_submodule(repo: Repo, tmp_path: Path) -> Repo:
    with_bank(repo, tmp_path)
    outer = tmp_path / "outer"
    repo.git("init", "-q", str(outer))
    add = ("submodule", "--quiet", "add", str(repo.path), "app")
    repo.git("-C", str(outer), "-c", "protocol.file.allow=always", *add)
    return Repo(outer / "app")


def sparse(repo: Repo, tmp_path: Path) -> Repo:
    repo.commit("big/data.txt")
    with_bank(repo, tmp_path).git("sparse-checkout", "set", "--cone", "src", "memory-bank")
    return repo


def sparse_as_an_older_git_wrote_it(repo: Repo, tmp_path: Path) -> Repo:
    repo.commit("big/data.txt")
    with_bank(repo, tmp_path).git("sparse-checkout", "set", "--no-cone", "/*", "!/big/")
    for key in ("core.sparseCheckout", "core.sparseCheckoutCone"):
        value = repo.git("config", "--worktree", key).strip()
        repo.git("config", "--worktree", "--unset", key)
        repo.git("config", "--local", key, value)
    repo.git("config", "--local", "--unset", "extensions.worktreeConfig")
    (repo.path / ".git/config.worktree").unlink(missing_ok=True)
    return repo


def own_worktree_settings(repo: Repo, tmp_path: Path) -> Repo:
    repo.git("config", "extensions.worktreeConfig", "true")
    repo.git("config", "--worktree", "user.email", "me@example.invalid")
    return with_bank(repo, tmp_path)


def bare(repo: Repo, tmp_path: Path) -> Repo:
    store = tmp_path / "proj/.bare"
    with_bank(repo, tmp_path).git("clone", "-q", "--bare", ".", str(store))
    repo.git("-C", str(store), "worktree", "add", "-q", "../main", "main")
    return Repo(tmp_path / "proj/main")


def separate_git_directory(repo: Repo, tmp_path: Path) -> Repo:
    with_bank(repo, tmp_path).git("init", "-q", "--separate-git-dir", str(tmp_path / "store"))
    return repo


def bare_repositories_only_by_name(repo: Repo, tmp_path: Path) -> Repo:
    with (tmp_path / "home/.gitconfig").open("a") as settings:
        settings.write("[safe]\n  bareRepository = explicit\n")
    return with_bank(repo, tmp_path)


def shallow(repo: Repo, tmp_path: Path) -> Repo:
    with_bank(repo, tmp_path).git("clone", "-q", "--depth=1", f"file://{repo.path}", str(tmp_path / "clone/app"))
    return Repo(tmp_path / "clone/app")


def detached(repo: Repo, tmp_path: Path) -> Repo:
    with_bank(repo, tmp_path).git("checkout", "-q", "--detach")
    return repo


def odd_branch(repo: Repo, tmp_path: Path) -> Repo:
    with_bank(repo, tmp_path).git("branch", "-q", "-m", "ünï/côde-文'$x")
    return repo


def packed_refs(repo: Repo, tmp_path: Path) -> Repo:
    with_bank(repo, tmp_path).git("pack-refs", "--all")
    return repo


def large_files(repo: Repo, tmp_path: Path) -> Repo:
    """Pointers of git-lfs, on a machine without that program."""
    with_bank(repo, tmp_path).commit(
        "big.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 5\n"
    )
    repo.commit(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
    return repo


def copies(repo: Repo, tmp_path: Path) -> Repo:
    repo.write(".env", "SECRET=1\n")
    repo.commit(".worktreeinclude", ".env\n")
    return with_bank(repo, tmp_path)


def worktrees_elsewhere(repo: Repo, tmp_path: Path) -> Repo:
    with_bank(repo, tmp_path).git("worktree", "add", "-q", str(tmp_path / "stick"), "-b", "stick")
    repo.git("worktree", "add", "-q", ".claude/worktrees/fox", "-b", "fox")
    repo.write(".git/info/exclude", ".claude/\n")
    return repo


def odd_path(name: str) -> Callable[[Repo, Path], Repo]:
    def made(repo: Repo, tmp_path: Path) -> Repo:
        os.rename(repo.path, repo.beside(name).path)
        return with_bank(repo.beside(name), tmp_path)

    made.__name__ = f"path {name!r}"
    return made


def subdirectory(repo: Repo, tmp_path: Path) -> Repo:
    repo.commit("packages/web/memory-bank/progress.md", "# Progress\n")
    return repo


KINDS = (
    *(with_bank, is_a_submodule, subdirectory),
    odd_path("prøjekt 文\t'$(x)"),
)
SLOW_KINDS = (
    *(without_bank, ignored_bank, untracked_bank, bank_excluded_by_a_person, bank_excluded_everywhere, submodule, bare),
    *(sparse, sparse_as_an_older_git_wrote_it, separate_git_directory, shallow, copies, large_files),
    *(
        bank_in_a_submodule,
        own_worktree_settings,
        bare_repositories_only_by_name,
        detached,
        odd_branch,
        packed_refs,
        worktrees_elsewhere,
    ),
    *map(odd_path, ("a'b\"c", "-dash")),
)


def changed(before: dict[str, object], after: dict[str, object]) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def names(tree: Repo) -> set[str]:
    return {str(path.relative_to(tree.path)) for path in tree.path.rglob("*")}


def is_ours(name: str, repo: Repo) -> bool:
    inside = name[name.find("/") :] if "/" in name else name
    return name in LISTED or inside.startswith(OURS) or inside.startswith(tuple(f"/.git{part}" for part in OURS))


@pytest.mark.parametrize(
    "kind",
    [*KINDS, *(pytest.param(kind, marks=pytest.mark.slow) for kind in SLOW_KINDS)],
    ids=lambda kind: kind.__name__,
)
def test_each_command_changes_what_it_says_and_a_purge_leaves_nothing(
    repo: Repo, tmp_path: Path, kind: Callable[[Repo, Path], Repo]
) -> None:
    main = kind(repo, tmp_path)
    sub = "packages/web" if kind is subdirectory else "."
    home, before, status = main.path / sub, picture(main), main.status()

    def planned(count: int | None = 2) -> plans.Plan:
        return plan(discover(home, exact=True), count, WorktreeOptions())

    # a dry run
    announced = [action.text for action in planned().actions]
    assert picture(main) == before
    # up
    said: list[str] = []
    made = planned()
    assert plans.run(made.actions, said.append) == []
    assert said == announced
    trees = [Repo(instance.worktree) for instance in made.instances]
    for tree in trees:
        assert tree.status() == "", "it shows nothing of ours"
        assert tree.has_link(main, sub=sub)
        assert tree.path.parent == main.path.parent
    assert main.status() == status
    new = changed(before, picture(main))
    if kind is without_bank:
        new = {name for name in new if "/memory-bank" not in name}
    assert [name for name in sorted(new) if not is_ours(name, main)] == []
    # what agents write there is seen by no git status
    excludes.hide(home / paths.ROOT)
    (home / paths.ROOT / "state.json").write_text("{}")
    for instance in made.instances:
        excludes.hide(instance.directory / paths.INSTANCE)
        (instance.directory / paths.INSTANCE / "info.json").write_text("{}")
    assert [checkout.status() for checkout in (main, *trees)] == [status, "", ""]
    # up again
    running = picture(main)
    assert planned().actions == planned(None).actions == []
    assert picture(main) == running
    # a worktree joins, and leaves as it came
    project = discover(home, exact=True)
    main.git("worktree", "add", "-q", str(tmp_path / "my tree"), "-b", "mine")
    mine = Repo(tmp_path / "my tree")
    alone = names(mine)
    plans.run(plan_join(project, mine.path).actions)
    assert mine.has_link(main, sub=sub) == (mine.path / sub).is_dir()
    assert mine.status() == ""
    assert plan_join(project, mine.path).actions == []
    joined = instance_at(project, mine.path / sub)
    assert joined is not None
    leave(project, joined)
    stays = (".env", "lib/")  # copies, and submodules that were filled
    assert {name for name in names(mine) if not name.startswith(stays)} == alone
    main.git("worktree", "remove", "--force", str(mine.path))
    main.git("branch", "-q", "-D", "mine")
    # down
    down = plan_remove(project, team_instances(project))
    assert (down.notes, plans.run(down.actions)) == ([], [])
    assert [tree.path for tree in trees if tree.path.exists()] == []
    assert main.status() == status
    # and up, on the branches that are there
    assert sum("add worktree" in action.text for action in planned().actions) == 2
    plans.run(planned().actions)
    assert [checkout.status() for checkout in (main, *trees)] == [status, "", ""]
    # purge
    last = plan_purge(project)
    assert (last.notes, plans.run(last.actions)) == ([], [])
    assert picture(main) == before


def test_two_projects_of_one_repository_have_a_team_each(repo: Repo) -> None:
    for name in ("web", "api"):
        repo.commit(f"{name}/memory-bank/progress.md")
    before = picture(repo)
    web, api = (discover(repo.path / name, exact=True) for name in ("web", "api"))
    made = plan(web, 1)
    plans.run(made.actions)
    assert made.instances[0].directory == repo.beside("web-instance-1").path / "web"
    assert os.path.realpath(made.instances[0].directory / "memory-bank") == copy.target(str(web.directory / paths.ROOT))
    with pytest.raises(plans.PeercoordError, match=r"'team/instance-1' is checked out in \.\./web-instance-1"):
        plan(api, 1)
    plans.run(plan(api, 1, WorktreeOptions(branch_prefix="api")).actions)
    assert repo.beside("api-instance-1").git("branch", "--show-current") == "api/instance-1\n"
    plans.run(plan_purge(web).actions)
    assert (team_instances(web), plan(api, 1).actions) == ([], [])
    assert repo.beside("api-instance-1").status() == repo.status() == ""
    plans.run(plan_purge(api).actions)
    assert picture(repo) == before


@pytest.mark.slow
def test_a_set_up_stopped_after_any_step_goes_on_or_is_taken_away(tracked: Repo) -> None:
    tracked.write(".env", "SECRET=1\n")
    tracked.commit(".worktreeinclude", ".env\n")
    before, tree = picture(tracked), tracked.instance(1)
    assert len(tracked.plan(1).actions) == 6
    for at in range(1, 6):
        for goes_on in (True, False):
            plans.run(tracked.plan(1).actions[:at])
            assert all(one.status() == "" for one in (tracked, tree) if one.path.exists())
            if goes_on:
                tracked.up(1)
                assert tracked.plan(1).actions == []
                assert (tree.status(), (tree.path / ".env").read_text()) == ("", "SECRET=1\n")
                assert tree.has_link(tracked)
            assert tracked.purge()[0].notes == []
            assert picture(tracked) == before


def test_a_purge_stopped_after_any_step_goes_on(team: Repo) -> None:
    texts = [action.text for action in plan_purge(team.project()).actions]
    kinds = ["remove", "remove", "delete", "delete", "turn", "take", "delete"]
    assert [text.split(" ")[0] for text in texts] == kinds, "the reverse of set-up"
    for text in texts:
        action = plan_purge(team.project()).actions[0]
        assert action.text == text
        plans.run([action])
    assert plan_purge(team.project()).actions == []
    assert not (team.path / ".git/peercoord").exists()
    assert team.git("branch", "--format=%(refname:short)").split() == ["main"]


def test_a_checkout_inside_another_one_is_told_where_its_worktrees_show(repo: Repo, tmp_path: Path) -> None:
    repo.git("init", "-q", str(tmp_path / "work"))
    outer = Repo(tmp_path / "work")
    note = next(note for note in repo.plan(1).notes if "lie in the checkout" in note)
    pattern = note.split(" a line ")[1].split(" in its ")[0]
    outer.write(".git/info/exclude", f"{pattern}\n/app/\n")
    repo.up(1)
    assert outer.status() == ""
    assert repo.plan(2).notes == []


def test_a_repository_without_hooks_or_excludes_of_its_own_gets_none(repo: Repo) -> None:
    shutil.rmtree(repo.path / ".git/info", ignore_errors=True)
    repo.up(1)
    repo.purge()
    assert not (repo.path / ".git/info").exists()
    assert not (repo.path / ".git/hooks").exists()
