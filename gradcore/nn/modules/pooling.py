"""Pooling as modules. No formula stands here."""

from __future__ import annotations

from typing import Any

from gradcore.nn import functional as F
from gradcore.nn.modules.applied import applies, settings
from gradcore.nn.modules.conv import repeated
from gradcore.nn.modules.module import Module
from gradcore.tensor import Tensor


class _Pool(Module):
    """Windows that do not overlap unless `stride` says so."""

    kernel_size: Any
    stride: Any

    def _settle(self) -> None:
        self.stride = self.kernel_size if self.stride is None else self.stride


@settings
class _MaxPool(_Pool):
    """The largest element of each window; with `return_indices`, where it was too."""

    kernel_size: Any
    stride: Any = None
    padding: Any = 0
    dilation: Any = 1
    return_indices: bool = False
    ceil_mode: bool = False


MAX_SHOWN = (
    "kernel_size={0.kernel_size}, stride={0.stride}, padding={0.padding}, dilation={0.dilation}, ceil_mode={0.ceil_mode}"
)


@applies("max_pool1d", shown=MAX_SHOWN)
class MaxPool1d(_MaxPool):
    """The largest element of each window of (N, C, L); with `return_indices`, where it was too."""


@applies("max_pool2d", shown=MAX_SHOWN)
class MaxPool2d(_MaxPool):
    """The largest element of each window of (N, C, H, W); with `return_indices`, where it was too."""


@applies("max_pool3d", shown=MAX_SHOWN)
class MaxPool3d(_MaxPool):
    """The largest element of each window of (N, C, D, H, W); with `return_indices`, where it was too."""


AVERAGE_SHOWN = "kernel_size={0.kernel_size}, stride={0.stride}, padding={0.padding}"


@applies("avg_pool1d", shown=AVERAGE_SHOWN)
class AvgPool1d(_Pool):
    """The mean of each window of (N, C, L)."""

    kernel_size: Any
    stride: Any = None
    padding: Any = 0
    ceil_mode: bool = False
    count_include_pad: bool = True

    def _settle(self) -> None:
        super()._settle()
        for name in ("kernel_size", "stride", "padding"):
            setattr(self, name, repeated(getattr(self, name), 1))


@settings
class _AvgPool(_Pool):
    """The mean of each window."""

    kernel_size: Any
    stride: Any = None
    padding: Any = 0
    ceil_mode: bool = False
    count_include_pad: bool = True
    divisor_override: int | None = None


@applies("avg_pool2d", shown=AVERAGE_SHOWN)
class AvgPool2d(_AvgPool):
    """The mean of each window of (N, C, H, W)."""


@applies("avg_pool3d", shown=AVERAGE_SHOWN)
class AvgPool3d(_AvgPool):
    """The mean of each window of (N, C, D, H, W)."""


LP_SHOWN = "norm_type={0.norm_type}, kernel_size={0.kernel_size}, stride={0.stride}, ceil_mode={0.ceil_mode}"


@settings
class _LPPool(Module):
    """The p-norm of each window."""

    norm_type: float
    kernel_size: Any
    stride: Any = None
    ceil_mode: bool = False


@applies("lp_pool1d", shown=LP_SHOWN)
class LPPool1d(_LPPool):
    """The p-norm of each window of (N, C, L)."""


@applies("lp_pool2d", shown=LP_SHOWN)
class LPPool2d(_LPPool):
    """The p-norm of each window of (N, C, H, W)."""


@applies("lp_pool3d", shown=LP_SHOWN)
class LPPool3d(_LPPool):
    """The p-norm of each window of (N, C, D, H, W)."""


@settings
class _AdaptiveAvgPool(Module):
    """The means of as many windows as `output_size` says."""

    output_size: Any


@settings
class _AdaptiveMaxPool(Module):
    """The largest elements of as many windows as `output_size` says."""

    output_size: Any
    return_indices: bool = False


@applies("adaptive_avg_pool1d")
class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """The means of as many windows of (N, C, L) as `output_size` says."""


@applies("adaptive_avg_pool2d")
class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """The means of as many windows of (N, C, H, W) as `output_size` says."""


@applies("adaptive_avg_pool3d")
class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """The means of as many windows of (N, C, D, H, W) as `output_size` says."""


@applies("adaptive_max_pool1d", shown="output_size={0.output_size!r}")
class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """The largest elements of as many windows of (N, C, L) as `output_size` says."""


@applies("adaptive_max_pool2d", shown="output_size={0.output_size!r}")
class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """The largest elements of as many windows of (N, C, H, W) as `output_size` says."""


@applies("adaptive_max_pool3d", shown="output_size={0.output_size!r}")
class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """The largest elements of as many windows of (N, C, D, H, W) as `output_size` says."""


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


class _FractionalMaxPool(Module):
    """The largest elements of windows that begin at random, as many as one of size and ratio says (Graham, 2014)."""

    dimensions: int
    _random_samples: Tensor | None

    def __init__(
        self,
        kernel_size: Any,
        output_size: Any = None,
        output_ratio: Any = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> None:
        super().__init__()
        n = self.dimensions
        self.kernel_size = repeated(kernel_size, n)
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)
        self.output_size = None if output_size is None else repeated(output_size, n)
        self.output_ratio = None if output_ratio is None else repeated(output_ratio, n)
        if output_size is None and output_ratio is None:
            raise ValueError(f"{type(self).__name__} requires specifying either an output size, or a pooling ratio")
        if output_size is not None and output_ratio is not None:
            raise ValueError("only one of output_size and output_ratio may be specified")
        if not all(0 < ratio < 1 for ratio in self.output_ratio or ()):
            raise ValueError(f"output_ratio must be between 0 and 1 (got {output_ratio})")

    def forward(self, input: Tensor) -> Any:
        """The pooled `input`; with `return_indices`, where the elements were too."""
        pool = F.fractional_max_pool2d if self.dimensions == 2 else F.fractional_max_pool3d
        return pool(
            input, self.kernel_size, self.output_size, self.output_ratio, self.return_indices, self._random_samples
        )


class FractionalMaxPool2d(_FractionalMaxPool):
    """Fractional max pooling of (N, C, H, W) or (C, H, W)."""

    dimensions = 2


class FractionalMaxPool3d(_FractionalMaxPool):
    """Fractional max pooling of (N, C, D, H, W) or (C, D, H, W)."""

    dimensions = 3
