"""Convergence in width as an assertion: errors of finite networks against the limit fall like n^(-1/2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jax.typing import ArrayLike

from tensorprog.interpret import finite
from tensorprog.language.expr import Expr
from tensorprog.language.program import Network, Program
from tensorprog.study.convergence import Curve, Study, converge
from tensorprog.study.fit import slope


def assert_converges(
    source: Network | Program,
    x: Mapping[str, ArrayLike] | ArrayLike | None = None,
    *,
    widths: Sequence[int] | None = None,
    seeds: int = 64,
    key: int = 0,
    quantities: Sequence[str] | None = None,
    moments: Mapping[str, Expr] | None = None,
    scalars: Mapping[str, ArrayLike] | None = None,
    law: finite.Law = "gaussian",
    confidence: float = 0.999,
) -> Study:
    """Check that finite networks approach the limit at the rate n^(-1/2): NNGP and NTK of a network, scalars of a program.

    Args:
        confidence: of the interval of the slope, which must hold -1/2 and exclude 0 and -1; 1 - confidence is how often chance fails a right limit.
        others: as for `study.convergence.converge`.

    Returns:
        The study, with its table and plot.

    Raises:
        AssertionError: some slope is not -1/2; the message has the errors at all widths and what may be wrong.
    """
    study = converge(source, x, widths, seeds=seeds, key=key, quantities=quantities, moments=moments, scalars=scalars, law=law)
    complaints = [c for curve in study.curves if (c := _complaint(curve, confidence))]
    if complaints:
        raise AssertionError(f"{study.name} does not approach its limit like n^(-1/2).\n" + "\n".join(complaints))
    return study


def _complaint(curve: Curve, confidence: float) -> str:
    errors = ", ".join(f"{e:.3g} at {n}" for n, e in zip(curve.widths, curve.rms, strict=True))
    if not np.all(curve.rms > 1e-12):
        return ""  # equal to the limit at every width: nothing to fit
    found = slope(curve.widths, curve.errors, confidence)
    if found.at_rate:
        return ""
    if 0.0 in found or found.value > -0.25:
        hint = "The error stays: is the limit wrong, or are the widths too small to see it fall?"
    elif found.high < -0.5:
        hint = "The error falls faster: higher orders in depth / width still matter. Take larger widths."
    else:
        hint = "The interval is wide, or off: take more seeds, or larger widths."
    return f"{curve.quantity}: slope {found} ({confidence:.1%}), errors {errors}. {hint}"
