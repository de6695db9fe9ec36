"""Normalisation to mean 0 and variance 1. It must not know Tensors."""

from __future__ import annotations

from math import prod
from typing import Any

from gradcore.recorder import primitive

Array = Any
Axes = tuple[int, ...]


def _variance(F: Any, x: Any, axis: Axes, centred: bool) -> Any:
    count = prod(x.shape[a] for a in axis)
    if centred:
        x = x - F.mean(x, axis=axis, count=count, keepdims=True)
    return F.mean(x * x, axis=axis, count=count, keepdims=True)


def _standardize_rule(F: Any, g: Any, out: Any, variance: Any, axis: Axes, eps: float, centred: bool) -> Any:
    return F.destandardize(g, out, (variance + eps) ** -0.5, axis=axis, centred=centred)


def _destandardize_rule(
    F: Any, g: Any, x: Any, y: Any, scale: Any, needs: tuple[bool, ...], axis: Axes, centred: bool
) -> tuple[Any, Any, Any]:
    count = prod(x.shape[a] for a in axis)
    # As a map of x it is its own transpose.
    return (
        F.destandardize(g, y, scale, axis=axis, centred=centred),
        (g * F.inner(x, y, axis=axis) + x * F.inner(g, y, axis=axis)) * (scale * (-1.0 / count)),
        F.inner(g, F.destandardize(x, y, scale / scale, axis=axis, centred=centred), axis=axis),
    )


@primitive("general", vjp=_destandardize_rule)
def destandardize(F: Any, x: Array, y: Array, scale: Array, *, axis: Axes, centred: bool = True) -> Array:
    """(x - mean(x) - y * mean(x * y)) * scale over `axis`: what is left of x beside the constants and multiples of y.

    If not `centred`, the constants stay.
    """
    return F.destandardize(x, y, scale, axis, centred)


@primitive(
    "general",
    x=_standardize_rule,
    outputs=("out", "mean", "variance"),
    constant=("mean", "variance"),
    again={"variance": _variance},
)
def standardize(F: Any, x: Array, *, axis: Axes, eps: float, centred: bool = True) -> tuple[Array, Array, Array]:
    """(x - mean) / sqrt(variance + eps) over `axis`, with that mean and that (biased) variance; axes are kept.

    If not `centred`, the mean is taken to be 0, so that the variance is the mean square.
    """
    return F.standardize(x, axis, eps, centred)  # type: ignore[no-any-return]


@primitive("elementwise", x=lambda g, scale: g * scale, scale=lambda g, x: g * x, shift=lambda g: g, node="NativeLayerNorm")
def affine(F: Any, x: Array, scale: Array, shift: Array) -> Array:
    """x * scale + shift."""
    return F.affine(x, scale, shift)
