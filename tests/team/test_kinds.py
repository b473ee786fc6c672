"""Every kind of repository: what each command changes in it, and that nothing stays in the end."""

from __future__ import annotations

import os
import subprocess
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


SHELL = """set -e
commit() { mkdir -p "$(dirname "$1")"; printf '%s\\n' "$2" >"$1"; git add -f -- "$1"; git commit -qm work; }
bank() { commit memory-bank/progress.md '# Progress'; }
loose() { mkdir -p memory-bank .git/info; echo '# Progress' >memory-bank/progress.md; }
sub() {
  git init -q "$OUT/lib"; (cd "$OUT/lib"; commit progress.md x)
  git $ALLOW submodule --quiet add "$OUT/lib" "$1"; git commit -qm submodule
}
ALLOW="-c protocol.file.allow=always"
LFS='version https://git-lfs.github.com/spec/v1'
"""
KINDS = {  # what is done in a repository with one commit; the path of its main checkout, if that is another
    "a bank": "bank",
    "is a submodule": """bank; git init -q "$OUT/outer"
        git -C "$OUT/outer" $ALLOW submodule --quiet add "$PWD" app; echo "$OUT/outer/app" """,
    "a subdirectory": "commit packages/web/memory-bank/progress.md '# Progress'",
    "path prøjekt 文\t'$(x)": 'bank; mv "$PWD" "$OUT/$NAME"; echo "$OUT/$NAME"',
}
SLOW_KINDS = {
    "no bank": "",
    "an ignored bank": "commit .gitignore memory-bank/; loose",
    "an untracked bank": "loose; echo x >scratch.txt",
    "a bank excluded by a person": "loose; printf memory-bank/ >.git/info/exclude",  # without an end of its line
    "a bank excluded everywhere": """loose; mkdir -p "$XDG_CONFIG_HOME/git"
        printf 'memory-bank/\\n*.swp\\n' >"$XDG_CONFIG_HOME/git/ignore" """,
    "a bank in a submodule": "sub memory-bank",
    "a submodule": "bank; sub lib",
    "a bare repository": """bank; git clone -q --bare . "$OUT/proj/.bare"
        git -C "$OUT/proj/.bare" worktree add -q ../main main; echo "$OUT/proj/main" """,
    "bare repositories only by name": """printf '[safe]\\n  bareRepository = explicit\\n' >>"$HOME/.gitconfig"; bank""",
    "sparse": "commit big/data.txt x; bank; git sparse-checkout set --cone src memory-bank",
    "sparse as an older git wrote it": """commit big/data.txt x; bank
        git sparse-checkout set --no-cone '/*' '!/big/'
        for key in core.sparseCheckout core.sparseCheckoutCone; do
          value=$(git config --worktree $key)
          git config --worktree --unset $key; git config --local $key "$value"
        done
        git config --local --unset extensions.worktreeConfig; rm -f .git/config.worktree""",
    "own worktree settings": """git config extensions.worktreeConfig true
        git config --worktree user.email me@example.invalid; bank""",
    "a separate git directory": 'bank; git init -q --separate-git-dir "$OUT/store"',
    "shallow": 'bank; git clone -q --depth=1 "file://$PWD" "$OUT/clone/app"; echo "$OUT/clone/app"',
    "a detached head": "bank; git checkout -q --detach",
    "an odd branch": 'bank; git branch -q -m "ünï/côde-文\'\\$x"',
    "packed refs": "bank; git pack-refs --all",
    "copies": "echo SECRET=1 >.env; commit .worktreeinclude .env; bank",
    "large files without their program": """bank; commit big.bin "$LFS"
        commit .gitattributes '*.bin filter=lfs diff=lfs merge=lfs -text'""",
    "worktrees elsewhere": """bank; git worktree add -q "$OUT/stick" -b stick
        git worktree add -q .claude/worktrees/fox -b fox; mkdir -p .git/info; echo .claude/ >.git/info/exclude""",
    "path a'b\"c": KINDS["path prøjekt 文\t'$(x)"],
    "path -dash": KINDS["path prøjekt 文\t'$(x)"],
}


def make(repo: Repo, tmp_path: Path, kind: str) -> Repo:
    """Make a repository of a kind; return its main checkout."""
    env = {**os.environ, "OUT": str(tmp_path), "NAME": kind.removeprefix("path ")}
    words = ["sh", "-c", SHELL + (KINDS | SLOW_KINDS)[kind]]
    done = subprocess.run(words, cwd=repo.path, env=env, stdout=subprocess.PIPE, check=True, text=True)
    return Repo(Path(done.stdout.removesuffix("\n"))) if done.stdout else repo


def changed(before: dict[str, object], after: dict[str, object]) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def names(tree: Repo) -> set[str]:
    return {str(path.relative_to(tree.path)) for path in tree.path.rglob("*")}


def is_ours(name: str, repo: Repo) -> bool:
    inside = name[name.find("/") :] if "/" in name else name
    return name in LISTED or inside.startswith(OURS) or inside.startswith(tuple(f"/.git{part}" for part in OURS))


@pytest.mark.parametrize("kind", [*KINDS, *(pytest.param(kind, marks=pytest.mark.slow) for kind in SLOW_KINDS)])
def test_each_command_changes_what_it_says_and_a_purge_leaves_nothing(repo: Repo, tmp_path: Path, kind: str) -> None:
    main = make(repo, tmp_path, kind)
    sub = "packages/web" if kind == "a subdirectory" else "."
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
    if kind == "no bank":
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


def test_a_checkout_inside_another_one_names_where_its_worktrees_show(repo: Repo, tmp_path: Path) -> None:
    repo.git("init", "-q", str(tmp_path / "work"))
    outer = Repo(tmp_path / "work")
    note = next(note for note in repo.plan(1).notes if "lie in the checkout" in note)
    pattern = note.split(" a line ")[1].split(" in its ")[0]
    outer.write(".git/info/exclude", f"{pattern}\n/app/\n")
    repo.up(1)
    assert outer.status() == ""
    assert repo.plan(2).notes == []
