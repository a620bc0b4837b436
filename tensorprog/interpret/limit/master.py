"""The Master Theorem as rules over a program (Yang & Littwin 2021, Def. B.3 and Theorem B.4).

[init] [nonlin] [moment]  as written in language.md 3;
[matmul-hat]  Cov(hat(W x), hat(W y)) = sigma_W^2 E Z^x Z^y; for W^T with W of size m x n: sigma_W^2 (m / n) E Z^x Z^y;
[outer]       Z^y = E' psi(Z^x; Z^x'; c°), E' over an iid copy x' (Yang & Littwin 2023, Def. 2.6.5; `outer.py`);
[matmul-dot]  dot(W x) = sigma_W^2 sum_y Z^y E dZ^x / d hat(W^T y), the sum over the roots hat(W^T y) that Z^x reads; for W^T times m / n.

A program with inputs is read once for each side: the left inputs x1 and the right inputs x2 of a kernel K(x1, x2) are two copies of everything
that depends on the data, over the same matrices.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal, assert_never

from tensorprog.interpret.limit.expectation import Expectations
from tensorprog.interpret.limit.initial import covariance, linked
from tensorprog.interpret.limit.interned import Variables
from tensorprog.interpret.limit.lift import Value, as_poly, lift
from tensorprog.interpret.limit.outer import averaged
from tensorprog.interpret.limit.ramps import has_threshold
from tensorprog.interpret.limit.scalar import Index, S, Scalars, rename
from tensorprog.interpret.limit.variable import Hat, LinTerm, Poly, Root, Term, Use, relabel, sizes_of, unread
from tensorprog.language.expr import Expr
from tensorprog.language.instr import Embedding, Gaussian, InitScalar, InitVector, MatMul, Moment, Nonlin, OuterNonlin
from tensorprog.language.program import Program
from tensorprog.transform.prune import needed
from tensorprog.transform.separate import separated

LEFT, RIGHT = 0, 1
PRIME = "'"
Dots = Literal["derivative", "stein", "drop"]


class Master:
    """The limit of a program, symbolically: `env(side)` maps variables to their limits.

    Args:
        program: any valid program.
        matched: use the left covariance wherever a left and a right input are equal (kernels of a data set with itself).
        dots: how [matmul-dot] finds its expected derivatives: by differentiating Z^x ("derivative"), by Stein's lemma (a = C^+ b, "stein"), or not
            at all ("drop": the gradient independence assumption, to show what it gets wrong).
    """

    def __init__(self, program: Program, *, matched: bool = False, dots: Dots = "derivative") -> None:
        self.program = program = separated(program)
        self.scalars = Scalars()
        self.v = Variables(self.scalars, program.size)
        self.e = Expectations(self.v, self._root_covariance)
        self._matched = matched
        self._dots: Dots = dots
        self._left: set[Root] = set()
        self._groups = linked(program)
        self._initial: dict[Root, InitVector] = {}
        self._envs: dict[int, dict[str, Value]] = {LEFT: {}, RIGHT: {}}

    def env(self, side: int = LEFT, asked: Collection[str] | None = None) -> Mapping[str, Value]:
        """The limits of the variables that are asked for, all unless said, and of what they depend on."""
        known = needed(self.program, asked) if asked is not None else {*self.program.axes_of}
        if side == RIGHT:
            self._read(LEFT, known)
        self._read(side, known)
        return self._envs[side]

    def _read(self, side: int, asked: Collection[str]) -> None:
        env = self._envs[side]
        for vector in self.program.vectors:
            if vector.name not in env:
                env[vector.name] = self._init(vector, side)
        for scalar in self.program.scalars:
            if scalar.name not in env:
                env[scalar.name] = self._init_scalar(scalar)
        for i in self.program.body:
            if i.out in env or i.out not in asked:
                continue
            match i:
                case MatMul(out, matrix, arg, transpose):
                    twin = self._envs[LEFT][out] if side == RIGHT else None
                    env[out] = self.matmul(matrix, transpose, as_poly(self.v, env[arg]), out, twin)
                case Nonlin(out, psi):
                    value = lift(self.v, psi, env)
                    env[out] = self.v.settled(value) if isinstance(value, Poly) else value
                case Moment(out, psi):
                    env[out] = self.expect(psi, env)
                case OuterNonlin(out, psi):
                    env[out] = averaged(self.v, self.e, out, psi, env)
                case _:
                    assert_never(i)

    def expect(self, psi: Expr, env: Mapping[str, Value]) -> S:
        """[moment] E psi."""
        value = lift(self.v, psi, env)
        return self.e.mean(value) if isinstance(value, Poly) else value

    def pair(self, x: Value, y: Value) -> S:
        """E Z^x Z^y over the axes of x, and those of y primed."""
        a, b = as_poly(self.v, x), as_poly(self.v, y)
        return self.e.mean(self.v.multiply(a, self.v.rename(b, {name: primed(name) for name in b.axes})))

    def across(self, x: str, y: str) -> S:
        """E Z^x Z^y of the left and the right input, over the axes of x, and those of y primed.

        Where `matched` and these are equal, what steps away from 0 make is found from one variable: of two that coincide, a delta of one would meet
        the jump of the other.
        """
        left, own, right = self._envs[LEFT][x], self._envs[LEFT][y], self._envs[RIGHT][y]
        cross = self.pair(left, right)
        if not self._matched or not any(has_threshold(as_poly(self.v, z)) for z in (left, own)):
            return cross
        return self.scalars.matched(cross, self.pair(left, own))

    # [init]

    def _init(self, vector: InitVector, side: int) -> Value:
        axes = tuple(sorted(vector.axes))
        match vector.law:
            case Gaussian(mean, variance):
                if variance == 0.0 and not any(c.a == c.b == vector.name for c in self.program.covariances):
                    return self.scalars.num(mean)
                root = self.v.root(("init", vector.name), ("init", self._groups[vector.name]), vector.name, axes)
                self._initial[root] = vector
                return self.v.add(self.v.of_root(root), self.v.constant(self.scalars.num(mean)))
            case Embedding(matrix, _, _):
                twin = self._root_of(self._envs[LEFT][vector.name]) if side == RIGHT else None
                root = self.v.root(("init", vector.name, side), ("embedding", matrix), vector.name, axes, twin=twin)
                self._initial[root] = vector
                return self.v.of_root(root)
            case _:
                assert_never(vector.law)

    def _init_scalar(self, scalar: InitScalar) -> S:
        if scalar.exponent < 0:
            return self.scalars.zero
        axes = tuple(sorted(scalar.axes))
        if scalar.value is None:
            return self.scalars.leaf(("scalar", scalar.name), tuple(self.program.size[a] for a in axes), axes)
        return self.scalars.num(scalar.value)

    # [matmul-hat], [matmul-dot]

    def matmul(self, matrix: str, transpose: bool, x: Poly, label: str, twin: Value | None) -> Poly:
        """Z^{Wx} = hat(W x) + dot(W x)."""
        left = self._root_of(twin) if twin is not None else None
        root = self.v.root(("hat", matrix, transpose, x.id), Hat(matrix, transpose), label, x.axes, x, left)
        hat = self.v.of_root(root)
        earlier = sorted((r for r in x.roots if r.group == Hat(matrix, not transpose)), key=lambda r: r.id)
        match self._dots:
            case "drop":
                return hat
            case "derivative":
                return self.v.add(hat, *(self._dot(x, r, transpose) for r in earlier))
            case "stein":
                return self.v.add(hat, *self._stein_dots(x, earlier, transpose))
            case _:
                assert_never(self._dots)

    def _dot(self, x: Poly, root: Root, transpose: bool) -> Poly:
        """sigma^2 Z^y E dZ^x / d hat(W^T y), summed over the members of y."""
        assert root.argument is not None
        variance = self._variance(_hat(root).matrix, transpose)

        def on_form(use: Use) -> list[tuple[S, tuple[Index, ...]]]:
            return self._occurrences(use, root)

        terms: list[Term] = []
        for t in x.terms:
            for slope, where in self.e.expected_derivative(self.v.apart(t), root, on_form):
                slope = self.scalars.product((slope,), (*x.axes, *where))
                by: dict[Index, Index] = dict(zip(root.argument.axes, where, strict=True))
                sizes = dict(zip(where, root.sizes, strict=True))
                for y in root.argument.terms:
                    moved = relabel(self.v.apart(y), by)
                    times = unread(sizes, slope.idx, moved.coef.idx, sizes_of(moved.uses))
                    terms.append(Term(self.scalars.product((variance, slope, moved.coef), None, times), moved.uses))
        return self.v.poly(terms)

    def _stein_dots(self, x: Poly, earlier: list[Root], transpose: bool) -> list[Poly]:
        """sigma^2 sum_i Z^{y_i} a_i, a = C^+ b with C_ij = Cov(hat_i, hat_j), b_i = E hat_i Z^x (Yang & Littwin 2021, Remark B.6)."""
        if not earlier:
            return []
        covariances = [[self.e.covariance_of_roots(r, q) for q in earlier] for r in earlier]
        target = tuple(self.program.size[a] for a in x.axes)
        moments = [self._with_root(r, x) for r in earlier]
        if all(map(self.scalars.is_zero, moments)):
            return []
        out: list[Poly] = []
        for i, root in enumerate(earlier):
            assert root.argument is not None
            y = root.argument
            slope = self.scalars.regression(covariances, moments, [r.sizes for r in earlier], target, i)
            inner = tuple(f"{a}*" for a in root.axes)
            slope = S(slope.node, (*inner, *x.axes))
            whole = self.v.multiply(self.v.constant(slope), self.v.rename(y, dict(zip(y.axes, inner, strict=True))))
            for a, size in zip(inner, root.sizes, strict=True):
                whole = self.v.sum_axis(whole, a, size)
            out.append(self.v.scale(whole, self._variance(_hat(root).matrix, transpose)))
        return out

    def _with_root(self, root: Root, x: Poly) -> S:
        """E root Z^x: local indices are the root's, then x's."""
        r = self.v.rename(self.v.of_root(root), {a: f"{a}*" for a in root.axes})
        s = self.e.mean(self.v.multiply(r, x))
        places: dict[Index, Index] = {**{f"{a}*": k for k, a in enumerate(root.axes)}, **{a: len(root.axes) + k for k, a in enumerate(x.axes)}}
        return rename(s, places)

    def _occurrences(self, use: Use, root: Root) -> list[tuple[S, tuple[Index, ...]]]:
        """Where a linear form reads a root: coefficient and the indices at which it is read."""
        form = use.factor
        if root not in form.roots:
            return []
        terms: list[LinTerm] = []
        self.v.expand(Term(self.scalars.one, (use,)), terms, [], free=use.idx)
        return [(self.scalars.product([s] if s else [], None, c), where) for c, s, r, where in terms if r is root]

    def _variance(self, name: str, transpose: bool) -> S:
        """sigma_W^2, times m / n for the transpose of an m x n matrix."""
        m = self.program.matrix[name]
        ratio = self.program.width[m.rows].ratio / self.program.width[m.cols].ratio if transpose else 1
        return self.scalars.product((self.scalars.leaf(("variance", name)),), None, float(ratio))

    # Covariances of roots.

    def _root_covariance(self, a: Root, b: Root) -> S:
        """Cov over the indices 0 .. of a and then those of b."""
        cross = self._covariance(a, b)
        if self._matched and a.twin is None and b.twin is not None and a in self._left:
            return self.scalars.matched(cross, self.e.covariance_of_roots(a, b.twin))
        if self._matched and b.twin is None and a.twin is not None and b in self._left:
            return self.scalars.matched(cross, self.e.covariance_of_roots(a.twin, b))
        return cross

    def _covariance(self, a: Root, b: Root) -> S:
        if a.argument is not None and b.argument is not None:
            cov = self.pair(a.argument, b.argument)
            place = {**{name: k for k, name in enumerate(a.axes)}, **{primed(name): len(a.axes) + k for k, name in enumerate(b.axes)}}
            return self.scalars.product((rename(cov, place), self._variance(*_hat(a))))
        x, y = self._initial[a], self._initial[b]
        if isinstance(x.law, Embedding) and isinstance(y.law, Embedding):
            sides = (LEFT if a.twin is None else RIGHT, LEFT if b.twin is None else RIGHT)
            sizes = (*a.sizes, *b.sizes)
            gram = self.scalars.leaf(("gram", x.law.input, sides[0], y.law.input, sides[1]), sizes, tuple(range(len(sizes))))
            return self.scalars.product((gram, self.scalars.leaf(("variance", x.law.matrix))))
        return covariance(self.program, self.scalars, x, y)

    def _root_of(self, x: Value | None) -> Root:
        """The root that [init] or [matmul-hat] made for a left variable: its newest."""
        assert isinstance(x, Poly)
        newest = max(x.roots, key=lambda r: r.id)
        self._left.add(newest)
        return newest


def primed(axis: str) -> str:
    return axis + PRIME


def _hat(root: Root) -> Hat:
    assert isinstance(root.group, Hat)
    return root.group
