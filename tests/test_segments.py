"""Reductions into places, writes to views, low-rank decompositions: beside torch's. It must not know how."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradcore

torch = pytest.importorskip("torch")

from tests.beside import names  # noqa: E402
from tests.twin import same  # noqa: E402

SEGMENTS = ("sum", "mean", "max", "min", "prod")
REDUCTIONS = ("sum", "prod", "mean", "amax", "amin")
AT = "torch.tensor([[0, 0, 1], [1, 0, 1]])"
EXPRESSIONS = [
    *(f"torch.scatter_reduce(w, 0, {AT}, x + 1, '{r}', include_self={s})" for r in REDUCTIONS for s in (True, False)),
    *(f"torch.scatter_reduce(l, 1, {AT}, -l, '{r}')" for r in REDUCTIONS),
    *(f"torch.scatter_reduce(l > 5, 0, {AT}, l > 2, '{r}')" for r in REDUCTIONS if r != "mean"),
    *(f"torch.index_reduce(w, 1, torch.tensor([2, 0, 2]), x, '{r}')" for r in REDUCTIONS),
    "torch.scatter_reduce(z, 0, torch.tensor(0), z * 3, 'prod')", f"x.scatter_reduce_(0, {AT}, x * 2, 'amax')",
    "torch.scatter_reduce(u, 1, torch.zeros(2, 0, dtype=torch.long), u, 'sum')",
    "x.index_reduce_(0, torch.tensor([1]), y[None], 'mean', include_self=False)",
    "torch.scatter_reduce(y, 0, torch.tensor([0, 0, 2]), y * float('nan'), 'amax')",
    f"torch.scatter_reduce(w, 0, {AT} + 2, x, 'sum')", f"torch.scatter_reduce(w, 0, {AT}, x.double(), 'sum')",
    f"torch.scatter_reduce(w, 0, {AT}, x, 'median')", "torch.index_reduce(w, 1, torch.tensor([5]), x[:, :1], 'prod')",
    f"torch.scatter_reduce(c, 0, {AT}, c, 'amax')",
    *(f"torch.segment_reduce(w[0], '{r}', lengths=torch.tensor([2, 0, 1]))" for r in SEGMENTS),
    *(f"torch.segment_reduce(w, '{r}', lengths=torch.tensor([2, 0]), initial=2.5)" for r in SEGMENTS),
    *(f"torch.segment_reduce(x3, '{r}', lengths=torch.tensor([[1, 2], [3, 0]]), axis=1)" for r in SEGMENTS),
    "torch.segment_reduce(w[0], 'sum', offsets=torch.tensor([0, 1, 3]))", "torch.segment_reduce(w, 'sum', lengths=l[0])",
    "torch.segment_reduce(w[0], 'max', lengths=torch.tensor([3]), initial=2)", "torch.segment_reduce(w, 'sum')",
    "torch.segment_reduce(w[0], 'sum', lengths=torch.tensor([-1, 4]))", "torch.segment_reduce(l, 'sum', lengths=l[0])",
    "torch.segment_reduce(w, 'sum', lengths=torch.tensor([1, 1]), axis=1)",
    "torch.as_strided_scatter(x, y[:2], (2,), (2,), 1)", "torch.constant_pad_nd(w, (1, -1), 2.5)",
]  # fmt: skip


@pytest.mark.parametrize("code", dict.fromkeys(EXPRESSIONS))
def test_operations_are_torchs(code: str) -> None:
    same(lambda T: eval(code, names(T)), torch, words=0, may_raise=True)


@pytest.mark.parametrize("reduce", REDUCTIONS)
def test_second_derivatives_of_what_is_full_of_zeros_and_ties(reduce: str) -> None:
    values, rng = np.array([0.0, 2.0, 0.0, 3.0, 3.0, 1.0]), np.random.default_rng()
    index, weights = rng.integers(0, 3, 6), rng.normal(size=3)

    def function(x: Any, src: Any) -> Any:
        T = gradcore if isinstance(x, gradcore.Tensor) else torch
        return T.scatter_reduce(x, 0, T.tensor(index), src, reduce)

    x, src = (gradcore.tensor(v, requires_grad=True) for v in (np.array([0.0, 1.0, 2.0]), values))
    out = (function(x, src) * gradcore.tensor(weights)).sum()
    gx, gs = gradcore.autograd.grad(out, (x, src), create_graph=True)
    if reduce == "prod":
        for i in range(6):  # the product is linear in each factor
            shifted = values.copy()
            shifted[i] += 1
            y = (function(torch.tensor([0.0, 1.0, 2.0]).double(), torch.tensor(shifted)) * torch.tensor(weights)).sum()
            assert y.item() - out.item() == pytest.approx(gs[i].item(), abs=1e-12)
        (second,) = gradcore.autograd.grad(gs.sum() + gx.sum(), src)
        assert np.isfinite(second.numpy()).all()
    else:
        tx, ts = (torch.tensor(v, requires_grad=True) for v in (np.array([0.0, 1.0, 2.0]), values))
        (function(tx, ts) * torch.tensor(weights)).sum().backward()
        np.testing.assert_allclose(gx.detach().numpy(), tx.grad.numpy(), rtol=1e-12)
        np.testing.assert_allclose(gs.detach().numpy(), ts.grad.numpy(), rtol=1e-12)


def test_as_strided_scatter_keeps_the_gradient_of_what_it_keeps() -> None:
    x, src = gradcore.ones(4, requires_grad=True), gradcore.zeros(2, requires_grad=True)
    gradcore.as_strided_scatter(x, src, (2,), (2,), 0).backward(gradcore.arange(4.0))
    assert x.grad.tolist() == [0, 1, 0, 3]  # torch: the other two
    assert src.grad.tolist() == [0, 2]


def test_low_rank_decompositions_find_what_is_there() -> None:
    rng = np.random.default_rng()
    low = rng.normal(size=(2, 9, 3)) @ rng.normal(size=(2, 3, 6))
    A = gradcore.tensor(low, requires_grad=True)
    U, S, V = gradcore.svd_lowrank(A, 3)
    np.testing.assert_allclose((U * S[:, None] @ V.mT).detach().numpy(), low, atol=1e-9)
    np.testing.assert_allclose(S.detach().numpy(), np.linalg.svd(low)[1][:, :3], rtol=1e-9)
    S.sum().backward()
    left, _, right = np.linalg.svd(low)
    np.testing.assert_allclose(A.grad.numpy(), left[:, :, :3] @ right[:, :3], atol=1e-6)
    U, S, V = gradcore.pca_lowrank(A, 4)
    centred = low - low.mean(1, keepdims=True)
    np.testing.assert_allclose((U * S[:, None] @ V.mT).detach().numpy(), centred, atol=1e-9)
    with pytest.raises(ValueError, match="not greater than min"):
        gradcore.pca_lowrank(A, 7)


def test_reductions_into_places_stay_on_the_device(strict_cuda: Any) -> None:
    index = gradcore.tensor(strict_cuda.array(np.array([1, 1, 0, 1])))
    src = gradcore.tensor(strict_cuda.array(np.array([3.0, 0.0, 2.0, 5.0])), requires_grad=True)
    x = gradcore.tensor(strict_cuda.array(np.ones(3)))
    with strict_cuda.never_waits():
        for reduce in REDUCTIONS:
            gradcore.scatter_reduce(x, 0, index, src, reduce).sum().backward()
    assert src.grad.is_cuda
