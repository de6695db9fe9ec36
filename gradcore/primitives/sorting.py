"""Indices of extrema and of order, and what stands there. It must not know Tensors.

Indices have no derivative, and what stands at indices is linear in the array. So every sorting op is an index
primitive followed by `pick`.
"""

from __future__ import annotations

from math import nan
from typing import Any

from gradcore.primitives.cumulative import scan
from gradcore.primitives.reductions import extremum_pull
from gradcore.recorder import primitive

Array = Any
Shape = tuple[int, ...]


@primitive(
    "multilinear",
    dense=True,
    x=lambda F, g, indices, x_shape, axis, keepdims, distinct: F.place(
        g, indices, axis=axis, shape=x_shape, keepdims=keepdims, distinct=distinct
    ),
)
def pick(F: Any, x: Array, indices: Array, *, axis: int, keepdims: bool = True, distinct: bool = True) -> Array:
    """The elements of `x` at `indices` along `axis`; without `keepdims` neither these nor the result have it.

    `distinct` says that no place is named twice.
    """
    if not x.ndim:
        return F.copy(x)
    if keepdims:
        return F.take_along_axis(x, indices, axis)
    return F.squeeze(F.take_along_axis(x, F.expand_dims(indices, axis), axis), axis)


@primitive(
    "multilinear",
    x=lambda F, g, indices, axis, keepdims, distinct: F.pick(g, indices, axis=axis, keepdims=keepdims, distinct=distinct),
)
def place(
    F: Any, x: Array, indices: Array, *, axis: int, shape: Shape, keepdims: bool = True, distinct: bool = True
) -> Array:
    """Zeros of `shape` with the elements of `x` added at `indices` along `axis`: the transpose of `pick`."""
    if not shape:
        return F.copy(x)
    if not keepdims:
        x, indices = F.expand_dims(x, axis), F.expand_dims(indices, axis)
    out = F.zeros(shape, x.dtype)
    if distinct:
        F.put_along_axis(out, indices, x, axis)
        return out
    grid = [F.arange(n).reshape([-1 if i == a else 1 for i in range(x.ndim)]) for a, n in enumerate(x.shape)]
    grid[axis] = indices
    return F.scatter_add(out, tuple(grid), x)


@primitive("general")
def argmax(F: Any, x: Array, *, axis: int | None, keepdims: bool = False) -> Array:
    """The index of the first maximum, NaN counting as one."""
    return F.argmax(x, axis, keepdims=keepdims)


@primitive("general")
def argmin(F: Any, x: Array, *, axis: int | None, keepdims: bool = False) -> Array:
    """The index of the first minimum, NaN counting as one."""
    return F.argmin(x, axis, keepdims=keepdims)


# -- order ------------------------------------------------------------------------------------------------


def comparable(F: Any, x: Array) -> Array:
    """`x`, or what sorts as torch sorts it: NaN of bfloat16 stands anywhere when NumPy sorts."""
    return F.astype(x, "float32") if x.dtype.kind == "V" else x


def _order(F: Any, x: Array, axis: int, descending: bool = False) -> Array:
    """The indices that sort `x`: equal elements keep their order, NaN counts as the largest."""
    if not x.ndim:
        return F.zeros((), "int64")
    x = comparable(F, x)
    if descending:
        return x.shape[axis] - 1 - _part(F.argsort(_part(x, axis, None, None, -1), axis), axis, None, None, -1)
    return F.argsort(x, axis)


def _part(x: Array, axis: int, start: int | None, stop: int | None, step: int = 1) -> Array:
    return x[(*(slice(None),) * axis, slice(start, stop, step))] if x.ndim else x


def _found(F: Any, indices: Array, axis: int, keepdims: bool) -> Array:
    return indices if keepdims or not indices.ndim else F.squeeze(indices, axis)


@primitive("general", dense=True)
def argsort(F: Any, x: Array, *, axis: int, descending: bool = False, count: int | None = None) -> Array:
    """The indices that sort `x`, or the first `count`; equal elements keep their order, NaN is largest.

    For a few of many, which of the elements equal to the last one are among them is left open.
    """
    if count is None:
        return _order(F, x, axis, descending)
    n = x.shape[axis] if x.ndim else 1
    if not 0 < count < n // 16:
        return _part(_order(F, x, axis, descending), axis, 0, count)
    few = F.sort(F.argtop(comparable(F, x), count, axis, descending), axis)
    return F.take_along_axis(few, _order(F, F.take_along_axis(x, few, axis), axis, descending), axis)


@primitive("general", dense=True)
def argkth(F: Any, x: Array, *, axis: int, k: int, keepdims: bool = False) -> Array:
    """The index of the element that has `k` before it in ascending order."""
    return _found(F, _part(_order(F, x, axis), axis, k, k + 1), axis, keepdims)


def _median_place(F: Any, x: Array, axis: int, skip_nan: bool) -> Array:
    """Where the lower median stands in ascending order: at the first NaN if there is one, or without them."""
    nans = F.sum(F.isnan(x), axis, keepdims=True, dtype="int64")
    real = x.shape[axis] - nans
    if skip_nan:
        return F.maximum(real - 1, 0) // 2
    return F.where(nans > 0, real, (x.shape[axis] - 1) // 2)


@primitive("general", dense=True)
def argmedian(F: Any, x: Array, *, axis: int, keepdims: bool = False, skip_nan: bool = False) -> Array:
    """The index of the lower median; NaN wins or, with `skip_nan`, does not count."""
    order = _order(F, x, axis)
    if x.ndim:
        order = F.take_along_axis(order, _median_place(F, x, axis, skip_nan), axis)
    return _found(F, order, axis, keepdims)


@primitive("general", dense=True, x=lambda F, g, x, out, axis: extremum_pull(F, g, x, out, axis, False, True))
def median(F: Any, x: Array, *, axis: tuple[int, ...] | None = None, skip_nan: bool = False) -> Array:
    """The lower median over the last axes, `axis` or all: who is equal shares the cotangent; NaN as for `argmedian`."""
    ahead = () if axis is None else tuple(x.shape[: x.ndim - len(axis)])
    if not x.size:
        return F.astype(F.full(ahead, nan, "float64"), x.dtype)
    flat = F.reshape(x, (*ahead, -1))
    place = _median_place(F, flat, len(ahead), skip_nan)
    ordered = F.sort(comparable(F, flat), len(ahead))
    return F.astype(F.reshape(F.take_along_axis(ordered, place, len(ahead)), ahead), x.dtype)


@primitive("general", dense=True)
def argmode(F: Any, x: Array, *, axis: int, keepdims: bool = False) -> Array:
    """The last index of the most frequent element, of the smallest if several are."""
    if not x.ndim:
        return F.zeros((), "int64")
    order = _order(F, x, axis)
    ordered = F.take_along_axis(x, order, axis)
    place = F.arange(x.shape[axis]).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    place = F.broadcast_to(place, x.shape)
    starts = F.concatenate(
        [
            F.ones_like(_part(x, axis, 0, 1), "bool"),
            _part(ordered, axis, 1, None) != _part(ordered, axis, 0, -1),
        ],
        axis,
    )
    run = place - _running(F, F.maximum, F.where(starts, place, 0), axis)
    best = F.argmax(run, axis, keepdims=True)
    return _found(F, F.take_along_axis(order, best, axis), axis, keepdims)


# -- running extrema --------------------------------------------------------------------------------------


def _running(F: Any, larger: Any, x: Array, axis: int) -> Array:
    if F.device_type == "cpu":
        return larger.accumulate(x, axis)
    return scan(F, lambda before, here: [larger(before[0], here[0])], [x], axis)[0]


@primitive("general", dense=True)
def argcummax(F: Any, x: Array, *, axis: int, largest: bool = True) -> Array:
    """For each element the index of the last maximum (or minimum) up to it, NaN counting as one."""
    if not x.ndim:
        return F.zeros((), "int64")
    at = (x == _running(F, F.maximum if largest else F.minimum, x, axis)) | F.isnan(x)
    place = F.arange(x.shape[axis]).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    return _running(F, F.maximum, F.where(at, place, 0), axis)
