"""Jacobians, Hessians and products with them: beside torch, and against closed forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradcore
from tests.twin import attempt, same

torch = pytest.importorskip("torch")


def tensor(lib: Any, *shape: int, seed: int = 0) -> Any:
    return lib.tensor(np.random.default_rng(seed).normal(size=shape).tolist(), dtype=lib.float64)


def one(x: Any) -> Any:
    return x.exp() * x.sum()


def several(x: Any, y: Any) -> Any:
    return (x * y.sum()).sin(), x.sum() ** 2


def unused(x: Any, y: Any) -> Any:
    return x**3


def constant(x: Any, y: Any) -> Any:
    return x.detach() * 2


def linear(x: Any, y: Any) -> Any:
    return 2 * x.sum() + 3 * y.sum()


def quadratic(x: Any, y: Any) -> Any:
    return (x * x).sum() * y.sum()


def cubic(x: Any, y: Any) -> Any:
    return (x**3).sum() * (y**4).sum()


def number(x: Any) -> Any:
    return (x.exp() * x.sum()).sum()


def ignores_one(x: Any, y: Any) -> Any:
    return (x**4).sum()


# name, function, shapes of inputs, shapes of v (None: no v; an int: too many)
CASES = [
    ("vjp", one, ((3,),), ((3,),)),
    ("vjp", number, ((3,),), None),
    ("vjp", several, ((2, 3), (4,)), ((2, 3), ())),
    ("vjp", unused, ((3,), (2,)), ((3,),)),
    ("vjp", constant, ((3,), (2,)), ((3,),)),
    ("vjp", one, ((3,),), None),
    ("vjp", one, ((3,),), ((2,),)),
    ("vjp", several, ((2, 3), (4,)), ((2, 3),)),
    ("vjp", several, ((2, 3), (4,)), ((2, 3), (1,))),
    ("jvp", one, ((3,),), ((3,),)),
    ("jvp", one, ((1,),), None),
    ("jvp", one, ((3,),), None),
    ("jvp", several, ((2, 3), (4,)), ((2, 3), (4,))),
    ("jvp", unused, ((3,), (2,)), ((3,), (2,))),
    ("jvp", constant, ((3,), (2,)), ((3,), (2,))),
    ("jvp", linear, ((3,), (2,)), ((3,), (2,))),
    ("jacobian", one, ((3,),), None),
    ("jacobian", one, ((),), None),
    ("jacobian", several, ((2, 3), (4,)), None),
    ("jacobian", unused, ((3,), (2,)), None),
    ("jacobian", constant, ((3,), (2,)), None),
    ("jacobian", linear, ((3,), (2,)), None),
    ("hessian", number, ((3,),), None),
    ("hessian", number, ((2, 2),), None),
    ("hessian", cubic, ((3,), (2,)), None),
    ("hessian", quadratic, ((3,), (2,)), None),
    ("hessian", linear, ((3,), (2,)), None),
    ("hessian", ignores_one, ((3,), (2,)), None),
    ("hessian", one, ((3,),), None),
    ("hessian", several, ((3,), (2,)), None),
    *(
        (name, f, ((3,), (2,)), v)
        for name in ("vhp", "hvp")
        for f in (cubic, quadratic, linear, ignores_one, several, unused)
        for v in (((3,), (2,)),)
    ),
    ("vhp", number, ((3,),), None),
    ("hvp", number, ((1,),), None),
    ("vhp", number, ((3,),), ((3,),)),
    ("hvp", number, ((3,),), ((3,),)),
]


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0]}-{c[1].__name__}-{c[2]}-{c[3]}")
def test_does_as_torch(case: tuple[Any, ...], create_graph: bool, strict: bool) -> None:
    name, f, shapes, v_shapes = case

    def program(lib: Any) -> Any:
        xs = tuple(tensor(lib, *shape, seed=i).requires_grad_() for i, shape in enumerate(shapes))
        vs = None if v_shapes is None else tuple(tensor(lib, *shape, seed=9 + i) for i, shape in enumerate(v_shapes))
        args = [unpacked(xs)] + ([] if name in ("jacobian", "hessian") else [unpacked(vs)])
        found = getattr(lib.autograd.functional, name)(f, *args, create_graph=create_graph, strict=strict)
        again = None
        if create_graph:
            total = sum(t.sum() for t in flat(found) if t.requires_grad)
            again = lib.autograd.grad(total, xs, allow_unused=True)
        return shown(found), [x.grad is None for x in xs], again and shown(again)

    same(program, torch, words=6, may_raise=True)


def unpacked(many: Any) -> Any:
    return many if many is None or len(many) > 1 else many[0]


def flat(found: Any) -> list[Any]:
    return [t for each in found for t in flat(each)] if isinstance(found, tuple) else [found]


def shown(found: Any) -> Any:
    """Numbers, shapes and whether they have a history; not how torch's bookkeeping names its nodes."""
    if isinstance(found, tuple):
        return [shown(each) for each in found]
    return found if found is None else (str(found.dtype), tuple(found.shape), found.requires_grad, found.tolist())


@pytest.mark.parametrize(
    "call",
    [
        lambda F, x: F.vjp(one, [x]),
        lambda F, x: F.vjp(one, (x, 3)),
        lambda F, x: F.jacobian(lambda x: [x], x),
        lambda F, x: F.jacobian(lambda x: 3.0, x),
        lambda F, x: F.jvp(one, x, (x, x)),
        lambda F, x: F.jacobian(one, x, strict=True, vectorize=True),
        lambda F, x: F.jacobian(one, x, strategy="forward-mode"),
        lambda F, x: F.jacobian(one, x, strategy="sideways"),
        lambda F, x: shown(F.jacobian(one, x, vectorize=True)),
        lambda F, x: shown(F.jacobian(one, x, vectorize=True, strategy="forward-mode")),
        lambda F, x: shown(F.hessian(number, x, vectorize=True)),
    ],
)
def test_arguments_as_torch(call: Callable[[Any, Any], Any]) -> None:
    same(lambda lib: attempt(lambda: call(lib.autograd.functional, tensor(lib, 3))), torch, words=6, may_raise=True)


def test_of_matrix_functions() -> None:
    a, x = tensor(gradcore, 3, 4), tensor(gradcore, 4, seed=1)
    assert gradcore.autograd.functional.jacobian(lambda x: a @ x, x).tolist() == a.tolist()
    s = a.T @ a
    hessian = gradcore.autograd.functional.hessian(lambda x: x @ s @ x, x)
    np.testing.assert_allclose(hessian.numpy(), 2 * s.numpy(), rtol=1e-12)


def test_of_nothing() -> None:
    assert gradcore.autograd.functional.jacobian(lambda x: gradcore.cat([x, x]), gradcore.ones(0)).shape == (0, 0)


def test_works_without_grad_mode_and_leaves_no_trace() -> None:
    x = tensor(gradcore, 3).requires_grad_()
    with gradcore.no_grad():
        found = gradcore.autograd.functional.jacobian(one, x)
        assert not gradcore.is_grad_enabled()
    assert not found.requires_grad
    assert x.grad is None
    assert found.abs().sum() > 0


JACOBIANS = {
    "complex": lambda lib, x: (lambda x: x * x, x.to(lib.complex128)),
    "to complex": lambda lib, x: (lambda x: lib.complex(x, x), x),
    "to integers": lambda lib, x: (lambda x: (x * 3).int(), x),
    "to another dtype": lambda lib, x: (lambda x: (x**3).float(), x),
    "a number": lambda lib, x: (lambda x: (x**3).sum(), x),
    "more than a few outputs": lambda lib, x: (lambda x: lib.outer(x.flatten(), x.flatten()) ** 2, x),
    "the input": lambda lib, x: (lambda x: (x, x), x),
    "written in place": lambda lib, x: (lambda x: (x * 1).mul_(x), x),
}


@pytest.mark.parametrize("options", [{}, {"create_graph": True}, {"vectorize": True}], ids=str)
@pytest.mark.parametrize("name", JACOBIANS)
def test_jacobians_of_what_is_rare(name: str, options: dict[str, bool]) -> None:
    def program(lib: Any) -> Any:
        x = lib.arange(1, 10, dtype=lib.float64).reshape(3, 3) / 7
        found = lib.autograd.functional.jacobian(*JACOBIANS[name](lib, x), **options)
        return [(str(each.dtype), each.tolist()) for each in (found if isinstance(found, tuple) else (found,))]

    same(program, torch, rtol=1e-6, may_raise=True)


def test_jacobians_row_by_row_cost_one_sweep_of_the_graph_each() -> None:
    swept = []

    def function(x: Any) -> Any:
        y = x * x
        y.grad_fn.register_hook(lambda grads, outs: swept.append(outs[0].count_nonzero().item()))
        return y

    gradcore.autograd.functional.jacobian(function, gradcore.arange(1.0, 41.0))
    assert swept == [1] * 40
