"""Selecting and writing parts of arrays, with their transposes. It must not know Tensors.

An `index` is a tuple of integers, slices, None and arrays of the backend, as NumPy takes it.
"""

from __future__ import annotations

from typing import Any

from gradcore.recorder import primitive
from gradcore.recorder.inplace import slice_updater
from gradcore.recorder.primitive import renamed
from gradcore.recorder.steps import raw

Array = Any


@primitive("linear", x=lambda F, g, x_shape, index: F.embed(g, index=index, shape=x_shape), view=True, node="Slice")
def basic_getitem(F: Any, x: Array, *, index: Any) -> Array:
    """The part of `x` at an index without arrays, as a view."""
    return F.getitem(x, index)


select = renamed(basic_getitem, "Select")


@primitive("linear", x=lambda F, g, index: F.basic_getitem(g, index=index))
def embed(F: Any, x: Array, *, index: Any, shape: tuple[int, ...]) -> Array:
    """Zeros of `shape` with `x` at an index without arrays."""
    out = F.zeros(shape, x.dtype)
    F.setitem(out, index, x)
    return out


@primitive(
    "linear", dense=True, x=lambda F, g, x_shape, index: F.scatter_zeros(g, index=index, shape=x_shape), node="Index"
)
def getitem(F: Any, x: Array, *, index: Any) -> Array:
    """The elements of `x` at an index with arrays."""
    last = index[-1]
    if last.dtype.kind != "b":
        if len(index) == 1 or {slice}.issuperset(map(type, index[:-1])):
            return x.take(last, len(index) - 1)
        if len(index) == x.ndim and "b" not in [each.dtype.kind if hasattr(each, "dtype") else "b" for each in index]:
            return F.take_at(x, index)
    return F.getitem(x, index)


@primitive("linear", x=lambda F, g, index: F.getitem(g, index=index))
def scatter_zeros(F: Any, x: Array, *, index: Any, shape: tuple[int, ...]) -> Array:
    """Zeros of `shape` to which the elements of `x` are added at an index with arrays; places named twice get both."""
    out = F.zeros(shape, x.dtype)
    F.scatter_add(out, index, x)
    return out


@primitive(
    "linear",
    x=lambda F, g, index: F.index_put(g, 0.0, index=index),
    values=lambda F, g, index: F.getitem(g, index=index),
)
def index_put(F: Any, x: Array, values: Array, *, index: Any) -> Array:
    """`x` with `values`, of the shape of x[index] or a number, at an index with arrays."""
    out = F.copy(x)
    F.setitem(out, index, values)
    return out


@primitive("linear", x=lambda g: g, values=lambda F, g, index: F.getitem(g, index=index))
def index_add(F: Any, x: Array, values: Array, *, index: Any) -> Array:
    """`x` with `values`, of the shape of x[index], added at an index with arrays."""
    out = F.copy(x)
    F.scatter_add(out, index, values)
    return out


@primitive(
    "linear",
    x=lambda F, g, view: F.slice_update(g, 0.0, view=view),
    part=lambda F, g, view: view(F, g),
    node="CopySlices",
    holomorphic=False,  # a view may be of parts of complex numbers
)
def slice_update(F: Any, x: Array, part: Array, *, view: Any) -> Array:
    """`x` with what the chain of views `view` shows of it replaced by `part`, an array of that shape or a number."""
    out = F.copy(x)
    shown = view(raw(F), out)
    if F.storage(shown) is F.storage(out):
        F.setitem(F.writable(shown), ..., part)
        return out
    # The chain is one of views on the original's strides but not on the copy's: find the places by number.
    numbers = F.astype(F.arange(x.size * (2 if x.dtype.kind == "c" else 1)), "float64")
    numbers = numbers.view("complex128") if x.dtype.kind == "c" else numbers
    places = F.astype(_real_parts(F, view(raw(F), F.reshape(numbers, x.shape))), "int64")
    F.setitem(_real_parts(F, out), places, _real_parts(F, part) if hasattr(part, "dtype") else part)
    return out


def _real_parts(F: Any, x: Array) -> Array:
    """The elements in C order, of complex numbers both parts; a view of what lies so."""
    flat = F.reshape(F.ascontiguousarray(x), (-1,))
    return flat.view(F.real(x).dtype) if x.dtype.kind == "c" else flat


slice_update.primitive.node_name = "CopySlices"  # type: ignore[attr-defined]
slice_updater.append(slice_update)
