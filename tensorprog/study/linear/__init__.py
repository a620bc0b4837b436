"""Exact learning dynamics of two-layer linear networks, from lazy to rich (Domine et al. 2025, arXiv 2409.14623)."""

from tensorprog.study.linear.balance import Shape, Weights, balanced, correlation, lecun, random_weights, whiten
from tensorprog.study.linear.flow import descend, integrate, integrate_products
from tensorprog.study.linear.kernel import distances, input_similarity, kernel_distance, ntk, output_similarity, phase, sensitivity
from tensorprog.study.linear.singular import gamma, singular_values
from tensorprog.study.linear.solution import Solution, limit, solve
from tensorprog.study.linear.tasks import continual, regression, semantic

__all__ = [
    "Shape",
    "Solution",
    "Weights",
    "balanced",
    "continual",
    "correlation",
    "descend",
    "distances",
    "gamma",
    "input_similarity",
    "integrate",
    "integrate_products",
    "kernel_distance",
    "lecun",
    "limit",
    "ntk",
    "output_similarity",
    "phase",
    "random_weights",
    "regression",
    "semantic",
    "sensitivity",
    "singular_values",
    "solve",
    "whiten",
]
