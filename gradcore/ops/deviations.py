"""Variances and standard deviations, as torch spells them. It must not know any derivative."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gradcore.ops import arguments
from gradcore.ops.arguments import need_tensor, python_number
from gradcore.ops.reductions import count_over
from gradcore.ops.registry import op
from gradcore.primitives import reductions as r
from gradcore.recorder.caller import warn

if TYPE_CHECKING:
    from gradcore.tensor import Tensor


def _deviation(
    x: Tensor, dim: Any, unbiased: Any, keepdim: bool, correction: Any, name: str, reduce: Callable[..., Any]
) -> Any:
    """What `reduce`, the primitive `var` or another of its kind, makes of `x`."""
    need_tensor(x, name)
    if isinstance(dim, bool):  # var(unbiased)
        dim, unbiased = None, dim
    if unbiased is not None and correction is not None:
        raise TypeError(f"{name}(): got both unbiased and correction; pass correction={int(unbiased)} alone")
    if x._array.dtype.kind in "biu":
        raise RuntimeError("std and var only support floating point and complex dtypes")
    if correction is None:
        correction = 1 if unbiased is None else int(unbiased)
    correction = python_number(correction, name, "correction")
    axes = arguments.axes(dim, x._array.ndim)
    count = count_over(x, axes)
    dof = count - correction
    if dof <= 0:
        warn(
            f"{name}(): degrees of freedom is <= 0. Correction should be strictly less than the reduction "
            "factor (input numel divided by output numel).",
        )
    return reduce(x, axis=axes, count=count, dof=dof, keepdims=keepdim)


@op(out=True)
def var(input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None) -> Tensor:
    """Return the variance over `dim` (all by default), with the divisor count - `correction` (1)."""
    return _deviation(input, dim, unbiased, keepdim, correction, "var", r.var)  # type: ignore[no-any-return]


@op(out=True)
def std(input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None) -> Tensor:
    """Return the square root of the variance over `dim`; its gradient is 0 where all elements are equal."""
    return _deviation(input, dim, unbiased, keepdim, correction, "std", r.std)  # type: ignore[no-any-return]


@op(out=True)
def var_mean(
    input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None
) -> tuple[Tensor, Tensor]:
    """Return the variance and the mean over `dim`."""
    return _deviation(input, dim, unbiased, keepdim, correction, "var_mean", r.var_mean)  # type: ignore[no-any-return]


@op(out=True)
def std_mean(
    input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None
) -> tuple[Tensor, Tensor]:
    """Return the standard deviation and the mean over `dim`."""
    return _deviation(input, dim, unbiased, keepdim, correction, "std_mean", r.std_mean)  # type: ignore[no-any-return]
