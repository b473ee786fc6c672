"""Both peers pass the suite, alone and in mixed company; and the suite notices a peer that does not keep the rules."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from peersuite import races, trouble  # noqa: F401 -- trouble registers its checks
from peersuite.checks import CHECKS, CLAUSES, SMALL
from peersuite.command import ConformanceError, World
from peersuite.store import cksum, shard

ROOT = Path(__file__).parent.parent.parent
RUN = str(ROOT / "protocol" / "conformance" / "run.py")
PYTHON = [sys.executable, str(ROOT / "protocol" / "conformance" / "python_peer.py")]
SHELL = [str(ROOT / "examples" / "peer.sh")]
RACES = [name for name, check in CHECKS.items() if check.__module__ == races.__name__]
ALONE = [name for name in CHECKS if name not in RACES and name not in SMALL]

BREAKS = [
    ("joins_as_a_whole_directory", ' "$at/assignments"', ""),
    ("joins_under_a_rising_number", "${last:-0} + 1", "0 + 1"),
    ("beats_by_one_rename", 'move "$home/$old"', 'true >"$home/beat~$((seq + 1))"; true "$home/$old"'),
    ("answers_a_challenge", "seq=${seq%%'~'*}", "seq=0"),
    ("leaves_nothing_behind", 'rmdir "$gone/claims"', 'true "$gone/claims"'),
    ("claims_with_the_next_epoch", "epoch=$((epoch + 1)); mine", "mine"),
    ("claims_above_every_result", "&& epoch=$last", ""),
    ("answers_with_what_it_holds", "set -- $(held);", "set --;"),
    ("leaves_alone_what_is_no_ticket", "'' | 0?* |", "'' |"),
    ("looks_again_after_the_claim", 'case $(spot "$task") in ready/*) ;; *)', "case ready/ in ready/*) ;; *)"),
    ("completes_and_places_what_waited", 'place_all "$r/queue/waiting/$2"/*;', ""),
    ("answers_the_same_when_asked_again", "&& say done", "&& true"),
    ("refuses_what_it_does_not_hold", '[ "$task" = "$1" ] && echo', "echo"),
    ("evicts_and_seals", 'move "$one" "$r/queue/leader/${one##*/}"', "true"),
    ("parks_what_kills_its_holders", "sort -nu", "sort -n"),
    ("takes_the_leaders_ticket_from_a_sealed_directory", "in claims | leader~*)", "in claims)"),
    ("sweeps_what_others_left", 'move "$one" "$r/quarantine/$(word)"', 'rm "$one"'),
    ("places_again_what_waits_for_something_done", 'place_all "$r"/queue/waiting/*/*', 'true "$r"/queue/waiting/*/*'),
    ("race_for_one_name", '[ "$(ls -d "$home~"*)" = "$r/peers/$me" ]', "true"),
    ("completes_nothing_on_a_full_disk", 'cat >"$new" || { rm -f "$new"; return 1; }', 'cat >"$new"'),
    ("finishes_nothing_without_a_result", '"$4" completed || return', '"$4" completed'),
    ("finishes_on_a_full_disk_what_has_its_result", 'listed "$r/results/$(shard "$2")/$2~$3.done.json" ||', ""),
    ("goes_on_claiming_and_giving_back_on_a_full_disk", '"$5" "$4" "$6"; most', '"$5" "$4" "$6" || return; most'),
    ("says_that_a_report_was_not_written", "|| fail 1 'the report cannot be written'", ""),
    ("joins_whole_or_not_at_all", '| put "$at/peer.json" && move', '>"$at/peer.json"; move'),
    ("beats_again_without_a_heartbeat", '[ "$old" ] ||', "true ||"),
    ("beats_again_without_a_heartbeat", "'^beat~(0|[1-9][0-9]{0,14})(~|$)'", "'^beat~[0-9]'"),
    ("lays_aside_what_was_cancelled_in_its_hand", "parked/cancelled | parked/unreadable)", "parked/unreadable)"),
    ("lays_aside_what_became_unreadable_in_its_hand", "parked/cancelled | parked/unreadable)", "parked/cancelled)"),
    (
        "finishes_what_was_cancelled_in_its_hand",
        'holding "$1"; result',
        'cancelled "$1" && lost "$1"; holding "$1"; result',
    ),
    ("claims_from_no_other_place_than_a_block", "/ready/[0-4]/", "/ready/*/"),
    ("claims_from_no_other_place_than_a_block", "[0-9][0-9][0-9][0-9][0-9][0-9]*/*; do", "*/*; do"),
    ("claims_from_no_other_place_than_a_block", "*[!0-9]* | 0??????*) continue", "0??????*) continue"),
    ("claims_from_no_other_place_than_a_block", "* | 0??????*) continue", "*) continue"),
    ("sweeps_no_directory_but_of_the_departed", "/departed/*~*~*~*/", "/departed/*/"),
    (
        "does_not_answer_for_who_completed_it_later",
        "$1~$(epochs \"$1\" '[a-z]*' | tail -n 1).done.json",
        "$1~1.done.json",
    ),
    ("knows_the_reasons_to_park", "in blocked | review", "in mood | blocked | review"),
    ("race_of_a_release_with_an_evictor", "1 ;; *) false ;; esac", "1 ;; esac"),
]
"""The check that must fail, and what to break in the peer written in sh, so that it does."""
IN_A_SMALL_FILESYSTEM = 'mount -t tmpfs -o size=2m,nr_inodes=2000 none "$0" && exec "$@"'


def broken(tmp_path: Path, good: str, bad: str) -> list[str]:
    """The peer written in sh, but for one thing."""
    source = Path(SHELL[0]).read_text()
    assert good in source
    script = tmp_path / "broken.sh"
    script.write_text(source.replace(good, bad))
    script.chmod(0o755)
    return [str(script)]


def in_sh(tmp_path: Path, program: str, does: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the peer written in sh where one program does something else."""
    (tmp_path / program).write_text(f"#!/bin/sh\n{does}\n")
    (tmp_path / program).chmod(0o755)
    path = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    return subprocess.run([*SHELL, *words], env=path, capture_output=True, text=True, check=False, timeout=60)


def on_a_small_disk(tmp_path: Path, only: list[str], command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run the suite, or these checks of it, on a filesystem that is made for it alone."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = ["unshare", "-rm", "sh", "-c", IN_A_SMALL_FILESYSTEM, str(disk)]
    try:
        subprocess.run([*mounted, "true"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no filesystem can be mounted here: {error}")
    chosen = [word for name in only for word in ("--only", name)]
    words = [*mounted, sys.executable, RUN, "--disk", str(disk), *chosen, "--", *command]
    return subprocess.run(words, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("check", ALONE)
@pytest.mark.parametrize("command", [PYTHON, SHELL], ids=["python", "sh"])
def test_a_peer_alone(command: list[str], check: str, tmp_path: Path) -> None:
    CHECKS[check](World(tmp_path, [command]))


@pytest.mark.parametrize("check", RACES)
def test_python_and_sh_in_mixed_company(check: str, tmp_path: Path) -> None:
    CHECKS[check](World(tmp_path, [PYTHON, SHELL]))


@pytest.mark.slow
@pytest.mark.parametrize("check", RACES)
@pytest.mark.parametrize("command", [PYTHON, SHELL], ids=["python", "sh"])
def test_a_team_of_one_kind(command: list[str], check: str, tmp_path: Path) -> None:
    CHECKS[check](World(tmp_path, [command]))


@pytest.mark.slow
@pytest.mark.parametrize(("check", "good", "bad"), BREAKS)
def test_the_suite_notices_a_broken_peer(check: str, good: str, bad: str, tmp_path: Path) -> None:
    with pytest.raises(ConformanceError):
        CHECKS[check](World(tmp_path / "project", [broken(tmp_path, good, bad)]))


@pytest.mark.parametrize("command", [PYTHON, SHELL], ids=["python", "sh"])
def test_a_peer_on_a_disk_that_is_full_in_earnest(command: list[str], tmp_path: Path) -> None:
    done = on_a_small_disk(tmp_path, ["completes_nothing_on_a_full_disk", *SMALL], command)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("command", [PYTHON, SHELL], ids=["python", "sh"])
def test_the_whole_suite_on_a_small_disk(command: list[str], tmp_path: Path) -> None:
    done = on_a_small_disk(tmp_path, [], command)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


@pytest.mark.slow
def test_the_suite_notices_that_nothing_can_be_given_back(tmp_path: Path) -> None:
    command = broken(tmp_path, 'move "$from" "${to%/*/*}/000000/$2~$3" 1', "false")
    done = on_a_small_disk(tmp_path, [*SMALL], command)
    assert done.stdout.startswith("FAILED"), done.stdout


def test_the_peer_in_sh_gives_up_a_heartbeat_that_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path / "project", [SHELL])
    me = world.join("a").me
    done = in_sh(tmp_path, "mv", "exit 1", "beat", str(world.store.root), me)
    assert (done.returncode, done.stdout) == (1, "the heartbeat cannot be moved\n")


def test_the_peer_in_sh_flushes_what_makes_a_task_done(tmp_path: Path) -> None:
    world = World(tmp_path / "project", [SHELL])
    world.store.add("1")
    peer = world.join("a")
    peer.claimed("1", 1)
    done = in_sh(tmp_path, "sync", f'echo "$1" >>{tmp_path}/flushed', "complete", str(world.store.root), peer.me, "1")
    assert done.stdout == "done 1\n"
    staged, *flushed = (tmp_path / "flushed").read_text().splitlines()
    assert Path(staged).parent == world.store.root / "tmp"
    assert flushed == [f"{world.store.root}/results/{shard('1')}", f"{world.store.root}/queue/done/{shard('1')}"]


def test_the_program_says_what_failed_and_exits_accordingly(tmp_path: Path) -> None:
    words = [sys.executable, RUN, "--only", "beats_by_one_rename"]
    good = subprocess.run([*words, "--", *SHELL], capture_output=True, text=True, check=False)
    assert (good.returncode, good.stdout.splitlines()[0]) == (0, "ok        beats_by_one_rename")
    bad = subprocess.run([*words, "--", "false"], capture_output=True, text=True, check=False)
    assert bad.returncode == 1
    assert bad.stdout.startswith("FAILED    beats_by_one_rename: ")
    gaps = tmp_path / "gaps"
    gaps.write_text("beats_by_one_rename\n")
    known = subprocess.run([*words, "--xfails", str(gaps), "--", "false"], capture_output=True, text=True, check=False)
    stale = subprocess.run([*words, "--xfails", str(gaps), "--", *SHELL], capture_output=True, text=True, check=False)
    assert (known.returncode, stale.returncode) == (0, 1)


def test_every_check_names_its_clauses() -> None:
    spec = (ROOT / "protocol" / "spec.md").read_text()
    for clauses in CLAUSES.values():
        assert clauses
        for clause in clauses:
            assert f"**{clause}**" in spec


def test_the_suite_counts_checksums_as_posix_does() -> None:
    for data in (b"", b"1", b"instance-1", b"x" * 300):
        said = subprocess.run(["cksum"], input=data, capture_output=True, check=True).stdout
        assert cksum(data) == int(said.split()[0])
