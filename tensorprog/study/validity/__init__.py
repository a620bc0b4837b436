"""When the NTK approximation is valid: training beside its linearization (Boix-Adsera & Littwin 2023, arXiv 2305.13141)."""

from tensorprog.study.validity.bound import PAPER, SHARP, Validity, ntk_validity_bound
from tensorprog.study.validity.certified import quadratic, reach, two_layer
from tensorprog.study.validity.hard import HardInstance, hard_instance, hardness, scale_needed
from tensorprog.study.validity.training import (
    Comparison,
    Lipschitz,
    Task,
    centered,
    descent,
    estimated_lipschitz,
    flow,
    integrator,
    of_network,
    sufficient_scale,
)

__all__ = [
    "PAPER",
    "SHARP",
    "Comparison",
    "HardInstance",
    "Lipschitz",
    "Task",
    "Validity",
    "centered",
    "descent",
    "estimated_lipschitz",
    "flow",
    "hard_instance",
    "hardness",
    "integrator",
    "ntk_validity_bound",
    "of_network",
    "quadratic",
    "reach",
    "scale_needed",
    "sufficient_scale",
    "two_layer",
]
