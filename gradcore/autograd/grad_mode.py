"""torch.autograd.grad_mode: when operations are recorded. It must not know Tensors."""

from __future__ import annotations

import threading
from importlib import import_module
from typing import TYPE_CHECKING, Any

from gradcore.graph.modes import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)

if TYPE_CHECKING:
    from gradcore.autograd.accepted import enforce_grad_layout_policy

__all__ = [
    "enable_grad",
    "enforce_grad_layout_policy",
    "inference_mode",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "no_grad",
    "set_grad_enabled",
    "set_multithreading_enabled",
]


def __getattr__(name: str) -> Any:
    if name == "enforce_grad_layout_policy":
        return import_module("gradcore.autograd.accepted").enforce_grad_layout_policy
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


class _Multithreading(threading.local):
    enabled = True


_multithreading = _Multithreading()


def is_multithreading_enabled() -> bool:
    """What `set_multithreading_enabled` said last in this thread."""
    return _multithreading.enabled


class set_multithreading_enabled:
    """Allow sweeps more threads than the one that calls, or not, at once; and as before on leaving a `with` block.

    It is there for torch's sake: sweeps run in the thread that calls them always.
    """

    def __init__(self, mode: bool) -> None:
        self._before = _multithreading.enabled
        self.mode = _multithreading.enabled = bool(mode)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exception: object) -> None:
        _multithreading.enabled = self._before

    def clone(self) -> set_multithreading_enabled:
        """Another of the same."""
        return type(self)(self.mode)
