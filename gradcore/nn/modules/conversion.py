"""Modules whose parameters and buffers change their dtype and their device together. It must not know any layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Self

from gradcore import devices, dtypes
from gradcore.graph.modes import no_grad
from gradcore.nn.parameter import Parameter
from gradcore.tensor import Tensor

Dtype = dtypes.dtype


class Convertible:
    """What owns parameters, buffers and modules, and can convert and move them."""

    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    children: Callable[[], Iterator[Any]]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Replace the values of all parameters, their gradients and all buffers by what `fn` makes of them."""
        if recurse:
            for module in self.children():
                module._apply(fn, recurse)
        with no_grad():
            for parameter in self._parameters.values():
                if parameter is not None:
                    gradient = parameter.grad
                    parameter.data = fn(parameter)
                    if gradient is not None:
                        gradient.data = fn(gradient)
            for name, buffer in self._buffers.items():
                if buffer is not None:
                    self._buffers[name] = fn(buffer)
        return self

    def _floating(self, dtype: Dtype) -> Self:
        return self._apply(lambda t: t.to(dtype) if t.is_floating_point() else t)

    def float(self) -> Self:
        """Convert all floating parameters and buffers to float32."""
        return self._floating(dtypes.float32)

    def double(self) -> Self:
        """Convert all floating parameters and buffers to float64."""
        return self._floating(dtypes.float64)

    def half(self) -> Self:
        """Convert all floating parameters and buffers to float16."""
        return self._floating(dtypes.float16)

    def bfloat16(self) -> Self:
        """Convert all floating parameters and buffers to bfloat16."""
        return self._floating(dtypes.bfloat16)

    def type(self, dst_type: Any) -> Self:
        """Convert all parameters and buffers to a dtype."""
        return self._apply(lambda t: t.type(dst_type))

    def cpu(self) -> Self:
        """Move all parameters and buffers to the host."""
        return self._apply(lambda t: t.cpu())

    def cuda(self, device: Any = None) -> Self:
        """Move all parameters and buffers to a CUDA device."""
        return self._apply(lambda t: t.cuda(device))

    def to_empty(self, *, device: Any, recurse: bool = True) -> Self:
        """Move all parameters and buffers to a device without their values."""
        return self._apply(lambda t: t.new_empty(t.shape, device=device), recurse)

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Move and convert all parameters and buffers: `to(device, dtype)`, `to(dtype)`, `to(tensor)`.

        Only floating and complex ones change their dtype. Raises TypeError for other dtypes than those.
        """
        device, dtype = _parsed(*args, **kwargs)
        if dtype is not None and not (dtype.is_floating_point or dtype.is_complex):
            raise TypeError(f"nn.Module.to only accepts floating point or complex dtypes, but got desired dtype={dtype}")

        def convert(t: Tensor) -> Tensor:
            return t.to(device, dtype if t.is_floating_point() or t.is_complex() else None)  # type: ignore[no-any-return]

        return self._apply(convert)

    def share_memory(self) -> Self:
        """Return the module: its arrays are shared by all threads of the process, which is all there is."""
        return self


def _parsed(*args: Any, **kwargs: Any) -> tuple[Any, Dtype | None]:
    """The device and the dtype among the arguments of `to`."""
    device, dtype = kwargs.get("device"), kwargs.get("dtype")
    wrong = kwargs.keys() - {"device", "dtype", "tensor", "non_blocking", "memory_format"}
    for position, each in enumerate((*args, *((kwargs["tensor"],) if "tensor" in kwargs else ()))):
        if isinstance(each, Tensor) and position == 0:
            device, dtype = each.device, each.dtype
        elif isinstance(each, Dtype) and position < 2:
            dtype = each
        elif isinstance(each, (str, int, devices.device)) and not isinstance(each, bool) and position == 0:
            device = each
        elif each is not None and not isinstance(each, bool):
            wrong.add(repr(each))
    if wrong:
        raise TypeError(
            f"to() received an invalid combination of arguments ({', '.join(sorted(wrong))}), but expected "
            "to(device, dtype), to(dtype) or to(tensor)"
        )
    return device, None if dtype is None else dtypes.as_dtype(dtype, op="to")
