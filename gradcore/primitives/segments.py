"""Reductions of the elements that belong to one place, with derivatives. It must not know Tensors.

The elements of a place are brought side by side by a stable sort and then combined in log2(n) steps, whose shapes do not
depend on values: a device has nothing to wait for.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from gradcore.recorder import primitive

Array = Any


class Segments(NamedTuple):
    """Elements in the order of their places: `order` sorts them, `place` is where each belongs, `rank` its number there.

    `first` is where the elements of each of the places begin in that order, and `there` whether it has any.
    """

    order: Array
    place: Array
    rank: Array
    first: Array
    there: Array


def _flat(F: Any, index: tuple[Array, ...], shape: tuple[int, ...], values_shape: tuple[int, ...]) -> Array:
    """The numbers, in an array of `shape`, of the places that an index with arrays for all axes names."""
    flat = F.zeros(values_shape, "int64")
    for i, n in zip(index, shape, strict=True):
        flat = flat * n + F.where(i < 0, i + n, i)
    return F.reshape(flat, (-1,))


def segments(F: Any, index: tuple[Array, ...], shape: tuple[int, ...], values_shape: tuple[int, ...]) -> Segments:
    """The segments of the elements that an index with arrays for all axes writes into an array of `shape`."""
    flat, size = _flat(F, index, shape, values_shape), 1
    for n in shape:
        size *= n
    order = F.argsort(flat, 0)
    place = F.take(flat, order, 0)
    rank = F.arange(place.size) - F.searchsorted(place, place)
    every = F.arange(size)
    first = F.minimum(F.searchsorted(place, every), place.size - 1)
    return Segments(order, place, rank, first, F.take(place, first, 0) == every)


def partners(F: Any, s: Segments, step: int) -> Array:
    """Which elements take in the one `step` after them, when those of twice that rank have been combined."""
    n = s.place.size
    later = F.concatenate([s.place[step:], F.full((step,), -1, "int64")], 0)
    return (s.rank % (2 * step) == 0) & (later == s.place) & (F.arange(n) + step < n)


def _extremum_pull(
    F: Any, g: Array, x: Array, values: Array, out: Array, needs: tuple[bool, ...],
    index: Any, include: bool, nan_won: bool, x_dtype: Any,
) -> tuple[Array, Array]:  # fmt: skip
    """Every element that is equal to the extremum of its place gets the same share, NaN only if it counts as equal."""
    won = F.equal(F.getitem(out, index=index), values)
    if nan_won:
        won = F.logical_or(won, F.not_equal(values, values))
    one = F.astype(won, dtype=x_dtype)
    stood = F.equal(x, out)
    if not include:
        untouched = F.equal(F.index_add(F.zero(x), F.zero(values) + 1, index=index), 0)
        stood = F.logical_and(stood, untouched)
    share = g / F.index_add(F.astype(stood, dtype=x_dtype), one, index=index)
    return (
        F.masked(share, stood) if needs[0] else None,
        F.masked(F.getitem(share, index=index), won) if needs[1] else None,
    )


def _extremum_on_host(F: Any, larger: Any, x: Array, values: Array, index: Any, include: bool) -> Array:
    out = F.copy(x)
    flat, places, new = F.reshape(out, (-1,)), _flat(F, index, x.shape, values.shape), F.reshape(values, (-1,))
    if not include:
        flat[places] = new  # any of them
    larger.at(flat, places, new)
    return out


@primitive("general", vjp=_extremum_pull)
def index_extremum(
    F: Any, x: Array, values: Array, *, index: Any, largest: bool, include: bool, nan_won: bool = False
) -> Array:
    """The largest (or smallest) of `values` for each place of `x` that an index with arrays names, and of what was there.

    Without `include`, what was there does not count. NaN wins; with `nan_won` the cotangent is that of the NaN.
    """
    larger = F.maximum if largest else F.minimum
    if F.device_type == "cpu":
        return _extremum_on_host(F, larger, x, values, index, include)
    s = segments(F, index, x.shape, values.shape)
    best = F.take(F.reshape(values, (-1,)), s.order, 0)
    step = 1
    while step < best.size:
        after = F.concatenate([best[step:], best[:step]], 0)
        best = F.where(partners(F, s, step), larger(best, after), best)
        step *= 2
    found = F.take(best, s.first, 0)
    before = F.reshape(x, (-1,))
    new = larger(before, found) if include else found
    return F.reshape(F.where(s.there, new, before), x.shape)
