"""Order on the host: the indices that sort, and those of a few largest; must not know gradients or CuPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcore.backends.scatters import take_along_axis

_MANY = 256  # elements, from which on NumPy's unstable sort, of vectors, takes half the time of its stable one
_SMALL = 2048  # elements of which NumPy finds a few sooner than its own calls would be made one by one
_FEW = 8  # elements that are found sooner one after the other


def argsort(x: Any, axis: int = -1) -> Any:
    """Return the indices that sort `x` along `axis`; equal elements keep their order."""
    if x.dtype.char not in "fd" or x.size < _MANY:
        return np.argsort(x, axis, stable=True)
    rows, shape = _rows(x, axis)
    order = np.argsort(rows, -1)
    ordered = take_along_axis(rows, order, -1)
    # Different elements have but one order. "Not less" is true of NaN as well.
    unsure = np.flatnonzero((~(ordered[:, :-1] < ordered[:, 1:])).any(-1))
    if unsure.size:
        order[unsure] = np.argsort(rows[unsure], -1, stable=True)
    return order.reshape(shape).swapaxes(axis, -1)


def argtop(x: Any, count: int, axis: int, largest: bool) -> Any:
    """Return the indices of the `count` largest (or smallest) elements along `axis`, in any order; NaN is above all."""
    if count <= _FEW and x.dtype.char in "fd" and x.size > _SMALL:
        rows, shape = _rows(x, axis)
        left, out, each = rows.copy(), np.empty((rows.shape[0], count), np.intp), np.arange(rows.shape[0])
        never = -np.inf if largest else np.inf
        for i in range(count):
            out[:, i] = at = (left.argmax if largest else left.argmin)(-1)
            left[each, at] = never
        found = take_along_axis(rows, out, -1)
        if np.all(found > never if largest else found < never):  # else an element may have been found twice, or a NaN
            return out.reshape((*shape[:-1], count)).swapaxes(axis, -1)
    n = x.shape[axis]
    order = x.argpartition(n - count if largest else count - 1, axis)
    return order.swapaxes(axis, -1)[..., n - count if largest else 0 :][..., :count].swapaxes(axis, -1)


def _rows(x: Any, axis: int) -> tuple[Any, tuple[int, ...]]:
    """The elements along `axis` as rows of a matrix, and the shape of `x` with that axis last."""
    moved = x.swapaxes(axis, -1)
    return np.ascontiguousarray(moved).reshape(-1, moved.shape[-1]), moved.shape
