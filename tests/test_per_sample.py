"""Gradients of each of several losses from one graph: those of each loss alone. It must not need torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradcore
from gradcore import nn


def network() -> tuple[Any, Any, Any]:
    gradcore.manual_seed(0)
    net = nn.Sequential(nn.Conv1d(2, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(12, 4)).double()
    return net, gradcore.randn(5, 2, 6, dtype=gradcore.float64), gradcore.tensor([0, 3, 1, 2, 2])


def losses_of(net: Any, x: Any, target: Any) -> Any:
    return nn.functional.cross_entropy(net(x), target, reduction="none")


@pytest.mark.parametrize("chunk_size", [None, 1, 2, 5, 9])
def test_they_are_the_gradients_of_each_loss(chunk_size: int | None) -> None:
    net, x, target = network()
    params = dict(net.named_parameters())
    found = gradcore.per_sample_grad(losses_of(net, x, target), params, chunk_size=chunk_size)
    assert list(found) == list(params)
    for i in range(5):
        alone = gradcore.autograd.grad(losses_of(net, x[i : i + 1], target[i : i + 1]).sum(), list(params.values()))
        for name, wanted in zip(params, alone, strict=True):
            assert found[name].shape == (5, *params[name].shape)
            assert not found[name].requires_grad
            np.testing.assert_allclose(found[name][i], wanted, atol=1e-12)


def test_nesting_unused_parameters_and_the_graph_afterwards() -> None:
    x, unused = gradcore.arange(3.0).requires_grad_(), gradcore.ones(2, requires_grad=True)
    losses = x.exp() * x.sum()
    whole = np.exp(np.arange(3.0))
    wanted = np.diag(whole * 3) + whole[:, None]
    np.testing.assert_allclose(gradcore.per_sample_grad(losses, x), wanted, rtol=1e-6)
    pair = gradcore.per_sample_grad(losses, (x, unused), chunk_size=2)
    assert isinstance(pair, tuple)
    np.testing.assert_allclose(pair[0], wanted, rtol=1e-6)
    assert pair[1].tolist() == [[0, 0]] * 3
    assert x.grad is None
    losses.sum().backward()
    np.testing.assert_allclose(x.grad, wanted.sum(0), rtol=1e-6)


def test_what_it_refuses() -> None:
    x = gradcore.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"shape \(n,\), but got \[\]"):
        gradcore.per_sample_grad(x.sum(), x)
    with pytest.raises(ValueError, match="chunk_size"):
        gradcore.per_sample_grad(x * 2, x, chunk_size=0)
    with pytest.raises(RuntimeError, match="does not require grad"):
        gradcore.per_sample_grad(gradcore.ones(2), x)
