"""scikit-learn estimators: the infinitely wide network as a Gaussian process (Lee et al. 2018), or trained by gradient flow (Lee et al. 2019).

Every option of the architecture is a parameter `architecture__NAME` for scikit-learn's searches.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import Tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from tensorprog.errors import InvalidProgram
from tensorprog.kernels.architecture import Architecture, Floats, arranged, between, built, diagonal, options_of, width_of
from tensorprog.kernels.dynamics import Blocks, cross_entropy, gradient_flow, loss_flow
from tensorprog.kernels.evidence import tuned
from tensorprog.kernels.posterior import posterior
from tensorprog.kernels.tiles.evaluate import OUTPUTS
from tensorprog.language.program import Network

Table = Any  # whatever scikit-learn reads: arrays, lists, data frames; (N, features)
PREFIX = "architecture__"


class NetworkEstimator(BaseEstimator):
    """What the estimators share: an architecture and its options."""

    architecture: Architecture | None
    options: Mapping[str, Any] | None
    network_: Network
    points_: Floats

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters; with `deep` also the options of the architecture, as architecture__NAME."""
        found = super().get_params(deep=False)
        given = self.options if isinstance(self.options, Mapping) else {}
        options = options_of(self.architecture) | dict(given) if deep else {}
        return found | {f"{PREFIX}{name}": value for name, value in options.items()}

    def set_params(self, **params: Any) -> NetworkEstimator:
        """Set parameters, architecture__NAME among them.

        Raises:
            InvalidProgram: the architecture has no such option.
        """
        super().set_params(**{name: value for name, value in params.items() if not name.startswith(PREFIX)})
        options = {name.removeprefix(PREFIX): value for name, value in params.items() if name.startswith(PREFIX)}
        known = options_of(self.architecture)
        if unknown := sorted(set(options) - set(known)):
            raise InvalidProgram(f"[architecture] there is no option {unknown[0]!r}. There are {', '.join(known) or 'none'}.")
        if options:
            self.options = {**(self.options or {}), **options}
        return self

    def _kernels(self, get: Sequence[str], x1: Floats, x2: Floats | None = None) -> dict[str, Floats]:
        """Kernels by tiles as wide as the training set asks for, so that fitting and predicting compile one function."""
        return between(self.network_, x1, x2, get, width_of(len(self.points_)))

    def _variances(self, x: Floats) -> Floats:
        """The diagonal of the nngp."""
        return diagonal(self.network_, x)["nngp"]

    def _points(self, x: Table) -> Floats:
        check_is_fitted(self)
        return arranged(self.network_, np.asarray(validate_data(self, x, reset=False, dtype=np.float64, ensure_all_finite=False)))


class NetworkRegressor(RegressorMixin, NetworkEstimator):
    """Targets (N,) or (N, k): k outputs share one kernel and are independent."""

    normalize_y: bool

    def predict(self, X: Table, return_std: bool = False, return_cov: bool = False) -> Any:
        """The predictive mean at X, (M,) or (M, k); beside it the standard deviation, of the same shape, or the covariance, (M, M) or (M, M, k).

        The deviation is that of f, without the noise of the targets.

        Raises:
            InvalidProgram: both deviation and covariance are asked for.
        """
        if return_std and return_cov:
            raise InvalidProgram("[predict] the covariance holds the deviations. Ask for one of them.")
        points = self._points(X)
        mean, spread = self._law(points, whole=return_cov) if return_std or return_cov else (self._mean(points), None)
        mean = self.y_mean_ + self.y_scale_ * mean
        if spread is None:
            return mean
        scale = np.asarray(self.y_scale_)
        return mean, np.multiply.outer(spread, scale**2) if return_cov else np.multiply.outer(np.sqrt(np.maximum(spread, 0.0)), scale)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    @abstractmethod
    def _mean(self, points: Floats) -> Floats:
        """The mean at arranged points."""

    @abstractmethod
    def _law(self, points: Floats, *, whole: bool) -> tuple[Floats, Floats]:
        """The mean, and the covariance, (M, M), or only its diagonal."""

    def _start(self, x: Table, y: Table) -> Floats:
        """Keep the network and the data; the targets, centred and scaled where asked for."""
        x, y = validate_data(self, x, y, multi_output=True, y_numeric=True, dtype=np.float64, ensure_all_finite=False)
        y = np.asarray(y, np.float64)
        self.network_ = built(self.architecture, self.options)
        self.points_ = arranged(self.network_, x)
        centre, scale = y.mean(0), y.std(0)
        self.y_mean_ = centre if self.normalize_y else np.zeros_like(centre)
        self.y_scale_ = np.where(scale > 0, scale, 1.0) if self.normalize_y else np.ones_like(scale)
        return (y - self.y_mean_) / self.y_scale_


class NNGPRegressor(NetworkRegressor):
    """Gaussian process regression with the NNGP of an architecture: mean = K* S^-1 y, covariance = K** - K* S^-1 K*^T, S = K + noise.

    It is the law of the infinitely wide network at initialization, given the targets; without noise also that of the network of which only the
    readout is trained, for ever.

    Args:
        architecture: a function that builds a network from options (`architectures.mlp`), a network, or None: a relu MLP of options depth, phi,
            sigma_w, sigma_b and sigma_v.
        options: options of the architecture; each is the parameter architecture__NAME as well.
        noise: variance of the targets' noise, where it starts if tuned.
        tune: maximize the evidence over every variance of the network and the noise, by gradient.
        normalize_y: centre the targets and scale them to unit variance.

    Attributes:
        network_: with its variances as tuned. noise_: the noise. log_evidence_: log p(y) of the targets as normalized, summed over outputs.
    """

    def __init__(
        self,
        architecture: Architecture | None = None,
        options: Mapping[str, Any] | None = None,
        *,
        noise: float = 1e-3,
        tune: bool = False,
        normalize_y: bool = False,
    ) -> None:
        self.architecture = architecture
        self.options = options
        self.noise = noise
        self.tune = tune
        self.normalize_y = normalize_y

    def fit(self, X: Table, y: Table) -> NNGPRegressor:
        """Condition on X of shape (N, features) and y."""
        target = self._start(X, y)
        self.noise_ = self.noise
        if self.tune:
            found = tuned(self.network_, self.points_, target, noise=self.noise)
            self.network_, self.noise_ = found.network, found.noise
        kernel = self._kernels(("nngp",), self.points_)["nngp"]
        n = len(kernel)
        self.inverse_ = np.asarray(gradient_flow(kernel, np.eye(n), np.array([np.inf]), ridge=self.noise_).dual[0])
        self.dual_ = self.inverse_ @ target
        none = Blocks(kernel, np.zeros((0, n)), np.zeros((0, 0)))  # pyright: ignore[reportArgumentType]
        self.log_evidence_ = float(posterior(none, target, noise=self.noise_).log_evidence)
        return self

    def _mean(self, points: Floats) -> Floats:
        return self._kernels(("nngp",), points, self.points_)["nngp"] @ self.dual_

    def _law(self, points: Floats, *, whole: bool) -> tuple[Floats, Floats]:
        cross = self._kernels(("nngp",), points, self.points_)["nngp"]
        gain = cross @ self.inverse_
        if whole:
            return cross @ self.dual_, self._kernels(("nngp",), points)["nngp"] - gain @ cross.T
        return cross @ self.dual_, self._variances(points) - (gain * cross).sum(1)


class NTKRegressor(NetworkRegressor):
    """The infinitely wide network trained by gradient flow on (1/2) |f - y|^2 + (ridge/2) |theta - theta_0|^2 for a time t, at learning rate 1.

    The mean over initializations is K* a_t with a_t = (1 - exp(-S t)) S^-1 y, S = K + ridge, K the NTK; at t = inf kernel ridge regression. The
    covariance is that of the ensemble of trained networks, from f_0 ~ GP(0, nngp).

    Args:
        architecture, options: as for NNGPRegressor.
        time: t, infinity allowed; early stopping is a regularizer.
        ridge: in units of the kernel.
        normalize_y: centre the targets and scale them to unit variance.
    """

    def __init__(
        self,
        architecture: Architecture | None = None,
        options: Mapping[str, Any] | None = None,
        *,
        time: float = np.inf,
        ridge: float = 1e-3,
        normalize_y: bool = False,
    ) -> None:
        self.architecture = architecture
        self.options = options
        self.time = time
        self.ridge = ridge
        self.normalize_y = normalize_y

    def fit(self, X: Table, y: Table) -> NTKRegressor:
        """Train on X of shape (N, features) and y."""
        target = self._start(X, y)
        kernels = self._kernels(OUTPUTS, self.points_)
        self.nngp_ = kernels["nngp"]
        self.flow_ = np.asarray(gradient_flow(kernels["ntk"], np.eye(len(target)), np.array([self.time]), ridge=self.ridge).dual[0])  # targets -> a_t
        self.dual_ = self.flow_ @ target
        return self

    def _mean(self, points: Floats) -> Floats:
        return self._kernels(("ntk",), points, self.points_)["ntk"] @ self.dual_

    def _law(self, points: Floats, *, whole: bool) -> tuple[Floats, Floats]:
        """cov = Q** - A Q*^T - its transpose + A Q A^T with A = K* (targets -> a_t) and Q the nngp."""
        cross = self._kernels(OUTPUTS, points, self.points_)
        mean, a = cross["ntk"] @ self.dual_, cross["ntk"] @ self.flow_
        if whole:
            mixed = a @ cross["nngp"].T
            return mean, self._kernels(OUTPUTS, points)["nngp"] - mixed - mixed.T + a @ self.nngp_ @ a.T
        return mean, self._variances(points) - 2 * (a * cross["nngp"]).sum(1) + ((a @ self.nngp_) * a).sum(1)


class NTKClassifier(ClassifierMixin, NetworkEstimator):
    """The mean over initializations of the infinitely wide network trained by gradient flow to tell classes apart.

    Args:
        architecture, options: as for NNGPRegressor.
        loss: "squared", on one-hot targets minus their mean 1/k (for two classes -1 and +1), or "cross entropy", which has `predict_proba`.
        time: t; finite for the cross entropy, whose only regularizer it is.
        ridge: for the squared loss, in units of the kernel.
    """

    def __init__(
        self,
        architecture: Architecture | None = None,
        options: Mapping[str, Any] | None = None,
        *,
        loss: Literal["squared", "cross entropy"] = "squared",
        time: float = np.inf,
        ridge: float = 1e-3,
    ) -> None:
        self.architecture = architecture
        self.options = options
        self.loss = loss
        self.time = time
        self.ridge = ridge

    def fit(self, X: Table, y: Table) -> NTKClassifier:
        """Train on X of shape (N, features) and labels y.

        Raises:
            InvalidProgram: one class only, an unknown loss, or the cross entropy for ever.
        """
        x, y = validate_data(self, X, y, dtype=np.float64, ensure_all_finite=False)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise InvalidProgram(f"[classes] all labels are {self.classes_[0]}: only one class. Give at least two classes.")
        self.network_ = built(self.architecture, self.options)
        self.points_ = arranged(self.network_, np.asarray(x))
        kernel = self._kernels(("ntk",), self.points_)["ntk"]
        one_hot = np.eye(len(self.classes_))[labels]
        match self.loss:
            case "squared":
                target = 2.0 * labels - 1.0 if len(self.classes_) == 2 else one_hot - 1.0 / len(self.classes_)
                path = gradient_flow(kernel, target, np.array([self.time]), ridge=self.ridge)
            case "cross entropy":
                if not np.isfinite(self.time):
                    raise InvalidProgram("[time] the cross entropy has no limit at t = inf, and time is its only regularizer. Give a finite time.")
                path = loss_flow(kernel, one_hot, np.array([self.time]), loss=cross_entropy)
            case _:
                raise InvalidProgram(f"[loss] there is no loss {self.loss!r}. Take 'squared' or 'cross entropy'.")
        self.dual_ = np.asarray(path.dual[0])
        return self

    def decision_function(self, X: Table) -> Floats:
        """f_t at X: (M,) for two classes, positive for the second; else (M, classes)."""
        f = self._outputs(X)
        return f[:, 1] - f[:, 0] if f.ndim == 2 and f.shape[1] == 2 else f

    def predict(self, X: Table) -> NDArray[Any]:
        """The class of the largest output."""
        f = self.decision_function(X)
        return self.classes_[(f > 0).astype(int) if f.ndim == 1 else f.argmax(1)]

    @available_if(lambda self: self.loss == "cross entropy")
    def predict_proba(self, X: Table) -> Floats:
        """softmax f_t, (M, classes): of the mean network, not the mean over networks. For the cross entropy only."""
        return softmax(self._outputs(X), axis=1)

    def _outputs(self, x: Table) -> Floats:
        points = self._points(x)
        return self._kernels(("ntk",), points, self.points_)["ntk"] @ self.dual_
