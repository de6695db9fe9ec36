"""Linear layers as torch.nn.functional spells them. It must not know any derivative."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from gradcore.ops.arguments import need_tensor
from gradcore.ops.ordering import t
from gradcore.ops.products import addmm, matmul, reshaped
from gradcore.ops.registry import functions, op
from gradcore.primitives import products as p
from gradcore.primitives import shape as s
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


@op(namespace="nn.functional", method=False)
def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return x1 W[o] x2 + bias[o] for all o: of (*, in1) and (*, in2), by (out, in1, in2) and (out,)."""
    for name, each in (("input1", input1), ("input2", input2), ("weight", weight)):
        need_tensor(each, "bilinear", name)
    left, right, form = (tuple(each._array.shape) for each in (input1, input2, weight))
    if len(left) != len(right):
        raise RuntimeError(
            f"bilinear(): input dimensions do not match: got {len(left)} and {len(right)} (of shapes {list(left)} and "
            f"{list(right)})"
        )
    if left[:-1] != right[:-1]:
        raise RuntimeError(
            f"bilinear(): input batch dimensions do not match: got {list(left[:-1])} and {list(right[:-1])}"
        )
    if len(form) != 3 or left[-1:] != form[1:2] or right[-1:] != form[2:]:
        raise RuntimeError(
            f"bilinear(): weight of shape {list(form)} does not fit inputs of shapes {list(left)} and {list(right)}: "
            "expected (out, in1, in2)"
        )
    if bias is not None and tuple(bias._array.shape) != form[:1]:
        raise RuntimeError(
            f"bilinear(): bias size does not match weight size: got {bias._array.size} but expected {form[0]}"
        )
    rows, (out, a, b) = prod(left[:-1]), form
    forms = reshaped(s.transpose(weight, axes=(1, 0, 2)), (a, out * b))
    half = reshaped(matmul(reshaped(input1, (rows, a)), forms), (rows, out, b))
    made = matmul(half, reshaped(input2, (rows, b, 1)))
    made = reshaped(made, (*left[:-1], out))
    return made if bias is None else made + bias


functions[""]["bilinear"] = bilinear

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
