"""Kernels that sum over rows, for every column: first over a part of the rows in each block, then over the parts.

Where few columns are long, CuPy's one launch leaves most of a device idle. The parts depend on the shape alone, so that the
sums are the same numbers in every run. They must not know gradients.
"""
from __future__ import annotations

from typing import Any

import cupy as cp
import numpy as np

from gradcore.backends.kernels.launch import Kernel, serves, wide

WIDTH, THREADS = 32, 256  # columns of a block, and its threads
BLOCKS, ROWS = 1024, 64  # as many blocks as keep a device busy, and the rows that are worth one

# Of a block: its columns, one a thread, as many rows at a time as there are threads left, and the sums over all of these.
COLUMNS = r"""
extern __shared__ char gradcore_memory[];

__device__ unsigned int block_width() { return blockDim.x < 32 ? blockDim.x : 32; }

__device__ A column_sum(const A value) {  // in the threads of the first row
    A* part = (A*)gradcore_memory;
    part[threadIdx.x] = value;
    __syncthreads();
    A sum = 0;
    if (threadIdx.x < block_width()) {
        for (unsigned int t = threadIdx.x; t < blockDim.x; t += block_width()) sum += part[t];
    }
    __syncthreads();
    return sum;
}
"""

PARTS = Kernel(
    "gradcore_column_parts",
    r"""
extern "C" __global__ void gradcore_column_parts(
    const T* x, A* parts, const long long rows, const long long each, const long long n
) {
    const long long first = blockIdx.y * each, end = first + each < rows ? first + each : rows;
    const unsigned int width = block_width();
    for (unsigned int c = threadIdx.x % width; c < 32; c += width) {
        const long long column = (long long)blockIdx.x * 32 + c;
        A sum = 0;
        if (column < n) {
            for (long long row = first + threadIdx.x / width; row < end; row += blockDim.x / width) {
                sum += A(x[row * n + column]);
            }
        }
        sum = column_sum(sum);
        if (column < n && threadIdx.x < width) parts[blockIdx.y * n + column] = sum;
    }
}
""",
    COLUMNS,
)

TOTAL = Kernel(
    "gradcore_column_total",
    r"""
extern "C" __global__ void gradcore_column_total(T* out, const A* parts, const long long count, const long long n) {
    const unsigned int width = block_width();
    for (unsigned int c = threadIdx.x % width; c < 32; c += width) {
        const long long column = (long long)blockIdx.x * 32 + c;
        A sum = 0;
        if (column < n) {
            for (long long p = threadIdx.x / width; p < count; p += blockDim.x / width) sum += parts[p * n + column];
        }
        sum = column_sum(sum);
        if (column < n && threadIdx.x < width) out[column] = T(sum);
    }
}
""",
    COLUMNS,
)


def split(rows: int, n: int) -> tuple[int, int]:
    """Return how many parts the rows come in, and how many rows are in each."""
    parts = max(1, min(rows // ROWS, BLOCKS // -(-n // WIDTH)))
    each = -(-rows // parts)
    return -(-rows // each), each


def launch(kernel: Kernel, parts: int, n: int, *arguments: Any) -> None:
    """Run a kernel of these blocks over `parts` parts of n columns."""
    kernel.blocks((-(-n // WIDTH), parts), THREADS, *arguments, memory=THREADS * 8)


def total(parts: Any, dtype: Any) -> Any:
    """Return the sums (n,) over the parts (count, n)."""
    count, n = parts.shape
    out = cp.empty((n,), dtype)
    launch(TOTAL, 1, n, out, parts, np.int64(count), np.int64(n))
    return out


def pays(x: Any, axis: Any) -> bool:
    """Say whether these axes are the first ones, over which these kernels sum faster than CuPy."""
    if x.size < 1 << 18 or type(axis) is not tuple or not 0 < len(axis) < x.ndim or axis != tuple(range(len(axis))):
        return False
    if not serves(x) or not x.flags.c_contiguous:
        return False
    n = x.strides[len(axis) - 1] // x.itemsize
    return bool(n <= 1 << 14 and x.size // n >= 4 * ROWS)


def column_sums(x: Any, axes: int) -> Any:
    """Return the sum over the first `axes` axes, and not more, of an array that lies in order."""
    shape = x.shape[axes:]
    n = int(np.prod(shape))
    rows = x.size // n
    count, each = split(rows, n)
    parts = cp.empty((count, n), wide(x))
    launch(PARTS, count, n, x, parts, *map(np.int64, (rows, each, n)))
    return total(parts, x.dtype).reshape(shape)
