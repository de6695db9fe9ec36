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
def _softmax(F: Any, x: Array, axis: Axes) -> Array:
    if not x.size:
        return F.copy(x)
    parts = F.as_array(x - F.max(x, axis, keepdims=True))
    F.exp(parts, parts)
    parts /= F.sum(parts, axis, keepdims=True)
    return parts


@widened
def _log_softmax(F: Any, x: Array, axis: Axes) -> Array:
    if not x.size:
        return F.copy(x)
    below = x - F.max(x, axis, keepdims=True)
    below -= F.log(F.sum(F.exp(below), axis, keepdims=True))
    return below


@widened
def _logsumexp(F: Any, x: Array, axis: Axes, keepdims: bool) -> Array:
    below, top = _below_top(F, x, axis)
    out = F.log(F.sum(F.exp(below), axis, keepdims=True)) + top
    return out if keepdims else F.squeeze(out, axis)


def _softmax_pull(F: Any, g: Array, out: Array, axis: Axes) -> Array:
    return (g - F.inner(g, out, axis=axis)) * out


@primitive("general", x=_softmax_pull)
def softmax(F: Any, x: Array, *, axis: Axes) -> Array:
    """exp(x) divided by its sum over `axis`."""
    return _softmax(F, x, axis)


@primitive("general", x=lambda F, g, out, axis: g - F.exp(out) * F.sum(g, axis=axis, keepdims=True))
def log_softmax(F: Any, x: Array, *, axis: Axes) -> Array:
    """The logarithm of `softmax`, accurate where that underflows."""
    return _log_softmax(F, x, axis)


def _logsumexp_pull(F: Any, g: Array, x: Array, out: Array, axis: Axes, x_shape: tuple[int, ...]) -> Array:
    share = F.exp(x - F.spread(out, axis=axis, shape=x_shape))
    return F.spread(g, axis=axis, shape=x_shape) * share


@primitive("general", x=_logsumexp_pull)
def logsumexp(F: Any, x: Array, *, axis: Axes, keepdims: bool = False) -> Array:
    """log(sum(exp(x))) over `axis`."""
    return _logsumexp(F, x, axis, keepdims)
