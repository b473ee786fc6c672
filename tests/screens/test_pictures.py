"""The README's pictures need nothing from another place."""

from __future__ import annotations

import re

import pytest
from screens import pictures


@pytest.mark.parametrize("path", sorted(pictures.PICTURES.glob("*.svg")), ids=lambda path: path.stem)
def test_a_picture_names_no_other_place(path: object) -> None:
    text = (pictures.PICTURES / str(path)).read_text(encoding="utf-8")
    assert set(re.findall(r"https?://[^\"' )]+", text)) <= {"http://www.w3.org/2000/svg"}
    assert "script" not in text
