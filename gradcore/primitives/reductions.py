"""Sums, means, extrema, variances and norms along axes, with their derivatives. It must not know Tensors.

`axis` is a tuple of axes counted from the front, or None for all of them. A result or a cotangent without the
reduced axes has the elements of one that keeps them at length 1, so few rules ask which it is.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

from gradcore.backends import composed
from gradcore.backends.shared import widened
from gradcore.recorder import primitive, renamed

Array = Any
Axes = tuple[int, ...] | None
Shape = tuple[int, ...]


@primitive("linear", dense=True, x=lambda F, g, x_shape, axis, count: F.spread(g, axis=axis, shape=x_shape, count=count))
def sum(F: Any, x: Array, *, axis: Axes, count: float = 1, keepdims: bool = False) -> Array:
    """The sum over `axis` divided by `count`; narrow types are rounded once, after the division."""
    return F.sum(x, axis=axis, count=count, keepdims=keepdims)


mean = renamed(sum, "Mean")


@primitive("linear", x=lambda F, g, x_shape, axis, count: F.reshape(F.sum(g, axis=axis, count=count), shape=x_shape))
def spread(F: Any, x: Array, *, axis: Axes, shape: Shape, count: float = 1) -> Array:
    """Repeat `x` / `count` along the axes `axis` of `shape`: the transpose of `sum`."""
    return F.spread(x, axis=axis, shape=shape, count=count)


@primitive("multilinear", x=lambda g, y: y * g, y=lambda g, x: x * g)
def inner(F: Any, x: Array, y: Array, *, axis: tuple[int, ...]) -> Array:
    """The sum of the products of two arrays of one shape over `axis`, which is kept."""
    return composed.inner(F, x, y, axis)


@primitive("general", dense=True)
def integer_sum(F: Any, x: Array, *, axis: Axes, keepdims: bool = False) -> Array:
    return F.sum(x, axis, keepdims=keepdims, dtype="int64")


# -- extrema: elements that are equal share the cotangent -------------------------------------------------


def evenly(F: Any, g: Array, at: Array, axis: Axes, keepdims: bool) -> tuple[Array, Array]:
    """The part that each of the elements marked in `at` has of the cotangent `g` of a reduction; the marks as 0, 1."""
    shape = tuple(at.shape)
    marked = F.where(at, 1.0, F.zero(F.spread(g, axis=axis, shape=shape)))
    return F.spread(g / F.sum(marked, axis=axis, keepdims=keepdims), axis=axis, shape=shape), marked


def extremum_pull(F: Any, g: Array, x: Array, out: Array, axis: Axes, keepdims: bool, nans: bool) -> Array:
    """The cotangent of `x` whose elements equal to `out`, or NaN as it is, share the cotangent `g`."""
    top = F.spread(out, axis=axis, shape=tuple(x.shape))
    at = x == top
    if not nans:
        share, marked = evenly(F, g, at, axis, keepdims)
        return share * marked
    at = F.logical_or(at, F.logical_and(F.isnan(x), F.isnan(top)))
    return F.where(at, evenly(F, g, at, axis, keepdims)[0], 0.0)


@primitive("general", dense=True, x=extremum_pull)
def amax(F: Any, x: Array, *, axis: Axes, keepdims: bool = False, nans: bool = False) -> Array:
    """The maximum over `axis`; `nans` says that a NaN that won gets the cotangent, not everything."""
    return F.max(x, axis, keepdims=keepdims)


@primitive("general", dense=True, x=extremum_pull)
def amin(F: Any, x: Array, *, axis: Axes, keepdims: bool = False, nans: bool = False) -> Array:
    """The minimum over `axis`; `nans` as for `amax`."""
    return F.min(x, axis, keepdims=keepdims)


def _extrema_pull(F: Any, g: Any, x: Array, low: Array, high: Array, axis: Axes, keepdims: bool) -> Array:
    arrived = [(c, out) for c, out in zip(g, (low, high), strict=True) if c is not None]
    first, *more = [extremum_pull(F, c, x, out, axis, keepdims, False) for c, out in arrived]
    return first + more[0] if more else first


@primitive("general", dense=True, x=_extrema_pull, outputs=("low", "high"), partial=True, node="Aminmax")
def aminmax(F: Any, x: Array, *, axis: Axes, keepdims: bool = False) -> tuple[Array, Array]:
    """`amin` and `amax`."""
    return F.min(x, axis, keepdims=keepdims), F.max(x, axis, keepdims=keepdims)


# -- variances --------------------------------------------------------------------------------------------


def _size_squared(F: Any, x: Array) -> Array:
    return x * x if x.dtype.kind != "c" else F.square(F.real(x)) + F.square(F.imag(x))


@widened
def _with_mean(F: Any, x: Array, axis: Axes, count: int, dof: float, keepdims: bool, root: bool) -> tuple[Array, Array]:
    mean = F.sum(x, axis, count=count, keepdims=True)
    variance = F.sum(_size_squared(F, x - mean), axis, keepdims=keepdims) / max(dof, 0)
    return F.sqrt(variance) if root else variance, F.reshape(mean, tuple(variance.shape))


def _var_pull(F: Any, g: Array, x: Array, x_shape: Shape, axis: Axes, count: int, dof: float) -> Array:
    apart = x - F.sum(x, axis=axis, count=count, keepdims=True)
    return F.spread(g, axis=axis, shape=x_shape, count=dof / 2) * apart


# torch's: where there is no deviation, the standard deviation has the derivative 0.
def _std_pull(F: Any, g: Array, x: Array, out: Array, x_shape: Shape, axis: Axes, count: int, dof: float) -> Array:
    g = F.where(out == 0, 0.0, g) / (F.where(out == 0, 1.0, out) * 2.0)
    return _var_pull(F, g, x, x_shape, axis, count, dof)


@primitive("general", dense=True, x=_var_pull, holomorphic=False)
def var(F: Any, x: Array, *, axis: Axes, count: int, dof: float, keepdims: bool = False) -> Array:
    """The sum of squared distances from the mean of `count` elements, divided by `dof` degrees of freedom."""
    return _with_mean(F, x, axis, count, dof, keepdims, False)[0]


@primitive("general", dense=True, x=_std_pull, holomorphic=False)
def std(F: Any, x: Array, *, axis: Axes, count: int, dof: float, keepdims: bool = False) -> Array:
    """The square root of `var`."""
    return _with_mean(F, x, axis, count, dof, keepdims, True)[0]


def _pull_of_mean(F: Any, g: Any, x_shape: Shape, axis: Axes, count: int, apart: Callable[[Array], Array]) -> Array:
    """The cotangent of x from those of a deviation, by `apart`, and of the mean; each may be None."""
    g_out, g_mean = g
    if g_mean is None:
        return apart(g_out)
    pulled = F.spread(g_mean, axis=axis, shape=x_shape, count=count)
    return pulled if g_out is None else apart(g_out) + pulled


def _var_mean_pull(F: Any, g: Any, x: Array, x_shape: Shape, axis: Axes, count: int, dof: float) -> Array:
    return _pull_of_mean(F, g, x_shape, axis, count, lambda g: _var_pull(F, g, x, x_shape, axis, count, dof))


def _std_mean_pull(F: Any, g: Any, x: Array, out: Array, x_shape: Shape, axis: Axes, count: int, dof: float) -> Array:
    return _pull_of_mean(F, g, x_shape, axis, count, lambda g: _std_pull(F, g, x, out, x_shape, axis, count, dof))


@primitive("general", dense=True, x=_var_mean_pull, outputs=("out", "mean"), partial=True, holomorphic=False, node="VarMean")
def var_mean(F: Any, x: Array, *, axis: Axes, count: int, dof: float, keepdims: bool = False) -> tuple[Array, Array]:
    """`var`, and the mean."""
    return _with_mean(F, x, axis, count, dof, keepdims, False)  # type: ignore[no-any-return]


@primitive("general", dense=True, x=_std_mean_pull, outputs=("out", "mean"), partial=True, holomorphic=False, node="StdMean")
def std_mean(F: Any, x: Array, *, axis: Axes, count: int, dof: float, keepdims: bool = False) -> tuple[Array, Array]:
    """`std`, and the mean."""
    return _with_mean(F, x, axis, count, dof, keepdims, True)  # type: ignore[no-any-return]


# -- norms ------------------------------------------------------------------------------------------------


@widened
def _vector_norm(F: Any, x: Array, order: float, axis: Axes, keepdims: bool) -> Array:
    alone = order != 0 and x.size == 1  # whose square may be no number of its dtype
    if order == 2 and not alone:
        return F.sqrt(F.sum(_size_squared(F, x), axis, keepdims=keepdims))
    size = F.absolute(x)
    if alone:
        return F.sum(size, axis, keepdims=keepdims)
    if order in (inf, -inf):
        return (F.max if order > 0 else F.min)(size, axis, keepdims=keepdims)
    if order == 0:
        return F.sum(F.astype(x != 0, size.dtype), axis, keepdims=keepdims)
    if order == 1:
        return F.sum(size, axis, keepdims=keepdims)
    return F.power(F.sum(F.power(size, order), axis, keepdims=keepdims), 1 / order)


# torch's subgradients: 0 wherever the norm has no derivative, shared among the largest in the infinity norm.
def _vector_norm_pull(
    F: Any, g: Array, x: Array, out: Array, x_shape: Shape, order: float, axis: Axes, keepdims: bool
) -> Array:
    if order == 0:
        return F.zero(x) + F.spread(F.zero(g), axis=axis, shape=x_shape)
    if order == 1:
        return F.sgn(x) * F.spread(g, axis=axis, shape=x_shape)
    norm = F.spread(out, axis=axis, shape=x_shape)
    if order == 2:
        return F.where(norm == 0, 0.0, x / norm) * F.spread(g, axis=axis, shape=x_shape)
    size = F.absolute(x)
    if order in (inf, -inf):
        share, marked = evenly(F, g, F.logical_or(size == norm, F.isnan(size)), axis, keepdims)
        return F.sgn(x) * (share * marked)
    if order < 1:
        along = F.sgn(x) * F.where(size == 0, 0.0, F.power_number(size, exponent=order - 1))
        share = g * F.power_number(out, exponent=1 - order)
    else:
        steep = order > 2
        along = (x if steep else F.sgn(x)) * F.power_number(size, exponent=order - (2 if steep else 1))
        share = F.where(out == 0, 0.0, g) / F.power_number(F.where(out == 0, 1.0, out), exponent=order - 1)
    return along * F.spread(share, axis=axis, shape=x_shape)


@primitive("general", dense=True, x=_vector_norm_pull, holomorphic=False, node="LinalgVectorNorm")
def vector_norm(F: Any, x: Array, *, order: float, axis: Axes, keepdims: bool = False) -> Array:
    """The sum of |x|**order to the power 1/order; infinite orders are the largest and smallest, 0 counts."""
    return _vector_norm(F, x, order, axis, keepdims)
