"""What stands for the model: it does what the conversation says, and knows no command of peercoord.

Commands are taken from what was told: by hooks, by the first prompt, by the output of commands before. A task says
which file to write, and on which others it builds. Whatever is forgotten in a compaction must be told again.
"""

from __future__ import annotations

import re

from agents.wires import Step

COMMAND = re.compile(r"(?:^|[\s`:])((?:\./|/)[\w./-]*\.sh(?: [^`\s<]*[^`\s<.,;])+)", re.MULTILINE)
MERGE = re.compile(r"\bgit merge [\w./-]*\w")
RUN = re.compile(r"Run `([^`]+)`")
PART = re.compile(r"Write parts/p(\d+)\.py(?:, which imports ([p\d, ]*\d))?")

Entries = list[tuple[str, str]]


def think(entries: Entries, *, goes_on: bool) -> Step:
    """Return the next step.

    Args:
        entries: The conversation, as `agents.wires.Asked` has it.
        goes_on: It asks for the next task by itself where a report names the command; else it ends its turn.
    """
    at, task = _last(entries, "done", PART)
    asked_at, request = _last(entries, "request")
    if task:
        ran = [text for kind, text in entries[at:] if kind == "ran"]
        plan = _work(entries[at][1], task)
        if left := [command for command in plan if command not in ran]:
            return Step(f"Step {len(plan) - len(left) + 1} of {len(plan)}.", left[0])
        reported = max(index for index, (_, text) in enumerate(entries) if text == task)
        if asked_at < reported or (not goes_on and asked_at == reported + 1):
            return Step("The task is done.")
    if request and ("ran", request) not in entries[asked_at:]:
        return Step("I ask for a task.", request)
    return Step("There is nothing to do.")


def _last(entries: Entries, words: str, more: re.Pattern[str] | None = None) -> tuple[int, str]:
    """Return where a command with these words was told last, and the command."""
    for index in range(len(entries) - 1, -1, -1):
        kind, text = entries[index]
        if kind in ("told", "came") and (more is None or more.search(text)):
            for command in reversed(COMMAND.findall(text)):
                if words in command:
                    return index, command
    return -1, ""


def _work(told: str, report: str) -> list[str]:
    """Return the commands that do the task of a text: merge what it builds on, write, try, commit, report."""
    found = PART.search(told)
    if found is None:
        return [report]
    number, needs = found.groups()
    lines = [f"from parts import {needs}"] if needs else []
    lines.append("VALUE = " + " + ".join([number, *(f"{one}.VALUE" for one in re.findall(r"p\d+", needs or ""))]))
    text = "".join(f"{line}\\n" for line in lines)
    return [
        *dict.fromkeys(MERGE.findall(told)),
        f"printf '{text}' > parts/p{number}.py",
        f"python3 -m parts.p{number}",
        f"git add parts/p{number}.py",
        f"git commit -q -m 'Part {number}'",
        *RUN.findall(told),
        report,
    ]
