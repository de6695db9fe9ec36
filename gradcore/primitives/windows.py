"""Windows that slide over the last axes of an array, as columns and back. It must not know derivatives."""

from __future__ import annotations

from collections.abc import Iterator
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
        return tuple(
            (n + sum(p) - r) // s + 1 for n, p, r, s in zip(size, self.padding, self.reach, self.stride, strict=True)
        )

    def padded(self, F: Any, x: Array, value: float) -> Array:
        """`x` with cells of `value` around it; `x` itself where there is no padding."""
        if not any(map(any, self.padding)):
            return x
        lead = x.shape[: -self.ndim]
        size = tuple(n + sum(p) for n, p in zip(x.shape[-self.ndim :], self.padding, strict=True))
        out = F.full((*lead, *size), value, x.dtype)
        out[(..., *self._inside(x.shape[-self.ndim :]))] = x
        return out

    def _inside(self, size: Sizes) -> tuple[slice, ...]:
        return tuple(slice(p[0], p[0] + n) for p, n in zip(self.padding, size, strict=True))

    def taps(self, out: Sizes) -> Iterator[tuple[Sizes, tuple[Any, ...]]]:
        """Each place in the kernel, with the index of the cells that all windows see there."""
        for place in product(*map(range, self.kernel)):
            steps = zip(place, self.dilation, self.stride, out, strict=True)
            yield place, (..., *(slice(k * d, k * d + (n - 1) * s + 1, s) for k, d, s, n in steps))

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
        around = tuple(n + sum(p) for n, p in zip(size, self.padding, strict=True))
        image = F.zeros((*lead, *around), columns.dtype)
        rest = (slice(None),) * n
        for place, index in self.taps(out):
            image[index] += columns[(..., *place, *rest)]
        return self.inside(F, image, size)

    def inside(self, F: Any, image: Array, size: Sizes) -> Array:
        """The cells of `size` of an array that has the padding around them."""
        return F.ascontiguousarray(image[(..., *self._inside(size))])
