"""The report: every page in one file, which loads nothing."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

from markupsafe import Markup

from peercoord.screens.web import drawing, pages
from peercoord.screens.web.app import STATIC
from peercoord.screens.web.drawing import Site
from peercoord.screens.web.parts import whole

if TYPE_CHECKING:
    from peercoord.screens.web.model import Scene

LIBRARIES = (("uPlot", "vendor/uPlot.iife.min.js"), ("dagre", "vendor/dagre.min.js"))
GIT_SECONDS = 10.0  # for what the branches of all tasks change


def draw(scene: Scene) -> str:
    """Draw the report."""
    scene.source.changes.left = GIT_SECONDS
    site = Site(report=True, now=scene.board.now)
    drawn = {name: whole(pages.PAGES[name](scene, site, {})) for name in site.pages}
    sections = [(name, label, Markup(drawn[name])) for name, (_, label) in site.pages.items()]  # noqa: S704 - by templates
    instances = [(peer.name, Markup(pages.instance(scene, site, peer.name))) for peer, _ in scene.peers]  # noqa: S704
    tasks = [(row.task, Markup(pages.task(scene, site, row.task))) for row in scene.board.rows]  # noqa: S704
    scripts = [f"/*!\n{name}\n\n{_read(f'vendor/{name}.LICENSE')}\n*/\n{_read(file)}" for name, file in LIBRARIES]
    scripts.append(_read("page.js"))
    styles = [f"{_read('vendor/uPlot.min.css')}\n{_read('page.css')}"]
    policy = (
        f"default-src 'none'; script-src {_hashes(scripts)}; style-src {_hashes(styles)}; "
        "base-uri 'none'; form-action 'none'"
    )
    return drawing.draw(
        "report.html",
        site,
        project=str(scene.source.root.protocol.get("project", "")),
        policy=Markup(policy),  # noqa: S704 - made of hashes
        sections=sections,
        instances=instances,
        tasks=tasks,
        scripts=[Markup(one) for one in scripts],  # noqa: S704 - files of this package
        styles=[Markup(one) for one in styles],  # noqa: S704 - files of this package
    )


def _read(name: str) -> str:
    return (STATIC / name).read_text(encoding="utf-8").replace("//# sourceMappingURL=dagre.min.js.map", "")


def _hashes(texts: list[str]) -> str:
    return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'" for one in texts)
