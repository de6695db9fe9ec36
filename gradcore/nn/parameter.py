"""Tensors that a module owns: parameters, which are trained, and buffers, which are not. It must not know any module."""

from __future__ import annotations

from typing import Any

from gradcore.ops.filling import empty
from gradcore.recorder import take_plainly
from gradcore.tensor import Tensor

__all__ = ["Buffer", "Parameter"]


@take_plainly
class Parameter(Tensor):
    """A tensor that a module lists among its parameters when it is assigned to an attribute.

    It shares the memory of `data` and, unless told otherwise, requires a gradient. Raises RuntimeError for integers that
    should require one.
    """

    __slots__ = ()

    def __new__(cls, data: Any = None, requires_grad: bool = True) -> Parameter:
        made: Parameter = _shared(cls, data)
        if requires_grad and not (made.is_floating_point() or made.is_complex()):
            raise RuntimeError(
                "Only Tensors of floating point and complex dtype can require gradients (a Parameter of shape "
                f"{list(made.shape)} and {made.dtype} needs requires_grad=False)"
            )
        made.requires_grad_(requires_grad)
        return made

    def __repr__(self) -> str:  # type: ignore[override]
        return f"Parameter containing:\n{super().__repr__()}"


@take_plainly
class Buffer(Tensor):
    """A tensor that a module lists among its buffers; in its state_dict only if `persistent`."""

    __slots__ = ()

    persistent: bool

    def __new__(cls, data: Any = None, *, persistent: bool = True) -> Buffer:
        made: Buffer = _shared(cls, data)
        made.persistent = persistent
        return made


def _shared(cls: type, data: Any) -> Any:
    return (empty(0) if data is None else data).detach().as_subclass(cls)
