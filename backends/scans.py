"""Running sums on the host, as products with triangles of ones where that is faster; must not know gradients or CuPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcore.backends import shared

# NumPy adds one after the other, and waits for each sum: here that is done for sums of blocks, in double precision.
_BLOCK = 8
_TRIANGLES: Any = {np.dtype(kind): np.tri(_BLOCK, dtype=kind).T for kind in ("f4", "f8")}
_ONES: Any = {np.dtype(kind): np.ones(_BLOCK, kind) for kind in ("f4", "f8")}
_LONG = 1 << 13  # elements in a row, for which it pays to make blocks of them
_MANY = 1 << 14  # elements in all, for which it pays on shorter rows in single precision
_CACHE = 1 << 16  # elements whose sums stay in the cache
_WIDE = 192  # elements side by side that make one addition worth calling

_accumulate: Any = np.add.accumulate
_wide_accumulate = shared.widened(_accumulate)


def cumsum(x: Any, axis: int, *, dtype: Any = None) -> Any:
    """Return the running sum along `axis`; float32 adds up in float64, as in torch, and 16 bits in float32."""
    triangle = _TRIANGLES.get(x.dtype) if dtype is None else None
    if triangle is None:
        return (_wide_accumulate if dtype is None else _accumulate)(x, axis, dtype)
    n = x.shape[axis]
    if axis in (-1, x.ndim - 1):
        if n >= _LONG or (x.itemsize == 4 and n >= 8 * _BLOCK and x.size >= _MANY):
            rows, out = x.reshape(-1, n), np.empty((x.size // n, n), x.dtype)
            step = max(1, _CACHE // n)
            for start in range(0, len(rows), step):
                _of_rows(rows[start : start + step], triangle, out[start : start + step])
            if np.isfinite(out[:, -1]).all():  # else what is not finite has spread over its block
                return out.reshape(x.shape)
    elif n > 1 and x.size >= n * _WIDE and axis >= 0 and x.flags.c_contiguous and x.shape[:axis].count(1) == axis:
        out = np.empty(x.shape, x.dtype)
        rows, sums = x.reshape(n, -1), out.reshape(n, -1)
        if x.itemsize == 4:
            _of_columns(rows, sums)
            if np.isfinite(sums[-1]).all():
                return out
            return _accumulate(x, axis, "f8").astype(x.dtype)
        sums[0] = rows[0]
        for i in range(1, n):
            np.add(sums[i - 1], rows[i], sums[i])
        return out
    return _accumulate(x, axis) if x.itemsize == 8 else _accumulate(x, axis, "f8").astype(x.dtype)


def _of_columns(x: Any, out: Any) -> None:
    triangle, carried = _TRIANGLES[x.dtype].T, np.zeros(x.shape[1])
    whole = len(x) // _BLOCK * _BLOCK
    for start in range(0, whole, _BLOCK):
        block = out[start : start + _BLOCK]
        np.matmul(triangle, x[start : start + _BLOCK], block)
        last = block[-1].astype("f8")
        block += carried.astype(x.dtype)
        carried += last
    for i in range(whole, len(x)):
        carried += x[i]
        out[i] = carried


def _of_rows(x: Any, triangle: Any, out: Any) -> None:
    rows, n = x.shape
    whole = n // _BLOCK * _BLOCK
    blocks = np.array(x[:, :whole], order="C").reshape(-1, _BLOCK)
    before = _accumulate(blocks.dot(_ONES[x.dtype]).reshape(rows, -1), 1, "f8")
    firsts = blocks[:, 0].reshape(rows, -1)
    firsts[:, 1:] += before[:, :-1]
    if whole == n:
        np.matmul(blocks, triangle, out.reshape(-1, _BLOCK))
        return
    out[:, :whole] = (blocks @ triangle).reshape(rows, -1)
    out[:, whole:] = _accumulate(x[:, whole:], 1, "f8") + out[:, whole - 1 : whole]
