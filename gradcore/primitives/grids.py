"""Places in a grid of cells, and weighted sums of the cells around them. It must not know Tensors.

The sums are three maps, derivatives of each other. With tables x of (N, C, cells), sums y of (N, C, places), and for each
place K cells of its sample (N, K, places) with weights w of the same shape, the one trilinear form
sum(y * gather(x, w)) has the gradients `gather_weighted`, `scatter_weighted` (of x) and `gather_products` (of w).
"""

from __future__ import annotations

from itertools import product
from typing import Any

from gradcore.primitives.blocks import blocks
from gradcore.recorder import primitive

Array = Any
Sizes = tuple[int, ...]


# -- places ----------------------------------------------------------------------------------------------------------


def _in_cells_rule(F: Any, g: Array, size: Sizes, aligned: bool) -> Array:
    columns = [
        F.basic_getitem(g, index=(..., i, slice(None))) * ((m - 1) / 2 if aligned else m / 2) for i, m in enumerate(size)
    ]
    return F.stack(*columns[::-1], axis=g.ndim - 1)


@primitive("general", x=_in_cells_rule)
def in_cells(F: Any, x: Array, *, size: Sizes, aligned: bool) -> Array:
    """Places x (..., places, n) from -1 to 1, the last axis first, counted in cells from 0 on: (..., n, places)."""
    out = F.empty((*x.shape[:-2], len(size), x.shape[-2]), x.dtype)
    for i, m in enumerate(size):
        at = x[..., -1 - i] + 1
        out[..., i, :] = at * ((m - 1) / 2) if aligned else (at * m - 1) * 0.5
    return out


def _corners_rule(F: Any, g: Array, x: Array, within: Array, size: Sizes) -> Array:
    g, n = F.masked(g, within), len(size)
    beyond = F.basic_getitem(x - F.floor(x), index=(..., None, slice(None)))  # (..., n, 1, places)
    slopes = []
    for i in range(n):
        part = g  # (..., 2**j, places): summed over the corners along axes from j on
        for j in range(n):
            half = 1 << (n - 1 - j)
            low = F.basic_getitem(part, index=(..., slice(0, half), slice(None)))
            change = F.basic_getitem(part, index=(..., slice(half, None), slice(None))) - low
            part = change if i == j else low + change * F.basic_getitem(beyond, index=(..., j, slice(None), slice(None)))
        slopes.append(part)
    return F.concatenate(*slopes, axis=g.ndim - 2)


@primitive("general", x=_corners_rule, outputs=("weights", "cells", "within"), constant=("cells", "within"))
def corners(F: Any, x: Array, *, size: Sizes) -> tuple[Array, Array, Array]:
    """For places x (..., n, places) counted in cells: the shares of the 2**n cells around each, by distance, the numbers of
    these cells among all of `size`, and which of them there are, as (..., 2**n, places)."""
    first = F.floor(x)
    beyond = x - first
    sides = []
    for i, m in enumerate(size):
        low, share = first[..., i, :], beyond[..., i, :]
        ends = []
        for whole, weight in ((low, 1 - share), (low + 1, share)):
            number = F.fmin(F.fmax(whole, 0), m - 1)
            ends.append((weight, F.astype(number, "int64"), number == whole))
        sides.append(ends)
    shape = (*x.shape[:-2], 1 << len(size), x.shape[-1])
    weights, cells, within = (F.empty(shape, dtype) for dtype in (x.dtype, "int64", "bool"))
    for k, chosen in enumerate(product(*sides)):
        weight, cell, there = chosen[0]
        for (share, number, real), m in zip(chosen[1:], size[1:], strict=True):
            weight, cell, there = weight * share, cell * m + number, there & real
        weights[..., k, :] = F.masked(weight, there)
        cells[..., k, :] = cell
        within[..., k, :] = there
    return weights, cells, within


# -- weighted sums ---------------------------------------------------------------------------------------------------


@primitive(
    "multilinear",
    x=lambda F, g, w, cells, x_shape: F.scatter_weighted(g, w, cells, size=x_shape[2]),
    w=lambda F, g, x, cells: F.gather_products(x, g, cells),
    node="GridSampler2D",
)
def gather_weighted(F: Any, x: Array, w: Array, cells: Array) -> Array:
    """The sum over K of w (N, K, places) times the cells of x (N, C, cells) of that number."""
    n, c = x.shape[:2]
    places = cells.shape[2]
    out = F.zeros((n, c, places), x.dtype)
    for some in blocks(F, n, c * places * x.itemsize):
        for k in range(cells.shape[1]):
            part = F.take_cells(x[some], cells[some, k])
            part *= w[some, k : k + 1]
            out[some] += part
    return out


@primitive(
    "multilinear",
    y=lambda F, g, w, cells: F.gather_weighted(g, w, cells),
    w=lambda F, g, y, cells: F.gather_products(g, y, cells),
)
def scatter_weighted(F: Any, y: Array, w: Array, cells: Array, *, size: int) -> Array:
    """Each y (N, C, places) times its weights (N, K, places), added to the cells of that number of (N, C, size)."""
    n, c, places = y.shape
    out = F.zeros((n * c * size,), y.dtype)
    first = F.arange(n * c).reshape((n, c, 1)) * size
    for some in blocks(F, n, c * places * y.itemsize):
        for k in range(cells.shape[1]):
            at = (first[some] + cells[some, k : k + 1]).reshape(-1)
            F.scatter_add(out, (at,), (y[some] * w[some, k : k + 1]).reshape(-1))
    return out.reshape((n, c, size))


@primitive(
    "multilinear",
    x=lambda F, g, y, cells, x_shape: F.scatter_weighted(y, g, cells, size=x_shape[2]),
    y=lambda F, g, x, cells: F.gather_weighted(x, g, cells),
)
def gather_products(F: Any, x: Array, y: Array, cells: Array) -> Array:
    """The sums over channels of y (N, C, places) times each of the K cells of x (N, C, cells) of their numbers."""
    out = F.empty(cells.shape, x.dtype)
    for some in blocks(F, x.shape[0], x.shape[1] * cells.shape[2] * x.itemsize):
        for k in range(cells.shape[1]):
            part = F.take_cells(x[some], cells[some, k])
            part *= y[some]
            out[some, k] = F.sum(part, 1)
    return out
