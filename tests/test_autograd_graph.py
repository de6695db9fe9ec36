"""What torch's documentation says of autograd.graph and of hooks, as programs that torch runs too. It tests no operation."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from tests.twin import Programs, attempt, same

torch = pytest.importorskip("torch")

program = PROGRAMS = Programs()


def graph_of(lib: Any) -> Any:
    return import_module(f"{lib.__name__}.autograd.graph")


def leaf(lib: Any, *shape: int, seed: int) -> Any:
    values = np.random.default_rng(seed).normal(size=shape)
    return lib.tensor(values.tolist(), dtype=lib.float64, requires_grad=True)


def shown(gs: Any) -> Any:
    return [None if g is None else g.tolist() for g in gs]


@program
def nodes_are_nodes(lib: Any) -> Any:
    G = graph_of(lib)
    x = leaf(lib, 3, seed=0)
    y = x.clone()
    y.grad_fn.metadata["note"] = 5
    end = y.grad_fn.next_functions[0][0]
    return (
        [isinstance(n, G.Node) for n in (y.grad_fn, end, x)],
        y.grad_fn.metadata,
        end.metadata,
        y.grad_fn.name(),
        end.variable is x,
        [hasattr(y.grad_fn, "_saved_self"), hasattr(x.exp().grad_fn, "_saved_result")],
        [
            [name in dir(t.grad_fn) for name in ("_saved_self", "_saved_other", "_saved_result")]
            + [name for name in dir(t.grad_fn) if not hasattr(t.grad_fn, name)]
            for t in (x.exp(), x * x, x + 1)
        ],
    )


@program
def hooks_after_a_node(lib: Any) -> Any:
    x = leaf(lib, 2, seed=1)
    y = x * 3
    z = y * x
    seen = []
    handle = z.grad_fn.register_hook(lambda gi, go: seen.append((shown(gi), shown(go), lib.is_grad_enabled())))
    z.sum().backward(retain_graph=True)
    handle.remove()
    double = z.grad_fn.register_hook(lambda gi, go: (gi[0] * 2, None))
    z.sum().backward(retain_graph=True)
    double.remove()
    z.sum().backward(retain_graph=True)
    return seen, x.grad


@program
def hooks_before_a_node(lib: Any) -> Any:
    x = leaf(lib, 2, seed=2)
    y = x.exp()
    seen = []
    y.grad_fn.register_prehook(lambda go: seen.append(shown(go)))
    with y.grad_fn.register_prehook(lambda go: (go[0] * 2,)):
        y.sum().backward(retain_graph=True)
    y.grad_fn.register_prehook(lambda go: (None,))
    y.sum().backward(retain_graph=True)
    return seen, x.grad


@program
def hooks_of_a_node_with_several_outputs(lib: Any) -> Any:
    x = leaf(lib, 2, 3, seed=3)
    a, b = x.unbind()
    seen = []
    a.grad_fn.register_prehook(lambda go: seen.append(shown(go)))
    a.grad_fn.register_hook(lambda gi, go: seen.append((shown(gi), shown(go))))
    b.register_hook(lambda g: None if g is None else g * 5)  # torch shows None, too
    a.sum().backward(retain_graph=True)
    (a.sum() * b.sum()).backward()
    return seen, x.grad


@program
def what_hooks_of_nodes_may_not_return(lib: Any) -> Any:
    x = leaf(lib, 2, seed=4)
    z = (x * 3) * x
    one, two, three = lib.ones(2, dtype=lib.float64), lib.ones(2, dtype=lib.float64), lib.ones(3, dtype=lib.float64)
    out = []
    for returned in (3, one, (1, 2), (one,), (three, one), [one, two], (one.float(), two)):
        with z.grad_fn.register_hook(lambda gi, go, returned=returned: returned):
            out.append(attempt(lambda: z.sum().backward(retain_graph=True)))
    for returned in (3, one, (1,), (one, two), (three,)):
        with z.grad_fn.register_prehook(lambda go, returned=returned: returned):
            out.append(attempt(lambda: z.sum().backward(retain_graph=True)))
    return out, x.grad


@program
def the_order_of_hooks(lib: Any) -> Any:
    x = leaf(lib, 2, seed=5)
    y = x * 3
    log: list[Any] = []
    y.retain_grad()
    y.register_hook(lambda g: (log.append("tensor"), g * 2)[1])
    y.grad_fn.register_prehook(lambda go: log.append("pre"))
    y.register_hook(lambda g: log.append("tensor again"))
    y.grad_fn.register_hook(lambda gi, go: log.append("post"))
    end = y.grad_fn.next_functions[0][0]
    x.register_post_accumulate_grad_hook(lambda p: log.append(("accumulated", p is x, p.grad.tolist())))
    x.register_hook(lambda g: log.append("leaf"))
    end.register_prehook(lambda go: log.append("leaf pre"))
    end.register_hook(lambda gi, go: log.append(("leaf post", gi, shown(go))))
    z = (y * x.detach()).sum()
    z.backward(retain_graph=True)
    kept = y.grad.clone()
    log.append("-")
    lib.autograd.grad(z, x, retain_graph=True)
    log.append("-")
    lib.autograd.grad(z, y, retain_graph=True)
    log.append("-")
    z.backward(inputs=[x])
    return log, kept


@program
def hooks_of_accumulation(lib: Any) -> Any:
    x, w = leaf(lib, 2, seed=6), leaf(lib, 2, seed=7)
    z = (x * w).sum()
    end = x * 1
    end = end.grad_fn.next_functions[0][0]
    with end.register_prehook(lambda go: (go[0] * 100,)):
        z.backward(retain_graph=True)
    hundred = x.grad.clone()
    with end.register_prehook(lambda go: (None,)):
        z.backward(retain_graph=True)

    def step(p: Any) -> None:
        with lib.no_grad():
            p -= 0.1 * p.grad
        p.grad = None

    handle = w.register_post_accumulate_grad_hook(step)
    z.backward(retain_graph=True)
    after = w.detach().clone()
    handle.remove()
    refused = [
        attempt(lambda: (x * 2).register_post_accumulate_grad_hook(step)),
        attempt(lambda: lib.ones(2).register_post_accumulate_grad_hook(step)),
    ]
    for returned in (5, lib.ones(2, dtype=lib.float64)):
        with x.register_post_accumulate_grad_hook(lambda p, returned=returned: returned):
            refused.append(attempt(lambda: (x * 2).sum().backward()))
    return hundred, x.grad, after, w.grad is None, refused


@program
def a_hook_may_take_itself_off(lib: Any) -> Any:
    x = leaf(lib, 2, seed=8)
    y = x * 2
    log = []

    def once(g: Any) -> None:
        log.append("once")
        handle.remove()

    handle = y.register_hook(once)
    y.register_hook(lambda g: log.append("always"))
    y.sum().backward(retain_graph=True)
    y.sum().backward()
    handle.remove()
    return log


@program
def hooks_under_create_graph(lib: Any) -> Any:
    x = leaf(lib, 2, seed=9)
    y = x**3
    y.grad_fn.register_hook(lambda gi, go: (gi[0] * x,))
    y.register_hook(lambda g: g * x)
    (g,) = lib.autograd.grad(y.sum(), x, create_graph=True)
    return g, lib.autograd.grad(g.sum(), x)


@program
def edges_in_the_place_of_tensors(lib: Any) -> Any:
    G, grad = graph_of(lib), lib.autograd.grad
    x = leaf(lib, 2, seed=10)
    y = x * 2
    z = y.exp()
    total = z.sum()
    a, b = lib.stack([x, y]).unbind()
    edge = G.get_gradient_edge(y)
    both = (a * b).sum()
    out = [
        edge.output_nr,
        edge.node is y.grad_fn,
        G.get_gradient_edge(b).output_nr,
        grad(total, edge, retain_graph=True),
        grad(total, [edge, x], retain_graph=True),
        grad(G.get_gradient_edge(total), G.get_gradient_edge(x), retain_graph=True),
        grad(G.get_gradient_edge(z), x, lib.ones_like(z), retain_graph=True),
        grad(both, [G.get_gradient_edge(b), G.GradientEdge(a.grad_fn, 0)], retain_graph=True),
        attempt(lambda: grad(G.get_gradient_edge(z), x, retain_graph=True)),
        attempt(lambda: grad(G.get_gradient_edge(z), x, lib.ones(3, dtype=lib.float64), retain_graph=True)),
        attempt(lambda: G.get_gradient_edge(lib.ones(2))),
        grad(total, edge, create_graph=True)[0].requires_grad,
    ]
    lib.autograd.backward(G.get_gradient_edge(total), inputs=[edge], retain_graph=True)
    nothing = x.grad
    lib.autograd.backward(G.get_gradient_edge(total), inputs=G.get_gradient_edge(x))
    return out, nothing, x.grad


@program
def inputs_that_keep_their_gradient(lib: Any) -> Any:
    x = leaf(lib, 2, seed=24)
    y = x * 3
    y.retain_grad()
    z = (y * y).sum()
    z.backward(inputs=[y], retain_graph=True)
    first = y.grad.clone()
    z.backward(inputs=[y, x], retain_graph=True)
    w = x * 2
    (w * w).sum().backward(inputs=w)
    return first, y.grad, x.grad, w.grad


@program
def multithreading_is_switched(lib: Any) -> Any:
    mode = import_module(f"{lib.__name__}.autograd.grad_mode").set_multithreading_enabled
    on = lib.autograd.grad_mode.is_multithreading_enabled if lib is not torch else torch._C._is_multithreading_enabled
    seen = [on()]
    with mode(False):
        seen.append(on())
        with lib.autograd.set_multithreading_enabled(True):
            seen.append(on())
        seen.append(on())
    return [*seen, on()]


@program
def hooks_and_kept_gradients_after_writes_in_place(lib: Any) -> Any:
    x = leaf(lib, 4, seed=26)
    y = x * 2
    log = []
    y.retain_grad()
    y.register_hook(lambda g: log.append(("before", g.tolist())))
    y.mul_(3)
    y.register_hook(lambda g: log.append(("after", g.tolist())))
    (y * y).sum().backward()
    z = x * 2
    z.retain_grad()
    part = z[1:3]
    part.exp_()
    (z * z).sum().backward()
    return log, y.grad, z.grad, z.retains_grad, x.grad


@program
def empty_and_unused_inputs(lib: Any) -> Any:
    x, w = leaf(lib, 2, seed=11), leaf(lib, 2, seed=12)
    grad = lib.autograd.grad
    y = (x * 2).sum()
    return [
        attempt(lambda: grad(y, [])),
        attempt(lambda: grad(y, ())),
        attempt(lambda: y.backward(inputs=[])),
        attempt(lambda: grad([], [x])),
        attempt(lambda: grad(y, [x, w], retain_graph=True)),
        grad(y, [x, w], retain_graph=True, allow_unused=True),
        grad(y, [x, w], retain_graph=True, materialize_grads=True),
        attempt(lambda: grad(y, [x, w], retain_graph=True, materialize_grads=True, allow_unused=False)),
        grad(x * 2, x, lib.eye(2, dtype=lib.float64), is_grads_batched=True),
    ]


@program
def versions_are_incremented(lib: Any) -> Any:
    G = graph_of(lib)
    a = leaf(lib, 2, seed=23)
    b = a.clone()
    y = b.exp() * b
    G.increment_version(b)
    G.increment_version([b, b])
    return b._version, attempt(y.sum().backward)[1], attempt(lambda: G.increment_version(3)), attempt(
        lambda: G.increment_version([3])
    )


@program
def hooks_of_several_gradients(lib: Any) -> Any:
    G = graph_of(lib)
    a, b, c, d = (leaf(lib, 2, seed=30 + i) for i in range(4))
    e = a * b
    log: list[Any] = []
    firsts: list[Any] = []
    inners: list[Any] = []
    every = G.register_multi_grad_hook((a, b, c, d), lambda gs: log.append(shown(gs)))
    some = G.register_multi_grad_hook((a, c), lambda g: firsts.append(g.tolist()), mode="any")
    inner = G.register_multi_grad_hook((e, a), lambda gs: inners.append(shown(gs)))
    (e * e + b).sum().backward(retain_graph=True)
    log.append("-")
    (e * c).sum().backward(inputs=[b], retain_graph=True)
    log.append("-")
    d.sum().backward()
    for handle in (every, some, inner):
        handle.remove()
    (e * c).sum().backward()
    return (
        log,
        firsts,
        inners,
        attempt(lambda: G.register_multi_grad_hook((a,), log.append, mode="some")),
        attempt(lambda: G.register_multi_grad_hook((a, lib.ones(2)), log.append)),
    )


@pytest.mark.parametrize("run", PROGRAMS, ids=lambda f: f.__name__)
def test_does_as_torch(run: Callable[[Any], Any]) -> None:
    same(run, torch, rtol=1e-9)
