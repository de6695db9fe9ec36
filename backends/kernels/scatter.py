"""The kernels that add values up at places named several times, in the order of the values; must not know gradients.

Atomic additions come in any order, so that their float sums differ from run to run. Here places are sorted, equal
ones in their order, and whoever finds the first of a place adds up all of them, or some if they are many.
"""
from __future__ import annotations

import math
from typing import Any

import cupy as cp
import numpy as np

from gradcore.backends.kernels.launch import Kernel, serves, wide

PIECE = 128  # values that one thread adds up; of a place that has more, each piece by itself, and then the pieces

PLACES = f"""
#define PIECE {PIECE}
""" + r"""
// Whether a piece begins at value i, all of one place being in a row: then they begin at *start, and *many says if there are
// several pieces of it.
__device__ bool begins(const long long* places, const long long i, const long long count, long long* start, bool* many) {
    const long long place = places[i];
    *start = i;
    if (i > 0 && places[i - 1] == place) {
        if (i < PIECE || places[i - PIECE] != place) return false;
        long long low = 0, high = i;
        while (low < high) {
            const long long middle = (low + high) / 2;
            if (places[middle] < place) low = middle + 1; else high = middle;
        }
        *start = low;
    }
    *many = *start + PIECE < count && places[*start + PIECE] == place;
    return (i - *start) % PIECE == 0;
}

// Where the sum of the piece from value i on is kept: of two in one stretch, one is the first of its place.
__device__ long long slot(const long long i, const long long start) { return i / PIECE * 2 + (i == start); }
"""

ADD_ROWS = Kernel(
    "gradcore_add_rows",
    r"""
extern "C" __global__ void gradcore_add_rows(
    const T* values, T* x, A* pieces, const long long* order, const long long* places, const long long count,
    const long long n
) {
    const long long step = (long long)gridDim.x * blockDim.x;
    for (long long at = (long long)blockIdx.x * blockDim.x + threadIdx.x; at < count * n; at += step) {
        const long long i = at / n, column = at % n, place = places[i];
        long long start;
        bool many;
        if (!begins(places, i, count, &start, &many)) continue;
        A sum = many ? A(0) : A(x[place * n + column]);
        for (long long p = i; p < i + PIECE && p < count && places[p] == place; p++) sum += A(values[order[p] * n + column]);
        if (many) pieces[slot(i, start) * n + column] = sum; else x[place * n + column] = T(sum);
    }
}
""",
    PLACES,
)

ADD_PIECES = Kernel(
    "gradcore_add_pieces",
    r"""
extern "C" __global__ void gradcore_add_pieces(
    T* x, const A* pieces, const long long* places, const long long count, const long long n
) {
    const long long step = (long long)gridDim.x * blockDim.x;
    for (long long at = (long long)blockIdx.x * blockDim.x + threadIdx.x; at < count * n; at += step) {
        const long long i = at / n, column = at % n, place = places[i];
        long long start;
        bool many;
        if (!begins(places, i, count, &start, &many) || !many || i != start) continue;
        A sum = A(x[place * n + column]);
        for (long long p = i; p < count && places[p] == place; p += PIECE) sum += pieces[slot(p, start) * n + column];
        x[place * n + column] = T(sum);
    }
}
""",
    PLACES,
)
THREADS, BLOCKS = 256, 1 << 16


def add_rows(x: Any, index: tuple[Any, ...], values: Any) -> bool:
    """Add `values` to x[index] in place, always in the same order; say False where this kernel does not serve."""
    integers = all(isinstance(i, cp.ndarray) and i.dtype.kind in "iu" for i in index)
    if not integers or not serves(x) or not x.flags.c_contiguous:
        return False
    shape = np.broadcast_shapes(*(i.shape for i in index))
    place, *others = (i.astype(np.int64, copy=False) % n for n, i in zip(x.shape, index, strict=False))  # as CuPy takes them
    for length, i in zip(x.shape[1:], others, strict=False):
        place = place * length + i
    place = cp.broadcast_to(place, shape).reshape(-1)
    row = x.shape[len(index) :]
    if place.size and math.prod(row):
        order = cp.argsort(place)  # CuPy's is stable
        given = cp.broadcast_to(values.astype(x.dtype, copy=False), shape + row)
        length = math.prod(row)
        blocks = min(BLOCKS, -(-place.size * length // THREADS))
        pieces = cp.empty((2 * (place.size // PIECE + 1) if place.size > PIECE else 1, length), wide(x))
        places, size = place[order], (np.int64(place.size), np.int64(length))
        ADD_ROWS.blocks((blocks,), THREADS, cp.ascontiguousarray(given), x, pieces, order, places, *size)
        if place.size > PIECE:
            ADD_PIECES.blocks((blocks,), THREADS, x, pieces, places, *size)
    return True
