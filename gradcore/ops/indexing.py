"""x[index] for every kind of index torch takes. It must not know any derivative.

An index is read in two steps, as torch does: integers, slices, None and Ellipsis first make a view; then tensors, masks and
sequences pick elements of that view.
"""

from __future__ import annotations

from operator import index as as_int
from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.backends import numpy as host
from gradcore.backends import of
from gradcore.ops import literals
from gradcore.ops.arguments import axis
from gradcore.ops.registry import op
from gradcore.primitives import conversion as c
from gradcore.primitives import indexing as p
from gradcore.recorder.caller import warn
from gradcore.recorder.errors import broadcast_mismatch, device_name
from gradcore.recorder.primitive import renamed
from gradcore.recorder.value import Value

if TYPE_CHECKING:
    from gradcore.tensor import Tensor

_ALL = slice(None)
_unsqueeze = renamed(p.basic_getitem, "Unsqueeze")


# -- reading an index -------------------------------------------------------------------------------------------------


def select_at(x: Any, axis: int, i: int) -> Any:
    """Element `i` of `x` along `axis`, as a view without that axis. Raises IndexError out of range."""
    n = x._array.shape[axis]
    if not -n <= i < n:
        raise IndexError(f"index {i} is out of bounds for dimension {axis} with size {n} (shape {list(x._array.shape)})")
    return p.select(x, index=(*(_ALL,) * axis, i))


def basic(x: Any, items: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...], list[Any]]:
    """The basic part of an index: what makes the view (None if it is all of `x`), at which index, and what is left.

    That is, for each axis of the view, a slice or an array; a mask stands for as many axes as it has.
    """
    array = x._array
    shape = array.shape
    taken = sum([_extent(item) for item in items])
    if taken > len(shape):
        raise IndexError(f"too many indices for tensor of dimension {len(shape)}")
    view: list[Any] = []
    left: list[Any] = []
    record = None
    at = 0
    for item in items:
        if type(item) is int:
            n = shape[at]
            if not -n <= item < n:
                raise IndexError(f"index {item} is out of bounds for dimension {at} with size {n} (shape {list(shape)})")
            view.append(item)
            record, at = p.select, at + 1
        elif type(item) is slice:
            cut = _cut(item, shape[at])
            if cut is not _ALL:
                record = p.basic_getitem
            view.append(cut)
            left.append(_ALL)
            at += 1
        elif item is None or type(item) is bool:
            view.append(None)
            left.append(_ALL if item is None else of(array).full((int(item),), 0, "int64"))
            record = _unsqueeze
        elif item is Ellipsis:
            skipped = len(shape) - taken
            taken = len(shape)  # a second Ellipsis stands for nothing
            view.extend((_ALL,) * skipped)
            left.extend((_ALL,) * skipped)
            at += skipped
        else:
            k = _extent(item)
            _check_mask(item, shape, at, k)
            view.extend((_ALL,) * k)
            left.append(item)
            at += k
    while left and left[-1] is _ALL:
        left.pop()
    return record, tuple(view), left


def _extent(item: Any) -> int:
    """How many axes an index takes up."""
    kind = type(item)
    if kind is int or kind is slice:
        return 1
    if item is None or item is Ellipsis or kind is bool:
        return 0
    return item.ndim if getattr(getattr(item, "dtype", None), "kind", "") == "b" else 1


def _cut(item: slice, n: int) -> slice:
    """A slice as plain numbers; `_ALL` itself if it leaves nothing out."""
    start, stop, step = item.indices(n)
    if step < 0:
        raise ValueError(f"step must be greater than zero (got {step}; use flip() to reverse)")
    return _ALL if (start, stop, step) == (0, n, 1) and not item.start else slice(start, max(start, stop), step)


def _check_mask(item: Any, shape: tuple[int, ...], at: int, k: int) -> None:
    if item.dtype == bool:
        for i in range(k):
            if item.shape[i] != shape[at + i]:
                raise IndexError(
                    f"The shape of the mask {list(item.shape)} at index {i} does not match the shape of the indexed "
                    f"tensor {list(shape)} at index {at + i}"
                )


def items_of(x: Any, index: Any) -> tuple[Any, ...]:
    """An index as a tuple of ints, bools, slices, None, Ellipsis and arrays on the device of `x`."""
    if type(index) is not tuple:
        index = tuple(index) if _stands_for_a_tuple(index) else (index,)
    if not x._array.ndim:
        if any(type(item) is int for item in index):
            raise IndexError(
                "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in C++ to convert a "
                "0-dim tensor to a number"
            )
        if any(type(item) is slice for item in index):
            raise IndexError("slice() cannot be applied to a 0-dim tensor.")
    return tuple([item if type(item) in _PLAIN else _item(x, item) for item in index])


def _stands_for_a_tuple(index: Any) -> bool:
    if not isinstance(index, list) or len(index) >= 32:
        return False
    if not any(i is None or i is Ellipsis or isinstance(i, (Value, list, tuple, slice, range, str)) for i in index):
        return False
    warn(
        "Using a non-tuple sequence for multidimensional indexing is deprecated and will be changed in pytorch 2.9; use "
        "x[tuple(seq)] instead of x[seq]. In pytorch 2.9 this will be interpreted as tensor index, x[torch.tensor(seq)], "
        "which will result either in an error or a different result",
    )
    return True


_PLAIN = frozenset({int, slice, bool, type(None), type(Ellipsis)})


def _item(x: Any, item: Any) -> Any:
    if isinstance(item, Value):
        return _tensor_item(x, item)
    if hasattr(item, "dtype") and hasattr(item, "shape"):
        if not item.shape and (item.dtype.kind in "iu" or not isinstance(item, host.generic)):
            return bool(item) if item.dtype.kind == "b" else int(item)
        if item.shape:  # one of numbers is taken as a sequence of them would be
            taken = item.dtype.kind == "b" or item.dtype == "uint8"
            return _array_item(x, item if taken else item.astype("int64"), of(item))
    elif hasattr(item, "__index__"):
        return as_int(item)
    elif isinstance(item, (list, tuple, range)):
        return _sequence_item(x, item)
    elif isinstance(item, str):
        raise TypeError("new(): invalid data type 'str'")
    raise IndexError(
        "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices (got "
        f"{type(item).__module__ + '.' if type(item).__module__ != 'builtins' else ''}{type(item).__name__})"
    )


def _tensor_item(x: Any, item: Any) -> Any:
    array = item._array
    kind = array.dtype.kind
    if not array.ndim and kind in "biu" and not getattr(array, "mapped", False):  # of a batch it has no one value
        value = array.item()
        return bool(value) if kind == "b" or (kind, array.dtype.itemsize) == ("u", 1) else value
    return _array_item(x, array, of(array))


_INDEX_DTYPES = frozenset({("i", 8), ("i", 4), ("u", 1), ("b", 1)})  # kinds and sizes: names take NumPy a microsecond


def _array_item(x: Any, array: Any, source: Any) -> Any:
    kind = array.dtype.kind
    if (kind, array.dtype.itemsize) not in _INDEX_DTYPES:
        raise IndexError(
            f"tensors used as indices must be long, int, byte or bool tensors (got {dtypes.of(array.dtype).name})"
        )
    F = of(x._array)
    if source is not F and not hasattr(source, "interpreter") and source is not getattr(F, "base", None):
        if source.device_type != "cpu":
            raise RuntimeError(
                f"indices should be either on cpu or on the same device as the indexed tensor ({device_name(x._array)})"
            )
        array = F.from_host(array, F.device_of(x._array)[1])
    if kind == "u":
        warn(
            "indexing with dtype torch.uint8 is now deprecated, please use a dtype torch.bool instead.",
        )
        array = F.not_equal(array, 0)
    return array


def _sequence_item(x: Any, item: Any) -> Any:
    """A nested sequence as an index array; numbers become integers, as in torch."""
    if any(isinstance(i, Value) for i in item):
        item = [i._array.tolist() if isinstance(i, Value) else i for i in item]
    try:
        array = of(x._array).asarray(list(item))
    except ValueError:
        array = None
    if array is not None and array.dtype.kind in "USc":
        kind = "complex" if array.dtype.kind == "c" else "str"
        raise TypeError(f"new(): invalid data type '{kind}' (an index is made of integers)")
    if array is None or array.dtype.kind == "O":  # which is no array of numbers: this says why
        F = of(x._array)
        array = F.from_host(literals.array(list(item), None), F.device_of(x._array)[1])
    return array if array.dtype.kind == "b" else array.astype("int64")


def advanced(x: Any, left: list[Any]) -> tuple[Any, ...]:
    """The arrays of an index made ready for the backend: masks beside others become integers, shapes are checked."""
    arrays = [item for item in left if item is not _ALL]
    F = of(x._array)
    if len(arrays) > 1:
        spread: list[Any] = []
        for item in left:
            spread.extend(F.nonzero(item) if item is not _ALL and item.dtype == bool else (item,))
        left = spread
        arrays = [item for item in left if item is not _ALL]
        for other in arrays[1:]:
            if broadcast_mismatch(arrays[0].shape, other.shape):
                raise IndexError(
                    "shape mismatch: indexing tensors could not be broadcast together with shapes "
                    + ", ".join(str(list(each.shape)) for each in arrays)
                )
    return tuple(left)


# -- x[index] ---------------------------------------------------------------------------------------------------------


def getitem(x: Any, index: Any) -> Any:
    """The part of `x` at `index`: a view if it has no arrays, else a copy.

    Raises IndexError for an index out of range, too many of them, a mask of another shape or a wrong dtype, ValueError for
    a step that is not positive.
    """
    kind, array = type(index), x._array
    if array.ndim:
        if kind is int:
            return select_at(x, 0, index)
        if kind is slice:
            return p.basic_getitem(x, index=(_cut(index, array.shape[0]),))
        if isinstance(index, Value) and index._array.ndim and index._array.dtype.kind == "i":
            return p.getitem(x, index=(_array_item(x, index._array, of(index._array)),))
    record, at, left = basic(x, items_of(x, index))
    view = x if record is None else record(x, index=at)
    if left:
        return p.getitem(view, index=advanced(view, left))
    return c.alias(x) if record is None else view


@op()
def select(input: Tensor, dim: int, index: int) -> Tensor:
    """Return the view without dimension `dim` at position `index` of it. Raises IndexError out of range."""
    if not input._array.ndim:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    at, i, n = axis(dim, input._array.ndim), as_int(index), input._array.shape[axis(dim, input._array.ndim)]
    if not -n <= i < n:
        raise IndexError(
            f"select(): index {i} out of range for tensor of size {list(input._array.shape)} at dimension {dim}"
        )
    return select_at(input, at, i)  # type: ignore[no-any-return]


@op()
def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """Return the view of `length` positions along `dim` from `start`. Raises RuntimeError, IndexError if there are fewer."""
    if not input._array.ndim:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    if isinstance(start, Value) and (start._array.ndim or start._array.dtype.kind not in "iu"):
        raise RuntimeError("start must be an 0-dim integral Tensor.")
    at, first = axis(dim, input._array.ndim), as_int(start)
    n = input._array.shape[at]
    if length < 0:
        raise RuntimeError(f"narrow(): length must be non-negative. (got {length})")
    if not -n <= first <= n:
        raise IndexError(f"start out of range (expected to be in range of [{-n}, {n}], but got {first})")
    first += n if first < 0 else 0
    if first + length > n:
        raise RuntimeError(f"start ({first}) + length ({length}) exceeds dimension size ({n}).")
    return p.basic_getitem(input, index=(*(_ALL,) * at, slice(first, first + length)))  # type: ignore[no-any-return]


@op(out="apart", node="NarrowCopy")
def narrow_copy(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    """Return a copy of what `narrow` returns a view of."""
    return c.copy(narrow(input, dim, start, length))  # type: ignore[no-any-return]
