"""Both peers pass the suite, alone and in mixed company; and the suite notices a peer that does not keep the rules."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from peersuite import races
from peersuite.checks import CHECKS, CLAUSES
from peersuite.command import ConformanceError, World
from peersuite.store import cksum

ROOT = Path(__file__).parent.parent.parent
PYTHON = [sys.executable, str(ROOT / "protocol" / "conformance" / "python_peer.py")]
SHELL = [str(ROOT / "examples" / "peer.sh")]
RACES = [name for name, check in CHECKS.items() if check.__module__ == races.__name__]
ALONE = [name for name in CHECKS if name not in RACES]

BREAKS = {
    "joins_as_a_whole_directory": (' "$new/assignments"', ""),
    "joins_under_a_rising_number": ("${last:-0} + 1", "0 + 1"),
    "beats_by_one_rename": ('move "$home/$old"', 'true >"$home/beat~$((seq + 1))"; true "$home/$old"'),
    "answers_a_challenge": ("seq=${seq%%'~'*}", "seq=0"),
    "leaves_nothing_behind": ('rmdir "$gone/claims"', 'true "$gone/claims"'),
    "claims_with_the_next_epoch": ("epoch=$((epoch + 1)); mine", "mine"),
    "claims_above_every_result": ("&& epoch=$last", ""),
    "answers_with_what_it_holds": ("set -- $(held);", "set --;"),
    "leaves_alone_what_is_no_ticket": ("'' | 0?* |", "'' |"),
    "looks_again_after_the_claim": ('case $(spot "$task") in ready/*) ;; *)', "case ready/ in ready/*) ;; *)"),
    "completes_and_places_what_waited": ('place_all "$r/queue/waiting/$2"/*;', ""),
    "answers_the_same_when_asked_again": ("&& say done", "&& true"),
    "refuses_what_it_does_not_hold": ('[ "$task" = "$1" ] && echo', "echo"),
    "evicts_and_seals": ('move "$one" "$r/queue/leader/${one##*/}"', "true"),
    "parks_what_kills_its_holders": ("sort -nu", "sort -n"),
    "takes_the_leaders_ticket_from_a_sealed_directory": ('"$r"/departed/*/leader~*', ""),
    "sweeps_what_others_left": ('move "$one" "$r/quarantine/$(word)"', 'rm "$one"'),
    "places_again_what_waits_for_something_done": ('place_all "$r"/queue/waiting/*/*', 'true "$r"/queue/waiting/*/*'),
    "race_for_one_name": ('[ "$(ls -d "$home~"*)" = "$r/peers/$me" ]', "true"),
}
"""What to break in the peer written in sh, so that a check fails."""


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
@pytest.mark.parametrize("check", BREAKS)
def test_the_suite_notices_a_broken_peer(check: str, tmp_path: Path) -> None:
    source = Path(SHELL[0]).read_text()
    good, bad = BREAKS[check]
    assert good in source
    broken = tmp_path / "broken.sh"
    broken.write_text(source.replace(good, bad))
    broken.chmod(0o755)
    with pytest.raises(ConformanceError):
        CHECKS[check](World(tmp_path / "project", [[str(broken)]]))


def test_the_program_says_what_failed_and_exits_accordingly(tmp_path: Path) -> None:
    words = [sys.executable, str(ROOT / "protocol" / "conformance" / "run.py"), "--only", "beats_by_one_rename"]
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
