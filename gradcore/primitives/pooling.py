"""Maxima and averages over windows, with their transposes. It must not know Tensors.

The last axes of an array are the ones the windows slide along; all before them are a batch.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any

from gradcore.primitives.windows import Sizes, Window
from gradcore.recorder import primitive

Array = Any


def _max_pool_rule(F: Any, g: Any, x_shape: Sizes, indices: Any, window: Window) -> Any:
    lead, size = x_shape[: len(x_shape) - window.ndim], x_shape[len(x_shape) - window.ndim :]
    rows = (*lead, prod(indices.shape[len(lead) :]))
    # Windows that do not overlap name no cell twice.
    distinct = all(s >= r for s, r in zip(window.stride, window.reach, strict=True))
    flat = F.reshape(indices, shape=rows)
    placed = F.place(F.reshape(g, shape=rows), flat, axis=len(lead), shape=(*lead, prod(size)), distinct=distinct)
    return F.reshape(placed, shape=x_shape)


@primitive("general", x=_max_pool_rule, outputs=("values", "indices"), constant=("indices",), node="MaxPool")
def max_pool(F: Any, x: Array, *, window: Window) -> tuple[Array, Array]:
    """The maximum of each window, and where in `x`, its last axes flattened, it first stands; NaN is above
    all."""
    size = x.shape[x.ndim - window.ndim :]
    out, padded = window.out(size), window.padded(F, x, _lowest(x.dtype))
    first, offset, origin = (_geometry_on_host if F.device_type == "cpu" else _geometry)(F, window, size)
    best: Any = None
    tap: Any = None
    for k, (_, index) in enumerate(window.taps(out)):
        candidate = padded[index]
        if best is None:
            best, tap = candidate, F.empty(candidate.shape, first.dtype)
            tap[...] = first
        else:
            better = candidate > best
            if x.dtype.kind not in "iu":
                better |= candidate != candidate
            # The taps come in order, so the largest that was better is the last: no branches.
            tap = F.maximum(tap, better * tap.dtype.type(k))
            best = F.maximum(best, candidate)
    return F.copy(best), F.take(offset, tap) + origin


@primitive("general")
def argmax_at(F: Any, x: Array, places: Array) -> Array:
    """Which of the cells of `x` (rows, cells) is the largest of those at `places` (taps, rows or 1, windows).

    Of equal ones it is the first tap; NaN is above all.
    """
    shape = (x.shape[0], places.shape[2])
    best: Any = None
    for k in range(places.shape[0]):
        at = F.broadcast_view(places[k], shape)
        value = F.take_along_axis(x, at, 1)
        if best is None:
            best, found = value, at
        else:
            better = F.logical_or(value > best, value != value)
            best, found = F.where(better, value, best), F.where(better, at, found)
    return F.copy(found)


def _first_taps(F: Any, window: Window, out: Sizes) -> Array:
    """The first tap of each window that is not in the padding."""
    first = F.zeros((1,) * window.ndim, "int64")
    for a, (n, s, d) in enumerate(zip(out, window.stride, window.dilation, strict=True)):
        origin = F.arange(n) * s - window.padding[a][0]
        inside = F.maximum((d - 1 - origin) // d, 0)
        first = first + _along(inside * prod(window.kernel[a + 1 :]), a, window.ndim)
    return first


def _geometry(F: Any, window: Window, size: Sizes) -> tuple[Array, Array, Array]:
    """The first tap of each window that is not in the padding; and what makes a tap's flat position in an array of `size`:
    what it adds, and where each window begins."""
    out = window.out(size)
    first = F.astype(_first_taps(F, window, out), "int8" if prod(window.kernel) < 128 else "int32")
    origin = offset = F.zeros((1,) * window.ndim, "int64")
    for a, (n, k) in enumerate(zip(out, window.kernel, strict=True)):
        row = prod(size[a + 1 :])
        origin = origin + _along(F.arange(n) * (window.stride[a] * row) - window.padding[a][0] * row, a, window.ndim)
        offset = offset + _along(F.arange(k) * (window.dilation[a] * row), a, window.ndim)
    return first, offset.reshape(-1), origin


_geometry_on_host = lru_cache(32)(_geometry)


def _along(x: Array, axis: int, ndim: int) -> Array:
    return x.reshape([-1 if a == axis else 1 for a in range(ndim)])


def _lowest(dtype: Any) -> float:
    if dtype.kind in "iu":
        return -(1 << 8 * dtype.itemsize - 1) if dtype.kind == "i" else 0
    return float("-inf")


@primitive(
    "linear",
    dense=True,
    x=lambda F, g, x_shape, window, counted, divisor: F.avg_pool_transposed(
        g, window=window, counted=counted, divisor=divisor, size=x_shape[len(x_shape) - window.ndim :]
    ),
    node="AvgPool",
)
def avg_pool(F: Any, x: Array, *, window: Window, counted: bool, divisor: int | None) -> Array:
    """The sum over each window by `divisor`, or if that is None by its cells: those in the padding if
    `counted`."""
    size = x.shape[x.ndim - window.ndim :]
    out = window.out(size)
    total = _box_sums(F, window, window.padded(F, x, 0), out)
    mean = total / (_cells(F, window, size, out, counted, x.dtype) if divisor is None else divisor)
    return F.astype(F.trunc(mean), x.dtype) if x.dtype.kind in "iu" else mean


@primitive(
    "linear",
    x=lambda F, g, window, counted, divisor: F.avg_pool(g, window=window, counted=counted, divisor=divisor),
    node="AvgPool",
)
def avg_pool_transposed(F: Any, x: Array, *, window: Window, counted: bool, divisor: int | None, size: Sizes) -> Array:
    """Each x spread evenly over its window, in an array of `size`: the transpose of `avg_pool`."""
    n = window.ndim
    out = x.shape[x.ndim - n :]
    share = x / (_cells(F, window, size, out, counted, x.dtype) if divisor is None else divisor)
    repeated = F.expand_dims(share, tuple(range(x.ndim - n, x.ndim)))
    shape = (*x.shape[: x.ndim - n], *window.kernel, *out)
    return F.image(F.broadcast_view(repeated, shape), window, size)


def _box_sums(F: Any, window: Window, x: Array, out: Sizes) -> Array:
    """The sum over each window, along one axis after the other."""
    first = x.ndim - window.ndim
    for i, (n, k, s) in enumerate(zip(out, window.kernel, window.stride, strict=True)):
        lead, total = (slice(None),) * (first + i), None
        for start in range(k):
            part = x[(*lead, slice(start, start + (n - 1) * s + 1, s))]
            total = part if total is None else total + part
        x = total
    return x


def _cells(F: Any, window: Window, size: Sizes, out: Sizes, counted: bool, dtype: Any) -> Any:
    """How many cells each window averages: a number, or an array of the shape `out` where they differ."""
    before = tuple(p[0] for p in window.padding)
    even = all(p[0] == p[1] for p in window.padding) if counted else not any(map(any, window.padding))
    if even:
        return prod(window.kernel)
    cells: Any = 1
    for i, (n, k, s, p) in enumerate(zip(size, window.kernel, window.stride, before, strict=True)):
        margin = p if counted else 0
        start = F.arange(out[i]) * s - p
        seen = F.minimum(start + k, n + margin) - F.maximum(start, -margin)
        cells = cells * _along(seen, i, window.ndim)
    return F.astype(cells, dtype)
