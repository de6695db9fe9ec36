"""Normalisation as torch.nn.functional spells it. It must not know any derivative."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from operator import index
from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.graph import modes
from gradcore.ops.arguments import axis, converted, need_tensor
from gradcore.ops.norms import norm_
from gradcore.ops.reductions import mean
from gradcore.ops.registry import functions, label, op
from gradcore.ops.selection import clamp_min
from gradcore.ops.shaping import tile
from gradcore.primitives import elementwise as e
from gradcore.primitives import normalization as n
from gradcore.primitives import shape as s
from gradcore.primitives.conversion import copy
from gradcore.primitives.pooling import avg_pool
from gradcore.primitives.windows import Window
from gradcore.recorder import renamed, wrap
from gradcore.recorder.inplace import write

if TYPE_CHECKING:
    from gradcore.tensor import Tensor


@op(namespace="nn.functional", method=False)
def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Tensor:
    """Normalise over the last dimensions, which must have `normalized_shape`, then scale by `weight` and add
    `bias`."""
    need_tensor(input, "layer_norm")
    over, shape = _normalized_shape("layer_norm", input, normalized_shape, (("weight", weight), ("bias", bias)))
    _check_dtypes("LayerNormKernelImpl", input, weight, bias)
    axes = tuple(range(len(shape) - len(over), len(shape)))
    if _one_dtype(input, weight, bias):
        return n.normalize(input, weight, bias, axis=axes, eps=eps, channel=axes[0])[0]  # type: ignore[no-any-return]
    if _beside_wider(input, weight, bias):
        wide, weight, bias = _wide(input, weight, bias)
        return _narrowed(layer_norm(wide, over, weight, bias, eps), input)
    return _scaled(n.standardize(input, axis=axes, eps=eps)[0], weight, bias, "NativeLayerNormBackward0")


def _normalized_shape(
    op: str, input: Any, normalized_shape: Any, parameters: Sequence[tuple[str, Any]]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The shape to normalise over and the input's. Raises torch's errors for shapes that do not fit."""
    if not isinstance(normalized_shape, (tuple, list)):
        raise TypeError(
            f"{op}(): argument 'normalized_shape' (position 2) must be tuple of ints, not {type(normalized_shape).__name__}"
        )
    over, shape = tuple(index(each) for each in normalized_shape), tuple(input._array.shape)
    if not over:
        raise RuntimeError(
            "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element, but got "
            "normalized_shape = []"
        )
    for name, each in parameters:
        if each is not None and tuple(each._array.shape) != over:
            raise RuntimeError(
                f"Expected {name} to be of same shape as normalized_shape, but got {name} of shape "
                f"{list(each._array.shape)} and normalized_shape = {list(over)}"
            )
    if shape[len(shape) - len(over) :] != over or len(over) > len(shape):
        raise RuntimeError(
            f"Given normalized_shape={list(over)}, expected input with shape [*, {str(list(over))[1:-1]}], but got input "
            f"of size{list(shape)}"
        )
    return over, shape


@op(namespace="nn.functional", method=False)
def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise each channel of (N, C, *): by its own mean and variance if `training`, else by the running
    ones.

    Training moves the running ones, in place, by `momentum` towards the batch's mean and unbiased variance.
    """
    need_tensor(input, "batch_norm")
    shape = tuple(input._array.shape)
    if training and len(shape) > 1 and shape[0] * prod(shape[2:]) == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size torch.Size({list(shape)})")
    if eps < 0 or (training and eps == 0):
        wanted = "positive during training" if training else "non-negative"
        raise ValueError(f"batch_norm eps must be {wanted}, but got {eps}")
    if not input._array.size:
        first = [None if each is None else each[0] for each in (weight, bias)]
        return _scaled(copy(input), first[0], first[1])
    channels = shape[axis(1, len(shape))]
    count = prod(shape) // channels
    if (running_mean is None) != (running_var is None):
        raise ValueError("running_mean and running_var must either both be None or neither be None")
    if running_mean is None and not training:
        raise RuntimeError("running_mean must be defined in evaluation mode")
    named = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    for name, each in named.items():
        if each is not None and each._array.size != channels:
            raise RuntimeError(f"{name} should contain {channels} elements not {each._array.size}")
    _check_dtypes("batch_norm", input, weight, bias)
    if _beside_wider(input, *named.values()):
        wide, weight, bias = _wide(input, weight, bias)
        return _narrowed(batch_norm(wide, running_mean, running_var, weight, bias, training, momentum, eps), input)
    column = (1, channels, *(1,) * (len(shape) - 2))
    axes = (0, *range(2, len(shape)))
    fused = training and _one_dtype(input, weight, bias) and input._array.itemsize > 2
    if training:
        if fused:
            out, _, mean, variance = n.normalize(input, weight, bias, axis=axes, eps=eps, channel=1)
        else:
            out, mean, variance = n.standardize(input, axis=axes, eps=eps)
        if running_mean is not None:
            _move(running_mean, mean, momentum)
            _move(running_var, e.multiply(variance, count / max(count - 1, 1)), momentum)
    else:
        mean, variance = (s.reshape(wrap(each._array), shape=column) for each in (running_mean, running_var))  # type: ignore[union-attr]
        out = (input - mean) * (variance + eps) ** -0.5
    if fused:
        label(out, "NativeBatchNormBackward0")
        return out  # type: ignore[no-any-return]
    weight, bias = _columns(weight, bias, channels, len(shape))
    return _scaled(out, weight, bias, "NativeBatchNormBackward0")


def _move(running: Any, towards: Tensor, momentum: float) -> None:
    with modes.no_grad():
        step = s.reshape(towards, shape=tuple(running._array.shape))
        write(running, (running * (1 - momentum) + step * momentum)._array, "batch_norm")


@op(namespace="nn.functional", method=False)
def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise each channel of each sample of (N, C, *): by its own mean and variance, or by the running ones.

    With `use_input_stats` the running ones move, in place, by `momentum` towards the batch's averages.
    """
    need_tensor(input, "instance_norm")
    shape = tuple(input._array.shape)
    if use_input_stats and prod(shape[2:]) == 1:
        raise ValueError(f"Expected more than 1 spatial element when training, got input size torch.Size({list(shape)})")
    if not use_input_stats and (running_mean is None or running_var is None):
        raise RuntimeError("Expected running_mean and running_var to be defined when use_input_stats is false")
    if len(shape) < 2:
        raise IndexError(f"Dimension out of range (instance_norm needs (N, C, *), but got {list(shape)})")
    count, channels = shape[:2]
    for name, each in (("weight", weight), ("bias", bias), ("running_mean", running_mean), ("running_var", running_var)):
        if each is not None and each._array.size != channels:
            raise RuntimeError(f"{name} should contain {count * channels} elements not {count * each._array.size}")
    weights, biases = (None if each is None else tile(each, (count,)) for each in (weight, bias))
    with modes.no_grad():
        means, variances = (None if each is None else tile(each, (count,)) for each in (running_mean, running_var))
    rows = s.reshape(input, shape=(1, count * channels, *shape[2:]))
    out = batch_norm(rows, means, variances, weights, biases, bool(use_input_stats), momentum, eps)
    if use_input_stats:
        with modes.no_grad():
            for each, moved in ((running_mean, means), (running_var, variances)):
                if each is not None:
                    write(each, mean(s.reshape(moved, shape=(count, channels)), 0)._array, "instance_norm")
    return s.reshape(out, shape=shape)  # type: ignore[no-any-return]


_joined = renamed(s.reshape, "NativeGroupNorm", view=False)


@op(namespace="nn.functional", method=False)
def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """Normalise `num_groups` equal groups of the channels of (N, C, *), then scale and shift each channel."""
    need_tensor(input, "group_norm")
    shape, groups = tuple(input._array.shape), index(num_groups)
    if len(shape) < 2:
        raise RuntimeError(f"Expected at least 2 dimensions for input tensor but received {len(shape)}")
    if groups <= 0:
        raise RuntimeError(f"Expected num groups to be greater than 0, got {groups}")
    if shape[0] * shape[1] // groups * prod(shape[2:]) == 1:
        raise ValueError(
            "Expected more than 1 value per channel when training, got input size "
            f"{[shape[0] * shape[1] // groups, groups, *shape[2:]]}"
        )
    if shape[1] % groups:
        raise RuntimeError(
            "Expected number of channels in input to be divisible by num_groups, but got input of shape "
            f"{list(shape)} and num_groups={groups}"
        )
    for name, each in (("weight", weight), ("bias", bias)):
        if each is not None and tuple(each._array.shape) != (shape[1],):
            raise RuntimeError(
                f"Expected {name} to be a vector of size equal to the number of channels in input, but got {name} of "
                f"shape {list(each._array.shape)} and input of shape {list(shape)}"
            )
    _check_dtypes("GroupNormKernelImpl", input, weight, bias)
    if _one_dtype(input, weight, bias) and input._array.itemsize > 2:
        grouped = groups, shape[1] // groups
        rows = s.reshape(input, shape=(shape[0], *grouped, prod(shape[2:])))
        scale, shift = (s.reshape(each, shape=grouped) for each in (weight, bias))
        return _joined(n.normalize(rows, scale, shift, axis=(2, 3), eps=eps, channel=1)[0], shape=shape)  # type: ignore[no-any-return]
    if _beside_wider(input, weight, bias):
        wide, weight, bias = _wide(input, weight, bias)
        return _narrowed(group_norm(wide, groups, weight, bias, eps), input)
    rows = s.reshape(input, shape=(shape[0], groups, prod(shape[1:]) // groups))
    out = s.reshape(n.standardize(rows, axis=(2,), eps=eps)[0], shape=shape)
    weight, bias = _columns(weight, bias, shape[1], len(shape))
    return _scaled(out, weight, bias, "NativeGroupNormBackward0")


@op(namespace="nn.functional", method=False)
def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """Divide by the root of the mean square over the last dimensions, of `normalized_shape`, then scale by `weight`.

    Zhang and Sennrich, "Root Mean Square Layer Normalization" (2019). `eps` is added to the mean square; the dtype's by
    default.
    """
    need_tensor(input, "rms_norm")
    over, shape = _normalized_shape("rms_norm", input, normalized_shape, (("weight", weight),))
    dtype = input._array.dtype
    if dtype.kind in "biu":
        raise NotImplementedError(f"\"rms_norm\" not implemented for '{dtypes.of(dtype)._title}'")
    wide: Any = converted(input, dtypes.float32 if dtype.itemsize == 2 else None, "rms_norm")
    if eps is None:
        eps = dtypes.finfo(dtypes.of(wide._array.dtype)).eps
    axes = tuple(range(len(shape) - len(over), len(shape)))
    if dtype.kind == "c":
        out = e.multiply(wide, e.rsqrt(e.add(mean(e.multiply(wide, wide), axes, True), eps)))
    else:
        out = n.standardize(wide, axis=axes, eps=eps, centred=False)[0]
        out = _writable(out) if weight is None and wide is input else out
        label(out, "MulBackward0")
    out = out if weight is None else e.multiply(out, weight)
    return converted(out, dtypes.of(dtype) if dtype.itemsize == 2 else None, "rms_norm")  # type: ignore[no-any-return]


@op(namespace="nn.functional", method=False)
def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """Divide (N, C, *) by (k + alpha * mean of the squares of `size` neighbouring channels)**beta.

    Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional Neural Networks" (2012).
    """
    need_tensor(input, "local_response_norm")
    shape = tuple(input._array.shape)
    if len(shape) < 3:
        raise ValueError(f"Expected 3D or higher dimensionality input (got {len(shape)} dimensions)")
    if not input._array.size:
        return input
    window = Window((size, 1), (1, 1), (1, 1), ((size // 2, (size - 1) // 2), (0, 0)))
    squares = s.reshape(e.multiply(input, input), shape=(*shape[:2], prod(shape[2:])))
    around = s.reshape(avg_pool(squares, window=window, counted=True, divisor=None), shape=shape)
    return input / (around * alpha + k) ** beta  # type: ignore[no-any-return]


def _columns(weight: Any, bias: Any, channels: int, ndim: int) -> tuple[Any, Any]:
    """The two, where there are any, in the shape that broadcasts over (N, C, *)."""
    column = (1, channels, *(1,) * (ndim - 2))
    weight, bias = (None if each is None else s.reshape(each, shape=column) for each in (weight, bias))
    return weight, bias


def _scaled(out: Any, weight: Any, bias: Any, node: str | None = None) -> Tensor:
    if weight is not None and bias is not None:
        out = n.affine(out, weight, bias)
    else:
        out = _writable(out) if weight is None is bias else out
        out = out if weight is None else e.multiply(out, weight)
        out = out if bias is None else e.add(out, bias)
    if node is not None:
        label(out, node)
    return out  # type: ignore[no-any-return]


def _writable(out: Any) -> Any:
    """`out`, or a copy where the backward pass needs it as it is: torch keeps the input instead."""
    return out if out._node is None else copy(out)


def _one_dtype(x: Any, weight: Any, bias: Any) -> bool:
    """Whether there is something to normalise and both parameters, all of one dtype."""
    if weight is None or bias is None or not x._array.size:
        return False
    return bool(weight._array.dtype == bias._array.dtype == x._array.dtype)


def _beside_wider(x: Any, *parameters: Any) -> bool:
    """Whether 16-bit numbers meet parameters that have more: all is computed with those then."""
    return x._array.itemsize == 2 and any(each is not None and each._array.itemsize > 2 for each in parameters)


def _wide(*xs: Any) -> tuple[Any, ...]:
    return tuple(x if x is None else converted(x, dtypes.float32, "norm") for x in xs)


def _narrowed(out: Any, like: Any) -> Tensor:
    """`out` in the dtype of `like`, by a node of the same name."""
    result = converted(out, like.dtype, "norm")
    if out._node is not None:
        label(result, out.grad_fn.name())
    return result  # type: ignore[no-any-return]


def _check_dtypes(name: str, x: Any, *parameters: Any) -> None:
    dtype = x._array.dtype
    title = dtypes.of(dtype)._title
    if dtype.kind in "biuc":
        raise NotImplementedError(f"\"{name}\" not implemented for '{title}'")
    wanted = {dtype, dtypes.float32.numpy} if dtype.itemsize == 2 else {dtype}
    for each in parameters:
        if each is not None and each._array.dtype not in wanted:
            raise RuntimeError(
                f"mixed dtype (CPU): expect parameter to have scalar type of {title}, got "
                f"{dtypes.of(each._array.dtype)._title} ({name})"
            )


@op(namespace="nn.functional", method=False, out=True)
def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """Divide by the `p`-norm over `dim`, or by `eps` where that is larger."""
    need_tensor(input, "normalize")
    size = clamp_min(norm_(input, p, dim, keepdim=True), eps)
    return input / s.expand(size, shape=input._array.shape)  # type: ignore[no-any-return]


for _name in ("layer_norm", "group_norm", "rms_norm"):
    functions[""][_name] = functions["nn.functional"][_name]
