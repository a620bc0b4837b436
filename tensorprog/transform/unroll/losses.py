"""Losses as expressions: what training needs of a loss L(f, y) is dL/df, a function of scalars (Yang & Littwin 2021, Theorem 5.3).

| loss          | L(f, y)                                                | dL/df                        |
| ------------- | ------------------------------------------------------ | ---------------------------- |
| squared       | (f - y)^2 / 2, summed over outputs                      | f - y                        |
| logistic      | log(1 + exp(-y f)), y = +-1                             | -y sigmoid(-y f)             |
| cross_entropy | -sum_k y_k log softmax(f)_k along the one output axis   | softmax(f) sum(y) - y        |

Any other is a `LossGradient` of one's own; the theorem asks that dL/df be continuous.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tensorprog.errors import InvalidProgram
from tensorprog.language.expr import Apply, Expr, Softmax, Sum, add, mul, number
from tensorprog.language.nonlin import fn


@dataclass(frozen=True)
class LossGradient:
    """gradient(f, y, axes): dL/df as an expression of the outputs f and the labels y, both over the output axes `axes`."""

    name: str
    gradient: Callable[[Expr, Expr, tuple[str, ...]], Expr]


def _squared(f: Expr, y: Expr, axes: tuple[str, ...]) -> Expr:
    return add(f, mul(number(-1), y))


def _logistic(f: Expr, y: Expr, axes: tuple[str, ...]) -> Expr:
    return mul(number(-1), y, Apply(fn("sigmoid"), (mul(number(-1), y, f),)))


def _cross_entropy(f: Expr, y: Expr, axes: tuple[str, ...]) -> Expr:
    if len(axes) != 1:
        raise InvalidProgram(
            f"[loss] cross_entropy is over one axis of outputs, but f has {len(axes)}. Give the network `outputs`, or take logistic."
        )
    return add(mul(Softmax(axes[0], f), Sum(axes[0], y)), mul(number(-1), y))


LOSSES = {
    loss.name: loss
    for loss in (LossGradient("squared", _squared), LossGradient("logistic", _logistic), LossGradient("cross_entropy", _cross_entropy))
}


def loss_named(loss: str | LossGradient) -> LossGradient:
    """A loss by its name, or the loss itself.

    Raises:
        InvalidProgram: there is no such loss.
    """
    if isinstance(loss, LossGradient):
        return loss
    if loss not in LOSSES:
        raise InvalidProgram(f"[loss] no loss is called {loss!r}. Take {', '.join(LOSSES)}, or a LossGradient of your own.")
    return LOSSES[loss]
