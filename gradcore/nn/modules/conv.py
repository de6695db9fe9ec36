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


class _ConvNd(Module):
    """The cross-correlation of (N, in_channels, *) with `out_channels` filters, over the number of dimensions of a subclass.

    First weights are uniform in ±1/sqrt(fan in). Raises ValueError for what cannot be.
    """

    dimensions: int
    weight: Parameter
    bias: Parameter | None

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
        n = self.dimensions
        _check_channels(in_channels, out_channels, groups)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = repeated(kernel_size, n)
        self.stride = repeated(stride, n)
        self.padding = padding if isinstance(padding, str) else repeated(padding, n)
        self.dilation = repeated(dilation, n)
        self.transposed = False
        self.output_padding = (0,) * n
        self.groups = groups
        self.padding_mode = padding_mode
        _check_padding(padding, self.stride, padding_mode)
        self.weight = Parameter(
            empty((out_channels, in_channels // groups, *self.kernel_size), device=device, dtype=dtype)
        )
        self.register_parameter("bias", Parameter(empty(out_channels, device=device, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew."""
        reset(self.weight, self.bias)

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

    def extra_repr(self) -> str:
        """The sizes, and what is not as usual."""
        return shown(self)


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
