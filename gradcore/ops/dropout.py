"""Dropout as torch.nn.functional spells it. It must not know any derivative."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.backends import of
from gradcore.generator import source_for
from gradcore.ops.arguments import need_tensor, python_number
from gradcore.ops.distributions import chances
from gradcore.ops.filling import empty, zeros
from gradcore.ops.registry import functions, named, op
from gradcore.primitives import elementwise as e
from gradcore.primitives import shape as s
from gradcore.primitives.dropout import dropout as one_dropout
from gradcore.recorder.caller import warn
from gradcore.recorder.inplace import inplace as in_place
from gradcore.recorder.value import wrap

if TYPE_CHECKING:
    from gradcore.tensor import Tensor

# The value that `alpha_dropout` gives what it drops: that of selu far below 0, without its sign.
_ALPHA = 1.7580993408473766


def drawing(x: Any, name: str, *others: Any) -> Any:
    """What a device's kernels draw from; None on the host, whose numbers are torch's, and for arrays of transforms."""
    F = of(x._array)
    if F.device_type == "cpu" or any(hasattr(each._array, "beside") for each in (x, *others)):
        return None
    with F.on_device(F.device_of(x._array)[1]):
        return source_for(F, F.current_device(), None, name)


def _drop(x: Any, p: float, whole_channels: bool, saturated: bool) -> Tensor:
    """`x` with elements (or `whole_channels`) replaced by 0, and scaled, as torch draws and computes it.

    With `saturated` they are replaced by the smallest value of selu, and what comes out keeps mean and variance.
    """
    if p == 1:
        return e.multiply(x, zeros((), dtype=x.dtype, device=x.device))  # type: ignore[no-any-return]
    if not (whole_channels or saturated) and (source := drawing(x, "bernoulli_")) is not None:
        return one_dropout(x, p=p, source=source)[0]  # type: ignore[no-any-return]
    noise = x  # whose order in memory is that of the draws
    if whole_channels:
        shape = (*x._array.shape[:2], *(1,) * (x._array.ndim - 2))
        noise = empty(shape, dtype=x.dtype, device=x.device)
    elif hasattr(x._array, "beside"):  # an array of a transform, of which the numbers are made that it takes
        noise = functions[""]["empty_like"](x)
    kept = wrap(chances(noise, 1 - p, "bernoulli_"))
    if not saturated:
        return e.multiply(x, e.divide(kept, 1 - p))  # type: ignore[no-any-return]
    scale = 1 / sqrt((_ALPHA**2 * p + 1) * (1 - p))
    lift = (kept - 1) * (_ALPHA * scale) + _ALPHA * scale * p
    return e.add(e.multiply(x, kept * scale), lift)  # type: ignore[no-any-return]


_drop_ = in_place(_drop, "dropout_")


def _dropped(
    name: str, x: Any, p: float, training: bool, inplace: bool, whole_channels: bool = False, saturated: bool = False
) -> Tensor:
    need_tensor(x, name)
    p = p if type(p) is float else python_number(p, name, "p")
    if p < 0.0 or p > 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if whole_channels and x._array.ndim < 2 and training and 0 < p < 1:
        raise RuntimeError("Feature dropout requires at least 2 dimensions in the input")
    if not training or p == 0 or not x._array.size:
        return x  # type: ignore[no-any-return]
    if x._array.dtype.kind in "biu":
        raise RuntimeError(f"result type Float can't be cast to the desired output type {dtypes.of(x._array.dtype)._title}")
    return (_drop_ if inplace else _drop)(x, p, whole_channels, saturated)


@op(namespace="nn.functional", method=False)
def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Replace each element by 0 with probability `p` and divide the rest by 1 - p; nothing unless `training`."""
    return _dropped("dropout", input, p, training, inplace)


@op(namespace="nn.functional", method=False)
def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Replace elements by the smallest value of `selu` with probability `p`, keeping mean 0 and variance 1.

    Klambauer et al., "Self-Normalizing Neural Networks" (2017).
    """
    return _dropped("alpha_dropout", input, p, training, inplace, saturated=True)


@op(namespace="nn.functional", method=False)
def feature_alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Do to whole channels of (N, C, *) what `alpha_dropout` does to elements."""
    return _dropped("feature_alpha_dropout", input, p, training, inplace, True, True)


@op(namespace="nn.functional", method=False)
def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Replace whole channels of (N, C, L) or (C, L) by 0 with probability `p`, the rest divided by 1 - p."""
    need_tensor(input, "dropout1d")
    ndim = input._array.ndim
    if ndim not in (2, 3):
        raise RuntimeError(f"dropout1d: Expected 2D or 3D input, but received a {ndim}D input.")
    return _batched("dropout1d", input, p, training, inplace, 3)


@op(namespace="nn.functional", method=False)
def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Replace whole channels of (N, C, H, W) by 0 with probability `p`, the rest divided by 1 - p.

    As in torch, three dimensions are (N, C, L).
    """
    need_tensor(input, "dropout2d")
    ndim = input._array.ndim
    if ndim not in (3, 4):
        _warn_of("dropout2d", ndim, "3-D or 4-D", "2-D")
    if ndim == 3:
        warn(
            "dropout2d: Received a 3D input to dropout2d and assuming that channel-wise 1D dropout behavior is desired - "
            "input is interpreted as shape (N, C, L), where C is the channel dim; use dropout1d for that.",
        )
    return _dropped("dropout2d", input, p, training, inplace, True)


@op(namespace="nn.functional", method=False)
def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Replace whole channels of (N, C, D, H, W) or (C, D, H, W) by 0 with probability `p`, the rest divided by 1 - p."""
    need_tensor(input, "dropout3d")
    ndim = input._array.ndim
    if ndim not in (4, 5):
        _warn_of("dropout3d", ndim, "4-D or 5-D", "3-D")
    return _batched("dropout3d", input, p, training, inplace, 5)


def _batched(name: str, x: Any, p: float, training: bool, inplace: bool, ndim: int) -> Tensor:
    """The dropout of the channels of `x`, which has a batch if it is of `ndim` dimensions."""
    if x._array.ndim == ndim:
        return _dropped(name, x, p, training, inplace, True)
    shape = tuple(x._array.shape)
    out: Any = _dropped(name, s.unsqueeze(x, shape=(1, *shape)), p, training, inplace, True)
    return s.squeeze_one(out, shape=shape)  # type: ignore[no-any-return]


def _warn_of(name: str, ndim: int, wanted: str, spatial: str) -> None:
    warn(
        f"{name}: Received a {ndim}-D input to {name}, which is deprecated and will result in an error in a future "
        f"release. To retain the behavior and silence this warning, please use dropout instead. Note that {name} exists to "
        f"provide channel-wise dropout on inputs with {spatial} spatial dimensions: {wanted} ones.",
    )


def _with_train(function: Any) -> None:
    """Publish `function` as torch itself has it: (input, p, train)."""

    def called(input: Tensor, p: float, train: bool) -> Tensor:
        return function(input, p, train)  # type: ignore[no-any-return]

    named(called, function.__name__).__doc__ = function.__doc__


def feature_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """Replace whole channels of (N, C, *) by 0 with probability `p`, the rest divided by 1 - p, if `train`."""
    return _dropped("feature_dropout", input, p, train, False, True)


for _function in (dropout, alpha_dropout, feature_alpha_dropout):
    _with_train(_function)
functions[""]["feature_dropout"] = feature_dropout
