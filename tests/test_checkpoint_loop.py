"""Checkpoints of loops: the schedule, the same numbers as a loop, less memory, what is refused. It must not need torch."""

from __future__ import annotations

import tracemalloc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradcore
from gradcore import autograd
from gradcore.utils.binomial import advance, cost, repetitions
from gradcore.utils.checkpoint import checkpoint_loop
from tests.test_checkpoint import check_same, leaf


def test_the_schedule_is_optimal() -> None:
    # By dynamic programming over all first places, for every small case.
    best: dict[tuple[int, int], int] = {}
    stored: dict[tuple[int, int], int] = {}
    for slots in range(1, 8):
        for n in range(1, 60):
            if slots == 1:
                best[n, slots] = stored[n, slots] = n * (n - 1) // 2
            elif n == 1:
                best[n, slots] = stored[n, slots] = 0
            else:
                best[n, slots] = min(m + best[n - m, slots - 1] + best[m, slots] for m in range(1, n))
                m = advance(n, slots)
                assert best[n, slots] == m + best[n - m, slots - 1] + best[m, slots], (n, slots, m)
                # What is stored on the way to the end need not be reached again.
                stored[n, slots] = min(stored[n - m, slots - 1] + best[m, slots] for m in range(1, n))
                assert stored[n, slots] == stored[n - m, slots - 1] + best[m, slots], (n, slots, m)
            assert cost(n, slots) == best[n, slots]
    assert repetitions(10_000, 100) == 3


class Walk:
    """A step on a nested state, with a leaf, a tensor with a history, random numbers and a count."""

    def __init__(self) -> None:
        self.w, self.v = leaf(4, 4, scale=0.3), leaf(4, seed=1)
        self.x = leaf(4, seed=2)
        self.steps = 0

    def run(self, loop: Callable[[Any, Any], Any]) -> Any:
        bias = self.v.exp()
        bias.register_hook(lambda g: g * 2)  # once for the whole loop

        def step(state: dict[str, Any]) -> dict[str, Any]:
            self.steps += 1
            h, k = state["h"]
            h = ((h @ self.w + bias * k + self.v).tanh() + 0.1 * gradcore.randn(4, dtype=gradcore.float64) * h) * 1
            return {"h": (h, k + 1), "count": state["count"].add_(1)}

        state = loop(step, {"h": (self.x * 2, 0), "count": gradcore.tensor(0)})
        self.last = state
        return (state["h"][0] ** 2).sum()


@pytest.mark.parametrize(("n", "slots"), [(1, 1), (2, 1), (6, 1), (7, 3), (20, 3), (12, 40)])
def test_a_checkpointed_loop_changes_no_number(n: int, slots: int) -> None:
    walk = Walk()

    def plainly(step: Any, state: Any) -> Any:
        for _ in range(n):
            state = step(state)
        return state

    inputs = [walk.w, walk.v, walk.x]
    check_same(
        lambda: walk.run(lambda step, state: checkpoint_loop(step, state, n, slots)), lambda: walk.run(plainly), inputs
    )
    gradcore.manual_seed(4)
    wanted = autograd.grad(walk.run(plainly), inputs)
    walk.steps = 0
    gradcore.manual_seed(4)
    total = walk.run(lambda step, state: checkpoint_loop(step, state, n, slots))
    assert (walk.last["h"][1], walk.last["count"].item(), walk.steps) == (n, n, n)
    for runs in (n, 2 * n):  # the second pass finds the stored states used up, and first runs the loop again
        walk.steps = 0
        got = autograd.grad(total, inputs, retain_graph=True)
        for g, w in zip(got, wanted, strict=True):
            np.testing.assert_allclose(g.numpy(), w.numpy(), rtol=1e-10)
        assert walk.steps <= runs + cost(n, slots)
    (only,) = autograd.grad(total, walk.v)
    np.testing.assert_allclose(only.numpy(), wanted[1].numpy(), rtol=1e-10)
    with pytest.raises(RuntimeError, match="second time"):
        total.backward()


def test_a_loop_holds_no_more_states_than_its_slots() -> None:
    x, a = leaf(20_000), leaf(1)
    n, slots = 200, 10
    tracemalloc.start()
    total = checkpoint_loop(lambda t: (t * a).sin(), x, n, slots).sum()
    forward = tracemalloc.get_traced_memory()[1] / x.nbytes
    tracemalloc.reset_peak()
    total.backward()
    backward = tracemalloc.get_traced_memory()[1] / x.nbytes
    tracemalloc.stop()
    step = 7  # arrays of one recorded step and its reversal
    assert forward < slots + step
    assert backward < slots + step


@pytest.mark.slow
def test_ten_thousand_steps_with_a_hundred_slots() -> None:
    # Every array of the size of a state is counted as long as it lives.
    x = leaf(3)
    watched: dict[int, Any] = {}
    most, runs = 0, 0

    def forget(ref: Any) -> None:
        del watched[id(ref)]

    def step(t: Any) -> Any:
        nonlocal most, runs
        runs += 1
        ref = weakref.ref(t._array, forget)
        watched[id(ref)] = ref
        most = max(most, len(watched))
        return t.sin()

    checkpoint_loop(step, x, 10_000, 100).sum().backward()
    assert most < 1.5 * 100
    assert runs <= 2 * 10_000 + cost(10_000, 100)
    y, product = x.detach(), 1.0
    for _ in range(10_000):
        product = product * y.cos()
        y = y.sin()
    np.testing.assert_allclose(x.grad.numpy(), product.numpy(), rtol=1e-9)


def test_what_a_loop_refuses() -> None:
    x, w = leaf(3), leaf(3, seed=1)
    for n, slots in ((-1, 2), (3, 0)):
        with pytest.raises(ValueError, match="slots"):
            checkpoint_loop(lambda t: t, x, n, slots)
    with pytest.raises(ValueError, match=r"structure Tensor one of structure \(Tensor, Tensor\)"):
        checkpoint_loop(lambda t: (t, t), x, 2, 2)
    assert checkpoint_loop(lambda t: t, x, 0, 2) is x
    with gradcore.no_grad():
        assert not checkpoint_loop(lambda t: t * w, x, 3, 2).requires_grad
    total = checkpoint_loop(lambda t: t * w, x, 3, 2).sum()
    with gradcore.no_grad():
        w.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation: a leaf of shape"):
        total.backward()
    assert x.grad is None
    total = checkpoint_loop(lambda t: t * 2, x, 3, 2).sum()
    with gradcore.no_grad():
        x.add_(1)
    with pytest.raises(RuntimeError, match=r"first state, of shape \[3\], was overwritten by add_"):
        total.backward()
