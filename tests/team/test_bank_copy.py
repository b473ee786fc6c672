"""The copy of the memory bank that worktrees see: whole, without any right to write, and never far behind."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from support.project import Project, project

from peercoord.memory import copy
from peercoord.memory.copy import CopyJob, look, publish, target
from peercoord.store import paths
from peercoord.system.disk import remove_tree

__all__ = ["project"]


@pytest.fixture
def bank(project: Project) -> Path:
    made = project.main / paths.BANK
    (made / "sub").mkdir(parents=True)
    (made / "techContext.md").write_text("# Tech\n")
    (made / "projectbrief.md").write_text("# Brief\n")
    (made / "sub" / "more.md").write_text("# More\n")
    return made


def copy_of(project: Project) -> Path:
    return Path(target(str(project.state)))


def texts(at: Path) -> dict[str, str]:
    return {path: (at / path).read_text() for path in look(str(at))}


def test_a_copy_is_the_bank_without_any_right_to_write(project: Project, bank: Path) -> None:
    """MEM-19."""
    (bank / "private.md").write_text("x")
    (bank / "private.md").chmod(0o600)
    (bank / ".hidden.md").write_text("x")
    (bank / "link.md").symlink_to("/etc/passwd")
    os.mkfifo(bank / "pipe.md")
    assert publish(str(bank), str(project.state))
    assert not publish(str(bank), str(project.state)), "it is the same"
    copy = copy_of(project)
    assert texts(copy) == {
        "techContext.md": "# Tech\n",
        "projectbrief.md": "# Brief\n",
        "sub/more.md": "# More\n",
        "private.md": "x",
    }
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (copy, *copy.rglob("*"))}
    assert modes.pop("private.md") == 0o400
    assert {modes.pop(name) for name in ("current", "sub")} == {0o555}
    assert set(modes.values()) == {0o444}
    assert list(project.state.glob("memory-bank/.*")) == []


def test_a_new_copy_replaces_the_last_one_whole_and_shares_what_did_not_change(project: Project, bank: Path) -> None:
    publish(str(bank), str(project.state))
    first = copy_of(project).resolve()
    reader = os.open(first / "techContext.md", os.O_RDONLY)
    (bank / "techContext.md").write_text("# New\n")
    (bank / "sub" / "more.md").unlink()
    publish(str(bank), str(project.state))
    second = copy_of(project).resolve()
    assert second != first
    assert texts(second) == {"techContext.md": "# New\n", "projectbrief.md": "# Brief\n"}
    assert (second / "projectbrief.md").samefile(first / "projectbrief.md")
    assert os.read(reader, 100) == b"# Tech\n", "a reader goes on in what it opened"
    os.close(reader)
    (bank / "techContext.md").write_text("# Newer\n")
    publish(str(bank), str(project.state))
    assert not first.exists(), "of those before, one stays"
    assert second.exists()


def test_what_is_being_written_stays_as_it_was_and_holds_up_no_other(project: Project, bank: Path) -> None:
    publish(str(bank), str(project.state))
    (bank / "techContext.md").write_text("# Te")
    (bank / "new.md").write_text("# N")
    (bank / "projectbrief.md").write_text("# Ours\n")
    assert publish(str(bank), str(project.state), {"techContext.md", "new.md"})
    assert texts(copy_of(project)) == {
        "techContext.md": "# Tech\n",
        "projectbrief.md": "# Ours\n",
        "sub/more.md": "# More\n",
    }


@pytest.mark.parametrize("kind", ["no links", "writable"])
def test_what_is_being_written_stays_where_it_cannot_be_linked(
    project: Project, bank: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*given: object, **more: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "no links")

    publish(str(bank), str(project.state))
    if kind == "no links":
        monkeypatch.setattr(os, "link", refuse)
    else:
        (copy_of(project) / "techContext.md").chmod(0o644)
    (bank / "techContext.md").write_text("# Te")
    (bank / "projectbrief.md").write_text("# Ours\n")
    assert publish(str(bank), str(project.state), {"techContext.md"})
    assert (copy_of(project) / "projectbrief.md").read_text() == "# Ours\n"
    assert (copy_of(project) / "techContext.md").read_text() == "# Tech\n"
    assert stat.S_IMODE((copy_of(project) / "techContext.md").stat().st_mode) == 0o444


def test_a_private_bank_has_a_private_copy(project: Project, bank: Path) -> None:
    """MEM-19."""
    bank.chmod(0o700)
    publish(str(bank), str(project.state))
    assert stat.S_IMODE(copy_of(project).stat().st_mode) == 0o500
    assert stat.S_IMODE((copy_of(project) / "sub").stat().st_mode) == 0o555
    bank.chmod(0o755)
    (bank / "sub").chmod(0o750)
    (bank / "techContext.md").chmod(0o600)
    assert publish(str(bank), str(project.state)), "modes alone changed"
    modes = [copy_of(project) / path for path in (".", "sub", "techContext.md")]
    assert [stat.S_IMODE(path.stat().st_mode) for path in modes] == [0o555, 0o550, 0o400]
    assert not publish(str(bank), str(project.state)), "it is the same"


def test_an_edit_that_puts_the_time_back_is_published(project: Project, bank: Path) -> None:
    publish(str(bank), str(project.state))
    before = (bank / "techContext.md").stat()
    (bank / "techContext.md").write_text("# Hcet\n")
    os.utime(bank / "techContext.md", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert publish(str(bank), str(project.state))
    assert texts(copy_of(project)) == texts(bank)


@pytest.mark.parametrize("kind", ["changed", "removed", "writable"])
def test_what_somebody_did_to_a_copy_is_undone(project: Project, bank: Path, kind: str) -> None:
    """MEM-19: root may; and it reaches no bank."""
    publish(str(bank), str(project.state))
    victim = copy_of(project) / "techContext.md"
    victim.parent.chmod(0o755)
    victim.chmod(0o644)
    if kind == "changed":
        victim.write_text("# Forged\n")
    elif kind == "removed":
        victim.unlink()
    else:
        (bank / "projectbrief.md").write_text("# Ours\n")
    assert publish(str(bank), str(project.state))
    assert (copy_of(project) / "techContext.md").read_text() == (bank / "techContext.md").read_text() == "# Tech\n"
    assert stat.S_IMODE((copy_of(project) / "techContext.md").stat().st_mode) == 0o444


SETPRIV = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")


def shell(at: Path, line: str) -> tuple[int, str]:
    """Run a line in a shell for which modes hold; root has a capability less for that."""
    user = SETPRIV if os.geteuid() == 0 else ()
    done = subprocess.run([*user, "sh", "-c", line], cwd=at, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="modes do not hold for root")
def test_a_plain_shell_in_a_worktree_is_refused(project: Project, bank: Path) -> None:
    publish(str(bank), str(project.state))
    (project.worktree / paths.BANK).symlink_to(copy_of(project))
    before = texts(copy_of(project))
    for line in (
        "echo x >> memory-bank/techContext.md",
        "rm -f memory-bank/techContext.md",
        "echo x > memory-bank/new.md",
        "mv memory-bank/techContext.md memory-bank/other.md",
        "rm -rf memory-bank/",
        "echo x >> memory-bank/sub/more.md",
    ):
        code, said = shell(project.worktree, line)
        assert code != 0, line
        assert "ermission denied" in said or "annot" in said
        assert texts(copy_of(project)) == before == texts(bank)
    assert shell(project.worktree, "cat memory-bank/techContext.md") == (0, "")
    remove_tree(str(project.state))
    assert not project.state.exists(), "who made it can remove it"


@pytest.mark.slow
def test_a_merge_is_published_at_once_and_what_else_changed_is_not(project: Project, bank: Path) -> None:
    copy.publish_merged(str(bank), str(project.state), ["techContext.md"])
    assert not copy_of(project).exists(), "no worktree looks there"
    publish(str(bank), str(project.state))
    (bank / "projectbrief.md").write_text("# Half")
    project("memory", "add", "--file", "techContext.md", "--content", "- a fact")
    project("memory", "merge")
    assert "- a fact" in (copy_of(project) / "techContext.md").read_text()
    assert (copy_of(project) / "projectbrief.md").read_text() == "# Brief\n"


# -- the leader's duty -------------------------------------------------------------------------------------------


@pytest.fixture
def keeper(project: Project, bank: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[CopyJob, list[float]]:
    root = project.queue.root
    now = [0.0]
    monkeypatch.setattr(root.clock, "monotonic", lambda: now[0])
    return CopyJob(root), now


def test_the_leader_publishes_what_kept_still(
    project: Project, bank: Path, keeper: tuple[CopyJob, list[float]]
) -> None:
    duty, now = keeper
    assert duty.run(1) == copy.SETTLE_SECONDS
    assert not copy_of(project).exists()
    now[0] = 2.0
    assert duty.run(1) is None
    first = copy_of(project).resolve()
    assert texts(first) == texts(bank)
    assert duty.run(1) is None
    assert copy_of(project).resolve() == first, "nothing changed"
    (bank / "techContext.md").write_text("# Ne")
    assert duty.run(1) == 2.0
    now[0] = 3.9
    (bank / "techContext.md").write_text("# New\n")
    assert duty.run(1) == 2.0
    now[0] = 5.9
    assert duty.run(1) is None
    assert (copy_of(project) / "techContext.md").read_text() == "# New\n"
    before = copy_of(project).resolve()
    for second in range(50):  # a document that is written all the time makes no copies
        now[0] = 10.0 + second
        (bank / "techContext.md").write_text(f"# {'x' * (second + 5)}\n")
        assert duty.run(1) == copy.SETTLE_SECONDS
    assert copy_of(project).resolve() == before
    now[0] += copy.SETTLE_SECONDS
    assert duty.run(1) is None
    last = texts(copy_of(project))
    assert last == texts(bank)
    shutil.rmtree(bank)
    assert duty.run(1) is None
    assert texts(copy_of(project)) == last, "a bank that is gone leaves the copy"


def test_a_document_that_is_written_all_the_time_holds_up_the_others_for_a_while(
    project: Project, bank: Path, keeper: tuple[CopyJob, list[float]]
) -> None:
    duty, now = keeper
    publish(str(bank), str(project.state))
    (bank / "projectbrief.md").write_text("# Ours\n")
    for now[0] in range(12):
        (bank / "techContext.md").write_text(f"# {'x' * (int(now[0]) + 5)}\n")
        again = duty.run(1)
    assert again == 2.0
    assert (copy_of(project) / "projectbrief.md").read_text() == "# Ours\n"
    assert (copy_of(project) / "techContext.md").read_text() == "# Tech\n"
