"""What torch's documentation says of saved tensors and checkpoints, as programs that torch runs too."""

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


@program
def saved_tensors_are_packed(lib: Any) -> Any:
    G = graph_of(lib)
    a, b = leaf(lib, 3, seed=13), leaf(lib, 3, seed=14)
    log = []

    def pack(t: Any) -> Any:
        log.append(("pack", t.tolist(), t.requires_grad, t.is_leaf, lib.is_grad_enabled()))
        return t.detach().numpy().copy()

    def unpack(packed: Any) -> Any:
        log.append(("unpack", packed.tolist(), lib.is_grad_enabled()))
        return lib.from_numpy(packed)

    with G.saved_tensors_hooks(pack, unpack):
        c = a * b
        d = c.exp()
        with lib.no_grad():
            a * b
    outside = d * d
    shown_by_the_node = d.grad_fn._saved_result.requires_grad, d.grad_fn._saved_result.grad_fn is d.grad_fn
    outside.sum().backward()
    return log, a.grad, b.grad, shown_by_the_node, attempt(lambda: d.grad_fn._saved_result)


@program
def packed_tensors_are_differentiated_twice(lib: Any) -> Any:
    G = graph_of(lib)
    x, w = leaf(lib, 2, 3, seed=15), leaf(lib, 3, 3, seed=16)
    with G.saved_tensors_hooks(lambda t: t.detach().clone(), lambda t: t):
        y = ((x @ w).tanh() * x).softmax(1).max(1)[0] + lib.cat([x, x]).std()
    first = lib.autograd.grad(y.sum(), [x, w], create_graph=True)
    second = lib.autograd.grad(sum((g * g).sum() for g in first), [x, w])
    return [g.detach() for g in first], second


@program
def one_saved_tensor_has_hooks_of_its_own(lib: Any) -> Any:
    x = leaf(lib, 2, seed=25)
    y = x * x.detach()
    saved = y.grad_fn._raw_saved_other
    out = [attempt(lambda: y.grad_fn._raw_saved_nothing)[1], attempt(lambda: saved.register_hooks(1, 2))[1]]
    saved.register_hooks(lambda t: t.detach() * 2, lambda t: t)
    y.sum().backward(retain_graph=True)
    out += [x.grad.clone(), y.grad_fn._saved_other, attempt(lambda: saved.register_hooks(lib.exp, lib.exp))]
    z = x.exp()
    saved = z.grad_fn._raw_saved_result
    z.sum().backward()
    return [*out, attempt(lambda: saved.register_hooks(lib.exp, lib.exp))]


@program
def only_the_innermost_hooks_count(lib: Any) -> Any:
    G = graph_of(lib)
    a = leaf(lib, 2, seed=17)
    log = []

    def hooks(name: str) -> Any:
        return G.saved_tensors_hooks(lambda t: log.append(name) or t.detach(), lambda t: t)

    with hooks("outer"):
        b = a.exp()
        with hooks("inner"):
            b = b.exp()
        b = b.exp()
    b.exp().sum().backward()
    return log, a.grad


@program
def what_goes_wrong_with_packing(lib: Any) -> Any:
    G = graph_of(lib)
    a = leaf(lib, 2, seed=18)

    def square(pack: Any, unpack: Any) -> Any:
        with G.saved_tensors_hooks(pack, unpack):
            return (a * a).sum()

    def enter_disabled() -> None:
        with G.disable_saved_tensors_hooks("not here"):
            square(lambda t: t, lambda t: t)

    def disable_inside() -> None:
        with G.saved_tensors_hooks(lambda t: t, lambda t: t), G.disable_saved_tensors_hooks("nor here"):
            pass

    c = a.clone()
    with G.saved_tensors_hooks(lambda t: t.clone(), lambda t: t):
        d = (c * c).sum()
    with lib.no_grad():
        c.add_(1)  # what was packed is a copy
    d.backward()
    return [
        a.grad,
        attempt(lambda: square(lambda t: t.add_(1), lambda t: t)),
        attempt(lambda: square(lambda t: t.clone(), lambda t: 3).backward()),
        attempt(lambda: square(lambda t: 1 / 0, lambda t: 3).backward()),
        attempt(lambda: square(lambda t: t.clone(), lambda t: 1 / 0).backward()),
        attempt(lambda: square(1, 2))[1],
        attempt(enter_disabled),
        attempt(disable_inside),
        attempt(lambda: square(lambda t: t.clone(), lambda t: t)).requires_grad,
    ]


@program
def functions_save_through_the_hooks(lib: Any) -> Any:
    G = graph_of(lib)

    class Exp(lib.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            out = x.exp()
            ctx.save_for_backward(out, x)
            return out

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * ctx.saved_tensors[0]

    x = leaf(lib, 2, seed=19)
    log = []
    with G.saved_tensors_hooks(lambda t: log.append(t.tolist()) or t.detach() * 2, lambda t: t):
        Exp.apply(x).sum().backward()
    return log, x.grad


@program
def saving_on_the_cpu(lib: Any) -> Any:
    a, b = leaf(lib, 2, seed=20), leaf(lib, 2, seed=21)
    with graph_of(lib).save_on_cpu():
        y = (a * b).exp()
    kept = y.grad_fn._saved_result.tolist()
    y.sum().backward()
    return kept, a.grad, b.grad


@program
def saved_tensors_may_be_overwritten(lib: Any) -> Any:
    G = graph_of(lib)
    a = leaf(lib, 2, 3, seed=22)
    with G.allow_mutation_on_saved_tensors():
        b = a.clone()
        out = (b**2).sum()
        b.sin_()
        part = b[0]
        more = (b * part).sum()
        part.zero_()
        (out + more).backward()
    c = a.clone()
    out = (c**2).sum()
    c.sin_()

    def nested() -> None:
        with G.allow_mutation_on_saved_tensors(), G.allow_mutation_on_saved_tensors():
            pass

    return a.grad, attempt(out.backward)[1], attempt(nested)


@program
def checkpoints(lib: Any) -> Any:
    module = import_module(f"{lib.__name__}.utils.checkpoint")
    dropout = lib.nn.functional.dropout
    w, x = leaf(lib, 4, 4, seed=40), leaf(lib, 3, 4, seed=41)
    runs = []

    def block(t: Any, *, factor: float = 1.0) -> Any:
        runs.append(1)
        return dropout((t @ w).tanh() * factor, 0.4, True).exp()

    lib.manual_seed(9)
    y = module.checkpoint(block, x, use_reentrant=False, factor=0.5)
    z = module.checkpoint(lambda t: module.checkpoint(block, block(t) * 0.1, use_reentrant=False), y, use_reentrant=False)
    first = lib.autograd.grad(z.sum(), [x, w], create_graph=True)
    early = len(runs)
    second = lib.autograd.grad(sum((g * g).sum() for g in first), [x, w])
    rows = module.checkpoint_sequential([block, lambda t: t * 0.1, block, lib.sin], 2, x, use_reentrant=False)
    rows.sum().backward()
    return y.detach(), z.detach(), [g.detach() for g in first], early, second, rows.detach(), x.grad, w.grad, lib.rand(3)


@program
def what_checkpoints_refuse(lib: Any) -> Any:
    module = import_module(f"{lib.__name__}.utils.checkpoint")
    x = leaf(lib, 3, seed=42)
    out = []
    for functions in ((lib.exp, lambda t: t.exp()[:1]), (lambda t: t.exp().sin(), lib.exp)):
        turns = iter(functions)
        y = module.checkpoint(lambda t, turns=turns: next(turns)(t), x, use_reentrant=False)
        out.append(attempt(y.sum().backward)[1])
    z = x.clone()
    y = module.checkpoint(lib.exp, z, use_reentrant=False)
    z.detach().add_(1)
    out.append(attempt(y.sum().backward)[1])
    return out, x.grad, attempt(lambda: module.checkpoint_sequential([lib.exp], 1, x, use_reentrant=False, speed=1))


@pytest.mark.parametrize("run", PROGRAMS, ids=lambda f: f.__name__)
def test_does_as_torch(run: Callable[[Any], Any]) -> None:
    same(run, torch, rtol=1e-9, may_raise=True)
