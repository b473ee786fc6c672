"""For tests: a team of real agents on a real repository, by the commands of a person."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from support import answers

from peercoord.cli import main as cli
from peercoord.membership import membership as members
from peercoord.membership import signals
from peercoord.store import paths
from peercoord.store import root as roots
from peercoord.team import agents

MOST = 4  # instances that a test makes


class Team:
    def __init__(self, repo: Path, count: int) -> None:
        self.repo = repo
        assert self("up", repo, count)[0] == 0

    def __call__(self, *words: object) -> tuple[int, Any, str]:
        """Exit code, data or error, and what was told; the answer is held against its schema."""
        code, out, err = cli.serve([*map(str, words), "--json"])
        answer = answers.read(out.decode(), *map(str, words))
        return code, answer["data"] if "data" in answer else answer["error"], err.decode()

    def person(self, *words: object) -> tuple[int, Any, str]:
        """Call a command in the main checkout."""
        return self("-C", self.repo, *words)

    def data(self, *words: object) -> Any:
        code, data, err = self.person(*words)
        assert code == 0, (data, err)
        return data

    def tree(self, number: int) -> Path:
        return self.repo.with_name(f"{self.repo.name}-instance-{number}")

    def own(self, number: int, name: str) -> Path:
        return self.tree(number) / paths.INSTANCE / name

    def script(self, *words: str, at: Path | None = None) -> subprocess.CompletedProcess[str]:
        script = "./.claude-instance/coordinate.sh"
        return subprocess.run([script, *words], cwd=at or self.tree(1), capture_output=True, text=True, check=False)

    def living(self) -> list[str]:
        return [who.peer for who in members.living(roots.open_root(str(self.repo / paths.ROOT)))]

    def running(self) -> list[str]:
        trees = {str(self.tree(number)): f"instance-{number}" for number in range(1, MOST)}
        return sorted(trees[one["worktree"]] for one in signals.visible(set(trees)))

    def close(self) -> None:
        around = {str(path) for path in self.repo.parent.iterdir()}
        agents.end(signals.visible(around))
