"""`peercoord setup`: what it says at each step, and that its options stand alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import answers

from peercoord.cli.main import serve


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("XDG_DATA_HOME", "CLAUDE_CONFIG_DIR", "CODEX_HOME", "PEERCOORD_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(*words: str) -> tuple[int, str]:
    code, out, err = serve(["setup", *words])
    return code, (out + err).decode()


def data(*words: str) -> dict[str, object]:
    out = serve(["setup", *words, "--json"])[1]
    return answers.read(out, "setup", *words)["data"]


def test_each_step_says_what_it_did_and_what_comes_next(home: Path) -> None:
    (home / "CLAUDE.md").write_text("# Mine\n")
    settings = home / ".claude/settings.json"
    assert str(settings) in said("claude", "--print")[1]
    assert not settings.exists(), "it is only shown"
    code, text = said("claude")
    assert (code, f"wrote {settings}" in text) == (0, True)
    assert "peercoord setup claude --block CLAUDE.md" in text, "a block is offered"
    assert (home / "CLAUDE.md").read_text() == "# Mine\n", "and not written"
    assert "nothing to do: Claude Code has its hooks" in said("claude")[1]
    code, text = said("claude", "--check")
    assert (code, "a hook was fired and works" in text) == (0, True)
    assert "added a block to CLAUDE.md" in said("claude", "--block", "CLAUDE.md")[1]
    assert "--block" not in said("claude", "--block", "CLAUDE.md")[1]
    assert f"removed {settings}" in said("claude", "--remove")[1]
    assert sorted(path.name for path in home.iterdir()) == ["CLAUDE.md"]
    assert "nothing of peercoord's is set up for Claude Code" in said("claude", "--remove")[1]


def test_what_silences_hooks_is_an_exit_code(home: Path) -> None:
    said("claude")
    settings = home / ".claude/settings.json"
    settings.write_text(settings.read_text().replace("{", '{"disableAllHooks": true, ', 1))
    code, text = said("claude", "--check")
    assert (code, f"bad: {settings} disables all hooks" in text) == (1, True)


def test_codex_is_told_to_be_asked_for_a_review(home: Path) -> None:
    assert "Codex skips new hooks without a word" in said("codex")[1]


@pytest.mark.parametrize("words", [["--print", "--remove"], ["--check", "--block", "x"]])
def test_options_stand_alone(words: list[str]) -> None:
    code, text = said("claude", *words)
    assert (code, "each stand alone" in text) == (2, True)


def test_programs_are_answered_in_the_published_shape(home: Path) -> None:
    assert json.loads(str(data("gemini", "--print")["content"]))["hooks"]
    assert data("gemini")["done"]
    assert [one["state"] for one in data("gemini", "--check")["checks"]] == ["warning"]  # type: ignore[attr-defined]
    assert data("gemini", "--remove")["done"]
