"""The kernel that adds values up at places named several times, in the order of the values; must not know gradients.

Atomic additions come in any order, so that their float sums differ from run to run. Here places are sorted, equal
ones in their order, and whoever finds the first of a place adds up all of them.
"""
from __future__ import annotations

import math
from typing import Any

import cupy as cp
import numpy as np

from gradcore.backends.kernels.launch import Kernel, serves

KERNEL = Kernel(
    "gradcore_add_rows",
    r"""
extern "C" __global__ void gradcore_add_rows(
    const T* values, T* x, const long long* order, const long long* places, const long long count, const long long n
) {
    const long long step = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < count * n; i += step) {
        const long long first = i / n, column = i % n, place = places[first];
        if (first > 0 && places[first - 1] == place) continue;
        A sum = A(x[place * n + column]);
        for (long long p = first; p < count && places[p] == place; p++) sum += A(values[order[p] * n + column]);
        x[place * n + column] = T(sum);
    }
}
""",
)
THREADS, BLOCKS = 256, 1 << 16


def add_rows(x: Any, index: tuple[Any, ...], values: Any) -> bool:
    """Add `values` to x[index] in place, always in the same order; say False where this kernel does not serve."""
    integers = all(isinstance(i, cp.ndarray) and i.dtype.kind in "iu" for i in index)
    if not integers or not serves(x) or not x.flags.c_contiguous:
        return False
    shape = np.broadcast_shapes(*(i.shape for i in index))
    place = index[0] % x.shape[0]  # CuPy takes indices modulo the length
    for length, i in zip(x.shape[1:], index[1:], strict=False):
        place = place * length + i % length
    place = cp.broadcast_to(place.astype(np.int64), shape).reshape(-1)
    row = x.shape[len(index) :]
    if place.size and math.prod(row):
        order = cp.argsort(place)  # CuPy's is stable
        given = cp.broadcast_to(values.astype(x.dtype, copy=False), shape + row)
        length = math.prod(row)
        blocks = min(BLOCKS, -(-place.size * length // THREADS))
        arguments = (cp.ascontiguousarray(given), x, order, place[order], np.int64(place.size), np.int64(length))
        KERNEL.blocks((blocks,), THREADS, *arguments)
    return True
