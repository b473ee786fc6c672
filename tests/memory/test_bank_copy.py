"""The copy of the memory bank that worktrees see: whole, without any right to write, and never far behind (MEM-19)."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from support.project import Project, project

from peercoord.memory.copy import SETTLE_SECONDS, CopyJob, look, publish, publish_merged, target
from peercoord.store import paths
from peercoord.system.disk import remove_tree

__all__ = ["project"]


class Bank:
    """A memory bank, and its copy."""

    def __init__(self, project: Project) -> None:
        self.path, self.state = project.main / paths.BANK, project.state
        self.copy = Path(target(str(project.state)))
        for name, text in (("techContext.md", "# Tech\n"), ("projectbrief.md", "# Brief\n"), ("sub/more.md", "# M\n")):
            self.write(name, text)

    def write(self, name: str, text: str) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def publish(self, *unsettled: str) -> bool:
        return publish(str(self.path), str(self.state), set(unsettled))

    def texts(self) -> dict[str, str]:
        """What the copy has."""
        return {path: (self.copy / path).read_text() for path in look(str(self.copy))}

    def mode(self, name: str = ".") -> int:
        return stat.S_IMODE((self.copy / name).stat().st_mode)


@pytest.fixture
def bank(project: Project) -> Bank:
    return Bank(project)


def test_a_copy_is_the_bank_without_any_right_to_write(bank: Bank) -> None:
    bank.write("private.md", "x").chmod(0o600)
    bank.write(".hidden.md", "x")
    (bank.path / "link.md").symlink_to("/etc/passwd")
    os.mkfifo(bank.path / "pipe.md")
    assert bank.publish()
    assert not bank.publish(), "it is the same"
    whole = {"techContext.md": "# Tech\n", "projectbrief.md": "# Brief\n", "sub/more.md": "# M\n", "private.md": "x"}
    assert bank.texts() == whole
    assert {name: bank.mode(name) for name in (".", "sub", "private.md")} == {
        ".": 0o555,
        "sub": 0o555,
        "private.md": 0o400,
    }
    assert {bank.mode(name) for name in whole if name != "private.md"} == {0o444}
    assert list(bank.state.glob("memory-bank/.*")) == []


def test_a_new_copy_replaces_the_last_one_whole_and_shares_what_did_not_change(bank: Bank) -> None:
    bank.publish()
    first = bank.copy.resolve()
    reader = os.open(first / "techContext.md", os.O_RDONLY)
    bank.write("techContext.md", "# New\n")
    (bank.path / "sub" / "more.md").unlink()
    bank.publish()
    second = bank.copy.resolve()
    assert (second != first, bank.texts()) == (True, {"techContext.md": "# New\n", "projectbrief.md": "# Brief\n"})
    assert (second / "projectbrief.md").samefile(first / "projectbrief.md")
    assert os.read(reader, 100) == b"# Tech\n", "a reader goes on in what it opened"
    os.close(reader)
    bank.write("techContext.md", "# Newer\n")
    bank.publish()
    assert (first.exists(), second.exists()) == (False, True), "of those before, one stays"


@pytest.mark.parametrize("kind", ["", "no links", "writable"])
def test_what_is_being_written_stays_as_it_was_and_holds_up_no_other(
    bank: Bank, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*given: object, **more: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "no links")

    bank.publish()
    if kind == "no links":
        monkeypatch.setattr(os, "link", refuse)
    elif kind == "writable":
        (bank.copy / "techContext.md").chmod(0o644)
    for name, text in (("techContext.md", "# Te"), ("new.md", "# N"), ("projectbrief.md", "# Ours\n")):
        bank.write(name, text)
    assert bank.publish("techContext.md", "new.md")
    assert bank.texts() == {"techContext.md": "# Tech\n", "projectbrief.md": "# Ours\n", "sub/more.md": "# M\n"}
    assert bank.mode("techContext.md") == 0o444


def test_a_private_bank_has_a_private_copy(bank: Bank) -> None:
    bank.path.chmod(0o700)
    bank.publish()
    assert (bank.mode(), bank.mode("sub")) == (0o500, 0o555)
    for name, mode in ((".", 0o755), ("sub", 0o750), ("techContext.md", 0o600)):
        (bank.path / name).chmod(mode)
    assert bank.publish(), "modes alone changed"
    assert [bank.mode(name) for name in (".", "sub", "techContext.md")] == [0o555, 0o550, 0o400]
    assert not bank.publish(), "it is the same"


def test_an_edit_that_puts_the_time_back_is_published(bank: Bank) -> None:
    bank.publish()
    before = (bank.path / "techContext.md").stat()
    os.utime(bank.write("techContext.md", "# Hcet\n"), ns=(before.st_atime_ns, before.st_mtime_ns))
    assert bank.publish()
    assert bank.texts()["techContext.md"] == "# Hcet\n"


@pytest.mark.parametrize("kind", ["changed", "removed", "writable"])
def test_a_change_of_the_copy_is_undone_and_reaches_no_bank(bank: Bank, kind: str) -> None:
    bank.publish()
    victim = bank.copy / "techContext.md"
    victim.parent.chmod(0o755)
    victim.chmod(0o644)
    if kind == "changed":
        victim.write_text("# Forged\n")
    elif kind == "removed":
        victim.unlink()
    else:
        bank.write("projectbrief.md", "# Ours\n")
    assert bank.publish()
    assert bank.texts()["techContext.md"] == (bank.path / "techContext.md").read_text() == "# Tech\n"
    assert bank.mode("techContext.md") == 0o444


SETPRIV = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")


def shell(at: Path, line: str) -> tuple[int, str]:
    """Run a line in a shell for which modes hold; root has a capability less for that."""
    user = SETPRIV if os.geteuid() == 0 else ()
    done = subprocess.run([*user, "sh", "-c", line], cwd=at, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="modes do not hold for root")
def test_a_plain_shell_in_a_worktree_is_refused(project: Project, bank: Bank) -> None:
    bank.publish()
    (project.worktree / paths.BANK).symlink_to(bank.copy)
    before = bank.texts()
    for line in (
        "echo x >> memory-bank/techContext.md",
        "rm -f memory-bank/techContext.md",
        "echo x > memory-bank/new.md",
        "mv memory-bank/techContext.md memory-bank/other.md",
        "rm -rf memory-bank/",
        "echo x >> memory-bank/sub/more.md",
    ):
        code, said = shell(project.worktree, line)
        assert (code != 0, "ermission denied" in said or "annot" in said) == (True, True), line
        assert bank.texts() == before
    assert shell(project.worktree, "cat memory-bank/techContext.md") == (0, "")
    remove_tree(str(bank.state))
    assert not bank.state.exists(), "who made it can remove it"


@pytest.mark.slow
def test_a_merge_is_published_at_once_and_what_else_changed_is_not(project: Project, bank: Bank) -> None:
    publish_merged(str(bank.path), str(bank.state), ["techContext.md"])
    assert not bank.copy.exists(), "no worktree looks there"
    bank.publish()
    bank.write("projectbrief.md", "# Half")
    project("memory", "add", "--file", "techContext.md", "--content", "- a fact")
    project("memory", "merge")
    assert "- a fact" in bank.texts()["techContext.md"]
    assert bank.texts()["projectbrief.md"] == "# Brief\n"


# -- the leader's duty -------------------------------------------------------------------------------------------


class Duty:
    """The leader's job, on a clock that the test moves."""

    def __init__(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(project.queue.root.clock, "monotonic", lambda: self.now)
        self.job = CopyJob(project.queue.root)

    def at(self, now: float) -> float | None:
        """Run the job; return in how many seconds it wants to run again."""
        self.now = now
        return self.job.run(1)


@pytest.fixture
def duty(project: Project, monkeypatch: pytest.MonkeyPatch) -> Duty:
    return Duty(project, monkeypatch)


def test_the_leader_publishes_what_kept_still(bank: Bank, duty: Duty) -> None:
    assert (duty.at(0.0), bank.copy.exists()) == (SETTLE_SECONDS, False)
    assert (duty.at(2.0), bank.texts()["techContext.md"]) == (None, "# Tech\n")
    first = bank.copy.resolve()
    assert (duty.at(2.0), bank.copy.resolve()) == (None, first), "nothing changed"
    bank.write("techContext.md", "# Ne")
    assert duty.at(2.0) == 2.0
    bank.write("techContext.md", "# New\n")
    assert [duty.at(3.9), duty.at(5.9)] == [2.0, None]
    assert bank.texts()["techContext.md"] == "# New\n"
    before = bank.copy.resolve()
    for second in range(50):  # a document that is written all the time makes no copies
        bank.write("techContext.md", f"# {'x' * (second + 5)}\n")
        assert duty.at(10.0 + second) == SETTLE_SECONDS
    assert bank.copy.resolve() == before
    assert duty.at(59.0 + SETTLE_SECONDS) is None
    last = bank.texts()
    assert last["techContext.md"] == (bank.path / "techContext.md").read_text()
    shutil.rmtree(bank.path)
    assert (duty.at(80.0), bank.texts()) == (None, last), "a bank that is gone leaves the copy"


def test_a_document_that_is_written_all_the_time_holds_up_the_others_for_a_while(bank: Bank, duty: Duty) -> None:
    bank.publish()
    bank.write("projectbrief.md", "# Ours\n")
    for second in range(12):
        bank.write("techContext.md", f"# {'x' * (second + 5)}\n")
        again = duty.at(float(second))
    assert again == 2.0
    assert (bank.texts()["projectbrief.md"], bank.texts()["techContext.md"]) == ("# Ours\n", "# Tech\n")
