"""`setup X --check` fires a hook, and finds what silences hooks."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from peercoord.integrations import check
from peercoord.integrations.agents import CLAUDE, CODEX, COPILOT, GEMINI
from peercoord.integrations.setup import PersonalSetup

NOW = 1_900_000_000.0
FAKE_CODEX = """\
#!/bin/sh
for last; do :; done
[ "$last" = app-server ] || exit 1
while read -r line; do
  case $line in *hooks/list*) cat "$CODEX_HOME/listed"; exit ;; esac
  echo '{"id":1,"result":{}}'
done
"""


@pytest.fixture
def person(tmp_path: Path, monkeypatch) -> PersonalSetup:
    monkeypatch.setattr(check, "MANAGED", tmp_path / "managed")
    monkeypatch.setattr(check.clock, "wall", lambda: NOW)
    return PersonalSetup({"HOME": str(tmp_path)})


def found(person: PersonalSetup, agent, project: Path | None = None) -> list[tuple[str, str]]:
    return [(one.state, one.text) for one in check.check(person, agent, project)]


def fire(person: PersonalSetup, agent, seconds: int) -> None:
    """Leave the mark of a hook that fired some seconds ago."""
    mark = person.home / f"fired-{agent.key}"
    mark.touch()
    then = NOW - seconds
    os.utime(mark, (then, then))


def test_without_set_up_it_says_what_to_type(person):
    (one,) = check.check(person, CLAUDE)
    assert (one.state, one.fix) == ("warning", "peercoord setup claude")


@pytest.mark.parametrize(
    ("seconds", "words"), [(9, "9 s"), (200, "3 min"), (7300, "2 h"), (3 * 86400, "3 d"), (-50, "0 s")]
)
def test_hooks_that_work_say_when_they_last_fired(person, seconds, words):
    person.set_up(CLAUDE)
    fire(person, CLAUDE, seconds)
    assert found(person, CLAUDE) == [("ok", f"hooks work, last fired {words} ago")]


def test_the_check_itself_is_not_taken_for_a_session(person):
    person.set_up(GEMINI)
    for _ in range(2):
        ((state, text),) = found(person, GEMINI)
        assert (state, "Gemini CLI itself has fired none yet" in text) == ("warning", True)


def test_a_script_that_fails_is_found_by_firing_it(person):
    person.set_up(CLAUDE)
    person.script.write_text("#!/bin/sh\necho no such module >&2\nexit 1\n")
    assert found(person, CLAUDE) == [("bad", "a hook was fired and failed: no such module")]


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda script: script.unlink(), "is missing"),
        (lambda script: script.chmod(0o644), "is not executable"),
        (lambda script: script.chmod(0o777), "may be written by others"),
    ],
)
def test_a_script_that_must_not_run_is_not_fired(person, spoil, text):
    person.set_up(CLAUDE)
    spoil(person.script)
    ((state, said),) = found(person, CLAUDE)
    assert (state, said.endswith(text)) == ("bad", True)


def test_a_file_that_cannot_be_read_runs_no_hook(person):
    person.set_up(CLAUDE)
    person.target(CLAUDE).write_text("{ broken")
    assert found(person, CLAUDE)[0][0] == "bad"


def test_hooks_of_another_version_are_named(person):
    person.set_up(CLAUDE)
    target = person.target(CLAUDE)
    held = json.loads(target.read_text())
    del held["hooks"]["PreCompact"]
    target.write_text(json.dumps(held))
    assert ("warning", f"{target} has 10 of 11 hooks: it was written by another version, or changed") in found(
        person, CLAUDE
    )


@pytest.mark.parametrize(
    ("where", "key"),
    [
        (".claude/settings.json", "disableAllHooks"),
        ("project/.claude/settings.json", "disableAllHooks"),
        ("project/.claude/settings.local.json", "disableAllHooks"),
        ("managed/managed-settings.json", "disableAllHooks"),
        ("managed/managed-settings.json", "allowManagedHooksOnly"),
        ("managed/managed-settings.d/10-x.json", "allowManagedHooksOnly"),
    ],
)
def test_settings_that_silence_claude(person, tmp_path, where, key):
    path = tmp_path / where
    path.parent.mkdir(parents=True)
    path.write_text(f'{{"{key}": true, /* why not */ }}')
    person.set_up(CLAUDE)
    (said,) = [text for state, text in found(person, CLAUDE, tmp_path / "project") if state == "bad"]
    assert said.startswith(str(path))


def test_settings_that_silence_gemini_and_copilot(person, tmp_path):
    (tmp_path / ".gemini").mkdir()
    (tmp_path / ".gemini/settings.json").write_text('{"hooksConfig": {"enabled": false}}')
    (tmp_path / "project/.gemini").mkdir(parents=True)
    (tmp_path / "project/.gemini/settings.json").write_text('{"hooksConfig": {"disabled": ["peercoord-stop"]}}')
    (tmp_path / ".copilot").mkdir()
    (tmp_path / ".copilot/config.json").write_text('{"disableAllHooks": true}')
    for agent in (GEMINI, COPILOT):
        person.set_up(agent)
    assert [state for state, _ in found(person, GEMINI, tmp_path / "project")] == ["bad", "bad"]
    assert [state for state, _ in found(person, COPILOT)] == ["bad"]


@pytest.mark.parametrize(
    ("version", "states"), [("0.25.2", ["bad"]), ("0.26.0", ["warning"]), ("1.2.0", ["warning"]), ("?", ["warning"])]
)
def test_a_gemini_that_is_too_old_for_hooks(person, tmp_path, monkeypatch, version, states):
    program = tmp_path / "bin/gemini"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n[ $1 = --version ] && echo '{version}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    person.set_up(GEMINI)
    assert [state for state, _ in found(person, GEMINI)] == states


@pytest.mark.parametrize(
    ("rules", "state"),
    [
        ({}, "warning"),
        ({"{}/trees": "TRUST_FOLDER"}, ""),
        ({"{}/trees/one": "TRUST_FOLDER"}, ""),
        ({"{}/trees/other": "TRUST_PARENT"}, ""),
        ({"{}/trees/other": "TRUST_FOLDER"}, "warning"),
        ({"{}/tree": "TRUST_FOLDER"}, "warning"),
        ({"{}/trees/one": "DO_NOT_TRUST", "{}": "TRUST_FOLDER"}, "bad"),
        ({"{}/trees/one": "TRUST_FOLDER", "{}/trees": "DO_NOT_TRUST"}, ""),
        ({"{}/trees": 7}, "warning"),
    ],
)
def test_a_worktree_that_gemini_does_not_trust(person, tmp_path, monkeypatch, rules, state):
    for name in ("GEMINI_CLI_TRUST_WORKSPACE", "GEMINI_CLI_TRUSTED_FOLDERS_PATH"):
        monkeypatch.delenv(name, raising=False)
    tree = tmp_path / "trees/one"
    tree.mkdir(parents=True)
    (tmp_path / ".gemini").mkdir()
    written = {name.replace("{}", str(tmp_path)): rule for name, rule in rules.items()}
    (tmp_path / ".gemini/trustedFolders.json").write_text(json.dumps(written))
    assert [one.state for one in check.distrust(person, [str(tree)])] == ([state] if state else [])
    (tmp_path / ".gemini/settings.json").write_text('{"security": {"folderTrust": {"enabled": false}}}')
    assert [*check.distrust(person, [str(tree)])] == []


def test_up_says_what_to_type_before_a_launched_gemini_has_hooks(person, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.delenv("GEMINI_CLI_HOME", raising=False)
    (said,) = check.note(GEMINI, [str(tmp_path)])
    assert "it is told its first prompt, no more" in said
    assert said.endswith("peercoord setup gemini")
    person.set_up(GEMINI)
    (said,) = check.note(GEMINI, [str(tmp_path)])
    assert said.startswith(f"Gemini CLI does not trust {tmp_path} yet")
    (tmp_path / ".gemini/trustedFolders.json").write_text(json.dumps({str(tmp_path): "TRUST_FOLDER"}))
    assert check.note(GEMINI, [str(tmp_path)]) == []


@pytest.fixture
def codex(person, tmp_path, monkeypatch):
    """A program that lists hooks as Codex does; the test says how many were reviewed."""
    program = tmp_path / "bin/codex"
    program.parent.mkdir()
    program.write_text(FAKE_CODEX)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    person.set_up(CODEX)
    fire(person, CODEX, 1)

    def listed(**states: str) -> None:
        hooks = [
            {"command": f"{person.script} {word} codex", "trustStatus": states.get(word, "trusted"), "enabled": True}
            for word in CODEX.events
        ]
        hooks.append({"command": "/other/hook.sh", "trustStatus": "untrusted", "enabled": True})
        answer = {"id": 2, "result": {"data": [{"hooks": hooks}]}}
        (tmp_path / ".codex/listed").write_text(json.dumps(answer) + "\n")

    return listed


def test_hooks_that_codex_skips_unreviewed_are_counted(person, codex):
    codex(stop="untrusted", start="modified")
    assert found(person, CODEX) == [("bad", "Codex skips 2 of 7 hooks without a word: they were not reviewed")]
    codex()
    assert [state for state, _ in found(person, CODEX)] == ["ok"]


@pytest.mark.parametrize("answer", ["", "garbage\n", '{"id": 2, "error": {}}\n', '{"id": 2, "result": {"data": []}}\n'])
def test_a_codex_that_does_not_answer_is_said(person, codex, answer, tmp_path):
    (tmp_path / ".codex/listed").write_text(answer)
    assert ("warning", "whether Codex's hooks were reviewed is not known: codex does not answer") in found(
        person, CODEX
    )


def test_a_codex_that_is_not_installed_is_said(person, codex, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    text = "whether Codex's hooks were reviewed is not known: codex is not installed"
    assert ("warning", text) in found(person, CODEX)


def test_hooks_that_are_switched_off_in_codex(person, codex, tmp_path):
    codex()
    (tmp_path / ".codex/config.toml").write_text("[features]\nhooks = false\n")
    assert ("bad", f"{tmp_path}/.codex/config.toml disables all hooks") in found(person, CODEX)


def test_hooks_of_a_launched_codex_that_were_not_reviewed(person, codex, tmp_path):
    hooks = tmp_path / "app/.claude-coordination/hooks"
    answer = [{"command": f"{hooks}/hook.sh {word} codex", "trustStatus": "untrusted"} for word in CODEX.events]
    listed = tmp_path / ".codex/listed"
    listed.write_text(json.dumps({"id": 2, "result": {"data": [{"hooks": answer}]}}) + "\n")
    text = "Codex skips 7 of 7 hooks without a word: they were not reviewed"
    (one,) = check.launched(tmp_path / ".codex", hooks, tmp_path)
    assert (one.text, one.fix) == (text, "in its window, type /hooks, and trust those of peercoord")
    listed.write_text(listed.read_text().replace("untrusted", "trusted"))
    assert [*check.launched(tmp_path / ".codex", hooks, tmp_path)] == []
