"""Kernels of attention that never hold all scores: softmax over tiles of keys as they come; must not know gradients' use.

Dao et al., "FlashAttention: Fast and Memory-Efficient Exact Attention with IO-Awareness" (2022). A block of threads has a
tile of queries (or, for the cotangents of keys and values, of keys) in shared memory and goes through those of the others.
Nothing is added up by atomics, so that the numbers are the same in every run. There are no tensor cores in it: in between
few scores, where launches take the time, and more than memory has room for, products by cuBLAS are faster.
"""
from __future__ import annotations

from math import prod
from typing import Any

import cupy as cp
import numpy as np

from gradcore.backends.kernels.dropout import AGAIN, DRAWS, limits
from gradcore.backends.kernels.launch import Kernel, fits, serves, wide

FEW, MANY = 1 << 20, 1 << 28  # scores
MEMORY, THREADS = 64 << 10, 64  # bytes that a block of any device may have, if asked for
GIVEN = np.dtype([
    *((name, "f8") for name in "scale kept".split()), *((name, "u8") for name in "seed call replays".split()),
    *((name, "i8") for name in "queries keys depth width heads causal masked batch head row column".split()),
    *((name, "u4") for name in "below unused".split()),
])  # fmt: skip

# A thread computes EACH * EACH elements of a product at a time; a tile has 8 * EACH rows. Rows in shared memory are one
# longer than they need be, so that threads on different rows read different banks.
TILES = r"""
struct Given {
    double scale, kept;
    unsigned long long seed, call, replays;
    long long queries, keys, depth, width, heads, causal, masked, batch, head, row, column;
    unsigned int below, unused;
};

#define TILE (8 * EACH)
#define INFINITE A(__int_as_float(0x7f800000))
extern __shared__ char gradcore_memory[];

// Rows `first` and on of (count, n), times a scale; zeros after the last.
__device__ void load(A* tile, const T* x, const long long first, const long long count, const int n, const A scale) {
    for (int i = threadIdx.x; i < TILE * n; i += blockDim.x) {
        const int r = i / n, c = i % n;
        tile[r * (n + 1) + c] = first + r < count ? A(x[(first + r) * n + c]) * scale : A(0);
    }
}

__device__ void store(T* x, const A* tile, const long long first, const long long count, const int n, const A scale) {
    for (int i = threadIdx.x; i < TILE * n; i += blockDim.x) {
        const int r = i / n, c = i % n;
        if (first + r < count) x[(first + r) * n + c] = T(tile[r * (n + 1) + c] * scale);
    }
}

__device__ void fill(A* x, const int n, const A value) {
    for (int i = threadIdx.x; i < n; i += blockDim.x) x[i] = value;
}

// out (TILE, cols) = or += the product of x (TILE, depth) and y (depth, cols), each with its strides.
__device__ void multiply(
    A* out, const bool more, const A* x, const int xr, const int xk, const A* y, const int yk, const int yc,
    const int depth, const int cols
) {
    const int across = (cols + EACH - 1) / EACH;
    for (int item = threadIdx.x; item < 8 * across; item += blockDim.x) {
        const int row = item / across, col = item % across;
        A sum[EACH][EACH];
        int place[EACH];
        for (int j = 0; j < EACH; j++) {
            place[j] = col + j * across < cols ? (col + j * across) * yc : 0;
            for (int i = 0; i < EACH; i++) sum[i][j] = 0;
        }
        for (int k = 0; k < depth; k++) {
            A left[EACH], right[EACH];
            for (int i = 0; i < EACH; i++) left[i] = x[(row + 8 * i) * xr + k * xk];
            for (int j = 0; j < EACH; j++) right[j] = y[k * yk + place[j]];
            for (int i = 0; i < EACH; i++) for (int j = 0; j < EACH; j++) sum[i][j] += left[i] * right[j];
        }
        for (int i = 0; i < EACH; i++) for (int j = 0; j < EACH; j++) {
            A* where = out + (row + 8 * i) * (cols + 1) + col + j * across;
            if (col + j * across < cols) *where = more ? *where + sum[i][j] : sum[i][j];
        }
    }
}

// The score of a query and a key, of their product: with the mask, and -infinity where the query may not look.
__device__ A score(
    const Given& s, const void* mask, const long long head, const long long query, const long long key, const A x
) {
    if (query >= s.queries || key >= s.keys || (s.causal && key > query)) return -INFINITE;
    if (!s.masked) return x;
    const long long place = head / s.heads * s.batch + head % s.heads * s.head + query * s.row + key * s.column;
    return s.masked == 2 ? x + ((const A*)mask)[place] : ((const bool*)mask)[place] ? x : -INFINITE;
}
"""

FORWARD = r"""
extern "C" __global__ void gradcore_attend(
    const T* q, const T* k, const T* v, const void* mask, T* out, A* levels, void* dropped, const Given s
) {
    const long long queries = s.queries, keys = s.keys, blocks = (queries + TILE - 1) / TILE;
    const long long head = blockIdx.x / blocks, first = blockIdx.x % blocks * TILE;
    const int e = int(s.depth), n = int(s.width);
    q += head * queries * e, k += head * keys * e, v += head * keys * n, out += head * queries * n;
    Draws draws(s.seed, s.call, s.replays, s.below ? dropped : nullptr);
    if (s.below && blockIdx.x == 0 && threadIdx.x == 0) draws.keep(dropped);
    A* Q = (A*)gradcore_memory;
    A *K = Q + TILE * (e + 1), *V = K + TILE * (e + 1), *O = V + TILE * (n + 1), *P = O + TILE * (n + 1);
    A *top = P + TILE * (TILE + 1), *sum = top + TILE, *fade = sum + TILE;
    load(Q, q, first, queries, e, A(s.scale));
    fill(O, TILE * (n + 1), 0);
    fill(top, TILE, -INFINITE);
    fill(sum, TILE, 0);
    const long long end = s.causal && first + TILE < keys ? first + TILE : keys;
    for (long long at = 0; at < end; at += TILE) {
        __syncthreads();
        load(K, k, at, keys, e, 1);
        load(V, v, at, keys, n, 1);
        __syncthreads();
        multiply(P, false, Q, e + 1, 1, K, 1, e + 1, e, TILE);
        __syncthreads();
        for (int r = threadIdx.x; r < TILE; r += blockDim.x) {
            A* row = P + r * (TILE + 1);
            A high = top[r], part = 0;
            for (int c = 0; c < TILE; c++) {
                row[c] = score(s, mask, head, first + r, at + c, row[c]);
                high = row[c] > high ? row[c] : high;
            }
            const A level = high == -INFINITE ? A(0) : high;  // of nothing yet
            const unsigned long long place = ((unsigned long long)head * queries + first + r) * keys + at;
            for (int c = 0; c < TILE; c++) {
                part += row[c] = exp(row[c] - level);
                if (s.below) row[c] *= draws.at(place + c) < s.below ? A(0) : A(s.kept);
            }
            fade[r] = exp(top[r] - level);
            sum[r] = sum[r] * fade[r] + part;
            top[r] = high;
        }
        __syncthreads();
        for (int i = threadIdx.x; i < TILE * n; i += blockDim.x) O[i / n * (n + 1) + i % n] *= fade[i / n];
        __syncthreads();
        multiply(O, true, P, TILE + 1, 1, V, n + 1, 1, TILE, n);
    }
    __syncthreads();
    for (int i = threadIdx.x; i < TILE * n; i += blockDim.x) {
        A* o = O + i / n * (n + 1) + i % n;
        *o = s.masked && sum[i / n] == 0 ? A(0) : *o / sum[i / n];
    }
    __syncthreads();
    store(out, O, first, queries, n, 1);
    for (int r = threadIdx.x; r < TILE; r += blockDim.x) {
        const A level = s.masked && sum[r] == 0 ? INFINITE : top[r] + log(sum[r]);
        if (first + r < queries) levels[head * queries + first + r] = level;
    }
}
"""

# The scores' shares P and their cotangents D, from products: of queries and keys, of the cotangent and values. P is what is
# left of the shares after dropout. A thread takes four neighbours, which share their random numbers.
SHARES = r"""
__device__ void shares(
    A* P, A* D, const A* levels, const A* inner, const Given& s, const void* mask, const void* dropped, const long long head,
    const long long query, const long long key
) {
    Draws draws(s.seed, s.call, s.replays, s.below ? dropped : nullptr);
    for (int i = threadIdx.x; i < TILE * TILE / 4; i += blockDim.x) {
        const int r = i / (TILE / 4), first = i % (TILE / 4) * 4;
        const unsigned long long start = ((unsigned long long)head * s.queries + query + r) * s.keys + key;
        for (int c = first; c < first + 4; c++) {
            A *p = P + r * (TILE + 1) + c, *d = D + r * (TILE + 1) + c;
            const A x = score(s, mask, head, query + r, key + c, *p);
            const A share = x == -INFINITE ? A(0) : exp(x - levels[r]);
            const A times = !s.below ? A(1) : draws.at(start + c) < s.below ? A(0) : A(s.kept);
            *d = share == 0 ? A(0) : share * (*d * times - inner[r]);
            *p = share * times;
        }
    }
}
"""

BACKWARD_QUERY = r"""
extern "C" __global__ void gradcore_attend_query(
    const T* g, const T* q, const T* k, const T* v, const void* mask, const T* out, const A* levels, const void* dropped,
    T* dq, A* inners, const Given s
) {
    const long long queries = s.queries, keys = s.keys, blocks = (queries + TILE - 1) / TILE;
    const long long head = blockIdx.x / blocks, first = blockIdx.x % blocks * TILE;
    const int e = int(s.depth), n = int(s.width);
    q += head * queries * e, k += head * keys * e, v += head * keys * n, g += head * queries * n, out += head * queries * n;
    A* Q = (A*)gradcore_memory;
    A *K = Q + TILE * (e + 1), *DQ = K + TILE * (e + 1), *V = DQ + TILE * (e + 1), *G = V + TILE * (n + 1);
    A *P = G + TILE * (n + 1), *D = P + TILE * (TILE + 1), *level = D + TILE * (TILE + 1), *inner = level + TILE;
    load(Q, q, first, queries, e, A(s.scale));
    load(G, g, first, queries, n, 1);
    fill(DQ, TILE * (e + 1), 0);
    __syncthreads();
    for (int r = threadIdx.x; r < TILE; r += blockDim.x) {
        A sum = 0;
        if (first + r < queries) {
            for (int c = 0; c < n; c++) sum += G[r * (n + 1) + c] * A(out[(first + r) * n + c]);
            inners[head * queries + first + r] = sum;
        }
        inner[r] = sum;
        level[r] = first + r < queries ? levels[head * queries + first + r] : A(0);
    }
    const long long end = s.causal && first + TILE < keys ? first + TILE : keys;
    for (long long at = 0; at < end; at += TILE) {
        __syncthreads();
        load(K, k, at, keys, e, 1);
        load(V, v, at, keys, n, 1);
        __syncthreads();
        multiply(P, false, Q, e + 1, 1, K, 1, e + 1, e, TILE);
        multiply(D, false, G, n + 1, 1, V, 1, n + 1, n, TILE);
        __syncthreads();
        shares(P, D, level, inner, s, mask, dropped, head, first, at);
        __syncthreads();
        multiply(DQ, true, D, TILE + 1, 1, K, e + 1, 1, TILE, e);
    }
    __syncthreads();
    store(dq + head * queries * e, DQ, first, queries, e, A(s.scale));
}
"""

BACKWARD_KEY = r"""
extern "C" __global__ void gradcore_attend_key(
    const T* g, const T* q, const T* k, const T* v, const void* mask, const A* levels, const void* dropped, const A* inners,
    T* dk, T* dv, const Given s
) {
    const long long queries = s.queries, keys = s.keys, blocks = (keys + TILE - 1) / TILE;
    const long long head = blockIdx.x / blocks, first = blockIdx.x % blocks * TILE;
    const int e = int(s.depth), n = int(s.width);
    q += head * queries * e, k += head * keys * e, v += head * keys * n, g += head * queries * n;
    A* Q = (A*)gradcore_memory;
    A *K = Q + TILE * (e + 1), *DK = K + TILE * (e + 1), *V = DK + TILE * (e + 1), *DV = V + TILE * (n + 1);
    A *G = DV + TILE * (n + 1), *P = G + TILE * (n + 1), *D = P + TILE * (TILE + 1);
    A *level = D + TILE * (TILE + 1), *inner = level + TILE;
    load(K, k, first, keys, e, 1);
    load(V, v, first, keys, n, 1);
    fill(DK, TILE * (e + 1), 0);
    fill(DV, TILE * (n + 1), 0);
    for (long long at = s.causal ? first : 0; at < queries; at += TILE) {
        __syncthreads();
        load(Q, q, at, queries, e, A(s.scale));
        load(G, g, at, queries, n, 1);
        for (int r = threadIdx.x; r < TILE; r += blockDim.x) {
            level[r] = at + r < queries ? levels[head * queries + at + r] : A(0);
            inner[r] = at + r < queries ? inners[head * queries + at + r] : A(0);
        }
        __syncthreads();
        multiply(P, false, Q, e + 1, 1, K, 1, e + 1, e, TILE);
        multiply(D, false, G, n + 1, 1, V, 1, n + 1, n, TILE);
        __syncthreads();
        shares(P, D, level, inner, s, mask, dropped, head, at, first);
        __syncthreads();
        multiply(DV, true, P, 1, TILE + 1, G, n + 1, 1, TILE, n);
        multiply(DK, true, D, 1, TILE + 1, Q, e + 1, 1, TILE, e);
    }
    __syncthreads();
    store(dk + head * keys * e, DK, first, keys, e, 1);
    store(dv + head * keys * n, DV, first, keys, n, 1);
}
"""


class Tiled:
    """A kernel for tiles of two sizes: the larger, if shared memory has room for it.

    That holds so many tiles as wide as queries are and as values are, `squares` of scores and `lines` of numbers.
    """

    def __init__(self, name: str, source: str, queries: int, values: int, squares: int, lines: int) -> None:
        self.kernels = {each: Kernel(name, source, f"#define EACH {each}\n", TILES, DRAWS, SHARES) for each in (4, 2)}
        self.held = queries, values, squares, lines

    def memory(self, each: int, q: Any, v: Any) -> int:
        """The bytes that a block shares."""
        queries, values, squares, lines = self.held
        row = queries * (q.shape[-1] + 1) + values * (v.shape[-1] + 1) + squares * (8 * each + 1) + lines
        return int(8 * each * row * wide(q)().itemsize)

    def each(self, q: Any, v: Any) -> int | None:
        """The larger size that there is room for, None if there is for none."""
        return next((each for each in self.kernels if self.memory(each, q, v) <= MEMORY), None)

    def __call__(self, rows: int, arrays: tuple[Any, ...], given: Any, q: Any, v: Any) -> None:
        """Run a block for each tile of `rows` rows of each head."""
        each = self.each(q, v) or 2
        blocks = prod(q.shape[:-2]) * -(-rows // (8 * each))
        self.kernels[each].blocks((blocks,), THREADS, *arrays, given, memory=self.memory(each, q, v))


ATTEND = Tiled("gradcore_attend", FORWARD, 2, 2, 1, 3)
OF_QUERY = Tiled("gradcore_attend_query", BACKWARD_QUERY, 3, 2, 2, 2)
OF_KEY = Tiled("gradcore_attend_key", BACKWARD_KEY, 3, 3, 2, 2)


def room(q: Any, v: Any) -> bool:
    """Say whether a block has room for tiles of such heads, forward and backward."""
    return all(each.each(q, v) for each in (ATTEND, OF_QUERY, OF_KEY))


def serve(q: Any, k: Any, v: Any) -> bool:
    """Say whether these kernels can serve, forward and backward, and should."""
    lead, scores = q.shape[:-2], q.size // max(q.shape[-1], 1) * k.shape[-2]
    if not serves(q, k, v) or not (q.size and k.size and v.size) or k.shape[:-2] != lead or v.shape[:-2] != lead:
        return False
    return (scores <= FEW or scores > MANY) and room(q, v) and fits(prod(lead) * max(q.shape[-2], k.shape[-2]))


def _over_heads(mask: Any, q: Any) -> tuple[Any, list[int]]:
    """A mask in memory of its own, as bool or what is computed in, and its steps over batch, heads, queries and keys."""
    mask = cp.ascontiguousarray(mask if mask.dtype.kind == "b" else mask.astype(wide(q), copy=False))
    lead, shape = q.shape[:-2], (1,) * (q.ndim - mask.ndim) + mask.shape
    if len(lead) > 2 and prod(shape[:-3]) > 1:  # several axes of batches become one
        mask = cp.ascontiguousarray(cp.broadcast_to(mask, (*lead[:-1], *shape[-3:])))
        shape = (prod(lead[:-1]), *shape[-3:])
    shape = (1, 1, *shape)[-4:]
    return mask, [prod(shape[axis + 1 :]) if shape[axis] > 1 else 0 for axis in range(4)]


def _given(
    q: Any, k: Any, v: Any, mask: Any, scale: float, causal: bool, drop: float, call: tuple[Any, Any, Any]
) -> tuple[Any, Any]:
    """The mask, or any array in its place, and the record that the kernels take."""
    masked, steps = 0, [0] * 4
    if mask is None:
        mask = q
    else:
        masked = 1 if mask.dtype.kind == "b" else 2
        mask, steps = _over_heads(mask, q)
    below, kept = limits(drop)
    sizes = (q.shape[-2], k.shape[-2], q.shape[-1], v.shape[-1], (1, *q.shape[:-2])[-1], int(causal), masked, *steps)
    return mask, np.array([(scale, kept, *call, *sizes, below if drop else 0, 0)], GIVEN)


def forward(
    arrays: tuple[Any, ...], mask: Any, dropped: Any, scale: float, causal: bool, drop: float, call: tuple[Any, Any, Any]
) -> None:
    """Write attention's result and the logarithm of each query's sum, of contiguous arrays, and what dropout keeps."""
    q, k, v, out, levels = arrays
    mask, given = _given(q, k, v, mask, scale, causal, drop, call)
    ATTEND(q.shape[-2], (q, k, v, mask, out, levels, dropped), given, q, v)


def backward(arrays: tuple[Any, ...], mask: Any, dropped: Any, scale: float, causal: bool, drop: float) -> None:
    """Write the cotangents of q, k and v, of contiguous arrays."""
    q, k, v, out, levels, g, dq, dk, dv = arrays
    inner = cp.empty(levels.shape, levels.dtype)
    mask, given = _given(q, k, v, mask, scale, causal, drop, AGAIN)
    OF_QUERY(q.shape[-2], (g, q, k, v, mask, out, levels, dropped, dq, inner), given, q, v)
    OF_KEY(k.shape[-2], (g, q, k, v, mask, levels, dropped, inner, dk, dv), given, q, v)
