"""Sorting and what follows from order, as torch spells it. It must not know any derivative."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.ops import arguments
from gradcore.ops.arguments import need_tensor
from gradcore.ops.extrema import along, check_not_empty
from gradcore.ops.registry import op
from gradcore.ops.return_types import return_type
from gradcore.primitives import sorting as s
from gradcore.recorder import renamed

if TYPE_CHECKING:
    from gradcore.tensor import Tensor

_sorted, _stably_sorted, _top, _kth, _median, _nanmedian, _mode = (
    renamed(s.pick, f"{name}Backward{i}")
    for name, i in (
        ("Sort", 0),
        ("Sort", 1),
        ("Topk", 0),
        ("Kthvalue", 0),
        ("Median", 1),
        ("Nanmedian", 1),
        ("Mode", 0),
    )
)


def _need_order(x: Tensor, name: str, refused: str = "c") -> None:
    need_tensor(x, name)
    if x._array.dtype.kind in refused:
        title = dtypes.of(x._array.dtype)._title
        raise NotImplementedError(f"\"{name}_cpu\" not implemented for '{title}'")


@op(out="exact")
def sort(input: Tensor, dim: int = -1, descending: bool = False, *, stable: bool | None = None) -> Any:
    """Return (values, indices) in order along `dim`; equal elements keep theirs, NaN is largest."""
    need_tensor(input, "sort")
    indices = argsort(input, dim, descending)
    pick = _sorted if stable is None else _stably_sorted
    values = pick(input, indices, axis=arguments.axis(dim, input._array.ndim))
    return return_type("sort", "values", "indices")((values, indices))


@op(out=False)
def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """Return the indices that sort `input` along `dim`; equal elements keep their order, NaN is largest."""
    need_tensor(input, "argsort")
    if input._array.dtype.kind == "c":
        raise RuntimeError("Sort does not support complex dtypes on CPU")
    axis = arguments.axis(dim, input._array.ndim)
    return s.argsort(input, axis=axis, descending=descending)  # type: ignore[no-any-return]


@op(out="exact")
def msort(input: Tensor) -> Tensor:
    """Return the values in order along the first dimension."""
    return sort(input, 0)[0]  # type: ignore[no-any-return]


@op(out="exact")
def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    """Return (values, indices) of the `k` largest or smallest elements along `dim`, in order."""
    need_tensor(input, "topk")
    if input._array.dtype.kind in "bc":
        kind = "bool" if input._array.dtype.kind == "b" else "complex"
        raise RuntimeError(f"topk does not support {kind} dtypes on CPU")
    axis = arguments.axis(dim, input._array.ndim)
    if not 0 <= k <= (input._array.shape[axis] if input._array.ndim else 1):
        raise RuntimeError(f"selected index k out of range (topk of {k} in shape {list(input._array.shape)})")
    indices = s.argsort(input, axis=axis, descending=largest, count=k)
    return return_type("topk", "values", "indices")((_top(input, indices, axis=axis), indices))


@op(out="apart")
def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """Return (values, indices) of the `k`-th smallest elements along `dim`, counting from 1."""
    _need_order(input, "kthvalue", "bc")
    axis = arguments.axis(dim, input._array.ndim)
    check_not_empty(input, (axis,), "kthvalue")
    if not 1 <= k <= (input._array.shape[axis] if input._array.ndim else 1):
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {axis}")
    return along(input, dim, keepdim, "kthvalue", partial(s.argkth, k=k - 1), _kth)


@op(out="exact")
def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """Return the lower median of all elements or, with `dim`, (values, indices) over it; NaN wins."""
    return _middle(input, dim, keepdim, "median", _median, skip_nan=False)


@op(out="exact")
def nanmedian(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """Return the lower median of the elements that are not NaN or, with `dim`, (values, indices) over it."""
    return _middle(input, dim, keepdim, "nanmedian", _nanmedian, skip_nan=True)


_nanmedian_of_all = renamed(s.median, "Nanmedian")


def _middle(x: Tensor, dim: int | None, keepdim: bool, name: str, pick: Callable[..., Any], *, skip_nan: bool) -> Any:
    _need_order(x, name, "bc")
    if dim is None:
        return (_nanmedian_of_all if skip_nan else s.median)(x, skip_nan=skip_nan)
    return along(x, dim, keepdim, name, partial(s.argmedian, skip_nan=skip_nan), pick)


@op(out="exact")
def mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> Any:
    """Return (values, indices) of the most frequent elements along `dim`, of several the smallest."""
    _need_order(input, "mode")
    return along(input, dim, keepdim, "mode", s.argmode, _mode)
