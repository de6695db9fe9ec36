"""Products of vectors and matrices, with their derivatives. It must not know Tensors or broadcasting.
"""

from __future__ import annotations

from typing import Any

from gradcore.recorder import primitive, renamed

Array = Any


@primitive("linear", x=lambda F, g: F.matrix_transpose(g), node="Transpose")
def matrix_transpose(F: Any, x: Array) -> Array:
    """The last two axes exchanged. For rules: as it is not declared a view, it costs them no bookkeeping."""
    return F.matrix_transpose(x)


def _left(F: Any, g: Array, y: Array) -> Array:
    return F.dot(g, F.matrix_transpose(y)) if y.ndim == 2 else F.reshape(g, shape=(*g.shape, 1)) * y


def _right(F: Any, g: Array, x: Array) -> Array:
    return (
        F.dot(F.matrix_transpose(x), g) if x.ndim == 2 else F.reshape(x, shape=(*x.shape, *(1,) * g.ndim)) * g
    )


@primitive("multilinear", x=_left, y=_right)
def dot(F: Any, x: Array, y: Array) -> Array:
    """The product of two arrays of one or two dimensions: vectors or matrices."""
    return F.dot(x, y)


mm, mv = renamed(dot, "Mm"), renamed(dot, "Mv")


@primitive(
    "multilinear",
    x=lambda F, g, y: F.matmul(g, F.matrix_transpose(y)),
    y=lambda F, g, x: F.matmul(F.matrix_transpose(x), g),
    node="Bmm",
)
def matmul(F: Any, x: Array, y: Array) -> Array:
    """The products of two batches of matrices; the leading dimensions are the same."""
    return F.matmul(x, y)


@primitive(
    "general",
    x=lambda F, g, weight: F.dot(g, weight),
    weight=lambda F, g, x: F.dot(F.matrix_transpose(g), x),
    bias=lambda F, g: F.sum(g, axis=(0,)),
    node="Addmm",
)
def linear(F: Any, x: Array, weight: Array, bias: Array) -> Array:
    """The rows of `x` times the transpose of `weight`, plus `bias`."""
    out = F.dot(x, F.matrix_transpose(weight))
    out += bias
    return out
