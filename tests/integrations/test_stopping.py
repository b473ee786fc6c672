"""What becomes of a session that ends its turn: a question, the next task, or rest; and who wakes it."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from agent.crew import until
from integrations.coder import Coder

from peercoord.errors import StorageError
from peercoord.integrations import limits, waiter
from peercoord.integrations.session import limited_until
from peercoord.store import lock, paths, records, session_records
from peercoord.store.files import Files
from peercoord.system import clock

Make = Callable[..., Coder]
LATER = "2099-01-01T00:00:00Z"
NOW = 1_800_000_000.0


class TestDecision:
    def test_background_work_lets_it_wait(self, coder: Make) -> None:
        one = coder()
        one.tell("start")
        one.verb("request-task")
        assert one.tell("stop", background_tasks=[{"id": "b1", "type": "shell", "status": "running"}]) == {}
        assert one.state == "working"
        assert one.tell("stop", session_crons=[{"id": "c"}]) == {}

    def test_background_work_that_has_ended_does_not(self, coder: Make) -> None:
        one = coder()
        one.tell("start")
        one.verb("request-task")
        assert one.tell("stop", background_tasks=[{"id": "b1", "status": "completed"}])

    def test_a_task_without_a_report_is_asked_about_once(self, coder: Make) -> None:
        one = coder()
        one.tell("start")
        one.verb("request-task")
        asked = one.told("stop", stop_hook_active=False)
        assert "report-progress 1 --status done" in asked
        assert one.tell("stop", stop_hook_active=True, last_assistant_message="Shall I drop the table?") == {}
        assert (one.state, one.record()["why"]) == ("asks a question", "Shall I drop the table?")
        assert one.crew.holder("1") == "one"
        assert one.tell("stop", stop_hook_active=False) == {}, "a later turn: it was asked already"

    def test_done_hands_over_the_next_task(self, coder: Make) -> None:
        one = coder()
        one.tell("start")
        one.verb("request-task")
        one.verb("report-progress", "1", "--status", "done")
        answer = one.tell("stop", stop_hook_active=False)
        assert answer["decision"] == "block"
        assert 'task 2: "task 2"' in answer["reason"]
        assert one.crew.holder("2") == "one"
        assert one.state == "working"

    def test_an_answer_that_nobody_reads_hands_over_nothing(self, coder: Make) -> None:
        one = coder()
        one.tell("start")
        one.verb("request-task")
        one.verb("report-progress", "1", "--status", "done")
        one.answer("stop").withdraw()
        assert one.crew.where("2") == "ready"

    def test_a_fault_after_the_claim_hands_over_nothing(self, coder: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(*_: object) -> None:
            raise RuntimeError("late")

        one = coder()
        one.tell("start")
        one.verb("request-task")
        one.verb("report-progress", "1", "--status", "done")
        monkeypatch.setattr(session_records, "write", broken)
        with pytest.raises(RuntimeError):
            one.tell("stop")
        assert one.crew.where("2") == "ready"

    def test_the_task_that_it_hands_over_goes_back_with_the_session(self, coder: Make) -> None:
        one = coder()
        one.tell("start")
        one.verb("request-task")
        one.verb("report-progress", "1", "--status", "done")
        one.tell("stop")
        home = one.crew.home("one")
        assert home is not None
        assert json.loads((home / "assignments" / "2~1.json").read_text())["session"] == one.identity

    def test_a_session_that_never_asked_for_a_task_is_given_none(self, coder: Make) -> None:
        one = coder()
        one.tell("start")
        one.tell("prompt", prompt="What does this do?")
        assert one.tell("stop") == {}
        assert one.state == "idle"
        assert one.crew.where("1") == "ready"

    def test_a_team_may_want_its_sessions_to_stop_after_each_task(self, coder: Make) -> None:
        one = coder(session_continues="off")
        one.tell("start")
        one.verb("request-task")
        one.verb("report-progress", "1", "--status", "done")
        assert one.tell("stop") == {}
        assert (one.state, one.crew.where("2")) == ("idle", "ready")

    def test_with_nothing_ready_it_waits_for_work(self, coder: Make) -> None:
        one, two = coder("one", tasks=2), coder("two")
        two.verb("request-task")
        one.tell("start")
        one.verb("request-task")
        one.verb("report-progress", "2", "--status", "done")
        assert one.tell("stop") == {}
        assert one.state == "waiting for work"

    def test_one_that_cannot_be_woken_is_told_how_to_wait(self, coder: Make) -> None:
        one, two = coder("one", tasks=2, agent="codex"), coder("two")
        two.verb("request-task")
        one.tell("start")
        one.verb("request-task")
        one.verb("report-progress", "2", "--status", "done")
        assert "request-task --wait 300" in one.told("stop")
        for _ in range(20):
            answer = one.tell("stop", stop_hook_active=True)
        assert answer == {}, "not for ever"

    @pytest.mark.parametrize(("agent", "word"), [("gemini", "deny"), ("copilot", "block"), ("opencode", "block")])
    def test_each_agent_is_answered_in_its_own_word(self, coder: Make, agent: str, word: str) -> None:
        one = coder(agent=agent)
        one.tell("start")
        one.verb("request-task")
        one.verb("report-progress", "1", "--status", "done")
        assert one.tell("stop")["decision"] == word

    def test_a_codex_session_whose_limit_is_used_up_keeps_its_task(self, coder: Make, tmp_path: Path) -> None:
        one = coder(agent="codex")
        one.tell("start")
        one.verb("request-task")
        used = {"primary": {"used_percent": 100.0, "resets_at": 4_000_000_000}, "secondary": {"used_percent": 3.0}}
        rollout = tmp_path / "rollout-1.jsonl"
        rollout.write_text(json.dumps({"payload": {"type": "token_count", "rate_limits": used}}) + "\n")
        assert one.tell("stop", transcript_path=str(rollout)) != {}, "no limit resets in a hundred years"
        used["primary"]["resets_at"] = int(clock.seconds(one.crew.root.clock.now())) + 3600
        rollout.write_text(json.dumps({"payload": {"type": "token_count", "rate_limits": used}}) + "\n")
        assert one.tell("stop", transcript_path=str(rollout)) == {}
        assert one.state == "rate limited"
        assert one.crew.holder("1") == "one"

    @pytest.mark.parametrize("what", ["fifo", "link", "directory", "nothing", "null byte"])
    def test_a_record_that_is_no_file_is_not_opened(self, coder: Make, tmp_path: Path, what: str) -> None:
        one = coder(agent="codex")
        one.tell("start")
        place = tmp_path / "rollout-1.jsonl"
        if what == "fifo":
            os.mkfifo(place)
        elif what == "link":
            used = {"primary": {"used_percent": 100, "resets_at": int(time.time()) + 3600}}
            (tmp_path / "it").write_text(json.dumps({"payload": {"rate_limits": used}}))
            place.symlink_to(tmp_path / "it")
        elif what == "directory":
            place.mkdir()
        assert one.tell("stop", transcript_path=f"{place}\0" if what == "null byte" else str(place)) == {}
        assert one.state == "idle"


class TestManyTasks:
    def test_ten_tasks_in_one_session_though_its_program_overrules_the_ninth_block(self, coder: Make) -> None:
        """Claude Code lets a hook keep a session from stopping eight times in a row; then the waiter wakes it."""
        one = coder(tasks=10)
        one.tell("start")
        one.tell("prompt", prompt="Work.")
        one.verb("request-task")
        blocked, wakes = 0, 0
        for number in range(1, 11):
            assert one.verb("report-progress", str(number), "--status", "done").code == 0
            if number == 10:
                break
            if one.tell("stop", stop_hook_active=blocked > 0):
                blocked += 1
                assert blocked < one.agent.blocks_most, "the program would overrule it"
            else:
                assert one.state == "waiting for work"
                woken = one.answer("wait")
                assert woken.code == 2
                assert f"task {number + 1}" in woken.err
                one.tell("prompt", prompt="<task-notification>")
                blocked, wakes = 0, wakes + 1
        assert one.crew.queue.survey()["10"].state == "done"
        assert wakes == 1

    def test_a_stop_that_follows_no_block_counts_from_the_beginning(self, coder: Make) -> None:
        one = coder(tasks=12)
        one.tell("start")
        one.verb("request-task")
        for number in range(1, 11):
            one.verb("report-progress", str(number), "--status", "done")
            assert one.tell("stop", stop_hook_active=False), number


class TestWaiter:
    def waits(self, one: Coder, found: list[object]) -> threading.Thread:
        thread = threading.Thread(target=lambda: found.append(one.answer("wait")))
        thread.start()
        return thread

    def test_it_wakes_an_idle_session_when_a_task_becomes_ready(self, coder: Make) -> None:
        one = coder(tasks=1)
        one.tell("start")
        one.verb("request-task")
        one.verb("report-progress", "1", "--status", "done")
        assert one.tell("stop") == {}
        found: list[object] = []
        thread = self.waits(one, found)
        one.crew.queue.add(records.define("2", "late"))
        thread.join()
        answer = found[0]
        assert (answer.code, one.crew.holder("2")) == (2, "one")  # type: ignore[attr-defined]
        assert 'task 2: "late"' in answer.err  # type: ignore[attr-defined]
        assert one.state == "working"

    @pytest.mark.parametrize("what", ["full disk", "nobody reads it"])
    def test_a_task_is_held_only_by_a_session_that_learns_of_it(
        self, coder: Make, monkeypatch: pytest.MonkeyPatch, what: str
    ) -> None:
        def full(*_: object) -> None:
            raise StorageError("sessions/one.json: the disk is full", "free some space")

        one = coder(tasks=2)
        one.tell("start")
        one.verb("request-task")
        one.crew.queue.cancel("2")
        one.verb("report-progress", "1", "--status", "done")
        assert one.tell("stop") == {}
        one.crew.queue.add(records.define("3", "late"))
        if what == "full disk":
            monkeypatch.setattr(session_records, "write", full)
            assert 'task 3: "late"' in one.answer("wait").err
        else:
            answer = one.answer("wait")
            assert one.crew.holder("3") == "one"
            answer.withdraw()
            assert one.crew.where("3") == "ready"

    def test_a_reset_that_is_too_far_away_is_not_waited_for(self, coder: Make) -> None:
        """The clock was wrong when it was noted, and went back since."""
        one, two = coder("one"), coder("two")
        for each in (one, two):
            each.tell("start")
            each.verb("request-task")
        one.tell("stop-failure", error="rate_limit", last_assistant_message="try again in 1h")
        session_records.write(one.crew.root.files, "one", {**one.record(), "until": LATER})
        assert limited_until(one.crew.root.files, ["one", "two"], "claude", time.time()) == 0
        assert one.answer("wait").code == 2

    def test_there_is_one_for_a_session(self, coder: Make) -> None:
        one = coder()
        one.tell("start")
        home = one.crew.state / paths.quiet(str(one.tree))
        home.mkdir(parents=True, exist_ok=True)
        with lock.held(str(home / "waiter")):
            assert one.answer("wait").code == 0

    def test_a_session_that_ends_with_its_turn_has_none(self, coder: Make) -> None:
        one = coder()
        one.tell("start")
        one.environ["CLAUDE_CODE_SESSION_ATTENDED"] = "0"
        assert one.answer("wait").code == 0

    def test_it_ends_with_its_session(self, coder: Make) -> None:
        one = coder(tasks=0)
        one.tell("start")
        found: list[object] = []
        thread = self.waits(one, found)
        one.process.close()
        thread.join()
        assert found[0].code == 0  # type: ignore[attr-defined]

    def test_it_ends_when_the_session_says_that_it_ends(self, coder: Make) -> None:
        one = coder(tasks=0)
        one.tell("start")
        one.tell("end", reason="prompt_input_exit")
        assert one.answer("wait").code == 0

    def test_a_limited_session_goes_on_by_itself_when_the_limit_resets(self, coder: Make) -> None:
        one = coder()
        one.tell("start")
        one.verb("request-task")
        one.tell("stop-failure", error="rate_limit", last_assistant_message="try again in 1s")
        assert one.state == "rate limited"
        answer = one.answer("wait")
        assert answer.code == 2
        assert "Task 1 is still this worktree's" in answer.err
        assert one.state == "working"

    def test_nobody_is_woken_into_the_limit_of_a_colleague(self, coder: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        one, two = coder("one", tasks=1), coder("two")
        two.tell("start")
        two.verb("check-status")
        two.tell("stop-failure", error="rate_limit", last_assistant_message="try again in 1h")
        one.tell("start")
        one.verb("request-task")
        one.verb("report-progress", "1", "--status", "done")
        one.tell("stop")
        one.crew.queue.add(records.define("2", "late"))
        looked: list[float] = []

        def limited(files: Files, peers: list[str], agent: str, now: float) -> float:
            looked.append(limited_until(files, peers, agent, now))
            return looked[-1]

        monkeypatch.setattr(waiter, "limited_until", limited)
        thread = self.waits(one, [])
        two_says = session_records.read(one.crew.root.files, "two")
        until(lambda: len(looked) > 1, what="two looks at a task that is ready")
        assert looked[0] > 0
        assert one.crew.where("2") == "ready"
        session_records.write(one.crew.root.files, "two", {**two_says, "state": "working"})
        thread.join()
        assert one.crew.holder("2") == "one"


class TestLimits:
    @pytest.mark.parametrize(
        ("said", "after"),
        [
            ("Claude AI usage limit reached|1800003600", 3600),
            ("limit; resets at 2027-01-15T09:00:00Z", 3600),
            ("You've hit your limit · resets 9am (UTC)", 3600),
            ("You've hit your limit · resets 9:30am (UTC)", 5400),
            ("You've hit your limit · resets 10am (Europe/Berlin)", 3600),
            ("Please try again in 20s.", 20),
            ("retry after 5 m", 300),
            ("API Error: Request rejected (429)", limits.UNKNOWN_SECONDS),
            ("resets 99:99xx (No/Such_Place) |999", limits.UNKNOWN_SECONDS),
            ("resets 25:00 (UTC)", limits.UNKNOWN_SECONDS),
            ("", limits.UNKNOWN_SECONDS),
        ],
    )
    def test_a_message_says_when_a_limit_resets(self, said: str, after: int) -> None:
        assert clock.moment(NOW) == "2027-01-15T08:00:00Z"
        assert limits.in_message(said, NOW) == NOW + after

    @pytest.mark.parametrize(
        "tail",
        [b"", b"{", b'{"rate_limits"', b'{"payload": 5, "x": "rate_limits"}\n"rate_limits"\n[{"rate_limits": 1}]'],
    )
    def test_a_rollout_that_says_nothing_is_no_limit(self, tail: bytes) -> None:
        assert limits.in_rollout(tail, NOW) == 0.0
