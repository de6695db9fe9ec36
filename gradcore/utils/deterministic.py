"""torch.utils.deterministic: whether uninitialised memory is filled in deterministic mode. It must not know how."""

from __future__ import annotations

import sys
from types import ModuleType

from gradcore.backends.determinism import mode


class _Deterministic(ModuleType):
    """A module with a switch."""

    @property
    def fill_uninitialized_memory(self) -> bool:
        """Whether `empty` and its like hold nan, or the largest integer, in deterministic mode."""
        return mode.fill

    @fill_uninitialized_memory.setter
    def fill_uninitialized_memory(self, fill: bool) -> None:
        if type(fill) is not bool:
            raise TypeError(f"expected a bool, but got {type(fill)}")
        mode.fill = fill


sys.modules[__name__].__class__ = _Deterministic
