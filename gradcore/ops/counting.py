"""Counts, searches, histograms, distinct elements, as torch spells them. It must not know any derivative."""

from __future__ import annotations

import math
from math import isfinite
from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.backends import of
from gradcore.ops import arguments
from gradcore.ops.arguments import converted, need_tensor
from gradcore.ops.filling import full_like
from gradcore.ops.registry import op
from gradcore.ops.return_types import Named, return_type
from gradcore.primitives import counting as c
from gradcore.primitives import reductions as r
from gradcore.primitives import sorting as s
from gradcore.primitives.comparison import equal, logical_and, logical_not
from gradcore.primitives.conversion import copy
from gradcore.primitives.elementwise import divide, multiply
from gradcore.primitives.indexing import getitem, select
from gradcore.primitives.selection import minimum, where
from gradcore.primitives.shape import reshape
from gradcore.recorder.value import Value, wrap

if TYPE_CHECKING:
    from gradcore.tensor import Tensor


def _over(dim: Any, ndim: int) -> tuple[int, ...]:
    """As `arguments.axes`, but no dimensions are none."""
    return () if isinstance(dim, (tuple, list)) and not dim else arguments.axes(dim, ndim)


@op(out="bool")
def all(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Say whether all elements over `dim` (all by default) are nonzero; a bool, uint8 for uint8."""
    need_tensor(input, "all")
    return c.all(input, axis=_over(dim, input._array.ndim), keepdims=keepdim)  # type: ignore[no-any-return]


@op(out="bool")
def any(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Say whether any element over `dim` (all by default) is nonzero; a bool, uint8 for uint8."""
    need_tensor(input, "any")
    return c.any(input, axis=_over(dim, input._array.ndim), keepdims=keepdim)  # type: ignore[no-any-return]


@op()
def count_nonzero(input: Tensor, dim: Any = None) -> Tensor:
    """Count the nonzero elements over `dim` (all by default); int64."""
    need_tensor(input, "count_nonzero")
    return c.count_nonzero(input, axis=arguments.axes(dim, input._array.ndim))  # type: ignore[no-any-return]


def _title(x: Tensor) -> str:
    return dtypes.of(x._array.dtype)._title


@op()
def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """Count each integer from 0 to the largest of the one-dimensional `input`, or add up its `weights`."""
    need_tensor(input, "bincount")
    a = input._array
    if a.dtype.kind not in "iu":
        raise NotImplementedError(f"\"bincount_cpu\" not implemented for '{_title(input)}'")
    if minlength < 0:
        raise RuntimeError("minlength should be >= 0")
    if a.ndim != 1 or (a.size and bool(of(a).to_host(a.min()) < 0)):
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if not a.size:
        weights = None  # counts of nothing are integers, whatever weighs them
    if weights is not None and weights._array.shape != a.shape:
        raise RuntimeError("weights should be 1-d and have the same length as input")
    counts: Tensor = c.bincount(input, weights, minlength=minlength)
    return _added(counts, input, weights) if _is_followed(weights) else counts


# -- sorted arrays ----------------------------------------------------------------------------------------


def _tensor_like(value: Any, other: Value) -> Tensor:
    """A number as a 0-d Tensor where `other` is; a Tensor as it is."""
    return value if isinstance(value, Value) else wrap(of(other._array).asarray(value))  # type: ignore[return-value]


@op(method=False, out="exact")
def bucketize(input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False) -> Tensor:
    """Return how many `boundaries` (sorted, 1-d) are below each value or, with `right`, at most it."""
    need_tensor(boundaries, "bucketize", "boundaries")
    if boundaries._array.ndim != 1:
        raise RuntimeError(f"boundaries tensor must be 1 dimension, but got dim({boundaries._array.ndim})")
    return _searched(boundaries, input, right, out_int32)


@op(method=False, out="exact")
def searchsorted(
    sorted_sequence: Tensor,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """Return where each value would go in the innermost dimension of `sorted_sequence` to keep it sorted.

    The other dimensions must be those of `input`, or none. Of equal elements a value goes before the first
    or, with `right` or `side="right"`, after the last. `sorter` has the indices that sort the sequence.
    """
    need_tensor(sorted_sequence, "searchsorted", "sorted_sequence")
    if side not in (None, "left", "right"):
        raise RuntimeError(f"torch.searchsorted(): side can only be 'left' or 'right' but got {side}")
    if side == "left" and right:
        raise RuntimeError(
            "torch.searchsorted(): side and right can't be set to opposites, got side of left while right was True"
        )
    values = _tensor_like(input, sorted_sequence)
    a, v = sorted_sequence._array, values._array
    if a.ndim == 0:
        raise RuntimeError("torch.searchsorted(): boundaries tensor should have positive dimension, but got 0 dimension")
    if a.ndim > 1 and v.ndim == 0:
        raise RuntimeError(
            "torch.searchsorted(): input value can be a scalar only when boundaries tensor dimension is 1, "
            f"but we got boundaries tensor dim({a.ndim}) and input value's dim(0) numel(1)"
        )
    if a.ndim > 1 and a.shape[:-1] != v.shape[:-1]:
        raise RuntimeError(
            "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions of "
            "boundaries tensor and input value tensor must match, but we got boundaries tensor "
            f"{list(a.shape)} and input value tensor {list(v.shape)}"
        )
    if sorter is not None:
        sorted_sequence = _in_order(sorted_sequence, sorter)
    return _searched(sorted_sequence, values, right or side == "right", out_int32)


def _in_order(x: Tensor, sorter: Tensor) -> Tensor:
    order, a = sorter._array, x._array
    if order.shape != a.shape:
        raise RuntimeError(
            "torch.searchsorted(): boundary and sorter must have the same size, but got boundary tensor "
            f"{list(a.shape)} and got sorter tensor {list(order.shape)}"
        )
    if order.dtype != "int64":
        raise RuntimeError(f"torch.searchsorted(): sorter must be a tensor of long dtype but got dtype {_title(sorter)}")
    if order.size and bool(of(a).to_host((order < 0) | (order >= a.shape[-1])).any()):
        raise RuntimeError("torch.searchsorted(): sorter index out of range")
    return s.pick(x, sorter, axis=a.ndim - 1)  # type: ignore[no-any-return]


def _searched(x: Tensor, values: Any, right: bool, out_int32: bool) -> Tensor:
    found = c.searchsorted(x, _tensor_like(values, x), right=right)
    return converted(found, dtypes.int32 if out_int32 else dtypes.int64, "searchsorted")  # type: ignore[no-any-return]


@op(method=False, out="exact")
def isin(
    elements: Any = None, test_elements: Any = None, *, assume_unique: bool = False, invert: bool = False,
    element: Any = None, test_element: Any = None,
) -> Tensor:  # fmt: skip
    """Say of each element whether it is among `test_elements` (or, with `invert`, whether it is not).

    A number is called `element` or `test_element` by torch.
    """
    elements = element if elements is None else elements
    test_elements = test_element if test_elements is None else test_elements
    given = [x for x in (elements, test_elements) if isinstance(x, Value)]
    if not given:
        raise TypeError("isin(): at least one of elements and test_elements must be a Tensor")
    x, tests = _tensor_like(elements, given[0]), _tensor_like(test_elements, given[0])
    for each in (x, tests):
        if each._array.dtype.kind in "bc":
            raise RuntimeError(f"Unsupported input type encountered for isin(): {_title(each)}")
    count = tests._array.size
    if not count:
        return full_like(x, invert, dtype=dtypes.bool)
    flat = reshape(tests.detach(), shape=(count,))
    ordered = s.pick(flat, s.argsort(flat, axis=0), axis=0)
    place = minimum(c.searchsorted(ordered, x, right=False), count - 1)
    found = equal(getitem(ordered, index=(place._array,)), x)
    return logical_not(found) if invert else found  # type: ignore[no-any-return]


# -- histograms -------------------------------------------------------------------------------------------


def _range(x: Tensor, low: float, high: float, margin: float, name: str) -> tuple[Any, Any]:
    """The ends to count between: those of the data if none are given, a margin further if they are one."""
    a = x._array
    if low == high and a.size and hasattr(of(a), "interpreter"):  # each of a batch has its own, which nobody reads
        least, most = x.amin(), x.amax()
        one = equal(least, most)
        return where(one, least - margin, least), where(one, most + margin, most)
    if low == high and a.size:
        F = of(a)
        low, high = float(F.to_host(F.min(a))), float(F.to_host(F.max(a)))
    if not (isfinite(low) and isfinite(high)):
        raise RuntimeError(f"{name}: range of [{low}, {high}] is not finite")
    if low != high:
        return low, high
    return (low - margin, high + margin) if a.size else (low, low + 1.0)


@op(out=True)
def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """Count the elements in `bins` equal parts of [min, max], by default between the extrema."""
    need_tensor(input, "histc")
    if input._array.dtype.kind in "biuc":
        raise NotImplementedError(f"\"histogram_cpu\" not implemented for '{_title(input)}'")
    if arguments.whole("histc", "bins", bins) <= 0:
        raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {bins} for dimension 0")
    if min > max:
        raise RuntimeError("torch.histc: max must be larger than min")
    x = input.detach()
    low, high = _range(x, min, max, 1.0, "torch.histc")
    # Beside one large number a margin is nothing: all parts are empty then, and it counts as in their middle.
    nothing = not isinstance(low, Value) and low == high
    parts = x * 0 + bins // 2 if nothing else (x - low) / (high - low) * bins
    places = converted(parts, dtypes.int64, "histc")
    places = where(places >= bins, bins - 1, places)  # the end, and what rounding takes there
    inside = logical_and(logical_and(x >= low, x <= high), places >= 0)  # what overflows is nowhere
    return _counts(x, where(inside, places, bins), bins, None)  # type: ignore[no-any-return]


def _counts(x: Any, places: Any, bins: int, weights: Any) -> Any:
    """How many of the elements of `x`, or how much of `weights`, are at each of the places below `bins`."""
    if _is_followed(weights):
        beyond = wrap(of(x._array).zeros((bins + 1,), x._array.dtype))
        return _added(beyond, minimum(places, bins), weights)[:bins]
    rows = [each if each is None else reshape(each, shape=(1, x._array.size)) for each in (places, weights)]
    return reshape(c.tally(*rows, bins=bins, dtype=x._array.dtype), shape=(bins,))


def _is_followed(t: Any) -> bool:
    """Whether somebody differentiates by `t`: then what is gathered of it is, which counting would not show."""
    return t is not None and (t.requires_grad or hasattr(of(t._array), "interpreter"))


def _added(like: Any, places: Any, weights: Any) -> Any:
    """The sums of the `weights` at each of the places of `like`."""
    values = reshape(weights, shape=(-1,)).to(like.dtype)
    return like.new_zeros(like.shape).index_add(0, reshape(places, shape=(-1,)), values)


def _edges(a: Any, low: Any, high: Any, bins: int) -> Any:
    """The ends of `bins` equal parts of [low, high]."""
    if not isinstance(low, Value):
        return wrap(of(a).astype(of(a).linspace(low, high, bins + 1), a.dtype))
    parts = wrap(of(a).astype(of(a).linspace(0.0, 1.0, bins + 1), a.dtype))
    return where(equal(parts, 1), high, low + (high - low) * parts)


_Histogram = return_type("histogram", "hist", "bin_edges")
_HistogramDd = return_type("histogramdd", "hist", "bin_edges")


def _histogram_edges(x: Tensor, bins: Any, range: Any) -> Any:
    if isinstance(bins, Value):
        if bins._array.ndim != 1:
            raise RuntimeError(
                f"torch.histogramdd: bins tensor should have one dimension, but got {bins._array.ndim} dimensions"
            )
        if not bins._array.size:
            raise RuntimeError("torch.histogramdd: bins tensor should have at least 1 element, but got 0 elements")
        if bins._array.size == 1:
            raise RuntimeError("torch.histogram(): bins must be > 0, but got 0 for dimension 0 (one edge)")
        return copy(wrap(bins._array))
    if bins <= 0:
        raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {bins} for dimension 0")
    if range is not None and len(range) != 2:
        raise RuntimeError(f"torch.histogramdd: for a 1-dimensional histogram range should have 2 elements, but got {range}")
    low, high = (0.0, 0.0) if range is None else range
    if low > high:
        raise RuntimeError(f"torch.histogramdd: min should not exceed max, but got min {low} max {high}")
    if range is not None and low == high:
        low, high = low - 0.5, high + 0.5
    low, high = _range(x, low, high, 0.5, "torch.histogramdd")
    return _edges(x._array, low, high, bins)


def _histogram_places(x: Tensor, edges: Any, bins: int) -> Any:
    """The parts the elements lie in, the greatest edge being of the last; -1 or `bins` for those that are outside."""
    return where(equal(x, select(edges, index=(bins,))), bins - 1, c.searchsorted(edges, x, right=True) - 1)


@op(method=False)
def histogramdd(
    input: Tensor, bins: Any, range: Any = None, weight: Tensor | None = None, density: bool = False
) -> Named:
    """Return (hist, bin_edges): counts, sums of `weight` or a density of the points (*, D), in boxes.

    `bins` is a number of parts for all dimensions or one for each, or the edges for each; `range` has two numbers for each.
    """
    need_tensor(input, "histogramdd")
    if input._array.ndim < 2:
        raise RuntimeError(
            f"torch.histogramdd: input tensor should have at least 2 dimensions, but got {input._array.ndim} "
            f"(shape {list(input._array.shape)})"
        )
    n, d = math.prod(input._array.shape[:-1]), input._array.shape[-1]
    points = reshape(input.detach(), shape=(n, d))
    each = [bins] * d if isinstance(bins, int) else list(bins)
    for what, size, wanted in (("bins", len(each), d), ("range", 2 * d if range is None else len(range), 2 * d)):
        if size != wanted:
            raise RuntimeError(
                f"histogramdd: The size of {what} must be equal to {'twice ' * (what == 'range')}the innermost dimension of "
                f"the input. (got {size}, shape {list(input._array.shape)})"
            )
    if not d:  # a box of no dimensions holds no points, as in torch
        return _HistogramDd((full_like(reshape(points, shape=(0,)).sum(), math.nan if density else 0.0), ()))
    places: Any = None
    sizes: list[int] = []
    edges: list[Tensor] = []
    for i, some in enumerate(each):
        x = select(points, index=(slice(None), i))
        ends = _histogram_edges(x, some, None if range is None else range[2 * i : 2 * i + 2])
        size = ends._array.shape[0] - 1
        place = _histogram_places(x, ends, size)
        inside = logical_and(place >= 0, place < size)
        number = place if places is None else where(places < 0, places, places * size + place)
        places = where(inside, number, -1)
        sizes.append(size)
        edges.append(ends)
    total = math.prod(sizes)
    flat = None if weight is None else reshape(weight, shape=(n,))
    first = select(points, index=(slice(None), 0))
    hist = reshape(_counts(first, where(places < 0, total, places), total, flat), shape=tuple(sizes))
    if density:
        hist = divide(hist, r.sum(hist, axis=None))
        for i, ends in enumerate(edges):
            shape = tuple(size if j == i else 1 for j, size in enumerate(sizes))
            hist = divide(hist, wrap((ends._array[1:] - ends._array[:-1]).reshape(shape)))
    return _HistogramDd((hist, tuple(edges)))


@op(out=True)
def histogram(input: Tensor, bins: Any, *, range: Any = None, weight: Tensor | None = None, density: bool = False) -> Named:
    """Return (hist, bin_edges): counts, sums of `weight` or a density, in equal parts or between edges."""
    need_tensor(input, "histogram")
    x, a = input.detach(), input._array
    if a.dtype.kind in "biuc":
        raise NotImplementedError(f"\"histogramdd\" not implemented for '{_title(input)}'")
    if weight is not None and weight._array.shape != a.shape:
        raise RuntimeError(
            "torch.histogramdd: if weight tensor is provided it should have the same shape as the "
            f"input tensor, but got input with shape {list(a.shape)} and weight with shape {list(weight._array.shape)}"
        )
    edges = _histogram_edges(x, bins, range)
    bins = edges._array.shape[0] - 1
    places = _histogram_places(x, edges, bins)
    hist = _counts(x, where(places < 0, bins, places), bins, weight)
    if density:
        e = edges._array
        hist = divide(hist, multiply(r.sum(hist, axis=None), wrap(e[1:] - e[:-1])))
    return _Histogram((hist, edges))


# -- distinct elements ------------------------------------------------------------------------------------


def _along(input: Tensor, dim: int) -> int:
    """`dim` counted from the front. Raises RuntimeError for slices without elements."""
    shape = input._array.shape
    axis = arguments.axis(dim, len(shape))
    if 0 in shape[:axis] + shape[axis + 1 :]:
        raise RuntimeError(
            f"There are 0 sized dimensions, and they aren't selected, so unique cannot be applied (dim {dim})"
            if shape[axis]
            else f"Number of zero sized dimensions is more than one, so unique cannot be applied (shape {list(shape)})"
        )
    return axis


def _chosen(input: Tensor, axis: int | None, found: Any, return_inverse: bool, return_counts: bool) -> Any:
    values, inverse, counts = found
    if _is_followed(input):  # the first of those that are equal has the gradient
        order = reshape(inverse, shape=(-1,)).argsort(stable=True)
        first = order.index_select(0, counts.cumsum(0) - counts)
        values = reshape(input, shape=(-1,)).index_select(0, first) if axis is None else input.index_select(axis, first)
    wanted = (values, *((inverse,) if return_inverse else ()), *((counts,) if return_counts else ()))
    return wanted if len(wanted) > 1 else values


@op()
def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """Return the distinct elements in order, or the distinct slices along `dim`; no two NaN are the same.

    `return_inverse` adds where each element is among them, `return_counts` how often each of them occurs.
    """
    need_tensor(input, "unique")
    if dim is None and not return_inverse and not return_counts and not _is_followed(input):
        return c.distinct(input)
    axis = None if dim is None else _along(input, dim)
    return _chosen(input, axis, c.unique(input, axis=axis), return_inverse, return_counts)


@op()
def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """Return the elements, or the slices along `dim`, unlike the one before; the rest as `unique`."""
    need_tensor(input, "unique_consecutive")
    if dim is not None and not input._array.ndim:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions (unique_consecutive)")
    axis = None if dim is None else _along(input, dim)
    return _chosen(input, axis, c.unique_runs(input, axis=axis), return_inverse, return_counts)
