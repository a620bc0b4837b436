"""A symbolic expectation as a Gaussian problem: its distinct linear forms are the coordinates, its factors functions of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations_with_replacement, product
from typing import assert_never

import jax.numpy as jnp
from jax import Array

from tensorprog.errors import InternalError, OutsideTheory
from tensorprog.gaussian import problem as gaussian
from tensorprog.gaussian.functions import function
from tensorprog.interpret.limit.expectation import Expectations, Problem
from tensorprog.interpret.limit.scalar import At, Index, S, rename
from tensorprog.interpret.limit.variable import Atom, Closed, Composite, Lin, Poly, Term, Use
from tensorprog.language.expr import Fn, Growth

Read = Callable[[S], Array]


@dataclass(frozen=True, eq=False)
class Coordinates:
    """The distinct forms of a problem, their means and covariances, and what else its composites read."""

    problem: Problem
    forms: tuple[Use, ...]
    means: tuple[S | None, ...]
    covariances: dict[tuple[int, int], S]
    constants: tuple[S, ...]

    @property
    def scalars(self) -> list[S]:
        return [*(m for m in self.means if m is not None), *self.covariances.values(), *self.constants]

    def covariance(self, i: int, j: int) -> S:
        return self.covariances[min(i, j), max(i, j)]

    def factors(self, read: Read) -> list[gaussian.AnyFactor]:
        where = {form: k for k, form in enumerate(self.forms)}
        out: list[gaussian.AnyFactor] = []
        for use in self.problem.uses:
            match use.factor:
                case Lin():
                    out.append(gaussian.Power(where[use], 1))
                case Atom():
                    a = use.factor
                    out.append(gaussian.Factor(a.fn, where[Use(a.form, use.idx)], a.scale, a.shift))
                case Composite():
                    out.append(self._composite(use, where, read))
                case Closed():
                    raise InternalError("a closed sum reached the Gaussian integral")
                case _:
                    assert_never(use.factor)
        return out

    def _composite(self, use: Use, where: dict[Use, int], read: Read) -> gaussian.Composite:
        forms = tuple(dict.fromkeys(forms_of(use, {})))
        constants = tuple(dict.fromkeys(constants_of(use, {})))
        given = {c: read(c)[..., None] for c in constants}

        def call(*u: Array) -> Array:
            return _value(use, {}, dict(zip(forms, u, strict=True)), given)

        if any(f.growth is Growth.DISTRIBUTION for f in functions_of(use)):
            raise OutsideTheory(
                "[dot] the expected derivative of a jump of a variable that is not Gaussian is a density, which is not known here. "
                'Take dots="stein", or sample: tp.particles(program, key=..).'
            )
        name = use.factor.fn.name if isinstance(use.factor, Composite) else "composite"
        return gaussian.Composite(call, tuple(where[f] for f in forms), name)


def coordinates(e: Expectations, problem: Problem) -> Coordinates:
    """The coordinates of a problem, in order of appearance."""
    forms = tuple(dict.fromkeys(f for use in problem.uses for f in forms_of(use, {})))
    means = tuple(_mean(f) for f in forms)
    pairs = combinations_with_replacement(range(len(forms)), 2)
    covariances = {(i, j): e.covariance(forms[i], forms[j]) for i, j in pairs}
    constants = tuple(dict.fromkeys(c for use in problem.uses for c in constants_of(use, {})))
    return Coordinates(problem, forms, means, covariances, constants)


def _mean(form: Use) -> S | None:
    assert isinstance(form.factor, Lin)
    return None if form.factor.const is None else rename(form.factor.const, dict(enumerate(form.idx)))


# A composite is walked in full: `at` says where each index of the current scope stands.

Places = dict[Index, Index]


def moved(use: Use, at: Places) -> Use:
    return Use(use.factor, tuple(at.get(i, i) for i in use.idx))


def instances(term: Term, at: Places) -> list[tuple[Term, Places]]:
    """The term once for every position of its summed indices."""
    sizes: dict[Index, int] = {}
    for idx, shape in ((term.coef.idx, term.coef.node.sizes), *((u.idx, u.factor.sizes) for u in term.uses)):
        sizes |= {i: n for i, n in zip(idx, shape, strict=True) if isinstance(i, int) and i not in at}
    names = list(sizes)
    return [(term, {**at, **dict(zip(names, map(At, where), strict=True))}) for where in product(*(range(sizes[i]) for i in names))]


def _inside(use: Use, at: Places) -> list[tuple[Poly, Places]]:
    """The arguments of a composite or a closed sum, each with the scope of its indices."""
    places = moved(use, at).idx
    factor = use.factor
    assert isinstance(factor, Composite | Closed)
    scope: Places = dict(zip(factor.axes, places, strict=True))
    return [(p, scope) for p in (factor.args if isinstance(factor, Composite) else (factor.poly,))]


def forms_of(use: Use, at: Places) -> list[Use]:
    """Every linear form that a factor reads, at its positions."""
    match use.factor:
        case Lin():
            return [moved(use, at)]
        case Atom():
            return [moved(Use(use.factor.form, use.idx), at)]
        case Composite() | Closed():
            scopes = [pair for p, scope in _inside(use, at) for t in p.terms for pair in instances(t, scope)]
            return [f for t, here in scopes for u in t.uses for f in forms_of(u, here)]
        case _:
            assert_never(use.factor)


def constants_of(use: Use, at: Places) -> list[S]:
    """Every coefficient that a factor reads, at its positions."""
    match use.factor:
        case Lin() | Atom():
            return []
        case Composite() | Closed():
            scopes = [pair for p, scope in _inside(use, at) for t in p.terms for pair in instances(t, scope)]
            return [s for t, here in scopes for s in (rename(t.coef, here), *(c for u in t.uses for c in constants_of(u, here)))]
        case _:
            assert_never(use.factor)


def functions_of(use: Use) -> list[Fn]:
    """Every function of variables that are not linear forms that a factor applies."""
    match use.factor:
        case Lin() | Atom():
            return []
        case Composite() | Closed():
            own = [use.factor.fn] if isinstance(use.factor, Composite) else []
            return own + [f for p, _ in _inside(use, {}) for t in p.terms for u in t.uses for f in functions_of(u)]
        case _:
            assert_never(use.factor)


def _value(use: Use, at: Places, forms: dict[Use, Array], constants: dict[S, Array]) -> Array:
    match use.factor:
        case Lin():
            return forms[moved(use, at)]
        case Atom():
            a = use.factor
            return function(a.fn)(a.scale * forms[moved(Use(a.form, use.idx), at)] + a.shift)
        case Composite() | Closed():
            args = [
                sum((_term(t, here, forms, constants) for t, here in (i for t in p.terms for i in instances(t, scope))), jnp.zeros(()))
                for p, scope in _inside(use, at)
            ]
            return function(use.factor.fn)(*args) if isinstance(use.factor, Composite) else args[0]
        case _:
            assert_never(use.factor)


def _term(t: Term, at: Places, forms: dict[Use, Array], constants: dict[S, Array]) -> Array:
    out = constants[rename(t.coef, at)]
    for u in t.uses:
        out = out * _value(u, at, forms, constants)
    return out
