"""torch.autograd.forward_ad: dual numbers made and taken apart by the user. It must not know any operation.

Levels nest, which torch's do not: a dual number of one may hold dual numbers of those around it.
"""

from __future__ import annotations

import threading
from contextlib import ContextDecorator
from typing import Any, NamedTuple

from gradcore.recorder.value import Value
from gradcore.tensor import Tensor
from gradcore.transforms import lifted
from gradcore.transforms.crossings import holds, pair, primal_part, tangent_part
from gradcore.transforms.derivatives import cast_like, check_tangent
from gradcore.transforms.lifted import Frame, Lifted
from gradcore.transforms.tangents import Dual

__all__ = ["UnpackedDualTensor", "dual_level", "enter_dual_level", "exit_dual_level", "make_dual", "unpack_dual"]


class UnpackedDualTensor(NamedTuple):
    """What `unpack_dual` returns: the primal, and the tangent or None."""

    primal: Tensor
    tangent: Tensor | None


class _Levels(threading.local):
    def __init__(self) -> None:
        self.entered: list[Frame] = []


_levels = _Levels()


def enter_dual_level() -> int:
    """Begin a level of forward mode and return its number."""
    frame = Frame(exports=True)  # as in torch
    lifted.enter(frame)
    _levels.entered.append(frame)
    return len(_levels.entered) - 1


def exit_dual_level(*, level: int | None = None) -> None:
    """End the newest level. Raises RuntimeError if there is none, or if `level` is another."""
    last = len(_levels.entered) - 1
    if level is not None and level != last:
        raise RuntimeError(
            "Trying to exit a forward AD level that was not the last one that was created. This is not supported."
        )
    if last < 0:
        raise RuntimeError("Dual level must be a positive number.")
    lifted.leave(_levels.entered.pop())


class dual_level(ContextDecorator):
    """A block that is a level of forward mode: what `make_dual` makes in it carries its tangent to results."""

    def __enter__(self) -> int:
        return enter_dual_level()

    def __exit__(self, *exception: object) -> None:
        exit_dual_level()


def _frame(level: int | None) -> Frame | None:
    entered = _levels.entered
    if level is None:
        return entered[-1] if entered else None
    return entered[level] if 0 <= level < len(entered) else None


def _is_dual(tensor: Value, frame: Frame) -> bool:
    array: Any = tensor._array
    while isinstance(array, Lifted) and array.frame is not frame:
        array = array.plain
    return isinstance(array, Dual) and array.tangent is not None


def make_dual(tensor: Any, tangent: Any, *, level: int | None = None) -> Any:
    """Return `tensor`, sharing its memory, with `tangent`, of its shape, to be carried along.

    Raises RuntimeError outside any level, for another shape and if one of the two has a tangent there; ValueError for
    integers.
    """
    frame = _frame(level)
    if frame is None:
        raise RuntimeError(
            "Trying to create a dual Tensor for forward AD but no level exists, make sure to enter_dual_level() first."
        )
    for name, x in (("tensor", tensor), ("tangent", tangent)):
        if not isinstance(x, Value):
            raise TypeError(f"make_dual(): argument '{name}' must be a Tensor, not {type(x).__name__}")
    check_tangent(tensor, tangent)
    if _is_dual(tangent, frame):
        raise RuntimeError(
            "Setting a forward grad that itself has a forward gradient at the same level "
            f"{_levels.entered.index(frame)} is not supported."
        )
    primal = primal_part(tensor, frame=frame) if holds(tensor, frame) else tensor
    if _is_dual(tensor, frame):
        raise RuntimeError(
            "Making a dual Tensor based on a Tensor that already has a forward gradient at the same level "
            f"{_levels.entered.index(frame)} is not supported."
        )
    made = pair(primal, cast_like(tangent, tensor), frame=frame)
    made._array.given = tangent
    return made


def unpack_dual(tensor: Any, *, level: int | None = None) -> UnpackedDualTensor:
    """Return the primal of `tensor` and its tangent, None if it has none."""
    frame = _frame(level)
    if frame is None or not isinstance(tensor, Value) or not holds(tensor, frame):
        return UnpackedDualTensor(tensor, None)
    array: Any = tensor._array
    tangent: Any = array.given if isinstance(array, Dual) and array.frame is frame else None
    if tangent is None or array.tangent is not tangent._array:
        tangent = tangent_part(tensor, frame=frame) if _is_dual(tensor, frame) else None
    return UnpackedDualTensor(primal_part(tensor, frame=frame), tangent)
