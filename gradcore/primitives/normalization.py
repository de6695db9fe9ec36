"""Normalisation to mean 0 and variance 1. It must not know Tensors."""

from __future__ import annotations

from math import prod
from typing import Any

from gradcore.backends.shared import is_narrow
from gradcore.recorder import primitive

Array = Any
Axes = tuple[int, ...]


def _variance(F: Any, x: Any, axis: Axes) -> Any:
    count = prod(x.shape[a] for a in axis)
    centred = x - F.mean(x, axis=axis, count=count, keepdims=True)
    return F.mean(centred * centred, axis=axis, count=count, keepdims=True)


def _standardize_rule(F: Any, g: Any, out: Any, variance: Any, axis: Axes, eps: float) -> Any:
    count = prod(g.shape[a] for a in axis)
    mean = F.mean(g, axis=axis, count=count, keepdims=True)
    slope = F.mean(g * out, axis=axis, count=count, keepdims=True)
    return (g - mean - out * slope) * (variance + eps) ** -0.5


@primitive(
    "general",
    x=_standardize_rule,
    outputs=("out", "mean", "variance"),
    constant=("mean", "variance"),
    again={"variance": _variance},
)
def standardize(F: Any, x: Array, *, axis: Axes, eps: float) -> tuple[Array, Array, Array]:
    """(x - mean) / sqrt(variance + eps) over `axis`, with that mean and that (biased) variance; axes are
    kept."""
    dtype, count = x.dtype, prod(x.shape[a] for a in axis)
    x = F.astype(x, "float32") if is_narrow(x) else x
    mean = F.sum(x, axis, keepdims=True) / count
    centred = x - mean
    variance = F.sum(centred * centred, axis, keepdims=True) / count
    out = centred * (variance + eps) ** -0.5
    return F.astype(out, dtype), F.astype(mean, dtype), F.astype(variance, dtype)
