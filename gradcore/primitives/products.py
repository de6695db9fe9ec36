"""Products of vectors and matrices, with their derivatives. It must not know Tensors or broadcasting."""

from __future__ import annotations

from math import prod
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
    return F.dot(F.matrix_transpose(x), g) if x.ndim == 2 else F.reshape(x, shape=(*x.shape, *(1,) * g.ndim)) * g


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


def _rows(F: Any, x: Array) -> Array:
    """The vectors in the last dimension of `x` as the rows of a matrix."""
    return x if x.ndim == 2 else F.reshape(x, shape=(prod(x.shape[:-1]), x.shape[-1]))


@primitive(
    "multilinear",
    x=lambda F, g, y: F.project(g, F.matrix_transpose(y)) if y.ndim == 2 else _left(F, g, y),
    y=lambda F, g, x, y_shape: F.dot(
        F.matrix_transpose(_rows(F, x)), F.reshape(g, shape=(prod(x.shape[:-1]), *y_shape[1:]))
    ),
    node="UnsafeView",
)
def project(F: Any, x: Array, y: Array) -> Array:
    """The vectors in the last dimension of `x` times `y`, a matrix or a vector, as one large product."""
    return F.reshape(F.dot(_rows(F, x), y), (*x.shape[:-1], *y.shape[1:]))


def _weight_pull(F: Any, g: Array, x: Array) -> Array:
    return F.dot(F.matrix_transpose(_rows(F, g)), _rows(F, x))


@primitive("multilinear", x=lambda F, g, weight: F.project(g, weight), weight=_weight_pull, node="Mm")
def unbiased(F: Any, x: Array, weight: Array) -> Array:
    """The vectors in the last dimension of `x` times the transpose of `weight`."""
    return F.reshape(F.dot(_rows(F, x), F.matrix_transpose(weight)), (*x.shape[:-1], weight.shape[0]))


@primitive(
    "general",
    x=lambda F, g, weight: F.project(g, weight),
    weight=_weight_pull,
    bias=lambda F, g: F.sum(_rows(F, g), axis=(0,)),
    node="Addmm",
)
def linear(F: Any, x: Array, weight: Array, bias: Array) -> Array:
    """The vectors in the last dimension of `x` times the transpose of `weight`, plus `bias`."""
    out = F.dot(_rows(F, x), F.matrix_transpose(weight))
    out += bias
    return F.reshape(out, (*x.shape[:-1], weight.shape[0]))
