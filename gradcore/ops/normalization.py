"""Normalisation and dropout as torch.nn.functional spells them. It must not know any derivative."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from operator import index
from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.graph import modes
from gradcore.ops.arguments import axis, need_tensor
from gradcore.ops.distributions import bernoulli_
from gradcore.ops.norms import norm_
from gradcore.ops.registry import functions, label, op
from gradcore.ops.selection import clamp_min
from gradcore.primitives import elementwise as e
from gradcore.primitives import normalization as n
from gradcore.primitives import shape as s
from gradcore.primitives.conversion import copy
from gradcore.recorder import wrap
from gradcore.recorder.inplace import inplace as in_place
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
    if not isinstance(normalized_shape, (tuple, list)):
        raise TypeError(
            "layer_norm(): argument 'normalized_shape' (position 2) must be tuple of ints, not "
            f"{type(normalized_shape).__name__}"
        )
    over, shape = tuple(index(each) for each in normalized_shape), tuple(input._array.shape)
    if not over:
        raise RuntimeError(
            "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element, "
            "but got "
            "normalized_shape = []"
        )
    for name, each in (("weight", weight), ("bias", bias)):
        if each is not None and tuple(each._array.shape) != over:
            raise RuntimeError(
                f"Expected {name} to be of same shape as normalized_shape, but got {name} of shape "
                f"{list(each._array.shape)} and normalized_shape = {list(over)}"
            )
    if shape[len(shape) - len(over) :] != over or len(over) > len(shape):
        raise RuntimeError(
            f"Given normalized_shape={list(over)}, expected input with shape [*, {str(list(over))[1:-1]}], "
            "but got input "
            f"of size{list(shape)}"
        )
    _check_dtypes("LayerNormKernelImpl", input, weight, bias)
    out = n.standardize(input, axis=tuple(range(len(shape) - len(over), len(shape))), eps=eps)[0]
    return _scaled(out, weight, bias, "NativeLayerNormBackward0")


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
    column = (1, channels, *(1,) * (len(shape) - 2))
    axes = (0, *range(2, len(shape)))
    if training:
        out, mean, variance = n.standardize(input, axis=axes, eps=eps)
        if running_mean is not None:
            _move(running_mean, mean, momentum)
            _move(running_var, e.multiply(variance, count / max(count - 1, 1)), momentum)
    else:
        mean, variance = (s.reshape(wrap(each._array), shape=column) for each in (running_mean, running_var))  # type: ignore[union-attr]
        out = (input - mean) * (variance + eps) ** -0.5
    weight, bias = (None if each is None else s.reshape(each, shape=column) for each in (weight, bias))
    return _scaled(out, weight, bias, "NativeBatchNormBackward0")


def _move(running: Any, towards: Tensor, momentum: float) -> None:
    with modes.no_grad():
        step = s.reshape(towards, shape=tuple(running._array.shape))
        write(running, (running * (1 - momentum) + step * momentum)._array, "batch_norm")


def _scaled(out: Any, weight: Any, bias: Any, node: str | None = None) -> Tensor:
    out = out if weight is None else e.multiply(out, weight)
    out = out if bias is None else e.add(out, bias)
    if node is not None:
        label(out, node)
    return out  # type: ignore[no-any-return]


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


# -- dropout -------------------------------------------------------------------------------------------------


@op(namespace="nn.functional", method=False)
def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Replace each element by 0 with probability `p` and divide the rest by 1 - p; nothing unless
    `training`."""
    need_tensor(input, "dropout")
    if p < 0.0 or p > 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not training or p == 0 or not input._array.size:
        return input
    return _dropout_(input, p) if inplace else _dropout(input, p)


def _dropout(input: Any, p: float) -> Tensor:
    with modes.no_grad():
        kept = bernoulli_(functions[""]["empty_like"](input), 1 - p)
        kept = kept.div_(1 - p) if p < 1 else kept
    return e.multiply(input, kept)  # type: ignore[no-any-return]


_dropout_ = in_place(_dropout, "dropout_")


def _torch_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """Return `nn.functional.dropout`, under the names its arguments have in torch itself."""
    return dropout(input, p, train)


functions[""].update(dropout=_torch_dropout, layer_norm=layer_norm)
