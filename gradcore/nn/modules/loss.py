"""Losses as modules: each applies the function of nn.functional that its name says. No formula stands here."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from gradcore.nn import functional as F
from gradcore.nn.modules.applied import applies
from gradcore.nn.modules.distance import PairwiseDistance
from gradcore.nn.modules.linear import Linear
from gradcore.nn.modules.module import Module
from gradcore.ops.losses import which_reduction
from gradcore.tensor import Tensor


class _Loss(Module):
    """A loss, reduced over the batch to its mean or sum, or not at all."""

    reduction: str

    def _settle(self) -> None:
        """Translate torch's old way to say the reduction."""
        old = [self.__dict__.pop(name, None) for name in ("size_average", "reduce")]
        if any(each is not None for each in old):
            self.reduction = which_reduction(self.reduction, *old)


class _WeightedLoss(_Loss):
    """A loss with a weight for each class or element, which is a buffer."""

    weight: Tensor | None


@applies("l1_loss", shown="")
class L1Loss(_Loss):
    """|input - target|."""

    size_average: bool | None = None
    reduce: bool | None = None
    reduction: str = "mean"


@applies("nll_loss", shown="")
class NLLLoss(_WeightedLoss):
    """The negated log-probability, of (N, C, *), of the class that `target`, of (N, *), says."""

    weight: Tensor | None = None
    size_average: bool | None = None
    ignore_index: int = -100
    reduce: bool | None = None
    reduction: str = "mean"


@applies("poisson_nll_loss", shown="")
class PoissonNLLLoss(_Loss):
    """The negated log-likelihood of counts under Poisson distributions; the input is the rate or, by default, its log."""

    log_input: bool = True
    full: bool = False
    size_average: bool | None = None
    eps: float = 1e-8
    reduce: bool | None = None
    reduction: str = "mean"


@applies("gaussian_nll_loss", shown="", kw_only=True)
class GaussianNLLLoss(_Loss):
    """The negated log-likelihood of `target` under normal distributions of mean `input` and variance `var`."""

    full: bool = False
    eps: float = 1e-6
    reduction: str = "mean"


@applies("kl_div", shown="")
class KLDivLoss(_Loss):
    """The Kullback-Leibler divergence of `target` from exp(input)."""

    size_average: bool | None = None
    reduce: bool | None = None
    reduction: str = "mean"
    log_target: bool = False


@applies("mse_loss", shown="")
class MSELoss(_Loss):
    """(input - target)²."""

    size_average: bool | None = None
    reduce: bool | None = None
    reduction: str = "mean"


@applies("binary_cross_entropy", shown="")
class BCELoss(_WeightedLoss):
    """The cross entropy of probabilities and targets between 0 and 1."""

    weight: Tensor | None = None
    size_average: bool | None = None
    reduce: bool | None = None
    reduction: str = "mean"


@applies("binary_cross_entropy_with_logits", shown="")
class BCEWithLogitsLoss(_Loss):
    """The cross entropy of the sigmoid of the input and targets between 0 and 1."""

    weight: Tensor | None = None
    size_average: bool | None = None
    reduce: bool | None = None
    reduction: str = "mean"
    pos_weight: Tensor | None = None


@applies("hinge_embedding_loss", shown="")
class HingeEmbeddingLoss(_Loss):
    """x where the target is 1, max(0, margin - x) where it is -1."""

    margin: float = 1.0
    size_average: bool | None = None
    reduce: bool | None = None
    reduction: str = "mean"


@applies("smooth_l1_loss", shown="")
class SmoothL1Loss(_Loss):
    """|d| - beta / 2, and d² / (2 beta) where the difference d is less than beta (Girshick, 2015)."""

    size_average: bool | None = None
    reduce: bool | None = None
    reduction: str = "mean"
    beta: float = 1.0


@applies("huber_loss", shown="")
class HuberLoss(_Loss):
    """d² / 2, and delta (|d| - delta / 2) where the difference d is more than delta (Huber, 1964)."""

    reduction: str = "mean"
    delta: float = 1.0


@applies("soft_margin_loss", shown="")
class SoftMarginLoss(_Loss):
    """log(1 + exp(-target input)), for targets 1 and -1."""

    size_average: bool | None = None
    reduce: bool | None = None
    reduction: str = "mean"


@applies("cross_entropy", shown="")
class CrossEntropyLoss(_WeightedLoss):
    """The negated log-softmax, of scores (N, C, *), of the class that `target` says, or weighed by its probabilities."""

    weight: Tensor | None = None
    size_average: bool | None = None
    ignore_index: int = -100
    reduce: bool | None = None
    reduction: str = "mean"
    label_smoothing: float = 0.0


@applies("multilabel_soft_margin_loss", shown="")
class MultiLabelSoftMarginLoss(_WeightedLoss):
    """The mean over the classes of the cross entropy of the sigmoid of the input and targets 0 and 1."""

    weight: Tensor | None = None
    size_average: bool | None = None
    reduce: bool | None = None
    reduction: str = "mean"


@applies("multilabel_margin_loss", shown="")
class MultiLabelMarginLoss(_Loss):
    """The mean over classes of max(0, 1 - (x[target] - x[other])), where targets end at the first -1."""

    size_average: bool | None = None
    reduce: bool | None = None
    reduction: str = "mean"


@applies("multi_margin_loss", shown="")
class MultiMarginLoss(_WeightedLoss):
    """The mean over other classes of max(0, margin - x[target] + x[other]) to the power `p`, 1 or 2."""

    p: int = 1
    margin: float = 1.0
    weight: Tensor | None = None
    size_average: bool | None = None
    reduce: bool | None = None
    reduction: str = "mean"

    def _settle(self) -> None:
        super()._settle()
        if self.p not in (1, 2):
            raise ValueError("only p == 1 and p == 2 supported")
        if self.weight is not None and self.weight.ndim != 1:
            raise ValueError(f"weight must be 1-dimensional, got {self.weight.ndim}")


@applies("cosine_embedding_loss", shown="")
class CosineEmbeddingLoss(_Loss):
    """1 - cos where the target is 1, max(0, cos - margin) where it is -1."""

    margin: float = 0.0
    size_average: bool | None = None
    reduce: bool | None = None
    reduction: str = "mean"


@applies("margin_ranking_loss", shown="")
class MarginRankingLoss(_Loss):
    """max(0, margin - target (input1 - input2)), for targets 1 and -1."""

    margin: float = 0.0
    size_average: bool | None = None
    reduce: bool | None = None
    reduction: str = "mean"


@applies("triplet_margin_loss", shown="")
class TripletMarginLoss(_Loss):
    """max(0, margin + d(anchor, positive) - d(anchor, negative)) (Balntas et al., 2016)."""

    margin: float = 1.0
    p: float = 2.0
    eps: float = 1e-6
    swap: bool = False
    size_average: bool | None = None
    reduce: bool | None = None
    reduction: str = "mean"

    def _settle(self) -> None:
        super()._settle()
        _check_margin("TripletMarginLoss", self.margin)


@applies("triplet_margin_with_distance_loss", shown="", kw_only=True)
class TripletMarginWithDistanceLoss(_Loss):
    """The triplet loss of another distance than the Euclidean, a function of two tensors."""

    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None
    margin: float = 1.0
    swap: bool = False
    reduction: str = "mean"

    def _settle(self) -> None:
        _check_margin("TripletMarginWithDistanceLoss", self.margin)
        if self.distance_function is None:
            self.distance_function = PairwiseDistance()


def _check_margin(name: str, margin: float) -> None:
    if margin <= 0:
        raise ValueError(f"{name}: expected margin to be greater than 0, got {margin} instead")


@applies("ctc_loss", shown="")
class CTCLoss(_Loss):
    """The negated log-probability of sequences of labels that are not aligned with the input (Graves et al., 2006)."""

    blank: int = 0
    reduction: str = "mean"
    zero_infinity: bool = False


class LinearCrossEntropyLoss(_WeightedLoss):
    """The cross entropy of an affine map to `num_classes` classes, of each of `out_features` places; the map is learned.

    `options`, which saves memory in torch, changes nothing. Raises RuntimeError for what does not fit.
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        out_features: tuple[int, ...] = (),
        bias: bool = False,
        device: Any = None,
        dtype: Any = None,
        reduction: str = "mean",
        weight: Tensor | None = None,
        ignore_index: int | None = None,
        label_smoothing: float = 0.0,
        options: Any = None,
    ) -> None:
        if weight is not None and weight.shape != (num_classes,):
            raise RuntimeError(f"expected weight shape to be {(num_classes,)}, got {tuple(weight.shape)}")
        if label_smoothing < 0 or label_smoothing > 1.0:
            raise RuntimeError(f"expected label_smoothing to be in range [0, 1], got {label_smoothing}")
        super().__init__()
        self.register_buffer("weight", weight)
        self.reduction = reduction
        self.num_classes = num_classes
        self.out_features = out_features
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing
        self.linear = Linear(in_features, math.prod(out_features, start=num_classes), bias, device, dtype)
        self.options = options

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of (N, in_features), or (in_features,), and a target as for `CrossEntropyLoss`."""
        outputs, bias = (self.num_classes, *self.out_features), self.linear.bias
        return F.linear_cross_entropy(
            input, self.linear.weight.reshape(*outputs, self.linear.in_features), target,
            linear_bias=None if bias is None else bias.reshape(outputs), weight=self.weight, reduction=self.reduction,
            ignore_index=self.ignore_index, label_smoothing=self.label_smoothing, options=self.options,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """The settings."""
        names = ("num_classes", "out_features")
        settings = ", ".join(f"{name}={getattr(self, name)}" for name in names)
        others = ", ".join(
            f"{name}={getattr(self, name)}" for name in ("reduction", "ignore_index", "label_smoothing", "options")
        )
        return f"in_features={self.linear.in_features}, {settings}, bias={self.linear.bias is not None}, {others}"
