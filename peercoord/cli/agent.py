"""``peercoord agent run|start|stop|status``: the background process of a worktree."""

from __future__ import annotations

import click

from peercoord.agent import control
from peercoord.cli.main import Call, deliver
from peercoord.mailbox.verbs import json_option
from peercoord.worktree.reply import Reply


@click.group()
def agent() -> None:
    """Show, start and stop the background agent of a worktree. It starts by itself."""


@agent.command()
@click.option("--foreground", is_flag=True, help="Show its log in the terminal, too.")
@click.option("--ready-fd", type=int, default=-1, hidden=True)
@click.option(
    "--project", metavar="DIR", default="", help="The project; by default the one that has recorded the worktree."
)
@click.pass_obj
def run(call: Call, foreground: bool, ready_fd: int, project: str) -> Reply:
    """Run the agent in this terminal."""
    worktree = call.directory if project else _worktree(call)
    control.name_process(worktree, ready_fd, foreground, project)
    control.run(worktree, ready_fd, foreground, project)
    return Reply({}, [])


@agent.command()
@json_option
@click.pass_obj
def start(call: Call, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """Start the agent in the background, if it is not running."""
    pid = control.start(_worktree(call))
    return Reply({"pid": pid}, [f"the agent of {call.place.instance} runs, pid {pid}"])


@agent.command()
@click.option("--give-back", is_flag=True, help="Give its tasks back and leave the team.")
@json_option
@click.pass_obj
def stop(call: Call, give_back: bool, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """Stop the agent; it keeps its tasks unless told to give them back."""
    was = control.stop(_worktree(call), give_back)
    word = "stopped" if was else "was not running"
    return Reply({"was_running": was}, [f"the agent of {call.place.instance} {word}"])


@agent.command(short_help="Show whether the agent runs, and whether it leads.")
@json_option
@click.pass_obj
def status(call: Call, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """Show whether the agent runs, its incarnation, and whether it leads. Exit 3 if it is not running, or suspended."""
    data = control.status(_worktree(call))
    if not data["running"]:
        return Reply(data, [f"no agent runs for {data['instance_id']}", "start it: peercoord agent start"], code=3)
    if data["stopped"]:
        stopped = f"{data['instance_id']}: agent {data['pid']} is stopped by a signal, and answers nothing"
        return Reply(data, [stopped, f"let it go on: kill -CONT {data['pid']}", f"log: {data['log']}"], code=3)
    leads = f", leads (term {data['leads']})" if data["leads"] is not None else ""
    lines = [f"{data['instance_id']}: agent {data['pid']} runs as {data['incarnation']}{leads}", f"log: {data['log']}"]
    return Reply(data, lines)


@agent.command(hidden=True, context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.option("--request", "number", default="", help="The id of the request in the mailbox.")
@click.option("--late", is_flag=True, help="The agent did not answer in time: answer for the request.")
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def call(call: Call, number: str, late: bool, words: tuple[str, ...]) -> None:
    """Serve a request of coordinate.sh that no agent answered."""
    from peercoord.agent import client as calls

    serve = calls.overdue if late else calls.call
    answer = serve(call.place, list(words), number)
    call.withdraw = answer.withdraw
    code = deliver(call, answer.code, answer.out, answer.err, asks=words[:1] == ("check-status",))
    call.withdraw = None
    raise SystemExit(code)


def _worktree(call: Call) -> str:
    return call.place.worktree or call.place.project
