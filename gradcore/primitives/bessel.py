"""Bessel functions, each the derivative of another. It must not know shapes or Tensors.

Those of order 0 and 1 are apart, since CuPy has no others and has them fast.
"""

from __future__ import annotations

from typing import Any

from gradcore.recorder import primitive

Array = Any


def _over(F: Any, out: Array, x: Array) -> Array:
    """Return out / x for a function `out` of order 1, which is 1/2 at 0."""
    at_zero = x == 0
    return F.where(at_zero, 0.5, out / F.where(at_zero, 1, x))


# -- of the first and second kind ------------------------------------------------------------------------------------


@primitive("elementwise", x=lambda F, g, x: -g * F.bessel_j1(x), to_float=True, refuses="c")
def bessel_j0(F: Any, x: Array) -> Array:
    """Return the Bessel function of the first kind of order 0."""
    return F.special("j0", x)


@primitive("elementwise", x=lambda F, g, x, out: g * (F.bessel_j0(x) - _over(F, out, x)), to_float=True, refuses="c")
def bessel_j1(F: Any, x: Array) -> Array:
    """Return the Bessel function of the first kind of order 1."""
    return F.special("j1", x)


@primitive("elementwise", x=lambda F, g, x: -g * F.bessel_y1(x), to_float=True, refuses="c")
def bessel_y0(F: Any, x: Array) -> Array:
    """Return the Bessel function of the second kind of order 0."""
    return F.special("y0", x)


@primitive("elementwise", x=lambda F, g, x, out: g * (F.bessel_y0(x) - out / x), to_float=True, refuses="c")
def bessel_y1(F: Any, x: Array) -> Array:
    """Return the Bessel function of the second kind of order 1."""
    return F.special("y1", x)


# -- modified, and scaled by what they grow or fall like -------------------------------------------------------------


@primitive("elementwise", x=lambda F, g, x: g * F.i1(x), to_float=True, refuses="c")
def i0(F: Any, x: Array) -> Array:
    """Return the modified Bessel function of the first kind of order 0."""
    return F.special("i0", x)


@primitive(
    "elementwise", x=lambda F, g, x, out: g * (F.i0(x) - _over(F, out, x)), to_float=True, refuses="c", node="SpecialI1"
)
def i1(F: Any, x: Array) -> Array:
    """Return the modified Bessel function of the first kind of order 1."""
    return F.special("i1", x)


@primitive(
    "elementwise", x=lambda F, g, x, out: g * (F.i1e(x) - F.sign(x) * out), to_float=True, refuses="c", node="SpecialI0E"
)
def i0e(F: Any, x: Array) -> Array:
    """Return exp(-abs(x)) times the modified Bessel function of the first kind of order 0."""
    return F.special("i0e", x)


@primitive(
    "elementwise",
    x=lambda F, g, x, out: g * (F.i0e(x) - _over(F, out, x) - F.sign(x) * out),
    to_float=True,
    refuses="c",
    node="SpecialI1E",
)
def i1e(F: Any, x: Array) -> Array:
    """Return exp(-abs(x)) times the modified Bessel function of the first kind of order 1."""
    return F.special("i1e", x)


@primitive("elementwise", x=lambda F, g, x: -g * F.modified_bessel_k1(x), to_float=True, refuses="c")
def modified_bessel_k0(F: Any, x: Array) -> Array:
    """Return the modified Bessel function of the second kind of order 0."""
    return F.special("k0", x)


@primitive(
    "elementwise", x=lambda F, g, x, out: -g * (F.modified_bessel_k0(x) + out / x), to_float=True, refuses="c"
)
def modified_bessel_k1(F: Any, x: Array) -> Array:
    """Return the modified Bessel function of the second kind of order 1."""
    return F.special("k1", x)


@primitive(
    "elementwise", x=lambda F, g, x, out: g * (out - F.scaled_modified_bessel_k1(x)), to_float=True, refuses="c"
)
def scaled_modified_bessel_k0(F: Any, x: Array) -> Array:
    """Return exp(x) times the modified Bessel function of the second kind of order 0."""
    return F.special("k0e", x)


@primitive(
    "elementwise",
    x=lambda F, g, x, out: g * (out - F.scaled_modified_bessel_k0(x) - out / x),
    to_float=True,
    refuses="c",
)
def scaled_modified_bessel_k1(F: Any, x: Array) -> Array:
    """Return exp(x) times the modified Bessel function of the second kind of order 1."""
    return F.special("k1e", x)


# -- Airy's function -------------------------------------------------------------------------------------------------


@primitive("elementwise", x=lambda F, g, x: g * F.airy_slope(x), to_float=True, refuses="c")
def airy_ai(F: Any, x: Array) -> Array:
    """Return the solution Ai of y'' = x y that vanishes at infinity."""
    return F.special("airy", x)[0]


@primitive("elementwise", x=lambda F, g, x: g * x * F.airy_ai(x), to_float=True, refuses="c")
def airy_slope(F: Any, x: Array) -> Array:
    """Return the derivative of `airy_ai`."""
    return F.special("airy", x)[1]
