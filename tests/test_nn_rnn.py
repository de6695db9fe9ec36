"""Recurrent layers and cells beside torch's: first weights, outputs, states, gradients, and what they refuse."""

from __future__ import annotations

from typing import Any

import pytest

from tests.twin import same

LAYERS = [
    "RNN(3, 4)", "RNN(3, 4, 2, 'relu', batch_first=True)", "RNN(3, 4, 2, nonlinearity='relu', bias=False)", "LSTM(3, 4)",
    "LSTM(3, 4, 2, bidirectional=True, batch_first=True)", "LSTM(3, 5, proj_size=2, num_layers=2, bias=False)",
    "LSTM(3, 5, num_layers=2, proj_size=2, bidirectional=True)", "GRU(3, 4)", "GRU(3, 4, 2, bidirectional=True, bias=False)",
    "GRU(3, 4, num_layers=3, dropout=0.4)", "LSTM(3, 4, num_layers=2, dropout=0.9, dtype=T.float64)",
    "GRU(3, 4, num_layers=2, dropout=0.4).eval()",
]  # fmt: skip

torch = pytest.importorskip("torch")

CELLS = ["RNNCell(3, 4)", "RNNCell(3, 4, nonlinearity='relu', bias=False)", "LSTMCell(3, 4)", "GRUCell(3, 4, bias=False)"]


@pytest.mark.parametrize("with_state", [False, True])
@pytest.mark.parametrize("shape", [(6, 2, 3), (5, 3), (1, 1, 3)])
@pytest.mark.parametrize("code", LAYERS)
def test_layers(code: str, shape: tuple[int, ...], with_state: bool) -> None:
    def program(T: Any) -> Any:
        T.manual_seed(0)
        m = eval(f"nn.{code}", {"nn": T.nn, "T": T})
        x = T.randn(shape, dtype=m.weight_ih_l0.dtype, requires_grad=True)
        hx = None
        if with_state:
            _, last = m(x.detach())
            hx = [T.randn(each.shape, dtype=x.dtype).requires_grad_() for each in (last if "LSTM" in code else [last])]
        out, last = m(x, (tuple(hx) if "LSTM" in code else hx[0]) if hx else None)
        states = list(last) if "LSTM" in code else [last]
        loss = (out * T.randn(out.shape, dtype=x.dtype)).sum() + sum((each**2).sum() for each in states)
        leaves = [x, *m.parameters(), *(hx or [])]
        return [repr(m), list(m.state_dict()), out.detach(), [e.detach() for e in states], T.autograd.grad(loss, leaves)]

    same(program, torch, rtol=2e-5)


@pytest.mark.parametrize("shape", [(2, 3), (3,)])
@pytest.mark.parametrize("code", CELLS)
def test_cells(code: str, shape: tuple[int, ...]) -> None:
    def program(T: Any) -> Any:
        T.manual_seed(0)
        m = eval(f"nn.{code}", {"nn": T.nn})
        x = T.randn(shape, requires_grad=True)
        state = None
        for _ in range(3):
            state = m(x, state)
        parts = list(state) if isinstance(state, tuple) else [state]
        grads = T.autograd.grad(sum((each**2).sum() for each in parts), [x, *m.parameters()])
        return [repr(m), list(m.state_dict()), [each.detach() for each in parts], grads]

    same(program, torch, rtol=2e-5)


REFUSED = [
    "RNN(3, 4, nonlinearity='sin')", "RNN(3, 4, proj_size=2)", "GRU(3, 4, proj_size=2)", "LSTM(3, 4, proj_size=4)",
    "LSTM(3, 4, proj_size=-1)", "LSTM(0, 4)", "LSTM(3, 0)", "LSTM(3, 4, 0)", "LSTM(3.0, 4)", "LSTM(3, 4, bias=1)",
    "LSTM(3, 4, batch_first='yes')", "GRU(3, 4, dropout=2)", "GRU(3, 4, dropout=True)", "LSTM(3, 4)(T.ones(3))",
    "RNN(3, 4)(T.ones(3))", "LSTM(3, 4)(T.ones(2, 2))", "LSTM(3, 4)(T.ones(2, 2, 3, dtype=T.float64))",
    "GRU(3, 4)(T.ones(2, 2, 3), T.ones(1, 4))", "GRU(3, 4)(T.ones(2, 2, 3), T.ones(1, 3, 4))",
    "LSTM(3, 4)(T.ones(2, 3), (T.ones(1, 1, 4), T.ones(1, 4)))",
    "LSTM(3, 4)(T.ones(2, 1, 3), (T.ones(1, 1, 4), T.ones(1, 1, 5)))", "RNNCell(3, 4)(T.ones(1, 1, 3))",
    "GRUCell(3, 4)(T.ones(3), T.ones(1, 1, 4))", "RNNCell(3, 4, nonlinearity='sin')(T.ones(3))",
    "LSTMCell(3, 4)(T.ones(3), (T.ones(4), T.ones(1, 1, 4)))", "nn.RNNBase('NO', 3, 4)",
]  # fmt: skip


@pytest.mark.parametrize("code", REFUSED)
def test_what_is_refused(code: str) -> None:
    same(lambda T: repr(eval(code if code.startswith("nn.") else f"nn.{code}", {"nn": T.nn, "T": T})), torch, may_raise=True)
