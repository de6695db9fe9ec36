"""Writes and sums at places that indices name, on a device; must not know gradients.

Of several values for one place CUDA keeps any, and adds them up in any order. Sums of floats are in order here wherever that
costs little, and in deterministic mode everywhere; then, too, the last value for a place is the one that it keeps.
"""
from __future__ import annotations

from typing import Any

import cupy as cp
import cupyx
import numpy as np

from gradcore.backends import shared
from gradcore.backends.determinism import mode, refuse
from gradcore.backends.kernels.scatter import add_rows


def starts(n: int, length: int) -> Any:
    """Return where `n` rows of `length` elements, one after the other, begin."""
    return cp.arange(n) * length


def setitem(x: Any, index: Any, values: Any) -> None:
    """Write `values` to x[index]."""
    if mode.enabled and type(values) is cp.ndarray and values.size > 1 and _names_places(index):
        places = _places(x)[index]
        values = _last(cp.broadcast_to(values, places.shape), places, x.size)
    x[index] = values


def put_along_axis(x: Any, indices: Any, values: Any, axis: int) -> None:
    """Write `values` to the places along `axis` that `indices` name."""
    if mode.enabled and type(values) is cp.ndarray and values.size > 1:
        places = cp.take_along_axis(_places(x), indices, axis)
        values = _last(cp.broadcast_to(values, places.shape), places, x.size)
    cp.put_along_axis(x, indices, values, axis)


def _names_places(index: Any) -> bool:
    """Whether there are arrays of integers in an index, which may name a place twice."""
    return any(isinstance(i, cp.ndarray) and i.dtype.kind in "iu" for i in (index if type(index) is tuple else (index,)))


def _places(x: Any) -> Any:
    return cp.arange(x.size).reshape(x.shape)


def _last(values: Any, places: Any, size: int) -> Any:
    """For every value, the last one for its place; which of them is then written does not matter."""
    newest = cp.zeros(size, np.int64)
    cupyx.scatter_max(newest, places.reshape(-1), cp.arange(places.size))
    return values.reshape(-1)[newest[places]]


def add_at(x: Any, index: tuple[Any, ...], values: Any) -> None:
    """Add `values` to x[index] in place, floats of one row of memory after the other in the order of `values`."""
    kind, size = x.dtype.kind, x.dtype.itemsize
    if kind == "f" and (add_rows(x, index, values) or (mode.enabled and _add_in_order(x, index, values))):
        return
    if kind == "f":
        refuse("index_add_cuda_")
    if kind == "c":
        add_at(x.real, index, values.real)
        add_at(x.imag, index, values.imag)
    elif kind == "i" and size == 8:
        cupyx.scatter_add(x.view(np.uint64), index, values.astype(np.int64).view(np.uint64))
    elif size >= 4:
        cupyx.scatter_add(x, index, values)
    else:
        wide = x.astype(np.int32)
        cupyx.scatter_add(wide, index, values.astype(np.int32))
        x[...] = wide.astype(x.dtype)


def scatter_add(F: Any, x: Any, index: Any, values: Any) -> Any:
    """Add `values` to x[index] in place and return `x`; 16-bit sums are rounded once, by the kernel or from a wide copy."""
    if shared.is_narrow(x) and add_rows(x, index if type(index) is tuple else (index,), values):
        return x
    return shared.scatter_add(F, x, index, values)


def _add_in_order(x: Any, index: Any, values: Any) -> bool:
    """Add by any index to an array that lies anyhow, over a flat copy of it."""
    places = _places(x)[index]
    flat = x.copy().reshape(-1)
    if not add_rows(flat, (places.reshape(-1),), cp.broadcast_to(values, places.shape).reshape(-1)):
        return False
    x[...] = flat.reshape(x.shape)
    return True


def bincount(x: Any, weights: Any = None, minlength: int = 0) -> Any:
    """Return how often each number occurs, or the sums of its weights, which CUDA adds up in any order."""
    if weights is not None:
        refuse("_bincount_cuda")
    return cp.bincount(x, weights, minlength)
