"""Dropout as one primitive: a device makes its random numbers again, backward. It must not know Tensors."""

from __future__ import annotations

from typing import Any

from gradcore.recorder import primitive

Array = Any


@primitive("general")
def kept_places(F: Any, kept: Array, *, shape: tuple[int, ...], p: float) -> Array:
    """Where a `dropout` of this shape kept what there was."""
    return F.kept_places(kept, shape, p)


@primitive(
    "general",
    composition=lambda F, x, kept, p: F.masked(x, F.kept_places(kept, shape=tuple(x.shape), p=p)) * (1 / (1 - p)),
)
def dropout_backward(F: Any, x: Array, kept: Array, *, p: float) -> Array:
    return F.dropout_backward(x, kept, p)


@primitive(
    "general",
    x=lambda F, g, kept, p: F.dropout_backward(g, kept, p=p),
    outputs=("out", "kept"),
    constant=("kept",),
    node="NativeDropout",
)
def dropout(F: Any, x: Array, *, p: float, source: Any) -> tuple[Array, Array]:
    """`x` with elements replaced by 0 with probability `p`, by numbers of `source`, and the rest divided by 1 - p.

    With it comes what the backend wants kept for the derivative.
    """
    return F.dropout(x, p, source)  # type: ignore[no-any-return]
