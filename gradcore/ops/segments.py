"""Reductions into places: scatter_reduce, index_reduce and segment_reduce. It must not know any derivative."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.backends import of
from gradcore.ops import arguments, scatter
from gradcore.ops.arguments import converted, need_tensor
from gradcore.ops.registry import label, op
from gradcore.primitives import comparison as c
from gradcore.primitives import elementwise as e
from gradcore.primitives import indexing as p
from gradcore.primitives import segments as s
from gradcore.primitives.conversion import astype, copy
from gradcore.primitives.counting import searchsorted
from gradcore.primitives.joining import concatenate
from gradcore.primitives.selection import maximum, where
from gradcore.primitives.shape import reshape
from gradcore.recorder.value import wrap

if TYPE_CHECKING:
    from gradcore.tensor import Tensor

Index = tuple[Any, ...]


@op(inplace=True, out="exact")
def scatter_reduce(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """Reduce the elements of `src` into `input` along `dim` at `index`, with what stands there if `include_self`.

    `reduce` is sum, prod, mean, amax or amin. Raises RuntimeError out of range and for another `reduce`.
    """
    need_tensor(src, "scatter_reduce", "src")
    if reduce not in ("sum", "prod", "mean", "amax", "amin"):
        raise RuntimeError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}")
    x = scatter.row(input)
    at, array = scatter.checked(x, dim, index, src, "scatter_reduce")
    scatter.same_dtype(input, src, "scatter(): Expected self.dtype to be equal to src.dtype (scatter_reduce: {} and {})")
    values, places = scatter.cropped(src, array.shape), scatter.grid(array, at)
    return _reduced(input, x, values, places, reduce, include_self, "Scatter")  # type: ignore[no-any-return]


@op(inplace=True, out="exact")
def index_reduce(
    input: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """Reduce the slices of `source` along `dim` into those of `input` at `index`, with these if `include_self`.

    `reduce` is prod, mean, amax or amin. Raises IndexError out of range.
    """
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise RuntimeError(
            f"index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got {reduce}."
        )
    x = scatter.row(input)
    at, array, values = scatter.slices(x, dim, index, source, "index_reduce", RuntimeError)
    F, shape = of(array), values._array.shape
    wide = F.broadcast_to(array.reshape([-1 if i == at else 1 for i in range(len(shape))]), shape)
    return _reduced(input, x, values, scatter.grid(wide, at), reduce, include_self, "Index")  # type: ignore[no-any-return]


def _reduced(input: Any, x: Any, values: Any, index: Index, reduce: str, include: bool, kind: str) -> Any:
    dtype = x._array.dtype
    if reduce in ("amax", "amin") and dtype.kind == "c":
        title = dtypes.of(dtype)._title
        raise NotImplementedError(f"\"{kind.lower()}_reduce_{reduce}\" not implemented for '{title}'")
    if not values._array.size:
        out = copy(input)
        label(out, f"{kind}ReduceBackward0", (input,))
        return out
    if dtype.kind == "b":
        x, values = (converted(each, dtypes.uint8, kind) for each in (x, values))
    if reduce in ("amax", "amin"):
        out = s.index_extremum(x, values, index=index, largest=reduce == "amax", include=include)
    elif reduce == "prod":
        out = product_into(x, values, index, include)
    else:
        out = _sum(x, values, index, include, reduce == "mean")
    if dtype.kind == "b":
        out = converted(out, dtypes.bool, kind)
    out = out if x._array.shape == input._array.shape else reshape(out, shape=input._array.shape)
    label(out, f"{kind}ReduceBackward0", (input, values))
    return out


def _sum(x: Any, values: Any, index: Index, include: bool, mean: bool) -> Any:
    F = of(x._array)
    dtype = x._array.dtype if x._array.dtype.kind in "fV" else "int64"
    nothing, ones = wrap(F.zeros(x._array.shape, dtype)), wrap(F.ones(values._array.shape, dtype))
    counts = p.index_add(nothing, ones, index=index)
    if not include:
        x = where(c.greater(counts, 0), 0, x)
    out = p.index_add(x, values, index=index)
    if not mean:
        return out
    counts = astype(maximum(counts + 1 if include else counts, 1), dtype=x._array.dtype)
    return (e.floor_divide if x._array.dtype.kind in "iu" else e.divide)(out, counts)


def product_into(x: Any, values: Any, index: Index, include: bool) -> Any:
    """Products of pairs, of pairs of pairs, ...: nothing is divided, so that zeros are no special case."""
    F, shape = of(x._array), x._array.shape
    found = s.segments(F, index, shape, values._array.shape)
    n = values._array.size
    out = p.getitem(reshape(values, shape=(n,)), index=(found.order,))
    step = 1
    while step < n:
        after = concatenate(
            p.basic_getitem(out, index=(slice(step, None),)), p.basic_getitem(out, index=(slice(0, step),)), axis=0
        )
        out = e.multiply(out, where(wrap(s.partners(F, found, step)), after, 1))
        step *= 2
    there = wrap(F.reshape(found.there, shape))
    product = where(there, reshape(p.getitem(out, index=(found.first,)), shape=shape), 1)
    return e.multiply(x if include else where(there, 1, x), product)


# -- consecutive segments --------------------------------------------------------------------------------------------

_EMPTY = {"sum": 0.0, "mean": math.nan, "prod": 1.0, "max": -math.inf, "min": math.inf}


@op(method=False)
def segment_reduce(
    data: Tensor,
    reduce: str,
    *,
    lengths: Tensor | None = None,
    indices: Any = None,
    offsets: Tensor | None = None,
    axis: int = 0,
    unsafe: bool = False,
    initial: float | None = None,
) -> Tensor:
    """Reduce consecutive segments of `data` along `axis`, of the given `lengths` or between `offsets`, to one element each.

    `reduce` is sum, mean, max, min or prod; `initial` is what each begins with. Raises RuntimeError for lengths that do not
    cover `data`, unless it is said to be `unsafe` (which a device is not asked), NotImplementedError for integers.
    """
    need_tensor(data, "segment_reduce", "data")
    reduce = reduce.removeprefix("a") if reduce in ("amax", "amin") else reduce
    if reduce not in _EMPTY:
        raise RuntimeError(f"segment_reduce(): reduce must be one of {', '.join(_EMPTY)} (got {reduce})")
    F, axis = of(data._array), arguments.axis(axis, data._array.ndim)
    counts = _lengths(data, lengths, offsets, axis)
    _check_lengths(F, counts, data._array.shape[axis] if lengths is not None else None, unsafe)
    if data._array.dtype.kind not in "fV":
        title = dtypes.of(data._array.dtype)._title
        raise NotImplementedError(f"\"_segment_reduce_cpu\" not implemented for '{title}'")
    begin = 0 if lengths is not None else offsets._array[..., :1]  # type: ignore[union-attr]
    ends = F.cumsum(F.astype(counts, "int64"), axis) + begin
    n, trailing, m = data._array.shape[axis], data._array.ndim - axis - 1, counts.shape[-1]
    every = F.broadcast_to(F.arange(n), (*ends.shape[:-1], n))
    place = searchsorted.primitive.forward(F, ends, every, right=True)  # type: ignore[attr-defined]
    place = F.where(every < begin, m, place)
    place = F.broadcast_to(F.reshape(place, (*every.shape, *(1,) * trailing)), data._array.shape)
    some = unsafe or lengths is None  # what is in none of the segments has one more, which is dropped
    shape = (*counts.shape[:-1], m + some, *data._array.shape[axis + 1 :])
    start = {**_EMPTY, "mean": 0.0}[reduce] if initial is None or reduce in ("max", "min") else initial
    out = wrap(F.full(shape, start, data._array.dtype))
    index = scatter.grid(place, axis)
    if not data._array.size:
        out = p.index_add(out, data, index=index)
    elif reduce in ("max", "min"):
        largest = reduce == "max"
        out = s.index_extremum(out, data, index=index, largest=largest, include=False, nan_won=True)
    else:
        out = product_into(out, data, index, True) if reduce == "prod" else p.index_add(out, data, index=index)
    if some:
        out = p.getitem(out, index=(*(slice(None),) * axis, F.arange(m)))
    if reduce == "mean":
        known = F.reshape(F.astype(counts, data._array.dtype), (*counts.shape, *(1,) * trailing))
        known = known if initial is None else F.maximum(known, 1)
        out = e.divide(out, wrap(known))
    elif reduce in ("max", "min") and initial is not None:
        beaten = c.less(out, initial) if reduce == "max" else c.less(initial, out)
        out = where(beaten, initial, out)
    label(out, "SegmentReduceBackward0", (data,))
    return out  # type: ignore[no-any-return]


def _lengths(data: Any, lengths: Any, offsets: Any, axis: int) -> Any:
    if lengths is None and offsets is None:
        raise RuntimeError("segment_reduce(): Either lengths or offsets must be defined.")
    given = lengths if lengths is not None else offsets
    need_tensor(given, "segment_reduce", "lengths")
    array = given._array
    if array.dtype.kind != "i":
        title = dtypes.of(array.dtype)._title
        raise NotImplementedError(f"\"_segment_reduce_lengths_cpu_kernel1\" not implemented for '{title}'")
    if axis != array.ndim - 1 or array.shape[:-1] != data._array.shape[:axis]:
        raise RuntimeError(f"segment_reduce(): Expected axis to be the last dimension of lengths but got {axis}.")
    return array if lengths is not None else array[..., 1:] - array[..., :-1]


def _check_lengths(F: Any, counts: Any, n: int | None, unsafe: bool) -> None:
    if unsafe or F.device_type != "cpu" or not counts.size:
        return
    if int(counts.min()) < 0:
        raise RuntimeError("lengths contains negative value!")
    if n is not None and not (F.sum(counts, -1) == n).all():
        raise RuntimeError(
            "segment_reduce(): Expected all rows of lengths along axis to sum to data.size(lengths.dim()-1) when !unsafe."
        )
