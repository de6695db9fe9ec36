"""torch.autograd.grad_mode: when operations are recorded. It must not know Tensors."""

from __future__ import annotations

import threading

from gradcore.graph.modes import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)

__all__ = [
    "enable_grad",
    "inference_mode",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "no_grad",
    "set_grad_enabled",
    "set_multithreading_enabled",
]


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
