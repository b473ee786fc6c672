"""The suite lies beside the specification, not in the package: it is found by its path."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "protocol" / "conformance"))
sys.path.insert(0, str(Path(__file__).parent))
