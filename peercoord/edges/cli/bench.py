"""``peercoord bench``: what calls and idle agents cost on this machine."""

from __future__ import annotations

import click

from peercoord.edges.reply import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from peercoord.core.records import Json

json_option = click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object.")
where_option = click.option("--dir", "where", default="", metavar="DIR", help="Measure on the filesystem of DIR.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def bench() -> None:
    """Measure on this machine. Ratios are of medians, measured side by side in one run."""


@bench.command()
@click.option("--rounds", default=40, type=click.IntRange(min=5), help="How often each command is run.")
@click.option("--tasks", default=15, type=click.IntRange(min=1), help="Tasks in the queue, at least.")
@where_option
@json_option
def cli(rounds: int, tasks: int, where: str, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """Time coordinate.sh's verbs beside a shell and a Python process that do nothing (B). Exit 1 if a bar fails."""
    from peercoord.edges.bench import calls

    data = calls.measure(rounds, tasks, where)
    lines = [f"{'':24}  median ms      B   bar"]
    for name, one in data["commands"].items():
        bar = f"≤ {one['bar']} {'holds' if one['holds'] else 'FAILS'}" if "bar" in one else ""
        lines.append(f"{name:24}  {one['median_ms']:9.2f}  {one['b']:5.2f}   {bar}")
    failed = any(not one.get("holds", True) for one in data["commands"].values())
    return Reply(data, lines, code=1 if failed else 0)


@bench.command()
@click.option("--agents", default=1, type=click.IntRange(min=1, max=200), help="How many idle agents.")
@click.option("--seconds", default=60.0, type=click.FloatRange(min=1), help="How long to watch them.")
@click.option("--tasks", default=15, type=click.IntRange(min=1), help="Tasks in the queue.")
@where_option
@json_option
def agent(agents: int, seconds: float, tasks: int, where: str, as_json: bool) -> Reply:  # noqa: ARG001 - by the frame
    """Measure processor time and memory of idle agents. Exit 1 if a bar fails."""
    from peercoord.edges.bench import idle

    data = idle.measure(agents, seconds, tasks, where)
    cpu, rss, own = data["cpu_percent"], data["rss_mib"], data["own_mib"]
    lines = [
        f"{agents} idle agent(s) over {data['seconds']} s",
        f"processor, % of a core:  {cpu['mean']} each (most {cpu['most']}), {cpu['together']} together",
        f"memory, MiB:             {rss['mean']} resident (most {rss['most']}), {own['mean']} of its own",
    ]
    return _judged(data, lines)


@bench.command()
@click.option("--tasks", default=10_000, type=click.IntRange(min=10), show_default=True, help="How many tasks.")
@click.option("--rounds", default=11, type=click.IntRange(min=3), show_default=True, help="Syncs that find nothing.")
@where_option
@json_option
def sync(tasks: int, rounds: int, where: str, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """Time syncs with a TaskMaster database beside the bare reading and making of the same. Exit 1 if a bar fails."""
    from peercoord.edges.bench import sync as syncs

    data = syncs.measure(tasks, rounds, where)
    idle, first = data["nothing_to_do"], data["first_import"]
    lines = [
        f"{tasks} tasks                       bare ms    sync ms   ratio",
        f"nothing to do (stat, SELECT)   {idle['bare_ms']:9.1f}  {idle['sync_ms']:9.1f}  {idle['ratio']:6.2f}",
        f"first import (files, flush)    {first['bare_ms']:9.1f}  {first['import_ms']:9.1f}  {first['ratio']:6.2f}",
    ]
    return _judged(data, lines)


@bench.command()
@click.option("--kib", default=1000, type=click.IntRange(min=1), show_default=True, help="Size of the document.")
@click.option("--count", default=1000, type=click.IntRange(min=10), show_default=True, help="Contributions to it.")
@click.option("--rounds", default=5, type=click.IntRange(min=3), show_default=True, help="How often each is measured.")
@where_option
@json_option
def merge(kib: int, count: int, rounds: int, where: str, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """Time merges of the memory bank beside one reading of the document and bare git. Exit 1 if a bar fails."""
    from peercoord.edges.bench import merge as merges

    data = merges.measure(kib * 1000, count, rounds, where)
    lines = [f"{count} contributions, {kib} kB    reading ms     git ms   merge ms   readings beside git"]
    for name, one in data["shapes"].items():
        figures = f"{one['parse_ms']:10.1f} {one['git_ms']:10.1f} {one['merge_ms']:10.1f}  {one['ratio']:8.2f}"
        lines.append(f"{name:32}{figures}   (git {one['git_calls']} times)")
    return _judged(data, lines)


def _judged(data: Json, lines: list[str]) -> Reply:
    """Answer with a measurement and which of its bars hold."""
    bars = [f"{'holds' if holds else 'FAILS'}: {what}" for what, holds in data["bars"].items()]
    return Reply(data, [*lines, *bars], code=0 if all(data["bars"].values()) else 1)
