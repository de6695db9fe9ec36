"""The kernel of cross entropy and the softmax that its derivative needs; must not know gradients."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cupy as cp
import numpy as np

from gradcore.backends import composed
from gradcore.backends.kernels.launch import Kernel, named, serves, wide
from gradcore.backends.kernels.reductions import BLOCK, ROW

KERNEL = Kernel(
    "gradcore_cross_entropy",
    r"""
extern "C" __global__ void gradcore_cross_entropy(
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


def bound(bind: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Callable[..., Any]:
    """Return the function `cross_entropy` of a backend."""
    otherwise = bind(composed.cross_entropy)

    def call(x: Any, target: Any, share: float) -> Any:
        if not x.size or not serves(x):
            return otherwise(x, target, share)
        p = cp.empty(x.shape, x.dtype)
        losses = cp.empty(x.shape[:1], wide(x))
        places = cp.ascontiguousarray(target.astype(np.int64, copy=False))
        KERNEL.rows(*x.shape, cp.ascontiguousarray(x), places, p, losses)
        return (losses.sum() * share).astype(x.dtype, copy=False), p

    return named(call, "cross_entropy", otherwise)
