"""What hooks answer, in the shapes of the table of agents, reaches the model of each real program."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from agents import programs, sessions
from agents.offline import PATIENCE, Offline, offline

from peercoord.integrations import settings
from peercoord.integrations.agents import AGENTS, START, STOP, TOOLS, CodingAgent

Json = dict[str, Any]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

HOOK = """\
#!/bin/sh
# Keeps what it was told, and gives the first answer that is left. A waiter waits for a line, and wakes the session.
cat > "$0.$1.told"
[ -p "$0.events" ] && echo "$1" > "$0.events"
[ "$1" = wait ] && [ -p "$0.wakes" ] && read -r text < "$0.wakes" && echo "$text" >&2 && exit 2
for answer in "$0.$1".*.json; do
  [ -f "$answer" ] && cat "$answer" && rm "$answer" && exit
done
exit 0
"""
ALLOW = {"permissions": {"allow": ["Bash(./say.sh *)"]}}
SAY = "#!/bin/sh\necho said $2\n"


def answers(world: Offline, agent: CodingAgent, given: dict[str, list[Json]]) -> Json:
    """Write a hook with the answers to each event; return the settings that name it."""
    hook = world.home / "hook.sh"
    hook.write_text(HOOK)
    hook.chmod(0o755)
    for event, texts in given.items():
        for number, answer in enumerate(texts):
            Path(f"{hook}.{event}.{number}.json").write_text(json.dumps(answer))
    say = world.worktree(1) / "say.sh"
    say.write_text(SAY)
    say.chmod(0o755)
    return settings.hooks(agent, str(hook))


def work(world: Offline, agent: str, hooks: Json) -> int:
    """Let a session with these hooks work and end."""
    user = world.home / "user"
    options = []
    if agent == "claude":
        options = world.settings(hooks | ALLOW)
    elif agent == "codex":
        sessions.write(user / ".codex" / "hooks.json", hooks)
        options = sessions.BYPASS
    elif agent == "copilot":
        sessions.write(user / ".copilot" / "hooks" / "peercoord.json", hooks)
    else:
        sessions.variables(world, agent)
        settings_file = user / ".gemini" / "settings.json"
        settings_file.write_text(json.dumps(json.loads(settings_file.read_text()) | hooks))
    return world.session(agent, 1, "Work.", *options).wait(PATIENCE)


@pytest.mark.parametrize("key", ["claude", "codex", "gemini", "copilot"])
def test_a_model_is_told_at_start_after_tools_and_instead_of_a_stop(tmp_path: Path, key: str) -> None:
    programs.find(key)
    agent = AGENTS[key]
    with offline(tmp_path) as world:
        world.make(1)
        given = {
            START: [agent.context(START, "Known at the start: `./say.sh request start`")],
            TOOLS: [{}, agent.context(TOOLS, "Known after the tools.")],
            STOP: [
                agent.ask("Asked at the stop: `./say.sh request stop`"),
                agent.go_on("Next: `./say.sh request next`"),
            ],
        }
        assert work(world, key, answers(world, agent, given)) == 0
        said = [command for command in world.commands("instance-1") if command]
        assert said == ["./say.sh request start", "./say.sh request stop", "./say.sh request next"]
        asked = [told["entries"] for told in world.told if told.get("entries")]
        assert any("Known after the tools." in text for _, text in asked[-1])
        told = {event: json.loads((tmp_path / f"hook.sh.{event}.told").read_text()) for event in (START, TOOLS, STOP)}
        assert all(one["cwd"] == str(world.worktree(1)) for one in told.values())


@pytest.mark.parametrize("key", ["claude", "codex"])
def test_a_model_is_told_again_after_a_compaction(tmp_path: Path, key: str) -> None:
    programs.find(key)
    agent = AGENTS[key]
    with offline(tmp_path, {"instance-1": {"1": "compact"}}) as world:
        world.make(1)
        told = [agent.context(START, f"Known: `./say.sh request {when}`") for when in ("first", "again")]
        assert work(world, key, answers(world, agent, {START: told})) == 0
        assert [command for command in world.commands("instance-1") if command] == [
            "./say.sh request first",
            "./say.sh request again",
        ]
        assert json.loads((tmp_path / "hook.sh.start.told").read_text())["source"] == "compact"
        assert (tmp_path / "hook.sh.compact.told").exists()
        assert any("aside" in told for told in world.told)


@pytest.mark.skipif(not shutil.which("tmux"), reason="tmux is not installed")
def test_an_idle_claude_is_woken_and_its_limit_is_told(tmp_path: Path) -> None:
    program = programs.find("claude")
    with offline(tmp_path, {"instance-1": {"3": "limit", "4": "limit"}}) as world:
        world.make(1)
        for pipe in ("events", "wakes"):
            os.mkfifo(tmp_path / f"hook.sh.{pipe}")
        options = world.settings(answers(world, AGENTS["claude"], {}) | ALLOW)
        with os.fdopen(os.open(tmp_path / "hook.sh.events", os.O_RDWR)) as events:  # opened for both: it never ends
            words = [program, "--permission-mode", "acceptEdits", *options, "Work."]
            world.run("tmux", "new-session", "-d", *words, at=world.worktree(1), **sessions.variables(world, "claude"))
            seen: list[str] = []
            while not {"stop", "wait"} <= {*seen}:  # they are started at one time, so either may come first
                seen.append(events.readline().strip())
            assert {*seen} == {"start", "prompt", "stop", "wait"}
            (tmp_path / "hook.sh.wakes").write_text("Known: `./say.sh request woken`\n")
            assert world.until(lambda told: "woken" in told.get("command", ""))
            seen = list(iter(lambda: events.readline().strip(), "stop-failure"))
            assert "tools" in seen
            assert "stop" not in seen
            failed = json.loads((tmp_path / "hook.sh.stop-failure.told").read_text())
            assert failed["error"] == "rate_limit"
