"""Break the source in one place at a time and ask the tests whether they notice.

Run ``python tests/mutants/check.py``: each mutant of ``mutants.json`` is applied to a copy of this tree, the tests of
its capability run there, and a table says for each whether they caught it or it survived.

The tests have to pass without any mutant first; if they do not, nothing is checked.

The list was drawn once, at random, from the tree of commit 051f900: each function at most once, no log lines, no texts.

- ``--where``: only show where each mutant lies now; exit 1 if one is not found.
- ``--only ID …``: these mutants, or all of a capability (``--only queue``).
- ``--tests PATH …``: these tests instead of those in ``TESTS``.
- ``--jobs N``: so many copies at a time. ``--limit SECONDS``: for one run; a run that takes longer counts as caught.
- ``--json FILE``: write the verdicts there too.

A mutant is found by its text, wherever that lies now: first in a function of the same name, then anywhere, if only one
place has it (``--where`` marks those with ``?``: look whether it is the same). White space and line breaks do not
matter. Where the code was rewritten, give the mutant an entry ``now`` with ``file``, ``before`` and ``after`` that
breaks the same thing as ``breaks`` says; where nothing is left to break (the code is gone, with what it did), an entry
``gone`` with the reason. Mutants with ``equivalent`` change nothing that a test could see; they are left out.

``old_verdict``, ``by`` and ``ran`` are the verdict of the tests as they were at commit 051f900, before any was removed:
of the default tests, those that reach the line were run (``ran`` says how many). What reaches a line was noted in all
folders but conformance, power, races, simulation, transcripts and upgrade; ``tests/test_static.py`` does not count.
The paths in ``by`` and ``ran`` are those of that commit. The tests of ``tests/core``, ``fs``, ``roles`` and
``liveness`` are now in ``tests/store``, ``system``, ``queue`` and ``membership``.
"""

from __future__ import annotations

import argparse
import ast
import json
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from os import killpg
from pathlib import Path

import psutil

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
TESTS = {  # of each capability; those that are not there are left out
    "queue": "tests/queue tests/store tests/protocol tests/crash tests/simulation tests/conformance",
    "membership": "tests/membership tests/queue tests/protocol tests/agent tests/simulation",
    "memory": "tests/memory tests/review",
    "sync": "tests/tasklists",
    "mailbox": "tests/sandbox tests/agent tests/protocol",
    "worktree": "tests/cli tests/sandbox tests/protocol",
    "team": "tests/team tests/repositories tests/cli/test_team.py",
    "git": "tests/team tests/repositories tests/cli/test_merging.py",
    "signals": "tests/membership tests/system tests/agent",
    "reads": "tests/store tests/system tests/sandbox tests/agent tests/queue/test_faults.py tests/cli",
}
Place = tuple[Path, int, int]  # a file of the tree, and where in its text the lines of a mutant begin and end


class NotFoundError(Exception):
    """The lines of a mutant are nowhere, or in several places."""


def pattern(before: str) -> re.Pattern[str]:
    """Return what finds these lines however they are broken."""
    parts = re.findall(r"\w+|[^\w\s]", before)
    loose = r"\s*".join(re.escape(part) if part not in ")]}" else r",?\s*" + re.escape(part) for part in parts)
    end = r"(?=[ \t]*(?:#.*)?$)" if len(parts) == 1 else r"(?![\w.(\[])"
    return re.compile(r"(?<![\w.])" + loose + end, re.MULTILINE)


def functions(node: ast.AST) -> Iterator[ast.FunctionDef]:
    """List the functions of a module and of its classes, without those inside functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef):
            yield child
        elif isinstance(child, ast.ClassDef):
            yield from functions(child)


def places(tree: Path, mutant: dict) -> tuple[list[Place], bool]:
    """List where the lines of a mutant are, and whether in a function of its name: if there are any, those alone."""
    name, found = mutant["function"].rpartition(".")[2], pattern(mutant["before"])
    inside, anywhere = [], []
    for path in sorted(tree.glob("peercoord/**/*.py")):
        text = path.read_text()
        hits = [(path, *hit.span()) for hit in found.finditer(text)]
        if not hits:
            continue
        named = [range(f.lineno, (f.end_lineno or 0) + 1) for f in functions(ast.parse(text)) if f.name == name]
        anywhere += hits
        for lines in named:
            within = [hit for hit in hits if text.count("\n", 0, hit[1]) + 1 in lines]
            inside += within[mutant["occurrence"] : mutant["occurrence"] + 1]
    same_file = [hit for hit in inside if str(hit[0].relative_to(tree)) == mutant["file"]]
    return same_file or inside or anywhere, bool(inside)


def locate(tree: Path, mutant: dict) -> tuple[Place, str, bool]:
    """Return where a mutant lies now, what stands there once it is applied, and whether that is sure.

    Raises:
        NotFoundError: It lies nowhere, or in several places.
    """
    now = mutant.get("now")
    if now:
        path = tree / now["file"]
        text = path.read_text() if path.is_file() else ""
        if text.count(now["before"]) != 1:
            raise NotFoundError(f"its entry now is {text.count(now['before'])} times in {now['file']}")
        start = text.index(now["before"])
        return (path, start, start + len(now["before"])), now["after"], True
    found, named = places(tree, mutant)
    if len(found) != 1:
        raise NotFoundError(f"found in {len(found)} places; say where it is now")
    return found[0], mutant["after"], named


class Copy:
    """A copy of the tree with an installation of its own, for one mutant at a time."""

    def __init__(self, home: Path) -> None:
        self.tree, self.temporary = home / "tree", home / "tmp"
        left_out = shutil.ignore_patterns(".venv", "__pycache__", ".*_cache", ".hypothesis")
        shutil.copytree(ROOT, self.tree, symlinks=True, ignore=left_out)
        self.python = str(self.tree / ".venv/bin/python")
        subprocess.run([sys.executable, "-m", "venv", self.tree / ".venv"], check=True)
        subprocess.run([self.python, "-m", "pip", "install", "-qq", "-e", ".[test]"], cwd=self.tree, check=True)

    def check(self, mutant: dict, tests: list[str], limit: float) -> dict:
        """Apply a mutant, run tests until one fails, and take the mutant back."""
        (path, start, end), after, _ = locate(self.tree, mutant)
        whole = path.read_text()
        try:
            path.write_text(whole[:start] + after + whole[end:])
            self._forget(path)
            ast.parse(path.read_text())
            code, said = self.test(tests, limit)
        finally:
            path.write_text(whole)
            self._forget(path)
        failed = [line.split()[1] for line in said.splitlines() if line.startswith(("FAILED ", "ERROR "))]
        if code not in (0, 1, 2, None):
            raise RuntimeError(f"pytest ended with {code}: {said[-2000:]}")
        by = failed or [] if code == 0 else failed or ["the time limit" if code is None else "the collection of tests"]
        return {"id": mutant["id"], "verdict": "survived" if code == 0 else "caught", "by": by, "ran": tests}

    def test(self, tests: list[str], limit: float) -> tuple[int | None, str]:
        """Run tests and end all that they leave running; no code if the time was over."""
        options = ["-q", "-x", "-p", "no:cacheprovider", "--timeout", "120", "--basetemp", str(self.temporary)]
        words = [self.python, "-m", "pytest", *options, *tests]
        with subprocess.Popen(
            words, cwd=self.tree, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        ) as running:
            try:
                said = running.communicate(timeout=limit)[0]
            except subprocess.TimeoutExpired:
                killpg(running.pid, signal.SIGKILL)
                said, running.returncode = running.communicate()[0], None
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if any(str(self.temporary) in word for word in process.cmdline()):
                    process.kill()
        return running.returncode, said

    @staticmethod
    def _forget(path: Path) -> None:
        for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
            compiled.unlink()


def chosen(only: list[str]) -> list[dict]:
    """Read the mutants that are asked for."""
    every = json.loads((HERE / "mutants.json").read_text())
    return [each for each in every if not only or each["id"] in only or each["capability"] in only]


def show_places(mutants: list[dict]) -> int:
    """Print where each mutant lies; the number that is not found."""
    lost = 0
    for mutant in mutants:
        try:
            (path, start, _), _, sure = locate(ROOT, mutant)
            line = path.read_text().count("\n", 0, start) + 1
            where = f"{path.relative_to(ROOT)}:{line}{'' if sure else ' ?'}"
        except NotFoundError as error:
            where, lost = (
                f"{error}: {mutant['file']} {mutant['function']}: {mutant['before'].splitlines()[0]}",
                lost + 1,
            )
        print(f"{mutant['id']:14} {where}")
    return lost


def main() -> int:
    """Do what the options say."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--where", action="store_true")
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--tests", nargs="+")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--limit", type=float, default=600)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    mutants = [each for each in chosen(asked.only) if not each.keys() & {"equivalent", "gone"}]
    if asked.where:
        return min(1, show_places(mutants))
    copies: queue.Queue[Copy] = queue.Queue()
    verdicts: list[dict] = []
    tests = {
        capability: asked.tests or [each for each in TESTS[capability].split() if (ROOT / each).exists()]
        for capability in {mutant["capability"] for mutant in mutants}
    }

    def one(mutant: dict) -> None:
        copy = copies.get()
        try:
            found = copy.check(mutant, tests[mutant["capability"]], asked.limit)
        except NotFoundError as error:
            found = {"id": mutant["id"], "verdict": "not found", "by": [str(error)], "ran": []}
        finally:
            copies.put(copy)
        verdicts.append(found)
        print(f"{mutant['id']:14} {found['verdict']:9} {', '.join(found['by'][:1]) or mutant['breaks']}", flush=True)

    with tempfile.TemporaryDirectory() as home, ThreadPoolExecutor(asked.jobs) as jobs:
        for number in range(asked.jobs):
            copies.put(copy := Copy(Path(home, str(number))))
        for selection in {tuple(each) for each in tests.values()}:
            code, said = copy.test(list(selection), asked.limit)
            if code != 0:
                print(f"without any mutant, these do not pass: {' '.join(selection)}\n{said[-2000:]}")
                return 2
        list(jobs.map(one, mutants))
    if asked.json:
        asked.json.write_text(json.dumps(verdicts, indent=2) + "\n")
    survived = [each["id"] for each in verdicts if each["verdict"] != "caught"]
    print(f"{len(verdicts) - len(survived)} of {len(verdicts)} caught; not caught: {' '.join(survived) or 'none'}")
    return min(1, len(survived))


if __name__ == "__main__":
    sys.exit(main())
