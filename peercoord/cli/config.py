"""``peercoord config``: the settings that all peers of a project share, in ``protocol.json``.

The settings are recorded in the repository's git directory too, where ``git clean`` does not reach: a lost
``protocol.json`` is written again with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from peercoord import foreign
from peercoord.cli import completion
from peercoord.cli.main import Call
from peercoord.errors import PeercoordError, UsageError
from peercoord.mailbox.verbs import json_option
from peercoord.store import paths, records
from peercoord.store.root import read_protocol
from peercoord.store.settings import DEFAULT_SETTINGS, MAY_BE_OFF, WORDS, problems
from peercoord.worktree.reply import Reply

if TYPE_CHECKING:
    from peercoord.foreign import Json
    from peercoord.store.root import Root


@click.command()
@click.argument("key", default="", shell_complete=completion.settings)
@click.argument("value", default="", shell_complete=completion.values)
@json_option
@click.pass_obj
def config(call: Call, key: str, value: str, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """Show the shared settings, or set KEY to VALUE. Times are in seconds."""
    root = call.root
    if key and key not in DEFAULT_SETTINGS:
        hint = f"known: {', '.join(DEFAULT_SETTINGS)}"
        raise UsageError(f"there is no setting {foreign.shown(key)}", hint)
    notes = _set(root, call, key, value) if value else []
    shown = {k: root.setting(k) for k in DEFAULT_SETTINGS if not key or k == key}
    found = problems(root.protocol.get("settings"))
    data: Json = {"settings": shown, "problems": [{"key": p.key, "text": p.text, "fix": p.fix} for p in found]}
    if value or not key:
        notes += [p.text + (f"; one that fits: {p.fix}" if p.fix else "") for p in found]
    return Reply(data, [f"{name} = {now}" for name, now in shown.items()], notes)


def _set(root: Root, call: Call, key: str, value: str) -> list[str]:
    """Set one setting, also in the git directory's record; return notes."""
    from peercoord.store import manifest
    from peercoord.team import repository

    wanted, project = _checked(key, value), call.place.project
    with root.intake():
        protocol = read_protocol(root.files, call.place.coordination, root.store_id)
        known = protocol.get("settings")
        settings = {**(known if isinstance(known, dict) else {}), key: wanted}
        root.protocol = {**protocol, "settings": settings}
        root.files.put(paths.PROTOCOL, records.encode(root.protocol), durable=True)
    root.event(call.actor, "configured", key=key, value=wanted)
    try:
        found = repository.discover(project, exact=True)
        if repository.is_known(found):
            with manifest.held(found.common):
                now = read_protocol(root.files, f"{project}/{paths.ROOT}")  # another call may have set one since
                manifest.note_project(found.common, found.sub, settings=now["settings"])
    except PeercoordError as error:
        return [f"it holds, and would be lost with {paths.PROTOCOL}: {error.message}"]
    return []


def _checked(key: str, value: str) -> int | str:
    if isinstance(DEFAULT_SETTINGS[key], str):
        if value not in WORDS[key]:
            raise UsageError(f"{key} is {' or '.join(WORDS[key])}, not {foreign.shown(value)}")
        return value
    number = paths.number(value)
    if not number and not (number == 0 and key in MAY_BE_OFF):
        raise UsageError(f"{key} is a whole number above 0, not {foreign.shown(value)}")
    return number
