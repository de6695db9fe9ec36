"""The rarer nonlinearities of torch.nn.functional: gates, shrinks, thresholds. It must not know any derivative."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from gradcore import dtypes
from gradcore.backends import of
from gradcore.graph import modes
from gradcore.ops.arguments import axis, need_tensor
from gradcore.ops.numbers import number_of
from gradcore.ops.registry import functions, label, op
from gradcore.primitives import activations as a
from gradcore.primitives import comparison as c
from gradcore.primitives import elementwise as e
from gradcore.primitives import selection as s
from gradcore.primitives import shape as sh
from gradcore.primitives import transcendental as t
from gradcore.primitives.indexing import basic_getitem
from gradcore.recorder import renamed, wrap
from gradcore.recorder.inplace import inplace as in_place

if TYPE_CHECKING:
    from gradcore.tensor import Tensor


def _labelled(function: Callable[..., Any], node: str) -> Callable[..., Any]:
    def labelled(input: Any, *args: Any) -> Any:
        out = function(input, *args)
        label(out, node, (input,))
        return out

    return labelled


def _need_floating(input: Any, name: str, kinds: str = "biuc") -> None:
    need_tensor(input, name)
    if input._array.dtype.kind in kinds:
        raise NotImplementedError(f"\"{name}_cpu\" not implemented for '{dtypes.of(input._array.dtype)._title}'")


# -- gates ---------------------------------------------------------------------------------------------------

_mish = _labelled(lambda x: e.multiply(x, t.tanh(a.softplus(x, beta=1.0, threshold=20.0))), "MishBackward0")
_six = partial(a.hardtanh, low=0, high=6, nans=False)
_hardsigmoid = _labelled(lambda x: e.divide(_six(e.add(x, 3)), 6), "HardsigmoidBackward0")
_hardswish = _labelled(lambda x: e.divide(e.multiply(x, _six(e.add(x, 3))), 6), "HardswishBackward0")
_in_place = {
    _mish: in_place(_mish, "mish_"),
    _hardsigmoid: in_place(_hardsigmoid, "hardsigmoid_"),
    _hardswish: in_place(_hardswish, "hardswish_"),
}


def _gate(function: Callable[..., Any], name: str, input: Any, inplace: bool) -> Any:
    _need_floating(input, name)
    return (_in_place[function] if inplace else function)(input)


@op(namespace="nn.functional", method=False)
def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """Multiply by tanh(softplus(x)); Misra, "Mish: A Self Regularized Non-Monotonic Activation Function" (2019)."""
    return _gate(_mish, "mish", input, inplace)  # type: ignore[no-any-return]


@op(namespace="nn.functional", method=False)
def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """Return x / 6 + 1 / 2, limited to [0, 1]."""
    return _gate(_hardsigmoid, "hardsigmoid", input, inplace)  # type: ignore[no-any-return]


@op(namespace="nn.functional", method=False)
def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """Multiply by `hardsigmoid`; Howard et al., "Searching for MobileNetV3" (2019)."""
    return _gate(_hardswish, "hardswish", input, inplace)  # type: ignore[no-any-return]


@op(namespace="nn.functional", method=False, node="Glu")
def glu(input: Tensor, dim: int = -1) -> Tensor:
    """Multiply the first half of `dim` by the sigmoid of the second. Raises RuntimeError for an odd length."""
    _need_floating(input, "glu")
    shape = input._array.shape
    if not shape:
        raise RuntimeError("glu does not support 0-dimensional tensors")
    at = axis(dim, len(shape))
    if shape[at] % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {at} is size {shape[at]}")
    before, half = (slice(None),) * at, shape[at] // 2
    first, second = (basic_getitem(input, index=(*before, part)) for part in (slice(half), slice(half, None)))
    return e.multiply(first, t.sigmoid(second))  # type: ignore[no-any-return]


@op(namespace="nn.functional", method=False)
def softsign(input: Tensor) -> Tensor:
    """Divide by 1 + |x|."""
    need_tensor(input, "softsign")
    return input / (e.absolute(input) + 1)  # type: ignore[no-any-return]


# -- slopes --------------------------------------------------------------------------------------------------


@op(node="PreluKernel")
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """Multiply what is not above 0 by `weight`, one number or one per channel (dimension 1)."""
    _need_floating(input, "prelu", "biu")
    need_tensor(weight, "prelu", "weight")
    if weight._array.dtype != input._array.dtype:
        raise RuntimeError(f"prelu: Type promoting not supported. Got {input.dtype} and {weight.dtype}")
    ndim, count = input._array.ndim, weight._array.size
    if weight._array.ndim > 1:
        raise RuntimeError(f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {weight._array.ndim}")
    if count != 1:
        if not ndim:
            raise RuntimeError("Not allow zero-dim input tensor.")
        channels = input._array.shape[1] if ndim > 1 else 1
        if channels != count:
            raise RuntimeError(
                f"Mismatch of parameter numbers and input channel size. Found parameter numbers = {count} and channel "
                f"size = {channels}."
            )
    slopes = sh.reshape(weight, shape=(1, count, *(1,) * (ndim - 2)) if ndim > 1 else (1,) * ndim)
    return e.multiply(input, s.where(c.greater(input, 0), 1.0, slopes))  # type: ignore[no-any-return]


functions["nn.functional"]["prelu"] = functions[""]["prelu"]
_mean_slope = renamed(a.leaky_relu, "RreluWithNoise")


def _randomly_sloped(node: str) -> Callable[..., Any]:
    scaled = renamed(e.multiply, node)

    def rrelu(input: Any, lower: float, upper: float, training: bool) -> Any:
        if not training:
            return _mean_slope(input, slope=(lower + upper) / 2)
        with modes.no_grad():
            slopes = _slopes(input._array, lower, upper)
        return scaled(input, wrap(slopes))

    return rrelu


def _slopes(x: Any, lower: float, upper: float) -> Any:
    """A random number between the two for all elements that are not above 0, elsewhere 1."""
    while hasattr(x, "read"):  # an array of a transform
        x = x.read("rrelu()")
    F, below = of(x), x <= 0
    # On the host in torch's order; on a device, where nobody waits to count them, one number for each element.
    count = (int(F.count_nonzero(below)),) if F.device_type == "cpu" else x.shape
    drawn = functions[""]["empty"](count, dtype=dtypes.float64, device=F.device_type).uniform_(lower, upper)._array
    slopes = F.ones(x.shape, x.dtype)
    if F.device_type == "cpu":
        slopes[below] = drawn
        return slopes
    return F.astype(F.where(below, drawn, slopes), x.dtype)


_rrelu = _randomly_sloped("RreluWithNoiseBackward0")
_rrelu_ = in_place(_randomly_sloped("RreluWithNoiseBackward1"), "rrelu_")  # torch's name of it


@op(namespace="nn.functional", method=False)
def rrelu(
    input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False, inplace: bool = False
) -> Tensor:
    """Multiply what is not above 0 by a number in [lower, upper]: random if `training`, else the middle."""
    _need_floating(input, "rrelu_with_noise_out")
    if not lower <= upper:
        raise RuntimeError(f"Lower bound should be less than or equal to the upper bound (rrelu got {lower}, {upper})")
    return (_rrelu_ if inplace else _rrelu)(input, lower, upper, training)  # type: ignore[no-any-return]


# -- shrinks and thresholds ----------------------------------------------------------------------------------

_kept = renamed(a.masked, "Hardshrink")


@op(namespace="nn.functional", out=True)
def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """Replace what is in [-lambd, lambd] by 0."""
    _need_floating(input, "hardshrink")
    within = c.logical_and(c.greater_equal(input, -lambd), c.less_equal(input, lambd))
    return _kept(input, c.logical_not(within))  # type: ignore[no-any-return]


@op(namespace="nn.functional", method=False, out=True, node="Softshrink")
def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """Move towards 0 by `lambd`, but not beyond. Raises RuntimeError if that is negative."""
    _need_floating(input, "softshrink")
    if lambd < 0:
        raise RuntimeError(f"lambda must be greater or equal to 0, but found to be {lambd:g}.")
    return e.subtract(input, s.clip(input, lo=-lambd, hi=lambd))  # type: ignore[no-any-return]


@op(namespace="nn.functional", method=False)
def tanhshrink(input: Tensor) -> Tensor:
    """Subtract the hyperbolic tangent."""
    need_tensor(input, "tanhshrink")
    return input - t.tanh(input)  # type: ignore[no-any-return]


def _thresholded(node: str) -> Callable[..., Any]:
    replaced = renamed(s.where, node)

    def thresholded(input: Any, threshold: float, value: float) -> Any:
        dtype = input._array.dtype
        return replaced(c.less_equal(input, number_of(threshold, dtype)), number_of(value, dtype), input)

    return thresholded


# torch names the in-place form differently.
_threshold = _thresholded("ThresholdBackward0")
_threshold_ = in_place(_thresholded("ThresholdBackward1"), "threshold_")


@op(namespace="nn.functional", method=False)
def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """Replace what is not above `threshold` by `value`."""
    _need_floating(input, "threshold", "bc")
    return (_threshold_ if inplace else _threshold)(input, threshold, value)  # type: ignore[no-any-return]


# -- names ---------------------------------------------------------------------------------------------------


def threshold_(input: Tensor, threshold: float, value: float) -> Tensor:
    """Write `threshold` of `input` into it."""
    return functions["nn.functional"]["threshold"](input, threshold, value, True)  # type: ignore[no-any-return]


def rrelu_(input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False) -> Tensor:
    """Write `rrelu` of `input` into it."""
    return rrelu(input, lower, upper, training, True)


for _name in ("prelu", "hardshrink", "threshold", "rrelu"):
    functions[""][_name] = functions["nn.functional"][_name]
for _name, _function in (("threshold_", threshold_), ("rrelu_", rrelu_)):
    functions[""][_name] = functions["nn.functional"][_name] = _function
