"""Reading and writing at indices and masks, as torch spells it. It must not know any derivative.

All are x[index] or a write to it with an index made here, so that they share the primitives of indexing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from operator import gt
from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.backends import numpy as host
from gradcore.backends import of
from gradcore.ops import arguments, assigning, indexing
from gradcore.ops.arguments import axis
from gradcore.ops.registry import label, methods, of_tensor, op
from gradcore.ops.shaping import broadcast_shapes, expand_to, reshape_to
from gradcore.primitives import conversion as c
from gradcore.primitives import elementwise as e
from gradcore.primitives import indexing as p
from gradcore.primitives.joining import along
from gradcore.recorder.inplace import overwritten, receive, refuse_overlap
from gradcore.recorder.primitive import renamed
from gradcore.recorder.value import Value, wrap

if TYPE_CHECKING:
    from gradcore.tensor import Tensor


# -- checks -----------------------------------------------------------------------------------------------------------


def _index(x: Any, name: str, kinds: tuple[str, ...] = ("int32", "int64")) -> Any:
    """The array of an index tensor. Raises RuntimeError for another dtype."""
    arguments.need_tensor(x, name, "index")
    if x._array.dtype.kind != "i" or x._array.dtype.itemsize < (8 if len(kinds) == 1 else 4):
        if not x._array.size:
            return of(x._array).astype(x._array, "int64")
        raise RuntimeError(f"{name}(): Expected dtype {' or '.join(kinds)} for index, but got {x.dtype.name}")
    return x._array


def check_range(array: Any, n: int, low: int, error: Callable[[int], Exception]) -> None:
    """Raise `error(i)` for an index outside [low, n). A device is not asked: it would have to be waited for."""
    F = of(array)
    if F.device_type != "cpu" or not array.size:
        return
    if low == 0 and array.dtype.itemsize == 8 and F.max(array.view(_UNSIGNED)) < n:  # as which negative ones are very large
        return
    for i in (int(array.min()), int(array.max())):
        if not low <= i < n:
            raise error(i)


_UNSIGNED = host.dtype("u8")


def out_of_bounds(kind: type[Exception], name: str, x: Any, dim: int) -> Callable[[int], Exception]:
    n = x._array.shape[dim] if x._array.ndim else 1
    return lambda i: kind(f"index {i} is out of bounds for dimension {dim} with size {n} ({name})")


def same_dtype(x: Any, source: Any, message: str) -> None:
    if x._array.dtype != source._array.dtype:
        raise RuntimeError(message.format(*(dtypes.of(t._array.dtype)._title for t in (x, source))))


# -- reading ----------------------------------------------------------------------------------------------------------

_index_select = renamed(p.getitem, "IndexSelect")
_gather = renamed(p.getitem, "Gather")
_take = renamed(p.getitem, "Take")


@op(out="apart")
def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """Return the slices of `input` along `dim` at the integers `index`.

    Raises IndexError out of range (in an empty tensor of two dimensions or more RuntimeError, as torch).
    """
    array, at = _index(index, "index_select"), axis(dim, input._array.ndim)
    if array.ndim > 1:
        raise IndexError(f"index_select(): Index is supposed to be a vector (got shape {list(array.shape)})")
    x = row(input)
    if x is not input and array.size != 1:
        raise RuntimeError(f"index_select(): Index to scalar can have only 1 value, got {array.size} value(s)")
    n, empty = x._array.shape[at], not x._array.size and x._array.ndim > 1
    kind = RuntimeError if empty else IndexError
    said = "index out of range in self" if not empty else "INDICES element is out of DATA bounds"
    said = said if n or not empty else "index_select(): self indexing axis dim should be positive"
    check_range(array, n, 0, lambda i: kind(f"{said} (index {i}, dimension {at} of size {n})"))
    out = _index_select(x, index=along(at, array.reshape(-1)))
    return out if x is input else scalar_again(out, _index_select)  # type: ignore[no-any-return]


def row(x: Any) -> Any:
    """A 0-d tensor as one of shape (1,); any other as it is."""
    return x if x._array.ndim else reshape_to(x, (1,))


def scalar_again(out: Any, function: Any) -> Any:
    """The result of `function` on a row, as a 0-d tensor that it could have made itself."""
    flat = reshape_to(out, ())
    label(flat, function.primitive.node_name, (out,))
    return wrap(flat._array, flat._node)


def grid(array: Any, at: int) -> tuple[Any, ...]:
    """The index that runs through all positions, except along axis `at`, where it reads `array`."""
    F, shape = of(array), array.shape
    place = _kept_place if F is host and max(shape, default=0) <= _SHORT else _place
    return tuple([array if i == at else place(F, n, len(shape) - i - 1) for i, n in enumerate(shape)])


_SHORT = 1024


def _place(F: Any, n: int, after: int) -> Any:
    """The integers below `n` along an axis that has `after` behind it."""
    return F.arange(n).reshape((-1,) + (1,) * after)


_kept_place = functools.lru_cache(1024)(_place)


@op(out="apart")
def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
    """Return what stands in `input` along `dim` at each element of `index`, which has the shape of the result.

    Raises RuntimeError out of range and for an index longer than `input` in another dimension.
    """
    array, at = _index(index, "gather"), axis(dim, input._array.ndim)
    x = row(input)
    if not array.size:
        return _gather(reshape_to(x, (x._array.size,)), index=(array,))  # type: ignore[no-any-return]
    if max(array.ndim, 1) != x._array.ndim:
        raise RuntimeError(
            f"Index tensor must have the same number of dimensions as input tensor (gather: {list(array.shape)} and "
            f"{list(input._array.shape)})"
        )
    for i, m in enumerate(array.shape):
        if i != at and m > x._array.shape[i]:
            raise RuntimeError(
                f"Size does not match at dimension {i} expected index {list(array.shape)} to be no larger than self "
                f"{list(x._array.shape)} apart from dimension {at}"
            )
    check_range(array, x._array.shape[at], 0, out_of_bounds(RuntimeError, "gather", x, at))
    return _gather(x, index=grid(array, at) or (array,))  # type: ignore[no-any-return]


@op(out="exact")
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """Gather along `dim` with `input` and `indices` broadcast in the other dimensions; in flat order without `dim`."""
    arguments.need_tensor(indices, "take_along_dim", "indices")
    if indices._array.dtype.name not in {"int64", "int32"}:
        raise RuntimeError(f"torch.take_along_dim(): dtype of indices should be Long but got {indices.dtype._title}")
    if dim is None:
        flat, picks = (reshape_to(t, (t._array.size,)) for t in (input, indices))
        return gather(flat, 0, picks)
    a, b = input._array, indices._array
    if a.ndim != b.ndim:
        raise RuntimeError(
            f"torch.take_along_dim(): input and indices should have the same number of dimensions, but got {a.ndim} "
            f"dimensions for input, and {b.ndim} dimensions for indices"
        )
    at = axis(dim, a.ndim)
    if not a.ndim:
        return gather(input, 0, indices)
    shape = list(broadcast_shapes((*a.shape[:at], 1, *a.shape[at + 1 :]), (*b.shape[:at], 1, *b.shape[at + 1 :])))
    picked = indices._array
    check_range(picked, a.shape[at], -a.shape[at], out_of_bounds(RuntimeError, "take_along_dim", input, at))
    indices = wrap(of(picked).where(picked < 0, picked + a.shape[at], picked))
    wide, picks = (expand_to(t, (*shape[:at], t._array.shape[at], *shape[at + 1 :])) for t in (input, indices))
    return gather(wide, at, picks)


@op(out="apart")
def take(input: Tensor, index: Tensor) -> Tensor:
    """Return the elements of `input`, as if it had one dimension, at `index`; negative integers count from the end."""
    array, n = _index(index, "take", ("int64",)), input._array.size
    check_range(array, n, -n, lambda i: IndexError(f"out of range: tried to access index {i} on a tensor of {n} elements."))
    return _take(reshape_to(input, (n,)), index=(array,))  # type: ignore[no-any-return]


def _counts(repeats: Value, output_size: int | None = None) -> Any:
    """The array of how often to repeat each element, checked."""
    counts = repeats._array
    if counts.dtype.kind not in "iu":
        raise NotImplementedError(f"\"repeat_interleave_cpu\" not implemented for '{dtypes.of(counts.dtype)._title}'")
    if counts.ndim != 1 and counts.size != 1:
        raise RuntimeError(f"repeat_interleave only accept 1D vector as repeat (got shape {list(counts.shape)})")
    check_range(counts, 1 << 63, 0, lambda i: RuntimeError(f"repeats can not be negative (got {i})"))
    if output_size is not None and of(counts).device_type == "cpu":  # that no device is waited for is what it is given for
        _check_repeated(int(counts.sum()), output_size)
    return counts


def _check_repeated(size: int, output_size: int | None) -> None:
    if output_size not in (None, size):
        raise RuntimeError(f"repeat_interleave: Invalid output_size, expected {size} but got {output_size}")


@op()
def repeat_interleave(
    input: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Repeat each element along `dim` (of the flat tensor without `dim`) `repeats` times, a number or one per element.

    `repeat_interleave(repeats)` alone returns each position as often as `repeats` says.
    """
    if repeats is None:
        counts = _counts(input, output_size)
        places = of(counts).repeat(of(counts).arange(counts.size), counts)
        return wrap(places if counts.dtype != "int32" else of(counts).astype(places, "int32"))  # type: ignore[no-any-return]
    x = reshape_to(input, (input._array.size,)) if dim is None else row(input)
    at = axis(dim or 0, x._array.ndim)
    n = x._array.shape[at]
    if not isinstance(repeats, Value) or repeats._array.size == 1:
        is_tensor = isinstance(repeats, Value)
        times = _counts(repeats).item() if is_tensor else arguments.whole("repeat_interleave", "repeats", repeats)
        if times < 0:
            raise RuntimeError(f"Repeats must be non-negative (got {times})")
        _check_repeated(n * times, output_size)
        shape = x._array.shape
        wide = expand_to(reshape_to(x, (*shape[: at + 1], 1, *shape[at + 1 :])), (*shape[: at + 1], times, *shape[at + 1 :]))
        return reshape_to(c.copy(wide), (*shape[:at], n * times, *shape[at + 1 :]))  # type: ignore[no-any-return]
    counts = _counts(repeats, output_size)
    if counts.shape != (n,):
        raise RuntimeError(
            "repeats must have the same size as input along dim, but got repeats.size(0) = "
            f"{counts.shape[0]} and input.size({at}) = {n}"
        )
    F = of(x._array)
    return _index_select(x, index=along(at, F.repeat(F.arange(n), counts)))  # type: ignore[no-any-return]


# -- writing ----------------------------------------------------------------------------------------------------------

Plan = tuple[Any, Any, tuple[Any, ...]]


def _writing(plan: Callable[..., Plan]) -> Callable[..., Any]:
    """Make `plan`, which says with which primitive to write what where, a function, a method and an in-place method.

    It gets the tensor (a 0-d one as shape (1,)) and the arguments.
    """
    name = plan.__name__

    def outside(input: Any, *args: Any, **keywords: Any) -> Any:
        arguments.need_tensor(input, name)
        x = row(input)
        function, values, index = plan(x, *args, **keywords)
        out = function(x, values, index=index)
        return out if x is input else scalar_again(out, function)

    def inside(self: Any, *args: Any, **keywords: Any) -> Any:
        x = row(self)
        function, values, index = plan(x, *args, **keywords)
        if name == "index_put":
            assigning.allow_expanded(x, "index_put_", values)
        else:
            refuse_overlap(x, f"{name}_")
        receive(x, values)
        F, array = of(x._array), values._array
        if F.storage(array) is F.storage(x._array):
            array = F.owned(array)
        write = F.scatter_add if function.primitive.name == "index_add" else F.setitem
        overwritten(x, lambda into: write(into, index, array), function, (values,), {"index": index}, f"{name}_")
        return self

    functools.update_wrapper(outside, plan)
    methods[f"{name}_"] = functools.update_wrapper(inside, plan)
    inside.__name__ = f"{name}_"
    return op(out="exact")(outside)


_index_add = renamed(p.index_add, "IndexAdd")
_index_put = renamed(p.index_put, "IndexPut")
_accumulate = renamed(p.index_add, "IndexPut")
_index_copy = renamed(p.index_put, "IndexCopy")
_scatter = (renamed(p.index_put, "ScatterBackward0"), renamed(p.index_put, "ScatterBackward1"))
_scatter_add = renamed(p.index_add, "ScatterAdd")
_put = (renamed(p.index_put, "Put"), renamed(p.index_add, "Put"))


def slices(x: Any, dim: Any, index: Any, source: Any, name: str, kind: type[Exception]) -> tuple[int, Any, Any]:
    """The axis, the index array and the source of index_add and index_copy, checked."""
    array, at = _index(index, name, ("int64",) if name == "index_copy" else ("int32", "int64")), axis(dim, x._array.ndim)
    arguments.need_tensor(source, name, "source")
    if array.ndim > 1:
        raise IndexError(f"{name}_(): Index should have dimension 1 or 0 (got {array.ndim})")
    same_dtype(x, source, f"{name}_(): self ({{}}) and source ({{}}) must have the same scalar type")
    values = row(source)
    shape, other = x._array.shape, values._array.shape
    if len(other) == len(shape) and other[at] != array.size:
        raise kind(
            f"{name}_(): Number of indices ({array.size}) should be equal to source.size(dim): ({other[at]}), for dim: {at}"
        )
    if len(other) != len(shape) or any(m != n for i, (m, n) in enumerate(zip(shape, other, strict=True)) if i != at):
        raise (RuntimeError if source._array.ndim == len(shape) else kind)(
            "source tensor shape must match self tensor shape, excluding the specified dimension. Got self.shape = "
            f"{list(shape)} source.shape = {list(source._array.shape)}"
        )
    check_range(array, shape[at], 0, out_of_bounds(IndexError if name == "index_reduce" else kind, f"{name}_()", x, at))
    return at, array.reshape(-1), values


@_writing
def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1) -> Plan:
    """Add the slices of `source` along `dim` to those of `input` at `index`, every duplicate counting."""
    at, array, values = slices(input, dim, index, source, "index_add", RuntimeError)
    return _index_add, values if alpha == 1 else e.multiply(values, alpha), along(at, array)


@_writing
def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Plan:
    """Replace the slices of `input` along `dim` at `index` by those of `source`."""
    at, array, values = slices(input, dim, index, source, "index_copy", IndexError)
    return _index_copy, values, along(at, array)


def scalar(x: Any, value: Any, name: str) -> tuple[Any, bool]:
    """A number or 0-d tensor as a 0-d tensor of the dtype of `x`, and whether it was a tensor."""
    if not isinstance(value, Value):
        return wrap(assigning.number(x, value)), False
    if value._array.ndim:
        raise RuntimeError(
            f"{name}_ only supports a 0-dimensional value tensor, but got tensor with {value._array.ndim} dimension(s)."
        )
    if value._array.dtype.kind == "c" and x._array.dtype.kind != "c":
        raise RuntimeError(f"value cannot be converted to type {x.dtype.name} without overflow ({name})")
    return arguments.converted(value, x.dtype, name), True


def checked(x: Any, dim: Any, index: Any, src: Any, name: str) -> tuple[int, Any]:
    array, at, shape = _index(index, name), axis(dim, x._array.ndim), x._array.shape
    if array.size == 0:
        return at, array.reshape((0,) * x._array.ndim)
    if max(array.ndim, 1) != len(shape):
        raise RuntimeError(f"Index tensor must have the same number of dimensions as self tensor ({name})")
    other = shape if src is None else (src._array.shape or (1,))
    if len(other) != len(shape):
        raise RuntimeError(f"Index tensor must have the same number of dimensions as src tensor ({name})")
    array = array.reshape(array.shape or (1,))
    if True in [m > shape[i] for i, m in enumerate(array.shape) if i != at] or (
        src is not None and True in map(gt, array.shape, other)
    ):
        raise RuntimeError(
            f"Expected index {list(array.shape)} to be no larger than self {list(shape)} apart from dimension {at}"
            + ("" if src is None else f" and to be no larger size than src {list(other)}")
        )
    check_range(array, shape[at], 0, out_of_bounds(RuntimeError, name, x, at))
    return at, array


def cropped(src: Any, shape: tuple[int, ...]) -> Any:
    src = row(src)
    if 0 in shape and src._array.ndim != len(shape):  # nothing is read then, whatever its shape
        return expand_to(p.basic_getitem(reshape_to(src, (src._array.size,)), index=(slice(0, 0),)), shape)
    return src if src._array.shape == shape else p.basic_getitem(src, index=tuple(slice(0, n) for n in shape))


@_writing
def scatter(
    input: Tensor, dim: int, index: Tensor, src: Any = None, value: Any = None, *, reduce: str | None = None
) -> Plan:
    """Write `src`, a tensor or number, into `input` along `dim` at `index`; `reduce` "add" adds instead.

    Raises RuntimeError out of range. Which of several values for one place stays is not said.
    """
    given = value if src is None else src
    if src is None and isinstance(value, Value) and not value._array.ndim:
        given = value._array.item()
    from_tensor = isinstance(given, Value)
    at, array = checked(input, dim, index, given if from_tensor else None, "scatter")
    if from_tensor:
        same_dtype(input, given, "scatter(): Expected self.dtype to be equal to src.dtype, got {} and {}")
        values = cropped(given, array.shape)
    else:
        values = expand_to(wrap(assigning.number(input, given)), array.shape)
    if reduce == "add":
        return _scatter_add, values, grid(array, at)
    if reduce == "multiply" and array.size:
        from gradcore.ops.segments import product_into  # which is built on this module

        every = (of(array).arange(input._array.shape[0]),)
        return _scatter[not from_tensor], product_into(input, values, grid(array, at), True), every
    if reduce not in (None, "multiply"):
        raise RuntimeError(f"reduce argument must be either add or multiply (got {reduce!r})")
    return _scatter[not from_tensor], values, grid(array, at)


@_writing
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Plan:
    """Add `src` to `input` along `dim` at `index`, every duplicate counting. Raises RuntimeError out of range."""
    arguments.need_tensor(src, "scatter_add", "src")
    at, array = checked(input, dim, index, src, "scatter_add")
    same_dtype(input, src, "scatter(): Expected self.dtype to be equal to src.dtype, got {} and {}")
    return _scatter_add, cropped(src, array.shape), grid(array, at)


@_writing
def index_put(input: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Plan:
    """Write `values` into input[indices], a tuple of index tensors; add them there with `accumulate`."""
    found = arguments.tensors((tuple(indices),), "index_put")
    arguments.need_tensor(values, "index_put", "values")
    same_dtype(
        input, values,
        "Index put requires the source and destination dtypes match, got {} for the destination and {} for the source.",
    )  # fmt: skip
    _, _, left = indexing.basic(input, indexing.items_of(input, found))
    index = indexing.advanced(input, left)
    return _accumulate if accumulate else _index_put, assigning.fitted(input, index, values), index


@_writing
def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Plan:
    """Write `source` into `input`, as if both had one dimension, at `index`; add it there with `accumulate`."""
    arguments.need_tensor(source, "put", "source")
    F, array = of(input._array), _index(index, "put_", ("int64",))
    same_dtype(input, source, "put_(): self ({}) and source ({}) must have the same dtype")
    if source._array.size != array.size:
        raise IndexError(
            "put_(): Expected source and index to have the same number of elements, but got source.numel() = "
            f"{source._array.size}, index.numel() = {array.size}"
        )
    n = input._array.size
    check_range(array, n, -n, lambda i: IndexError(f"out of range: tried to access index {i} on a tensor of {n} elements."))
    flat, places = F.where(array < 0, array + n, array).reshape(-1), []
    for size in reversed(input._array.shape):
        flat, place = flat // size, flat % size
        places.append(place)
    return _put[bool(accumulate)], reshape_to(source, (source._array.size,)), tuple(reversed(places))


index_put_ = of_tensor(methods["index_put_"], "index_put_")
