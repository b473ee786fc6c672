"""What no test may do."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


BY_THE_CLOCK = re.compile(
    r"\btime\.sleep\("
    r"|assert .*\b(perf_counter|process_time|time|monotonic)\(\) - "
    r"|assert .*\b(elapsed|took|slowest|duration)\b.*[<>]"
)


def test_no_test_waits_by_the_clock_or_asks_how_long_something_took() -> None:
    """A busy machine is no failure: what must come is waited for, and races are met at their step (record 0038)."""
    for path in (ROOT / "tests").rglob("*.py"):
        if path.parent.name == "bench":  # no test: it measures time
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            assert path == Path(__file__) or not BY_THE_CLOCK.search(line), f"{path}:{number}"
