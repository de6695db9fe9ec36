"""Sweeps of torch.func's derivatives are seen as others are: by checkpoints, anomaly mode and profiles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradcore
from gradcore.autograd import profiler
from gradcore.utils.checkpoint import checkpoint

DERIVATIVES = ["grad", "vjp", "grad of grad", "vmap of grad"]


def derived(how: str, f: Any, x: Any) -> Any:
    F = gradcore.func
    if how == "vjp":
        return F.vjp(f, x)[1](gradcore.ones((), dtype=x.dtype))[0]
    if how == "grad of grad":
        return F.grad(lambda x: F.grad(f)(x).sum())(x)
    return F.vmap(F.grad(f))(x) if how == "vmap of grad" else F.grad(f)(x)


@pytest.mark.parametrize("how", DERIVATIVES)
def test_a_checkpoint_is_recomputed_once_in_a_sweep(how: str) -> None:
    runs = []

    def f(x: Any) -> Any:
        runs.append(1)
        return (x * 2).exp().sin().cos().sum()

    x = gradcore.from_numpy(np.random.default_rng().normal(size=(3, 2)))
    wanted = derived(how, f, x)
    runs.clear()
    found = derived(how, lambda x: checkpoint(f, x, use_reentrant=False), x)
    np.testing.assert_allclose(found.numpy(), wanted.numpy(), rtol=1e-10)
    assert len(runs) <= (5 if how == "grad of grad" else 2)


@pytest.mark.filterwarnings("ignore:Anomaly")
@pytest.mark.parametrize("how", DERIVATIVES[:2])
def test_anomalies_are_told(how: str) -> None:
    x = gradcore.zeros(2, dtype=gradcore.float64)
    with gradcore.autograd.detect_anomaly(), pytest.raises(RuntimeError, match="returned nan values") as caught:
        derived(how, lambda x: (x.sqrt() * 0).sum(), x)
    assert "test_observed_transforms.py" in caught.value.__notes__[0]


@pytest.mark.parametrize("how", DERIVATIVES)
def test_profiles_have_the_nodes(how: str) -> None:
    x = gradcore.ones(3, 2)
    with profiler.profile() as prof:
        derived(how, lambda x: x.exp().sum(), x)
    assert "ExpBackward0" in {event.name for event in prof.function_events}


BATCHED = ["jacobian", "is_grads_batched", "vmap of grad", "jacrev"]


def in_a_batch(how: str, f: Any, x: Any) -> Any:
    if how == "jacobian":
        return gradcore.autograd.functional.jacobian(f, x, vectorize=True)
    if how == "is_grads_batched":
        x = x.clone().requires_grad_()
        y = f(x)
        return gradcore.autograd.grad(y, x, gradcore.eye(y.shape[0], dtype=x.dtype), is_grads_batched=True)[0]
    return gradcore.func.jacrev(f)(x) if how == "jacrev" else gradcore.func.vmap(gradcore.func.grad(lambda x: f(x).sum()))(x)


@pytest.mark.parametrize("how", BATCHED)
def test_sweeps_of_batches_are_seen(how: str) -> None:
    runs = []

    def f(x: Any) -> Any:
        runs.append(1)
        return (x * 2).exp().sin().cos() + x.sum(-1, keepdim=True)

    x = gradcore.from_numpy(np.random.default_rng().normal(size=(3,)))
    x = x.expand(2, 3).clone() if how == "vmap of grad" else x
    wanted = in_a_batch(how, f, x)
    runs.clear()
    checkpointed = in_a_batch(how, lambda x: checkpoint(f, x, use_reentrant=False), x)
    np.testing.assert_allclose(checkpointed.numpy(), wanted.numpy(), rtol=1e-10)
    assert len(runs) == 2
    with profiler.profile() as prof, gradcore.autograd.set_detect_anomaly(True):
        watched = in_a_batch(how, f, x)
    np.testing.assert_array_equal(watched.numpy(), wanted.numpy())
    assert {"ExpBackward0", "SinBackward0"} <= {event.name for event in prof.function_events}


@pytest.mark.parametrize("how", BATCHED)
def test_anomalies_in_batches_are_told(how: str) -> None:
    x = gradcore.tensor([[1.0, 0.0], [1.0, 2.0]] if how == "vmap of grad" else [1.0, 0.0])
    with gradcore.autograd.set_detect_anomaly(True):
        with pytest.raises(RuntimeError, match="SqrtBackward0' returned nan values"):
            in_a_batch(how, lambda x: x.sqrt() * 0, x)
        assert in_a_batch(how, lambda x: x.sqrt() * 0, x + 1).sum() == 0
