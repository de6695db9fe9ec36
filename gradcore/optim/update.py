"""Rules that move parameters, run on the arrays of tensors. It must not know any optimizer.

A rule is a function of a backend and arrays of one shape: the gradient, the parameter, and the optimizer's state, of which
it changes all but the first, in place, element by element. So it may be run on a block at a time that stays in the
processor's cache, on the real and the imaginary parts, on a device, or, if the steps themselves are to be differentiated,
on Tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gradcore.backends import numpy as host
from gradcore.backends import of
from gradcore.ops.pointwise import abs as absolute
from gradcore.ops.pointwise import sqrt
from gradcore.ops.selection import clamp, maximum, sign
from gradcore.recorder.inplace import bump
from gradcore.tensor import Tensor

Rule = Callable[..., None]
BLOCK = 1 << 14


class OnTensors:
    """The functions that rules use, of Tensors."""

    sqrt, absolute, sign, clip, maximum = map(staticmethod, (sqrt, absolute, sign, clamp, maximum))


def update(rule: Rule, gradient: Tensor, parameter: Tensor, *state: Tensor, name: str, **numbers: Any) -> None:
    """Run `rule` with `numbers`, and note that the operation `name` has overwritten the parameter."""
    arrays = [gradient._array, parameter._array, *(each._array for each in state)]
    array = arrays[1]
    if array.dtype.kind == "c":
        rule(of(array), *(each.real for each in arrays), **numbers)
        rule(of(array), *(each.imag for each in arrays), **numbers)
    elif type(array) is host.Array and array.size > BLOCK and all(each.flags.c_contiguous for each in arrays):
        flat = [each.reshape(-1) for each in arrays]
        for start in range(0, array.size, BLOCK):
            rule(host, *[each[start : start + BLOCK] for each in flat], **numbers)
    else:
        rule(of(array), *arrays, **numbers)
    bump(parameter, name)


def recorded(rule: Rule, gradient: Tensor, parameter: Tensor, *state: Tensor, name: str, **numbers: Any) -> None:
    """Run `rule` with `numbers` on the tensors themselves, so that autograd records it."""
    rule(OnTensors, gradient, parameter, *state, **numbers)
