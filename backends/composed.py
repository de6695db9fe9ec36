"""What a device computes in one kernel (see kernels/), composed of a backend's functions; must not know gradients.

Each takes the backend first. These are the meaning of the kernels, what NumPy computes, and what a device
computes for dtypes and layouts that the kernels are not written for.
"""
from __future__ import annotations

from math import pi, prod, sqrt
from typing import Any

from gradcore.backends.shared import is_narrow, widened

Array = Any
Axes = tuple[int, ...]

SQRT_HALF = sqrt(0.5)
DENSITY = 1 / sqrt(2 * pi)
SCALE, CUBIC = sqrt(2 / pi), 0.044715


def masked(F: Any, x: Array, mask: Array) -> Array:
    """Return `x` where `mask` is not 0 and 0 elsewhere, whatever `x` is there."""
    return F.where(mask.astype(bool, copy=False), x, x.dtype.type(0))


def sigmoid(F: Any, x: Array) -> Array:
    """Return 1 / (1 + exp(-x)): where exp overflows the quotient is 0, as it should be."""
    return F.reciprocal(F.exp(-x) + 1)


def sigmoid_backward(F: Any, g: Array, out: Array) -> Array:
    """Return g times the derivative of the sigmoid whose value is `out`."""
    return g * (1 - out) * out  # 1 - out is exact near 1, which g * out would not leave it


def tanh_backward(F: Any, g: Array, out: Array) -> Array:
    """Return g times the derivative of the hyperbolic tangent whose value is `out`."""
    return g - g * (out * out)


def gelu(F: Any, x: Array) -> Array:
    """Return x times the probability that a standard normal number is below x."""
    return F.astype(F.erfc(x * -SQRT_HALF) * x * 0.5, x.dtype)


def gelu_backward(F: Any, g: Array, x: Array) -> Array:
    """Return g times the derivative of `gelu` at x."""
    return F.astype(g * ((F.erf(x * SQRT_HALF) + 1) * 0.5 + x * F.exp(x * x * -0.5) * DENSITY), x.dtype)


def gelu_tanh(F: Any, x: Array) -> Array:
    """Return the approximation of `gelu` by a tanh."""
    return F.astype((F.tanh((x + x * x * x * CUBIC) * SCALE) + 1) * x * 0.5, x.dtype)


def gelu_tanh_backward(F: Any, g: Array, x: Array) -> Array:
    """Return g times the derivative of `gelu_tanh` at x."""
    t = F.tanh((x + x * x * x * CUBIC) * SCALE)
    return F.astype(g * (t + 1 + x * (1 - t * t) * ((x * x * (3 * CUBIC) + 1) * SCALE)) * 0.5, x.dtype)


def silu(F: Any, x: Array) -> Array:
    """Return x times its sigmoid."""
    below = F.exp(-x)
    below += 1
    return x / below


def silu_backward(F: Any, g: Array, x: Array) -> Array:
    """Return g times the derivative of `silu` at x."""
    s = F.sigmoid(x)
    slope = 1 - s
    slope *= x
    slope += 1
    slope *= s
    return g * slope


def leaky_relu(F: Any, x: Array, slope: float) -> Array:
    """Return x where it is positive and x * slope elsewhere."""
    other = x * slope
    return F.astype(F.maximum(x, other) if 0 < slope <= 1 else F.where(x > 0, x, other), x.dtype)


def leaky_relu_backward(F: Any, g: Array, x: Array, slope: float) -> Array:
    """Return g times the derivative of `leaky_relu` at x."""
    return F.astype(F.where(x > 0, g, g * slope), x.dtype)


def elu(F: Any, x: Array, alpha: float, scale: float, input_scale: float) -> Array:
    """Return scale * x above 0, scale * alpha * (exp(input_scale * x) - 1) elsewhere."""
    return F.astype(F.where(x > 0, x * scale, F.expm1(x * input_scale) * (alpha * scale)), x.dtype)


def elu_backward(F: Any, g: Array, x: Array, alpha: float, scale: float, input_scale: float) -> Array:
    """Return g times the derivative of `elu` at x."""
    slope = F.exp(F.masked(x, x < 0) * input_scale) * (alpha * scale * input_scale)
    return F.astype(g * F.where(x <= 0, slope, scale), x.dtype)


def log_sigmoid(F: Any, x: Array) -> Array:
    """Return the logarithm of the sigmoid, where that underflows, too."""
    return F.minimum(x, 0) - F.log1p(F.exp(-F.absolute(x)))


def log_sigmoid_backward(F: Any, g: Array, x: Array) -> Array:
    """Return g times the derivative of `log_sigmoid` at x."""
    return g * F.sigmoid(-x)


def softplus(F: Any, x: Array, beta: float, threshold: float) -> Array:
    """Return log(1 + exp(beta * x)) / beta; `x` itself where beta * x is above `threshold`."""
    z = x * beta
    return F.astype(F.where(z > threshold, x, F.log1p(F.exp(z)) / beta), x.dtype)


def softplus_backward(F: Any, g: Array, x: Array, beta: float, threshold: float) -> Array:
    """Return g times the derivative of `softplus` at x."""
    z = x * beta
    return F.astype(F.where(z > threshold, g, g * F.sigmoid(z)), x.dtype)


@widened
def softmax(F: Any, x: Array, axis: Axes) -> Array:
    """Return exp(x) divided by its sum over `axis`."""
    if not x.size:
        return F.copy(x)
    parts = F.as_array(x - F.max(x, axis, keepdims=True))
    F.exp(parts, parts)
    parts /= F.sum(parts, axis, keepdims=True)
    return parts


def inner(F: Any, x: Array, y: Array, axis: Axes) -> Array:
    """Return the sum of the products of two arrays of one shape over `axis`, which is kept."""
    if x.dtype.kind == "f" and x.itemsize > 2 and axis == tuple(range(x.ndim - len(axis), x.ndim)) and axis:
        kept = x.shape[: x.ndim - len(axis)]
        if len(axis) > 1:
            x, y = x.reshape((*kept, -1)), y.reshape((*kept, -1))
        return F.vecdot(x, y).reshape((*kept, *(1,) * len(axis)))
    return F.sum(x * y, axis, keepdims=True)


def softmax_backward(F: Any, g: Array, out: Array, axis: Axes) -> Array:
    """Return the cotangent at the argument of a softmax whose value is `out`."""
    return (g - inner(F, g, out, axis)) * out


@widened
def log_softmax(F: Any, x: Array, axis: Axes) -> Array:
    """Return the logarithm of `softmax`."""
    if not x.size:
        return F.copy(x)
    below = x - F.max(x, axis, keepdims=True)
    below -= F.log(F.sum(F.exp(below), axis, keepdims=True))
    return below


def log_softmax_backward(F: Any, g: Array, out: Array, axis: Axes) -> Array:
    """Return the cotangent at the argument of a log_softmax whose value is `out`."""
    return g - F.exp(out) * F.sum(g, axis, keepdims=True)


def dropout(F: Any, x: Array, p: float, source: Any) -> tuple[Array, Array]:
    """Return `x` with elements replaced by 0 with probability `p`, the rest divided by 1 - p; and what each was times."""
    numbers = F.random_uniform(source, x.shape, "f8" if x.dtype.itemsize > 4 else "f4")
    kept = F.astype(F.as_array(numbers >= p), x.dtype) * x.dtype.type(1 / (1 - p))
    return x * kept, kept


def dropout_backward(F: Any, g: Array, kept: Array, p: float) -> Array:
    """Return the cotangent at the argument of a `dropout` of which this was kept."""
    return g * kept


def kept_places(F: Any, kept: Array, shape: Axes, p: float) -> Array:
    """Return where a `dropout` of this shape kept what there was."""
    return kept != 0


def attend(
    F: Any, q: Array, k: Array, v: Array, mask: Array | None, scale: float, causal: bool, drop: float = 0.0,
    source: Any = None,
) -> tuple[Array, Array, Array]:
    """Return softmax(q k^T * scale + mask) v of (..., L, E), (..., S, E), (..., S, V), and what `attend_backward` wants.

    If `causal`, no row looks at later ones; a boolean mask says who is looked at. A row that may look at none gets 0. Of the
    softmax, elements are dropped as by `dropout`. Here, the softmax is kept, and what dropout keeps, if there is one.
    """
    scores = F.matmul(F.astype(q * scale, q.dtype), F.matrix_transpose(k))
    if causal:
        rows, columns = scores.shape[-2:]
        scores = F.where(F.arange(columns) > F.arange(rows).reshape((rows, 1)), scores.dtype.type("-inf"), scores)
    if mask is not None:
        seen = mask if mask.dtype.kind == "b" else mask != float("-inf")
        scores = scores if mask is seen else F.astype(scores + mask, scores.dtype)
        scores = F.where(seen, scores, scores.dtype.type("-inf"))
    shares = F.softmax(scores, (scores.ndim - 1,))
    if mask is not None:
        shares = F.masked(shares, seen)  # a row of nothing but -inf is nan by now
    some, dropped = F.dropout(shares, drop, source) if drop else (shares, shares)
    return F.matmul(some, v), shares, dropped


def attend_backward(
    F: Any, g: Array, q: Array, k: Array, v: Array, mask: Array | None, out: Array, kept: Array, dropped: Array,
    scale: float, causal: bool, drop: float = 0.0,
) -> tuple[Array, Array, Array]:
    """Return the cotangents of q, k and v of `attend`, of the cotangent `g` of its result `out`."""
    scores, some = F.matmul(g, F.matrix_transpose(v)), kept
    if drop:
        scores, some = F.dropout_backward(scores, dropped, drop), F.dropout_backward(kept, dropped, drop)
    scores = F.astype(F.softmax_backward(scores, kept, (kept.ndim - 1,)) * scale, q.dtype)
    return F.matmul(scores, k), F.matmul(F.matrix_transpose(scores), q), F.matmul(F.matrix_transpose(some), g)


def standardize(F: Any, x: Array, axis: Axes, eps: float, centred: bool = True) -> tuple[Array, Array, Array]:
    """Return (x - mean) / sqrt(variance + eps) over `axis`, that mean and that (biased) variance; axes are kept.

    If not `centred`, the mean is taken to be 0, so that the variance is the mean square.
    """
    dtype, count = x.dtype, prod(x.shape[a] for a in axis)
    x = F.astype(x, "float32") if is_narrow(x) else x
    if centred:
        mean = F.sum(x, axis, keepdims=True) / count
        out = x - mean
        variance = inner(F, out, out, axis) / count
    else:
        variance = inner(F, x, x, axis) / count
        mean, out = F.zeros_like(variance), F.copy(x)
    out *= (variance + eps) ** -0.5
    return F.astype(out, dtype), F.astype(mean, dtype), F.astype(variance, dtype)


def destandardize(F: Any, x: Array, y: Array, scale: Array, axis: Axes, centred: bool = True) -> Array:
    """Return (x - mean(x) - y * mean(x * y)) * scale over `axis`, without mean(x) if not `centred`."""
    count = prod(x.shape[a] for a in axis)
    dtype = x.dtype
    if is_narrow(x):
        x, y, scale = (F.astype(each, "float32") for each in (x, y, scale))
    out = y * (inner(F, x, y, axis) / -count)
    if centred:
        out -= F.sum(x, axis, keepdims=True) / count
    out += x
    out *= scale
    return F.astype(out, dtype)


def normalize(
    F: Any, x: Array, scale: Array, shift: Array, axis: Axes, eps: float, channel: int
) -> tuple[Array, Array, Array, Array]:
    """Return `standardize` of x times `scale` plus `shift`, whose axes are those of x from `channel` on.

    With the mean and the variance comes what `normalize_backward` wants kept: here, what `standardize` returned.
    """
    normal, mean, variance = F.standardize(x, axis, eps)
    column = (*scale.shape, *(1,) * (x.ndim - channel - scale.ndim))
    return F.affine(normal, scale.reshape(column), shift.reshape(column)), normal, mean, variance


def normalize_backward(
    F: Any, g: Array, kept: Array, scale: Array, mean: Array, variance: Array,
    axis: Axes, eps: float, channel: int, needs: tuple[bool, ...],
) -> tuple[Array | None, ...]:
    """Return the cotangents of the three arrays of `normalize` that are needed, None for others."""
    column = (*scale.shape, *(1,) * (g.ndim - channel - scale.ndim))
    over = tuple(a for a in range(g.ndim) if not channel <= a < channel + scale.ndim)
    return (
        F.destandardize(g * scale.reshape(column), kept, (variance + eps) ** -0.5, axis) if needs[0] else None,
        F.sum(g * kept, over) if needs[1] else None,
        F.sum(g, over) if needs[2] else None,
    )


def affine(F: Any, x: Array, scale: Array, shift: Array) -> Array:
    """Return x * scale + shift."""
    out = x * scale
    out += shift
    return out


# Up to so many classes the sums over them are faster along the first axis, copy included.
FEW = 64


def _below_top(F: Any, x: Array) -> tuple[Array, int]:
    """The logits (N, C) less the largest of each row, and the axis on which the classes now are."""
    if x.shape[1] > FEW:
        return x - F.max(x, 1, keepdims=True), 1
    x = F.ascontiguousarray(x.transpose())
    return x - F.max(x, 0), 0


def pairs(F: Any, target: Array, axis: int) -> tuple[Array, Array]:
    """Return the index of each row's target, with the classes on `axis`."""
    rows = F.starts(target.shape[0], 1)
    return (rows, target) if axis else (target, rows)


def less_at(F: Any, x: Array, target: Array, amount: Array | float) -> Array:
    """Subtract `amount` from `x` (N, C), in C order, at the classes (N,), and return it."""
    x.reshape(-1)[F.starts(*x.shape) + target] -= amount
    return x


def cross_entropy(F: Any, x: Array, target: Array, share: float) -> tuple[Array, Array]:
    """Return `share` times the sum of -log(p) of logits (N, C) at the classes (N,); and the softmax p."""
    below, axis = _below_top(F, x)
    p = F.exp(below)
    sums = F.sum(p, axis)
    loss = F.sum(F.log(sums) - below[pairs(F, target, axis)]) * share
    p /= sums[:, None] if axis else sums
    return loss, p if axis else p.transpose()


def columns(F: Any, x: Array, window: Any, together: bool = False) -> Array:
    """Return (..., *size) as (..., *kernel, *out), what each window sees; perhaps as a view.

    If `together`, the first axis comes after those of the kernel.
    """
    seen = window.columns(F, x)
    return F.moveaxis(seen, 0, -1 - len(window.kernel)) if together else seen


def image(F: Any, columns: Array, window: Any, size: Axes) -> Array:
    """Return (..., *kernel, *out) added up where the windows over (..., *size) see it."""
    return window.image(F, columns, size)


def cross_entropy_backward(F: Any, g: Array, p: Array, target: Array, share: float) -> Array:
    """Return the cotangent of the logits of `cross_entropy`, of the cotangent g, a number, of its loss."""
    scale = g * share
    out = F.copy(p)
    out *= scale
    return less_at(F, out, target, scale)


def run_rule(F: Any, rule: Any, sets: Any, names: tuple[str, ...], numbers: dict[str, Any]) -> None:
    """Let `rule` change each set of arrays but for their first, with `numbers` and those called `names` that end the set."""
    for arrays in sets:
        count = len(arrays) - len(names)
        rule(F, *arrays[:count], **dict(zip(names, arrays[count:], strict=True)), **numbers)
