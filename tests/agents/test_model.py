"""The scripted model: it reads what agents send, does what it was told there, and knows nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from agents import wires
from agents.brain import think
from agents.history import idle_while_ready

TASK = "Write parts/p3.py, which imports p1, p2.\nget it: git merge 0123abc\nfinish: ./x.sh say 3 done"
GEMINI = "run_shell_command"
VERBS = ("coordinate.sh", "request-task", "report-progress", "update-memory", "check-status", "--status", "--wait")
SHELL = {"name": "Bash"}
CHAT = {"model": "m", "tools": [{"type": "function", "function": {"name": "bash"}}], "stream": True}
ASKED: list[tuple[str, dict[str, Any]]] = [
    (
        "/v1/messages",
        {
            "model": "m", "stream": True, "tools": [SHELL],
            "messages": [
                {"role": "user", "content": "Go."},
                {"role": "assistant", "content": [{"type": "tool_use", "name": "Bash", "input": {"command": "ls"}}]},
                {"role": "user", "content": [{"type": "tool_result", "content": [{"type": "text", "text": TASK}]}]},
            ],
        },
    ),
    (
        "/v1/responses",
        {
            "model": "m", "tools": [{"type": "function", "name": "exec_command"}],
            "input": [
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Go."}]},
                {"type": "function_call", "name": "exec_command", "arguments": '{"cmd": "ls"}'},
                {"type": "function_call_output", "output": TASK},
            ],
        },
    ),
    (
        "/v1/chat/completions",
        CHAT | {
            "messages": [
                {"role": "user", "content": "Go."},
                {"role": "assistant", "tool_calls": [{"function": {"name": "bash", "arguments": '{"command": "ls"}'}}]},
                {"role": "tool", "content": TASK},
            ],
        },
    ),
    (
        "/v1beta/models/m:streamGenerateContent",
        {
            "tools": [{"functionDeclarations": [{"name": GEMINI}]}],
            "contents": [
                {"role": "user", "parts": [{"text": "Go."}]},
                {"role": "model", "parts": [{"functionCall": {"name": GEMINI, "args": {"command": "ls"}}}]},
                {"role": "user", "parts": [{"functionResponse": {"response": {"output": TASK}}}]},
            ],
        },
    ),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body"), ASKED, ids=["messages", "responses", "chat", "gemini"])
def test_the_four_ways_to_ask_say_the_same(path: str, body: dict[str, Any]) -> None:
    asked = wires.read(path, body)
    assert asked is not None
    assert asked.entries == [("told", "Go."), ("ran", "ls"), ("came", TASK)]
    kind, content = wires.answer(asked, think(asked.entries, goes_on=False))
    assert kind == "text/event-stream"
    assert "git merge 0123abc" in content.decode()
    for line in content.decode().splitlines():
        assert not line.startswith("data: {") or json.loads(line[6:])


def test_a_task_is_done_step_by_step_and_reported_at_the_end() -> None:
    entries = [("told", TASK)]
    ran = []
    while command := think(entries, goes_on=False).command:
        ran.append(command)
        entries += [("ran", command), ("came", "")]
    assert ran == [
        "git merge 0123abc",
        r"printf 'from parts import p1, p2\nVALUE = 3 + p1.VALUE + p2.VALUE\n' > parts/p3.py",
        "python3 -m parts.p3",
        "git add parts/p3.py",
        "git commit -q -m 'Part 3'",
        "./x.sh say 3 done",
    ]


def test_it_asks_for_the_next_task_only_if_told_to_go_on() -> None:
    entries = [("told", TASK), ("ran", "./x.sh say 3 done"), ("came", "next: ./x.sh request")]
    entries[1:1] = [("ran", command) for command in _work()]
    assert think(entries, goes_on=True).command == "./x.sh request"
    assert think(entries, goes_on=False).command == ""
    assert think([*entries, ("told", "Ask with `./x.sh request --wait`.")], goes_on=False).command.endswith("--wait")


def _work() -> list[str]:
    entries, ran = [("told", TASK)], []
    while (command := think(entries, goes_on=False).command) != "./x.sh say 3 done":
        ran.append(command)
        entries.append(("ran", command))
    return ran


def test_it_contains_no_command_of_peercoord() -> None:
    for module in ("brain", "wires", "model_server"):
        source = Path(__file__).with_name(f"{module}.py").read_text()
        assert not [verb for verb in VERBS if verb in source]


def test_a_session_that_idles_while_a_task_is_ready_shows_in_the_events() -> None:
    needs: dict[int, list[int]] = {1: [], 2: [], 3: [], 4: [], 5: [1]}

    def events(text: str) -> list[dict[str, str]]:
        return [dict(zip(("event", "peer", "task"), one.split(), strict=True)) for one in text.split(", ")]

    begun = "claimed a 1, done a 1, claimed b 2, done b 2, claimed b 3, done b 3, "
    assert idle_while_ready(events(f"{begun}claimed a 4, done a 4"), "a", needs) == ["2", "3"]
    assert idle_while_ready(events(begun[:-2]), "b", needs) == []
    assert idle_while_ready(events("claimed a 1, done a 1, claimed b 2, claimed a 3, done b 2"), "a", needs) == []


def test_who_was_told_no_command_does_nothing() -> None:
    assert think([("told", "Write parts/p1.py. Work until all is done.")], goes_on=True).command == ""
