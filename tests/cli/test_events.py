"""What happened, in sentences: chosen by time, instance and task, and followed while it happens."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.project import Project, project, second

from peercoord.cli.events import _since
from peercoord.errors import UsageError
from peercoord.status.sentences import Tail
from peercoord.store import paths, records
from peercoord.system import clock

__all__ = ["project", "second"]


def said(project: Project, *words: str) -> list[str]:
    code, out, err = project("events", *words)
    assert code == 0, err
    return [line.partition("  ")[2] for line in out.splitlines()]


def test_events_are_chosen(project: Project, second: Path) -> None:
    project("task", "add", "One")
    project("task", "add", "Two")
    project("request-task")
    project("request-task", at=second)
    assert said(project, "--last", "2", "--peer", "two") == ["two joined", "two claimed #2"]
    assert len(said(project, "--last", "1")) == 1
    assert said(project, "--peer", "one") == ["one added #1", "one added #2", "one joined", "one claimed #1"]
    assert said(project, "--task", "1") == ["one added #1", "one claimed #1"]
    assert said(project, "--since", "1h", "--task", "#2", "--peer", "two") == ["two claimed #2"]
    assert said(project, "--since", "2999-01-01") == []
    assert [event["event"] for event in project.data("events", "--task", "2")["events"]] == ["added", "claimed"]


@pytest.mark.parametrize(
    ("word", "seconds"), [("90s", 90), ("30m", 1800), ("1h", 3600), ("2 d", 172800), ("999999999d", None)]
)
def test_a_time_ago(word: str, seconds: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_800_000_000.0)
    assert _since(word) == clock.moment(1_800_000_000 - seconds if seconds else 0)


def test_a_time_of_this_place() -> None:
    local = time.strftime("%Y-%m-%d %H:%M", time.localtime(1_800_000_000))
    assert _since(local) == clock.moment(1_800_000_000)
    assert _since("2026-01-31T15:30:00Z") == "2026-01-31T15:30:00Z"
    for word in ("yesterday", "1w", "-1h", "12", "\x1b[2J"):
        with pytest.raises(UsageError, match="is no time"):
            _since(word)


def test_each_event_is_read_once_also_when_its_file_is_moved_aside(project: Project) -> None:
    files, tail = project.queue.files, Tail(project.queue.files)

    def log(*names: str) -> None:
        for name in names:
            files.append(paths.events("one"), records.encode_line({"at": "2026-01-31T15:30:00Z", "event": name}))

    def new() -> list[str]:
        return sorted(event["event"] for event in tail.new())

    log("a", "b")
    assert (new(), new()) == (["a", "b"], [])
    files.append(paths.events("one"), b'{"event": "half')
    assert new() == []
    files.append(paths.events("one"), b' written"}\nnot json\n')
    log("c")
    files.move(paths.events("one"), f"{paths.events('one')}.1")
    log("d")
    assert new() == ["c", "d", "half written"]
    assert new() == []


def test_an_end_that_several_peers_noted_is_told_once(project: Project) -> None:
    """All of them sweep a departed peer; the same task may be taken from the same instance again later."""
    tail = Tail(project.queue.files)
    taken = {"at": "2026-01-31T15:30:00Z", "event": "evicted", "task": "1", "epoch": 1, "incarnation": "two~1.aaaaaa"}
    for peer, more in (("one", {}), ("three", {}), ("one", {"epoch": 2})):
        project.queue.files.append(paths.events(peer), records.encode_line({**taken, "peer": peer, **more}))
    assert sorted(event["epoch"] for event in tail.new()) == [1, 2]
    project.queue.files.append(paths.events("four"), records.encode_line({**taken, "peer": "four"}))
    assert tail.new() == [], "nor when it is noted later"


@pytest.mark.slow
def test_what_happens_is_followed(project: Project) -> None:
    project("task", "add", "One")
    words = [sys.executable, "-m", "peercoord", "events", "--follow", "--task", "2"]
    with subprocess.Popen(words, cwd=project.main, stdout=subprocess.PIPE, text=True) as followed:
        assert followed.stdout is not None
        project("task", "add", "Two")
        assert followed.stdout.readline().endswith("  one added #2\n")
        project("task", "add", "Three")
        project("request-task")
        project("task", "edit", "2", "--priority", "high")
        assert followed.stdout.readline().endswith("  one edited priority of #2\n")
        followed.stdout.close()
        project("task", "edit", "2", "--priority", "low")
        assert followed.wait(60) == 0, "its reader has gone"
