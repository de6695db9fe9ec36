"""Changes of shape and order of elements, with their transposes. It must not know Tensors."""

from __future__ import annotations

from typing import Any

from gradcore.recorder import primitive
from gradcore.recorder.steps import sum_to

Array = Any
Shape = tuple[int, ...]


@primitive("linear", x=lambda F, g, x_shape: F.reshape(g, shape=x_shape), view=True, node="View")
def reshape(F: Any, x: Array, *, shape: Shape) -> Array:
    return F.reshape(x, shape)


@primitive("linear", x=lambda F, g, axes: F.transpose(g, axes=inverse(axes)), view=True, node="Permute")
def transpose(F: Any, x: Array, *, axes: tuple[int, ...]) -> Array:
    return F.transpose(x, axes)


def inverse(permutation: tuple[int, ...]) -> tuple[int, ...]:
    """The permutation that undoes `permutation`."""
    order = [0] * len(permutation)
    for place, axis in enumerate(permutation):
        order[axis] = place
    return tuple(order)


@primitive("linear", x=lambda F, g, x_shape: sum_to(F, g, x_shape), view=True, node="Expand")
def expand(F: Any, x: Array, *, shape: Shape) -> Array:
    """Broadcast `x` to `shape` without a copy."""
    return F.broadcast_view(x, shape)
