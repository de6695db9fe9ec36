"""Convolutions of sequences with the time first, as torch spells them. It must not know any derivative."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradcore.ops.arguments import need_tensor
from gradcore.ops.convolution import conv1d
from gradcore.ops.registry import functions, op
from gradcore.primitives.shape import transpose

if TYPE_CHECKING:
    from gradcore.tensor import Tensor


@op(method=False, node="ConvTbc")
def conv_tbc(input: Tensor, weight: Tensor, bias: Tensor, pad: int = 0) -> Tensor:
    """Return the cross-correlation of (T, N, in) with filters (width, in, out), plus `bias` (out,), as (T', N, out)."""
    for name, each in (("input", input), ("weight", weight), ("bias", bias)):
        need_tensor(each, "conv_tbc", name)
    shape, filters = input._array.shape, weight._array.shape
    if len(shape) != 3:
        raise RuntimeError(f"Input must have 3 dims: time, batch, in_channel (conv_tbc got shape {list(shape)})")
    if len(filters) != 3:
        raise RuntimeError(
            f"Weight tensor must have 3 dims: kernel_width, in_channels, out_channels. conv_tbc got shape {list(filters)}"
        )
    if bias._array.shape != filters[2:]:
        raise RuntimeError(
            f"Bias size must equal dim 2 in the weight tensor (output channels). conv_tbc got {list(bias._array.shape)} "
            f"for {list(filters)}"
        )
    if shape[2] != filters[1]:
        raise RuntimeError(
            f"Input dim 2 (input channels) is not == dim 1 in the weight tensor (conv_tbc got {shape[2]} and {filters[1]})"
        )
    x, w = transpose(input, axes=(1, 2, 0)), transpose(weight, axes=(2, 1, 0))
    return transpose(conv1d(x, w, bias, padding=pad), axes=(2, 0, 1))  # type: ignore[no-any-return]


functions["nn.functional"]["conv_tbc"] = conv_tbc
