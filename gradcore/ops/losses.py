"""Losses as torch.nn.functional spells them. It must not know any derivative."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.backends import of
from gradcore.ops.arguments import need_tensor, python_number
from gradcore.ops.masks import masked_fill
from gradcore.ops.numbers import in_dtype, promoted
from gradcore.ops.pointwise import abs as absolute
from gradcore.ops.reductions import mean, sum
from gradcore.ops.registry import label, op
from gradcore.ops.shaping import broadcast_tensors
from gradcore.primitives import elementwise as e
from gradcore.primitives import losses as p
from gradcore.primitives import shape as s
from gradcore.primitives import softmax
from gradcore.primitives.activations import log_sigmoid
from gradcore.recorder import renamed, wrap
from gradcore.recorder.caller import warn

if TYPE_CHECKING:
    from gradcore.tensor import Tensor

Shape = tuple[int, ...]


def which_reduction(reduction: Any, size_average: bool | None = None, reduce: bool | None = None) -> str:
    """The name of a reduction; `size_average` and `reduce` are torch's old way to say it."""
    if size_average is not None or reduce is not None:
        reduction = "none" if reduce is False else "sum" if size_average is False else "mean"
        warn(
            f"size_average and reduce args will be deprecated, please use reduction='{reduction}' instead.",
        )
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return str(reduction)


def reduced(loss: Any, reduction: str) -> Tensor:
    """The mean or the sum of all losses, or themselves."""
    if reduction == "none":
        return loss  # type: ignore[no-any-return]
    return (mean if reduction == "mean" else sum)(loss)


def _title(x: Any) -> str:
    return dtypes.of(x._array.dtype)._title


# -- distances -----------------------------------------------------------------------------------------------


def differences(name: str, input: Any, target: Any) -> Tensor:
    """`input` less `target`; warns the user where they have to be broadcast, as torch does."""
    _need_both(name, input, target)
    return e.subtract(input, target)  # type: ignore[no-any-return]


def _need_both(name: str, input: Any, target: Any) -> None:
    need_tensor(input, name)
    need_tensor(target, name, "target")
    have, want = tuple(target._array.shape), tuple(input._array.shape)
    if have != want:
        warn(
            f"Using a target size (torch.Size({list(have)})) that is different to the input size "
            f"(torch.Size({list(want)})). This will likely lead to incorrect results due to broadcasting. "
            "Please ensure "
            "they have the same size.",
        )


def _weighted(errors: Any, weight: Any, reduction: str, like: Any) -> Tensor:
    """The reduction of errors that count by their `weight`: their mean is that of the weights."""
    if tuple(weight._array.shape) != tuple(like._array.shape):
        raise ValueError("Weights and input must have the same size.")
    weighed = errors * weight
    if reduction == "mean":
        return e.divide(sum(weighed), sum(weight))  # type: ignore[no-any-return]
    return reduced(weighed, reduction)


@op(namespace="nn.functional", method=False)
def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """Return the mean (sum, none) of the squared differences."""
    how = which_reduction(reduction, size_average, reduce)
    _need_both("mse_loss", input, target)
    like = input
    if input._array.shape != target._array.shape:
        input, target = broadcast_tensors(input, target)
    dtype = input._array.dtype
    if dtype is not target._array.dtype:
        dtype = promoted(input, target)
        input, target = in_dtype(input, dtype), in_dtype(target, dtype)
    if dtype.kind in "biuc":
        raise NotImplementedError(f"\"mse_cpu\" not implemented for '{dtypes.of(dtype)._title}'")
    if weight is not None:
        return _weighted(p.squared_error(input, target), weight, how, like)
    if how == "none":
        return p.squared_error(input, target)  # type: ignore[no-any-return]
    count = input._array.size if how == "mean" else 1
    return p.squared_errors(input, target, axis=None, count=count)  # type: ignore[no-any-return]


@op(namespace="nn.functional", method=False)
def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """Return the mean (sum, none) of the absolute differences."""
    how = which_reduction(reduction, size_average, reduce)
    errors = absolute(differences("l1_loss", input, target))
    return reduced(errors, how) if weight is None else _weighted(errors, weight, how, input)


# -- classes -------------------------------------------------------------------------------------------------

_UNSIGNED = dtypes.uint64.numpy
_score2d = renamed(p.score, "NllLoss2D")
_or_nothing = {name: renamed(e.add, name) for name in ("NllLoss", "NllLoss2D")}
_times, _over = renamed(e.multiply, "MulBackward1"), renamed(e.divide, "DivBackward1")


@op(namespace="nn.functional", method=False)
def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return the mean (sum, none) of minus the scores (N, C, *) of the target classes (N, *).

    `weight` has one number per class, by which targets count; those that are `ignore_index` do not count at
    all.
    """
    how = which_reduction(reduction, size_average, reduce)
    _check_classes("nll_loss", input, target, weight)
    return _nll(input, target, weight, ignore_index, how)


def _nll(input: Any, target: Any, weight: Any, ignore_index: int, reduction: str) -> Tensor:
    score = p.score if input._array.ndim <= 2 else _score2d
    classes = input._array.shape[1 if input._array.ndim > 1 else 0]
    if target._array.dtype.kind == "u":
        target = wrap(of(target._array).astype(target._array, "int64"))
    total, n = reduction != "none", target._array.size
    if weight is None and n and not 0 <= ignore_index < classes and _all_in_range(target._array, classes):
        share = -1.0 / n if reduction == "mean" else -1.0
        return score(input, target, weights=share, total=total)  # type: ignore[no-any-return]
    counted, safe = _counted(target._array, classes, ignore_index)
    F = of(input._array)
    before = F.noise()
    try:
        F.quiet()
        shares = F.astype(counted, input._array.dtype)
        if weight is not None:
            shares = F.where(counted, F.take(weight._array, safe), shares)
        if reduction == "mean":
            whole = F.sum(shares)
            shares = F.where(counted, shares / whole, shares)
            nothing = whole / whole - 1  # the mean of nothing is nan, though its gradient is 0
        shares = -shares
    finally:
        F.unquiet(before)
    if reduction != "mean":
        return score(input, wrap(safe), weights=shares, total=total, counted=counted)  # type: ignore[no-any-return]
    loss = score(input, wrap(safe), weights=shares, total=total, counted=counted)
    node = "NllLoss" if score is p.score else "NllLoss2D"
    return _or_nothing[node](loss, wrap(F.as_array(nothing)))  # type: ignore[no-any-return]


def _all_in_range(target: Any, classes: int) -> bool:
    """Whether every target is a class; on a device nobody waits to see, so the answer is no."""
    # Read as unsigned, a negative number is a huge one.
    F = of(target)
    return F.device_type == "cpu" and bool(F.max(target.view(_UNSIGNED)) < classes)


def _counted(target: Any, classes: int, ignore_index: int) -> tuple[Any, Any]:
    """Which targets count, and targets with 0 for those that do not. Raises IndexError for one that is no
    class."""
    F = of(target)
    counted = target != ignore_index
    safe = F.where(counted, target, 0)
    if F.device_type == "cpu" and target.size:
        wrong = safe[(safe < 0) | (safe >= classes)]
        if wrong.size:
            raise IndexError(f"Target {int(wrong.flat[0])} is out of bounds.")
    return counted, safe


def _check_classes(name: str, input: Any, target: Any, weight: Any) -> None:
    need_tensor(input, name)
    need_tensor(target, name, "target")
    scores, classes = input._array.shape, target._array.shape
    if len(scores) == 2 and scores[:1] == classes and weight is None and target._array.dtype.char in "lq":
        return  # the commonest case
    if not scores:
        raise ValueError("Expected 1 or more dimensions (got 0)")
    if len(scores) > 1 and classes and scores[0] != classes[0]:
        raise ValueError(f"Expected input batch_size ({scores[0]}) to match target batch_size ({classes[0]}).")
    if len(scores) <= 2:
        if len(classes) > 1:
            raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
        if (len(scores) == 2 and not classes) or (len(scores) == 1 and classes):
            raise RuntimeError(f"size mismatch (got input: {list(scores)}, target: {list(classes)})")
    elif len(classes) != len(scores) - 1 and len(scores) == 4:
        raise RuntimeError(
            f"only batches of spatial targets supported (3D tensors) but got targets of dimension: {len(classes)}"
        )
    elif classes != (scores[0], *scores[2:]):
        raise RuntimeError(f"Expected target size {[scores[0], *scores[2:]]}, got {list(classes)}")
    if target._array.dtype.name not in ("int64", "uint8"):
        raise RuntimeError(f"expected target dtype to be Long or Byte, but got {_title(target)}")
    _check_weight("nll_loss", input, weight)


def _check_weight(name: str, input: Any, weight: Any) -> None:
    if weight is None:
        return
    need_tensor(weight, name, "weight")
    classes = input._array.shape[1 if input._array.ndim > 1 else 0]
    if tuple(weight._array.shape) != (classes,):
        raise RuntimeError(
            f"weight tensor should be defined either for all {classes} classes or no classes but got weight "
            "tensor of "
            f"shape: {list(weight._array.shape)}"
        )
    if weight._array.dtype != input._array.dtype:
        raise RuntimeError(f"expected scalar type {_title(input)} but found {_title(weight)}")


@op(namespace="nn.functional", method=False)
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return the mean (sum, none) of the cross entropy of logits (N, C, *) and classes (N, *) or
    probabilities (N, C, *).

    `label_smoothing` moves that part of each target evenly to all classes; `weight` and `ignore_index` as in
    `nll_loss`.
    """
    how = which_reduction(reduction, size_average, reduce)
    need_tensor(input, "cross_entropy")
    need_tensor(target, "cross_entropy", "target")
    label_smoothing = python_number(label_smoothing, "cross_entropy", "label_smoothing")
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    ndim = input._array.ndim
    probabilities = target._array.shape == input._array.shape
    if probabilities:
        if target._array.dtype.kind in "biu":
            raise RuntimeError(f"Expected floating point type for target with class probabilities, got {_title(target)}")
        if ignore_index >= 0:
            raise RuntimeError("ignore_index is not supported for floating point target")
        _check_weight("cross_entropy", input, weight)
    else:
        _check_classes("cross_entropy", input, target, weight)
        share = _even_share(input._array, target._array, ignore_index, how)
        if share and weight is None and not label_smoothing:
            return p.cross_entropy(input, target, share=share)[0]  # type: ignore[no-any-return]
    scores = softmax.log_softmax(input, axis=(1 if ndim > 1 else 0,) if ndim else ())
    if probabilities:
        return _soft_nll(scores, target, weight, how, label_smoothing)
    loss = _nll(scores, target, weight, ignore_index, how)
    if not label_smoothing:
        return loss
    even = _smooth(scores, target, weight, ignore_index, how)
    share = label_smoothing / scores._array.shape[1 if ndim > 1 else 0]
    return e.add(_times(loss, 1 - label_smoothing), _times(even, share))  # type: ignore[no-any-return]


def _even_share(logits: Any, target: Any, ignore_index: int, reduction: str) -> float | None:
    """By what each target counts in the plain case: classes (N,), every one counting; None in all others."""
    if logits.ndim != 2 or logits.itemsize < 4 or target.dtype.kind == "u" or not target.size or reduction == "none":
        return None
    classes = logits.shape[1]
    if 0 <= ignore_index < classes or not _all_in_range(target, classes):
        return None
    return 1.0 / target.size if reduction == "mean" else 1.0


def _soft_nll(scores: Any, target: Any, weight: Any, reduction: str, smoothing: float) -> Tensor:
    """The cross entropy of probabilities, averaged over all but the classes."""
    at = 1 if scores._array.ndim > 1 else 0
    classes = scores._array.shape[at] if scores._array.ndim else 1
    if smoothing:
        target = target * (1 - smoothing) + smoothing / classes
    each = scores * target
    if weight is not None:
        each = each * _column(weight, scores._array.ndim)
    if reduction == "none":
        return e.negative(sum(each, at))  # type: ignore[no-any-return]
    loss = e.negative(sum(each))
    return loss if reduction == "sum" else _over(loss, scores._array.size / classes if classes else 0)  # type: ignore[no-any-return]


def _smooth(scores: Any, target: Any, weight: Any, ignore_index: int, reduction: str) -> Any:
    """The loss of targets spread evenly over the classes, each counted as its class is."""
    at = 1 if scores._array.ndim > 1 else 0
    F = of(scores._array)
    counted, safe = _counted(target._array, scores._array.shape[at], ignore_index)
    weighed = scores if weight is None else scores * _column(weight, scores._array.ndim)
    each = masked_fill(e.negative(sum(weighed, at)), wrap(F.as_array(~counted)), 0.0)
    if reduction != "mean":
        return reduced(each, reduction)
    counted = F.astype(counted, scores._array.dtype)
    shares = counted if weight is None else F.take(weight._array, safe) * counted
    return sum(each) / wrap(F.as_array(F.sum(shares)))


def _column(weight: Any, ndim: int) -> Any:
    return s.reshape(weight, shape=(-1, *(1,) * (ndim - 2))) if ndim > 2 else weight


# -- yes or no -----------------------------------------------------------------------------------------------


@op(namespace="nn.functional", method=False)
def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return the mean (sum, none) of the cross entropy of probabilities; logarithms count as -100 at
    least."""
    how = which_reduction(reduction, size_average, reduce)
    need_tensor(input, "binary_cross_entropy")
    need_tensor(target, "binary_cross_entropy", "target")
    if target._array.shape != input._array.shape:
        raise ValueError(
            f"Using a target size (torch.Size({list(target._array.shape)})) that is different to the input "
            "size "
            f"(torch.Size({list(input._array.shape)})) is deprecated. Please ensure they have the same size."
        )
    for other in (target, weight):
        if other is not None and other._array.dtype != input._array.dtype:
            raise RuntimeError(f"Found dtype {_title(other)} but expected {_title(input)} (binary_cross_entropy)")
    for name, a in (("input", input._array), ("target", target._array)):
        if of(a).device_type == "cpu" and a.size and not (a.min() >= 0 and a.max() <= 1):
            raise RuntimeError(f"all elements of {name} should be between 0 and 1")
    loss = p.binary_cross_entropy(input, target)
    loss = reduced(loss if weight is None else loss * weight, how)
    label(loss, "BinaryCrossEntropyBackward0")
    return loss


@op(namespace="nn.functional", method=False)
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """Return the mean (sum, none) of the cross entropy of sigmoid(input); `pos_weight` multiplies its
    positive part."""
    how = which_reduction(reduction, size_average, reduce)
    x: Any = input
    y: Any = target
    need_tensor(input, "binary_cross_entropy_with_logits")
    need_tensor(target, "binary_cross_entropy_with_logits", "target")
    if target._array.shape != input._array.shape:
        raise ValueError(
            f"Target size (torch.Size({list(target._array.shape)})) must be the same as input size "
            f"(torch.Size({list(input._array.shape)}))"
        )
    for each in (y, x):
        if each._array.dtype.kind in "biu":
            kind = _title(x if each is y else y)
            raise RuntimeError(f"result type {kind} can't be cast to the desired output type {_title(each)}")
    if pos_weight is None:
        loss = p.binary_cross_entropy_with_logits(x, y)
    else:
        loss = (1 - y) * x - (y * (pos_weight - 1) + 1) * log_sigmoid(x)
    loss = reduced(loss if weight is None else loss * weight, how)
    label(loss, "BinaryCrossEntropyWithLogitsBackward0")
    return loss


@op(namespace="nn.functional", method=False)
def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Return 1 at each index and 0 elsewhere along a new last dimension of `num_classes`, or as many as
    there are."""
    need_tensor(tensor, "one_hot", "tensor")
    a = tensor._array
    if a.dtype.name != "int64":
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor.")
    F = of(a)
    if num_classes < 0 and not a.size:
        raise RuntimeError("Can not infer total number of classes from empty tensor.")
    if num_classes < 0 or F.device_type == "cpu":  # only here torch waits for a device
        if a.size and int(a.min()) < 0:
            raise RuntimeError("Class values must be non-negative.")
        largest = int(a.max()) if a.size else -1
        if num_classes < 0:
            num_classes = largest + 1
        elif largest >= num_classes:
            raise RuntimeError("Class values must be smaller than num_classes.")
    return wrap(F.dense(F.astype(a[..., None] == F.arange(num_classes), "int64")))  # type: ignore[no-any-return]
