"""Comparisons, tests and logic, pointwise: boolean, hence without derivatives. It must not know Tensors."""

from __future__ import annotations

from typing import Any

from gradcore.recorder import primitive

Array = Any


@primitive("elementwise")
def equal(F: Any, x: Array, y: Array) -> Array:
    """Say whether the elements are equal; NaN equals nothing."""
    return F.equal(x, y)


@primitive("elementwise")
def not_equal(F: Any, x: Array, y: Array) -> Array:
    """Say whether the elements differ."""
    return F.not_equal(x, y)


@primitive("elementwise", refuses="c")
def less(F: Any, x: Array, y: Array) -> Array:
    """Say whether the first is smaller."""
    return F.less(x, y)


@primitive("elementwise", refuses="c")
def less_equal(F: Any, x: Array, y: Array) -> Array:
    """Say whether the first is smaller or equal."""
    return F.less_equal(x, y)


@primitive("elementwise", refuses="c")
def greater(F: Any, x: Array, y: Array) -> Array:
    """Say whether the first is larger."""
    return F.greater(x, y)


@primitive("elementwise", refuses="c")
def greater_equal(F: Any, x: Array, y: Array) -> Array:
    """Say whether the first is larger or equal."""
    return F.greater_equal(x, y)


@primitive("elementwise")
def logical_and(F: Any, x: Array, y: Array) -> Array:
    """Say whether both are nonzero."""
    return F.logical_and(x, y)


@primitive("elementwise")
def logical_or(F: Any, x: Array, y: Array) -> Array:
    """Say whether one or both are nonzero."""
    return F.logical_or(x, y)


@primitive("elementwise")
def logical_xor(F: Any, x: Array, y: Array) -> Array:
    """Say whether exactly one is nonzero."""
    return F.logical_xor(x, y)


@primitive("elementwise")
def logical_not(F: Any, x: Array) -> Array:
    """Say whether the element is zero."""
    return F.logical_not(x)


@primitive("elementwise")
def isnan(F: Any, x: Array) -> Array:
    """Say whether the element, or a part of it, is not a number."""
    return F.isnan(x)


@primitive("elementwise")
def isinf(F: Any, x: Array) -> Array:
    """Say whether the element, or a part of it, is infinite."""
    return F.isinf(x)


@primitive("elementwise")
def isfinite(F: Any, x: Array) -> Array:
    """Say whether the element is neither infinite nor NaN."""
    return F.isfinite(x)


@primitive("elementwise", refuses="c")
def signbit(F: Any, x: Array) -> Array:
    """Say whether the sign bit is set: for negative numbers, -0.0 and some NaN."""
    return F.signbit(x) if x.dtype.kind in "fV" else x < 0
