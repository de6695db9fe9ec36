"""Convolutions as torch.nn.functional spells them. It must not know any derivative."""

from __future__ import annotations

from functools import lru_cache
from operator import index
from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.ops.arguments import need_tensor
from gradcore.ops.registry import functions, op
from gradcore.primitives import convolution as c
from gradcore.primitives import elementwise as e
from gradcore.primitives import shape as s
from gradcore.primitives.padding import pad
from gradcore.primitives.windows import Sizes, Window
from gradcore.recorder import renamed

if TYPE_CHECKING:
    from gradcore.tensor import Tensor

_with_bias = renamed(e.add, "Convolution")


@op(namespace="nn.functional", method=False)
def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Correlate (N, C, L) or (C, L) with kernels (O, C / groups, K)."""
    return _convolution("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


@op(namespace="nn.functional", method=False)
def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Correlate (N, C, H, W) or (C, H, W) with kernels (O, C / groups, K, L); padding may be "same" or
    "valid"."""
    return _convolution("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


@op(namespace="nn.functional", method=False)
def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Correlate (N, C, D, H, W) or (C, D, H, W) with kernels (O, C / groups, K, L, M)."""
    return _convolution("conv3d", 3, input, weight, bias, stride, padding, dilation, groups)


@op(namespace="nn.functional", method=False)
def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """Transpose `conv1d`: (N, C, L) or (C, L) with kernels (C, O / groups, K) to (N, O, (L - 1) * stride -
    2 * padding + dilation * (K - 1) + output_padding + 1)."""
    return _transposed("conv_transpose1d", 1, input, weight, bias, stride, padding, output_padding, groups, dilation)


@op(namespace="nn.functional", method=False)
def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """Transpose `conv2d`: (N, C, H, W) or (C, H, W) with kernels (C, O / groups, K, L), sizes as in
    `conv_transpose1d`."""
    return _transposed("conv_transpose2d", 2, input, weight, bias, stride, padding, output_padding, groups, dilation)


@op(namespace="nn.functional", method=False)
def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """Transpose `conv3d`: (N, C, D, H, W) or (C, D, H, W) with kernels (C, O / groups, K, L, M), sizes as in
    `conv_transpose1d`."""
    return _transposed("conv_transpose3d", 3, input, weight, bias, stride, padding, output_padding, groups, dilation)


def _convolution(
    name: str, n: int, x: Any, w: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: Any
) -> Tensor:
    batched, size, kernel = _shapes(name, n, x, w)
    steps, spread = sizes(name, "stride", stride, n), sizes(name, "dilation", dilation, n)
    margin = padding if isinstance(padding, str) else sizes(name, "padding", padding, n)
    groups = index(groups)
    window, room = _window(name, kernel[2:], steps, spread, margin, groups, size[2:])
    _check_kernels(name, x, w, bias, size, groups, size[1] == kernel[1] * groups, kernel[1] * groups, kernel[0])
    if not room:
        raise RuntimeError(
            f"Calculated padded input size per channel: {_by(window.around(size[2:]))}. Kernel size: {_by(window.reach)}. "
            "Kernel size can't be greater than actual input size"
        )
    made: Tensor = c.convolve(x if batched else s.unsqueeze(x, shape=size), w, window=window, groups=groups)
    return _finished(made, bias, kernel[0], batched)


def _transposed(
    name: str,
    n: int,
    x: Any,
    w: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: Any,
    dilation: Any,
) -> Tensor:
    batched, size, kernel = _shapes(name, n, x, w)
    steps, spread = sizes(name, "stride", stride, n), sizes(name, "dilation", dilation, n)
    margin = sizes(name, "padding", padding, n)
    extra = sizes(name, "output_padding", output_padding, n)
    window = Window(kernel[2:], steps, spread, tuple((each, each) for each in margin))
    groups = index(groups)
    _check_window(window, groups)
    _check_kernels(name, x, w, bias, size, groups, size[1] == kernel[0], kernel[0], kernel[1] * groups)
    for e_, s_, d_ in zip(extra, steps, spread, strict=True):
        if not 0 <= e_ < max(s_, d_):
            raise RuntimeError(
                f"output padding must be smaller than either stride or dilation, but got output_padding: {extra} "
                f"stride: {steps} dilation: {spread}"
            )
    out = tuple(
        (m - 1) * s_ - 2 * p + r + e_ for m, s_, p, r, e_ in zip(size[2:], steps, margin, window.reach, extra, strict=True)
    )
    if min(out) < 1:
        raise RuntimeError(
            f"Given input size per channel: {_by(size[2:])}. Calculated output size per channel: {_by(out)}. "
            "Output size is too small"
        )
    x = x if batched else s.unsqueeze(x, shape=size)
    more = tuple(e_ // s_ for e_, s_ in zip(extra, steps, strict=True))
    if any(more):  # zeros at the end make room for the output padding that is wider than a stride
        longer = (*size[:2], *(m + a for m, a in zip(size[2:], more, strict=True)))
        x = pad(x, index=tuple(map(slice, size)), shape=longer, value=0)
    made: Tensor = c.convolve_transposed(x, w, window=window, groups=groups, size=out)
    return _finished(made, bias, kernel[1] * groups, batched)


def _finished(out: Any, bias: Any, channels: int, batched: bool) -> Tensor:
    if bias is not None:
        out = _with_bias(out, s.reshape(bias, shape=(channels, *(1,) * (out._array.ndim - 2))))
    return out if batched else s.squeeze_one(out, shape=out._array.shape[1:])  # type: ignore[no-any-return]


def _shapes(name: str, n: int, x: Any, w: Any) -> tuple[bool, Sizes, Sizes]:
    """Whether there is a batch, and the sizes of input (with one) and kernels."""
    need_tensor(x, name)
    need_tensor(w, name, "weight")
    shape, kernel = tuple(x._array.shape), tuple(w._array.shape)
    if len(shape) not in (n + 1, n + 2):
        raise RuntimeError(
            f"Expected {n + 1}D (unbatched) or {n + 2}D (batched) input to {name}, but got input of size: {list(shape)}"
        )
    if len(kernel) != n + 2:
        raise RuntimeError(f"Expected {n + 2}D weight for {name}, but got weight of size: {list(kernel)}")
    batched = len(shape) == n + 2
    return batched, shape if batched else (1, *shape), kernel


def sizes(name: str, argument: str, value: Any, n: int) -> Sizes:
    """`value`, an integer or a sequence of one or `n` of them, for each of `n` dimensions."""
    if type(value) is int:
        return (value,) * n
    try:
        given = [index(each) for each in value] if isinstance(value, (tuple, list)) else [index(value)]
    except TypeError:
        raise TypeError(f"{name}(): argument '{argument}' must be an int or a tuple of {n} ints, not {value!r}") from None
    if len(given) not in (1, n):
        raise RuntimeError(
            f"expected {argument} to be a single integer value or a list of {n} values to match the "
            "convolution "
            f"dimensions, but got {argument}={given}"
        )
    return tuple(given * n if len(given) == 1 else given)


@lru_cache(1024)
def _window(
    name: str, kernel: Sizes, stride: Sizes, dilation: Sizes, padding: Sizes | str, groups: int, size: Sizes
) -> tuple[Window, bool]:
    """The windows these arguments describe, and whether they find room in `size`. Raises torch's RuntimeErrors."""
    window = Window(kernel, stride, dilation, _padding(name, padding, kernel, stride, dilation))
    _check_window(window, groups)
    return window, all(m >= r for m, r in zip(window.around(size), window.reach, strict=True))


def _padding(
    name: str, padding: Sizes | str, kernel: Sizes, stride: Sizes, dilation: Sizes
) -> tuple[tuple[int, int], ...]:
    if isinstance(padding, str):
        if padding == "valid":
            return ((0, 0),) * len(kernel)
        if padding != "same":
            raise RuntimeError(f"Invalid padding string: '{padding}' ({name} takes 'same', 'valid' or numbers)")
        if any(each != 1 for each in stride):
            raise RuntimeError(f"padding='same' is not supported for strided convolutions ({name} got {stride=})")
        whole = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return tuple((each // 2, each - each // 2) for each in whole)  # one more at the end, as in torch
    return tuple((each, each) for each in padding)


def _check_window(window: Window, groups: int) -> None:
    """Raise torch's RuntimeError for numbers that make no windows."""
    if groups <= 0:
        raise RuntimeError("non-positive groups is not supported")
    if min(min(each) for each in window.padding) < 0:
        raise RuntimeError("negative padding is not supported")
    if min(window.stride) <= 0:
        raise RuntimeError("non-positive stride is not supported")
    if min(window.dilation) <= 0:
        raise RuntimeError(f"dilation should be greater than zero, but got {list(window.dilation)}")


def _check_kernels(
    name: str, x: Any, w: Any, bias: Any, size: Sizes, groups: int, fits: bool, wanted: int, channels: int
) -> None:
    """Raise torch's RuntimeError for kernels that do not fit the input, nor the bias the result's `channels`."""
    kernel = list(w._array.shape)
    if kernel[0] < groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be at least {groups} at dimension 0, but got weight "
            "of size "
            f"{kernel} instead"
        )
    if kernel[0] % groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, but got "
            "weight of "
            f"size [{kernel}] instead"
        )
    if not fits:
        raise RuntimeError(
            f"Given groups={groups}, weight of size {kernel}, expected input{list(size)} to have {wanted} channels, "
            f"but got {size[1]} channels instead"
        )
    if bias is not None:
        need_tensor(bias, name, "bias")
        if tuple(bias._array.shape) != (channels,):
            raise RuntimeError(
                f"Given weight of size {kernel}, expected bias to be 1-dimensional with {channels} elements, "
                f"but got bias of size {list(bias._array.shape)} instead"
            )
    for other, role in ((w, "weight"), (bias, "bias")):
        if other is not None and other._array.dtype != x._array.dtype:
            raise RuntimeError(
                f"Input type ({dtypes.of(x._array.dtype)._title.lower()}) and {role} type "
                f"({dtypes.of(other._array.dtype)._title.lower()}) should be the same ({name})"
            )
    if x._array.dtype.kind == "b":
        raise NotImplementedError(f"\"slow_conv{len(size) - 2}d_cpu\" not implemented for 'Bool'")


def _by(lengths: Any) -> str:
    return f"({' x '.join(map(str, lengths))})"


for _name in ("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"):
    functions[""][_name] = functions["nn.functional"][_name]
