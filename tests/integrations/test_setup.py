"""`setup X` and `setup X --remove` leave a person's files byte for byte, whatever shape they have."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
from pathlib import Path

import pytest

from peercoord.errors import PeercoordError
from peercoord.integrations.agents import AGENTS, CLAUDE, CODEX, COPILOT, GEMINI, OPENCODE
from peercoord.integrations.setup import BLOCK, COMMITS, PersonalSetup

EDITED = (CLAUDE, CODEX, GEMINI)
OTHERS = '{"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "/usr/bin/say done"}]}]}}'
SHAPES = {
    "empty": b"",
    "plain": b'{\n  "model": "opus"\n}\n',
    "no newline at the end": b'{"model": "opus"}',
    "comments": b'// mine\n{\n  /* a */ "model": "opus", // b\n  // c\n}\n',
    "last commas": b'{\n  "permissions": {"allow": ["Bash(ls)",],},\n}\n',
    "windows": b'{\r\n\t"model": "opus",\r\n\t"hooks": {\r\n\t}\r\n}\r\n',
    "byte order mark": b'\xef\xbb\xbf{\n  "model": "opus"\n}\n',
    "other people's hooks": f"{OTHERS}\n".encode(),
    "letters": '{"model": "opus", "note": "äöü \U0001f600"}'.encode(),
}


@pytest.fixture
def person(tmp_path: Path) -> PersonalSetup:
    return PersonalSetup({"HOME": str(tmp_path / "home")})


def everything(path: Path) -> dict[str, object]:
    """All files and directories below a path, with what they hold and their modes."""
    found: dict[str, object] = {}
    for one in sorted(path.rglob("*")):
        mode = stat.S_IMODE(one.lstat().st_mode)
        found[str(one.relative_to(path))] = (
            mode,
            os.readlink(one) if one.is_symlink() else one.read_bytes() if one.is_file() else None,
        )
    return found


def put(person: PersonalSetup, agent, data: bytes, mode: int = 0o640) -> Path:
    target = person.target(agent)
    target.parent.mkdir(parents=True, exist_ok=True)
    (target.parent.parent.parent / ".local/share").mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    target.chmod(mode)
    return target


def commands(person: PersonalSetup, agent) -> list[str]:
    text = person.target(agent).read_text(encoding="utf-8-sig")
    return [word for word in text.split('"') if str(person.script) in word]


@pytest.mark.parametrize("agent", EDITED, ids=lambda agent: agent.key)
@pytest.mark.parametrize("data", SHAPES.values(), ids=SHAPES)
def test_every_byte_of_a_file_comes_back(person, agent, data, tmp_path):
    put(person, agent, data)
    before = everything(tmp_path)
    assert person.set_up(agent)
    assert len(commands(person, agent)) == sum(1 + len(event.also) for event in agent.events.values())
    assert person.set_up(agent) == []
    assert person.remove(agent)
    assert everything(tmp_path) == before
    assert person.remove(agent) == []


@pytest.mark.parametrize("agent", AGENTS.values(), ids=lambda agent: agent.key)
def test_where_nothing_was_nothing_is_left(person, agent, tmp_path):
    person.set_up(agent)
    assert str(person.script) in person.target(agent).read_text()
    assert os.access(person.script, os.X_OK)
    person.remove(agent)
    assert everything(tmp_path) == {}


def test_codex_may_be_let_commit(person, tmp_path):
    assert not person.rules.exists()
    person.set_up(CODEX)
    assert not person.rules.exists()
    assert person.set_up(CODEX, commits=True) == [f"wrote {person.rules}"]
    assert person.set_up(CODEX, commits=True) == []
    person.rules.write_text("mine\n")
    with pytest.raises(PeercoordError, match="edited since"):
        person.set_up(CODEX, commits=True)
    with pytest.raises(PeercoordError, match="edited since"):
        person.remove(CODEX)
    assert person.rules.read_text() == "mine\n"
    person.rules.write_text(COMMITS)
    person.remove(CODEX)
    assert everything(tmp_path) == {}


def test_a_link_stays_a_link(person, tmp_path):
    kept = tmp_path / "dotfiles/claude.json"
    kept.parent.mkdir()
    kept.write_text('{"model": "opus"}')
    target = put(person, CLAUDE, b"")
    target.unlink()
    target.symlink_to(os.path.relpath(kept, target.parent))
    before = everything(tmp_path)
    person.set_up(CLAUDE)
    assert target.is_symlink()
    assert str(person.script) in kept.read_text()
    person.remove(CLAUDE)
    assert everything(tmp_path) == before


@pytest.mark.parametrize(
    ("data", "mode", "why"),
    [
        (b'{"model": "opus"}', 0o440, "read-only"),
        (b'{"model": ', 0o640, "line 1, column 11"),
        (b'{"hooks": []}', 0o640, "line 1, column 11"),
        (b"\xff\xfe{\0}\0", 0o640, "not UTF-8"),
        (b"// nothing\n", 0o640, "comments alone"),
    ],
)
def test_what_cannot_be_edited_is_refused_and_says_what_to_type(person, data, mode, why, tmp_path):
    target = put(person, CLAUDE, data, mode)
    before = everything(tmp_path)
    with pytest.raises(PeercoordError, match=why) as refused:
        person.set_up(CLAUDE)
    assert str(target) in refused.value.message
    assert "peercoord setup claude --print" in refused.value.hint
    assert everything(tmp_path) == before


def test_a_pipe_or_a_directory_in_its_place_is_refused(person):
    target = person.target(CLAUDE)
    target.parent.mkdir(parents=True)
    os.mkfifo(target)
    with pytest.raises(PeercoordError, match="no regular file"):
        person.set_up(CLAUDE)
    target.unlink()
    target.mkdir()
    with pytest.raises(PeercoordError, match="no regular file"):
        person.set_up(CLAUDE)


def test_what_the_person_changed_meanwhile_stays(person):
    target = put(person, CLAUDE, b'{\n  "model": "opus"\n}\n')
    person.set_up(CLAUDE)
    target.write_text(target.read_text().replace('"model": "opus"', '"model": "haiku",\n  "theme": "dark"'))
    person.remove(CLAUDE)
    assert target.read_text() == '{\n  "model": "haiku",\n  "theme": "dark"\n}\n'


def test_what_the_agent_has_written_again_is_taken_out_by_its_command(person):
    target = put(person, CLAUDE, OTHERS.encode())
    person.set_up(CLAUDE)
    target.write_text(json.dumps(json.loads(target.read_text()), indent=7))
    person.remove(CLAUDE)
    assert json.loads(target.read_text()) == json.loads(OTHERS)


def test_without_the_record_the_hooks_are_found_all_the_same(person):
    target = put(person, GEMINI, OTHERS.encode())
    person.set_up(GEMINI)
    (person.home / "setup.json").unlink()
    assert person.set_up(GEMINI) == []
    assert (person.home / "setup.json").exists()
    assert len(commands(person, GEMINI)) == len(GEMINI.events)
    (person.home / "setup.json").unlink()
    person.remove(GEMINI)
    assert json.loads(target.read_text()) == json.loads(OTHERS)


def test_a_file_that_we_made_and_the_person_filled_stays(person):
    person.set_up(CODEX)
    target = person.target(CODEX)
    target.write_text(target.read_text().replace('"hooks"', '"description": "mine",\n  "hooks"', 1))
    person.remove(CODEX)
    assert json.loads(target.read_text()) == {"description": "mine"}


def test_a_file_of_our_name_that_is_not_ours_is_left(person):
    put(person, COPILOT, b'{"version": 1}')
    with pytest.raises(PeercoordError, match="not peercoord's"):
        person.set_up(COPILOT)


def test_the_script_stays_while_another_agent_needs_it(person):
    person.set_up(CLAUDE)
    person.set_up(CODEX)
    person.remove(CLAUDE)
    assert person.script.exists()
    assert commands(person, CODEX)
    person.remove(CODEX)
    assert not person.home.exists()


@pytest.mark.parametrize("data", [None, b"", b"# Mine\n", b"# Mine", b"# Mine\r\n\r\ntext\r\n"])
def test_a_block_of_instructions_comes_and_goes(person, tmp_path, data):
    home = tmp_path / "project"
    home.mkdir()
    (tmp_path / "home").mkdir()
    page = home / "AGENTS.md"
    if data is not None:
        page.write_bytes(data)
    before = everything(tmp_path)
    assert f"added a block to {page}" in person.set_up(CODEX, page)
    assert page.read_bytes().startswith(data or b"")
    assert page.read_bytes().replace(b"\r\n", b"\n").endswith(BLOCK.encode())
    assert person.set_up(CODEX, page) == []
    person.remove(CODEX)
    assert everything(tmp_path) == before


def test_a_block_that_was_edited_goes_with_its_marks(person, tmp_path):
    page = tmp_path / "AGENTS.md"
    page.write_text("# Mine\n")
    person.set_up(CODEX, page)
    page.write_text(page.read_text().replace("## Team", "## Our team") + "more\n")
    person.remove(CODEX)
    assert page.read_text() == "# Mine\n\nmore\n"


def test_directories_of_the_agents_own_variables(tmp_path):
    named = {name: str(tmp_path / name) for name in ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "COPILOT_HOME")}
    person = PersonalSetup({"HOME": "/home/nobody", **named, "XDG_DATA_HOME": "relative/is/ignored"})
    assert person.target(CLAUDE) == tmp_path / "CLAUDE_CONFIG_DIR/settings.json"
    assert person.target(CODEX) == tmp_path / "CODEX_HOME/hooks.json"
    assert person.target(COPILOT) == tmp_path / "COPILOT_HOME/hooks/peercoord.json"
    assert person.home == Path("/home/nobody/.local/share/peercoord")


def run_script(person, event: str, directory: Path, **env: str):
    return subprocess.run(
        [str(person.script), event, "claude"],
        cwd=directory,
        input="{}",
        text=True,
        capture_output=True,
        check=False,
        env={"PATH": os.environ["PATH"], **env},
    )


@pytest.fixture
def spy(person, tmp_path):
    """The script with a program in Python's place that writes what it was called with."""
    person.set_up(CLAUDE)
    program = tmp_path / "python"
    program.write_text('#!/bin/sh\necho "$@"; cat; exit "${STATUS:-0}"\n')
    program.chmod(0o755)
    text = re.sub(r"^python=.*", f"python={program}", person.script.read_text(), flags=re.MULTILINE)
    person.script.write_text(text)
    return program


def test_the_script_is_silent_outside_of_a_team(person, spy, tmp_path):
    assert (run := run_script(person, "stop", tmp_path)).returncode == 0
    assert run.stdout + run.stderr == ""


def test_the_script_calls_from_anywhere_in_a_worktree(person, spy, tmp_path):
    below = tmp_path / "my tree" / "src"
    below.mkdir(parents=True)
    (below.parent / ".claude-instance").mkdir()
    run = run_script(person, "stop", below)
    assert run.stdout.endswith("-m peercoord hook stop --agent claude\n{}")
    assert (person.home / "fired-claude").exists()


def test_a_session_with_hooks_of_its_own_is_not_told_twice(person, spy, tmp_path):
    (tmp_path / ".claude-instance").mkdir()
    assert run_script(person, "stop", tmp_path, PEERCOORD_WORKTREE=str(tmp_path)).stdout == ""


@pytest.mark.parametrize(("event", "code"), [("stop", 0), ("wait", 2)])
def test_only_a_waiter_may_say_two(person, spy, tmp_path, event, code):
    (tmp_path / ".claude-instance").mkdir()
    assert run_script(person, event, tmp_path, STATUS="2").returncode == code
    assert run_script(person, "wait", tmp_path, STATUS="2", CLAUDE_CODE_SESSION_ATTENDED="0").returncode == 0


def test_an_installation_that_is_gone_disturbs_nobody(person, spy, tmp_path):
    (tmp_path / ".claude-instance").mkdir()
    spy.unlink()
    run = run_script(person, "stop", tmp_path)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_the_script_hands_over_to_that_of_a_team_that_it_knows(person, spy, tmp_path):
    """What the worktree itself says of a script is not believed: the note lies beside the person's."""
    (tmp_path / ".claude-instance").mkdir()
    team = tmp_path / "it's the team's"
    person.note_team(str(tmp_path), str(team))
    done = run_script(person, "tools", tmp_path)
    assert (done.stdout[:1], done.stderr) == ("-", ""), "there is no such script any more"
    team.write_text('#!/bin/sh\necho "$@"\necho woken >&2\nexit 2\n')
    team.chmod(0o755)
    done = run_script(person, "wait", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (2, f"wait claude {tmp_path}\n", "woken\n")
    (person.home / "at" / "other").write_text("no directory")
    person.note_team("/other/tree", str(team))  # what cannot be noted disturbs no session
    person.remove(CLAUDE)
    assert not person.home.exists()
    person.note_team(str(tmp_path), str(team))
    assert not person.home.exists(), "nothing is noted for a person who has set nothing up"


def test_what_a_person_put_into_a_file_of_ours_is_kept(person):
    person.set_up(COPILOT)
    person.set_up(OPENCODE)
    hooks, plugin = person.target(COPILOT), person.target(OPENCODE)
    content = json.loads(hooks.read_text())
    content["hooks"]["sessionStart"].append({"type": "command", "bash": "mine"})
    hooks.write_text(json.dumps(content))
    with pytest.raises(PeercoordError, match="was edited since"):
        person.set_up(COPILOT)
    person.remove(COPILOT)
    assert json.loads(hooks.read_text())["hooks"] == {"sessionStart": [{"type": "command", "bash": "mine"}]}
    plugin.write_text(plugin.read_text() + "// mine\n")
    with pytest.raises(PeercoordError, match="was edited since"):
        person.remove(OPENCODE)
    assert plugin.read_text().endswith("// mine\n")
