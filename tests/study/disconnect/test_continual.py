"""Tasks are rotations of one another, the measures are those of the literature, and learning forgets."""

import jax
import numpy as np
import pytest

from tensorprog.errors import InvalidProgram
from tensorprog.study.disconnect.continual import Accuracies, learner, mixture, rotated
from tensorprog.study.networks import perceptron


def test_the_measures() -> None:
    a = Accuracies(np.array([[0.9, 0.2, 0.1], [0.6, 0.8, 0.3], [0.7, 0.5, 1.0]]), np.ones(3))
    assert a.forgetting == pytest.approx(((0.9 - 0.7) + (0.8 - 0.5)) / 2)
    assert a.learning == pytest.approx(0.9)
    assert a.average == pytest.approx((0.7 + 0.5 + 1.0) / 3)


def test_tasks_are_rotated() -> None:
    base = mixture(6, 3, 40, 20, 0.5, 0)
    tasks = rotated(*base, tasks=3, angle=0.7, seed=1)
    np.testing.assert_allclose(tasks.x[0], base[0], atol=1e-12)
    gram = np.einsum("tnd,tmd->tnm", tasks.x, tasks.x)
    np.testing.assert_allclose(gram, np.broadcast_to(gram[0], gram.shape), atol=1e-9)
    once = np.linalg.lstsq(tasks.x[0], tasks.x[1], rcond=None)[0]
    np.testing.assert_allclose(tasks.x[0] @ once @ once, tasks.x[2], atol=1e-9)  # angles add up
    assert np.abs(np.angle(np.linalg.eigvals(once))).max() == pytest.approx(0.7)


def test_a_network_learns_and_forgets() -> None:
    """Tasks turned by a right angle: the last one is learned, at the price of the first."""
    tasks = rotated(*mixture(6, 3, 96, 200, 0.4, 0), tasks=3, angle=np.pi / 2, seed=1)
    a = learner(perceptron(depth=1), 32, 3, epochs=40)(tasks, jax.random.key(0))
    assert a.trained.min() > 0.9
    assert a.learning > 0.9
    assert a.forgetting > 0.1


def test_labels_beyond_the_classes_are_refused() -> None:
    tasks = rotated(*mixture(6, 3, 40, 20, 0.4, 0), tasks=2, angle=0.1, seed=1)
    with pytest.raises(InvalidProgram, match="2 classes"):
        learner(perceptron(depth=1), 8, 2, epochs=1)(tasks, jax.random.key(0))
