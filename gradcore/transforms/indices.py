"""Indices as NumPy reads them, and values with a part replaced. It must not know who is indexed, nor any derivative."""

from __future__ import annotations

from operator import index as as_int
from typing import Any

from gradcore.backends import numpy as host
from gradcore.ops import assigning, indexing
from gradcore.ops.shaping import expand_to
from gradcore.primitives.indexing import index_put, slice_update
from gradcore.recorder.value import Value, wrap


def read(index: Any, shape: tuple[int, ...]) -> tuple[tuple[Any, ...], tuple[int, ...]]:
    """An index of NumPy's as torch reads it, and the axes to be reversed before, where steps are negative."""
    items = [_item(x) for x in (index if type(index) is tuple else (index,))]
    if any(_extent(x) is not None for x in items):
        # Beside arrays, numbers are arrays to NumPy: where a slice stands between, that decides where the axes go.
        items = [host.asarray([x]) if type(x) is int else x for x in items]
    taken = sum(_taken(x) for x in items)
    at, flips = 0, []
    for i, x in enumerate(items):
        if x is Ellipsis:
            at += len(shape) - taken
        elif type(x) is slice and x.step is not None and x.step < 0 and at < len(shape):
            start, stop, step = x.indices(shape[at])
            last = shape[at] - 1
            items[i] = slice(last - start, max(last - stop, last - start), -step)
            flips.append(at)
        at += _taken(x)
    return tuple(items), tuple(flips)


def _extent(x: Any) -> int | None:
    """How many axes an array among indices stands for, None for anything else."""
    array = x._array if isinstance(x, Value) else x
    if not hasattr(array, "dtype") or not array.ndim:
        return None
    return int(array.ndim) if array.dtype.kind == "b" else 1


def _taken(x: Any) -> int:
    if x is None or x is Ellipsis or isinstance(x, bool):
        return 0
    return _extent(x) or 1


def _item(x: Any) -> Any:
    if isinstance(x, Value):
        kind = x._array.dtype.kind
        if not x._array.ndim and kind in "iu":
            return int(x._array)
        return x.long() if kind in "iu" else x  # type: ignore[attr-defined]
    if isinstance(x, slice):
        return slice(*(None if each is None else as_int(each) for each in (x.start, x.stop, x.step)))
    if type(x) in (list, tuple):
        x = host.asarray([int(each._array) if isinstance(each, Value) else each for each in x])
        return x if x.size else x.astype("int64")
    if isinstance(x, host.generic) and x.dtype.kind in "iu":
        return int(x)
    return x.astype("int64") if hasattr(x, "dtype") and x.dtype.kind in "iu" else x


def updated(x: Any, index: tuple[Any, ...], value: Any) -> Any:
    """`x` with what stands at `index` replaced by `value`, a Tensor of its dtype or a number."""
    record, at, left = indexing.basic(x, indexing.items_of(x, index))
    view = x if record is None else record(x, index=at)
    if left:
        places = indexing.advanced(view, left)
        value = assigning.fitted(view, places, value) if isinstance(value, Value) else value
        made = index_put(view, value, index=places)
    else:
        value = value if isinstance(value, Value) else wrap(assigning.number(x, value))
        extra = value._array.ndim - view._array.ndim
        made = expand_to(value[(0,) * extra] if extra > 0 else value, view._array.shape)
    return made if record is None else slice_update(x, made, view=view._meta.view.chain)
