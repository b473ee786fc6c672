"""The memory bank: seen in every worktree, and no git status changed by it, whatever people do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from peercoord.errors import PeercoordError, UsageError
from peercoord.memory import copy
from peercoord.store import paths
from peercoord.team import bank_link, excludes
from peercoord.team import plan as plans
from peercoord.team.worktrees import plan_join


def clean(*checkouts) -> bool:
    for checkout in checkouts:
        assert checkout.status() == "", checkout.path
    return True


def linked(there, main) -> bool:
    """The worktree has the link to the read-only copy of the main checkout's bank."""
    place = there.path / "memory-bank"
    leads_to = copy.target(str(main.path / paths.ROOT))
    return place.is_symlink() and os.path.normpath(place.parent / os.readlink(place)) == leads_to


@pytest.fixture
def untracked(repo):
    """A repository with a memory bank that its .gitignore names."""
    repo.commit(".gitignore", ".env\nmemory-bank/\n")
    repo.write("memory-bank/progress.md", "# Progress\n")
    return repo


@pytest.fixture(params=["tracked", "ignored", "missing"])
def kind(request, repo):
    """A repository with each kind of memory bank."""
    if request.param == "tracked":
        repo.commit("memory-bank/projectbrief.md", "# Brief\n")
        repo.commit("memory-bank/progress.md", "# Progress\n")
    elif request.param == "ignored":
        repo.commit(".gitignore", ".env\nmemory-bank/\n")
        repo.write("memory-bank/progress.md", "# Progress\n")
    return repo


# -- status stays clean through everything -------------------------------------------------------------------------


def test_a_worktree_sees_what_is_written_in_the_main_checkout(kind):
    kind.coordinated()
    kind.up(2)
    for index in (1, 2):
        assert linked(kind.instance(index), kind)
        assert (kind.instance(index).path / "memory-bank/progress.md").exists()
    kind.write("memory-bank/progress.md", "# News\n")
    copy.publish_now(str(kind.path))
    assert (kind.instance(2).path / "memory-bank/progress.md").read_text() == "# News\n"
    assert clean(kind.instance(1), kind.instance(2))


def test_the_link_of_an_earlier_version_to_the_bank_itself_is_changed(kind):
    kind.coordinated()
    kind.up(1)
    place = kind.instance(1).path / "memory-bank"
    place.unlink()
    place.symlink_to("../app/memory-bank")
    made, _ = kind.up(1)
    assert [action.text for action in made.actions][1:] == [
        "link memory-bank in ../app-instance-1 to the team's read-only copy"
    ]
    assert linked(kind.instance(1), kind)
    assert (place / "progress.md").exists()
    assert clean(kind.instance(1))


def test_add_everything_and_commit_all_take_neither_link_nor_bank(kind):
    kind.up(1)
    there = kind.instance(1)
    there.write("src/new.py")
    there.write("src/main.py", "print('changed')\n")
    there.git("add", "-A")
    assert there.git("diff", "--cached", "--name-only").split() == ["src/main.py", "src/new.py"]
    there.git("commit", "-q", "-a", "-m", "work")
    assert there.git("diff-tree", "-r", "--name-only", "--no-commit-id", "HEAD").split() == [
        "src/main.py",
        "src/new.py",
    ]
    assert clean(there, kind)
    assert linked(there, kind)


def test_a_merge_that_brings_bank_changes_passes_the_link_by(team):
    there = team.instance(1)
    there.commit("src/mine.py")
    team.commit("memory-bank/progress.md", "# Changed\n")
    team.commit("memory-bank/new.md", "# New\n")
    there.git("merge", "-q", "main")
    assert clean(there, team)
    assert linked(there, team)
    assert there.git("show", "HEAD:memory-bank/new.md") == "# New\n"
    team.git("merge", "-q", "team/instance-1")
    assert clean(there, team)
    assert (team.path / "memory-bank/progress.md").read_text() == "# Changed\n"


@pytest.mark.parametrize(
    "words",
    [
        ("stash", "-u"),
        pytest.param(("stash",), marks=pytest.mark.slow),
        pytest.param(("stash", "push", "-u", "-k"), marks=pytest.mark.slow),
    ],
)
def test_a_stash_and_its_return(kind, words):
    kind.up(1)
    there = kind.instance(1)
    there.write("src/main.py", "print('changed')\n")
    there.write("note.txt")
    there.git(*words)
    assert linked(there, kind)
    there.git("stash", "pop")
    assert there.status() == " M src/main.py\n?? note.txt\n"
    assert linked(there, kind)
    assert clean(kind)


def test_stashing_everything_in_the_main_checkout_leaves_the_team_alone(kind):
    kind.up(1)
    kind.write("src/main.py", "print('changed')\n")
    kind.write("note.txt")
    kind.git("stash", "-u")
    assert clean(kind, kind.instance(1))
    assert linked(kind.instance(1), kind)


def test_branch_switches_there_and_back(kind):
    kind.up(1)
    there = kind.instance(1)
    kind.git("branch", "side")
    there.git("switch", "-q", "side")
    there.commit("src/side.py")
    assert clean(there)
    there.git("switch", "-q", "team/instance-1")
    there.git("switch", "-q", "--detach", "side")
    assert clean(there, kind)
    assert linked(there, kind)


def test_a_rebase_over_changes_of_the_bank(team):
    there = team.instance(1)
    there.commit("src/one.py")
    there.commit("src/two.py")
    team.commit("memory-bank/progress.md", "# Changed\n")
    there.git("rebase", "-q", "main")
    assert clean(there, team)
    assert linked(there, team)


def test_resets_picks_reverts_and_bisections(team):
    there = team.instance(1)
    picked = team.commit("memory-bank/progress.md", "# Changed\n")
    team.commit("src/main.py", "print('later')\n")
    there.git("cherry-pick", picked)
    assert clean(there)
    there.git("revert", "--no-edit", "HEAD")
    assert clean(there)
    there.git("reset", "-q", "--hard", "main")
    there.git("bisect", "start", "HEAD", "HEAD~2")
    there.git("bisect", "reset")
    there.git("sparse-checkout", "reapply")
    assert clean(there, team)
    assert linked(there, team)


def test_new_files_of_a_tracked_bank_are_seen_in_the_main_checkout(team):
    team.write("memory-bank/decisions.md")
    assert team.status() == "?? memory-bank/decisions.md\n"
    team.git("add", "memory-bank/decisions.md")
    team.git("commit", "-q", "-m", "decisions")
    assert clean(team, team.instance(1))


def test_the_status_of_the_main_checkout_is_as_it_was(repo, home):
    repo.write("memory-bank/progress.md")
    repo.write("scratch.txt")
    before = repo.status()
    repo.up(1)
    assert repo.status() == before == "?? memory-bank/progress.md\n?? scratch.txt\n"
    assert clean(repo.instance(1))


@pytest.mark.parametrize("where", [".git/info/exclude", "global"])
def test_a_bank_that_a_person_ignores_by_themselves_stays_ignored(repo, home, where):
    repo.write("memory-bank/progress.md")
    if where == "global":
        home.joinpath(".config/git").mkdir(parents=True)
        home.joinpath(".config/git/ignore").write_text("memory-bank/\n")
    else:
        repo.write(where, "memory-bank/")
    assert clean(repo)
    repo.up(1)
    assert clean(repo, repo.instance(1))
    assert linked(repo.instance(1), repo)
    assert [a.text for a in repo.plan().actions] == []


def test_global_excludes_go_on_working_in_worktrees(team, home):
    home.joinpath(".config/git").mkdir(parents=True)
    home.joinpath(".config/git/ignore").write_text("*.swp\n")
    team.instance(1).write("x.swp")
    assert clean(team.instance(1))


def test_a_gitignore_that_brings_everything_back_does_not_show_our_directories(repo):
    repo.commit(".gitignore", "*\n!*/\n!*.json\n!*.sh\n!*.py\n!.gitignore\n!memory-bank\n")
    _, warnings = repo.up(1)
    there = repo.instance(1)
    for directory in (repo.path / ".claude-coordination", there.path / ".claude-instance"):
        excludes.hide(directory)
        (directory / "state.json").write_text("{}")
        (directory / "coordinate.sh").write_text("")
    assert there.git("add", "-A", "--dry-run") == repo.git("add", "-A", "--dry-run") == ""
    assert clean(there)
    # the link cannot be hidden there, so there is none, and that is said
    assert [w for w in warnings if ".gitignore" in w] == warnings != []
    assert not os.path.lexists(there.path / "memory-bank")


def test_our_directories_are_invisible_in_the_main_checkout_and_in_worktrees(repo):
    repo.up(1)
    repo.write(".claude-coordination/state.json")
    repo.instance(1).write(".claude-instance/info.json")
    assert clean(repo, repo.instance(1))
    assert ".claude" not in repo.path.joinpath(".gitignore").read_text()


@pytest.mark.parametrize(
    "words",
    [
        ("reset", "--hard"),
        ("checkout", "--ignore-skip-worktree-bits", "--", "."),
        ("checkout-index", "-f", "-a", "--ignore-skip-worktree-bits"),
        ("sparse-checkout", "disable"),
        ("clean", "-ffdx"),
        ("stash", "-a"),
        ("rm", "-rfq", "memory-bank"),
    ],
    ids=" ".join,
)
def test_no_command_in_a_worktree_writes_through_the_link_and_the_next_run_mends_it(team, words):
    team.write("memory-bank/progress.md", "# Not committed yet\n")
    there = team.instance(1)
    there.git(*words, ok=False)
    assert (team.path / "memory-bank/progress.md").read_text() == "# Not committed yet\n"
    assert sorted(os.listdir(team.path / "memory-bank")) == ["progress.md", "projectbrief.md"]
    _, warnings = team.up()
    assert warnings == []
    assert linked(there, team)
    assert clean(there)
    assert team.plan().actions == []


# -- the bank itself -----------------------------------------------------------------------------------------------


def test_a_missing_bank_is_made_with_its_six_documents_and_stays_out_of_git_s_sight(repo):
    made, _ = repo.up(1)
    assert any("make memory-bank/ with its 6 documents" in action.text for action in made.actions)
    assert sorted(os.listdir(repo.path / "memory-bank")) == sorted(bank_link.DOCUMENTS)
    assert len(bank_link.DOCUMENTS) == 6
    assert clean(repo, repo.instance(1))
    assert linked(repo.instance(1), repo)


def test_a_bank_that_was_made_and_is_then_tracked_becomes_a_tracked_one(repo):
    repo.up(1)
    repo.git("add", "-f", "memory-bank")
    repo.git("commit", "-q", "-m", "bank")
    there = repo.instance(1)
    there.git("merge", "-q", "main")
    assert not linked(there, repo)
    repo.up(1)
    assert linked(there, repo)
    repo.write("memory-bank/new.md")
    assert repo.status() == "?? memory-bank/new.md\n"
    assert clean(there)
    assert [a.text for a in repo.plan().actions] == []


def test_a_bank_of_another_name_is_remembered(repo):
    repo.commit("docs/bank [1]/progress.md")
    repo.coordinated()
    repo.up(1, bank="docs/bank [1]")
    there = repo.instance(1)
    assert (there.path / "docs/bank [1]").is_symlink()
    assert (there.path / "docs/bank [1]/progress.md").exists()
    assert clean(repo, there)
    repo.up(2)
    assert (repo.instance(2).path / "docs/bank [1]").is_symlink()
    with pytest.raises(UsageError, match="memory bank is 'docs/bank"):
        repo.plan(2, bank="memory-bank")


@pytest.mark.parametrize("name", ["../bank", "/etc", "a/../b", ".git", ".claude-instance", "a\nb", "."])
def test_a_bank_that_could_lead_out_of_the_project_is_refused(repo, name):
    with pytest.raises(UsageError, match="cannot be the memory bank"):
        repo.plan(1, bank=name)


def test_no_bank_at_all(repo):
    repo.up(1, bank="")
    assert not os.path.lexists(repo.instance(1).path / "memory-bank")
    assert not (repo.path / "memory-bank").exists()
    assert clean(repo, repo.instance(1))


def test_a_file_or_a_dead_link_in_the_bank_s_place_is_refused(repo, tmp_path):
    (repo.path / "memory-bank").symlink_to(tmp_path / "nowhere")
    with pytest.raises(PeercoordError, match="memory-bank is not a directory"):
        repo.plan(1)
    (repo.path / "memory-bank").unlink()
    repo.write("memory-bank", "a file")
    with pytest.raises(PeercoordError, match="memory-bank is not a directory"):
        repo.plan(1)


def test_a_bank_kept_elsewhere_behind_a_link_is_followed(repo, tmp_path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/progress.md").write_text("# Shared\n")
    (repo.path / "memory-bank").symlink_to(tmp_path / "shared")
    repo.write(".git/info/exclude", "memory-bank\n")
    repo.coordinated()
    repo.up(1)
    assert (repo.instance(1).path / "memory-bank/progress.md").read_text() == "# Shared\n"
    assert clean(repo, repo.instance(1))


def test_a_link_that_the_repository_tracks_is_left_to_git(repo):
    repo.commit("docs/bank/progress.md")
    (repo.path / "memory-bank").symlink_to("docs/bank")
    repo.git("add", "memory-bank")
    repo.git("commit", "-q", "-m", "link")
    made, _ = repo.up(1)
    assert any("left to git" in note for note in made.notes)
    assert clean(repo, repo.instance(1))
    assert (repo.instance(1).path / "memory-bank/progress.md").exists()


def test_a_bank_that_is_a_submodule(repo, tmp_path):
    repo.git("init", "-q", str(tmp_path / "bank"))
    notes = repo.beside("x")
    notes.path = tmp_path / "bank"
    notes.commit("progress.md")
    repo.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(notes.path), "memory-bank")
    repo.git("commit", "-q", "-m", "bank")
    repo.up(1)
    there = repo.instance(1)
    assert linked(there, repo)
    assert clean(there, repo)
    there.write("src/new.py")
    there.git("add", "-A")
    assert there.git("diff", "--cached", "--name-only") == "src/new.py\n"
    assert [a.text for a in repo.plan().actions] == []


def test_a_bank_on_another_branch_of_the_main_checkout_is_only_noted(tracked):
    tracked.git("branch", "keep")
    tracked.git("rm", "-q", "-r", "memory-bank")
    tracked.git("commit", "-q", "-m", "no bank")
    made, _ = tracked.up(1, base="keep")
    assert any("is tracked but not in the main checkout" in note for note in made.notes)
    assert clean(tracked, tracked.instance(1))


# -- what stands in the link's place -------------------------------------------------------------------------------


def test_a_conflict_in_the_bank_puts_a_directory_there_and_the_next_run_the_link_again(team):
    there = team.instance(1)
    team.git("switch", "-q", "-c", "other")
    team.commit("memory-bank/progress.md", "# Other\n")
    team.git("switch", "-q", "main")
    team.commit("memory-bank/progress.md", "# Main\n")
    there.git("switch", "-q", "other", "--ignore-other-worktrees")
    there.git("merge", "-q", "main", ok=False)
    assert (team.path / "memory-bank/progress.md").read_text() == "# Main\n"
    made = team.plan()
    assert any("has work of its own" in note for note in made.notes)
    plans.run(made.actions)
    assert "<<<<<<<" in (there.path / "memory-bank/progress.md").read_text()
    there.write("memory-bank/progress.md", "# Both\n")
    there.git("add", "--sparse", "memory-bank/progress.md")
    there.git("commit", "-q", "-m", "merged")
    team.up(1)
    assert linked(there, team)
    assert clean(there, team)
    assert there.git("show", "HEAD:memory-bank/progress.md") == "# Both\n"


def test_files_that_somebody_put_in_the_link_s_place_are_kept_and_named(kind):
    kind.up(1)
    there = kind.instance(1)
    (there.path / "memory-bank").unlink()
    there.write("memory-bank/mine.md", "# Mine\n")
    made, warnings = kind.up(1)
    assert "mine.md" in " ".join(made.notes) or "something of its own is there" in " ".join(warnings)
    assert (there.path / "memory-bank/mine.md").read_text() == "# Mine\n"


def test_a_changed_copy_hidden_by_sparse_patterns_is_not_overwritten(team):
    there = team.instance(1)
    (there.path / "memory-bank").unlink()
    there.write("memory-bank/progress.md", "# Written here by mistake\n")
    _, warnings = team.up(1)
    assert "something of its own is there" in " ".join(warnings)
    assert (there.path / "memory-bank/progress.md").read_text() == "# Written here by mistake\n"


def test_a_joining_worktree_gives_its_unchanged_copy_for_the_link(tracked):
    tracked.git("worktree", "add", "-q", "../mine", "-b", "mine")
    there = tracked.beside("mine")
    assert not (there.path / "memory-bank").is_symlink()
    plans.run(plan_join(tracked.project(), there.path).actions)
    assert linked(there, tracked)
    assert clean(there, tracked)


def test_a_joining_worktree_with_changes_in_its_copy_keeps_them(tracked):
    tracked.git("worktree", "add", "-q", "../mine", "-b", "mine")
    there = tracked.beside("mine")
    there.write("memory-bank/progress.md", "# Mine\n")
    made = plan_join(tracked.project(), there.path)
    plans.run(made.actions)
    assert any("has work of its own" in note and "progress.md" in note for note in made.notes)
    assert there.status() == " M memory-bank/progress.md\n"


def test_a_link_is_never_made_through_another_link(repo, tmp_path):
    repo.git("switch", "-q", "-c", "linked")
    (repo.path / "docs").symlink_to(tmp_path)
    repo.git("add", "docs")
    repo.git("commit", "-q", "-m", "docs elsewhere")
    repo.git("switch", "-q", "main")
    repo.commit("docs/bank/progress.md")
    _, warnings = repo.up(1, bank="docs/bank", base="linked")
    assert not os.path.lexists(tmp_path / "bank")
    assert "is not the link to the memory bank" in " ".join(warnings)


# -- a main checkout that is sparse itself, and settings of one worktree alone ---------------------------------------


@pytest.mark.parametrize(
    ("cone", "shared_config"),
    [
        ("--cone", False),
        ("--no-cone", True),
        pytest.param("--cone", True, marks=pytest.mark.slow),
        pytest.param("--no-cone", False, marks=pytest.mark.slow),
    ],
)
def test_a_sparse_main_checkout_stays_as_it_is_and_worktrees_follow_it(tracked, cone, shared_config):
    tracked.commit("big/data.txt")
    patterns = ["src", "memory-bank"] if cone == "--cone" else ["/*", "!/big/"]
    tracked.git("sparse-checkout", "set", cone, *patterns)
    if shared_config:  # as an older git wrote it
        for key in ("core.sparseCheckout", "core.sparseCheckoutCone"):
            value = tracked.git("config", "--worktree", key).strip()
            tracked.git("config", "--worktree", "--unset", key)
            tracked.git("config", "--local", key, value)
        tracked.git("config", "--local", "--unset", "extensions.worktreeConfig")
        tracked.path.joinpath(".git/config.worktree").unlink(missing_ok=True)
    before = tracked.git("sparse-checkout", "list")
    tracked.up(2)
    there = tracked.instance(1)
    assert tracked.git("sparse-checkout", "list") == before
    assert not (tracked.path / "big").exists()
    assert not (there.path / "big").exists()
    assert linked(there, tracked)
    assert clean(tracked, there)
    tracked.commit("memory-bank/progress.md", "# Changed\n")
    there.git("merge", "-q", "main")
    assert clean(tracked, there)
    assert tracked.plan().actions == []


def test_a_bank_that_a_sparse_main_checkout_leaves_out_is_noted(tracked):
    tracked.git("sparse-checkout", "set", "--cone", "src")
    made, _ = tracked.up(1)
    assert any("not in the main checkout" in note for note in made.notes)
    assert clean(tracked, tracked.instance(1))


def test_settings_that_meant_the_main_checkout_go_on_meaning_it_alone(tracked, tmp_path):
    bare = tmp_path / "proj.git"
    tracked.git("clone", "-q", "--bare", ".", str(bare))
    tracked.git("-C", str(bare), "worktree", "add", "-q", str(tmp_path / "work/main"), "main")
    main = tracked.beside("main")
    main.up(1)
    assert main.git("config", "--file", str(bare / "config"), "--get", "core.bare", ok=False) == ""
    assert main.git("config", "--file", str(bare / "config.worktree"), "--get", "core.bare") == "true\n"
    assert clean(main, main.instance(1))
    assert linked(main.instance(1), main)


def test_a_submodule_s_own_working_tree_setting_moves_along(tracked, tmp_path):
    sup = tmp_path / "work/super"
    tracked.git("init", "-q", str(sup))
    add = ("submodule", "--quiet", "add", str(tracked.path), "lib")
    tracked.git("-C", str(sup), "-c", "protocol.file.allow=always", *add)
    lib = tracked.beside("super/lib")
    lib.up(1)
    assert clean(lib, lib.instance(1))
    assert linked(lib.instance(1), lib)
    assert lib.plan().actions == []


def test_an_untracked_bank_needs_no_setting_of_git(untracked):
    before = untracked.path.joinpath(".git/config").read_bytes()
    untracked.up(2)
    assert untracked.path.joinpath(".git/config").read_bytes() == before


def test_patterns_are_literal():
    assert excludes.pattern("a*b?[c]\\d ") == "/a\\*b\\?\\[c]\\\\d\\ "
    assert Path(excludes.pattern("docs/bank")) == Path("/docs/bank")


# -- a bank under another name -----------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [".memory-bank", ".clinerules/memory-bank", "docs/memory-bank", ".clinerules"])
def test_a_bank_of_another_name_is_found_before_an_empty_one_is_made(repo, place: str) -> None:
    for name in ("projectBrief.md", "techContext.md"):
        repo.commit(f"{place}/{name}", "# It\n")
    made, _ = repo.up(1)
    assert f"the memory bank is {place}/, as found (another one: --bank DIR)" in made.notes
    assert not (repo.path / "memory-bank").exists()
    assert (repo.instance(1).path / place).is_symlink()
    assert repo.plan(2).notes == [], "what was said once is remembered"


@pytest.mark.parametrize(
    ("files", "text"),
    [
        (["docs/techContext.md", "docs/progress.md", "docs/index.md"], "docs' (2 of its documents), beside other"),
        (
            [
                f"{place}/{name}"
                for place in ("docs/memory-bank", ".memory-bank")
                for name in ("techContext.md", "progress.md")
            ],
            "'.memory-bank' (2 of its documents), 'docs/memory-bank'",
        ),
    ],
)
def test_where_it_cannot_be_told_which_is_the_bank_a_person_is_asked(repo, files: list[str], text: str) -> None:
    for name in files:
        repo.commit(name, "# It\n")
    with pytest.raises(UsageError, match="seems to have a memory bank already") as caught:
        repo.plan(1)
    assert text in caught.value.message
    assert "--bank memory-bank" in caught.value.hint
    assert repo.plan(1, bank="memory-bank").actions


def test_a_progress_file_alone_is_no_bank(repo) -> None:
    repo.commit("docs/progress.md", "# Progress\n")
    repo.up(1)
    assert (repo.path / "memory-bank" / "projectbrief.md").exists()
