"""Values of expressions on arrays: sums of products are contracted where the product would be larger than what it is made of."""

from math import prod

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tensorprog.interpret.expression import average, evaluate
from tensorprog.language.expr import Expr, Gather, Ref, Sum, mul, number

AXES = {"q": ("token",), "k": ("token",), "c": ("source", "token"), "b": (), "w": ("token",)}
VECTORS = frozenset({"q", "k", "b"})
N, TOKENS, WIDTH = 5, 3, 7
KEYS = Gather(Ref("k"), "token", "source", tuple(range(TOKENS)))


def arrays() -> dict[str, jax.Array]:
    rng = np.random.default_rng(0)
    shapes = {"q": (N, TOKENS, WIDTH), "k": (TOKENS, WIDTH), "c": (N, TOKENS, TOKENS), "b": (WIDTH,), "w": (1, TOKENS)}
    return {name: jnp.asarray(rng.standard_normal(shape)) for name, shape in shapes.items()}


@pytest.mark.parametrize(
    ("e", "formula"),
    [
        (mul(number(2.0), Ref("q"), KEYS), "ntz,sz->nst"),
        (mul(number(2.0), Ref("q"), KEYS, Ref("b")), "ntz,sz,z->nst"),
        (mul(number(2.0), Ref("c"), KEYS), "nst,sz->nst"),
        (mul(number(2.0), Ref("q"), Ref("b")), "ntz,z->nt"),
    ],
    ids=["pairs of positions", "three vectors", "scalar and vector", "no larger than a factor"],
)
def test_the_average_of_a_product_over_coordinates(e: Expr, formula: str) -> None:
    values = arrays()
    named = {"ntz": values["q"], "sz": values["k"], "z": values["b"], "nst": values["c"]}
    wanted = 2.0 / WIDTH * np.einsum(formula, *(named[term] for term in formula.split("->")[0].split(",")))
    np.testing.assert_allclose(average(e, values, AXES, VECTORS), wanted, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize(
    ("e", "formula"),
    [
        (Sum("source", mul(Ref("c"), KEYS)), "nst,sz->ntz"),
        (Sum("token", mul(Ref("c"), Ref("q"))), "nst,ntz->nsz"),
        (Sum("token", mul(Ref("q"), Ref("w"))), "ntz,nt->nz"),
        (Sum("token", mul(Ref("c"), Ref("w"))), "nst,nt->ns"),
    ],
    ids=["mixing", "transposed", "no larger than a factor", "scalars alone"],
)
def test_the_sum_of_a_product_over_an_axis(e: Expr, formula: str) -> None:
    values = arrays()
    named = {"ntz": values["q"], "sz": values["k"], "nst": values["c"], "nt": jnp.broadcast_to(values["w"], (N, TOKENS))}
    wanted = np.einsum(formula, *(named[term] for term in formula.split("->")[0].split(",")))
    np.testing.assert_allclose(evaluate(e, values, AXES, VECTORS), wanted, rtol=1e-13, atol=1e-15)


def test_products_of_all_pairs_of_positions_are_never_formed() -> None:
    logits = mul(Ref("q"), KEYS)
    for f in (lambda v: average(logits, v, AXES, VECTORS), lambda v: evaluate(Sum("token", mul(Ref("c"), Ref("q"))), v, AXES, VECTORS)):
        sizes = [prod(v.aval.shape) for eqn in jax.make_jaxpr(f)(arrays()).eqns for v in eqn.outvars]
        assert max(sizes) < N * TOKENS * TOKENS * WIDTH
