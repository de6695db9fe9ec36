"""softmax, log_softmax and logsumexp as torch spells them. It must not know any derivative."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.ops import arguments
from gradcore.ops.arguments import converted, need_tensor
from gradcore.ops.registry import functions, op
from gradcore.primitives import softmax as p

if TYPE_CHECKING:
    from gradcore.tensor import Tensor


def _normalized(x: Tensor, dim: Any, dtype: Any, name: str, function: Callable[..., Any]) -> Tensor:
    need_tensor(x, name)
    x = converted(x, dtype, name)
    axis = arguments.axis(dim, x._array.ndim)
    if x._array.dtype.kind in "biuc":
        kernel = f"{name}_lastdim_kernel_impl" if axis == max(x._array.ndim - 1, 0) else f"{name}_kernel_impl"
        title = dtypes.of(x._array.dtype)._title
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{title}' (pass dtype=gradcore.float32)")
    return function(x, axis=(axis,) if x._array.ndim else ())  # type: ignore[no-any-return]


@op(out="exact")
def softmax(input: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """Return exp(input) divided by its sum over `dim`. Integers need `dtype`: NotImplementedError."""
    return _normalized(input, dim, dtype, "softmax", p.softmax)


@op(out="exact")
def log_softmax(input: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """Return the logarithm of `softmax`. Integers need `dtype`: NotImplementedError."""
    return _normalized(input, dim, dtype, "log_softmax", p.log_softmax)


@op(out=True)
def logsumexp(input: Tensor, dim: Any, keepdim: bool = False) -> Tensor:
    """Return log(sum(exp(input))) over `dim`, without overflow; integers become the default dtype."""
    need_tensor(input, "logsumexp")
    if input._array.dtype.kind in "biu":
        input = converted(input, dtypes.get_default_dtype(), "logsumexp")
    axes = arguments.axes(dim, input._array.ndim)
    return p.logsumexp(input, axis=axes, keepdims=keepdim)  # type: ignore[no-any-return]


for _name in ("softmax", "log_softmax", "logsumexp"):
    functions["special"][_name] = functions[""][_name]
