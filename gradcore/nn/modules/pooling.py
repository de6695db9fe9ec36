"""Pooling as modules. No formula stands here."""

from __future__ import annotations

from typing import Any

from gradcore.nn.modules.applied import applies
from gradcore.nn.modules.conv import repeated
from gradcore.nn.modules.module import Module


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
