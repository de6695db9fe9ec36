"""Programs on the second of two devices while the first is the current one. It must not know how they get there.

CuPy computes on the current device; torch, and so gradcore, where the arrays are. The strict double has two devices
and refuses arrays of the other one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradcore as gc

A, B = np.random.default_rng().normal(size=(2, 3, 3))


def used_twice(x: Any, y: Any) -> Any:
    return (x * y + x).tanh().sum() + (x @ y).sum()


def indexed(x: Any, y: Any) -> Any:
    places = gc.tensor([0, 2, 2], device=x.device)
    return (x[places] * y[0]).sum() + x[:, 1].exp().sum() + x[x > 0].sum()


def written(x: Any, y: Any) -> Any:
    z = x.clone()
    z[0] = y[1]
    z.mul_(y).add_(1)
    return (z * z).mean()


def filled(x: Any, y: Any) -> Any:
    made = gc.ones_like(x) + gc.zeros(3, 3, device=x.device) + gc.full_like(y, 2.0)
    return (gc.cat([x, made]) * gc.stack([y, y]).reshape(6, 3)).sum()


def solved(x: Any, y: Any) -> Any:
    return gc.linalg.solve(x + 5 * gc.eye(3, device=x.device), y).sum()


PROGRAMS = [used_twice, indexed, written, filled, solved]


def gradients(program: Callable[..., Any], device: str, order: int = 1) -> list[Any]:
    leaves = [gc.tensor(x, device=device, requires_grad=True) for x in (A, B)]
    out = program(*leaves)
    for _ in range(order - 1):
        out = sum((g * g).sum() for g in gc.autograd.grad(out, leaves, create_graph=True))
    out.backward()
    out = program(*leaves)
    out.backward()  # accumulates
    assert all(t.device == out.device for t in (*leaves, *(x.grad for x in leaves)))
    return [out, *(x.grad for x in leaves)]


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("order", [1, 2])
def test_a_program_runs_where_its_tensors_are(program: Any, order: int, strict_cuda: Any) -> None:
    elsewhere = gradients(program, "cuda:1", order)
    assert {str(x.device) for x in elsewhere} == {"cuda:1"}
    for x, y in zip(elsewhere, gradients(program, "cpu", order), strict=True):
        np.testing.assert_allclose(strict_cuda.host(x._array), y.detach().numpy(), rtol=1e-10)


def test_a_model_lies_on_both_devices(strict_cuda: Any) -> None:
    x, y = (gc.tensor(v, device=f"cuda:{i}", requires_grad=True) for i, v in enumerate((A, B)))
    out = ((x @ x).to("cuda:1") * y).tanh().to("cuda:0").sum()
    out.backward()
    p, q = (gc.tensor(v, requires_grad=True) for v in (A, B))
    ((p @ p) * q).tanh().sum().backward()
    assert [str(t.device) for t in (out, x.grad, y.grad)] == ["cuda:0", "cuda:0", "cuda:1"]
    for here, there in ((x.grad, p.grad), (y.grad, q.grad)):
        np.testing.assert_allclose(strict_cuda.host(here._array), there.numpy(), rtol=1e-10)


def test_devices_do_not_mix(strict_cuda: Any) -> None:
    x, y = (gc.tensor(A, device=f"cuda:{i}") for i in range(2))
    with pytest.raises(RuntimeError, match="found at least two devices, cuda:0 and cuda:1"):
        x + y


def test_new_tensors_follow_the_current_device(strict_cuda: Any) -> None:
    with gc.cuda.device(1):
        assert str(gc.zeros(2, device="cuda").device) == "cuda:1"
    assert str(gc.zeros(2, device="cuda").device) == "cuda:0"
