"""The one question of the Master Theorem: E of a product of functions of jointly Gaussian roots, resolved by structure.

In this order: factors whose roots are independent are separated; a component that turns its sign with its roots is 0 (before any
covariance is asked); closed sums are opened; linear factors go by Stein's lemma, E[L F] = sum_j Cov(L, L_j) E[d_j F]; what remains is
one Gaussian problem whose dimension is the number of distinct linear forms, handed to `gaussian.expect` when its number is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import assert_never

from tensorprog.interpret.limit.covariance import Covariances
from tensorprog.interpret.limit.interned import Variables
from tensorprog.interpret.limit.lift import OnForm, derive, factor_parity
from tensorprog.interpret.limit.ramps import form_of, is_delta, merge_ramps, without
from tensorprog.interpret.limit.scalar import Expectation, Index, S, rename
from tensorprog.interpret.limit.variable import Atom, Closed, Composite, Factor, Lin, Poly, Root, Term, Use, sizes_of, unread
from tensorprog.language.expr import Growth


@dataclass(frozen=True, eq=False, slots=True)
class Problem:
    """E of the product of `uses` (atoms, composites, and linear forms beside a delta); indices are local, 0 .. rank - 1."""

    uses: tuple[Use, ...]
    sizes: tuple[int, ...]


class Expectations:
    """Answers E, each once, from covariances of roots and of linear forms (`covariance`).

    Args:
        root_covariance: Cov of two roots, with the indices of the first numbered 0 .. and those of the second after them.
    """

    def __init__(self, v: Variables, root_covariance: Callable[[Root, Root], S]) -> None:
        self.v, self.s = v, v.scalars
        covariances = Covariances(v, root_covariance)
        self.covariance, self.covariance_of_roots = covariances.of_forms, covariances.of_roots
        self._known: dict[Hashable, S] = {}
        self._dependent: dict[tuple[int, int], bool] = {}
        self._grouped: dict[int, tuple[frozenset[Hashable], bool]] = {}

    # E of sums and products.

    def mean(self, p: Poly) -> S:
        """E p, over the free indices of p."""
        return self.s.total((1.0, self._term(t, p.axes)) for t in p.terms)

    def _term(self, t: Term, keep: Collection[Index] | None, free: Collection[Index] = ()) -> S:
        """E t over the indices `keep` (None: over all); a summed index that nothing reads is counted, but for those that are `free`."""
        expected = self.monomial(t.uses)
        return self.s.product((t.coef, expected), keep, unread(sizes_of(t.uses), t.coef.idx, expected.idx, keep or (), free))

    def monomial(self, uses: tuple[Use, ...]) -> S:
        """E of a product of factors, over all their indices."""
        parts: list[S] = []
        for group in self._components(uses):
            part = self._component(group)
            if self.s.is_zero(part):
                return self.s.zero
            parts.append(part)
        return self.s.product(parts)

    def expected_derivative(self, t: Term, root: Root, on_form: OnForm, free: Collection[Index] = ()) -> Iterator[tuple[S, tuple[Index, ...]]]:
        """E d t / d root as a sum: each summand over all its indices, with the indices at which the root was read.

        The integer indices of t are summed by the caller, but for the `free` ones; a summed index that a summand does not read is counted here.

        Lazy: what is independent of the differentiated component and has mean 0 is seen before anything is differentiated, so that derivatives that
        do not matter (that of a step, say) are never formed.
        """
        sizes = {i: n for i, n in sizes_of(t.uses).items() if i not in free}
        for slope, where in self._slopes(t, root, on_form):
            yield self.s.product((slope,), None, unread(sizes, slope.idx, where)), where

    def _slopes(self, t: Term, root: Root, on_form: OnForm) -> Iterator[tuple[S, tuple[Index, ...]]]:
        groups = self._components(t.uses)
        for k, group in enumerate(groups):
            if not any(root in u.factor.roots for u in group):
                continue
            others = self.s.product((t.coef, *(self._component(g) for j, g in enumerate(groups) if j != k)))
            if self.s.is_zero(others):
                continue
            closed = next((u for u in group if isinstance(u.factor, Closed)), None)
            if closed is None:
                derived = derive(self.v, Term(self.s.one, tuple(group)), on_form)
                found = ((self._term(d, None, (*where, *sizes_of(group))), where) for d, where in derived)
            else:
                rest = tuple(u for u in group if u is not closed)
                opened = (Term(inner.coef, (*inner.uses, *rest)) for inner in self.v.open(closed))
                found = (pair for inner in opened for pair in self.expected_derivative(inner, root, on_form, sizes_of(group)))
            for slope, where in found:
                if not self.s.is_zero(slope):
                    yield self.s.product((others, slope)), where

    def _components(self, uses: tuple[Use, ...]) -> list[list[Use]]:
        groups: list[list[Use]] = []
        for use in uses:
            joined = [g for g in groups if any(self._depend(use, other) for other in g)]
            groups = [g for g in groups if g not in joined]
            groups.append([*(u for g in joined for u in g), use])
        return groups

    def _depend(self, a: Use, b: Use) -> bool:
        x, y = (a.factor, b.factor) if a.factor.id <= b.factor.id else (b.factor, a.factor)
        known = self._dependent.get((x.id, y.id))
        if known is None:
            pairs = product(*(sorted(f.roots, key=lambda r: r.id) for f in (x, y)))  # what is made first stands first, in every process
            known = not x.roots.isdisjoint(y.roots) or any(
                r.group == q.group and not self.s.is_zero(self.covariance_of_roots(r, q)) for r, q in pairs
            )
            self._dependent[x.id, y.id] = known
        return known

    def _odd_alone(self, uses: tuple[Use, ...]) -> bool:
        """Whether a factor of mean 0 shares no group of roots with the others: the product has mean 0, before anything is made of it."""
        found = [self._groups(u.factor) for u in uses]
        return any(odd and all(own.isdisjoint(other) for j, (other, _) in enumerate(found) if j != k) for k, (own, odd) in enumerate(found))

    def _groups(self, factor: Factor) -> tuple[frozenset[Hashable], bool]:
        """The groups of a factor's roots, and whether it turns its sign with them."""
        found = self._grouped.get(factor.id)
        if found is None:
            found = self._grouped[factor.id] = frozenset(r.group for r in factor.roots), factor_parity(self.v, factor) == -1
        return found

    def _component(self, uses: list[Use]) -> S:
        """E of one component, found under its canonical local indices."""
        uses = sorted(uses, key=lambda u: u.factor.id)
        names = list(dict.fromkeys(i for u in uses for i in u.idx))
        local = {name: k for k, name in enumerate(names)}
        canonical = tuple(Use(u.factor, tuple(local[i] for i in u.idx)) for u in uses)
        key = tuple((u.factor.id, u.idx) for u in canonical)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._resolve(canonical)
        return found.inside(names)

    def _resolve(self, uses: tuple[Use, ...]) -> S:
        sign = 1
        for u in uses:
            sign *= factor_parity(self.v, u.factor)
        if sign == -1:
            return self.s.zero
        keep = tuple({i for u in uses for i in u.idx})
        for k, u in enumerate(uses):
            if isinstance(u.factor, Closed):
                rest = (*uses[:k], *uses[k + 1 :])
                terms = self.v.open(u, lambda t, rest=rest: not self._odd_alone((*t.uses, *rest)))
                opened = (self._term(Term(t.coef, (*t.uses, *rest)), keep) for t in terms)
                return self.s.total((1.0, s) for s in opened)
        merged = merge_ramps(self.v, uses)
        if merged is not None:
            coef, fewer = merged
            return self.s.product((self.monomial(fewer),), None, coef) if coef else self.s.zero
        linear = [k for k, u in enumerate(uses) if isinstance(u.factor, Lin)]
        pins = [k for k, u in enumerate(uses) if is_delta(u)]
        if pins and (linear or len(uses) > 2):
            return self._condition(uses[pins[0]], (*uses[: pins[0]], *uses[pins[0] + 1 :]), keep)
        if linear and not any(_keeps_linear(u) for u in uses):
            return self._stein(uses[linear[0]], (*uses[: linear[0]], *uses[linear[0] + 1 :]), keep)
        return self._problem(uses)

    def _condition(self, pin: Use, rest: tuple[Use, ...], keep: tuple[Index, ...]) -> S:
        """E[delta(M - m) F(L..)] = E delta(M - m) E F(L - (M - m) Cov(L, M) / Var M ..): given M = m, each L loses its part along M."""
        assert isinstance(pin.factor, Atom)
        given = Use(pin.factor.form, pin.idx)
        variance = self.covariance(given, given)
        moved: list[Term] = []
        for u in rest:
            slope = self.s.product((self.covariance(Use(form_of(u), u.idx), given), self.s.function(-1.0, (variance,))))
            moved.append(without(self.v, u, pin, slope))
        coef = self.s.product(t.coef for t in moved)
        density = self._problem((Use(pin.factor, tuple(range(len(pin.idx)))),))
        density = S(density.node, pin.idx)
        return self.s.product((coef, density, self.monomial(tuple(u for t in moved for u in t.uses))), keep)

    def _stein(self, form: Use, rest: tuple[Use, ...], keep: tuple[Index, ...]) -> S:
        """E[L F] = E L E F + sum_j Cov(L, L_j) E[d_j F]."""
        assert isinstance(form.factor, Lin)
        parts: list[S] = []
        if form.factor.const is not None:
            const = rename(form.factor.const, dict(enumerate(form.idx)))
            parts.append(self.s.product((const, self.monomial(rest)), keep))

        def on_form(other: Use) -> list[tuple[S, tuple[Index, ...]]]:
            c = self.covariance(form, other)
            return [] if self.s.is_zero(c) else [(c, ())]

        for t, _ in derive(self.v, Term(self.s.one, rest), on_form):
            parts.append(self._term(t, keep))
        return self.s.total((1.0, p) for p in parts)

    def _problem(self, uses: tuple[Use, ...]) -> S:
        sizes = {i: n for u in uses for i, n in zip(u.idx, u.factor.sizes, strict=True)}
        shape = tuple(sizes[i] for i in range(len(sizes)))
        key = ("expectation", tuple((u.factor.id, u.idx) for u in uses))
        node = self.s.intern(key, Expectation(Problem(uses, shape)), shape)
        return S(node, tuple(range(len(shape))))


def _keeps_linear(use: Use) -> bool:
    """Whether Stein's lemma on a linear factor beside this one may not end, or has no value: then the linear factor stays in the Gaussian problem.

    The derivative of e^{-u^2} brings a linear factor back, and so does that of a composite whose arguments are products with a linear factor;
    that of a step of a variable that is no linear form is no function.
    """
    match use.factor:
        case Atom():
            return use.factor.fn.name == "gaussian"
        case Composite():
            fn = use.factor.fn
            return fn.name == "gaussian" or fn.growth >= Growth.POLYNOMIAL or any(_multiplies_linear(p) for p in use.factor.args)
        case Lin() | Closed():
            return False
        case _:
            assert_never(use.factor)


def _multiplies_linear(p: Poly) -> bool:
    """A term of p has a linear factor (open or in a closed sum) beside another factor, or reads a composite of which that is true."""
    return any(any(_keeps_linear(u) for u in t.uses) or (len(t.uses) > 1 and any(_has_linear(u) for u in t.uses)) for t in p.terms)


def _has_linear(use: Use) -> bool:
    if isinstance(use.factor, Closed):
        return any(_has_linear(u) for t in use.factor.poly.terms for u in t.uses)
    return isinstance(use.factor, Lin)
