"""Triangles, diagonals, windows and other strides, as torch spells them. It must not know any derivative."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradcore.backends import of
from gradcore.ops import arguments
from gradcore.ops.arguments import axis
from gradcore.ops.registry import label, methods, of_tensor, op
from gradcore.ops.shaping import becomes, reshape_to
from gradcore.primitives import shape as p
from gradcore.primitives.conversion import copy
from gradcore.primitives.indexing import basic_getitem, slice_update
from gradcore.primitives.joining import along
from gradcore.recorder.views import Chain

if TYPE_CHECKING:
    from gradcore.tensor import Tensor


@op(inplace=True, out="exact")
def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """Return the matrices with zeros above the diagonal number `diagonal`."""
    if input._array.ndim < 2:
        raise RuntimeError("tril: input tensor must have at least 2 dimensions")
    return p.tril(input, k=diagonal)  # type: ignore[no-any-return]


@op(inplace=True, out="exact")
def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """Return the matrices with zeros below the diagonal number `diagonal`."""
    if input._array.ndim < 2:
        raise RuntimeError("triu: input tensor must have at least 2 dimensions")
    return p.triu(input, k=diagonal)  # type: ignore[no-any-return]


def _two(dim1: Any, dim2: Any, ndim: int) -> tuple[int, int]:
    a, b = axis(dim1, ndim), axis(dim2, ndim)
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return a, b


@op()
def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """Return the diagonal number `offset` of the planes of two dimensions, as the last dimension of a view."""
    return p.diagonal(input, offset=offset, axes=_two(dim1, dim2, input._array.ndim))  # type: ignore[no-any-return]


@op()
def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Return zeros with the last dimension of `input` as the diagonal number `offset` of two dimensions."""
    if not input._array.ndim:
        raise IndexError("Dimension out of range (expected to be in range of [-1, 0], but got -2)")
    axes = _two(dim1, dim2, input._array.ndim + 1)
    n = input._array.shape[-1] + abs(offset)
    shape = list(input._array.shape[:-1])
    for at in sorted(axes):
        shape.insert(at, n)
    return p.diagonal_embed(input, offset=offset, axes=axes, shape=tuple(shape))  # type: ignore[no-any-return]


@op(out="exact")
def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """Return the matrix with a vector on its diagonal number `diagonal`, or a copy of that diagonal of a matrix."""
    ndim = input._array.ndim
    if ndim not in {1, 2}:
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {ndim}D")
    if ndim == 1:
        return diag_embed(input, diagonal)
    out = copy(p.diagonal(input, offset=diagonal, axes=(0, 1)))
    label(out, "DiagonalBackward0_copy")
    return out  # type: ignore[no-any-return]


@op()
def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """Return the matrix with all elements of `input` on its diagonal number `offset`."""
    return diag_embed(reshape_to(input, (input._array.size,)), offset)


@op()
def as_strided(input: Tensor, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
    """Return the view of the storage of `input` with this shape, these strides and this offset, in elements.

    Elements of `input` that share memory share the gradient. Raises RuntimeError where it would reach outside the storage.
    """
    return p.as_strided(input, **_layouts(input, size, stride, storage_offset))  # type: ignore[no-any-return]


def _layouts(input: Any, size: Any, stride: Any, storage_offset: int | None) -> dict[str, Any]:
    """How `input` lies in its storage, and what is asked for."""
    array = input._array
    F = of(array)
    shape, strides = arguments.shape((size,)), arguments.shape((stride,))
    if len(shape) != len(strides):
        raise RuntimeError(f"mismatch in length of strides and shape ({list(strides)} and {list(shape)})")
    if min(strides, default=0) < 0:
        raise RuntimeError(
            f"as_strided: Negative strides are not supported at the moment, got strides: {list(strides)}"
        )
    here = F.storage_offset(array)
    layout = (array.shape, tuple(s // array.itemsize for s in array.strides), here)
    return {"layout": layout, "target": (shape, strides, here if storage_offset is None else storage_offset)}


becomes(as_strided, "AsStrided", 1)
as_strided_ = of_tensor(methods["as_strided_"], "as_strided_")


@op(function=False)
def unfold(self: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """Return the windows of `size` elements along `dimension`, every `step`, as the last dimension of a view."""
    x = self if self._array.ndim else reshape_to(self, (1,))
    at = axis(dimension, x._array.ndim)
    n = x._array.shape[at]
    if size > n:
        raise RuntimeError(f"maximum size for tensor at dimension {at} is {n} but size is {size}")
    if size < 0:
        raise RuntimeError(f"size is {size} but must be >= 0")
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    out = p.unfold(x, axis=at, size=size, step=step)
    if x is not self:
        out = reshape_to(out, (size,))
        label(out, "UnfoldBackward0", (self,))
    return out  # type: ignore[no-any-return]


# -- a part replaced --------------------------------------------------------------------------------------------------


def _replaced(input: Any, src: Any, function: Any, params: dict[str, Any], node: str) -> Any:
    """`input` with what the view `function(input, **params)` shows replaced by `src`."""
    shown = function(input, **params)
    arguments.need_tensor(src, node, "src")
    if shown._array.shape != src._array.shape:
        raise RuntimeError(
            f"expected src to have a size equal to the slice of self. src size = {list(src._array.shape)}, slice size = "
            f"{list(shown._array.shape)}"
        )
    out = slice_update(input, arguments.converted(src, input.dtype, node), view=Chain(((function, params, None),)))
    label(out, f"{node}Backward0", (input, src))
    return out


@op()
def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """Return `input` with the part that `select` shows replaced by `src`."""
    at = along(axis(dim, input._array.ndim), index)
    return _replaced(input, src, basic_getitem, {"index": at}, "SelectScatter")  # type: ignore[no-any-return]


@op(out="exact")
def slice_scatter(
    input: Tensor, src: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Tensor:
    """Return `input` with the part that a slice of dimension `dim` shows replaced by `src`."""
    at = along(axis(dim, input._array.ndim), slice(start, end, step))
    return _replaced(input, src, basic_getitem, {"index": at}, "SliceScatter")  # type: ignore[no-any-return]


@op()
def diagonal_scatter(input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """Return `input` with the part that `diagonal` shows replaced by `src`."""
    params = {"offset": offset, "axes": _two(dim1, dim2, input._array.ndim)}
    return _replaced(input, src, p.diagonal, params, "DiagonalScatter")  # type: ignore[no-any-return]


@op()
def as_strided_scatter(
    input: Tensor, src: Tensor, size: Any, stride: Any, storage_offset: int | None = None
) -> Tensor:
    """Return `input` with the part that `as_strided` shows replaced by `src`."""
    params = _layouts(input, size, stride, storage_offset)
    return _replaced(input, src, p.as_strided, params, "AsStridedScatter")  # type: ignore[no-any-return]
