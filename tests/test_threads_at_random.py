"""Eight threads do everything at random for two seconds, and each gets the numbers of one thread. It must not need torch."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradcore as gc
from gradcore import autograd, func
from gradcore.autograd import forward_ad, graph, profiler
from gradcore.utils.checkpoint import checkpoint

SECONDS, THREADS = 2.0, 8
MATRICES = np.random.default_rng(0).normal(size=(4, 4, 4))
SHARED = [gc.from_numpy(a.copy()).requires_grad_() for a in MATRICES]


def leaf(i: int) -> Any:
    return gc.from_numpy(MATRICES[i % 4].copy()).requires_grad_()


class Cube(autograd.Function):  # type: ignore[misc, valid-type]
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Any) -> Any:
        return x**3

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g * 3 * ctx.saved_tensors[0] ** 2

    @staticmethod
    def jvp(ctx: Any, t: Any) -> Any:
        return t * 3 * ctx.saved_tensors[0] ** 2


def separate_graphs(i: int) -> Any:
    x = leaf(i)
    (x @ x.T).tanh().sum().backward()
    return x.grad


def shared_leaves(i: int) -> Any:
    x = leaf(i + 1)
    return gc.stack(autograd.grad((SHARED[i] @ x).sigmoid().sum(), (SHARED[i], x)))


def hooks(i: int) -> Any:
    x, seen = leaf(i), []
    y = x.exp()
    y.register_hook(lambda g: seen.append(g.sum().item()) or g * 2)
    handle = x.register_hook(lambda g: g + 1)
    graph.register_multi_grad_hook((x, y), lambda gs: seen.append(gs[0].sum().item()))
    (y * y).sum().backward()
    handle.remove()
    return x.grad * seen[0] + seen[1]


def grad_modes(i: int) -> Any:
    x = leaf(i)
    with gc.no_grad():
        assert not (x * 2).requires_grad
        with gc.enable_grad():
            y = x * 3
    with gc.inference_mode():
        c = x * 4
    assert (y.requires_grad, c.is_inference(), gc.is_grad_enabled()) == (True, True, True)
    y.sum().backward()
    return x.grad + c


def checkpoints(i: int) -> Any:
    x = leaf(i)
    y = checkpoint(lambda t: (t.sin() @ t).relu(), x, use_reentrant=False)
    checkpoint(lambda t: (t * 0.1).exp().sum(), y, use_reentrant=False).backward()
    return x.grad


def packed(i: int) -> Any:
    x = leaf(i)
    with graph.saved_tensors_hooks(lambda t: t.numpy().copy(), gc.from_numpy):
        y = (x.exp() * x).sum()
    y.backward()
    return x.grad


def batches(i: int) -> Any:
    x = leaf(i)
    rows = func.vmap(func.grad(lambda r: (r.sin() * r).sum()))(x.detach())
    return rows + autograd.grad((x**2).sum(1), x, gc.eye(4, dtype=gc.float64), is_grads_batched=True)[0].sum(0)


def hessians(i: int) -> Any:
    return func.hessian(lambda r: (r**3).prod() + r.exp().sum())(leaf(i).detach()[0])


def dual_numbers(i: int) -> Any:
    x = leaf(i).detach()
    with forward_ad.dual_level():
        return forward_ad.unpack_dual((forward_ad.make_dual(x, x.cos()) @ x).tanh()).tangent


def functions(i: int) -> Any:
    x = leaf(i)
    (g,) = autograd.grad(Cube.apply(x).sum(), x, create_graph=True)
    (g * g).sum().backward()
    flat = x.detach()
    return x.grad + func.vmap(Cube.apply)(flat) + func.jvp(Cube.apply, (flat,), (flat,))[1]


def writes(i: int) -> Any:
    x = leaf(i)
    y = x * 1
    y[0] *= 3
    y[:, 1].mul_(2)
    y.view(16).add_(1)
    (y * y).sum().backward()
    return x.grad


def watched(i: int) -> Any:
    with profiler.profile() as prof:
        made = separate_graphs(i)
    assert len(prof.function_events) > 3
    with autograd.set_detect_anomaly(True, check_nan=bool(i % 2)):
        return made + separate_graphs(i)


WORK: list[Callable[[int], Any]] = [
    separate_graphs, shared_leaves, hooks, grad_modes, checkpoints, packed, batches, hessians, dual_numbers, functions,
    writes, watched,
]  # fmt: skip


@pytest.fixture(autouse=True)
def _many_switches() -> Any:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)
    autograd.set_detect_anomaly(False)  # it is one for all threads: the last to leave need not be the first who came


def test_threads_at_random_get_the_numbers_of_one() -> None:
    results: list[tuple[int, int, Any]] = []
    errors: list[BaseException] = []
    rounds, total = [0] * THREADS, gc.zeros(3, dtype=gc.float64, requires_grad=True)
    stop = time.monotonic() + SECONDS

    def run(thread: int) -> None:
        choices = random.Random(thread)
        try:
            while time.monotonic() < stop and not errors:
                work, i = choices.randrange(len(WORK)), choices.randrange(4)
                results.append((work, i, WORK[work](i).detach().numpy().copy()))
                (total * 2).sum().backward()
                rounds[thread] += 1
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(t,)) for t in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    assert min(rounds) > 0
    assert total.grad.tolist() == [2.0 * sum(rounds)] * 3
    wanted = {(work, i): f(i).detach().numpy() for work, f in enumerate(WORK) for i in range(4)}
    for work, i, found in results:
        np.testing.assert_allclose(found, wanted[work, i], rtol=1e-9, atol=1e-12, err_msg=WORK[work].__name__)
