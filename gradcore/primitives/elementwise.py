"""Pointwise arithmetic of real and complex numbers, with derivatives. It must not know shapes or Tensors.

Rules prefer `x + x` to `2 * x`, since array libraries are slower with Python numbers than with arrays and the
sum is exact; and 0 to 0.0, since bfloat16 stays itself only beside integers.
"""

from __future__ import annotations

import math
from typing import Any

from gradcore.recorder import primitive

Array = Any


@primitive("linear", x=lambda F, g: F.zero(g))
def zero(F: Any, x: Array) -> Array:
    """Return zeros of the shape of `x`: the derivative of whatever is constant in pieces."""
    return F.zeros_like(x)


@primitive("elementwise", x=lambda g: g, y=lambda g: g)
def add(F: Any, x: Array, y: Array) -> Array:
    """Add two tensors."""
    return F.add(x, y)


@primitive("elementwise", x=lambda g: g, y=lambda g: -g, node="Sub", refuses="b")
def subtract(F: Any, x: Array, y: Array) -> Array:
    """Subtract the second tensor from the first."""
    return F.subtract(x, y)


@primitive("elementwise", x=lambda g: -g, y=lambda g: g, node="RsubBackward1", refuses="b")
def reverse_subtract(F: Any, x: Array, y: Array) -> Array:
    """Subtract the first tensor from the second."""
    return F.subtract(y, x)


@primitive("elementwise", x=lambda g, y: g * y, y=lambda g, x: g * x, symmetric=True, exact_numbers=True, node="Mul")
def multiply(F: Any, x: Array, y: Array) -> Array:
    """Multiply two tensors."""
    return F.multiply(x, y)


@primitive(
    "elementwise",
    x=lambda g, y: g / y,
    y=lambda g, x, y: -g * (x / y / y),
    to_float=True,
    exact_numbers=True,
    node="Div",
)
def divide(F: Any, x: Array, y: Array) -> Array:
    """Divide the first tensor by the second."""
    return F.divide(x, y)


@primitive("elementwise", x=lambda F, g: F.zero(g), y=lambda F, g: F.zero(g), refuses="bc", exact_numbers=True)
def floor_divide(F: Any, x: Array, y: Array) -> Array:
    """Return the quotient rounded down."""
    return F.floor_divide(x, y)


@primitive("elementwise", x=lambda F, g: F.zero(g), y=lambda F, g: F.zero(g), refuses="bc", exact_numbers=True)
def trunc_divide(F: Any, x: Array, y: Array) -> Array:
    """Return the quotient rounded towards zero."""
    rest = F.fmod(x, y)
    return F.floor_divide(x - rest, y) if rest.dtype.kind in "iu" else F.trunc(F.divide(x, y))


@primitive("elementwise", x=lambda g: g, y=lambda F, g, x, y: -g * F.floor_divide(x, y), refuses="bc")
def remainder(F: Any, x: Array, y: Array) -> Array:
    """Return what division rounded down leaves, with the sign of the divisor; nothing has that of the dividend."""
    rest = F.remainder(x, y)
    return rest if rest.dtype.kind in "iu" else F.where(rest == 0, F.copysign(rest, x), rest)


@primitive("elementwise", x=lambda g: g, y=lambda F, g, x, y: -g * F.trunc_divide(x, y), refuses="bc")
def fmod(F: Any, x: Array, y: Array) -> Array:
    """Return what division rounded towards zero leaves, with the sign of the dividend."""
    return F.fmod(x, y)


@primitive("elementwise", x=lambda g: -g, node="Neg", refuses="b")
def negative(F: Any, x: Array) -> Array:
    """Change the sign."""
    return F.negative(x)


@primitive("elementwise", x=lambda g, out: -g * (out * out), to_float=True)
def reciprocal(F: Any, x: Array) -> Array:
    """Divide one by each element."""
    return F.reciprocal(x)


@primitive("elementwise", x=lambda F, g, x: g * F.sgn(x), holomorphic=False, node="Abs", refuses="b")
def absolute(F: Any, x: Array) -> Array:
    """Return the absolute value; real for complex input."""
    return F.absolute(x)


@primitive("elementwise", x=lambda F, g: F.zero(g), refuses="c")
def sign(F: Any, x: Array) -> Array:
    """Return the sign of real numbers, 0 for NaN."""
    return F.astype(x > 0, x.dtype) - F.astype(x < 0, x.dtype)


def _sgn_pull(F: Any, g: Array, x: Array, out: Array, x_dtype: Any) -> Array:
    if x_dtype.kind != "c":
        return F.zero(g)
    # The part of g along z/|z| goes, the rest is divided by |z|; at 0 nothing is left, as in torch.
    size = F.absolute(x)
    across = g - F.real(F.conj(g) * out) * out
    return F.masked(across / F.where(size == 0, 1.0, size), size != 0)


@primitive("elementwise", x=_sgn_pull, holomorphic=False)
def sgn(F: Any, x: Array) -> Array:
    """Return z/|z|, 0 at 0; the sign of real numbers."""
    return F.sign(x) if x.dtype.kind == "c" else F.astype(x > 0, x.dtype) - F.astype(x < 0, x.dtype)


@primitive(
    "elementwise",
    x=lambda g, weight: g - g * weight,
    y=lambda g, weight: g * weight,
    weight=lambda g, x, y: g * (y - x),
    exact_numbers=True,
)
def lerp(F: Any, x: Array, y: Array, weight: Array) -> Array:
    """Return x + weight * (y - x): from the nearer end, so that weight 1 gives exactly `y`."""
    step, near = y - x, abs(weight) < 0.5
    if isinstance(near, bool) or (F.device_type == "cpu" and not near.ndim):
        return x + step * weight if near else y - step * (1 - weight)
    return F.where(near, x + step * weight, y - step * (1 - weight))


@primitive("elementwise", x=lambda g, x, out: g * (x / out), y=lambda g, y, out: g * (y / out), refuses="biuc")
def hypot(F: Any, x: Array, y: Array) -> Array:
    """Return the length of the hypotenuse, sqrt(x**2 + y**2), without overflow on the way."""
    return F.hypot(x, y)


# -- powers --------------------------------------------------------------------------------------------------


def _base_pull(F: Any, g: Array, x: Array, y: Array) -> Array:
    return F.masked(g * (y * F.power(x, y - 1)), y != 0)


def _exponent_pull(F: Any, g: Array, x: Array, y: Array, out: Array, y_dtype: Any) -> Array:
    # 0**y is constantly 0 for y > 0, whatever log 0 says; the one-sided derivative at y = 0 counts as 0 too.
    positive = F.logical_and(F.real(y) >= 0, F.imag(y) == 0) if y_dtype.kind == "c" else y >= 0
    return g * F.masked(out * F.log(x), F.logical_not(F.logical_and(x == 0, positive)))


@primitive("elementwise", x=_base_pull, y=_exponent_pull, node="PowBackward1")
def power(F: Any, x: Array, y: Array) -> Array:
    """Return `x` to the power of `y`."""
    return F.power(x, y)


def _power_pull(F: Any, g: Array, x: Array, exponent: Any) -> Array:
    if exponent == 2:
        return g * (x + x)
    if exponent == 0:
        return F.zero(g)
    return g * (F.power_number(x, exponent=exponent - 1) * exponent)


@primitive("elementwise", x=_power_pull, node="Pow")
def power_number(F: Any, x: Array, *, exponent: Any) -> Array:
    """Return `x` to the power of a number."""
    if exponent == 2:
        return F.square(x)
    if exponent == 3:
        return x * x * x
    if exponent == 0.5:
        return F.sqrt(x)
    if exponent == -1 and x.dtype.kind not in "iu":
        return F.reciprocal(x)
    if exponent == -0.5:
        return F.reciprocal(F.sqrt(x))
    return like(F, F.power(x, _rounded(F, exponent, x)), x)


def _log(number: Any, among_complex: bool) -> Any:
    if among_complex or isinstance(number, complex):
        import cmath

        return cmath.log(number)
    return math.log(number) if number > 0 else math.nan


def _number_power_pull(F: Any, g: Array, x: Array, out: Array, base: Any, x_dtype: Any) -> Array:
    if base != 0:
        return g * (out * _log(base, x_dtype.kind == "c"))
    positive = F.logical_and(F.real(x) >= 0, F.imag(x) == 0) if x_dtype.kind == "c" else x >= 0
    return F.masked(g * (out * -math.inf), F.logical_not(positive))


@primitive("elementwise", x=_number_power_pull, node="PowBackward2")
def number_power(F: Any, x: Array, *, base: Any) -> Array:
    """Raise a number to the power of `x`."""
    return like(F, F.power(_rounded(F, base, x), x), x)


@primitive(
    "elementwise",
    x=lambda F, g, y: g * F.number_power(y, base=2.0),
    y=lambda g, out: g * out * math.log(2),
    to_float=True,
)
def ldexp(F: Any, x: Array, y: Array) -> Array:
    """Return x * 2**y, finite wherever it is: the power alone may be too large or too small for its dtype."""
    if y.itemsize == 2:  # what halves of exponents give is too large for these
        return F.astype(_scaled(F, F.astype(x, "float32"), F.astype(y, "float32")), x.dtype)
    return _scaled(F, x, y)


def _scaled(F: Any, x: Array, y: Array) -> Array:
    if y.dtype.kind == "c":
        return x * F.power(2.0, y)
    half = F.floor(y * 0.5)
    by_halves = x * F.power(2.0, half) * F.power(2.0, y - half)
    return F.where(F.isfinite(y), by_halves, x * F.power(2.0, y))


def _rounded(F: Any, number: Any, x: Array) -> Any:
    """`number` in bfloat16 if `x` is, as torch has it in powers: bfloat16 does not round it, as other dtypes do."""
    return F.full((), number, x.dtype) if x.dtype.kind == "V" else number


def like(F: Any, out: Array, x: Array) -> Array:
    """Return `out` in the dtype of `x`: bfloat16 does not keep itself beside Python's floats."""
    return out if out.dtype == x.dtype else F.astype(out, x.dtype)


@primitive("elementwise", x=lambda g, out: g / (out + out), to_float=True)
def sqrt(F: Any, x: Array) -> Array:
    """Return the square root; NaN for negative real numbers."""
    return F.sqrt(x)


@primitive("elementwise", x=lambda g, out: g * (out * out * out) / -2, to_float=True)
def rsqrt(F: Any, x: Array) -> Array:
    """Divide one by the square root."""
    return F.reciprocal(F.sqrt(x))


# -- bits and divisors: no derivatives -----------------------------------------------------------------------


@primitive("elementwise", refuses="fcV")
def bitwise_and(F: Any, x: Array, y: Array) -> Array:
    """Return the bits set in both; logical and of booleans."""
    return F.bitwise_and(x, y)


@primitive("elementwise", refuses="fcV")
def bitwise_or(F: Any, x: Array, y: Array) -> Array:
    """Return the bits set in either; logical or of booleans."""
    return F.bitwise_or(x, y)


@primitive("elementwise", refuses="fcV")
def bitwise_xor(F: Any, x: Array, y: Array) -> Array:
    """Return the bits set in one of the two; logical xor of booleans."""
    return F.bitwise_xor(x, y)


@primitive("elementwise", refuses="fcV")
def bitwise_not(F: Any, x: Array) -> Array:
    """Invert every bit; of booleans, the logical not."""
    return F.bitwise_not(x)


@primitive("elementwise", refuses="bfcV")
def left_shift(F: Any, x: Array, y: Array) -> Array:
    """Return the bits moved `y` places up, `x * 2**y`; 0 once all are gone."""
    return F.left_shift(x, y)


@primitive("elementwise", refuses="bfcV")
def right_shift(F: Any, x: Array, y: Array) -> Array:
    """Return the bits moved `y` places down, `x / 2**y` rounded down."""
    return F.right_shift(x, y)


@primitive("elementwise", refuses="bfcV")
def gcd(F: Any, x: Array, y: Array) -> Array:
    """Return the greatest common divisor, never negative."""
    return F.gcd(x, y)


@primitive("elementwise", refuses="bfcV")
def lcm(F: Any, x: Array, y: Array) -> Array:
    """Return the least common multiple, never negative."""
    return F.lcm(x, y)
