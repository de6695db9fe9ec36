"""torch's typed constructors, `FloatTensor` and its kin: a dtype and a place that make tensors. It must not
know any mathematics."""

from __future__ import annotations

from typing import Any, Final

from gradcore import devices, dtypes
from gradcore.ops import creation, filling
from gradcore.ops.registry import functions, op
from gradcore.primitives.conversion import alias
from gradcore.recorder.value import Value
from gradcore.size import Size


class TensorType:
    """`LongTensor([1, 2])` makes a tensor of these numbers, `LongTensor(2, 3)` an uninitialised one of this
    shape.

    `isinstance` tells tensors of this dtype and device type.
    """

    def __init__(self, dtype: dtypes.dtype, device: str) -> None:
        self.dtype = dtype
        self.device = device
        place = "torch.cuda" if device == "cuda" else "torch"
        self.name = f"{place}.{dtype._title}Tensor"
        self.__name__ = self.__qualname__ = f"{dtype._title}Tensor"
        self.__module__ = "gradcore.cuda" if device == "cuda" else "gradcore"

    def __reduce__(self) -> str:
        return self.__name__

    def __call__(self, *args: Any, size: Any = None, device: Any = None) -> Any:
        where = self.device if device is None else device
        if size is not None:
            args = (Size(size),)
        alone = len(args) == 1 and not isinstance(args[0], Size)
        if alone and isinstance(args[0], Value):
            return self._alias(args[0], devices.device(where).type)
        if alone and hasattr(args[0], "__len__"):
            return creation.finished(creation.converted(args[0], self.dtype, where, copy=True))
        if alone and not hasattr(args[0], "__index__"):
            raise TypeError(f"new(): data must be a sequence (got {type(args[0]).__name__})")
        return filling.empty(*(args or (0,)), dtype=self.dtype, device=where)

    def _alias(self, x: Any, place: str) -> Any:
        """`x` in the same memory, if it is of this kind."""
        if x.dtype is not self.dtype or x.device.type != place:
            raise TypeError(f"expected a tensor of {self.dtype} on {place} (got {x.dtype} on {x.device}): use .to()")
        return alias(x)

    def __instancecheck__(self, instance: Any) -> bool:
        return isinstance(instance, Value) and instance.type() == self.name  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        return f"<class '{self.name}'>"


_NAMED: Final = (
    dtypes.float32,
    dtypes.float64,
    dtypes.float16,
    dtypes.bfloat16,
    dtypes.uint8,
    dtypes.int8,
    dtypes.int16,
    dtypes.int32,
    dtypes.int64,
    dtypes.bool,
)
on_cpu: Final = {f"{d._title}Tensor": TensorType(d, "cpu") for d in _NAMED}
on_cuda: Final = {f"{d._title}Tensor": TensorType(d, "cuda") for d in _NAMED}
functions[""].update(on_cpu)


@op(function=False)
def new(input: Any, *args: Any, device: Any = None) -> Any:
    """Return a tensor with this one's dtype and device: of a shape, uninitialised, or of a sequence."""
    return TensorType(input.dtype, "cpu")(*args, device=input.device if device is None else device)


def converted(x: Any, kind: Any) -> Any:
    """Return `x` as `x.type(kind)` does: a dtype, a typed constructor or its name. Raises ValueError for
    others."""
    if isinstance(kind, str):
        place, _, name = kind.rpartition(".")
        known = {"torch": on_cpu, "torch.cuda": on_cuda}.get(place, {})
        if name not in known:
            raise ValueError(f"invalid type: '{kind}'")
        kind = known[name]
    if isinstance(kind, TensorType):
        return x.to(devices.device(kind.device), kind.dtype)
    return x.to(dtypes.as_dtype(kind, op="type"))
