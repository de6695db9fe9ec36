"""The kernels that bring groups of numbers to mean 0 and variance 1, with and without weights; must not know gradients.

An array is (outer, kept, inner), and a group is all with one place on the middle axis: a row where there is nothing before
it, a channel of images where there is something on both sides. One block of threads takes a group.
"""
from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import cupy as cp
import numpy as np

from gradcore.backends import composed
from gradcore.backends.kernels.columns import COLUMNS, launch, split, total
from gradcore.backends.kernels.launch import Kernel, fits, named, serves, team, wide
from gradcore.backends.kernels.reductions import BLOCK

CENTRED, SCALED, BY_GROUP = 1, 2, 4  # flags: by group there is a weight for each group, else for each place in it

# Element i of a group and where it is, for every thread; no division but at the start.
WALK = r"""
struct Walk {
    long long i, at, column, inner, along, across, skip;
    __device__ Walk(const long long group, const long long kept, const long long length) {
        i = threadIdx.x, inner = length, column = i % inner, along = blockDim.x % inner, skip = (kept - 1) * inner;
        at = (i / inner * kept + group) * inner + column;
        across = blockDim.x / inner * kept * inner + along;
    }
    __device__ void next() {
        i += blockDim.x, column += along, at += across;
        if (column >= inner) column -= inner, at += skip;
    }
};
"""

FORWARD = Kernel(
    "gradcore_standardize",
    r"""
extern "C" __global__ void __launch_bounds__(1024) gradcore_standardize(
    const T* x, const T* scale, const T* shift, T* y, A* means, A* variances, const A eps, const long long flags,
    const long long kept, const long long inner, const long long n
) {
    const long long group = blockIdx.x;
    const Walk start(group, kept, inner);
    A sum = 0, mean = 0;
    if (flags & 1) {
        for (Walk w = start; w.i < n; w.next()) sum += A(x[w.at]);
        mean = block_sum(sum) / A(n);
        sum = 0;
    }
    for (Walk w = start; w.i < n; w.next()) sum += (A(x[w.at]) - mean) * (A(x[w.at]) - mean);
    const A variance = block_sum(sum) / A(n);
    const A unit = A(1) / sqrt(variance + eps);
    for (Walk w = start; w.i < n; w.next()) {
        const long long place = flags & 4 ? group : w.i;
        const A value = (A(x[w.at]) - mean) * unit;
        y[w.at] = T(flags & 2 ? value * A(scale[place]) + A(shift[place]) : value);
    }
    if (threadIdx.x == 0) {
        means[group] = mean;
        variances[group] = variance;
    }
}
""",
    BLOCK, WALK,
)

BACKWARD = Kernel(
    "gradcore_destandardize",
    r"""
extern "C" __global__ void __launch_bounds__(1024) gradcore_destandardize(
    const T* x, const T* y, const T* scales, T* out, const long long flags,
    const long long kept, const long long inner, const long long n
) {
    const Walk start(blockIdx.x, kept, inner);
    A sum = 0, product = 0;
    for (Walk w = start; w.i < n; w.next()) {
        sum += A(x[w.at]);
        product += A(x[w.at]) * A(y[w.at]);
    }
    sum = flags & 1 ? block_sum(sum) / A(n) : A(0);
    product = block_sum(product) / A(n);
    const A scale = A(scales[blockIdx.x]);
    for (Walk w = start; w.i < n; w.next()) out[w.at] = T((A(x[w.at]) - sum - A(y[w.at]) * product) * scale);
}
""",
    BLOCK, WALK,
)

# The cotangents of x and, where there is one for each group, of the weights.
WEIGHTED_BACKWARD = Kernel(
    "gradcore_normalize_backward",
    r"""
extern "C" __global__ void __launch_bounds__(1024) gradcore_normalize_backward(
    const T* g, const T* x, const T* scale, const A* means, const A* variances, T* out, T* scales, T* shifts,
    const A eps, const long long flags, const long long kept, const long long inner, const long long n
) {
    const long long group = blockIdx.x;
    const A mean = means[group], unit = A(1) / sqrt(variances[group] + eps);
    const Walk start(group, kept, inner);
    A sum = 0, product = 0;
    for (Walk w = start; w.i < n; w.next()) {
        const A value = flags & 4 ? A(g[w.at]) : A(g[w.at]) * A(scale[w.i]);
        sum += value;
        product += value * (A(x[w.at]) - mean) * unit;
    }
    sum = block_sum(sum);
    product = block_sum(product);
    if (flags & 4 && threadIdx.x == 0) {
        scales[group] = T(product);
        shifts[group] = T(sum);
    }
    for (Walk w = start; w.i < n; w.next()) {
        const A weight = A(scale[flags & 4 ? group : w.i]), all = flags & 4 ? weight : A(1);
        const A value = (A(x[w.at]) - mean) * unit;
        out[w.at] = T((A(g[w.at]) * weight - all * (sum + value * product) / A(n)) * unit);
    }
}
""",
    BLOCK, WALK,
)

# Sums over rows of the cotangent times what was normalised, and of the cotangent, next to one another.
WEIGHTS = Kernel(
    "gradcore_normalize_weights",
    r"""
extern "C" __global__ void gradcore_normalize_weights(
    const T* g, const T* x, const A* means, const A* variances, A* parts, const A eps,
    const long long rows, const long long each, const long long n
) {
    const long long first = blockIdx.y * each, end = first + each < rows ? first + each : rows;
    const unsigned int width = block_width();
    for (unsigned int c = threadIdx.x % width; c < 32; c += width) {
        const long long column = (long long)blockIdx.x * 32 + c;
        A product = 0, sum = 0;
        if (column < n) {
            for (long long row = first + threadIdx.x / width; row < end; row += blockDim.x / width) {
                const A value = A(g[row * n + column]);
                product += value * (A(x[row * n + column]) - means[row]) / sqrt(variances[row] + eps);
                sum += value;
            }
        }
        product = column_sum(product);
        sum = column_sum(sum);
        if (column < n && threadIdx.x < width) {
            parts[blockIdx.y * 2 * n + column] = product;
            parts[blockIdx.y * 2 * n + n + column] = sum;
        }
    }
}
""",
    COLUMNS,
)

Bind = Callable[[Callable[..., Any]], Callable[..., Any]]
Axes = tuple[int, ...]


def _groups(x: Any, axis: Axes) -> tuple[int, int, int] | None:
    """What is before, among and behind the axes that are kept; None where that is not all, or there is nothing."""
    kept = [a for a in range(x.ndim) if a not in axis]
    first, last = (kept[0], kept[-1] + 1) if kept else (0, 0)
    if not x.size or not axis or kept != [*range(first, last)] or not fits(prod(x.shape[first:last])):
        return None
    return prod(x.shape[:first]), prod(x.shape[first:last]), prod(x.shape[last:])


def _run(kernel: Kernel, groups: tuple[int, int, int], *arguments: Any) -> None:
    outer, kept, inner = groups
    threads = team(outer * inner)
    memory = threads * wide(arguments[0])().itemsize
    kernel.blocks((kept,), threads, *arguments, *map(np.int64, (kept, inner, outer * inner)), memory=memory)


def _kept_shape(x: Any, axis: Axes) -> Axes:
    return tuple(1 if a in axis else n for a, n in enumerate(x.shape))


def destandardize(bind: Bind) -> Callable[..., Any]:
    """Return the function `destandardize` of a backend."""
    otherwise = bind(composed.destandardize)

    def call(x: Any, y: Any, scale: Any, axis: Axes, centred: bool = True) -> Any:
        groups = _groups(x, axis)
        if groups is None or not serves(x, y, scale) or x.shape != y.shape or scale.size != groups[1]:
            return otherwise(x, y, scale, axis, centred)
        out = cp.empty(x.shape, x.dtype)
        _run(BACKWARD, groups, *map(cp.ascontiguousarray, (x, y, scale)), out, np.int64(centred))
        return out

    return named(call, "destandardize", otherwise)


def standardize(bind: Bind) -> Callable[..., Any]:
    """Return the function `standardize` of a backend."""
    otherwise = bind(composed.standardize)

    def call(x: Any, axis: Axes, eps: float, centred: bool = True) -> Any:
        groups = _groups(x, axis)
        if groups is None or not serves(x):
            return otherwise(x, axis, eps, centred)
        x = cp.ascontiguousarray(x)
        out, mean, variance = _forward(x, x, x, axis, groups, eps, CENTRED * centred)
        return out, mean.astype(x.dtype, copy=False), variance.astype(x.dtype, copy=False)

    return named(call, "standardize", otherwise)


def _forward(x: Any, scale: Any, shift: Any, axis: Axes, groups: tuple[int, int, int], eps: float, flags: int) -> Any:
    shape, out = _kept_shape(x, axis), cp.empty(x.shape, x.dtype)
    mean, variance = cp.empty(shape, wide(x)), cp.empty(shape, wide(x))
    _run(FORWARD, groups, x, scale, shift, out, mean, variance, wide(x)(eps), np.int64(flags))
    return out, mean, variance


def _weights(x: Any, scale: Any, axis: Axes, channel: int) -> int | None:
    """The flags for weights from axis `channel` on: one for each group, or for each place of a row; None for others."""
    if channel + scale.ndim == x.ndim and axis == tuple(range(channel, x.ndim)):
        return CENTRED | SCALED
    theirs = range(channel, channel + scale.ndim)
    return CENTRED | SCALED | BY_GROUP if axis == tuple(a for a in range(x.ndim) if a not in theirs) else None


def normalize(bind: Bind) -> Callable[..., Any]:
    """Return the function `normalize` of a backend, which keeps x itself."""
    otherwise = bind(composed.normalize)

    def call(x: Any, scale: Any, shift: Any, axis: Axes, eps: float, channel: int) -> Any:
        groups, flags = _groups(x, axis), _weights(x, scale, axis, channel)
        if groups is None or flags is None or not serves(x, scale):
            return otherwise(x, scale, shift, axis, eps, channel)
        x, scale, shift = map(cp.ascontiguousarray, (x, scale, shift))
        out, mean, variance = _forward(x, scale, shift, axis, groups, eps, flags)
        return out, x, mean, variance

    return named(call, "normalize", otherwise)


def normalize_backward(bind: Bind) -> Callable[..., Any]:
    """Return the function `normalize_backward` of a backend."""
    otherwise = bind(composed.normalize_backward)

    def call(
        g: Any, kept: Any, scale: Any, mean: Any, variance: Any, axis: Axes, eps: float, channel: int, needs: Any
    ) -> Any:
        groups, flags = _groups(kept, axis), _weights(kept, scale, axis, channel)
        if groups is None or flags is None or not serves(kept, scale):
            return otherwise(g, kept, scale, mean, variance, axis, eps, channel, needs)
        g, scale, small = cp.ascontiguousarray(g), cp.ascontiguousarray(scale), wide(g)(eps)
        out, scales, shifts = (cp.empty(each.shape, g.dtype) for each in (kept, scale, scale))
        if needs[0] or flags & BY_GROUP:
            _run(WEIGHTED_BACKWARD, groups, g, kept, scale, mean, variance, out, scales, shifts, small, np.int64(flags))
        if not flags & BY_GROUP and any(needs[1:]):
            rows, n = groups[1], scale.size
            count, each = split(rows, n)
            parts = cp.empty((count, 2 * n), wide(g))
            launch(WEIGHTS, count, n, g, kept, mean, variance, parts, small, *map(np.int64, (rows, each, n)))
            scales, shifts = total(parts, g.dtype).reshape((2, *scale.shape))
        return tuple(each if needed else None for each, needed in zip((out, scales, shifts), needs, strict=True))

    return named(call, "normalize_backward", otherwise)
