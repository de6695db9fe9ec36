"""Changes of dtype and copies: the identity in mathematics. It must not know Tensors."""

from __future__ import annotations

from typing import Any

from gradcore.recorder import primitive
from gradcore.recorder.primitive import renamed
from gradcore.recorder.record import converter, copiers

Array = Any


@primitive("linear", x=lambda F, g, x_dtype: F.astype(g, dtype=x_dtype), node="ToCopy")
def astype(F: Any, x: Array, *, dtype: Any) -> Array:
    return F.astype(x, dtype)


@primitive("linear", x=lambda g: g, node="Clone")
def copy(F: Any, x: Array, *, keep: bool = False) -> Array:
    """A copy in C order or, with `keep`, in the order in memory that `x` has."""
    return F.astype(x, x.dtype, copy=True) if keep and 0 not in x.strides else F.copy(x)


@primitive("linear", x=lambda g: g, view=True, node="Alias")
def alias(F: Any, x: Array) -> Array:
    return x[...]


def _complex(F: Any, x: Array, y: Array) -> Array:
    """Numbers with these parts, which a product with 1j would mix if infinite."""
    out = F.as_array(F.astype(x + y, "complex64" if x.itemsize == 4 else "complex128"))
    F.real(out)[...], F.imag(out)[...] = x, y
    return out


@primitive(
    "elementwise",
    x=lambda F, g: F.real(g),
    y=lambda F, g: F.imag(g),
    holomorphic=False,
    node="Complex",
)
def complex_of(F: Any, x: Array, y: Array) -> Array:
    """The complex numbers with real parts `x` and imaginary parts `y`."""
    return _complex(F, x, y)


@primitive(
    "elementwise",
    x=lambda F, g, out: F.real(F.conj(g) * F.sgn(out)),
    y=lambda F, g, out: F.real(F.conj(g) * out * 1j),
    holomorphic=False,
)
def polar(F: Any, x: Array, y: Array) -> Array:
    """The complex numbers with moduli `x` and angles `y` in radians."""
    return _complex(F, x * F.cos(y), x * F.sin(y))


# Random numbers do not depend on what they overwrite, nor differentiably on the parameters of their
# distribution.


@primitive("elementwise", x=lambda F, g: F.zero(g))
def drawn(F: Any, x: Array, numbers: Array) -> Array:
    """The numbers that were drawn for `x`, of its shape."""
    return numbers


@primitive("elementwise", x=lambda F, g: F.zero(g), y=lambda F, g: F.zero(g))
def drawn_of_two(F: Any, x: Array, y: Array, numbers: Array) -> Array:
    """The numbers that were drawn for `x` and `y`, of the shape that these broadcast to."""
    return numbers


converter.append(astype)
copiers.extend((copy, renamed(copy, "CopyBackwards")))
