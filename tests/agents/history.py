"""What the events of a team show of its sessions."""

from __future__ import annotations

from typing import Any


def idle_while_ready(history: list[dict[str, Any]], peer: str, needs: dict[int, list[int]]) -> list[str]:
    """Return the tasks that others took and finished while a session had none, although another one was ready."""
    done: set[str] = set()
    held: dict[str, str] = {}
    others: dict[str, set[str]] = {}  # what others took while it had none, with what it could have taken
    found = []
    for event in history:
        kind, who, task = event["event"], event.get("peer"), event.get("task", "")
        if kind == "claimed":
            held[task] = who
            others = {} if who == peer else {one: ready - {task} for one, ready in others.items()}
            if who != peer and peer not in held.values() and done:
                ready = {str(one) for one, before in needs.items() if {*map(str, before)} <= done}
                others[task] = ready - done - set(held)
        elif kind in ("done", "released"):
            held.pop(task, None)
            if kind == "done":
                done.add(task)
                found += [task] if others.pop(task, None) else []
    return found
