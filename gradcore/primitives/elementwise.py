"""Pointwise functions of real and complex numbers, with their derivatives. It must not know shapes or Tensors."""

from __future__ import annotations

from typing import Any

from gradcore.recorder import primitive

Array = Any


@primitive("elementwise", x=lambda g: g, y=lambda g: g)
def add(F: Any, x: Array, y: Array) -> Array:
    return F.add(x, y)


@primitive("elementwise", x=lambda g: g, y=lambda g: -g, node="Sub")
def subtract(F: Any, x: Array, y: Array) -> Array:
    return F.subtract(x, y)


@primitive("elementwise", x=lambda g, y: g * y, y=lambda g, x: g * x, node="Mul")
def multiply(F: Any, x: Array, y: Array) -> Array:
    return F.multiply(x, y)


@primitive("elementwise", x=lambda g, y: g / y, y=lambda g, y, out: -(g * out) / y, to_float=True, node="Div")
def divide(F: Any, x: Array, y: Array) -> Array:
    return F.divide(x, y)


@primitive("elementwise", x=lambda g: -g, node="Neg")
def negative(F: Any, x: Array) -> Array:
    return F.negative(x)


@primitive("elementwise", x=lambda F, g, x: g * F.cos(x), to_float=True)
def sin(F: Any, x: Array) -> Array:
    return F.sin(x)


@primitive("elementwise", x=lambda F, g, x: -(g * F.sin(x)), to_float=True)
def cos(F: Any, x: Array) -> Array:
    return F.cos(x)


@primitive("elementwise", x=lambda g, out: g * out, to_float=True)
def exp(F: Any, x: Array) -> Array:
    return F.exp(x)


@primitive("elementwise", x=lambda g, out: g - g * (out * out), to_float=True)
def tanh(F: Any, x: Array) -> Array:
    return F.tanh(x)
