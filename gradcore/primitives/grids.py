"""Places in a grid of cells, and weighted sums of the cells around them. It must not know Tensors.

The sums are three maps, derivatives of each other. With tables x of (N, C, cells), sums y of (N, C, places), and for each
place K cells of its sample (N, K, places) with weights w of the same shape, the one trilinear form
sum(y * gather(x, w)) has the gradients `gather_weighted`, `scatter_weighted` (of x) and `gather_products` (of w).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import prod
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


def _corners_rule(F: Any, g: Array, x: Array, size: Sizes) -> Array:
    n = len(size)
    beyond = F.basic_getitem(x - F.floor(x), index=(..., None, slice(None)))  # (..., n, 1, places)
    slopes = []
    for i in range(n):
        part = g  # (..., 2**j, places): summed over the corners along axes from j on
        for j in range(n):
            half = 1 << (n - 1 - j)
            low = F.basic_getitem(part, index=(..., slice(0, half), slice(None)))
            high = F.basic_getitem(part, index=(..., slice(half, None), slice(None)))
            share = F.basic_getitem(beyond, index=(..., j, slice(None), slice(None)))
            part = high - low if i == j else low * (1 - share) + high * share
        slopes.append(part)
    return F.concatenate(*slopes, axis=g.ndim - 2)


@primitive("general", x=_corners_rule, outputs=("weights", "cells"), constant=("cells",))
def corners(F: Any, x: Array, *, size: Sizes) -> tuple[Array, Array]:
    """For places x (..., n, places) counted in cells: the shares of the 2**n cells around each, by distance, and the numbers
    of these cells among all of `size` and one more around them, as (..., 2**n, places)."""
    first = F.floor(x)
    beyond = x - first
    sides = []
    for i, m in enumerate(size):
        low, share, row = first[..., i, :], beyond[..., i, :], prod(n + 2 for n in size[i + 1 :])
        ends = ((low, 1 - share), (low + 1, share))
        sides.append([(weight, numbers(F, whole, m) * row) for whole, weight in ends])
    shape = (*x.shape[:-2], 1 << len(size), x.shape[-1])
    weights, cells = F.empty(shape, x.dtype), F.empty(shape, "int64")
    for k, chosen in enumerate(product(*sides)):
        weight, cell = chosen[0]
        for share, number in chosen[1:]:
            weight, cell = weight * share, cell + number
        weights[..., k, :] = weight
        cells[..., k, :] = cell
    return weights, cells


def numbers(F: Any, whole: Array, m: int) -> Array:
    """The numbers among m + 2 cells of those from -1 to m, for which all beyond are taken; of NaN some number."""
    number = F.astype(whole, "int32") + 1
    kind = number.dtype.type  # NumPy takes a while to see that numbers of Python's are in its range
    return F.astype(F.clip(number, kind(0), kind(m + 1)), "int64")


# -- weighted sums ---------------------------------------------------------------------------------------------------


@primitive(
    "multilinear",
    x=lambda F, g, w, cells, x_shape: F.scatter_weighted(g, w, cells, size=x_shape[2]),
    w=lambda F, g, x, cells: F.gather_products(x, g, cells),
    node="GridSampler2D",
)
def gather_weighted(F: Any, x: Array, w: Array, cells: Array) -> Array:
    """The sum over K of w (N, K, places) times the cells of x (N, C, cells) of that number."""
    out = F.zeros((*x.shape[:2], cells.shape[2]), x.dtype)
    for some, few, seen in _seen(F, x, cells):
        out[some] += F.einsum("nckp,nkp->ncp", seen, w[some, few])
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
    for some, few, seen in _seen(F, x, cells):
        out[some, few] = F.einsum("nckp,ncp->nkp", seen, y[some])
    return out


# So many of the cells around a place are read at once.
_FEW = 4


def _seen(F: Any, x: Array, cells: Array) -> Iterator[tuple[slice, slice, Array]]:
    """Some samples, some of the K cells, and what x (N, C, cells) has there: (N, C, K, places)."""
    (n, c, _), places = x.shape, cells.shape[2]
    for some in blocks(F, n, c * places * x.itemsize * _FEW):
        for start in range(0, cells.shape[1], _FEW):
            part = cells[some, start : start + _FEW]
            flat = part.reshape((part.shape[0], part.shape[1] * places))
            yield some, slice(start, start + _FEW), F.take_cells(x[some], flat).reshape((part.shape[0], c, *part.shape[1:]))
