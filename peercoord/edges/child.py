"""A command of this installation, run for an agent as a process of its own.

An agent lives for weeks: what a sync or a merge loads and reads is out of memory when that process ends.
"""

from __future__ import annotations

from peercoord.core import ids, records
from peercoord.core.errors import PeercoordError, StorageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from peercoord.core.records import Json

SECONDS = 300.0  # after which a process that does not end is ended


def ask(command: Sequence[str], worktree: str, words: Sequence[str], what: str, hint: str) -> Json:
    """Run a command and give the data that it answers.

    Args:
        command: The words that call this installation.
        worktree: Where the command acts.
        words: The command and its arguments.
        what: What it is, in messages: ``a sync``.
        hint: What a person may try if it fails.

    Raises:
        StorageError: It could not be started, did not end, or answered nothing that can be read.
        PeercoordError: It failed; message, hint and code are its own.
    """
    import subprocess

    try:
        ended = subprocess.run(
            [*command, "-C", worktree, *words, "--json"],
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise StorageError(f"{what} did not end in {SECONDS:.0f} s", hint=hint) from None
    except OSError as error:
        raise StorageError(f"{what} could not be started: {error.strerror}", hint=hint) from None
    try:
        answer = records.decode(ended.stdout, f"the answer of {what}")
    except PeercoordError:
        said = ended.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["it said nothing"]
        raise StorageError(f"{what} failed: {ids.shown(said[0], 300)}", hint=hint) from None
    refusal = answer.get("error")
    if isinstance(refusal, dict):
        message, hint, code = (str(refusal.get(key) or "") for key in ("message", "hint", "code"))
        raise PeercoordError(message, hint, code or "failed")
    data = answer.get("data")
    return data if isinstance(data, dict) else {}
