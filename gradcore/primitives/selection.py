"""Choosing between values element by element, and rounding, with derivatives. It must not know Tensors.

Where two choices are equal, the cotangent is shared (maximum, minimum) or belongs to what is bounded (clip).
"""

from __future__ import annotations

from typing import Any

from gradcore.primitives.elementwise import like
from gradcore.recorder import primitive

Array = Any


@primitive(
    "elementwise",
    x=lambda F, g, cond: F.masked(g, cond),
    y=lambda F, g, cond: F.masked(g, F.logical_not(cond)),
    unpromoted=("cond",),
)
def where(F: Any, cond: Array, x: Array, y: Array) -> Array:
    """Return the elements of `x` where `cond` is true, else those of `y`."""
    return F.where(cond, x, y)


def _shared(F: Any, g: Array, equal: Array, beaten: Array) -> Array:
    # A NaN is neither equal nor beaten, so it gets the cotangent whole: it is what the maximum shows.
    return F.where(equal, g / 2, F.masked(g, F.logical_not(beaten)))


@primitive(
    "elementwise",
    x=lambda F, g, x, y: _shared(F, g, x == y, x < y),
    y=lambda F, g, x, y: _shared(F, g, x == y, y < x),
    refuses="c",
)
def maximum(F: Any, x: Array, y: Array) -> Array:
    """Return the larger of two; NaN wins."""
    return F.maximum(x, y)


@primitive(
    "elementwise",
    x=lambda F, g, x, y: _shared(F, g, x == y, x > y),
    y=lambda F, g, x, y: _shared(F, g, x == y, y > x),
    refuses="c",
)
def minimum(F: Any, x: Array, y: Array) -> Array:
    """Return the smaller of two; NaN wins."""
    return F.minimum(x, y)


@primitive("elementwise", x=lambda F, g: F.zero(g), value=lambda g: g)
def fill(F: Any, x: Array, value: Array) -> Array:
    """Put `value` everywhere."""
    return F.full_like(x, value)


# -- bounds --------------------------------------------------------------------------------------------------


def _inside(F: Any, x: Array, lo: Any, hi: Any) -> Array:
    if lo is None:
        return x <= hi
    return x >= lo if hi is None else F.logical_and(x >= lo, x <= hi)


@primitive(
    "elementwise",
    x=lambda F, g, x, lo, hi: F.masked(g, _inside(F, x, lo, hi)),
    node="ClampBackward1",
    refuses="bc",
)
def clip(F: Any, x: Array, *, lo: Any, hi: Any) -> Array:
    """Return `x` within two numbers; None leaves a side open, and `hi` wins over a larger `lo`."""
    return like(F, F.clip(x, lo, hi), x)


@primitive(
    "elementwise",
    x=lambda F, g, x, lo: F.masked(g, x >= lo),
    lo=lambda F, g, x, lo: F.masked(g, x < lo),
    node="Clamp",
    refuses="c",
)
def clip_below(F: Any, x: Array, lo: Array) -> Array:
    """Return `x` where it is at least `lo`, else `lo`."""
    return F.maximum(x, lo)


@primitive(
    "elementwise",
    x=lambda F, g, x, hi: F.masked(g, x <= hi),
    hi=lambda F, g, x, hi: F.masked(g, x > hi),
    node="Clamp",
    refuses="c",
)
def clip_above(F: Any, x: Array, hi: Array) -> Array:
    """Return `x` where it is at most `hi`, else `hi`."""
    return F.minimum(x, hi)


@primitive(
    "elementwise",
    x=lambda F, g, x, lo, hi: F.masked(g, _inside(F, x, lo, hi)),
    lo=lambda F, g, x, lo, hi: F.masked(g, F.logical_and(x < lo, lo < hi)),
    hi=lambda F, g, x, lo, hi: F.masked(g, F.logical_or(x > hi, hi < lo)),
    node="Clamp",
    refuses="c",
)
def clip_between(F: Any, x: Array, lo: Array, hi: Array) -> Array:
    """Return `x` within two tensors; `hi` wins over a larger `lo`."""
    return F.minimum(F.maximum(x, lo), hi)


# -- rounding ------------------------------------------------------------------------------------------------


@primitive("elementwise", x=lambda F, g: F.zero(g), refuses="bc")
def floor(F: Any, x: Array) -> Array:
    """Return the largest integer that is not larger."""
    return F.floor(x)


@primitive("elementwise", x=lambda F, g: F.zero(g), refuses="bc")
def ceil(F: Any, x: Array) -> Array:
    """Return the smallest integer that is not smaller."""
    return F.ceil(x)


@primitive("elementwise", x=lambda F, g: F.zero(g), refuses="bc")
def trunc(F: Any, x: Array) -> Array:
    """Return the nearest integer towards zero."""
    return F.trunc(x)


@primitive("elementwise", x=lambda F, g: F.zero(g), node="Round", refuses="bc")
def round_half_even(F: Any, x: Array, *, decimals: int = 0) -> Array:
    """Return the nearest multiple of 10**-decimals, the even one of two."""
    return like(F, F.round_half_even(x, decimals), x)
