"""torch.autograd.Variable, the name that tensors with a gradient had once. It must not know any operation."""

from __future__ import annotations

from typing import Any, NoReturn

from gradcore import dtypes
from gradcore.backends import numpy as host
from gradcore.recorder.value import wrap
from gradcore.tensor import Tensor


class _VariableMeta(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor)


class Variable(metaclass=_VariableMeta):
    """`Variable(tensor)` is a tensor without a history that shares the memory; every Tensor is an instance."""

    def __new__(cls, data: Any = None, requires_grad: bool = False) -> Any:
        """Return the tensor. Raises TypeError unless `data` is a Tensor, RuntimeError for gradients of integers."""
        if data is None:
            data = wrap(host.zeros((0,), dtypes.get_default_dtype().numpy))
        if not isinstance(data, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(data).__name__}")
        if requires_grad and data._array.dtype.kind in "biu":
            raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
        return wrap(data._array).requires_grad_(requires_grad)


def variable(*args: Any, **kwargs: Any) -> NoReturn:
    """Raise RuntimeError, as torch's does."""
    raise RuntimeError("torch.autograd.variable(...) is deprecated, use torch.tensor(...) instead")
