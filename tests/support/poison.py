"""For tests: a git configuration in which everything that can name a program names one, which leaves a mark."""

from __future__ import annotations

import subprocess
from pathlib import Path

HOOKS = (
    "applypatch-msg",
    "commit-msg",
    "fsmonitor-watchman",
    "post-checkout",
    "post-commit",
    "post-index-change",
    "post-merge",
    "post-rewrite",
    "pre-auto-gc",
    "pre-commit",
    "prepare-commit-msg",
    "reference-transaction",
    "update",
)
ATTRIBUTES = "* filter=evil diff=evil merge=evil\n"


class Canary:
    """A program that must never run.

    Args:
        home: A directory of its own.
    """

    def __init__(self, home: Path) -> None:
        home.mkdir()
        self.mark, self.hooks = home / "ran", home / "hooks"
        self.program = self._program(home / "canary")
        self.hooks.mkdir()
        for name in HOOKS:
            self._program(self.hooks / name)

    def _program(self, path: Path) -> Path:
        path.write_text(f'#!/bin/sh\necho "$0 $*" >>"{self.mark}"\ncat 2>/dev/null\nexit 0\n')
        path.chmod(0o755)
        return path

    def ran(self) -> str:
        return self.mark.read_text() if self.mark.exists() else ""

    def settings(self) -> dict[str, str]:
        run = str(self.program)
        return {
            "filter.evil.clean": run,
            "filter.evil.smudge": run,
            "filter.evil.process": run,
            "filter.evil.required": "true",
            "filter.a=b.clean": run,
            "filter.lfs.clean": run,
            "filter.lfs.process": run,
            "core.fsmonitor": run,
            "core.hooksPath": str(self.hooks),
            "core.sshCommand": run,
            "core.gitProxy": run,
            "core.editor": run,
            "core.pager": run,
            "core.askPass": run,
            "core.alternateRefsCommand": run,
            "pager.status": run,
            "sequence.editor": run,
            "alias.status": f"!{run}",
            "diff.external": run,
            "diff.evil.command": run,
            "diff.evil.textconv": run,
            "diff.ignoreSubmodules": "none",
            "status.submoduleSummary": "true",
            "submodule.recurse": "true",
            "merge.evil.driver": run,
            "merge.default": "evil",
            "gpg.program": run,
            "log.showSignature": "true",
            "commit.gpgSign": "true",
            "credential.helper": run,
            "interactive.diffFilter": run,
            "extensions.partialClone": "origin",
            "remote.origin.promisor": "true",
            "remote.origin.url": f"ext::{run}",
            "remote.origin.uploadpack": run,
            "protocol.ext.allow": "always",
            "protocol.file.allow": "always",
            "uploadpack.packObjectsHook": run,
            "submodule.lib.update": f"!{run}",
            "gc.auto": "1",
        }

    def poison(self, config: Path) -> None:
        """Write all of it into a configuration file."""
        for key, value in self.settings().items():
            section, _, last = key.rpartition(".")
            name, dot, sub = section.partition(".")
            quoted = sub.replace("\\", "\\\\").replace('"', '\\"')
            head = f'[{name} "{quoted}"]' if dot else f"[{name}]"
            with config.open("a") as file:
                file.write(f'{head}\n\t{last} = "{value}"\n')

    def bites(self, tree: Path) -> bool:
        """Check that git as it is runs the program there; the mark is gone then."""
        subprocess.run(["git", "-C", str(tree), "status"], capture_output=True, check=False)
        found = bool(self.ran())
        self.mark.unlink(missing_ok=True)
        return found
