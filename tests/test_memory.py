"""What a graph keeps alive and when it lets go: reference counting alone must free everything, at any depth."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import gradcore
from gradcore.autograd import graph
from gradcore.utils import checkpoint


@pytest.fixture
def no_collector() -> Iterator[None]:
    """The cyclic collector off: what is not freed by reference counting stays."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def leaf(*shape: int, seed: int = 0) -> Any:
    return gradcore.from_numpy(np.random.default_rng(seed).normal(size=shape)).requires_grad_()


class Watch:
    """Weak references to every Tensor, array and node that a program shows it."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def __call__(self, t: Any) -> Any:
        self.seen.append(weakref.ref(t))
        self.seen.append(weakref.ref(t._array))
        if t.grad_fn is not None:
            self.seen.append(weakref.ref(t.grad_fn))
        return t

    def alive(self) -> list[Any]:
        return [ref() for ref in self.seen if ref() is not None]


def plain_backward(watch: Watch) -> None:
    x = watch(leaf(3))
    y = watch(watch(x * 2).exp())
    watch(y.sum()).backward()
    watch(x.grad)


def create_graph(watch: Watch) -> None:
    x = watch(leaf(3))
    y = watch(watch(x.exp()) * x)
    y.sum().backward(create_graph=True)
    first = watch(x.grad)
    first.sum().backward(create_graph=True)
    watch(x.grad)


def grad_of_grad(watch: Watch) -> None:
    x = watch(leaf(3))
    y = watch(x.tanh())
    for _ in range(4):
        (y,) = gradcore.autograd.grad(y.sum(), x, create_graph=True)
        watch(y)


def hooks(watch: Watch) -> None:
    x = watch(leaf(3))
    y = watch(x * 2)
    y.retain_grad()
    y.register_hook(lambda g: g * 2)
    x.register_hook(lambda g: None)
    watch(y.exp()).sum().backward()
    watch(y.grad)


def views_and_writes(watch: Watch) -> None:
    x = watch(leaf(4))
    y = watch(x * 2)
    part = watch(y[1:3])
    part.mul_(3)
    y[0] = watch(x[3] * 2)
    watch(part.view(2, 1)).exp_()
    y.sum().backward()


def views_with_create_graph(watch: Watch) -> None:
    x = watch(leaf(4))
    y = watch(x * x)
    y[1:3].mul_(y[0:2].exp())
    (g,) = gradcore.autograd.grad((y * y).sum(), x, create_graph=True)
    watch(g).sum().backward()


def an_exception_in_the_middle(watch: Watch) -> None:
    x = watch(leaf(3))
    y = watch(x.exp())

    def stop(g: Any) -> None:
        raise ValueError

    y.register_hook(stop)
    try:
        watch(y * 2).sum().backward()
    except ValueError:  # pytest.raises would keep the traceback, and so this frame
        return
    raise AssertionError


def hooks_of_nodes_and_accumulation(watch: Watch) -> None:
    x = watch(leaf(3))
    y = watch(x * 2)
    y.grad_fn.register_hook(lambda gi, go: (watch(gi[0]) * 2, None))
    y.grad_fn.register_prehook(lambda go: (watch(go[0]) * 2,))
    end = y.grad_fn.next_functions[0][0]
    end.register_prehook(lambda go: (go[0] * 1,))

    def look(p: Any) -> None:
        watch(p.grad)

    x.register_post_accumulate_grad_hook(look)
    y.grad_fn.metadata["shape"] = y.shape
    graph.register_multi_grad_hook((x, y), lambda gs: [watch(g) for g in gs])
    graph.get_gradient_edge(y)
    watch(y.exp()).sum().backward()


def saved_tensor_hooks(watch: Watch) -> None:
    x = watch(leaf(3))
    with graph.saved_tensors_hooks(lambda t: watch(t.detach()), lambda t: t):
        y = watch(watch(x * x).exp())
    with graph.allow_mutation_on_saved_tensors():
        z = watch(y.exp())
    (g,) = gradcore.autograd.grad(z.sum(), x, create_graph=True)
    watch(g).sum().backward()


def anomalies_and_profiles(watch: Watch) -> None:
    x = watch(leaf(3))
    with gradcore.autograd.set_detect_anomaly(True), gradcore.autograd.profiler.profile():
        y = watch(watch(x * x).exp())
        (g,) = gradcore.autograd.grad(y.sum(), x, create_graph=True)
        watch(g).sum().backward()


def checkpoints(watch: Watch) -> None:
    x, w = watch(leaf(3)), watch(leaf(3, seed=1))

    def f(t: Any) -> Any:
        return watch(watch(t * w).exp())

    y = watch(checkpoint.checkpoint(lambda t: checkpoint.checkpoint(f, f(t)), x))
    z = watch(checkpoint.checkpoint_loop(lambda t: watch((t * w).sin()), y * 1e-3, 6, 2))
    z.sum().backward(retain_graph=True)
    (g,) = gradcore.autograd.grad(z.sum(), x, create_graph=True)
    watch(g).sum().backward()


def without_backward(watch: Watch) -> None:
    x = watch(leaf(3))
    watch(watch(x.exp()) * x).sum()


@pytest.mark.parametrize(
    "program",
    [
        plain_backward,
        create_graph,
        grad_of_grad,
        hooks,
        views_and_writes,
        views_with_create_graph,
        an_exception_in_the_middle,
        hooks_of_nodes_and_accumulation,
        saved_tensor_hooks,
        anomalies_and_profiles,
        checkpoints,
        without_backward,
    ],
    ids=lambda f: f.__name__,
)
def test_everything_is_freed_without_the_collector(program: Callable[[Watch], None], no_collector: None) -> None:
    watch = Watch()
    program(watch)
    assert len(watch.seen) >= 4
    assert watch.alive() == []


def test_backward_frees_what_the_graph_saved(no_collector: None) -> None:
    x = leaf(1000)
    kept = weakref.ref((middle := x.exp())._array)
    out = (middle * x).sum()
    del middle
    assert kept() is not None
    out.backward()
    assert kept() is None


def test_retain_graph_keeps_it(no_collector: None) -> None:
    x = leaf(1000)
    kept = weakref.ref((middle := x.exp())._array)
    out = (middle * x).sum()
    del middle
    out.backward(retain_graph=True)
    assert kept() is not None
    del out
    assert kept() is None


def test_what_no_formula_mentions_is_not_kept(no_collector: None) -> None:
    x = leaf(1000)
    kept = weakref.ref((middle := x * 2)._array)
    out = (middle + x).sum()
    del middle
    assert kept() is None
    out.backward()


def test_a_constant_factor_saves_only_the_constant(no_collector: None) -> None:
    x, c = leaf(1000), leaf(1000).detach()
    kept = weakref.ref((middle := x + 1)._array)
    out = middle * c
    del middle
    assert kept() is None
    out.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), c.numpy())


def test_no_grad_keeps_nothing(no_collector: None) -> None:
    x = leaf(1000)
    with gradcore.no_grad():
        kept = weakref.ref((middle := x.exp())._array)
        out = middle * x
        del middle
    assert kept() is None
    assert out.grad_fn is None


@pytest.mark.slow
def test_a_million_nodes_are_swept_and_freed_without_recursion(no_collector: None) -> None:
    n = 1_000_000
    assert n > 100 * sys.getrecursionlimit()
    x = leaf()
    y = x
    for _ in range(n):
        y = y + 1
    first = weakref.ref(y.grad_fn)
    y.backward()
    assert x.grad.item() == 1
    del y
    assert first() is None


@pytest.mark.slow
def test_a_long_chain_of_saving_nodes_with_create_graph(no_collector: None) -> None:
    n = 20_000
    x = leaf()
    factor = gradcore.tensor(1.0 + 1.0 / n, dtype=gradcore.float64)
    y = x
    for _ in range(n):
        y = y * factor
    (g,) = gradcore.autograd.grad(y, x, create_graph=True)
    assert g.item() == pytest.approx((1 + 1 / n) ** n)
    kept = weakref.ref(g.grad_fn) if g.grad_fn is not None else lambda: None
    del g, y
    assert kept() is None
