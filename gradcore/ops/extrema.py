"""Largest and smallest elements and where they are, as torch spells them. It must not know any derivative."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.ops import arguments
from gradcore.ops.arguments import Axes, need_tensor
from gradcore.ops.registry import op
from gradcore.ops.return_types import Named, return_type
from gradcore.primitives import reductions as r
from gradcore.primitives import selection as choose
from gradcore.primitives import sorting as s
from gradcore.recorder import renamed
from gradcore.recorder.value import Value

if TYPE_CHECKING:
    from gradcore.tensor import Tensor


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
def max(input: Tensor, dim_or_other: Any = None, keepdim: bool = False, *, dim: Any = None, other: Any = None) -> Any:
    """Return the maximum of all elements; with `dim`, (values, indices) over it; with a Tensor, of each pair.

    Of equal elements the first is at the index and gets the gradient; in the maximum of all they share it.
    """
    return _extremum(input, dim_or_other, dim, keepdim, other, "max", _LARGEST)


@op(out=True)
def min(input: Tensor, dim_or_other: Any = None, keepdim: bool = False, *, dim: Any = None, other: Any = None) -> Any:
    """Return the minimum of all elements; with `dim`, (values, indices) over it; with a Tensor, of each pair.

    Of equal elements the first is at the index and gets the gradient; in the minimum of all they share it.
    """
    return _extremum(input, dim_or_other, dim, keepdim, other, "min", _SMALLEST)


# What an extremum is made of: that over all, that of pairs, the index over a dimension, the element there.
_LARGEST = (renamed(r.amax, "MaxBackward1"), choose.maximum, s.argmax, renamed(s.pick, "MaxBackward0"))
_SMALLEST = (renamed(r.amin, "MinBackward1"), choose.minimum, s.argmin, renamed(s.pick, "MinBackward0"))


def _extremum(
    x: Tensor, second: Any, dim: Any, keepdim: bool, other: Any, name: str, parts: tuple[Callable[..., Any], ...]
) -> Any:
    need_tensor(x, name)
    over_all, pairwise, position, pick = parts
    if other is not None or (isinstance(second, Value) and not keepdim):
        return pairwise(x, second if other is None else other)
    dim = second if dim is None else dim
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
    return return_type("aminmax", "min", "max")(r.aminmax(input, axis=axes, keepdims=keepdim))


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
