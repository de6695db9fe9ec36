"""Convolution over any number of axes: three maps, derivatives of each other. It must not know Tensors.

With x of (N, C, *size), w of (O, C / groups, *kernel) and y of (N, O, *out), the one trilinear form
sum(y * convolve(x, w)) has three gradients: `convolve`, `convolve_transposed` (of x) and `convolve_kernel`
(of w). So they give one another's rules, and with them every order. Each is one matrix product over the
columns of x.
"""

from __future__ import annotations

from math import prod
from typing import Any

from gradcore.primitives.windows import Sizes, Window
from gradcore.recorder import primitive

Array = Any


@primitive(
    "multilinear",
    x=lambda F, g, w, x_shape, window, groups: F.convolve_transposed(g, w, window=window, groups=groups, size=x_shape[2:]),
    w=lambda F, g, x, window, groups: F.convolve_kernel(x, g, window=window, groups=groups),
    node="Convolution",
)
def convolve(F: Any, x: Array, w: Array, *, window: Window, groups: int) -> Array:
    """(N, C, *size) and (O, C / groups, *kernel) to (N, O, *out), as correlation: kernels are not flipped."""
    n, o, out = x.shape[0], w.shape[0], window.out(x.shape[2:])
    columns = window.columns(F, x).reshape((n, groups, prod(w.shape[1:]), prod(out)))
    return F.matmul(_matrices(w, groups), columns).reshape((n, o, *out))


@primitive(
    "multilinear",
    y=lambda F, g, w, window, groups: F.convolve(g, w, window=window, groups=groups),
    w=lambda F, g, y, window, groups: F.convolve_kernel(g, y, window=window, groups=groups),
    node="Convolution",
)
def convolve_transposed(F: Any, y: Array, w: Array, *, window: Window, groups: int, size: Sizes) -> Array:
    """(N, O, *out) and (O, C / groups, *kernel) to (N, C, *size)."""
    n, o, out = y.shape[0], y.shape[1], y.shape[2:]
    columns = F.matmul(_matrices(w, groups).swapaxes(1, 2), y.reshape((n, groups, o // groups, prod(out))))
    return window.image(F, columns.reshape((n, groups * w.shape[1], *window.kernel, *out)), size)


@primitive(
    "multilinear",
    x=lambda F, g, y, x_shape, window, groups: F.convolve_transposed(y, g, window=window, groups=groups, size=x_shape[2:]),
    y=lambda F, g, x, window, groups: F.convolve(x, g, window=window, groups=groups),
    node="Convolution",
)
def convolve_kernel(F: Any, x: Array, y: Array, *, window: Window, groups: int) -> Array:
    """(N, C, *size) and (N, O, *out) to (O, C / groups, *kernel)."""
    n, c, o, out = x.shape[0], x.shape[1], y.shape[1], y.shape[2:]
    depth, length = c // groups * prod(window.kernel), n * prod(out)
    # Samples and places side by side make it one long product per group.
    columns = F.moveaxis(window.columns(F, x), 0, -1 - window.ndim).reshape((groups, depth, length))
    rows = F.moveaxis(y, 0, 1).reshape((groups, o // groups, length))
    return F.matmul(rows, columns.swapaxes(1, 2)).reshape((o, c // groups, *window.kernel))


def _matrices(w: Array, groups: int) -> Array:
    return w.reshape((groups, w.shape[0] // groups, prod(w.shape[1:])))


# -- the columns alone ---------------------------------------------------------------------------------------


@primitive(
    "linear",
    x=lambda F, g, x_shape, window: F.image(g, window=window, size=x_shape[len(x_shape) - window.ndim :]),
    node="Im2Col",
)
def columns(F: Any, x: Array, *, window: Window) -> Array:
    """What each window over (..., *size) sees, as (..., *kernel, *out)."""
    return F.copy(window.columns(F, x))


@primitive("linear", x=lambda F, g, window: F.columns(g, window=window), node="Col2Im")
def image(F: Any, x: Array, *, window: Window, size: Sizes) -> Array:
    """(..., *kernel, *out) added up where the windows over (..., *size) see it: the transpose of `columns`."""
    return window.image(F, x, size)
