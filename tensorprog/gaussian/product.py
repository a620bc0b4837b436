"""Products of factors as an algebra: in atoms, in normal form, and their derivatives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import assert_never

from tensorprog.errors import InternalError, OutsideTheory
from tensorprog.gaussian.problem import AnyFactor, Composite, Factor, Power
from tensorprog.language.expr import Add, Apply, Expr, Fn, Gather, Mul, Number, Ref, Softmax, Sum, Tensor
from tensorprog.language.expr import Power as PowerOf
from tensorprog.language.nonlin import derivative, fn, form

RAMPS = {"relu": 1, "step": 0, "delta": -1}  # r_k under another name
ATOMS = frozenset({"ramp", *RAMPS, "erf", "gaussian", "sin", "cos", "exp"})  # what the closed forms know, besides powers

Product = tuple[AnyFactor, ...]
Terms = tuple[tuple[float, Product], ...]  # sum of coefficient * product
ONE: Terms = ((1.0, ()),)
X = Ref("x")


def multiply(left: Terms, right: Terms) -> Terms:
    return tuple((c * d, (*p, *q)) for c, p in left for d, q in right)


def kind(f: AnyFactor) -> str:
    """The atom's name, "ramp" for all r_k with k >= 0, "delta" for r_{-1}; else "power" or "other"."""
    if isinstance(f, Power):
        return "power"
    if not isinstance(f, Factor) or not is_atom(f.fn):
        return "other"
    if f.fn.name == "ramp" or f.fn.name in RAMPS:
        return "delta" if degree(f) < 0 else "ramp"
    return f.fn.name


def degree(f: Factor) -> int:
    """k of the ramp r_k."""
    return RAMPS[f.fn.name] if f.fn.name in RAMPS else int(f.fn.constants[0])


def ramp(k: int) -> Fn:
    """r_k(x) = max(x, 0)^k, under its own name where it has one."""
    return next((fn(name) for name, known in RAMPS.items() if known == k), None) or fn("ramp", k)


def is_atom(fn: Fn) -> bool:
    return fn.body is None and fn.name in ATOMS and sum(fn.order) == 0


def atoms(factors: Sequence[AnyFactor]) -> Terms | None:
    """The product as a sum of products of atoms and powers; None where a factor is none of these."""
    out = ONE
    for f in factors:
        terms = _atoms_of(f)
        if terms is None:
            return None
        out = multiply(out, terms)
    return out


@lru_cache(maxsize=4096)
def _atoms_of(f: AnyFactor) -> Terms | None:
    match f:
        case Power():
            return ((1.0, (f,)),)
        case Composite():
            return None
        case Factor(fn):
            if is_atom(fn):
                return ((1.0, (f,)),)
            rewritten = form(fn, X)
            if rewritten is None:
                return None
            out: Terms = ()
            for c, product in expand(rewritten, f):
                below = atoms(product)
                if below is None:
                    return None
                out += multiply(((c, ()),), below)
            return out
        case _:
            assert_never(f)


@lru_cache(maxsize=4096)
def slope(f: Factor) -> Terms:
    """d/du_coord of fn(scale u_coord + shift)."""
    return multiply(((f.scale, ()),), expand(derivative(f.fn, (X,)), f))


def expand(e: Expr, at: Factor) -> Terms:
    """An expression in x, at x = scale u_coord + shift, as a sum of products of factors."""
    match e:
        case Ref():
            line: Terms = ((at.scale, (Power(at.coord, 1),)),)
            return line if at.shift == 0 else (*line, (at.shift, ()))
        case Number(value):
            return ((value, ()),) if value != 0 else ()
        case Add(terms):
            return tuple(t for term in terms for t in expand(term, at))
        case Mul(parts):
            out = ONE
            for part in parts:
                out = multiply(out, expand(part, at))
            return out
        case PowerOf(Ref(), exponent) if at.shift == 0 and float(exponent).is_integer() and exponent > 0:
            return ((at.scale**exponent, (Power(at.coord, int(exponent)),)),)
        case PowerOf(base, exponent) if float(exponent).is_integer() and exponent > 0:
            return expand(Mul((base,) * int(exponent)), at)
        case Apply(fn, (Ref(),)):
            return ((1.0, (Factor(fn, at.coord, at.scale, at.shift),)),)
        case Apply(fn, (Mul((Number(c), Ref())),)):
            return ((1.0, (Factor(fn, at.coord, c * at.scale, c * at.shift),)),)
        case PowerOf() | Apply() | Tensor() | Sum() | Gather() | Softmax():
            raise InternalError(f"{e} is no sum of products of functions of one linear form")
        case _:
            assert_never(e)


def lower(product: Product, at: int) -> Product:
    """u^d -> u^(d-1), for the power at that place."""
    power = product[at]
    assert isinstance(power, Power)
    rest = (*product[:at], *product[at + 1 :])
    return rest if power.degree == 1 else (*rest, Power(power.coord, power.degree - 1))


def slopes(product: Product) -> Iterator[tuple[int, float, Product]]:
    """(coord, coefficient, product) of every term of every partial derivative, by the rule of Leibniz."""
    for at, f in enumerate(product):
        if isinstance(f, Power):
            yield f.coord, float(f.degree), lower(product, at)
        elif isinstance(f, Factor):
            rest = (*product[:at], *product[at + 1 :])
            for c, new in slope(f):
                yield f.coord, c, (*rest, *new)


def normal(product: Product) -> tuple[float, Product]:
    """coefficient * product, with one power a coordinate, and one ramp of scale +-1 where ramps have no shift.

    r_k(s u + b) = |s|^k r_k(+-u + b/|s|);  r_j(u) r_k(u) u^d = r_{j+k+d}(u);  r_j(u) r_k(-u) = 0;  delta(u) u^d = 0.
    Coefficient 0: the product vanishes.

    Raises:
        OutsideTheory: a delta meets a delta or a step at the same point: the product has no meaning.
    """
    coefficient, rest = 1.0, []
    powers: dict[int, int] = {}
    ramps: dict[int, list[tuple[int, float]]] = {}  # coord -> (degree, sign)
    for f in product:
        if isinstance(f, Power):
            powers[f.coord] = powers.get(f.coord, 0) + f.degree
        elif isinstance(f, Factor) and kind(f) in ("ramp", "delta"):
            coefficient *= abs(f.scale) ** degree(f)
            sign = 1.0 if f.scale > 0 else -1.0
            if f.shift == 0:
                ramps.setdefault(f.coord, []).append((degree(f), sign))
            else:
                rest.append(Factor(f.fn, f.coord, sign, f.shift / abs(f.scale)))
        else:
            rest.append(f)
    for coord, found in ramps.items():
        sign, total = found[-1][1], powers.pop(coord, 0)
        degrees = [k for k, _ in found]
        if -1 in degrees and len(degrees) > 1 and total + sum(degrees) <= 0 and degrees.count(-1) + degrees.count(0) == len(degrees):
            raise OutsideTheory("a product of deltas and steps of the same variable has no expectation: delta(u) 1[u > 0] is not a distribution")
        if (-1 in degrees and total + sum(degrees) > -1) or (-1 not in degrees and len({s for _, s in found}) > 1):
            return 0.0, ()
        coefficient *= sign**total
        rest.append(Factor(ramp(sum(degrees) + total), coord, sign))
    return coefficient, (*rest, *(Power(i, d) for i, d in powers.items() if d))
