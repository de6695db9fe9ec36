"""Sums, means, extrema, variances and norms along axes, with their derivatives. It must not know Tensors.

`axis` is a tuple of axes counted from the front, or None for all of them. A result or a cotangent without the reduced
axes has the elements of one that keeps them at length 1, so no rule asks which it got: `spread` takes both.
"""

from __future__ import annotations

from math import prod
from typing import Any

from gradcore.backends.shared import SMALL
from gradcore.recorder import primitive

Array = Any
Axes = tuple[int, ...] | None
Shape = tuple[int, ...]


@primitive("linear", x=lambda F, g, x_shape, axis: F.spread(g, axis=axis, shape=x_shape))
def sum(F: Any, x: Array, *, axis: Axes, keepdims: bool = False) -> Array:
    return F.sum(x, axis, keepdims=keepdims)


@primitive("linear", x=lambda F, g, x_shape, axis, count: F.spread(g, axis=axis, shape=x_shape, count=count))
def mean(F: Any, x: Array, *, axis: Axes, count: int, keepdims: bool = False) -> Array:
    """The sum over `axis` divided by `count`; narrow types are rounded once, after the division."""
    if x.itemsize > 2:
        return F.sum(x, axis, keepdims=keepdims) / count
    return F.astype(F.sum(F.astype(x, "float32"), axis, keepdims=keepdims) / count, x.dtype)


def _gathered(F: Any, g: Any, x_shape: Shape, axis: Axes, count: int) -> Any:
    total = F.sum(g, axis=axis) if count == 1 else F.mean(g, axis=axis, count=count)
    return F.reshape(total, shape=x_shape)


@primitive("linear", x=_gathered)
def spread(F: Any, x: Array, *, axis: Axes, shape: Shape, count: int = 1) -> Array:
    """Repeat `x` / `count` along the axes `axis` of the result of `shape`: the transpose of `sum` and of `mean`."""
    if axis is not None and x.ndim:
        x = x.reshape([1 if i in axis else n for i, n in enumerate(shape)])
    if count != 1:
        # [()] makes a number of a 0-d array on the host, which divides ten times faster.
        x = x[()] / count if x.itemsize > 2 else F.astype(F.astype(x, "float32") / count, x.dtype)
    if prod(shape) > SMALL:
        return F.broadcast_view(x, shape)
    out = F.empty(shape, x.dtype)
    out[()] = x
    return out


@primitive("general")
def integer_sum(F: Any, x: Array, *, axis: Axes, keepdims: bool = False) -> Array:
    return F.sum(x, axis, keepdims=keepdims, dtype="int64")


# -- extrema: elements that are equal share the cotangent --------------------------------------------------------------


def _shared(F: Any, g: Any, x: Any, out: Any, axis: Axes, nans: bool, keepdims: bool, x_shape: Shape, x_dtype: Any) -> Any:
    peak = F.spread(out, axis=axis, shape=x_shape)
    at = x == peak
    if nans:
        at = at | ((x != x) & (peak != peak))
    at = F.astype(at, dtype=x_dtype)
    return F.spread(g / F.sum(at, axis=axis, keepdims=keepdims), axis=axis, shape=x_shape) * at


@primitive("general", x=_shared)
def amax(F: Any, x: Array, *, axis: Axes, keepdims: bool = False, nans: bool = False) -> Array:
    """The maximum over `axis`; `nans` says that a NaN that won gets the cotangent, not everything."""
    return F.max(x, axis, keepdims=keepdims)


@primitive("general", x=_shared)
def amin(F: Any, x: Array, *, axis: Axes, keepdims: bool = False, nans: bool = False) -> Array:
    """The minimum over `axis`; `nans` as for `amax`."""
    return F.min(x, axis, keepdims=keepdims)
