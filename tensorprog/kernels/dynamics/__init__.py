"""Training in the infinite-width limit is kernel gradient descent (Yang & Littwin 2021, arXiv 2105.03703, Thm 5.3).

f_{t+1}(xi) = f_t(xi) - eta K(xi, xi_t) L'(f_t(xi_t)), so that at every time f_t(xi) = f_0(xi) + sum_i K(xi, xi_i) a_t(i).

| function             | what it solves                                                                     | how                    |
| -------------------- | ---------------------------------------------------------------------------------- | ---------------------- |
| gradient_descent     | steps on single points, minibatches or all data; any loss; schedules; heavy ball   | the recursion          |
| gradient_flow        | continuous time, squared loss, ridge, any time and infinity                        | closed form            |
| ensemble_flow        | its mean and covariance over random f_0 ~ GP(0, nngp)                              | closed form            |
| loss_flow            | continuous time, any loss, heavy ball                                              | ODE, with an error     |
| largest_stable_rate  | where a step of gradient descent stops contracting                                 | 2 (1 + mu) / lambda    |

Outputs of a network share one kernel (K times the identity over outputs): targets are (N,) or (N, k).
"""

from tensorprog.kernels.dynamics.descent import UnstableRate, gradient_descent, largest_stable_rate, minibatches
from tensorprog.kernels.dynamics.flow import Ensemble, ensemble_flow, gradient_flow
from tensorprog.kernels.dynamics.losses import Loss, LossLike, cross_entropy, huber, logistic, squared
from tensorprog.kernels.dynamics.ode import loss_flow
from tensorprog.kernels.dynamics.trajectory import Blocks, Trajectory

__all__ = [
    "Blocks",
    "Ensemble",
    "Loss",
    "LossLike",
    "Trajectory",
    "UnstableRate",
    "cross_entropy",
    "ensemble_flow",
    "gradient_descent",
    "gradient_flow",
    "huber",
    "largest_stable_rate",
    "logistic",
    "loss_flow",
    "minibatches",
    "squared",
]
