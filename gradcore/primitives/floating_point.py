"""Signs, whole parts and what is no number, with derivatives. It must not know shapes or Tensors."""

from __future__ import annotations

import math
from typing import Any

from gradcore.recorder import primitive

Array = Any


@primitive("elementwise", x=lambda g: g, refuses="biuc")
def frac(F: Any, x: Array) -> Array:
    """Return what is left of `x` without its whole part, with its sign."""
    return x - F.trunc(x)


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
