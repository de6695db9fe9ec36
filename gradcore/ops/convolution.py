"""Convolutions as torch.nn.functional spells them. It must not know any derivative."""

from __future__ import annotations

from operator import index
from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.ops.arguments import need_tensor
from gradcore.ops.registry import functions, op
from gradcore.primitives import convolution as c
from gradcore.primitives import elementwise as e
from gradcore.primitives import shape as s
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


def _convolution(
    name: str, n: int, x: Any, w: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: Any
) -> Tensor:
    need_tensor(x, name)
    need_tensor(w, name, "weight")
    shape = tuple(x._array.shape)
    if len(shape) not in (n + 1, n + 2):
        raise RuntimeError(
            f"Expected {n + 1}D (unbatched) or {n + 2}D (batched) input to {name}, but got input of size: {list(shape)}"
        )
    batched = len(shape) == n + 2
    size = shape if batched else (1, *shape)
    kernel = tuple(w._array.shape)
    if len(kernel) != n + 2:
        raise RuntimeError(f"Expected {n + 2}D weight for {name}, but got weight of size: {list(kernel)}")
    window = Window(
        kernel[2:],
        steps := sizes(name, "stride", stride, n),
        spread := sizes(name, "dilation", dilation, n),
        _padding(name, padding, n, kernel[2:], steps, spread),
    )
    groups = index(groups)
    _check(name, x, w, bias, size, window, groups)
    out: Tensor = c.convolve(x if batched else s.reshape(x, shape=size), w, window=window, groups=groups)
    if bias is not None:
        out = _with_bias(out, s.reshape(bias, shape=(kernel[0], *(1,) * n)))
    return out if batched else s.squeeze_one(out, shape=out._array.shape[1:])


def sizes(name: str, argument: str, value: Any, n: int) -> Sizes:
    """`value`, an integer or a sequence of one or `n` of them, for each of `n` dimensions."""
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


def _padding(name: str, padding: Any, n: int, kernel: Sizes, stride: Sizes, dilation: Sizes) -> tuple[tuple[int, int], ...]:
    if isinstance(padding, str):
        if padding == "valid":
            return ((0, 0),) * n
        if padding != "same":
            raise RuntimeError(f"Invalid padding string: '{padding}' ({name} takes 'same', 'valid' or numbers)")
        if any(each != 1 for each in stride):
            raise RuntimeError(f"padding='same' is not supported for strided convolutions ({name} got {stride=})")
        whole = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return tuple((each // 2, each - each // 2) for each in whole)  # one more at the end, as in torch
    return tuple((each, each) for each in sizes(name, "padding", padding, n))


def _check(name: str, x: Any, w: Any, bias: Any, size: Sizes, window: Window, groups: int) -> None:
    """Raise torch's RuntimeError for what does not convolve."""
    kernel = list(w._array.shape)
    if groups <= 0:
        raise RuntimeError("non-positive groups is not supported")
    if min(min(each) for each in window.padding) < 0:
        raise RuntimeError("negative padding is not supported")
    if min(window.stride) <= 0:
        raise RuntimeError("non-positive stride is not supported")
    if min(window.dilation) <= 0:
        raise RuntimeError(f"dilation should be greater than zero, but got {list(window.dilation)}")
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
    if size[1] != kernel[1] * groups:
        raise RuntimeError(
            f"Given groups={groups}, weight of size {kernel}, expected input{list(size)} to have "
            f"{kernel[1] * groups} "
            f"channels, but got {size[1]} channels instead"
        )
    if bias is not None:
        need_tensor(bias, name, "bias")
        if tuple(bias._array.shape) != (kernel[0],):
            raise RuntimeError(
                f"Given weight of size {kernel}, expected bias to be 1-dimensional with {kernel[0]} "
                "elements, but got "
                f"bias of size {list(bias._array.shape)} instead"
            )
    around = [n + sum(p) for n, p in zip(size[2:], window.padding, strict=True)]
    if any(k < r for k, r in zip(around, window.reach, strict=True)):
        raise RuntimeError(
            f"Calculated padded input size per channel: {_by(around)}. Kernel size: {_by(window.reach)}. "
            "Kernel size can't be greater than actual input size"
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


functions[""].update(conv1d=conv1d, conv2d=conv2d, conv3d=conv3d)
