"""A text in the person's own editor: ``$VISUAL``, ``$EDITOR``, as an argument list and never through a shell.

The file is kept until its text has arrived: whatever fails after the editor was closed, what a person wrote there is
not gone, and the message says where it lies.
"""

from __future__ import annotations

import shlex
import shutil

from peercoord.core.errors import NotFoundError, PeercoordError, StorageError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

USUAL = ("sensible-editor", "editor", "vi", "nano")


class Draft:
    """A text being edited, in a directory of its own.

    Args:
        text: The text to begin with.
        name: The document's name: the ending tells editors what it is.
    """

    def __init__(self, text: str, name: str) -> None:
        import tempfile

        try:
            self.home = tempfile.mkdtemp(prefix="peercoord-review-")
            self.path = f"{self.home}/{name}"
            with open(self.path, "w", encoding="utf-8", newline="\n") as handle:
                handle.write(f"{text}\n" if text else "")
        except OSError as error:
            raise StorageError(f"no place for the text to edit: {error.strerror}", "set TMPDIR") from None

    def edit(self, environ: Mapping[str, str]) -> str:
        """Let the person edit it; gives the text as it is then.

        Raises:
            UsageError: The editor's command cannot be understood.
            NotFoundError: There is no editor.
            PeercoordError: The editor failed, or what it left is no text. The file is kept.
        """
        import subprocess

        words = command(environ)
        try:
            done = subprocess.run([*words, self.path], check=False)
        except OSError as error:
            raise NotFoundError(
                f"the editor {words[0]} cannot be started: {error.strerror}", "set EDITOR", code="no-editor"
            ) from None
        if done.returncode != 0:
            raise PeercoordError(f"{words[0]} ended with status {done.returncode}: nothing is decided; {self.kept}")
        try:
            with open(self.path, encoding="utf-8", newline="") as handle:
                return handle.read().replace("\r\n", "\n").replace("\r", "\n")
        except (OSError, UnicodeDecodeError) as error:
            raise PeercoordError(f"{self.path} cannot be read as text: {error}", "nothing is decided") from None

    @property
    def kept(self) -> str:
        """Say where the text lies."""
        return f"your text is kept in {self.path}"

    def discard(self) -> None:
        """Remove the file: its text has arrived, or was not wanted."""
        shutil.rmtree(self.home, ignore_errors=True)


def command(environ: Mapping[str, str]) -> list[str]:
    """Give the words of the editor's command.

    Raises:
        UsageError: The variable cannot be taken apart into words.
        NotFoundError: No editor is named, and none of the usual ones is there.
    """
    for name in ("VISUAL", "EDITOR"):
        said = environ.get(name, "").strip()
        if said:
            try:
                return shlex.split(said)
            except ValueError as error:
                raise UsageError(f"{name} cannot be understood: {error}", f"set {name} anew") from None
    found = next((word for word in USUAL if shutil.which(word)), "")
    if not found:
        raise NotFoundError("no editor was found", "set EDITOR to yours", code="no-editor")
    return [found]
