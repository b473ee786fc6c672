"""The README is true: its two lines are what is run before anything lands, and its tables say what there is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from peercoord.cli.main import COMMANDS, cli

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def shell_blocks() -> list[str]:
    return [block.strip() for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)]


def test_the_two_commands_are_one_line_each_and_are_what_ci_runs() -> None:
    demo, test = shell_blocks()[:2]
    assert "\n" not in demo + test
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert test in ci
    assert f"{demo} --fast" in ci


def test_every_command_is_in_the_table_and_nothing_else() -> None:
    table = README[README.index("| command |") : README.index("Every command but")]
    listed = [name for row in table.splitlines()[2:] if row for name in re.findall(r"`([a-z]+)`", row.split("|")[1])]
    assert sorted(listed) == sorted(COMMANDS)


def test_every_command_exists_and_has_help() -> None:
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        assert command.help, name


@pytest.mark.parametrize("command", re.findall(r"^(claude-[a-z-]+) ", README, re.MULTILINE))
def test_the_commands_of_their_own_say_how_they_are_called(command: str) -> None:
    said = subprocess.run([Path(sys.executable).parent / command, "--help"], capture_output=True, text=True, check=True)
    assert said.stdout.startswith(f"Usage: {command} [OPTIONS] "), said.stdout


def test_every_path_the_readme_links_to_is_there() -> None:
    for path in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / path).exists(), path


def test_the_exit_codes_of_the_table_are_those_of_the_errors() -> None:
    from peercoord import errors

    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert {kind.exit_code for kind in kinds} <= codes
