"""What hooks see and change, and when, by where a sweep ends; hooks of leaves that are switched off and on. Beside torch."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from tests.twin import attempt, same

torch = pytest.importorskip("torch")


def numbers(grads: Any) -> Any:
    return [None if g is None else g.tolist() for g in grads]


def tensors(lib: Any) -> Any:
    x = lib.tensor([1.0, 2.0], dtype=lib.float64, requires_grad=True)
    y = x * 3
    z = y * 5
    return x, y, z, z.sum()


def registering(y: Any, log: list[Any]) -> dict[str, Callable[[], Any]]:
    def on_tensor(g: Any) -> Any:
        log.append(("tensor", g.tolist()))
        return g * 2

    def before(grads: Any) -> Any:
        log.append(("before", numbers(grads)))
        return (grads[0] * 7,)

    def after(grads: Any, outs: Any) -> Any:
        log.append(("after", numbers(grads), numbers(outs)))
        return tuple(None if g is None else g * 11 for g in grads)

    return {
        "tensor": lambda: y.register_hook(on_tensor),
        "retain": lambda: y.retain_grad(),
        "before": lambda: y.grad_fn.register_prehook(before),
        "after": lambda: y.grad_fn.register_hook(after),
    }


HOOKS = [kinds for n in range(5) for kinds in itertools.combinations(("tensor", "retain", "before", "after"), n)]


@pytest.mark.filterwarnings("ignore:The .grad attribute")
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("how", ["grad", "create_graph", "inputs", "backward"])
@pytest.mark.parametrize("kinds", HOOKS, ids="-".join)
def test_what_is_captured_and_what_hooks_see(kinds: tuple[str, ...], how: str, turned: bool) -> None:
    def program(lib: Any, wanted: str) -> Any:
        log: list[Any] = []
        x, y, z, total = tensors(lib)
        register = registering(y, log)
        for kind in reversed(kinds) if turned else kinds:
            register[kind]()
        x.register_hook(lambda g: g * 13)
        inputs = [{"x": x, "y": y, "z": z}[name] for name in wanted]
        found = None
        if how in ("grad", "create_graph"):
            found = numbers(lib.autograd.grad(total, inputs, create_graph=how == "create_graph"))
        else:
            total.backward(inputs=inputs if how == "inputs" else None)
        return found, numbers(t.grad for t in (x, y, z)), y.retains_grad, log

    for wanted in ("y", "xy", "x", "zyx"):
        if how == "inputs" and wanted == "y" and {"before", "after"} & set(kinds):
            continue  # torch runs the hooks of the node at which the sweep ends, without gradients
        same(lambda lib, wanted=wanted: program(lib, wanted), torch)


def outputs_of_one_node(lib: Any) -> Any:
    x = lib.tensor([3.0, 1.0, 2.0], requires_grad=True)
    a, b, c = (x * 1).unbind()
    a.register_hook(lambda g: g * 2)
    b.register_hook(lambda g: g * 3)
    total = a * b * c
    return numbers(lib.autograd.grad(total, [a, c, b], retain_graph=True)), numbers(lib.autograd.grad(total, [a, x, c, b]))


def roots_and_edges(lib: Any) -> Any:
    x = lib.tensor([3.0, 1.0, 2.0], requires_grad=True)
    y = x * 2
    y.register_hook(lambda g: g * 2)
    edge, ones = lib.autograd.graph.get_gradient_edge(y), lib.ones(3)
    return [numbers(lib.autograd.grad(y, wanted, ones, retain_graph=True)) for wanted in ([y, x], [y], [edge, x], [edge])]


def batches_of_gradients(lib: Any) -> Any:
    x = lib.tensor([3.0, 1.0, 2.0], requires_grad=True)
    y = x * 2
    y.register_hook(lambda g: g * 2)
    return numbers(lib.autograd.grad(y * y, [y, x], lib.eye(3), is_grads_batched=True))


def inputs_keep_their_gradient_from_then_on(lib: Any) -> Any:
    x, y, z, total = tensors(lib)
    total.backward(inputs=[y], retain_graph=True)
    seen = [y.retains_grad, z.retains_grad, y.grad.tolist(), x.grad]
    total.backward()
    return seen, y.grad.tolist(), x.grad.tolist()


def inputs_that_nothing_reaches(lib: Any) -> Any:
    x, _, _, total = tensors(lib)
    other, leaf = x * 5, lib.ones(3, requires_grad=True)
    total.backward(inputs=[other, leaf])
    return other.grad, leaf.grad, x.grad, other.retains_grad


def inputs_in_a_dict_and_as_edges(lib: Any) -> Any:
    x, y, _, total = tensors(lib)
    total.backward(inputs={"x": x, "y": y}, retain_graph=True)
    lib.autograd.backward(total, inputs={"x": x}, retain_graph=True)
    lib.autograd.backward(total, inputs=[lib.autograd.graph.get_gradient_edge(x)])
    return numbers([x.grad, y.grad])


# -- leaves that are switched off and on -----------------------------------------------------------------------------


def leaf(lib: Any, seen: list[str]) -> Any:
    x = lib.ones(3, requires_grad=True)
    x.register_hook(lambda g: seen.append("tensor"))
    x.register_post_accumulate_grad_hook(lambda t: seen.append("accumulated"))
    return x


def hooks_of_a_leaf_survive(lib: Any) -> Any:
    seen: list[str] = []
    x = leaf(lib, seen)
    x.requires_grad_(False)
    refused = attempt(lambda: x.register_hook(print))
    x.requires_grad_(True)
    (x * 2).sum().backward()
    x.detach_().requires_grad_()
    (x * 2).sum().backward()
    return seen, refused, x.grad.tolist()


def hooks_may_be_removed_meanwhile(lib: Any) -> Any:
    seen: list[str] = []
    x = leaf(lib, seen)
    handle = x.register_hook(lambda g: g * 2)
    x.requires_grad = False
    handle.remove()
    x.requires_grad = True
    (x * 2).sum().backward()
    return seen, x.grad.tolist()


def graphs_from_before(lib: Any) -> Any:
    seen: list[str] = []
    x = lib.ones(3, requires_grad=True)
    x.register_hook(lambda g: seen.append("tensor"))
    total, other = (x * 2).sum(), (x * 3).sum()
    x.requires_grad_(False)
    total.backward(retain_graph=True)
    off = (list(seen), x.grad, x.requires_grad)
    x.requires_grad_(True)
    total.backward()
    (g,) = lib.autograd.grad(other, x)
    return off, seen, x.grad.tolist(), g.tolist()


def the_node_is_the_same(lib: Any) -> Any:
    seen: list[str] = []
    x = lib.ones(3, requires_grad=True)
    y = x * 2
    node = y.grad_fn.next_functions[0][0]
    node.register_hook(lambda *grads: seen.append("after"))
    node.register_prehook(lambda grads: seen.append("before"))
    x.requires_grad_(False)
    x.requires_grad_(True)
    z = x * 3
    z.sum().backward()
    return z.grad_fn.next_functions[0][0] is node, node.variable is x, seen


def frozen_modules(lib: Any) -> Any:
    module, seen = lib.nn.Linear(2, 1), []
    module.weight.register_hook(lambda g: seen.append("weight"))
    module.requires_grad_(False)
    frozen = module(lib.ones(1, 2)).requires_grad
    module.requires_grad_(True)
    module(lib.ones(1, 2)).sum().backward()
    return frozen, seen, module.weight.grad.tolist()


def copies_have_none(lib: Any) -> Any:
    import copy

    seen: list[str] = []
    x = leaf(lib, seen).requires_grad_(False)
    other = copy.deepcopy(x).requires_grad_()
    (other * 2).sum().backward()
    return seen, x.grad, other.grad.tolist()


PROGRAMS = [
    outputs_of_one_node, roots_and_edges, batches_of_gradients, inputs_keep_their_gradient_from_then_on,
    inputs_that_nothing_reaches, inputs_in_a_dict_and_as_edges, hooks_of_a_leaf_survive, hooks_may_be_removed_meanwhile,
    graphs_from_before, the_node_is_the_same, frozen_modules, copies_have_none,
]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
def test_programs(program: Callable[[Any], Any]) -> None:
    assert not (isinstance(program(torch), tuple) and program(torch)[:1] == ("raised",))
    same(program, torch)
