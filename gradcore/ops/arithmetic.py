"""Arithmetic of several tensors at once, and changes of unit, as torch spells them. It must not know any derivative."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.ops.arguments import need_tensor, not_a_tensor
from gradcore.ops.direct import public
from gradcore.ops.numbers import in_dtype, number_of, promoted, times
from gradcore.ops.pointwise import pow
from gradcore.ops.registry import methods, op
from gradcore.primitives import elementwise as e
from gradcore.recorder import renamed
from gradcore.recorder.inplace import inplace
from gradcore.recorder.record import operand
from gradcore.recorder.value import Value

if TYPE_CHECKING:
    from gradcore.tensor import Tensor

hypot = public(e.hypot, "hypot", numbers="neither")


@op(inplace=True, out=True, node="Deg2Rad")
def deg2rad(input: Tensor) -> Any:
    """Turn degrees into radians. Raises RuntimeError for complex tensors."""
    return _turned("deg2rad", input, math.pi / 180)


@op(inplace=True, out=True, node="Rad2Deg")
def rad2deg(input: Tensor) -> Any:
    """Turn radians into degrees. Raises RuntimeError for complex tensors."""
    return _turned("rad2deg", input, 180 / math.pi)


def _turned(name: str, input: Tensor, factor: float) -> Any:
    need_tensor(input, name)
    if input._array.dtype.kind == "c":
        raise RuntimeError(f"{name} is not supported for complex tensors.")
    return e.multiply(input, factor)


_lerp = {False: e.lerp, True: renamed(e.lerp, "LerpBackward1")}


@op(inplace=True, out=True)
def lerp(input: Tensor, end: Tensor, weight: Any) -> Any:
    """Return input + weight * (end - input), broadcast; `weight` is a tensor or a number.

    Raises RuntimeError unless all tensors have one dtype, NotImplementedError for integers.
    """
    need_tensor(input, "lerp")
    need_tensor(end, "lerp", "end")
    dtype = input._array.dtype
    if isinstance(weight, Value) and not weight._array.ndim and end._array.dtype == dtype:
        dtype = promoted(input, end, weight)
        input, end, weight = (in_dtype(x, dtype) for x in (input, end, weight))
    for name, each in (("end", end), ("weight", weight)):
        if isinstance(each, Value) and each._array.dtype != dtype:
            have, want = (str(dtypes.of(d)).removeprefix("torch.") for d in (each._array.dtype, dtype))
            raise RuntimeError(f"expected dtype {want} for `{name}` but got dtype {have} (lerp)")
    if dtype.kind in "biu":
        raise NotImplementedError(f"\"lerp_kernel_scalar\" not implemented for '{dtypes.of(dtype)._title}'")
    return _lerp[isinstance(weight, Value)](input, end, weight)


@op(inplace=True, out=True, node="Addcmul")
def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Any:
    """Add `value` times the product of two tensors. Raises NotImplementedError for booleans."""
    return _added("addcmul", input, tensor1, tensor2, value, e.multiply)


@op(inplace=True, out=True, node="Addcdiv")
def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Any:
    """Add `value` times the quotient of two tensors. Raises RuntimeError for two integer tensors."""
    for name, each in (("tensor1", tensor1), ("tensor2", tensor2)):
        need_tensor(each, "addcdiv", name)
    if tensor1._array.dtype.kind in "biu" and tensor2._array.dtype.kind in "biu":
        raise RuntimeError(
            "Integer division with addcdiv is no longer supported; use input + value * torch.trunc(tensor1 / tensor2) "
            "or convert one of them to a floating dtype."
        )
    return _added("addcdiv", input, tensor1, tensor2, value, e.divide)


def _added(name: str, input: Any, x: Any, y: Any, value: Any, combine: Any) -> Any:
    for argument, each in (("input", input), ("tensor1", x), ("tensor2", y)):
        need_tensor(each, name, argument)
    dtype = promoted(input, x, y)
    if dtype.kind == "b":
        raise NotImplementedError(f"\"{name}_cpu_out\" not implemented for 'Bool'")
    if dtype.itemsize == 2 and dtype.kind in "fV":  # rounded once, as in torch
        input, x, y = (in_dtype(each, dtypes.float32.numpy) for each in (input, x, y))
        return in_dtype(_added(name, input, x, y, value, combine), dtype)
    value = number_of(value, dtype)  # as torch has it: without the fraction
    made = combine(*(in_dtype(each, dtype) for each in (x, y)))
    return e.add(input, made if value == 1 else times(value, made, input, name))


# -- powers ----------------------------------------------------------------------------------------------------------


@op(inplace=True, out=True)
def ldexp(input: Tensor, other: Tensor) -> Any:
    """Multiply by two to the power of `other`."""
    need_tensor(input, "ldexp")
    need_tensor(other, "ldexp", "other")
    return e.ldexp(input, other)


@op(out="exact")
def float_power(input: Any, exponent: Any) -> Any:
    """Raise to the power of `exponent` in float64, complex numbers in complex128; one of the two may be a number."""
    x, y = operand(input), operand(exponent)
    if y is NotImplemented:
        raise not_a_tensor("float_power", "exponent", 2, exponent)
    if x is NotImplemented or not (isinstance(x, Value) or isinstance(y, Value)):
        raise not_a_tensor("float_power", "input", 1, input)
    dtype = dtypes.complex128 if promoted(x, y).kind == "c" else dtypes.float64
    return pow(*(in_dtype(each, dtype.numpy) if isinstance(each, Value) else each for each in (x, y)))


_float_power_inplace = inplace(float_power, "float_power_")


def _float_power_(self: Tensor, exponent: Any) -> Any:
    """The in-place form of `float_power`. Raises RuntimeError unless the tensor has the dtype of the result."""
    given = operand(exponent)
    if given is NotImplemented:
        raise not_a_tensor("float_power_", "exponent", 1, exponent)
    wide = dtypes.complex128 if promoted(self, given).kind == "c" else dtypes.float64
    have = dtypes.of(self._array.dtype)
    if have is not wide:
        raise RuntimeError(
            f"the base given to float_power_ has dtype {have._title} but the operation's result requires dtype "
            f"{wide._title}"
        )
    return _float_power_inplace(self, exponent)


methods["float_power_"] = _float_power_
