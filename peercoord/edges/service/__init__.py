"""Files by which a service manager starts an agent: a systemd user unit, a launchd property list."""

from __future__ import annotations

import sys
from importlib.resources import files

SYSTEMD, LAUNCHD = "peercoord-agent@.service", "peercoord-agent.plist"


def text(worktree: str, name: str, words: list[str], system: str = sys.platform) -> str:
    """Give the service file for this machine, filled in.

    Args:
        worktree: Absolute path of the worktree; the systemd unit serves every worktree and does not name it.
        name: Name of its instance.
        words: How this installation's ``peercoord`` is called.
        system: As ``sys.platform`` names it.
    """
    if system != "darwin":
        python = " ".join(_quoted(word) for word in words[:-2])
        return _template(SYSTEMD).replace("@PYTHON@", python)
    from xml.sax.saxutils import escape

    listed = "\n".join(f"    <string>{escape(word)}</string>" for word in words)
    filled = _template(LAUNCHD).replace("@WORDS@", listed).replace("@NAME@", escape(name))
    return filled.replace("@WORKTREE@", escape(worktree))


def _quoted(word: str) -> str:
    """Quote a word for a unit file, where a per cent sign begins a specifier."""
    plain = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{plain}"' if any(c in word for c in " \t\"'\\") else plain


def _template(name: str) -> str:
    return files("peercoord.edges.service").joinpath(name).read_text(encoding="utf-8")
