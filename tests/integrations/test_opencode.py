"""The plugin of opencode tells the team's hook what a person is asked."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from peercoord.integrations import script

ASK = """\
import { Peercoord } from "./plugin.mjs"
const plugin = await Peercoord({ client: {}, directory: "/work" })
const properties = { sessionID: "s1", permission: "bash", patterns: ["mkfifo pipe"] }
await plugin.event({ event: { type: "permission.asked", properties } })
"""


@pytest.mark.skipif(not shutil.which("node"), reason="Node.js is not installed")
def test_a_question_of_opencode_names_the_command(tmp_path: Path) -> None:
    hook = tmp_path / "hook.sh"
    hook.write_text('#!/bin/sh\ncat > "$0.$1"\n')
    hook.chmod(0o755)
    (tmp_path / "plugin.mjs").write_text(script.plugin(str(hook), ""))
    (tmp_path / "ask.mjs").write_text(ASK)
    subprocess.run(["node", "ask.mjs"], cwd=tmp_path, check=True)
    told = json.loads((tmp_path / "hook.sh.permission").read_text())
    assert (told["tool_name"], told["tool_input"]) == ("bash", {"command": "mkfifo pipe"})
