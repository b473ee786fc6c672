"""What is vendored is what npm has, each with its licence, and no more."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from peercoord.screens.web.app import STATIC

VENDOR = STATIC / "vendor"
PACKAGES = {
    "htmx.org@4.0.1": {
        "htmx.min.js": "dist/htmx.min.js",
        "hx-sse.min.js": "dist/ext/hx-sse.min.js",
        "htmx.LICENSE": "LICENSE",
    },
    "uplot@1.6.32": {
        "uPlot.iife.min.js": "dist/uPlot.iife.min.js",
        "uPlot.min.css": "dist/uPlot.min.css",
        "uPlot.LICENSE": "LICENSE",
    },
    "@dagrejs/dagre@3.1.3": {"dagre.min.js": "dist/dagre.min.js", "dagre.LICENSE": "LICENSE"},
}
"""By package, each file here and where it lies in the package."""
MAKES = ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "new Function")
"""What makes HTML or code of a text."""


def test_every_vendored_file_is_listed() -> None:
    listed = {name for files in PACKAGES.values() for name in files}
    assert {path.name for path in VENDOR.iterdir()} == listed
    for files in PACKAGES.values():
        assert any(name.endswith(".LICENSE") for name in files)


def test_the_pages_own_script_makes_no_html_and_evaluates_nothing() -> None:
    script = (STATIC / "page.js").read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    for word in (*MAKES, "http:", "https:"):
        assert word not in script, word


@pytest.mark.browser
@pytest.mark.parametrize("package", PACKAGES)
def test_what_is_vendored_is_what_npm_has(package: str, tmp_path: Path) -> None:
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    said = subprocess.run(
        ["npm", "pack", "--silent", package], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    with tarfile.open(tmp_path / said.stdout.strip()) as packed:
        for name, inside in PACKAGES[package].items():
            file = packed.extractfile(f"package/{inside}")
            assert file is not None
            assert (VENDOR / name).read_bytes() == file.read(), name
