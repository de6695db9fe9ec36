"""Elements found by comparing: indices of extrema and of order, and the elements there. It must not know Tensors.

Indices have no derivative, and what stands at indices is linear in the array. So every sorting op is an index primitive
followed by `pick`.
"""

from __future__ import annotations

from typing import Any

from gradcore.recorder import primitive

Array = Any
Shape = tuple[int, ...]


@primitive(
    "multilinear",
    x=lambda F, g, indices, x_shape, axis, keepdims, distinct: F.place(
        g, indices, axis=axis, shape=x_shape, keepdims=keepdims, distinct=distinct
    ),
)
def pick(F: Any, x: Array, indices: Array, *, axis: int, keepdims: bool = True, distinct: bool = True) -> Array:
    """The elements of `x` at `indices` along `axis`; without `keepdims` neither indices nor result have that axis.

    `distinct` says that no place is named twice.
    """
    if not x.ndim:
        return F.copy(x)
    if keepdims:
        return F.take_along_axis(x, indices, axis)
    return F.squeeze(F.take_along_axis(x, F.expand_dims(indices, axis), axis), axis)


@primitive(
    "multilinear",
    x=lambda F, g, indices, axis, keepdims, distinct: F.pick(
        g, indices, axis=axis, keepdims=keepdims, distinct=distinct
    ),
)
def place(
    F: Any, x: Array, indices: Array, *, axis: int, shape: Shape, keepdims: bool = True, distinct: bool = True
) -> Array:
    """Zeros of `shape` with the elements of `x` added at `indices` along `axis`: the transpose of `pick`."""
    if not shape:
        return F.copy(x)
    if not keepdims:
        x, indices = F.expand_dims(x, axis), F.expand_dims(indices, axis)
    out = F.zeros(shape, x.dtype)
    if distinct:
        F.put_along_axis(out, indices, x, axis)
        return out
    grid = [F.arange(n).reshape([-1 if i == a else 1 for i in range(x.ndim)]) for a, n in enumerate(x.shape)]
    grid[axis] = indices
    return F.scatter_add(out, tuple(grid), x)


@primitive("general")
def argmax(F: Any, x: Array, *, axis: int | None, keepdims: bool = False) -> Array:
    """The index of the first maximum, NaN counting as one."""
    return F.argmax(x, axis, keepdims=keepdims)


@primitive("general")
def argmin(F: Any, x: Array, *, axis: int | None, keepdims: bool = False) -> Array:
    """The index of the first minimum, NaN counting as one."""
    return F.argmin(x, axis, keepdims=keepdims)
