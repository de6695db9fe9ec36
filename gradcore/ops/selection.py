"""Bounds, choice, signs and rounding, pointwise, as torch spells them. It must not know any derivative."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.backends import numpy as host
from gradcore.ops.arguments import need_tensor, not_a_tensor
from gradcore.ops.direct import public
from gradcore.ops.numbers import NUMBERS, in_dtype, number_of, promoted
from gradcore.ops.positions import nonzero
from gradcore.ops.registry import functions, methods, op
from gradcore.primitives import comparison as c
from gradcore.primitives import elementwise as e
from gradcore.primitives import selection as s
from gradcore.primitives.conversion import copy
from gradcore.recorder import renamed
from gradcore.recorder.record import operand
from gradcore.recorder.value import Value, wrap

if TYPE_CHECKING:
    from gradcore.tensor import Tensor

maximum = public(s.maximum, "maximum", inplace=False, numbers="neither")
minimum = public(s.minimum, "minimum", inplace=False, numbers="neither")


# -- bounds --------------------------------------------------------------------------------------------------


@op("clip", inplace=True, out=True)
def clamp(input: Tensor, min: Any = None, max: Any = None) -> Any:
    """Limit to [min, max], tensors or numbers; None leaves a side open.

    Where min > max the result is max. Raises RuntimeError if both are None.
    """
    need_tensor(input, "clamp")
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    if isinstance(min, Value) is not isinstance(max, Value) and min is not None and max is not None:
        min, max = _number(min), _number(max)
    if not (isinstance(min, Value) or isinstance(max, Value)):
        return _within_numbers(s.clip, "clamp", input, min, max)
    if max is None:
        return s.clip_below(input, min)
    if min is None:
        return s.clip_above(input, max)
    return s.clip_between(input, min, max)


def _number(x: Any) -> Any:
    """A constant of no dimensions as the number it is, which is what torch takes it for beside a number."""
    return x._array.item() if isinstance(x, Value) and not x._array.ndim and x._node is None else x


_at_least, _at_most = renamed(s.clip, "ClampMinBackward0"), renamed(s.clip, "ClampMaxBackward0")
_at_least_tensor = renamed(s.clip_below, "ClampMinBackward1")
_at_most_tensor = renamed(s.clip_above, "ClampMaxBackward1")


@op(inplace=True, out=True)
def clamp_min(input: Tensor, min: Any) -> Any:
    """Return the larger of the tensor and `min`, a tensor or a number."""
    if isinstance(min, Value) and isinstance(input, Value):
        return _at_least_tensor(input, min)
    return _within_numbers(_at_least, "clamp_min", input, min, None)


@op(inplace=True, out=True)
def clamp_max(input: Tensor, max: Any) -> Any:
    """Return the smaller of the tensor and `max`, a tensor or a number."""
    if isinstance(max, Value) and isinstance(input, Value):
        return _at_most_tensor(input, max)
    return _within_numbers(_at_most, "clamp_max", input, None, max)


_PLAIN = {int, float, type(None)}


def _within_numbers(clip: Any, name: str, x: Any, lo: Any, hi: Any) -> Any:
    need_tensor(x, name)
    if type(lo) in _PLAIN and type(hi) in _PLAIN and x._array.dtype.kind == "f":
        return clip(x, lo, hi)
    lo, hi = _bound(lo, name, "min"), _bound(hi, name, "max")
    dtype = promoted(x, lo, hi)
    bounds = (None if bound is None else number_of(bound, dtype) for bound in (lo, hi))
    return clip(in_dtype(x, dtype), *bounds)


def _bound(given: Any, op: str, argument: str) -> Any:
    bound = None if given is None else operand(given)
    if bound is not None and type(bound) not in NUMBERS:
        raise TypeError(f"{op}(): argument '{argument}' must be Number or Tensor, not {type(given).__name__}")
    return bound


# -- choice --------------------------------------------------------------------------------------------------


@op(method=False, out=True)
def where(condition: Tensor, input: Any = None, other: Any = None) -> Any:
    """Return the elements of `input` where `condition` is true, else those of `other`; both may be numbers.

    With `condition` alone, return the indices of its nonzero elements. Raises RuntimeError for a condition
    that is not boolean.
    """
    need_tensor(condition, "where", "condition")
    if input is None and other is None:
        return nonzero(condition, as_tuple=True)
    if condition._array.dtype.kind != "b":
        given = dtypes.of(condition._array.dtype)
        if given is not dtypes.uint8:
            raise RuntimeError(
                f"where expected condition to be a boolean tensor, but got a tensor with dtype {given._title}"
            )
        condition = c.not_equal(condition, 0)
    result = s.where(condition, _as_array(input, other), _as_array(other, input))
    if result is NotImplemented:
        if isinstance(input, (Value, *NUMBERS)):
            raise not_a_tensor("where", "other", 3, other)
        raise not_a_tensor("where", "input", 2, input)
    return result


def _as_array(x: Any, like: Any) -> Any:
    """A number beside a tensor of floating-point numbers on the host as a tensor: recording is faster for these."""
    if (type(x) is float or type(x) is int) and isinstance(like, Value):
        array = like._array
        if type(array) is host.Array and array.dtype.kind == "f":
            return wrap(host.quietly(host.asarray, x, array.dtype))
    return x


def _where_or(self: Tensor, condition: Tensor, other: Any) -> Any:
    """Return the elements of this tensor where `condition` is true, else those of `other`."""
    return where(condition, self, other)


methods["where"] = _where_or
_fill_with_tensor = renamed(s.fill, "FillBackward1")


@op()
def fill(input: Tensor, value: Any) -> Any:
    """Return a tensor of the shape and dtype of `input`, filled with a number or a 0-d tensor."""
    need_tensor(input, "fill")
    dtype = input._array.dtype
    filling = operand(value)
    if filling is NotImplemented:
        raise not_a_tensor("fill", "value", 2, value)
    if not isinstance(filling, Value):
        return s.fill(input, number_of(filling, dtype))
    if filling._array.ndim:
        raise RuntimeError(
            "fill only supports 0-dimension value tensor but got tensor with "
            f"{filling._array.ndim} dimensions (shape {list(filling._array.shape)})"
        )
    return _fill_with_tensor(input, in_dtype(filling, dtype))


# -- signs and rounding --------------------------------------------------------------------------------------


@op(inplace=True, out=True)
def sign(input: Tensor) -> Any:
    """Return the sign: -1, 0 or 1. Raises NotImplementedError for complex tensors."""
    need_tensor(input, "sign")
    if input._array.dtype.kind == "c":
        raise NotImplementedError("sign is not meant for complex numbers, as in torch; use sgn() for z/|z|")
    return copy(input) if input._array.dtype.kind == "b" else e.sign(input)


@op(inplace=True, out=True)
def sgn(input: Tensor) -> Any:
    """Return the sign, of a complex number z/|z|; 0 at 0."""
    need_tensor(input, "sgn")
    return copy(input) if input._array.dtype.kind == "b" else e.sgn(input)


@op(inplace=True, out=True)
def floor(input: Tensor) -> Any:
    """Return the largest integer that is not larger, in the tensor's dtype."""
    return copy(input) if _is_whole(input, "floor") else s.floor(input)


@op(inplace=True, out=True)
def ceil(input: Tensor) -> Any:
    """Return the smallest integer that is not smaller, in the tensor's dtype."""
    return copy(input) if _is_whole(input, "ceil") else s.ceil(input)


@op("fix", inplace=True, out=True)
def trunc(input: Tensor) -> Any:
    """Return the nearest integer towards zero, in the tensor's dtype."""
    return copy(input) if _is_whole(input, "trunc") else s.trunc(input)


_round_to_decimals = renamed(s.round_half_even, "RoundBackward1")


@op(inplace=True, out=True)
def round(input: Tensor, *, decimals: int | None = None) -> Any:
    """Return the nearest multiple of 10**-decimals (of 1 without), the even one of two."""
    whole = _is_whole(input, "round")
    if decimals is None:
        return copy(input) if whole else s.round_half_even(input)
    if whole:
        title = dtypes.of(input._array.dtype)._title
        raise NotImplementedError(f"\"round\" to decimals not implemented for '{title}'")
    return _round_to_decimals(input, decimals)


functions["special"]["round"] = functions[""]["round"]


def _is_whole(x: Tensor, op: str) -> bool:
    need_tensor(x, op)
    return x._array.dtype.kind in "iu"
