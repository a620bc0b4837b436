"""Each bad program gets its message: the line, the rule, the finding, the way out."""

from __future__ import annotations

import pytest

from tensorprog.errors import InvalidProgram, OutsideTheory
from tensorprog.language.text import parse, read
from tensorprog.language.valid import check
from tests.invalid.table import BODIES, HEAD, NETWORKS

OUTSIDE = ("scalar: grows", "scalar: f_0", "scalar: divides by 0", "growth")


def _text(case: str) -> str:
    if case in NETWORKS:
        return HEAD.replace("program", "network") + NETWORKS[case][0] + "\nreturn v"
    body = BODIES[case][0]
    return HEAD + body + ("" if body.startswith("return") else "\nreturn v")


def test_the_head_alone_is_a_program() -> None:
    assert check(parse(HEAD + "return v")).ok
    assert check(parse(HEAD.replace("program", "network") + "readout a^T v : n\nreturn v")).ok


@pytest.mark.parametrize("case", [*BODIES, *NETWORKS])
def test_the_message(case: str) -> None:
    told = (BODIES | NETWORKS)[case][1]
    source = read(_text(case))
    with pytest.raises(OutsideTheory if case in OUTSIDE else InvalidProgram) as e:
        check(source.program, source.lines).raise_if_invalid()
    assert str(e.value) == told


def test_all_problems_are_told_at_once_in_the_order_of_the_lines() -> None:
    bodies = [body for case, (body, _) in BODIES.items() if case.startswith(("matmul", "nonlin", "softmax"))]
    named = [body.replace("h :=", f"h{k} :=").replace("x :=", f"x{k} :=") for k, body in enumerate(bodies)]
    report = check(parse(HEAD + "\n".join(named) + "\nreturn v"))
    assert [f.line for f in report.problems] == list(range(13, 13 + len(bodies)))
    assert len(bodies) >= 6
