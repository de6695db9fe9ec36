"""Grad modes, writes in place, nodes and hooks, as programs that torch runs too. It must not test any one operation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.twin import Programs, attempt, same

torch = pytest.importorskip("torch")

program = PROGRAMS = Programs()


def leaf(lib: Any, *shape: int, seed: int = 0, dtype: str = "float32") -> Any:
    values = np.random.default_rng(seed).normal(size=shape)
    return lib.tensor(values.tolist(), dtype=getattr(lib, dtype), requires_grad=True)


@program
def no_grad_in_all_its_forms(lib: Any) -> Any:
    x = leaf(lib, 3)

    @lib.no_grad()
    def called(t: Any) -> Any:
        return t * 2

    @lib.no_grad
    def bare(t: Any) -> Any:
        return t * 2

    @lib.no_grad()
    def steps(t: Any) -> Any:
        got = yield t * 2
        yield got, lib.is_grad_enabled()

    with lib.no_grad():
        inside = x * 2
        with lib.enable_grad():
            again = x * 2
        after = x * 2
    generator = steps(x)
    made = next(generator)
    between = lib.is_grad_enabled()
    return (
        [t.requires_grad for t in (inside, again, after, called(x), bare(x), made, x * 2)],
        between,
        generator.send("sent"),
        called.__name__,
    )


@program
def set_grad_enabled(lib: Any) -> Any:
    x = leaf(lib, 3)
    out = []
    with lib.set_grad_enabled(False):
        out.append((x * 2).requires_grad)
        with lib.set_grad_enabled(True):
            out.append((x * 2).requires_grad)
    out.append(lib.is_grad_enabled())
    lib.set_grad_enabled(False)
    out.append((x * 2).requires_grad)
    lib.set_grad_enabled(True)
    out.append((x * 2).requires_grad)

    @lib.set_grad_enabled(False)
    def f(t: Any) -> Any:
        return t * 2

    return [*out, f(x).requires_grad, lib.is_grad_enabled()]


@program
def modes_end_with_exceptions(lib: Any) -> Any:
    def fails() -> None:
        with lib.no_grad():
            raise ValueError("out")

    return attempt(fails), lib.is_grad_enabled()


@program
def leaves_made_without_grad_stay_leaves(lib: Any) -> Any:
    with lib.no_grad():
        x = lib.ones(3, requires_grad=True)
        y = x * 2
        y.requires_grad_()
    (x * y).sum().backward()
    return x.grad, y.grad, y.is_leaf


@program
def inference_tensors(lib: Any) -> Any:
    x = leaf(lib, 3)
    with lib.inference_mode():
        y = x * 2
        z = lib.ones(3)
        y.add_(1)
    return (
        [t.is_inference() for t in (x, y, z)],
        y.requires_grad,
        attempt(lambda: y.mul_(2)),
        attempt(lambda: z.requires_grad_()),
        attempt(lambda: x * z),
        (x + z).requires_grad,
        (x * z.clone()).requires_grad,
        lib.is_inference_mode_enabled(),
        attempt(lambda: y.is_leaf),
    )


@program
def views_made_without_grad(lib: Any) -> Any:
    # Autograd cannot follow a write through such a view: refused before anything is written, not after.
    leaf_, inner, late = leaf(lib, 3), leaf(lib, 3) * 1, lib.ones(3)
    with lib.no_grad():
        views = [leaf_[1:], inner[1:], leaf_.view(3, 1).unbind()[0], inner.expand(2, 3)]
    views.append(late[1:])
    late.requires_grad_()
    writes = [
        lambda v: v.mul_(2),
        lambda v: v.zero_(),
        lambda v: v.copy_(lib.zeros(1)),
        lambda v: v.add_(lib.ones(1, requires_grad=True)),
        lambda v: v.__setitem__(..., 5.0),
    ]
    refused = [attempt(lambda v=v, f=f: (f(v), "written")[1:])[0] for v in views for f in writes]
    needs = [(v.requires_grad, v.is_leaf, v.grad_fn) for v in views]
    return refused, needs, leaf_, inner, late, [t._version for t in (leaf_, inner, late)]


@program
def a_view_without_history_is_shown_and_read(lib: Any) -> Any:
    leaf_, inner = leaf(lib, 3), leaf(lib, 3) * 1
    with lib.no_grad():
        views = [leaf_[1:], inner[1:]]
        before = [repr(v) for v in views]
        views[0].mul_(2)
    inner.mul_(2)
    with lib.no_grad():
        values = [v.numpy().tolist() for v in (*views, leaf_, inner)]
    return before, [repr(v) for v in views], values, [attempt(lambda v=v: v * 2) for v in views]


@program
def views_and_inference_mode(lib: Any) -> Any:
    x = leaf(lib, 3)
    with lib.inference_mode():
        made = lib.ones(3)
        normal = [x[1:], x[1:][:1], x.detach(), x.view(3), x.reshape(3, 1), x.unbind()[0]]
        infer = [x * 1, (x * 1)[1:], made.view(3)]
        normal[0].mul_(2)
    outside = [made[1:], made.view(3), made.detach(), made.unbind()[0]]
    return (
        [t.is_inference() for t in (*normal, *infer, *outside)],
        [attempt(lambda t=t: t.mul_(2)) for t in (*infer, *outside[:2])],
        attempt(lambda: made.__setitem__(0, 2.0)),
        [attempt(lambda t=t: t._version) for t in (made, made[1:], x, normal[0])],
        x,
    )


@program
def switches_take_booleans_only(lib: Any) -> Any:
    x = leaf(lib, 3)
    return (
        attempt(lambda: lib.set_grad_enabled("a")),
        attempt(lambda: lib.set_grad_enabled(0)),
        attempt(lambda: x.requires_grad_("a")),
        attempt(lambda: setattr(x, "requires_grad", 1)),
        attempt(lambda: setattr(x, "requires_grad", None)),
        lib.is_grad_enabled(),
        x,
    )


@program
def in_place_on_leaves(lib: Any) -> Any:
    x = leaf(lib, 3)
    before = x.detach().clone()
    out = [
        attempt(lambda: x.add_(1)),
        attempt(lambda: x.__setitem__(0, 1.0)),
        attempt(lambda: x[0].mul_(2)),
        attempt(lambda: x.view(3).zero_()),
    ]
    unchanged = bool((x.detach() == before).all())
    with lib.no_grad():
        x.add_(1)
        x[0] = 5.0
    return out, unchanged, x, x._version


@program
def saved_values_are_checked(lib: Any) -> Any:
    x = leaf(lib, 3)
    y = x * 2
    z = y * y
    y.add_(1)
    s = y.exp()
    s.mul_(2)
    ok = y + 1
    ok.mul_(2)
    ok.sum().backward(retain_graph=True)
    return attempt(lambda: z.sum().backward()), attempt(lambda: s.sum().backward()), y._version, x.grad


@program
def in_place_through_the_graph(lib: Any) -> Any:
    x = leaf(lib, 3)
    y = x * 2
    y.mul_(x)
    y += 1
    y **= 2
    y.sum().backward()
    return y, x.grad


@program
def constants_become_parts_of_the_graph(lib: Any) -> Any:
    x = leaf(lib, 2)
    buffer = lib.zeros(4)
    buffer[1:3] = x * x
    buffer[0] = x[1]
    (buffer * lib.arange(4.0)).sum().backward()
    return buffer, x.grad


@program
def data_is_silent(lib: Any) -> Any:
    x = leaf(lib, 3)
    y = x * x
    x.data *= 100
    version = x._version
    y.sum().backward()
    return x, version, x.grad, x.data.requires_grad, x.data.is_leaf


@program
def next_functions(lib: Any) -> Any:
    x, c = leaf(lib, 3), lib.ones(3)
    y = x * 2 + c
    names = []
    node = y.grad_fn
    while True:
        names.append((node.name() if callable(node.name) else node.name, len(node.next_functions)))
        following = [f for f, _ in node.next_functions if f is not None]
        if not following:
            break
        node = following[0]
    return names, node.variable is x


@program
def nodes_have_classes_of_their_operations(lib: Any) -> Any:
    class Twice(lib.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 2

    x, names, grads = leaf(lib, 3, 3), [], []

    def build() -> Any:
        y = (x * x).tanh()
        top, _ = y.max(1)
        return (Twice.apply(top) * y + y @ y).sum()

    def look(node: Any) -> None:
        names.append(type(node).__name__)
        for below, _ in node.next_functions:
            if below is not None:
                look(below)

    for looks in (False, True):
        total = build()
        if looks:
            look(total.grad_fn)
        total.backward(retain_graph=True)
        if looks:
            look(total.grad_fn)
        total.backward(retain_graph=True)
        (first,) = lib.autograd.grad(total, x, create_graph=True)
        if looks:
            look(total.grad_fn)
        first.exp().sum().backward()
        grads.append(x.grad)
        x.grad = None
    view = x.exp()
    kinds = type(view.grad_fn) is type(x.exp().grad_fn), isinstance(view.grad_fn, lib.autograd.graph.Node)
    view.add_(1)
    return names, grads, kinds, type(view.grad_fn).__name__


@program
def node_of_several_outputs(lib: Any) -> Any:
    x = leaf(lib, 5)
    values, indices = x.sort()
    _, b = x.split([2, 3])
    values[0].backward(retain_graph=True)
    first = x.grad.clone()
    (b * 2).sum().backward()
    return first, x.grad, values.output_nr, b.output_nr, indices.requires_grad


@program
def hooks_of_tensors(lib: Any) -> Any:
    x = leaf(lib, 3)
    y = x * 2
    seen = []
    y.register_hook(lambda g: seen.append(g.clone()))
    handle = y.register_hook(lambda g: g * 10)
    x.register_hook(lambda g: g + 1)
    (y * 3).sum().backward(retain_graph=True)
    first = x.grad.clone()
    handle.remove()
    x.grad = None
    (y * 3).sum().backward()
    return seen, first, x.grad, attempt(lambda: lib.ones(2).register_hook(print))


@program
def hooks_stay_with_what_is_detached(lib: Any) -> Any:
    x, log = leaf(lib, 2), []
    y = x * 2
    first = y.register_hook(lambda g: log.append(("first", g.tolist())))
    second = y.register_hook(lambda g: g * 2)
    part, _ = leaf(lib, 2, 3, seed=1).max(1)
    part.register_hook(lambda g: log.append(("part", g.tolist())))
    kept = x.exp()
    kept.retain_grad()
    above = y * 2 + part * 3 + kept * 5
    for t in (y, part, kept):
        t.detach_()
    state = [(t.requires_grad, t.is_leaf, t.retains_grad) for t in (y, part, kept)]
    above.sum().backward()
    grads = [kept.grad.clone()]
    for t in (y, part, kept):
        t.requires_grad_()
    (y * part * kept).sum().backward()
    grads += [t.grad.clone() for t in (x, y, part, kept)]
    first.remove()
    (y * part).sum().backward()
    second.remove()
    (y * part).sum().backward()
    return state, grads, [t.grad for t in (x, y, part, kept)], len(log), log


@program
def hooks_of_leaves_that_are_switched_off(lib: Any) -> Any:
    found = []
    for off in (lambda t: t.requires_grad_(False), lambda t: t.detach_()):
        x, log = leaf(lib, 2), []
        x.register_hook(lambda g, log=log: log.append(("hook", g.tolist())))
        x.register_post_accumulate_grad_hook(lambda t, log=log: log.append((t.grad is None, t.requires_grad)))
        y = (x * 2).sum()
        off(x)
        y.backward()
        log.append(x.grad)
        x.requires_grad_()
        (x * 2).sum().backward()
        found.append([log, x.grad])
    return found


@program
def a_hook_that_raises(lib: Any) -> Any:
    x, w = leaf(lib, 3), leaf(lib, 3, seed=1)
    y = x * w

    def hook(g: Any) -> None:
        raise ValueError("no")

    handle = y.register_hook(hook)
    out = attempt(lambda: (y + w).sum().backward(retain_graph=True))
    handle.remove()
    (y + w).sum().backward()
    return out, x.grad, w.grad


@program
def complex_gradients(lib: Any) -> Any:
    z = lib.tensor([3 + 4j, 1 - 2j], dtype=lib.complex128, requires_grad=True)
    (z.abs() ** 2).sum().backward()
    first = z.grad.clone()
    z.grad = None
    w = (z * z).sum()
    refused = attempt(w.backward)
    w.real.backward()
    return first, refused, z.grad


@program
def deep_copies(lib: Any) -> Any:
    import copy

    x = leaf(lib, 3)
    x.sum().backward()
    y = copy.deepcopy(x)
    y.grad.add_(1)
    return y, y.grad, x.grad, attempt(lambda: copy.deepcopy(x * 2))[1]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
def test_does_as_torch(program: Callable[[Any], Any]) -> None:
    same(program, torch)
