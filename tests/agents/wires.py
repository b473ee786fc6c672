"""Four ways in which coding agents ask a model, read into one conversation and answered from one step.

Anthropic Messages, OpenAI Responses, OpenAI Chat Completions, Gemini generateContent; streamed or whole.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

SHELLS = {"Bash": "command", "exec_command": "cmd", "run_shell_command": "command", "bash": "command"}
_ids = itertools.count(1)


@dataclass
class Asked:
    """One request: what was said so far, oldest first, and the tool that runs a command, if one is offered.

    An entry is ("told", text) from people and hooks, ("said", text) from the model, ("ran", command), ("came", text).
    """

    wire: str
    model: str
    streamed: bool
    shell: str = ""
    entries: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Step:
    """What the model answers: a text, and a command to run unless the turn ends."""

    text: str
    command: str = ""
    input_tokens: int = 10


def read(path: str, body: dict[str, Any]) -> Asked | None:
    """Read a request; none if no model is asked there."""
    for ending, reader in READERS.items():
        if path.endswith(ending):
            return reader(path, body)
    return None


def text_of(content: Any) -> str:
    """Return the text of a string, a block, or a list of blocks."""
    if isinstance(content, list):
        return "\n".join(filter(None, map(text_of, content)))
    if isinstance(content, dict):
        return text_of(next((content[key] for key in ("text", "output", "content", "parts") if content.get(key)), ""))
    return content if isinstance(content, str) else ""


def _shell(tools: Any) -> str:
    names = [tool.get("name") or (tool.get("function") or {}).get("name") for tool in tools or []]
    return next((name for name in names if name in SHELLS), "")


def _command(name: str, arguments: Any) -> str:
    if isinstance(arguments, str):
        arguments = json.loads(arguments or "{}")
    return str(arguments.get(SHELLS.get(name, ""), ""))


def _read_messages(_: str, body: dict[str, Any]) -> Asked:
    asked = Asked("messages", body.get("model", ""), bool(body.get("stream")))
    asked.shell = _shell(body.get("tools"))
    for message in body.get("messages", []):
        content = message["content"]
        for block in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            if block["type"] == "tool_use":
                asked.entries.append(("ran", _command(block["name"], block["input"])))
            elif block["type"] == "tool_result":
                asked.entries.append(("came", text_of(block.get("content"))))
            else:
                asked.entries.append(("said" if message["role"] == "assistant" else "told", text_of(block)))
    return asked


def _read_responses(_: str, body: dict[str, Any]) -> Asked:
    asked = Asked("responses", body.get("model", ""), True, shell=_shell(body.get("tools")))
    for item in body.get("input", []):
        if item["type"] == "function_call":
            asked.entries.append(("ran", _command(item["name"], item["arguments"])))
        elif item["type"] == "function_call_output":
            asked.entries.append(("came", text_of(item["output"])))
        elif item["type"] == "message":
            asked.entries.append(("said" if item["role"] == "assistant" else "told", text_of(item["content"])))
    return asked


def _read_chat(_: str, body: dict[str, Any]) -> Asked:
    asked = Asked("chat", body.get("model", ""), bool(body.get("stream")), shell=_shell(body.get("tools")))
    kinds = {"assistant": "said", "tool": "came"}
    for message in body.get("messages", []):
        if message.get("content"):
            asked.entries.append((kinds.get(message["role"], "told"), text_of(message["content"])))
        for call in message.get("tool_calls") or []:
            asked.entries.append(("ran", _command(call["function"]["name"], call["function"]["arguments"])))
    return asked


def _read_gemini(path: str, body: dict[str, Any]) -> Asked:
    offered = [one for tool in body.get("tools", []) for one in tool.get("functionDeclarations", [])]
    asked = Asked("gemini", path.rsplit("/", 1)[-1], "stream" in path)
    asked.shell = _shell(offered)
    for content in body.get("contents", []):
        for part in content.get("parts", []):
            if call := part.get("functionCall"):
                asked.entries.append(("ran", _command(call["name"], call.get("args") or {})))
            elif came := part.get("functionResponse"):
                asked.entries.append(("came", text_of(came["response"])))
            elif part.get("text"):
                asked.entries.append(("said" if content.get("role") == "model" else "told", part["text"]))
    return asked


READERS = {
    "/messages": _read_messages,
    "/responses": _read_responses,
    "/chat/completions": _read_chat,
    ":generateContent": _read_gemini,
    ":streamGenerateContent": _read_gemini,
}


def answer(asked: Asked, step: Step) -> tuple[str, bytes]:
    """Return the content type and the body that say a step."""
    events = WRITERS[asked.wire](asked, step)
    if not asked.streamed:
        return "application/json", json.dumps(_whole(asked, list(events))).encode()
    named = asked.wire in ("messages", "responses")
    lines = [(f"event: {event['type']}\n" if named else "") + f"data: {json.dumps(event)}\n\n" for event in events]
    return "text/event-stream", ("".join(lines) + "data: [DONE]\n\n" * (asked.wire == "chat")).encode()


def _arguments(asked: Asked, step: Step) -> dict[str, str]:
    more = {"description": "run it"} if asked.shell != "exec_command" else {}
    return {SHELLS[asked.shell]: step.command, **more}


def _write_messages(asked: Asked, step: Step) -> Iterator[dict[str, Any]]:
    usage = {"input_tokens": step.input_tokens, "output_tokens": 1}
    usage |= {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    message = {"id": f"msg_{next(_ids):024d}", "type": "message", "role": "assistant", "model": asked.model}
    message |= {"content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
    yield {"type": "message_start", "message": message}
    blocks = [({"type": "text", "text": ""}, {"type": "text_delta", "text": step.text})]
    if step.command:
        call = {"type": "tool_use", "id": f"toolu_{next(_ids):020d}", "name": asked.shell, "input": {}}
        given = json.dumps(_arguments(asked, step))
        blocks.append((call, {"type": "input_json_delta", "partial_json": given}))
    for index, (block, delta) in enumerate(blocks):
        yield {"type": "content_block_start", "index": index, "content_block": block}
        yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    ended = {"stop_reason": "tool_use" if step.command else "end_turn", "stop_sequence": None}
    yield {"type": "message_delta", "delta": ended, "usage": {"output_tokens": 20}}
    yield {"type": "message_stop"}


def _write_responses(asked: Asked, step: Step) -> Iterator[dict[str, Any]]:
    response = {"id": f"resp_{next(_ids):024d}", "object": "response", "created_at": int(time.time())}
    response |= {"model": asked.model, "status": "in_progress", "output": []}
    yield {"type": "response.created", "response": response}
    said = {"type": "output_text", "text": step.text, "annotations": []}
    items = [{"type": "message", "role": "assistant", "content": [said]}]
    if step.command:
        given = json.dumps(_arguments(asked, step))
        call = {"type": "function_call", "call_id": f"call_{next(_ids)}", "name": asked.shell, "arguments": given}
        items.append(call)
    for index, item in enumerate(items):
        item |= {"id": f"item_{next(_ids)}", "status": "completed"}
        yield {"type": "response.output_item.added", "output_index": index, "item": item}
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    usage = {"input_tokens": step.input_tokens, "output_tokens": 20, "total_tokens": step.input_tokens + 20}
    usage |= {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    ended = response | {"status": "completed", "output": items, "usage": usage}
    yield {"type": "response.completed", "response": ended}


def _write_chat(asked: Asked, step: Step) -> Iterator[dict[str, Any]]:
    chunk = {"id": f"chatcmpl-{next(_ids)}", "object": "chat.completion.chunk", "created": int(time.time())}
    chunk["model"] = asked.model
    delta: dict[str, Any] = {"role": "assistant", "content": step.text}
    if step.command:
        function = {"name": asked.shell, "arguments": json.dumps(_arguments(asked, step))}
        delta["tool_calls"] = [{"index": 0, "id": f"call_{next(_ids)}", "type": "function", "function": function}]
    yield {**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    usage = {"prompt_tokens": step.input_tokens, "completion_tokens": 20, "total_tokens": step.input_tokens + 20}
    ended = {"index": 0, "delta": {}, "finish_reason": "tool_calls" if step.command else "stop"}
    yield {**chunk, "choices": [ended], "usage": usage}


def _write_gemini(asked: Asked, step: Step) -> Iterator[dict[str, Any]]:
    parts: list[dict[str, Any]] = [{"text": step.text}]
    if step.command:
        parts.append({"functionCall": {"name": asked.shell, "args": _arguments(asked, step)}})
    candidate = {"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}
    counts = {"promptTokenCount": step.input_tokens, "candidatesTokenCount": 20, "totalTokenCount": 30}
    yield {"candidates": [candidate], "usageMetadata": counts}


WRITERS = {
    "messages": _write_messages,
    "responses": _write_responses,
    "chat": _write_chat,
    "gemini": _write_gemini,
}


def _whole(asked: Asked, events: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the answer that is not streamed; only side requests ask for one, and none of them runs a command."""
    if asked.wire == "messages":
        said = {"type": "text", "text": events[2]["delta"]["text"]}
        return {**events[0]["message"], "content": [said], "stop_reason": "end_turn"}
    if asked.wire == "chat":
        message = {"role": "assistant", "content": events[0]["choices"][0]["delta"]["content"]}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return {**events[1], "object": "chat.completion", "choices": [choice]}
    return events[-1]
