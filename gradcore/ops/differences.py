"""Differences, trapezoids and covariances: what neighbours and pairs of rows say. It must not know any derivative."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.ops import arguments, counting
from gradcore.ops.arguments import converted, need_tensor
from gradcore.ops.complex_numbers import conj, imag, real
from gradcore.ops.conversion import clone
from gradcore.ops.cumulative import cumsum
from gradcore.ops.joining import cat
from gradcore.ops.numbers import in_dtype, promoted
from gradcore.ops.ordering import t
from gradcore.ops.products import matmul
from gradcore.ops.reductions import sum
from gradcore.ops.registry import functions, label, op
from gradcore.ops.shaping import squeeze
from gradcore.ops.strides import diagonal
from gradcore.primitives import comparison as compare
from gradcore.primitives import elementwise as e
from gradcore.primitives import selection as choose
from gradcore.primitives.indexing import basic_getitem
from gradcore.primitives.shape import reshape
from gradcore.recorder.caller import warn

if TYPE_CHECKING:
    from gradcore.tensor import Tensor


def _part(x: Tensor, axis: int, start: int | None, stop: int | None) -> Any:
    return basic_getitem(x, index=(*(slice(None),) * axis, slice(start, stop)))


@op(out=True)
def diff(input: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None, append: Tensor | None = None) -> Tensor:
    """Take the difference of neighbours along `dim`, `n` times; of booleans whether they differ."""
    need_tensor(input, "diff")
    if not input._array.ndim:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    axis = arguments.axis(dim, input._array.ndim)
    if n == 0:
        return _named(clone(input), "torch::autograd::CopyBackwards")
    around = [x for x in (prepend, input, append) if x is not None]
    if len({x._array.ndim for x in around}) > 1:
        raise RuntimeError(
            "diff expects prepend or append to be the same dimension as input, "
            f"but got {' and '.join(str(list(x._array.shape)) for x in around)}"
        )
    x: Tensor = cat(around, axis) if len(around) > 1 else input
    difference = compare.logical_xor if x._array.dtype.kind == "b" else e.subtract
    for _ in range(min(n, x._array.shape[axis])):
        x = difference(_part(x, axis, 1, None), _part(x, axis, None, -1))
    return x


def _steps(y: Tensor, x: Tensor, axis: int, name: str) -> Tensor:
    """The distances between sample points `x`, in a shape that goes with `y`."""
    shape = x._array.shape
    if len(shape) == 1:
        if shape[0] != y._array.shape[axis]:
            raise RuntimeError(f"{name}: There must be one `x` value for each sample point")
        shape = tuple(shape[0] if i == axis else 1 for i in range(y._array.ndim))
    elif len(shape) < y._array.ndim:
        shape = (1,) * (y._array.ndim - len(shape)) + shape
    placed = reshape(x, shape=shape)
    return e.subtract(_part(placed, axis, 1, None), _part(placed, axis, None, -1))  # type: ignore[no-any-return]


def _check_trapezoid(y: Tensor, x: Tensor | None, dx: Any, name: str) -> None:
    need_tensor(y, name, "y")
    if x is not None and dx is not None:
        raise TypeError(f"{name}(): x and dx exclude each other")
    if "b" in (y._array.dtype.kind, None if x is None else x._array.dtype.kind):
        raise RuntimeError(f"{name}: received a bool input for `x` or `y`, but bool is not supported")


@op("trapz", method=False)
def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: Any = None, dim: int = -1) -> Tensor:
    """Integrate `y` along `dim` by the trapezoidal rule, between points `x` or points `dx` (1) apart."""
    _check_trapezoid(y, x, dx, "trapezoid")
    axis = arguments.axis(dim, y._array.ndim)
    if not y._array.shape[axis]:
        return converted(sum(y, axis), y.dtype, "trapezoid")  # type: ignore[no-any-return]
    if x is not None:
        total = sum(e.multiply(_steps(y, x, axis, "trapezoid"), _pairs(y, axis)), axis)
        return _named(e.divide(total, 2.0), "DivBackward1")
    ends = e.add(_end(y, axis, 0), _end(y, axis, -1))
    total = e.subtract(sum(y, axis), e.multiply(ends, 0.5))
    return _named(e.multiply(total, 1 if dx is None else dx), "MulBackward1")


@op(method=False)
def cumulative_trapezoid(y: Tensor, x: Tensor | None = None, *, dx: Any = None, dim: int = -1) -> Tensor:
    """Integrate `y` along `dim` as `trapezoid` does, up to each point but the first."""
    _check_trapezoid(y, x, dx, "cumulative_trapezoid")
    axis = arguments.axis(dim, y._array.ndim)
    if x is not None:
        steps = _steps(y, x, axis, "cumulative_trapezoid")
        return _named(e.divide(cumsum(e.multiply(steps, _pairs(y, axis)), axis), 2.0), "DivBackward1")
    return cumsum(e.multiply(_pairs(y, axis), (1 if dx is None else dx) / 2.0), axis)


def _named(x: Tensor, node: str) -> Tensor:
    label(x, node)
    return x


def _pairs(y: Tensor, axis: int) -> Tensor:
    return e.add(_part(y, axis, None, -1), _part(y, axis, 1, None))  # type: ignore[no-any-return]


def _end(y: Tensor, axis: int, place: int) -> Tensor:
    return basic_getitem(y, index=(*(slice(None),) * axis, place))  # type: ignore[no-any-return]


# -- slopes ---------------------------------------------------------------------------------------------------------------


@op(method=False)
def gradient(input: Tensor, *, spacing: Any = None, dim: Any = None, edge_order: int = 1) -> tuple[Tensor, ...]:
    """Return the slopes of `input` along each of `dim` (all by default), of second order inside.

    `spacing` is the distance of sample points: a number (1), one for each dimension, or a Tensor of points for each.
    """
    need_tensor(input, "gradient")
    axes = arguments.axes(dim, input._array.ndim)
    if edge_order not in (1, 2):
        raise RuntimeError("torch.gradient only supports edge_order=1 and edge_order=2.")
    if any(input._array.shape[i] <= edge_order for i in axes):
        raise RuntimeError("torch.gradient expected each dimension size to be at least edge_order+1")
    each = tuple(spacing) if isinstance(spacing, (list, tuple)) else (1 if spacing is None else spacing,) * len(axes)
    if len(each) != len(axes):
        raise RuntimeError(
            "torch.gradient expected spacing to be unspecified, a scalar, or a list of length equal to "
            f"{len(axes)}, the number of dimensions, but got a list of length {len(each)}"
        )
    return tuple(_slope(input, points, axis, edge_order) for points, axis in zip(each, axes, strict=True))


def _slope(x: Tensor, points: Any, axis: int, edge_order: int) -> Tensor:
    """The slopes at each point: of the parabola through it and its neighbours, or of a line at the ends."""

    def at(i: int, of: Any = x) -> Any:
        return _part(of, axis, i, i + 1 or None)

    first: Any
    if getattr(points, "ndim", 0):
        h = _steps(x, points, axis, "gradient")
        first, second, last, before = at(0, h), at(1, h), at(-1, h), at(-2, h)
        left, right = _part(h, axis, None, -1), _part(h, axis, 1, None)
    else:
        first = second = last = before = left = right = points
    before_it, after_it = _part(x, axis, None, -2), _part(x, axis, 2, None)
    if left is points:  # at equal distances the middle point cancels, whatever it is
        middle = e.divide(e.subtract(after_it, before_it), 2 * points)
    else:
        middle = _parabola(
            (before_it, _part(x, axis, 1, -1), after_it),
            -right / (left * (left + right)),
            (right - left) / (left * right),
            left / (right * (left + right)),
        )
    if edge_order == 1:
        ends = e.divide(e.subtract(at(1), at(0)), first), e.divide(e.subtract(at(-1), at(-2)), last)
    else:
        ends = (
            _parabola(
                (at(0), at(1), at(2)),
                -(2 * first + second) / (first * (first + second)),
                (first + second) / (first * second),
                -first / (second * (first + second)),
            ),
            _parabola(
                (at(-3), at(-2), at(-1)),
                last / (before * (before + last)),
                -(before + last) / (before * last),
                (2 * last + before) / (last * (before + last)),
            ),
        )
    return cat((ends[0], middle, ends[1]), axis)


def _parabola(points: tuple[Tensor, Tensor, Tensor], a: Any, b: Any, c: Any) -> Tensor:
    x, y, z = (e.multiply(p, factor) for p, factor in zip(points, (a, b, c), strict=True))
    return e.add(e.add(x, y), z)  # type: ignore[no-any-return]


# -- covariances --------------------------------------------------------------------------------------------------------


@op()
def cov(input: Tensor, *, correction: int = 1, fweights: Tensor | None = None, aweights: Tensor | None = None) -> Tensor:
    """Return the covariances of the rows of `input`, whose columns are observations.

    `fweights` counts how often each was made, `aweights` weighs them; `correction` is taken off their number.
    """
    need_tensor(input, "cov")
    a = input._array
    if a.ndim > 2:
        raise RuntimeError(
            f"cov(): expected input to have two or fewer dimensions but got an input with {a.ndim} dimensions"
        )
    if a.dtype.kind == "b":
        raise RuntimeError("cov(): bool dtype is not supported for input")
    rows = input if a.ndim == 2 else reshape(input, shape=(1, -1))
    n = rows._array.shape[1]
    weights = _weights(fweights, aweights, n)
    total: Any = float(n) if weights is None else sum(weights)
    if weights is not None and n and total.item() == 0:
        raise RuntimeError("cov(): weights sum to zero, can't be normalized")
    wide = weights if weights is None else in_dtype(weights, promoted(rows, weights))  # its gradients meet unrounded
    weighted = rows if weights is None else e.multiply(rows, wide)
    mean = e.divide(sum(weighted, 1, True), total)
    dof = total - correction
    if weights is not None and aweights is not None and correction:
        dof = e.subtract(total, e.divide(e.multiply(sum(e.multiply(weights, aweights)), correction), total))
    if dof <= 0:
        warn("cov(): degrees of freedom is <= 0")
        dof = 0.0
    apart = e.subtract(rows, mean)
    other = apart if weights is None else e.multiply(apart, wide)
    product = matmul(apart, conj(t(other)))
    return squeeze(e.divide(product, dof))


def _weights(fweights: Tensor | None, aweights: Tensor | None, n: int) -> Tensor | None:
    for name, w, kinds, kind in (("fweights", fweights, "iu", "integral"), ("aweights", aweights, "fV", "floating point")):
        if w is None:
            continue
        if w._array.ndim > 1:
            raise RuntimeError(f"cov(): expected {name} to have one or fewer dimensions but got {name} with {w._array.ndim}")
        if w._array.dtype.kind not in kinds:
            raise RuntimeError(
                f"cov(): expected {name} to have {kind} dtype but got {name} with {dtypes.of(w._array.dtype)._title} dtype"
            )
        if w._array.size != n:
            raise RuntimeError(
                f"cov(): expected {name} to have the same numel as there are observations in the input but got "
                f"{w._array.size} != {n}"
            )
        if bool(counting.any(compare.less(w, 0))):
            raise RuntimeError(f"cov(): {name} cannot be negative")
    if fweights is None or aweights is None:
        return fweights if aweights is None else aweights
    return e.multiply(fweights, aweights)  # type: ignore[no-any-return]


@op()
def corrcoef(input: Tensor) -> Tensor:
    """Return the correlation coefficients of the rows of `input`, whose columns are observations."""
    need_tensor(input, "corrcoef")
    if input._array.ndim > 2:
        raise RuntimeError(
            "corrcoef(): expected input to have two or fewer dimensions but got an input with "
            f"{input._array.ndim} dimensions"
        )
    c = cov(input)
    if not c._array.ndim:
        return e.divide(c, c)  # type: ignore[no-any-return]
    deviation = e.sqrt(diagonal(c))
    if c._array.dtype.kind == "c":
        deviation = real(deviation)
    ratio = e.divide(e.divide(c, reshape(deviation, shape=(-1, 1))), reshape(deviation, shape=(1, -1)))
    if c._array.dtype.kind != "c":
        return choose.clip(ratio, lo=-1.0, hi=1.0)  # type: ignore[no-any-return]
    parts = (choose.clip(part(ratio), lo=-1.0, hi=1.0) for part in (real, imag))
    return functions[""]["complex"](*parts)  # type: ignore[no-any-return]
