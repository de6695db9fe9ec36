"""NumPy's functions that write into an array, on traced ones: what they write is a new value. It must not know any
derivative."""

from __future__ import annotations

from typing import Any

from gradcore.ops import function as operation
from gradcore.recorder.value import wrap
from gradcore.transforms.ndarray_methods import np
from gradcore.transforms.traced import WRITES, Traced, bare, cast


def _into(array: Any, name: str) -> Traced:
    if not isinstance(array, Traced):
        raise TypeError(
            f"np.{name}(): what is differentiated cannot be written into an array made outside of the function, where its "
            "derivative would be lost; make the array inside, with np.zeros say"
        )
    return array


def _add_at(a: Any, indices: Any, b: Any) -> None:
    a = _into(a, "add.at")
    rows = np.reshape(np.arange(a.size), a.shape)[np.asarray(bare(indices)) if isinstance(indices, Traced) else indices]
    change = np.ravel(np.broadcast_to(b, rows.shape))
    none = np.ravel(np.zeros_like(a))
    summed = operation("", "index_add")(none._tensor, 0, wrap(np.ravel(rows)), cast(change, a))
    a[...] = a + np.reshape(Traced(summed), a.shape)


def _subtract_at(a: Any, indices: Any, b: Any) -> None:
    _add_at(a, indices, np.negative(b))


def _copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    _into(dst, "copyto")[...] = src if where is True else np.where(where, src, dst)


def _put(a: Any, ind: Any, v: Any, mode: str = "raise") -> None:
    places = np.ravel(np.asarray(ind))
    places = places % a.size if mode == "wrap" else np.clip(places, 0, a.size - 1) if mode == "clip" else places
    np.reshape(_into(a, "put"), -1)[places] = np.resize(v, places.shape)


def _place(arr: Any, mask: Any, vals: Any) -> None:
    mask = np.ravel(np.asarray(bare(mask), dtype=bool))
    np.reshape(_into(arr, "place"), -1)[mask] = np.resize(vals, (int(mask.sum()),))


def _putmask(a: Any, mask: Any, values: Any) -> None:
    _into(a, "putmask")[...] = np.where(mask, np.resize(values, a.shape), a)


def _fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    places = np.arange(min(a.shape))
    _into(a, "fill_diagonal")[(places,) * a.ndim] = np.resize(val, places.shape)


def _put_along_axis(arr: Any, indices: Any, values: Any, axis: int) -> None:
    axis = axis % arr.ndim
    grid = np.ogrid[tuple(slice(n) for n in indices.shape)]
    _into(arr, "put_along_axis")[tuple(indices if i == axis else each for i, each in enumerate(grid))] = values


WRITES.update(
    {"copyto": _copyto, "put": _put, "place": _place, "putmask": _putmask, "fill_diagonal": _fill_diagonal,
     "put_along_axis": _put_along_axis, "add.at": _add_at, "subtract.at": _subtract_at}
)  # fmt: skip
