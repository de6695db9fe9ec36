"""Quantiles, as torch spells them. It must not know any derivative."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.backends import of
from gradcore.ops import arguments
from gradcore.ops.arguments import converted, need_tensor
from gradcore.ops.ordering import movedim
from gradcore.ops.registry import label, op
from gradcore.ops.shaping import squeeze
from gradcore.ops.sorting import sort
from gradcore.primitives import comparison as compare
from gradcore.primitives import counting as c
from gradcore.primitives import elementwise as e
from gradcore.primitives import selection as choose
from gradcore.primitives import sorting as s
from gradcore.primitives.shape import reshape
from gradcore.recorder.value import Value, wrap

if TYPE_CHECKING:
    from gradcore.tensor import Tensor

INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


@op(out="exact")
def quantile(
    input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Tensor:
    """Return the quantiles `q` (a number or 1-d Tensor in [0, 1]) over `dim`, in front if there are several.

    NaN wins. `interpolation` is "linear", "lower", "higher", "midpoint" or "nearest". float32 and float64 only.
    """
    return _quantile(input, q, dim, keepdim, interpolation, "quantile")


@op(out="exact")
def nanquantile(
    input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Tensor:
    """Return the quantiles `q` of the elements that are not NaN; otherwise as `quantile`."""
    return _quantile(input, q, dim, keepdim, interpolation, "nanquantile")


def _quantile(x: Tensor, q: Any, dim: int | None, keepdim: bool, interpolation: str, name: str) -> Tensor:
    need_tensor(x, name)
    a = x._array
    if a.dtype not in (dtypes.float32.numpy, dtypes.float64.numpy):
        raise RuntimeError(f"{name}() input tensor must be either float or double dtype")
    if not a.size:
        raise RuntimeError(f"{name}() input tensor must be non-empty")
    if interpolation not in INTERPOLATIONS:
        raise RuntimeError(
            f"{name}() interpolation must be one of linear, lower, higher, midpoint or nearest, but got {interpolation}"
        )
    q = _fraction(q, a, name)
    axis = None if dim is None else arguments.axis(dim, a.ndim)
    rows = reshape(x, shape=(-1,)) if axis is None or not a.ndim else movedim(x, axis, -1)
    ordered = sort(rows, -1)[0]
    out = _interpolated(ordered, reshape(q, shape=(-1,)), interpolation, skip_nan=name == "nanquantile")
    if keepdim:
        shape = (1,) * a.ndim if axis is None else tuple(1 if i == axis else n for i, n in enumerate(a.shape))
        out = reshape(movedim(out, -1, 0), shape=(*q._array.shape, *shape))
    else:
        out = movedim(out, -1, 0) if q._array.ndim else squeeze(out, -1)
    label(out, "SqueezeBackward4", (x,))
    return out


def _fraction(q: Any, like: Any, name: str) -> Any:
    if not isinstance(q, Value):
        if not 0 <= q <= 1:
            raise RuntimeError(f"{name}() q must be in the range [0, 1] but got {q}")
        return wrap(of(like).asarray(q, like.dtype))
    if q._array.ndim > 1:
        raise RuntimeError(f"{name}() q must be a scalar or 1D tensor")
    if q._array.dtype != like.dtype:
        raise RuntimeError(f"{name}() q tensor must be same dtype as the input tensor")
    a = q._array
    if of(a).device_type == "cpu" and not ((a >= 0) & (a <= 1)).all():
        raise RuntimeError(f"{name}() q values must be in the range [0, 1]")
    return q


def _interpolated(rows: Tensor, q: Tensor, interpolation: str, *, skip_nan: bool) -> Tensor:
    """The quantiles of sorted `rows` in the last dimension, NaN standing last."""
    last = rows._array.ndim - 1
    nan = compare.isnan(rows)
    if skip_nan:
        count = c.count_nonzero(compare.logical_not(nan), axis=(last,))
        count = reshape(count, shape=(*rows._array.shape[:-1], 1))
        rank = choose.clip(e.multiply(q, e.subtract(count, 1)), lo=0.0, hi=None)
    else:
        rank = e.multiply(q, float(rows._array.shape[-1] - 1))
        spoiled = c.any(nan, axis=(last,), keepdims=True)
        rank = choose.where(spoiled, float(rows._array.shape[-1] - 1), rank)
    if interpolation in ("lower", "higher", "nearest"):
        rounding = {"lower": choose.floor, "higher": choose.ceil, "nearest": choose.round_half_even}[interpolation]
        return _at(rows, rounding(rank), last)
    below = choose.floor(rank)
    low, high = _at(rows, below, last), _at(rows, choose.ceil(rank), last)
    share = 0.5 if interpolation == "midpoint" else e.subtract(rank, below)
    return e.lerp(low, high, share)  # type: ignore[no-any-return]


def _at(rows: Tensor, rank: Tensor, axis: int) -> Tensor:
    return s.pick(rows, converted(rank, dtypes.int64, "quantile"), axis=axis, distinct=False)  # type: ignore[no-any-return]
