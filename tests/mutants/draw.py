"""Draw a fixed list of mutants from the source: small faults that a good test suite notices.

Run ``python tests/mutants/draw.py [TREE]``: it prints the list as JSON. The seed is fixed, so one tree gives one list.
``mutants.json`` was drawn once, from the tree of commit 051f900; what is written there beside the draw (the sentence in
``breaks``, the verdicts) was added by hand or by ``check.py``. Draw again only to start a new list.

Each capability has a quota. Within a capability the operators take turns, and each function is used once, so that the
list spreads over the code. Not drawn: docstrings, log lines, texts, type hints, constants of a module or class, and
functions that only word something.
"""

from __future__ import annotations

import ast
import json
import random
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

SEED = 20120
CAPABILITIES: dict[str, tuple[int, str]] = {  # quota, and the files of the capability in the old tree
    "queue": (
        18,
        "roles/queue.py roles/worker.py roles/janitor.py roles/twins.py core/tickets.py core/graph.py",
    ),
    "membership": (12, "roles/membership.py roles/leader.py roles/observer.py core/liveness.py"),
    "memory": (16, "core/memory/*.py roles/bank*.py"),
    "sync": (16, "core/sync.py roles/database.py roles/ours.py roles/taking.py edges/adapters/*.py"),
    "mailbox": (7, "core/door.py roles/outbox.py"),
    "worktree": (8, "edges/desk.py edges/handout.py edges/hand_edits.py edges/waiting.py"),
    "team": (10, "edges/team/*.py"),
    "git": (5, "edges/team/git.py edges/team/inspection.py"),
    "signals": (4, "fs/signals.py"),
    "reads": (7, "fs/beneath.py fs/files.py"),
}
WORDING = ("__repr__", "__str__", "_whereabouts", "say", "note", "hint", "word", "describe", "tell", "title", "message")
LOGGING = ("log", "event", "say", "note", "warning", "_note", "_say", "echo", "tell")
SWAPS: dict[type, str] = {
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.Is: "is not",
    ast.IsNot: "is",
    ast.In: "not in",
    ast.NotIn: "in",
}
COMMENT = re.compile(r"\s+# .*$")
Found = tuple[str, ast.AST, str]  # operator, the node that is replaced, what replaces it


def mutations(statement: ast.stmt, returns: str) -> Iterator[Found]:
    """List what can be broken in one statement; of a compound statement, in its head."""
    if isinstance(statement, ast.Raise):
        yield "raise removed", statement, "pass"
        return
    if is_removable(statement):
        yield "statement removed", statement, "pass"
    if isinstance(statement, (ast.Expr, ast.Assign)) and returns == "None":
        yield "returns early", statement, "return"
    if isinstance(statement, (ast.If, ast.While)):
        yield "condition negated", statement.test, f"not ({ast.unparse(statement.test)})"
    if isinstance(statement, ast.Return):
        yield from results(statement, returns)
    for handler in getattr(statement, "handlers", ()):
        if handler.type is not None:
            yield "exception not caught", handler.type, "()"
    yield from (found for part in heads(statement) for found in expressions(part))


def expressions(part: ast.AST) -> Iterator[Found]:
    """List what can be broken in one expression of a statement."""
    for node in code(part):
        for operator in (comparisons, conditions, values):
            yield from operator(node)


def is_removable(statement: ast.stmt) -> bool:
    """Check whether the code around a statement can do without it."""
    if isinstance(statement, ast.Assign):
        return not isinstance(statement.targets[0], (ast.Name, ast.Tuple))
    called = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)
    return called or isinstance(statement, (ast.AugAssign, ast.Continue, ast.Break))


def results(statement: ast.Return, returns: str) -> Iterator[Found]:
    """List what else a function could answer."""
    if statement.value is None or isinstance(statement.value, ast.Constant):
        return
    if returns.endswith("| None"):
        yield "returns nothing", statement, "return None"
    if returns == "bool":
        yield "condition negated", statement.value, f"not ({ast.unparse(statement.value)})"


def heads(statement: ast.stmt) -> Iterator[ast.AST]:
    """List a statement's own expressions, without the statements inside it."""
    for name, value in ast.iter_fields(statement):
        if name in ("annotation", "decorator_list", "body", "orelse", "finalbody", "handlers", "returns", "args"):
            continue
        yield from (each for each in (value if isinstance(value, list) else [value]) if isinstance(each, ast.AST))


def code(node: ast.AST) -> Iterator[ast.AST]:
    """Walk over an expression, but not into texts, type casts and calls that only log."""
    if isinstance(node, ast.JoinedStr):
        return
    if isinstance(node, ast.Call) and name_of(node) in (*LOGGING, "cast", "TypeVar"):
        return
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(node, ast.Subscript) and isinstance(child, ast.Constant)):  # another index mostly crashes
            yield from code(child)


def comparisons(node: ast.AST) -> Iterator[Found]:
    """Change a comparison, or take the other of two numbers."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        swapped = SWAPS[type(node.ops[0])]
        yield "comparison changed", node, f"{ast.unparse(node.left)} {swapped} {ast.unparse(node.comparators[0])}"
    if isinstance(node, ast.Call) and name_of(node) in ("min", "max"):
        yield "min/max exchanged", node.func, "max" if name_of(node) == "min" else "min"


def conditions(node: ast.AST) -> Iterator[Found]:
    """Negate a condition, exchange ``and`` and ``or``, or drop a part."""
    if isinstance(node, ast.BoolOp):
        word = " and " if isinstance(node.op, ast.And) else " or "
        parts = [
            f"({ast.unparse(part)})" if isinstance(part, ast.BoolOp) else ast.unparse(part) for part in node.values
        ]
        if len(parts) == 2:
            yield "and/or exchanged", node, f"({(' or ' if word == ' and ' else ' and ').join(parts)})"
        for left_out in range(len(parts)):
            rest = [part for number, part in enumerate(parts) if number != left_out]
            yield "part of a condition dropped", node, f"({word.join(rest)})" if len(rest) > 1 else rest[0]
    if isinstance(node, ast.IfExp):
        yield "condition negated", node.test, f"not ({ast.unparse(node.test)})"
    if isinstance(node, ast.comprehension):
        for test in node.ifs:
            yield "condition negated", test, f"not ({ast.unparse(test)})"
            yield "part of a condition dropped", test, "True"


def values(node: ast.AST) -> Iterator[Found]:
    """Change a number or a flag, drop an argument that has a default, or let an exception through."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        yield "constant changed", node, str(not node.value if isinstance(node.value, bool) else node.value + 1)
    if not isinstance(node, ast.Call):
        return
    if name_of(node) == "suppress":
        yield "exception not caught", node, "suppress()"
    for keyword in node.keywords:
        if keyword.arg in DEFAULTS.get(name_of(node), ()) and keyword.arg not in ("hint", "name", "note"):
            kept = ast.Call(node.func, node.args, [each for each in node.keywords if each is not keyword])
            yield "argument dropped", node, ast.unparse(kept)


def name_of(call: ast.Call) -> str:
    """Return the name a call calls."""
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


DEFAULTS: dict[str, set[str]] = {"sorted": {"reverse"}}


def read_defaults(tree: Path) -> None:
    """Note which arguments may be left out: those with a default in every function of that name."""
    seen: dict[str, list[set[str]]] = defaultdict(list)
    for path in sorted(tree.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                args = node.args.posonlyargs + node.args.args
                optional = {each.arg for each in args[len(args) - len(node.args.defaults) :]}
                optional |= {
                    each.arg for each, given in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True) if given
                }
                seen[node.name].append(optional)
    DEFAULTS.update({name: set.intersection(*every) for name, every in seen.items() if name not in DEFAULTS})


def functions(node: ast.AST, inside: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    """List every function with its qualified name, an inner function as part of the outer one."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield from functions(child, f"{inside}{child.name}.")
        elif isinstance(child, ast.FunctionDef):
            yield f"{inside}{child.name}", child


def statements(function: ast.FunctionDef) -> Iterator[ast.stmt]:
    """List the statements of a function, without docstrings, logging and type hints."""
    for node in ast.walk(function):
        if not isinstance(node, ast.stmt) or node is function:
            continue
        if isinstance(node, ast.Expr) and (
            isinstance(node.value, ast.Constant)
            or (isinstance(node.value, ast.Call) and name_of(node.value) in LOGGING)
        ):
            continue
        yield node


def candidates(tree: Path, capability: str) -> Iterator[dict[str, object]]:
    """List every mutant of a capability, in the order of the source."""
    patterns = CAPABILITIES[capability][1].split()
    taken = {path for other in ("git",) if capability == "team" for path in files(tree, CAPABILITIES[other][1].split())}
    for path in files(tree, patterns):
        if path in taken:
            continue
        text = path.read_text()
        lines = text.splitlines()
        for name, function in functions(ast.parse(text)):
            if any(word in name.rsplit(".", 1)[-1].lower() for word in WORDING) or name.endswith("__init__"):
                continue
            returns = ast.unparse(function.returns) if function.returns else ""
            for statement in statements(function):
                for operator, node, new in mutations(statement, returns):
                    before, after = replaced(lines, node, new)
                    yield {
                        "capability": capability,
                        "file": str(path.relative_to(tree.parent)),
                        "function": name,
                        "line": getattr(node, "lineno", 0),
                        "operator": operator,
                        "before": before,
                        "after": after,
                        "occurrence": occurrence(lines, function, node, before),
                    }


def files(tree: Path, patterns: list[str]) -> list[Path]:
    """List the files that the patterns name, in a fixed order."""
    return [path for pattern in patterns for path in sorted(tree.glob(pattern))]


def replaced(lines: list[str], node: ast.AST, new: str) -> tuple[str, str]:
    """Return the lines of a node before and after it is replaced."""
    first, last = getattr(node, "lineno", 1) - 1, getattr(node, "end_lineno", 0)
    start = lines[first].encode()[: getattr(node, "col_offset", 0)].decode()
    end = lines[last - 1].encode()[getattr(node, "end_col_offset", 0) :].decode()
    code_end = COMMENT.sub("", end)
    before = "\n".join(lines[first:last]).removesuffix(end) + code_end
    return before.strip(), (start + new + code_end).strip()


def occurrence(lines: list[str], function: ast.FunctionDef, node: ast.AST, before: str) -> int:
    """Return how often the same text stands in the function before this node."""
    return "\n".join(lines[function.lineno - 1 : getattr(node, "lineno", 1) - 1]).count(before)


def draw(tree: Path) -> list[dict[str, object]]:
    """Draw each capability's quota: the operators take turns, each function is used once."""
    read_defaults(tree)
    drawn = []
    for capability, (quota, _) in CAPABILITIES.items():
        chance = random.Random(f"{SEED}-{capability}")
        by_operator: dict[str, list[dict[str, object]]] = defaultdict(list)
        for each in candidates(tree, capability):
            by_operator[str(each["operator"])].append(each)
        for every in by_operator.values():
            chance.shuffle(every)
        turns, used = sorted(by_operator), set()
        chance.shuffle(turns)
        number = 0
        while number < quota and turns:
            for operator in list(turns):
                fresh = [each for each in by_operator[operator] if (each["file"], each["function"]) not in used]
                if not fresh:
                    turns.remove(operator)
                elif number < quota:
                    number += 1
                    used.add((fresh[0]["file"], fresh[0]["function"]))
                    drawn.append({"id": f"{capability}-{number:02}", **fresh[0]})
    return drawn


if __name__ == "__main__":
    where = Path(sys.argv[1] if sys.argv[1:] else Path(__file__).parents[2] / "peercoord")
    print(json.dumps(draw(where), indent=2, ensure_ascii=False))
