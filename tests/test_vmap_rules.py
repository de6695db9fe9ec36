"""Searches, counts, maxima at places and sums over paths under vmap: all at once, as a loop and as torch have it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradcore
import gradcore.func
from gradcore.transforms import batches

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*torch.jit", "ignore:There is a performance drop", "ignore:torch.searchsorted", "ignore:index_reduce"
)

B = 5
Arrays = tuple[Any, ...]


def values(rng: np.random.Generator) -> Arrays:
    return (rng.normal(size=(B, 6, 8)),)


def numbered(rng: np.random.Generator) -> Arrays:
    return rng.normal(size=(B, 6, 8)), rng.integers(0, 6, (B, 6))


def speech(rng: np.random.Generator) -> Arrays:
    logits = rng.normal(size=(B, 9, 3, 6))
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True)), rng.integers(1, 6, (B, 3, 4))


def ctc(T: Any, x: Any, t: Any, steps: Any = (9, 9, 8), **options: Any) -> Any:
    return T.nn.functional.ctc_loss(x, t, steps, (4, 3, 2), **options)


def ctc_gradient(T: Any, x: Any, t: Any) -> Any:
    if T is gradcore:
        return T.func.grad(lambda x: ctc(T, x.log_softmax(-1), t))(x)
    x = x.detach().requires_grad_()  # torch.func does not know its derivative
    return T.autograd.grad(ctc(T, x.log_softmax(-1), t), x)[0]


# What is run for each of the batch, its arguments, and which of these differ.
PROGRAMS: dict[str, tuple[Callable[..., Any], Callable[[np.random.Generator], Arrays], list[tuple[Any, ...]]]] = {
    "ctc": (ctc, speech, [(0, 0), (0, None), (None, 0)]),
    "ctc, one by one": (lambda T, x, t: ctc(T, x, t, reduction="none"), speech, [(0, 0)]),
    "impossible ctc": (lambda T, x, t: ctc(T, x[:3], t, (3, 3, 3), zero_infinity=True), speech, [(0, 0)]),
    "gradient of ctc": (ctc_gradient, speech, [(0, 0), (0, None), (None, 0)]),
    "searchsorted": (lambda T, x, i: T.searchsorted(x[0].sort().values, x[1]), numbered, [(0, 0)]),
    "searchsorted, of one": (lambda T, x, y: T.searchsorted(x[0].sort().values, y[1:3], right=True),
        lambda rng: (*values(rng), *values(rng)), [(0, None), (None, 0)]),
    "searchsorted, of rows": (lambda T, x, i: T.searchsorted(x.sort().values, x), numbered, [(0, 0)]),
    "bucketize": (lambda T, x: T.bucketize(x, T.tensor([-1.0, 0.0, 0.5], dtype=x.dtype)), values, [(0,)]),
    "bucketize a number": (lambda T, x: T.bucketize(x[0, 0], x[1].sort().values), values, [(0,)]),
    "isin": (lambda T, x, i: T.isin(i[:3], i[3:]), numbered, [(0, 0)]),
    "isin, not": (lambda T, x, i: T.isin(T.arange(6), i, invert=True), numbered, [(0, 0)]),
    "histc": (lambda T, x: T.histc(x, 5, -1, 1), values, [(0,)]),
    "histogram": (lambda T, x: T.histogram(x, 4, range=(-1.0, 1.0), weight=x * x).hist, values, [(0,)]),
    "histogram by edges": (lambda T, x: T.histogram(x, x[0].sort().values, density=True).hist, values, [(0,)]),
    "histc of its own range": (lambda T, x: T.histc(x, 5), values, [(0,)]),
    "histc of one number": (lambda T, x: T.histc(x * 0 + x[0, 0], 5), values, [(0,)]),
    "histogram of its own range": (lambda T, x: T.histogram(x, 4, density=True).hist, values, [(0,)]),
    "edges of its own range": (lambda T, x: T.histogram(x, 4).bin_edges, values, [(0,)]),
    "nonzero_static": (
        lambda T, x: T.nonzero_static((x * (x > 0)).reshape(2, 3, 8), size=30, fill_value=7), values, [(0,)]
    ),
    "nonzero_static of few": (lambda T, x: T.nonzero_static(x * (x > 0), size=5), values, [(0,)]),
    "phases": (
        lambda T, x: T.func.grad(
            lambda x: T.linalg.eigh(T.complex(x[:, :6], x[:, 2:]))[1].abs().pow(3).sum()
        )(x), values, [(0,)],
    ),
    "index_reduce": (
        lambda T, x, i: T.func.grad(lambda x: x.index_reduce(0, i, x * 2 - 1, "amax").pow(2).sum())(x), numbered,
        [(0, 0), (0, None), (None, 0)],
    ),
    "index_reduce, mean": (
        lambda T, x, i: x.index_reduce(0, i, x * 2, "mean", include_self=False), numbered, [(0, 0), (None, 0)]
    ),
    "index_reduce, product": (
        lambda T, x, i: T.func.grad(lambda x: x.index_reduce(0, i, x * 2 - 1, "prod").pow(2).sum())(x), numbered,
        [(0, 0), (0, None), (None, 0)],
    ),
    "scatter_reduce": (
        lambda T, x, i: T.func.grad(lambda x: x[0, :6].scatter_reduce(0, i, x[1, :6], "amin").pow(2).sum())(x), numbered,
        [(0, 0), (0, None), (None, 0)],
    ),
    "embedding": (
        lambda T, x, i: T.func.grad(
            lambda w: T.nn.functional.embedding(i, w, scale_grad_by_freq=True).pow(2).sum()
        )(x), numbered, [(0, 0), (0, None), (None, 0)],
    ),
    "adaptive maxima": (
        lambda T, x: T.func.grad(lambda x: T.nn.functional.adaptive_max_pool2d(x[None], (4, 3)).pow(2).sum())(x), values,
        [(0,)],
    ),
    "where they are": (lambda T, x: T.nn.functional.adaptive_max_pool1d(x, 3, return_indices=True)[1], values, [(0,)]),
    "maxima of bags": (
        lambda T, x, i: T.nn.functional.embedding_bag(i.view(2, 3), x, mode="max"), numbered, [(0, 0), (0, None), (None, 0)]
    ),
}  # fmt: skip


def sliced(args: list[Any], dims: tuple[Any, ...], i: int) -> list[Any]:
    return [a if dim is None else a[i] for a, dim in zip(args, dims, strict=True)]


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_batch_at_once_is_what_a_loop_and_torch_have(name: str) -> None:
    program, make, each = PROGRAMS[name]
    for dims in each:
        arrays = make(np.random.default_rng())
        arrays = tuple(a if dim == 0 else a[0] for a, dim in zip(arrays, dims, strict=True))
        ours, theirs = ([T.tensor(a.tolist(), dtype=getattr(T, str(a.dtype))) for a in arrays] for T in (gradcore, torch))
        batches._told.clear()
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # of loops
            found = gradcore.func.vmap(lambda *a: program(gradcore, *a), in_dims=dims)(*ours)
        loop = gradcore.stack([program(gradcore, *sliced(ours, dims, i)) for i in range(B)])
        assert (found.shape, found.dtype) == (loop.shape, loop.dtype)
        np.testing.assert_allclose(found.numpy(), loop.numpy(), rtol=1e-10, atol=1e-10)
        beside = torch.stack([program(torch, *sliced(theirs, dims, i)) for i in range(B)])
        np.testing.assert_allclose(found.numpy(), beside.numpy(), rtol=1e-8, atol=1e-8)
        try:
            at_once = torch.func.vmap(lambda *a: program(torch, *a), in_dims=dims)(*theirs)
        except RuntimeError:
            continue  # torch has no rule for some of them
        np.testing.assert_allclose(found.numpy(), at_once.numpy(), rtol=1e-8, atol=1e-8)


def test_batches_of_batches() -> None:
    x = gradcore.randn(3, 4, 7, dtype=gradcore.float64)
    order = gradcore.func.vmap(gradcore.func.vmap(lambda a: gradcore.searchsorted(a.sort().values, a)))(x)
    flat = gradcore.stack([gradcore.searchsorted(a.sort().values, a) for a in x.reshape(12, 7)]).reshape(3, 4, 7)
    assert gradcore.equal(order, flat)
    counts = gradcore.func.vmap(gradcore.func.vmap(lambda a: gradcore.histc(a, 3, -1, 1)))(x)
    assert counts.tolist() == [[gradcore.histc(row, 3, -1, 1).tolist() for row in rows] for rows in x]
