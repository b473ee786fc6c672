"""``python tests/bench cli|agent|dash|web|sync|merge|ways|screens``: measure on this machine."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

if __name__ == "__main__":  # run as a directory: find this package as pytest finds it
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench import calls, dash, idle, merge, screens, sync, ways, web

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
where_option = click.option("--dir", "where", default="", metavar="DIR", help="Measure on the filesystem of DIR.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
def bench() -> None:
    """Measure on this machine. Ratios are of medians, measured side by side in one run. Exit 1 if a bar fails."""


@bench.command("cli")
@click.option("--rounds", default=40, type=click.IntRange(min=5), help="How often each command is run.")
@click.option("--tasks", default=15, type=click.IntRange(min=1), help="Tasks in the queue, at least.")
@where_option
@json_option
def cli_(rounds: int, tasks: int, where: str, as_json: bool) -> None:
    """Time the verbs of coordinate.sh beside a Python process that does nothing (B)."""
    answer(calls.measure(rounds, tasks, where), as_json)


@bench.command("agent")
@click.option("--agents", default=1, type=click.IntRange(min=1, max=200), help="How many idle agents.")
@click.option("--seconds", default=60.0, type=click.FloatRange(min=1), help="How long to watch them.")
@click.option("--tasks", default=15, type=click.IntRange(min=1), help="Tasks in the queue.")
@where_option
@json_option
def agent_(agents: int, seconds: float, tasks: int, where: str, as_json: bool) -> None:
    """Measure processor time and memory of idle agents."""
    answer(idle.measure(agents, seconds, tasks, where), as_json)


@bench.command("dash")
@click.option("--tasks", default=100_000, type=click.IntRange(min=10), help="Tasks in the queue.")
@click.option("--seconds", default=60.0, type=click.FloatRange(min=1), help="How long to watch it.")
@where_option
@json_option
def dash_(tasks: int, seconds: float, where: str, as_json: bool) -> None:
    """Measure an open dash: drawing, a key, a change, and what it costs while nothing happens."""
    answer(dash.measure(tasks, seconds, where), as_json)


@bench.command("web")
@click.option("--tasks", default=1000, type=click.IntRange(min=10), help="Tasks in the queue.")
@click.option("--seconds", default=60.0, type=click.FloatRange(min=1), help="How long to watch it.")
@where_option
@json_option
def web_(tasks: int, seconds: float, where: str, as_json: bool) -> None:
    """Measure an open page: drawing, a change, and what it costs while nothing happens."""
    answer(web.measure(tasks, seconds, where), as_json)


@bench.command("sync")
@click.option("--tasks", default=10_000, type=click.IntRange(min=10), help="How many tasks.")
@click.option("--rounds", default=11, type=click.IntRange(min=3), help="Syncs that find nothing to do.")
@where_option
@json_option
def sync_(tasks: int, rounds: int, where: str, as_json: bool) -> None:
    """Time syncs with a TaskMaster database beside bare reads and writes of as much."""
    answer(sync.measure(tasks, rounds, where), as_json)


@bench.command("merge")
@click.option("--kib", default=1000, type=click.IntRange(min=1), help="Size of the document.")
@click.option("--count", default=1000, type=click.IntRange(min=10), help="Contributions to it.")
@click.option("--rounds", default=5, type=click.IntRange(min=3), help="How often each is measured.")
@where_option
@json_option
def merge_(kib: int, count: int, rounds: int, where: str, as_json: bool) -> None:
    """Time merges of the memory bank beside one parse of the document and bare git."""
    answer(merge.measure(kib * 1000, count, rounds, where), as_json)


@bench.command("ways")
@click.option("--cold", is_flag=True, help="Count the first run in a process, with empty caches.")
@where_option
@json_option
def ways_(cold: bool, where: str, as_json: bool) -> None:
    """Count product files, calls, changes of file and system calls that five actions take."""
    answer(ways.measure(where, cold), as_json)


@bench.command("screens")
@click.option("--tasks", default=100_000, type=click.IntRange(min=10), help="How many tasks.")
@click.option("--rounds", default=5, type=click.IntRange(min=3), help="How often status is called.")
@where_option
@json_option
def screens_(tasks: int, rounds: int, where: str, as_json: bool) -> None:
    """Time `status` on a large team, the first time and after."""
    answer(screens.measure(tasks, rounds, where), as_json)


def answer(data: dict[str, Any], as_json: bool) -> None:
    """Print a measurement; exit 1 if one of its bars fails."""
    click.echo(json.dumps(data, ensure_ascii=False) if as_json else "\n".join(shown(data)))
    raise SystemExit(0 if holds(data) else 1)


def shown(data: dict[str, Any]) -> Iterator[str]:
    """A measurement in lines: a row for each of several like things, bars with whether they hold."""
    for key, value in data.items():
        if not isinstance(value, dict):
            yield f"{key}: {value}"
        elif all(isinstance(one, bool) for one in value.values()):
            yield from (f"{'holds' if good else 'FAILS'}: {what}" for what, good in value.items())
        else:
            rows = value if all(isinstance(one, dict) for one in value.values()) else {key: value}
            yield from (f"{name:32}  {', '.join(f'{k} {v}' for k, v in row.items())}" for name, row in rows.items())


def holds(data: dict[str, Any]) -> bool:
    """Check whether no bar of a measurement fails."""
    inner = [one for one in data.values() if isinstance(one, dict)]
    return data.get("holds", True) and all(data.get("bars", {}).values()) and all(map(holds, inner))


if __name__ == "__main__":
    bench(prog_name="python tests/bench")
