"""An agent outlives the installation it was started from."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from support.project import Project, project

from peercoord.store import paths
from peercoord.system import child

__all__ = ["project"]

ALONE = """
import sys
from peercoord.agent import control, host
from peercoord.mailbox.protocol import Request

class Gone:
    def find_spec(self, name, path=None, target=None):
        raise ImportError(f"{name} is gone")

place = control.place_of(sys.argv[1])
mine = host.Worktree(place, print, print)
mine.connect([])
host.preload()
sys.meta_path[:] = [Gone()]
calls = [
    ["request-task"], ["request-task", "--json"], ["check-status"], ["report-progress", "1", "--progress", "0.5"],
    ["update-memory", "--file", "techContext.md", "--content", "- a"], ["release", "1"], ["request-task"],
    ["report-progress", "1", "--status", "blocked", "--blocker", "x\\u202e"], ["request-task"],
    ["request-task", "--json"], ["report-progress", "2", "--status", "done"],
]
for at, words in enumerate(calls):
    incarnation, held = mine.standing()
    request = Request(f"r{at}", words, incarnation=incarnation, tickets=held)
    answer = mine.serve(request)
    assert answer.code == 0, (words, answer.err)
answer = mine.serve(Request("x", ["check-status", "--nonsense"]))
assert answer.code == 2, answer.err
mine.pick_up()
"""


def test_every_verb_works_when_nothing_can_be_imported_any_more(project: Project) -> None:
    for title in ("one", "two"):
        assert project("task", "add", title)[0] == 0
    definition = project.state / paths.definition("2")
    definition.write_text(json.dumps({**json.loads(definition.read_text()), "by_hand": "\u202e"}))
    words = [sys.executable, "-c", ALONE, str(project.worktree)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=project.main)
    assert done.returncode == 0, done.stderr


LOADED = """
import json, sys
from peercoord.agent import control, host, loop
from peercoord.system import log, watch
host.preload()
print(json.dumps({name: getattr(module, "__file__", None) for name, module in sys.modules.items()}))
"""
ELSEWHERE = {  # functions of modules that an agent has loaded and that it never calls: a process of its own does
    "peercoord.memory.documents": "a merge",
    "peercoord.memory.runner": "a merge",
    "peercoord.queue.placement": "an import of tasks",
    "peercoord.store.root": "setting a project up",
    "peercoord.tasklists.runner": "a sync",
    "peercoord.tasklists.selection": "a sync",
}


def lazily_imported(source: str) -> Iterator[str]:
    """Names of the modules that functions import."""
    for function in ast.walk(ast.parse(source)):
        if isinstance(function, ast.FunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Import):
                    yield from (one.name for one in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module:
                    yield node.module
                    if node.module.startswith("peercoord"):
                        yield from (f"{node.module}.{one.name}" for one in node.names)


def test_an_agent_has_imported_what_its_functions_import() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    loaded: dict[str, str | None] = json.loads(done.stdout)
    own = {name: Path(file) for name, file in loaded.items() if name.startswith("peercoord.") and file}
    package = own["peercoord.errors"].parent.parent
    missing = {
        (name, wanted)
        for name, file in own.items()
        for wanted in lazily_imported(file.read_text())
        if wanted not in loaded and name not in ELSEWHERE
        if not wanted.startswith("peercoord.") or (package / f"{wanted.replace('.', '/')}.py").exists()
    }
    assert not missing


def test_the_words_call_this_installation() -> None:
    done = subprocess.run([*child.command(), "--version"], capture_output=True, text=True, check=True)
    assert "peercoord" in done.stdout
    assert child.command()[0] == sys.executable
