"""Pooling as modules. No formula stands here."""

from __future__ import annotations

from typing import Any

from gradcore.nn import functional as F
from gradcore.nn.modules.applied import applies
from gradcore.nn.modules.conv import repeated
from gradcore.nn.modules.module import Module
from gradcore.tensor import Tensor


class _MaxPool(Module):
    """The largest element of each window; with `return_indices`, where it was too."""

    kernel_size: Any
    stride: Any

    def _settle(self) -> None:
        self.stride = self.kernel_size if self.stride is None else self.stride


MAX_SHOWN = (
    "kernel_size={0.kernel_size}, stride={0.stride}, padding={0.padding}, dilation={0.dilation}, ceil_mode={0.ceil_mode}"
)


@applies("max_pool1d", shown=MAX_SHOWN)
class MaxPool1d(_MaxPool):
    """The largest element of each window of (N, C, L); with `return_indices`, where it was too."""

    kernel_size: Any
    stride: Any = None
    padding: Any = 0
    dilation: Any = 1
    return_indices: bool = False
    ceil_mode: bool = False


@applies("max_pool2d", shown=MAX_SHOWN)
class MaxPool2d(_MaxPool):
    """The largest element of each window of (N, C, H, W); with `return_indices`, where it was too."""

    kernel_size: Any
    stride: Any = None
    padding: Any = 0
    dilation: Any = 1
    return_indices: bool = False
    ceil_mode: bool = False


@applies("max_pool3d", shown=MAX_SHOWN)
class MaxPool3d(_MaxPool):
    """The largest element of each window of (N, C, D, H, W); with `return_indices`, where it was too."""

    kernel_size: Any
    stride: Any = None
    padding: Any = 0
    dilation: Any = 1
    return_indices: bool = False
    ceil_mode: bool = False


AVERAGE_SHOWN = "kernel_size={0.kernel_size}, stride={0.stride}, padding={0.padding}"


@applies("avg_pool1d", shown=AVERAGE_SHOWN)
class AvgPool1d(Module):
    """The mean of each window of (N, C, L)."""

    kernel_size: Any
    stride: Any = None
    padding: Any = 0
    ceil_mode: bool = False
    count_include_pad: bool = True

    def _settle(self) -> None:
        self.stride = self.kernel_size if self.stride is None else self.stride
        for name in ("kernel_size", "stride", "padding"):
            setattr(self, name, repeated(getattr(self, name), 1))


@applies("avg_pool2d", shown=AVERAGE_SHOWN)
class AvgPool2d(_MaxPool):
    """The mean of each window of (N, C, H, W)."""

    kernel_size: Any
    stride: Any = None
    padding: Any = 0
    ceil_mode: bool = False
    count_include_pad: bool = True
    divisor_override: int | None = None


@applies("avg_pool3d", shown=AVERAGE_SHOWN)
class AvgPool3d(_MaxPool):
    """The mean of each window of (N, C, D, H, W)."""

    kernel_size: Any
    stride: Any = None
    padding: Any = 0
    ceil_mode: bool = False
    count_include_pad: bool = True
    divisor_override: int | None = None


LP_SHOWN = "norm_type={0.norm_type}, kernel_size={0.kernel_size}, stride={0.stride}, ceil_mode={0.ceil_mode}"


@applies("lp_pool1d", shown=LP_SHOWN)
class LPPool1d(Module):
    """The p-norm of each window of (N, C, L)."""

    norm_type: float
    kernel_size: Any
    stride: Any = None
    ceil_mode: bool = False


@applies("lp_pool2d", shown=LP_SHOWN)
class LPPool2d(Module):
    """The p-norm of each window of (N, C, H, W)."""

    norm_type: float
    kernel_size: Any
    stride: Any = None
    ceil_mode: bool = False


@applies("lp_pool3d", shown=LP_SHOWN)
class LPPool3d(Module):
    """The p-norm of each window of (N, C, D, H, W)."""

    norm_type: float
    kernel_size: Any
    stride: Any = None
    ceil_mode: bool = False


@applies("adaptive_avg_pool1d")
class AdaptiveAvgPool1d(Module):
    """The means of as many windows of (N, C, L) as `output_size` says."""

    output_size: Any


@applies("adaptive_avg_pool2d")
class AdaptiveAvgPool2d(Module):
    """The means of as many windows of (N, C, H, W) as `output_size` says."""

    output_size: Any


@applies("adaptive_avg_pool3d")
class AdaptiveAvgPool3d(Module):
    """The means of as many windows of (N, C, D, H, W) as `output_size` says."""

    output_size: Any


@applies("adaptive_max_pool1d", shown="output_size={0.output_size!r}")
class AdaptiveMaxPool1d(Module):
    """The largest elements of as many windows of (N, C, L) as `output_size` says."""

    output_size: Any
    return_indices: bool = False


@applies("adaptive_max_pool2d", shown="output_size={0.output_size!r}")
class AdaptiveMaxPool2d(Module):
    """The largest elements of as many windows of (N, C, H, W) as `output_size` says."""

    output_size: Any
    return_indices: bool = False


@applies("adaptive_max_pool3d", shown="output_size={0.output_size!r}")
class AdaptiveMaxPool3d(Module):
    """The largest elements of as many windows of (N, C, D, H, W) as `output_size` says."""

    output_size: Any
    return_indices: bool = False


class _MaxUnpool(Module):
    """Zeros but for the largest elements, put back where the indices of a max pool say."""

    dimensions: int

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        super().__init__()
        n = self.dimensions
        self.kernel_size = repeated(kernel_size, n)
        self.stride = self.kernel_size if stride is None else repeated(stride, n)
        self.padding = repeated(padding, n)

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        """The unpooled `input`, of the size `output_size` where several are possible."""
        unpool = (F.max_unpool1d, F.max_unpool2d, F.max_unpool3d)[self.dimensions - 1]
        return unpool(input, indices, self.kernel_size, self.stride, self.padding, output_size)

    def extra_repr(self) -> str:
        """The sizes."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpool):
    """The partial inverse of MaxPool1d."""

    dimensions = 1


class MaxUnpool2d(_MaxUnpool):
    """The partial inverse of MaxPool2d."""

    dimensions = 2


class MaxUnpool3d(_MaxUnpool):
    """The partial inverse of MaxPool3d."""

    dimensions = 3
