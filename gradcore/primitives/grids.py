"""Weighted sums of a few cells of a table, named by number: three maps, derivatives of each other. It must not know
Tensors.

With tables x of (N, C, cells), sums y of (N, C, places), and for each place K cells of its sample (N, K, places) with
weights w of the same shape, the one trilinear form sum(y * gather(x, w)) has the gradients `gather_weighted`,
`scatter_weighted` (of x) and `gather_products` (of w).
"""

from __future__ import annotations

from typing import Any

from gradcore.recorder import primitive

Array = Any


def _rows(F: Any, x: Array, cells: Array, k: int) -> Array:
    """What x (N, C, cells) has at cell number `k` of every place, for all its channels."""
    return F.take_along_axis(x, cells[:, k : k + 1], 2)


@primitive(
    "multilinear",
    x=lambda F, g, w, cells, x_shape: F.scatter_weighted(g, w, cells, size=x_shape[2]),
    w=lambda F, g, x, cells: F.gather_products(x, g, cells),
    node="GridSampler2D",
)
def gather_weighted(F: Any, x: Array, w: Array, cells: Array) -> Array:
    """The sum over K of w (N, K, places) times the cells of x (N, C, cells) of that number."""
    total: Any = None
    for k in range(cells.shape[1]):
        part = _rows(F, x, cells, k) * w[:, k : k + 1]
        total = part if total is None else total + part
    return total


@primitive(
    "multilinear",
    y=lambda F, g, w, cells: F.gather_weighted(g, w, cells),
    w=lambda F, g, y, cells: F.gather_products(g, y, cells),
)
def scatter_weighted(F: Any, y: Array, w: Array, cells: Array, *, size: int) -> Array:
    """Each y (N, C, places) times its weights (N, K, places), added to the cells of that number of (N, C, size)."""
    n, c = y.shape[:2]
    out = F.zeros((n * c * size,), y.dtype)
    first = F.arange(n * c).reshape((n, c, 1)) * size
    for k in range(cells.shape[1]):
        at = (first + cells[:, k : k + 1]).reshape(-1)
        F.scatter_add(out, (at,), (y * w[:, k : k + 1]).reshape(-1))
    return out.reshape((n, c, size))


@primitive(
    "multilinear",
    x=lambda F, g, y, cells, x_shape: F.scatter_weighted(y, g, cells, size=x_shape[2]),
    y=lambda F, g, x, cells: F.gather_weighted(x, g, cells),
)
def gather_products(F: Any, x: Array, y: Array, cells: Array) -> Array:
    """The sums over channels of y (N, C, places) times each of the K cells of x (N, C, cells) of their numbers."""
    return F.stack([F.sum(_rows(F, x, cells, k) * y, 1) for k in range(cells.shape[1])], 1)
