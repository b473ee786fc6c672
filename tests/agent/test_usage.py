"""What sessions used for each task: read from their own files, noted where it is known, and nowhere else."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from agent.crew import crew
from integrations.coder import Coder

from peercoord.agent import transcripts, usage
from peercoord.agent.transcripts import Transcript, is_named_so
from peercoord.agent.usage import AGAIN_SECONDS, UsageWatch
from peercoord.queue.reassign import reassign
from peercoord.status.board import Reader
from peercoord.store import paths, records, session_records
from peercoord.system import clock
from peercoord.worktree.call import WorktreeCall
from protocol import document

IDENT = "7f979666-11c0-4ca3-87d1-42bf6226062b"
BEGAN, ENDED = "2026-01-31T15:00:00Z", "2026-01-31T16:00:00Z"
Line = Callable[..., str]


def claude(at: str, read: Any, wrote: Any, ident: str = "") -> str:
    used = {"input_tokens": read, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}
    message = {"id": ident or f"msg_{at}", "usage": {**used, "output_tokens": wrote}}
    return json.dumps({"type": "assistant", "timestamp": at, "message": message})


def codex(at: str, read: Any, wrote: Any) -> str:
    total = {"input_tokens": read, "cached_input_tokens": 5, "output_tokens": wrote}
    told = {"type": "token_count", "info": {"total_token_usage": total, "last_token_usage": total}}
    return json.dumps({"timestamp": at, "type": "event_msg", "payload": told})


def gemini(at: str, read: Any, wrote: Any, ident: str = "") -> str:
    tokens = {"input": read, "output": wrote, "cached": 5, "thoughts": 1, "tool": 2}
    return json.dumps({"id": ident or at, "timestamp": at, "type": "gemini", "tokens": tokens})


def at(minute: int) -> str:
    return f"2026-01-31T15:{minute:02}:30.123Z"


class TestFiles:
    def file(self, tmp_path: Path, agent: str, *lines: str) -> Transcript:
        path = tmp_path / "transcript.jsonl"
        path.write_text("".join(f"{line}\n" for line in lines))
        found = Transcript(str(path), agent)
        assert found.follow()
        return found

    def test_an_answer_of_several_lines_counts_once(self, tmp_path: Path) -> None:
        lines = [claude(at(1), 10, 1, "a"), claude(at(2), 10, 20, "a"), claude(at(3), 30, 5, "b")]
        other = ['{"type": "user", "message": {"usage": 7}}', '{"usage": []}', "[1]", '{"type": "assistant", "usage']
        found = self.file(tmp_path, "claude", *lines, *other[:2])
        assert found.used(BEGAN, ENDED) == (2, 40, 25)
        assert found.used(at(1)[:19] + "Z", ENDED) == (1, 30, 5), "an answer counts at its beginning"
        assert found.used(BEGAN, at(1)[:19] + "Z") == (1, 10, 20)

    def test_what_was_read_from_a_cache_went_in(self, tmp_path: Path) -> None:
        said = json.loads(claude(at(1), 10, 1))
        said["message"]["usage"] |= {"cache_read_input_tokens": 4000, "cache_creation_input_tokens": 500}
        assert self.file(tmp_path, "claude", json.dumps(said)).used(BEGAN, ENDED) == (1, 4510, 1)

    def test_codex_says_sums_and_says_them_twice(self, tmp_path: Path) -> None:
        lines = [codex(at(1), 100, 10), codex(at(2), 150, 30), codex(at(3), 150, 30), codex(at(4), 200, 40)]
        found = self.file(tmp_path, "codex", *lines, '{"payload": {"type": "token_count", "info": null}}')
        assert found.used(BEGAN, ENDED) == (3, 200, 40)
        assert found.used(at(1)[:19] + "Z", at(3)[:19] + "Z") == (1, 50, 20)

    def test_gemini_says_an_answer_again_when_its_tools_ran(self, tmp_path: Path) -> None:
        lines = [gemini(at(1), 100, 10, "a"), gemini(at(1), 100, 10, "a"), gemini(at(2), 150, 20)]
        assert self.file(tmp_path, "gemini", *lines).used(BEGAN, ENDED) == (2, 254, 32)

    @pytest.mark.parametrize("count", [-1, 1.5, "7", None, True, [], 10**12, float("inf")])
    @pytest.mark.parametrize("line", [claude, codex, gemini])
    def test_a_count_that_makes_no_sense_leaves_all_unknown(self, tmp_path: Path, line: Line, count: object) -> None:
        found = self.file(tmp_path, line.__name__, line(at(1), 10, 10), line(at(2), count, 20))
        assert found.used(BEGAN, ENDED) is None

    @pytest.mark.parametrize("stamp", ["", "yesterday", "2026-01-31T15:10:00", "2026-01-31T15:10:00+01:00", 7])
    def test_an_answer_without_a_time_leaves_all_unknown(self, tmp_path: Path, stamp: Any) -> None:
        assert self.file(tmp_path, "claude", claude(stamp, 10, 10)).used(BEGAN, ENDED) is None

    def test_a_file_is_read_on_as_it_grows_and_again_when_it_is_another(self, tmp_path: Path) -> None:
        found = self.file(tmp_path, "claude", claude(at(1), 10, 1))
        path = Path(found.path)
        with path.open("a") as file:
            file.write(claude(at(2), 20, 2)[:40])
            file.flush()
            assert found.follow()
            assert found.used(BEGAN, ENDED) == (1, 10, 1), "a line that is half written waits"
            file.write(claude(at(2), 20, 2)[40:] + "\n")
        assert found.follow()
        assert found.used(BEGAN, ENDED) == (2, 30, 3)
        path.unlink()
        assert found.follow()
        assert found.used(BEGAN, ENDED) is None
        path.write_text(claude(at(3), 5, 5) + "\n")
        assert found.follow()
        assert found.used(BEGAN, ENDED) == (1, 5, 5)

    def test_a_large_file_is_read_in_parts_and_only_its_end(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        image = json.dumps({"type": "user", "image": "x" * 3000})
        lines = [claude(at(minute), 10, 1) for minute in range(10)]
        path = tmp_path / "transcript.jsonl"
        path.write_text("\n".join([*lines[:5], image, *lines[5:]]) + "\n")
        monkeypatch.setattr(transcripts, "PART_BYTES", 500)
        found = Transcript(str(path), "claude")
        parts = 1
        while not found.follow():
            parts += 1
        assert parts > 10
        assert found.used(BEGAN, ENDED) == (10, 100, 10)
        monkeypatch.setattr(transcripts, "FIRST_BYTES", len("\n".join(lines[5:])) - 20)
        found = Transcript(str(path), "claude")
        while not found.follow():
            pass
        assert found.used(at(6)[:19] + "Z", ENDED) == (3, 30, 3)
        assert found.used(BEGAN, ENDED) is None, "what was not read may have used more"

    def test_of_a_file_that_grew_by_very_much_only_the_end_is_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = self.file(tmp_path, "claude", claude(at(1), 10, 1))
        with Path(found.path).open("r+") as file:
            file.seek(1 << 40)
            file.writelines(f"\n{claude(at(minute), 20, 2)}\n" for minute in (5, 6))
        monkeypatch.setattr(transcripts, "FIRST_BYTES", 600)
        assert found.follow()
        assert found.used(BEGAN, ENDED) is None
        assert found.used(at(5)[:19] + "Z", ENDED) == (1, 20, 2)

    def test_a_sum_whose_beginning_was_not_read_is_only_counted_from(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lines = [codex(at(minute), 1000 + minute, 50 + minute) for minute in range(5)]
        monkeypatch.setattr(transcripts, "FIRST_BYTES", len("\n".join(lines[2:])) + 5)
        assert self.file(tmp_path, "codex", *lines).used(at(2)[:19] + "Z", ENDED) == (2, 2, 2)

    def test_of_very_many_answers_the_oldest_are_not_known_any_more(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(transcripts, "ANSWERS_MOST", 3)
        found = self.file(tmp_path, "codex", *(codex(at(minute), minute * 10, minute) for minute in range(1, 6)))
        assert found.used(BEGAN, ENDED) is None
        assert found.used(at(2)[:19] + "Z", ENDED) == (3, 30, 3)

    @pytest.mark.parametrize("what", ["fifo", "link", "directory", "device", "null byte", "another's"])
    def test_only_a_regular_file_of_this_user_is_opened(self, tmp_path: Path, what: str) -> None:
        real, path = tmp_path / "real", tmp_path / "transcript"
        real.write_text(claude(at(1), 10, 1) + "\n")
        if what == "fifo":
            os.mkfifo(path)
        elif what == "link":
            path.symlink_to(real)
        elif what == "directory":
            path.mkdir()
        elif what == "another's":
            if os.geteuid() != 0:
                pytest.skip("only root gives a file away")
            real.rename(path)
            os.chown(path, 65534, -1)
        name = {"device": "/dev/zero", "null byte": f"{real}\0"}.get(what, str(path))
        found = Transcript(name, "claude")
        assert found.follow()
        assert found.used(BEGAN, ENDED) is None

    @pytest.mark.parametrize(
        ("agent", "path", "fits"),
        [
            ("claude", f"/home/me/.claude/projects/-home-me-app/{IDENT}.jsonl", True),
            ("claude", f"/home/me/.claude/projects/-home-me-app/{IDENT[:-1]}c.jsonl", False),
            ("claude", f"/home/me/.claude/projects/../{IDENT}.jsonl", False),
            ("claude", f"projects/x/{IDENT}.jsonl", False),
            ("claude", "/etc/passwd", False),
            ("claude", f"/w/tree/projects/x/{IDENT}.jsonl", False),
            ("codex", f"/home/me/.codex/sessions/2026/11/28/rollout-2026-11-28T23-14-54-{IDENT}.jsonl", True),
            ("codex", f"/home/me/.codex/sessions/2026/11/28/rollout-2026-11-28T23-14-54-{IDENT}.jsonl\n", False),
            ("codex", f"/home/me/.claude/projects/-home-me-app/{IDENT}.jsonl", False),
            ("gemini", f"/home/me/.gemini/tmp/app/chats/session-2026-11-28T23-06-{IDENT[:8]}.jsonl", True),
            ("copilot", f"/home/me/.copilot/session-state/{IDENT}/events.jsonl", False),
        ],
    )
    def test_a_path_is_that_of_a_transcript_outside_the_worktree(self, agent: str, path: str, fits: bool) -> None:
        assert is_named_so(agent, IDENT, path, "/w/tree") is fits

    @pytest.mark.parametrize("ident", ["", ".", "../../../x", "a/b-c-d-e-f", ".*......", "x" * 65])
    def test_the_name_of_a_session_is_no_pattern_and_no_path(self, ident: str) -> None:
        assert not is_named_so("claude", ident, f"/home/me/.claude/projects/x/{ident}.jsonl", "/w/tree")

    def test_a_directory_that_leads_into_the_worktree_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "tree" / "projects" / "x").mkdir(parents=True)
        (tmp_path / "home").symlink_to(tmp_path / "tree")
        path = str(tmp_path / "home" / "projects" / "x" / f"{IDENT}.jsonl")
        assert not is_named_so("claude", IDENT, path, str(tmp_path / "tree"))
        assert is_named_so("claude", IDENT, path, str(tmp_path / "another"))


@pytest.mark.parametrize(
    ("costs", "source", "known"),
    [
        ([(12, 0.75)], "startup", 0.75),
        ([(12, 0.75)], "resume", None),  # what it had cost before is not known
        ([(12, 0.75)], "clear", None),
        ([(1, 0.5), (12, 0.75)], "resume", 0.25),
        ([(1, 0.5), (12, 0.75), (25, 9.0)], "clear", 0.25),
        ([(1, 0.5)], "startup", None),  # the status line was not told since
        ([(1, 0.5), (12, 0.25)], "startup", None),  # it began to count again
        ([(1, 0.5), (12, 0.25), (15, 0.75)], "startup", None),
    ],
)
def test_no_cost_is_made_up(costs: list[tuple[int, float]], source: str, known: float | None) -> None:
    told = [(f"2026-01-31T15:{minute:02}:00Z", cost) for minute, cost in costs]
    assert usage._spent(told, {"source": source}, "2026-01-31T15:10:00Z", "2026-01-31T15:20:00Z") == known


@pytest.mark.parametrize(("lost", "known"), [("", 6.0), ("14:00:00", 6.0), ("14:00:01", None)])
def test_a_session_whose_first_costs_are_lost_did_not_begin_at_nothing(lost: str, known: float | None) -> None:
    session = {"source": "startup", "since": "2026-01-31T14:00:00Z"}
    at = lost and f"2026-01-31T{lost}Z"
    assert usage._spent([("2026-01-31T15:30:00Z", 6.0)], session, BEGAN, ENDED, at) == known


class World:
    """A worktree in which a session works, and its agent's watch."""

    def __init__(self, coder: Coder, home: Path) -> None:
        self.coder, self.root, self.home = coder, coder.crew.root, home
        coder.ident = IDENT
        self.transcript = home / "projects" / "x" / f"{IDENT}.jsonl"
        self.transcript.parent.mkdir(parents=True)
        coder.tell("start", source="startup", transcript_path=str(self.transcript))
        self.set_session(since="2026-01-31T14:00:00Z")

    def set_session(self, **facts: str) -> None:
        """Change what is on record of the newest transcript: it began long ago."""
        said = self.coder.record()
        said["transcripts"][-1] |= facts
        session_records.write(self.root.files, "one", said)

    def claim(self, began: str = BEGAN, task: str = "1") -> None:
        """Claim the next task, as at another time."""
        assert self.coder.verb("request-task").code == 0
        self.note(task, started_at=began)

    def done(self, ended: str = ENDED, task: str = "1") -> None:
        """Complete a task, as at another time."""
        assert self.coder.verb("report-progress", task, "--status", "done").code == 0
        path = paths.result(task, 1, "done")
        self.root.files.put(path, records.encode({**self.result(task), "at": ended}))
        self.note(task, updated_at=ended)

    def note(self, task: str, **facts: object) -> None:
        report = self.root.files.record(paths.report("one")) or {}
        for entry in report["assigned_tasks"]:
            if str(entry["task_id"]) == task:
                entry |= facts
        self.root.files.put(paths.report("one"), records.encode(report))

    def say(self, *lines: str) -> None:
        with self.transcript.open("a") as file:
            file.writelines(f"{line}\n" for line in lines)

    def subagent(self, name: str) -> None:
        """Let a subagent of the session have one answer, of 500 tokens in and 50 out."""
        place = self.transcript.with_suffix("") / "subagents"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"agent-{name}.jsonl").write_text(claude(at(11), 500, 50) + "\n")

    def cost(self, *said: tuple[int, str]) -> None:
        """Note costs, at minutes of the hour, as the status line is told them."""
        place = self.coder.crew.state / paths.quiet(str(self.coder.tree)) / paths.COSTS
        place.parent.mkdir(parents=True, exist_ok=True)
        begin = int(clock.seconds(BEGAN))
        with place.open("a") as file:
            file.writelines(f"{begin + minute * 60} {IDENT} {cost}\n" for minute, cost in said)

    def watch(self) -> UsageWatch:
        watch = UsageWatch(self.coder.place.files())
        with WorktreeCall(self.coder.place).peer() as peer:
            watch.joined(peer)
        return watch

    def look(self) -> float | None:
        return self.watch().check()

    def result(self, task: str = "1") -> dict[str, Any]:
        return self.root.files.record(paths.result(task, 1, "done")) or {}

    def entry(self, task: str = "1") -> dict[str, Any]:
        report = self.root.files.record(paths.report("one")) or {}
        document.valid("report", report)
        return next(entry for entry in report["assigned_tasks"] if str(entry["task_id"]) == task)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    (tmp_path / "base").mkdir()
    with crew(tmp_path / "base", 3) as made:
        yield World(Coder(made, "one"), tmp_path / "home")


class TestTasks:
    def test_ten_tasks_of_one_session_are_told_apart(self, world: World) -> None:
        world.say(claude(at(0), 1000, 100), claude(at(5), 10, 1), claude(at(10), 20, 2))
        world.claim(began="2026-01-31T15:01:00Z")
        world.done(ended="2026-01-31T15:20:00Z")
        world.say(claude(at(20), 5000, 500), claude(at(25), 40, 4))
        world.claim(began="2026-01-31T15:21:00Z", task="2")
        world.look()
        assert world.result()["usage"] == {"input_tokens": 30, "output_tokens": 3}
        assert world.entry("2")["usage"] == {"input_tokens": 40, "output_tokens": 4}
        document.valid("result", world.result())
        reader = Reader(world.coder.crew.queue, lambda _: None)  # type: ignore[arg-type, return-value]
        found = [(one.task, one.usage.input_tokens) for one in reader.attempts(reader.board())]
        assert found == [("1", 30), ("2", 40)]

    def test_a_held_task_is_noted_again_as_it_goes_on_and_its_time_stays(self, world: World) -> None:
        world.claim()
        world.say(claude(at(1), 10, 1))
        before = world.entry()["updated_at"]
        world.look()
        assert world.entry()["usage"]["input_tokens"] == 10
        world.say(claude(at(2), 10, 1))
        world.look()
        assert world.entry()["usage"]["input_tokens"] == 20
        assert world.entry()["updated_at"] == before
        assert world.coder.verb("check-status").code == 0, "progress.json was not taken for edited"
        assert not any("progress.json" in note for note in world.coder.verb("check-status").notes)

    def test_what_a_task_cost_is_known_where_the_program_said_it(self, world: World) -> None:
        world.cost((1, "0.5"), (12, "0.75"), (18, "1.25"), (30, "9"))
        world.say(claude(at(11), 10, 1), claude(at(17), 10, 1))
        world.claim(began="2026-01-31T15:10:00Z")
        world.done(ended="2026-01-31T15:20:00Z")
        world.look()
        assert world.result()["usage"] == {"input_tokens": 20, "output_tokens": 2, "cost_usd": 0.75}

    def test_costs_that_are_too_long_ago_to_be_read_are_not_taken_for_none(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world.cost((5, "5.0"), (12, "5.1"), (13, "5.2"), (14, "5.3"))
        world.say(claude(at(11), 10, 1))
        world.claim(began="2026-01-31T15:10:00Z")
        with monkeypatch.context() as patch:
            patch.setattr(usage, "COSTS_BYTES", 130)
            world.look()
            assert "cost_usd" not in world.entry()["usage"]
        world.look()
        assert world.entry()["usage"]["cost_usd"] == 0.3

    def test_no_cost_is_made_up_of_what_makes_no_sense(self, world: World) -> None:
        world.cost((1, "nan"), (12, "-1"), (13, "inf"), (14, "1e30"), (15, ""), (16, "1 2"))
        world.say(claude(at(11), 10, 1))
        world.claim()
        world.look()
        assert world.entry()["usage"] == {"input_tokens": 10, "output_tokens": 1}

    def test_two_tasks_in_hand_at_once_are_not_told_apart(self, world: World) -> None:
        world.say(claude(at(10), 10, 1), claude(at(30), 10, 1), claude(at(50), 10, 1))
        world.claim()
        world.look()
        assert "usage" in world.entry()
        reassign(world.coder.crew.queue, "2", "one")
        assert world.coder.verb("report-progress", "2", "--progress", "0.5").code == 0
        world.note("2", started_at="2026-01-31T15:20:00Z")
        world.look()
        assert "usage" not in world.entry()
        world.done(ended="2026-01-31T15:40:00Z")
        world.look()
        assert "usage" not in world.result()
        assert "usage" not in world.entry("2")

    def test_sessions_that_followed_each_other_count_together(self, world: World) -> None:
        world.say(claude(at(10), 10, 1))
        world.claim()
        first, world.coder.ident = world.transcript, IDENT[::-1]
        world.transcript = first.with_name(f"{world.coder.ident}.jsonl")
        world.coder.tell("start", source="startup", transcript_path=str(world.transcript))
        world.set_session(since="2026-01-31T15:20:00Z")
        world.say(claude(at(30), 20, 2))
        world.look()
        assert world.entry()["usage"] == {"input_tokens": 30, "output_tokens": 3}
        first.unlink()
        world.look()
        assert "usage" not in world.entry(), "what the first one used is not known any more"
        world.note("1", started_at="2026-01-31T15:25:00Z")
        world.look()
        assert world.entry()["usage"] == {"input_tokens": 20, "output_tokens": 2}

    def test_sessions_that_are_not_listed_any_more_leave_it_unknown(self, world: World) -> None:
        world.claim()
        world.say(claude(at(10), 10, 1))
        said = world.coder.record()
        said["transcripts"] *= session_records.TRANSCRIPTS_MOST
        for since, known in (("2026-01-31T14:00:00Z", True), ("2026-01-31T15:05:00Z", False)):
            for one in said["transcripts"]:
                one["since"] = since
            session_records.write(world.root.files, "one", said)
            world.look()
            assert ("usage" in world.entry()) is known

    def test_a_result_survives_a_power_cut_when_its_usage_is_noted(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world.say(claude(at(10), 10, 1))
        world.claim()
        world.done()
        flushed, fsync = set(), os.fsync
        monkeypatch.setattr(os, "fsync", lambda handle: (flushed.add(os.fstat(handle).st_ino), fsync(handle))[1])
        world.look()
        assert world.result()["usage"]
        path = world.coder.crew.state / paths.result("1", 1, "done")
        assert {path.stat().st_ino, path.parent.stat().st_ino} <= flushed

    def test_a_task_that_ended_is_looked_at_once(self, world: World) -> None:
        world.say(claude(at(10), 10, 1))
        world.claim()
        world.done()
        watch = world.watch()
        watch.check()
        assert world.result().pop("usage")
        without = {key: value for key, value in world.result().items() if key != "usage"}
        world.root.files.put(paths.result("1", 1, "done"), records.encode(without))
        watch.check()
        assert "usage" not in world.result()

    def test_subagents_count_too(self, world: World) -> None:
        world.claim()
        world.say(claude(at(10), 10, 1))
        world.subagent("a")
        world.look()
        assert world.entry()["usage"] == {"input_tokens": 510, "output_tokens": 51}

    def test_what_is_too_much_is_not_known_and_not_kept(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        world.claim()
        world.say(*(claude(at(minute), 10, 1) for minute in range(1, 6)))
        monkeypatch.setattr(usage, "ALL_ANSWERS_MOST", 4)
        watch = world.watch()
        assert watch.check() is None
        assert ("usage" in world.entry(), watch._files) == (False, {})
        monkeypatch.setattr(usage, "ALL_ANSWERS_MOST", 5)
        watch.check()
        assert world.entry()["usage"] == {"input_tokens": 50, "output_tokens": 5}

    def test_a_look_that_takes_long_is_gone_on_with_later(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        world.claim()
        world.say(claude(at(10), 10, 1))
        world.subagent("a")
        watch = world.watch()
        with monkeypatch.context() as patch:
            patch.setattr(usage, "LOOK_SECONDS", -1.0)
            assert watch.check() == AGAIN_SECONDS
        assert ([file.size for file in watch._files.values()], "usage" in world.entry()) == ([1, 0], False)
        watch.check()
        assert world.entry()["usage"] == {"input_tokens": 510, "output_tokens": 51}

    def test_of_too_many_subagents_nothing_is_known(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        world.claim()
        world.say(claude(at(10), 10, 1))
        for name in "abc":
            world.subagent(name)
        monkeypatch.setattr(transcripts, "SUBAGENTS_MOST", 2)
        world.look()
        assert "usage" not in world.entry()

    def test_nothing_is_written_where_a_session_said_nothing(self, world: World) -> None:
        world.claim()
        world.say(claude("2026-01-31T14:30:00Z", 10, 1))
        world.look()
        assert "usage" not in world.entry()
        world.done()
        world.look()
        assert "usage" not in world.result()

    def test_a_result_is_looked_at_when_its_session_has_written_its_last_answer(self, world: World) -> None:
        world.say(claude(at(10), 10, 1))
        world.claim()
        now = world.root.clock.now()
        world.done(ended=now)
        left = world.look()
        assert left is not None
        assert 0 < left <= 3
        assert "usage" not in world.result()

    def test_the_calls_of_a_worktree_wait_while_files_are_read_in_parts(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world.claim()
        world.say(*(claude(at(minute), 10, 1) for minute in range(9)))
        monkeypatch.setattr(transcripts, "PART_BYTES", 300)
        assert world.look() == AGAIN_SECONDS
        assert "usage" not in world.entry()
