"""Layers and parametrizations on the stand-in for CuPy: the numbers of the host, and no array in the wrong place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradcore as T
from gradcore import nn

RNG = np.random.default_rng(3)
X = RNG.normal(size=(6, 3, 4))
u = nn.utils


def packed(m: Any, x: Any) -> Any:
    sequences = [x[:n, i] for i, n in enumerate((3, 6, 2))]
    out, last = m(u.rnn.pack_sequence(sequences, enforce_sorted=False))
    assert out.data.device == x.device
    return u.rnn.pad_packed_sequence(out)[0].sum() + sum((each**2).sum() for each in last)


def linear(n: int = 2) -> Any:
    return nn.Linear(4, n, dtype=T.float64)


def cubes(m: Any, x: Any) -> Any:
    return (m(x) ** 3).sum()


# What makes a module, and the loss of one on X.
PROGRAMS: dict[str, tuple[Any, Any]] = {
    "packed LSTM": (lambda: nn.LSTM(4, 3, 2, bidirectional=True, dtype=T.float64), packed),
    "lazy": (
        lambda: nn.Sequential(nn.LazyLinear(4, dtype=T.float64), nn.LazyBatchNorm1d(dtype=T.float64)), cubes
    ),
    "weight norm": (lambda: u.parametrizations.weight_norm(linear()), cubes),
    "spectral norm": (lambda: u.parametrizations.spectral_norm(linear()), cubes),
    "old spectral norm": (lambda: u.spectral_norm(linear()), cubes),
    "orthogonal": (lambda: u.parametrizations.orthogonal(linear(4)), cubes),
    "reflections": (lambda: u.parametrizations.orthogonal(linear(), use_trivialization=False), cubes),
    "adaptive softmax": (
        lambda: nn.AdaptiveLogSoftmaxWithLoss(4, 9, [2, 5], div_value=2.0, dtype=T.float64),
        lambda m, x: m(x[:, 0], T.tensor([0, 4, 8, 1, 2, 6], device=x.device)).loss,
    ),
    "CTC": (
        lambda: nn.Linear(4, 5, dtype=T.float64),
        lambda m, x: nn.CTCLoss()(
            m(x).log_softmax(-1), T.tensor([[1, 2], [3, 3], [4, 1]], device=x.device), [6, 5, 6], [2, 2, 1]
        ),
    ),
    "counts": (
        lambda: nn.Linear(4, 3, dtype=T.float64),
        lambda m, x: m(x).sum() * T.histc(x, 4, -1, 1).max() * T.isin(x, x[0]).sum(),
    ),
    "fractional pooling": (
        lambda: nn.FractionalMaxPool2d(2, (3, 2), _random_samples=T.full((1, 3, 2), 0.4, dtype=T.float64)),
        lambda m, x: (m(x.transpose(0, 1)[None]) ** 2).sum(),
    ),
    "linear cross entropy": (
        lambda: nn.LinearCrossEntropyLoss(4, 5, bias=True, dtype=T.float64),
        lambda m, x: m(x[:, 0], T.tensor([0, 4, 3, 1, 2, 2], device=x.device)),
    ),
}


def run(name: str, device: str) -> list[Any]:
    T.manual_seed(1)
    make, loss = PROGRAMS[name]
    m = make()
    x = T.tensor(X.tolist(), dtype=T.float64)
    if any(nn.parameter.is_lazy(p) for p in m.parameters()):
        T.manual_seed(2)
        m(x)
    m = m.to(device)
    x = x.to(device).requires_grad_()
    value = loss(m, x)
    leaves = [x, *m.parameters()]
    made = [value, *T.autograd.grad(value, leaves), *m.state_dict().values()]
    assert all(each.device.type == device for each in made)
    return [each.detach().cpu().numpy() for each in made]


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_hosts_numbers(name: str, strict_cuda: Any) -> None:
    for there, here in zip(run(name, "cuda"), run(name, "cpu"), strict=True):
        np.testing.assert_allclose(there, here, rtol=1e-9, atol=1e-11)
