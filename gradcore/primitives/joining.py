"""Joining arrays and taking them apart again, with their transposes. It must not know Tensors."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

from gradcore.recorder import primitive

Array = Any


def along(axis: int, which: Any) -> tuple[Any, ...]:
    """The index that has `which` at `axis` and everything before it."""
    return (*(slice(None),) * axis, which)


def _parts(F: Any, g: Array, needs: tuple[bool, ...], xs_shape: Any, axis: int) -> tuple[Any, ...]:
    sizes = [shape[axis] for shape in xs_shape]
    return tuple(
        F.basic_getitem(g, index=along(axis, slice(stop - n, stop))) if needed else None
        for n, stop, needed in zip(sizes, accumulate(sizes), needs, strict=True)
    )


@primitive("linear", vjp=_parts, node="Cat")
def concatenate(F: Any, *xs: Array, axis: int) -> Array:
    return F.ascontiguousarray(F.concatenate(xs, axis))


@primitive(
    "linear",
    vjp=lambda F, g, needs, axis: tuple(
        F.basic_getitem(g, index=along(axis, i)) if needed else None for i, needed in enumerate(needs)
    ),
)
def stack(F: Any, *xs: Array, axis: int) -> Array:
    return F.ascontiguousarray(F.stack(xs, axis))


@primitive("linear", x=lambda F, g, axis: F.concatenate(*g, axis=axis), outputs=("outs",), view=True, node="SplitWithSizes")
def split(F: Any, x: Array, *, sizes: tuple[int, ...], axis: int) -> tuple[Array, ...]:
    return tuple(
        F.getitem(x, along(axis, slice(stop - n, stop))) for n, stop in zip(sizes, accumulate(sizes), strict=True)
    )


@primitive("linear", x=lambda F, g, axis: F.stack(*g, axis=axis), outputs=("outs",), view=True)
def unbind(F: Any, x: Array, *, axis: int) -> tuple[Array, ...]:
    return tuple(F.getitem(x, along(axis, i)) for i in range(x.shape[axis]))
