"""Imports point down, pure modules touch nothing of the world, and the path of a call loads nothing heavy."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "peercoord"
ORDER = (  # each may import itself and those before it
    *("errors", "foreign", "system", "store", "membership", "mailbox", "queue", "status", "tasklists", "memory"),
    *("worktree", "review", "agent", "integrations", "team", "landing", "screens", "doctor", "demo", "cli"),
)
OUTSIDE = ("__init__.py", "__main__.py", "edges/cli/main.py")  # the last is for scripts of version 0.1.0
PURE = {  # these touch nothing of the world
    *("errors", "foreign", "system/cksum", "system/schedule", "system/sessions", "store/ids"),
    *("store/paths", "store/records", "store/settings", "membership/liveness", "mailbox/protocol"),
    *("queue/placement", "landing/plan", "status/needs", "status/views", "tasklists/normalize", "tasklists/reconcile"),
    *("memory/additions", "memory/contribution", "memory/document", "memory/draft", "memory/journal"),
    *("memory/markdown", "memory/merge", "memory/outcome", "memory/progress_section", "memory/reader"),
    *("memory/targets", "memory/updates", "integrations/agents"),
}
MODULES = sorted(PACKAGE.rglob("*.py"))
PURE_MAY_IMPORT = {
    *("__future__", "bisect", "collections", "contextlib", "dataclasses", "difflib", "enum", "functools"),
    *("graphlib", "hashlib", "heapq", "itertools", "markdown_it", "math", "operator", "orjson", "peercoord", "re"),
    *("string", "textwrap", "types", "typing", "unicodedata"),
}
HEAVY = {  # click loads dataclasses, inspect, re and typing on every path that starts Python
    *("asyncio", "click", "concurrent", "ctypes", "datetime", "decimal", "email", "http", "json", "logging"),
    *("multiprocessing", "orjson", "pathlib", "portalocker", "psutil", "random", "rich", "selectors", "shutil"),
    *("socket", "sqlalchemy", "sqlite3", "ssl", "subprocess", "tempfile", "textwrap", "traceback", "unittest"),
    *("urllib", "uuid", "watchdog", "zipfile"),
}
HOT = (
    *("peercoord", "peercoord.store.paths", "peercoord.store.records", "peercoord.queue.placement"),
    *("peercoord.worktree.context", "peercoord.store.files", "peercoord.store.lock", "peercoord.system.process"),
    *("peercoord.queue.recovery", "peercoord.membership.membership", "peercoord.queue.peer"),
    *("peercoord.queue.progress", "peercoord.queue.queue", "peercoord.queue.reassign", "peercoord.store.root"),
    *("peercoord.queue.claims", "peercoord.queue.worker"),
)
LOADED = "import sys; __import__(sys.argv[1]); print(*sys.modules)"


def imports(source: str, package: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    """Every module that a module of ``package`` imports, anywhere in it, with the line."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join((*above, *((node.module,) if node.module else ())))
            yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)


def run_at_import(path: Path) -> list[tuple[str, int]]:
    """Imports that are executed when the module is loaded: not those of functions and of type checking."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    package = ("peercoord", *path.relative_to(PACKAGE).parts[:-1])
    return list(imports(ast.unparse(tree), package))


def imported(path: Path) -> list[tuple[str, int]]:
    package = ("peercoord", *path.relative_to(PACKAGE).parts[:-1])
    return list(imports(path.read_text(encoding="utf-8"), package))


def named(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def rank(parts: Sequence[str]) -> int | None:
    """The place of a module in the order, by the first part of its name; ``None`` for the package's own."""
    first = parts[0].removesuffix(".py")
    return ORDER.index(first) if first in ORDER else None


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_imports_point_down(path: Path) -> None:
    mine = rank(path.relative_to(PACKAGE).parts)
    for module, line in imported(path):
        parts = module.split(".")
        if mine is not None and parts[0] == "peercoord" and len(parts) > 1:
            theirs = rank(parts[1:])
            assert theirs is None or theirs <= mine, f"{path}:{line} imports {module}, which is above it"


@pytest.mark.parametrize("name", sorted(PURE))
def test_pure_modules_touch_nothing(name: str) -> None:
    path = PACKAGE / f"{name}.py"
    for module, line in imported(path):
        parts = module.split(".")
        assert parts[0] in PURE_MAY_IMPORT, f"{path}:{line} imports {module}"
        inner = ["/".join(parts[1:end]) for end in (len(parts), len(parts) - 1)]
        is_pure = parts[0] != "peercoord" or any(one in PURE for one in inner)
        assert is_pure, f"{path}:{line} imports {module}, which is not pure"
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("open", "print", "input", "exec", "eval", "__import__"), f"{path}:{node.lineno}"


def test_no_module_imports_itself_through_others() -> None:
    above: dict[str, set[str]] = {}
    for path in MODULES:
        own = ".".join(("peercoord", *path.relative_to(PACKAGE).with_suffix("").parts))
        above[own] = {module for module, _ in run_at_import(path)}
    names = set(above)
    graph = {
        module: {found for one in found_in for found in (one, one.rpartition(".")[0]) if found in names - {module}}
        for module, found_in in above.items()
    }
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_every_module_has_a_place_in_the_order() -> None:
    loose = [named(path) for path in MODULES if rank(path.relative_to(PACKAGE).parts) is None]
    assert sorted(loose) == sorted(OUTSIDE)
    assert {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in MODULES} >= set(ORDER)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import os", "os"),
        ("def f():\n    from time import time", "time.time"),
        ("if X:\n    from peercoord.queue import queue", "peercoord.queue.queue"),
        ("from . import files", "peercoord.store.files"),
        ("from ..queue.queue import Queue", "peercoord.queue.queue.Queue"),
    ],
)
def test_the_check_sees_imports_wherever_they_stand(source: str, found: str) -> None:
    assert [module for module, _ in imports(source, ("peercoord", "store"))] == [found]


@cache
def loaded_by(module: str) -> set[str]:
    """What is loaded in a new process once a module is."""
    done = subprocess.run([sys.executable, "-I", "-c", LOADED, module], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", HOT)
def test_the_path_of_a_call_loads_nothing_heavy(module: str) -> None:
    loaded = loaded_by(module) - loaded_by("sys")
    assert module in loaded
    assert {name.split(".")[0] for name in loaded} & HEAVY == set()


def test_git_is_started_in_few_places():
    """What a repository's configuration may run is decided there: see ``system/git.py``."""
    starts = {"system/git.py", "memory/textmerge.py", "demo/worker.py"}
    found = {
        str(module.relative_to(PACKAGE))
        for module in MODULES
        if re.search(r"(Popen|run)\(\s*\[\"git\",|\[self\.git,|words = .*\"git\",", module.read_text())
    }
    assert found == starts
