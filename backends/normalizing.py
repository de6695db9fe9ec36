"""Normalisation with weights on the host, by the fewest passes; must not know gradients or Tensors.

Where no mean is large beside its deviation, the variance is the mean square less the square of the mean, the result
x * a + b, and so is the derivative: nothing is subtracted from each number beforehand. Else composed.py has the formulas,
and where the weights lie along what is normalised, as in layer_norm, what is here writes over as few arrays as it can.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from gradcore.backends import composed

Array = Any
Axes = tuple[int, ...]

_FEW = 4096  # numbers, up to which there is nothing to gain
_MANY = 1024  # rows to add up in a product
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


def _lengthwise(x: Array, scale: Array, axis: Axes, channel: int) -> bool:
    """Whether there is one weight for each of the numbers that are normalised together."""
    return axis == tuple(range(channel, x.ndim)) and scale.ndim == len(axis) and x.dtype.char in "fd"


def _normalize_lengthwise(
    F: Any, x: Array, scale: Array, shift: Array, axis: Axes, eps: float
) -> tuple[Array, Array, Array, Array]:
    mean = F.sum(x, axis, keepdims=True) / scale.size
    out = x - mean
    variance = composed.inner(F, out, out, axis) / scale.size
    out *= (variance + eps) ** -0.5
    out *= scale
    out += shift
    return out, x, mean, variance


def _normalize_lengthwise_backward(
    F: Any, g: Array, x: Array, scale: Array, mean: Array, variance: Array, axis: Axes, eps: float, needs: tuple[bool, ...]
) -> tuple[Array | None, ...]:
    n, over, unit, to_x, to_scale = scale.size, tuple(range(axis[0])), (variance + eps) ** -0.5, None, None
    if needs[0] or needs[1]:
        centred = x - mean
        products = np.ascontiguousarray(g * centred)
    if needs[1]:
        to_scale = _totals(products.reshape(-1, n), unit.reshape(-1)).reshape(scale.shape)
    if needs[0]:
        flat = scale.reshape(-1)
        slope, level = (each.reshape(-1, n).dot(flat).reshape(mean.shape) / n for each in (products, g))
        centred *= slope * unit * unit
        centred += level
        to_x = np.multiply(g, scale, products)
        to_x -= centred
        to_x *= unit
    return to_x, to_scale, F.sum(g, over) if needs[2] else None


def _totals(rows: Array, factors: Array) -> Array:
    """The sum of rows times their factors; of many rows in parts, for a product adds up one by one."""
    if len(rows) <= _MANY:
        return factors.dot(rows)
    parts = [factors[start : start + _MANY].dot(rows[start : start + _MANY]) for start in range(0, len(rows), _MANY)]
    return np.add.reduce(parts, 0, "d").astype(rows.dtype)


def normalize(
    F: Any, x: Array, scale: Array, shift: Array, axis: Axes, eps: float, channel: int
) -> tuple[Array, Array, Array, Array]:
    """Return what the function of this name in composed.py does, but where means are small x for what is kept."""
    if _lengthwise(x, scale, axis, channel):
        return _normalize_lengthwise(F, x, scale, shift, axis, eps)
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
    if _lengthwise(kept, scale, axis, channel):
        return _normalize_lengthwise_backward(F, g, kept, scale, mean, variance, axis, eps, needs)
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
