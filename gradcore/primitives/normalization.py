"""Normalisation to mean 0 and variance 1. It must not know Tensors."""

from __future__ import annotations

from math import prod
from typing import Any

from gradcore.recorder import primitive

Array = Any
Axes = tuple[int, ...]


def _variance(F: Any, x: Any, axis: Axes) -> Any:
    count = prod(x.shape[a] for a in axis)
    centred = x - F.mean(x, axis=axis, count=count, keepdims=True)
    return F.mean(centred * centred, axis=axis, count=count, keepdims=True)


def _standardize_rule(F: Any, g: Any, out: Any, variance: Any, axis: Axes, eps: float) -> Any:
    return F.destandardize(g, out, (variance + eps) ** -0.5, axis=axis)


def _destandardize_rule(
    F: Any, g: Any, x: Any, y: Any, scale: Any, needs: tuple[bool, ...], axis: Axes
) -> tuple[Any, Any, Any]:
    count = prod(x.shape[a] for a in axis)
    # As a map of x it is its own transpose.
    return (
        F.destandardize(g, y, scale, axis=axis),
        (g * F.inner(x, y, axis=axis) + x * F.inner(g, y, axis=axis)) * (scale * (-1.0 / count)),
        F.inner(g, F.destandardize(x, y, scale / scale, axis=axis), axis=axis),
    )


@primitive("general", vjp=_destandardize_rule)
def destandardize(F: Any, x: Array, y: Array, scale: Array, *, axis: Axes) -> Array:
    """(x - mean(x) - y * mean(x * y)) * scale over `axis`: what is left of x beside the constants and multiples of y."""
    return F.destandardize(x, y, scale, axis)


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
    return F.standardize(x, axis, eps)  # type: ignore[no-any-return]


@primitive("elementwise", x=lambda g, scale: g * scale, scale=lambda g, x: g * x, shift=lambda g: g, node="NativeLayerNorm")
def affine(F: Any, x: Array, scale: Array, shift: Array) -> Array:
    """x * scale + shift."""
    out = x * scale
    out += shift
    return out
