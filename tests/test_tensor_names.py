"""Attributes of tensors about their gradients and hooks that few ask for, as programs that torch runs too."""

from __future__ import annotations

import copy
import gc
import pickle
import subprocess
import sys
import warnings
import weakref
from collections import OrderedDict
from typing import Any

import pytest

import gradcore
from tests.twin import Programs, attempt, outcome, same

torch = pytest.importorskip("torch")

program = PROGRAMS = Programs()


def leaf(lib: Any) -> Any:
    return lib.tensor([1.0, 2.0], requires_grad=True)


def change(t: Any, name: str, value: Any) -> Any:
    """What an attribute is after it was set, or why it could not be."""
    return attempt(lambda: (setattr(t, name, value), getattr(t, name))[1])


def told(f: Any) -> Any:
    """The categories and first words of the warnings in a call."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        f()
    return [(each.category.__name__, str(each.message)[:30]) for each in seen]


@program
def the_node_to_be_cut(lib: Any) -> Any:
    x = leaf(lib)
    y = x * 2
    same_node = y._grad_fn is y.grad_fn
    out = [x._grad_fn, same_node, change(y, "_grad_fn", x), y.requires_grad, change(y, "_grad_fn", None), y.requires_grad]
    out += [y.is_leaf, attempt(lambda: delattr(y, "_grad_fn")), change(x, "_grad_fn", None), x.requires_grad]
    view = leaf(lib)[0]
    return out, attempt(lambda: setattr(view, "_grad_fn", None))[1]


@program
def what_torch_once_had(lib: Any) -> Any:
    x = leaf(lib)
    out = [told(lambda: x.volatile), told(lambda: setattr(x, "volatile", True)), change(x, "volatile", 3), x.requires_grad]
    out += [told(lambda: delattr(x, "volatile")), attempt(lambda: x.reinforce(1))[1]]
    return out, attempt(lambda: x.reinforce())[1]


@program
def hooks_of_a_tensor_as_a_dict(lib: Any) -> Any:
    x, seen = leaf(lib), []

    def run() -> None:
        x.grad = None
        (x * 3).sum().backward()
        seen.append(x.grad.tolist())

    before = x._backward_hooks
    first = x.register_hook(lambda g: g * 2)
    second = x.register_hook(lambda g: g * 5)
    hooks = x._backward_hooks
    ids = [list(hooks) == [first.id, second.id], second.id - first.id, x._backward_hooks is hooks]
    run()
    first.remove()
    run()
    hooks[10**6] = lambda g: g * 7
    run()
    second.remove()
    run()
    hooks.clear()
    run()
    hooks[3] = lambda g: g * 11
    run()
    x._backward_hooks = None
    run()
    seen.append(x._backward_hooks)
    given = OrderedDict({1: lambda g: g * 13})
    x._backward_hooks = given
    seen.append(x._backward_hooks is given)
    run()
    del given[1]
    run()
    x.register_hook(lambda g: g + 1)
    seen.append(len(given))
    run()
    return before, ids, seen, attempt(lambda: delattr(x, "_backward_hooks"))


@program
def removed_hooks_leave_an_empty_dict(lib: Any) -> Any:
    x = leaf(lib)
    handle = x.register_hook(lambda g: g * 2)
    handle.remove()
    handle.remove()
    hooks = x._backward_hooks
    (x * 3).sum().backward()
    hooks[0] = lambda g: g * 5
    (x * 3).sum().backward()
    return x.grad, list(hooks)


@program
def hooks_and_the_history_they_are_of(lib: Any) -> Any:
    x, seen = leaf(lib), []
    y = x * 2
    y.register_hook(lambda g: seen.append(("old", g.tolist())))
    old = y._backward_hooks
    y.mul_(3)
    lost = y._backward_hooks
    y.register_hook(lambda g: seen.append(("new", g.tolist())))
    y.sum().backward()
    seen.append([len(old), len(y._backward_hooks), old is y._backward_hooks])
    x.register_hook(lambda g: seen.append(("leaf", g.tolist())))
    x.requires_grad_(False)
    seen.append(len(x._backward_hooks))
    x.requires_grad_()
    (x * 1).sum().backward()
    z = x * 2
    z.register_hook(lambda g: seen.append(("cut", g.tolist())))
    z.detach_()
    seen.append(len(z._backward_hooks))
    z.requires_grad_()
    (z * 1).sum().backward()
    return lost, seen, [t._backward_hooks for t in (z.detach(), z.clone(), z.data)]


@program
def hooks_of_a_constant(lib: Any) -> Any:
    c, seen = lib.ones(2), []
    out = [c._backward_hooks, c._post_accumulate_grad_hooks]
    c._backward_hooks = OrderedDict({1: lambda g: g * 100})
    c._post_accumulate_grad_hooks = {1: lambda p: seen.append(p is c)}
    c.requires_grad_()
    (c * 1).sum().backward()
    d = lib.zeros(2)
    d._backward_hooks = {1: lambda g: g * 100}
    d.add_(c)
    c.grad = None
    d.sum().backward()
    return out, c.grad, seen, d._backward_hooks


@program
def hooks_of_the_accumulation_as_a_dict(lib: Any) -> Any:
    x, seen = leaf(lib), []

    def run() -> None:
        (x * 3).sum().backward()
        seen.append("-")

    before = x._post_accumulate_grad_hooks
    handle = x.register_post_accumulate_grad_hook(lambda p: seen.append("first"))
    hooks = x._post_accumulate_grad_hooks
    seen.append([list(hooks) == [handle.id], x._post_accumulate_grad_hooks is hooks])
    run()
    hooks[10**6] = lambda p: seen.append("second")
    run()
    handle.remove()
    run()
    x._post_accumulate_grad_hooks = OrderedDict({3: lambda p: seen.append("third")})
    run()
    x.register_post_accumulate_grad_hook(lambda p: seen.append("fourth"))
    run()
    x.register_hook(lambda g: None)  # it makes a list anew
    run()
    return before, seen, attempt(lambda: delattr(x, "_post_accumulate_grad_hooks"))


@program
def hooks_of_leaves_in_batches_of_gradients(lib: Any) -> Any:
    x, y, seen = leaf(lib), leaf(lib), []
    x.register_hook(lambda g: g * 10)
    x.register_hook(lambda g: seen.append(list(g.shape)))
    handle = y.register_hook(lambda g: g.sum() * g)
    made = lib.autograd.grad(x * y, (x, y), lib.eye(2) * 3, is_grads_batched=True, retain_graph=True)
    handle.remove()
    rows = lib.autograd.grad((x * y * y), y, lib.eye(2), is_grads_batched=True)
    return made, seen, rows, x.grad


@pytest.mark.parametrize("each", PROGRAMS, ids=lambda p: p.__name__)
def test_as_torch(each: Any) -> None:
    assert outcome(each, torch)[0] != "raised"  # as a whole
    same(each, torch)


@pytest.mark.parametrize(
    ("made", "name", "value", "kind", "says"),
    [
        # torch crashes in the next sweep
        ("leaf", "_backward_hooks", 3, TypeError, "dict of hooks"),
        ("leaf", "_backward_hooks", [print], TypeError, "dict of hooks"),
        ("leaf", "_post_accumulate_grad_hooks", 3, TypeError, "dict of hooks"),
        # torch takes them, and never runs them
        ("result", "_backward_hooks", {1: print}, RuntimeError, "register_hook"),
        ("result", "_post_accumulate_grad_hooks", {1: print}, RuntimeError, "non-leaf"),
    ],
)
def test_hooks_that_could_not_run_are_refused(made: str, name: str, value: Any, kind: Any, says: str) -> None:
    x = leaf(gradcore)
    x.register_hook(lambda g: g * 2)
    t = x if made == "leaf" else x * 1
    before = getattr(t, name)
    with pytest.raises(kind, match=says):
        setattr(t, name, value)
    assert getattr(t, name) is before
    t.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]


def test_none_takes_hooks_off() -> None:
    """In torch, hooks of the accumulation go on, and those of a result, though their dict is gone."""
    x = leaf(gradcore)
    x.register_post_accumulate_grad_hook(lambda p: [][0])
    x._post_accumulate_grad_hooks = None
    y = x * 2
    y.register_hook(lambda g: [][0])
    y._backward_hooks = None
    y.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]
    assert x._post_accumulate_grad_hooks is y._backward_hooks is None


def test_copies_have_no_hooks() -> None:
    x = leaf(gradcore)
    x.register_hook(lambda g: g * 2)
    for made in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert made._backward_hooks is None
        made.sum().backward()
        assert made.grad.tolist() == [1.0, 1.0]


def test_removed_hooks_cost_nothing() -> None:
    """A leaf without hooks keeps the array that the sweep made, and is left out of its slower way."""
    x = leaf(gradcore)
    handles = [x.register_hook(lambda g: g), x.register_hook(lambda g: None)]
    end = (x * 1).grad_fn.next_functions[0][0]
    assert len(end.hooks) == 1
    for handle in handles:
        handle.remove()
    assert not end.hooks


def test_hooks_hold_no_tensor() -> None:
    gc.collect()
    gc.disable()
    try:
        x = leaf(gradcore)
        y = x * 2
        handles = [t.register_hook(lambda g: g) for t in (x, y)]
        assert y._backward_hooks
        assert x._post_accumulate_grad_hooks is None
        refs = [weakref.ref(x), weakref.ref(y)]
        del x, y
        assert [ref() for ref in refs] == [None, None]
        for handle in handles:
            handle.remove()
    finally:
        gc.enable()


def test_assigning_comes_before_anything_was_loaded() -> None:
    """The first use of such a name may be an assignment or a deletion."""
    code = (
        "import gradcore, sys; x = gradcore.ones(2, requires_grad=True)\n"
        "assert 'gradcore.ops.gradients' not in sys.modules\n"
        "x._backward_hooks = {1: lambda g: g * 3}; x.sum().backward(); assert x.grad.tolist() == [3.0, 3.0], x.grad\n"
        "assert '_backward_hooks' not in vars(x)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    code = "import gradcore; x = gradcore.ones(2); del x._post_accumulate_grad_hooks"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert "Deletion of _post_accumulate_grad_hooks not allowed" in done.stderr
