"""What a coding session is told by its hooks, and what people see of it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from integrations.coder import Coder

from peercoord.errors import StorageError
from peercoord.integrations import hook
from peercoord.integrations.agents import AGENTS
from peercoord.membership import liveness
from peercoord.queue.reassign import reassign
from peercoord.status import sentences
from peercoord.status.sentences import sentence
from peercoord.store import down, paths, records, session_records
from protocol import document

Make = Callable[..., Coder]
RECORDED = Path(__file__).parent / "recorded"
MORE = os.environ.get("PEERCOORD_RECORDED", "")  # a directory with further recorded inputs, one to a line


def recorded(agent: str) -> list[tuple[str, dict[str, Any]]]:
    """What an agent told in real sessions: its own name of the event, and its JSON."""
    kept = json.loads((RECORDED / f"{agent}.json").read_text(encoding="utf-8"))
    found = [(name.partition(":")[0], said) for name, said in kept.items()]
    for path in sorted(Path(MORE).glob(f"{agent}*.jsonl")) if MORE else []:
        for line in path.read_text(encoding="utf-8").splitlines():
            said = json.loads(line)
            found.append((said.get("hook_event_name") or said.get("_copilot") or "", said))
    return found


def our_words(agent: str, name: str) -> list[str]:
    """Our words for an agent's event."""
    alike = {"Notification": "notification"} if agent == "copilot" else {}
    name = alike.get(name, name)
    return [word for word, event in AGENTS[agent].events.items() if event.name == name and not event.rewakes]


class TestRecorded:
    @pytest.mark.parametrize("agent", ["claude", "codex", "gemini", "copilot"])
    def test_whatever_an_agent_told_is_answered_in_its_shape(self, coder: Make, agent: str) -> None:
        one = coder(agent=agent)
        answered = 0
        for name, said in recorded(agent):
            for word in our_words(agent, name):
                found = one.tell(word, **{key: value for key, value in said.items() if key != "cwd"})
                assert set(found) <= {"hookSpecificOutput", "additionalContext", "decision", "reason"}
                answered += 1
            assert one.record() is not None
        assert answered >= 4

    @pytest.mark.parametrize("agent", ["claude", "codex", "gemini", "copilot"])
    def test_every_event_of_the_table_that_was_ever_seen_has_a_recording(self, agent: str) -> None:
        unseen = {"claude": set(), "codex": {"permission"}, "gemini": {"notification"}}
        unseen["copilot"] = {"compact", "stop-failure"}
        found = {word for name, _ in recorded(agent) for word in our_words(agent, name)}
        assert set(AGENTS[agent].events) - found - {"wait"} == unseen[agent]

    def test_the_end_of_a_session_is_known_by_the_recorded_inputs(self, coder: Make) -> None:
        one = coder()
        for name, said in recorded("claude"):
            if (
                name in ("SessionStart", "SessionEnd")
                and said.get("session_id") == recorded("claude")[0][1]["session_id"]
            ):
                one.tell(our_words("claude", name)[0], **said)
        assert one.state == "ended"


class TestInput:
    @pytest.mark.parametrize(
        "data", [b"", b"null", b"[1]", b"{", b"\xff\xfe", b'"text"', b"1" * 5000, b"[" * 100_000, b'{"a": 1e999}']
    )
    def test_anything_but_an_object_says_nothing(self, data: bytes) -> None:
        assert hook.parsed(data) == {}

    @pytest.mark.parametrize("event", sorted(AGENTS["claude"].events.keys() - {"wait"}))
    @pytest.mark.parametrize("odd", [None, [], {}, 5, "", "x" * 100_000, ["a"], {"b": {}}])
    def test_a_field_may_hold_anything(self, coder: Make, event: str, odd: object) -> None:
        names = ("source", "prompt", "tool_name", "tool_input", "tool_calls", "notification_type", "message", "reason")
        more = (
            "error",
            "last_assistant_message",
            "background_tasks",
            "session_crons",
            "transcript_path",
            "model",
            "new",
        )
        one = coder()
        one.tell(event, **dict.fromkeys((*names, *more), odd))
        assert one.record() is not None


class TestStart:
    def test_a_session_is_told_who_it_is_and_the_commands(self, coder: Make) -> None:
        one = coder()
        told = one.told("start", source="startup")
        assert "This worktree is one" in told
        assert told.splitlines()[-1].endswith(": ./.claude-instance/coordinate.sh check-status"), "nothing follows it"
        assert "$" not in told
        assert one.state == "idle"

    def test_after_compaction_it_is_told_its_task_again(self, coder: Make) -> None:
        one = coder(tasks=0)
        steps = [{"id": 1, "title": "write it"}, {"id": 2, "title": "test it"}]
        facts = {
            "description": "Short codes.",
            "testStrategy": "run the burst test",
            "acceptanceCriteria": ["no doubles"],
        }
        one.crew.queue.add(records.checked({"task_id": 1, "title": "Codes", "subtasks": steps, **facts}))
        one.tell("start", source="startup")
        assert one.verb("request-task").code == 0
        assert one.verb("report-progress", "1", "--step", "1").code == 0
        one.tell("prompt", prompt="go on")
        told = one.told("start", source="compact")
        for text in (
            'task 1: "Codes"',
            "Short codes.",
            '[x] 1.1 "write it"',
            '[ ] 1.2 "test it"',
            "burst test",
            "no doubles",
        ):
            assert text in told
        assert "report-progress 1 --status done" in told
        assert one.state == "working", "it goes on"

    def test_of_many_steps_those_that_are_left_are_told(self, coder: Make) -> None:
        one = coder(tasks=0)
        steps = [{"id": number, "title": f"step {number} {'s' * 300}"} for number in range(1, 61)]
        one.crew.queue.add(records.checked({"task_id": 1, "title": "Codes", "subtasks": steps}))
        one.verb("request-task")
        done = [word for number in range(1, 50) for word in ("--step", str(number))]
        assert one.verb("report-progress", "1", *done).code == 0
        told = one.told("start")
        assert ('[ ] 1.50 "step 50 ' in told, "[x]" in told) == (True, False)

    def test_others_and_their_tasks_are_named(self, coder: Make) -> None:
        one, two = coder("one"), coder("two")
        assert two.verb("request-task").code == 0
        assert 'two works on task 1 "task 1"' in one.told("start")

    @pytest.mark.parametrize("text", ["d" * 100_000, "d\n" * 50_000], ids=["a line", "lines"])
    def test_a_long_text_leaves_room_for_the_commands(self, coder: Make, text: str) -> None:
        one = coder(tasks=0)
        one.crew.queue.add(records.define("1", "t" * 400, description=text))
        one.verb("request-task")
        told = one.told("start")
        assert len(told) <= one.agent.context_chars
        assert "report-progress 1 --status done" in told
        assert told.splitlines()[-1].endswith("check-status")

    def test_text_of_a_task_cannot_forge_a_line(self, coder: Make) -> None:
        one = coder(tasks=0)
        one.crew.queue.add(records.define("1", "a", description="b\u2028\x1b[2Jc\u202e"))
        one.verb("request-task")
        told = one.told("start")
        assert all(char.isprintable() or char == "\n" for char in told)

    def test_a_team_that_was_taken_down_stays_down(self, coder: Make) -> None:
        one = coder()
        down.write(one.crew.root, "a person")
        for event in one.agent.events:
            assert one.tell(event) == {}
        assert one.crew.home("one") is None
        assert one.record() == {}

    def test_a_session_that_was_there_before_the_team_is_told_with_its_next_prompt(self, coder: Make) -> None:
        assert "This worktree is one" in coder().told("prompt", prompt="hello")

    def test_its_exact_process_is_on_record(self, coder: Make) -> None:
        one = coder()
        one.tell("start")
        assert one.record()["process"] == one.identity
        assert liveness.sessions(one.crew.record("one")) == [one.identity]


class TestTools:
    def test_nothing_new_is_no_answer(self, coder: Make) -> None:
        one = coder()
        one.tell("start")
        one.verb("request-task")
        assert [one.tell("tools") for _ in range(2)] == [{}, {}]
        assert one.state == "working"

    def test_an_edit_is_told_once(self, coder: Make) -> None:
        one = coder()
        one.tell("start")
        one.verb("request-task")
        path = one.crew.state / paths.definition("1")
        path.write_text(json.dumps({**json.loads(path.read_text()), "title": "another"}))
        assert "task 1 was edited" in one.told("tools")
        assert one.tell("tools") == {}

    def test_a_cancellation_is_told_once(self, coder: Make) -> None:
        one = coder()
        one.tell("start")
        one.verb("request-task")
        path = one.crew.state / paths.definition("1")
        path.write_text(json.dumps({**json.loads(path.read_text()), "cancelled": "not needed"}))
        assert 'was cancelled ("not needed")' in one.told("tools")
        assert one.tell("tools") == {}

    def test_a_task_that_another_has_now_is_told_once(self, coder: Make) -> None:
        one, two = coder("one"), coder("two")
        two.tell("start")
        one.tell("start")
        one.verb("request-task")
        reassign(one.crew.queue, "1", "two")
        assert "task 1 is two's now" in one.told("tools")
        assert one.tell("tools") == {}

    def test_a_task_that_a_person_gave_to_it_is_told_once(self, coder: Make) -> None:
        one = coder()
        one.tell("start")
        one.tell("prompt")
        reassign(one.crew.queue, "2", "one")
        assert "task 2 was given to this worktree" in one.told("tools")
        assert one.tell("tools") == {}
        assert one.told("stop"), "it is asked for a report like on any other"

    def test_what_it_was_handed_by_a_stop_is_no_news(self, coder: Make) -> None:
        one = coder()
        one.tell("start")
        one.verb("request-task")
        one.verb("report-progress", "1", "--status", "done")
        assert one.tell("stop")
        assert one.tell("tools") == {}

    def test_on_a_full_disk_the_agent_is_answered_all_the_same(
        self, coder: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object) -> None:
            raise StorageError("sessions/one.json: the disk is full", "free some space")

        one = coder()
        one.tell("start")
        one.verb("request-task")
        monkeypatch.setattr(session_records, "write", full)
        assert "task 1" in one.told("start", source="compact")
        assert one.told("stop")

    @pytest.mark.parametrize(
        "what",
        [
            {"acceptanceCriteria": "d " * 9000},
            {"acceptanceCriteria": ["c" * 4000] * 50, "testStrategy": "z\n" * 9000},
            {"description": "x " * 5000, "details": "y\n" * 5000},
            {"notes": ["n" * 2000] * 50},
            {"steps": [{"id": str(one), "title": "s" * 300} for one in range(200)]},
        ],
        ids=lambda what: " ".join(what),
    )
    def test_however_long_a_task_is_the_commands_come_behind_it(self, coder: Make, what: dict[str, Any]) -> None:
        one = coder(tasks=0)
        one.crew.queue.add(records.define("1", "long", **what))
        one.verb("request-task")
        told = one.told("start")
        assert "\nfinish: ./.claude-instance/coordinate.sh report-progress 1 --status done" in told
        assert "\nCommands, typed exactly like this in this worktree:" in told
        assert told.endswith("check-status")

    def test_a_subagent_is_told_nothing(self, coder: Make) -> None:
        one = coder()
        assert one.tell("tools", agent_id="a2") == {}
        assert one.record() == {}


class TestSeen:
    def test_a_permission_is_seen_until_the_tool_has_run(self, coder: Make) -> None:
        one = coder()
        one.tell("start")
        one.tell("permission", tool_name="Bash", tool_input={"command": "mkfifo \x1b[2Jx"})
        assert one.state == "needs permission"
        assert one.record()["why"].startswith("Bash: mkfifo ")
        assert "\x1b" not in one.record()["why"]
        one.tell("notification", notification_type="permission_prompt", message="Claude needs your permission")
        assert one.record()["why"].startswith("Bash: mkfifo "), "the first says more"
        one.tell("tools")
        assert one.state == "working"

    def test_a_question_is_seen(self, coder: Make) -> None:
        one = coder()
        one.tell("start")
        one.tell("notification", notification_type="agent_needs_input", message="Which of them?")
        assert (one.state, one.record()["why"]) == ("asks a question", "Which of them?")

    def test_a_rate_limit_is_no_failure_and_takes_no_task(self, coder: Make) -> None:
        one = coder()
        one.tell("start")
        one.verb("request-task")
        one.tell("stop-failure", error="rate_limit", last_assistant_message="429: resets at 2099-01-01T10:00:00Z")
        assert one.state == "rate limited"
        one.tell("notification", notification_type="idle_prompt")
        assert one.state == "rate limited"
        assert one.crew.holder("1") == "one"

    def test_a_rate_limit_is_logged_when_it_begins_and_when_it_is_over(self, coder: Make) -> None:
        one = coder()
        one.tell("start")
        for _ in range(2):
            one.tell("stop-failure", error="rate_limit", last_assistant_message="429: resets at 2099-01-01T10:00:00Z")
        one.tell("notification", notification_type="idle_prompt")
        for event in ("prompt", "tools"):
            one.tell(event)
        logged = [event for event in sentences.events(one.crew.root.files) if "limit" in event["event"]]
        assert [event["event"] for event in logged] == ["limited", "limit-over"]
        assert sentence(logged[0]) == "one ran into a rate limit: 429: resets at 2099-01-01T10:00:00Z"
        assert sentence(logged[1]) == "one is no longer rate limited"
        for event in logged:
            document.valid("event", event)

    def test_a_new_session_ends_the_limit_of_the_one_before(self, coder: Make) -> None:
        one = coder()
        one.tell("start")
        one.tell("stop-failure", error="rate_limit", last_assistant_message="429")
        one.ident = "another"
        one.tell("start")
        logged = [event["event"] for event in sentences.events(one.crew.root.files)]
        assert logged.count("limited") == logged.count("limit-over") == 1

    def test_a_failed_turn_is_seen_with_its_error(self, coder: Make) -> None:
        one = coder()
        one.tell("start")
        one.tell("stop-failure", error="server_error", last_assistant_message="API Error: 500")
        assert (one.state, one.record()["why"]) == ("turn failed", "server_error: API Error: 500")

    def test_an_end_in_the_middle_of_a_turn_is_a_failed_turn(self, coder: Make) -> None:
        one = coder()
        one.tell("start")
        one.tell("prompt")
        one.tell("end", reason="other")
        assert one.record()["failed"] is True

    @pytest.mark.parametrize("reason", ["clear", "resume"])
    def test_a_new_conversation_in_the_same_process_is_no_end(self, coder: Make, reason: str) -> None:
        one = coder()
        one.tell("start")
        one.tell("end", reason=reason)
        assert one.state == "idle"

    def test_the_end_of_another_session_is_not_this_one_s(self, coder: Make) -> None:
        one = coder()
        one.tell("start")
        one.tell("end", reason="other", session_id="another")
        assert one.state == "idle"
