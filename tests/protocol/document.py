"""Reading the specification and what lies beside it: clauses, tables, examples."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

REPOSITORY = Path(__file__).parents[2]
PROTOCOL = REPOSITORY / "protocol"
PAGES = {name: (PROTOCOL / f"{name}.md").read_text(encoding="utf-8") for name in ("spec", "memory", "mailbox")}
SPEC = "\n".join(PAGES.values())
SCHEMAS = PROTOCOL / "schemas" / "v1"
EXAMPLES = PROTOCOL / "examples" / "v1"
VECTORS = PROTOCOL / "vectors" / "v1"
CLAUSE = re.compile(r"\b[A-Z]{3}-[1-9][0-9]*\b")
_DEFINED = re.compile(r"^(?:- |\| )\*\*([A-Z]{3}-[1-9][0-9]*)\*\*((?:.|\n(?!\n|[-|] ))*)", re.MULTILINE)
_FENCE = re.compile(r"^```json ?(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def clauses() -> list[str]:
    """The ids of the clauses, in the order of the pages."""
    return [clause for clause, _ in _DEFINED.findall(SPEC)]


def texts() -> dict[str, str]:
    """What each clause says, without the table that follows it."""
    return dict(_DEFINED.findall(SPEC))


def fences(text: str) -> list[tuple[str, str]]:
    """Every fenced JSON of a page: the schema that it names, and its text."""
    return _FENCE.findall(text)


def table(after: str, text: str = SPEC) -> list[list[str]]:
    """The cells of the first table after a piece of the page that stands there once, without its head."""
    assert text.count(after) == 1, after
    rest = text[text.index(after) + len(after) :]
    rows = []
    for line in rest[rest.index("\n|") + 1 :].splitlines():
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return rows[2:]


def code(cell: str) -> str:
    """The first piece of code in a cell."""
    found = re.search(r"`([^`]*)`", cell)
    assert found, cell
    return found[1]


@cache
def schema(name: str) -> dict[str, Any]:
    """A schema by its name."""
    found: dict[str, Any] = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    return found


@cache
def validator(name: str) -> Draft202012Validator:
    """The validator of one record or answer, by the name of its schema."""
    return Draft202012Validator(schema(name), format_checker=Draft202012Validator.FORMAT_CHECKER)


def valid(name: str, record: Any) -> None:
    """Assert that a record of the code's own making is valid, and that its schema says something of every key."""
    faults = [f"{'/'.join(map(str, e.absolute_path))}: {e.message}" for e in validator(name).iter_errors(record)]
    faults += [f"{path}: a key that the schema does not know" for path in sorted(set(foreign(name, record)))]
    assert not faults, f"no {name}: {'; '.join(faults)}\n{json.dumps(record, indent=2)[:2000]}"


def foreign(name: str, record: Any) -> Iterator[str]:
    """The paths of all keys that stand in no branch of a schema. Where it says that any key may stand, all are known.

    Readers take unknown keys (VER-3), so schemas do; this tells what the code writes and no page documents.
    """
    return _foreign(schema(name), [schema(name)], record, "")


def _foreign(whole: dict[str, Any], parts: list[Any], value: Any, path: str) -> Iterator[str]:
    if True in parts:  # anything may stand here
        return
    branches = [branch for part in parts for branch in _branches(whole, part)]
    if isinstance(value, list):
        inner = [branch["items"] for branch in branches if "items" in branch]
        for each in value:
            yield from _foreign(whole, inner, each, f"{path}[]")
    elif isinstance(value, dict) and not any(branch.get("additionalProperties") is True for branch in branches):
        for key, each in value.items():
            inner = [found for branch in branches for found in _said_of(branch, key)]
            yield from _foreign(whole, inner, each, f"{path}/{key}") if inner else [f"{path}/{key}"]


def _said_of(branch: dict[str, Any], key: str) -> list[Any]:
    """What one branch says of a key."""
    if key in branch.get("properties", {}):
        return [branch["properties"][key]]
    rest = branch.get("additionalProperties")
    return [] if rest is None else [rest]


def _branches(whole: dict[str, Any], part: Any) -> Iterator[dict[str, Any]]:
    """A part of a schema, and all that it refers to or chooses from for the same value."""
    if not isinstance(part, dict):
        return
    yield part
    if "$ref" in part:
        yield from _branches(whole, whole["$defs"][part["$ref"].removeprefix("#/$defs/")])
    choices = [one for key in ("oneOf", "anyOf", "allOf") for one in part.get(key, [])]
    for one in (*choices, *(part[key] for key in ("if", "then", "else") if key in part)):
        yield from _branches(whole, one)


def undescribed(whole: dict[str, Any]) -> Iterator[str]:
    """The paths of all keys that a schema does not describe, neither in place nor where it refers to."""
    parts = {"": whole, **{f"#{name}": part for name, part in whole.get("$defs", {}).items()}}
    for path, part in parts.items():
        yield from _undescribed(whole, part, path)


def _undescribed(whole: dict[str, Any], part: dict[str, Any], path: str) -> Iterator[str]:
    for key, value in part.get("properties", {}).items():
        if not any(branch.get("description") for branch in (value, *_branches(whole, value))):
            yield f"{path}/{key}"
        yield from _undescribed(whole, value, f"{path}/{key}")
    inner = [part["items"]] if "items" in part else []
    for one in (*inner, *part.get("anyOf", []), *part.get("oneOf", [])):
        yield from _undescribed(whole, one, path)


def schema_names() -> list[str]:
    """Names of all schemas, those of answers as ``cli/…``."""
    return sorted(str(p.relative_to(SCHEMAS)).removesuffix(".schema.json") for p in SCHEMAS.rglob("*.schema.json"))
