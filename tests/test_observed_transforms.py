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
