"""Arrays resampled along one axis by weights that depend on places alone, and the transpose. It must not know Tensors.

Each cell of the result is a sum of a few cells of the source, its taps. So is each cell of the transpose: the taps listed
by their source. Both are made once and kept.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import ceil, pi
from typing import Any, NamedTuple

from gradcore.backends import numpy as host
from gradcore.backends.shared import widened
from gradcore.recorder import primitive

Array = Any


class Sampling(NamedTuple):
    """How `size` cells become `out`: "nearest", "nearest-exact", "area", or a filter of the table below.

    `scale` is the distance of two cells of the result, counted in cells of the source; `aligned` lets the centres of the
    first and last cells fall together, else it is their outer edges; `wide` stretches a filter to that distance.
    """

    filter: str
    size: int
    out: int
    scale: float
    aligned: bool = False
    wide: bool = False


class Taps(NamedTuple):
    """For each cell of the result (last axis) the `places` in the source and their `weights`, None for 1.

    Where some have fewer than others they are filled up; `given` says which are none of these, None that all are.
    """

    places: Array
    weights: Array | None
    given: Array | None


@primitive(
    "linear",
    x=lambda F, g, axis, sampling, transposed: F.resample(g, axis=axis, sampling=sampling, transposed=not transposed),
)
def resample(F: Any, x: Array, *, axis: int, sampling: Sampling, transposed: bool = False) -> Array:
    """`x` resampled along `axis`, or the transpose of that."""
    return (_widened if x.dtype.itemsize == 2 else _resample)(F, x, axis, sampling, transposed)


def _resample(F: Any, x: Array, axis: int, sampling: Sampling, transposed: bool) -> Array:
    kind = x.dtype.char if x.dtype.kind == "f" else "f"
    total: Any = None
    for places, weights, given in _kept(F, F.device_of(x)[1], sampling, kind, transposed, x.ndim - axis - 1):
        part = x.take(places, axis)
        if weights is not None:
            part *= weights
        if given is not None:
            part = F.masked(part, given)
        if total is None:
            total = part
        else:
            total += part
    return total


_widened = widened(_resample)


@lru_cache(maxsize=512)
def _kept(F: Any, device: int | None, sampling: Sampling, kind: str, transposed: bool, after: int) -> list[Taps]:
    """The taps one by one, their weights and what says which are given for an axis that has `after` behind it."""
    whole, column = _whole(sampling, kind, transposed), (-1, *(1,) * after)
    with F.on_device(device):
        taps = taps_of(F, sampling, kind)
        if transposed:
            taps = _transposed(F, sampling, taps, len(whole))
        return [
            Taps(
                taps.places[k],
                None if taps.weights is None else taps.weights[k].reshape(column),
                None if filled or taps.given is None else taps.given[k].reshape(column),
            )
            for k, filled in enumerate(whole)
        ]


@lru_cache(maxsize=512)
def _whole(sampling: Sampling, kind: str, transposed: bool) -> tuple[bool, ...]:
    """For each tap whether all cells have it. It is asked of the host, for which no device has to be waited for."""
    taps = taps_of(host, sampling, kind)
    if not transposed:
        return (True,) * len(taps.places) if taps.given is None else tuple(host.all(taps.given, 1).tolist())
    sources = taps.places.reshape(-1) if taps.given is None else taps.places[taps.given]
    many = host.bincount(sources, None, sampling.size)
    return tuple((host.arange(int(host.max(many))) < host.min(many)).tolist())


# -- which cells, and by what weight -------------------------------------------------------------------------


def taps_of(F: Any, sampling: Sampling, kind: str) -> Taps:
    """The taps of the cells of the result, computed in the real dtype `kind`."""
    real = F.dtype(kind).type
    if sampling.filter.startswith("nearest"):
        shift = 0.5 if sampling.filter == "nearest-exact" else 0.0
        places = F.floor((F.astype(F.arange(sampling.out), real) + real(shift)) * real(sampling.scale))
        return Taps(F.minimum(F.astype(places, "int64"), sampling.size - 1)[None], None, None)
    if sampling.filter == "area":
        return _areas(F, sampling.size, sampling.out, real)
    return (_stretched if sampling.wide else _pointed)(F, sampling, real)


def _areas(F: Any, size: int, out: int, real: Any) -> Taps:
    """The cells that each of `out` equal parts of `size` cells touches, all alike."""
    step = F.arange(out)
    start, end = step * size // out, -(-(step + 1) * size // out)
    places = start + F.arange(min(size, size // out + (2 if size % out else 0))).reshape(-1, 1)
    weights = F.broadcast_view(1 / F.astype(end - start, real), places.shape)
    return Taps(F.minimum(places, size - 1), weights, places < end)


def _pointed(F: Any, sampling: Sampling, real: Any) -> Taps:
    """The cells around the place of each cell of the result, those beyond an end being the one there."""
    size = sampling.size
    step = F.astype(F.arange(sampling.out), real)
    at = step * real(sampling.scale) if sampling.aligned else (step + real(0.5)) * real(sampling.scale) - real(0.5)
    if sampling.filter == "linear":
        at = step if sampling.size == sampling.out else F.maximum(at, real(0))
        first = F.minimum(F.astype(F.floor(at), "int64"), size - 1)
        beyond = F.clip(at - F.astype(first, real), 0, 1)
        places, weights = [first, F.minimum(first + 1, size - 1)], [1 - beyond, beyond]
    else:
        first = F.astype(F.floor(at), "int64")
        beyond = F.clip(at - F.astype(first, real), 0, 1)
        places = [F.clip(first + k, 0, size - 1) for k in (-1, 0, 1, 2)]
        weights = [_sum_of_powers(F, beyond, each) for each in cubic()]
    return Taps(F.stack(places), F.astype(F.stack(weights), real), None)


def cubic(a: float = -0.75) -> tuple[tuple[float, ...], ...]:
    """The weights of the cells at -1, 0, 1 and 2 at a place in [0, 1], as coefficients of its powers; Keys, "Cubic
    convolution interpolation" (1981)."""
    return (0, a, -2 * a, a), (1, 0, -(a + 3), a + 2), (0, -a, 2 * a + 3, -(a + 2)), (0, 0, a, -a)


@primitive(
    "elementwise",
    x=lambda F, g, x, coefficients: g * F.polynomial(x, coefficients=_slope(coefficients)),
    refuses="biu",
)
def polynomial(F: Any, x: Array, *, coefficients: tuple[float, ...]) -> Array:
    """Return c0 + c1 x + c2 x**2 + ... for coefficients (c0, c1, c2, ...)."""
    return _sum_of_powers(F, x, coefficients)


def _sum_of_powers(F: Any, x: Array, coefficients: tuple[float, ...]) -> Array:
    *rest, last = coefficients
    out = F.full_like(x, last)
    for c in reversed(rest):
        out *= x
        out += c
    return out


def _slope(coefficients: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(k * c for k, c in enumerate(coefficients))[1:] or (0.0,)


def _triangle(F: Any, d: Array) -> Array:
    return F.maximum(1 - d, 0)


def _cubic(F: Any, d: Array) -> Array:
    beyond, within, *_ = cubic(-0.5)
    near, far = _sum_of_powers(F, d, within), _sum_of_powers(F, d - 1, beyond)
    return F.where(d < 1, near, F.where(d < 2, far, 0 * far))


def _lanczos(F: Any, d: Array) -> Array:
    def sinc(x: Array) -> Array:
        x = F.maximum(x * pi, 1e-30)
        return F.sin(x) / x

    return F.masked(sinc(d) * sinc(d / 3), d < 3)


# A filter's weight at a distance, and the distance from which on that is 0.
_FILTERS: dict[str, tuple[Callable[[Any, Array], Array], int]] = {
    "linear": (_triangle, 1),
    "cubic": (_cubic, 2),
    "lanczos": (_lanczos, 3),
}


def _stretched(F: Any, sampling: Sampling, real: Any) -> Taps:
    """The cells under a filter as wide as a cell of the result, where that is the wider."""
    weight, reach = _FILTERS[sampling.filter]
    stretch = max(sampling.scale, 1.0)
    support = reach * stretch
    centre = (F.astype(F.arange(sampling.out), real) + real(0.5)) * real(sampling.scale)
    start = F.maximum(F.astype(F.trunc(centre - real(support) + real(0.5)), "int64"), 0)
    end = F.minimum(F.astype(F.trunc(centre + real(support) + real(0.5)), "int64"), sampling.size)
    places = start + F.arange(ceil(support) * 2 + 1).reshape(-1, 1)
    given = places < end
    distance = F.absolute((F.astype(places, real) - centre + real(0.5)) * real(1 / stretch))
    weights = F.masked(F.astype(weight(F, distance), real), given)
    return Taps(F.minimum(places, sampling.size - 1), weights / F.sum(weights, 0), given)


def _transposed(F: Any, sampling: Sampling, taps: Taps, most: int) -> Taps:
    """The same taps listed by the cell of the source that they are of, of which none has more than `most`."""
    count, size = taps.places.shape[0], sampling.size
    sources = taps.places if taps.given is None else F.where(taps.given, taps.places, size)
    sources = sources.reshape(-1)
    order = F.argsort(sources)
    ordered = F.take(sources, order)
    start = F.searchsorted(ordered, F.arange(size + 1), "left")
    # The number of each tap among those of its source; what stands for no tap goes into a column that is cut off.
    rank = F.minimum(F.arange(sources.size) - F.take(start, ordered), most - 1)

    def listed(values: Array) -> Array:
        out = F.zeros((most, size + 1), values.dtype)
        out[rank, ordered] = F.take(values.reshape(-1), order)
        return out[:, :size]

    places = listed(F.broadcast_view(F.arange(sampling.out), (count, sampling.out)))
    given = F.arange(most).reshape(-1, 1) < start[1:] - start[:-1]
    return Taps(places, None if taps.weights is None else listed(taps.weights), given)
