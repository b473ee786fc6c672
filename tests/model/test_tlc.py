"""The models of the protocol end as their manifest says, and every rule that is broken on purpose is found."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PROTOCOL = Path(__file__).resolve().parents[2] / "protocol"
MODEL = PROTOCOL / "model"


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("peercoord_model_run", MODEL / "run.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look their annotations up there
    spec.loader.exec_module(module)
    return module


run = _load()
CASES = run.cases()
README = (MODEL / "README.md").read_text(encoding="utf-8")
WORKERS = min(2, os.cpu_count() or 1)

needs_tlc = pytest.mark.skipif(bool(run.missing()), reason=run.missing() or "-")


def _param(case: Any) -> Any:
    full = case.tier != "quick"
    marks = [pytest.mark.slow, pytest.mark.timeout(1500)] if full else []
    return pytest.param(case, id=case.name, marks=marks)


@needs_tlc
@pytest.mark.parametrize("case", [_param(case) for case in CASES])
def test_ends_as_the_manifest_says(case: Any) -> None:
    wrong = run.check(case, WORKERS).wrong(case)
    assert not wrong, wrong


def test_every_configuration_is_in_the_manifest_once() -> None:
    assert sorted(case.name for case in CASES) == sorted(path.stem for path in (MODEL / "configs").glob("*.cfg"))


def test_a_configuration_says_whether_it_is_expected_to_fail() -> None:
    for case in CASES:
        text = case.config.read_text(encoding="utf-8")
        assert text.startswith("\\* Expected to fail: ") == (case.expect != run.HOLDS), case.name


def test_a_broken_rule_is_judged_by_the_one_property_it_must_violate() -> None:
    for case in CASES:
        if case.expect != run.HOLDS:
            checked = re.findall(r"^(?:INVARIANTS|PROPERTIES) (.*)$", case.config.read_text(), re.MULTILINE)
            assert [*filter(None, " ".join(checked).split())] == [case.expect], case.name


def test_every_broken_rule_has_its_sound_model() -> None:
    """A mutant that fails proves something only if the same module holds without it."""
    sound = {case.module for case in CASES if case.expect == run.HOLDS}
    assert {case.module for case in CASES} == sound
    for case in CASES:
        if "-mutant-" in case.name:
            assert 'Mutant = "none"' not in case.config.read_text(), case.name


def test_the_clauses_it_stands_for_are_in_the_specification() -> None:
    pages = [(PROTOCOL / f"{name}.md").read_text(encoding="utf-8") for name in ("spec", "memory", "mailbox")]
    known = set(re.findall(r"\*\*([A-Z]{3}-\d+)\*\*", "".join(pages)))
    for case in CASES:
        assert case.clauses, case.name
        assert set(case.clauses) <= known, case.name


def test_the_readme_has_every_row() -> None:
    rows = {match[1]: match[0] for match in re.finditer(r"^\| `([A-Z]\w+-[\w-]+)` \|.*$", README, re.MULTILINE)}
    assert list(rows) == [case.name for case in CASES]
    for case in CASES:
        written = rows[case.name].rpartition(" | ")[0]
        assert written == run.row(case, case.distinct, 0).rpartition(" | ")[0], case.name


class TestJudging:
    """What TLC prints is read for what it says; an unexpected end is never taken for an expected one."""

    case = next(case for case in CASES if case.expect == run.HOLDS)
    broken = next(case for case in CASES if case.expect == "OneHolder")

    @staticmethod
    def outcome(result: str, distinct: int, complete: bool = True) -> Any:
        return run.Outcome(result, distinct, complete, 0.0, "")

    def test_a_property_that_is_violated_is_named(self) -> None:
        assert run.judged(self.broken, "Error: Invariant OneHolder is violated.\n") == "OneHolder"
        assert run.judged(self.broken, "Error: Action property SealIsFinal is violated.\n") == "SealIsFinal"

    def test_a_temporal_property_is_taken_from_the_configuration(self) -> None:
        temporal = next(case for case in CASES if case.expect == "DeadIsEvicted")
        assert run.judged(temporal, "Error: Temporal properties were violated.\n") == "DeadIsEvicted"

    def test_anything_else_is_an_error(self) -> None:
        assert run.judged(self.case, "Error: Parsing or semantic analysis failed.\n") == "error"
        assert run.judged(self.case, "") == "error"

    def test_another_end_than_expected_is_wrong(self) -> None:
        assert self.outcome(run.HOLDS, self.case.distinct).wrong(self.case) == ""
        assert self.outcome("OneHolder", self.case.distinct).wrong(self.case)
        assert self.outcome(run.HOLDS, 7).wrong(self.broken)

    def test_a_model_that_shrank_is_wrong(self) -> None:
        assert self.outcome(run.HOLDS, self.case.distinct - 1).wrong(self.case)
        assert self.outcome(run.HOLDS, self.case.distinct, complete=False).wrong(self.case)
