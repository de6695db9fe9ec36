"""Joining tensors and taking them apart, as torch spells it. It must not know any derivative."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import combinations as all_combinations
from itertools import combinations_with_replacement, pairwise
from operator import index
from typing import TYPE_CHECKING, Any

from gradcore import devices, dtypes
from gradcore.backends import of
from gradcore.ops import arguments
from gradcore.ops.arguments import axis
from gradcore.ops.registry import op
from gradcore.ops.shaping import atleast_1d, atleast_2d, atleast_3d, meshgrid, reshape_to
from gradcore.primitives import indexing
from gradcore.primitives import joining as p
from gradcore.primitives.shape import reshape
from gradcore.recorder.primitive import renamed
from gradcore.recorder.value import Value, wrap

if TYPE_CHECKING:
    from gradcore.tensor import Tensor

_split_evenly = renamed(p.split, "Split")


# -- joining ----------------------------------------------------------------------------------------------------------


def _given(tensors: Any, name: str) -> list[Any]:
    """The tensors, in the dtype they promote to. Raises TypeError for what is no sequence of tensors, and if it is empty."""
    if not isinstance(tensors, (tuple, list)):
        raise TypeError(
            f"{name}(): argument 'tensors' (position 1) must be tuple of Tensors, not {type(tensors).__name__}"
        )
    found = arguments.tensors((tensors,), name)
    if not found:
        if name == "cat":
            raise ValueError("torch.cat(): expected a non-empty list of Tensors")
        raise RuntimeError(f"{name} expects a non-empty TensorList")
    kinds = [t._array.dtype for t in found]
    if kinds.count(kinds[0]) == len(kinds):
        return list(found)
    dtype = reduce(dtypes.promote_types, map(dtypes.of, dict.fromkeys(kinds)))
    return [arguments.converted(t, dtype, name) for t in found]


_NO_PARTS = ((), (0,))  # shapes of which cat makes an error, or nothing


@op("concat", "concatenate", method=False, out=True)
def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Join tensors along dimension `dim`; all other lengths must agree. Tensors of shape (0,) are left out."""
    found = _given(tensors, "cat")
    shapes = [t._array.shape for t in found]
    if shapes[0] not in _NO_PARTS and shapes.count(shapes[0]) == len(shapes):
        return p.concatenate(*found, axis=axis(dim, len(shapes[0])))  # type: ignore[no-any-return]
    for i, t in enumerate(found):
        if not t._array.ndim:
            raise RuntimeError(f"zero-dimensional tensor (at position {i}) cannot be concatenated")
    parts = [t for t in found if t._array.shape != (0,)]
    if not parts:  # along which dimension is not asked then
        return p.concatenate(*found, axis=0)  # type: ignore[no-any-return]
    shape = parts[0]._array.shape
    at = axis(dim, len(shape))
    for i, t in enumerate(parts):
        other = t._array.shape
        if len(other) != len(shape):
            raise RuntimeError(f"Tensors must have same number of dimensions: got {len(shape)} and {len(other)}")
        for k, (m, n) in enumerate(zip(shape, other, strict=True)):
            if k != at and m != n:
                raise RuntimeError(
                    f"Sizes of tensors must match except in dimension {at}. Expected size {m} but got size {n} for tensor "
                    f"number {i} in the list."
                )
    if len(parts) < len(found) and any(t.requires_grad for t in found):  # they have a gradient, too
        empty = (*shape[:at], 0, *shape[at + 1 :])
        parts = [reshape(t, shape=empty) if t._array.shape == (0,) and len(shape) > 1 else t for t in found]
    return p.concatenate(*parts, axis=at)  # type: ignore[no-any-return]


@op(method=False, out=True)
def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Join tensors of one shape along a new dimension `dim`."""
    found = _given(tensors, "stack")
    shape = found[0]._array.shape
    for i, t in enumerate(found):
        if t._array.shape != shape:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(shape)} at entry 0 and "
                f"{list(t._array.shape)} at entry {i}"
            )
    return p.stack(*found, axis=axis(dim, len(shape) + 1))  # type: ignore[no-any-return]


@op(method=False, out=True)
def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Join tensors along dimension 1, one-dimensional ones along 0."""
    found = [atleast_1d(t) for t in _given(tensors, "hstack")]
    return cat(found, 0 if found[0]._array.ndim == 1 else 1)


@op("row_stack", method=False, out=True)
def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """Join tensors along dimension 0, one-dimensional ones as rows."""
    return cat([atleast_2d(t) for t in _given(tensors, "vstack")])


@op(method=False, out=True)
def dstack(tensors: Sequence[Tensor]) -> Tensor:
    """Join tensors along dimension 2, made to have three first."""
    return cat([atleast_3d(t) for t in _given(tensors, "dstack")], 2)


@op(method=False, out=True)
def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    """Join tensors along dimension 1, 0-d and one-dimensional ones as columns."""
    found = _given(tensors, "column_stack")
    return cat([reshape_to(t, (t._array.size, 1)) if t._array.ndim < 2 else t for t in found], 1)


# -- taking apart -----------------------------------------------------------------------------------------------------


def _only_one(name: str, *spellings: Any) -> Any:
    """What was given under one of the names that torch has for it. Raises TypeError unless exactly one was."""
    found = [x for x in spellings if x is not None]
    if len(found) != 1:
        raise TypeError(f"{name}() takes one size, number or list of where to cut, but got {len(found)} of them")
    return found[0]


def _dimension(x: Any, dim: Any, name: str) -> int:
    if not x._array.ndim:
        raise RuntimeError(f"{name} expects at least a 1-dimensional tensor")
    return axis(dim, x._array.ndim)


def split_evenly(x: Any, size: int, at: int) -> tuple[Any, ...]:
    """`x` in parts of length `size` along axis `at`, the last of which may be shorter."""
    n = x._array.shape[at]
    if size < 0:
        raise RuntimeError(f"split expects split_size be non-negative, but got split_size={size}")
    if size == 0 and n:
        raise RuntimeError(f"split_size can only be 0 if dimension size is 0, but got dimension size of {n}")
    sizes = [size] * (n // size) + [n % size] * (n % size > 0) if size else []
    return _split_evenly(x, sizes=tuple(sizes or [n]), axis=at)  # type: ignore[no-any-return]


@op()
def split(
    tensor: Tensor, split_size_or_sections: Any = None, dim: int = 0, *, split_size: Any = None
) -> tuple[Tensor, ...]:
    """Cut into views of length `split_size` along `dim` (the last may be shorter), or of the lengths in a list."""
    split_size_or_sections = _only_one("split", split_size_or_sections, split_size)
    if isinstance(split_size_or_sections, (list, tuple)):
        return split_with_sizes(tensor, split_size_or_sections, dim)
    return split_evenly(tensor, index(split_size_or_sections), _dimension(tensor, dim, "split"))


@op()
def split_with_sizes(input: Tensor, split_sizes: Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Cut into views of the lengths `split_sizes` along `dim`. Raises RuntimeError if they do not add up."""
    at, sizes = _dimension(input, dim, "split_with_sizes"), arguments.shape((split_sizes,))
    if min(sizes, default=0) < 0:
        raise RuntimeError(
            f"split_with_sizes expects split_sizes have only non-negative entries, but got split_sizes={list(sizes)}"
        )
    if sum(sizes) != input._array.shape[at]:
        raise RuntimeError(
            f"split_with_sizes expects split_sizes to sum exactly to {input._array.shape[at]} (input tensor's size at "
            f"dimension {at}), but got split_sizes={list(sizes)}"
        )
    return p.split(input, sizes=sizes, axis=at)  # type: ignore[no-any-return]


@op()
def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """Cut into at most `chunks` views of equal length along `dim`; the last may be shorter."""
    at, chunks = _dimension(input, dim, "chunk"), arguments.whole("chunk", "chunks", chunks)
    if chunks < 1:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    n = input._array.shape[at]
    size = -(-n // chunks)
    if size == 0:  # nothing, as often as asked
        return p.split(input, sizes=(0,) * chunks, axis=at)  # type: ignore[no-any-return]
    return split_evenly(input, size, at)


@op()
def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """Cut into views without dimension `dim`."""
    if not input._array.ndim:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    return p.unbind(input, axis=axis(dim, input._array.ndim))  # type: ignore[no-any-return]


@op()
def tensor_split(
    input: Tensor,
    indices_or_sections: Any = None,
    dim: int = 0,
    *,
    indices: Any = None,
    sections: Any = None,
    tensor_indices_or_sections: Any = None,
) -> tuple[Tensor, ...]:
    """Cut along `dim` into so many views of nearly equal length, or at the given indices."""
    if not input._array.ndim:
        raise RuntimeError("tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims")
    where = _only_one("tensor_split", indices_or_sections, indices, sections, tensor_indices_or_sections)
    return _split_at(input, where, dim)


def _split_at(x: Any, where: Any, dim: Any) -> tuple[Any, ...]:
    at = axis(dim, x._array.ndim)
    n = x._array.shape[at]
    if isinstance(where, Value):
        kind, ndim = dtypes.of(where._array.dtype), where._array.ndim
        if kind.is_floating_point or kind.is_complex or kind is dtypes.bool or ndim > 1:
            raise RuntimeError(
                "tensor_split expected tensor_indices_or_sections to have dtype of long and at most one dimension, but got "
                f"{kind._title} and {ndim} dims"
            )
        where = where._array.tolist()
    if isinstance(where, (list, tuple)):
        bounds = [slice(None).indices(n)[0], *map(index, where), n]
    else:
        sections = index(where)
        if sections <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {sections}")
        short, longer = divmod(n, sections)
        bounds = [short * i + min(i, longer) for i in range(sections + 1)]
    return tuple(
        indexing.basic_getitem(x, index=p.along(at, slice(*_within(a, b, n))))
        for a, b in pairwise(bounds)
    )


def _within(start: int, stop: int, n: int) -> tuple[int, int]:
    first, last, _ = slice(start, stop).indices(n)
    return first, max(first, last)


def _split_along(name: str, least: int, at: int) -> Any:
    def splitting(
        input: Tensor, indices_or_sections: Any = None, *, indices: Any = None, sections: Any = None
    ) -> tuple[Any, ...]:
        indices_or_sections, ndim = _only_one(name, indices_or_sections, indices, sections), input._array.ndim
        if ndim < least:
            raise RuntimeError(
                f"torch.{name} requires a tensor with at least {least} dimension{'s' * (least > 1)}, but got a tensor "
                f"with {ndim} dimensions!"
            )
        dim = 0 if ndim == 1 else at
        n = input._array.shape[dim]
        if isinstance(indices_or_sections, int) and (indices_or_sections <= 0 or n % indices_or_sections):
            raise RuntimeError(
                f"torch.{name} attempted to split along dimension {dim}, but the size of the dimension {n} is not "
                f"divisible by the split_size {indices_or_sections}!"
            )
        return _split_at(input, indices_or_sections, dim)

    splitting.__name__ = splitting.__qualname__ = name
    splitting.__doc__ = f"Cut along dimension {at} into so many views of equal length, or at the given indices."
    return op()(splitting)


hsplit, vsplit, dsplit = _split_along("hsplit", 1, 1), _split_along("vsplit", 2, 0), _split_along("dsplit", 3, 2)


# -- blocks and products ----------------------------------------------------------------------------------------------


@op(method=False, node="BlockDiag")
def block_diag(*tensors: Any) -> Tensor:
    """Return the matrix with the tensors, of at most two dimensions, as blocks on its diagonal and zeros elsewhere."""
    if not tensors:
        return wrap(devices.backend("cpu").zeros((1, 0), dtypes.get_default_dtype().numpy))  # type: ignore[no-any-return]
    found = _given(list(tensors), "block_diag")
    for i, t in enumerate(found):
        if t._array.ndim > 2:
            raise RuntimeError(
                f"torch.block_diag: Input tensors must have 2 or fewer dimensions. Input {i} has {t._array.ndim} dimensions"
            )
    blocks = [atleast_2d(t) for t in found]
    width, left, rows = sum(t._array.shape[1] for t in blocks), 0, []
    for t in blocks:
        height, n = t._array.shape
        F, dtype = of(t._array), t._array.dtype
        sides = (wrap(F.zeros((height, w), dtype)) for w in (left, width - left - n))
        rows.append(p.concatenate(next(sides), t, next(sides), axis=1))
        left += n
    return p.concatenate(*rows, axis=0)  # type: ignore[no-any-return]


@op(method=False)
def cartesian_prod(*tensors: Any) -> Tensor:
    """Return as rows all choices of one element of each of several one-dimensional tensors."""
    found = arguments.tensors(tensors, "cartesian_prod")
    for t in found:
        if t._array.ndim != 1:
            raise RuntimeError(f"Expect a 1D vector, but got shape {list(t._array.shape)}")
    if len(found) == 1:
        return found[0]  # type: ignore[no-any-return]
    grids = meshgrid(*found, indexing="ij")
    return stack([reshape_to(g, (g._array.size,)) for g in grids], 1)


_chosen = renamed(indexing.getitem, "Stack")


@op()
def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """Return as rows all choices of `r` elements of a one-dimensional tensor, in the order of `itertools`."""
    if input._array.ndim != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(input._array.shape)}")
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    F, n = of(input._array), input._array.size
    if not r:
        return wrap(F.zeros((0,), input._array.dtype))  # type: ignore[no-any-return]
    choices = list((combinations_with_replacement if with_replacement else all_combinations)(range(n), r))
    places = F.reshape(F.asarray(choices, "int64"), (len(choices), r))
    return _chosen(input, index=(places,))  # type: ignore[no-any-return]
