"""The lists that the project is kept in step with: how the last sync went, and whether the database can be had now."""

from __future__ import annotations

import os
import shlex

from peercoord.core.errors import PeercoordError
from peercoord.edges import syncing
from peercoord.edges.doctor.findings import bad, good, warning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from peercoord.edges.doctor.findings import Finding
    from peercoord.roles.root import Root

SYNC = "peercoord sync"
WAIT_SECONDS = 0.5  # for a database that another program has locked


def examine(root: Root) -> Iterator[Finding]:
    """Look at the database and the files that a project is kept in step with.

    A list that cannot be had now is bad news for people who read it and for nobody else: claims and reports go on, and
    what it missed is made up for.
    """
    choice = syncing.Choice.of(root.protocol)
    if not choice:
        yield good("database", "none is kept in step")
        return
    met = list(_troubles(root))
    found = met + [one for one in _now(root, choice) if not any(one.text in before.text for before in met)]
    yield from found
    if not found:
        last = syncing.health(root).get("last_ok")
        name = syncing.Lists.shown(choice)
        if last:
            yield good("database", f"{name}: in step, as of {last}")
        else:
            yield warning("database", f"{name}: no sync yet", SYNC)


def _troubles(root: Root) -> Iterator[Finding]:
    """Give what the last sync met, if that was no success."""
    for what, hint in syncing.troubles(root):
        yield bad("sync", what, hint)


def _now(root: Root, choice: syncing.Choice) -> Iterator[Finding]:
    """Look at each list as a sync would, changing nothing."""
    try:
        lists = syncing.Lists(root, "doctor", choice, wait=WAIT_SECONDS)
    except PeercoordError as error:
        yield bad("database", error.message, error.hint or SYNC)
        return
    for store in lists.all:
        try:
            store.look()
        except PeercoordError as error:
            say = warning if error.code == "locked" else bad
            yield say("database", error.message, error.hint or SYNC)
    path = lists.database.database.address.path
    by_effect = os.access in os.supports_effective_ids
    if path is not None and path.exists() and not os.access(path, os.W_OK, effective_ids=by_effect):
        yield bad("database", f"{lists.database.name} may not be written", f"chmod u+w {shlex.quote(str(path))}")
