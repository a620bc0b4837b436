"""Laws of all programs, on 200 random ones (5,000: `make slow`): round trips, ill-typed mutations, backpropagation, families, the Master Theorem."""

import jax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tensorprog.errors import InvalidProgram
from tensorprog.language.listing import show
from tensorprog.language.program import Program
from tensorprog.language.text import parse
from tensorprog.language.valid import check
from tensorprog.testing import assert_agree, features, inputs, mutations, networks, programs, read_out
from tests.laws.laws import FEW, FIXED, MANY, assert_backprop_is_grad, assert_unfolds, drawn


def assert_well_formed(p: Program) -> None:
    check(p).raise_if_invalid()
    assert parse(show(p)) == p


def assert_mutations_are_refused(p: Program) -> None:
    for m in mutations(p):
        with pytest.raises(InvalidProgram, match=rf"(^|\n)line {m.line}: "):
            check(m.program).raise_if_invalid()


def assert_all_laws(p: Program, data: dict, seed: int) -> None:
    assert_well_formed(p)
    assert_mutations_are_refused(p)
    assert_backprop_is_grad(read_out(p), data, jax.random.key(seed))
    assert_unfolds(p, data)
    assert_agree(p, key=jax.random.key(seed), inputs=data, widths=(32, 128))


def test_random_programs_exercise_what_is_hard() -> None:
    """At least 40% use some W and W^T, 30% feed a Moment into a Nonlin, 30% have two or more widths, 20% have an axis; and they differ."""
    found = [p for p, _ in drawn(200)]
    every = [features(p) for p in found]
    assert len(found) >= 200
    assert len(set(found)) >= 100
    assert sum(f.tied for f in every) >= 0.4 * len(every)
    assert sum(f.fed for f in every) >= 0.3 * len(every)
    assert sum(f.widths >= 2 for f in every) >= 0.3 * len(every)
    assert sum(f.family for f in every) >= 0.2 * len(every)


@FIXED
@given(programs())
def test_text_reads_back(p: Program) -> None:
    assert_well_formed(p)


@FIXED
@given(programs())
def test_ill_typed_mutations_are_refused_by_line(p: Program) -> None:
    assert_mutations_are_refused(p)


@FIXED
@given(st.data())
def test_backprop_is_automatic_differentiation(data: st.DataObject) -> None:
    p = data.draw(programs())
    assert_backprop_is_grad(read_out(p), data.draw(inputs(p)), jax.random.key(1))


@FIXED
@given(st.data())
def test_exact_sampled_and_finite_agree(data: st.DataObject) -> None:
    p = data.draw(programs())
    assert_agree(p, key=jax.random.key(2), inputs=data.draw(inputs(p)), widths=(32, 128))


@FEW
@given(st.data())
def test_families_are_their_members(data: st.DataObject) -> None:
    p = data.draw(programs())
    assert_unfolds(p, data.draw(inputs(p)))


@FIXED
@given(networks())
def test_random_networks_depend_on_their_data(network) -> None:
    check(network).raise_if_invalid()
    assert parse(show(network)) == network


@pytest.mark.slow
@MANY
@given(st.data(), st.integers(0, 2**16))
def test_all_laws_on_five_thousand_programs(data: st.DataObject, seed: int) -> None:
    p = data.draw(programs())
    assert_all_laws(p, data.draw(inputs(p)), seed)
