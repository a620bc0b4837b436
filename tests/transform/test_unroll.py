"""The unrolled program at finite width is training itself: SGD, momentum and batches for every architecture; SignSGD and Adam beside optax.

The carry form is an identity at every width, so nothing but rounding may separate the two: relative 1e-12, where a missing term is 1e-4 to 1e-2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import tensorprog as tp
from architectures import ZOO
from tensorprog.errors import InvalidProgram, OutsideTheory
from tensorprog.kernels.dynamics import cross_entropy, logistic
from tensorprog.kernels.execution.uncompiled import by_numpy
from tensorprog.kernels.train import train
from tensorprog.kernels.unrolled import conditioned, finite_outputs
from tensorprog.language.expr import ZERO, Add, refs
from tensorprog.language.instr import Nonlin
from tensorprog.transform.parametrization import FRAMEWORK, STANDARD, up_s
from tensorprog.transform.unroll import SGD, Entrywise, Unrolled, adam, rmsprop, sign_sgd, unroll
from tests.architectures.cases import CASES, label

Kind = Literal["ntk", "moment"]
BATCHES = [[0, 2], [1, 0], [2, 1], [0, 1], [1, 2]]
RATES, MOMENTUM = (0.3, 0.2, 0.1, 0.2, 0.3), 0.5
TRAINED: list[tuple[str, dict[str, Any]]] = [
    ("mlp", {"depth": 2, "sigma_b": 0.3, "sigma_w": 1.2, "ratios": (1.0, 0.6), "outputs": 2}),
    ("resnet", {"depth": 2, "sigma_b": 0.1}),
    ("cnn1d", {"pixel": 4, "depth": 1, "sigma_b": 0.2}),
    ("rnn", {"time": 3, "sigma_b": 0.3}),
    ("autoencoder", {"sigma_w": 1.3, "ratio": 2.0}),
    ("transformer", {"token": 2, "heads": 1, "ratio": 2.0}),
]

KINDS: tuple[Kind, ...] = ("ntk", "moment")
ENTRYWISE: list[tuple[str, dict[str, Any]]] = [("mlp", {"nonlinearity": "erf", "sigma_b": 0.3, "sigma_w": 1.2}), ("rnn", {"time": 3, "sigma_b": 0.3})]
BOTH = [(case, KINDS[k % 2]) for k, case in enumerate(TRAINED)] + [(TRAINED[0], "moment"), (TRAINED[-1], "ntk")]


def data(net: tp.Network, samples: int = 4, d: int = 3) -> tuple[dict[str, np.ndarray], np.ndarray]:
    rng = np.random.default_rng(0)
    size = net.program.size
    x = {i.name: rng.normal(size=(samples, *(size[a] for a in sorted(i.axes)), d)) for i in net.program.inputs}
    outputs = (net.outputs,) if net.outputs > 1 else ()
    return x, rng.normal(size=(samples, *outputs, *(size[a] for a in net.output_axes)))


def gap(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(np.asarray(a) - np.asarray(b)).max() / np.abs(np.asarray(b)).max())


def finite(u: Unrolled, params: dict[str, Any], n: int, x: Any, y: Any, start: Any = None) -> np.ndarray:
    """f_0 .. f_T of the unrolled program. By NumPy, as all that is computed once here: compiling takes ten times as long."""
    return by_numpy(lambda params: finite_outputs(u, params, n, x, y, start), params)


def directly(net: tp.Network, params: dict[str, Any], n: int, x: Any, y: Any, **options: Any) -> np.ndarray:
    """f_0 .. f_T of the network trained by `train`."""
    return by_numpy(lambda params: train(net, params, n, x, y, **options).train, params)


def trained_both_ways(net: tp.Network, n: int = 11, steps: int = 5, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """f_0 .. f_T of the unrolled program and of the network trained by `train`; sample 3 is a probe."""
    x, y = data(net)
    params = tp.sample(net, jax.random.key(0), n, 3)
    u = unroll(net, 4, batches=BATCHES[:steps], optimizer=SGD(RATES[:steps], MOMENTUM), **options)
    direct = directly(net, params, n, x, y, rate=RATES[:steps], steps=steps, batches=np.array(BATCHES[:steps]), momentum=MOMENTUM)
    return finite(u, params, n, x, y), direct


@pytest.mark.parametrize(("case", "kind"), BOTH, ids=lambda p: p if isinstance(p, str) else p[0])
def test_the_finite_meaning_is_sgd(case: tuple[str, dict[str, Any]], kind: Kind) -> None:
    unrolled, direct = trained_both_ways(replace(ZOO[case[0]](**case[1]), kind=kind))
    assert np.abs(direct[-1] - direct[0]).max() > 1e-2
    assert gap(unrolled, direct) < 1e-12


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ntk", "moment"])
@pytest.mark.parametrize("case", CASES, ids=label)
def test_the_finite_meaning_is_sgd_for_the_whole_shelf(case: tuple[str, dict[str, Any]], kind: Kind) -> None:
    unrolled, direct = trained_both_ways(replace(ZOO[case[0]](**case[1]), kind=kind), steps=3)
    assert gap(unrolled, direct) < 1e-11  # a ResNet that diverges at this rate loses a digit


def test_each_correction_is_needed() -> None:
    """Without one [dev-matmul] sum the program is visibly not SGD."""
    net = ZOO["mlp"](depth=2)
    x, y = data(net)
    params = tp.sample(net, jax.random.key(0), 11, 3)
    u = unroll(net, 4, batches=BATCHES, optimizer=SGD(0.3))
    right = finite(u, params, 11, x, y)
    for i in u.program.body:
        corrects = isinstance(i, Nonlin) and isinstance(i.psi, Add) and any(r.startswith("gram_") for r in refs(i.psi)) and i.out.endswith("_2")
        if not corrects:
            continue
        assert isinstance(i, Nonlin)
        assert isinstance(i.psi, Add)
        kept = tuple(t if not any(r.startswith("gram_") for r in refs(t)) else ZERO for t in i.psi.terms)
        body = tuple(replace(i, psi=Add(kept)) if j is i else j for j in u.program.body)
        wrong = finite(replace(u, program=replace(u.program, body=body)), params, 11, x, y)
        assert gap(wrong, right) > 1e-5, i.out


@pytest.mark.parametrize(("loss", "reduction"), [("logistic", "sum"), ("cross_entropy", "mean")])
def test_losses(loss: Literal["logistic", "cross_entropy"], reduction: Literal["sum", "mean"]) -> None:
    net = ZOO["mlp"](outputs=3 if loss == "cross_entropy" else 1)
    x, y = data(net)
    y = np.eye(3)[[0, 2, 1, 0]] if loss == "cross_entropy" else np.sign(y)
    params = tp.sample(net, jax.random.key(1), 9, 3)
    u = unroll(net, 4, batches=BATCHES, optimizer=SGD(0.4), loss=loss, reduction=reduction)
    how = {"logistic": logistic, "cross_entropy": cross_entropy}[loss]
    direct = directly(net, params, 9, x, y, rate=0.4, steps=5, batches=np.array(BATCHES), loss=how, reduction=reduction)
    assert gap(finite(u, params, 9, x, y), direct) < 1e-12


def squared_loss(f: Callable[..., jax.Array], y: np.ndarray, batch: np.ndarray) -> Callable[..., jax.Array]:
    return lambda theta: 0.5 * jnp.sum((f(theta)[batch] - y[batch]) ** 2)


@pytest.mark.parametrize("parametrization", [STANDARD, up_s(0.25)], ids=lambda p: p.name)
def test_parametrizations_are_learning_rates_of_unit_tensors(parametrization: tp.Parametrization) -> None:
    net, n = ZOO["mlp"](depth=2, sigma_b=0.3), 11
    x, y = data(net)
    params = tp.sample(net, jax.random.key(0), n, 3)
    u = unroll(net, 4, batches=BATCHES, optimizer=SGD(0.4), parametrization=parametrization)
    g = u.powers.gradient
    scaled = replace(net, training={name: tp.Training(rate=float(n) ** float(e)) for name, e in u.powers.rate.items()})
    f_0 = tp.apply(net, params, n, x)  # f = N^-g v . x: N^(1/2 - g) times the network of kind ntk

    def f(theta: dict[str, jax.Array]) -> jax.Array:
        return n ** float(0.5 - g) * tp.apply(net, theta, n, x)

    def descent(theta: dict[str, jax.Array]) -> jax.Array:
        outputs = [f(theta)]
        for batch in map(np.array, BATCHES):
            grad = jax.grad(squared_loss(f, y, batch))(theta)
            theta = {name: w - 0.4 * scaled.trained(name).rate * grad[name] for name, w in theta.items()}
            outputs.append(f(theta))
        return jnp.stack(outputs)

    start = n ** float(0.5 - g) * f_0
    assert gap(finite(u, params, n, x, y, start), by_numpy(descent, params)) < 1e-12


def entrywise(net: tp.Network, params: dict[str, jax.Array], n: int, optimizer: Any, u: Unrolled) -> Callable[..., list[jax.Array]]:
    """Training by an optax optimizer in the units that `transform/unroll/entrywise` states."""
    size = {w.name: w.at(n) for w in net.program.widths}
    base = float(size[net.readouts[0].width])
    columns = {m.name: float(size[m.cols]) for m in net.program.matrices}
    g, r = float(u.powers.gradient), float(u.powers.deviation)

    def outputs(x: Any, y: np.ndarray, batches: list[list[int]]) -> list[jax.Array]:
        theta, state, found = dict(params), optimizer.init(params), [tp.apply(net, params, n, x)]
        for b in batches:
            grad = jax.grad(squared_loss(lambda theta: tp.apply(net, theta, n, x), y, np.array(b)))(theta)
            grad = {name: base**g * columns.get(name, 1.0) ** 0.5 * a for name, a in grad.items()}
            update, state = optimizer.update(grad, state)
            theta = {name: w + base**-r * columns.get(name, 1.0) ** -0.5 * update[name] for name, w in theta.items()}
            found.append(tp.apply(net, theta, n, x))
        return found

    return outputs


@pytest.mark.parametrize(
    ("case", "kind", "ours", "theirs"),
    [
        (ENTRYWISE[0], "ntk", sign_sgd(0.1), optax.sign_sgd(0.1)),
        (ENTRYWISE[1], "moment", sign_sgd(0.1), optax.sign_sgd(0.1)),
        (ENTRYWISE[0], "moment", adam(0.1, eps=0.1), optax.adam(0.1, eps=0.1)),
        (ENTRYWISE[1], "ntk", adam(0.1, eps=0.1), optax.adam(0.1, eps=0.1)),
        (ENTRYWISE[0], "ntk", rmsprop(0.1, eps=0.1), optax.rmsprop(0.1, decay=0.9, eps=0.1, eps_in_sqrt=False, bias_correction=True)),
    ],
    ids=["sign_sgd-mlp-ntk", "sign_sgd-rnn-mup", "adam-mlp-mup", "adam-rnn-ntk", "rmsprop-mlp-ntk"],
)
def test_entrywise_optimizers(case: tuple[str, dict[str, Any]], kind: Kind, ours: Entrywise, theirs: Any) -> None:
    net, n = replace(ZOO[case[0]](**case[1]), kind=kind), 11
    x, y = data(net)
    params = tp.sample(net, jax.random.key(0), n, 3)
    u = unroll(net, 4, batches=BATCHES, optimizer=ours, dims=3)
    direct = by_numpy(lambda params: jnp.stack(entrywise(net, params, n, theirs, u)(x, y, BATCHES)), params)
    assert gap(finite(u, params, n, x, y), direct) < 1e-11  # Adam divides by square roots of sums that cancel


@pytest.mark.parametrize(("kind", "momentum"), [("ntk", 0.5), ("moment", 0.0)])
def test_weight_decay(kind: Kind, momentum: float) -> None:
    """In the kernel regime the program is conditioned on the outputs of the networks that have only decayed."""
    net, n, decay = replace(ZOO["mlp"](depth=2, sigma_b=0.3, nonlinearity="tanh"), kind=kind), 11, 0.2
    x, y = data(net)
    params = tp.sample(net, jax.random.key(0), n, 3)
    u = unroll(net, 4, batches=BATCHES[:3], optimizer=SGD(0.3, momentum, decay))

    def descent(theta: dict[str, jax.Array]) -> jax.Array:
        q, outputs = dict.fromkeys(theta, 0.0), [tp.apply(net, theta, n, x)]
        for batch in map(np.array, BATCHES[:3]):
            grad = jax.grad(squared_loss(lambda theta: tp.apply(net, theta, n, x), y, batch))(theta)
            q = {name: momentum * q[name] + (n if kind == "moment" else 1) * grad[name] for name in theta}
            theta = {name: (1 - 0.3 * decay) * w - 0.3 * q[name] for name, w in theta.items()}
            outputs.append(tp.apply(net, theta, n, x))
        return jnp.stack(outputs)

    assert gap(finite(u, params, n, x, y), by_numpy(descent, params)) < 1e-12


def test_conditioning_starts_at_the_given_outputs() -> None:
    net, n = ZOO["mlp"](outputs=2), 17
    x, y = data(net)
    params = by_numpy(lambda params: conditioned(net, params, n, x, y), tp.sample(net, jax.random.key(0), n, 3))
    np.testing.assert_allclose(by_numpy(lambda params: tp.apply(net, params, n, x), params), y, atol=1e-12)
    u = unroll(net, 4, batches=BATCHES)
    direct = directly(net, params, n, x, y + 1, rate=1.0, steps=5, batches=np.array(BATCHES))
    assert gap(finite(u, params, n, x, y + 1, y), direct) < 1e-12


def test_the_program_is_valid_text() -> None:
    u = unroll(ZOO["rnn"](time=2), 3, batches=[0, 1])
    assert tp.check(u.program).ok
    assert tp.parse(tp.show(u.program)) == u.program
    assert tp.from_json(tp.to_json(u.program)) == u.program


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"batches": [[0, 7]]}, InvalidProgram, "Name samples 0 .. 3"),
        ({"steps": 2, "batches": [0]}, InvalidProgram, "one batch a step"),
        ({"optimizer": SGD((0.1,)), "steps": 3}, InvalidProgram, "finite rate for each of 3 steps"),
        ({"parametrization": FRAMEWORK}, OutsideTheory, "is unstable"),
        ({"optimizer": sign_sgd()}, InvalidProgram, "dimension of"),
        ({"loss": "hinge"}, InvalidProgram, "no loss is called"),
        ({"parametrization": up_s(0), "loss": "cross_entropy"}, InvalidProgram, "one axis of outputs"),
    ],
)
def test_bad_input(options: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        unroll(ZOO["mlp"](), 4, **options)


def test_functions_of_several_coordinates_have_no_rule() -> None:
    @tp.network
    def meeting(x: tp.Data) -> tp.Output:
        h = tp.embedding("U") @ x
        return tp.readout("v") @ tp.outer(lambda b: tp.tanh(h * h[b])).named("y")

    with pytest.raises(OutsideTheory, match=r"\[unroll\] y is an OuterNonlin"):
        unroll(meeting(), 2)
