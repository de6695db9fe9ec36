"""Bessel functions of any real order, with derivatives by order and argument. It must not know shapes or Tensors.

The derivatives by the order are those of Schlaefli's integrals (DLMF 10.9.6, 10.9.7, 10.32.4, 10.32.9), for positive
arguments; to about 10 digits while order and argument are below 30.
"""

from __future__ import annotations

import math
from typing import Any

from gradcore.primitives.gamma import half_line
from gradcore.recorder import primitive

Array = Any

# What the functions of the next lower and the next higher order give for twice the derivative by the argument.
_NEIGHBOURS = {"j": (1, -1), "y": (1, -1), "i": (1, 1), "k": (-1, -1)}


def _slope(F: Any, g: Array, v: Array, x: Array, kind: str, k: int) -> Array:
    lower, upper = (F.bessel_by_order(order, x, kind=kind, k=k) for order in (v - 1, v + 1))
    first, second = _NEIGHBOURS[kind]
    return g * (lower * first + upper * second) / 2


@primitive(
    "elementwise",
    v=lambda F, g, v, x, kind, k: g * F.bessel_by_order(v, x, kind=kind, k=k + 1),
    x=_slope,
    to_float=True,
    refuses="c",
)
def bessel_by_order(F: Any, v: Array, x: Array, *, kind: str, k: int) -> Array:
    """Return derivative number `k` by the order of a Bessel function; NaN unless `x` is positive."""
    if k == 0:
        return F.special(kind + "v", v, x)
    dtype = x.dtype
    v, x = (F.expand_dims(F.astype(F.as_array(each), "float64"), -1) for each in (v, x))
    total = half_line(F, lambda s: s * _tail(F, v, x, s, kind, k), (v * x).size)
    if kind != "k":
        total = (_arc(F, v, x, kind, k) - total) / math.pi
    return F.astype(F.where(x[..., 0] > 0, total, math.nan), dtype)


def _tail(F: Any, v: Array, x: Array, s: Array, kind: str, k: int) -> Array:
    """The integrand over t from 0 on, by s, where x sinh t or x (cosh t - 1) is s."""
    if kind in "jy":
        t, weight = F.arcsinh(s / x), F.exp(-s) / F.sqrt(s * s + x * x)
    else:
        u = s / x
        t, weight = F.log1p(u + F.sqrt(u * (u + 2))), F.exp(-s - x) / F.sqrt(s * (s + x + x))
    rising, falling = t**k * F.exp(v * t), F.exp(-v * t)
    if kind == "k":
        return weight * (rising + (-t) ** k * falling) / 2
    turned = (1j * math.pi - t) ** k * F.exp(1j * math.pi * v)
    return weight * (rising + F.real(turned) * falling if kind == "y" else F.imag(turned) * falling)


_NODES, _WIDTH = 300, 0.02


def _arc(F: Any, v: Array, x: Array, kind: str, k: int) -> Array:
    """The integral over the angle from 0 to pi, by double-exponential quadrature."""
    h = (F.arange(_NODES + 1) - _NODES // 2) * _WIDTH
    rate = F.sinh(h) * (math.pi / 2)
    angle = math.pi / (F.exp(-2 * rate) + 1)
    weight = F.cosh(h) / F.cosh(rate) ** 2 * (math.pi**2 / 4 * _WIDTH)
    phase = v * angle + k * math.pi / 2
    if kind == "i":
        height = F.exp(x * F.cos(angle)) * F.cos(phase)
    else:
        phase = phase - x * F.sin(angle)
        height = F.cos(phase) if kind == "j" else -F.sin(phase)
    return F.sum(height * angle**k * weight, -1)


def _order_pull(kind: str) -> Any:
    return lambda F, g, v, x: g * F.bessel_by_order(v, x, kind=kind, k=1)


def _argument_pull(kind: str) -> Any:
    def pull(F: Any, g: Array, v: Array, x: Array) -> Array:
        function, (first, second) = getattr(F, kind + "v"), _NEIGHBOURS[kind]
        return g * (function(v - 1, x) * first + function(v + 1, x) * second) / 2

    return pull


@primitive("elementwise", v=_order_pull("j"), x=_argument_pull("j"), to_float=True, refuses="c")
def jv(F: Any, v: Array, x: Array) -> Array:
    """Return the Bessel function of the first kind of order `v`."""
    return F.special("jv", v, x)


@primitive("elementwise", v=_order_pull("y"), x=_argument_pull("y"), to_float=True, refuses="c")
def yv(F: Any, v: Array, x: Array) -> Array:
    """Return the Bessel function of the second kind of order `v`."""
    return F.special("yv", v, x)


@primitive("elementwise", v=_order_pull("i"), x=_argument_pull("i"), to_float=True, refuses="c")
def iv(F: Any, v: Array, x: Array) -> Array:
    """Return the modified Bessel function of the first kind of order `v`."""
    return F.special("iv", v, x)


@primitive("elementwise", v=_order_pull("k"), x=_argument_pull("k"), to_float=True, refuses="c")
def kv(F: Any, v: Array, x: Array) -> Array:
    """Return the modified Bessel function of the second kind of order `v`."""
    return F.special("kv", v, x)


@primitive(
    "elementwise",
    v=lambda F, g, v, x: g * F.exp(-F.absolute(x)) * F.bessel_by_order(v, x, kind="i", k=1),
    x=lambda F, g, v, x, out: g * ((F.ive(v - 1, x) + F.ive(v + 1, x)) / 2 - F.sign(x) * out),
    to_float=True,
    refuses="c",
)
def ive(F: Any, v: Array, x: Array) -> Array:
    """Return exp(-abs(x)) times the modified Bessel function of the first kind of order `v`."""
    return F.special("ive", v, x)


@primitive(
    "elementwise",
    v=lambda F, g, v, x: g * F.exp(x) * F.bessel_by_order(v, x, kind="k", k=1),
    x=lambda F, g, v, x, out: g * (out - (F.kve(v - 1, x) + F.kve(v + 1, x)) / 2),
    to_float=True,
    refuses="c",
)
def kve(F: Any, v: Array, x: Array) -> Array:
    """Return exp(x) times the modified Bessel function of the second kind of order `v`."""
    return F.special("kve", v, x)
