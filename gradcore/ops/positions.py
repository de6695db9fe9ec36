"""Positions of elements as integer tensors, as torch spells them. It must not know any derivative."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from gradcore import devices, dtypes
from gradcore.backends import of
from gradcore.ops import arguments
from gradcore.ops.filling import arange
from gradcore.ops.joining import cat, stack
from gradcore.ops.registry import op
from gradcore.recorder.value import wrap

if TYPE_CHECKING:
    from gradcore.tensor import Tensor


def _places(x: Any) -> Any:
    """The positions, a row for each dimension; one row for a 0-d tensor."""
    array, F = x._array, of(x._array)
    return F.stack(F.nonzero(array if array.ndim else array.reshape(1)), 0)


@op(out=True)
def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """Return the positions of the nonzero elements as rows, or as one tensor per dimension; waits for a device."""
    places = _places(input)
    if as_tuple:
        return tuple(map(wrap, places))
    return _rows(input, places)


def _rows(x: Any, places: Any) -> Any:
    return wrap(places.T if x._array.ndim else places[:0].T)


@op(out="exact")
def nonzero_static(input: Tensor, *, size: int, fill_value: int = -1) -> Tensor:
    """Return the positions of the first `size` nonzero elements as rows, the rest of the rows full of `fill_value`."""
    if size < 0:
        raise RuntimeError("nonzero_static: 'size' must be an non-negative integer")
    shape, n = input._array.shape, input._array.size
    if not n:
        return input.new_full((size, len(shape)), fill_value, dtype=dtypes.int64)  # type: ignore[no-any-return]
    found = input.reshape(n) != 0
    order = found.logical_not().to(dtypes.uint8).argsort(stable=True)[:size]  # what is found comes first; nothing is read
    places = [order // math.prod(shape[d + 1 :]) % shape[d] for d in range(len(shape))]
    rows = stack(places, 1) if places else order[:, None][:, :0]
    missing = (arange(len(order), device=input.device) >= found.sum())[:, None]
    rows = rows.masked_fill(missing, fill_value)
    return cat([rows, rows.new_full((size - len(order), len(shape)), fill_value)])


@op()
def argwhere(input: Tensor) -> Tensor:
    """Return the positions of the nonzero elements as rows; waits for a device."""
    return _rows(input, _places(input))  # type: ignore[no-any-return]


def _triangle(name: str, upper: bool) -> Any:
    def indices(
        row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None, layout: Any = None
    ) -> Tensor:
        for what, n in (("row", row), ("col", col)):
            if n < 0:
                raise RuntimeError(f"{what} must be non-negative, got{n}")
        F = devices.backend(device)
        wanted = dtypes.int64 if dtype is None else dtypes.as_dtype(dtype, op=name)
        down, right = F.arange(row).reshape(-1, 1), F.arange(col)
        places = F.nonzero(right - down >= offset if upper else right - down <= offset)
        return wrap(F.astype(F.stack(places, 0), wanted.numpy))  # type: ignore[no-any-return]

    indices.__name__ = indices.__qualname__ = name
    indices.__doc__ = (
        f"Return the rows and columns of the {'upper' if upper else 'lower'} triangle of a matrix, two rows of integers."
    )
    return op(method=False)(indices)


tril_indices, triu_indices = _triangle("tril_indices", False), _triangle("triu_indices", True)


@op(method=False)
def unravel_index(indices: Tensor, shape: Any) -> tuple[Tensor, ...]:
    """Return the coordinates, one tensor per dimension of `shape`, of positions in flat order."""
    arguments.need_tensor(indices, "unravel_index", "indices")
    array = indices._array
    if array.dtype.kind not in "iu":
        raise TypeError(f"expected 'indices' to be integer dtype, but got {indices.dtype}")
    if not isinstance(shape, (int, tuple, list)):
        raise TypeError(f"expected 'shape' to be int or sequence of ints, but got {type(shape)}")
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    for n in sizes:
        if not hasattr(n, "__index__"):
            raise TypeError(f"expected 'shape' sequence to only contain ints, but got {type(n)}")
    if any(n < 0 for n in sizes):
        raise ValueError(f"'shape' cannot have negative values, but got {sizes}")
    found, array = [], of(array).astype(array, "int64")
    for n in reversed(sizes):
        array, place = array // n, array % n
        found.append(wrap(place))
    return tuple(reversed(found))
