"""Counts, searches in sorted arrays, distinct elements: no derivatives. It must not know Tensors."""

from __future__ import annotations

from typing import Any

from gradcore.primitives.sorting import comparable
from gradcore.recorder import primitive

Array = Any
Axes = tuple[int, ...]


@primitive("general", dense=True)
def all(F: Any, x: Array, *, axis: Axes, keepdims: bool = False) -> Array:
    """Whether all elements over `axis` are nonzero; uint8, as torch does, for uint8."""
    out = F.all(x, axis, keepdims=keepdims)
    return F.astype(out, "uint8") if x.dtype == "uint8" else out


@primitive("general", dense=True)
def any(F: Any, x: Array, *, axis: Axes, keepdims: bool = False) -> Array:
    """Whether any element over `axis` is nonzero; uint8, as torch does, for uint8."""
    out = F.any(x, axis, keepdims=keepdims)
    return F.astype(out, "uint8") if x.dtype == "uint8" else out


@primitive("general", dense=True)
def count_nonzero(F: Any, x: Array, *, axis: Axes) -> Array:
    return F.sum(x != 0, axis, dtype="int64")


@primitive("general")
def bincount(F: Any, x: Array, weights: Array, *, minlength: int) -> Array:
    """How often each integer from 0 occurs, or the sum of its `weights`."""
    if not x.size:
        return F.zeros((minlength,), "int64" if weights is None else weights.dtype)
    counts = F.bincount(x, weights, minlength)
    return F.astype(counts, "int64" if weights is None else weights.dtype if weights.dtype == "float32" else "float64")


# -- sorted arrays ----------------------------------------------------------------------------------------


@primitive("general")
def searchsorted(F: Any, x: Array, values: Array, *, right: bool) -> Array:
    """How many elements of the sorted rows `x` stand before each of `values`; one row is for all values."""
    x, values = comparable(F, x), comparable(F, values)
    if x.ndim == 1:
        side = "right" if right else "left"
        return F.reshape(F.searchsorted(x, F.reshape(values, (-1,)), side), values.shape)
    n = x.shape[-1]
    low, high = F.zeros(values.shape, "int64"), F.full(values.shape, n, "int64")
    for _ in range(n.bit_length()):  # halve all intervals at once
        middle = (low + high) // 2
        there = F.take_along_axis(x, F.minimum(middle, n - 1), -1)
        before = F.logical_not(there > values if right else there >= values) & (low < high)
        low, high = F.where(before, middle + 1, low), F.where(before, high, middle)
    return low


@primitive("general")
def tally(F: Any, places: Array, weights: Array, *, bins: int, dtype: Any) -> Array:
    """How often each number below `bins` occurs in each row of `places` (N, n), or the sum of its `weights`; `bins` and
    above do not count."""
    rows = places.shape[0]
    # What does not count has a bin of its own, which is then dropped.
    places = F.minimum(places, bins) + F.reshape(F.arange(rows), (-1, 1)) * (bins + 1)
    weights = None if weights is None else F.reshape(weights, (-1,))
    counts = F.bincount(F.reshape(places, (-1,)), weights, rows * (bins + 1))
    return F.astype(F.reshape(counts, (rows, bins + 1))[:, :bins], dtype)


# -- distinct elements ------------------------------------------------------------------------------------

_DISTINCT = ("values", "inverse", "counts")


def _runs(F: Any, x: Array) -> tuple[Array, Array, Array]:
    """The first of each run of equal rows, for each row its run, the runs' lengths."""
    if x.shape[0] == 0:
        return x, F.zeros((0,), "int64"), F.zeros((0,), "int64")
    differ = x[1:] != x[:-1]
    if x.ndim > 1:
        differ = F.any(differ, tuple(range(1, x.ndim)))
    starts = F.concatenate([F.ones((1,), "bool"), differ], 0)
    (first,) = F.nonzero(starts)
    ends = F.concatenate([first[1:], F.full((1,), x.shape[0], "int64")], 0)
    return F.take(x, first, 0), F.cumsum(F.astype(starts, "int64"), 0) - 1, ends - first


@primitive("general", outputs=_DISTINCT, constant=_DISTINCT)
def unique_runs(F: Any, x: Array, *, axis: int | None) -> tuple[Array, ...]:
    """Consecutive distinct elements, or slices along `axis`; for each element its run; the runs' lengths."""
    if axis is None:
        values, inverse, counts = _runs(F, F.reshape(x, (-1,)))
        return values, F.reshape(inverse, x.shape), counts
    values, inverse, counts = _runs(F, F.moveaxis(x, axis, 0))
    return F.moveaxis(values, 0, axis), inverse, counts


@primitive("general", outputs=_DISTINCT, constant=_DISTINCT)
def unique(F: Any, x: Array, *, axis: int | None) -> tuple[Array, ...]:
    """Distinct elements (slices along `axis`) in order; the place among them of each; how often each is."""
    if axis is not None:
        values, inverse, counts = F.unique(comparable(F, x), False, True, True, axis)
        return F.astype(values, x.dtype), F.reshape(inverse, (-1,)), counts
    flat = F.reshape(x, (-1,))
    near = _near(F, flat)
    if near is not None:
        low, places, counts = near
        (first,) = F.nonzero(counts)
        inverse = F.take(F.cumsum(counts > 0, 0) - 1, places, 0)
        return F.astype(first, x.dtype) + low, F.reshape(inverse, x.shape), F.take(counts, first, 0)
    order = F.argsort(comparable(F, flat), 0)
    values, run, counts = _runs(F, F.take(flat, order, 0))
    inverse = F.empty(flat.shape, "int64")
    inverse[order] = run
    return values, F.reshape(inverse, x.shape), counts


@primitive("general", outputs=("values",), constant=("values",))
def distinct(F: Any, x: Array) -> Array:
    """The first result of `unique`, which takes a fraction of the time of all three."""
    flat = F.reshape(x, (-1,))
    near = _near(F, flat)
    if near is None:
        return F.astype(_runs(F, F.sort(comparable(F, flat), 0))[0], x.dtype)
    low, _, counts = near
    return F.astype(F.nonzero(counts)[0], x.dtype) + low


_FEW = 256  # elements, which are sorted in no time


def _near(F: Any, x: Array) -> tuple[Array, Array, Array] | None:
    """Of many integers on the host that are close together: the least, how far each is above it, how many are so far.

    To count takes less time than to sort.
    """
    if F.device_type != "cpu" or x.size <= _FEW or x.dtype.kind not in "iu":
        return None
    low, high = x.min(), x.max()
    span = int(high) - int(low) + 1
    if span > x.size:
        return None
    places = F.astype(x - low, "int64") if x.dtype.kind == "u" else F.astype(x, "int64") - int(low)
    return low, places, F.bincount(places, None, span)
