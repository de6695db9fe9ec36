"""backward, grad and leaves, as programs that torch runs too. It must not test any one operation."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradcore
from tests.twin import Programs, attempt, same

torch = pytest.importorskip("torch")

program = PROGRAMS = Programs()


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
def gradients_with_a_history_never_share_memory(lib: Any) -> Any:
    p, q, seed = leaf(lib, 3), leaf(lib, 3, seed=1), lib.ones(3)
    (p + q).backward(seed, create_graph=True)
    p.grad.data.mul_(5)
    p.view(3).backward(seed)  # added to what is there
    x, y = leaf(lib, 3), leaf(lib, 3, seed=1)
    ((x + y) ** 2).sum().backward(create_graph=True)
    x.grad.data.mul_(5)
    z = leaf(lib, 3)
    z.backward(z, create_graph=True)
    z.grad.data.mul_(5)
    a = leaf(lib, 3)
    b = a * 1
    b.retain_grad()
    b.backward(seed, create_graph=True)
    b.grad.mul_(5)
    return p.grad, q.grad, x.grad, y.grad, z, z.grad, a.grad, b.grad, seed


@program
def gradients_with_a_history_show_it(lib: Any) -> Any:
    x, y = leaf(lib, 3), leaf(lib, 3, seed=1) * 2
    y.retain_grad()
    (x * x * y).sum().backward(create_graph=True)
    first = str(x.grad.detach()), repr(x.grad), repr(y.grad), x.grad.grad_fn.name(), y.grad.grad_fn.name()
    (x * x).sum().backward(create_graph=True)
    return first, repr(x.grad), x.grad.grad_fn.next_functions[0][0].name(), y.grad.grad_fn.next_functions[0][0].name()


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
    refused = attempt(lambda: out.backward(inputs=[])), attempt(lambda: out.backward(inputs=[lib.ones(3)]))
    return only, z.grad, y.grad, refused


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
def batched_sweeps_free_the_graph(lib: Any) -> Any:
    x, z = leaf(lib, 3), leaf(lib, 3)
    grad = functools.partial(lib.autograd.grad, is_grads_batched=True)
    y, unused = x.sin() * x.exp(), z.exp()
    first = [*grad(y, x, lib.eye(3), retain_graph=True), *grad(y, x, lib.eye(3), create_graph=True), *grad(y, x, lib.eye(3))]
    both = x.sin() + unused
    return (
        [each.detach() for each in first],
        attempt(lambda: grad(y, x, lib.eye(3))),
        attempt(lambda: lib.autograd.grad(y.sum(), x)),
        grad(both, x, lib.eye(3)),
        lib.autograd.grad(both.sum(), z, retain_graph=True),  # only the way to `x` is freed
        attempt(lambda: both.sum().backward()),
        [*grad(x * 2, x, lib.eye(3)), *grad(x + 2, x, lib.eye(3))],
    )


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


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
def test_does_as_torch(program: Callable[[Any], Any]) -> None:
    same(program, torch)


@pytest.mark.parametrize("piecewise", ["relu", "abs"])
def test_second_derivatives_of_straight_pieces_are_zeros(piecewise: str) -> None:
    x = gradcore.tensor([-1.5, 0.0, 2.0], requires_grad=True)
    (slope,) = gradcore.autograd.grad(getattr(x, piecewise)().sum(), x, create_graph=True)
    (bend,) = gradcore.autograd.grad(slope.sum(), x)
    assert bend.tolist() == [0.0, 0.0, 0.0]


def test_batched_sweeps_that_go_on_as_a_loop_free_the_graph() -> None:
    x = leaf(gradcore, 3)
    y = x.exp()
    y.register_hook(lambda g: g if g.sum().item() else g * 1)
    (found,) = gradcore.autograd.grad(y, x, gradcore.eye(3), is_grads_batched=True)
    assert gradcore.allclose(found.diagonal(), y.detach())
    with pytest.raises(RuntimeError, match="a second time"):
        gradcore.autograd.grad(y, x, gradcore.eye(3), is_grads_batched=True)
