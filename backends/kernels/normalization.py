"""The kernel that brings rows to mean 0 and variance 1; must not know gradients."""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import cupy as cp
import numpy as np

from gradcore.backends import composed
from gradcore.backends.kernels.launch import Kernel, named, serves, wide
from gradcore.backends.kernels.reductions import BLOCK

FORWARD = Kernel(
    "gradcore_standardize",
    r"""
extern "C" __global__ void gradcore_standardize(
    const T* x, T* y, T* means, T* variances, const A eps, const long long centred, const long long n
) {
    x += blockIdx.x * n;
    y += blockIdx.x * n;
    A sum = 0, mean = 0;
    if (centred) {
        for (long long i = threadIdx.x; i < n; i += blockDim.x) sum += A(x[i]);
        mean = block_sum(sum) / A(n);
        sum = 0;
    }
    for (long long i = threadIdx.x; i < n; i += blockDim.x) sum += (A(x[i]) - mean) * (A(x[i]) - mean);
    const A variance = block_sum(sum) / A(n);
    const A scale = A(1) / sqrt(variance + eps);
    for (long long i = threadIdx.x; i < n; i += blockDim.x) y[i] = T((A(x[i]) - mean) * scale);
    if (threadIdx.x == 0) {
        means[blockIdx.x] = T(mean);
        variances[blockIdx.x] = T(variance);
    }
}
""",
    BLOCK,
)


BACKWARD = Kernel(
    "gradcore_destandardize",
    r"""
extern "C" __global__ void gradcore_destandardize(
    const T* x, const T* y, const T* scales, T* out, const long long centred, const long long n
) {
    const long long row = blockIdx.x * n;
    A sum = 0, product = 0;
    for (long long i = row + threadIdx.x; i < row + n; i += blockDim.x) {
        sum += A(x[i]);
        product += A(x[i]) * A(y[i]);
    }
    sum = centred ? block_sum(sum) / A(n) : A(0);
    product = block_sum(product) / A(n);
    const A scale = A(scales[blockIdx.x]);
    for (long long i = row + threadIdx.x; i < row + n; i += blockDim.x) {
        out[i] = T((A(x[i]) - sum - A(y[i]) * product) * scale);
    }
}
""",
    BLOCK,
)

Bind = Callable[[Callable[..., Any]], Callable[..., Any]]


def _last(x: Any, axis: tuple[int, ...]) -> int | None:
    """How long the rows of `x` over `axis` are, None if that are not its last axes or there is nothing in them."""
    first = x.ndim - len(axis)
    if not x.size or not axis or tuple(sorted(axis)) != tuple(range(first, x.ndim)):
        return None
    return int(math.prod(x.shape[first:]))


def destandardize(bind: Bind) -> Callable[..., Any]:
    """Return the function `destandardize` of a backend: one kernel over last axes, composed over others."""
    otherwise = bind(composed.destandardize)

    def call(x: Any, y: Any, scale: Any, axis: tuple[int, ...], centred: bool = True) -> Any:
        length = _last(x, axis)
        if length is None or not serves(x, y, scale) or x.shape != y.shape or scale.size * length != x.size:
            return otherwise(x, y, scale, axis, centred)
        out = cp.empty(x.shape, x.dtype)
        BACKWARD.rows(scale.size, length, *map(cp.ascontiguousarray, (x, y, scale)), out, np.int64(centred))
        return out

    return named(call, "destandardize", otherwise)


def standardize(bind: Bind) -> Callable[..., Any]:
    """Return the function `standardize` of a backend: one kernel over last axes, composed over others."""
    otherwise = bind(composed.standardize)

    def call(x: Any, axis: tuple[int, ...], eps: float, centred: bool = True) -> Any:
        length = _last(x, axis)
        if length is None or not serves(x):
            return otherwise(x, axis, eps, centred)
        kept = (*x.shape[: x.ndim - len(axis)], *(1 for _ in axis))
        out, mean, variance = cp.empty(x.shape, x.dtype), cp.empty(kept, x.dtype), cp.empty(kept, x.dtype)
        arrays = cp.ascontiguousarray(x), out, mean, variance
        FORWARD.rows(x.size // length, length, *arrays, wide(x)(eps), np.int64(centred))
        return out, mean, variance

    return named(call, "standardize", otherwise)
