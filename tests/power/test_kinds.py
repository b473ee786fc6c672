"""Each kind of file that a team has, as a power cut may leave it: empty, zeros, torn. One ``up``, and work goes on."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from power.mounts import kill_below

from peercoord.agent import client
from peercoord.cli import main as cli
from peercoord.integrations import hook
from peercoord.integrations.agents import CLAUDE
from peercoord.queue.queue import Queue
from peercoord.store import paths, records
from peercoord.store.root import open_root
from peercoord.worktree import context

TOLD = "told"  # flushed before anybody is told of it
REBUILT = "rebuilt"  # not flushed, another file has it
NOTE = "note"  # not flushed, and what it says may be lost
ID = r"[A-Za-z0-9][A-Za-z0-9._-]*"
SHARD, TICKET, DOCUMENT = r"[0-9a-f]{2}", rf"{ID}~\d+", rf"{ID}\.md"
PEER = rf"{ID}~\d+\.\w+"
MEMORY = paths.MEMORY


class Kind(NamedTuple):
    """A kind of file."""

    where: str  # a pattern of its path: in the coordination directory, or from ``git/`` or ``worktree/``
    sort: str


KINDS = {
    "protocol": Kind(r"protocol\.json", TOLD),
    "instance": Kind(rf"instances/{ID}\.json", TOLD),
    "session": Kind(rf"sessions/{ID}\.json", NOTE),
    "settings and script of hooks": Kind(r"hooks/(?!quiet/|fired-).+", TOLD),
    "marks of hooks": Kind(r"hooks/(quiet/.+|fired-\w+)", NOTE),
    "birth": Kind(rf"births/{SHARD}/{ID}\.json", TOLD),
    "definition": Kind(rf"tasks/{SHARD}/{ID}\.json", REBUILT),
    "peer": Kind(rf"peers/{PEER}/peer\.json", REBUILT),
    "assignment": Kind(rf"peers/{PEER}/assignments/{TICKET}\.json", NOTE),
    "result of an end that was told": Kind(rf"results/{SHARD}/{TICKET}\.(done|failed|released)\.json", TOLD),
    "result of an eviction": Kind(rf"results/{SHARD}/{TICKET}\.evicted\.json", NOTE),
    "report": Kind(rf"progress-reports/{ID}\.json", NOTE),
    "state": Kind(r"state\.json", REBUILT),
    "task_queue": Kind(r"task_queue\.json", REBUILT),
    "sync": Kind(r"sync\.json", NOTE),
    "contribution": Kind(rf"{MEMORY}/(queued|merged|rejected)/{ID}\.json", TOLD),
    "rejection": Kind(rf"{MEMORY}/rejected/{ID}\.why", TOLD),
    "candidate": Kind(rf"{MEMORY}/(candidates|approvals)/{ID}\.json", TOLD),
    "decision": Kind(rf"{MEMORY}/decisions/{ID}\.json", TOLD),
    "ledger": Kind(rf"{MEMORY}/ledger/{DOCUMENT}/{ID}\.(json|intent)", TOLD),
    "text": Kind(rf"{MEMORY}/texts/[0-9a-f]+", TOLD),
    "backup": Kind(rf"{MEMORY}/backups/{DOCUMENT}/[0-9a-f]+", TOLD),
    "last merge": Kind(rf"{MEMORY}/last-merge\.json", NOTE),
    "events": Kind(rf"events/{ID}\.jsonl(\.1)?", NOTE),
    "order": Kind(r"locks/order", REBUILT),
    "numbers": Kind(r"locks/numbers", TOLD),
    "schema": Kind(r"schemas/\w+\.schema\.json", TOLD),
    "what explains it": Kind(r"README\.md", TOLD),
    "ignore": Kind(r"(worktree/\.claude-instance/)?\.gitignore", TOLD),
    "team": Kind(r"git/peercoord/team\.json", TOLD),
    "worktree record": Kind(r"git/worktrees/[^/]+/peercoord\.json", TOLD),
    "info": Kind(r"worktree/\.claude-instance/info\.json", REBUILT),
    "agent": Kind(r"worktree/\.claude-instance/agent\.json", REBUILT),
    "progress": Kind(r"worktree/\.claude-instance/progress\.json", REBUILT),
    "what was written of progress": Kind(r"worktree/\.claude-instance/progress\.known\.json", REBUILT),
    "progress kept aside": Kind(r"worktree/\.claude-instance/progress\.json\.kept-.*", TOLD),
    "down": Kind(r"down\.json", TOLD),
    "script": Kind(r"worktree/\.claude-instance/coordinate\.sh", REBUILT),
    "request": Kind(rf"worktree/\.claude-instance/outbox/{ID}", NOTE),
    "answer": Kind(rf"worktree/\.claude-instance/inbox/{ID}\.answer", NOTE),
    "what requests name": Kind(r"worktree/\.claude-instance/inbox/current", REBUILT),
    "origin of a copy": Kind(rf"worktree/\.claude-instance/collected/{ID}", TOLD),
}
OTHERS = [
    rf"queue/.*|{PEER}/.*|peers/.*/(beat|leader)~.*|peers/.*/claims/.*|departed/.*|bell/ring|tmp/.*",
    r"locks/(intake|memory-bank|memory-copy|review)|memory-bank/.*|git/peercoord/(lock|taskmaster\.db.*)|quarantine/.*",
    r"worktree/\.claude-instance/(.*\.lock|agent\.log|setup\.log|memory-contributions/.*|inbox/(wake|.*\.door))",
]
"""Empty files, the database, which flushes for itself, and what holds no state, or none any more."""
LEFT: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "zeros": lambda whole: bytes(len(whole)),
    "torn": lambda whole: whole[: len(whole) // 2],
}
BANK = {
    "techContext.md": "# Tech context\n\n## Limits\n\nOne.\n",
    "projectbrief.md": "# Brief\n\nWhat it is for.\n",
    "progress.md": "# Progress\n",
}


def ask(at: Path, *words: str) -> Any:
    """Call the command line in this process; what it answers."""
    code, out, err = cli.serve([*words, "--json"], cli.Call(context.find(str(at))))
    assert code == 0, f"{words}: {code}\n{out.decode()}\n{err.decode()}"
    return json.loads(out)["data"]


def repository(main: Path) -> None:
    """Make a repository with a memory bank."""
    (main / "memory-bank").mkdir(parents=True)
    for name, text in BANK.items():
        (main / "memory-bank" / name).write_text(text)
    identity = ("-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "commit.gpgsign=false")
    for words in (("init", "-q", "-b", "main"), ("add", "-A"), ("commit", "-q", "-m", "first")):
        subprocess.run(["git", "-C", str(main), *identity, *words], check=True)


def without_git_variables(patch: pytest.MonkeyPatch) -> None:
    for key in (*(key for key in os.environ if key.startswith("GIT_")), "PEERCOORD_PROJECT"):
        patch.delenv(key, raising=False)


class Team:
    """A project with two instances that have worked."""

    def __init__(self, base: Path) -> None:
        self.main = base / "p"
        self.trees = [base / f"p-instance-{number}" for number in (1, 2)]
        repository(self.main)

    @property
    def state(self) -> Path:
        return self.main / paths.ROOT

    def __call__(self, at: Path, *words: str) -> Any:
        return ask(at, *words)

    def up(self) -> None:
        code, out, err = cli.serve(["up", str(self.main), "2", "--json"])
        assert code == 0, f"{out.decode()}\n{err.decode()}"

    def work(self) -> None:
        """Leave one file of every kind behind."""
        one, two = self.trees
        for number in range(1, 9):
            self(self.main, "task", "add", f"Task {number}", "-d", "x" * 300)
        self(self.main, "task", "edit", "8", "--title", "Edited")
        for tree, end in ((one, "done"), (two, "review"), (two, "failed")):
            task = str(self(tree, "request")["task_id"])
            self(tree, "report", task, "--status", end, "--reason", "so", "--achievement", "reached")
        for tree in self.trees:
            task = str(self(tree, "request")["task_id"])
            self(tree, "report", task, "--progress", "0.4")
        words = ("memory", "add", "--file", "techContext.md", "--section", "Tech context › Limits")
        self(one, *words, "--content", "- one fact.")
        aim = ("memory", "add", "--file", "projectbrief.md", "--section", "Brief", "--content")
        for number in (1, 2):
            self(one, *aim, f"- aim {number}.")
            self(self.main, "memory", "merge")
            waiting = self(self.main, "review", "list")["waiting"]
            how = ("reject", "--reason", "no") if number == 1 else ("approve",)
            self(self.main, "review", *how, waiting[0]["id"], "--as", "ann")
        self(one, *aim, "- aim 3.")
        self(self.main, "memory", "merge")
        self(self.main, "review", "list")
        self(two, *words, "--content", "- another fact.")
        for event in ("prompt", "tools"):
            hook.run(CLAUDE, event, {"session_id": "one"}, context.find(str(one)), {client.NO_AGENT: "1"})

    def kill(self) -> None:
        kill_below(self.main.parent)

    def files(self) -> dict[str, list[Path]]:
        """Every file of the team, by the kind that it is of."""
        found: dict[str, list[Path]] = {kind: [] for kind in KINDS}
        homes = [(self.state, ""), (self.main / ".git" / "peercoord", "git/peercoord/")]
        homes += [(self.main / ".git" / "worktrees", "git/worktrees/")]
        homes += [(tree / paths.INSTANCE, "worktree/.claude-instance/") for tree in self.trees]
        for home, prefix in homes:
            for path in sorted(path for path in home.rglob("*") if not path.is_dir()):
                shown = prefix + str(path.relative_to(home))
                kind = next((name for name, kind in KINDS.items() if re.fullmatch(kind.where, shown)), "")
                if kind:
                    found[kind].append(path)
                elif prefix != "git/worktrees/":  # the others there are git's
                    assert any(re.fullmatch(other, shown) for other in OTHERS), f"{shown} is of no kind that is known"
        return found

    def check(self) -> None:
        """Assert that one ``up`` is enough: every instance gets a task, and the doctor finds nothing bad."""
        self.up()
        for number in (1, 2):
            self(self.main, "task", "add", f"More {number}")
        for tree in self.trees:
            claimed = self(tree, "request")
            assert "task_id" in claimed, claimed
            self(tree, "report", str(claimed["task_id"]), "--status", "done")
        self(self.main, "memory", "merge")
        assert not bad(self.main)


def bad(project: Path) -> list[str]:
    """What the doctor finds bad; but for a sync that the leader of before began, which the one of now does again."""
    _, out, _ = cli.serve(["doctor", "--json"], cli.Call(context.find(str(project))))
    checks = [check for check in json.loads(out)["data"]["checks"] if check["state"] == "bad"]
    return [check["text"] for check in checks if not (check["check"] == "sync" and "is over" in check["text"])]


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    with pytest.MonkeyPatch.context() as patch:
        without_git_variables(patch)
        made = Team(tmp_path_factory.mktemp("team"))
        made.up()
        try:
            made.work()
            yield made
        finally:
            made.kill()


@pytest.mark.slow
def test_after_the_loss_of_unflushed_files_one_up_is_enough(team: Team) -> None:
    """As after a real power cut: all of it at once."""
    team.kill()
    lost = [path for kind, paths in team.files().items() if KINDS[kind].sort != TOLD for path in paths]
    missing = {kind for kind, paths in team.files().items() if not paths and KINDS[kind].sort != TOLD}
    assert missing <= {"result of an eviction", "request", "answer"}
    for path in lost:
        path.write_bytes(b"")
    team.check()
    tasks = {str(task["task_id"]): task for task in team(team.main, "task", "list")["tasks"]}
    queue = Queue(open_root(str(team.state)))
    assert tasks.keys() >= {str(number) for number in range(1, 9)}
    assert sorted(queue.survey()) == sorted(queue.all_tasks())
    assert not [task for task in tasks.values() if task["status"] == "unreadable"]
    assert "- one fact.\n" in (team.main / "memory-bank" / "techContext.md").read_text()
    assert "- another fact.\n" in (team.main / "memory-bank" / "techContext.md").read_text()
    assert "- aim 2.\n" in (team.main / "memory-bank" / "projectbrief.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "how"),
    [(kind, how) for kind in KINDS for how in ("empty" if KINDS[kind].sort == TOLD else "zeros", "torn")],
)
def test_one_kind_is_lost_and_one_up_is_enough(team: Team, kind: str, how: str) -> None:
    """Also one that is flushed, and so is never found like this."""
    team.kill()
    paths = team.files()[kind]
    for path in paths:
        path.write_bytes(LEFT[how](path.read_bytes()))
    team.check()
    for path in paths:
        at_once = kind in ("peer", "info", "agent", "progress")  # views by the leader's next turn, others when needed
        if at_once and path.exists():
            assert records.decode(path.read_bytes(), str(path))
