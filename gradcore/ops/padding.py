"""Padding as torch.nn.functional spells it. It must not know any derivative."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import TYPE_CHECKING, Any

from gradcore.ops.arguments import need_tensor
from gradcore.ops.registry import label, op
from gradcore.primitives import padding as p
from gradcore.primitives.conversion import copy
from gradcore.primitives.indexing import basic_getitem
from gradcore.recorder.views import is_view

if TYPE_CHECKING:
    from gradcore.tensor import Tensor

Widths = list[tuple[int, int]]

_NODES = {
    "reflect": "ReflectionPad{}DBackward0",
    "replicate": "ReplicationPad{}DBackward0",
    "circular": "CopySlices",
}


@op(namespace="nn.functional", method=False)
def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Add elements before and after the last dimensions, `pad` counting them in pairs from the last one on.

    They are `value` ("constant"), or "reflect", "replicate" or "circular" elements of `input`; negative
    counts cut off.
    """
    need_tensor(input, "pad")
    counts = [index(each) for each in pad]
    ndim = input._array.ndim
    if len(counts) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    if len(counts) > 2 * ndim:
        raise RuntimeError(
            "Padding length should be less than or equal to two times the input dimension but got padding "
            "length "
            f"{len(counts)} and input of dimension {ndim}"
        )
    n = len(counts) // 2
    pairs = list(zip(counts[::2], counts[1::2], strict=True))[::-1]
    widths = [(0, 0)] * (ndim - n) + pairs
    if mode == "constant":
        return _constant(input, widths, 0 if value is None else value)
    if mode not in _NODES:
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    if value is not None and value != 0:
        raise RuntimeError(f'Padding mode "{mode}" doesn\'t take in value argument')
    if not 1 <= n <= 3 or ndim not in (n + 1, n + 2):
        raise NotImplementedError(
            f"Padding size {2 * n} is not supported for {ndim}D input tensor.\n"
            "Supported combinations for non-constant padding:\n"
            "  - 2D or 3D input: padding size = 2 (pads last dimension)\n"
            "  - 3D or 4D input: padding size = 4 (pads last 2 dimensions)\n"
            "  - 4D or 5D input: padding size = 6 (pads last 3 dimensions)"
        )
    for axis in range(ndim - n, ndim):
        _check(tuple(input._array.shape), axis, *widths[axis], mode)
    return _repeated(input, widths, mode, _NODES[mode].format(n))


_padded = pad


@op(method=False)
def constant_pad_nd(input: Tensor, pad: Sequence[int], value: float = 0) -> Tensor:
    """Add elements `value` before and after the last dimensions: `nn.functional.pad`."""
    return _padded(input, pad, "constant", value)


def _constant(x: Any, widths: Widths, value: Any) -> Tensor:
    kept = _cut(x, widths)
    grown = [(max(before, 0), max(after, 0)) for before, after in widths]
    size = kept._array.shape
    place = tuple(slice(b, b + n) for (b, _), n in zip(grown, size, strict=True))
    shape = tuple(b + n + a for (b, a), n in zip(grown, size, strict=True))
    return p.pad(kept, index=place, shape=shape, value=value)  # type: ignore[no-any-return]


def _cut(x: Any, widths: Widths) -> Any:
    """`x` without what negative widths cut off."""
    if all(width >= 0 for pair in widths for width in pair):
        return x
    ends = [(max(-b, 0), n - max(-a, 0)) for (b, a), n in zip(widths, x._array.shape, strict=True)]
    if any(end < start for start, end in ends):
        raise RuntimeError(
            f"narrow(): length must be non-negative. (pad cuts more off than there is of shape {list(x._array.shape)})"
        )
    return basic_getitem(x, index=tuple(slice(start, end) for start, end in ends))


def _repeated(x: Any, widths: Widths, mode: str, node: str) -> Tensor:
    out = _cut(x, widths) if mode == "circular" else x
    for axis, (before, after) in enumerate(widths):
        if before > 0 or after > 0:
            out = p.repeat_borders(out, axis=axis, before=max(before, 0), after=max(after, 0), mode=mode)
    if mode != "circular":
        out = _cut(out, [(min(b, 0), min(a, 0)) for b, a in widths])
    if out is x:
        return copy(x)  # type: ignore[no-any-return]
    if is_view(out):  # nothing but cut off
        out = copy(out)
    label(out, node, (x,))
    return out  # type: ignore[no-any-return]


def _check(shape: tuple[int, ...], axis: int, before: int, after: int, mode: str) -> None:
    """Raise torch's RuntimeError for borders wider than what is there to repeat."""
    n = shape[axis]
    if mode == "reflect" and max(before, after) >= n:
        raise RuntimeError(
            "Argument #4: Padding size should be less than the corresponding input dimension, but got: "
            "padding "
            f"({before}, {after}) at dimension {axis} of input {list(shape)}"
        )
    if mode == "circular" and max(before, after) > n:
        raise RuntimeError("Padding value causes wrapping around more than once.")
    if n + before + after < (1 if mode != "circular" else 0) or (n == 0 and before + after > 0):
        raise RuntimeError(
            f"input of size {list(shape)} is too small for padding ({before}, {after}) of dimension {axis} ({mode})"
        )
