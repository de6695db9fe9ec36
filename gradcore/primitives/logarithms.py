"""Logarithms and their kin, with derivatives. It must not know shapes or Tensors."""

from __future__ import annotations

import math
from typing import Any

from gradcore.primitives.elementwise import like
from gradcore.recorder import primitive

Array = Any


# -- inverse hyperbolic functions ----------------------------------------------------------------------------


@primitive("elementwise", x=lambda F, g, x: g * F.rsqrt(x * x + 1), to_float=True, node="Asinh")
def arcsinh(F: Any, x: Array) -> Array:
    """Return the number with this hyperbolic sine."""
    return F.arcsinh(x)


def _arccosh_pull(F: Any, g: Array, x: Array, x_dtype: Any) -> Array:
    return g * (F.rsqrt(x + 1) * F.rsqrt(x - 1) if x_dtype.kind == "c" else F.rsqrt(x * x - 1))


@primitive("elementwise", x=_arccosh_pull, to_float=True, node="Acosh")
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
    sums = top + F.log(F.exp(other - top) + 1)
    # The difference of two infinities is nothing: of zeros the angle is the later one's, as in torch.
    infinite = F.logical_and(F.real(x) == F.real(y), F.isinf(F.real(x)))
    sums = F.where(infinite, F.where(F.real(x) < 0, y, F.log(F.exp(x) + F.exp(y))), sums)
    return F.where(F.logical_or(F.isnan(x), F.isnan(y)), F.full((), complex(math.nan, math.nan), x.dtype), sums)


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
    z = x if eps is None else like(F, F.clip(x, eps, 1 - eps), x)
    return F.log(z / (1 - z))
