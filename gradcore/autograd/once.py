"""What may be differentiated once: a backward whose results refuse a second time. It must not know any Function."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from gradcore.graph import Node, modes, recorded
from gradcore.recorder import inplace
from gradcore.recorder.value import Value, wrap


def once_differentiable(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a `backward` that cannot be differentiated: its results raise when somebody tries."""

    @functools.wraps(fn)
    def once(ctx: Any, *args: Any) -> Any:
        with modes.no_grad():
            returned = fn(ctx, *args)
        origins = tuple(
            origin for origin in (inplace.target(a) for a in args if isinstance(a, Value)) if origin is not None
        )
        if not modes.is_grad_enabled() or not origins:
            return returned
        node = recorded(_Once(len(origins)), origins, ())
        outs = tuple(
            wrap(out._array, node) if isinstance(out, Value) else out
            for out in (returned if isinstance(returned, tuple) else (returned,))
        )
        return outs if isinstance(returned, tuple) else outs[0]

    return once


class _Once:
    """The step of what may not be differentiated."""

    name = "Error"
    frees = False

    def __init__(self, n: int) -> None:
        self.needs = (True,) * n

    def pull(self, g: Any, saved: Any) -> tuple[Any, ...]:
        """Refuse."""
        raise RuntimeError("trying to differentiate twice a function that was marked with @once_differentiable")

    def traced(self, node: Node, cotangent: Any) -> tuple[Any, ...]:
        """Refuse."""
        return self.pull(cotangent, None)

    def narrowed(self, wanted: tuple[bool, ...]) -> _Once:
        """The same: nothing is computed."""
        return self

    def check(self, node: Node, traced: bool) -> None:
        """Nothing is saved."""

    def relabelled(self, name: str) -> _Once:
        """The same."""
        return self
