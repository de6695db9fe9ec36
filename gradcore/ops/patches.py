"""Images as columns of patches and back, and channels traded for places, as torch spells them. It must not know
any derivative."""

from __future__ import annotations

from operator import index
from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.ops.arguments import axis, need_tensor
from gradcore.ops.registry import functions, op
from gradcore.primitives import shape as s
from gradcore.primitives.conversion import copy
from gradcore.primitives.convolution import columns, image
from gradcore.primitives.windows import Sizes, Window
from gradcore.recorder.views import is_view

if TYPE_CHECKING:
    from gradcore.tensor import Tensor


# -- patches -------------------------------------------------------------------------------------------------


@op(namespace="nn.functional", method=False, node="Im2Col")
def unfold(input: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Tensor:
    """Return the patches of (N, C, H, W) or (C, H, W) as columns (N, C * cells of the kernel, patches)."""
    need_tensor(input, "unfold")
    window, shape = _window("im2col", kernel_size, dilation, padding, stride), tuple(input._array.shape)
    _need_numbers(input, "im2col")
    axis(2, len(shape))  # torch asks for this dimension first
    if len(shape) not in (3, 4) or 0 in shape[-3:]:
        raise RuntimeError(
            "Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions for input, "
            f"but got: {list(shape)} (unfold)"
        )
    out = window.out(shape[-2:])
    if min(out) < 1:
        raise RuntimeError(
            f"Given input with spatial size {shape[-2:]}, {_described(window)}, calculated shape of the array of sliding "
            f"blocks as {out}, but its components must be at least one."
        )
    made = columns(input, window=window)
    return s.reshape(made, shape=(*shape[:-3], shape[-3] * window.cells, out[0] * out[1]))  # type: ignore[no-any-return]


@op(namespace="nn.functional", method=False, node="Col2Im")
def fold(
    input: Tensor, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Tensor:
    """Return images (N, C, *output_size) in which each cell is the sum of what the columns `unfold` would make of it
    hold."""
    need_tensor(input, "fold")
    window, size = _window("col2im", kernel_size, dilation, padding, stride), _pair("col2im", "output_size", output_size)
    _need_numbers(input, "col2im")
    shape = tuple(input._array.shape)
    if len(shape) not in (2, 3) or 0 in shape[-2:]:
        raise RuntimeError(
            "Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and non-zero dimensions for "
            f"input, but got: {list(shape)} (fold)"
        )
    if shape[-2] % window.cells:
        raise RuntimeError(
            "Expected size of input's dimension 1 to be divisible by the product of kernel_size, but got input.size(1)="
            f"{shape[-2]} and kernel_size={window.kernel}."
        )
    out = window.out(size)
    if out[0] * out[1] != shape[-1] or min(out) < 1:
        raise RuntimeError(
            f"Given output_size={size}, {_described(window)}, expected size of input's dimension 2 to match the calculated "
            f"number of sliding blocks {out[0]} * {out[1]} = {out[0] * out[1]}, but got input.size(2)={shape[-1]}."
        )
    blocks = s.reshape(input, shape=(*shape[:-2], shape[-2] // window.cells, *window.kernel, *out))
    return image(blocks, window=window, size=size)  # type: ignore[no-any-return]


def _window(name: str, kernel: Any, dilation: Any, padding: Any, stride: Any) -> Window:
    margin = _pair(name, "padding", padding)
    sizes = _pair(name, "kernel_size", kernel), _pair(name, "stride", stride), _pair(name, "dilation", dilation)
    for what, each in zip(("kernel size", "stride", "dilation"), sizes, strict=True):
        if min(each) < 1:
            raise RuntimeError(f"{what} should be greater than zero, but got {list(each)} ({name})")
    if min(margin) < 0:
        raise RuntimeError(f"padding should be non-negative, but got {list(margin)} ({name})")
    return Window(sizes[0], sizes[1], sizes[2], tuple((each, each) for each in margin))


def _pair(name: str, argument: str, value: Any) -> Sizes:
    given = [index(each) for each in value] if isinstance(value, (tuple, list)) else [index(value)]
    if len(given) not in (1, 2):
        raise RuntimeError(f"{name}: expected {argument} to have 1 or 2 elements, but got {len(given)}")
    return tuple(given * 2 if len(given) == 1 else given)


def _described(window: Window) -> str:
    margin = tuple(p[0] for p in window.padding)
    return f"kernel_size={window.kernel}, dilation={window.dilation}, padding={margin}, stride={window.stride}"


def _need_numbers(x: Any, name: str) -> None:
    if x._array.dtype.kind in "biu":
        raise NotImplementedError(f"\"{name}_out_cpu\" not implemented for '{dtypes.of(x._array.dtype)._title}'")


# -- channels and places -------------------------------------------------------------------------------------


@op(namespace="nn.functional", method=False, node="PixelShuffle")
def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """Turn (*, C * r**2, H, W) into (*, C, H * r, W * r); Shi et al., "Real-Time Single Image and Video
    Super-Resolution" (2016)."""
    shape, r = _image("pixel_shuffle", input), index(upscale_factor)
    if r <= 0:
        raise RuntimeError(f"pixel_shuffle expects a positive upscale_factor, but got {r}")
    *lead, c, h, w = shape
    if c % (r * r):
        raise RuntimeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of upscale_factor, but "
            f"input.size(-3)={c} is not divisible by {r * r}"
        )
    return _moved(input, (*lead, c // (r * r), r, r, h, w), (0, 3, 1, 4, 2), (*lead, c // (r * r), h * r, w * r))


@op(namespace="nn.functional", method=False, node="PixelUnshuffle")
def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """Turn (*, C, H * r, W * r) into (*, C * r**2, H, W)."""
    shape, r = _image("pixel_unshuffle", input), index(downscale_factor)
    if r <= 0:
        raise RuntimeError(f"pixel_unshuffle expects a positive downscale_factor, but got {r}")
    *lead, c, h, w = shape
    for name, n in (("height", h), ("width", w)):
        if n % r:
            raise RuntimeError(
                f"pixel_unshuffle expects {name} to be divisible by downscale_factor, but it is {n}, and the factor {r}"
            )
    return _moved(input, (*lead, c, h // r, r, w // r, r), (0, 2, 4, 1, 3), (*lead, c * r * r, h // r, w // r))


@op(namespace="nn.functional", method=False, node="ChannelShuffle")
def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Deal the channels of (N, C, *) out of `groups` stacks, one from each in turn."""
    need_tensor(input, "channel_shuffle")
    shape, groups = tuple(input._array.shape), index(groups)
    if len(shape) < 3:
        raise RuntimeError(f"channel_shuffle expects input with > 2 dims, but got input with sizes {list(shape)}")
    if groups <= 0:
        raise RuntimeError(f"Number of groups to divide channels in must be positive. Value of groups:{groups}")
    if shape[1] % groups:
        raise RuntimeError(
            f"Number of channels must be divisible by groups. Got {shape[1]} channels and {groups} groups."
        )
    dealt = (shape[0], groups, shape[1] // groups, *shape[2:])
    axes = (0, 2, 1, *range(3, len(dealt)))
    return _dealt(s.transpose(s.reshape(input, shape=dealt), axes=axes), shape)


def _image(name: str, x: Any) -> tuple[int, ...]:
    need_tensor(x, name)
    shape = tuple(x._array.shape)
    if len(shape) < 3:
        raise RuntimeError(
            f"{name} expects input to have at least 3 dimensions, but got input with {len(shape)} dimension(s)"
        )
    return shape


def _moved(x: Any, split: Sizes, order: Sizes, joined: Sizes) -> Tensor:
    lead = len(split) - 5
    axes = (*range(lead), *(lead + a for a in order))
    return _dealt(s.transpose(s.reshape(x, shape=split), axes=axes), joined)


def _dealt(x: Any, shape: Sizes) -> Tensor:
    """The elements of `x` one after the other in `shape`, in memory of their own even if they lie so already."""
    out = s.reshape(x, shape=shape)
    return copy(out) if is_view(out) else out  # type: ignore[no-any-return]


native_channel_shuffle = functions["nn.functional"]["native_channel_shuffle"] = channel_shuffle
for _name in ("pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "native_channel_shuffle"):
    functions[""][_name] = functions["nn.functional"][_name]
