"""``python tests/bench cli|agent|dash|web|sync|merge|ways|screens``: measure on this machine."""

from __future__ import annotations

import json
import sys
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
    data = calls.measure(rounds, tasks, where)
    lines = [f"{'':24}  median ms      B   bar"]
    for name, one in data["commands"].items():
        bar = f"≤ {one['bar']} {'holds' if one['holds'] else 'FAILS'}" if "bar" in one else ""
        lines.append(f"{name:24}  {one['median_ms']:9.2f}  {one['b']:5.2f}   {bar}")
    hook = data["hook"]
    holds = "holds" if hook["holds"] else "FAILS"
    lines.append(f"{'hook above an empty shell':24} {hook['above_sh_ms']:9.2f}          ≤ {hook['bar']} ms {holds}")
    answer(data, lines, as_json, holds=all(one.get("holds", True) for one in [hook, *data["commands"].values()]))


@bench.command("agent")
@click.option("--agents", default=1, type=click.IntRange(min=1, max=200), help="How many idle agents.")
@click.option("--seconds", default=60.0, type=click.FloatRange(min=1), help="How long to watch them.")
@click.option("--tasks", default=15, type=click.IntRange(min=1), help="Tasks in the queue.")
@where_option
@json_option
def agent_(agents: int, seconds: float, tasks: int, where: str, as_json: bool) -> None:
    """Measure processor time and memory of idle agents."""
    data = idle.measure(agents, seconds, tasks, where)
    cpu, rss, own = data["cpu_percent"], data["rss_mib"], data["own_mib"]
    lines = [
        f"{agents} idle agent(s) over {data['seconds']} s",
        f"processor, % of a core:  {cpu['mean']} each (most {cpu['most']}), {cpu['together']} together",
        f"memory, MiB:             {rss['mean']} resident (most {rss['most']}), {own['mean']} of its own",
    ]
    judge(data, lines, as_json)


@bench.command("dash")
@click.option("--tasks", default=100_000, type=click.IntRange(min=10), help="Tasks in the queue.")
@click.option("--seconds", default=60.0, type=click.FloatRange(min=1), help="How long to watch it.")
@where_option
@json_option
def dash_(tasks: int, seconds: float, where: str, as_json: bool) -> None:
    """Measure an open dash: drawing, a key, a change, and what it costs while nothing happens."""
    data = dash.measure(tasks, seconds, where)
    lines = [
        f"{tasks} tasks, over {data['seconds']} s",
        f"drawn after {data['first_seconds']} s, the last row {data['last_row_seconds']} s after its key",
        f"a change by another process is shown after {data['change_seconds']} s",
        f"processor: {data['cpu_percent']} % of a core; memory: {data['rss_mib']} MiB resident",
    ]
    judge(data, lines, as_json)


@bench.command("web")
@click.option("--tasks", default=1000, type=click.IntRange(min=10), help="Tasks in the queue.")
@click.option("--seconds", default=60.0, type=click.FloatRange(min=1), help="How long to watch it.")
@where_option
@json_option
def web_(tasks: int, seconds: float, where: str, as_json: bool) -> None:
    """Measure an open page: drawing, a change, and what it costs while nothing happens."""
    data = web.measure(tasks, seconds, where)
    lines = [
        f"{tasks} tasks, over {data['seconds']} s",
        f"the board is there after {data['first_seconds']} s",
        f"a change by another process is there after {data['change_seconds']} s",
        f"processor: {data['cpu_percent']} % of a core; memory: {data['rss_mib']} MiB resident",
    ]
    judge(data, lines, as_json)


@bench.command("sync")
@click.option("--tasks", default=10_000, type=click.IntRange(min=10), help="How many tasks.")
@click.option("--rounds", default=11, type=click.IntRange(min=3), help="Syncs that find nothing to do.")
@where_option
@json_option
def sync_(tasks: int, rounds: int, where: str, as_json: bool) -> None:
    """Time syncs with a TaskMaster database beside bare reads and writes of as much."""
    data = sync.measure(tasks, rounds, where)
    nothing, first = data["nothing_to_do"], data["first_import"]
    lines = [
        f"{tasks} tasks                       bare ms    sync ms   ratio",
        f"nothing to do (stat, SELECT)   {nothing['bare_ms']:9.1f}  {nothing['sync_ms']:9.1f}  {nothing['ratio']:6.2f}",
        f"first import (files, flush)    {first['bare_ms']:9.1f}  {first['import_ms']:9.1f}  {first['ratio']:6.2f}",
    ]
    judge(data, lines, as_json)


@bench.command("merge")
@click.option("--kib", default=1000, type=click.IntRange(min=1), help="Size of the document.")
@click.option("--count", default=1000, type=click.IntRange(min=10), help="Contributions to it.")
@click.option("--rounds", default=5, type=click.IntRange(min=3), help="How often each is measured.")
@where_option
@json_option
def merge_(kib: int, count: int, rounds: int, where: str, as_json: bool) -> None:
    """Time merges of the memory bank beside one parse of the document and bare git."""
    data = merge.measure(kib * 1000, count, rounds, where)
    lines = [f"{count} contributions, {kib} kB    reading ms     git ms   merge ms   readings beside git"]
    for name, one in data["shapes"].items():
        figures = f"{one['parse_ms']:10.1f} {one['git_ms']:10.1f} {one['merge_ms']:10.1f}  {one['ratio']:8.2f}"
        lines.append(f"{name:32}{figures}   (git {one['git_calls']} times)")
    judge(data, lines, as_json)


@bench.command("ways")
@click.option("--cold", is_flag=True, help="Count the first run in a process, with empty caches.")
@where_option
@json_option
def ways_(cold: bool, where: str, as_json: bool) -> None:
    """Count product files, calls, changes of file and system calls that five actions take."""
    data = ways.measure(where, cold)
    kinds = list(next(iter(data["actions"].values())))
    lines = [f"{'':24}{''.join(f'{kind:>17}' for kind in kinds)}"]
    lines += [f"{name:24}{''.join(f'{one[kind]:17}' for kind in kinds)}" for name, one in data["actions"].items()]
    answer(data, lines, as_json)


@bench.command("screens")
@click.option("--tasks", default=100_000, type=click.IntRange(min=10), help="How many tasks.")
@click.option("--rounds", default=5, type=click.IntRange(min=3), help="How often status is called.")
@where_option
@json_option
def screens_(tasks: int, rounds: int, where: str, as_json: bool) -> None:
    """Time `status` on a large team, the first time and after."""
    data = screens.measure(tasks, rounds, where)
    lines = [
        f"{tasks} tasks                    seconds   of a processor",
        f"status, the first time      {data['first_s']:9.2f}   {data['first_cpu_s']:9.2f}",
        f"status, median of {rounds:<3}       {data['median_s']:9.2f}   {data['median_cpu_s']:9.2f}",
    ]
    judge(data, lines, as_json)


def judge(data: dict[str, Any], lines: list[str], as_json: bool) -> None:
    """Print a measurement and which of its bars hold."""
    bars = [f"{'holds' if holds else 'FAILS'}: {what}" for what, holds in data["bars"].items()]
    answer(data, [*lines, *bars], as_json, holds=all(data["bars"].values()))


def answer(data: dict[str, Any], lines: list[str], as_json: bool, holds: bool = True) -> None:
    """Print a measurement, and exit 1 if a bar fails."""
    click.echo(json.dumps(data, ensure_ascii=False) if as_json else "\n".join(lines))
    raise SystemExit(0 if holds else 1)


if __name__ == "__main__":
    bench(prog_name="python tests/bench")
