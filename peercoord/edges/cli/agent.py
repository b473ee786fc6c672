"""``peercoord agent run|start|stop|status``: the background process of a worktree."""

from __future__ import annotations

import sys

import click

from peercoord.edges import agentctl
from peercoord.edges.cli.main import Call
from peercoord.edges.reply import Reply

json_option = click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object.")


@click.group()
def agent() -> None:
    """The background agent of a worktree. It starts by itself; these are for when you want to see."""


@agent.command()
@click.option("--foreground", is_flag=True, help="Say on the terminal what it does, too.")
@click.option("--ready-fd", type=int, default=-1, hidden=True)
@click.pass_obj
def run(call: Call, foreground: bool, ready_fd: int) -> Reply:
    """Be the agent, in this terminal or under a service manager."""
    agentctl.run(_worktree(call), ready_fd, aloud=foreground)
    return Reply({}, [])


@agent.command()
@json_option
@click.pass_obj
def start(call: Call, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """Start the agent in the background; nothing to do if it runs."""
    pid = agentctl.start(_worktree(call))
    return Reply({"pid": pid}, [f"the agent of {call.place.instance} runs, pid {pid}"])


@agent.command()
@click.option("--give-back", is_flag=True, help="Give its tasks back and leave the team.")
@json_option
@click.pass_obj
def stop(call: Call, give_back: bool, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """Stop the agent; it keeps its tasks unless told to give them back."""
    was = agentctl.stop(_worktree(call), give_back)
    word = "stopped" if was else "was not running"
    return Reply({"was_running": was}, [f"the agent of {call.place.instance} {word}"])


@agent.command()
@json_option
@click.pass_obj
def status(call: Call, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """Say whether the agent runs, as which incarnation, and whether it leads. Exit 3 if it does not, or is stopped."""
    data = agentctl.status(_worktree(call))
    if not data["running"]:
        return Reply(data, [f"no agent runs for {data['instance_id']}", "start it: peercoord agent start"], code=3)
    if data["stopped"]:
        stopped = f"{data['instance_id']}: agent {data['pid']} is stopped by a signal, and answers nothing"
        return Reply(data, [stopped, f"let it go on: kill -CONT {data['pid']}", f"log: {data['log']}"], code=3)
    leads = f", leads (term {data['leads']})" if data["leads"] is not None else ""
    lines = [f"{data['instance_id']}: agent {data['pid']} runs as {data['incarnation']}{leads}", f"log: {data['log']}"]
    return Reply(data, lines)


@agent.command()
@click.pass_obj
def service(call: Call) -> Reply:
    """Print a service file (systemd, launchd) that starts the agent with the machine. Nothing needs it."""
    from peercoord.edges import service

    worktree = _worktree(call)
    text = service.text(worktree, call.place.instance, agentctl.command())
    return Reply({"text": text}, text.rstrip("\n").split("\n"))


@agent.command(hidden=True, context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.option("--request", "number", default="", help="The id under which the request lies in the outbox.")
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def call(call: Call, number: str, words: tuple[str, ...]) -> None:
    """Serve a request of coordinate.sh that no agent answered."""
    from peercoord.edges.call import call as serve

    answer = serve(call.place, list(words), number)
    sys.stderr.buffer.write(answer.err)
    sys.stderr.flush()
    sys.stdout.buffer.write(answer.out)
    sys.stdout.flush()
    raise SystemExit(answer.code)


def _worktree(call: Call) -> str:
    return call.place.worktree or call.place.project
