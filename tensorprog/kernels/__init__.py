"""What users want from a limit: `tp.kernels(net, X)` is the NNGP kernel and the NTK; dynamics, posteriors and finite-width kernels beside it.

The package is called like a function because that is its name in a user's program; what is called is `kernels.limit.kernels`.
"""

import sys
from types import ModuleType
from typing import Any


class _Kernels(ModuleType):
    def __call__(self, *args: Any, **options: Any) -> Any:
        """The limiting kernels; see `tensorprog.kernels.limit.kernels`."""
        from tensorprog.kernels.limit import kernels

        return kernels(*args, **options)


sys.modules[__name__].__class__ = _Kernels
