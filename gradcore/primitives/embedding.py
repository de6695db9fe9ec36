"""Rows of a table by number, and the sum of rows back into one. It must not know Tensors."""

from __future__ import annotations

from typing import Any

from gradcore.recorder import primitive

Array = Any


def _weight_rule(F: Any, g: Any, index: Any, weight_shape: tuple[int, ...], padding: int | None, by_frequency: bool) -> Any:
    column = (*index.shape, 1)
    if padding is not None:
        g = F.masked(g, F.reshape(index, shape=column) != padding)
    if by_frequency:
        g = g / F.reshape(F.frequencies(index, g, rows=weight_shape[0]), shape=column)
    return F.add_rows(g, index, rows=weight_shape[0])


@primitive("linear", weight=_weight_rule)
def embedding(F: Any, weight: Array, index: Array, *, padding: int | None = None, by_frequency: bool = False) -> Array:
    """The rows of `weight` at `index`. Its derivative leaves out row `padding`, and shares among equal
    indices if told."""
    return F.take(weight, index, 0)


@primitive("linear", x=lambda F, g, index: F.embedding(g, index))
def add_rows(F: Any, x: Array, index: Array, *, rows: int) -> Array:
    """A table of `rows` rows, each the sum of the rows of `x` at its places in `index`."""
    out = F.zeros((rows, x.shape[-1]), x.dtype)
    return F.scatter_add(out, (index.reshape(-1),), x.reshape((index.size, x.shape[-1])))


@primitive("general")
def frequencies(F: Any, index: Array, like: Array, *, rows: int) -> Array:
    """How often each element of `index` occurs in it, in the dtype of `like`."""
    # Not bincount, for which a device has to wait.
    flat, counts = index.reshape(-1), F.zeros((rows,), like.dtype)
    return F.take(F.scatter_add(counts, (flat,), F.ones(flat.shape, like.dtype)), index, 0)
