"""Whole programs on the strict double: the CPU's numbers, and never a wait for the device. It must not know how.

The case table proves each primitive; these prove what ops, the recorder and the engine do between primitives.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import gradcore as gc
from gradcore.nn import functional as F

PROGRAMS: dict[str, Callable[[Any], Any]] = {
    "network": lambda d: F.cross_entropy(
        F.max_pool2d(F.relu(F.conv2d(d.images, d.kernels, d.bias)), 2).flatten(1) @ d.weights.T, d.labels
    ),
    "embedding": lambda d: F.layer_norm(F.embedding(d.labels, d.table), (16,), d.gain).pow(3).sum(),
    "attention": lambda d: (F.softmax((d.table @ d.table.T / 4).masked_fill(d.mask, float("-inf")), -1) @ d.table).sum(),
    "batch norm": lambda d: F.batch_norm(d.table, d.zeros(16), d.ones(16), d.gain, training=True).pow(3).sum(),
    "losses": lambda d: (
        F.nll_loss(F.log_softmax(d.table, -1), d.rows, ignore_index=3)
        + F.mse_loss(d.table, d.table * d.table)
        + F.binary_cross_entropy_with_logits(d.table, d.mask_like.to(d.table.dtype))
    ),
    "selecting": lambda d: (
        gc.where(d.mask_like, d.table, 0.0).sum()
        + d.table[d.rows].pow(2).sum()
        + d.table[:, 1:3].exp().sum()
        + d.table.gather(1, d.places).sum()
    ),
    "writing": lambda d: written(d).pow(2).sum(),
    "scattering": lambda d: (
        d.zeros(12, 16).scatter_add(0, d.places.T.expand(12, 12), d.table).pow(2).sum()
        + d.zeros(12, 16).index_add(0, d.rows, d.table).pow(2).sum()
    ),
    "order": lambda d: (
        d.table.topk(3)[0].sum() + d.table.sort()[0].max() + d.table.median() + d.table.max(0)[0].pow(2).sum()
    ),
    "reductions": lambda d: (
        d.table.norm()
        + d.table.std()
        + d.table.logsumexp(1).sum()
        + d.table.prod(1).sum()
        + d.table.cumsum(0).pow(2).sum()
        + d.table.cumprod(1).sum()
    ),
    "pieces": lambda d: (
        gc.cat([d.table, d.table * 2]).pow(2).sum()
        + gc.stack(list(d.table.unbind(0))).exp().sum()
        + gc.einsum("ij,kj->ik", d.table, d.table).sum()
        + F.pad(d.table.roll(1, 0).flip(0).tril(), (1, 1)).pow(2).sum()
    ),
    "pointwise": lambda d: (d.table.clamp(-1, 1).abs() + F.gelu(d.table) * 2 - 1 / (d.table**2 + 1)).sum(),
}


def written(d: Any) -> Any:
    z = d.table * 2
    z[:, 0] = 1.0
    z[d.rows[:3]] = d.table[:3]
    z[1:3, 4:6] *= d.table[1:3, 4:6]
    z.masked_fill_(d.mask_like, 0.5)
    return z.add_(1)


def data(device: str) -> Any:
    """The same data on any device: leaves, and what belongs to them."""
    rng = np.random.default_rng(SEED)

    def leaf(*shape: int) -> Any:
        return gc.tensor(rng.normal(size=shape), device=device, requires_grad=True)

    def constant(x: Any) -> Any:
        return gc.tensor(x, device=device)

    def zeros(*shape: int) -> Any:
        return gc.zeros(*shape, device=device, dtype=gc.float64)

    d = SimpleNamespace(kernels=leaf(4, 3, 3, 3), bias=leaf(4), weights=leaf(10, 64), table=leaf(12, 16), gain=leaf(16))
    d.leaves = list(vars(d).values())
    d.images = constant(rng.normal(size=(8, 3, 10, 10)))
    d.labels = constant(rng.integers(0, 10, 8))
    d.rows = constant(rng.permutation(12))
    d.places = constant(rng.integers(0, 12, (12, 1)))
    d.mask = constant(np.triu(np.ones((12, 12), bool), 1))
    d.mask_like = constant(rng.normal(size=(12, 16)) > 0)
    d.zeros, d.ones = zeros, lambda *shape: zeros(*shape) + 1
    return d


SEED = np.random.SeedSequence().entropy


def gradients(program: Callable[[Any], Any], d: Any, order: int) -> list[Any]:
    out = program(d)
    for _ in range(order - 1):
        found = gc.autograd.grad(out, d.leaves, create_graph=True, allow_unused=True)
        out = sum((g * g).sum() for g in found if g is not None and g.requires_grad) + 0 * out
    out.backward()
    return [out.detach(), *(x.grad for x in d.leaves if x.grad is not None)]


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_gives_the_cpus_numbers_and_never_waits(program: str, order: int, strict_cuda: Any) -> None:
    print(f"{SEED=}")
    d = data("cuda")
    with strict_cuda.never_waits():
        there = gradients(PROGRAMS[program], d, order)
    here = gradients(PROGRAMS[program], data("cpu"), order)
    for x, y in zip(there, here, strict=True):
        assert str(x.device) == "cuda:0"
        np.testing.assert_allclose(strict_cuda.host(x._array), y.numpy(), rtol=1e-8, atol=1e-8)


def test_a_step_of_descent_never_waits(strict_cuda: Any) -> None:
    d = data("cuda")
    PROGRAMS["network"](d).backward()
    before = strict_cuda.host(d.weights._array)
    with strict_cuda.never_waits(), gc.no_grad():
        for x in d.leaves[:3]:
            x -= 0.1 * x.grad
            x.grad.zero_()
        F.dropout(d.table, 0.5)
    assert (strict_cuda.host(d.weights._array) != before).any()
    assert (strict_cuda.host(d.weights.grad._array) == 0).all()


def test_arrays_come_in_and_go_out_without_a_copy(strict_cuda: Any) -> None:
    array = strict_cuda.array(np.arange(6.0).reshape(2, 3))
    with strict_cuda.never_waits():
        assert gc.as_tensor(array)._array is array
        assert gc.asarray(array)._array is array
        shared = gc.from_dlpack(array)
        shared += 1
        again = strict_cuda.cupy.from_dlpack(shared)
        copied = gc.tensor(array)
        copied += 1
        product = array * gc.as_tensor(array)
        interface = shared.__cuda_array_interface__
    assert strict_cuda.host(array)[0, 0] == strict_cuda.host(again)[0, 0] == 1
    assert interface["data"][0] == array.data.ptr
    assert {str(x.device) for x in (shared, copied, product)} == {"cuda:0"}
    with pytest.raises(TypeError, match=r"Use Tensor\.cpu"):
        shared.numpy()
    with pytest.raises(RuntimeError, match="same device"):
        shared + np.ones(3)


def test_what_must_wait_does(strict_cuda: Any) -> None:
    x = gc.tensor([1.0, -2.0], device="cuda")
    for ask in (
        lambda: x.sum().item(),
        lambda: x.tolist(),
        lambda: x.cpu(),
        lambda: bool(x.max() > 0),
        lambda: repr(x),
        lambda: x[x > 0],
        lambda: x.nonzero(),
        lambda: x.unique(),
    ):
        before = strict_cuda.syncs
        ask()
        assert strict_cuda.syncs > before
