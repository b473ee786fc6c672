"""Reading the specification and what lies beside it: clauses, tables, examples."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

REPOSITORY = Path(__file__).parents[2]
PROTOCOL = REPOSITORY / "protocol"
SPEC = (PROTOCOL / "spec.md").read_text(encoding="utf-8")
SCHEMAS = PROTOCOL / "schemas" / "v1"
EXAMPLES = PROTOCOL / "examples" / "v1"
VECTORS = PROTOCOL / "vectors" / "v1"
CLAUSE = re.compile(r"\b[A-Z]{3}-[1-9][0-9]*\b")
_DEFINED = re.compile(r"(?:\n\n|^\| )\*\*([A-Z]{3}-[1-9][0-9]*)\*\*", re.MULTILINE)
_FENCE = re.compile(r"^```json ?(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def clauses() -> list[str]:
    """The ids of the clauses, in the order of the page."""
    return _DEFINED.findall(SPEC)


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


def validator(name: str) -> Draft202012Validator:
    """The validator of one record or answer, by the name of its schema."""
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


def valid(name: str, record: Any) -> None:
    """Assert that a record is valid."""
    faults = [f"{'/'.join(map(str, e.absolute_path))}: {e.message}" for e in validator(name).iter_errors(record)]
    assert not faults, f"no {name}: {'; '.join(faults)}\n{json.dumps(record, indent=2)[:2000]}"


def schema_names() -> list[str]:
    """Names of all schemas, those of answers as ``cli/…``."""
    return sorted(str(p.relative_to(SCHEMAS)).removesuffix(".schema.json") for p in SCHEMAS.rglob("*.schema.json"))
