"""Activations as modules: each applies the function of nn.functional that its name says. No formula stands here."""

from __future__ import annotations

from typing import Any
from warnings import warn

from gradcore.nn import functional as F
from gradcore.nn import init
from gradcore.nn.modules.applied import applies
from gradcore.nn.modules.module import Module
from gradcore.nn.parameter import Parameter
from gradcore.ops.filling import empty
from gradcore.tensor import Tensor


@applies("threshold")
class Threshold(Module):
    """x where it is above `threshold`, else `value`."""

    threshold: float
    value: float
    inplace: bool = False


@applies("relu")
class ReLU(Module):
    """max(0, x)."""

    inplace: bool = False


@applies("rrelu")
class RReLU(Module):
    """x where positive, else x times a slope: drawn between `lower` and `upper` in training, their mean otherwise."""

    lower: float = 1.0 / 8
    upper: float = 1.0 / 3
    inplace: bool = False


@applies("hardtanh", shown="min_val={0.min_val}, max_val={0.max_val}")
class Hardtanh(Module):
    """x kept between `min_val` and `max_val`. `min_value` and `max_value` are old names of those."""

    min_val: float = -1.0
    max_val: float = 1.0
    inplace: bool = False
    min_value: float | None = None
    max_value: float | None = None

    def _settle(self) -> None:
        for end in ("min", "max"):
            old = self.__dict__.pop(f"{end}_value")
            if old is not None:
                warn(
                    f"keyword argument `{end}_value` is deprecated and rename to `{end}_val`", FutureWarning, stacklevel=3
                )
                setattr(self, f"{end}_val", old)
        if self.max_val <= self.min_val:
            raise AssertionError(f"max_val ({self.max_val}) must be greater than min_val ({self.min_val})")


@applies("relu6")
class ReLU6(Hardtanh):
    """min(max(0, x), 6)."""

    inplace: bool = False

    def _settle(self) -> None:
        self.min_val, self.max_val = 0.0, 6.0


@applies("sigmoid")
class Sigmoid(Module):
    """1 / (1 + exp(-x))."""


@applies("hardsigmoid", shown="")
class Hardsigmoid(Module):
    """x / 6 + 1/2 kept between 0 and 1."""

    inplace: bool = False

    def extra_repr(self) -> str:
        """Nothing, not even `inplace`, as in torch."""
        return ""


@applies("tanh")
class Tanh(Module):
    """The hyperbolic tangent."""


@applies("silu")
class SiLU(Module):
    """x times the sigmoid of x (Elfwing et al., 2018)."""

    inplace: bool = False


@applies("mish")
class Mish(Module):
    """x times tanh(softplus(x)) (Misra, 2019)."""

    inplace: bool = False


@applies("hardswish")
class Hardswish(Module):
    """x times its hard sigmoid (Howard et al., 2019)."""

    inplace: bool = False

    def extra_repr(self) -> str:
        """Nothing, not even `inplace`, as in torch."""
        return ""


@applies("elu")
class ELU(Module):
    """x where positive, else alpha (exp(x) - 1) (Clevert et al., 2016)."""

    alpha: float = 1.0
    inplace: bool = False


@applies("celu")
class CELU(Module):
    """x where positive, else alpha (exp(x / alpha) - 1) (Barron, 2017)."""

    alpha: float = 1.0
    inplace: bool = False


@applies("selu")
class SELU(Module):
    """The ELU scaled so that means 0 and variances 1 stay (Klambauer et al., 2017)."""

    inplace: bool = False


@applies("glu", shown="dim={0.dim}")
class GLU(Module):
    """The first half of the input along `dim` times the sigmoid of the second (Dauphin et al., 2017)."""

    dim: int = -1


@applies("gelu")
class GELU(Module):
    """x times the normal distribution function of x; `approximate="tanh"` by a tanh (Hendrycks and Gimpel, 2016)."""

    approximate: str = "none"


@applies("hardshrink", shown="{0.lambd}")
class Hardshrink(Module):
    """x where |x| > `lambd`, else 0."""

    lambd: float = 0.5


@applies("leaky_relu")
class LeakyReLU(Module):
    """x where positive, else `negative_slope` times x."""

    negative_slope: float = 0.01
    inplace: bool = False


@applies("logsigmoid")
class LogSigmoid(Module):
    """The logarithm of the sigmoid."""


@applies("softplus")
class Softplus(Module):
    """log(1 + exp(beta x)) / beta, and x itself where beta x > `threshold`."""

    beta: float = 1.0
    threshold: float = 20.0


@applies("softshrink", shown="{0.lambd}")
class Softshrink(Module):
    """x moved by `lambd` towards 0, and 0 where |x| is less."""

    lambd: float = 0.5


@applies("softsign")
class Softsign(Module):
    """x / (1 + |x|)."""


@applies("tanhshrink")
class Tanhshrink(Module):
    """x - tanh(x)."""


@applies("softmin")
class Softmin(Module):
    """exp(-x) over its sum along `dim`."""

    dim: int | None = None


@applies("softmax")
class Softmax(Module):
    """exp(x) over its sum along `dim`."""

    dim: int | None = None


@applies("log_softmax")
class LogSoftmax(Module):
    """The logarithm of the softmax along `dim`."""

    dim: int | None = None


class Softmax2d(Module):
    """The softmax over the channels of each pixel, of (N, C, H, W) or (C, H, W)."""

    def forward(self, input: Tensor) -> Tensor:
        """Raise ValueError for other numbers of dimensions."""
        if input.ndim not in (3, 4):
            raise ValueError(f"Softmax2d: expected input to be 3D or 4D, got {input.ndim}D instead")
        return F.softmax(input, -3, _stacklevel=5)


class PReLU(Module):
    """x where positive, else x times a slope that is learnt, one or one for each channel (He et al., 2015)."""

    def __init__(self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        self.init = init
        self.weight = Parameter(empty(num_parameters, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the slopes to what they started with."""
        init.constant_(self.weight, self.init)

    def forward(self, input: Tensor) -> Tensor:
        """The activation of `input`."""
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        """The number of slopes."""
        return f"num_parameters={self.num_parameters}"
