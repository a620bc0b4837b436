"""The limit of an expression: psi(Z^{x1}..; c1°..) as a variable or, where it reads no vector, as a scalar [nonlin]."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import assert_never

from tensorprog.interpret.limit.interned import Variables
from tensorprog.interpret.limit.scalar import Index, S, Scalars
from tensorprog.interpret.limit.variable import Atom, Closed, Composite, Factor, Lin, Poly, Term, Use, relabel, sizes_of, unread
from tensorprog.language.expr import Add, Apply, Expr, Fn, Gather, Mul, Number, Power, Ref, Softmax, Sum, Tensor
from tensorprog.language.nonlin import derivative, form, parity
from tensorprog.language.nonlin import fn as named_fn

Value = S | Poly


def lift(v: Variables, e: Expr, env: Mapping[str, Value]) -> Value:
    """The value of `e` over limit variables and scalars."""
    match e:
        case Ref(name):
            return env[name]
        case Number(value):
            return v.scalars.num(value)
        case Tensor(axes, shape, values):
            return v.scalars.leaf(("tensor", shape, values), shape, axes) if any(values) else v.scalars.zero
        case Add(terms):
            return add(v, [lift(v, t, env) for t in terms])
        case Mul(factors):
            return multiply(v, [lift(v, f, env) for f in factors])
        case Power(base, exponent):
            return _power(v, lift(v, base, env), exponent)
        case Apply(fn, args):
            return apply(v, fn, [lift(v, a, env) for a in args])
        case Sum(axis, arg):
            return _sum(v, lift(v, arg, env), axis)
        case Gather(arg, axis, into, index):
            return _gather(v, lift(v, arg, env), axis, into, index)
        case Softmax(axis, arg):
            inner = lift(v, arg, env)
            assert isinstance(inner, S), "softmax of a vector"
            return v.scalars.softmax(inner, axis) if axis in inner.idx else v.scalars.num(1 / v.sizes[axis])
        case _:
            assert_never(e)


def as_poly(v: Variables, x: Value) -> Poly:
    return v.constant(x) if isinstance(x, S) else x


def add(v: Variables, parts: list[Value]) -> Value:
    scalars = [p for p in parts if isinstance(p, S)]
    polys = [p for p in parts if isinstance(p, Poly)]
    constant = v.scalars.total((1.0, s) for s in scalars)
    return v.add(*polys, v.constant(constant)) if polys else constant


def multiply(v: Variables, parts: list[Value]) -> Value:
    scale = v.scalars.product(p for p in parts if isinstance(p, S))
    polys = [p for p in parts if isinstance(p, Poly)]
    if not polys:
        return scale
    return v.scale(polys[0] if len(polys) == 1 else v.multiply(*polys), scale)


@cache
def _power_fn(exponent: float) -> Fn:
    return Fn("power", (exponent,), body=lambda x: x**exponent)


def is_power(fn: Fn) -> float | None:
    """The exponent of a power of a variable, or None."""
    return fn.constants[0] if fn.name == "power" and fn.body is not None and sum(fn.order) == 0 else None


def _power(v: Variables, base: Value, exponent: float) -> Value:
    if isinstance(base, S):
        number, rest = v.scalars.split(base)
        if rest.node is v.scalars.one.node and not (number == 0.0 and exponent < 0):
            return v.scalars.num(number**exponent)
        return v.scalars.function(exponent, (base,))
    if exponent >= 0 and float(exponent).is_integer():
        return v.multiply(*[base] * int(exponent))
    return v.composite(_power_fn(exponent), (base,))


def apply(v: Variables, fn: Fn, args: list[Value]) -> Value:
    """fn of variables: rewritten in atoms where a form exists, an atom of a linear form, else a composite."""
    args = [_constant(v, a) for a in args]
    numbers = tuple(a for a in args if isinstance(a, S))
    if len(numbers) == len(args):
        if fn.arity == 1 and parity(fn) == -1 and v.scalars.is_zero(numbers[0]):
            return v.scalars.zero
        return v.scalars.function(fn, numbers)
    if fn.arity == 1:
        parts = _of_product(v, fn, as_poly(v, args[0]))
        if parts is not None:
            return parts
        rewritten = form(fn, Ref("u"))
        if rewritten is not None:
            return lift(v, rewritten, {"u": args[0]})
        affine = v.affine(as_poly(v, args[0]), split_shift=True)
        if affine is not None:
            return v.atom(fn, *affine)
        homogeneous = _homogeneous(v, fn, as_poly(v, args[0]))
        if homogeneous is not None:
            return homogeneous
    return v.composite(fn, tuple(as_poly(v, a) for a in args))


def _of_product(v: Variables, fn: Fn, x: Poly) -> Value | None:
    """f(x y) = f(x) f(y) for sign and abs: factor by factor, since the derivative of a jump is known for linear forms only."""
    if fn.body is not None or fn.name not in ("sign", "abs") or any(fn.order) or len(x.terms) != 1:
        return None
    (term,) = x.terms
    if any(isinstance(i, int) for i in (*term.coef.idx, *(i for u in term.uses for i in u.idx))):  # a sum over positions
        return None
    if len(term.uses) < 2 and not any(_positive(u) for u in term.uses):
        return None
    number, rest = v.scalars.split(term.coef)
    parts: list[Value] = [v.scalars.num(abs(number) if fn.name == "abs" else (number > 0) - (number < 0))]
    parts += [] if rest.node is v.scalars.one.node else [apply(v, fn, [rest])]
    for use in term.uses:
        alone = v.poly((Term(v.scalars.one, (use,)),))
        if not _positive(use):
            parts.append(apply(v, fn, [alone]))
        elif fn.name == "abs":
            parts.append(alone)
        elif isinstance(use.factor, Atom) and use.factor.fn.name == "ramp":
            parts.append(v.atom(named_fn("ramp", 0.0), use.factor.scale, use.factor.shift, Use(use.factor.form, use.idx)))
    return multiply(v, parts)


def _positive(use: Use) -> bool:
    """A function whose values are not negative; of these only ramps have the value 0."""
    a = use.factor
    return (
        isinstance(a, Atom)
        and a.fn.body is None
        and (a.fn.name in ("gaussian", "exp", "sigmoid") or (a.fn.name == "ramp" and a.fn.constants[0] >= 0))
    )


def _homogeneous(v: Variables, fn: Fn, x: Poly) -> Poly | None:
    """ramp_k(L P) = ramp_k(L) P^k for a linear form L and a power P of a sum of squares, k >= 0."""
    if fn.name != "ramp" or fn.constants[0] < 0 or len(x.terms) != 1:
        return None
    (term,) = x.terms
    scales = [u for u in term.uses if isinstance(u.factor, Composite) and is_power(u.factor.fn) is not None and squares(v.scalars, u.factor.args[0])]
    forms = [u for u in term.uses if isinstance(u.factor, Lin)]
    if not scales or len(forms) != 1 or len(scales) + 1 != len(term.uses):
        return None
    affine = v.affine(v.poly((Term(term.coef, tuple(forms)),)), split_shift=True)
    if affine is None:
        return None
    positive = v.poly((Term(v.scalars.one, tuple(scales)),))
    return v.multiply(v.atom(fn, *affine), *[positive] * int(fn.constants[0]))


def squares(scalars: Scalars, p: Poly) -> bool:
    """p = number + sum of positive numbers times squares of centred linear forms."""
    for term in p.terms:
        number, rest = scalars.split(term.coef)
        if number < 0 or rest.node is not scalars.one.node:
            return False
        if term.uses and not (len(term.uses) == 2 and term.uses[0] == term.uses[1] and isinstance(term.uses[0].factor, Lin)):
            return False
    return any(t.uses for t in p.terms)


def _constant(v: Variables, x: Value) -> Value:
    """A sum without factors is a scalar."""
    if isinstance(x, Poly) and all(not t.uses for t in x.terms):
        return v.scalars.total((1.0, v.scalars.product((t.coef,), x.axes)) for t in x.terms)
    return x


def _sum(v: Variables, x: Value, axis: str) -> Value:
    if isinstance(x, Poly):
        return v.sum_axis(x, axis)
    if axis in x.idx:
        return v.scalars.product((x,), [i for i in x.idx if i != axis])
    return v.scalars.product((x,), None, float(v.sizes[axis]))


def _gather(v: Variables, x: Value, axis: str, into: str | None, index: tuple[int, ...]) -> Value:
    if isinstance(x, Poly):
        return v.gather(x, axis, into, index)
    gathered = v.gather(v.constant(x), axis, into, index)
    return v.scalars.total((1.0, v.scalars.product((t.coef,), gathered.axes)) for t in gathered.terms)


# Derivations: D(sum of products) by the product and chain rules, given D of a linear form.

OnForm = Callable[[Use], list[tuple[S, tuple[Index, ...]]]]


def derive(v: Variables, term: Term, on_form: OnForm) -> Iterator[tuple[Term, tuple[Index, ...]]]:
    """D(term) as terms, each with what `on_form` handed along for the linear form that was hit."""
    for k, use in enumerate(term.uses):
        rest = (*term.uses[:k], *term.uses[k + 1 :])
        for inner, along in derive_factor(v, use, on_form):
            yield Term(v.scalars.product((term.coef, inner.coef)), (*rest, *inner.uses)), along


def derive_factor(v: Variables, use: Use, on_form: OnForm) -> Iterator[tuple[Term, tuple[Index, ...]]]:
    factor, idx = use
    match factor:
        case Lin():
            for s, along in on_form(use):
                yield Term(s, ()), along
        case Atom():
            hits = on_form(Use(factor.form, idx))
            outer = _atom_derivative(v, factor) if hits else None
            for s, along in hits:
                for t in _at(v, outer, idx):
                    yield Term(v.scalars.product((s, t.coef)), t.uses), along
        case Composite():
            by = dict(zip(factor.axes, idx, strict=True))
            for k, arg in enumerate(factor.args):
                outer = None
                for t in arg.terms:
                    for inner, along in _derived_inside(v, relabel(v.apart(t), by), idx, on_form):
                        outer = _partial(v, factor, k) if outer is None else outer
                        for o in _outer(v, outer, by):
                            yield Term(v.scalars.product((inner.coef, o.coef)), (*inner.uses, *o.uses)), along
        case Closed():
            for t in v.open(use):
                yield from _derived_inside(v, t, idx, on_form)
        case _:
            assert_never(factor)


def _derived_inside(v: Variables, t: Term, free: tuple[Index, ...], on_form: OnForm) -> Iterator[tuple[Term, tuple[Index, ...]]]:
    """D of a term of a sum, whose indices are summed but for the free ones: also those that only what is differentiated has read."""
    sizes = {i: n for i, n in sizes_of(t.uses).items() if i not in free}
    for inner, along in derive(v, t, on_form):
        times = unread(sizes, inner.coef.idx, sizes_of(inner.uses), along)
        yield (inner if times == 1.0 else Term(v.scalars.product((inner.coef,), None, times), inner.uses)), along


def _atom_derivative(v: Variables, a: Atom) -> Poly:
    """d fn(scale u + shift) / du, with its local indices named @0, @1 ..."""
    return v.remember(("derivative", a.id), lambda: _differentiate(v, a))


def _differentiate(v: Variables, a: Atom) -> Poly:
    names = tuple(f"@{k}" for k in range(len(a.sizes)))
    inner = v.poly((Term(v.scalars.num(a.scale), (Use(a.form, names),)), *((Term(v.scalars.num(a.shift), ()),) if a.shift else ())))
    return as_poly(v, multiply(v, [v.scalars.num(a.scale), lift(v, derivative(a.fn, (Ref("u"),)), {"u": inner})]))


def _at(v: Variables, p: Poly | None, idx: tuple[Index, ...]) -> list[Term]:
    by: dict[Index, Index] = {f"@{k}": i for k, i in enumerate(idx)}
    return [] if p is None else [relabel(v.apart(t), by) for t in p.terms]


def _partial(v: Variables, c: Composite, k: int) -> Poly:
    return v.remember(("partial", c.id, k), lambda: _differentiate_partly(v, c, k))


def _differentiate_partly(v: Variables, c: Composite, k: int) -> Poly:
    exponent = is_power(c.fn)
    if exponent is not None:
        return as_poly(v, multiply(v, [v.scalars.num(exponent), _power(v, c.args[0], exponent - 1)]))
    names = tuple(Ref(f"u{i}") for i in range(c.fn.arity))
    return as_poly(v, lift(v, derivative(c.fn, names, k), {f"u{i}": p for i, p in enumerate(c.args)}))


def _outer(v: Variables, p: Poly, by: Mapping[str, Index]) -> list[Term]:
    return [relabel(v.apart(t), by) for t in p.terms]


def factor_parity(v: Variables, f: Factor) -> int:
    """What f does when every root turns its sign: +1, -1, or 0 for neither."""
    match f:
        case Lin():
            return -1 if f.const is None else 0
        case Atom():
            if f.form.const is not None or f.shift != 0.0:
                return 0
            return parity(f.fn)
        case Composite():
            args = {poly_parity(v, p) for p in f.args}
            return 1 if args == {1} else parity(f.fn) if args == {-1} and f.fn.arity == 1 else 0
        case Closed():
            return poly_parity(v, f.poly)
        case _:
            assert_never(f)


def poly_parity(v: Variables, p: Poly) -> int:
    parities: set[int] = set()
    for t in p.terms:
        sign = 1
        for u in t.uses:
            sign *= factor_parity(v, u.factor)
        parities.add(sign)
    return parities.pop() if len(parities) == 1 else 0
