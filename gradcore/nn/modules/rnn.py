"""Recurrent layers: steps in time, one after another, in layers and directions. They must not know any derivative."""

from __future__ import annotations

import warnings
from typing import Any

from gradcore.nn import functional as F
from gradcore.nn.modules.module import Module
from gradcore.nn.modules.rnn_cells import STEPS, GRUCell, LSTMCell, RNNCell, RNNCellBase, State, draw
from gradcore.nn.parameter import Parameter
from gradcore.nn.utils.rnn import PackedSequence
from gradcore.ops.filling import empty, zeros
from gradcore.ops.joining import cat, stack
from gradcore.tensor import Tensor

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNBase", "RNNCell", "RNNCellBase"]


class RNNBase(Module):
    """Layers of recurrent networks, in one or both directions, over sequences (L, N, input_size).

    With `batch_first`, (N, L, input_size); without a batch, (L, input_size). First weights are uniform in
    ±1/sqrt(hidden_size).
    """

    states = 1

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        _check(input_size, hidden_size, num_layers, bias, batch_first, dropout, proj_size)
        if mode not in STEPS:
            raise ValueError(f"Unrecognized RNN mode: {mode}")
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        self._all_weights: list[list[str]] = []
        rows, size = STEPS[mode][1] * hidden_size, proj_size or hidden_size
        directions = 2 if bidirectional else 1
        for layer in range(num_layers):
            shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, size * directions if layer else input_size)}
            shapes["weight_hh"] = (rows, size)
            if bias:
                shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
            if proj_size:
                shapes["weight_hr"] = (proj_size, hidden_size)
            for suffix in ("", "_reverse")[:directions]:
                names = {f"{name}_l{layer}{suffix}": shape for name, shape in shapes.items()}
                for name, shape in names.items():
                    self.register_parameter(name, Parameter(empty(shape, device=device, dtype=dtype)))
                self._all_weights.append(list(names))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew."""
        draw(self, self.hidden_size)

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def flatten_parameters(self) -> None:
        """Do nothing: there is no faster layout of the weights."""

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        """The outputs of the last layer at all times, packed if the input is, and the last states of all layers."""
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, hx)
        name = type(self).__name__
        if input.ndim not in (2, 3):
            what = "D tensor instead" if name == "RNN" else "D instead"
            raise ValueError(f"{name}: Expected input to be 2D or 3D, got {input.ndim}{what}")
        batched = input.ndim == 3
        given = self._given(hx)
        x = (input.transpose(0, 1) if self.batch_first else input) if batched else input.unsqueeze(1)
        states = self._first_states(x, given, batched, x.shape[1])
        out, last = self._run(x, states)
        if not batched:
            return out.squeeze(1), self._returned(tuple(each.squeeze(1) for each in last))
        return out.transpose(0, 1) if self.batch_first else out, self._returned(last)

    def _forward_packed(self, input: PackedSequence, hx: Any) -> tuple[PackedSequence, Any]:
        """The same of a packed batch; the states are in the order of its sequences before they were packed."""
        data, batch_sizes, order, back = input
        if data.ndim != 2:
            raise RuntimeError(f"input must have 2 dimensions, got {data.ndim}")
        sizes, given = batch_sizes.tolist(), self._given(hx)
        states = self._first_states(data, given, True, sizes[0])
        if given is not None and order is not None:
            states = tuple(each.index_select(1, order) for each in states)
        out, last = self._run(data, states, sizes)
        if back is not None:
            last = tuple(each.index_select(1, back) for each in last)
        return PackedSequence(out, batch_sizes, order, back), self._returned(last)

    def _given(self, hx: Any) -> State | None:
        return None if hx is None else tuple(hx) if self.states == 2 else (hx,)

    def _returned(self, states: State) -> Any:
        return states if self.states == 2 else states[0]

    def _first_states(self, x: Tensor, given: State | None, batched: bool, batch: int) -> State:
        """The states before the first time, zeros by default. Raises RuntimeError or ValueError for what does not fit."""
        weight = self.all_weights[0][0]
        if given is not None:
            _check_dimensions([each.ndim for each in given], batched)
            given = given if batched else tuple(each.unsqueeze(1) for each in given)
        if x.dtype is not weight.dtype:
            raise ValueError(
                f"RNN input dtype ({x.dtype}) does not match weight dtype ({weight.dtype}). Convert input: "
                f"input.to({weight.dtype}), or convert model: model.to({x.dtype})"
            )
        if x.shape[-1] != self.input_size:
            raise RuntimeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got {x.shape[-1]}"
            )
        count = len(self._all_weights)
        sizes = [(count, batch, self.proj_size or self.hidden_size), (count, batch, self.hidden_size)][: self.states]
        if given is None:
            return tuple(zeros(size, dtype=x.dtype, device=x.device) for size in sizes)
        for i, (state, size) in enumerate(zip(given, sizes, strict=True)):
            if tuple(state.shape) != size:
                what = f"hidden[{i}]" if self.states == 2 else "hidden"
                raise RuntimeError(f"Expected {what} size {size}, got {list(state.shape)}")
        return given

    def _run(self, x: Tensor, states: State, sizes: list[int] | None = None) -> tuple[Tensor, State]:
        """All layers over (L, N, input_size), or over the data of a packed batch that has `sizes` sequences at each time."""
        directions = 2 if self.bidirectional else 1
        last: list[State] = []
        for layer in range(self.num_layers):
            if layer and self.dropout and self.training:
                x = F.dropout(x, self.dropout)
            outs = []
            for backwards in range(directions):
                i = layer * directions + backwards
                start = tuple(each[i] for each in states)
                out, state = self._run_one(x, start, self.all_weights[i], bool(backwards), sizes)
                outs.append(out)
                last.append(state)
            x = outs[0] if directions == 1 else cat(outs, -1)
        return x, tuple(stack(each) for each in zip(*last, strict=True))

    def _run_one(
        self, x: Tensor, start: State, weights: list[Any], backwards: bool, sizes: list[int] | None
    ) -> tuple[Tensor, State]:
        """One layer in one direction: its outputs in the order of the times, and its last state."""
        weight, for_state = weights[0], [weights[1]]
        bias = weights[2] if self.bias else None
        for_state += [weights[3] if self.bias else None, *([weights[-1]] if self.proj_size else [])]
        step = STEPS[self.mode][0]
        gates = F.linear(x, weight, bias)
        times = gates.unbind(0) if sizes is None else gates.split(sizes)
        outs: list[Tensor] = []
        ended: list[State] = []
        have = start[0].shape[0] if sizes is None else sizes[-1 if backwards else 0]
        state = start if have == start[0].shape[0] else tuple(each[:have] for each in start)
        for gates in reversed(times) if backwards else times:
            n = gates.shape[0]
            if n < have:  # the last sequences have come to their end
                ended.append(tuple(each[n:] for each in state))
                state = tuple(each[:n] for each in state)
            elif n > have:  # backwards, others begin with it
                state = tuple(cat([each, first[have:n]]) for each, first in zip(state, start, strict=True))
            have = n
            state = step(gates, state, *for_state)
            outs.append(state[0])
        if ended:
            state = tuple(cat(parts) for parts in zip(state, *ended[::-1], strict=True))
        outs = outs[::-1] if backwards else outs
        return stack(outs) if sizes is None else cat(outs), state

    def extra_repr(self) -> str:
        """The sizes, and what is not as usual."""
        unusual = {"proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0, "bidirectional": False}
        shown = [f"{name}={getattr(self, name)}" for name, usual in unusual.items() if getattr(self, name) != usual]
        return ", ".join([str(self.input_size), str(self.hidden_size), *shown])


def _check(input_size: Any, hidden_size: Any, layers: int, bias: Any, first: Any, dropout: Any, projected: int) -> None:
    """Raise TypeError or ValueError for settings that cannot be."""
    if not isinstance(dropout, (int, float)) or isinstance(dropout, bool) or not 0 <= dropout <= 1:
        raise ValueError(
            "dropout should be a number in range [0, 1] representing the probability of an element being zeroed"
        )
    if dropout > 0 and layers == 1:
        warnings.warn(
            "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects num_layers greater "
            f"than 1, but got dropout={dropout} and num_layers={layers}",
            stacklevel=4,
        )
    for name, value in (("bias", bias), ("batch_first", first)):
        if not isinstance(value, bool):
            raise TypeError(f"{name} should be of type bool, got: {type(value).__name__}")
    for name, value in (("input_size", input_size), ("hidden_size", hidden_size)):
        if not isinstance(value, int):
            raise TypeError(f"{name} should be of type int, got: {type(value).__name__}")
    for name, value in (("input_size", input_size), ("hidden_size", hidden_size), ("num_layers", layers)):
        if value <= 0:
            raise ValueError(f"{name} must be greater than zero")
    if projected < 0:
        raise ValueError("proj_size should be a positive integer or zero to disable projections")
    if projected >= hidden_size:
        raise ValueError("proj_size has to be smaller than hidden_size")


def _check_dimensions(have: list[int], batched: bool) -> None:
    wanted = 3 if batched else 2
    if any(n != wanted for n in have):
        which = "batched 3-D" if batched else "unbatched 2-D"
        if len(have) == 1:
            raise RuntimeError(f"For {which} input, hx should also be {wanted}-D but got {have[0]}-D tensor")
        got = ", ".join(f"{n}-D" for n in have)
        raise RuntimeError(f"For {which} input, hx and cx should also be {wanted}-D but got ({got}) tensors")


class RNN(RNNBase):
    """Elman's network: h = tanh(W x + b + V h + c), or relu instead of tanh."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if "proj_size" in kwargs:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        nonlinearity = args[3] if len(args) > 3 else kwargs.pop("nonlinearity", "tanh")
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        super().__init__(f"RNN_{nonlinearity.upper()}", *args[:3], *args[4:], **kwargs)
        self.nonlinearity = nonlinearity


class GRU(RNNBase):
    """Gated recurrent units (Cho et al., 2014), with the reset gate after the matrix, as cuDNN has it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if "proj_size" in kwargs:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        super().__init__("GRU", *args, **kwargs)


class LSTM(RNNBase):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997); `proj_size` is that of a smaller output (Sak, 2014)."""

    states = 2

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("LSTM", *args, **kwargs)
