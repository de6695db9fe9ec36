"""Sums, means and maxima over bags of rows of a table, as torch.nn.functional spells them. It must not know any
derivative."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.backends import of
from gradcore.ops.arguments import need_tensor
from gradcore.ops.embedding import check_range, renormalize
from gradcore.ops.reductions import sum
from gradcore.ops.registry import label, op
from gradcore.primitives import elementwise as e
from gradcore.primitives import embedding as p
from gradcore.primitives import shape as s
from gradcore.primitives.activations import masked
from gradcore.primitives.pooling import argmax_at
from gradcore.primitives.products import matrix_transpose
from gradcore.primitives.selection import where
from gradcore.primitives.sorting import pick
from gradcore.recorder import wrap

if TYPE_CHECKING:
    from gradcore.tensor import Tensor


@op(namespace="nn.functional", method=False, node="EmbeddingBag")
def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """Return the "sum", "mean" or "max" of the rows of `weight` in each bag: (bags, columns).

    Bags are the rows of `input`, or parts of the vector `input` that begin at `offsets`. Rows count by
    `per_sample_weights` in sums, and not at all if they are `padding_idx`; an empty bag gives 0.
    """
    need_tensor(input, "embedding_bag")
    need_tensor(weight, "embedding_bag", "weight")
    _check(input, weight, offsets, mode, per_sample_weights, scale_grad_by_freq, sparse)
    if max_norm is not None:
        renormalize(weight, input, float(max_norm), float(norm_type))
    F, index, rows = of(weight._array), input._array, weight._array.shape[0]
    check_range(input, rows, "embedding_bag", RuntimeError)
    side_by_side = index.ndim == 2 and mode != "max"
    if side_by_side:  # bags as columns, since sums are fastest over the first dimension
        bags, count = index.shape
        index = F.ascontiguousarray(index.swapaxes(0, 1))
        if per_sample_weights is not None:
            per_sample_weights = matrix_transpose(per_sample_weights)
    else:
        begins, index = _begins(F, index, offsets, include_last_offset), index.reshape(-1)
        bags, count = begins.shape[0] - 1, index.size
    taken = p.embedding(weight, wrap(index), by_frequency=bool(scale_grad_by_freq))
    kept = None if padding_idx is None else index != _padding(padding_idx, rows)
    if mode == "max":
        return _largest(F, taken, kept, begins, input._array.shape)
    if kept is not None:
        taken = masked(taken, wrap(kept[..., None]))
    if per_sample_weights is not None:
        taken = e.multiply(taken, s.reshape(per_sample_weights, shape=(*index.shape, 1)))
    if side_by_side:
        total = sum(taken, 0)
        sizes = F.full((bags,), count, "int64") if kept is None else F.sum(F.astype(kept, "int64"), 0)
    else:
        bag = F.searchsorted(begins[1:], F.arange(count), "right")
        total = p.add_rows(taken, wrap(F.minimum(bag, max(bags - 1, 0))), rows=bags)
        sizes = begins[1:] - begins[:-1]
        if kept is not None:
            sizes = F.scatter_add(F.zeros((bags,), "int64"), (bag,), F.astype(kept, "int64"))
    if mode == "sum":
        return total
    return e.divide(total, wrap(F.astype(F.maximum(sizes, 1), weight._array.dtype).reshape((bags, 1))))  # type: ignore[no-any-return]


def _check(x: Any, weight: Any, offsets: Any, mode: str, shares: Any, by_frequency: bool, sparse: bool) -> None:
    if shares is not None and shares._array.shape != x._array.shape:
        raise ValueError(
            f"embedding_bag: If per_sample_weights ({list(shares._array.shape)}) is not None, then it must have the same "
            f"shape as the input ({list(x._array.shape)})"
        )
    if weight._array.ndim != 2:
        raise ValueError(f"weight has to be a 2D Tensor, but got Tensor of dimension {weight._array.ndim}")
    if x._array.ndim == 2 and offsets is not None:
        raise ValueError(
            "if input is 2D, then offsets has to be None, as input is treated is a mini-batch of fixed length sequences. "
            f"However, found offsets of type {type(offsets)}"
        )
    if x._array.ndim == 1 and (offsets is None or offsets._array.ndim != 1):
        raise ValueError(f"offsets has to be a 1D Tensor{' but got None' if offsets is None else ''}")
    if x._array.ndim not in (1, 2):
        raise ValueError(f"input has to be 1D or 2D Tensor, but got Tensor of dimension {x._array.ndim}")
    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum, mean or max")
    if mode == "max" and by_frequency:
        raise ValueError("max mode does not support scaling the gradient by the frequency")
    if mode == "max" and sparse:
        raise ValueError("max mode does not support sparse weights")
    if shares is not None and mode != "sum":
        raise NotImplementedError(
            "embedding_bag: per_sample_weights was not None. per_sample_weights is only supported for mode='sum' "
            f"(got mode='{mode}')."
        )
    for name, each in (("indices", x), ("offsets", offsets)):
        if each is not None and each._array.dtype.name not in ("int32", "int64"):
            raise RuntimeError(
                f"Expected tensor for argument '{name}' to have one of the following scalar types: Long, Int; but got "
                f"{dtypes.of(each._array.dtype)._title} instead (embedding_bag)"
            )
    if shares is not None and shares._array.dtype != weight._array.dtype:
        raise RuntimeError(
            f"expected weight and per_sample_weights to have the same dtype, but got {weight.dtype} and {shares.dtype} "
            "(embedding_bag)"
        )


def _begins(F: Any, x: Any, offsets: Any, include_last: bool) -> Any:
    """Where each bag begins, and where the last one ends."""
    if x.ndim == 2:
        return F.arange(x.shape[0] + 1) * x.shape[1]
    begins = F.astype(offsets._array, "int64")
    if include_last and not begins.size:
        raise RuntimeError("include_last_offset: number of offsets should be at least 1")
    if F.device_type == "cpu" and begins.size:
        if begins[0] != 0:
            raise RuntimeError(
                "offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from position 0. However, "
                f"got {int(begins[0])}"
            )
        if begins[-1] > x.size:
            raise RuntimeError(
                f"offsets[-1] can not be greater than input's length({x.size}), but got offsets[-1] of {int(begins[-1])}"
            )
    return begins if include_last else F.concatenate([begins, F.full((1,), x.size, "int64")], 0)


def _padding(padding_idx: int, rows: int) -> int:
    if not -rows <= padding_idx < rows:
        raise RuntimeError(
            f"padding_idx must be within the number of embeddings, -{rows} through {rows - 1}, but got {padding_idx}"
        )
    return padding_idx % rows


def _largest(F: Any, taken: Any, kept: Any, begins: Any, shape: tuple[int, ...]) -> Tensor:
    """The maxima over the bags of rows, 0 for bags of none."""
    count, bags = taken._array.shape[0], begins.shape[0] - 1
    if not count or not bags:
        return p.add_rows(taken, wrap(F.zeros((count,), "int64")), rows=bags)  # type: ignore[no-any-return]
    start, end = begins[:-1], begins[1:]
    sizes = end - start
    longest = shape[-1] if len(shape) == 2 else count
    if len(shape) == 1 and F.device_type == "cpu":  # a device would have to be asked
        longest = int(F.max(sizes, 0))
    if kept is not None:
        column = wrap(kept.reshape((count, 1)))
        taken = where(column, taken, float("-inf"))
        sizes = F.scatter_add(F.zeros((bags,), "int64"), (_bag_of(F, end, count, bags),), F.astype(kept, "int64"))
    steps = F.arange(max(longest, 1)).reshape((-1, 1))
    places = F.clip(F.minimum(start + steps, end - 1), 0, count - 1)[:, None]
    columns = matrix_transpose(taken)
    found = pick(columns, argmax_at(columns, wrap(places)), axis=1, keepdims=True, distinct=False)
    made = masked(matrix_transpose(found), wrap((sizes > 0).reshape((bags, 1))))
    label(made, "EmbeddingBagBackward0")
    return made  # type: ignore[no-any-return]


def _bag_of(F: Any, end: Any, count: int, bags: int) -> Any:
    return F.minimum(F.searchsorted(end, F.arange(count), "right"), bags - 1)
