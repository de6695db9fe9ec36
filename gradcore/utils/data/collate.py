"""From samples to a batch: tensors are stacked, numbers become tensors, collections keep their form. It knows no loader."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

from gradcore.dtypes import float64
from gradcore.ops.creation import as_tensor, tensor
from gradcore.ops.joining import stack
from gradcore.tensor import Tensor


def default_convert(data: Any) -> Any:
    """Return `data` with its NumPy arrays as tensors, in whatever collections they are."""
    if _is_array(data):
        return data if _is_text(data) else as_tensor(data)
    if isinstance(data, (Tensor, str, bytes)) or not isinstance(data, (Mapping, Sequence)):
        return data
    return _rebuilt(data, [default_convert(each) for each in _values(data)])


def default_collate(batch: Any) -> Any:
    """Return samples as one batch: tensors and arrays stacked, numbers in a tensor, collections of batches.

    Strings stay as they are. Raises RuntimeError for collections that differ in length, TypeError for anything else.
    """
    first: Any = batch[0]
    if isinstance(first, Tensor):
        return stack(list(batch))
    if _is_array(first):
        if _is_text(first):
            raise TypeError(_UNKNOWN.format(getattr(first, "dtype", type(first))))
        return stack([as_tensor(each) for each in batch]) if first.ndim else tensor(batch)
    if isinstance(first, float):
        return tensor(batch, dtype=float64)
    if isinstance(first, int):
        return tensor(batch)
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, Mapping):
        return _rebuilt(first, [default_collate([each[key] for each in batch]) for key in first])
    if isinstance(first, Sequence):
        if any(len(each) != len(first) for each in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        return _rebuilt(first, [default_collate(each) for each in zip(*batch, strict=True)])
    raise TypeError(_UNKNOWN.format(type(first)))


_UNKNOWN = "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {}"


def _is_array(x: Any) -> bool:
    return type(x).__module__ == "numpy"


def _is_text(x: Any) -> bool:
    return getattr(x, "dtype", None) is not None and x.dtype.kind in "SUO"


def _values(collection: Any) -> Any:
    return collection.values() if isinstance(collection, Mapping) else collection


def _rebuilt(collection: Any, values: list[Any]) -> Any:
    """A collection of the type of this one, with other values; a plain one where that type cannot be made so."""
    make: Callable[..., Any] = type(collection)
    if isinstance(collection, tuple):
        return make(*values) if hasattr(collection, "_fields") else values
    keyed = isinstance(collection, Mapping)
    plain: Any = dict(zip(collection, values, strict=True)) if keyed else values
    try:
        if not isinstance(collection, (MutableMapping, MutableSequence)):
            return make(plain)
        clone: Any = copy.copy(collection)
        for key, value in plain.items() if keyed else enumerate(plain):
            clone[key] = value
        return clone
    except TypeError:
        return plain
