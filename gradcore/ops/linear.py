"""Linear layers as torch.nn.functional spells them. It must not know any derivative."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from gradcore.ops.arguments import need_tensor
from gradcore.ops.ordering import t
from gradcore.ops.products import addmm, matmul, reshaped
from gradcore.ops.registry import op
from gradcore.primitives import products as p
from gradcore.recorder import renamed

if TYPE_CHECKING:
    from gradcore.tensor import Tensor


@op(namespace="nn.functional", method=False, out=True)
def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Multiply (*, in) by the transpose of (out, in) and add (out,); a weight (in,) leaves no last
    dimension."""
    need_tensor(input, "linear")
    need_tensor(weight, "linear", "weight")
    if bias is not None:
        need_tensor(bias, "linear", "bias")
    shape, matrix = input._array.shape, weight._array.shape
    if _plain(input, weight, bias):
        if bias is None:
            return _unbiased.get(len(shape), _unbiased[3])(input, weight)  # type: ignore[no-any-return]
        return (p.linear if len(shape) == 2 else _linear)(input, weight, bias)  # type: ignore[no-any-return]
    if bias is None:
        return matmul(input, t(weight))
    if len(matrix) == 1:
        raise RuntimeError("mat2 must be a matrix, got 1-D tensor (linear with a bias needs a weight of (out, in))")
    rows: Any = input if len(shape) == 2 else reshaped(input, (prod(shape[:-1]), *shape[-1:]))
    out = addmm(bias, rows, t(weight))
    return out if len(shape) == 2 else reshaped(out, (*shape[:-1], matrix[0]))


# For inputs that are no matrices torch's last step is one of shape.
_linear = renamed(p.linear, "View")
_unbiased = {
    1: renamed(p.unbiased, "SqueezeBackward4"),
    2: p.unbiased,
    3: renamed(p.unbiased, "UnsafeView"),
}


def _plain(x: Any, weight: Any, bias: Any) -> bool:
    """Whether nothing broadcasts, converts or fails."""
    a, w = x._array, weight._array
    fits = w.ndim == 2 and a.ndim and a.shape[-1] == w.shape[1] and a.dtype == w.dtype
    return bool(fits and (bias is None or (bias._array.shape == w.shape[:1] and bias._array.dtype == w.dtype)))
