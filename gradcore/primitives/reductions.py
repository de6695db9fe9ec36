"""Sums, products, extrema and cumulative forms along axes, with their derivatives. It must not know Tensors."""

from __future__ import annotations

from typing import Any

from gradcore.recorder import primitive

Array = Any
Axes = tuple[int, ...]


@primitive("linear", x=lambda F, g, x_shape, axis: F.spread(g, axis=axis, shape=x_shape))
def sum(F: Any, x: Array, *, axis: Axes) -> Array:
    return F.sum(x, axis=axis)


@primitive("linear", x=lambda F, g, axis: F.sum(g, axis=axis))
def spread(F: Any, x: Array, *, axis: Axes, shape: tuple[int, ...]) -> Array:
    """Repeat `x` along new axes `axis` of the result of `shape`: the transpose of `sum`."""
    return F.broadcast_to(F.expand_dims(x, axis), shape)


@primitive("linear", x=lambda F, g, x_shape, axis, count: F.spread(g / count, axis=axis, shape=x_shape))
def mean(F: Any, x: Array, *, axis: Axes, count: int) -> Array:
    return F.sum(x, axis=axis) / count
