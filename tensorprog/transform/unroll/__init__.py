"""Training as a program (Yang & Littwin 2021, App. D): `unroll` writes so many steps of SGD with instructions that the language has."""

from tensorprog.transform.unroll.losses import LossGradient
from tensorprog.transform.unroll.optimizer import SGD, Entrywise, adam, rmsprop, sign_sgd
from tensorprog.transform.unroll.unroll import Unrolled, unroll

__all__ = ["SGD", "Entrywise", "LossGradient", "Unrolled", "adam", "rmsprop", "sign_sgd", "unroll"]
