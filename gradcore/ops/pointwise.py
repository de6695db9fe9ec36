"""Pointwise arithmetic, powers, bounds, rounding and choice, as torch spells them. It must not know any derivative."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.backends import of
from gradcore.ops.arguments import need_tensor
from gradcore.ops.direct import accepted, not_a_tensor, public
from gradcore.ops.registry import functions, methods, op
from gradcore.primitives import comparison as c
from gradcore.primitives import elementwise as e
from gradcore.primitives import selection as s
from gradcore.primitives import transcendental as t
from gradcore.primitives.conversion import copy
from gradcore.recorder import renamed
from gradcore.recorder.record import cast
from gradcore.recorder.value import Value

if TYPE_CHECKING:
    from gradcore.tensor import Tensor

NUMBERS = (bool, int, float, complex)

mul = public(e.multiply, "mul", "multiply")
neg = public(e.negative, "neg", "negative")
reciprocal = public(e.reciprocal, "reciprocal")
abs = public(e.absolute, "abs", "absolute")
sqrt = public(e.sqrt, "sqrt")
rsqrt = public(e.rsqrt, "rsqrt")
exp = public(t.exp, "exp")
expm1 = public(t.expm1, "expm1", "special.expm1")
log = public(t.log, "log")
log2 = public(t.log2, "log2")
log10 = public(t.log10, "log10")
log1p = public(t.log1p, "log1p", "special.log1p")
sin = public(t.sin, "sin")
cos = public(t.cos, "cos")
tan = public(t.tan, "tan")
asin = public(t.arcsin, "asin", "arcsin")
acos = public(t.arccos, "acos", "arccos")
atan = public(t.arctan, "atan", "arctan")
sinh = public(t.sinh, "sinh")
cosh = public(t.cosh, "cosh")
tanh = public(t.tanh, "tanh", "nn.functional.tanh")
sigmoid = public(t.sigmoid, "sigmoid", "special.expit", "nn.functional.sigmoid")
erf = public(t.erf, "erf", "special.erf")
atan2 = public(t.arctan2, "atan2", "arctan2", numbers=False)
maximum = public(s.maximum, "maximum", inplace=False, numbers=False)
minimum = public(s.minimum, "minimum", inplace=False, numbers=False)


# -- arithmetic -------------------------------------------------------------------------------------------------------


@op(inplace=True, out=True)
def add(input: Tensor, other: Any, *, alpha: Any = 1) -> Any:
    """Add `alpha` times `other`, with broadcasting and type promotion."""
    return accepted(e.add(input, other if alpha == 1 else _times(alpha, other, input, "add")), "add", input, other)


@op("subtract", inplace=True, out=True)
def sub(input: Tensor, other: Any, *, alpha: Any = 1) -> Any:
    """Subtract `alpha` times `other`. Raises RuntimeError for booleans."""
    return accepted(e.subtract(input, other if alpha == 1 else _times(alpha, other, input, "sub")), "sub", input, other)


@op(function=True, method=False)
def rsub(input: Tensor, other: Any, *, alpha: Any = 1) -> Any:
    """Subtract `alpha` times `input` from `other`."""
    taken = input if alpha == 1 else _times(alpha, input, other, "rsub")
    reverse = _reverse_subtract if isinstance(other, Value) else e.reverse_subtract
    return accepted(reverse(taken, other), "rsub", input, other)


_reverse_subtract = renamed(e.reverse_subtract, "Rsub")


def _times(alpha: Any, x: Any, beside: Any, name: str) -> Any:
    if type(alpha) not in NUMBERS:
        raise TypeError(f"{name}(): argument 'alpha' must be Number, not {type(alpha).__name__}")
    kinds = {type(z) if type(z) in NUMBERS else z._array.dtype.kind for z in (x, beside) if isinstance(z, (Value, *NUMBERS))}
    if type(alpha) in (float, complex) and kinds <= {"b", "i", "u", bool, int}:
        raise RuntimeError("For integral input tensors, argument alpha must not be a floating point number.")
    if type(alpha) is bool and not kinds <= {"b", bool}:
        raise RuntimeError("Boolean alpha only supported for Boolean results.")
    if isinstance(x, Value) and isinstance(beside, Value) and x._array.dtype.kind in "biu":
        x = cast(x, _promoted(x, beside))
    return x * alpha


def _promoted(*operands: Any) -> Any:
    """The NumPy dtype of an operation on these Tensors and numbers; None is passed over."""
    arrays = [x._array for x in operands if isinstance(x, Value)]
    return dtypes.promote(
        tuple(a.dtype for a in arrays if a.ndim),
        tuple(a.dtype for a in arrays if not a.ndim),
        tuple(type(x) for x in operands if x is not None and not isinstance(x, Value)),
    )


def _in_dtype(x: Value, dtype: Any) -> Value:
    return x if x._array.dtype == dtype else cast(x, dtype)


_floor_quotient, _trunc_quotient = renamed(e.floor_divide, "DivBackward2"), renamed(e.trunc_divide, "DivBackward2")


@op("divide", "true_divide", inplace=True, out=True)
def div(input: Tensor, other: Any, *, rounding_mode: str | None = None) -> Any:
    """Divide; `rounding_mode` "floor" or "trunc" rounds the quotient down or towards zero, and keeps integers integers.

    Raises RuntimeError for another mode and for integer division by zero.
    """
    if rounding_mode is None:
        return accepted(e.divide(input, other), "div", input, other)
    if rounding_mode not in ("floor", "trunc"):
        raise RuntimeError(
            f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found '{rounding_mode}'"
        )
    return _divided(_floor_quotient if rounding_mode == "floor" else _trunc_quotient, "div", input, other)


@op(inplace=True, out=True)
def floor_divide(input: Tensor, other: Any) -> Any:
    """Divide and round down. Raises RuntimeError for integer division by zero."""
    return _divided(e.floor_divide, "floor_divide", input, other)


_remainder_of_tensor, _fmod_of_tensor = renamed(e.remainder, "RemainderBackward1"), renamed(e.fmod, "FmodBackward1")


@op(inplace=True, out=True)
def remainder(input: Tensor, other: Any) -> Any:
    """What division rounded down leaves, with the sign of `other`. Raises RuntimeError for integers modulo zero."""
    return _divided(_remainder_of_tensor if isinstance(other, Value) else e.remainder, "remainder", input, other)


@op(inplace=True, out=True)
def fmod(input: Tensor, other: Any) -> Any:
    """What division rounded towards zero leaves, with the sign of `input`. Raises RuntimeError for integers modulo 0."""
    return _divided(_fmod_of_tensor if isinstance(other, Value) else e.fmod, "fmod", input, other)


def _divided(function: Any, name: str, input: Any, other: Any) -> Any:
    if _is_integer(input) and _is_integer(other):
        divisor = other._array if isinstance(other, Value) else other
        # On CUDA, torch does not wait for the answer either.
        host = not isinstance(other, Value) or of(divisor).device_type == "cpu"
        if host and not (divisor.all() if isinstance(other, Value) else divisor):
            raise RuntimeError(f"ZeroDivisionError: {name} of integers by zero")
    return accepted(function(input, other), name, input, other)


def _is_integer(x: Any) -> bool:
    return x._array.dtype.kind in "biu" if isinstance(x, Value) else isinstance(x, int)


@op(inplace=False)
def positive(input: Tensor) -> Any:
    """Return the tensor itself. Raises RuntimeError for booleans."""
    if input._array.dtype.kind == "b":
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


# -- powers -----------------------------------------------------------------------------------------------------------


@op(inplace=True, out=True)
def pow(input: Any, exponent: Any) -> Any:
    """Raise to the power of `exponent`; one of the two may be a number.

    Raises RuntimeError for integers to the power of a negative number.
    """
    if isinstance(exponent, NUMBERS) and isinstance(input, Value):
        return _power_of_number(input, exponent)
    if isinstance(input, NUMBERS) and isinstance(exponent, Value):
        dtype = _promoted(input, exponent)
        if dtype.kind not in "biu":
            return e.number_power(_in_dtype(exponent, dtype), input)
    elif not (isinstance(input, Value) and isinstance(exponent, Value)):
        return accepted(NotImplemented, "pow", input, exponent)
    else:
        dtype = _promoted(input, exponent)
    if dtype.kind not in "biu":
        return e.power(input, exponent)
    if dtype.kind == "b":
        return c.logical_or(input, c.logical_not(exponent))
    return _integer_power(_full(input, exponent, dtype), _full(exponent, input, dtype))


def _power_of_number(x: Value, exponent: Any) -> Any:
    dtype = _promoted(x, exponent)
    if dtype.kind == "b":
        return c.logical_or(x, not exponent)
    if dtype.kind in "iu" and exponent < 0:
        raise RuntimeError("Integers to negative integer powers are not allowed.")
    return e.power_number(_in_dtype(x, dtype), exponent)


def _full(x: Any, like: Any, dtype: Any) -> Value:
    """A number as a tensor of the shape of `like`; a tensor itself; in `dtype`."""
    return _in_dtype(x, dtype) if isinstance(x, Value) else s.fill(e.zero(_in_dtype(like, dtype)), x)


def _integer_power(x: Value, y: Value) -> Any:
    """x**y of integers, the fraction cut off where `y` is negative: only those of 1 and -1 are not 0."""
    reciprocal = c.equal(x, 1) + c.equal(x, -1) * (1 - 2 * e.remainder(y, 2))
    return s.where(c.less(y, 0), reciprocal, e.power(x, s.maximum(y, 0)))


@op(inplace=True, out=True)
def square(input: Tensor) -> Any:
    """Multiply by itself."""
    return pow(input, 2)


# -- bounds and choice ------------------------------------------------------------------------------------------------

_clip_below, _clip_above = renamed(s.clip_below, "ClampMinBackward1"), renamed(s.clip_above, "ClampMaxBackward1")
_clip_below_number, _clip_above_number = renamed(s.clip, "ClampMinBackward0"), renamed(s.clip, "ClampMaxBackward0")


@op("clip", inplace=True, out=True)
def clamp(input: Tensor, min: Any = None, max: Any = None) -> Any:
    """Limit to [min, max], tensors or numbers; None leaves a side open, and where min > max the result is max.

    Raises RuntimeError if both are None.
    """
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    if not (isinstance(min, Value) or isinstance(max, Value)):
        return _within_numbers(s.clip, input, min, max)
    if max is None:
        return s.clip_below(input, min)
    if min is None:
        return s.clip_above(input, max)
    return s.clip_between(input, min, max)


@op(inplace=True, out=True)
def clamp_min(input: Tensor, min: Any) -> Any:
    """The larger of the tensor and `min`, a tensor or a number."""
    if isinstance(min, Value) and isinstance(input, Value):
        return _clip_below(input, min)
    return _within_numbers(_clip_below_number, input, min, None)


@op(inplace=True, out=True)
def clamp_max(input: Tensor, max: Any) -> Any:
    """The smaller of the tensor and `max`, a tensor or a number."""
    if isinstance(max, Value) and isinstance(input, Value):
        return _clip_above(input, max)
    return _within_numbers(_clip_above_number, input, None, max)


def _within_numbers(clip: Any, x: Any, lo: Any, hi: Any) -> Any:
    need_tensor(x, "clamp")
    for name, bound in (("min", lo), ("max", hi)):
        if bound is not None and not isinstance(bound, NUMBERS):
            raise TypeError(f"clamp(): argument '{name}' must be Number or Tensor, not {type(bound).__name__}")
    dtype = _promoted(x, lo, hi)
    return clip(_in_dtype(x, dtype), *(None if bound is None else _number_of(bound, dtype) for bound in (lo, hi)))


def _number_of(value: Any, dtype: Any) -> Any:
    """A number as one of `dtype`, integers without their fractions. Raises RuntimeError where it does not fit."""
    kind = dtype.kind
    if kind == "b":
        return bool(value)
    fits = kind == "c" or not isinstance(value, complex)
    if fits and kind in "iu":
        value, limits = int(value), dtypes.iinfo(dtypes.of(dtype))
        if kind == "u" and -limits.max <= value < 0:
            value += limits.max + 1
        fits = limits.min <= value <= limits.max
    if not fits:
        raise RuntimeError(f"value cannot be converted to type {dtypes.of(dtype).name} without overflow (got {value})")
    return value


@op(method=False, out=True)
def where(condition: Tensor, input: Any = None, other: Any = None) -> Any:
    """The elements of `input` where `condition` is true, else those of `other`; both may be numbers.

    With `condition` alone, the indices of its nonzero elements. Raises RuntimeError for a condition that is not boolean.
    """
    if input is None and other is None:
        return functions[""]["nonzero"](condition, as_tuple=True)
    if not isinstance(condition, Value):
        raise not_a_tensor("where", "condition", 1, condition)
    if condition._array.dtype.kind != "b":
        if condition._array.dtype != dtypes.uint8.numpy:
            raise RuntimeError(
                "where expected condition to be a boolean tensor, but got a tensor with dtype "
                f"{dtypes.of(condition._array.dtype)._title}"
            )
        condition = c.not_equal(condition, 0)
    result = s.where(condition, input, other)
    if result is NotImplemented:
        raise not_a_tensor("where", *(("other", 3, other) if isinstance(input, (Value, *NUMBERS)) else ("input", 2, input)))
    return result


def _chosen_where(self: Tensor, condition: Tensor, other: Any) -> Any:
    """The elements of this tensor where `condition` is true, else those of `other`."""
    return where(condition, self, other)


methods["where"] = _chosen_where


@op(inplace=True)
def fill(input: Tensor, value: Any) -> Any:
    """A tensor of the shape and dtype of `input`, filled with `value`, a number or a 0-d tensor."""
    dtype = input._array.dtype
    if isinstance(value, Value):
        if value._array.ndim:
            raise RuntimeError(
                "fill only supports 0-dimension value tensor but got tensor with "
                f"{value._array.ndim} dimensions (shape {list(value._array.shape)})"
            )
        return _fill_with_tensor(input, _in_dtype(value, dtype))
    if not isinstance(value, NUMBERS):
        raise TypeError(f"fill(): argument 'value' (position 2) must be Number or Tensor, not {type(value).__name__}")
    return s.fill(input, _number_of(value, dtype))


_fill_with_tensor = renamed(s.fill, "FillBackward1")


# -- signs and rounding -----------------------------------------------------------------------------------------------

_sgn = renamed(e.sign, "Sgn")


@op(inplace=True, out=True)
def sign(input: Tensor) -> Any:
    """The sign: -1, 0 or 1. Raises NotImplementedError for complex tensors."""
    if input._array.dtype.kind == "c":
        raise NotImplementedError("sign is not meant for complex numbers, as in torch; use sgn() for z/|z|")
    return copy(input) if input._array.dtype.kind == "b" else e.sign(input)


@op(inplace=True, out=True)
def sgn(input: Tensor) -> Any:
    """The sign, of a complex number z/|z|; 0 at 0."""
    return copy(input) if input._array.dtype.kind == "b" else _sgn(input)


def _whole(x: Value) -> bool:
    return x._array.dtype.kind in "iu"


@op(inplace=True, out=True)
def floor(input: Tensor) -> Any:
    """The largest integer that is not larger, in the tensor's dtype."""
    return copy(input) if _whole(input) else s.floor(input)


@op(inplace=True, out=True)
def ceil(input: Tensor) -> Any:
    """The smallest integer that is not smaller, in the tensor's dtype."""
    return copy(input) if _whole(input) else s.ceil(input)


@op("fix", inplace=True, out=True)
def trunc(input: Tensor) -> Any:
    """The nearest integer towards zero, in the tensor's dtype."""
    return copy(input) if _whole(input) else s.trunc(input)


_round_to_decimals = renamed(s.round_half_even, "RoundBackward1")


@op(inplace=True, out=True)
def round(input: Tensor, *, decimals: int | None = None) -> Any:
    """The nearest multiple of 10**-decimals (of 1 without), the even one of two."""
    if decimals is not None:
        if input._array.dtype.kind in "iu":
            raise NotImplementedError(f'"round" to decimals not implemented for {dtypes.of(input._array.dtype)._title!r}')
        return _round_to_decimals(input, decimals)
    return copy(input) if _whole(input) else s.round_half_even(input)


functions["special"]["round"] = functions[""]["round"]
