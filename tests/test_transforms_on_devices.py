"""Forward mode and batches on a device, through its stand-in: what indexes, and what is written on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradcore
from gradcore import func
from gradcore.nn import functional as F

X, T = np.arange(12.0).reshape(3, 4), np.linspace(-1.0, 1.0, 12).reshape(3, 4)


@pytest.mark.parametrize("index_device", ["cuda", "cpu"])
def test_indices_lie_with_the_indexed_or_on_the_host(index_device: str, strict_cuda: Any) -> None:
    rows = gradcore.tensor([2, 0, 2], device=index_device)
    x, t = (gradcore.tensor(a, device="cuda") for a in (X, T))
    value, moved = func.jvp(lambda x: x[rows] * x[rows], (x,), (t,))
    np.testing.assert_allclose(value.cpu().numpy(), X[[2, 0, 2]] ** 2)
    np.testing.assert_allclose(moved.cpu().numpy(), (2 * X * T)[[2, 0, 2]])
    taken = func.vmap(lambda row: row[rows])(x)
    assert taken.device.type == "cuda"
    np.testing.assert_array_equal(taken.cpu().numpy(), X[:, [2, 0, 2]])
    put = func.vmap(lambda row: row.index_put((rows[:2],), row[1]))(x)
    expected = X.copy()
    expected[:, [2, 0]] = X[:, 1:2]
    np.testing.assert_array_equal(put.cpu().numpy(), expected)


def test_indices_of_another_device_are_refused_in_transforms_too(strict_cuda: Any) -> None:
    rows = gradcore.tensor([0, 1], device="cuda")
    for transformed in (func.vmap(lambda x: x[rows]), lambda x: func.jvp(lambda x: x[rows], (x,), (x,))):
        with pytest.raises(RuntimeError, match="indices should be either on cpu or on the same device"):
            transformed(gradcore.tensor(X))


@pytest.mark.parametrize("norm", [F.batch_norm, F.instance_norm])
def test_running_statistics_move_by_what_the_primals_are(norm: Any, strict_cuda: Any) -> None:
    values = np.random.default_rng().normal(size=(3, 2, 5))
    seen = []
    for device in ("cpu", "cuda"):
        x = gradcore.tensor(values, device=device)
        mean, var = gradcore.zeros(2, dtype=x.dtype, device=device), gradcore.ones(2, dtype=x.dtype, device=device)
        options = {"training": True} if norm is F.batch_norm else {}
        _, moved = func.jvp(lambda x, mean=mean, var=var, options=options: norm(x, mean, var, **options), (x,), (x.cos(),))
        assert mean.device.type == device
        seen.append([a.cpu().numpy() for a in (moved, mean, var)])
    for ours, theirs in zip(*seen, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    np.testing.assert_allclose(seen[0][1], 0.1 * values.mean((0, 2)))
