"""Checkpoints of calls: the same numbers as without, less memory, and what is refused. It must not need torch."""

from __future__ import annotations

import functools
import tracemalloc
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import gradcore
from gradcore import autograd
from gradcore.nn.functional import dropout
from gradcore.utils.checkpoint import (
    CheckpointError,
    checkpoint,
    checkpoint_loop,
    checkpoint_sequential,
    set_checkpoint_debug_enabled,
    set_checkpoint_early_stop,
)


def leaf(*shape: int, seed: int = 0, scale: float = 1.0) -> Any:
    values = np.random.default_rng(seed).normal(size=shape) * scale
    return gradcore.from_numpy(values).requires_grad_()


class Net:
    """A function with weights of its own and dropout, which counts its runs."""

    def __init__(self, seed: int = 1) -> None:
        self.w = leaf(5, 5, seed=seed)
        self.runs = 0

    def __call__(self, x: Any, *, scale: Any = 2.0) -> Any:
        self.runs += 1
        hidden = dropout((x @ self.w).tanh() * scale, 0.5, True)
        return (hidden @ self.w).exp()


def everything(program: Callable[[], Any], inputs: list[Any]) -> list[Any]:
    """Value, random numbers afterwards, gradients, and gradients of gradients."""
    gradcore.manual_seed(3)
    y = program()
    after = gradcore.rand(2)
    first = autograd.grad(y.sum(), inputs, create_graph=True)
    second = autograd.grad(sum((g * g).sum() for g in first), inputs)
    return [t.detach().numpy() for t in (y, after, *first, *second)]


def check_same(program: Callable[[], Any], reference: Callable[[], Any], inputs: list[Any]) -> None:
    for ours, wanted in zip(everything(program, inputs), everything(reference, inputs), strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"early_stop": False}, {"use_reentrant": True}, {"determinism_check": "none"}])
def test_a_checkpoint_changes_no_number(options: dict[str, Any]) -> None:
    net, x = Net(), leaf(3, 5)
    check_same(lambda: checkpoint(net, x, **options), lambda: net(x), [x, net.w])


def test_checkpoints_take_keywords_and_nest() -> None:
    net, x, s = Net(), leaf(3, 5), leaf(1, seed=2)

    def twice(t: Any) -> Any:
        return checkpoint(net, checkpoint(net, t, scale=s) * 0.01, scale=s)

    def plainly(t: Any) -> Any:
        return net(net(t, scale=s) * 0.01, scale=s)

    check_same(lambda: checkpoint(twice, x), lambda: plainly(x), [x, net.w, s])


def test_a_sequence_is_checkpointed_in_segments() -> None:
    nets, x = [Net(seed) for seed in range(5)], leaf(3, 5)

    def plainly() -> Any:
        y = x
        for net in nets:
            y = net(y) * 0.01
        return y

    functions = [lambda t, net=net: net(t) * 0.01 for net in nets]
    for segments in (1, 2, 5):
        check_same(
            lambda segments=segments: checkpoint_sequential(functions, segments, x), plainly, [x, *(n.w for n in nets)]
        )
    with pytest.raises(ValueError, match="Unexpected keyword arguments: speed"):
        checkpoint_sequential(functions, 2, x, speed=9)


def test_the_function_runs_once_more_for_each_backward_pass_and_stops_early() -> None:
    net, x = Net(), leaf(3, 5)
    late = []

    def f(t: Any) -> Any:
        y = net(t)
        late.append(1)
        return y + 0

    total = checkpoint(f, x).sum()
    assert (net.runs, len(late)) == (1, 1)
    total.backward(retain_graph=True)
    assert (net.runs, len(late)) == (2, 1)
    total.backward()
    assert (net.runs, len(late)) == (3, 1)
    with set_checkpoint_early_stop(False):
        total = checkpoint(f, x).sum()
    total.backward()
    assert (net.runs, len(late)) == (5, 3)
    with gradcore.no_grad():
        checkpoint(f, x)
    assert net.runs == 6


def test_each_pass_sees_the_values_of_its_time() -> None:
    # With a graph kept for two passes, nothing of the first pass's recomputation may serve the second.
    x, w = leaf(4), leaf(4, seed=1)
    a, b = checkpoint(lambda t: ((t * w).exp().unsqueeze(0) * 1, (t * w).sin()), x)
    (g,) = autograd.grad(b.sum(), x, retain_graph=True)
    np.testing.assert_allclose(g.numpy(), ((x * w).cos() * w).detach().numpy())
    with gradcore.no_grad():
        w.mul_(2)
    (g,) = autograd.grad(a.sum(), x, retain_graph=True)
    np.testing.assert_allclose(g.numpy(), ((x * w).exp() * w).detach().numpy())


def test_functions_of_ones_own_are_recomputed_too() -> None:
    class Exp(autograd.Function):
        @staticmethod
        def forward(ctx: Any, t: Any) -> Any:
            out = t.exp()
            ctx.save_for_backward(t, out)
            return out

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            t, out = ctx.saved_tensors
            return g * out * (t == t)

    x = leaf(3)

    def block(t: Any) -> Any:
        y = Exp.apply(t * 2)
        y = y * 1.0
        y[0] = t[1]  # a write in place, through a view
        return Exp.apply(y.view(3, 1)).sin()

    check_same(lambda: checkpoint(block, x), lambda: block(x), [x])


def test_the_function_may_run_sweeps_itself() -> None:
    x = leaf(3)

    def slope(t: Any) -> Any:
        (g,) = autograd.grad((t**3).sum(), t, create_graph=True)
        return g * 2

    def detached(t: Any) -> Any:
        end = t.detach().requires_grad_()
        (g,) = autograd.grad(end.sin().sum(), end)
        return t.exp() * g

    for f in (slope, detached):
        check_same(lambda f=f: checkpoint(f, x), lambda f=f: f(x), [x])
        check_same(lambda f=f: checkpoint_loop(lambda t: f(t) * 0.1, x, 5, 2), lambda f=f: five(f, x), [x])


def five(f: Callable[[Any], Any], x: Any) -> Any:
    for _ in range(5):
        x = f(x) * 0.1
    return x


def test_arguments_need_not_be_tensors_and_contexts_are_entered() -> None:
    log = []

    @contextmanager
    def note(name: str) -> Any:
        log.append(name)
        yield

    x = leaf(3)
    y = checkpoint(lambda t, n, table: t.exp() * n + table["k"], x, 3, {"k": x}, context_fn=lambda: (note("1"), note("2")))
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), (3 * x.exp() + 1).detach().numpy())
    assert log == ["1", "2"]


def test_a_checkpoint_keeps_only_its_arguments() -> None:
    x = gradcore.rand(250_000, dtype=gradcore.float64).requires_grad_()  # 2 MB

    def block(t: Any) -> Any:
        for _ in range(10):
            t = (t * 1.01).sin()
        return t

    def peak(run: Callable[[Any], Any]) -> float:
        tracemalloc.start()
        y = x
        for _ in range(10):
            y = run(y)
        y.sum().backward()
        top = tracemalloc.get_traced_memory()[1] / x.nbytes
        tracemalloc.stop()
        return top

    plain, checkpointed = peak(block), peak(functools.partial(checkpoint, block))
    assert plain > 100
    assert checkpointed < 10 + 10 + 8  # the arguments, one block, and what comes and goes

    def outer(t: Any) -> Any:
        for _ in range(5):
            t = checkpoint(block, t)
        return t

    tracemalloc.start()
    y = checkpoint(outer, checkpoint(outer, x))
    held = tracemalloc.get_traced_memory()[0] / x.nbytes
    tracemalloc.stop()
    assert held < 2.5, "a checkpoint inside another keeps its arguments"
    del y


@pytest.mark.parametrize(
    ("first", "second", "options", "words"),
    [
        (lambda t: t.exp().sin(), lambda t: t.exp(), {}, "Number of tensors saved during recomputation: 1"),
        (lambda t: t.exp().sin(), lambda t: t.exp()[:1].sin(), {}, "different metadata"),
        (lambda t: t.exp(), lambda t: t.exp().sin(), {"early_stop": False}, "more tensors during recomputation"),
        (lambda t: t.exp().sin(), lambda t: t.exp(), {"debug": True}, "ExpBackward0, SinBackward0\n"),
    ],
)
def test_a_function_that_does_something_else_is_found_out(first, second, options, words) -> None:
    x = leaf(3)
    functions = iter((first, second))
    y = checkpoint(lambda t: next(functions)(t), x, **options)
    with pytest.raises(CheckpointError, match=words):
        y.sum().backward()
    assert x.grad is None


def test_debugging_may_be_switched_on_from_outside() -> None:
    x = leaf(3)
    functions = iter((lambda t: t.exp().sin(), lambda t: t.exp()))
    with set_checkpoint_debug_enabled(True):
        y = checkpoint(lambda t: next(functions)(t), x)
    with pytest.raises(CheckpointError, match="SinBackward0"):
        y.sum().backward()


def test_a_function_that_overwrites_what_it_saved_is_refused_as_without_a_checkpoint() -> None:
    x = leaf(3)

    def f(t: Any) -> Any:
        y = t * 2
        y.exp_()
        y.mul_(y.detach())
        return y.sin()

    for run in (f, lambda t: checkpoint(f, t)):
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            run(x).sum().backward()
    assert x.grad is None


def test_wrong_arguments_and_overwritten_ones_are_refused() -> None:
    x = leaf(3)
    with pytest.raises(ValueError, match="determinism_check"):
        checkpoint(lambda t: t, x, determinism_check="always")
    y = x.clone()
    z = checkpoint(lambda t: t.exp(), y).sum()
    y.detach().add_(1)
    with pytest.raises(RuntimeError, match=r"modified by an inplace operation: an argument of checkpoint, of shape \[3\]"):
        z.backward()
    assert x.grad is None


def test_random_numbers_on_a_device_come_again(strict_cuda: Any) -> None:
    gradcore.manual_seed(5)
    x = leaf(50).detach().to("cuda").requires_grad_()
    masks = []

    def f(t: Any) -> Any:
        mask = gradcore.rand_like(t)
        masks.append(mask.cpu().numpy())
        return (t * mask).exp()

    total = checkpoint(f, checkpoint(f, x)).sum()
    total.backward()
    assert len(masks) == 4
    assert not np.allclose(masks[0], masks[1])
    for mask in masks[2:]:
        assert any(np.array_equal(mask, each) for each in masks[:2])
