"""The diagonal of a Hessian and the Laplacian, beside torch's whole Hessians and closed forms."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradcore
from gradcore.func import grad, hessian_diag, laplacian, vmap

torch = pytest.importorskip("torch")

N = 4

# Scalar functions of a vector and a matrix, for either library.
FUNCTIONS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "layer": lambda lib, x, w: ((x @ w).tanh() ** 2).sum() + (x**3).prod().sin(),
    "softmax": lambda lib, x, w: (lib.softmax(x @ w, 0) * w[0]).sum(),
    "views and writes": lambda lib, x, w: written(x * 1, w),
    "quadratic": lambda lib, x, w: x @ w @ w.T @ x,
    "linear": lambda lib, x, w: (x @ w).sum(),
    "constant": lambda lib, x, w: lib.ones((), dtype=x.dtype),
    "inverse": lambda lib, x, w: lib.linalg.inv(w[:3, :3] + lib.diag(x[:3] ** 2 + 5)).sum(),
}


def written(y: Any, w: Any) -> Any:
    y[1:3] = y[:2].exp() * w[0, 0]
    return y.view(2, 2).prod(0).sum()


def inputs(seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=N), rng.normal(size=(N, 3))


@pytest.mark.filterwarnings("ignore:vmap")  # where one for all is written, which torch refuses
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("chunk_size", [None, 1, 3])
def test_they_are_the_diagonal_and_the_trace_of_the_hessian(name: str, chunk_size: int | None) -> None:
    f = FUNCTIONS[name]
    arrays = inputs()
    ours = tuple(map(gradcore.from_numpy, arrays))
    theirs = tuple(map(torch.from_numpy, arrays))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        wholes = [
            torch.autograd.functional.hessian(lambda t, k=k: f(torch, *(*theirs[:k], t, *theirs[k + 1 :])), theirs[k])
            for k in range(2)
        ]
    diagonals = [h.reshape(t.numel(), t.numel()).diagonal().reshape(t.shape) for h, t in zip(wholes, theirs, strict=True)]

    def g(x: Any, w: Any) -> Any:
        return f(gradcore, x, w)

    for k in range(2):
        np.testing.assert_allclose(hessian_diag(g, k, chunk_size=chunk_size)(*ours), diagonals[k], atol=1e-10)
        np.testing.assert_allclose(laplacian(g, k, chunk_size=chunk_size)(*ours), diagonals[k].sum(), atol=1e-10)
    both = hessian_diag(g, (0, 1), chunk_size=chunk_size)(*ours)
    assert isinstance(both, tuple)
    for found, wanted in zip(both, diagonals, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-10)
    np.testing.assert_allclose(laplacian(g, (0, 1))(*ours), sum(d.sum() for d in diagonals), atol=1e-10)


def test_outputs_of_any_shape_trees_and_arrays() -> None:
    x = gradcore.randn(3, dtype=gradcore.float64)

    def f(t: dict[str, Any]) -> Any:
        return gradcore.stack([t["a"].sin(), t["a"] ** 3 * t["b"] ** 2])

    tree = {"a": x, "b": gradcore.tensor(2.0, dtype=gradcore.float64)}
    found = hessian_diag(f)(tree)
    assert found["a"].shape == (2, 3, 3)
    np.testing.assert_allclose(found["a"][0], (-x.sin()).diag(), atol=1e-12)
    np.testing.assert_allclose(found["a"][1], (6 * x * 4).diag(), atol=1e-12)
    np.testing.assert_allclose(found["b"], gradcore.stack([0 * x, 2 * x**3]), atol=1e-12)
    np.testing.assert_allclose(laplacian(f)(tree), gradcore.stack([-x.sin(), 24 * x + 2 * x**3]), atol=1e-12)
    array = np.array([1.0, 2.0])
    assert isinstance(laplacian(lambda a: (a**3).sum())(array), np.ndarray)
    np.testing.assert_allclose(laplacian(lambda a: (a**3).sum())(array), 18)
    assert hessian_diag(lambda a: a.sum())(gradcore.zeros(0)).shape == (0,)
    assert laplacian(lambda a: a.sum())(gradcore.zeros(0)).item() == 0


def test_they_compose_with_grad_and_vmap() -> None:
    # What a network that learns a differential equation needs: the Laplacian at many points, and its gradient.
    points = gradcore.randn(6, 2, dtype=gradcore.float64)

    def u(p: Any, k: Any) -> Any:
        return (p * k).sin().sum()

    k = gradcore.tensor(1.5, dtype=gradcore.float64)
    at_all = vmap(laplacian(u), in_dims=(0, None))(points, k)
    np.testing.assert_allclose(at_all, -(k**2) * (points * k).sin().sum(1), atol=1e-12)
    slope = grad(lambda k: vmap(laplacian(u), in_dims=(0, None))(points, k).sum())(k)
    wanted = (-2 * k * (points * k).sin() - k**2 * points * (points * k).cos()).sum()
    np.testing.assert_allclose(slope, wanted, atol=1e-10)
    weight = k.clone().requires_grad_()
    laplacian(u)(points[0], weight).backward()
    np.testing.assert_allclose(weight.grad, grad(lambda k: laplacian(u)(points[0], k))(k), atol=1e-12)


def test_what_they_refuse() -> None:
    x = gradcore.ones(2)
    for of in (hessian_diag, laplacian):
        with pytest.raises(RuntimeError, match="to be real"):
            of(lambda x: x.abs().sum())(gradcore.ones(2, dtype=gradcore.complex64))
        with pytest.raises(RuntimeError, match="to be real"):
            of(lambda x: gradcore.complex(x, x))(x)
        with pytest.raises(ValueError, match="chunk_size"):
            of(lambda x: x.sum(), chunk_size=0)(x)
        with pytest.raises(ValueError, match="must be Tensor"):
            of(lambda x: x)("x")
        with pytest.raises(RuntimeError, match="one Tensor"):
            of(lambda x: (x, x))(x)
