"""Arrays made larger at their borders, with the transposes. It must not know Tensors."""

from __future__ import annotations

from typing import Any

from gradcore.recorder import primitive

Array = Any
Index = tuple[slice, ...]


@primitive("general", x=lambda F, g, index: F.basic_getitem(g, index=index), node="ConstantPadNd")
def pad(F: Any, x: Array, *, index: Index, shape: tuple[int, ...], value: Any) -> Array:
    """`x` at the place `index` in an array of `shape` that is `value` elsewhere."""
    out = F.full(shape, value, x.dtype)
    out[index] = x
    return out


def _borders(n: int, before: int, after: int, mode: str) -> tuple[slice, slice]:
    """The elements of an axis of length `n` that are repeated before and after it; one of them counts for
    all."""
    if mode == "reflect":
        end = n - 2 - after
        return slice(before, 0, -1), slice(n - 2, end if end >= 0 else None, -1)
    if mode == "circular":
        return slice(n - before, n), slice(0, after)
    return slice(0, 1), slice(n - 1, n)


@primitive(
    "linear",
    x=lambda F, g, axis, before, after, mode: F.fold_borders(g, axis=axis, before=before, after=after, mode=mode),
)
def repeat_borders(F: Any, x: Array, *, axis: int, before: int, after: int, mode: str) -> Array:
    """`x` with elements repeated along `axis`: the last or first ones ("reflect", "circular") or the edge
    ("replicate")."""
    n = x.shape[axis]
    first, last = _borders(n, before, after, mode)
    out = F.empty((*x.shape[:axis], before + n + after, *x.shape[axis + 1 :]), x.dtype)
    lead = (slice(None),) * axis
    out[(*lead, slice(before, before + n))] = x
    if before:
        out[(*lead, slice(0, before))] = x[(*lead, first)]
    if after:
        out[(*lead, slice(before + n, None))] = x[(*lead, last)]
    return out


@primitive(
    "linear",
    x=lambda F, g, axis, before, after, mode: F.repeat_borders(g, axis=axis, before=before, after=after, mode=mode),
)
def fold_borders(F: Any, x: Array, *, axis: int, before: int, after: int, mode: str) -> Array:
    """What `repeat_borders` repeated added to where it came from: its transpose."""
    n = x.shape[axis] - before - after
    lead = (slice(None),) * axis
    out = F.copy(x[(*lead, slice(before, before + n))])
    borders = (slice(0, before), slice(before + n, None))
    for length, source, border in zip((before, after), _borders(n, before, after, mode), borders, strict=True):
        if length:
            part = x[(*lead, border)]
            out[(*lead, source)] += F.sum(part, axis, keepdims=True) if mode == "replicate" else part
    return out
