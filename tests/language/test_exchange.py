"""from_json(to_json(p)) == p, and what is said of files that are no programs."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tensorprog.errors import InvalidProgram
from tensorprog.language.exchange import from_json, to_json
from tensorprog.language.expr import Apply, Expr, Number, Ref
from tensorprog.language.finding import MAX_CHARACTERS, MAX_DEPTH
from tensorprog.language.instr import Axis, Nonlin
from tensorprog.language.nonlin import derivative, fn, user_function
from tensorprog.language.program import Program
from tests.language.random_programs import random_network, random_program

GATE = user_function("gate", lambda x, y: x * y, arity=2)


@pytest.mark.parametrize("seed", range(100))
def test_random_programs_and_networks_are_read_back_exactly(seed: int) -> None:
    for p in (random_program(seed), random_network(seed)):
        assert from_json(to_json(p)) == p


def test_it_is_plain_json_with_a_format_and_a_version() -> None:
    document = json.loads(to_json(Program(body=(Nonlin("x", Number(float("inf"))),))))
    assert document["format"] == "tensorprog"
    assert document["version"] == 1
    assert document["value"]["body"] == [{"type": "Nonlin", "out": "x", "psi": {"type": "Number", "value": "inf"}}]


def test_numbers_of_numpy_are_numbers() -> None:
    p = Program(axes=(Axis("a", int(np.int64(3))),), body=(Nonlin("x", Number(np.float32(0.5))),))
    assert from_json(to_json(p)) == p
    with pytest.raises(InvalidProgram, match="is no part of a program"):
        to_json(Program(body=(Nonlin("x", Number(1j)),)))


def test_a_users_function_is_looked_up_by_name() -> None:
    p = Program(body=(Nonlin("x", derivative(GATE, (Ref("a"), Ref("b")), 1)),))
    assert from_json(to_json(p), {"gate": GATE}) == p
    with pytest.raises(InvalidProgram, match=r"value\.body\[0\]\.psi\.fn: \[nonlin\] no nonlinearity is called 'gate'"):
        from_json(to_json(p))


def test_nesting_at_the_limit_is_read() -> None:
    e: Expr = Ref("x")
    for _ in range(MAX_DEPTH - 1):
        e = Apply(fn("relu"), (e,))
    p = Program(body=(Nonlin("y", e),))
    assert from_json(to_json(p)) == p


TEXT = to_json(random_network(1))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "this is not JSON"),
        (TEXT[: len(TEXT) // 2], "Is the file cut off?"),
        ("[" * 1_000_000, "nested more than"),
        ('{"a":' * 100_000, "nested more than"),
        (" " * (MAX_CHARACTERS + 1), "at most 10000000 are read"),
        ("[]", "this JSON holds no program"),
        (TEXT.replace('"version": 1', '"version": 2'), "this file has version 2 of the format; this release reads version 1"),
        (TEXT.replace('"type": "Network"', '"type": "os.system"'), "value.type: Program or Network is expected, got 'os.system'."),
        (TEXT.replace('"sigma": 1.5', '"sigma": "1.5"'), "value.program.matrices[0].sigma: a number is expected, got '1.5'."),
        (TEXT.replace('"size": 3', '"size": 3.5'), "value.program.axes[0].size: an integer is expected, got 3.5."),
        (TEXT.replace('"size": 3', '"size": true'), "value.program.axes[0].size: an integer is expected, got True."),
        (TEXT.replace('"ratio": "3/2"', '"ratio": "3/0"'), "value.program.widths[1].ratio: a fraction such as '3/2' is expected, got '3/0'."),
        (TEXT.replace('"size": 3', '"size": 3, "extra": 1'), "a Axis with the fields name, size is expected"),
        (TEXT.replace('"size": 3', '"size": ' + "9" * 5000), "this is not JSON"),
        (TEXT.replace('"exponent": -0.5', '"exponent": ' + "9" * 400), "value.program.scalars[0].exponent: a number below 1.8e308 is expected"),
        (TEXT.replace('"widths": [', '"widths": 3, "w": ['), "is expected"),
    ],
)
def test_a_faulty_file_is_refused_with_its_fault(text: str, told: str) -> None:
    with pytest.raises(InvalidProgram) as e:
        from_json(text)
    assert told in str(e.value)
    assert len(str(e.value)) < 1000
