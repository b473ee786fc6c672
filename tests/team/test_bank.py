"""The memory bank: seen in every worktree, and no git status changed by it, whatever people do."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from peercoord.errors import PeercoordError, UsageError
from peercoord.team import bank_link, excludes
from peercoord.team import plan as plans
from peercoord.team.worktrees import plan_join

from .conftest import Repo


def well(main: Repo, index: int = 1) -> bool:
    """Check that a worktree has the link, and that no git status shows anything."""
    there = main.instance(index)
    assert there.has_link(main), there.path
    assert (there.status(), main.status()) == ("", "")
    return True


# -- the link stays through everything ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["tracked", "ignored", "made"])
def test_work_in_a_worktree_takes_neither_link_nor_bank(repo: Repo, kind: str) -> None:
    if kind == "tracked":
        repo.commit("memory-bank/progress.md", "# Progress\n")
    elif kind == "ignored":
        repo.commit(".gitignore", ".env\nmemory-bank/\n")
        repo.write("memory-bank/progress.md", "# Progress\n")
    repo.up(1)
    there = repo.instance(1)
    there.write("src/main.py", "print('changed')\n")
    there.write("src/new.py")
    for words in (("stash", "-u"), ("stash", "push", "-u", "-k")):
        there.git(*words)
        assert well(repo)
        there.git("stash", "pop")
        assert there.status() == " M src/main.py\n?? src/new.py\n"
    there.git("add", "-A")
    there.git("commit", "-q", "-a", "-m", "work")
    assert there.git("show", "--name-only", "--format=", "HEAD").split() == ["src/main.py", "src/new.py"]
    assert well(repo)
    if kind == "made":
        assert sorted(os.listdir(repo.path / "memory-bank")) == sorted(bank_link.DOCUMENTS)
        assert len(bank_link.DOCUMENTS) == 6


def test_merges_rebases_and_switches_pass_the_link_by(team: Repo) -> None:
    there = team.instance(1)

    def git(*words: str) -> None:
        there.git(*words)
        assert well(team), words

    team.git("branch", "side")
    there.commit("src/mine.py")
    team.commit("memory-bank/progress.md", "# Changed\n")
    team.commit("memory-bank/new.md", "# New\n")
    git("merge", "-q", "main")
    assert there.git("show", "HEAD:memory-bank/new.md") == "# New\n"
    team.git("merge", "-q", "team/instance-1")
    assert well(team)
    git("switch", "-q", "side")
    there.commit("src/side.py")
    git("rebase", "-q", "main")
    git("switch", "-q", "team/instance-1")
    git("switch", "-q", "--detach", "side")
    picked = team.commit("memory-bank/progress.md", "# Changed again\n")
    git("cherry-pick", picked)
    git("revert", "--no-edit", "HEAD")
    git("reset", "-q", "--hard", "main")
    there.git("bisect", "start", "HEAD", "HEAD~2")
    git("bisect", "reset")
    git("sparse-checkout", "reapply")
    team.write("note.txt")
    team.git("stash", "-u")
    assert well(team)
    assert (team.path / "memory-bank/progress.md").read_text() == "# Changed again\n"


def test_no_command_in_a_worktree_writes_through_the_link_and_the_next_run_mends_it(team: Repo) -> None:
    team.write("memory-bank/progress.md", "# Not committed yet\n")
    there = team.instance(1)
    for words in (
        "reset --hard",
        "checkout --ignore-skip-worktree-bits -- .",
        "checkout-index -f -a --ignore-skip-worktree-bits",
        "sparse-checkout disable",
        "clean -ffdx",
        "stash -a",
        "rm -rfq memory-bank",
    ):
        there.git(*words.split(), ok=False)
        assert (team.path / "memory-bank/progress.md").read_text() == "# Not committed yet\n", words
        assert sorted(os.listdir(team.path / "memory-bank")) == ["progress.md", "projectbrief.md"]
        assert team.up()[1] == []
        assert (there.has_link(team), there.status()) == (True, ""), words
        assert team.plan().actions == []


def test_a_gitignore_that_brings_everything_back_does_not_show_our_directories(repo: Repo) -> None:
    repo.commit(".gitignore", "*\n!*/\n!*.json\n!*.sh\n!*.py\n!.gitignore\n!memory-bank\n")
    _, warnings = repo.up(1)
    there = repo.instance(1)
    for directory in (repo.path / ".claude-coordination", there.path / ".claude-instance"):
        excludes.hide(directory)
        (directory / "state.json").write_text("{}")
        (directory / "coordinate.sh").write_text("")
    assert there.git("add", "-A", "--dry-run") == repo.git("add", "-A", "--dry-run") == there.status() == ""
    # the link cannot be hidden there, so there is none, and that is said
    assert [w for w in warnings if ".gitignore" in w] == warnings != []
    assert not os.path.lexists(there.path / "memory-bank")


def test_the_link_of_an_earlier_version_to_the_bank_itself_is_changed(tracked: Repo) -> None:
    tracked.coordinated()
    tracked.up(1)
    place = tracked.instance(1).path / "memory-bank"
    place.unlink()
    place.symlink_to("../app/memory-bank")
    text = "link memory-bank in ../app-instance-1 to the team's read-only copy"
    assert text in [action.text for action in tracked.up(1)[0].actions]
    assert (well(tracked), (place / "progress.md").read_text()) == (True, "# Progress\n")


# -- the bank itself -----------------------------------------------------------------------------------------------


def test_a_bank_that_was_made_and_is_then_tracked_becomes_a_tracked_one(repo: Repo) -> None:
    repo.up(1)
    repo.git("add", "-f", "memory-bank")
    repo.git("commit", "-q", "-m", "bank")
    there = repo.instance(1)
    there.git("merge", "-q", "main")
    assert not there.has_link(repo)
    repo.up(1)
    assert well(repo)
    repo.write("memory-bank/new.md")
    assert repo.status() == "?? memory-bank/new.md\n"
    assert there.status() == ""
    assert repo.plan().actions == []


def test_a_bank_of_another_name_is_remembered(repo: Repo) -> None:
    name = "docs/bank [1]"
    repo.commit(f"{name}/progress.md")
    repo.up(1, bank=name)
    repo.up(2)
    for index in (1, 2):
        assert repo.instance(index).has_link(repo, name)
        assert repo.instance(index).status() == ""
    with pytest.raises(UsageError, match="memory bank is 'docs/bank"):
        repo.plan(2, bank="memory-bank")


@pytest.mark.parametrize("place", [".memory-bank", ".clinerules/memory-bank", "docs/memory-bank", ".clinerules"])
def test_a_bank_of_another_name_is_found_before_an_empty_one_is_made(repo: Repo, place: str) -> None:
    for name in ("projectBrief.md", "techContext.md"):
        repo.commit(f"{place}/{name}", "# It\n")
    made = repo.plan(1)
    assert f"the memory bank is {place}/, as found (another one: --bank DIR)" in made.notes
    assert not [action for action in made.actions if "make memory-bank" in action.text]
    if place == ".clinerules":
        repo.up(1)
        assert repo.instance(1).has_link(repo, place)
        assert repo.plan(2).notes == [], "what was said once is remembered"


PLACES = [f"{at}/{name}" for at in ("docs/memory-bank", ".memory-bank") for name in ("techContext.md", "progress.md")]


@pytest.mark.parametrize(
    ("files", "text"),
    [
        (["docs/techContext.md", "docs/progress.md", "docs/index.md"], "docs' (2 of its documents), beside other"),
        (PLACES, "'.memory-bank' (2 of its documents), 'docs/memory-bank'"),
        (["docs/progress.md"], ""),
    ],
)
def test_where_it_is_unclear_which_is_the_bank_a_person_is_asked(repo: Repo, files: list[str], text: str) -> None:
    for name in files:
        repo.commit(name, "# It\n")
    if text:
        with pytest.raises(UsageError, match="seems to have a memory bank already") as caught:
            repo.plan(1)
        assert text in caught.value.message
        assert "--bank memory-bank" in caught.value.hint
    made = repo.plan(1, **({"bank": "memory-bank"} if text else {}))
    assert any("make memory-bank/ with its 6 documents" in action.text for action in made.actions)


@pytest.mark.parametrize("name", ["../bank", "/etc", "a/../b", ".git", ".claude-instance", "a\nb", "."])
def test_a_bank_that_could_lead_out_of_the_project_is_refused(repo: Repo, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be the memory bank"):
        repo.plan(1, bank=name)


def test_no_bank_at_all(repo: Repo) -> None:
    repo.up(1, bank="")
    assert not os.path.lexists(repo.instance(1).path / "memory-bank")
    assert not (repo.path / "memory-bank").exists()


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("nowhere"), Path.touch], ids=["a dead link", "a file"])
def test_what_is_no_directory_in_the_bank_s_place_is_refused(repo: Repo, make: Callable[[Path], None]) -> None:
    make(repo.path / "memory-bank")
    with pytest.raises(PeercoordError, match="memory-bank is not a directory"):
        repo.plan(1)


def test_a_bank_kept_elsewhere_behind_a_link_is_followed(repo: Repo, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/progress.md").write_text("# Shared\n")
    (repo.path / "memory-bank").symlink_to(tmp_path / "shared")
    repo.write(".git/info/exclude", "memory-bank\n")
    repo.coordinated()
    repo.up(1)
    assert (repo.instance(1).path / "memory-bank/progress.md").read_text() == "# Shared\n"
    assert repo.instance(1).status() == ""


def test_a_link_that_the_repository_tracks_is_left_to_git(repo: Repo) -> None:
    repo.commit("docs/bank/progress.md")
    (repo.path / "memory-bank").symlink_to("docs/bank")
    repo.git("add", "memory-bank")
    repo.git("commit", "-q", "-m", "link")
    made, _ = repo.up(1)
    assert any("left to git" in note for note in made.notes)
    assert repo.status() == repo.instance(1).status() == ""
    assert (repo.instance(1).path / "memory-bank/progress.md").exists()


@pytest.mark.parametrize("kind", ["on another branch", "left out by sparse patterns"])
def test_a_bank_that_the_main_checkout_has_not_is_only_noted(tracked: Repo, kind: str) -> None:
    if kind == "on another branch":
        tracked.git("branch", "keep")
        tracked.git("rm", "-q", "-r", "memory-bank")
        tracked.git("commit", "-q", "-m", "no bank")
    else:
        tracked.git("sparse-checkout", "set", "--cone", "src")
    made, _ = tracked.up(1, base="keep" if kind == "on another branch" else "")
    assert any("not in the main checkout" in note for note in made.notes)
    assert tracked.status() == tracked.instance(1).status() == ""


def test_an_untracked_bank_needs_no_setting_of_git(repo: Repo) -> None:
    repo.commit(".gitignore", "memory-bank/\n")
    repo.write("memory-bank/progress.md", "# Progress\n")
    before = (repo.path / ".git/config").read_bytes()
    repo.up(1)
    assert (repo.path / ".git/config").read_bytes() == before


# -- what stands in the link's place -------------------------------------------------------------------------------


def test_a_conflict_in_the_bank_puts_a_directory_there_and_the_next_run_the_link_again(team: Repo) -> None:
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
    assert well(team)
    assert there.git("show", "HEAD:memory-bank/progress.md") == "# Both\n"


@pytest.mark.parametrize("name", ["mine.md", "progress.md"])
@pytest.mark.parametrize("kind", ["tracked", "made"])
def test_files_in_the_link_s_place_are_kept_and_named(repo: Repo, kind: str, name: str) -> None:
    if kind == "tracked":
        repo.commit("memory-bank/progress.md", "# Progress\n")
    repo.up(1)
    there = repo.instance(1)
    (there.path / "memory-bank").unlink()
    there.write(f"memory-bank/{name}", "# Mine\n")
    made, warnings = repo.up(1)
    assert name in " ".join(made.notes) or "something of its own is there" in " ".join(warnings)
    assert (there.path / "memory-bank" / name).read_text() == "# Mine\n"


@pytest.mark.parametrize("changed", [False, True])
def test_a_joining_worktree_gives_its_copy_for_the_link_unless_it_was_changed(tracked: Repo, changed: bool) -> None:
    tracked.git("worktree", "add", "-q", "../mine", "-b", "mine")
    there = tracked.beside("mine")
    if changed:
        there.write("memory-bank/progress.md", "# Mine\n")
    made = plan_join(tracked.project(), there.path)
    plans.run(made.actions)
    assert there.has_link(tracked) is not changed
    assert any("has work of its own" in note and "progress.md" in note for note in made.notes) is changed
    assert there.status() == (" M memory-bank/progress.md\n" if changed else "")


def test_a_link_is_never_made_through_another_link(repo: Repo, tmp_path: Path) -> None:
    repo.git("switch", "-q", "-c", "linked")
    (repo.path / "docs").symlink_to(tmp_path)
    repo.git("add", "docs")
    repo.git("commit", "-q", "-m", "docs elsewhere")
    repo.git("switch", "-q", "main")
    repo.commit("docs/bank/progress.md")
    _, warnings = repo.up(1, bank="docs/bank", base="linked")
    assert not os.path.lexists(tmp_path / "bank")
    assert "is not the link to the memory bank" in " ".join(warnings)
