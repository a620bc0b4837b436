"""What is written inside a gate: psi in the shortest form that still says which input is which.

Inputs that can be exchanged are written as dots, phi(. + .) or . x .; where they cannot, by their names, (x - mu)^2.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import isclose
from typing import assert_never

from tensorprog.interpret.diagram.names import indexed, roman, typeset, word
from tensorprog.language.expr import Add, Apply, Expr, Fn, Gather, Mul, Number, Power, Ref, Softmax, Sum, Tensor, children, copies, refs, walk

Show = Callable[[str], str]
SUM, PRODUCT, POWER, ATOM = 1, 2, 3, 4
DOT = r"\cdot"
NAMELESS = r"\psi"  # for a function that is too long to be written inside its gate


def gate_texts(psi: Expr, is_scalar: Callable[[str], bool], show: Show = typeset) -> tuple[str, ...]:
    """The ways to write psi, the most telling first; the drawing takes the first that fits."""
    if word_for := _idiom(psi, is_scalar):
        return (word_for,)
    by_name = formula(psi, show)
    if copies(psi):
        return (by_name, NAMELESS)
    by_dot = formula(psi, lambda _: DOT)
    if len(refs(psi)) == 1:
        return (_pointfree(psi) or by_name, by_dot, NAMELESS)
    return (by_dot if interchangeable(psi) else by_name, NAMELESS)


def interchangeable(psi: Expr) -> bool:
    """Whether psi is a function of one variable of a plain sum or product of its inputs."""
    core = psi
    while isinstance(core, (Apply, Power)) and len(children(core)) == 1:
        core = children(core)[0]
    return isinstance(core, (Add, Mul)) and all(isinstance(c, Ref) for c in children(core)) and len(refs(core)) == len(children(core))


def _idiom(psi: Expr, is_scalar: Callable[[str], bool]) -> str | None:
    """Gates that have a name of their own: plain sums, attention's softmax and linear combination."""
    match psi:
        case Softmax() if not any(isinstance(node, (Apply, Sum)) for node in walk(psi)):
            return roman("softmax")
        case Apply(fn, args) if fn.name == "softmax" and len(args) == fn.arity:
            return roman("softmax")
        case Add(terms) if all(isinstance(t, Ref) for t in terms):
            return "+"
        case Add(terms) if len(terms) > 1 and all(_weighted(t, is_scalar) for t in terms):
            return roman("linear combination")
        case Sum(_, arg) if _weighted(arg, is_scalar):
            return roman("linear combination")
        case Add(terms) if len(terms) > 2 and all(isinstance(t, Mul) and len(t.factors) == 2 and isinstance(t.factors[1], Ref) for t in terms):
            weights = {t.factors[0] for t in terms if isinstance(t, Mul)}
            (weight, *others) = weights
            return roman("mean") if not others and isinstance(weight, Number) and isclose(weight.value * len(terms), 1) else None
        case _:
            return None


def _weighted(e: Expr, is_scalar: Callable[[str], bool]) -> bool:
    """scalar times vector, up to taking members."""
    if not isinstance(e, Mul):
        return False
    bare = [_ungather(f) for f in e.factors if not isinstance(f, Number)]
    return len(bare) == 2 and all(isinstance(f, Ref) for f in bare) and sorted(is_scalar(f.name) for f in bare if isinstance(f, Ref)) == [False, True]


def _ungather(e: Expr) -> Expr:
    while isinstance(e, Gather):
        e = e.arg
    return e


def _pointfree(psi: Expr) -> str | None:
    """phi for phi(x)."""
    return function(psi.fn) if isinstance(psi, Apply) and len(psi.args) == 1 and isinstance(psi.args[0], Ref) else None


def function(fn: Fn) -> str:
    """A function's name with a prime for each derivative."""
    name = word(fn.name) if fn.name in {"phi", "psi"} or len(fn.name) > 1 else fn.name
    name = {"identity": roman("id"), "square": r"(\cdot)^2"}.get(fn.name, name).rstrip()
    return name + "'" * sum(fn.order)


def number(value: float) -> str:
    """Small fractions and their square roots as such, other numbers by three digits."""
    for form, v in (("{}", value), (r"\sqrt{{{}}}", value * abs(value))):
        fraction = Fraction(v).limit_denominator(64)
        if isclose(float(fraction), v, rel_tol=1e-9) and (fraction.denominator == 1 or form != "{}" or fraction.denominator < 10):
            if form != "{}" and fraction.numerator == 1:
                return r"1/\sqrt{" + str(fraction.denominator) + "}"
            return ("-" if v < 0 else "") + form.format(abs(fraction))
    return f"{value:.3g}"


def formula(e: Expr, show: Show) -> str:
    """psi as mathtext, its variables written by `show`."""
    return _write(e, show)[0]


def _at(level: int, e: Expr, show: Show) -> str:
    text, own = _write(e, show)
    return text if own >= level else "(" + text + ")"


def _write(e: Expr, show: Show) -> tuple[str, int]:
    match e:
        case Ref(name, copy):
            return (f"{{{show(name)}}}" + "'" * copy if copy else show(name)), ATOM
        case Number(value):
            return number(value), ATOM if value >= 0 else SUM
        case Tensor(axes, shape, values):
            return _constants(axes, shape, values), ATOM
        case Add(terms):
            return _sum(terms, show), SUM
        case Mul(factors):
            return _product(factors, show), PRODUCT
        case Power(base, exponent):
            return _power(base, exponent, show)
        case Apply(fn, args):
            return function(fn) + "(" + ", ".join(formula(a, show) for a in args) + ")", ATOM
        case Sum(axis, arg):
            return r"\Sigma_{" + word(axis) + "}" + _at(PRODUCT, arg, show), PRODUCT
        case Gather(arg, axis, into, index):
            return _gather(arg, axis, into, index, show), ATOM
        case Softmax(_, arg):
            return roman("softmax") + "(" + formula(arg, show) + ")", ATOM
        case _:
            assert_never(e)


def _constants(axes: tuple[str, ...], shape: tuple[int, ...], values: tuple[float, ...]) -> str:
    """Constants over axes: an indicator where they are one, else A."""
    names = ",".join(word(a) for a in axes)
    if sorted(values) == [0.0] * (len(values) - 1) + [1.0] and len(axes) == 1:
        return r"1_{" + names + f"={values.index(1.0) + 1}" + "}"
    if len(shape) == 2 and values == tuple(float(i == j) for i in range(shape[0]) for j in range(shape[1])):
        return r"\delta_{" + names + "}"
    return "1" if set(values) == {1.0} else "A_{" + names + "}"


def _sum(terms: tuple[Expr, ...], show: Show) -> str:
    parts: list[str] = []
    for t in terms:
        negative, size = _sign(t)
        text = _at(PRODUCT, size, show)
        parts.append((("-" if not parts else " - ") if negative else ("" if not parts else " + ")) + text)
    return "".join(parts)


def _sign(e: Expr) -> tuple[bool, Expr]:
    match e:
        case Number(value) if value < 0:
            return True, Number(-value)
        case Mul((Number(value), *rest)) if value < 0:
            size = (Number(-value), *rest) if value != -1 else tuple(rest)
            return True, size[0] if len(size) == 1 else Mul(size)
        case _:
            return False, e


def _product(factors: tuple[Expr, ...], show: Show) -> str:
    match factors:
        case (Number(value), Sum(axis, arg)) if 0 < value < 1 and isclose(1 / value, round(1 / value)):
            return roman("mean") + "_{" + word(axis) + "}" + " " + _at(ATOM, arg, show)
        case _:
            pass
    factors = tuple(f for f in factors if not (isinstance(f, Tensor) and set(f.values) == {1.0})) or factors
    below = [f for f in factors if isinstance(f, Power) and f.exponent < 0]
    above = [f for f in factors if f not in below]
    negative, *_ = (True, None) if above and isinstance(above[0], Number) and above[0].value < 0 else (False, None)
    if negative and isinstance(above[0], Number):
        above = above[1:] if above[0].value == -1 and len(above) > 1 else [Number(-above[0].value), *above[1:]]
    times = r" \times " if any(show(r) == DOT for f in factors for r in refs(f)) and len(above) > 1 else r"\,"
    top = times.join(_at(POWER, f, show) for f in above) or "1"
    bottom = "".join("/" + _at(ATOM, Power(f.base, -f.exponent) if f.exponent != -1 else f.base, show) for f in below)
    return ("-" if negative else "") + top + bottom


def _power(base: Expr, exponent: float, show: Show) -> tuple[str, int]:
    if exponent < 0:
        return "1/" + _at(ATOM, Power(base, -exponent) if exponent != -1 else base, show), PRODUCT
    if exponent == 0.5:
        return r"\sqrt{" + formula(base, show) + "}", ATOM
    inside = _at(ATOM, base, show)
    if "^" in inside and not inside.endswith(")"):  # a layer's number is no power
        inside = f"({inside})"
    return inside + "^{" + number(exponent) + "}", POWER


def _gather(arg: Expr, axis: str, into: str | None, index: tuple[int, ...], show: Show) -> str:
    inside = _at(ATOM, arg, show)
    if into is None:
        return indexed(inside, str(index[0] + 1))
    steps = {j - i for i, j in enumerate(index) if j >= 0}
    if len(steps) == 1:
        (step,) = steps
        return indexed(inside, f"{word(axis)}{step:+d}") if step else inside
    return indexed(inside, word(into))
