"""Losses that want the scores of right classes above others by a margin, as torch.nn.functional spells them. It must not
know any derivative."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.backends import of
from gradcore.ops.arguments import need_tensor
from gradcore.ops.losses import reduced, which_reduction
from gradcore.ops.reductions import sum
from gradcore.ops.registry import label, op
from gradcore.primitives import activations as a
from gradcore.primitives import comparison as c
from gradcore.primitives import elementwise as e
from gradcore.primitives import shape as s
from gradcore.primitives.sorting import pick
from gradcore.recorder import wrap

if TYPE_CHECKING:
    from gradcore.tensor import Tensor


def _check(name: str, x: Any, target: Any) -> None:
    need_tensor(x, name)
    need_tensor(target, name, "target")
    if x._array.dtype.kind in "biuc":
        raise NotImplementedError(f"\"{name}_out_frame\" not implemented for '{dtypes.of(x._array.dtype)._title}'")
    if target._array.dtype.name != "int64":
        raise RuntimeError(f"expected scalar type Long but found {dtypes.of(target._array.dtype)._title} ({name})")


def _in_range(name: str, target: Any, low: int, classes: int) -> None:
    """Raise RuntimeError for a class that there is none of; on a device nobody waits to see."""
    if of(target).device_type == "cpu" and target.size and (int(target.min()) < low or int(target.max()) >= classes):
        raise RuntimeError(f"{name}: argument target is out of range: expected {low} to {classes - 1}")


def _positive(x: Any, counted: Any) -> Any:
    """`x` where it counts and is positive, else 0: NaN is not."""
    return a.masked(x, c.logical_and(counted, c.greater(x, 0)))


@op(namespace="nn.functional", method=False)
def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return the mean (sum, none) of sum_i max(0, margin - x[target] + x[i])**p / C over the other classes of (N, C) or
    (C,).

    `weight` has one number per class, by which targets count.
    """
    how = which_reduction(reduction, size_average, reduce)
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    if weight is not None and weight._array.ndim != 1:
        raise ValueError("weight must be one-dimensional")
    _check("multi_margin_loss", input, target)
    shape, classes = tuple(input._array.shape), input._array.shape[-1] if input._array.ndim else 1
    rows = shape[0] if len(shape) == 2 else 1
    if len(shape) > 2 or classes == 0:
        raise RuntimeError(
            f"Expected non-empty vector or matrix with optional 0-dim batch size, but got: {list(shape)} (multi_margin_loss)"
        )
    if target._array.ndim > 1 or target._array.size != rows:
        raise RuntimeError(f"inconsistent target size, expected {rows} but got {list(target._array.shape)}")
    if weight is not None and weight._array.size != classes:
        raise RuntimeError(f"inconsistent weight size, expected {classes} but got {list(weight._array.shape)}")
    _in_range("multi_margin_loss", target._array, 0, classes)
    F = of(input._array)
    x, chosen = s.reshape(input, shape=(rows, classes)), target._array.reshape((rows, 1))
    own = pick(x, wrap(chosen), axis=1, keepdims=True, distinct=True)
    excess = _positive((margin - own) + x, wrap(F.arange(classes) != chosen))
    each = sum(excess if p == 1 else e.multiply(excess, excess), 1)
    if weight is not None:
        each = each * wrap(F.take(weight._array, chosen[:, 0]))
    made = reduced(s.reshape(each / classes, shape=target._array.shape if how == "none" else (rows,)), how)
    label(made, "MultiMarginLossBackward0", (input,))
    return made


@op(namespace="nn.functional", method=False)
def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return the mean (sum, none) of sum_ij max(0, 1 - (x[target[j]] - x[i])) / C over labels j and classes i that are
    none, of (N, C) or (C,).

    The labels of a row are the elements of `target`, of the same shape, before its first negative one.
    """
    how = which_reduction(reduction, size_average, reduce)
    _check("multilabel_margin_loss", input, target)
    shape = tuple(input._array.shape)
    if len(shape) > 2 or 0 in shape[-1:]:
        raise RuntimeError(
            f"Expected non-empty vector or matrix with optional 0-dim batch size, but got: {list(shape)} "
            "(multilabel_margin_loss)"
        )
    if tuple(target._array.shape) != shape:
        raise RuntimeError(f"inconsistent target size: {list(target._array.shape)} for input of size: {list(shape)}")
    classes = shape[-1] if shape else 1
    rows = shape[0] if len(shape) == 2 else 1
    _in_range("multilabel_margin_loss", target._array, -1, classes)
    F = of(input._array)
    x, labels = s.reshape(input, shape=(rows, classes)), target._array.reshape((rows, classes))
    given = F.cumsum(F.astype(labels < 0, "int64"), 1) == 0
    if F.device_type == "cpu":  # no more columns than a row has labels
        most = int(F.max(F.sum(given, 1), 0)) if rows else 0
        labels, given = labels[:, :most], given[:, :most]
    labels = F.where(given, labels, 0)
    row = F.arange(rows).reshape((rows, 1))
    times = F.scatter_add(F.zeros((rows, classes), "int64"), (row, labels), F.astype(given, "int64"))
    own = s.reshape(pick(x, wrap(labels), axis=1, keepdims=True, distinct=False), shape=(*labels.shape, 1))
    counted = given[:, :, None] & (times == 0)[:, None, :]
    excess = _positive((1 - own) + s.reshape(x, shape=(rows, 1, classes)), wrap(counted))
    each = sum(excess, (1, 2)) / classes
    made = reduced(s.reshape(each, shape=(rows,) if len(shape) == 2 else ()), how)
    label(made, "MultilabelMarginLossBackward0", (input,))
    return made
