"""The script that the hooks of coding agents run, in the coordination directory: no worktree can change it."""

from __future__ import annotations

import os
import shlex
from importlib.resources import files as resources
from typing import TYPE_CHECKING

from peercoord.store import paths
from peercoord.store.refusals import refused
from peercoord.system import child

if TYPE_CHECKING:
    from peercoord.store.root import Root

MODE = 0o755
PLUGIN = "opencode.js"


def install(root: Root) -> str:
    """Write this version's script, if it is not there.

    Returns:
        Its absolute path.
    """
    place = f"{getattr(root.files.disk, 'root', '')}/{paths.HOOK_SCRIPT}"
    if root.files.read(paths.HOOK_SCRIPT) != script():
        root.files.put(paths.HOOK_SCRIPT, script(), durable=True)
    try:
        if os.lstat(place).st_mode & 0o777 != MODE:
            os.chmod(place, MODE)
    except OSError as error:
        raise refused(error, place) from None
    return place


def script() -> bytes:
    """Return the script that calls this very installation."""
    python, flag = child.command()[:2]
    return _filled("hook.sh", PYTHON=shlex.quote(python), FLAG=flag).encode()


def plugin(hook: str, worktree: str) -> str:
    """Return the plugin for opencode, which has no hooks that run programs.

    Args:
        hook: Absolute path of the script.
        worktree: Absolute path of the worktree.
    """
    import orjson

    return _filled(PLUGIN, HOOK=orjson.dumps(hook).decode(), WORKTREE=orjson.dumps(worktree).decode())


def _filled(name: str, **values: str) -> str:
    text = resources("peercoord.integrations").joinpath(name).read_text(encoding="utf-8")
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    return text
