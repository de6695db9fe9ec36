"""Functions that every backend offers with one implementation, over a namespace `F`; knows no array library by name.

Each takes the backend first; numpy.py and cupy.py bind that argument (see `bind`).
"""
from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

Array = Any
# below this many elements, allocating costs less than the 2 microseconds of making a zero-stride view, and a real array
# keeps the next ufunc on its contiguous loop
SMALL = 4096


def bind(module: ModuleType, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function` with the backend as its first argument."""
    return functools.partial(function, module)


# layout


def expand_dims(F: Any, x: Array, axis: int | Sequence[int]) -> Array:
    """Return a view of `x` with axes of length 1 at the positions `axis` of the result."""
    shape = x.shape
    if isinstance(axis, int):
        axis %= len(shape) + 1
        return x.reshape((*shape[:axis], 1, *shape[axis:]))
    ndim = len(shape) + len(axis)
    widened = list(shape)
    for a in sorted(a % ndim for a in axis):
        widened.insert(a, 1)
    return x.reshape(widened)


def moveaxis(F: Any, x: Array, source: int | Sequence[int], destination: int | Sequence[int]) -> Array:
    """Return a view of `x` with the axes `source` at the positions `destination`."""
    ndim = x.ndim
    moved = [a % ndim for a in ((source,) if isinstance(source, int) else source)]
    places = [a % ndim for a in ((destination,) if isinstance(destination, int) else destination)]
    order = [a for a in range(ndim) if a not in moved]
    for place, a in sorted(zip(places, moved, strict=True)):
        order.insert(place, a)
    return x.transpose(order)


def stack(F: Any, arrays: Sequence[Array], axis: int = 0) -> Array:
    """Join arrays of one shape along a new axis."""
    return F.concatenate([expand_dims(F, x, axis) for x in arrays], axis)


def broadcast_to(F: Any, x: Array, shape: Sequence[int]) -> Array:
    """Return `x` broadcast to `shape`: `x` itself, a new array when small, a zero-stride view when large."""
    shape = tuple(shape)
    if x.shape == shape:
        return x
    if math.prod(shape) > SMALL:
        return F.broadcast_view(x, shape)
    out = F.empty(shape, x.dtype)
    out[...] = x
    return out


def full(F: Any, shape: int | Sequence[int], fill_value: Any, dtype: Any) -> Array:
    """Return a new array of `shape` and `dtype` filled with `fill_value`."""
    out = F.empty(shape, dtype)
    out[...] = fill_value
    return out


def ones(F: Any, shape: int | Sequence[int], dtype: Any) -> Array:
    """Return a new array of ones."""
    return full(F, shape, 1, dtype)


def zeros_like(F: Any, x: Array, dtype: Any = None) -> Array:
    """Return zeros of the shape of `x`."""
    return F.zeros(x.shape, x.dtype if dtype is None else dtype)


def ones_like(F: Any, x: Array, dtype: Any = None) -> Array:
    """Return ones of the shape of `x`."""
    return full(F, x.shape, 1, x.dtype if dtype is None else dtype)


def full_like(F: Any, x: Array, fill_value: Any, dtype: Any = None) -> Array:
    """Return an array of the shape of `x` filled with `fill_value`."""
    return full(F, x.shape, fill_value, x.dtype if dtype is None else dtype)


def empty_like(F: Any, x: Array, dtype: Any = None) -> Array:
    """Return an uninitialised array of the shape of `x`."""
    return F.empty(x.shape, x.dtype if dtype is None else dtype)


# elementwise


def sigmoid(F: Any, x: Array) -> Array:
    """Return 1 / (1 + exp(-x)): where exp overflows the quotient is 0, as it should be."""
    return F.reciprocal(F.exp(-x) + 1)


def round_half_even(F: Any, x: Array, decimals: int = 0) -> Array:
    """Round to `decimals` places, halves to even; negative `decimals` round to tens, hundreds, ..."""
    if decimals == 0:
        return F.rint(x)
    scale = 10.0 ** abs(decimals)
    return F.rint(x * scale) / scale if decimals > 0 else F.rint(x / scale) * scale
