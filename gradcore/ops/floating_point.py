"""Signs, whole parts and what is no number, as torch spells them. It must not know any derivative."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.ops.arguments import need_tensor, not_a_tensor
from gradcore.ops.direct import public
from gradcore.ops.numbers import full, promoted
from gradcore.ops.registry import op
from gradcore.ops.return_types import return_type
from gradcore.primitives import floating_point as p
from gradcore.primitives.conversion import copy
from gradcore.recorder import renamed
from gradcore.recorder.record import operand
from gradcore.recorder.value import Value

if TYPE_CHECKING:
    from gradcore.tensor import Tensor

frac = public(p.frac, "frac")
fmax = public(p.fmax, "fmax", inplace=False, numbers="neither")
fmin = public(p.fmin, "fmin", inplace=False, numbers="neither")
nextafter = public(p.nextafter, "nextafter", numbers="neither")

_copysign_number = renamed(p.copysign, "CopysignBackward1")


@op(inplace=True, out=True)
def copysign(input: Tensor, other: Any) -> Any:
    """Return `input` with the signs of `other`, a tensor or a number."""
    need_tensor(input, "copysign")
    if isinstance(other, Value):
        return p.copysign(input, other)
    number = operand(other)
    if not isinstance(number, (bool, int, float)):
        raise not_a_tensor("copysign", "other", 2, other)
    return _copysign_number(input, full(float(number), input, promoted(input, float(number))))


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


_Frexp = return_type("frexp", "mantissa", "exponent")


@op(out="exact")
def frexp(input: Tensor) -> Any:
    """Return mantissas in [0.5, 1) and int32 exponents of two with mantissa * 2**exponent = input.

    Raises RuntimeError for what is no floating-point number.
    """
    need_tensor(input, "frexp")
    if input._array.dtype.kind not in "fV":
        raise RuntimeError("torch.frexp() only supports floating-point dtypes")
    return _Frexp(p.frexp(input))
