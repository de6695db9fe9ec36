"""Normalisations of each channel over the batch (and of instances), with running statistics, as modules. No derivative."""

from __future__ import annotations

from typing import Any
from warnings import warn

from gradcore import dtypes
from gradcore.nn import functional as F
from gradcore.nn.modules.module import Module
from gradcore.nn.modules.normalization import add_scale, reset
from gradcore.nn.parameter import Parameter
from gradcore.ops.filling import ones, zeros
from gradcore.tensor import Tensor


class _NormBase(Module):
    """Weight and bias for each channel, and running mean and variance, which move by `momentum` with each batch.

    With a momentum of None they are the mean of all batches.
    """

    _version = 2
    ndims: tuple[int, ...]
    weight: Parameter | None
    bias: Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        add_scale(self, num_features, affine, bias, device, dtype)
        tracked = track_running_stats
        self.register_buffer("running_mean", zeros(num_features, device=device, dtype=dtype) if tracked else None)
        self.register_buffer("running_var", ones(num_features, device=device, dtype=dtype) if tracked else None)
        self.register_buffer("num_batches_tracked", zeros((), device=device, dtype=dtypes.int64) if tracked else None)

    def reset_running_stats(self) -> None:
        """Forget all batches."""
        if self.track_running_stats:
            for buffer, start in ((self.running_mean, 0), (self.running_var, 1), (self.num_batches_tracked, 0)):
                buffer.fill_(start)  # type: ignore[union-attr]

    def reset_parameters(self) -> None:
        """Forget all batches, and set weight and bias to 1 and 0."""
        self.reset_running_stats()
        reset(self)

    def _check(self, input: Tensor) -> None:
        if input.ndim not in self.ndims:
            raise ValueError(f"expected {' or '.join(f'{n}D' for n in self.ndims)} input (got {input.ndim}D input)")

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any], *others: Any
    ) -> None:
        # Version 1 did not count the batches.
        count = self.num_batches_tracked
        if local_metadata.get("version", 1) < 2 and self.track_running_stats and count is not None:
            state_dict.setdefault(f"{prefix}num_batches_tracked", count)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *others)

    def extra_repr(self) -> str:
        """The settings."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_NormBase):
    """Mean 0 and variance 1 of each channel over the batch, in evaluation by the running ones (Ioffe and Szegedy, 2015)."""

    def forward(self, input: Tensor) -> Tensor:
        """The normalised `input`. Raises ValueError for another number of dimensions."""
        self._check(input)
        momentum = 0.0 if self.momentum is None else self.momentum
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:
                momentum = 1.0 / float(self.num_batches_tracked)
        by_batch = self.training or self.running_mean is None
        tracked = not self.training or self.track_running_stats
        mean, variance = (self.running_mean, self.running_var) if tracked else (None, None)
        return F.batch_norm(input, mean, variance, self.weight, self.bias, by_batch, momentum, self.eps)


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of (N, C) or (N, C, L)."""

    ndims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of (N, C, H, W)."""

    ndims = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch normalisation of (N, C, D, H, W)."""

    ndims = (5,)


class _InstanceNorm(_NormBase):
    """Mean 0 and variance 1 of each channel of each sample (Ulyanov et al., 2017)."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        """The normalised `input`, with or without a batch. Raises ValueError for another number of dimensions."""
        self._check(input)
        batched = input.ndim == max(self.ndims)
        channels = input.shape[1 if batched else 0]
        if channels != self.num_features:
            said = f"size at dim={int(batched)} to match num_features ({self.num_features}), but got: {channels}."
            if self.affine:
                raise ValueError(f"expected input's {said}")
            warn(f"input's {said} It is not used because affine=False", stacklevel=3)
        by_input = self.training or not self.track_running_stats
        out = F.instance_norm(
            input if batched else input.unsqueeze(0), self.running_mean, self.running_var, self.weight, self.bias,
            by_input, 0.0 if self.momentum is None else self.momentum, self.eps,
        )  # fmt: skip
        return out if batched else out.squeeze(0)


class InstanceNorm1d(_InstanceNorm):
    """Instance normalisation of (N, C, L) or (C, L)."""

    ndims = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """Instance normalisation of (N, C, H, W) or (C, H, W)."""

    ndims = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    """Instance normalisation of (N, C, D, H, W) or (C, D, H, W)."""

    ndims = (4, 5)
