"""Attention through cuDNN: on the pretended frontend, beside the host's numbers. It must not know how it is planned.

tests/test_cudnn.py lets NVIDIA's frontend judge the same graphs; where there is a GPU and cuDNN, all of it runs there.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import gradcore as gc
from gradcore import cuda
from gradcore.nn import functional as F
from tests import double
from tests.double import cudnn as pretended
from tests.double import kernels

# Batch, heads, queries, keys, depth, width.
CASES = {
    "square": (2, 3, 8, 8, 16, 16),
    "one query": (1, 2, 1, 7, 8, 8),
    "more queries": (2, 1, 9, 4, 8, 8),
    "wider values": (1, 2, 5, 6, 8, 24),
}
TOLERANCE = {gc.float16: 0.02, gc.bfloat16: 0.12}


@pytest.fixture
def fake(strict_cuda: Any) -> Iterator[Any]:
    """The switch, over the pretended frontend."""
    with pretended.installed(pretended.library()) as switch:
        yield switch


def operands(name: str, device: str, dtype: Any, seed: int = 0) -> list[Any]:
    b, h, rows, columns, depth, width = CASES[name]
    generator = np.random.default_rng(seed)
    shapes = [(b, h, rows, depth), (b, h, columns, depth), (b, h, columns, width), (b, h, rows, width)]
    arrays = [gc.tensor(generator.normal(size=s)).to(gc.bfloat16).to(dtype) for s in shapes]
    return [x.to(device).requires_grad_(i < 3) for i, x in enumerate(arrays)]


def derivatives(name: str, device: str, dtype: Any, causal: bool) -> list[Any]:
    """Attention, its gradients, and those of a function of these; values of other width than queries are a primitive's."""
    q, k, v, g = operands(name, device, dtype)
    from gradcore.primitives.attention import attend

    y = attend(q, k, v, None, scale=0.4, causal=causal)[0]
    first = gc.autograd.grad((y * g).sum(), (q, k, v), create_graph=True)
    second = gc.autograd.grad(sum((x * x).sum() for x in first), (q, k, v))
    plain = gc.autograd.grad((attend(q, k, v, None, scale=0.4, causal=causal)[0] * g).sum(), (q, k, v))
    return [t.detach().float().cpu().numpy().astype("f8") for t in (y, *plain, *first, *second)]


def close(ours: Any, expected: Any, tolerance: float) -> None:
    for mine, other in zip(ours, expected, strict=True):
        np.testing.assert_allclose(mine, other, rtol=tolerance, atol=tolerance * max(1.0, np.abs(other).max()))


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_attention_and_its_derivatives_are_the_hosts(name: str, causal: bool, dtype: Any, fake: Any) -> None:
    before = len(kernels.runs)
    close(derivatives(name, "cuda", dtype, causal)[:7], derivatives(name, "cpu", gc.float64, causal)[:7], TOLERANCE[dtype])
    assert {way for way, _ in pretended.runs} == {"attention", "attention backward"}
    assert not any("attend" in name for name in kernels.runs[before:])


def test_what_it_keeps_is_what_the_kernels_keep(fake: Any, strict_cuda: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A forward of either is reversed by the other, and where neither serves, composed."""
    B = strict_cuda.backend
    q, k, v, g = (x.detach()._array for x in operands("square", "cuda", gc.float16))
    out, levels, _ = B.attend(q, k, v, None, 0.4, True)
    assert (levels.shape, levels.dtype) == (q.shape[:-1], "f4")
    found = [B.attend_backward(g, q, k, v, None, out, levels, levels, 0.4, True)]
    with fake.flags(enabled=False):
        other, same, _ = B.attend(q, k, v, None, 0.4, True)
        if kernels.COMPILER is not None:
            np.testing.assert_allclose(same._host, levels._host, atol=2e-3)
            np.testing.assert_allclose(other._host.astype("f4"), out._host.astype("f4"), atol=5e-3)
        found.append(B.attend_backward(g, q, k, v, None, out, levels, levels, 0.4, True))
        monkeypatch.setattr(double.parts()["gradcore.backends.kernels.attention"], "MEMORY", 0)
        found.append(B.attend_backward(g, q, k, v, None, out, levels, levels, 0.4, True))
    for each in found[1:]:
        close([x._host.astype("f8") for x in each], [x._host.astype("f8") for x in found[0]], 0.02)


def test_what_cudnn_does_not_serve_is_computed_without(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for dtype, width in ((gc.float32, 8), (gc.float64, 8), (gc.float16, 12)):
        q = gc.ones(1, 2, 4, width, device="cuda", dtype=dtype, requires_grad=True)
        F.scaled_dot_product_attention(q, q, q).sum().backward()
    assert pretended.runs == []
    monkeypatch.setattr(pretended, "WAYS", [])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        close(derivatives("square", "cuda", gc.float16, True)[:4], derivatives("square", "cpu", gc.float64, True)[:4], 0.02)
    assert len(pretended.planned) == 2  # for attention and its derivative, once
    assert pretended.runs == []
    fake.enabled = False
    try:
        q = gc.ones(1, 2, 4, 8, device="cuda", dtype=gc.float16)
        F.scaled_dot_product_attention(q, q, q)
    finally:
        fake.enabled = True
    assert pretended.runs == []


def test_plans_streams_and_captures(fake: Any) -> None:
    q, k, v, g = operands("square", "cuda", gc.float16)

    def step(q: Any) -> Any:
        q.grad = k.grad = None
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        (y * g).sum().backward()
        return y, q.grad, k.grad

    graphed = cuda.graphed_step(step, warmup=1)
    for _ in range(4):
        with gc.no_grad():
            q.mul_(1.1)
        found = [t.detach()._array._host.astype("f8") for t in graphed(q)]
        here = [t.detach().cpu().double().requires_grad_() for t in (q, k, v)]
        y = F.scaled_dot_product_attention(*here, is_causal=True)
        (y * g.detach().cpu().double()).sum().backward()
        close(found, [y.detach().numpy(), here[0].grad.numpy(), here[1].grad.numpy()], 0.02)
    assert len(pretended.planned) == 2
    with cuda.device(1), gc.no_grad():
        other = gc.ones(1, 1, 3, 8, device="cuda", dtype=gc.float16)
        assert F.scaled_dot_product_attention(other, other, other).device.index == 1


def test_the_same_bits_every_time_are_asked_for_where_they_must_be(fake: Any, strict_cuda: Any) -> None:
    gc.use_deterministic_algorithms(True)
    try:
        derivatives("square", "cuda", gc.float16, False)
    finally:
        gc.use_deterministic_algorithms(False)
    assert {way for way, _ in pretended.runs} == {"attention", "attention exactly backward"}
    q, k, v, g = operands("one query", "cuda", gc.float16)
    with strict_cuda.never_waits():
        (F.scaled_dot_product_attention(q, k, v) * g).sum().backward()


def asked() -> list[Any]:
    """What the cases ask of cuDNN."""
    with pretended.installed(pretended.library()), double.installed():
        for name in CASES:
            for dtype in TOLERANCE:
                for causal in (False, True):
                    derivatives(name, "cuda", dtype, causal)
        found = [key[2] for key in double.parts()["gradcore.backends.plans"].known.plans]
    assert len(found) == 8 * len(CASES)
    return found


@pytest.mark.cuda
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_on_a_gpu(name: str, causal: bool) -> None:
    from gradcore.backends import cudnn

    if not cudnn.is_available():
        pytest.skip(str(cudnn.why_not()))
    for dtype, tolerance in TOLERANCE.items():
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = derivatives(name, "cuda", dtype, causal)[:7]
        close(found, derivatives(name, "cpu", gc.float64, causal)[:7], tolerance)
    known = __import__("sys").modules["gradcore.backends.plans"].known
    assert any(plan for key, plan in known.plans.items() if hasattr(key[2], "queries")), "cuDNN served nothing"
