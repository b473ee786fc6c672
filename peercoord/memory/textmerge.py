"""The three-way text merge, done by ``git merge-file`` in a temporary directory.

The texts reach git as files with fixed names, never as arguments, and no ``GIT_*`` variable of the environment takes
part. A text that git takes for binary becomes one conflict for a person.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from peercoord.errors import NotFoundError, PeercoordError, StorageError
from peercoord.memory import outcome
from peercoord.memory.outcome import Merged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peercoord.memory.outcome import Merge3

_SECONDS = 60
_CONFLICTS_MOST = 127  # beyond it the exit status no longer counts conflicts, it reports an error
_USAGE = 129
_STYLES = ("--zdiff3", "--diff3")  # git before 2.35 knows only the second


@contextmanager
def merger(git: str = "git") -> Iterator[Merge3]:
    """Return a three-way merge of texts, as a context manager: its directory goes when the block ends."""
    import tempfile

    try:
        place = tempfile.TemporaryDirectory(prefix="peercoord-merge-")
    except OSError as error:
        raise StorageError(f"no temporary directory for merging: {error.strerror}", "set TMPDIR") from None
    with place as home:
        yield _Merger(git, home)


class _Merger:
    def __init__(self, git: str, home: str) -> None:
        self.git, self.home = git, home
        self.style = 0
        environ = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
        self.environ = {**environ, "GIT_CEILING_DIRECTORIES": home, "LC_ALL": "C"}

    def __call__(self, ours: str, base: str, theirs: str) -> Merged:
        if "\0" in ours + base + theirs:
            return outcome.whole_conflict(ours, base, theirs)
        for name, text in (("ours", ours), ("base", base), ("theirs", theirs)):
            try:  # over the text before: a file cut to nothing first is flushed to the disk by some filesystems
                handle = os.open(f"{self.home}/{name}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
                with open(handle, "wb") as file:
                    file.write(text.encode())
                    file.truncate()
            except OSError as error:
                raise StorageError(f"{self.home}/{name}: {error.strerror}", "free some space") from None
        size = outcome.marker_size(ours, base, theirs)
        status, out, said = self._run(size)
        if status == _USAGE and self.style + 1 < len(_STYLES):
            self.style += 1
            status, out, said = self._run(size)
        if 0 <= status <= _CONFLICTS_MOST:
            return outcome.parse_marked(out.decode(), size)
        raise PeercoordError(
            f"git merge-file failed with status {status}: {said.decode(errors='replace').strip()[:200]}",
            hint="check git with: git --version",
            code="git-failed",
        )

    def _run(self, size: int) -> tuple[int, bytes, bytes]:
        import subprocess

        words = [self.git, "merge-file", "-p", "-q", _STYLES[self.style], f"--marker-size={size}"]
        try:
            done = subprocess.run(
                [*words, "ours", "base", "theirs"],
                cwd=self.home,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_SECONDS,
                check=False,
            )
        except FileNotFoundError:
            raise NotFoundError(f"{self.git} was not found", "install git 2.25 or newer", code="no-git") from None
        except subprocess.TimeoutExpired:
            raise PeercoordError(f"git merge-file took more than {_SECONDS} s", code="git-failed") from None
        return done.returncode, done.stdout, done.stderr
