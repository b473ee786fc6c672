"""One agent per worktree: starting, stopping, asking, starting again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from agent.crew import Crew, until
from support.project import Project, project

from peercoord.agent import control, host
from peercoord.cli import main as cli
from peercoord.errors import LostError, NotFoundError, PeercoordError, UsageError
from peercoord.membership import signals
from peercoord.queue.peer import Peer
from peercoord.store import lock, paths
from peercoord.store.beneath import Beneath
from peercoord.system import child, process
from peercoord.system.log import Log
from peercoord.worktree import context
from peercoord.worktree.call import WorktreeCall

__all__ = ["project"]

Team = Callable[..., Crew]


def info(crew: Crew) -> Path:
    return crew.tree("one") / ".claude-instance" / "info.json"


def test_an_agent_from_its_first_start_to_its_last_stop(team: Team) -> None:
    crew = team()
    tree, pid = str(crew.tree("one")), crew.agent("one")
    status = control.status(tree)
    assert (status["running"], status["pid"], bool(status["present"])) == (True, pid, True), "it has joined"
    assert os.getsid(pid) == pid, "in a session of its own"
    assert crew.record("one")["agent"] == process.identify(pid)
    assert json.loads(info(crew).read_text())["incarnation"].startswith("one~1.")
    assert crew.agent("one") == pid, "a second start gives the first agent"
    with pytest.raises(LostError, match="runs already"):
        control.run(tree)
    until(lambda: crew.leader() == "one")
    assert crew.call("one", "request-task")[0] == 0
    home = crew.home("one")
    assert control.stop(tree)
    assert not control.status(tree)["running"]
    assert (crew.leader(), crew.holder("1"), crew.record("one")["agent"]) == ("", "one", None)
    assert not control.stop(tree), "there is none any more"
    info(crew).write_text(json.dumps({**json.loads(info(crew).read_text()), "incarnation": ""}))
    crew.agent("one")
    assert (crew.home("one"), crew.holder("1")) == (home, "one"), "the same incarnation, also if info.json lost it"
    assert crew.record("one")["stopped_at"] is None
    control.stop(tree, give_back=True)
    assert (crew.where("1"), crew.home("one")) == ("ready", None)


def test_starts_at_the_same_moment_make_one_agent(team: Team) -> None:
    crew = team()
    tree = str(crew.tree("one"))
    pids: list[int] = []
    threads = [threading.Thread(target=lambda: pids.append(control.start(tree))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pids) == 4
    assert set(pids) == {control.status(tree)["pid"]}


def once_looked(monkeypatch: pytest.MonkeyPatch, then: Callable[[], object]) -> None:
    """Do something as soon as a start has looked which agents run."""
    real = control.agents_of

    def looked(*given: Any) -> Any:
        found = real(*given)
        then()
        return found

    monkeypatch.setattr(control, "agents_of", looked)


def test_a_call_that_asks_for_the_lock_leaves_it_the_same(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    place = context.find(given=str(team().tree("one")))
    lock = Path(place.worktree, ".claude-instance", control.LOCK)
    with ExitStack() as asks:
        asks.enter_context(place.files().held(control.LOCK, wait=0))
        once_looked(monkeypatch, asks.close)
        with lock.open() as before, control._alone(place):
            assert os.path.samefile(lock, before.fileno())


def test_a_start_goes_on_with_the_lock_that_was_made_again(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another start made the file again while this one had the old file open."""
    place = context.find(given=str(team().tree("one")))
    real = lock.held

    @contextmanager
    def held(*given: Any) -> Iterator[int]:
        with real(*given) as handle:
            monkeypatch.setattr(lock, "held", real)
            place.files().remove(control.LOCK)
            yield handle

    monkeypatch.setattr(lock, "held", held)
    with control._alone(place):
        assert control.locked(place.worktree)


@pytest.mark.slow
def test_an_older_start_leaves_the_lock_to_a_younger_agent(
    team: Team, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The younger agent has the lock and has not joined: it joins once the older start has looked."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'run' in sys.orig_argv:\n"
        "    from peercoord.agent import host\n"
        "    connect = host.Worktree.connect\n"
        f"    host.Worktree.connect = lambda *given: (open({str(gate)!r}).close(), connect(*given))[1]\n"
    )
    crew = team()
    tree = str(crew.tree("one"))
    lock = Path(tree, ".claude-instance", control.LOCK)
    words = [sys.executable, "-P", "-m", "peercoord", "-C", tree, "agent", "run"]
    with subprocess.Popen(words, env={**os.environ, "PYTHONPATH": str(tmp_path)}) as younger, ExitStack() as ends:
        ends.callback(younger.kill)
        until(lambda: control.locked(tree), what="the younger agent has the lock")
        opened = threading.Thread(target=lambda: gate.open("w").close(), daemon=True)
        once_looked(monkeypatch, lambda: opened.ident or opened.start())
        with lock.open() as before:
            with pytest.raises(LostError, match="runs already"), control._alone(context.find(given=tree)):
                pass
            assert os.path.samefile(lock, before.fileno())
        assert crew.agent_pid("one") == younger.pid
        assert control.stop(tree)


@pytest.mark.slow
def test_an_agent_run_by_hand_is_stopped_like_any_other(team: Team) -> None:
    """Its command line did not name the worktree: it begins again as one that does, as the same process."""
    crew = team()
    tree = crew.tree("one")
    words = [*child.command(), "agent", "run", "--foreground"]
    with subprocess.Popen(words, cwd=tree, stderr=subprocess.DEVNULL) as agent:
        until(lambda: crew.agent_pid("one") == agent.pid, what="the agent has joined")
        assert signals.worktree_of(process.command_line(agent.pid)) == str(tree)
        assert control.stop(str(tree))
        assert agent.wait() == 0


def test_an_evicted_agent_joins_again_and_says_so(team: Team) -> None:
    crew = team()
    crew.agent("one")
    before = crew.home("one")
    assert before is not None
    by = "person~1.x"
    before.rename(crew.state / "departed" / f"{before.name}~{by}")
    until(lambda: crew.home("one") not in (None, before), what="a new incarnation")
    until(lambda: "joining again" in crew.log("one"))
    assert f"evicted by {by.partition('~')[0]}" in crew.log("one")
    until(lambda: not (crew.state / "departed" / f"{before.name}~{by}" / "claims").exists(), what="the seal")


@pytest.mark.slow
def test_a_broken_protocol_json_kills_no_agent(team: Team) -> None:
    crew = team(heartbeat_seconds=1, state_seconds=1)
    pid = crew.agent("one")
    path = crew.state / "protocol.json"
    good = path.read_bytes()
    path.write_bytes(b"{")
    until(lambda: "settings failed: " in crew.log("one"), what="a word about it")
    before = beat(crew)
    until(lambda: beat(crew) > before + 2, what="heartbeats under the settings read before")
    assert crew.log("one").count("protocol.json is not JSON") == 1, "said once"
    assert "starting again" not in crew.log("one")
    path.write_bytes(good)
    until(lambda: "settings works again" in crew.log("one"), what="that it is well again")
    assert (crew.agent_pid("one"), crew.call("one", "request-task")[0]) == (pid, 0)
    path.write_bytes(good.replace(b'"heartbeat_seconds": 1', b'"heartbeat_seconds": 2'))
    until(lambda: crew.record("one").get("heartbeat_seconds") == 2, what="the next edit")
    assert crew.agent_pid("one") == pid


def beat(crew: Crew) -> int:
    """The number of the heartbeat of the one agent there is."""
    home = crew.home("one")
    found = [paths.parse_beat(entry.name) for entry in home.iterdir()] if home else []
    return next((told[0] for told in found if told), 0)


def test_a_replaced_program_is_noticed_once_it_works(
    team: Team, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import peercoord

    crew = team()
    file = tmp_path / "__init__.py"
    file.write_text("")
    monkeypatch.setattr(peercoord, "__file__", str(file))
    mine = host.Worktree(control.place_of(str(crew.tree("one"))), print, print)
    assert not mine.renewed()
    file.write_text("# another one")
    monkeypatch.setattr(child, "command", lambda: ["false"])
    assert not mine.renewed(), "half installed: it does not start"
    monkeypatch.undo()
    monkeypatch.setattr(peercoord, "__file__", str(file))
    assert mine.renewed()
    assert not mine.renewed()


@pytest.mark.parametrize("least", ["least_reader", "least_writer"])
def test_a_program_that_speaks_too_old_a_protocol_does_not_join(team: Team, least: str) -> None:
    crew = team()
    path = crew.state / "protocol.json"
    found = json.loads(path.read_text())
    found["protocol"][least] = 99
    path.write_text(json.dumps(found))
    with pytest.raises(PeercoordError, match="needs protocol version 99"):
        crew.agent("one")


def test_the_main_checkout_has_no_agent(team: Team) -> None:
    with pytest.raises(NotFoundError, match="no instance's worktree"):
        control.start(str(team().project))


def test_a_worktree_that_was_cleaned_is_called_what_it_is(project: Project) -> None:
    shutil.rmtree(project.worktree / ".claude-instance")
    for call in (control.start, lambda tree: WorktreeCall(context.find(tree))):
        with pytest.raises(NotFoundError, match=r"never joined, or its \.claude-instance/ is gone") as caught:
            call(str(project.worktree))
        assert str(project.worktree) in caught.value.message
        assert "main checkout" not in caught.value.message
        assert "peercoord doctor --fix" in caught.value.hint


def test_what_set_up_made_and_is_gone_is_hinted_to_come_back(project: Project, tmp_path: Path) -> None:
    from peercoord.store.root import open_root

    with pytest.raises(NotFoundError) as nowhere:
        context.find(str(tmp_path))
    with pytest.raises(NotFoundError) as gone:
        open_root(str(tmp_path / "none"))
    Peer.join(project.main, "one")
    with pytest.raises(UsageError) as taken:
        Peer.join(project.main, "one")
    for caught in (nowhere, gone, taken):
        assert "peercoord doctor --fix" in caught.value.hint


def test_the_log_follows_no_link(team: Team, tmp_path: Path) -> None:
    crew = team()
    victim = tmp_path / "victim"
    victim.write_text("mine\n")
    (crew.tree("one") / ".claude-instance" / "agent.log").symlink_to(victim)
    log = Log(context.instance_files(str(crew.tree("one"))).beneath, "agent.log")
    log("hello")
    assert victim.read_text() == "mine\n"


def test_the_log_is_rotated(tmp_path: Path) -> None:
    log = Log(Beneath(str(tmp_path)), "log", most=100)
    for number in range(10):
        log(f"line {number}")
    assert (tmp_path / "log").stat().st_size < 200
    assert (tmp_path / "log.1").exists()


def test_a_stopped_agent_is_called_stopped_with_what_makes_it_go_on(team: Team) -> None:
    crew = team()
    pid = crew.agent("one")

    def ask(*words: str) -> tuple[int, str]:
        code, out, _ = cli.serve(list(words), cli.Call(context.find(str(crew.tree("one")))))
        return code, out.decode()

    assert ask("agent", "status")[0] == 0
    os.kill(pid, signal.SIGSTOP)
    until(lambda: process.stopped(process.identify(pid) or {}), what="the stop")
    code, said = ask("agent", "status")
    assert (code, f"agent {pid} is stopped" in said, f"kill -CONT {pid}" in said) == (3, True, True)
    code, said = ask("agent", "status", "--json")
    assert (code, json.loads(said)["data"]["stopped"], json.loads(said)["data"]["running"]) == (3, True, True)
    assert "one: suspect" in ask("instance", "one")[1]
    for words in (["instance", "one"], ["status"]):
        said = ask(*words)[1]
        assert (" ! one is stopped" in said, f"kill -CONT {pid}\n" in said) == (True, True), said
    os.kill(pid, signal.SIGCONT)
    until(lambda: ask("agent", "status")[0] == 0, what="going on")
    os.kill(pid, signal.SIGSTOP)
    until(lambda: control.status(str(crew.tree("one")))["stopped"])
    assert control.stop(str(crew.tree("one"))), "a stopped agent is ended as well"
