"""The kernel of dropout, which makes its random numbers itself, forward and again backward; must not know attention.

A number depends on a seed, on a ticket and on its place, so that nothing is kept of a forward but the first two. A ticket
is the number of the call and, in a graph, of the replay, which a device counts.
"""
from __future__ import annotations

import itertools
from collections.abc import Callable
from threading import get_ident
from typing import Any

import cupy as cp
import numpy as np

from gradcore.backends import captures, composed
from gradcore.backends.graphs import refuse
from gradcore.backends.kernels.launch import Kernel, named, serves, wide

Bind = Callable[[Callable[..., Any]], Callable[..., Any]]

THREADS, BLOCKS = 256, 1 << 12
DRAWN = ("random", "standard_normal", "integers", "poisson")

# Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011): Philox with four words of 32 bits.
DRAWS = r"""
struct Draws {
    unsigned long long seed, ticket, group;
    unsigned int a, b, c, d;

    // Of a new call; or, if that is 0, of the one of which this is kept.
    __device__ Draws(
        const unsigned long long seed_, const unsigned long long call, const unsigned long long replays, const void* kept
    ) {
        const unsigned long long* was = (const unsigned long long*)kept;
        const unsigned long long replay = replays ? *(const unsigned long long*)replays : 0;
        seed = call ? seed_ : was ? was[0] : 0;
        ticket = call ? call | replay << 32 : was ? was[1] : 0;
        group = ~0ull;
    }

    __device__ void keep(void* kept) const {
        ((unsigned long long*)kept)[0] = seed;
        ((unsigned long long*)kept)[1] = ticket;
    }

    // The number at place i; four neighbours cost little more than one.
    __device__ unsigned int at(const unsigned long long i) {
        if (i / 4 != group) {
            group = i / 4;
            a = (unsigned int)group, b = (unsigned int)(group >> 32);
            c = (unsigned int)ticket, d = (unsigned int)(ticket >> 32);
            unsigned int key = (unsigned int)seed, other = (unsigned int)(seed >> 32);
            for (int round = 0; round < 10; round++) {
                const unsigned long long x = 0xD2511F53ull * a, y = 0xCD9E8D57ull * c;
                a = (unsigned int)(y >> 32) ^ b ^ key, b = (unsigned int)y;
                c = (unsigned int)(x >> 32) ^ d ^ other, d = (unsigned int)x;
                key += 0x9E3779B9u, other += 0xBB67AE85u;
            }
        }
        return i % 4 == 0 ? a : i % 4 == 1 ? b : i % 4 == 2 ? c : d;
    }
};
"""

KERNEL = Kernel(
    "gradcore_dropout",
    r"""
struct alignas(4 * sizeof(T)) Four { T each[4]; };

extern "C" __global__ void gradcore_dropout(
    const T* x, T* y, void* kept, const unsigned long long seed, const unsigned long long call,
    const unsigned long long replays, const unsigned int below, const A scale, const long long n
) {
    Draws draws(seed, call, replays, kept);
    if (call && blockIdx.x == 0 && threadIdx.x == 0) draws.keep(kept);
    const bool aligned = (unsigned long long)x % sizeof(Four) == 0 && (unsigned long long)y % sizeof(Four) == 0;
    const long long step = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < (n + 3) / 4; i += step) {
        if (aligned && 4 * i + 4 <= n) {
            Four four = ((const Four*)x)[i];
            for (int j = 0; j < 4; j++) four.each[j] = T(A(four.each[j]) * (draws.at(4 * i + j) < below ? A(0) : scale));
            ((Four*)y)[i] = four;
        } else {
            for (long long j = 4 * i; j < 4 * i + 4 && j < n; j++) y[j] = T(A(x[j]) * (draws.at(j) < below ? A(0) : scale));
        }
    }
}
""",
    DRAWS,
)


class Source:
    """What random functions draw from: CuPy's generator, made when first asked, or numbered calls of kernels."""

    def __init__(self, seed: int) -> None:
        self.seed, self._calls = seed % 2**64, itertools.count()

    def __getattr__(self, name: str) -> Any:
        if name not in DRAWN:
            raise AttributeError(name)
        if captures:
            refuse("the first number of a generator")  # replays would begin anew
        self.prepare()
        return getattr(self, name)

    def prepare(self) -> None:
        """Make CuPy's generator if there is none: what a graph makes, every replay makes."""
        if DRAWN[0] not in vars(self):
            found = cp.random.default_rng(self.seed)
            vars(self).update({name: getattr(found, name) for name in DRAWN})

    def call(self) -> tuple[Any, Any, Any]:
        """Return a seed, the number of a call, and where a graph that is captured counts its replays, 0 elsewhere."""
        number = next(self._calls) % (2**32 - 1) + 1
        replays = next((each.replays() for each in captures if each.thread == get_ident()), 0)
        return np.uint64(self.seed), np.uint64(number), np.uint64(replays)


AGAIN = np.uint64(0), np.uint64(0), np.uint64(0)  # in place of a call, for the numbers of what is kept


def generator(seed: int) -> Any:
    """Return a random generator with the given seed."""
    return Source(seed)


def limits(p: float) -> tuple[Any, float]:
    """Return what the numbers are below that drop, and what the rest is multiplied by."""
    return np.uint32(min(round(p * 2**32), 2**32 - 1)), 1 / (1 - p)


def _run(x: Any, kept: Any, call: tuple[Any, Any, Any], p: float) -> Any:
    x, out = cp.ascontiguousarray(x), cp.empty(x.shape, x.dtype)
    if x.size:
        below, scale = limits(p)
        blocks = min(BLOCKS, -(-x.size // (4 * THREADS)))
        KERNEL.blocks((blocks,), THREADS, x, out, kept, *call, below, wide(x)(scale), np.int64(x.size))
    return out


def dropout(bind: Bind) -> Callable[..., Any]:
    """Return the function `dropout` of a backend, which keeps the seed and the ticket."""
    otherwise = bind(composed.dropout)

    def call(x: Any, p: float, source: Any) -> Any:
        if not serves(x):
            return otherwise(x, p, source)
        kept = cp.empty(2, np.uint64)
        return _run(x, kept, source.call(), p), kept

    return named(call, "dropout", otherwise)


def dropout_backward(bind: Bind) -> Callable[..., Any]:
    """Return the function `dropout_backward` of a backend."""
    otherwise = bind(composed.dropout_backward)

    def call(g: Any, kept: Any, p: float) -> Any:
        return _run(g, kept, AGAIN, p) if kept.dtype == np.uint64 and serves(g) else otherwise(g, kept, p)

    return named(call, "dropout_backward", otherwise)


def kept_places(bind: Bind) -> Callable[..., Any]:
    """Return the function `kept_places` of a backend."""
    otherwise = bind(composed.kept_places)

    def call(kept: Any, shape: Any, p: float) -> Any:
        if kept.dtype != np.uint64:
            return otherwise(kept, shape, p)
        return _run(cp.ones(shape, np.float32), kept, AGAIN, p) != 0

    return named(call, "kept_places", otherwise)
