"""Add to a person's JSON file, and take it out again, without touching another byte.

The files of coding agents may hold comments and commas after the last entry, which a JSON library loses when it writes
the file again. So the text is only scanned: an addition is one piece of text at one place, and its removal is the
removal of that piece. If the piece was reformatted since, the entries are looked for by what they hold.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable

    from peercoord.foreign import Json

_SPACE = re.compile(r"(?:[ \t\r\n]|//[^\r\n]*|/\*.*?\*/)*", re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_SCALAR = re.compile(r"[-+.A-Za-z0-9]+")
_DEEPEST = 200


class JsonError(ValueError):
    """The text is no JSON, or has something else where an addition goes; the message says where."""


@dataclass(slots=True)
class Node:
    """A value and its place in the text.

    Attributes:
        start: Where it begins; a member of an object begins with its key.
        end: Behind its last character.
        value: The value; objects and arrays hold nodes.
        at: Where the value itself begins.
        comma: A comma follows its last entry.
    """

    start: int
    end: int
    value: Any
    at: int
    comma: bool = False

    def entries(self) -> list[Node]:
        """Return the nodes of an object or array, in order."""
        held = self.value
        return list(held.values()) if isinstance(held, dict) else held if isinstance(held, list) else []


def parse(text: str) -> Node:
    """Scan a text.

    Raises:
        JsonError: It is no JSON, comments and last commas aside.
    """
    at = _skip(text, 0)
    node = _value(text, at, 0)
    end = _skip(text, node.end)
    if end != len(text):
        raise _error(text, end, "nothing more may follow")
    return node


def plain(node: Node) -> Any:
    """Return the value of a node without places."""
    if isinstance(node.value, dict):
        return {key: plain(one) for key, one in node.value.items()}
    return [plain(one) for one in node.value] if isinstance(node.value, list) else node.value


def _skip(text: str, at: int) -> int:
    """Return the place behind the space and the comments at a place."""
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _error(text: str, at: int, what: str) -> JsonError:
    line = text.count("\n", 0, at) + 1
    return JsonError(f"line {line}, column {at - text.rfind(chr(10), 0, at)}: {what}")


def _value(text: str, at: int, depth: int) -> Node:
    if depth > _DEEPEST:
        raise _error(text, at, "too deep")
    opened = text[at : at + 1]
    if opened == "{" or opened == "[":
        return _container(text, at, depth)
    found = _STRING.match(text, at) or _SCALAR.match(text, at)
    try:
        if found:
            return Node(at, found.end(), orjson.loads(found.group()), at)
    except orjson.JSONDecodeError:
        pass
    raise _error(text, at, "no value")


def _container(text: str, at: int, depth: int) -> Node:
    """Scan an object or an array."""
    is_object = text[at] == "{"
    closing = "}" if is_object else "]"
    members: dict[str, Node] = {}
    items: list[Node] = []
    node = Node(at, at, members if is_object else items, at)
    here = _skip(text, at + 1)
    while text[here : here + 1] != closing:
        if not is_object:
            entry = _value(text, here, depth + 1)
            items.append(entry)
        else:
            key = _STRING.match(text, here)
            colon = _skip(text, key.end()) if key else here
            if key is None or text[colon : colon + 1] != ":":
                raise _error(text, here, "a name in quotes and a colon should stand here")
            begin = _skip(text, colon + 1)
            entry = _value(text, begin, depth + 1)
            entry.start = here
            name = orjson.loads(key.group())
            if name in members:
                raise _error(text, here, f"{key.group()} stands here twice")
            members[name] = entry
        here = _skip(text, entry.end)
        node.comma = text[here : here + 1] == ","
        if node.comma:
            here = _skip(text, here + 1)
        elif text[here : here + 1] != closing:
            raise _error(text, here, f"a comma or {closing} should stand here")
    node.end = here + 1
    return node


# -- adding --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Edit:
    """A text with additions.

    Attributes:
        text: The text.
        pieces: What was put in, in order; taking them out in the opposite order gives the text before.
    """

    text: str
    pieces: list[str] = field(default_factory=list)


def extend(text: str, more: Json) -> Edit:
    """Put the entries of an object into a text: objects are merged, arrays get further items.

    Args:
        text: The text; one without a value gets the whole object.
        more: What to put in.

    Raises:
        JsonError: The text is no JSON, or has another kind of value where something goes.
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    if _skip(text, 0) == len(text):
        if text.strip():
            raise JsonError("it holds comments alone")
        piece = _written(more, newline, "  ", "") + newline
        return Edit(piece + text, [piece])
    edit = Edit(text)
    root = parse(text)
    if not isinstance(root.value, dict):
        raise _error(text, root.at, "an object should stand here")
    _extend(edit, (), more, newline, _indent(text, root))
    return edit


def _extend(edit: Edit, path: tuple[str, ...], more: Json, newline: str, indent: str | None) -> None:
    node = _find(edit.text, path)
    missing = {key: value for key, value in more.items() if key not in node.value}
    if missing:
        _put(edit, node, [f"{_dumped(key)}: " for key in missing], list(missing.values()), newline, indent, len(path))
    for key, value in more.items():
        if key in missing:
            continue
        node = _find(edit.text, (*path, key))
        if isinstance(value, dict) and isinstance(node.value, dict):
            _extend(edit, (*path, key), value, newline, indent)
        elif isinstance(value, list) and isinstance(node.value, list):
            _put(edit, node, [""] * len(value), value, newline, indent, len(path) + 1)
        elif plain(node) != value:
            raise _error(edit.text, node.at, f"{_dumped(key)} has another value here")


def _put(
    edit: Edit, node: Node, names: list[str], values: list[Any], newline: str, indent: str | None, depth: int
) -> None:
    """Put entries behind the last one of an object or array."""
    text, entries = edit.text, node.entries()
    lead = "" if indent is None else newline + indent * (depth + 1)
    inner = "" if indent is None else indent * (depth + 1)
    written = [
        f"{lead}{name}{_written(value, newline, indent, inner)}" for name, value in zip(names, values, strict=True)
    ]
    joined = ",".join(written)
    if entries:
        at, piece = entries[-1].end, f",{joined}"
    else:
        is_open = "\n" in text[node.at : node.end]
        tail = "" if indent is None or is_open else newline + indent * depth
        at, piece = node.at + 1, f"{joined}{tail}"
    edit.text = text[:at] + piece + text[at:]
    edit.pieces.append(piece)


def _find(text: str, path: tuple[str, ...]) -> Node:
    node = parse(text)
    for key in path:
        node = node.value[key]
    return node


def _indent(text: str, root: Node) -> str | None:
    """Return the indentation of a text's first entry; ``None`` if all of it stands on one line."""
    entries = root.entries()
    if entries:
        lead = text[text.rfind("\n", 0, entries[0].start) + 1 : entries[0].start]
        if "\n" not in text[root.at : entries[0].start]:
            return None
        return lead if lead and not lead.strip(" \t") else "  "
    return "  "


def _dumped(value: Any) -> str:
    return orjson.dumps(value).decode()


def _written(value: Any, newline: str, indent: str | None, lead: str) -> str:
    if indent is None or not isinstance(value, (dict, list)) or not value:
        return _dumped(value)
    inner = lead + indent
    if isinstance(value, dict):
        parts = [f"{_dumped(key)}: {_written(one, newline, indent, inner)}" for key, one in value.items()]
    else:
        parts = [_written(one, newline, indent, inner) for one in value]
    opened, closed = "{}" if isinstance(value, dict) else "[]"
    body = f",{newline}{inner}".join(parts)
    return f"{opened}{newline}{inner}{body}{newline}{lead}{closed}"


# -- taking out ----------------------------------------------------------------------------------------------------


def take_out(text: str, pieces: list[str]) -> str | None:
    """Take pieces out of a text.

    Returns:
        The text without them; ``None`` if one of them is not there as it was, or is there twice.
    """
    for piece in reversed(pieces):
        if text.count(piece) != 1:
            return None
        text = text.replace(piece, "", 1)
    return text


def prune(text: str, is_ours: Callable[[Json], bool]) -> str:
    """Take objects out of the arrays of a text, at any depth, and what is empty without them.

    Args:
        text: The text.
        is_ours: Says which objects go.

    Raises:
        JsonError: It is no JSON.
    """
    while True:
        if _skip(text, 0) == len(text):
            return text
        root = parse(text)
        gone = _first(root, is_ours)
        if gone is None:
            return text
        parent, at = gone
        text = _without(text, parent, at)


def _first(node: Node, is_ours: Callable[[Json], bool]) -> tuple[Node, int] | None:
    """Find the outermost entry that holds nothing but what goes."""
    for index, entry in enumerate(node.entries()):
        if _goes(entry, is_ours):
            return node, index
        if found := _first(entry, is_ours):
            return found
    return None


def _goes(node: Node, is_ours: Callable[[Json], bool]) -> bool:
    if isinstance(node.value, dict) and is_ours(plain(node)):
        return True
    # a group of handlers has a matcher beside them, which goes with the last handler
    held = [entry for entry in node.entries() if node.start != node.at or not isinstance(entry.value, str)]
    return bool(held) and all(_goes(entry, is_ours) for entry in held)


def _without(text: str, parent: Node, index: int) -> str:
    """Take one entry out, with its comma and the space that led to it."""
    entries = parent.entries()
    entry = entries[index]
    if index + 1 < len(entries):
        return text[: entry.start] + text[entries[index + 1].start :]
    if index:
        before = entries[index - 1].end
        comma = _skip(text, before)
        kept = text[comma + 1 : entry.start] if text[comma + 1 : entry.start].strip() else ""
        return text[:comma] + kept + text[entry.end :]
    end = entry.end
    if parent.comma:
        end = _skip(text, end) + 1
    tail = text[end : parent.end - 1]
    return text[: parent.at + 1] + (tail if tail.strip() else "") + text[parent.end - 1 :]
