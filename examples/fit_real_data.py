"""Infinitely wide networks on the real data that ship with scikit-learn, beside a support vector machine and a Gaussian process.

    python examples/fit_real_data.py --splits 10 --output out/fit

Protocol: for every seed a quarter of the data is held out, stratified by class where there are classes. Everything that a method chooses it chooses
on the other three quarters, by cross-validation in three folds or by the evidence; the held-out quarter is used once, for the score. The table
shows the mean over seeds and a 95 % interval of it (Student's t; the splits overlap, so that it is a little too narrow). What is in the output
folder is not computed again.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from scipy.stats import t as student
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold, train_test_split
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.svm import SVC, SVR

import tensorprog as tp
from architectures import ZOO
from tensorprog.study.store import kept

CLASSES = {"digits": load_digits, "breast cancer": load_breast_cancer, "wine": load_wine}
NUMBERS = {"diabetes": load_diabetes}
Model = Callable[[np.ndarray, int], Any]  # (training inputs, seed) -> estimator


class GaussianProcessOnLabels(ClassifierMixin, BaseEstimator):
    """scikit-learn's Gaussian process regression on one-hot labels, its kernel tuned by the evidence."""

    def fit(self, x: np.ndarray, y: np.ndarray) -> GaussianProcessOnLabels:
        self.classes_, labels = np.unique(y, return_inverse=True)
        self.process_ = gaussian_process(x, 0).fit(x, np.eye(len(self.classes_))[labels] - 1 / len(self.classes_))
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.classes_[self.process_.predict(x).argmax(1)]


def gaussian_process(x: np.ndarray, seed: int) -> GaussianProcessRegressor:
    scale = np.sqrt(x.shape[1] * x.var())
    kernel = ConstantKernel() * RBF(scale, (1e-2 * scale, 1e3 * scale)) + WhiteKernel(0.1, (1e-6, 1e2))
    return GaussianProcessRegressor(kernel, normalize_y=True, random_state=seed)


def search(model: Any, grid: Mapping[str, list[Any]], seed: int, *, stratified: bool) -> GridSearchCV:
    folds = (StratifiedKFold if stratified else KFold)(3, shuffle=True, random_state=seed)
    return GridSearchCV(model, dict(grid), cv=folds)


def gammas(x: np.ndarray) -> list[float]:
    return [factor / (x.shape[1] * x.var()) for factor in (0.03, 0.1, 0.3, 1.0, 3.0)]


DEPTHS = {"architecture__depth": [1, 2, 4]}

CLASSIFIERS: dict[str, Model] = {
    "NTK of a relu MLP": lambda x, seed: search(
        tp.NTKClassifier(ZOO["mlp"], {"sigma_b": 0.3}), DEPTHS | {"ridge": [1e-3, 1e-2, 1e-1, 1.0, 10.0]}, seed, stratified=True
    ),
    "SVM, RBF": lambda x, seed: search(SVC(), {"C": [0.1, 1.0, 10.0, 100.0], "gamma": gammas(x)}, seed, stratified=True),
    "Gaussian process, RBF, on labels": lambda x, seed: GaussianProcessOnLabels(),
    "logistic regression": lambda x, seed: search(LogisticRegression(max_iter=3000), {"C": [1e-2, 1e-1, 1.0, 10.0, 100.0]}, seed, stratified=True),
}
REGRESSORS: dict[str, Model] = {
    "NTK of a relu MLP": lambda x, seed: search(
        tp.NTKRegressor(ZOO["mlp"], {"sigma_b": 0.3}, normalize_y=True), DEPTHS | {"ridge": [1.0, 3.0, 10.0, 30.0, 100.0]}, seed, stratified=False
    ),
    "NNGP of a relu MLP, evidence": lambda x, seed: tp.NNGPRegressor(
        ZOO["mlp"], {"depth": 2, "sigma_b": 0.3}, noise=0.5, tune=True, normalize_y=True
    ),
    "SVM, RBF": lambda x, seed: search(SVR(), {"C": [1.0, 10.0, 100.0, 1000.0], "gamma": gammas(x), "epsilon": [1.0, 10.0]}, seed, stratified=False),
    "Gaussian process, RBF": gaussian_process,
    "linear, ridge": lambda x, seed: RidgeCV(np.logspace(-2, 4, 13)),
}


def split(data: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training and test inputs, training and test targets; inputs standardized, the pixels of digits of unit norm, by the training inputs alone."""
    x, y = (CLASSES | NUMBERS)[data](return_X_y=True)
    train, test, y_train, y_test = train_test_split(x, y, random_state=seed, stratify=y if data in CLASSES else None)
    scaler = (Normalizer() if data == "digits" else StandardScaler()).fit(train)
    unit = np.sqrt(x.shape[1]) if data == "digits" else 1.0
    return unit * scaler.transform(train), unit * scaler.transform(test), y_train, y_test


def score(data: str, model: str, seed: int) -> dict[str, float]:
    """Accuracy or R^2 on the held-out quarter, and the seconds that fitting took."""
    train, test, y_train, y_test = split(data, seed)
    start = perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a length scale at the end of its range is an answer
        found = (CLASSIFIERS if data in CLASSES else REGRESSORS)[model](train, seed).fit(train, y_train)
    seconds = perf_counter() - start
    return {"score": found.score(test, y_test), "seconds": seconds}


def interval(scores: np.ndarray) -> tuple[float, float]:
    """Mean, and half the width of its 95 % interval."""
    return scores.mean(), student.ppf(0.975, len(scores) - 1) * scores.std(ddof=1) / np.sqrt(len(scores))


def table(results: Mapping[tuple[str, str], np.ndarray]) -> str:
    """The scores as Markdown."""
    data = list(dict.fromkeys(name for name, _ in results))
    lines = [f"| method | {' | '.join(data)} |", "| --- |" + " --- |" * len(data)]
    for model in dict.fromkeys(model for _, model in results):
        cells = ["{:.3f} ± {:.3f}".format(*interval(results[name, model])) if (name, model) in results else "" for name in data]
        lines.append(f"| {model} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--data", nargs="*", default=[*CLASSES, *NUMBERS], choices=[*CLASSES, *NUMBERS])
    parser.add_argument("--output", type=Path, default=Path("out/fit"))
    asked = parser.parse_args()
    made = {"tensorprog": version("tensorprog"), "scikit-learn": version("scikit-learn"), "jax": version("jax")}
    results: dict[tuple[str, str], np.ndarray] = {}
    for data in asked.data:
        for model in CLASSIFIERS if data in CLASSES else REGRESSORS:
            found = []
            for seed in range(asked.splits):
                path = asked.output / f"{data}-{model}-{seed}.npz".replace(" ", "_").replace(",", "")
                found.append(kept(path, {**made, "data": data, "model": model, "seed": seed}, partial(score, data, model, seed)))
            results[data, model] = np.array([float(f["score"]) for f in found])
            seconds = np.median([float(f["seconds"]) for f in found])
            print(f"{data}: {model}: {{:.4f}} ± {{:.4f}}, {seconds:.1f} s a fit".format(*interval(results[data, model])), flush=True)
    print()
    print(table(results))


if __name__ == "__main__":
    main()
