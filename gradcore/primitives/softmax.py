"""Exponentials normalised over axes: softmax, its logarithm, logsumexp. It must not know Tensors.

`axis` is a tuple of axes; none at all for a 0-d array. Every forward subtracts the maximum first, against
overflow.
"""

from __future__ import annotations

from typing import Any

from gradcore.backends.shared import widened
from gradcore.recorder import primitive

Array = Any
Axes = tuple[int, ...]


def _below_top(F: Any, x: Array, axis: Axes) -> tuple[Array, Array]:
    """`x` less its maximum over `axis`, and that maximum; infinite ones count as 0."""
    if not x.size:
        return x, F.sum(x, axis, keepdims=True)
    top = F.max(F.real(x) if x.dtype.kind == "c" else x, axis, keepdims=True)
    top = F.where(F.isinf(top), F.zeros_like(top), top)
    return x - top, top


@widened
def _logsumexp(F: Any, x: Array, axis: Axes, keepdims: bool) -> Array:
    below, top = _below_top(F, x, axis)
    out = F.log(F.sum(F.exp(below), axis, keepdims=True)) + top
    return out if keepdims else F.squeeze(out, axis)


# The derivatives are primitives, since each is one kernel on a device: of a cotangent x, where the value is y.


def _softmax_bend(F: Any, g: Array, x: Array, y: Array, axis: Axes) -> Array:
    return g * (x - F.inner(x, y, axis=axis)) - x * F.inner(g, y, axis=axis)


@primitive(
    "general", x=lambda F, g, y, axis: F.softmax_backward(g, y, axis=axis), y=_softmax_bend, node="SoftmaxBackwardData"
)
def softmax_backward(F: Any, x: Array, y: Array, *, axis: Axes) -> Array:
    return F.softmax_backward(x, y, axis)


@primitive("general", dense=True, x=lambda F, g, out, axis: F.softmax_backward(g, out, axis=axis))
def softmax(F: Any, x: Array, *, axis: Axes) -> Array:
    """exp(x) divided by its sum over `axis`."""
    return F.softmax(x, axis)


@primitive(
    "general",
    x=lambda F, g, y, axis: g - F.sum(g * F.exp(y), axis=axis, keepdims=True),
    y=lambda F, g, x, y, axis: -(g * F.exp(y)) * F.sum(x, axis=axis, keepdims=True),
    node="LogSoftmaxBackwardData",
)
def log_softmax_backward(F: Any, x: Array, y: Array, *, axis: Axes) -> Array:
    return F.log_softmax_backward(x, y, axis)


@primitive("general", dense=True, x=lambda F, g, out, axis: F.log_softmax_backward(g, out, axis=axis))
def log_softmax(F: Any, x: Array, *, axis: Axes) -> Array:
    """The logarithm of `softmax`, accurate where that underflows."""
    return F.log_softmax(x, axis)


def _logsumexp_pull(F: Any, g: Array, x: Array, out: Array, axis: Axes, x_shape: tuple[int, ...]) -> Array:
    share = F.exp(x - F.spread(out, axis=axis, shape=x_shape))
    return F.spread(g, axis=axis, shape=x_shape) * share


@primitive("general", dense=True, x=_logsumexp_pull)
def logsumexp(F: Any, x: Array, *, axis: Axes, keepdims: bool = False) -> Array:
    """log(sum(exp(x))) over `axis`."""
    return _logsumexp(F, x, axis, keepdims)
