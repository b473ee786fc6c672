"""Imports point down, ``core`` touches nothing of the world, and the path of a call loads nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "peercoord"
LAYERS = ("core", "fs", "roles", "edges")  # each may import itself and those before it
MODULES = sorted(PACKAGE.rglob("*.py"))
CORE_MAY_IMPORT = frozenset(
    [
        "__future__",
        "bisect",
        "collections",
        "contextlib",
        "dataclasses",
        "difflib",
        "enum",
        "functools",
        "graphlib",
        "hashlib",
        "heapq",
        "itertools",
        "markdown_it",
        "math",
        "operator",
        "orjson",
        "peercoord",
        "re",
        "string",
        "textwrap",
        "types",
        "typing",
        "unicodedata",
    ]
)
HEAVY = frozenset(
    [
        "asyncio",
        "click",
        "concurrent",
        "ctypes",
        "dataclasses",
        "datetime",
        "decimal",
        "email",
        "http",
        "inspect",
        "json",
        "logging",
        "multiprocessing",
        "orjson",
        "pathlib",
        "portalocker",
        "psutil",
        "random",
        "re",
        "rich",
        "selectors",
        "shutil",
        "socket",
        "sqlalchemy",
        "sqlite3",
        "ssl",
        "subprocess",
        "tempfile",
        "textwrap",
        "traceback",
        "typing",
        "unittest",
        "urllib",
        "uuid",
        "watchdog",
        "zipfile",
    ]
)
HOT = (
    "peercoord",
    "peercoord.core.names",
    "peercoord.core.records",
    "peercoord.core.tickets",
    "peercoord.edges.context",
    "peercoord.fs.files",
    "peercoord.fs.mutex",
    "peercoord.fs.process",
    "peercoord.roles.janitor",
    "peercoord.roles.membership",
    "peercoord.roles.peer",
    "peercoord.roles.progress",
    "peercoord.roles.queue",
    "peercoord.roles.root",
    "peercoord.roles.worker",
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


def imported(path: Path) -> list[tuple[str, int]]:
    package = ("peercoord", *path.relative_to(PACKAGE).parts[:-1])
    return list(imports(path.read_text(encoding="utf-8"), package))


def layer(path: Path) -> int | None:
    """Give the layer of a module by its directory; ``None`` for the package's own."""
    first = path.relative_to(PACKAGE).parts[0]
    return LAYERS.index(first) if first in LAYERS else None


def named(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_imports_point_down(path: Path) -> None:
    mine = layer(path)
    for module, line in imported(path):
        parts = module.split(".")
        if mine is not None and parts[0] == "peercoord" and len(parts) > 1 and parts[1] in LAYERS:
            assert LAYERS.index(parts[1]) <= mine, f"{path}:{line} imports {module}, which is above it"


@pytest.mark.parametrize("path", [path for path in MODULES if layer(path) == 0], ids=named)
def test_core_touches_nothing_of_the_world(path: Path) -> None:
    for module, line in imported(path):
        assert module.split(".")[0] in CORE_MAY_IMPORT, f"{path}:{line} imports {module}"
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("open", "print", "input", "exec", "eval", "__import__"), f"{path}:{node.lineno}"


def test_every_module_has_a_layer() -> None:
    loose = [named(path) for path in MODULES if layer(path) is None]
    assert loose == ["__init__.py", "__main__.py"]
    assert all(any(layer(path) == number for path in MODULES) for number in range(len(LAYERS)))


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import os", "os"),
        ("def f():\n    from time import time", "time.time"),
        ("if X:\n    from peercoord.roles import queue", "peercoord.roles.queue"),
        ("from . import files", "peercoord.fs.files"),
        ("from ..roles.queue import Queue", "peercoord.roles.queue.Queue"),
    ],
)
def test_the_check_sees_imports_wherever_they_stand(source: str, found: str) -> None:
    assert [module for module, _ in imports(source, ("peercoord", "fs"))] == [found]


@pytest.mark.parametrize("module", HOT)
def test_the_path_of_a_call_loads_nothing_heavy(module: str) -> None:
    done = subprocess.run([sys.executable, "-I", "-c", LOADED, module], capture_output=True, text=True, check=True)
    bare = subprocess.run([sys.executable, "-I", "-c", LOADED, "sys"], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split()) - set(bare.stdout.split())
    assert module in loaded
    assert {name.split(".")[0] for name in loaded} & HEAVY == set()
