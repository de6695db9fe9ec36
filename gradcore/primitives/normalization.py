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
        x = x - F.sum(x, axis=axis, count=count, keepdims=True)
    return F.sum(x * x, axis=axis, count=count, keepdims=True)


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
    dense=True,
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


# -- with weights: one kernel forward and one or two backward, on a device ---------------------------------------------


def _column(x: Any, scale: Any, channel: int) -> tuple[int, ...]:
    return (*scale.shape, *(1,) * (x.ndim - channel - scale.ndim))


def _normalize(
    F: Any, x: Any, scale: Any, shift: Any, axis: Axes, eps: float, channel: int
) -> tuple[Any, Any, Any, Any]:
    normal, mean, variance = F.standardize(x, axis=axis, eps=eps)
    column = _column(x, scale, channel)
    return F.affine(normal, F.reshape(scale, shape=column), F.reshape(shift, shape=column)), normal, mean, variance


def _normalize_backward(
    F: Any, x: Any, y: Any, kept: Any, scale: Any, mean: Any, variance: Any,
    axis: Axes, eps: float, channel: int, needs: tuple[bool, ...],
) -> tuple[Any, ...]:  # fmt: skip
    normal = F.standardize(y, axis=axis, eps=eps)[0]
    unit = (_variance(F, y, axis, True) + eps) ** -0.5
    over = tuple(a for a in range(y.ndim) if not channel <= a < channel + scale.ndim)
    weighted = x * F.reshape(scale, shape=_column(y, scale, channel))
    return (
        F.destandardize(weighted, normal, unit, axis=axis) if needs[0] else None,
        F.sum(x * normal, axis=over) if needs[1] else None,
        F.sum(x, axis=over) if needs[2] else None,
    )


@primitive("general", composition=_normalize_backward)
def normalize_backward(
    F: Any, x: Array, y: Array, kept: Array, scale: Array, mean: Array, variance: Array,
    *, axis: Axes, eps: float, channel: int, needs: tuple[bool, ...],
) -> tuple[Array | None, ...]:  # fmt: skip
    """The cotangents of y, the scale and the shift of `normalize`, of the cotangent x of its result."""
    return F.normalize_backward(x, kept, scale, mean, variance, axis, eps, channel, needs)  # type: ignore[no-any-return]


def _normalize_rule(
    F: Any, g: Any, needs: tuple[bool, ...], x: Any, kept: Any, scale: Any, mean: Any, variance: Any,
    axis: Axes, eps: float, channel: int,
) -> Any:  # fmt: skip
    return F.normalize_backward(
        g, x, kept, scale, mean, variance, axis=axis, eps=eps, channel=channel, needs=tuple(needs)
    )


@primitive(
    "general",
    dense=True,
    vjp=_normalize_rule,
    outputs=("out", "kept", "mean", "variance"),
    constant=("kept", "mean", "variance"),
    composition=_normalize,
    node="NativeLayerNorm",
)
def normalize(
    F: Any, x: Array, scale: Array, shift: Array, *, axis: Axes, eps: float, channel: int
) -> tuple[Array, Array, Array, Array]:
    """`standardize` of x times `scale` plus `shift`, whose axes are those of x from `channel` on.

    Each lies along all axes that are normalised, which are the last, or along all others, or, where there are groups of
    channels, along some of both.
    """
    return F.normalize(x, scale, shift, axis, eps, channel)  # type: ignore[no-any-return]


@primitive("elementwise", x=lambda g, scale: g * scale, scale=lambda g, x: g * x, shift=lambda g: g, node="NativeLayerNorm")
def affine(F: Any, x: Array, scale: Array, shift: Array) -> Array:
    """x * scale + shift."""
    return F.affine(x, scale, shift)
