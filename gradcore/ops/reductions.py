"""Sums, means, extrema and other reductions, as torch spells them. It must not know any derivative."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.ops import arguments
from gradcore.ops.arguments import Axes, converted, need_tensor
from gradcore.ops.registry import label, op
from gradcore.ops.return_types import Named, return_type
from gradcore.primitives import comparison as compare
from gradcore.primitives import cumulative as c
from gradcore.primitives import elementwise as e
from gradcore.primitives import reductions as r
from gradcore.primitives import selection as choose
from gradcore.primitives import sorting as s
from gradcore.primitives.shape import reshape
from gradcore.recorder import renamed
from gradcore.recorder.value import Value

if TYPE_CHECKING:
    from gradcore.tensor import Tensor

_sum_over = renamed(r.sum, "SumBackward1")
_mean_over = renamed(r.mean, "MeanBackward1")


def _count(x: Tensor, axes: Axes) -> int:
    """How many elements are reduced to one."""
    shape = x._array.shape
    return math.prod([shape[i] for i in axes])


@op(out="dtype")
def sum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Add up the elements over `dim` (all of them by default); booleans and integers add up in int64."""
    a: Any = getattr(input, "_array", None)
    if dim is None and dtype is None and not keepdim and a is not None and a.dtype.kind in "fc":
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
    a: Any = getattr(input, "_array", None)
    if dim is None and dtype is None and not keepdim and a is not None and a.dtype.kind in "fc":
        return r.mean(input, axis=None, count=a.size)  # type: ignore[no-any-return]
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
    return average(x, axis=axes, count=_count(x, axes), keepdims=keepdim)  # type: ignore[no-any-return]


@op(function=False)
def sum_to_size(input: Tensor, *size: Any) -> Tensor:
    """Add up what broadcasting `size` to the shape of `input` would repeat. Raises RuntimeError if it does not broadcast."""
    shape, have = arguments.shape(size), input._array.shape
    lead = len(have) - len(shape)
    if lead < 0 or any(m not in (1, n) for m, n in zip(shape, have[lead:], strict=True)):
        raise RuntimeError(f"size {{{list(shape)}}} is not expandable to size {{{list(have)}}}.")
    axes = tuple(i for i, n in enumerate(have) if i < lead or (shape[i - lead] == 1 and n != 1))
    out = _sum_over(input, axis=axes, keepdims=True) if axes else input
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


_prod_over = renamed(c.prod, "ProdBackward1")


@op(out="dtype")
def prod(input: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Multiply the elements over one dimension, or all of them; booleans and integers multiply in int64."""
    need_tensor(input, "prod")
    x = converted(input, dtype, "prod")
    if dtype is None and x._array.dtype.kind in "biu":
        x = converted(x, dtypes.int64, "prod")
    if dim is None:
        return c.prod(reshape(x, shape=(-1,)), axis=0)  # type: ignore[no-any-return]
    axis = arguments.axis(dim, x._array.ndim)
    if x._array.ndim == 0:
        return _prod_over(reshape(x, shape=(1,)), axis=0)  # type: ignore[no-any-return]
    return _prod_over(x, axis=axis, keepdims=keepdim)  # type: ignore[no-any-return]


# -- extrema ----------------------------------------------------------------------------------------------


def check_not_empty(x: Tensor, axes: Axes, name: str, *, all_of_them: bool = False) -> None:
    """Raise IndexError if a reduced dimension is empty, RuntimeError if all is and no `dim` was named."""
    if x._array.size:
        return
    if all_of_them:
        raise RuntimeError(
            f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction "
            "dim with the 'dim' argument."
        )
    for i in axes:
        if x._array.shape[i] == 0:
            raise IndexError(f"{name}(): Expected reduction dim {i} to have non-zero size.")


def check_ordered(x: Tensor, name: str, kernel: str) -> None:
    """Raise NotImplementedError for complex numbers, which have no order."""
    if x._array.dtype.kind == "c":
        title = dtypes.of(x._array.dtype)._title
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{title}' ({name})")


@op(out="exact")
def amax(input: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    """Return the maximum over `dim` (all dimensions by default); equal maxima share the gradient."""
    return _over(input, dim, keepdim, "amax", r.amax)


@op(out="exact")
def amin(input: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    """Return the minimum over `dim` (all dimensions by default); equal minima share the gradient."""
    return _over(input, dim, keepdim, "amin", r.amin)


def _over(x: Tensor, dim: Any, keepdim: bool, name: str, reduce: Callable[..., Any]) -> Tensor:
    need_tensor(x, name)
    check_ordered(x, name, f"{name[1:]}_values_cpu")
    axes = arguments.axes(dim, x._array.ndim)
    check_not_empty(x, axes, name, all_of_them=dim is None or dim == ())
    return reduce(x, axis=axes, keepdims=keepdim)  # type: ignore[no-any-return]


@op(out=True)
def max(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """Return the maximum of all elements; with `dim`, (values, indices) over it; with a Tensor, of each pair.

    Of equal elements the first is at the index and gets the gradient; in the maximum of all they share it.
    """
    return _extremum(input, dim, keepdim, other, "max", _LARGEST)


@op(out=True)
def min(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """Return the minimum of all elements; with `dim`, (values, indices) over it; with a Tensor, of each pair.

    Of equal elements the first is at the index and gets the gradient; in the minimum of all they share it.
    """
    return _extremum(input, dim, keepdim, other, "min", _SMALLEST)


# What an extremum is made of: that over all, that of pairs, the index over a dimension, the element there.
_LARGEST = (renamed(r.amax, "MaxBackward1"), choose.maximum, s.argmax, renamed(s.pick, "MaxBackward0"))
_SMALLEST = (renamed(r.amin, "MinBackward1"), choose.minimum, s.argmin, renamed(s.pick, "MinBackward0"))


def _extremum(x: Tensor, dim: Any, keepdim: bool, other: Any, name: str, parts: tuple[Callable[..., Any], ...]) -> Any:
    need_tensor(x, name)
    over_all, pairwise, position, pick = parts
    if isinstance(dim, Value) or other is not None:
        return pairwise(x, dim if other is None else other)
    if dim is None:
        check_ordered(x, name, f"{name}_all")
        check_not_empty(x, (), name, all_of_them=True)
        return over_all(x, axis=None, nans=True)
    if x._array.dtype.kind == "c":
        raise RuntimeError(f"{name}(): does not support complex input")
    return along(x, dim, keepdim, name, position, pick)


def along(x: Tensor, dim: Any, keepdim: bool, name: str, position: Callable[..., Any], pick: Callable[..., Any]) -> Named:
    """The (values, indices) of what `position` finds along `dim`."""
    axis = arguments.axis(dim, x._array.ndim)
    if x._array.ndim:
        check_not_empty(x, (axis,), name)
    indices = position(x, axis=axis, keepdims=keepdim)
    values = pick(x, indices, axis=axis, keepdims=keepdim)
    return return_type(name, "values", "indices")((values, indices))


@op(out="exact")
def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> Any:
    """Return (min, max) of all elements or over `dim`; equal extrema share the gradient."""
    need_tensor(input, "aminmax")
    check_ordered(input, "aminmax", "aminmax")
    axes = arguments.axes(dim, input._array.ndim)
    check_not_empty(input, axes, "aminmax", all_of_them=dim is None)
    both = (r.amin(input, axis=axes, keepdims=keepdim), r.amax(input, axis=axes, keepdims=keepdim))
    label(both, "AminmaxBackward0", (input,))
    return return_type("aminmax", "min", "max")(both)


@op(out=True)
def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Return the index of the first maximum over `dim`, or in the flattened tensor; NaN counts as one."""
    return _index(input, dim, keepdim, "argmax", s.argmax)


@op(out=True)
def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Return the index of the first minimum over `dim`, or in the flattened tensor; NaN counts as one."""
    return _index(input, dim, keepdim, "argmin", s.argmin)


def _index(x: Tensor, dim: int | None, keepdim: bool, name: str, position: Callable[..., Any]) -> Tensor:
    need_tensor(x, name)
    if x._array.dtype.kind in "bc":
        kind = "bool" if x._array.dtype.kind == "b" else "complex"
        raise RuntimeError(f"{name}(): does not support {kind} input")
    axis = None if dim is None else arguments.axis(dim, x._array.ndim)
    if dim is None and not x._array.size:
        raise IndexError(f"{name}(): Expected reduction dim to be specified for input.numel() == 0.")
    if axis is not None and x._array.ndim:
        check_not_empty(x, (axis,), name)
    return position(x, axis=axis, keepdims=keepdim)  # type: ignore[no-any-return]


# -- variances --------------------------------------------------------------------------------------------


def _deviation(
    x: Tensor, dim: Any, unbiased: Any, keepdim: bool, correction: Any, name: str, reduce: Callable[..., Any]
) -> Tensor:
    """The variance of `x`, or its root, as `reduce` is `var` or `std`."""
    need_tensor(x, name)
    if isinstance(dim, bool):  # var(unbiased)
        dim, unbiased = None, dim
    if unbiased is not None and correction is not None:
        raise TypeError(f"{name}(): got both unbiased and correction; pass correction={int(unbiased)} alone")
    if x._array.dtype.kind in "biu":
        raise RuntimeError("std and var only support floating point and complex dtypes")
    if correction is None:
        correction = 1 if unbiased is None else int(unbiased)
    axes = arguments.axes(dim, x._array.ndim)
    count = _count(x, axes)
    dof = count - correction
    if dof <= 0:
        warnings.warn(
            f"{name}(): degrees of freedom is <= 0. Correction should be strictly less than the reduction "
            "factor (input numel divided by output numel).",
            UserWarning,
            stacklevel=4,
        )
    return reduce(x, axis=axes, count=count, dof=dof, keepdims=keepdim)  # type: ignore[no-any-return]


def _with_mean(x: Tensor, dim: Any, *arguments_: Any) -> tuple[Tensor, Tensor]:
    _, keepdim, _, name, _ = arguments_
    both = (_deviation(x, dim, *arguments_), mean(x, None if isinstance(dim, bool) else dim, keepdim))
    label(both, f"{name.title().replace('_', '')}Backward0", (x,))
    return both


@op(out=True)
def var(input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None) -> Tensor:
    """Return the variance over `dim` (all by default), with the divisor count - `correction` (1)."""
    return _deviation(input, dim, unbiased, keepdim, correction, "var", r.var)


@op(out=True)
def std(input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None) -> Tensor:
    """Return the square root of the variance over `dim`; its gradient is 0 where all elements are equal."""
    return _deviation(input, dim, unbiased, keepdim, correction, "std", r.std)


@op(out=True)
def var_mean(
    input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None
) -> tuple[Tensor, Tensor]:
    """Return the variance and the mean over `dim`."""
    return _with_mean(input, dim, unbiased, keepdim, correction, "var_mean", r.var)


@op(out=True)
def std_mean(
    input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None
) -> tuple[Tensor, Tensor]:
    """Return the standard deviation and the mean over `dim`."""
    return _with_mean(input, dim, unbiased, keepdim, correction, "std_mean", r.std)
