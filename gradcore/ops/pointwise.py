"""Pointwise functions, arithmetic and powers, as torch spells them. It must not know any derivative."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gradcore.backends import of
from gradcore.ops.arguments import need_tensor, not_a_tensor
from gradcore.ops.direct import accepted, public
from gradcore.ops.numbers import ONE, full, in_dtype, promoted, times
from gradcore.ops.registry import methods, op
from gradcore.primitives import comparison as c
from gradcore.primitives import elementwise as e
from gradcore.primitives import selection as s
from gradcore.primitives import transcendental as t
from gradcore.recorder import renamed
from gradcore.recorder.inplace import inplace as in_place
from gradcore.recorder.record import operand
from gradcore.recorder.value import Value

if TYPE_CHECKING:
    from gradcore.tensor import Tensor

mul = public(e.multiply, "mul", "multiply")
neg = public(e.negative, "neg", "negative")
reciprocal = public(e.reciprocal, "reciprocal")
abs = public(e.absolute, "abs", "absolute", inplace=False)
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
atan2 = public(t.arctan2, "atan2", "arctan2", numbers="neither")


def _absolute_in_place(input: Tensor) -> Any:
    if input._array.dtype.kind == "c":
        raise RuntimeError("In-place abs is not supported for complex tensors.")
    return e.absolute(input)


for _name in ("abs_", "absolute_"):
    methods[_name] = in_place(_absolute_in_place, _name)


# -- arithmetic ----------------------------------------------------------------------------------------------


@op(inplace=True, out=True)
def add(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """Add `alpha` times `other`, with broadcasting and type promotion."""
    return accepted(e.add(input, other if alpha is ONE else times(alpha, other, input, "add")), "add", input, other)


@op("subtract", inplace=True, out=True)
def sub(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """Subtract `alpha` times `other`. Raises NotImplementedError, a RuntimeError, for booleans."""
    scaled = other if alpha is ONE else times(alpha, other, input, "sub")
    return accepted(e.subtract(input, scaled), "sub", input, other)


_reverse_subtract = renamed(e.reverse_subtract, "Rsub")


@op(method=False)
def rsub(input: Tensor, other: Any, *, alpha: Any = 1) -> Any:
    """Subtract `alpha` times `input` from `other`."""
    scaled = input if alpha is ONE else times(alpha, input, other, "rsub")
    reverse = _reverse_subtract if isinstance(other, Value) else e.reverse_subtract
    return accepted(reverse(scaled, other), "rsub", input, other)


_floor_quotient = renamed(e.floor_divide, "DivBackward2")
_trunc_quotient = renamed(e.trunc_divide, "DivBackward2")


@op("divide", "true_divide", inplace=True, out=True)
def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Any:
    """Divide; `rounding_mode` "floor" or "trunc" rounds the quotient down or towards zero.

    A rounded quotient of integers is an integer, any other floating. Raises RuntimeError for another mode and
    for integer division by zero.
    """
    if rounding_mode is None:
        return accepted(e.divide(input, other), "div", input, other)
    if rounding_mode not in ("floor", "trunc"):
        raise RuntimeError(f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found '{rounding_mode}'")
    return _divided(_floor_quotient if rounding_mode == "floor" else _trunc_quotient, "div", input, other)


@op(inplace=True, out=True)
def floor_divide(input: Any, other: Any) -> Any:
    """Divide and round down. Raises RuntimeError for integer division by zero."""
    return _divided(e.floor_divide, "floor_divide", input, other)


_remainder_of_tensor = renamed(e.remainder, "RemainderBackward1")
_fmod_of_tensor = renamed(e.fmod, "FmodBackward1")


@op(inplace=True, out=True)
def remainder(input: Any, other: Any) -> Any:
    """Return what division rounded down leaves: it has the sign of `other`.

    Raises RuntimeError for integers modulo zero.
    """
    function = _remainder_of_tensor if isinstance(other, Value) else e.remainder
    return _divided(function, "remainder", input, other)


@op(inplace=True, out=True)
def fmod(input: Tensor, other: Any) -> Any:
    """Return what division rounded towards zero leaves: it has the sign of `input`.

    Raises RuntimeError for integers modulo zero.
    """
    need_tensor(input, "fmod")
    return _divided(_fmod_of_tensor if isinstance(other, Value) else e.fmod, "fmod", input, other)


def _divided(function: Callable[..., Any], name: str, input: Any, other: Any) -> Any:
    input, other = operand(input), operand(other)
    if _is_integer(input) and _is_integer(other) and _has_zero(other):
        raise RuntimeError(f"ZeroDivisionError: {name} of integers by zero")
    return accepted(function(input, other), name, input, other)


def _is_integer(x: Any) -> bool:
    return x._array.dtype.kind in "biu" if isinstance(x, Value) else isinstance(x, int)


def _has_zero(x: Any) -> bool:
    if not isinstance(x, Value):
        return bool(x == 0)
    # On CUDA, torch does not wait for the answer either.
    return of(x._array).device_type == "cpu" and not x._array.all()


@op()
def positive(input: Tensor) -> Any:
    """Return the tensor itself. Raises RuntimeError for booleans."""
    if input._array.dtype.kind == "b":
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


# -- powers --------------------------------------------------------------------------------------------------


@op(inplace=True, out=True)
def pow(input: Any, exponent: Any) -> Any:
    """Raise to the power of `exponent`; one of the two may be a number.

    Raises RuntimeError for integers to the power of a negative number.
    """
    if type(exponent) in (int, float) and isinstance(input, Value) and input._array.dtype.kind == "f":
        return e.power_number(input, exponent)
    x, y = operand(input), operand(exponent)
    if x is NotImplemented or y is NotImplemented:
        return accepted(NotImplemented, "pow", input, exponent)
    if not (isinstance(x, Value) or isinstance(y, Value)):
        raise not_a_tensor("pow", "input", 1, input)
    dtype = promoted(x, y)
    if dtype.kind == "b":
        return c.logical_or(x, c.logical_not(full(y, x, dtype)))
    if not isinstance(y, Value):
        if dtype.kind in "iu" and y < 0:
            raise RuntimeError("Integers to negative integer powers are not allowed.")
        return e.power_number(in_dtype(x, dtype), y)
    if dtype.kind in "iu":
        return _integer_power(full(x, y, dtype), in_dtype(y, dtype))
    if not isinstance(x, Value):
        return e.number_power(in_dtype(y, dtype), x)
    return e.power(x, y)


def _integer_power(x: Value, y: Value) -> Any:
    """Return x**y without its fraction: where `y` is negative, only the powers of 1 and -1 are not 0."""
    reciprocal = c.equal(x, 1) + c.equal(x, -1) * (1 - 2 * e.remainder(y, 2))
    return s.where(c.less(y, 0), reciprocal, e.power(x, s.maximum(y, 0)))


@op(inplace=True, out=True)
def square(input: Tensor) -> Any:
    """Multiply by itself."""
    return pow(input, 2)
