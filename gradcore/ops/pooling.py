"""Pooling as torch.nn.functional spells it. It must not know any derivative."""

from __future__ import annotations

from functools import lru_cache
from math import isinf, prod
from operator import index
from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.ops.arguments import axis, need_tensor
from gradcore.ops.pointwise import abs as absolute
from gradcore.ops.registry import functions, op
from gradcore.ops.selection import sign
from gradcore.primitives import pooling as p
from gradcore.primitives import shape as s
from gradcore.primitives.activations import relu
from gradcore.primitives.windows import Sizes, Window
from gradcore.recorder import renamed

if TYPE_CHECKING:
    from gradcore.tensor import Tensor

_max_pool = {n: renamed(p.max_pool, f"MaxPool{n}DWithIndices") for n in (2, 3)}
_avg_pool = {n: renamed(p.avg_pool, f"AvgPool{n}D") for n in (2, 3)}
_WORDS = {1: "one int", 2: "two ints", 3: "three ints"}


# -- maxima --------------------------------------------------------------------------------------------------


@op(namespace="nn.functional", method=False)
def max_pool1d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Return the maximum of each window of (N, C, L) or (C, L), with `return_indices` where in L it stands.

    Of equal maxima the first gets the gradient.
    """
    found = max_pool1d_with_indices(input, kernel_size, stride, padding, dilation, ceil_mode)
    return found if return_indices else found[0]


@op(namespace="nn.functional", method=False)
def max_pool1d_with_indices(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = True,
) -> tuple[Tensor, Tensor]:
    """Return the maximum of each window of (N, C, L) or (C, L), and where in L it stands."""
    window = _window("max_pool1d", input, 1, kernel_size, stride, padding, dilation, ceil_mode)
    values, indices = _max_pool[2](raised(input), window=_raised(window))
    return lowered(values), lowered(indices)


@op(namespace="nn.functional", method=False)
def max_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Return the maximum of each window of (N, C, H, W) or (C, H, W), with `return_indices` where in H * W
    it stands.

    Of equal maxima the first gets the gradient.
    """
    found = max_pool2d_with_indices(input, kernel_size, stride, padding, dilation, ceil_mode)
    return found if return_indices else found[0]


@op(namespace="nn.functional", method=False)
def max_pool2d_with_indices(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = True,
) -> tuple[Tensor, Tensor]:
    """Return the maximum of each window of (N, C, H, W) or (C, H, W), and where in H * W it stands."""
    window = _window("max_pool2d", input, 2, kernel_size, stride, padding, dilation, ceil_mode)
    return _max_pool[2](input, window=window)  # type: ignore[no-any-return]


@op(namespace="nn.functional", method=False)
def max_pool3d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Return the maximum of each window of (N, C, D, H, W) or (C, D, H, W), with `return_indices` where in
    D * H * W it stands.

    Of equal maxima the first gets the gradient.
    """
    found = max_pool3d_with_indices(input, kernel_size, stride, padding, dilation, ceil_mode)
    return found if return_indices else found[0]


@op(namespace="nn.functional", method=False)
def max_pool3d_with_indices(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = True,
) -> tuple[Tensor, Tensor]:
    """Return the maximum of each window of (N, C, D, H, W) or (C, D, H, W), and where in D * H * W it stands."""
    window = _window("max_pool3d", input, 3, kernel_size, stride, padding, dilation, ceil_mode)
    return _max_pool[3](input, window=window)  # type: ignore[no-any-return]


# -- averages ------------------------------------------------------------------------------------------------


@op(namespace="nn.functional", method=False)
def avg_pool1d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """Average each window of (N, C, L) or (C, L) over its cells."""
    window = _window("avg_pool1d", input, 1, kernel_size, stride, padding, 1, ceil_mode)
    made = _avg_pool[2](raised(input), window=_raised(window), counted=bool(count_include_pad), divisor=None)
    return lowered(made)  # type: ignore[no-any-return]


@op(namespace="nn.functional", method=False, out=True)
def avg_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Average each window of (N, C, H, W) or (C, H, W), over its cells or by `divisor_override`."""
    return _averaged("avg_pool2d", 2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


@op(namespace="nn.functional", method=False, out=True)
def avg_pool3d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Average each window of (N, C, D, H, W) or (C, D, H, W), over its cells or by `divisor_override`."""
    return _averaged("avg_pool3d", 3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def _averaged(
    name: str, n: int, x: Any, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool, counted: Any, divisor: Any
) -> Tensor:
    window = _window(name, x, n, kernel_size, stride, padding, 1, ceil_mode)
    if divisor == 0:
        raise RuntimeError("divisor must be not zero")
    return _avg_pool[n](x, window=window, counted=bool(counted), divisor=divisor)  # type: ignore[no-any-return]


@op(namespace="nn.functional", method=False)
def lp_pool1d(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """Return (sum x**p)**(1/p) of each window of (N, C, L) or (C, L); 0 where the sum is not above 0."""
    return _power_mean(avg_pool1d, max_pool1d, 1, input, norm_type, kernel_size, stride, ceil_mode)


@op(namespace="nn.functional", method=False)
def lp_pool2d(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """Return (sum x**p)**(1/p) of each window of (N, C, H, W) or (C, H, W); 0 where the sum is not above 0."""
    return _power_mean(avg_pool2d, max_pool2d, 2, input, norm_type, kernel_size, stride, ceil_mode)


@op(namespace="nn.functional", method=False)
def lp_pool3d(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """Return (sum x**p)**(1/p) of each window of (N, C, D, H, W) or (C, D, H, W); 0 where the sum is not above 0."""
    return _power_mean(avg_pool3d, max_pool3d, 3, input, norm_type, kernel_size, stride, ceil_mode)


def _power_mean(
    average: Any, largest: Any, n: int, x: Any, p: float, kernel_size: Any, stride: Any, ceil_mode: bool
) -> Tensor:
    need_tensor(x, f"lp_pool{n}d")
    if isinf(p):
        values = absolute(x) if p > 0 else -absolute(x)
        found = largest(values, kernel_size, stride, 0, 1, ceil_mode)
        return found if p > 0 else -found  # type: ignore[no-any-return]
    mean = average(x**p, kernel_size, stride, 0, ceil_mode)
    cells = prod(_sizes(f"lp_pool{n}d", "kernel_size", kernel_size, n))
    return (sign(mean) * relu(absolute(mean)) * cells) ** (1.0 / p)  # type: ignore[no-any-return]


for _name in ("max_pool1d", "max_pool1d_with_indices", "max_pool2d", "max_pool3d", "avg_pool1d"):
    functions[""][_name] = functions["nn.functional"][_name]


# -- arguments -----------------------------------------------------------------------------------------------


def raised(x: Any) -> Any:
    """`x` with an axis of length 1 before its last, as torch's functions of one dimension make it."""
    shape = x._array.shape
    return s.unsqueeze(x, shape=(*shape[:-1], 1, shape[-1]))


def lowered(x: Any) -> Any:
    """`x` without its last axis but one."""
    shape = x._array.shape
    return s.squeeze_one(x, shape=(*shape[:-2], shape[-1]))


def _raised(window: Window) -> Window:
    return Window((1, *window.kernel), (1, *window.stride), (1, *window.dilation), ((0, 0), *window.padding))


def _window(
    name: str, x: Any, n: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> Window:
    """The windows these arguments describe; raises torch's RuntimeError for those that do not fit `x`."""
    need_tensor(x, name)
    shape = tuple(x._array.shape)
    if name == "avg_pool2d" and len(shape) < n + 1:
        axis(-n - 1, len(shape))
    if len(shape) not in (n + 1, n + 2):
        raise RuntimeError(
            f"non-empty {n + 1}D or {n + 2}D (batch mode) tensor expected for input, but {name} got {list(shape)}"
        )
    if 0 in shape[len(shape) - n - 1 :]:
        raise RuntimeError(
            f"Expected {n + 1}D or {n + 2}D (batch mode) tensor with optional 0 dim batch size for input, "
            "but got:"
            f"{list(shape)} ({name})"
        )
    if x._array.dtype.kind in "bc":
        raise NotImplementedError(f"\"{name}\" not implemented for '{dtypes.of(x._array.dtype)._title}'")
    kernel = _sizes(name, "kernel_size", kernel_size, n)
    default = stride is None or (type(stride) is not int and stride in ([], ()))
    steps = kernel if default else _sizes(name, "stride", stride, n)
    margin = _sizes(name, "padding", padding, n)
    spread = _sizes(name, "dilation", dilation, n)
    return _fitted(name, shape, kernel, steps, margin, spread, bool(ceil_mode))


@lru_cache(1024)
def _fitted(
    name: str, shape: Sizes, kernel: Sizes, steps: Sizes, margin: Sizes, spread: Sizes, ceil_mode: bool
) -> Window:
    n = len(kernel)
    if min(steps) <= 0:
        raise RuntimeError("stride should not be zero" if 0 in steps else "stride must be greater than zero")
    if min(spread) <= 0:
        raise RuntimeError(
            f"dilation should be greater than zero, but got {' '.join(map('dilation{}: {}'.format, 'DHW'[3 - n :], spread))}"
        )
    if min(kernel) <= 0:
        raise RuntimeError(f"kernel size should be greater than zero, but got {list(kernel)} ({name})")
    for k, m, d in zip(kernel, margin, spread, strict=True):
        if m < 0:
            raise RuntimeError(f"pad must be non-negative, but got pad: {m}")
        if m > (d * (k - 1) + 1) // 2:
            raise RuntimeError(
                f"pad should be at most half of effective kernel size, but got pad={m}, kernel_size={k} and dilation={d}"
            )
    size = shape[len(shape) - n :]
    ends = tuple(map(_end, size, kernel, steps, margin, spread)) if ceil_mode else margin
    window = Window(kernel, steps, spread, tuple(zip(margin, ends, strict=True)))
    out = window.out(size)
    if min(out) < 1:
        planes = [shape[-n - 1]]
        raise RuntimeError(
            f"Given input size: ({_by([*planes, *size])}). Calculated output size: "
            f"({_by([*planes, *(max(o, 0) for o in out)])}). "
            "Output size is too small"
        )
    return window


def _end(n: int, kernel: int, stride: int, margin: int, dilation: int) -> int:
    """The padding at the end with which the last window is not cut off, if it starts inside or in the first
    padding."""
    room = n + 2 * margin - dilation * (kernel - 1) - 1
    windows = -(-room // stride) + 1
    if (windows - 1) * stride >= n + margin:
        windows -= 1
    return max(margin, margin + (windows - 1) * stride - room)


def _sizes(name: str, argument: str, value: Any, n: int) -> Sizes:
    if type(value) is int:
        return (value,) * n
    given = [index(each) for each in value] if isinstance(value, (tuple, list)) else [index(value)]
    if len(given) not in (1, n):
        raise RuntimeError(f"{name}: {argument} must either be a single int, or a tuple of {_WORDS[n]}")
    return tuple(given * n if len(given) == 1 else given)


def _by(lengths: Any) -> str:
    return "x".join(map(str, lengths))
