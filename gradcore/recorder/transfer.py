"""Moving a value to another device, recorded: its transpose moves the cotangent back. It must not know any
operation.

This is no primitive, because a primitive's forward stays within one backend.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

from gradcore.backends import of
from gradcore.graph import Node, Step, modes, recorded
from gradcore.recorder import views
from gradcore.recorder.value import Value, meta, wrap


def moved(array: Any, F: ModuleType, index: int | None, non_blocking: bool = False) -> Any:
    """Return `array` on device `index` of the backend `F`: itself if it is there, else a copy.

    If `non_blocking`, a copy between page-locked memory of the host and a device goes on while the host does.
    """
    source = of(array)
    if hasattr(source, "interpreter"):  # an array of a transform goes with what it holds
        return array.moved(lambda inner: moved(inner, F, index))
    if source is F:
        return F.to_device(array, index)
    return F.from_host(source.to_host(array, non_blocking), index, non_blocking)


def transfer(x: Value, F: ModuleType, index: int | None, non_blocking: bool = False) -> Any:
    """Return a copy of `x` on device `index` of the backend `F`; the move is recorded."""
    out = wrap(moved(x._array, F, index, non_blocking))
    if modes.is_grad_enabled():
        origin = x._node if x._meta is None else views.current(x)
        if origin is not None:
            source = of(x._array)
            out._node = node = recorded(_step(source, source.device_of(x._array)[1]), (origin,), ())
            if source is F:
                import_module("gradcore.recorder.places").note_move(node)
    elif modes.is_inference_mode_enabled():
        meta(out).inference = True
    return out


class _Back:
    """The step of a transfer: takes cotangents to the device that the value came from."""

    name = "ToCopyBackward0"
    needs: tuple[bool, ...] = (True,)
    layout = ()
    frees = False

    def __init__(self, F: ModuleType, index: int | None) -> None:
        self.F = F
        self.index = index
        self.pull: Callable[[Any, Any], tuple[Any, ...]] = lambda g, saved: (moved(g, F, index),)

    def traced(self, node: Node, cotangent: Any) -> tuple[Any, ...]:
        return (transfer(cotangent, self.F, self.index),)

    def narrowed(self, wanted: tuple[bool, ...]) -> Step:
        return self

    def check(self, node: Node, traced: bool) -> None:
        """Nothing is saved."""

    def relabelled(self, name: str) -> _Back:
        return self


_step = functools.cache(_Back)
