"""Comparisons, tests of numbers, logic and bits, as torch spells them. It must not know any derivative."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.backends import of
from gradcore.ops.arguments import need_tensor
from gradcore.ops.direct import public
from gradcore.ops.numbers import in_dtype
from gradcore.ops.registry import op
from gradcore.primitives import comparison as c
from gradcore.primitives import elementwise as e
from gradcore.primitives import selection as s
from gradcore.primitives.complex_parts import imag

if TYPE_CHECKING:
    from gradcore.tensor import Tensor

eq = public(c.equal, "eq", numbers="second")
ne = public(c.not_equal, "ne", "not_equal", numbers="second")
lt = public(c.less, "lt", "less", numbers="second")
le = public(c.less_equal, "le", "less_equal", numbers="second")
gt = public(c.greater, "gt", "greater", numbers="second")
ge = public(c.greater_equal, "ge", "greater_equal", numbers="second")
logical_and = public(c.logical_and, "logical_and", numbers="neither")
logical_or = public(c.logical_or, "logical_or", numbers="neither")
logical_xor = public(c.logical_xor, "logical_xor", numbers="neither")
logical_not = public(c.logical_not, "logical_not")
isnan = public(c.isnan, "isnan", inplace=False)
isinf = public(c.isinf, "isinf", inplace=False)
isfinite = public(c.isfinite, "isfinite", inplace=False)
signbit = public(c.signbit, "signbit", inplace=False, exact=True)
bitwise_and = public(e.bitwise_and, "bitwise_and")
bitwise_or = public(e.bitwise_or, "bitwise_or")
bitwise_xor = public(e.bitwise_xor, "bitwise_xor")
bitwise_not = public(e.bitwise_not, "bitwise_not")
bitwise_left_shift = public(e.left_shift, "bitwise_left_shift")
bitwise_right_shift = public(e.right_shift, "bitwise_right_shift")
gcd = public(e.gcd, "gcd", numbers="neither")
lcm = public(e.lcm, "lcm", numbers="neither")


@op(out="exact")
def isposinf(input: Tensor) -> Any:
    """Say whether the element is positive infinity. Raises RuntimeError for complex tensors."""
    return _infinite("isposinf", input, math.inf)


@op(out="exact")
def isneginf(input: Tensor) -> Any:
    """Say whether the element is negative infinity. Raises RuntimeError for complex tensors."""
    return _infinite("isneginf", input, -math.inf)


def _infinite(name: str, input: Tensor, value: float) -> Any:
    if input._array.dtype.kind == "c":
        raise RuntimeError(f"{name} does not support complex inputs.")
    return c.equal(input, value)


@op()
def isreal(input: Tensor) -> Any:
    """Say whether the imaginary part is zero."""
    return c.equal(imag(input), 0) if input._array.dtype.kind == "c" else c.equal(e.zero(input), 0)


@op(inplace=True, out=True)
def heaviside(input: Tensor, values: Tensor) -> Any:
    """Return 0 for negative elements, 1 for positive ones, and `values` at 0.

    Raises RuntimeError for different dtypes.
    """
    need_tensor(input, "heaviside")
    need_tensor(values, "heaviside", "values")
    if input._array.dtype != values._array.dtype:
        raise RuntimeError(
            f"heaviside is not yet implemented for tensors with different dtypes ({input.dtype} and {values.dtype})."
        )
    return s.where(c.equal(input, 0), values, c.greater(input, 0))


@op()
def isclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Any:
    """Say whether `|input - other| <= atol + rtol * |other|`.

    Infinities are close to themselves, and NaN is if `equal_nan`.

    Raises RuntimeError for different dtypes and for negative tolerances.
    """
    need_tensor(input, "isclose")
    need_tensor(other, "isclose", "other")
    if input._array.dtype != other._array.dtype:
        have, want = (dtypes.of(x._array.dtype)._title for x in (input, other))
        raise RuntimeError(f"{have} did not match {want} (isclose; convert one of them)")
    for name, tolerance in (("rtol", rtol), ("atol", atol)):
        if not tolerance >= 0:
            raise RuntimeError(f"{name} must be greater than or equal to zero, but got {tolerance}")
    close = c.equal(input, other)
    if equal_nan and input._array.dtype.kind not in "biu":
        close = e.bitwise_or(close, e.bitwise_and(c.isnan(input), c.isnan(other)))
    if rtol == 0 and atol == 0:
        return close
    if input._array.dtype.kind == "b":
        input, other = (in_dtype(x, dtypes.int8.numpy) for x in (input, other))
    distance = e.absolute(e.subtract(input, other))
    within = c.less_equal(distance, e.add(e.absolute(e.multiply(other, rtol)), atol))
    return e.bitwise_or(close, e.bitwise_and(c.isfinite(distance), within))


@op()
def allclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """Say whether all elements are close, as `isclose` has it."""
    return _all(isclose(input, other, rtol, atol, equal_nan))


@op()
def equal(input: Tensor, other: Tensor) -> bool:
    """Say whether two tensors have the same shape and elements."""
    need_tensor(input, "equal")
    need_tensor(other, "equal", "other")
    return input._array.shape == other._array.shape and _all(c.equal(input, other))


def _all(x: Tensor) -> bool:
    return bool(of(x._array).all(x._array))
