"""Hooks that fail, what they cost, and Functions that return the wrong thing. It must not need torch."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradcore
from gradcore import autograd, engine
from gradcore.autograd import graph
from gradcore.graph import modes
from gradcore.recorder.around import Around
from gradcore.utils.hooks import RemovableHandle


def leaf(*shape: int, seed: int = 0) -> Any:
    return gradcore.from_numpy(np.random.default_rng(seed).normal(size=shape)).requires_grad_()


def the_bad_hook(*_: Any) -> Any:
    raise ZeroDivisionError("bad day")


REGISTER: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "of a tensor": (lambda x, y: y.register_hook(the_bad_hook), "a tensor of shape [3]"),
    "of a leaf": (lambda x, y: x.register_hook(the_bad_hook), "a tensor of shape [3]"),
    "before a node": (lambda x, y: y.grad_fn.register_prehook(the_bad_hook), "the node ExpBackward0"),
    "after a node": (lambda x, y: y.grad_fn.register_hook(the_bad_hook), "the node ExpBackward0"),
    "before accumulation": (
        lambda x, y: y.grad_fn.next_functions[0][0].register_prehook(the_bad_hook), "an AccumulateGrad",
    ),
    "of several": (lambda x, y: graph.register_multi_grad_hook((x, y), the_bad_hook), "a tensor of shape [3]"),
}  # fmt: skip


@pytest.mark.parametrize("name", REGISTER)
@pytest.mark.parametrize("create_graph", [False, True])
def test_a_hook_that_raises_is_named_and_changes_nothing(name: str, create_graph: bool) -> None:
    x, w = leaf(3), leaf(3, seed=1)
    (x * w).sum().backward()
    before = x.grad.clone(), w.grad.clone()
    y = x.exp()
    total = (y * w).sum()
    register, where = REGISTER[name]
    handle = register(x, y)
    assert isinstance(handle, RemovableHandle)
    with pytest.raises(ZeroDivisionError, match="bad day") as caught:
        total.backward(retain_graph=True, create_graph=create_graph)
    assert caught.value.__notes__ == [f"This was raised by the hook 'the_bad_hook' of {where}."]
    assert bool((x.grad == before[0]).all())
    assert bool((w.grad == before[1]).all())
    handle.remove()
    handle.remove()
    total.backward()
    np.testing.assert_allclose(x.grad.numpy(), (before[0] + y * w).detach().numpy())
    np.testing.assert_allclose(w.grad.numpy(), (before[1] + y).detach().numpy())


def test_a_hook_that_raises_after_accumulation_leaves_all_gradients_accumulated() -> None:
    x, w = leaf(3), leaf(3, seed=1)
    x.register_post_accumulate_grad_hook(the_bad_hook)
    with pytest.raises(ZeroDivisionError) as caught:
        (x * w).sum().backward()
    assert caught.value.__notes__ == ["This was raised by the hook 'the_bad_hook' of the gradient of a leaf of shape [3]."]
    np.testing.assert_allclose(x.grad.numpy(), w.detach().numpy())
    np.testing.assert_allclose(w.grad.numpy(), x.detach().numpy())


def test_what_hooks_were_shown_is_theirs() -> None:
    # A gradient that a hook has kept is not written when more is accumulated.
    x = leaf(3)
    kept: list[Any] = []
    y = x * 2
    y.grad_fn.register_hook(lambda gi, go: kept.append(gi[0]))
    y.grad_fn.register_prehook(lambda go: kept.append(go[0]))
    x.register_hook(kept.append)
    returned = gradcore.full((3,), 5.0, dtype=gradcore.float64)
    x.register_hook(lambda g: returned)
    total = y.sum()
    for _ in range(3):
        total.backward(retain_graph=True)
    assert x.grad.tolist() == [15.0] * 3
    assert returned.tolist() == [5.0] * 3
    assert [t.tolist() for t in kept] == [[1.0] * 3, [2.0] * 3, [2.0] * 3] * 3


def test_hooks_that_were_removed_leave_nothing() -> None:
    x = leaf(3)
    y = x.exp()
    handles = [y.register_hook(lambda g: g), y.grad_fn.register_hook(lambda gi, go: None), x.register_hook(lambda g: g)]
    handles.append(graph.register_multi_grad_hook((x, y), lambda gs: None))
    before = len(engine.observers)
    assert len({handle.id for handle in handles}) == len(handles)
    for handle in handles:
        with handle:
            pass
    assert y.grad_fn.hooks is None
    assert len(engine.observers) == before - 1
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), x.exp().detach().numpy())


def test_what_is_unused_is_not_there() -> None:
    # No wrapped steps, no observers, no general path: a graph of one who uses none of this is as if there were none of it.
    with graph.saved_tensors_hooks(lambda t: t.detach(), lambda t: t):
        packed = leaf(3).exp()
    assert isinstance(packed.grad_fn.step, Around)
    x = leaf(3)
    y = x.exp()
    assert not isinstance(y.grad_fn.step, Around)
    assert y.grad_fn.hooks is None
    assert not modes.unusual


def test_what_is_saved_beside_a_packed_tensor_is_still_watched() -> None:
    a, b = leaf(3), leaf(3, seed=1)
    c, d = a.clone(), b.clone()
    for packed, written in (("_raw_saved_self", d), ("_raw_saved_other", c)):
        y = c * d
        getattr(y.grad_fn, packed).register_hooks(lambda t: t.detach().clone(), lambda t: t)
        written.detach().add_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.sum().backward()
    y = c * d
    y.grad_fn._raw_saved_self.register_hooks(lambda t: t.detach().clone(), lambda t: t)
    c.detach().add_(1)
    y.sum().backward()


def test_hooks_that_need_a_gradient_to_be_there() -> None:
    x = gradcore.ones(3)
    for register in (x.register_hook, x.register_post_accumulate_grad_hook):
        with pytest.raises(RuntimeError, match="doesn't require gradient"):
            register(print)
    with pytest.raises(RuntimeError, match="non-leaf"):
        leaf(2).exp().register_post_accumulate_grad_hook(print)


def test_an_edge_without_a_shape_asks_for_the_gradient() -> None:
    x = leaf(3)
    y = x.exp().sum()
    edge = graph.GradientEdge(y._node, 0)  # of which no user has seen the tensor
    with pytest.raises(RuntimeError, match="grad can be implicitly created only for scalar outputs"):
        autograd.grad(edge, x)
    (g,) = autograd.grad(edge, x, gradcore.ones((), dtype=gradcore.float64))
    np.testing.assert_allclose(g.numpy(), x.exp().detach().numpy())
    with pytest.raises(IndexError, match="SumBackward0 has one output"):
        autograd.grad(y, graph.GradientEdge(y.grad_fn, 1))


def test_a_leaf_that_is_gone_has_an_edge_still() -> None:
    x = leaf(3)
    total, edge = (x * 2).sum(), graph.get_gradient_edge(x)
    del x
    (g,) = autograd.grad(total, edge)
    assert g.tolist() == [2.0] * 3


def returning(*grads: Any) -> type[autograd.Function]:
    class Wrong(autograd.Function):
        @staticmethod
        def forward(ctx: Any, a: Any, b: Any) -> Any:
            return a * b

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return grads

    return Wrong


@pytest.mark.parametrize(
    ("grads", "words"),
    [
        ((gradcore.ones(3),), ["WrongBackward", "incorrect number of gradients", "expected 2", "got 1"]),
        ((gradcore.ones(3),) * 3, ["WrongBackward", "incorrect number of gradients", "expected 2", "got 3"]),
        ((gradcore.ones(3), gradcore.ones(4)), ["WrongBackward", "index 1", "[4]", "[3]"]),
        ((gradcore.ones(2, 3, 1), None), ["WrongBackward", "index 0", "[2, 3, 1]", "[3]"]),
        ((gradcore.ones(3), 5.0), ["WrongBackward", "index 1", "float"]),
    ],
)
def test_a_function_that_returns_the_wrong_gradients_is_named_with_input_and_shapes(grads: Any, words: list[str]) -> None:
    a, b = leaf(3), leaf(3, seed=1)
    with pytest.raises(RuntimeError) as caught:
        returning(*grads).apply(a, b).sum().backward()
    for word in words:
        assert word in str(caught.value)
    assert a.grad is None
    assert b.grad is None


def test_a_handle_keeps_no_graph_alive() -> None:
    x = leaf(3)
    y = x.exp()
    handle, saved = y.register_hook(lambda g: g), weakref.ref(y.grad_fn)
    del y
    assert saved() is None
    handle.remove()
