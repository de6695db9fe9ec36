"""One step in time of each recurrent layer, and the cells that are no more than that. They must not know any derivative."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from gradcore.nn import functional as F
from gradcore.nn import init
from gradcore.nn.modules.module import Module
from gradcore.nn.parameter import Parameter
from gradcore.ops.filling import empty, zeros
from gradcore.tensor import Tensor

State = tuple[Tensor, ...]

# A step takes what the input contributes to the gates, the state, and the weights for the state, and returns the new state.


def _tanh(gates: Tensor, state: State, *weights: Any) -> State:
    return ((gates + F.linear(state[0], *weights[:2])).tanh(),)


def _relu(gates: Tensor, state: State, *weights: Any) -> State:
    return ((gates + F.linear(state[0], *weights[:2])).relu(),)


def _gru(gates: Tensor, state: State, *weights: Any) -> State:
    (h,) = state
    reset, update, new = gates.chunk(3, -1)
    reset_h, update_h, new_h = F.linear(h, *weights[:2]).chunk(3, -1)
    update = (update + update_h).sigmoid()
    new = (new + (reset + reset_h).sigmoid() * new_h).tanh()
    return (new + update * (h - new),)


def _lstm(gates: Tensor, state: State, weight: Any, bias: Any, projection: Any = None) -> State:
    h, c = state
    enter, forget, new, leave = (gates + F.linear(h, weight, bias)).chunk(4, -1)
    c = forget.sigmoid() * c + enter.sigmoid() * new.tanh()
    h = leave.sigmoid() * c.tanh()
    return h if projection is None else F.linear(h, projection), c


# The step of each kind, and how many gates it has.
STEPS: dict[str, tuple[Callable[..., State], int]] = {
    "RNN_TANH": (_tanh, 1),
    "RNN_RELU": (_relu, 1),
    "GRU": (_gru, 3),
    "LSTM": (_lstm, 4),
}


def draw(module: Module, hidden_size: int) -> None:
    """Draw the weights of a module anew, uniform in ±1/sqrt(hidden_size)."""
    bound = 1.0 / math.sqrt(hidden_size) if hidden_size > 0 else 0
    for weight in module.parameters():
        init.uniform_(weight, -bound, bound)


class RNNCellBase(Module):
    """One step of a recurrent layer, of (N, input_size) or (input_size,) and the state before, zeros by default."""

    weight_ih: Parameter
    weight_hh: Parameter
    mode = ""
    states = 1

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool, num_chunks: int, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        rows = num_chunks * hidden_size
        shapes = {"weight_ih": (rows, input_size), "weight_hh": (rows, hidden_size), "bias_ih": (rows,), "bias_hh": (rows,)}
        for name, shape in shapes.items():
            wanted = bias or name.startswith("weight")
            self.register_parameter(name, Parameter(empty(shape, device=device, dtype=dtype)) if wanted else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew."""
        draw(self, self.hidden_size)

    def forward(self, input: Tensor, hx: Any = None) -> Any:
        """The state after the step."""
        name = type(self).__name__
        if input.ndim not in (1, 2):
            raise ValueError(f"{name}: Expected input to be 1D or 2D, got {input.ndim}D instead")
        if self.states == 2 and hx is not None and not (isinstance(hx, (tuple, list)) and len(hx) == 2):
            raise TypeError(f"{name}: argument 'hx' must be tuple of two Tensors, not {type(hx).__name__}")
        state = None if hx is None else tuple(hx) if self.states == 2 else (hx,)
        for i, each in enumerate(state or ()):
            if each.ndim not in (1, 2):
                what = f"hx[{i}]" if self.states == 2 else "hidden"
                raise ValueError(f"{name}: Expected {what} to be 1D or 2D, got {each.ndim}D instead")
            if each.shape != (*input.shape[:-1], self.hidden_size):
                raise RuntimeError(
                    f"{name}: hidden{i} must have shape {[*input.shape[:-1], self.hidden_size]} beside an input of shape "
                    f"{list(input.shape)}, but has {list(each.shape)}"
                )
        if state is None:
            state = (zeros((*input.shape[:-1], self.hidden_size), dtype=input.dtype, device=input.device),) * self.states
        state = STEPS[self.mode][0](
            F.linear(input, self.weight_ih, self.bias_ih), state, self.weight_hh, self.bias_hh
        )
        return state if self.states == 2 else state[0]

    def extra_repr(self) -> str:
        """The sizes, and what is not as usual."""
        unusual = {"bias": True, "nonlinearity": "tanh"}
        shown = [f"{n}={getattr(self, n)}" for n, usual in unusual.items() if getattr(self, n, usual) != usual]
        return ", ".join([str(self.input_size), str(self.hidden_size), *shown])


class RNNCell(RNNCellBase):
    """One step of an RNN."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity
        self.mode = f"RNN_{nonlinearity.upper()}"

    def forward(self, input: Tensor, hx: Any = None) -> Any:
        """The state after the step. Raises RuntimeError for a nonlinearity that is neither tanh nor relu."""
        if self.mode not in STEPS:
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        return super().forward(input, hx)


class LSTMCell(RNNCellBase):
    """One step of an LSTM."""

    mode = "LSTM"
    states = 2

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)


class GRUCell(RNNCellBase):
    """One step of a GRU."""

    mode = "GRU"

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)
