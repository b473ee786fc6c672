"""Boards made up for screens: a team at work, a team with hostile and international texts, an empty one, a done one."""

from __future__ import annotations

from typing import Any

from peercoord.membership import liveness
from peercoord.queue.placement import Location
from peercoord.status import views
from peercoord.status.views import Board, PeerView, Row
from peercoord.store import records

NOW = "2026-01-31T15:30:00Z"
HOSTILE = "\x1b[2J\x1b]0;owned\x07\u202eevil\u2066\n\nNEEDS YOU (0)\x9b31m <b>&amp; [bold red]x[/] \U000e0041"
LONG = "Rewrite the importer so that it accepts " + "every list there ever was and " * 9
TITLES = (
    "データベースの設計を見直す（本番環境のスキーマを含む）",
    "👩‍👩‍👧 Family plan 🇩🇪 checkout ⚠️ flow",
    "תכנון מסד הנתונים (API v2)",
    "e\u0301tude: cafe\u0301 — naïve ﬁle handling",
    LONG,
    HOSTILE,
)


def at(minutes: float) -> str:
    """A moment so many minutes before now."""
    seconds = int(15 * 3600 + 30 * 60 - minutes * 60)
    return f"2026-01-31T{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}Z"


def row(task: str, title: str, state: str, detail: str = "", **more: Any) -> Row:
    raw: dict[str, Any] = {"title": title}
    if reason := more.pop("reason", ""):
        raw["parked"] = {"why": detail, "reason": reason, "by": "instance-2", "at": at(6)}
    needed = more.pop("needed", [])
    definition = records.Definition(task, more.pop("level", 2), needed, more.pop("steps", []), raw)
    detail = f"{more['holder']}~1.aaaaaa" if "holder" in more else detail
    if "holder" in more:
        more["entry"] = {"progress": more.pop("progress", 0.4), "updated_at": at(2)}
        more["assignment"] = {"assigned_at": at(41), "epoch": 1}
    return Row(task, definition, Location(task, state, detail, 1, ""), **more)


def peer(number: int, **more: Any) -> PeerView:
    name = more.pop("name", f"instance-{number}")
    record = {"worktree": f"/code/app-{number}", "branch": f"team/{name}", "host": "a-host", **more.pop("record", {})}
    verdict = liveness.Verdict(more.pop("state", liveness.ALIVE), more.pop("because", "its agent runs"))
    kind = {"session": views.RUNS, "active": at(0.2), **more}
    return PeerView(name, f"{name}~1.aaaaaa", record, at(0.1), number == 1, verdict, **kind)


def said(state: str, minutes: float, why: str = "", **more: Any) -> dict[str, Any]:
    return {"state": state, "since": at(minutes), "why": why, "agent": "claude", **more}


def memory(pending: int = 0, conflicts: int = 0, queued: int = 0) -> dict[str, Any]:
    return {"pending": pending, "conflicts": conflicts, "queued": queued, "last_merge": at(2)}


def at_work() -> Board:
    """Five instances, each in another state; one task of each state."""
    finished = row("2", "Research", "done", finished_by="instance-3")
    rows = [
        row("1", "Project Setup", "claimed", holder="instance-1", progress=0.7),
        finished,
        row("3", "API Design", "claimed", holder="instance-2", level=0, needed=["2"]),
        row("4", "Docs", "ready", level=4),
        row("5", "Load test", "claimed", holder="instance-5", progress=0.95),
        row("9", "Login page", "ready", last={"peer": "instance-4", "at": at(3), "lost": True, "reason": "killed"}),
        row("14", "Pricing rules", "parked", "blocked", reason="needs a decision on pricing, monthly or by seat"),
        row("15", "Release notes", "waiting", "3", needed=["3", "14"], level=1),
        row("16", "Old idea", "parked", "cancelled"),
    ]
    peers = [
        peer(1),
        peer(2, said=said("needs permission", 4, "Bash: npm publish")),
        peer(3, waits=True, last=finished),
        peer(5, said=said("rate limited", 10, until=at(-30))),
    ]
    lost = [peer(4, state=liveness.DEAD, because="instance-1 evicted it", session=views.ENDED, gone=at(2))]
    conflict = {"conflict": True, "file": "techContext.md", "section": ["Tools"], "made_at": at(3), "why": ""}
    synced = {"ok": True, "last_ok": at(5)}
    return Board("my-app", at(900), NOW, rows, peers, memory(1, 1, 3), lost=lost, deciding=[conflict], synced=synced)


def foreign() -> Board:
    """Everything that an agent or another list may name, in hostile and international words."""
    rows = [
        row(str(number), title, "claimed", holder=f"instance-{number}", progress=number / 7)
        for number, title in enumerate(TITLES, 1)
    ]
    rows.append(row("7", HOSTILE, "parked", "blocked", reason=HOSTILE * 3))
    rows.append(row("8", LONG, "parked", "review", reason=LONG))
    rows.append(row("9", TITLES[0] * 4, "parked", "failed", last={"peer": "instance-1", "reason": TITLES[0] * 9}))
    words = ("working", "needs permission", "asks a question", "turn failed", "rate limited", "idle")
    peers = [
        peer(number, said=said(word, number, (HOSTILE, LONG, *TITLES)[number]), record={"branch": f"team/{HOSTILE}"})
        for number, word in enumerate(words, 1)
    ]
    long = peer(7, name="instance-" + "x" * 40, state=liveness.SUSPECT, because=HOSTILE)
    conflict = {"conflict": False, "file": HOSTILE, "section": [LONG, TITLES[2]], "made_at": "x", "why": HOSTILE}
    synced = {"ok": False, "database": HOSTILE, "message": LONG, "at": HOSTILE, "refused": [{"what": HOSTILE}]}
    return Board(HOSTILE, NOW, NOW, rows, [*peers, long], memory(), deciding=[conflict], synced=synced)


def empty() -> Board:
    return Board("my-app", NOW, NOW, [], [], memory())


def done() -> Board:
    rows = [row("1", "One", "done", finished_by="instance-1"), row("2", "Two", "done")]
    return Board("my-app", NOW, NOW, rows, [peer(1, last=rows[0], active=at(4))], memory())


BOARDS = {"at-work": at_work, "foreign": foreign, "empty": empty, "done": done}
BRANCHES = {
    "team/instance-1": "3 ahead of main",
    "team/instance-2": "5 ahead of main, 2 behind, would conflict in src/api/routes/very/deep/api.py and 3 more",
    f"team/{HOSTILE}": f"1 ahead of main, would conflict in {HOSTILE}",
}
