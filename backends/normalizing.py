"""Normalisation with weights on the host, by the fewest passes; must not know gradients or Tensors.

Where no mean is large beside its deviation, the variance is the mean square less the square of the mean, the result
x * a + b, and so is the derivative: nothing is subtracted from each number beforehand. Else composed.py has the formulas.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from gradcore.backends import composed

Array = Any
Axes = tuple[int, ...]

_FEW = 4096  # numbers, up to which there is nothing to gain
_SHORT = 32  # numbers of a channel next to each other, likewise


def _channels(x: Array, scale: Array, axis: Axes, channel: int) -> int | None:
    """The axis behind the last that has weights, if all from there on are normalised; None where composed.py is for it."""
    end = channel + scale.ndim
    if x.size <= _FEW or x.dtype.char not in "fd" or end == x.ndim:
        return None
    return end if axis[end - x.ndim :] == tuple(range(end, x.ndim)) and prod(x.shape[end:]) >= _SHORT else None


def _mild(mean: Array, variance: Array) -> bool:
    """Whether what is not centred loses no more than a bit."""
    return bool((mean * mean <= variance).all())


def _rows(x: Array, end: int) -> Array:
    return x.reshape(prod(x.shape[:end]), -1)


def _sums(F: Any, x: Array, end: int) -> Array:
    return F.sum(x, tuple(range(end, x.ndim))).astype("d")


def _products(x: Array, y: Array, end: int) -> Array:
    return np.vecdot(_rows(x, end), _rows(y, end)).reshape(x.shape[:end]).astype("d")


def _column(values: Array, x: Array, end: int) -> Array:
    return np.broadcast_to(values, x.shape[:end]).reshape(-1, 1).astype(x.dtype)


def _combined(end: int, level: Array, *terms: tuple[Array, Array]) -> Array:
    """The sum of arrays of one shape, each times what it has for its first axes, and `level`."""
    (x, factor), *others = terms
    out = np.empty(x.shape, x.dtype)  # owns its memory: what is a view would be copied for a leaf
    rows = _rows(out, end)
    np.multiply(_rows(x, end), _column(factor, x, end), rows)
    for other, factor in others:
        rows += _rows(other, end) * _column(factor, x, end)
    rows += _column(level, x, end)
    return out


def normalize(
    F: Any, x: Array, scale: Array, shift: Array, axis: Axes, eps: float, channel: int
) -> tuple[Array, Array, Array, Array]:
    """Return what the function of this name in composed.py does, but where means are small x for what is kept."""
    end = _channels(x, scale, axis, channel)
    if end is None:
        return composed.normalize(F, x, scale, shift, axis, eps, channel)
    x, count = np.ascontiguousarray(x), prod(x.shape[a] for a in axis)
    over = tuple(a for a in axis if a < end)
    mean = _sums(F, x, end).sum(over, keepdims=True) / count
    variance = _products(x, x, end).sum(over, keepdims=True) / count - mean * mean
    shape = (*mean.shape, *(1,) * (x.ndim - end))
    rounded = mean.astype(x.dtype).reshape(shape), variance.astype(x.dtype).reshape(shape)
    if not _mild(*rounded):
        return composed.normalize(F, x, scale, shift, axis, eps, channel)
    factor = (variance + eps) ** -0.5 * scale
    return _combined(end, shift - mean * factor, (x, factor)), x, *rounded


def normalize_backward(
    F: Any, g: Array, kept: Array, scale: Array, mean: Array, variance: Array,
    axis: Axes, eps: float, channel: int, needs: tuple[bool, ...],
) -> tuple[Array | None, ...]:  # fmt: skip
    """Return the cotangents of the three arrays of `normalize` that are needed, None for others."""
    end = _channels(kept, scale, axis, channel)
    if end is None or not _mild(mean, variance):
        return composed.normalize_backward(F, g, kept, scale, mean, variance, axis, eps, channel, needs)
    g, x, count = np.ascontiguousarray(g), kept, prod(kept.shape[a] for a in axis)
    over, others = tuple(a for a in axis if a < end), tuple(range(channel))
    mean, variance = (each.reshape(each.shape[:end]).astype("d") for each in (mean, variance))
    unit = (variance + eps) ** -0.5
    sums = _sums(F, g, end)
    normal = (_products(g, x, end) - mean * sums) * unit
    out = None
    if needs[0]:
        bend = (scale * normal).sum(over, keepdims=True) * (unit**2 / -count)
        level = (scale * sums).sum(over, keepdims=True) * (unit / -count) - mean * bend
        out = _combined(end, level, (x, bend), (g, unit * scale))
    return (
        out,
        normal.sum(others).astype(x.dtype) if needs[1] else None,
        sums.sum(others).astype(x.dtype) if needs[2] else None,
    )
