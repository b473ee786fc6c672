"""Additions: appended to their section, each text once.

What a text says is compared block by block (a paragraph, a fence, one item of a list), so that two peers who report
the same thing add it once. Of a list, the items that are new go in; any other text goes in whole or not at all,
because half of it would read as something else.
"""

from __future__ import annotations

from peercoord.core.memory import markdown, sections

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from peercoord.core.memory.contributions import Contribution
    from peercoord.core.memory.markdown import Block
    from peercoord.core.memory.sections import Section


def append(
    text: str, additions: Sequence[Contribution], section: Section | None = None
) -> tuple[str, list[Contribution], list[Contribution]]:
    """Append additions that say something new to a section's text.

    Args:
        text: The section's text, ``LF`` line endings.
        additions: In the order in which they go.
        section: The section as it was read, which saves reading its text again where that is still the same.

    Returns:
        The text, the additions that went in, and those whose text was there already.
    """
    if not additions:
        return text, [], []
    there = section.blocks if section and section.text == text else markdown.blocks(text)
    keys, lines = {block.key for block in there}, {line.rstrip() for line in text.split("\n")}
    last = there[-1] if there else None
    parts, added, known = [text] if text else [], [], []
    for one in additions:
        content = sections.trimmed(one.content)
        found = markdown.blocks(content)
        fresh = [block for block in found if block.key not in keys]
        if not fresh or (found[0].text.split("\n")[0].rstrip() in lines and _stands(content, text)):
            known.append(one)
            continue
        if all(block.item for block in found):
            content, found = together(fresh), fresh  # of a list, the items that are new; other texts stay whole
        parts += [_gap(last, found[0]) if parts else "", content]
        added.append(one)
        keys.update(block.key for block in found)
        last = found[-1]
    return "".join(parts), added, known


def _gap(last: Block | None, first: Block) -> str:
    """Give what goes between two texts: items close up to a list of the same kind, rows to a table."""
    row = last is not None and last.marker == "table" and not first.marker and first.text.startswith("|")
    item = last is not None and last.item and first.marker == last.marker
    return "\n" if row or item else "\n\n"


def _stands(content: str, text: str) -> bool:
    """Tell whether a text stands in another, with blank lines around it."""
    content, text = ("\n".join(line.rstrip() for line in part.split("\n")) for part in (content, text))
    return f"\n\n{content}\n\n" in f"\n\n{text}\n\n"


def together(found: Sequence[Block]) -> str:
    """Give blocks as one text: items of one list close up, all else with a blank line between."""
    parts: list[str] = []
    for at, block in enumerate(found):
        parts += [_gap(found[at - 1], block) if at else "", block.text]
    return "".join(parts)
