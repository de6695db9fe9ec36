"""How a batch goes through indices with arrays and through writes into parts. It must not know any derivative.

Rules as in `batching.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradcore.backends import of
from gradcore.recorder.primitive import Primitive
from gradcore.recorder.steps import Raw
from gradcore.transforms.batches import Batched, at_front, batched, for_each, inner, is_mapped, one_by_one
from gradcore.transforms.batching import F, arange_like, batching, moved_axis
from gradcore.transforms.lifted import Frame, evaluate

Array = Any

# An index with arrays, of x with a batch in front: the batch is one more array of the index, if the arrays differ over it.
# Where arrays stand apart NumPy puts their axes first, so the batch is taken there and brought back.


def _index(frame: Frame, index: tuple[Any, ...], x_shape: Any) -> tuple[tuple[Any, ...], int]:
    """The index with the batch in front, and where in the result the batch then is."""
    arrays = [item for item in index if hasattr(item, "dtype")]
    places = [i for i, item in enumerate(index) if hasattr(item, "dtype")]
    together = places == list(range(places[0], places[-1] + 1))
    if not any(is_mapped(frame, a) for a in arrays):
        rank = max(1 if a.dtype.kind == "b" else a.ndim for a in arrays)
        return (slice(None), *inner(frame, index)), 0 if together else rank
    rank = max(a.ndim for a in arrays)
    turned: list[Any] = []
    for item in index:
        if is_mapped(frame, item):
            turned.append(F.reshape(item.data, shape=(frame.size, *(1,) * (rank - item.ndim), *item.shape)))
        else:
            turned.append(inner(frame, item))
    first = next(a for a in turned if hasattr(a, "dtype"))
    lead = F.reshape(arange_like(first, frame.size), shape=(frame.size, *(1,) * rank))
    return (lead, *turned), 0


def _has_masks(frame: Frame, index: tuple[Any, ...]) -> bool:
    """Whether masks name the elements and these are others for each of the batch."""
    arrays = [item for item in index if hasattr(item, "dtype")]
    return any(a.dtype.kind == "b" for a in arrays) and any(is_mapped(frame, a) for a in arrays)


def _swap(frame: Frame, index: tuple[Any, ...], x_ndim: int) -> tuple[int, int] | None:
    """How many axes of slices stand before the arrays, and the rank of these, where the batch must jump over the slices."""
    places = [i for i, item in enumerate(index) if hasattr(item, "dtype")]
    if not any(is_mapped(frame, item) for item in index) or places[0] == 0:
        return None
    if places != list(range(places[0], places[-1] + 1)):
        return None  # the arrays' axes come first in any case
    return places[0], max(item.ndim for item in index if hasattr(item, "dtype"))


def _out_of_index(frame: Frame, made: Array, index: tuple[Any, ...], at: int) -> Array:
    """A result of an index with the batch in front, as each of the batch has it."""
    swap = _swap(frame, index, 0)
    if swap is not None:  # (B, *arrays, *slices before, *rest): the arrays go behind the slices before
        before, rank = swap
        order = [0, *range(rank + 1, rank + 1 + before), *range(1, rank + 1), *range(rank + 1 + before, made.ndim)]
        return F.transpose(made, axes=tuple(order))
    return moved_axis(made, at, 0) if at else made


def _into_index(frame: Frame, values: Array, index: tuple[Any, ...], at: int) -> Array:
    """The transpose of `_out_of_index`."""
    swap = _swap(frame, index, 0)
    if swap is not None:
        before, rank = swap
        order = [0, *range(before + 1, before + 1 + rank), *range(1, before + 1), *range(rank + 1 + before, values.ndim)]
        return F.transpose(values, axes=tuple(order))
    return moved_axis(values, 0, at) if at else values


@batching("getitem")
def _getitem(frame: Frame, op: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Array:
    x, index = args[0], params["index"]
    if not is_mapped(frame, x) and len(index) == 1 and is_mapped(frame, index[0]) and index[0].dtype.kind != "b":
        return evaluate(op, inner(frame, x), index=(index[0].data,))
    if _has_masks(frame, index):
        return for_each(frame, op, args, params).data
    whole, at = _index(frame, index, x.shape)
    return _out_of_index(frame, evaluate(op, at_front(frame, x), index=whole), index, at)


@batching("scatter_zeros")
def _scatter_zeros(frame: Frame, op: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Array:
    if _has_masks(frame, params["index"]):
        return for_each(frame, op, args, params).data
    whole, at = _index(frame, params["index"], params["shape"])
    x = _into_index(frame, at_front(frame, args[0]), params["index"], at)
    return evaluate(op, x, index=whole, shape=(frame.size, *params["shape"]))


@batching("index_put", "index_add")
def _index_put(frame: Frame, op: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Array:
    x, values = args
    if _has_masks(frame, params["index"]):  # which name as many elements each, or values that are a number
        return for_each(frame, op, args, params).data
    whole, at = _index(frame, params["index"], x.shape)
    if hasattr(values, "dtype"):
        if values.ndim == 0:
            values = F.reshape(at_front(frame, values), shape=(frame.size, *(1,) * (_index_rank(params["index"], x.ndim))))
            shape = F.getitem(at_front(frame, x), index=whole).shape
            values = F.expand(values, shape=shape) if not at else values
        else:
            values = _into_index(frame, at_front(frame, values), params["index"], at)
    return evaluate(op, at_front(frame, x), values, index=whole)


@batching("index_extremum")
def _index_extremum(frame: Frame, op: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Array:
    # Its index has arrays for all axes: the number in the batch is one more.
    x, values = (at_front(frame, a) for a in args)
    rank = values.ndim - 1
    index = [F.reshape(arange_like(values, frame.size), shape=(frame.size, *(1,) * rank))]
    for item in params["index"]:
        shape = (frame.size, *(1,) * (rank - item.ndim), *item.shape)
        index.append(F.reshape(item.data, shape=shape) if is_mapped(frame, item) else inner(frame, item))
    return evaluate(op, x, values, **{**params, "index": tuple(index)})


def _index_rank(index: tuple[Any, ...], ndim: int) -> int:
    arrays = [item for item in index if hasattr(item, "dtype")]
    taken = sum(item.ndim if item.dtype.kind == "b" else 1 for item in arrays)
    return ndim - taken + max(1 if item.dtype.kind == "b" else item.ndim for item in arrays)


@batching("slice_update")
def _slice_update(frame: Frame, op: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Array:
    x = batched(frame, F.copy(at_front(frame, args[0])))
    part = args[1]
    shown = params["view"](Raw(x.backend), x)
    if not isinstance(shown, Batched) or x.backend.storage(shown) is not x.backend.storage(x):
        return one_by_one(frame, op, args, params).data
    values = at_front(frame, part) if hasattr(part, "dtype") else part
    of(shown.data).setitem(of(shown.data).writable(shown.data), ..., values)
    return x.data
