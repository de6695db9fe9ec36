"""Writes in place under forward mode, nested and over batches: nobody else's tangent changes, and none is lost."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradcore
from gradcore import func

torch = pytest.importorskip("torch")

# What is written has another's tangent, or a part of one, or one of a level more.
FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "what was added to": lambda lib, x: ((x + 1).mul_(3), x * x)[1],
    "what was negated twice": lambda lib, x: (lib.neg(lib.neg(x)).mul_(x), x * x)[1],
    "a clone of an expanded": lambda lib, x: written(x.expand(2, 4).clone(), lambda y: y[0].mul_(3)),
    "a sum of an expanded": lambda lib, x: written(x.sum().expand(3) + 0, lambda y: y[:1].fill_(5.0)),
    "a product": lambda lib, x: written(x * 1, lambda y: y.mul_(x)),
    "an exponential": lambda lib, x: written(x * 1, lambda y: y[1:3].copy_(y[:2].exp())),
    "through two views": lambda lib, x: written(x * 1, lambda y: y.view(2, 2)[1].mul_(x[:2] * x[2])),
    "the base of a view": lambda lib, x: base_of_view(x),
    "a copy of a transposed": lambda lib, x: copied(lib, x),
    "a sum with what was written": lambda lib, x: written_again(x * x, lambda y: y + 1),
    "a sum with a part of it": lambda lib, x: written_again(x * x, lambda y: y[:2] - 1),
    "a sum with a view of it": lambda lib, x: written_again(x * x, lambda y: y.view(2, 2).t() + 1),
    "sums with another": lambda lib, x: written_again(x * x, lambda y: x + y),
    "zeros": lambda lib, x: written(x * 0, lambda y: y[1:].copy_(x[1:] * x[:3])),
}


def written(y: Any, write: Callable[[Any], Any]) -> Any:
    write(y)
    return y * y


def written_again(y: Any, read: Callable[[Any], Any]) -> Any:
    y.mul_(3)
    found = read(y)
    y.mul_(2)
    return found * found


def base_of_view(x: Any) -> Any:
    y = x * 1
    left, right = y[:2], y[1:3]
    y.mul_(x)
    left.add_(x[2:])
    y[1] = x[0] ** 3
    return left * right


def copied(lib: Any, x: Any) -> Any:
    base = x.repeat(2).view(2, 4) * 1
    flat = base.t().reshape(8)
    base[0] = x * x
    return flat * x.repeat(2)


def inputs(lib: Any) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return tuple(lib.tensor(rng.normal(size=4).tolist(), dtype=lib.float64) for _ in range(2))  # type: ignore[return-value]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_first_and_second_tangents_are_right_and_nothing_else_changes(name: str) -> None:
    f = FUNCTIONS[name]
    x, u = inputs(gradcore)
    kept = u.clone()

    def g(x: Any) -> Any:
        return f(gradcore, x)

    def slope(x: Any) -> Any:
        return func.jvp(g, (x,), (u,))[1]

    t, v = inputs(torch)
    jacobian = torch.autograd.functional.jacobian(lambda t: f(torch, t), t)
    curvature = torch.autograd.functional.jacobian(
        lambda t: torch.autograd.functional.jacobian(lambda t: f(torch, t), t, create_graph=True) @ v, t
    )
    np.testing.assert_allclose(slope(x), jacobian @ v, atol=1e-12)
    np.testing.assert_allclose(func.jvp(slope, (x,), (u,))[1], curvature @ v, atol=1e-12)
    assert gradcore.equal(u, kept)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of loops
        np.testing.assert_allclose(func.jacfwd(g)(x), jacobian, atol=1e-12)
        np.testing.assert_allclose(func.jacfwd(slope)(x), curvature, atol=1e-12)
        np.testing.assert_allclose(func.jacfwd(func.jacfwd(g))(x) @ u, curvature, atol=1e-12)
        whole = func.hessian(lambda x: g(x).sum())(x)
        np.testing.assert_allclose(whole @ u, curvature.sum(tuple(range(curvature.ndim - 1))), atol=1e-12)


def test_what_tangents_of_gradients_read_again_may_not_be_overwritten() -> None:
    def f(x: Any) -> Any:
        y = x * 1
        out = gradcore.nn.functional.layer_norm(y, (4,))
        y.mul_(3)
        return (out**3).sum()

    x, u = inputs(gradcore)
    with pytest.raises(RuntimeError, match=r"of shape \[4\], was overwritten by mul_"):
        func.jvp(func.grad(f), (x,), (u,))
