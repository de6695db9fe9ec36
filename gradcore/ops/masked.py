"""torch.masked: reductions of the elements that a mask marks. It must not know any derivative.

What the mask leaves out is replaced by the operation's identity (0 in a sum, -inf in a maximum), which changes nothing.
"""

from __future__ import annotations

from math import inf, nan
from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.backends import of
from gradcore.ops import arguments, cumulative, extrema, logarithms, norms, reductions, softmax, sorting
from gradcore.ops.arguments import converted, need_tensor
from gradcore.ops.complex_numbers import conj
from gradcore.ops.counting import any
from gradcore.ops.registry import label, op
from gradcore.primitives import comparison as compare
from gradcore.primitives import elementwise as e
from gradcore.primitives import selection as choose
from gradcore.primitives.shape import expand
from gradcore.recorder.value import wrap

if TYPE_CHECKING:
    from gradcore.tensor import Tensor

masked = op(namespace="masked", method=False)


def _filled(x: Tensor, mask: Tensor | None, identity: float, name: str) -> Tensor:
    """`x` with `identity`, the nearest there is in its dtype, where the mask is false."""
    need_tensor(x, f"masked.{name}")
    if mask is None:
        return x
    if mask._array.ndim > x._array.ndim:
        raise IndexError(
            f"_input_mask expected broadcastable mask (got mask dimensionality higher than of the input: "
            f"{mask._array.ndim} > {x._array.ndim})"
        )
    if x._array.dtype.kind in "iu" and identity in (inf, -inf):
        limits = dtypes.iinfo(dtypes.of(x._array.dtype))
        identity = limits.max if identity > 0 else limits.min
    elif x._array.dtype.kind in "biu":
        identity = int(identity)
    return choose.where(converted(mask, dtypes.bool, name), x, identity)  # type: ignore[no-any-return]


def _kept(x: Tensor, dtype: Any) -> Any:
    return x.dtype if dtype is None else dtype


def _total(x: Tensor, dtype: Any) -> Any:
    """The dtype in which elements of `x` add up."""
    return dtypes.int64 if dtype is None and x._array.dtype.kind in "biu" else _kept(x, dtype)


@masked
def sum(input: Tensor, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Tensor:
    """Add up the marked elements over `dim`; 0 where there are none."""
    return reductions.sum(
        _filled(input, mask, 0, "sum"), arguments.axes(dim, input.ndim), keepdim, dtype=_total(input, dtype)
    )


@masked
def prod(input: Tensor, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Tensor:
    """Multiply the marked elements over `dim`; 1 where there are none."""
    out = converted(_filled(input, mask, 1, "prod"), _total(input, dtype), "masked.prod")
    axes = arguments.axes(dim, input.ndim) or (() if dim is None else (0,))
    for axis in reversed(axes):
        out = cumulative.prod(out, axis, keepdim)
    return out  # type: ignore[no-any-return]


@masked
def cumsum(input: Tensor, dim: int, *, dtype: Any = None, mask: Any = None) -> Tensor:
    """Add up the marked elements up to each along `dim`."""
    return cumulative.cumsum(_filled(input, mask, 0, "cumsum"), dim, dtype=_kept(input, dtype))


@masked
def cumprod(input: Tensor, dim: int, *, dtype: Any = None, mask: Any = None) -> Tensor:
    """Multiply the marked elements up to each along `dim`."""
    return cumulative.cumprod(_filled(input, mask, 1, "cumprod"), dim, dtype=_kept(input, dtype))


@masked
def amax(input: Tensor, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Tensor:
    """Return the largest of the marked elements over `dim`; the least number where there are none."""
    out = extrema.amax(_filled(input, mask, -inf, "amax"), arguments.axes(dim, input.ndim), keepdim)
    return converted(out, dtype, "masked.amax")  # type: ignore[no-any-return]


@masked
def amin(input: Tensor, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Tensor:
    """Return the smallest of the marked elements over `dim`; the largest number where there are none."""
    out = extrema.amin(_filled(input, mask, inf, "amin"), arguments.axes(dim, input.ndim), keepdim)
    return converted(out, dtype, "masked.amin")  # type: ignore[no-any-return]


@masked
def argmax(input: Tensor, dim: int | None = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Tensor:
    """Return the index of the first largest of the marked elements over `dim`, in the dtype of `input`."""
    out = extrema.argmax(_filled(input, mask, -inf, "argmax"), dim, keepdim)
    return converted(out, _kept(input, dtype), "masked.argmax")  # type: ignore[no-any-return]


@masked
def argmin(input: Tensor, dim: int | None = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Tensor:
    """Return the index of the first smallest of the marked elements over `dim`, in the dtype of `input`."""
    out = extrema.argmin(_filled(input, mask, inf, "argmin"), dim, keepdim)
    return converted(out, _kept(input, dtype), "masked.argmin")  # type: ignore[no-any-return]


def _count(x: Tensor, axes: Any, keepdim: bool, mask: Tensor | None) -> Tensor:
    """How many elements are marked over `axes`."""
    F, shape = of(x._array), x._array.shape
    marks = wrap(F.ones(shape, "bool")) if mask is None else expand(converted(mask, dtypes.bool, "masked"), shape=shape)
    return reductions.sum(marks, axes, keepdim)


@masked
def mean(input: Tensor, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Tensor:
    """Average the marked elements over `dim`; NaN where there are none. Raises ValueError for integers."""
    want = _kept(input, dtype)
    if not (want.is_floating_point or want.is_complex):
        which = "Input" if dtype is None else "Optional"
        raise ValueError(
            f"mean(): Could not infer output dtype. {which} dtype must be either a floating point or complex dtype. "
            f"Got: {want}"
        )
    axes = arguments.axes(dim, input.ndim)
    total = sum(input, axes, keepdim=keepdim, dtype=want, mask=mask)
    return e.divide(total, _count(input, axes, keepdim, mask))  # type: ignore[no-any-return]


@masked
def median(input: Tensor, dim: int = -1, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Tensor:
    """Return the lower median of the marked elements over `dim`; NaN where there are none."""
    need_tensor(input, "masked.median")
    real = input._array.dtype.kind in "fV"
    x = input if real else converted(input, dtypes.float32, "masked.median")
    out: Tensor = sorting.nanmedian(_filled(x, mask, nan, "median"), dim, keepdim)[0]
    if real:
        return out
    if bool(any(compare.isnan(out))):
        raise ValueError("masked median expects no fully masked out rows if dtype is not floating point")
    return converted(out, _kept(input, dtype), "masked.median")  # type: ignore[no-any-return]


@masked
def logsumexp(input: Tensor, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Tensor:
    """Return log(sum(exp(input))) of the marked elements over `dim`; -inf where there are none."""
    out = softmax.logsumexp(_filled(input, mask, -inf, "logsumexp"), arguments.axes(dim, input.ndim), keepdim)
    return converted(out, _kept(input, dtype), "masked.logsumexp")  # type: ignore[no-any-return]


@masked
def logaddexp(input: Tensor, other: Tensor, *, dtype: Any = None, input_mask: Any = None, other_mask: Any = None) -> Tensor:
    """Return log(exp(input) + exp(other)) of the marked elements; -inf where neither is."""
    x, y = _filled(input, input_mask, -inf, "logaddexp"), _filled(other, other_mask, -inf, "logaddexp")
    both = logarithms.logaddexp(x, y)  # which has no derivatives where both are -inf
    out = choose.where(compare.equal(x, -inf), y, choose.where(compare.equal(y, -inf), x, both))
    label(out, "LogaddexpBackward0", (x, y))
    return converted(out, _kept(input, dtype), "masked.logaddexp")  # type: ignore[no-any-return]


@masked
def norm(
    input: Tensor, ord: float = 2.0, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None
) -> Tensor:
    """Return the vector norm of the marked elements over `dim`."""
    x = _filled(input, mask, inf if ord == -inf else 0, "norm")
    return norms.vector_norm(x, ord, arguments.axes(dim, input.ndim), keepdim, dtype=dtype)


@masked
def normalize(input: Tensor, ord: float, dim: int, *, eps: float = 1e-12, dtype: Any = None, mask: Any = None) -> Tensor:
    """Divide the marked elements by their norm over `dim`, or by `eps` if that is larger; 0 elsewhere."""
    size = norm(input, ord, dim, keepdim=True, dtype=_kept(input, dtype), mask=mask)
    return e.divide(_filled(input, mask, 0, "normalize"), choose.maximum(size, eps))  # type: ignore[no-any-return]


# -- variances ------------------------------------------------------------------------------------------------------------


def _deviation(x: Tensor, dim: Any, unbiased: bool | None, correction: Any, keepdim: bool, dtype: Any, mask: Any) -> Tensor:
    axes = arguments.axes(dim, x.ndim)
    if dtype is None:
        dtype = dtypes.float32 if x._array.dtype.kind in "biu" else x.dtype
    if correction is None:
        correction = 1 if unbiased is None else int(unbiased)
    count = _count(x, axes, True, mask)
    mean = e.divide(sum(x, axes, keepdim=True, dtype=dtype, mask=mask), count)
    apart = e.subtract(x, mean)
    square = e.multiply(apart, conj(apart) if apart._array.dtype.kind == "c" else apart)
    total = sum(square, axes, keepdim=keepdim, dtype=dtype, mask=mask)
    dof = choose.clip(e.subtract(count, correction), lo=0, hi=None)
    return converted(e.divide(total, dof.reshape(total.shape)), dtype, "masked.var")  # type: ignore[no-any-return]


@masked
def var(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    *,
    correction: Any = None,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Any = None,
) -> Tensor:
    """Return the variance of the marked elements over `dim`."""
    return _deviation(input, dim, unbiased, correction, keepdim, dtype, mask)


@masked
def std(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    *,
    correction: Any = None,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Any = None,
) -> Tensor:
    """Return the standard deviation of the marked elements over `dim`."""
    return e.sqrt(_deviation(input, dim, unbiased, correction, keepdim, dtype, mask))  # type: ignore[no-any-return]


# -- exponentials ---------------------------------------------------------------------------------------------------------


@masked
def softmax_(input: Tensor, dim: int, *, dtype: Any = None, mask: Any = None) -> Tensor:
    """Return the softmax over `dim` of the marked elements; 0 elsewhere, NaN where there are none."""
    return softmax.softmax(_filled(input, mask, -inf, "softmax"), dim, dtype=dtype)


@masked
def log_softmax(input: Tensor, dim: int, *, dtype: Any = None, mask: Any = None) -> Tensor:
    """Return the logarithm of the softmax over `dim` of the marked elements; -inf elsewhere."""
    return softmax.log_softmax(_filled(input, mask, -inf, "log_softmax"), dim, dtype=dtype)


@masked
def softmin(input: Tensor, dim: int, *, dtype: Any = None, mask: Any = None) -> Tensor:
    """Return the softmax over `dim` of the marked elements' negatives; 0 elsewhere."""
    return softmax.softmax(e.negative(_filled(input, mask, inf, "softmin")), dim, dtype=dtype)
