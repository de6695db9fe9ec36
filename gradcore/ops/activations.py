"""The nonlinearities of neural networks as torch.nn.functional spells them. It must not know any
derivative."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gradcore.ops import softmax as probabilities
from gradcore.ops.arguments import need_tensor, python_number
from gradcore.ops.direct import public
from gradcore.ops.registry import functions, methods, of_tensor, op
from gradcore.primitives import activations as a
from gradcore.primitives import elementwise as e
from gradcore.primitives import transcendental as t
from gradcore.recorder import renamed
from gradcore.recorder.caller import warn
from gradcore.recorder.inplace import inplace as in_place

if TYPE_CHECKING:
    from gradcore.tensor import Tensor

public(a.relu, "relu")
_celu = renamed(a.elu, "Celu")
# torch names the in-place forms of these differently.
_written = {
    a.leaky_relu: renamed(a.leaky_relu, "LeakyReluBackward1"),
    a.elu: renamed(a.elu, "EluBackward1"),
    _celu: renamed(a.elu, "CeluBackward1"),
}

# Klambauer et al., "Self-Normalizing Neural Networks" (2017).
_SELU = {"alpha": 1.6732632423543772, "scale": 1.0507009873554805}


relu_ = of_tensor(methods["relu_"], "relu_")


def _apply(function: Callable[..., Any], name: str, input: Any, inplace: bool, **params: Any) -> Any:
    need_tensor(input, name)
    params = {each: python_number(given, name, each) for each, given in params.items()}
    if inplace:
        function = in_place(_written.get(function, function), f"{name}_")
    return function(input, **params)


@op(namespace="nn.functional", method=False)
def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """Replace negative elements by 0; the gradient at 0 is 0."""
    need_tensor(input, "relu")
    return relu_(input) if inplace else a.relu(input)  # type: ignore[no-any-return]


@op(namespace="nn.functional", method=False)
def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """Multiply elements that are not above 0 by `negative_slope`."""
    return _apply(a.leaky_relu, "leaky_relu", input, inplace, slope=negative_slope)  # type: ignore[no-any-return]


@op(namespace="nn.functional", method=False)
def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Replace x that are not above 0 by alpha * (exp(x) - 1)."""
    return _apply(a.elu, "elu", input, inplace, alpha=alpha)  # type: ignore[no-any-return]


@op(namespace="nn.functional", method=False)
def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """Return `elu` with the two constants that keep mean 0 and variance 1 fixed."""
    return _apply(a.elu, "selu", input, inplace, **_SELU)  # type: ignore[no-any-return]


@op(namespace="nn.functional", method=False)
def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Replace x that are not above 0 by alpha * (exp(x / alpha) - 1)."""
    need_tensor(input, "celu")
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    return _apply(_celu, "celu", input, inplace, alpha=alpha, input_scale=1 / alpha)  # type: ignore[no-any-return]


@op(namespace="nn.functional", method=False)
def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """Limit `input` to [min_val, max_val]; the gradient at both is 0."""
    need_tensor(input, "hardtanh")
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    return _apply(a.hardtanh, "hardtanh", input, inplace, low=min_val, high=max_val)  # type: ignore[no-any-return]


@op(namespace="nn.functional", method=False)
def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """Limit `input` to [0, 6]; the gradient at both is 0."""
    return _apply(a.hardtanh, "relu6", input, inplace, low=0, high=6)  # type: ignore[no-any-return]


def _in_place(f: Any) -> Callable[..., Any]:
    @functools.wraps(f)
    def written(input: Tensor, *args: Any, **keywords: Any) -> Any:
        return f(input, *args, inplace=True, **keywords)

    written.__name__ = written.__qualname__ = f"{f.__name__}_"
    return written


leaky_relu_, elu_, selu_, celu_, hardtanh_ = map(_in_place, (leaky_relu, elu, selu, celu, hardtanh))
functions[""].update(selu=selu, selu_=selu_, celu=celu, celu_=celu_)


@op(namespace="nn.functional", method=False, out=True)
def gelu(input: Tensor, *, approximate: str = "none") -> Tensor:
    """Multiply by the normal distribution function, or by its approximation through "tanh"."""
    need_tensor(input, "gelu")
    forms = {"none": a.gelu, "tanh": a.gelu_tanh}
    if approximate not in forms:
        raise RuntimeError(f"approximate argument must be either none or tanh. (gelu got {approximate!r})")
    return forms[approximate](input)  # type: ignore[no-any-return]


@op(namespace="nn.functional", method=False)
def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """Multiply by the sigmoid (swish)."""
    return _apply(a.silu, "silu", input, inplace)  # type: ignore[no-any-return]


@op(namespace="nn.functional", method=False, out=True)
def softplus(input: Tensor, beta: float = 1, threshold: float = 20) -> Tensor:
    """Return log(1 + exp(beta * x)) / beta, which is x itself where beta * x > threshold."""
    need_tensor(input, "softplus")
    beta, threshold = python_number(beta, "softplus", "beta"), python_number(threshold, "softplus", "threshold")
    return a.softplus(input, beta=beta, threshold=threshold)  # type: ignore[no-any-return]


@op(namespace="nn.functional", method=False, out=True)
def logsigmoid(input: Tensor) -> Tensor:
    """Return the logarithm of the sigmoid, accurate where that underflows."""
    need_tensor(input, "logsigmoid")
    return a.log_sigmoid(input)  # type: ignore[no-any-return]


@op(namespace="nn.functional", method=False)
def sigmoid(input: Tensor) -> Tensor:
    """Return 1 / (1 + exp(-x))."""
    need_tensor(input, "sigmoid")
    return t.sigmoid(input)  # type: ignore[no-any-return]


@op(namespace="nn.functional", method=False)
def tanh(input: Tensor) -> Tensor:
    """Return the hyperbolic tangent."""
    need_tensor(input, "tanh")
    return t.tanh(input)  # type: ignore[no-any-return]


# -- softmax over one dimension ------------------------------------------------------------------------------


def _dim(name: str, ndim: int) -> int:
    warn(
        f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as an argument.",
    )
    return 0 if ndim in (0, 1, 3) else 1


def _over(name: str, input: Any, dim: int | None, dtype: Any) -> Any:
    """`softmax` or `log_softmax` over `dim`, or over what torch guesses."""
    need_tensor(input, name)
    if dim is None:
        dim = _dim(name, input._array.ndim)
    return (probabilities.softmax if name == "softmax" else probabilities.log_softmax)(input, dim, dtype)


@op(namespace="nn.functional", method=False)
def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """Divide exp(x) by its sum over `dim`."""
    return _over("softmax", input, dim, dtype)  # type: ignore[no-any-return]


@op(namespace="nn.functional", method=False)
def log_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """Return the logarithm of `softmax`, accurate where that underflows."""
    return _over("log_softmax", input, dim, dtype)  # type: ignore[no-any-return]


@op(namespace="nn.functional", method=False)
def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """Return `softmax` of the negated input."""
    need_tensor(input, "softmin")
    if dim is None:
        dim = _dim("softmin", input._array.ndim)
    return _over("softmax", e.negative(input), dim, dtype)  # type: ignore[no-any-return]
