"""Kernels of softmax, its logarithm and their derivatives over the last axis; must not know gradients otherwise."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cupy as cp

from gradcore.backends import composed
from gradcore.backends.kernels.launch import Kernel, fits, named, serves
from gradcore.backends.kernels.reductions import BLOCK, ROW

Bound = Callable[[Callable[..., Any]], Callable[..., Any]]

KERNELS = {
    "softmax": Kernel(
        "gradcore_softmax",
        r"""
extern "C" __global__ void __launch_bounds__(1024) gradcore_softmax(const T* x, T* y, const long long n) {
    x += blockIdx.x * n;
    y += blockIdx.x * n;
    const A top = row_top(x, n), sum = row_sum_exp(x, top, n);
    for (long long i = threadIdx.x; i < n; i += blockDim.x) y[i] = T(exp(A(x[i]) - top) / sum);
}
""",
        BLOCK, ROW,
    ),
    "log_softmax": Kernel(
        "gradcore_log_softmax",
        r"""
extern "C" __global__ void __launch_bounds__(1024) gradcore_log_softmax(const T* x, T* y, const long long n) {
    x += blockIdx.x * n;
    y += blockIdx.x * n;
    const A top = row_top(x, n), sum = log(row_sum_exp(x, top, n));
    for (long long i = threadIdx.x; i < n; i += blockDim.x) y[i] = T(A(x[i]) - top - sum);
}
""",
        BLOCK, ROW,
    ),
    "softmax_backward": Kernel(
        "gradcore_softmax_backward",
        r"""
extern "C" __global__ void __launch_bounds__(1024) gradcore_softmax_backward(
    const T* g, const T* out, T* y, const long long n
) {
    const long long row = blockIdx.x * n;
    A sum = 0;
    for (long long i = row + threadIdx.x; i < row + n; i += blockDim.x) sum += A(g[i]) * A(out[i]);
    sum = block_sum(sum);
    for (long long i = row + threadIdx.x; i < row + n; i += blockDim.x) y[i] = T((A(g[i]) - sum) * A(out[i]));
}
""",
        BLOCK,
    ),
    "log_softmax_backward": Kernel(
        "gradcore_log_softmax_backward",
        r"""
extern "C" __global__ void __launch_bounds__(1024) gradcore_log_softmax_backward(
    const T* g, const T* out, T* y, const long long n
) {
    const long long row = blockIdx.x * n;
    A sum = 0;
    for (long long i = row + threadIdx.x; i < row + n; i += blockDim.x) sum += A(g[i]);
    sum = block_sum(sum);
    for (long long i = row + threadIdx.x; i < row + n; i += blockDim.x) y[i] = T(A(g[i]) - exp(A(out[i])) * sum);
}
""",
        BLOCK,
    ),
}


def bound(name: str, bind: Bound) -> Callable[..., Any]:
    """Return the function `name` of a backend: one kernel over the last axis, composed over others."""
    kernel, otherwise = KERNELS[name], bind(getattr(composed, name))

    def call(*operands: Any) -> Any:
        *arrays, axis = operands
        x = arrays[0]
        if not x.size or axis != (x.ndim - 1,) or not serves(*arrays) or not fits(x.size // x.shape[-1]):
            return otherwise(*operands)
        out = cp.empty(x.shape, x.dtype)
        kernel.rows(x.size // x.shape[-1], x.shape[-1], *map(cp.ascontiguousarray, arrays), out)
        return out

    return named(call, name, otherwise)
