"""Windows that slide over the last axes of an array, as columns and back. It must not know derivatives."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from math import prod
from typing import Any, NamedTuple

Array = Any
Sizes = tuple[int, ...]


class Window(NamedTuple):
    """The geometry of windows over the last axes, hashable so that it can be a static parameter.

    `padding` counts the cells that are imagined before the first and after the last one of each axis.
    """

    kernel: Sizes
    stride: Sizes
    dilation: Sizes
    padding: tuple[tuple[int, int], ...]

    @property
    def ndim(self) -> int:
        """The number of axes the windows slide along."""
        return len(self.kernel)

    @property
    def cells(self) -> int:
        """The number of cells that a window sees."""
        return prod(self.kernel)

    @property
    def reach(self) -> Sizes:
        """The cells from the first to the last that a window sees, along each axis."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    def out(self, size: Sizes) -> Sizes:
        """The number of windows along each axis of an array of `size`."""
        return _out(self, size)

    def around(self, size: Sizes) -> Sizes:
        """`size` with the padding."""
        return tuple(n + sum(p) for n, p in zip(size, self.padding, strict=True))

    def padded(self, F: Any, x: Array, value: float) -> Array:
        """`x` with cells of `value` around it; `x` itself where there is no padding."""
        shape = x.shape
        around, inside = _frame(self, shape[len(shape) - len(self.kernel) :])
        if around is None:
            return x
        out = F.full((*shape[: len(shape) - len(around)], *around), value, x.dtype)
        out[inside] = x
        return out

    def taps(self, out: Sizes) -> list[tuple[Sizes, tuple[Any, ...]]]:
        """Each place in the kernel, with the index of the cells that all windows see there."""
        return _taps(self, out)

    def columns(self, F: Any, x: Array) -> Array:
        """A view of (..., *size), padded with zeros, as (..., *kernel, *out)."""
        n = self.ndim
        axes = tuple(range(x.ndim - n, x.ndim))
        view = F.sliding_window_view(self.padded(F, x, 0), self.reach, axes)
        view = view[(..., *(slice(None, None, step) for step in (*self.stride, *self.dilation)))]
        return view.transpose((*range(x.ndim - n), *(a + n for a in axes), *axes))

    def image(self, F: Any, columns: Array, size: Sizes) -> Array:
        """The transpose of `columns`: every cell of `size` gets the sum of what the windows hold of it."""
        n = self.ndim
        lead, out = columns.shape[: -2 * n], columns.shape[-n:]
        image = F.zeros((*lead, *self.around(size)), columns.dtype)
        rest = (slice(None),) * n
        for place, index in self.taps(out):
            image[index] += columns[(..., *place, *rest)]
        return self.inside(F, image, size)

    def inside(self, F: Any, image: Array, size: Sizes) -> Array:
        """The cells of `size` of an array that has the padding around them."""
        return F.ascontiguousarray(image[_frame(self, size)[1]])


# Geometry takes longer to work out than to look up.


@lru_cache(1024)
def _out(window: Window, size: Sizes) -> Sizes:
    sides = zip(window.around(size), window.reach, window.stride, strict=True)
    return tuple((n - r) // s + 1 for n, r, s in sides)


@lru_cache(1024)
def _frame(window: Window, size: Sizes) -> tuple[Sizes | None, tuple[Any, ...]]:
    """`size` with the padding, None where there is none; and where in it `size` is."""
    inside = tuple(slice(p[0], p[0] + n) for p, n in zip(window.padding, size, strict=True))
    return window.around(size) if any(map(any, window.padding)) else None, (..., *inside)


@lru_cache(256)
def _taps(window: Window, out: Sizes) -> list[tuple[Sizes, tuple[Any, ...]]]:
    taps: list[tuple[Sizes, tuple[Any, ...]]] = []
    for place in product(*map(range, window.kernel)):
        steps = zip(place, window.dilation, window.stride, out, strict=True)
        taps.append((place, (..., *(slice(k * d, k * d + (n - 1) * s + 1, s) for k, d, s, n in steps))))
    return taps


# What windows that are no windows, at the ends of rows, may cost in proportion.
_WASTE = 1.5


@lru_cache(256)
def runs(window: Window, size: Sizes) -> Runs | None:
    """The runs of windows that move by one cell, None for others and for those of which most would be no windows."""
    if window.ndim < 2 or max(window.stride) > 1:
        return None
    around, out = window.around(size), window.out(size)
    steps = tuple(prod(around[a + 1 :]) for a in range(window.ndim))
    length = 1 + sum((n - 1) * step for n, step in zip(out, steps, strict=True))
    return Runs(window, size, around, steps, out, length) if 0 < length <= _WASTE * prod(out) else None


class Runs(NamedTuple):
    """Windows over an array of `size`, in one run through the cells of the padded array from the first window to the last.

    Every place in the kernel then sees a run of cells without gaps, which are copied and added up several times faster
    than rows. The run passes over the ends of rows, where there are no windows.
    """

    window: Window
    size: Sizes
    around: Sizes
    steps: Sizes
    out: Sizes
    length: int

    def columns(self, F: Any, x: Array) -> Array:
        """A view of (..., *size), padded with zeros, as (..., *kernel, length)."""
        x = F.ascontiguousarray(self.window.padded(F, x, 0))
        places = tuple(d * step * x.itemsize for d, step in zip(self.window.dilation, self.steps, strict=True))
        lead = x.ndim - self.window.ndim
        return F.strided(x, (*x.shape[:lead], *self.window.kernel, self.length), (*x.strides[:lead], *places, x.itemsize))

    def image(self, F: Any, columns: Array) -> Array:
        """The transpose of `columns`."""
        lead = columns.shape[: -1 - self.window.ndim]
        image = F.zeros((*lead, prod(self.around)), columns.dtype)
        for place, cells in self.taps():
            image[..., cells] += columns[(..., *place, slice(None))]
        return self.window.inside(F, image.reshape((*lead, *self.around)), self.size)

    def taps(self) -> Iterator[tuple[Sizes, slice]]:
        """Each place in the kernel, with the cells of the flat padded array that the run sees there."""
        for place in product(*map(range, self.window.kernel)):
            first = sum(k * d * step for k, d, step in zip(place, self.window.dilation, self.steps, strict=True))
            yield place, slice(first, first + self.length)

    def windows(self, F: Any, x: Array) -> Array:
        """A view of (..., length), as (..., *out)."""
        lead, steps = x.shape[:-1], tuple(step * x.itemsize for step in self.steps)
        return F.strided(x, (*lead, *self.out), (*x.strides[:-1], *steps))

    def filled(self, F: Any, y: Array) -> Array:
        """The transpose of `windows`: (..., *out) as (..., length), zero at the ends of rows."""
        out = F.zeros((*y.shape[: -self.window.ndim], self.length), y.dtype)
        self.windows(F, out)[...] = y
        return out
