"""Margins around signals, images and volumes, as modules. They must not know any derivative."""

from __future__ import annotations

from typing import Any

from gradcore.nn import functional as F
from gradcore.nn.modules.conv import repeated
from gradcore.nn.modules.module import Module
from gradcore.tensor import Tensor


class _Pad(Module):
    """A margin around the last dimensions: one width for all sides, or one for each, of the last dimension first."""

    dimensions: int
    mode: str

    def __init__(self, padding: Any) -> None:
        super().__init__()
        self.padding = repeated(padding, 2 * self.dimensions)

    def forward(self, input: Tensor) -> Tensor:
        """`input` with the margin around it."""
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        """The widths."""
        return f"{self.padding}"


class _ConstantPad(_Pad):
    """A margin of one number."""

    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        """`input` with the margin around it."""
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        """The widths and the number."""
        return f"padding={self.padding}, value={self.value}"


class _ZeroPad(_Pad):
    """A margin of zeros."""

    mode = "constant"
    value = 0.0


class _ReflectionPad(_Pad):
    """A margin that mirrors what is inside, without the edge."""

    mode = "reflect"


class _ReplicationPad(_Pad):
    """A margin that repeats the edge."""

    mode = "replicate"


class _CircularPad(_Pad):
    """A margin that goes on at the other end."""

    mode = "circular"


def _of(kind: type[_Pad], dimensions: int) -> Any:
    """The padding of that kind of a number of dimensions, under torch's name."""
    name = f"{kind.__name__[1:]}{dimensions}d"
    shape = {1: "(C, L) and (N, C, L)", 2: "(C, H, W) and (N, C, H, W)", 3: "(C, D, H, W) and (N, C, D, H, W)"}[dimensions]
    doc = f"{str(kind.__doc__)[:-1]}, around the last {dimensions} dimensions of {shape}."
    return type(name, (kind,), {"dimensions": dimensions, "__doc__": doc, "__module__": __name__})


ConstantPad1d, ConstantPad2d, ConstantPad3d = (_of(_ConstantPad, n) for n in (1, 2, 3))
ZeroPad1d, ZeroPad2d, ZeroPad3d = (_of(_ZeroPad, n) for n in (1, 2, 3))
ReflectionPad1d, ReflectionPad2d, ReflectionPad3d = (_of(_ReflectionPad, n) for n in (1, 2, 3))
ReplicationPad1d, ReplicationPad2d, ReplicationPad3d = (_of(_ReplicationPad, n) for n in (1, 2, 3))
CircularPad1d, CircularPad2d, CircularPad3d = (_of(_CircularPad, n) for n in (1, 2, 3))
