"""Exponentials, logarithms, circular and hyperbolic functions, with derivatives. It must not know Tensors.

Where a derivative can be told from the value, the rule reads `out`, so that the input need not be kept.
"""

from __future__ import annotations

import math
from typing import Any

from gradcore.recorder import primitive

Array = Any


@primitive("elementwise", x=lambda g, out: g * out, to_float=True)
def exp(F: Any, x: Array) -> Array:
    """Return e to the power of each element."""
    return F.exp(x)


@primitive("elementwise", x=lambda g, out: g + g * out, to_float=True)
def expm1(F: Any, x: Array) -> Array:
    """Return exp(x) - 1, accurate near 0."""
    return F.expm1(x)


@primitive("elementwise", x=lambda g, x: g / x, to_float=True)
def log(F: Any, x: Array) -> Array:
    """Return the natural logarithm; NaN for negative real numbers."""
    return F.log(x)


@primitive("elementwise", x=lambda g, x: g / (x * math.log(2)), to_float=True)
def log2(F: Any, x: Array) -> Array:
    """Return the logarithm to base 2."""
    return F.log2(x)


@primitive("elementwise", x=lambda g, x: g / (x * math.log(10)), to_float=True)
def log10(F: Any, x: Array) -> Array:
    """Return the logarithm to base 10."""
    return F.log10(x)


@primitive("elementwise", x=lambda g, x: g / (x + 1), to_float=True)
def log1p(F: Any, x: Array) -> Array:
    """Return log(1 + x), accurate near 0."""
    if x.dtype.kind != "c":
        return F.log1p(x)
    a, b = F.real(x), F.imag(x)  # array libraries have log(1 + x) for complex numbers, where 1 swallows what is small
    small = F.absolute(x) < 0.5
    size = F.where(small, F.log1p(F.where(small, a * (a + 2) + b * b, 0.0)) * 0.5, F.log(F.hypot(a + 1, b)))
    return F.astype(size + F.arctan2(b, a + 1) * 1j, x.dtype)


@primitive("elementwise", x=lambda F, g, x: g * F.cos(x), to_float=True)
def sin(F: Any, x: Array) -> Array:
    """Return the sine of an angle in radians."""
    return F.sin(x)


@primitive("elementwise", x=lambda F, g, x: -g * F.sin(x), to_float=True)
def cos(F: Any, x: Array) -> Array:
    """Return the cosine of an angle in radians."""
    return F.cos(x)


@primitive("elementwise", x=lambda g, out: g + g * (out * out), to_float=True)
def tan(F: Any, x: Array) -> Array:
    """Return the tangent of an angle in radians."""
    return F.tan(x)


@primitive("elementwise", x=lambda F, g, x: g / F.sqrt(1 - x * x), to_float=True, node="Asin")
def arcsin(F: Any, x: Array) -> Array:
    """Return the angle in [-pi/2, pi/2] with this sine; NaN outside [-1, 1]."""
    return F.arcsin(x)


@primitive("elementwise", x=lambda F, g, x: -g / F.sqrt(1 - x * x), to_float=True, node="Acos")
def arccos(F: Any, x: Array) -> Array:
    """Return the angle in [0, pi] with this cosine; NaN outside [-1, 1]."""
    return F.arccos(x)


@primitive("elementwise", x=lambda g, x: g / (x * x + 1), to_float=True, node="Atan")
def arctan(F: Any, x: Array) -> Array:
    """Return the angle in [-pi/2, pi/2] with this tangent."""
    return F.arctan(x)


def _angle_pull(F: Any, g: Array, along: Array, x: Array, y: Array) -> Array:
    squares = x * x + y * y
    return g * (along * F.masked(F.reciprocal(squares), squares != 0))


@primitive(
    "elementwise",
    x=lambda F, g, x, y: _angle_pull(F, g, y, x, y),
    y=lambda F, g, x, y: _angle_pull(F, g, -x, x, y),
    to_float=True,
    node="Atan2",
    refuses="c",
)
def arctan2(F: Any, x: Array, y: Array) -> Array:
    """Return the angle in [-pi, pi] of the point with ordinate `x` and abscissa `y`."""
    return F.arctan2(x, y)


@primitive("elementwise", x=lambda F, g, x: g * F.cosh(x), to_float=True)
def sinh(F: Any, x: Array) -> Array:
    """Return the hyperbolic sine."""
    return F.sinh(x)


@primitive("elementwise", x=lambda F, g, x: g * F.sinh(x), to_float=True)
def cosh(F: Any, x: Array) -> Array:
    """Return the hyperbolic cosine."""
    return F.cosh(x)


@primitive("elementwise", x=lambda F, g, y: F.tanh_backward(g, y), y=lambda g, x, y: g * x * y * -2, node="TanhBackward")
def tanh_backward(F: Any, x: Array, y: Array) -> Array:
    """`x` times the derivative of the hyperbolic tangent where its value is `y`."""
    return F.tanh_backward(x, y)


@primitive("elementwise", x=lambda F, g, out: F.tanh_backward(g, out), to_float=True)
def tanh(F: Any, x: Array) -> Array:
    """Return the hyperbolic tangent."""
    return F.tanh(x)


@primitive(
    "elementwise", x=lambda F, g, y: F.sigmoid_backward(g, y), y=lambda g, x, y: g * x * (1 - y * 2), node="SigmoidBackward"
)
def sigmoid_backward(F: Any, x: Array, y: Array) -> Array:
    """`x` times the derivative of the sigmoid where its value is `y`."""
    return F.sigmoid_backward(x, y)


@primitive("elementwise", x=lambda F, g, out: F.sigmoid_backward(g, out), to_float=True)
def sigmoid(F: Any, x: Array) -> Array:
    """Return 1 / (1 + exp(-x))."""
    return F.sigmoid(x)


@primitive(
    "elementwise",
    x=lambda F, g, x: g * F.exp(-(x * x)) * (2 / math.sqrt(math.pi)),
    to_float=True,
    refuses="c",
)
def erf(F: Any, x: Array) -> Array:
    """Return the error function, 2/sqrt(pi) times the integral of exp(-t**2) from 0 to x."""
    return F.erf(x)
