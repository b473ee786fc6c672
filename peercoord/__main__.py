"""``python -m peercoord``: the command line."""

from __future__ import annotations

from peercoord.cli.main import main

main()
