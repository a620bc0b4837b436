"""The estimators: scikit-learn's own checks, recorded numbers of infinitely wide ensembles, searches over the options of an architecture."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_wine
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import DotProduct
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator, estimator_checks_generator

import tensorprog as tp
from architectures import ZOO
from tensorprog.kernels.architecture import arranged, between, relu_mlp
from tensorprog.kernels.dynamics import cross_entropy, loss_flow

ORACLE = np.load(Path(__file__).parents[1] / "oracles" / "dynamics.npz")
X = np.load(Path(__file__).parents[1] / "oracles" / "kernels.npz")["x"]
NETS = {"fc_relu_d3": {"depth": 3}, "fc_erf_d3": {"depth": 3, "nonlinearity": "erf", "sigma_w": 1.5, "sigma_b": 0.1}}
Y = ORACLE["y_train"]
# The recorded loss is the mean over 4 points and 2 outputs: time runs 8 times slower than on the sum.
TIMES = list(enumerate(ORACLE["gd_t"] / 8))


def test_gradient_flow_matches_the_recorded_numbers() -> None:
    """f_t is affine in f_0: the estimator learns y - f_0."""
    name = "fc_relu_d3"
    for i, t in TIMES:
        model = tp.NTKRegressor(ZOO["mlp"], NETS[name], time=t, ridge=0.0).fit(X[:4], Y - ORACLE["f0_train"])
        np.testing.assert_allclose(model.predict(X[4:]) + ORACLE["f0_test"], ORACLE[f"gd_{name}__test_mean"][i], rtol=0, atol=1e-10)
        np.testing.assert_allclose(model.predict(X[:4]) + ORACLE["f0_train"], ORACLE[f"gd_{name}__train_mean"][i], rtol=0, atol=1e-10)


def test_ridge_matches_the_recorded_number() -> None:
    model = tp.NTKRegressor(ZOO["mlp"], NETS["fc_relu_d3"], ridge=0.1).fit(X[:4], Y - ORACLE["f0_train"])
    found = model.predict(X[4:]) + ORACLE["f0_test"]
    np.testing.assert_allclose(found, ORACLE["gd_fc_relu_d3__test_mean_ridge0.1abs_tinf"], rtol=0, atol=1e-10)


def ensembles() -> list[tuple[str, str]]:
    return [(name, trained) for name in NETS for trained in ("ntk", "nngp") if f"gdens_{name}__{trained}_test_mean" in ORACLE]


@pytest.mark.parametrize(("name", "trained"), ensembles())
def test_the_ensemble_matches_the_recorded_numbers(name: str, trained: str) -> None:
    """All tensors trained; and only the readout, whose NTK is the NNGP."""
    frozen = () if trained == "ntk" else tuple(n for n in ZOO["mlp"](**NETS[name]).parameters if n != "v")
    for i, t in TIMES:
        model = tp.NTKRegressor(ZOO["mlp"], NETS[name] | {"frozen": frozen}, time=t, ridge=0.0).fit(X[:4], Y)
        for part, points in (("train", X[:4]), ("test", X[4:])):
            mean, cov = model.predict(points, return_cov=True)
            _, std = model.predict(points, return_std=True)
            recorded = ORACLE[f"gdens_{name}__{trained}_{part}_cov"][i]
            np.testing.assert_allclose(mean, ORACLE[f"gdens_{name}__{trained}_{part}_mean"][i], rtol=0, atol=1e-10)
            np.testing.assert_allclose(cov, np.stack([recorded] * 2, axis=-1), rtol=0, atol=1e-10)
            np.testing.assert_allclose(std**2, np.stack([np.diag(recorded)] * 2, axis=-1), rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", sorted({name for name, _ in ensembles()}))
def test_without_noise_the_gaussian_process_is_the_readout_trained_for_ever(name: str) -> None:
    mean, cov = tp.NNGPRegressor(ZOO["mlp"], NETS[name], noise=0.0).fit(X[:4], Y).predict(X[4:], return_cov=True)
    np.testing.assert_allclose(mean, ORACLE[f"gdens_{name}__nngp_test_mean"][-1], rtol=0, atol=1e-10)
    np.testing.assert_allclose(cov[..., 0], ORACLE[f"gdens_{name}__nngp_test_cov"][-1], rtol=0, atol=1e-10)


@tp.network
def linear(x: tp.Data, sigma_v: float = 1.0) -> tp.Output:
    return tp.readout("v", sigma_v) @ (tp.embedding("U", 1.5) @ x)


@pytest.fixture(scope="module")
def diabetes() -> tuple[np.ndarray, np.ndarray]:
    x, y = load_diabetes(return_X_y=True)
    return StandardScaler().fit_transform(x)[:60], y[:60]


def test_a_linear_network_is_scikit_learns_linear_gaussian_process(diabetes: tuple[np.ndarray, np.ndarray]) -> None:
    """nngp = 1.5^2 <x, x'> / d, so that mean, deviation and evidence are those of DotProduct."""
    x, y = diabetes
    ours = tp.NNGPRegressor(linear, noise=0.4, normalize_y=True).fit(x[:40], y[:40])
    kernel = 1.5**2 / x.shape[1] * DotProduct(0.0, "fixed")
    theirs = GaussianProcessRegressor(kernel, alpha=0.4, optimizer=None, normalize_y=True).fit(x[:40], y[:40])
    for mine, its in zip(ours.predict(x, return_std=True), theirs.predict(x, return_std=True)):
        np.testing.assert_allclose(mine, its, rtol=1e-7)  # both lose half the digits where a variance is a small difference
    np.testing.assert_allclose(ours.predict(x, return_cov=True)[1], theirs.predict(x, return_cov=True)[1], atol=1e-7)
    assert ours.log_evidence_ == pytest.approx(theirs.log_marginal_likelihood_value_, rel=1e-9)


def test_infinite_time_is_kernel_ridge_regression(diabetes: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = diabetes
    net = relu_mlp()
    ours = tp.NTKRegressor(ridge=0.7).fit(x[:40], y[:40]).predict(x[40:])
    theirs = KernelRidge(alpha=0.7, kernel="precomputed").fit(between(net, x[:40])["ntk"], y[:40])
    np.testing.assert_allclose(ours, theirs.predict(between(net, x[40:], x[:40])["ntk"]), rtol=1e-9)


def test_normalized_targets_only_change_units(diabetes: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = diabetes
    both = np.stack([y, 7 - 2 * y], axis=1)
    mean, std = tp.NNGPRegressor(noise=0.3, normalize_y=True).fit(x[:40], both[:40]).predict(x[40:], return_std=True)
    np.testing.assert_allclose(mean[:, 1], 7 - 2 * mean[:, 0], rtol=1e-10)
    np.testing.assert_allclose(std[:, 1], 2 * std[:, 0], rtol=1e-10)


def test_classes_are_told_apart_by_both_losses() -> None:
    x, y = load_wine(return_X_y=True)
    x, y = StandardScaler().fit_transform(x)[::3], np.array(["barolo", "grignolino", "barbera"])[y][::3]
    for model in (tp.NTKClassifier(), tp.NTKClassifier(loss="cross entropy", time=1.0)):
        assert model.fit(x[::2], y[::2]).score(x[1::2], y[1::2]) > 0.9
    np.testing.assert_allclose(model.predict_proba(x).sum(1), 1.0)
    assert (model.classes_[model.predict_proba(x).argmax(1)] == model.predict(x)).all()
    assert not hasattr(tp.NTKClassifier(), "predict_proba")


def test_the_cross_entropy_is_the_flow_of_the_dynamics() -> None:
    labels = np.array([0, 1, 1, 0])
    model = tp.NTKClassifier(ZOO["mlp"], NETS["fc_erf_d3"], loss="cross entropy", time=0.5).fit(X[:4], labels)
    net = ZOO["mlp"](**NETS["fc_erf_d3"])
    path = loss_flow(between(net, X[:4])["ntk"], np.eye(2)[labels], np.array([0.5]), loss=cross_entropy)
    f = np.asarray(path.at(between(net, X[4:], X[:4])["ntk"]))[0]
    np.testing.assert_allclose(model.decision_function(X[4:]), f[:, 1] - f[:, 0], rtol=1e-12)


def test_options_of_the_architecture_are_searched(diabetes: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = diabetes
    model = make_pipeline(StandardScaler(), tp.NTKRegressor(ZOO["mlp"], {"sigma_b": 0.1}, ridge=1.0, normalize_y=True))
    grid = {"ntkregressor__architecture__depth": [1, 2], "ntkregressor__ridge": [0.1, 10.0]}
    found = GridSearchCV(model, grid, cv=2).fit(x, y)
    assert set(found.best_params_) == set(grid)
    best = found.best_estimator_[-1]
    assert best.options["sigma_b"] == 0.1
    assert best.options["depth"] == found.best_params_["ntkregressor__architecture__depth"]
    assert len(best.network_.program.matrices) == best.options["depth"] - 1


def test_clones_and_parameters() -> None:
    model = tp.NTKRegressor(ZOO["mlp"], {"depth": 3}, time=2.0)
    again = clone(model)
    assert again.get_params() == model.get_params()
    assert again.get_params()["architecture__depth"] == 3
    assert again.get_params()["architecture__sigma_b"] == 0.0
    assert "architecture__depth" not in again.get_params(deep=False)
    assert again.set_params(architecture__depth=1, time=1.0).options == {"depth": 1}
    assert model.options == {"depth": 3}


def test_rows_are_laid_out_over_the_axes() -> None:
    x, net = np.arange(36.0).reshape(6, 6), ZOO["deep_sets"](element=3)
    np.testing.assert_array_equal(arranged(net, x), x.reshape(6, 3, 2))
    with pytest.raises(tp.InvalidProgram, match="5 features do not divide"):
        tp.NTKRegressor(net).fit(x[:, :5], x[:, 0])


@pytest.mark.slow
def test_a_convolution_reads_rows_as_images() -> None:
    x, y = np.random.default_rng(0).normal(size=(6, 18)), np.arange(6.0)
    net = ZOO["cnn2d"](height=3, width=3)
    k = np.asarray(tp.kernels(net, x.reshape(6, 3, 3, 2)).ntk)
    np.testing.assert_allclose(tp.NTKRegressor(net).fit(x, y).predict(x), k @ np.linalg.solve(k + 1e-3 * np.eye(6), y), rtol=1e-8)


REFUSED = {
    "options of a network": (lambda x, y: tp.NTKRegressor(ZOO["mlp"](), {"depth": 2}).fit(x, y), "takes no options"),
    "no architecture": (lambda x, y: tp.NTKRegressor(3).fit(x, y), "3 is no network"),
    "an option that there is not": (lambda x, y: tp.NTKRegressor(ZOO["mlp"]).set_params(architecture__dpeth=2), "there is no option 'dpeth'"),
    "two inputs": (lambda x, y: tp.NTKRegressor(ZOO["siamese"]()).fit(x, y), "2 inputs"),
    "both spreads": (lambda x, y: tp.NNGPRegressor().fit(x, y).predict(x, return_std=True, return_cov=True), "Ask for one of them"),
    "one class": (lambda x, y: tp.NTKClassifier().fit(x, np.ones(len(x))), "only one class"),
    "no loss": (lambda x, y: tp.NTKClassifier(loss="hinge").fit(x, y > 0), "there is no loss 'hinge'"),
    "cross entropy for ever": (lambda x, y: tp.NTKClassifier(loss="cross entropy").fit(x, y > 0), "Give a finite time"),
    "no layer": (lambda x, y: tp.NTKRegressor(options={"depth": 0}).fit(x, y), "depth is 0"),
    "options that are none": (lambda x, y: tp.NTKRegressor(options=3).fit(x, y), "options are 3"),
    "a negative ridge": (lambda x, y: tp.NTKRegressor(ridge=-1.0).fit(x, y), "ridge"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(case: str) -> None:
    call, message = REFUSED[case]
    x = np.random.default_rng(0).normal(size=(5, 2))
    with pytest.raises(tp.InvalidProgram, match=message):
        call(x, x[:, 0])


SHORT = {"depth": 1, "phi": "erf"}
MODELS = [tp.NNGPRegressor(options=SHORT), tp.NTKRegressor(options=SHORT), tp.NTKClassifier(options=SHORT)]
QUICK = {
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_estimators_unfitted",
    "check_no_attributes_set_in_init",
    "check_estimators_nan_inf",
}


@pytest.mark.parametrize("model", MODELS, ids=lambda m: type(m).__name__)
def test_scikit_learns_quick_checks(model: object) -> None:
    for estimator, check in estimator_checks_generator(model):
        if getattr(check, "func", check).__name__ in QUICK:
            check(estimator)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("model", MODELS, ids=lambda m: type(m).__name__)
def test_scikit_learns_checks(model: object) -> None:
    check_estimator(model, on_skip=None)
