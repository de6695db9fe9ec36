"""Modules that rearrange pixels and patches, or change the resolution. No formula stands here."""

from __future__ import annotations

from typing import Any

from gradcore.nn import functional as F
from gradcore.nn.modules.applied import applies
from gradcore.nn.modules.module import Module
from gradcore.tensor import Tensor


@applies("pixel_shuffle")
class PixelShuffle(Module):
    """Channels as pixels: (*, C r², H, W) as (*, C, H r, W r) (Shi et al., 2016)."""

    upscale_factor: int


@applies("pixel_unshuffle")
class PixelUnshuffle(Module):
    """Pixels as channels: (*, C, H r, W r) as (*, C r², H, W)."""

    downscale_factor: int


@applies("channel_shuffle")
class ChannelShuffle(Module):
    """The channels of each of some groups spread over all of them (Zhang et al., 2018)."""

    groups: int


@applies("unfold")
class Unfold(Module):
    """The patches of images (N, C, H, W) as columns: (N, C times kernel, number of patches)."""

    kernel_size: Any
    dilation: Any = 1
    padding: Any = 0
    stride: Any = 1


@applies("fold")
class Fold(Module):
    """The sum of patches, as Unfold gives them, put back into images of `output_size`."""

    output_size: Any
    kernel_size: Any
    dilation: Any = 1
    padding: Any = 0
    stride: Any = 1


class Upsample(Module):
    """Signals, images or volumes in another resolution: of `size`, or `scale_factor` times as large."""

    def __init__(
        self,
        size: Any = None,
        scale_factor: Any = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        self.name = type(self).__name__
        self.size = size
        several = isinstance(scale_factor, (tuple, list))
        self.scale_factor = tuple(map(float, scale_factor)) if several else float(scale_factor) if scale_factor else None
        self.mode = mode
        self.align_corners = align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, input: Tensor) -> Tensor:
        """The interpolated `input`."""
        return F.interpolate(
            input, self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor
        )

    def extra_repr(self) -> str:
        """The size or the factor, and how."""
        size = f"size={self.size!r}" if self.scale_factor is None else f"scale_factor={self.scale_factor!r}"
        return f"{size}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """Images in another resolution by their nearest pixels."""

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, mode="nearest")


class UpsamplingBilinear2d(Upsample):
    """Images in another resolution by bilinear interpolation, corners kept."""

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)
