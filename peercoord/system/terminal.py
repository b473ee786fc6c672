"""What the terminal of a command can show: its width, and colours."""

from __future__ import annotations

import os
import shutil
import sys

WIDTH = 80  # where there is no terminal
WIDTH_LEAST, WIDTH_MOST = 20, 500


def is_shown() -> bool:
    """Check whether standard output is a terminal that can redraw itself."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def has_colours() -> bool:
    """Check whether standard output may be coloured: it is a terminal, and ``NO_COLOR`` is not set."""
    return is_shown() and not os.environ.get("NO_COLOR")


def width() -> int:
    """The cells of a line; ``COLUMNS`` decides if it is set, and elsewhere than on a terminal there are 80."""
    return min(WIDTH_MOST, max(WIDTH_LEAST, shutil.get_terminal_size((WIDTH, 24)).columns))
