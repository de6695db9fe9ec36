"""The kernels of cross entropy with the softmax its derivative needs, and of that; must not know gradients otherwise."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cupy as cp
import numpy as np

from gradcore.backends import composed
from gradcore.backends.kernels.launch import Kernel, fits, named, serves, wide
from gradcore.backends.kernels.reductions import BLOCK, ROW

KERNEL = Kernel(
    "gradcore_cross_entropy",
    r"""
extern "C" __global__ void __launch_bounds__(1024) gradcore_cross_entropy(
    const T* x, const long long* targets, T* p, A* losses, const long long n
) {
    x += blockIdx.x * n;
    p += blockIdx.x * n;
    const A top = row_top(x, n), sum = row_sum_exp(x, top, n);
    for (long long i = threadIdx.x; i < n; i += blockDim.x) p[i] = T(exp(A(x[i]) - top) / sum);
    if (threadIdx.x == 0) {
        const long long target = targets[blockIdx.x] % n;
        losses[blockIdx.x] = log(sum) - (A(x[target < 0 ? target + n : target]) - top);
    }
}
""",
    BLOCK, ROW,
)


BACKWARD = Kernel(
    "gradcore_cross_entropy_backward",
    r"""
extern "C" __global__ void gradcore_cross_entropy_backward(
    const T* p, const T* g, const long long* targets, T* y, const A share, const long long size, const long long n
) {
    const A times = A(*g) * share;
    const long long step = (long long)gridDim.x * blockDim.x;
    for (long long at = (long long)blockIdx.x * blockDim.x + threadIdx.x; at < size; at += step) {
        const long long target = targets[at / n] % n;
        const bool meant = at % n == (target < 0 ? target + n : target);
        y[at] = T((A(p[at]) - (meant ? A(1) : A(0))) * times);
    }
}
""",
)
THREADS, BLOCKS = 256, 1 << 16


def backward(bind: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Callable[..., Any]:
    """Return the function `cross_entropy_backward` of a backend."""
    otherwise = bind(composed.cross_entropy_backward)

    def call(g: Any, p: Any, target: Any, share: float) -> Any:
        if not p.size or not serves(p, g) or g.size != 1:
            return otherwise(g, p, target, share)
        y = cp.empty(p.shape, p.dtype)
        places = cp.ascontiguousarray(target.astype(np.int64, copy=False))
        blocks = min(BLOCKS, -(-p.size // THREADS))
        sizes = np.int64(p.size), np.int64(p.shape[1])
        BACKWARD.blocks((blocks,), THREADS, cp.ascontiguousarray(p), g, places, y, wide(p)(share), *sizes)
        return y

    return named(call, "cross_entropy_backward", otherwise)


def bound(bind: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Callable[..., Any]:
    """Return the function `cross_entropy` of a backend."""
    otherwise = bind(composed.cross_entropy)

    def call(x: Any, target: Any, share: float) -> Any:
        if not x.size or not serves(x) or not fits(x.shape[0]):
            return otherwise(x, target, share)
        p = cp.empty(x.shape, x.dtype)
        losses = cp.empty(x.shape[:1], wide(x))
        places = cp.ascontiguousarray(target.astype(np.int64, copy=False))
        KERNEL.rows(*x.shape, cp.ascontiguousarray(x), places, p, losses)
        return (losses.sum() * share).astype(x.dtype, copy=False), p

    return named(call, "cross_entropy", otherwise)
