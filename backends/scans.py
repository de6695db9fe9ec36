"""Running sums on the host, as products with triangles of ones where that is faster; must not know gradients or CuPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcore.backends import shared

# By how many elements at once; NumPy adds one after the other, and waits for each sum.
_BLOCK: dict[Any, int] = {np.dtype("f4"): 16, np.dtype("f8"): 8}
_TRIANGLES: Any = {dtype: np.tri(n, dtype=dtype).T for dtype, n in _BLOCK.items()}
_FEWEST = 64  # blocks, for less time than it takes to make them
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
        if n >= _FEWEST * block:
            out = _of_rows(x.reshape(-1, n), block)
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


def _of_rows(x: Any, block: int) -> Any:
    rows, n = x.shape
    whole = n // block * block
    out = np.empty((rows, n), x.dtype)
    blocks = (x[:, :whole].reshape(-1, block) @ _TRIANGLES[x.dtype]).reshape(rows, -1, block)
    before = _accumulate(blocks[:, :-1, -1], 1)
    blocks[:, 1:] += before[:, :, None]
    out[:, :whole] = blocks.reshape(rows, -1)
    if whole < n:
        out[:, whole:] = _accumulate(x[:, whole:], 1) + out[:, whole - 1 : whole]
    return out
