"""What losses add to arithmetic: scores of classes and binary cross entropy. It must not know Tensors."""

from __future__ import annotations

from typing import Any

from gradcore.backends import composed
from gradcore.recorder import primitive

Array = Any


def _at(F: Any, target: Array) -> tuple[Any, ...]:
    """The index of each target's class, axis 1, in an array of (N, C, *rest); of (C,) for a 0-d target."""
    if target.ndim == 0:
        return (target,)
    if target.ndim == 1:
        return (F.arange(target.shape[0]), target)
    grid = [F.arange(n).reshape([-1 if a == i else 1 for i in range(target.ndim)]) for a, n in enumerate(target.shape)]
    return (grid[0], target, *grid[1:])


def _weighted(F: Any, x: Array, weights: Any, counted: Array | None) -> Array:
    """What does not count is 0, whatever it is: infinite, NaN."""
    return x * weights if counted is None else F.where(counted, x * weights, x.dtype.type(0))


@primitive(
    "linear",
    dense=True,
    x=lambda F, g, target, x_shape, weights, total, counted: F.spread_score(
        g, target, weights=weights, shape=x_shape, total=total, counted=counted
    ),
    node="NllLoss",
)
def score(F: Any, x: Array, target: Array, *, weights: Any, total: bool, counted: Array | None = None) -> Array:
    """The elements of (N, C, *rest) at the classes (N, *rest) times `weights`, an array or a number; or the sum.

    Those that are not `counted`, if that is given, are 0.
    """
    picked = x[_at(F, target)]
    if x.itemsize > 2:
        picked = _weighted(F, picked, weights, counted)
        return F.sum(picked) if total else picked
    picked = _weighted(F, F.astype(picked, "float32"), weights, counted)
    return F.astype(F.sum(picked) if total else picked, x.dtype)


@primitive(
    "linear",
    x=lambda F, g, target, weights, total, counted: F.score(g, target, weights=weights, total=total, counted=counted),
    node="NllLoss",
)
def spread_score(
    F: Any, x: Array, target: Array, *, weights: Any, shape: tuple[int, ...], total: bool, counted: Array | None = None
) -> Array:
    """Zeros of `shape` with `x` times `weights` at the classes: the transpose of `score`."""
    out = F.zeros(shape, x.dtype)
    out[_at(F, target)] = _weighted(F, x, weights, counted)
    return out


# -- squares ---------------------------------------------------------------------------------------------------


@primitive(
    "elementwise", x=lambda g, x, y: g * (x - y) * 2.0, y=lambda g, x, y: g * (y - x) * 2.0, node="MseLoss"
)
def squared_error(F: Any, x: Array, y: Array) -> Array:
    """The square of what two numbers are apart."""
    return F.square(x - y)


def _towards(F: Any, g: Array, x: Array, y: Array, axis: Any, count: float) -> Array:
    return F.spread(g, axis=axis, shape=tuple(x.shape), count=count / 2) * (x - y)


@primitive(
    "general",
    dense=True,
    x=_towards,
    y=lambda F, g, x, y, axis, count: _towards(F, g, y, x, axis, count),
    node="MseLoss",
)
def squared_errors(F: Any, x: Array, y: Array, *, axis: Any, count: float = 1) -> Array:
    """The sum of `squared_error` of two arrays of one shape over `axis`, as in `sum`, divided by `count`."""
    if x.itemsize > 2:
        return F.sum(F.square(x - y), axis=axis, count=count)
    apart = F.astype(x, "float32") - F.astype(y, "float32")
    return F.astype(F.sum(F.square(apart), axis=axis, count=count), x.dtype)


# -- logits ----------------------------------------------------------------------------------------------------

@primitive(
    "general",
    x=lambda F, g, target, p, share: F.cross_entropy_backward(g, p, target, share=share),
    outputs=("loss", "p"),
    constant=("p",),
    again={"p": lambda F, x: F.softmax(x, axis=(1,))},
    node="NllLoss",
)
def cross_entropy(F: Any, x: Array, target: Array, *, share: float) -> tuple[Array, Array]:
    """`share` times the sum of -log(p) of logits (N, C) at the classes (N,); and the softmax p."""
    return F.cross_entropy(x, target, share)  # type: ignore[no-any-return]


@primitive("general", composition=lambda F, x, p, target, share: F.less_at(p, target) * (x * share))
def cross_entropy_backward(F: Any, x: Array, p: Array, target: Array, *, share: float) -> Array:
    """The cotangent of the logits of `cross_entropy`, of the cotangent x of its loss."""
    return F.cross_entropy_backward(x, p, target, share)


@primitive("general", x=lambda g: g)
def less_at(F: Any, x: Array, target: Array) -> Array:
    """`x` (N, C) less 1 at the classes (N,)."""
    return composed.less_at(F, F.copy(x), target, 1)


# -- binary cross entropy ------------------------------------------------------------------------------------


@primitive(
    "elementwise",
    x=lambda F, g, x, y: g * (x - y) / F.clip((1 - x) * x, lo=1e-12, hi=None),
    y=lambda F, g, x: g * (F.log1p(-x) - F.log(x)),
    refuses="biuc",
)
def binary_cross_entropy(F: Any, x: Array, y: Array) -> Array:
    """-(y * log(x) + (1 - y) * log(1 - x)) for probabilities `x`, no logarithm counting as less than -100."""
    return (y - 1) * F.clip(F.log1p(-x), -100.0, None) - y * F.clip(F.log(x), -100.0, None)


@primitive("elementwise", x=lambda F, g, x, y: g * (F.sigmoid(x) - y), y=lambda g, x: -(g * x), refuses="biuc")
def binary_cross_entropy_with_logits(F: Any, x: Array, y: Array) -> Array:
    """The same for x = sigmoid(logits), with nothing lost where that saturates."""
    return (1 - y) * x + F.log1p(F.exp(-F.absolute(x))) - F.minimum(x, 0)
