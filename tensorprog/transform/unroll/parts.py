"""The parts of a training program: passes, losses, what a step leaves behind, and where two steps meet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["forward", "output", "backward", "loss", "gradient", "gram"]


@dataclass(frozen=True)
class Part:
    """Where in training a variable stands.

    | kind     | at time t                                                                    |
    | -------- | ---------------------------------------------------------------------------- |
    | forward  | the forward pass on all samples                                              |
    | output   | f_t and the averages in it                                                   |
    | backward | the backward pass on the samples of the step                                 |
    | loss     | chi_t                                                                        |
    | gradient | what the step leaves for later ones: chi_t dh_t and x_t                      |
    | gram     | x_s . x_t / n of `step` s and pass t, that weighs what step s did to `tensor` |

    Attributes:
        transpose: a Gram scalar of a use of W^T.
    """

    kind: Kind
    time: int
    step: int | None = None
    tensor: str | None = None
    transpose: bool = False


START = Part("forward", 0)
