"""Elements that indices name, and sums into them, on the host; must not know gradients or CuPy.

NumPy is several times faster with one flat index than with one per axis.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

_FEW = 64  # elements, for which everything else takes longer
_MANY = 2048  # elements, from which on one index takes less time, making it included
_WIDE = 16  # elements in a row that is worth more than its parts
_LEAST = 8  # rows to add at once, for which a call pays
_OFTEN = 16  # rows for one place, for which a sum of its own pays
_FIRST = np.zeros(1, np.intp)


def starts(n: int, length: int) -> Any:
    """Return where `n` rows of `length` elements, one after the other, begin; it is not to be written to."""
    return _few_starts(n, length) if 0 < n <= _MANY else np.arange(n) * length


@lru_cache(64)
def _few_starts(n: int, length: int) -> Any:
    made = np.arange(n) * length
    made.flags.writeable = False
    return made


def positions(index: tuple[Any, ...], shape: tuple[int, ...]) -> Any:
    """The flat places that arrays of integers, one an axis, name in an array of `shape`. Raise IndexError out of range."""
    total: Any = None
    for i, n in zip(index, shape, strict=True):
        i = i.astype("i8", copy=False)
        if i.size and i.view("u8").max() >= n:  # negative ones are very large then
            if i.min() < -n or i.max() >= n:
                raise IndexError(f"index out of range for shape {shape}")
            i = np.where(i < 0, i + n, i)
        try:
            total = i if total is None else total * n + i
        except ValueError:
            shapes = " ".join(str(each.shape) for each in index)
            raise IndexError(f"shape mismatch: cannot broadcast indexing arrays of the shapes {shapes}") from None
    return total


def add_at(x: Any, index: tuple[Any, ...], values: Any) -> None:
    """Add `values` to x[index] in place, one after the other. Raise IndexError out of range."""
    values = np.asarray(values)
    if (
        values.size <= _FEW
        or not x.flags.c_contiguous
        or not all(type(i) is np.ndarray and i.dtype.kind in "iu" for i in index)
    ):
        np.add.at(x, index, values)
        return
    trailing = x.shape[len(index) :]
    place = positions(index, x.shape[: len(index)])
    row = math.prod(trailing)
    rows = np.broadcast_to(values, place.shape + trailing)
    if row == 1:
        np.add.at(x.reshape(-1), place.reshape(-1), rows.reshape(-1))
    elif row >= _WIDE and rows.size >= 4 * _MANY:
        _add_rows(x.reshape(-1, row), place.reshape(-1), rows.reshape(-1, row))
    else:
        flat = (place.reshape(-1, 1) * row + np.arange(row)).reshape(-1)
        np.add.at(x.reshape(-1), flat, rows.reshape(-1))


def _add_rows(x: Any, place: Any, rows: Any) -> None:
    """Add `rows` to those of `x` at `place`: the first that each place gets at once, then the second, and so on."""
    order = _sorting(place, x.shape[0])
    ordered = place.take(order)
    starts = np.concatenate([_FIRST, np.flatnonzero(ordered[1:] != ordered[:-1]) + 1])
    counts = np.diff(starts, append=place.size)
    most = int(counts.max())
    longest_first = _sorting(most - counts, most)
    starts, counts = starts.take(longest_first), counts.take(longest_first)
    total = rows.take(order.take(starts), 0)
    done, several = 1, np.searchsorted(-counts, -np.arange(1, most + 1)).tolist()  # places that get more than so many rows
    for done, n in enumerate(several, 1):
        if n < _LEAST and (most - done > _OFTEN or not n):
            break
        part = total[:n]
        np.add(part, rows.take(order.take(starts[:n] + done), 0), part)
    for i in range(np.searchsorted(-counts, -done)):
        total[i] += np.add.reduce(rows.take(order[starts[i] + done : starts[i] + counts[i]], 0), 0)
    place = ordered.take(starts)
    x[place] = np.add(total, x.take(place, 0), total)


def _sorting(keys: Any, limit: int) -> Any:
    """The order that sorts integers from 0 to `limit`, equal ones as they are."""
    return np.argsort(keys.astype("u2") if limit < 1 << 16 else keys, kind="stable")  # in a fifth of the time


def take_at(x: Any, index: tuple[Any, ...]) -> Any:
    """Return x[index] for arrays of integers, one an axis. Raise IndexError out of range."""
    if not x.flags.c_contiguous or max([i.size for i in index]) < _MANY:
        return x[index]
    return x.reshape(-1).take(positions(index, x.shape), mode="wrap")  # which are in range: the fastest mode


def take_along_axis(x: Any, indices: Any, axis: int) -> Any:
    """Return the elements of `x` at `indices` along `axis`; along the others the two are broadcast."""
    if indices.dtype.kind not in "iu" or indices.ndim != x.ndim:
        return np.take_along_axis(x, indices, axis)
    return take_at(x, _grid(x, indices, axis % x.ndim))


def take_cells(x: Any, cells: Any) -> Any:
    """Return the elements of x (N, C, S) at `cells` (N, P), below S, the same ones for all C: an array (N, C, P)."""
    n, c, _ = x.shape
    if n > 8 and c * cells.shape[1] < _FEW:
        return np.take_along_axis(x, cells[:, None], 2)
    out = np.empty((n, c, cells.shape[1]), x.dtype)
    for i in range(n):
        x[i].take(cells[i], 1, out[i], "wrap")  # which are in range: the fastest mode
    return out


def put_along_axis(x: Any, indices: Any, values: Any, axis: int) -> None:
    """Write `values` to `x` at `indices` along `axis`; along the others the two are broadcast."""
    if indices.dtype.kind not in "iu" or indices.ndim != x.ndim:
        np.put_along_axis(x, indices, values, axis)
        return
    if indices.size < _MANY or not x.flags.c_contiguous:
        x[_grid(x, indices, axis % x.ndim)] = values
        return
    place = positions(_grid(x, indices, axis % x.ndim), x.shape)
    x.reshape(-1)[place] = np.broadcast_to(values, place.shape)


def _grid(x: Any, indices: Any, axis: int) -> tuple[Any, ...]:
    """The index that runs through all positions, except along `axis`, where it reads `indices`."""
    grid = [_places(n, a, x.ndim) for a, n in enumerate(x.shape)]
    grid[axis] = indices
    return tuple(grid)


def _places(n: int, axis: int, ndim: int) -> Any:
    return (_few_places if n <= _MANY else _few_places.__wrapped__)(n, axis, ndim)


@lru_cache(1024)
def _few_places(n: int, axis: int, ndim: int) -> Any:
    """The integers below `n` along `axis`."""
    return np.arange(n).reshape((-1,) + (1,) * (ndim - axis - 1))
