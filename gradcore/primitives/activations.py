"""The nonlinearities of neural networks, each with its derivative. It must not know shapes or Tensors.

At a kink the derivative is torch's: 0 for `relu` and `hardtanh`, that of the left side for `leaky_relu` and
`elu`.
"""

from __future__ import annotations

from typing import Any

from gradcore.backends import composed
from gradcore.backends.composed import CUBIC, DENSITY, SCALE
from gradcore.recorder import primitive

Array = Any


@primitive("elementwise", x=lambda F, g, out: F.masked(g, out), refuses="bc")
def relu(F: Any, x: Array) -> Array:
    return F.relu(x)


# A mask of numbers has a derivative, of 0: so the second derivative of relu is 0 for who asks, not missing.
@primitive(
    "elementwise",
    x=lambda F, g, mask: F.masked(g, mask),
    mask=lambda F, g: F.zero(g),
    unpromoted=("mask",),
    node="ThresholdBackward",
)
def masked(F: Any, x: Array, mask: Array) -> Array:
    """`x` where `mask` is not 0, elsewhere 0 whatever `x` is: a product would make nan of inf * 0."""
    return F.masked(x, mask)


@primitive("general", composition=lambda F, x, y, slope: F.where(y > 0, x, x * slope))
def leaky_relu_backward(F: Any, x: Array, y: Array, *, slope: float) -> Array:
    return F.leaky_relu_backward(x, y, slope)


@primitive("elementwise", x=lambda F, g, x, slope: F.leaky_relu_backward(g, x, slope=slope), refuses="biuc")
def leaky_relu(F: Any, x: Array, *, slope: float) -> Array:
    return F.leaky_relu(x, slope)


def _elu_backward(F: Any, x: Any, y: Any, alpha: float, scale: float, input_scale: float) -> Any:
    negative = F.masked(y, y < 0)  # exp of what is above would overflow, and the second derivative with it
    return x * F.where(y <= 0, F.exp(negative * input_scale) * (alpha * scale * input_scale), scale)


@primitive("general", composition=_elu_backward)
def elu_backward(F: Any, x: Array, y: Array, *, alpha: float, scale: float, input_scale: float) -> Array:
    return F.elu_backward(x, y, alpha, scale, input_scale)


@primitive(
    "elementwise",
    x=lambda F, g, x, alpha, scale, input_scale: F.elu_backward(g, x, alpha=alpha, scale=scale, input_scale=input_scale),
    refuses="biuc",
)
def elu(F: Any, x: Array, *, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Array:
    """scale * x above 0, scale * alpha * (exp(input_scale * x) - 1) elsewhere."""
    return F.elu(x, alpha, scale, input_scale)


def _hardtanh_pull(F: Any, g: Any, x: Any, low: float, high: float, nans: bool) -> Any:
    return F.masked(g, ~((x <= low) | (x >= high)) if nans else (x > low) & (x < high))


@primitive("elementwise", x=_hardtanh_pull, refuses="bc")
def hardtanh(F: Any, x: Array, *, low: float, high: float, nans: bool = True) -> Array:
    """`x` limited to [low, high]; `nans` says that a NaN gets the cotangent, as in torch's hardtanh."""
    return F.astype(F.clip(x, low, high), x.dtype)


# -- gelu: Hendrycks and Gimpel, "Gaussian Error Linear Units" (2016) ----------------------------------------

# A derivative that is one kernel on a device is a primitive of its own: of a cotangent x, at y.


@primitive(
    "elementwise",
    x=lambda F, g, y: F.gelu_backward(g, y),
    y=lambda F, g, x, y: g * x * (F.exp(y * y * -0.5) * DENSITY * (2 - y * y)),
    refuses="biuc",
    node="GeluBackward",
)
def gelu_backward(F: Any, x: Array, y: Array) -> Array:
    return F.gelu_backward(x, y)


@primitive("elementwise", x=lambda F, g, x: F.gelu_backward(g, x), refuses="biuc")
def gelu(F: Any, x: Array) -> Array:
    """x times the probability that a standard normal number is below x."""
    return F.gelu(x)


def _gelu_tanh_bend(F: Any, g: Any, x: Any, y: Any) -> Any:
    t = F.tanh((y + y * y * y * CUBIC) * SCALE)
    slope = (y * y * (3 * CUBIC) + 1) * SCALE
    return g * x * ((1 - t * t) * (slope - y * t * slope * slope + y * y * (3 * CUBIC * SCALE)))


@primitive(
    "elementwise",
    x=lambda F, g, y: F.gelu_tanh_backward(g, y),
    y=_gelu_tanh_bend,
    refuses="biuc",
    node="GeluBackward",
)
def gelu_tanh_backward(F: Any, x: Array, y: Array) -> Array:
    return F.gelu_tanh_backward(x, y)


@primitive("elementwise", x=lambda F, g, x: F.gelu_tanh_backward(g, x), refuses="biuc", node="Gelu")
def gelu_tanh(F: Any, x: Array) -> Array:
    """The approximation of `gelu` by a tanh."""
    return F.gelu_tanh(x)


# -- made of exponentials: each stays finite where its value is ----------------------------------------------


def _silu_bend(F: Any, g: Any, x: Any, y: Any) -> Any:
    s = F.sigmoid(y)
    return g * x * (s * (1 - s) * (y * (1 - s * 2) + 2))


@primitive("elementwise", x=lambda F, g, y: F.silu_backward(g, y), y=_silu_bend, refuses="biu", node="SiluBackward")
def silu_backward(F: Any, x: Array, y: Array) -> Array:
    return F.silu_backward(x, y)


@primitive("elementwise", x=lambda F, g, x: F.silu_backward(g, x), refuses="biu")
def silu(F: Any, x: Array) -> Array:
    return F.silu(x)


def _softplus_bend(F: Any, g: Any, x: Any, y: Any, beta: float, threshold: float) -> Any:
    return F.where(y * beta >= threshold, 0.0, F.sigmoid_backward(g * x, F.sigmoid(y * beta)) * beta)


@primitive(
    "elementwise",
    x=lambda F, g, y, beta, threshold: F.softplus_backward(g, y, beta=beta, threshold=threshold),
    y=_softplus_bend,
    refuses="biuc",
    node="SoftplusBackward",
)
def softplus_backward(F: Any, x: Array, y: Array, *, beta: float, threshold: float) -> Array:
    return F.softplus_backward(x, y, beta, threshold)


@primitive(
    "elementwise",
    x=lambda F, g, x, beta, threshold: F.softplus_backward(g, x, beta=beta, threshold=threshold),
    refuses="biuc",
)
def softplus(F: Any, x: Array, *, beta: float, threshold: float) -> Array:
    """log(1 + exp(beta * x)) / beta; `x` itself where beta * x is above `threshold`."""
    return F.softplus(x, beta, threshold)


@primitive("general", composition=composed.log_sigmoid_backward)
def log_sigmoid_backward(F: Any, x: Array, y: Array) -> Array:
    return F.log_sigmoid_backward(x, y)


@primitive("elementwise", x=lambda F, g, x: F.log_sigmoid_backward(g, x), refuses="biuc", node="LogSigmoid")
def log_sigmoid(F: Any, x: Array) -> Array:
    return F.log_sigmoid(x)
