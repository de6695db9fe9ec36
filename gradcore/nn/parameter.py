"""Tensors that a module owns: parameters, which are trained, and buffers, which are not. It must not know any module."""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn

from gradcore import dtypes
from gradcore.devices import device
from gradcore.ops.filling import empty
from gradcore.recorder import take_plainly
from gradcore.recorder.value import Value, wrap
from gradcore.tensor import Tensor

__all__ = ["Buffer", "Parameter", "UninitializedBuffer", "UninitializedParameter", "is_lazy"]


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

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """A parameter with memory of its own; without its gradient and its attributes, as in torch."""
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.data.clone(), self.requires_grad)
        return memo[id(self)]

    def __repr__(self) -> str:  # type: ignore[override]
        return f"Parameter containing:\n{super().__repr__()}"


@take_plainly
class Buffer(Tensor):
    """A tensor that a module lists among its buffers; in its state_dict only if `persistent`."""

    __slots__ = ()

    persistent: bool
    __format__ = Tensor.__format__  # a plain tensor's: in torch it is one

    def __new__(cls, data: Any = None, *, persistent: bool = True) -> Buffer:
        made: Buffer = _shared(cls, data)
        made.persistent = persistent
        return made


def _shared(cls: type, data: Any) -> Any:
    return (empty(0) if data is None else data).detach().as_subclass(cls)


# -- tensors without a shape yet --------------------------------------------------------------------------------------

_array: Any = Value.__dict__["_array"]  # where a value keeps its array; here an empty one, for dtype and device


def _converted(name: str) -> Any:
    def convert(self: UninitializedTensorMixin, *args: Any, **keywords: Any) -> Tensor:
        return getattr(self.data, name)(*args, **keywords)  # type: ignore[no-any-return]

    convert.__name__ = name
    convert.__doc__ = f"Return an empty tensor of the dtype and device that Tensor.{name} gives."
    return convert


class UninitializedTensorMixin:
    """A tensor without shape and values, which has a dtype and a device and will be `cls_to_become`."""

    __slots__ = ()

    cls_to_become: ClassVar[type]

    @property
    def _array(self) -> NoReturn:
        raise ValueError(
            f"Attempted to use an uninitialized parameter (a {type(self).__name__}). A lazy module initializes its own when "
            "it is first called: call it with a batch before its parameters are used"
        )

    @property
    def data(self) -> Tensor:
        """An empty tensor of its dtype, on its device; what is assigned sets these."""
        return wrap(_array.__get__(self))  # type: ignore[no-any-return]

    @data.setter
    def data(self, value: Tensor) -> None:
        _array.__set__(self, value._array)

    @property
    def dtype(self) -> dtypes.dtype:
        """The dtype that it will have."""
        return self.data.dtype

    @property
    def device(self) -> device:
        """Where it will be."""
        return self.data.device

    @property
    def shape(self) -> NoReturn:
        """Nothing yet: raises RuntimeError."""
        raise RuntimeError(
            "Can't access the shape of an uninitialized parameter or buffer. This error usually happens in "
            "`load_state_dict` when trying to load an uninitialized parameter into an initialized one. Call the module to "
            "initialize the parameters before accessing their attributes."
        )

    def detach(self) -> Any:
        """Itself, since there is nothing to detach."""
        return self

    def materialize(self, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Become a tensor of `shape`, with arbitrary values; of its own dtype and device unless told otherwise."""
        self.data = empty(shape, device=device or self.device, dtype=dtype or self.dtype)
        self.__class__ = self.cls_to_become

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.requires_grad, self.device, self.dtype)  # type: ignore[call-arg, attr-defined]
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> Any:
        return type(self), (self.requires_grad, self.device, self.dtype)  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    to, half, float, double, bfloat16, cpu, cuda, type = map(
        _converted, "to half float double bfloat16 cpu cuda type".split()
    )


class UninitializedParameter(UninitializedTensorMixin, Parameter):  # type: ignore[misc]
    """A parameter whose shape a lazy module finds when it is first called."""

    __slots__ = ()

    cls_to_become = Parameter

    def __new__(cls, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> UninitializedParameter:
        made: Any = Parameter(empty(0, device=device, dtype=dtype), requires_grad)
        made.__class__ = cls
        return made  # type: ignore[no-any-return]


class UninitializedBuffer(UninitializedTensorMixin, Tensor):  # type: ignore[misc]
    """A buffer whose shape a lazy module finds when it is first called."""

    __slots__ = ()

    cls_to_become = Tensor

    def __new__(cls, requires_grad: bool = False, device: Any = None, dtype: Any = None) -> UninitializedBuffer:
        made: Any = empty(0, device=device, dtype=dtype, requires_grad=requires_grad)
        made.__class__ = cls
        return made  # type: ignore[no-any-return]


def is_lazy(param: Any) -> bool:
    """Whether it is a parameter or buffer without a shape yet."""
    return isinstance(param, UninitializedTensorMixin)
