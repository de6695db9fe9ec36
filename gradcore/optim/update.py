"""Rules that move parameters, run on the arrays of tensors. It must not know any optimizer.

A rule is a function of a backend and arrays of one shape: the gradient, the parameter, and the optimizer's state, of which
it changes all but the first, in place, element by element. So it may be run on a block at a time that stays in the
processor's cache, on the real and the imaginary parts, on a device, where it becomes one kernel for all parameters, or, if
the steps themselves are to be differentiated, on Tensors.
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
# What waits to be run on devices, by what may go together.
Waiting = dict[tuple[Any, ...], list[list[Any]]]

SMALL = 1 << 12  # elements that no block is made of


class OnTensors:
    """The functions that rules use, of Tensors."""

    sqrt, absolute, sign, clip, maximum = map(staticmethod, (sqrt, absolute, sign, clamp, maximum))


def update(rule: Rule, tensors: tuple[Tensor, ...], numbers: dict[str, Any], waiting: Waiting) -> None:
    """Run `rule` with `numbers`, at once on the host; on a device it waits for others like it, see `run`.

    A number may be a tensor of the device that the others are on. Raises RuntimeError for tensors of several shapes.
    """
    arrays = [each._array for each in tensors]
    array = arrays[0]
    if type(array) is host.Array:
        try:
            if array.size < SMALL and array.dtype.kind != "c":
                rule(host, *arrays, **numbers)
                return
            for part in _real(arrays):
                host.run_rule(rule, (part,), (), numbers)
            return
        except ValueError as error:
            raise RuntimeError(
                f"a parameter of shape {list(array.shape)}, its gradient and state have several shapes: "
                f"{[list(each.shape) for each in arrays[1:]]}. A state_dict must be of an optimizer of the same parameters"
            ) from error
    names = tuple(name for name, number in numbers.items() if isinstance(number, Tensor))
    there = [numbers[name]._array for name in names]
    known = tuple((name, number) for name, number in numbers.items() if name not in names)
    waiting.setdefault((of(array), rule, len(arrays), names, known), []).extend([*part, *there] for part in _real(arrays))


def run(waiting: Waiting) -> None:
    """Run what waits, in the order in which it came, and let nothing wait any more."""
    while waiting:
        key = next(iter(waiting))
        F, rule, _, names, known = key
        F.run_rule(rule, waiting.pop(key), names, dict(known))


def _real(arrays: list[Any]) -> list[list[Any]]:
    """The arrays, or the parts of complex ones."""
    dtype = arrays[-1].dtype
    if dtype.kind != "c":
        return [arrays]
    if all(each.flags.c_contiguous for each in arrays):
        return [[each.reshape(-1).view(dtype.char.lower()) for each in arrays]]
    return [[each.real for each in arrays], [each.imag for each in arrays]]


def overwritten(p: Tensor, name: str) -> None:
    """Note that the operation `name` has overwritten a parameter."""
    bump(p, name)


def recorded(rule: Rule, tensors: tuple[Tensor, ...], numbers: dict[str, Any]) -> None:
    """Run `rule` with `numbers` on the tensors themselves, so that autograd records it."""
    rule(OnTensors, *tensors, **numbers)
