"""Running sums on the host, as products with triangles of ones where that is faster; must not know gradients or CuPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcore.backends import shared

# By how many elements at once; NumPy adds one after the other, and waits for each sum.
_BLOCK: dict[Any, int] = {np.dtype("f4"): 16, np.dtype("f8"): 8}
_TRIANGLES: Any = {dtype: np.tri(n, dtype=dtype).T for dtype, n in _BLOCK.items()}
_LONG = 1 << 13  # elements in a row, for which it pays to make blocks of them
_MANY = 1 << 14  # elements in all, for which it pays on shorter rows in single precision
_CACHE = 1 << 16  # elements whose sums stay in the cache
_WIDE = 512  # elements side by side that make one addition worth calling

_accumulate: Any = np.add.accumulate
_wide_accumulate = shared.widened(_accumulate)


def cumsum(x: Any, axis: int, *, dtype: Any = None) -> Any:
    """Return the running sum along `axis`; float16 and bfloat16 add up in float32."""
    block = _BLOCK.get(x.dtype) if dtype is None else None
    if block is None:
        return (_wide_accumulate if dtype is None else _accumulate)(x, axis, dtype)
    n = x.shape[axis]
    if axis in (-1, x.ndim - 1):
        if n >= _LONG or (block >= 16 and n >= 4 * block and x.size >= _MANY):
            rows, out = x.reshape(-1, n), np.empty((x.size // n, n), x.dtype)
            step = max(1, _CACHE // n)
            for start in range(0, len(rows), step):
                _of_rows(rows[start : start + step], block, out[start : start + step])
            if np.isfinite(out[:, -1]).all():  # else what is not finite has spread over its block
                return out.reshape(x.shape)
    elif n > 1 and x.size >= n * _WIDE and axis >= 0 and x.flags.c_contiguous and x.shape[:axis].count(1) == axis:
        out = np.empty(x.shape, x.dtype)
        rows, sums = x.reshape(n, -1), out.reshape(n, -1)
        sums[0] = rows[0]
        for i in range(1, n):
            np.add(sums[i - 1], rows[i], sums[i])
        return out
    return _accumulate(x, axis)


def _of_rows(x: Any, block: int, out: Any) -> None:
    rows, n = x.shape
    whole = n // block * block
    blocks = (x[:, :whole].reshape(-1, block) @ _TRIANGLES[x.dtype]).reshape(rows, -1, block)
    before = _accumulate(blocks[:, :-1, -1], 1)
    blocks[:, 1:] += before[:, :, None]
    out[:, :whole] = blocks.reshape(rows, -1)
    if whole < n:
        out[:, whole:] = _accumulate(x[:, whole:], 1) + out[:, whole - 1 : whole]
