"""Convolution over any number of axes: three maps, derivatives of each other. It must not know Tensors.

With x of (N, C, *size), w of (O, C / groups, *kernel) and y of (N, O, *out), the one trilinear form
sum(y * convolve(x, w)) has three gradients: `convolve`, `convolve_transposed` (of x) and `convolve_kernel`
(of w). So they give one another's rules, and with them every order. Each is one matrix product over the
columns of x.
"""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any

from gradcore.primitives.blocks import blocks
from gradcore.primitives.windows import Runs, Sizes, Window, runs
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
    found = F.convolution("forward", x, w, (n, o, *out), window.padding, window.stride, window.dilation)
    if found is not None:
        return found
    depth, kernels = prod(w.shape[1:]), _matrices(w, groups)
    run = _runs(F, window, x.shape[2:])
    parts = []
    for some in blocks(F, n, groups * depth * prod(out) * x.itemsize, _CACHE):
        columns = run.columns(F, x[some]) if run else F.columns(x[some], window)
        rows = F.matmul(kernels, columns.reshape((columns.shape[0], groups, depth, run.length if run else prod(out))))
        parts.append(run.windows(F, rows.reshape((rows.shape[0], o, run.length))) if run else rows)
    return F.ascontiguousarray(_joined(F, parts)).reshape((n, o, *out))


@primitive(
    "multilinear",
    y=lambda F, g, w, window, groups: F.convolve(g, w, window=window, groups=groups),
    w=lambda F, g, y, window, groups: F.convolve_kernel(g, y, window=window, groups=groups),
    node="Convolution",
)
def convolve_transposed(F: Any, y: Array, w: Array, *, window: Window, groups: int, size: Sizes) -> Array:
    """(N, O, *out) and (O, C / groups, *kernel) to (N, C, *size)."""
    n, o, out = y.shape[0], y.shape[1], y.shape[2:]
    shape = (n, groups * w.shape[1], *size)
    found = F.convolution("transposed", y, w, shape, window.padding, window.stride, window.dilation)
    if found is not None:
        return found
    on_host = F.device_type == "cpu"  # a device adds columns up as fast as it makes them
    thin = on_host and w.shape[1] == 1 and groups > 1 and o // groups <= _THIN
    mirrored = _mirrored(window, size, out) if on_host and o <= (1 if thin else _DEAR) * groups * w.shape[1] else None
    if thin and (mirrored is None or runs(mirrored, out) is None):
        return _thin_transposed(F, y, w, window, groups, size)
    if mirrored is not None:
        return _convolve(F, y, _mirror(F, w, groups), mirrored, groups)
    if on_host and o <= 2 * groups * w.shape[1] and y.size * window.cells >= _LONG * prod(window.stride) > _LONG:
        phased = _phased_transposed(F, y, w, window, groups, size)
        if phased is not None:
            return phased
    run, kernels = _runs(F, window, size), _matrices(w, groups).swapaxes(1, 2)
    parts = []
    for some in blocks(F, n, groups * prod(w.shape[1:]) * prod(out) * y.itemsize, _CACHE):
        rows = run.filled(F, y[some]) if run else y[some]
        columns = F.matmul(kernels, rows.reshape((rows.shape[0], groups, o // groups, run.length if run else prod(out))))
        shape = (columns.shape[0], groups * w.shape[1], *window.kernel)
        if run:
            parts.append(run.image(F, columns.reshape((*shape, run.length))))
        else:
            parts.append(F.image(columns.reshape((*shape, *out)), window, size))
    return _joined(F, parts)


@primitive(
    "multilinear",
    x=lambda F, g, y, x_shape, window, groups: F.convolve_transposed(y, g, window=window, groups=groups, size=x_shape[2:]),
    y=lambda F, g, x, window, groups: F.convolve(x, g, window=window, groups=groups),
    node="Convolution",
)
def convolve_kernel(F: Any, x: Array, y: Array, *, window: Window, groups: int) -> Array:
    """(N, C, *size) and (N, O, *out) to (O, C / groups, *kernel)."""
    n, c, o, out = x.shape[0], x.shape[1], y.shape[1], y.shape[2:]
    shape = (o, c // groups, *window.kernel)
    found = F.convolution("kernel", x, y, shape, window.padding, window.stride, window.dilation)
    if found is not None:
        return found
    depth, run = c // groups * prod(window.kernel), _runs(F, window, x.shape[2:])
    total: Any = None
    for some in blocks(F, n, groups * depth * prod(out) * x.itemsize, _CACHE):
        # Samples and places side by side make it one long product per group.
        rows = F.moveaxis(y[some], 0, 1)
        length = rows.shape[1] * (run.length if run else prod(out))
        rows = (run.filled(F, rows) if run else rows).reshape((groups, o // groups, length))
        columns = F.moveaxis(run.columns(F, x[some]), 0, -2) if run else F.columns(x[some], window, True)
        part = F.matmul(columns.reshape((groups, depth, length)), rows.swapaxes(1, 2))
        total = part if total is None else total + part
    return F.ascontiguousarray(total.swapaxes(1, 2)).reshape((o, c // groups, *window.kernel))


def _runs(F: Any, window: Window, size: Sizes) -> Runs | None:
    """The runs of windows, which make columns on the host faster."""
    return runs(window, size) if F.device_type == "cpu" else None


# How many times as long it takes to add up a column as to make one.
_DEAR = 6


def _mirrored(window: Window, size: Sizes, out: Sizes) -> Window | None:
    """The windows over `out` through which mirrored kernels give the transpose, if there are any.

    They save adding up columns, which takes longer than making them.
    """
    if max(window.stride) > 1:
        return None
    before = [r - 1 - p[0] for r, p in zip(window.reach, window.padding, strict=True)]
    after = [n + r - 1 - m - b for n, r, m, b in zip(size, window.reach, out, before, strict=True)]
    if min(*before, *after) < 0:
        return None
    return Window(window.kernel, window.stride, window.dilation, tuple(zip(before, after, strict=True)))


def _mirror(F: Any, w: Array, groups: int) -> Array:
    """Kernels (O, C / groups, *kernel) as (C, O / groups, *kernel), each turned around."""
    o, c, *kernel = w.shape
    turned = F.flip(w.reshape((groups, o // groups, c, *kernel)), tuple(range(3, 3 + len(kernel))))
    return F.ascontiguousarray(turned.swapaxes(1, 2)).reshape((groups * c, o // groups, *kernel))


def _convolve(F: Any, x: Array, w: Array, window: Window, groups: int) -> Array:
    return convolve.primitive.forward(F, x, w, window=window, groups=groups)  # type: ignore[attr-defined]


# For so many products a cell of the stride, convolutions one by one take less time than adding up their columns.
_LONG = 1 << 15


def _phased_transposed(F: Any, y: Array, w: Array, window: Window, groups: int, size: Sizes) -> Array | None:
    """The transpose where windows move by several cells: those at one distance from the next window see every so-manieth
    cell of the kernels, which mirrored make a convolution. None if that would begin inside of `y`."""
    if max(window.dilation) > 1:
        return None
    image, out = F.zeros((y.shape[0], groups * w.shape[1], *size), y.dtype), y.shape[2:]
    for phase in product(*map(range, window.stride)):
        starts = [(f - p[0], s) for f, p, s in zip(phase, window.padding, window.stride, strict=True)]
        first = [-(start // s) for start, s in starts]
        last = [-((start - n) // s) for (start, s), n in zip(starts, size, strict=True)]
        kernels = w[(..., *(slice(f, None, s) for f, s in zip(phase, window.stride, strict=True)))]
        ends = zip(kernels.shape[2:], first, last, out, strict=True)
        padding = tuple((k - 1 - begin, end - n) for k, begin, end, n in ends)
        if 0 in kernels.shape:
            continue
        if min(map(min, padding)) < 0:
            return None
        once = (1,) * window.ndim
        part = _convolve(F, y, _mirror(F, kernels, groups), Window(kernels.shape[2:], once, once, padding), groups)
        image[(..., *(slice(start % s, None, s) for start, s in starts))] = part
    return image


# The columns of so many bytes stay in a processor's cache while they are used.
_CACHE = 1 << 20


def _joined(F: Any, parts: list[Array]) -> Array:
    return parts[0] if len(parts) == 1 else F.concatenate(parts, 0)


# One channel in and so few out per group are products of numbers, for which matrix products are slow.
_THIN = 4


def _thin_transposed(F: Any, y: Array, w: Array, window: Window, groups: int, size: Sizes) -> Array:
    n, out, many = y.shape[0], y.shape[2:], w.shape[0] // groups
    weights = w.reshape((groups, many, *window.kernel, *(1,) * window.ndim))
    y = y.reshape((n, groups, many, *out))
    around = tuple(m + sum(p) for m, p in zip(size, window.padding, strict=True))
    image = F.zeros((n, groups, *around), y.dtype)
    for some in blocks(F, n, groups * many * prod(out) * 2 * y.itemsize, _CACHE):
        part, block = y[some], image[some]
        for place, index in window.taps(out):
            for j in range(many):
                seen = block[index]
                seen += part[:, :, j] * weights[(slice(None), j, *place)]
    return window.inside(F, image, size)


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
    seen = F.columns(x, window)
    return F.copy(seen) if F.is_view(seen) else seen


@primitive("linear", x=lambda F, g, window: F.columns(g, window=window), node="Col2Im")
def image(F: Any, x: Array, *, window: Window, size: Sizes) -> Array:
    """(..., *kernel, *out) added up where the windows over (..., *size) see it: the transpose of `columns`."""
    return F.image(x, window, size)
