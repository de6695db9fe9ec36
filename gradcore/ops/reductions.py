"""Sums, means, extrema and other reductions, as torch spells them. It must not know any derivative."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.ops import arguments
from gradcore.ops.arguments import Axes, converted, need_tensor
from gradcore.ops.registry import functions, op
from gradcore.ops.return_types import Named, return_type
from gradcore.primitives import reductions as r
from gradcore.primitives import sorting as s
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


@op(out=True)
def sum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Add up the elements over `dim` (all of them by default); booleans and integers add up in int64."""
    if dim is None and dtype is None and not keepdim and isinstance(input, Value) and input._node is not None:
        return r.sum(input, axis=None)  # type: ignore[no-any-return]
    need_tensor(input, "sum")
    x = converted(input, dtype, "sum")
    axes = arguments.axes(dim, x._array.ndim)
    if x._array.dtype.kind in "biu":
        made = r.integer_sum(x, axis=axes, keepdims=keepdim)
        return made if dtype is None else converted(made, dtype, "sum")
    add_up = r.sum if dim is None and not keepdim else _sum_over
    return add_up(x, axis=axes, keepdims=keepdim)  # type: ignore[no-any-return]


@op(out=True)
def mean(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Average the elements over `dim` (all of them by default). Raises RuntimeError for booleans and integers."""
    if dim is None and dtype is None and not keepdim and isinstance(input, Value) and input._node is not None:
        return r.mean(input, axis=None, count=input._array.size)  # type: ignore[no-any-return]
    need_tensor(input, "mean")
    x = converted(input, dtype, "mean")
    if x._array.dtype.kind in "biu":
        which = "Input" if dtype is None else "Optional"
        raise RuntimeError(
            f"mean(): could not infer output dtype. {which} dtype must be either a floating point or complex dtype. "
            f"Got: {dtypes.of(x._array.dtype)._title}"
        )
    axes = arguments.axes(dim, x._array.ndim)
    average = r.mean if dim is None and not keepdim else _mean_over
    return average(x, axis=axes, count=_count(x, axes), keepdims=keepdim)  # type: ignore[no-any-return]


# -- extrema ----------------------------------------------------------------------------------------------------------


def check_not_empty(x: Tensor, axes: Axes, name: str, *, all_of_them: bool = False) -> None:
    """Raise IndexError if a reduced dimension is empty, RuntimeError if there is nothing and no `dim` was named."""
    if x._array.size:
        return
    if all_of_them:
        raise RuntimeError(
            f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim with "
            "the 'dim' argument."
        )
    for i in axes:
        if x._array.shape[i] == 0:
            raise IndexError(f"{name}(): Expected reduction dim {i} to have non-zero size.")


def check_ordered(x: Tensor, name: str, kernel: str) -> None:
    """Raise NotImplementedError for complex numbers, which have no order."""
    if x._array.dtype.kind == "c":
        raise NotImplementedError(f'"{kernel}" not implemented for \'{dtypes.of(x._array.dtype)._title}\' ({name})')


@op(out=True)
def amax(input: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    """Return the maximum over `dim` (all dimensions by default); equal maxima share the gradient."""
    return _over(input, dim, keepdim, "amax", r.amax)


@op(out=True)
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
    """Return the maximum of all elements; with `dim`, (values, indices) over it; with a Tensor, the elementwise maximum.

    Of equal elements the first is the one at the index and gets the gradient; in the maximum of all they share it.
    """
    return _extremum(input, dim, keepdim, other, "max", _LARGEST)


@op(out=True)
def min(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """Return the minimum of all elements; with `dim`, (values, indices) over it; with a Tensor, the elementwise minimum.

    Of equal elements the first is the one at the index and gets the gradient; in the minimum of all they share it.
    """
    return _extremum(input, dim, keepdim, other, "min", _SMALLEST)


# What an extremum is made of: the one over all, the index over a dimension, the element there.
_LARGEST = (renamed(r.amax, "MaxBackward1"), s.argmax, renamed(s.pick, "MaxBackward0"))
_SMALLEST = (renamed(r.amin, "MinBackward1"), s.argmin, renamed(s.pick, "MinBackward0"))


def _extremum(x: Tensor, dim: Any, keepdim: bool, other: Any, name: str, parts: tuple[Callable[..., Any], ...]) -> Any:
    need_tensor(x, name)
    over_all, position, pick = parts
    if isinstance(dim, Value) or other is not None:
        return functions[""][f"{name}imum"](x, dim if other is None else other)
    if dim is None:
        check_ordered(x, name, f"{name}_all")
        check_not_empty(x, (), name, all_of_them=True)
        return over_all(x, axis=None, nans=True)
    check_ordered(x, name, name)
    return along(x, dim, keepdim, name, position, pick)


def along(
    x: Tensor, dim: Any, keepdim: bool, name: str, position: Callable[..., Any], pick: Callable[..., Any]
) -> Named:
    """The (values, indices) of what `position` finds along `dim`."""
    axis = arguments.axis(dim, x._array.ndim)
    if x._array.ndim:
        check_not_empty(x, (axis,), name)
    indices = position(x, axis=axis, keepdims=keepdim)
    values = pick(x, indices, axis=axis, keepdims=keepdim)
    return return_type(name, "values", "indices")((values, indices))
