"""The Master Theorem, exact: an algebra of random variables and one question, E of a product (Yang & Littwin 2021, App. B)."""

from tensorprog.interpret.limit.theorem import Limit, limit

__all__ = ["Limit", "limit"]
