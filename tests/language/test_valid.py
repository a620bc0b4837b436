"""The judgement on whole programs: languages, hypotheses (T25 of the reference notes), mutations of well-typed programs, shape of the report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random

import pytest

from tensorprog.errors import InvalidProgram, OutsideTheory
from tensorprog.language.expr import Add, Apply, Expr, Fn, Growth, Mul, Number, Ref, Sum, refs
from tensorprog.language.finding import MAX_DEPTH
from tensorprog.language.instr import Instr, MatMul, Moment, Nonlin
from tensorprog.language.listing import items
from tensorprog.language.nonlin import fn, user_function
from tensorprog.language.program import Network, Program
from tensorprog.language.text import parse
from tensorprog.language.valid import Language, check
from tests.language.random_programs import random_network, random_program


def program(body: str, head: str = "") -> Program:
    p = parse(f"program p\nwidth n\nmatrix W : n x n\nvector v : n ~ N(0, 1)\nvector u : n ~ N(0, 1)\n{head}\n{body}\nreturn v")
    assert isinstance(p, Program)
    return p


@pytest.mark.parametrize(
    ("body", "language"),
    [
        ("h := W v\nx := relu(h)\nk := W x", Language.NETSOR),
        ("h := W^T v\nx := relu(h)\nk := W^T x", Language.NETSOR),
        ("h := W v\nc := moment(h^2)\nx := h / (1 + c)", Language.NETSOR_PLUS),
        ("h := W v\nx := W^T h", Language.NETSOR_T),
        ("h := W v\nx := W^T h\nc := moment(x)", Language.NETSOR_T_PLUS),
    ],
)
def test_the_smallest_language(body: str, language: Language) -> None:
    assert check(program(body)).language is language


@pytest.mark.parametrize("seed", range(100))
def test_random_programs_are_well_typed(seed: int) -> None:
    assert not check(random_program(seed)).problems
    assert not check(random_network(seed)).problems


# T25: what the theorem does not cover.


def _warned(body: str, head: str = "") -> list[str]:
    report = check(program(body, head))
    assert report.ok
    return [f"{w.line} {w.rule}" for w in report.warnings]


def test_a_jump_in_a_parameter_is_warned_of() -> None:
    """Remark E.12: psi(x; theta) = 1(theta x != 0) with theta = 1/n averages 1 at every n, and the formula says 0."""
    report = check(program("y := sign(theta * v)^2\nc := moment(y)", "scalar theta = n^-1"))
    (w,) = report.warnings
    assert w.rule == "pseudo-lipschitz"
    assert "Remark E.12" in w.finding


def test_a_vanishing_vector_under_a_matrix_is_warned_of() -> None:
    """Remark E.13: h = theta g, and the test function 1(y != 0) of W h."""
    report = check(program("h := theta * u\ny := W h", "scalar theta = n^-3"))
    (w,) = report.warnings
    assert w.rule == "rank"
    assert "Remark E.13" in w.finding


@pytest.mark.parametrize("body", ["x := W v\nf0 := moment(v * x) \ny := s * f0 * u", "x := W v\nf0 := moment(s * v * x)"])
def test_f_0_is_no_scalar(body: str) -> None:
    report = check(program(body, "scalar s = n^0.5"))
    assert not report.ok
    with pytest.raises(OutsideTheory, match=r"line 6: scalar s = n\^0.5.*Gaussian process in the limit, not a constant.*scalar f0 = given"):
        report.raise_if_invalid()


def test_f_0_by_a_division_is_no_scalar_either() -> None:
    report = check(program("x := W v\nf0 := moment(v * x) \nf := moment(f0 / theta)", "scalar theta = n^-0.5"))
    assert [f.line for f in report.outside] == [9]
    assert "it may grow like n^0.5" in report.outside[0].finding


@pytest.mark.parametrize(
    "quotient", ["(tanh(v + theta * u) - tanh(v)) / theta", "(tanh(v + theta * u) * u - u * tanh(v)) / theta", "((v + theta * u)^2 - v^2) / theta"]
)
def test_a_difference_quotient_stays_bounded(quotient: str) -> None:
    assert check(program(f"x := {quotient}", "scalar theta = n^-0.5")).ok


def test_one_embedding_may_be_read_at_two_scales() -> None:
    """U has unit entries; sigma belongs to the vector that it makes."""
    p = parse("program p\nwidth n\ninput xi\nvector a : n = U xi\nvector b : n = U xi, sigma 2\nreturn a")
    assert check(p).ok


def test_duplicates_of_a_product_pass() -> None:
    """Cov(Wx, Wx) is singular, and fine."""
    assert not _warned("x := W v\ny := W v\nz := x - y")


def test_a_jump_needs_no_warning_without_scalars() -> None:
    """Thm 2.10 of arXiv 2009.10685: polynomially bounded functions will do."""
    assert not _warned("x := W v\ny := step(x)\nz := W^T y")
    assert _warned("c := moment(v^2)\ny := step(u)\nz := c * y") == ["7 pseudo-lipschitz"]


def test_a_program_tests_itself_with_moments_without_warning() -> None:
    assert not _warned("x := W v\ny := step(x)\nc := moment(y * x)")


def test_poles_and_roots_are_warned_of() -> None:
    assert _warned("x := 1 / v") == ["6 pseudo-lipschitz"]
    assert _warned("x := (v * u)^0.5") == ["6 pseudo-lipschitz"]
    assert not _warned("x := v / (1 + v^2)^0.5\ny := abs(v)^0.5\nz := (v * v)^0.5")


def test_exponential_growth() -> None:
    assert not _warned("x := exp(v)")  # Netsor: controlled functions (arXiv 1910.12478)
    assert _warned("h := W v\nk := W^T h\nx := exp(k)") == ["8 growth"]
    assert not _warned("x := exp(-v * v)\ny := exp(tanh(v)^3)")
    for diverges in ("exp(v^2)", "exp(v * u)", "exp(exp(v))", "exp(hermite[2](v))"):
        with pytest.raises(OutsideTheory, match="growth"):
            check(program(f"x := {diverges}")).raise_if_invalid()
    with pytest.raises(OutsideTheory, match=r"line 7: y := .*growth"):
        check(program("x := v^2\ny := exp(x)")).raise_if_invalid()


def test_a_users_function_says_how_it_grows() -> None:
    wild = user_function("wild", lambda x: x, growth=Growth.DIVERGENT)
    report = check(replace(program(""), body=(Nonlin("x", Apply(wild, (Ref("v"),))),)))
    assert [f.rule for f in report.outside] == ["growth"]


def test_a_joint_law_that_is_too_large_to_be_judged_is_warned_of() -> None:
    zeros = ", ".join(["0"] * 40_000)
    p = parse(f"program p\nwidth n\naxis t 200\nvector a : n over t ~ N(0, 1)\nvector b : n over t ~ N(0, 1)\ncovariance a, b = ({zeros})\nreturn a")
    (w,) = check(p).warnings
    assert (w.line, w.rule) == (6, "covariance")


# Mutations: a well-typed program, one line of which is made wrong.

Mutation = Callable[[Instr, Program, Random], Instr | None]


def _psi(i: Instr, psi: Expr) -> Instr | None:
    return None if isinstance(i, MatMul) else replace(i, psi=psi)


def _other_width(i: Instr, p: Program, rng: Random) -> Instr | None:
    read = next((p.width_of[x] for x in ((i.arg,) if isinstance(i, MatMul) else refs(i.psi)) if not p.is_scalar(x)), None)
    other = "u" if read == "n" else "v1"
    return replace(i, arg=other) if isinstance(i, MatMul) else replace(i, psi=Add((i.psi, Ref(other)))) if read else None


def _turned(i: Instr, p: Program, rng: Random) -> Instr | None:
    return replace(i, transpose=not i.transpose) if isinstance(i, MatMul) and p.matrix[i.matrix].rows != p.matrix[i.matrix].cols else None


MUTATIONS: dict[str, Mutation] = {
    "other width": _other_width,
    "transposed": _turned,
    "no such variable": lambda i, p, rng: replace(i, arg="nowhere") if isinstance(i, MatMul) else replace(i, psi=Mul((i.psi, Ref("nowhere")))),
    "no such matrix": lambda i, p, rng: replace(i, matrix="nowhere") if isinstance(i, MatMul) else None,
    "a scalar is multiplied": lambda i, p, rng: replace(i, arg="theta") if isinstance(i, MatMul) else None,
    "reads itself": lambda i, p, rng: replace(i, arg=i.out) if isinstance(i, MatMul) else replace(i, psi=Mul((i.psi, Ref(i.out)))),
    "name taken": lambda i, p, rng: replace(i, out=rng.choice(["v1", "theta", "W", "U"])),
    "not a number": lambda i, p, rng: None if isinstance(i, MatMul) else _psi(i, Add((i.psi, Number(float("nan"))))),
    "sum over no axis": lambda i, p, rng: None if isinstance(i, MatMul) else _psi(i, Sum("token", Sum("token", i.psi))),
    "no such function": lambda i, p, rng: None if isinstance(i, MatMul) else _psi(i, Apply(Fn("nowhere"), (i.psi,))),
    "arity": lambda i, p, rng: None if isinstance(i, MatMul) else _psi(i, Apply(fn("tanh"), (i.psi, i.psi))),
}


def _mutants(mutation: str) -> Iterator[tuple[Program, int]]:
    """Mutated programs, and the line that is wrong."""
    for seed in range(30):
        p = random_program(seed)
        rng = Random(seed)
        k = rng.randrange(len(p.body))
        made = MUTATIONS[mutation](p.body[k], p, rng)
        if made is not None:
            first = next(n for n, item in enumerate(items(p), 1) if item is p.body[0])
            yield replace(p, body=(*p.body[:k], made, *p.body[k + 1 :])), first + k


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_every_mutation_is_rejected_by_a_message_that_names_its_line(mutation: str) -> None:
    seen = 0
    for p, line in _mutants(mutation):
        seen += 1
        with pytest.raises(InvalidProgram, match=rf"(^|\n)line {line}: "):
            check(p).raise_if_invalid()
    assert seen >= 5


# The report.


def test_a_deep_expression_is_a_finding_and_no_overflow() -> None:
    e: Expr = Ref("v")
    for _ in range(2000):
        e = Apply(fn("tanh"), (e,))
    report = check(replace(program(""), body=(Nonlin("x", e), Moment("c", Ref("x")))))
    assert [str(f) for f in report.problems] == [
        f"line 6: x := ...: [expression] it is nested 2001 deep; at most {MAX_DEPTH} are allowed. Give its parts names."
    ]


def test_a_function_that_only_bears_a_name_of_the_table_is_refused() -> None:
    report = check(replace(program(""), body=(Nonlin("x", Apply(Fn("relu"), (Ref("v"),))),)))
    assert "says other things of itself than the built-in one" in report.problems[0].finding


def test_very_many_findings_are_cut_short() -> None:
    p = replace(program(""), body=tuple(Nonlin(f"x{k}", Ref("nowhere")) for k in range(5000)))
    report = check(p)
    assert len(report.problems) == 1000
    assert str(report).splitlines()[-1] == "... and 980 more like these."


def test_the_report_reads_as_text() -> None:
    p = program("h := W v\nx := tanh(h)\nk := W x")
    assert str(check(p)) == "p: a Netsor program.\nBP-like: yes: no matrix is used with its transpose."
    net = parse("network q\nwidth n\nmatrix W : n x n\nvector g : n ~ N(0, 1)\nh := W g\nreadout v^T h : n\nreturn h")
    assert isinstance(net, Network)
    assert str(check(net)).startswith("q: a Netsor program.\nSimple GIA check: holds: the readout vectors are independent")
