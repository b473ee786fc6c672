"""``peercoord config``: the settings that all peers of a project share, in ``protocol.json``."""

from __future__ import annotations

import click

from peercoord.core import ids, names, records
from peercoord.core.errors import UsageError
from peercoord.core.limits import DEFAULT_SETTINGS, WORDS
from peercoord.edges.cli.main import Call
from peercoord.edges.cli.work import json_option
from peercoord.edges.reply import Reply
from peercoord.roles.root import open_root


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
    if value:
        with root.intake():
            settings = {**root.protocol.get("settings", {}), key: _checked(key, value)}
            root.protocol = {**root.protocol, "settings": settings}
            root.files.put(names.PROTOCOL, records.encode(root.protocol), durable=True)
        root.event(call.place.instance or "person", "configured", key=key, value=settings[key])
    shown = {k: root.setting(k) for k in DEFAULT_SETTINGS if not key or k == key}
    return Reply({"settings": shown}, [f"{name} = {now}" for name, now in shown.items()])


def _checked(key: str, value: str) -> int | str:
    if isinstance(DEFAULT_SETTINGS[key], str):
        if value not in WORDS[key]:
            raise UsageError(f"{key} is {' or '.join(WORDS[key])}, not {ids.shown(value)}")
        return value
    number = names.number(value)
    if not number:
        raise UsageError(f"{key} is a whole number above 0, not {ids.shown(value)}")
    return number
