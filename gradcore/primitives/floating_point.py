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
    x=lambda F, g, x, out: g * F.masked(out / x, x != 0),
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
    if F.device_type == "cpu" and F.isfinite(x).all():
        return F.copy(x)
    out = F.where(F.isnan(x), nan, F.where(x == math.inf, posinf, F.where(x == -math.inf, neginf, x)))
    return F.astype(out, x.dtype)


@primitive(
    "general",
    x=lambda F, g, exponent, x_dtype: g * F.number_power(F.astype(-exponent, dtype=x_dtype), base=2),
    outputs=("mantissa", "exponent"),
    constant=("exponent",),
)
def frexp(F: Any, x: Array) -> tuple[Array, Array]:
    """Return mantissas in [0.5, 1) with the signs of `x`, and the exponents, int32, of the powers of two beside them."""
    mantissa, exponent = F.frexp(x)
    return F.astype(mantissa, x.dtype), F.astype(exponent, "int32")


@primitive("elementwise", x=lambda F, g, x, y: F.masked(g, x != y), y=lambda F, g: F.zero(g), refuses="biuc")
def nextafter(F: Any, x: Array, y: Array) -> Array:
    """Return the number next to `x` on the way to `y`; where both are equal, it is `y` that is returned."""
    return F.nextafter(x, y)
