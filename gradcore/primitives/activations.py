"""The nonlinearities of neural networks, each with its derivative. It must not know shapes or Tensors.

At a kink the derivative is torch's: 0 for `relu` and `hardtanh`, that of the left side for `leaky_relu` and
`elu`.
"""

from __future__ import annotations

from math import pi, sqrt
from typing import Any

from gradcore.recorder import primitive

Array = Any


@primitive("elementwise", x=lambda F, g, out: F.masked(g, out), refuses="bc")
def relu(F: Any, x: Array) -> Array:
    return F.relu(x)


@primitive("elementwise", x=lambda F, g, mask: F.masked(g, mask), unpromoted=("mask",), node="ThresholdBackward")
def masked(F: Any, x: Array, mask: Array) -> Array:
    """`x` where `mask` is not 0, elsewhere 0 whatever `x` is: a product would make nan of inf * 0."""
    return F.masked(x, mask)


@primitive("elementwise", x=lambda F, g, x, slope: F.where(x > 0, g, g * slope), refuses="biuc")
def leaky_relu(F: Any, x: Array, *, slope: float) -> Array:
    return F.astype(F.where(x > 0, x, x * slope), x.dtype)


def _elu_rule(F: Any, g: Any, x: Any, alpha: float, scale: float, input_scale: float) -> Any:
    negative = F.masked(x, x <= 0)  # exp of what is above would overflow, and the second derivative with it
    return g * F.where(x > 0, scale, F.exp(negative * input_scale) * (alpha * scale * input_scale))


@primitive("elementwise", x=_elu_rule, refuses="biuc")
def elu(F: Any, x: Array, *, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Array:
    """scale * x above 0, scale * alpha * (exp(input_scale * x) - 1) elsewhere."""
    return F.astype(F.where(x > 0, x * scale, F.expm1(x * input_scale) * (alpha * scale)), x.dtype)


@primitive("elementwise", x=lambda F, g, x, low, high: F.masked(g, (x > low) & (x < high)), refuses="bc")
def hardtanh(F: Any, x: Array, *, low: float, high: float) -> Array:
    return F.astype(F.clip(x, low, high), x.dtype)


# -- gelu: Hendrycks and Gimpel, "Gaussian Error Linear Units" (2016) ----------------------------------------

_SQRT_HALF = sqrt(0.5)
_DENSITY = 1 / sqrt(2 * pi)


@primitive(
    "elementwise",
    x=lambda F, g, x: g * ((F.erf(x * _SQRT_HALF) + 1) * 0.5 + x * F.exp(x * x * -0.5) * _DENSITY),
    refuses="biuc",
)
def gelu(F: Any, x: Array) -> Array:
    """x times the probability that a standard normal number is below x."""
    return F.astype(F.erfc(x * -_SQRT_HALF) * x * 0.5, x.dtype)


_SCALE, _CUBIC = sqrt(2 / pi), 0.044715


def _gelu_tanh_rule(F: Any, g: Any, x: Any) -> Any:
    t = F.tanh((x + x * x * x * _CUBIC) * _SCALE)
    slope = (x * x * (3 * _CUBIC) + 1) * _SCALE
    return g * (t + 1 + x * (1 - t * t) * slope) * 0.5


@primitive("elementwise", x=_gelu_tanh_rule, refuses="biuc", node="Gelu")
def gelu_tanh(F: Any, x: Array) -> Array:
    """The approximation of `gelu` by a tanh."""
    return F.astype((F.tanh((x + x * x * x * _CUBIC) * _SCALE) + 1) * x * 0.5, x.dtype)


# -- made of exponentials: each stays finite where its value is ----------------------------------------------


def _silu_rule(F: Any, g: Any, x: Any) -> Any:
    s = F.sigmoid(x)
    return g * (s * (x * (1 - s) + 1))


@primitive("elementwise", x=_silu_rule, refuses="biu")
def silu(F: Any, x: Array) -> Array:
    return F.sigmoid(x) * x


@primitive(
    "elementwise",
    x=lambda F, g, x, beta, threshold: g * F.where(x * beta > threshold, 1.0, F.sigmoid(x * beta)),
    refuses="biuc",
)
def softplus(F: Any, x: Array, *, beta: float, threshold: float) -> Array:
    """log(1 + exp(beta * x)) / beta; `x` itself where beta * x is above `threshold`."""
    z = x * beta
    return F.astype(F.where(z > threshold, x, F.log1p(F.exp(z)) / beta), x.dtype)


@primitive("elementwise", x=lambda F, g, x: g * F.sigmoid(-x), refuses="biuc", node="LogSigmoid")
def log_sigmoid(F: Any, x: Array) -> Array:
    return F.minimum(x, 0) - F.log1p(F.exp(-F.absolute(x)))
