"""Both peers pass the suite, alone and in mixed company; and the suite notices a peer that does not keep the rules."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import python_peer
from faulty_peer import FAULTS, MUTANTS
from peersuite import between, flushing, intake, races, reading, trouble, watching  # noqa: F401 -- these register
from peersuite.checks import CHECKS, CLAUSES, SMALL
from peersuite.command import Answer, ConformanceError, NotTriedError, World
from peersuite.store import cksum, shard

from protocol import document

ROOT = Path(__file__).parent.parent.parent
RUN = str(ROOT / "protocol" / "conformance" / "run.py")
PYTHON = [sys.executable, str(ROOT / "protocol" / "conformance" / "python_peer.py")]
SHELL = [str(ROOT / "examples" / "peer.sh")]
FAULTY = [sys.executable, str(Path(__file__).parent / "faulty_peer.py")]
GAPS = set((ROOT / "examples" / "peer.gaps").read_text().split())
RACES = [name for name, check in CHECKS.items() if check.__module__ == races.__name__]
ALONE = [name for name in CHECKS if name not in RACES and name not in SMALL]
LONG = {name for name, check in CHECKS.items() if check.__module__ == watching.__name__}  # seconds of silence each
SHORT = {
    "leads_under_a_rising_term",
    "takes_the_leadership_from_who_does_not_lead",
    "evicts_at_once_whose_process_is_gone",
}

BREAKS = [
    ("joins_as_a_whole_directory", ' "$at/assignments"', ""),
    ("joins_under_a_rising_number", "${last:-0} + 1", "0 + 1"),
    ("beats_by_one_rename", 'move "$home/$old"', 'true >"$home/beat~$((seq + 1))"; true "$home/$old"'),
    ("answers_a_challenge", "seq=${seq%%'~'*}", "seq=0"),
    ("leaves_nothing_behind", 'rmdir "$gone/claims"', 'true "$gone/claims"'),
    ("claims_with_the_next_epoch", "echo $((last + 1))", 'echo "$last"'),
    ("claims_above_every_result", '[ "${last:-0}" -gt "$2" ] || last=$2', "last=$2"),
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
    ("claims_nothing_that_a_person_cancelled", "grep -Eqv '\": (null|false),?$'", "grep -q '{'"),
    ("claims_nothing_that_a_person_cancelled", "'\": (null|false),?$'", "x"),
    ("takes_a_whole_number_however_it_is_written", "s/\\.0*$//; ", ""),
    ("takes_a_whole_number_however_it_is_written", "{s/^\\(    [0-9]*\\)\\.0*\\(,*\\)$/\\1\\2/", "{"),
    (
        "parks_as_failed_though_it_was_cancelled_too",
        '[ "$5" = released ] ||',
        '[ "$5" = released ] || cancelled "$2" ||',
    ),
    (
        "writes_no_result_for_what_it_never_worked_on",
        'place "$mine" "$task" "$epoch"; continue',
        'give_back "$mine" "$task" "$epoch" "$me" released x; continue',
    ),
    ("claims_nothing_but_a_regular_file", '! strange "$one" && readable', "readable"),
    ("seals_whatever_lies_among_the_claims", 'if strange "$one"; then', "if false; then"),
    ("takes_no_directory_for_something_done", ' && ! strange "$r/queue/done/$(shard "$1")/$1"', ""),
    ("takes_a_ticket_that_somebody_wrote_into", '[ ! -f "$1" ]; }', '[ -s "$1" ]; }'),
    ("refuses_a_new_name_that_differs_only_in_case", "grep -Fixq", "grep -Fxq"),
    ("refuses_a_new_name_that_differs_only_in_case", 'grep -Fxq -e "$me" ||', "false ||"),
    ("answers_nothing_while_a_result_cannot_be_written", '|| fail 1 "stuck $1"', "|| true"),
    ("refuses_words_that_cannot_be_meant", "|| fail 2 'leave instead'", ""),
    ("refuses_what_cannot_be_added", 'grep -Fixq -e "$1.json"', 'grep -Fxq -e "$1.json"'),
    ("refuses_what_cannot_be_added", "|| fail 2 'a dependency is not known'", ""),
    ("adds_nothing_on_a_full_disk", '>"$new" 2>/dev/null && sync "$new" || refused "$new"\n  at=', '>"$new"\n  at='),
    ("adds_a_task_that_can_be_claimed", 'new && place "$at" "$1" 0', "new"),
    ("flushes_the_birth_before_the_task_exists", '2>/dev/null && sync "$new" || refused "$new"\n  at=', "\n  at="),
    ("places_a_ticket_where_it_belongs", 'place "$at" "$1" "$epoch"; say placed', 'place "$at" "$1" 0; say placed'),
    (
        "cancels_a_task_and_blocks_what_waits_for_it",
        'place_all "$r/queue/waiting/$1"/*; say cancelled',
        "say cancelled",
    ),
    (
        "cancels_nothing_on_a_full_disk",
        '  \\"$2\\": $3," "$file" >"$new" 2>/dev/null && sync "$new" || refused',
        '  \\"$2\\": $3," "$file" >"$new" || true',
    ),
    ("parks_what_a_person_must_see", '|| { rm -f "$new"; lost "$1"; }; defined;', '|| { rm -f "$new"; lost "$1"; };'),
    ("parks_what_failed_too_often", "failed failed || lost", "released failed || lost"),
    ("fails_nothing_on_a_full_disk", "failed || fail 1 'the result cannot be written'", "failed"),
    ("reassigns_at_a_higher_epoch_than_any", 'epoch=$(next "$1" "$epoch"); move', "epoch=$((epoch + 1)); move"),
    ("reassigns_nothing_that_nobody_may_have", "*) fail 4 'it waits, or is set aside' ;;", "*) ;;"),
    ("neither_joins_nor_claims_while_the_team_is_down", "fail 3 'the team is down'", "true"),
    ("waits_for_the_mutex_before_it_adds", "until flock -n 9; do sleep 0.1; done;", "true;"),
    ("takes_an_unusable_setting_for_its_default", "[1-9][0-9]*\\).*/", "[0-9]*\\).*/"),
    ("rings_when_something_became_ready", 'say() { touch "$r/bell/ring";', "say() {"),
    ("changes_nothing_where_it_may_not_write", "|| fail 1 'protocol.json cannot be used'", "|| true"),
    ("leads_under_a_rising_term", 'leader~$((epoch + 1))" &&', 'leader~$epoch" &&'),
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
    return subprocess.run([*SHELL, *words], env=path, capture_output=True, text=True, check=False, timeout=240)


def on_a_small_disk(
    tmp_path: Path, only: list[str], command: list[str], gaps: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run the suite, or these checks of it, on a filesystem that is made for it alone."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = ["unshare", "-rm", "sh", "-c", IN_A_SMALL_FILESYSTEM, str(disk)]
    try:
        subprocess.run([*mounted, "true"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no filesystem can be mounted here: {error}")
    chosen = [word for name in only for word in ("--only", name)]
    known = ["--xfails", str(ROOT / "examples" / "peer.gaps")] if gaps else []
    words = [*mounted, sys.executable, RUN, "--disk", str(disk), *known, *chosen, "--", *command]
    return subprocess.run(words, capture_output=True, text=True, check=False)


class Inside(World):
    """Runs this project's own peer in this process, unless its command runs beside others or on a full disk."""

    def run(self, command: Sequence[str], word: str, *more: str) -> Answer:
        if command != PYTHON or self._before_it_runs:
            return super().run(command, word, *more)
        with redirect_stdout(StringIO()) as said:
            code = python_peer.main([word, str(self.store.root), *more])
        return self.answer([word, *more], code, said.getvalue(), "")


def passes(check: str, world: World) -> None:
    """Run a check; what it needs and cannot have here is no failure."""
    try:
        CHECKS[check](world)
    except NotTriedError as why:
        pytest.skip(str(why))


def timed(*values: str, check: str) -> Any:
    """Values of a test; slow where the check is."""
    return pytest.param(*values, marks=[pytest.mark.slow] if check in LONG - SHORT else [])


@pytest.mark.parametrize("check", [timed(name, check=name) for name in ALONE])
@pytest.mark.parametrize("command", [PYTHON, pytest.param(SHELL, marks=pytest.mark.slow)], ids=["python", "sh"])
def test_a_peer_alone(command: list[str], check: str, tmp_path: Path) -> None:
    if command == SHELL and check in GAPS:
        with pytest.raises(ConformanceError):
            CHECKS[check](World(tmp_path, [command]))
    else:
        passes(check, Inside(tmp_path, [command]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "check"), [*((fault.__name__, check) for fault, check in FAULTS.items()), *MUTANTS.items()]
)
def test_the_suite_notices_a_fault(fault: str, check: str, tmp_path: Path) -> None:
    with pytest.raises(ConformanceError):
        passes(check, World(tmp_path, [[*FAULTY, fault]]))


@pytest.mark.slow
@pytest.mark.parametrize("check", [*RACES, "of_adders_of_one_id_one_adds_it", "race_for_the_leadership"])
def test_python_and_sh_in_mixed_company(check: str, tmp_path: Path) -> None:
    passes(check, World(tmp_path, [PYTHON, SHELL]))


@pytest.mark.slow
@pytest.mark.parametrize("check", RACES)
@pytest.mark.parametrize("command", [PYTHON, SHELL], ids=["python", "sh"])
def test_a_team_of_one_kind(command: list[str], check: str, tmp_path: Path) -> None:
    passes(check, World(tmp_path, [command]))


@pytest.mark.slow
@pytest.mark.parametrize(("check", "good", "bad"), BREAKS)
def test_the_suite_notices_a_broken_peer(check: str, good: str, bad: str, tmp_path: Path) -> None:
    with pytest.raises(ConformanceError):
        CHECKS[check](World(tmp_path / "project", [broken(tmp_path, good, bad)]))


@pytest.mark.parametrize("command", [PYTHON, SHELL], ids=["python", "sh"])
def test_a_peer_on_a_really_full_disk(command: list[str], tmp_path: Path) -> None:
    done = on_a_small_disk(tmp_path, ["completes_nothing_on_a_full_disk", *SMALL], command)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("command", [PYTHON, SHELL], ids=["python", "sh"])
def test_the_whole_suite_on_a_small_disk(command: list[str], tmp_path: Path) -> None:
    done = on_a_small_disk(tmp_path, [], command, gaps=command == SHELL)
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
    sync = f'printf "%s\\n" "$@" >>{tmp_path}/flushed'
    done = in_sh(tmp_path, "sync", sync, "complete", str(world.store.root), peer.me, "1")
    assert done.stdout == "done 1\n"
    staged, *flushed = (tmp_path / "flushed").read_text().splitlines()
    assert Path(staged).parent == world.store.root / "tmp"
    homes = ("results", "queue/done")
    assert flushed == [f"{world.store.root}/{home}{below}" for home in homes for below in (f"/{shard('1')}", "")]


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
    for clauses in CLAUSES.values():
        assert clauses
        assert set(clauses) <= set(document.clauses())


def test_the_suite_counts_checksums_as_posix_does() -> None:
    for data in (b"", b"1", b"instance-1", b"x" * 300):
        said = subprocess.run(["cksum"], input=data, capture_output=True, check=True).stdout
        assert cksum(data) == int(said.split()[0])
