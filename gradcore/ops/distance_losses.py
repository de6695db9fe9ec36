"""Losses made of distances, margins and likelihoods, as torch spells them. It must not know any derivative."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.backends import of
from gradcore.graph import modes
from gradcore.ops.arguments import axis, need_tensor
from gradcore.ops.logarithms import xlogy
from gradcore.ops.losses import differences, reduced, which_reduction
from gradcore.ops.norms import norm_, vector_norm
from gradcore.ops.numbers import in_dtype, promoted
from gradcore.ops.reductions import sum
from gradcore.ops.registry import functions, label, methods, op
from gradcore.ops.selection import clamp_min
from gradcore.ops.shaping import broadcast_shapes, expand_to, unsqueeze
from gradcore.primitives import activations as a
from gradcore.primitives import comparison as c
from gradcore.primitives import elementwise as e
from gradcore.primitives import selection as s
from gradcore.primitives import transcendental as t
from gradcore.primitives.distances import huber
from gradcore.recorder.caller import warn
from gradcore.recorder.value import Value

if TYPE_CHECKING:
    from gradcore.tensor import Tensor


def _raised_to(x: Any, least: float) -> Any:
    """`x`, at least `least`, with the gradient of `x` all the same."""
    out = methods["clone"](x)
    with modes.no_grad():
        return out.clamp_min_(least)


# -- distances of pairs --------------------------------------------------------------------------------------


@op(namespace="nn.functional", method=False)
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """Return the cosine of the angles along `dim` of two tensors that broadcast; no norm counts less than `eps`."""
    need_tensor(x1, "cosine_similarity", "x1")
    need_tensor(x2, "cosine_similarity", "x2")
    dtype = promoted(x1, x2)
    if dtype.kind in "biuc":
        raise RuntimeError(f"expected common dtype to be floating point, yet common dtype is {dtypes.of(dtype)._title}")
    shape = tuple(broadcast_shapes(x1._array.shape, x2._array.shape))
    x, y = (expand_to(in_dtype(each, dtype), shape) for each in (x1, x2))
    unit = [each / _raised_to(vector_norm(each, 2, dim, True), eps) for each in (x, y)]
    return sum(e.multiply(*unit), dim)


@op(namespace="nn.functional", method=False)
def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """Return the `p`-norm over the last dimension of x1 - x2 + `eps`, broadcast."""
    need_tensor(x1, "pairwise_distance", "x1")
    need_tensor(x2, "pairwise_distance", "x2")
    apart: Any = e.add(e.subtract(x1, x2), eps)
    out = norm_(apart, p, axis(-1, apart._array.ndim), keepdim)
    label(out, "NormBackward1")
    return out


for _function in (cosine_similarity, pairwise_distance):
    functions[""][_function.__name__] = _function


def _huber(name: str, input: Any, target: Any, delta: float) -> Any:
    apart = differences(name, input, target)
    if apart._array.dtype.kind in "biuc":
        kernel = name.replace("_loss", "_cpu")
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{dtypes.of(apart._array.dtype)._title}'")
    return huber(apart, delta=delta)


@op(namespace="nn.functional", method=False)
def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """Return the mean (sum, none) of d**2 / 2 where |d| <= `delta`, elsewhere `delta` * (|d| - `delta` / 2)."""
    how = which_reduction(reduction)
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    each = _huber("huber_loss", input, target, delta)
    if weight is not None:
        if weight._array.shape != input._array.shape:
            raise ValueError("Weights and input must have the same size.")
        return reduced(e.multiply(each, weight), how)
    loss = reduced(each, how)
    label(loss, "HuberLossBackward0")
    return loss


@op(namespace="nn.functional", method=False)
def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """Return the mean (sum, none) of d**2 / (2 * `beta`) where |d| < `beta`, elsewhere |d| - `beta` / 2."""
    how = which_reduction(reduction, size_average, reduce)
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    if beta == 0:
        return reduced(e.absolute(differences("smooth_l1_loss", input, target)), how)
    loss = reduced(_huber("smooth_l1_loss", input, target, beta) / beta, how)
    label(loss, "SmoothL1LossBackward0")
    return loss


# -- margins -------------------------------------------------------------------------------------------------


@op(namespace="nn.functional", method=False)
def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return the mean (sum, none) of -target * (input1 - input2) + margin where that is above 0."""
    for x, name in ((input1, "input1"), (input2, "input2"), (target, "target")):
        need_tensor(x, "margin_ranking_loss", name)
    how = which_reduction(reduction, size_average, reduce)
    sizes = [list(x._array.shape) for x in (input1, input2, target)]
    if len({len(size) for size in sizes}) > 1:
        raise RuntimeError(
            "margin_ranking_loss : All input tensors should have same dimension but got sizes: "
            f"input1: {sizes[0]}, input2: {sizes[1]}, target: {sizes[2]} "
        )
    return reduced(clamp_min(-target * (input1 - input2) + margin, 0), how)


@op(namespace="nn.functional", method=False)
def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return the mean (sum, none) of the input where the target is 1, of margin - input, above 0, where it is -1."""
    how = which_reduction(reduction, size_average, reduce)
    need_tensor(input, "hinge_embedding_loss")
    need_tensor(target, "hinge_embedding_loss", "target")
    near: Any = a.masked(input, c.not_equal(target, -1))
    return reduced(near + a.masked(clamp_min(margin - input, 0), c.not_equal(target, 1)), how)


@op(namespace="nn.functional", method=False)
def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return the mean (sum, none) of 1 - cos where the target is 1, of cos - margin, above 0, where it is -1."""
    for x, name in ((input1, "input1"), (input2, "input2"), (target, "target")):
        need_tensor(x, "cosine_embedding_loss", name)
    how = which_reduction(reduction, size_average, reduce)
    ndim = target._array.ndim
    if ndim > 1:
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    for x in (input1, input2):
        if x._array.ndim != ndim + 1:
            raise RuntimeError(
                f"{ndim}D target tensor expects {ndim + 1}D input tensors, but found inputs with sizes "
                f"{list(input1._array.shape)} and {list(input2._array.shape)}."
            )
    product, one, two = (sum(e.multiply(x, y), ndim) for x, y in ((input1, input2), (input1, input1), (input2, input2)))
    cosine: Any = product / ((one + 1e-12) * (two + 1e-12)) ** 0.5
    alike = a.masked(1 - cosine, c.equal(target, 1))
    return reduced(alike + a.masked(clamp_min(cosine - margin, 0), c.equal(target, -1)), how)


@op(namespace="nn.functional", method=False)
def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return the mean (sum, none) of margin + distance to `positive` - distance to `negative`, above 0."""
    for x, name in ((anchor, "anchor"), (positive, "positive"), (negative, "negative")):
        need_tensor(x, "triplet_margin_loss", name)
    how = which_reduction(reduction, size_average, reduce)

    def distance(x: Tensor, y: Tensor) -> Tensor:
        return pairwise_distance(x, y, p, eps)

    return _triplets(anchor, positive, negative, distance, margin, swap, how)


@op(namespace="nn.functional", method=False)
def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """Return `triplet_margin_loss` with any function for the distance."""
    how = which_reduction(reduction)
    return _triplets(anchor, positive, negative, distance_function or pairwise_distance, margin, swap, how)


def _triplets(anchor: Any, positive: Any, negative: Any, distance: Any, margin: float, swap: bool, how: str) -> Tensor:
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    ndims = [x._array.ndim for x in (anchor, positive, negative)]
    if len(set(ndims)) > 1:
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: "
            "anchor {}D, positive {}D, and negative {}D inputs".format(*ndims)
        )
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = s.minimum(far, distance(positive, negative))
    return reduced(clamp_min(margin + near - far, 0), how)


@op(namespace="nn.functional", method=False)
def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return the mean (sum, none) of log(1 + exp(-target * input)). Raises RuntimeError if `target` needs a gradient."""
    need_tensor(input, "soft_margin_loss")
    how = which_reduction(reduction, size_average, reduce)
    _constant("soft_margin_loss", target)
    loss = reduced(a.softplus(-target * input, beta=1.0, threshold=math.inf), how)
    label(loss, "SoftMarginLossBackward0")
    return loss


def _constant(name: str, target: Any) -> None:
    need_tensor(target, name, "target")
    if target._node is not None:
        raise RuntimeError(
            f"The function '{name}' is not differentiable with respect to argument 'target'. This input cannot have "
            "requires_grad True."
        )


@op(namespace="nn.functional", method=False)
def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return the mean (sum, none) of the binary cross entropy of logits, averaged over the classes, the last dimension."""
    how = which_reduction(reduction, size_average, reduce)
    loss: Any = -(target * a.log_sigmoid(input) + (1 - target) * a.log_sigmoid(-input))
    loss = loss if weight is None else loss * weight
    last = axis(-1, input._array.ndim)
    return reduced(sum(loss, last) / input._array.shape[last], how)


# -- likelihoods ---------------------------------------------------------------------------------------------


@op(namespace="nn.functional", method=False)
def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """Return the mean (sum, batchmean, none) of target * (log(target) - input), `input` being logarithms.

    With `log_target` the target is one, too.
    """
    old = size_average is not None or reduce is not None
    if reduction == "mean" and not old:
        warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size.'batchmean' divides only "
            "by the batch size, and aligns with the KL div math definition.'mean' will be changed to behave the same as "
            "'batchmean' in the next major release.",
        )
    per_batch = reduction == "batchmean"
    how = which_reduction("sum" if per_batch else reduction, size_average, reduce)
    need_tensor(input, "kl_div")
    need_tensor(target, "kl_div", "target")
    each = t.exp(target) * (target - input) if log_target else xlogy(target, target) - target * input
    loss: Any = reduced(each, how)
    return loss / input._array.shape[0] if per_batch and input._array.ndim else loss  # type: ignore[no-any-return]


@op(namespace="nn.functional", method=False)
def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return the mean (sum, none) of rate - target * log(rate); the input is log(rate) or the rate.

    With `full`, Stirling's approximation of log(target!) is added where the target is above 1.
    """
    how = which_reduction(reduction, size_average, reduce)
    need_tensor(input, "poisson_nll_loss")
    need_tensor(target, "poisson_nll_loss", "target")
    loss: Any = t.exp(input) - target * input if log_input else input - target * t.log(input + eps)
    if full:
        stirling = target * t.log(target) - target + t.log(target * (2 * math.pi)) * 0.5
        loss = loss + a.masked(stirling, c.greater(target, 1))
    return reduced(loss, how)


@op(namespace="nn.functional", method=False)
def gaussian_nll_loss(
    input: Tensor, target: Tensor, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Tensor:
    """Return the mean (sum, none) of (log(var) + (input - target)**2 / var) / 2, with `var` at least `eps`.

    Raises ValueError for a negative variance and one that does not fit `input`.
    """
    need_tensor(input, "gaussian_nll_loss")
    shape = tuple(input._array.shape)
    if not isinstance(var, Value):
        if var < 0:
            raise ValueError("var has negative entry/entries")
        var = functions[""]["full_like"](input, var)
    elif bool(of(var._array).any(var._array < 0)):
        raise ValueError("var has negative entry/entries")
    given = tuple(var._array.shape)
    if given != shape:
        off = [n for m, n in zip(shape, given, strict=False) if m != n]
        if shape[:-1] == given:
            var = unsqueeze(var, -1)
        elif len(given) != len(shape) or off != [1]:
            raise ValueError("var is of incorrect size")
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not valid")
    var = _raised_to(var, eps)
    loss: Any = (t.log(var) + (input - target) ** 2 / var) * 0.5
    return reduced(loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction)


for _name in ("margin_ranking_loss", "hinge_embedding_loss", "cosine_embedding_loss", "triplet_margin_loss"):
    functions[""][_name] = functions["nn.functional"][_name]
