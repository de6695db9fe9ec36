"""Python numbers beside Tensors: common dtypes, and numbers in a tensor's dtype. It must not know any op."""

from __future__ import annotations

import math
from typing import Any, Final

from gradcore import dtypes
from gradcore.ops.arguments import python_number
from gradcore.primitives import elementwise as e
from gradcore.primitives import selection as s
from gradcore.recorder.record import cast, operand
from gradcore.recorder.value import Value

NUMBERS: Final = (bool, int, float, complex)
ONE: Final = 1  # `alpha is ONE` where it is left out, while True and 1.0 are to be looked at


def promoted(*operands: Any) -> Any:
    """Return the NumPy dtype of an operation on these Tensors and numbers; None is passed over."""
    arrays = [x._array for x in operands if isinstance(x, Value)]
    return dtypes.promote(
        tuple(a.dtype for a in arrays if a.ndim),
        tuple(a.dtype for a in arrays if not a.ndim),
        tuple(type(x) for x in operands if x is not None and not isinstance(x, Value)),
    )


def in_dtype(x: Value, dtype: Any) -> Any:
    """Return `x` in a NumPy dtype, recorded."""
    return x if x._array.dtype == dtype else cast(x, dtype)


def full(x: Any, like: Any, dtype: Any) -> Any:
    """Return a number as a tensor of the shape of `like`, a tensor as it is; in a NumPy dtype."""
    return in_dtype(x, dtype) if isinstance(x, Value) else s.fill(e.zero(in_dtype(like, dtype)), x)


def floating(dtype: Any) -> Any:
    """Return the NumPy dtype itself, the default one for booleans and integers."""
    return dtypes.get_default_dtype().numpy if dtype.kind in "biu" else dtype


def number_of(value: Any, dtype: Any) -> Any:
    """Return a number as one of `dtype`, for integers without its fraction.

    Raises RuntimeError where it does not fit; as in torch, the negative of an unsigned number does.
    """
    if dtype.kind == "b":
        return bool(value)
    fits = dtype.kind == "c" or not isinstance(value, complex)
    if fits and dtype.kind in "iu":
        value, limits = int(value), dtypes.iinfo(dtypes.of(dtype))
        if dtype.kind == "u" and -limits.max <= value < 0:
            value += limits.max + 1
        fits = limits.min <= value <= limits.max
    if not fits:
        name = dtypes.of(dtype).name
        raise RuntimeError(f"value cannot be converted to type {name} without overflow (got {value})")
    return value


def times(alpha: Any, x: Any, beside: Any, op: str) -> Any:
    """Return `alpha * x` for torch's `alpha=` of `op`, whose other operand is `beside`.

    Raises TypeError for what is no number, RuntimeError for a floating `alpha` beside integers, or a boolean one beside
    anything but booleans.
    """
    if type(alpha) in (int, float) and isinstance(x, Value) and x._array.dtype.kind in "fc" and x._array.itemsize > 2:
        return x if alpha == 1 else e.multiply(x, alpha)
    alpha, x, beside = python_number(alpha, op, "alpha"), operand(x), operand(beside)
    if x is NotImplemented or beside is NotImplemented:
        return x  # which the operation will refuse
    kind = promoted(x, beside).kind
    if type(alpha) in (float, complex) and kind in "biu":
        raise RuntimeError(
            f"For integral input tensors, argument alpha must not be a floating point number ({op} got alpha={alpha})."
        )
    if type(alpha) is complex and kind != "c":
        raise RuntimeError(
            f"For non-complex input tensors, argument alpha must not be a complex number. ({op} got alpha={alpha})"
        )
    if type(alpha) is bool and kind != "b":
        raise RuntimeError(f"Boolean alpha only supported for Boolean results ({op}).")
    if kind == "b":
        return e.multiply(x, bool(alpha)) if isinstance(x, Value) else bool(x and alpha)
    if alpha == 1:
        return x
    dtype = promoted(x, beside)
    if isinstance(x, Value) and x._array.dtype.kind in "biu":
        x = in_dtype(x, dtype)
    return x * (_rounded(alpha, dtype) if dtype.itemsize == 2 and dtype.kind in "fV" else alpha)


def _rounded(alpha: Any, dtype: Any) -> float:
    """`alpha` as a number of a 16-bit dtype, which it is for torch. Raises RuntimeError where it does not fit."""
    if abs(alpha) > dtypes.finfo(dtypes.of(dtype)).max and math.isfinite(alpha):
        name = dtypes.of(dtype)._title
        raise RuntimeError(f"value cannot be converted to type c10::{name} without overflow (alpha is {alpha})")
    return float(dtype.type(alpha))
