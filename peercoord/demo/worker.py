"""A scripted worker: what a coding agent does in its worktree, and nothing it could not do.

It knows only ``./.claude-instance/coordinate.sh`` and git. Run as ``python worker.py PAUSE`` in a worktree; it works
until every task of the project is done.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

NOTHING_READY = 4
SHELL = "./.claude-instance/coordinate.sh"
DOCUMENT = "techContext.md"
IDENTITY = ("-c", "user.name=worker", "-c", "user.email=worker@localhost", "-c", "commit.gpgsign=false")


def call(*words: str) -> tuple[int, Any]:
    """Call ``coordinate.sh``; return its exit code and data."""
    done = subprocess.run([SHELL, *words, "--json"], capture_output=True, text=True, check=False)
    try:
        return done.returncode, json.loads(done.stdout).get("data", {})
    except ValueError:
        sys.stderr.write(f"{' '.join(words)}: exit {done.returncode}: {done.stdout}{done.stderr}\n")
        return done.returncode or 1, {}


def insight(task: str, title: str) -> str:
    """Return the line that a worker adds to the memory bank."""
    return f"- Task {task}: {title}"


def work_on(task: dict[str, Any], pause: float) -> None:
    """Do a task: write a file, commit it, report on the way, complete it."""
    number, title = str(task["task_id"]), task["title"]
    for share in ("0.3", "0.6", "0.9"):
        time.sleep(pause)
        if call("report-progress", number, "--progress", share)[0]:
            return  # another instance holds it now
    with open(f"task-{number}.md", "w", encoding="utf-8") as handle:
        handle.write(f"# {title}\n\nDone.\n")
    subprocess.run(["git", "add", "-A"], check=True)
    subprocess.run(["git", *IDENTITY, "commit", "-q", "-m", f"Task {number}: {title}"], check=True)
    call("update-memory", "--file", DOCUMENT, "--section", "Tools", "--content", insight(number, title))
    call("report-progress", number, "--status", "done", "--achievement", f"{title} written")


def main() -> None:
    """Work until all is done."""
    pause = float(sys.argv[1])
    while True:
        code, answer = call("request-task")
        if code == 0 and answer.get("finished"):
            return
        if code not in (0, NOTHING_READY):
            raise SystemExit(code)
        if code == 0:
            work_on(answer, pause)
        else:
            time.sleep(pause)


if __name__ == "__main__":
    main()
