"""Tensors as what they are not: numbers, lists, NumPy's arrays, other libraries' arrays. It must not know any
derivative."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradcore.backends import of
from gradcore.graph import modes
from gradcore.ops import typed
from gradcore.ops.registry import methods
from gradcore.recorder.caller import warn_once
from gradcore.recorder.value import wrap

if TYPE_CHECKING:
    from gradcore.tensor import Tensor


def item(self: Tensor) -> Any:
    """The only element as a Python number. Raises RuntimeError if there is not exactly one."""
    if self._array.size != 1:
        raise RuntimeError(f"a Tensor with {self._array.size} elements cannot be converted to Scalar")
    return self._array.item()


def tolist(self: Tensor) -> Any:
    """The elements as nested lists of Python numbers; a number if 0-d."""
    return of(self._array).to_host(self._array).tolist()


def numpy(self: Tensor, *, force: bool = False) -> Any:
    """The NumPy array itself, sharing memory. With `force`, a detached copy from wherever it is.

    Raises RuntimeError if it requires grad, outside `no_grad`, or has a tangent; TypeError if it is on a CUDA device. In
    `vmap` it is asked for by each slice.
    """
    if not force:
        if self.requires_grad and modes.is_grad_enabled():
            raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
        if not self.is_cpu:
            raise TypeError(
                f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() to copy the tensor to "
                "host memory first."
            )
    array = self._array
    while hasattr(array, "exported"):  # of a transform
        array = array.exported()
    F = of(array)
    return F.to_host(array) if force else F.writable(array)  # also of a view that repeats elements


def __array__(self: Tensor, dtype: Any = None, copy: bool | None = None) -> Any:
    array = self.numpy()
    if dtype is not None and dtype != array.dtype:
        return array.astype(dtype)
    return array.copy() if copy else array


def __array_wrap__(self: Tensor, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
    """What a NumPy function on this tensor returns: a Tensor, without history."""
    return wrap(of(array).as_array(array))


def __dlpack__(self: Tensor, **options: Any) -> Any:
    if self.requires_grad:
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
    stream = options.get("stream")
    if stream is not None and not isinstance(stream, int):
        raise TypeError(f"stream must be ``int`` or ``none``, not {stream.__class__.__name__} (__dlpack__)")
    if stream is not None and self.is_cpu:
        raise AssertionError(f"stream should be None on cpu. (__dlpack__ got {stream})")
    from gradcore.ops.capsules import given

    return given(self._array, **options)


def __dlpack_device__(self: Tensor) -> Any:
    return self._array.__dlpack_device__()


def _cuda_array_interface(self: Tensor) -> Any:
    if not self.is_cuda:
        raise AttributeError(
            "Can't get __cuda_array_interface__ on non-CUDA tensor type: "
            f"{self.type()}. Use tensor.cuda() to copy it to a device."
        )
    if self.requires_grad:
        raise RuntimeError(
            "Can't get __cuda_array_interface__ on Variable that requires grad. If gradients aren't required, use "
            "var.detach() to get Variable that doesn't require grad."
        )
    return self._array.__cuda_array_interface__


def type(self: Tensor, dtype: Any = None) -> Any:
    """torch's name of dtype and device ("torch.FloatTensor"), or the tensor converted to `dtype`."""
    if dtype is not None:
        return typed.converted(self, dtype)
    place = "torch.cuda" if self.is_cuda else "torch"
    return f"{place}.{self.dtype._title}Tensor"


def __bool__(self: Tensor) -> bool:
    if self._array.size != 1:
        raise RuntimeError(
            "Boolean value of Tensor with "
            + ("no values" if self._array.size == 0 else "more than one value")
            + f" is ambiguous (shape {list(self._array.shape)})"
        )
    return bool(self._array.item())


def _only(self: Tensor) -> Any:
    if self._array.size != 1:
        raise ValueError(
            f"only one element tensors can be converted to Python scalars (this one has shape {list(self._array.shape)})"
        )
    return self.item()


def _leave_the_graph(self: Tensor) -> None:
    if modes.is_grad_enabled() and self.requires_grad:
        warn_once(
            "Converting a tensor with requires_grad=True to a scalar may lead to unexpected behavior.\nConsider using "
            "tensor.detach() first."
        )


def __float__(self: Tensor) -> float:
    _leave_the_graph(self)
    return float(_real(self, "double"))


def __int__(self: Tensor) -> int:
    return int(_real(self, "int64_t"))


def _real(self: Tensor, kind: str) -> Any:
    number = _only(self)
    if not isinstance(number, complex):
        return number
    if number.imag:
        raise RuntimeError(f"value cannot be converted to type {kind} without overflow ({number})")
    return number.real


def __complex__(self: Tensor) -> complex:
    _leave_the_graph(self)
    return complex(_only(self))


def __index__(self: Tensor) -> int:
    if self._array.dtype.kind not in "biu" or self._array.size != 1:
        raise TypeError("only integer tensors of a single element can be converted to an index")
    return int(self.item())


for _function in (
    item,
    tolist,
    numpy,
    __array_wrap__,
    __dlpack__,
    __dlpack_device__,
    __bool__,
    __float__,
    __int__,
    __complex__,
    __index__,
    __array__,
    type,
):
    methods[_function.__name__] = _function

methods["__cuda_array_interface__"] = property(_cuda_array_interface)  # type: ignore[assignment]
