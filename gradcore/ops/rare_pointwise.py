"""Pointwise functions that few programs use, as torch spells them. It must not know any derivative."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.ops.arguments import need_tensor
from gradcore.ops.direct import not_a_tensor, public
from gradcore.ops.numbers import full, promoted, times
from gradcore.ops.registry import functions, op
from gradcore.primitives import elementwise as e
from gradcore.primitives import rare_pointwise as p
from gradcore.primitives.conversion import copy
from gradcore.recorder import renamed
from gradcore.recorder.record import operand
from gradcore.recorder.value import Value

if TYPE_CHECKING:
    from gradcore.tensor import Tensor

asinh = public(p.arcsinh, "asinh", "arcsinh")
acosh = public(p.arccosh, "acosh", "arccosh")
atanh = public(p.arctanh, "atanh", "arctanh")
exp2 = public(p.exp2, "exp2", "special.exp2")
sinc = public(p.sinc, "sinc", "special.sinc")
frac = public(p.frac, "frac")
hypot = public(p.hypot, "hypot", numbers="neither")
logaddexp = public(p.logaddexp, "logaddexp", inplace=False, numbers="neither")
logaddexp2 = public(p.logaddexp2, "logaddexp2", inplace=False, numbers="neither")
fmax = public(p.fmax, "fmax", inplace=False, numbers="neither")
fmin = public(p.fmin, "fmin", inplace=False, numbers="neither")


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


# torch names the node by which operand is a number.
_xlogy = {
    (True, True): p.xlogy,
    (False, True): renamed(p.xlogy, "XlogyBackward1"),
    (True, False): renamed(p.xlogy, "XlogyBackward2"),
}


@op(inplace=True, out=True)
def xlogy(input: Any, other: Any) -> Any:
    """Multiply by the logarithm of `other`: 0 where `input` is 0, whatever `other` but NaN; one may be a number."""
    x, y = operand(input), operand(other)
    if y is NotImplemented:
        raise not_a_tensor("xlogy", "other", 2, other)
    if x is NotImplemented or not (isinstance(x, Value) or isinstance(y, Value)):
        raise not_a_tensor("xlogy", "input", 1, input)
    kind = (isinstance(x, Value), isinstance(y, Value))
    dtype = promoted(x, y)
    return _xlogy[kind](full(x, y, dtype) if not kind[0] else x, full(y, x, dtype) if not kind[1] else y)


functions["special"]["xlogy"] = functions[""]["xlogy"]


@op(inplace=True, out=True)
def logit(input: Tensor, eps: float | None = None) -> Any:
    """Return log(x / (1 - x)), of `input` kept within [eps, 1 - eps] if that is given."""
    need_tensor(input, "logit")
    return p.logit(input, eps=None if eps is None or eps < 0 else eps)


functions["special"]["logit"] = functions[""]["logit"]

_copysign_number = renamed(p.copysign, "CopysignBackward1")


@op(inplace=True, out=True)
def copysign(input: Tensor, other: Any) -> Any:
    """Return `input` with the signs of `other`, a tensor or a number."""
    need_tensor(input, "copysign")
    if isinstance(other, Value):
        return p.copysign(input, other)
    if not isinstance(other, (bool, int, float)):
        raise not_a_tensor("copysign", "other", 2, other)
    return _copysign_number(input, full(float(other), input, promoted(input, float(other))))


@op(inplace=True, out="exact")
def nan_to_num(input: Tensor, nan: float | None = None, posinf: float | None = None, neginf: float | None = None) -> Any:
    """Replace NaN by `nan` (0) and infinities by `posinf` and `neginf` (the largest and lowest finite number)."""
    need_tensor(input, "nan_to_num")
    dtype = dtypes.of(input._array.dtype)
    if not (dtype.is_floating_point or dtype.is_complex):
        return copy(input)
    limits = dtypes.finfo(dtype)
    return p.nan_to_num(
        input,
        nan=0.0 if nan is None else nan,
        posinf=limits.max if posinf is None else posinf,
        neginf=limits.min if neginf is None else neginf,
    )


# -- of three ------------------------------------------------------------------------------------------------

_lerp = {False: p.lerp, True: renamed(p.lerp, "LerpBackward1")}


@op(inplace=True, out=True)
def lerp(input: Tensor, end: Tensor, weight: Any) -> Any:
    """Return input + weight * (end - input), broadcast; `weight` is a tensor or a number.

    Raises RuntimeError unless all tensors have one dtype, NotImplementedError for integers.
    """
    need_tensor(input, "lerp")
    need_tensor(end, "lerp", "end")
    dtype = input._array.dtype
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
    made = combine(x, y)
    kind = promoted(input, x, y).kind
    if kind == "b":
        raise NotImplementedError(f"\"{name}_cpu_out\" not implemented for 'Bool'")
    value = int(value) if kind in "iu" else value  # as torch has it: without the fraction
    return e.add(input, made if value == 1 else times(value, made, input, name))


