"""backward, grad, leaves, hooks and grad modes, as programs that torch runs too. It must not test any one operation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.twin import attempt, same

torch = pytest.importorskip("torch")

PROGRAMS: list[Callable[[Any], Any]] = []


def program(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    PROGRAMS.append(f)
    return f


def leaf(lib: Any, *shape: int, seed: int = 0, dtype: str = "float32") -> Any:
    values = np.random.default_rng(seed).normal(size=shape)
    return lib.tensor(values.tolist(), dtype=getattr(lib, dtype), requires_grad=True)


@program
def leaves_and_nodes(lib: Any) -> Any:
    x = leaf(lib, 2, 3)
    y = x * 2
    c = lib.ones(2, 3)
    return [
        (t.is_leaf, t.requires_grad, t.grad_fn is None, t.output_nr, t.retains_grad) for t in (x, y, c, c + 1, y.detach())
    ]


@program
def accumulation(lib: Any) -> Any:
    x = leaf(lib, 3)
    (x * x).sum().backward()
    first = x.grad
    one = first.clone()
    (3 * x).sum().backward()
    return one, x.grad, x.grad is first, x.grad.requires_grad


@program
def two_gradients_never_share_memory(lib: Any) -> Any:
    x, y = leaf(lib, 3), leaf(lib, 3, seed=1)
    seed = lib.ones(3)
    (x + y).backward(seed)
    x.grad.mul_(5)
    z = leaf(lib, 3)
    z.backward(seed)
    z.grad.add_(1)
    return x.grad, y.grad, z.grad, seed


@program
def implicit_gradient_needs_a_scalar(lib: Any) -> Any:
    x = leaf(lib, 3)
    return attempt(lambda: (x * 2).backward()), x.grad, attempt((x * 2)[:1].backward), x.grad


@program
def gradient_of_another_shape(lib: Any) -> Any:
    x = leaf(lib, 3)
    return attempt(lambda: (x * 2).backward(lib.ones(4))), attempt(lambda: (x * 2).backward(lib.ones(1, 3))), x.grad


@program
def gradient_of_another_dtype(lib: Any) -> Any:
    x = leaf(lib, 3)
    (x * 2).backward(lib.ones(3, dtype=lib.float64))
    return x.grad


@program
def gradient_that_is_no_tensor(lib: Any) -> Any:
    x = leaf(lib, 3)
    return attempt(lambda: (x * 2).backward(3))[1], x.grad


@program
def constants_have_no_backward(lib: Any) -> Any:
    return attempt(lib.ones(()).backward), attempt(lambda: lib.autograd.grad(lib.ones(()), lib.ones(())))


@program
def twice(lib: Any) -> Any:
    x = leaf(lib, 3)
    y = (x * x).sum()
    y.backward()
    again = attempt(y.backward)
    z = (x + x).sum()
    z.backward()
    return again, attempt(z.backward), x.grad


@program
def retained(lib: Any) -> Any:
    x = leaf(lib, 3)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    return x.grad, attempt(y.backward)


@program
def higher_orders(lib: Any) -> Any:
    x = leaf(lib, 3, dtype="float64")
    y = (x**4).sum()
    out = [y]
    for _ in range(4):
        (g,) = lib.autograd.grad(y, x, create_graph=True)
        out.append(g.detach())
        y = (g * g.detach()).sum() if g.requires_grad else g.sum()
    return out


@program
def create_graph_in_backward(lib: Any) -> Any:
    x = leaf(lib, 3, dtype="float64")
    (x**3).sum().backward(create_graph=True)
    first = x.grad
    kept = first.detach().clone(), first.requires_grad
    x.grad = None
    first.sum().backward()
    return kept, x.grad


@program
def accumulate_onto_a_gradient_with_history(lib: Any) -> Any:
    x = leaf(lib, 3, dtype="float64")
    (x**3).sum().backward(create_graph=True)
    (x**2).sum().backward()
    return x.grad.detach(), x.grad.requires_grad


@program
def inputs_limit_what_is_computed(lib: Any) -> Any:
    x, y = leaf(lib, 3), leaf(lib, 3, seed=1)
    z = x * y
    out = (z * z).sum()
    out.backward(inputs=[x], retain_graph=True)
    only = x.grad.clone(), y.grad
    out.backward(inputs=z, retain_graph=True)
    return only, z.grad, y.grad, attempt(lambda: out.backward(inputs=[])), attempt(lambda: out.backward(inputs=[lib.ones(3)]))


@program
def grad_of_intermediate_and_repeated_inputs(lib: Any) -> Any:
    x = leaf(lib, 3)
    y = x * 3
    z = (y * y).sum()
    a = lib.autograd.grad(z, [x, y, z, x], retain_graph=True)
    (b,) = lib.autograd.grad(z, y)
    return list(a), b, x.grad


@program
def grad_of_several_outputs(lib: Any) -> Any:
    x, y = leaf(lib, 3), leaf(lib, 3, seed=1)
    outs = [x * y, (x + y).sum(), x]
    seeds = [lib.full((3,), 2.0), None, lib.ones(3)]
    return list(lib.autograd.grad(outs, (x, y), seeds))


@program
def grad_unused(lib: Any) -> Any:
    x, y = leaf(lib, 3), leaf(lib, 2, seed=1)
    z = (x * 2).sum()
    return (
        attempt(lambda: lib.autograd.grad(z, [x, y], retain_graph=True)),
        [g is None for g in lib.autograd.grad(z, [x, y], allow_unused=True, retain_graph=True)],
        list(lib.autograd.grad(z, [x, y], materialize_grads=True, retain_graph=True)),
        attempt(lambda: lib.autograd.grad(z, [x, y], materialize_grads=True, allow_unused=False)),
        attempt(lambda: lib.autograd.grad(z, [x, lib.ones(2)], retain_graph=True)),
    )


@program
def grad_batched(lib: Any) -> Any:
    x = leaf(lib, 3)
    y = x * x * 2
    return list(lib.autograd.grad(y, x, lib.eye(3), is_grads_batched=True))


@program
def autograd_backward(lib: Any) -> Any:
    x = leaf(lib, 3)
    lib.autograd.backward([x * 2, (x * x).sum()], [lib.ones(3), None])
    return x.grad, attempt(lambda: lib.autograd.backward([x * 2, x * 3], [lib.ones(3)]))


@program
def grads_of_broadcast_inputs(lib: Any) -> Any:
    x, y, z = leaf(lib, 3, 1), leaf(lib, 4), leaf(lib)
    (x * y * z).sum().backward()
    return x.grad, y.grad, z.grad


@program
def diamond(lib: Any) -> Any:
    x = leaf(lib, 3)
    a = x * 2
    b = a * a
    c = a + b
    (b * c + a).sum().backward()
    return x.grad


@program
def requires_grad_flags(lib: Any) -> Any:
    x = lib.ones(3)
    y = lib.ones(3, requires_grad=True)
    z = y * 2
    return (
        x.requires_grad_().requires_grad,
        x.requires_grad_(False).requires_grad,
        attempt(lambda: z.requires_grad_(False)),
        z.requires_grad_().is_leaf,
        attempt(lambda: lib.ones(3, dtype=lib.int64).requires_grad_()),
        attempt(lambda: setattr(z, "requires_grad", False)),
        attempt(lambda: lib.tensor([1, 2], requires_grad=True)),
        attempt(lambda: lib.ones(2, dtype=lib.bool, requires_grad=True)),
    )


@program
def assigned_gradients(lib: Any) -> Any:
    x = leaf(lib, 3)
    x.grad = lib.ones(3)
    (x * 2).sum().backward()
    return (
        x.grad,
        attempt(lambda: setattr(x, "grad", lib.ones(2))),
        attempt(lambda: setattr(x, "grad", lib.ones(3, dtype=lib.float64))),
        attempt(lambda: setattr(x, "grad", 3)),
        attempt(lambda: setattr(x, "grad", x)),
        setattr(x, "grad", None),
        x.grad,
    )


@program
def zeroing_through_data(lib: Any) -> Any:
    x = leaf(lib, 3)
    x.sum().backward()
    x.grad.data.zero_()
    zero = x.grad.clone()
    x.sum().backward()
    return zero, x.grad


@program
def retain_grad(lib: Any) -> Any:
    x = leaf(lib, 3)
    y = x * 2
    y.retain_grad()
    y.retain_grad()
    z = y * y
    z.sum().backward(retain_graph=True)
    first = y.grad.clone()
    z.sum().backward()
    return first, y.grad, y.retains_grad, x.retains_grad, attempt(lib.ones(2).retain_grad), x.retain_grad()


@program
def detach(lib: Any) -> Any:
    x = leaf(lib, 3)
    y = x * 2
    d = y.detach()
    e = (x * 3).detach_()
    (y * d).sum().backward()
    return x.grad, d.requires_grad, e.is_leaf, e.requires_grad, d.grad_fn is None


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
