"""Convolutions as modules. They must not know any derivative."""

from __future__ import annotations

import math
from typing import Any

from gradcore.nn import functional as F
from gradcore.nn import init
from gradcore.nn.modules.module import Module
from gradcore.nn.parameter import Parameter
from gradcore.ops.filling import empty
from gradcore.tensor import Tensor

PADDING_MODES = {"zeros", "reflect", "replicate", "circular"}


def repeated(value: Any, times: int) -> tuple[Any, ...]:
    """A tuple as it is, a number for each dimension."""
    return tuple(value) if isinstance(value, (tuple, list)) else (value,) * times


class _Convolution(Module):
    """Filters, and how they go over the input. First weights are uniform in ±1/sqrt(fan in)."""

    dimensions: int
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: Any
    dilation: tuple[int, ...]
    output_padding: tuple[int, ...]
    weight: Parameter
    bias: Parameter | None

    def _set_up(self, channels: tuple[int, int], bias: bool, mode: str, transposed: bool, **sizes: Any) -> None:
        """Keep the settings, sizes one for each dimension, and draw the weights. Raises ValueError for what cannot be."""
        device, dtype = sizes.pop("device"), sizes.pop("dtype")
        groups = sizes.pop("groups")
        _check_channels(*channels, groups)
        self.in_channels, self.out_channels = channels
        for name, size in sizes.items():
            setattr(self, name, size if isinstance(size, str) else repeated(size, self.dimensions))
        self.transposed = transposed
        self.groups = groups
        self.padding_mode = mode
        _check_padding(self.padding, self.stride, mode)
        self.weight = Parameter(empty(self._weight_shape(), device=device, dtype=dtype))
        self.register_parameter("bias", Parameter(empty(channels[1], device=device, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def _weight_shape(self) -> tuple[int, ...]:
        first, second = self.out_channels, self.in_channels
        if self.transposed:
            first, second = second, first
        return (first, second // self.groups, *self.kernel_size)

    def reset_parameters(self) -> None:
        """Draw the weights anew."""
        reset(self.weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes, and what is not as usual."""
        return shown(self)


class _ConvNd(_Convolution):
    """The cross-correlation of (N, in_channels, *) with `out_channels` filters. Raises ValueError for what cannot be."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self._set_up(
            (in_channels, out_channels), bias, padding_mode, False, kernel_size=kernel_size, stride=stride,
            padding=padding, dilation=dilation, output_padding=0, groups=groups, device=device, dtype=dtype,
        )  # fmt: skip

    def forward(self, input: Tensor) -> Tensor:
        """The convolution of `input`."""
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            input, padding = F.pad(input, self._margins(), mode=self.padding_mode), 0
        convolve = (F.conv1d, F.conv2d, F.conv3d)[self.dimensions - 1]
        return convolve(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def _margins(self) -> list[int]:
        """The padding as F.pad takes it: of the last dimension first, before and after."""
        if self.padding == "valid":
            return [0] * (2 * self.dimensions)
        if self.padding == "same":
            sums = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
            return [side for total in reversed(sums) for side in (total // 2, total - total // 2)]
        return [int(p) for p in reversed(self.padding) for _ in range(2)]


class _ConvTransposeNd(_Convolution):
    """The gradient of a cross-correlation with respect to its input, as a map of its own, of (N, in_channels, *)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {type(self).__name__}')
        super().__init__()
        self._set_up(
            (in_channels, out_channels), bias, padding_mode, True, kernel_size=kernel_size, stride=stride,
            padding=padding, dilation=dilation, output_padding=output_padding, groups=groups, device=device, dtype=dtype,
        )  # fmt: skip

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        """The transposed convolution of `input`, of the size `output_size` where several are possible."""
        more = self.output_padding if output_size is None else self._more(input, list(output_size))
        convolve = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[self.dimensions - 1]
        return convolve(input, self.weight, self.bias, self.stride, self.padding, more, self.groups, self.dilation)

    def _more(self, input: Tensor, wanted: list[int]) -> list[int]:
        """The output padding that gives the output the size wanted. Raises ValueError if there is none."""
        n = self.dimensions
        leading = input.ndim - n
        if len(wanted) == leading + n:
            wanted = wanted[leading:]
        if len(wanted) != n:
            raise ValueError(
                f"ConvTranspose{n}D: for {input.ndim}D input, output_size must have {n} or {leading + n} elements (got "
                f"{len(wanted)})"
            )
        least = [
            (size - 1) * stride - 2 * padding + dilation * (kernel - 1) + 1
            for size, stride, padding, dilation, kernel in zip(
                input.shape[leading:], self.stride, self.padding, self.dilation, self.kernel_size, strict=True
            )
        ]
        more = [have - size for have, size in zip(wanted, least, strict=True)]
        if any(not 0 <= extra < stride for extra, stride in zip(more, self.stride, strict=True)):
            most = [size + stride - 1 for size, stride in zip(least, self.stride, strict=True)]
            raise ValueError(
                f"requested an output size of {wanted}, but valid sizes range from {least} to {most} (for an input of "
                f"{tuple(input.shape[2:])})"
            )
        return more


def _check_channels(in_channels: int, out_channels: int, groups: int) -> None:
    if groups <= 0:
        raise ValueError("groups must be a positive integer")
    for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
        if channels % groups:
            raise ValueError(f"{name} must be divisible by groups")


def _check_padding(padding: Any, stride: tuple[int, ...], mode: str) -> None:
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise ValueError(f"Invalid padding string {padding!r}, should be one of 'same', 'valid'")
        if padding == "same" and any(s != 1 for s in stride):
            raise ValueError("padding='same' is not supported for strided convolutions")
    if mode not in PADDING_MODES:
        raise ValueError(f"padding_mode must be one of {sorted(PADDING_MODES)}, but got padding_mode={mode!r}")


def reset(weight: Parameter, bias: Parameter | None) -> None:
    """Draw the weights of a convolution."""
    init.kaiming_uniform_(weight, a=math.sqrt(5))
    if bias is not None:
        fan_in, _ = init._calculate_fan_in_and_fan_out(weight)
        if fan_in:
            bound = 1 / math.sqrt(fan_in)
            init.uniform_(bias, -bound, bound)


def shown(module: Any) -> str:
    """The settings of a convolution as its repr shows them."""
    settings = [str(module.in_channels), str(module.out_channels)]
    settings += [f"{name}={getattr(module, name)}" for name in ("kernel_size", "stride")]
    for name, usual in (("padding", 0), ("dilation", 1), ("output_padding", 0)):
        value = getattr(module, name)
        if value != (usual,) * len(value):
            settings.append(f"{name}={value}")
    if module.groups != 1:
        settings.append(f"groups={module.groups}")
    if module.bias is None:
        settings.append("bias=False")
    if module.padding_mode != "zeros":
        settings.append(f"padding_mode={module.padding_mode}")
    return ", ".join(settings)


class Conv1d(_ConvNd):
    """The cross-correlation of (N, C, L) or (C, L) with filters."""

    dimensions = 1


class Conv2d(_ConvNd):
    """The cross-correlation of (N, C, H, W) or (C, H, W) with filters."""

    dimensions = 2


class Conv3d(_ConvNd):
    """The cross-correlation of (N, C, D, H, W) or (C, D, H, W) with filters."""

    dimensions = 3


class ConvTranspose1d(_ConvTransposeNd):
    """The transposed convolution of (N, C, L) or (C, L)."""

    dimensions = 1


class ConvTranspose2d(_ConvTransposeNd):
    """The transposed convolution of (N, C, H, W) or (C, H, W)."""

    dimensions = 2


class ConvTranspose3d(_ConvTransposeNd):
    """The transposed convolution of (N, C, D, H, W) or (C, D, H, W)."""

    dimensions = 3
