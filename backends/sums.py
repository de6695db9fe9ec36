"""Sums on the host, as products with ones where that is faster; must not know gradients, Tensors or CuPy.

A product with ones adds up two to ten times faster than NumPy's reduction, and over columns more accurately. Over long rows
NumPy adds up in pairs, which is more accurate still: so are sums of parts here, and rows of no such parts are left to it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gradcore.backends import shared


class _Ones(dict[int, Any]):
    """Vectors of ones of one dtype by their length."""

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype

    def __missing__(self, n: int) -> Any:
        made = np.ones(n, self.dtype)
        if n <= _LONG:
            self[n] = made
        return made


_LONG = 1024
_SHORT = 64
_MANY = 1 << 14  # elements, for which two sums take less time than one
_ONES = {np.dtype(kind): _Ones(kind) for kind in ("f4", "f8")}
_MATRIX_AXES = {0: 0, (0,): 0, -2: 0, (-2,): 0, 1: 1, (1,): 1, -1: 1, (-1,): 1}

_add_reduce: Any = np.add.reduce  # at half the cost of the function that wraps it
_wide_sum = shared.widened(lambda x, axis, keepdims, count: _add_reduce(x, axis, None, None, keepdims) / count)


def sum(x: Any, axis: Any = None, *, count: float = 1, keepdims: bool = False, dtype: Any = None) -> Any:
    """Return the sum over `axis` divided by `count`; float16 and bfloat16 add up and divide in float32."""
    ones = _ONES.get(x.dtype) if dtype is None else None
    total = None
    if ones is None:
        if dtype is None and x.itemsize == 2:
            return _wide_sum(x, axis, keepdims, count)
    elif axis is None:
        n = x.size
        if n <= _LONG and not keepdims:
            total = x.ravel().dot(ones[n])
    elif x.ndim > 1 and x.size:
        total = _of_matrix(x, axis, ones, keepdims) if x.ndim == 2 else _of_array(x, axis, ones, keepdims)
    if total is None:
        total = _add_reduce(x, axis, dtype, None, keepdims)
    return total if count == 1 else total / count


def _of_matrix(x: Any, axis: Any, ones: _Ones, keepdims: bool) -> Any:
    along = _MATRIX_AXES.get(axis)
    if along is None:
        return None
    n = x.shape[along]
    if n <= _LONG:
        total = x.dot(ones[n]) if along else ones[n].dot(x)
    else:
        columns = x if along == 0 else x.transpose()
        if not columns.flags.c_contiguous:
            return None
        total = _of_columns(columns, ones)
    if not keepdims:
        return total
    return total[:, None] if along else total[None]


def _of_columns(x: Any, ones: _Ones) -> Any:
    """The sums of the columns of a matrix in C order; of long ones the sums of parts, for a product adds up one by one."""
    n = x.shape[0]
    if n <= 4 * _LONG:
        return ones[n].dot(x)
    parts = n // _LONG
    total = _of_columns(np.matmul(ones[_LONG], x[: parts * _LONG].reshape(parts, _LONG, -1)), ones)
    return total + ones[n % _LONG].dot(x[parts * _LONG :]) if n % _LONG else total


def _of_array(x: Any, axis: Any, ones: _Ones, keepdims: bool) -> Any:
    """The sum over the first or the last axes; None for others, and where a reduction adds up better."""
    axes = axis if type(axis) is tuple else (axis,)
    k, ndim, shape = len(axes), x.ndim, x.shape
    if not 0 < k < ndim or not x.flags.c_contiguous:
        return None
    first, last = axes[0] % ndim, axes[-1] % ndim
    if last - first != k - 1 or (k > 2 and [axis % ndim for axis in axes] != list(range(first, last + 1))):
        return _of_outer_axes(x, sorted(axis % ndim for axis in axes), ones, keepdims)
    once = (1,) * k if keepdims else ()
    if first == 0:
        n = math.prod(shape[:k])
        return _of_columns(x.reshape(n, -1), ones).reshape(once + shape[k:])
    n = math.prod(shape[first:])
    if last != ndim - 1:
        return None
    part = n if n <= _LONG else math.gcd(n, _LONG)
    if part < _SHORT <= n:
        return None
    total = x.reshape(-1, part).dot(ones[part])
    if part < n:  # in pairs, once there are few
        total = _add_reduce(total.reshape(-1, n // part), 1)
    return total.reshape(shape[:first] + once)


def _of_outer_axes(x: Any, axes: list[int], ones: _Ones, keepdims: bool) -> Any:
    """The sum over some of the first axes and some of the last, as of a batch and its places; None for others."""
    ndim = x.ndim
    inner = next((i for i, a in enumerate(axes) if a - i == ndim - len(axes)), 0)
    if x.size < _MANY or axes[:inner] != list(range(inner)) or not 0 < inner < len(axes):
        return None
    total = _of_array(x, tuple(axes[inner:]), ones, keepdims)
    return None if total is None else sum(total, tuple(axes[:inner]), keepdims=keepdims)
