"""The cross entropy of an affine map, as torch.nn.functional spells it. It must not know any derivative."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from gradcore.ops.arguments import need_tensor
from gradcore.ops.linear import linear
from gradcore.ops.losses import cross_entropy
from gradcore.ops.products import reshaped
from gradcore.ops.registry import op

if TYPE_CHECKING:
    from gradcore.tensor import Tensor


@op(namespace="nn.functional", method=False)
def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: Any = None,
) -> Tensor:
    """Return the cross entropy of `target` and the logits that (N, in), or (in,), has by a weight (C, *, in).

    The rest is as in `cross_entropy`. `options`, which saves memory in torch, changes nothing.
    """
    for name, each in (("input", input), ("linear_weight", linear_weight), ("target", target)):
        need_tensor(each, "linear_cross_entropy", name)
    shape, matrix = tuple(input._array.shape), tuple(linear_weight._array.shape)
    if len(shape) not in (1, 2):
        raise RuntimeError(f"expected input with dimensionality 1 or 2, got {len(shape)} (linear_cross_entropy)")
    if len(matrix) < 2:
        raise RuntimeError(f"expected linear_weight with dimensionality at least 2, got {len(matrix)}")
    if shape[-1] != matrix[-1]:
        raise RuntimeError(
            "expected equal input and linear_weight last dimensions (in_features), got "
            f"{shape[-1]} and {matrix[-1]}, respectively"
        )
    outputs = matrix[:-1]
    if linear_bias is not None and tuple(linear_bias._array.shape) != outputs:
        raise RuntimeError(f"expected linear_bias shape {outputs}, got {tuple(linear_bias._array.shape)}")
    if len(outputs) > 1 and len(shape) == 1:
        raise RuntimeError(
            f"K-dimensional loss defined by linear_weight shape {matrix} requires batched input, (N, {shape[0]}), got "
            f"unbatched input with shape {shape}"
        )
    wanted = (*shape[:-1], *outputs)
    if ignore_index is not None and tuple(target._array.shape) == wanted:
        raise RuntimeError("ignore_index cannot be specified when target contains probabilities")
    flat: Any = linear_weight, linear_bias
    if len(outputs) > 1:
        rows = prod(outputs)
        flat = reshaped(linear_weight, (rows, matrix[-1])), None if linear_bias is None else reshaped(linear_bias, (rows,))
    logits = reshaped(linear(input, *flat), wanted)
    return cross_entropy(
        logits, target, weight, reduction=reduction, ignore_index=-100 if ignore_index is None else ignore_index,
        label_smoothing=label_smoothing,
    )  # fmt: skip
