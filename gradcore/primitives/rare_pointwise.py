"""Pointwise functions that few programs use, with derivatives. It must not know shapes or Tensors."""

from __future__ import annotations

import math
from typing import Any

from gradcore.recorder import primitive

Array = Any


def _like(F: Any, out: Array, x: Array) -> Array:
    """Return `out` in the dtype of `x`: bfloat16 does not keep itself beside Python's floats."""
    return out if out.dtype == x.dtype else F.astype(out, x.dtype)


# -- inverse hyperbolic functions ----------------------------------------------------------------------------


@primitive("elementwise", x=lambda F, g, x: g * F.rsqrt(x * x + 1), to_float=True, node="Asinh")
def arcsinh(F: Any, x: Array) -> Array:
    """Return the number with this hyperbolic sine."""
    return F.arcsinh(x)


@primitive("elementwise", x=lambda F, g, x: g * F.rsqrt(x * x - 1), to_float=True, node="Acosh")
def arccosh(F: Any, x: Array) -> Array:
    """Return the number, not negative, with this hyperbolic cosine; NaN below 1."""
    return F.arccosh(x)


@primitive("elementwise", x=lambda g, x: g / (1 - x * x), to_float=True, node="Atanh")
def arctanh(F: Any, x: Array) -> Array:
    """Return the number with this hyperbolic tangent; NaN outside [-1, 1]."""
    return F.arctanh(x)


# -- exponentials and logarithms -----------------------------------------------------------------------------


@primitive("elementwise", x=lambda g, out: g * out * math.log(2), to_float=True)
def exp2(F: Any, x: Array) -> Array:
    """Return 2 to the power of each element."""
    return F.exp2(x)


@primitive(
    "elementwise",
    x=lambda F, g, x, y: g * F.sigmoid(x - y),
    y=lambda F, g, x, y: g * F.sigmoid(y - x),
    refuses="biu",
    node="Logaddexp",
)
def logaddexp(F: Any, x: Array, y: Array) -> Array:
    """Return log(exp(x) + exp(y)), with nothing lost where those overflow."""
    if x.dtype.kind != "c":
        return F.logaddexp(x, y)
    first = F.real(x) >= F.real(y)
    top, other = F.where(first, x, y), F.where(first, y, x)
    return top + F.log(F.exp(other - top) + 1)


@primitive(
    "elementwise",
    x=lambda F, g, x, y: g / (F.exp2(y - x) + 1),
    y=lambda F, g, x, y: g / (F.exp2(x - y) + 1),
    refuses="biuc",
)
def logaddexp2(F: Any, x: Array, y: Array) -> Array:
    """Return log2(2**x + 2**y), with nothing lost where those overflow."""
    return F.logaddexp2(x, y)


@primitive(
    "elementwise",
    x=lambda F, g, x, y: F.masked(F.xlogy(g, y), F.logical_not((x == 0) & (y <= 0))),
    y=lambda g, x, y: g * x / y,
    to_float=True,
    refuses="c",
)
def xlogy(F: Any, x: Array, y: Array) -> Array:
    """Return x * log(y), which is 0 for x = 0 unless y is NaN."""
    return F.where((x == 0) & (y == y), F.zeros_like(x), x * F.log(y))


def _logit_pull(F: Any, g: Array, x: Array, eps: float | None) -> Array:
    slope = g * F.where((x == 0) | (x == 1), math.inf, 1 / (x * (1 - x)))
    if eps is None:
        return F.where((x < 0) | (x > 1), math.nan, slope)
    return F.masked(slope, F.logical_not((x < eps) | (x > 1 - eps)))


@primitive("elementwise", x=_logit_pull, to_float=True, refuses="c")
def logit(F: Any, x: Array, *, eps: float | None = None) -> Array:
    """Return log(x / (1 - x)) of `x`, or of `x` kept within [eps, 1 - eps]."""
    z = x if eps is None else _like(F, F.clip(x, eps, 1 - eps), x)
    return F.log(z / (1 - z))


# -- others --------------------------------------------------------------------------------------------------


def _sinc_pull(F: Any, g: Array, x: Array) -> Array:
    z = x * math.pi
    return F.where(x * x == 0, F.zero(x), g * ((z * F.cos(z) - F.sin(z)) / (x * z)))


@primitive("elementwise", x=_sinc_pull, to_float=True)
def sinc(F: Any, x: Array) -> Array:
    """Return sin(pi * x) / (pi * x), which is 1 at 0."""
    z = x * math.pi
    return _like(F, F.where(x == 0, 1, F.sin(z) / z), x)


@primitive("elementwise", x=lambda g: g, refuses="biuc")
def frac(F: Any, x: Array) -> Array:
    """Return what is left of `x` without its whole part, with its sign."""
    return x - F.trunc(x)


@primitive("elementwise", x=lambda g, x, out: g * (x / out), y=lambda g, y, out: g * (y / out), refuses="biuc")
def hypot(F: Any, x: Array, y: Array) -> Array:
    """Return the length of the hypotenuse, sqrt(x**2 + y**2), without overflow on the way."""
    return F.hypot(x, y)


@primitive(
    "elementwise",
    x=lambda F, g, x, out: F.masked(g * (out / x), x != 0),
    y=lambda F, g: F.zero(g),
    to_float=True,
    refuses="c",
)
def copysign(F: Any, x: Array, y: Array) -> Array:
    """Return `x` with the sign of `y`, that of -0.0 included."""
    return F.copysign(x, y)


@primitive(
    "elementwise",
    x=lambda F, g, x, y: F.masked(g, (x >= y) | F.isnan(y)),
    y=lambda F, g, x, y: F.masked(g, F.logical_not((x >= y) | F.isnan(y))),
    refuses="c",
)
def fmax(F: Any, x: Array, y: Array) -> Array:
    """Return the larger of two; a number wins over NaN, the first of equals gets the cotangent."""
    return F.fmax(x, y)


@primitive(
    "elementwise",
    x=lambda F, g, x, y: F.masked(g, (x <= y) | F.isnan(y)),
    y=lambda F, g, x, y: F.masked(g, F.logical_not((x <= y) | F.isnan(y))),
    refuses="c",
)
def fmin(F: Any, x: Array, y: Array) -> Array:
    """Return the smaller of two; a number wins over NaN, the first of equals gets the cotangent."""
    return F.fmin(x, y)


@primitive("elementwise", x=lambda F, g, x: F.masked(g, F.isfinite(x)))
def nan_to_num(F: Any, x: Array, *, nan: float, posinf: float, neginf: float) -> Array:
    """Replace NaN and the infinities, in each part of complex numbers."""
    if x.dtype.kind == "c":
        return F.nan_to_num(x, nan, posinf, neginf)
    out = F.where(F.isnan(x), nan, F.where(x == math.inf, posinf, F.where(x == -math.inf, neginf, x)))
    return F.astype(out, x.dtype)


@primitive(
    "elementwise",
    x=lambda g, weight: g - g * weight,
    y=lambda g, weight: g * weight,
    weight=lambda g, x, y: g * (y - x),
)
def lerp(F: Any, x: Array, y: Array, weight: Array) -> Array:
    """Return x + weight * (y - x): from the nearer end, so that weight 1 gives exactly `y`."""
    step, near = y - x, abs(weight) < 0.5
    if isinstance(near, bool):
        return x + step * weight if near else y - step * (1 - weight)
    return F.where(near, x + step * weight, y - step * (1 - weight))
