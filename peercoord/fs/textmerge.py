"""The three-way text merge, done by ``git merge-file`` in a directory of its own.

Git is asked and not imitated: people know how it merges. The texts reach it as files that are named here, never as
arguments; nothing of the user's repository or environment takes part (a stray ``GIT_DIR`` would make it fail). A
text that git takes for binary comes back as one conflict, for a person to look at.
"""

from __future__ import annotations

from contextlib import contextmanager

from peercoord.core.errors import NotFoundError, PeercoordError, StorageError
from peercoord.core.memory import conflicts
from peercoord.core.memory.conflicts import Merged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from peercoord.core.memory.conflicts import Merge3

_SECONDS = 60
_CONFLICTS_MOST = 127  # beyond it the exit status no longer counts conflicts, it reports an error
_USAGE = 129
_STYLES = ("--zdiff3", "--diff3")  # git before 2.35 knows only the second


@contextmanager
def merger(git: str = "git") -> Iterator[Merge3]:
    """Give a three-way merge of texts, as a context manager: its directory goes when the block ends.

    Args:
        git: The program.

    Yields:
        A function of ``(ours, base, theirs)``, each empty or with a newline at its end, that gives ``Merged``. It
        raises ``NotFoundError`` if there is no git, ``PeercoordError`` if git fails, and ``StorageError`` if the
        texts cannot be written.

    Raises:
        StorageError: The temporary directory cannot be made.
    """
    import tempfile

    try:
        place = tempfile.TemporaryDirectory(prefix="peercoord-merge-")
    except OSError as error:
        raise StorageError(f"no temporary directory for merging: {error.strerror}", "set TMPDIR") from None
    with place as home:
        yield _Merger(git, home)


class _Merger:
    def __init__(self, git: str, home: str) -> None:
        import os

        self.git, self.home = git, home
        self.style = 0
        environ = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
        self.environ = {**environ, "GIT_CEILING_DIRECTORIES": home, "LC_ALL": "C"}

    def __call__(self, ours: str, base: str, theirs: str) -> Merged:
        if "\0" in ours + base + theirs:
            return conflicts.whole(ours, base, theirs)
        for name, text in (("ours", ours), ("base", base), ("theirs", theirs)):
            self._write(name, text)
        size = conflicts.marker_size(ours, base, theirs)
        status, out, said = self._run(size)
        if status == _USAGE and self.style + 1 < len(_STYLES):
            self.style += 1
            status, out, said = self._run(size)
        if 0 <= status <= _CONFLICTS_MOST:
            return conflicts.parse(out.decode(), size)
        raise PeercoordError(
            f"git merge-file failed with status {status}: {said.decode(errors='replace').strip()[:200]}",
            hint="check git with: git --version",
            code="git-failed",
        )

    def _write(self, name: str, text: str) -> None:
        """Write a text over the one before: a file cut to nothing first is flushed to the disk by some filesystems."""
        import os

        data = text.encode()
        try:
            with open(os.open(f"{self.home}/{name}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600), "wb") as handle:
                handle.write(data)
                handle.truncate()
        except OSError as error:
            raise StorageError(f"{self.home}/{name}: {error.strerror}", "free some space") from None

    def _run(self, size: int) -> tuple[int, bytes, bytes]:
        import subprocess
        import threading

        words = [self.git, "merge-file", "-p", "-q", _STYLES[self.style], f"--marker-size={size}"]
        try:
            git = subprocess.Popen(
                [*words, "ours", "base", "theirs"],
                cwd=self.home,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except FileNotFoundError:
            raise NotFoundError(f"{self.git} was not found", "install git 2.25 or newer", code="no-git") from None
        late = threading.Event()

        def stop() -> None:
            late.set()
            git.kill()

        end = threading.Timer(_SECONDS, stop)  # to wait with a time limit of its own is to poll
        end.start()
        with git:
            try:
                out, said = git.communicate()
            finally:
                end.cancel()
        if late.is_set():
            raise PeercoordError(f"git merge-file took more than {_SECONDS} s", code="git-failed")
        return git.returncode, out, said
