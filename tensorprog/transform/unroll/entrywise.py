"""Entrywise optimizers, SignSGD and Adam among them: NE-OR-T programs (Yang & Littwin 2023, TP IVb, Def. 2.1.1 and 2.6.1).

With W = sigma w / sqrt(n_in) and Q_s a function of all the gradients of an entry so far,

    w_t = w_0 - sum_{s < t} eta_s N^-r / sqrt(n_in) Q_s(G_0 .. G_s),     G_s(a, b) = sigma sum_(l, r) chi_s l_a r_b

| what           | deviation at time t, times N^(r - theta's r)                                               |
| -------------- | ------------------------------------------------------------------------------------------ |
| h = W x        | W_0 x~_t - sigma sum_s eta_s (1/n_in) sum_b Q_s(G_0(a, b) ..) x_t,b: an OuterNonlin          |
| g = W^T y      | W_0^T y~_t - sigma (n_out / n_in) sum_s eta_s (1/n_out) sum_a Q_s(G_0(a, b) ..) y_t,a        |
| g = sigma U xi | - sum_s eta_s sigma sum_j Q_s(.. sigma chi_s dg_a xi_j / sqrt(d)) xi_j / sqrt(d)             |
| b, v           | - sigma sum_s eta_s Q_s(.. sigma chi_s db)                                                 |

G is N^g sqrt(n_in) dL/dw for a matrix and N^g dL/dw for every other unit tensor w: of size 1, as Adam's epsilon needs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tensorprog.language.calculus import sum_out
from tensorprog.language.expr import ONE, ZERO, Expr, Ref, Sum, add, moved, mul, number
from tensorprog.language.instr import Embedding, Gaussian, InitVector
from tensorprog.transform.unroll import optimizer as optimizers
from tensorprog.transform.unroll.deviation import Carried
from tensorprog.transform.unroll.moved import Moved, shown, tensor
from tensorprog.transform.unroll.parts import Part


@dataclass
class Entrywise(Moved):
    """What an entrywise optimizer has moved the tensors by.

    Attributes:
        features: the dimension d of every input.
    """

    optimizer: optimizers.Entrywise = field(kw_only=True)
    features: Mapping[str, int] = field(kw_only=True)

    def matmul(self, t: int, matrix: str, transpose: bool, x: Carried) -> tuple[Expr, ...]:
        if not self.moves(matrix) or not any(self.uses[s].get(matrix) for s in range(t)):
            return ()
        m = self.tape.program.matrix[matrix]
        sigma = self.sigma(matrix, m.sigma)
        gradients = [self._matrix_gradient(s, matrix, sigma, transpose) for s in range(t)]
        now = self._elsewhere(self.out.vector(f"{shown(x.base)}_{t}", x.at(self.theta)))
        steps = (mul(number(-self.schedule.weight(t, s)), self._q(gradients[: s + 1])) for s in range(t))
        ratio = self.out_of_in(m.rows, m.cols) if transpose else ONE
        with self.out.within(Part("gram", t, t - 1, matrix, transpose)):
            shift = self.out.outer(f"{matrix}_step_{shown(x.base)}_{t}", mul(add(*steps), now))
        return (mul(self.rate(matrix), number(sigma), ratio, shift),)

    def initial(self, t: int, v: InitVector) -> Expr:
        name = tensor(v)
        if not self.moves(name) or t == 0:
            return ZERO
        pulls = [self._embedding_pull(s, v) if isinstance(v.law, Embedding) else self._vector_pull(s, v) for s in range(t)]
        steps = [mul(number(-self.schedule.weight(t, s)), pull) for s, pull in enumerate(pulls) if pull != ZERO]
        found = add(self.decayed(t, v), mul(self.rate(name), add(*steps)) if steps else ZERO)
        return self.out.nonlin(f"dev_{v.name}_{t}", found) if found != ZERO else ZERO

    def pace(self, name: str) -> float:
        return self.tape.network.trained(name).rate

    def sigma(self, name: str, sigma: float) -> float:
        """What a trained tensor is multiplied with: sigma w has none in the convention "sigma"."""
        return 1.0 if self.tape.network.trained(name).convention == "sigma" else sigma

    def _q(self, gradients: list[Expr]) -> Expr:
        return self.optimizer.update(tuple(gradients))

    def _matrix_gradient(self, s: int, matrix: str, sigma: float, transpose: bool) -> Expr:
        """G_s, the coordinate of h (of g, for the transpose) being the own one, and that of x the other."""
        terms: list[Expr] = []
        for use in self.uses[s].get(matrix, ()):
            own, other = (use.right, use.left) if transpose else (use.left, use.right)
            terms.append(sum_out(mul(own, self._elsewhere(other)), use.axes, self.out.scope))
        return mul(number(sigma), add(*terms))

    def _elsewhere(self, e: Expr) -> Expr:
        """The vectors of e at the coordinate that is averaged over."""
        return moved(e, {0: 1}, self.out.is_scalar)

    def _vector_pull(self, s: int, v: InitVector) -> Expr:
        """sigma Q_s of an initial vector's gradients."""
        if any(v.name not in self.gradients[r] for r in range(s + 1)) or not isinstance(v.law, Gaussian) or v.law.variance == 0.0:
            return ZERO
        sigma = self.sigma(v.name, v.law.variance**0.5)
        gradients = [mul(number(sigma), self._summed(r, self.samples.now(self.gradients[r][v.name], v.axes))) for r in range(s + 1)]
        return mul(number(sigma), self._q(gradients))

    def _embedding_pull(self, s: int, v: InitVector) -> Expr:
        """sum_j xi_j / sqrt(d) sigma Q_s of the gradients of the entries u_aj."""
        assert isinstance(v.law, Embedding)
        law, feature = v.law, self._feature(v.law)
        gradients = [self._embedding_gradient(r, law.matrix) for r in range(s + 1)]
        if ZERO in gradients:
            return ZERO
        own = mul(number(self.sigma(law.matrix, law.sigma)), Ref(self._input(v)))
        return Sum(feature, mul(self._q(gradients), own))

    def _embedding_gradient(self, s: int, matrix: str) -> Expr:
        terms: list[Expr] = []
        for other in self.tape.program.vectors:
            if isinstance(other.law, Embedding) and other.law.matrix == matrix and other.name in self.gradients[s]:
                xi = self.samples.of_batch(s, Ref(self._input(other)))
                xi = self.samples.then(xi, keep=(self._feature(other.law),))
                axes = self.samples.then_axes(s, other.axes)
                whole = sum_out(mul(self.gradients[s][other.name], xi), axes, self.out.scope)
                terms.append(mul(number(self.sigma(matrix, other.law.sigma)), whole))
        return add(*terms)

    def _summed(self, s: int, e: Expr) -> Expr:
        return sum_out(e, self.samples.then_axes(s, (self.samples.sample,)), self.out.scope)

    def _input(self, v: InitVector) -> str:
        """xi / sqrt(d), over the samples, the positions and the features."""
        assert isinstance(v.law, Embedding)
        key = ("input", v.law.input)
        if key not in self.inputs:
            self.inputs[key] = self.out.scalar(f"{v.law.input}_data", (*v.axes, self._feature(v.law))).name
        return self.inputs[key]

    def _feature(self, law: Embedding) -> str:
        """The axis of the entries of an input."""
        return self.samples.named_axis(f"feature_{law.matrix}", self.features[law.input])
