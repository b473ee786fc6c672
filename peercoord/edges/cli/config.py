"""``peercoord config``: the settings that all peers of a project share, in ``protocol.json``.

What is set here is noted in the repository's git directory too, out of reach of ``git clean``: a ``protocol.json`` that
is lost is written anew with it.
"""

from __future__ import annotations

import click

from peercoord.core import ids, names, records
from peercoord.core import settings as rules
from peercoord.core.errors import PeercoordError, UsageError
from peercoord.core.limits import DEFAULT_SETTINGS, WORDS
from peercoord.edges.cli.main import Call
from peercoord.edges.cli.work import json_option
from peercoord.edges.reply import Reply
from peercoord.roles.root import open_root, read_protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from peercoord.core.records import Json
    from peercoord.roles.root import Root


@click.command()
@click.argument("key", default="")
@click.argument("value", default="")
@json_option
@click.pass_obj
def config(call: Call, key: str, value: str, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """Show the shared settings, or set KEY to VALUE. Times are in seconds."""
    root = open_root(call.place.coordination, call.place.store_id)
    if key and key not in DEFAULT_SETTINGS:
        raise UsageError(
            f"there is no setting {ids.shown(key)}", hint=f"those there are: {', '.join(DEFAULT_SETTINGS)}"
        )
    notes = _set(root, call, key, value) if value else []
    shown = {k: root.setting(k) for k in DEFAULT_SETTINGS if not key or k == key}
    found = rules.problems(root.protocol.get("settings"))
    data: Json = {"settings": shown, "problems": [{"key": p.key, "text": p.text, "fix": p.fix} for p in found]}
    if value or not key:
        notes += [p.text + (f"; one that fits: {p.fix}" if p.fix else "") for p in found]
    return Reply(data, [f"{name} = {now}" for name, now in shown.items()], notes)


def _set(root: Root, call: Call, key: str, value: str) -> list[str]:
    """Set one; give what people should know then."""
    wanted = _checked(key, value)
    with root.intake():
        protocol = read_protocol(root.files, call.place.coordination, root.store_id)
        known = protocol.get("settings")
        settings = {**(known if isinstance(known, dict) else {}), key: wanted}
        root.protocol = {**protocol, "settings": settings}
        root.files.put(names.PROTOCOL, records.encode(root.protocol), durable=True)
    root.event(call.place.instance or "person", "configured", key=key, value=wanted)
    return _noted(root, call.place.project)


def _noted(root: Root, project: str) -> list[str]:
    """Note the settings where they are found again if ``protocol.json`` is lost; say if that was not possible."""
    from peercoord.edges.team import record, repository

    try:
        found = repository.discover(project, exact=True)
        if repository.is_known(found):
            with record.held(found.common):
                now = read_protocol(root.files, f"{project}/{names.ROOT}")  # another call may have set one since
                record.note_project(found.common, found.sub, settings=now["settings"])
    except PeercoordError as error:
        return [f"it holds, and would be lost with {names.PROTOCOL}: {error.message}"]
    return []


def _checked(key: str, value: str) -> int | str:
    if isinstance(DEFAULT_SETTINGS[key], str):
        if value not in WORDS[key]:
            raise UsageError(f"{key} is {' or '.join(WORDS[key])}, not {ids.shown(value)}")
        return value
    number = names.number(value)
    if not number:
        raise UsageError(f"{key} is a whole number above 0, not {ids.shown(value)}")
    return number
