"""A rule has one name: in the table at the head of the file that applies it, in its code, and in a test."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest

from tensorprog.language import covariance, declarations, hypotheses, judgement
from tests.invalid.table import BODIES, NETWORKS

WARNED = ("pseudo-lipschitz", "rank")  # rules that only ever warn: see test_valid


def _source(module: ModuleType) -> str:
    return Path(str(module.__file__)).read_text(encoding="utf-8")


def _said(module: ModuleType) -> set[str]:
    """The rules that the code of a module names: the first of the three things that it yields."""
    return set(re.findall(r'yield \(?\s*"([a-z-]+)"', _source(module)))


def _listed(module: ModuleType) -> set[str]:
    return set(re.findall(r"^\| \[([a-z-]+)\]", module.__doc__ or "", re.MULTILINE))


@pytest.mark.parametrize("module", [judgement, declarations, hypotheses])
def test_the_rules_in_the_code_are_those_in_the_table_at_its_head(module: ModuleType) -> None:
    said = _said(module) | (_said(covariance) if module is declarations else set())
    elsewhere = {"name"} if module is declarations else {"nonlin"} if module is hypotheses else set[str]()
    dynamic = {"matrix", "readout", "training", "nonlin", "moment"}  # named by an argument, or by the line
    assert said - elsewhere <= _listed(module)
    assert _listed(module) - said <= dynamic


def test_every_rule_has_a_bad_program() -> None:
    listed = _listed(judgement) | _listed(declarations) | _listed(hypotheses)
    messages = " ".join(told for _, told in (BODIES | NETWORKS).values())
    tested = set(re.findall(r": \[([a-z-]+)\]", messages))
    assert listed - tested - set(WARNED) <= {"expression"}  # test_valid
    assert tested <= listed
