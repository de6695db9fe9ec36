"""Kernels of what windows see, as columns, and of columns added up where they see it; must not know convolution.

The first reads zeros around the array instead of copying it into zeros; the second goes by cells, each of which
collects its summands in one order, so that nothing is written twice.
"""
from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import cupy as cp
import numpy as np

from gradcore.backends import composed
from gradcore.backends.kernels.launch import Kernel, named, serves

Bind = Callable[[Callable[..., Any]], Callable[..., Any]]

AXES, THREADS = 3, 256  # fewer axes are some of length 1
FIELDS = "size kernel stride dilation before out".split()
GEOMETRY = np.dtype([*((name, "i4", AXES) for name in FIELDS), ("samples", "i4"), ("channels", "i4"), ("total", "i4")])
STRUCT = """
struct Windows {
    int size[3], kernel[3], stride[3], dilation[3], before[3], out[3], samples, channels, total;
};
"""

COLUMNS = Kernel(
    "gradcore_columns",
    r"""
extern "C" __global__ void gradcore_columns(const T* x, T* y, const Windows w) {
    const long long step = (long long)gridDim.x * blockDim.x;
    for (long long at = (long long)blockIdx.x * blockDim.x + threadIdx.x; at < w.total; at += step) {
        int rest = int(at), place[3], sample = 0;
        for (int a = 2; a >= 0; a--) { place[a] = rest % w.out[a] * w.stride[a] - w.before[a]; rest /= w.out[a]; }
        if (w.samples) { sample = rest % w.samples; rest /= w.samples; }
        for (int a = 2; a >= 0; a--) { place[a] += rest % w.kernel[a] * w.dilation[a]; rest /= w.kernel[a]; }
        long long from = (long long)sample * w.channels + rest;
        bool inside = true;
        for (int a = 0; a < 3; a++) {
            inside = inside && place[a] >= 0 && place[a] < w.size[a];
            from = from * w.size[a] + place[a];
        }
        y[at] = inside ? x[from] : T(0);
    }
}
""",
    STRUCT,
)

IMAGE = Kernel(
    "gradcore_image",
    r"""
// Whether place k of the kernel of some window is at this cell (counted from the first of the padding), and of which.
__device__ bool seen(const Windows& w, const int a, const int cell, const int k, int* window) {
    const int first = cell - k * w.dilation[a];
    *window = first / w.stride[a];
    return first >= 0 && first % w.stride[a] == 0 && *window < w.out[a];
}

extern "C" __global__ void gradcore_image(const T* columns, T* y, const Windows w) {
    const long long step = (long long)gridDim.x * blockDim.x;
    for (long long at = (long long)blockIdx.x * blockDim.x + threadIdx.x; at < w.total; at += step) {
        int rest = int(at), cell[3], i, j, k;
        for (int a = 2; a >= 0; a--) { cell[a] = rest % w.size[a] + w.before[a]; rest /= w.size[a]; }
        A sum = 0;
        for (int p = 0; p < w.kernel[0]; p++) {
            if (!seen(w, 0, cell[0], p, &i)) continue;
            for (int q = 0; q < w.kernel[1]; q++) {
                if (!seen(w, 1, cell[1], q, &j)) continue;
                for (int r = 0; r < w.kernel[2]; r++) {
                    if (!seen(w, 2, cell[2], r, &k)) continue;
                    const long long row = (((long long)rest * w.kernel[0] + p) * w.kernel[1] + q) * w.kernel[2] + r;
                    sum += A(columns[((row * w.out[0] + i) * w.out[1] + j) * w.out[2] + k]);
                }
            }
        }
        y[at] = T(sum);
    }
}
""",
    STRUCT,
)


def _geometry(window: Any, size: tuple[int, ...], total: int, samples: int = 0, channels: int = 0) -> Any:
    table = np.zeros(1, GEOMETRY)
    known = {"size": size, "before": [p[0] for p in window.padding], "out": window.out(size)}
    for name in FIELDS:
        more = AXES - len(size)
        table[0][name][:] = (*(int(name != "before") for _ in range(more)), *known.get(name, getattr(window, name, ())))
    for name, n in (("samples", samples), ("channels", channels), ("total", total)):
        table[0][name] = n
    return table


def _run(kernel: Kernel, x: Any, out: Any, geometry: Any) -> Any:
    kernel.blocks((min(1 << 16, -(-out.size // THREADS)),), THREADS, cp.ascontiguousarray(x), out, geometry)
    return out


def _fits(window: Any, *sizes: int) -> bool:
    return len(window.kernel) <= AXES and all(0 < n < 1 << 31 for n in sizes)


def columns(bind: Bind) -> Callable[..., Any]:
    """Return the function `columns` of a backend."""
    otherwise = bind(composed.columns)

    def call(x: Any, window: Any, together: bool = False) -> Any:
        n = len(window.kernel)
        lead, size = x.shape[: x.ndim - n], x.shape[x.ndim - n :]
        first, rest = (lead[:1], lead[1:]) if together else ((), lead)
        shape = (*rest, *window.kernel, *first, *window.out(size))
        if not serves(x) or not _fits(window, prod(shape), x.size):
            return otherwise(x, window, together)
        out = cp.empty(shape, x.dtype)
        order = (*first, prod(rest)) if together else ()
        return _run(COLUMNS, x, out, _geometry(window, size, out.size, *order))

    return named(call, "columns", otherwise)


def image(bind: Bind) -> Callable[..., Any]:
    """Return the function `image` of a backend."""
    otherwise = bind(composed.image)

    def call(columns: Any, window: Any, size: tuple[int, ...]) -> Any:
        shape = (*columns.shape[: columns.ndim - 2 * len(size)], *size)
        if not serves(columns) or not _fits(window, prod(shape), columns.size):
            return otherwise(columns, window, size)
        out = cp.empty(shape, columns.dtype)
        return _run(IMAGE, columns, out, _geometry(window, size, out.size))

    return named(call, "image", otherwise)
