"""Sums and means, as torch spells them. It must not know any derivative."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.ops import arguments
from gradcore.ops.arguments import Axes, converted, need_tensor
from gradcore.ops.registry import label, op
from gradcore.primitives import comparison as compare
from gradcore.primitives import elementwise as e
from gradcore.primitives import reductions as r
from gradcore.primitives import selection as choose
from gradcore.primitives.shape import reshape
from gradcore.recorder import renamed

if TYPE_CHECKING:
    from gradcore.tensor import Tensor

_sum_over = renamed(r.sum, "SumBackward1")
_mean_over = renamed(r.mean, "MeanBackward1")


def count_over(x: Tensor, axes: Axes) -> int:
    """How many elements are reduced to one."""
    shape = x._array.shape
    return math.prod([shape[i] for i in axes])


@op(out="dtype")
def sum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Add up the elements over `dim` (all of them by default); booleans and integers add up in int64."""
    if dim is None and dtype is None and not keepdim and input._array.dtype.kind in "fc":
        return r.sum(input, axis=None)  # type: ignore[no-any-return]
    need_tensor(input, "sum")
    x = converted(input, dtype, "sum")
    axes = arguments.axes(dim, x._array.ndim)
    if x._array.dtype.kind in "biu":
        made = r.integer_sum(x, axis=axes, keepdims=keepdim)
        return made if dtype is None else converted(made, dtype, "sum")  # type: ignore[no-any-return]
    add_up = r.sum if dim is None and not keepdim else _sum_over
    return add_up(x, axis=axes, keepdims=keepdim)  # type: ignore[no-any-return]


@op(out=True)
def mean(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Average the elements over `dim` (all by default). Raises RuntimeError for booleans and integers."""
    if dim is None and dtype is None and not keepdim and (a := input._array).dtype.kind in "fc":
        return r.mean(input, None, a.size)  # type: ignore[no-any-return]
    need_tensor(input, "mean")
    x = converted(input, dtype, "mean")
    if x._array.dtype.kind in "biu":
        which = "Input" if dtype is None else "Optional"
        raise RuntimeError(
            f"mean(): could not infer output dtype. {which} dtype must be either a floating point or complex "
            f"dtype. Got: {dtypes.of(x._array.dtype)._title}"
        )
    axes = arguments.axes(dim, x._array.ndim)
    average = r.mean if dim is None and not keepdim else _mean_over
    return average(x, axis=axes, count=count_over(x, axes), keepdims=keepdim)  # type: ignore[no-any-return]


@op(function=False)
def sum_to_size(input: Tensor, *size: Any) -> Tensor:
    """Add up what broadcasting `size` to the shape of `input` would repeat. Raises RuntimeError if it does not broadcast."""
    shape, have = arguments.shape(size), input._array.shape
    lead = len(have) - len(shape)
    if lead < 0 or any(m not in (1, n) for m, n in zip(shape, have[lead:], strict=True)):
        raise RuntimeError(f"size {{{list(shape)}}} is not expandable to size {{{list(have)}}}.")
    axes = tuple(i for i, n in enumerate(have) if i < lead or (shape[i - lead] == 1 and n != 1))
    if not shape:
        return sum(input)
    out = sum(input, axes, True) if axes else input
    return reshape(out, shape=shape) if lead else out


@op(out="floating")
def nansum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Add up the elements that are not NaN. Raises RuntimeError for complex numbers."""
    need_tensor(input, "nansum")
    if input._array.dtype.kind == "c":
        raise RuntimeError("nansum on CPU does not support complex inputs")
    x = choose.where(compare.isnan(input), 0.0, input) if input._array.dtype.kind in "fV" else input
    total = sum(x, dim, keepdim, dtype=dtype)
    label(total, "NansumBackward0", (input,))
    return total


@op(out="floating")
def nanmean(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Average the elements that are not NaN. Raises RuntimeError for booleans and integers."""
    need_tensor(input, "nanmean")
    if input._array.dtype.kind in "biu":
        raise RuntimeError(
            "nanmean(): expected input to have floating point or complex dtype but got "
            f"{dtypes.of(input._array.dtype)._title}"
        )
    count = sum(compare.logical_not(compare.isnan(input)), dim, keepdim)
    return e.divide(nansum(input, dim, keepdim, dtype=dtype), count)  # type: ignore[no-any-return]
