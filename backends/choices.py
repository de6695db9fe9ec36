"""Choices between elements of host arrays, without a branch for each; must not know gradients, Tensors or CuPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

_FEW = 8192  # elements, up to which np.where is faster
_SEVERAL = 2048  # numbers, from which np.clip is faster than np.maximum
_BOUNDS = {np.dtype(kind): (np.zeros((), kind), np.array(np.inf, kind)) for kind in ("f4", "f8")}
_BITS = {"f": np.dtype("i4"), "d": np.dtype("i8")}


def where(condition: Any, x: Any, y: Any) -> Any:
    """Return `x` where `condition` is not 0 and `y` elsewhere, in the dtype of both.

    np.where branches, and where a processor cannot guess the condition that takes four times as long as to combine bits.
    """
    if condition.size <= _FEW or condition.dtype.char != "?":
        return np.where(condition, x, y)
    arrays = [each for each in (x, y) if isinstance(each, np.ndarray)]
    dtype = arrays[0].dtype if arrays else None
    bits = None if dtype is None else _BITS.get(dtype.char)
    if bits is None or any(each.dtype != dtype or each.shape not in ((), condition.shape) for each in arrays):
        return np.where(condition, x, y)
    if len(arrays) == 1:
        number = y if arrays[0] is x else x
        if type(number) not in (int, float) or not _fits(number, dtype):
            return np.where(condition, x, y)
    x, y = (np.asarray(each, dtype).view(bits) for each in (x, y))
    out = np.negative(condition.view("i1")).astype(bits)  # all bits or none
    np.bitwise_and(out, np.bitwise_xor(x, y), out)
    np.bitwise_xor(out, y, out)
    return out.view(dtype)


def _fits(number: float, dtype: Any) -> bool:
    return not math.isfinite(number) or abs(number) <= np.finfo(dtype).max


def relu(x: Any) -> Any:
    """Return `x` where it is positive or NaN and 0 elsewhere."""
    bounds = _BOUNDS.get(x.dtype)  # NumPy takes twice as long with a number
    if bounds is None:
        return np.maximum(x, 0)
    return np.maximum(bounds[0], x) if x.size <= _SEVERAL else x.clip(*bounds)
