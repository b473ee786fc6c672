"""Do the hooks of a person's coding agents fire? And if not, what silences them?

A hook that does not fire says nothing, so each known way to silence it is looked for, and one hook is fired.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import tomllib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peercoord.errors import PeercoordError
from peercoord.foreign import counted, plain
from peercoord.integrations import jsonc, launch, settings
from peercoord.integrations.agents import CLAUDE, CODEX, COPILOT, GEMINI, OPENCODE
from peercoord.store import paths
from peercoord.system import clock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from peercoord.foreign import Json
    from peercoord.integrations.agents import CodingAgent
    from peercoord.integrations.setup import PersonalSetup

FIRE_SECONDS = 30.0
ANSWER_SECONDS = 20.0  # for Codex to list its hooks
OK, WARNING, BAD = "ok", "warning", "bad"
MANAGED = Path("/etc/claude-code")
HOOKS_OF_GEMINI = (0, 26)  # the first version that runs hooks unless it is told not to


@dataclass(frozen=True, slots=True)
class Finding:
    """One line about the hooks of a coding agent.

    Attributes:
        state: ``ok``, ``warning`` or ``bad``.
        text: What was found.
        fix: What to type or do; empty if nothing.
    """

    state: str
    text: str
    fix: str = ""


def check(
    person: PersonalSetup, agent: CodingAgent, project: Path | None = None, trees: Sequence[str] = ()
) -> list[Finding]:
    """Check the hooks of a coding agent.

    Args:
        person: What is set up for the person.
        agent: The coding agent.
        project: A directory whose own settings count too.
        trees: The worktrees in which its sessions run.
    """
    target = person.target(agent)
    again = f"peercoord setup {agent.key}"
    here = _handlers(person, agent)
    if here is None:
        return [Finding(BAD, f"{plain(target)} cannot be read as JSON, so that no hook of it runs", "mend the file")]
    if not here:
        return [Finding(WARNING, f"{agent.title} has no hooks of peercoord's in {plain(target)}", again)]
    found = list(_silenced(person, agent, project, trees))
    wanted = len(agent.events) if agent is OPENCODE else _count(settings.hooks(agent, str(person.script)), person)
    if here != wanted:
        text = f"{plain(target)} has {here} of {wanted} hooks: it was written by another version, or changed"
        found.append(Finding(WARNING, text, again))
    if trouble := _trouble(person.script):
        found.append(Finding(BAD, f"{plain(person.script)} {trouble}", again))
    elif said := _fired(person.script, agent):
        found.append(Finding(BAD, f"a hook was fired and failed: {plain(said)}", again))
    if any(one.state == BAD for one in found):
        return found
    since = last_fired(person.home, agent)
    if since is None:
        text = f"a hook was fired and works; {agent.title} itself has fired none yet"
        return [*found, Finding(WARNING, text, f"start {agent.program} in any directory, then check again")]
    return [*found, Finding(OK, f"hooks work, last fired {since} ago")]


def last_fired(home: Path, agent: CodingAgent) -> str | None:
    """Return how long ago a script in a directory was last called for an agent; ``None`` if never."""
    try:
        seconds = max(0, int(clock.wall() - (home / f"fired-{agent.key}").stat().st_mtime))
    except OSError:
        return None
    size, unit = next(((s, u) for s, u in ((86400, "d"), (3600, "h"), (60, "min")) if seconds >= s), (1, "s"))
    return f"{seconds // size} {unit}"


def _handlers(person: PersonalSetup, agent: CodingAgent) -> int | None:
    """Count our handlers in the file that an agent reads; ``None`` if it cannot be read."""
    text = _text(person.target(agent))
    if agent is OPENCODE:
        return len(agent.events) if text == person.content(agent) else int(str(person.script) in text)
    try:
        value = jsonc.plain(jsonc.parse(text)) if text.strip() else {}
    except jsonc.JsonError:
        return None
    return _count(value, person)


def _count(value: Any, person: PersonalSetup) -> int:
    return sum(settings.is_handler(entry, str(person.script)) for entry in _objects(value))


def _objects(value: Any) -> Iterator[Json]:
    if isinstance(value, dict):
        yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _objects(one)


def _trouble(script: Path) -> str:
    """Return why a script must not or cannot be run; empty if all is well."""
    try:
        seen = script.stat()
    except OSError:
        return "is missing"
    if not os.access(script, os.X_OK):
        return "is not executable"
    if seen.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or seen.st_uid not in (0, os.getuid()):
        return "may be written by others"
    return ""


def _fired(script: Path, agent: CodingAgent) -> str:
    """Call the script as an agent does; return what went wrong, empty if nothing."""
    try:
        done = subprocess.run(
            [str(script), "check", agent.key],
            cwd="/",
            input=b"{}",
            capture_output=True,
            timeout=FIRE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {FIRE_SECONDS:.0f} s"
    except OSError as error:
        return str(error.strerror)
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return "" if done.returncode == 0 else (said[-1] if said else f"exit status {done.returncode}")


# -- what silences hooks -------------------------------------------------------------------------------------------


def _silenced(
    person: PersonalSetup, agent: CodingAgent, project: Path | None, trees: Sequence[str]
) -> Iterator[Finding]:
    """Find the settings that keep an agent from running our hooks, without a word from it."""
    if agent is CLAUDE:
        yield from _claude(person.target(agent), project)
    elif agent is CODEX:
        yield from _codex(person, project)
    elif agent is GEMINI:
        yield from _gemini(person.target(agent), project)
        yield from distrust(person, trees)
    elif agent is COPILOT:
        path = person.target(agent).parent.parent / "config.json"
        if _object(path).get("disableAllHooks") is True:
            yield Finding(BAD, f"{plain(path)} disables all hooks", "take out there: disableAllHooks")


def _claude(target: Path, project: Path | None) -> Iterator[Finding]:
    own = [target, *(project / ".claude" / name for name in ("settings.json", "settings.local.json") if project)]
    managed = [MANAGED / "managed-settings.json", *sorted(MANAGED.glob("managed-settings.d/*.json"))]
    for path in [*own, *managed]:
        held = _object(path)
        if held.get("disableAllHooks") is True:
            yield Finding(BAD, f"{plain(path)} disables all hooks", "take out there: disableAllHooks")
        if path in managed and held.get("allowManagedHooksOnly") is True:
            text = f"{plain(path)} lets only managed hooks run"
            yield Finding(BAD, text, "ask who manages this machine; without hooks, agents call coordinate.sh")


def _gemini(target: Path, project: Path | None) -> Iterator[Finding]:
    names = [target, *([project / ".gemini" / "settings.json"] if project else [])]
    for path in [*names, Path("/etc/gemini-cli/settings.json")]:
        told = _table(_object(path), "hooksConfig")
        ours = [name for name in told.get("disabled") or [] if str(name).startswith("peercoord-")]
        if told.get("enabled") is False:
            yield Finding(BAD, f"{plain(path)} disables all hooks", "take out there: hooksConfig.enabled")
        elif ours:
            fix = "take them out there: hooksConfig.disabled"
            yield Finding(BAD, f"{plain(path)} disables {', '.join(map(plain, ours))}", fix)
    said = ""
    with suppress(OSError, subprocess.TimeoutExpired):
        asked = [GEMINI.program, "--version"]
        done = subprocess.run(asked, capture_output=True, stdin=subprocess.DEVNULL, timeout=ANSWER_SECONDS, check=False)
        said = done.stdout.decode(errors="replace").strip()
    numbers = re.match(r"(\d+)\.(\d+)\b", said)
    if numbers and (int(numbers[1]), int(numbers[2])) < HOOKS_OF_GEMINI:
        wanted = ".".join(map(str, HOOKS_OF_GEMINI))
        yield Finding(BAD, f"Gemini CLI {plain(said)} runs no hooks", f"install {wanted} or later")


def distrust(person: PersonalSetup, trees: Sequence[str]) -> Iterator[Finding]:
    """Find the worktrees that Gemini CLI does not trust: it begins no session there, and fires no hook."""
    settings_file = person.target(GEMINI)
    asks = _table(_table(_object(settings_file), "security"), "folderTrust").get("enabled", True)
    if asks is False or os.environ.get("GEMINI_CLI_TRUST_WORKSPACE") == "true":
        return
    rules = _object(
        Path(os.environ.get("GEMINI_CLI_TRUSTED_FOLDERS_PATH") or settings_file.parent / "trustedFolders.json")
    )
    for tree in trees:
        trust = _trust(rules, os.path.realpath(tree))
        fix = f"start {GEMINI.program} there and trust the folder, or its parent, when it asks; later by /permissions"
        if trust == "DO_NOT_TRUST":
            yield Finding(BAD, f"Gemini CLI was told not to trust {plain(tree)}: it may fire no hook there", fix)
        elif not trust:
            text = f"Gemini CLI does not trust {plain(tree)} yet: it asks there, and fires no hook before"
            yield Finding(WARNING, text, fix)


def _trust(rules: Json, tree: str) -> str:
    """Return the rule that Gemini CLI applies to a directory: that of the longest name."""
    found = ""
    for name in sorted((name for name, rule in rules.items() if isinstance(rule, str)), key=len):
        covered = os.path.realpath(os.path.dirname(name) if rules[name] == "TRUST_PARENT" else name)
        if covered == "/" or tree == covered or tree.startswith(f"{covered}/"):
            found = rules[name]
    return found


def note(agent: CodingAgent, trees: Sequence[str] = ()) -> list[str]:
    """Return what a person has to do before the hooks of a launched agent run.

    Args:
        agent: The coding agent.
        trees: The worktrees in which it is started.
    """
    from peercoord.integrations.setup import PersonalSetup

    if agent is CODEX:
        asks = "Codex asks in its window to sign in, and whether you trust the hooks, once for all worktrees"
        commits = "It asks before each commit too, unless you let it: peercoord setup codex --allow-commits"
        return [f"{asks}; until then it skips them. {commits}"]
    if agent is GEMINI:
        person = PersonalSetup()
        if person.known(agent) is None:
            text = (
                f"{agent.title} takes hooks from your own settings alone, which have none: it is told its first prompt"
            )
            return [
                f"{text}, no more, and what it does is not seen. Before the next start: peercoord setup {agent.key}"
            ]
        return [f"{one.text}; {one.fix}" for one in distrust(person, trees)]
    return []


def _codex(person: PersonalSetup, project: Path | None) -> Iterator[Finding]:
    config = person.target(CODEX).parent / "config.toml"
    held: Json = {}
    with suppress(tomllib.TOMLDecodeError):
        held = tomllib.loads(_text(config))
    features = held.get("features")
    for name in ("hooks", "codex_hooks"):
        if isinstance(features, dict) and features.get(name) is False:
            yield Finding(BAD, f"{plain(config)} disables all hooks", f"take out there: [features] {name} = false")
    yield from _reviewed(config.parent, str(person.script), project or Path("/"), [CODEX.program], "start codex, type")


def launched(codex_home: Path, hooks: Path, worktree: Path) -> Iterator[Finding]:
    """Check whether Codex runs the hooks with which `up` starts it.

    Args:
        codex_home: The person's directory of Codex, which keeps what was reviewed.
        hooks: The team's directory of hooks and settings.
        worktree: One of the team's worktrees.
    """
    words = launch.command(CODEX, str(hooks), "")
    yield from _reviewed(codex_home, str(hooks / Path(paths.HOOK_SCRIPT).name), worktree, words, "in its window, type")


def _reviewed(home: Path, script: str, directory: Path, words: list[str], begin: str) -> Iterator[Finding]:
    """Find the hooks that Codex skips, since no person has reviewed them or one has switched them off."""
    listed = _codex_hooks(home, directory, words)
    if listed is None:
        silent = "does not answer" if shutil.which(CODEX.program) else "is not installed"
        text = f"whether Codex's hooks were reviewed is not known: {CODEX.program} {silent}"
        yield Finding(WARNING, text, "start codex and type /hooks: it lists those that wait for a review")
        return
    ours = [one for one in listed if str(one.get("command", "")).startswith(script)]
    waiting = [one for one in ours if one.get("trustStatus") not in ("trusted", "managed")]
    if waiting:
        text = f"Codex skips {len(waiting)} of {len(CODEX.events)} hooks without a word: they were not reviewed"
        yield Finding(BAD, text, f"{begin} /hooks, and trust those of peercoord")
    if off := [one for one in ours if one.get("enabled") is False]:
        yield Finding(BAD, f"{counted(off, 'hook')} of peercoord's switched off in Codex", f"{begin} /hooks")


def _codex_hooks(home: Path, directory: Path, words: list[str]) -> list[Json] | None:
    """Ask Codex for its hooks, which starts no session and calls no model; ``None`` if it does not answer."""
    asked: list[Json] = [
        {"id": 1, "method": "initialize", "params": {"clientInfo": {"name": "peercoord", "version": "1"}}},
        {"method": "initialized"},
        {"id": 2, "method": "hooks/list", "params": {"cwds": [str(directory)]}},
    ]
    env = {**os.environ, "CODEX_HOME": str(home)}
    try:
        with subprocess.Popen(
            [*words, "app-server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=env,
            cwd="/",
        ) as process:
            try:
                return _answer(process, asked)
            finally:
                process.kill()
    except OSError:
        return None


def _answer(process: subprocess.Popen[bytes], asked: list[Json]) -> list[Json] | None:
    import threading

    late = threading.Timer(ANSWER_SECONDS, process.kill)  # then reading ends
    late.start()
    try:
        if process.stdin is None or process.stdout is None:
            return None
        process.stdin.write("".join(json.dumps(one) + "\n" for one in asked).encode())
        process.stdin.flush()
        for line in process.stdout:
            with suppress(ValueError, AttributeError, KeyError, TypeError, IndexError):
                answer = json.loads(line)
                if answer.get("id") == 2:
                    hooks = answer["result"]["data"][0]["hooks"]
                    return [one for one in hooks if isinstance(one, dict)]
        return None
    finally:
        late.cancel()


def _table(record: Json, key: str) -> Json:
    found = record.get(key)
    return found if isinstance(found, dict) else {}


def _object(path: Path) -> Json:
    """Read a JSON object that other people wrote; empty if it cannot be read."""
    with suppress(jsonc.JsonError):
        found = jsonc.plain(jsonc.parse(_text(path)))
        return found if isinstance(found, dict) else {}
    return {}


def _text(path: Path) -> str:
    from peercoord.integrations.person_file import PersonFile

    try:
        return PersonFile.read(path, "", may_write=False).text
    except PeercoordError:
        return ""
