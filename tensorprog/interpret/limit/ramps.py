"""Ramps, steps and deltas of one argument multiply to one of them: ramp_k(u) = max(u, 0)^k, step = ramp_0, delta = ramp_{-1}."""

from __future__ import annotations

from collections.abc import Iterator

from tensorprog.errors import OutsideTheory
from tensorprog.interpret.limit.interned import Variables
from tensorprog.interpret.limit.scalar import Index, S
from tensorprog.interpret.limit.variable import Atom, Closed, Lin, Poly, Term, Use
from tensorprog.language.nonlin import fn


def ramp_power(use: Use) -> float | None:
    """k of a ramp_k, or None."""
    a = use.factor
    return a.fn.constants[0] if isinstance(a, Atom) and a.fn.name == "ramp" else None


def is_delta(use: Use) -> bool:
    return isinstance(use.factor, Atom) and use.factor.fn.name == "ramp" and use.factor.fn.constants[0] == -1


def has_threshold(x: Poly) -> bool:
    """Whether a step away from 0 is a factor of a variable that has no delta."""
    uses = list(_factors(x))
    return any(map(_is_threshold, uses)) and not any(map(is_delta, uses))


def _is_threshold(use: Use) -> bool:
    a = use.factor
    return ramp_power(use) == 0 and isinstance(a, Atom) and (a.shift != 0 or a.form.const is not None)


def _factors(x: Poly) -> Iterator[Use]:
    """The factors of all products, also in sums that are kept closed."""
    for u in (u for term in x.terms for u in term.uses):
        if isinstance(u.factor, Closed):
            yield from _factors(u.factor.poly)
        else:
            yield u


def merge_ramps(v: Variables, uses: tuple[Use, ...]) -> tuple[float, tuple[Use, ...]] | None:
    """Two ramps, or a linear form and a ramp, of the same argument as one ramp: (coefficient, factors), or None where nothing merges.

    ramp_j ramp_k = ramp_{j+k} for j, k >= 0; u ramp_k(u) = ramp_{k+1}(u); u delta(s u + b) = -(b / s) delta(s u + b);
    delta(u) step(u) = delta(u) / 2, which keeps the derivative of step^2 = step.
    """
    for i, a in enumerate(uses):
        j = ramp_power(a)
        if j is None:
            continue
        assert isinstance(a.factor, Atom)
        for k, b in enumerate(uses):
            if k == i or b.idx != a.idx:
                continue
            rest = tuple(u for m, u in enumerate(uses) if m not in (i, k))
            if b.factor is a.factor.form and j == -1:
                return pinned_at(a), (*rest, a)
            if b.factor is a.factor.form and a.factor.shift == 0.0:
                return a.factor.scale, (*rest, _ramp(v, a, j + 1))
            q = ramp_power(b)
            if k > i and q is not None and _same_up_to_sign(a, b):
                return _merge(v, (a, j), (b, q), rest)
    return None


def pinned_at(use: Use) -> float:
    """The value that delta(s u + b) gives to u: -b / s."""
    assert isinstance(use.factor, Atom)
    return -use.factor.shift / use.factor.scale


def _same_up_to_sign(a: Use, b: Use) -> bool:
    """Whether two ramps have one argument, or opposite ones."""
    x, y = a.factor, b.factor
    return isinstance(x, Atom) and isinstance(y, Atom) and x.form is y.form and (y.scale, y.shift) in ((x.scale, x.shift), (-x.scale, -x.shift))


def _merge(v: Variables, first: tuple[Use, float], second: tuple[Use, float], rest: tuple[Use, ...]) -> tuple[float, tuple[Use, ...]]:
    (a, j), (b, k) = first, second
    assert isinstance(a.factor, Atom)
    assert isinstance(b.factor, Atom)
    if j == -1 and k == -1:
        raise OutsideTheory("[dot] the product delta(u) delta(u) has no expectation; write the program without the derivative of this step function")
    if -1 in (j, k):
        return (0.5, (*rest, a if j == -1 else b)) if max(j, k) == 0 else (0.0, ())
    if a.factor.scale != b.factor.scale:
        return 0.0, ()
    return 1.0, (*rest, _ramp(v, a, j + k))


def _ramp(v: Variables, use: Use, power: float) -> Use:
    a = use.factor
    assert isinstance(a, Atom)
    names = tuple(f"@{k}" for k in range(len(use.idx)))
    (term,) = v.atom(fn("ramp", power), a.scale, a.shift, Use(a.form, names)).terms
    return Use(term.uses[0].factor, use.idx)


def form_of(use: Use) -> Lin:
    """The linear form that a factor reads."""
    match use.factor:
        case Lin():
            return use.factor
        case Atom():
            return use.factor.form
        case _:
            raise OutsideTheory("[dot] a delta beside a function of variables that are not linear forms: ask for particles, not for the exact limit")


def without(v: Variables, use: Use, pin: Use, slope: S) -> Term:
    """The factor with its form L replaced by L - slope * (M - m): what it is given that the form M of a delta has its value m."""
    assert isinstance(pin.factor, Atom)
    given = Use(pin.factor.form, pin.idx)
    names: dict[Index, str] = {i: f"@{k}" for k, i in enumerate(dict.fromkeys((*use.idx, *given.idx, *slope.idx)))}
    back: dict[Index, Index] = {n: i for i, n in names.items()}
    here = Use(form_of(use), tuple(names[i] for i in use.idx))
    away = Use(given.factor, tuple(names[i] for i in given.idx))
    minus = v.scalars.product((S(slope.node, tuple(names[i] for i in slope.idx)),), None, -1.0)
    known = Term(v.scalars.product((minus,), None, -pinned_at(pin)), ())
    moved = v.poly((Term(v.scalars.one, (here,)), Term(minus, (away,)), known))
    if isinstance(use.factor, Atom):
        scaled = v.poly((*v.scale(moved, v.scalars.num(use.factor.scale)).terms, Term(v.scalars.num(use.factor.shift), ())))
        affine = v.affine(scaled, split_shift=True)
        assert affine is not None
        moved = v.atom(use.factor.fn, *affine)
    term = v.close(moved)
    return Term(S(term.coef.node, tuple(back[i] for i in term.coef.idx)), tuple(Use(u.factor, tuple(back[i] for i in u.idx)) for u in term.uses))
