"""Parts of complex numbers, in torch's convention for their cotangents. It must not know Tensors.

None of these is holomorphic, so each rule is written out: the cotangent of z is dL/d(Re z) + i dL/d(Im z).
"""

from __future__ import annotations

import math
from typing import Any

from gradcore.recorder import primitive

Array = Any


@primitive("elementwise", x=lambda F, g: F.conj(g), holomorphic=False, node="Conj")
def conj(F: Any, x: Array) -> Array:
    """Return the complex conjugate."""
    return F.conj(x)


@primitive("linear", x=lambda F, g, x_dtype: F.astype(g, dtype=x_dtype), holomorphic=False, view=True, node="Select")
def real(F: Any, x: Array) -> Array:
    """Return the real part, a view."""
    return F.real(x)


@primitive(
    "linear",
    x=lambda F, g, x_dtype: F.astype(g, dtype=x_dtype) * 1j,
    holomorphic=False,
    view=True,
    node="Select",
)
def imag(F: Any, x: Array) -> Array:
    """Return the imaginary part of a complex array, a view."""
    return F.imag(x)


def _angle_pull(F: Any, g: Array, x: Array, x_dtype: Any) -> Array:
    if x_dtype.kind != "c":
        return F.zero(g)
    size = F.absolute(x)
    there = size != 0
    size = F.where(there, size, 1.0)  # forward mode, which transposes this, would divide a zero by it
    return F.masked(g / size * (x / size) * 1j, there)


@primitive("elementwise", x=_angle_pull, holomorphic=False, to_float=True)
def angle(F: Any, x: Array) -> Array:
    """Return the angle in radians from the positive real axis; of real numbers 0 or pi."""
    if x.dtype.kind == "c":
        return F.angle(x)
    return F.astype(F.where(F.isnan(x), x, F.where(x < 0, math.pi, 0.0)), x.dtype)


@primitive("linear", x=lambda F, g: F.view_as_complex(g), holomorphic=False, view=True)
def view_as_real(F: Any, x: Array) -> Array:
    """Return the real and the imaginary parts along a last axis of two, a view."""
    return F.reshape(x, (*x.shape, 1)).view(F.real(x).dtype)


@primitive("linear", x=lambda F, g: F.view_as_real(g), holomorphic=False, view=True)
def view_as_complex(F: Any, x: Array) -> Array:
    """Return pairs along the last axis as complex numbers, a view where they stand side by side."""
    dtype = "complex64" if x.itemsize == 4 else "complex128"
    x = x if x.strides[-1] == x.itemsize else F.ascontiguousarray(x)
    return F.squeeze(x.view(dtype), -1)
