"""A path of kernel training: f_t(xi) = f_0(xi) + sum_i K(xi, xi_i) a_t(i) at every time t, and what such a path is made of."""

from __future__ import annotations

from typing import Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from tensorprog.errors import InvalidProgram
from tensorprog.interpret.precision import Precision, double, floats, traced

Reduction = Literal["sum", "mean"]


class Trajectory(NamedTuple):
    """f_t at the training points and the dual coefficients a_t, recorded at T times.

    Test points need nothing else: see `at`.
    """

    time: Array  # (T,): steps taken, or continuous time
    train: Array  # (T, N) or (T, N, k)
    dual: Array  # as train: the coefficients a_t
    error: ArrayLike = 0.0  # estimate of the largest absolute error of train; 0 where only the rounding of single steps remains

    @double
    def at(self, k_test: ArrayLike, f0_test: ArrayLike = 0.0) -> Array:
        """f_t at test points, (T, M) or (T, M, k), from K(test, train) of shape (M, N) and f_0 there.

        Raises:
            InvalidProgram: the kernel does not have one column a training point, or is not finite.
        """
        k_test = jnp.asarray(k_test)
        if k_test.ndim != 2 or k_test.shape[1] != self.dual.shape[1]:
            wanted = f"(test points, {self.dual.shape[1]}): K(test, train), not its transpose"
            raise InvalidProgram(f"[shape] k_test has shape {k_test.shape}; wanted {wanted}.")
        finite("k_test", k_test)
        return jnp.asarray(f0_test) + jnp.einsum("mn,tn...->tm...", k_test, self.dual)


class Blocks(NamedTuple):
    """A kernel on training and test points: K(train, train), K(test, train), K(test, test)."""

    train: Array  # (N, N)
    cross: Array  # (M, N)
    test: Array  # (M, M)

    @classmethod
    @double
    def split(cls, kernel: ArrayLike, n_train: int) -> Blocks:
        """The blocks of the kernel of all points with themselves, the training points first."""
        k = jnp.asarray(kernel)
        return cls(k[:n_train, :n_train], k[n_train:, :n_train], k[n_train:, n_train:])


# What is given.


def finite(name: str, array: Array | np.ndarray) -> None:
    """Raises InvalidProgram where a concrete array has a NaN or an infinity."""
    if not traced(array) and not np.isfinite(concrete := np.asarray(array)).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(concrete))[0])
        raise InvalidProgram(f"[finite-data] {name}{list(where)} is {concrete[where]}. Find the input that it comes from, and repair or drop it.")


def kernel_matrix(name: str, kernel: ArrayLike, dtype: Precision = "float64") -> Array:
    """The kernel as a square, finite, symmetric array of this type.

    Raises:
        InvalidProgram: it is none of that; a kernel over outputs (N, N, k, k) is named.
    """
    k = jnp.asarray(kernel, dtype=floats(dtype))
    if k.shape == (0, 0):
        raise InvalidProgram(f"[shape] {name} is that of no training points. Give at least one.")
    if k.ndim != 2 or k.shape[0] != k.shape[1]:
        raise InvalidProgram(f"[shape] {name} has shape {k.shape}; wanted (N, N), the kernel of one output on the training points.")
    finite(name, k)
    if not traced(k):
        concrete = np.asarray(k)
        if np.array_equal(concrete, concrete.T):
            return k
        skew, size = np.abs(concrete - concrete.T).max(), np.abs(concrete).max()
        if skew > 1e-5 * size:
            raise InvalidProgram(f"[symmetric] {name} differs from its transpose by {skew:.3g}. K(train, train) is wanted, not K(test, train).")
    return (k + k.T) / 2


def start(n: int, y: ArrayLike, f0: ArrayLike | None) -> tuple[Array, Array]:
    """Targets and initial outputs over the N training points; f_0 = 0 unless given.

    Raises:
        InvalidProgram: their number is not N, they are not finite, or outputs and targets differ in shape (integer labels may).
    """
    target = jnp.asarray(y)
    initial = jnp.zeros(target.shape) if f0 is None else jnp.asarray(f0, dtype=jnp.result_type(float))
    for name, a in (("y", target), ("f0", initial)):
        if a.ndim not in (1, 2) or a.shape[0] != n:
            raise InvalidProgram(f"[shape] {name} has shape {a.shape}; the kernel has {n} training points: wanted ({n},) or ({n}, outputs).")
        finite(name, a)
    if target.shape != initial.shape and not (jnp.issubdtype(target.dtype, jnp.integer) and target.ndim == 1):
        raise InvalidProgram(f"[shape] y has shape {target.shape} but f0 has {initial.shape}. Give each output a target, or each point a label.")
    return target, initial
