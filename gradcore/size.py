"""Size, the tuple of ints that a shape is; knows no array and no Tensor."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from typing import Any, SupportsIndex, overload


class Size(tuple[int, ...]):
    """A shape. Slices, sums and multiples of a Size are Sizes.

    Takes an iterable of ints, or of what `operator.index` turns into one. Raises TypeError for other items.
    """

    __slots__ = ()
    __module__ = "gradcore"

    def __new__(cls, sizes: Iterable[SupportsIndex] = (), /) -> Size:
        items = tuple(sizes)
        try:
            return tuple.__new__(cls, map(operator.index, items))
        except TypeError:
            position, item = next((i, each) for i, each in enumerate(items) if not hasattr(each, "__index__"))
            raise TypeError(
                f"torch.Size() takes an iterable of 'int' (item {position} is {type(item).__name__!r})"
            ) from None

    def __repr__(self) -> str:
        return f"torch.Size({list(self)})"

    def numel(self) -> int:
        """Return the number of elements of an array of this shape."""
        return math.prod(self)

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> int: ...
    @overload
    def __getitem__(self, index: slice, /) -> Size: ...
    def __getitem__(self, index: Any, /) -> Any:
        found = tuple.__getitem__(self, index)
        return of(found) if isinstance(index, slice) else found

    def __add__(self, other: Any, /) -> Size:
        return Size(tuple.__add__(self, other)) if isinstance(other, tuple) else NotImplemented

    def __radd__(self, other: Any, /) -> Size:
        return Size(other + tuple(self)) if isinstance(other, tuple) else NotImplemented

    def __mul__(self, times: SupportsIndex, /) -> Size:
        return of(tuple.__mul__(self, times))

    __rmul__ = __mul__


def of(shape: Iterable[int]) -> Size:
    """Return the Size of a shape known to hold ints, such as an array's own, unchecked."""
    return tuple.__new__(Size, shape)
