"""Cases of products and of linear algebra. It must not know how they are tested."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.cases import Case, normal

Make = Callable[[np.random.Generator], tuple[Any, ...]]


def product(primitive: str, *shapes: tuple[int, ...], label: str = "", **params: Any) -> Case:
    return Case(primitive, normal(*shapes), params, label, complex_=True)


def spread(*lead: int, n: int = 3, others: tuple[tuple[int, ...], ...] = ()) -> Make:
    """Matrices whose singular values are near 1, 2, ..., n, and other arrays."""

    def make(rng: np.random.Generator) -> tuple[Any, ...]:
        left, right = (np.linalg.qr(rng.normal(size=(*lead, n, n)))[0] for _ in range(2))
        values = np.arange(1, n + 1) + rng.uniform(-0.2, 0.2, size=(*lead, 1, n))
        return (left * values @ right, *(rng.normal(size=shape) for shape in others))

    return make


def of_rank(rank: int, n: int = 3) -> Make:
    return lambda rng: (rng.normal(size=(n, rank)) @ rng.normal(size=(rank, n)),)


def definite(*lead: int, n: int = 3) -> Make:
    def make(rng: np.random.Generator) -> tuple[Any, ...]:
        x = spread(*lead, n=n)(rng)[0]
        return (x @ np.swapaxes(x, -2, -1),)

    return make


def dominant(*lead: int, n: int = 3) -> Make:
    """Matrices with a large diagonal, which need no pivoting and have real eigenvalues or complex ones."""
    return lambda rng: (rng.normal(size=(*lead, n, n)) + 4 * np.eye(n),)


def zeros(*shape: int) -> Make:
    return lambda rng: (np.zeros(shape),)


PRODUCTS = [
    product("matrix_transpose", (2, 3)),
    product("matrix_transpose", (2, 1, 3), label="batch"),
    product("dot", (3,), (3,), label="vectors"),
    product("dot", (2, 3), (3,), label="matrix and vector"),
    product("dot", (3,), (3, 2), label="vector and matrix"),
    product("dot", (2, 3), (3, 4), label="matrices"),
    product("dot", (2, 0), (0, 3), label="nothing to sum"),
    product("dot", (0, 3), (3, 2), label="empty"),
    product("matmul", (2, 3, 4), (2, 4, 5)),
    product("matmul", (2, 1, 3, 4), (2, 1, 4, 2), label="batches of batches"),
    product("matmul", (0, 2, 3), (0, 3, 2), label="empty"),
    product("project", (2, 4, 3), (3, 5)),
    product("project", (2, 4, 3), (3,), label="vector"),
    product("project", (2, 0, 3), (3, 5), label="empty"),
    product("unbiased", (2, 3), (4, 3)),
    product("unbiased", (2, 1, 3), (4, 3), label="batch"),
    product("unbiased", (3,), (4, 3), label="vector"),
    product("linear", (2, 3), (4, 3), (4,)),
    product("linear", (2, 1, 3), (4, 3), (4,), label="batch"),
    product("linear", (3,), (4, 3), (4,), label="vector"),
    product("linear", (0, 3), (4, 3), (4,), label="empty"),
]

# Complex singular vectors have a phase, and of a matrix that is taken to be hermitian only a triangle is read: their
# derivatives are compared with torch's in tests/test_ops_linalg.py. A random cotangent of `eig` is an error.
ALGEBRA = [
    Case("inv", spread(), {}, complex_=True),
    Case("inv", spread(2), {"checked": False}, "batch", complex_=True),
    Case("inv", zeros(0, 0), {}, "empty"),
    Case("solve", spread(others=((3, 2),)), complex_=True),
    Case("solve", spread(2, others=((2, 3, 1),)), {}, "batch", complex_=True),
    Case("det", spread(), complex_=True),
    Case("det", spread(2), {}, "batch", complex_=True),
    Case("det", of_rank(2), {}, "rank 2"),
    Case("det", of_rank(1), {}, "rank 1"),
    Case("det", zeros(3, 3), {}, "zero"),
    Case("det", zeros(1, 1), {}, "one zero"),
    Case("det", zeros(0, 0), {}, "empty"),
    Case("cofactor", spread(2), complex_=True),
    Case("det_hessian", spread(2, others=((2, 3, 3),)), complex_=True),
    Case("matrix_exp", spread(), complex_=True, waits=True),
    Case("matrix_exp", spread(2, n=2), {}, "batch", complex_=True, waits=True),
    Case("matrix_exp", zeros(0, 0), {}, "empty", waits=True),
    Case("slogdet", spread(), complex_=True),
    Case("slogdet", spread(2), {}, "batch", complex_=True),
    Case("cholesky", definite(2), {"upper": False}, "lower", smooth=False),
    Case("cholesky", definite(2), {"upper": True}, "upper", smooth=False),
    Case("eigh", definite(2), smooth=False),
    *(Case("svd", spread(2), {"full": full}, f"full={full}") for full in (True, False)),
    Case("svd", normal((2, 5, 3)), {"full": False}, "tall"),
    Case("svd", normal((3, 5)), {"full": False}, "wide"),
    Case("svd", normal((4, 3)), {"full": False}, "tall by one"),
    Case("svd", normal((3, 4)), {"full": False}, "wide by one"),
    *(
        Case("pinv", make, {"atol": 1e-6, "rtol": 0.0, "hermitian": False}, label, complex_=True)
        for label, make in {"tall": normal((4, 3)), "wide": normal((2, 3, 4)), "square": spread()}.items()
    ),
    Case("pinv", definite(), {"atol": 1e-6, "rtol": 0.0, "hermitian": True}, "hermitian", smooth=False),
    Case("lu", dominant(), complex_=True),
    Case("lu", dominant(2), {}, "batch", complex_=True),
    Case("eig", zeros(0, 0), {}, "empty", smooth=False),
    Case("qr", spread(2), {"mode": "complete"}, complex_=True),
    Case("qr", normal((5, 3)), {"mode": "reduced"}, "tall", complex_=True),
]

CASES = PRODUCTS + ALGEBRA
