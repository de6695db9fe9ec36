"""Powers, chains, triangular systems, pseudoinverses and least squares against torch. It must not know primitives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradcore

torch = pytest.importorskip("torch")

from tests.twin import same  # noqa: E402

DTYPES = ["float64", "complex128"]
SQUARE, TALL, WIDE, BATCH = (3, 3), (4, 2), (2, 4), (2, 3, 3)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng()


def given(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Any:
    """Fresh numbers; a square matrix is far from singular."""
    x = rng.normal(size=shape) + (1j * rng.normal(size=shape) if dtype == "complex128" else 0)
    return (x + 3 * np.eye(shape[-1]) if len(shape) > 1 and shape[-1] == shape[-2] else x).tolist()


F = Callable[..., Any]
TRIANGULAR: F = lambda m, a, b: m.linalg.solve_triangular(a, b, upper=True)  # noqa: E731
CALLS: dict[str, tuple[F, list[tuple[tuple[int, ...], ...]]]] = {
    **{
        f"matrix_power {n}": (lambda m, a, n=n: m.linalg.matrix_power(a, n), [(SQUARE,), (BATCH,)])
        for n in (-3, -1, 1, 2, 3, 7)
    },
    "multi_dot": (lambda m, *xs: m.linalg.multi_dot(xs), [((2, 5), (5, 3), (3, 7), (7, 2)), ((5,), (5, 3), (3,))]),
    "cross": (lambda m, a, b: m.cross(a, b, dim=-1), [((3,), (3,)), ((4, 3), (1, 3))]),
    "cross by default": (lambda m, a, b: m.cross(a, b), [((2, 3, 3), (2, 3, 3))]),
    "linalg.cross": (lambda m, a, b: m.linalg.cross(a, b, dim=0), [((3, 2), (3, 1))]),
    "kron": (lambda m, a, b: m.kron(a, b), [((2,), (3, 4)), ((2, 1, 3), (2, 2)), ((), (2, 3))]),
    "vecdot": (lambda m, a, b: m.linalg.vecdot(a, b), [((3,), (3,)), ((4, 3), (3,)), ((2, 1, 3), (4, 1))]),
    "solve_triangular": (TRIANGULAR, [(SQUARE, (3, 2)), (BATCH, (3, 1)), (SQUARE, (2, 3, 2))]),
    "solve_triangular, lower": (lambda m, a, b: m.linalg.solve_triangular(a, b, upper=False), [(SQUARE, (3, 2))]),
    "solve_triangular, right": (
        lambda m, a, b: m.linalg.solve_triangular(a, b, upper=True, left=False, unitriangular=True),
        [(SQUARE, (2, 3))],
    ),
    "cholesky_solve": (lambda m, b, a: m.cholesky_solve(b, m.linalg.cholesky(a @ a.mH)), [((3, 2), SQUARE)]),
    "cholesky_inverse": (lambda m, a: m.cholesky_inverse(m.linalg.cholesky(a @ a.mH)), [(SQUARE,), (BATCH,)]),
    "pinv": (lambda m, a: m.linalg.pinv(a), [(SQUARE,), (TALL,), (WIDE,), ((2, 4, 3),), ((3, 0),)]),
    "pinv, hermitian": (lambda m, a: m.linalg.pinv(a + a.mH, hermitian=True), [(SQUARE,), (BATCH,)]),
    "lstsq": (lambda m, a, b: m.linalg.lstsq(a, b).solution, [(TALL, (4,)), (WIDE, (2, 3)), ((2, 4, 3), (2, 4, 1))]),
    "cond": (lambda m, a: m.stack([m.linalg.cond(a, p) for p in (None, 2, -2)]), [(SQUARE,), (BATCH,)]),
    "lu": (lambda m, a: m.cat([x.reshape(-1) for x in m.linalg.lu(a)]), [(SQUARE,), (TALL,), (WIDE,), (BATCH,)]),
    "lu_factor": (lambda m, a: m.linalg.lu_factor(a)[0], [(SQUARE,), (TALL,), (WIDE,), ((2, 4, 3),)]),
    "lu_solve": (lambda m, a, b: m.linalg.lu_solve(*m.linalg.lu_factor(a), b), [(SQUARE, (3, 2)), (BATCH, (3, 1))]),
    "lu_solve, adjoint, right": (
        lambda m, a, b: m.linalg.lu_solve(*m.linalg.lu_factor(a), b, left=False, adjoint=True),
        [(SQUARE, (2, 3))],
    ),
    "torch.lu_solve": (lambda m, a, b: m.lu_solve(b, *m.linalg.lu_factor(a)), [(SQUARE, (3, 2))]),
    "lu_unpack": (lambda m, a: m.lu_unpack(*m.linalg.lu_factor(a))[2], [(SQUARE,), (WIDE,), (TALL,)]),
    "matrix_exp": (lambda m, a: m.matrix_exp(a / 2), [(SQUARE,), (BATCH,), ((1, 1),)]),
    "householder_product": (lambda m, a, t: m.linalg.householder_product(a, t), [(TALL, (2,)), (BATCH, (2, 3))]),
    "ormqr": (lambda m, a, t, c: m.ormqr(a, t, c, transpose=True), [(TALL, (2,), (4, 3))]),
    "ormqr, right": (lambda m, a, t, c: m.ormqr(a, t, c, left=False), [(TALL, (2,), (3, 4))]),
    "eig": (lambda m, a: m.cat([x.abs().reshape(-1) for x in m.linalg.eig(a)]), [(SQUARE,), (BATCH,)]),
    "eigvals": (lambda m, a: m.linalg.eigvals(a).abs().sort()[0], [(SQUARE,), (BATCH,)]),
    "tensorinv": (lambda m, a: m.linalg.tensorinv(a, ind=1), [((4, 2, 2),)]),
    "tensorsolve": (lambda m, a, b: m.linalg.tensorsolve(a, b), [((2, 3, 6), (2, 3))]),
    "vander": (lambda m, a: m.linalg.vander(a, N=4), [((3,),), ((2, 3),)]),
    "linalg.diagonal": (lambda m, a: m.linalg.diagonal(a, offset=1), [(BATCH,)]),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CALLS)
def test_values_and_gradients(rng: np.random.Generator, name: str, dtype: str) -> None:
    f, shapes_of_calls = CALLS[name]
    for shapes in shapes_of_calls:
        values = [given(rng, shape, dtype) for shape in shapes]

        def program(m: Any, values: Any = values, shapes: Any = shapes) -> Any:
            pairs = zip(values, shapes, strict=True)
            leaves = [m.tensor(v, dtype=getattr(m, dtype)).reshape(s).requires_grad_() for v, s in pairs]
            out = f(m, *leaves)
            first = m.autograd.grad((out.abs() ** 3).sum(), leaves, create_graph=True)
            second = m.autograd.grad(sum((g.abs() ** 2).sum() for g in first), leaves)
            return [out.detach(), *(g.detach() for g in first), *second]

        same(program, torch, rtol=1e-6)


@pytest.mark.parametrize("driver", [None, "gels", "gelsy", "gelsd", "gelss"])
@pytest.mark.parametrize("shape", [TALL, WIDE, SQUARE, (2, 4, 2)], ids=str)
def test_what_least_squares_returns(rng: np.random.Generator, shape: tuple[int, ...], driver: str | None) -> None:
    a, b = given(rng, shape, "float64"), given(rng, (*shape[:-1], 2), "float64")

    def program(m: Any) -> Any:
        return list(m.linalg.lstsq(m.tensor(a, dtype=m.float64), m.tensor(b, dtype=m.float64), driver=driver))

    same(program, torch, rtol=1e-8)


def test_the_residual_is_least(rng: np.random.Generator) -> None:
    a, b = gradcore.from_numpy(rng.normal(size=(9, 4))), gradcore.from_numpy(rng.normal(size=9))
    best = gradcore.linalg.lstsq(a, b).solution
    np.testing.assert_allclose(np.asarray(a.T @ (a @ best - b)), 0, atol=1e-12)


def test_pseudoinverses_obey_penrose(rng: np.random.Generator) -> None:
    x = gradcore.from_numpy(rng.normal(size=(5, 2)) @ rng.normal(size=(2, 4)))  # of rank 2
    y = gradcore.linalg.pinv(x)
    for left, right in [(x @ y @ x, x), (y @ x @ y, y), ((x @ y).T, x @ y), ((y @ x).T, y @ x)]:
        np.testing.assert_allclose(np.asarray(left), np.asarray(right), atol=1e-10)
    assert gradcore.linalg.matrix_rank(x).item() == 2


@pytest.mark.parametrize("shape", [SQUARE, TALL, WIDE, (2, 5, 4), (0, 2, 2), (2, 0)], ids=str)
def test_elimination(rng: np.random.Generator, shape: tuple[int, ...]) -> None:
    x = gradcore.from_numpy(rng.normal(size=shape))
    p, lower, upper = gradcore.linalg.lu(x)
    np.testing.assert_allclose(np.asarray(p @ lower @ upper), np.asarray(x), atol=1e-12)
    packed, pivots = gradcore.linalg.lu_factor(x)
    k = min(shape[-2:])
    np.testing.assert_allclose(np.asarray(packed.triu()[..., :k, :]), np.asarray(upper), atol=1e-14)
    assert pivots.shape == (*shape[:-2], k)
    assert pivots.dtype == gradcore.int32


def test_the_exponential(rng: np.random.Generator) -> None:
    x = gradcore.from_numpy(rng.normal(size=(3, 3)) * [[[0.01]], [[1]], [[30]]])
    linalg = pytest.importorskip("scipy.linalg")
    for ours, each in zip(gradcore.matrix_exp(x), x, strict=True):  # one batch, three scales
        theirs = linalg.expm(np.asarray(each))
        np.testing.assert_allclose(np.asarray(ours), theirs, 1e-9, 1e-11 * np.abs(theirs).max())
    both = gradcore.matrix_exp(x[1]) @ gradcore.matrix_exp(-x[1])
    np.testing.assert_allclose(np.asarray(both), np.eye(3), atol=1e-10)


def test_a_zero_pivot_has_a_number() -> None:
    def program(m: Any) -> Any:
        x = m.stack([m.eye(3), m.diag(m.tensor([1.0, 0.0, 2.0])), m.zeros(3, 3)])
        return list(m.linalg.lu_factor_ex(x))

    same(program, torch)


def test_eigenvectors(rng: np.random.Generator) -> None:
    x = gradcore.from_numpy(rng.normal(size=(2, 4, 4)))
    values, vectors = gradcore.linalg.eig(x)
    left, right = np.asarray(x) @ np.asarray(vectors), np.asarray(vectors) * np.asarray(values)[..., None, :]
    np.testing.assert_allclose(left, right, atol=1e-12)
    symmetric = gradcore.linalg.eig(x + x.mT)  # NumPy's are real here
    assert symmetric.eigenvalues.dtype == gradcore.complex128


@pytest.mark.parametrize("p", [0, 0.5, 1, 2, 3, float("inf")])
@pytest.mark.parametrize(
    "shapes", [((3, 2), (4, 2)), ((2, 1, 3, 2), (5, 4, 2)), ((30, 2), (3, 2)), ((3, 0), (2, 0))], ids=str
)
def test_distances(rng: np.random.Generator, shapes: Any, p: float) -> None:
    values = [rng.normal(size=shape).tolist() for shape in shapes]

    def program(m: Any) -> Any:
        x, y = (m.tensor(v, dtype=m.float64).reshape(s).requires_grad_() for v, s in zip(values, shapes, strict=True))
        out = m.cdist(x, y, p=p)
        return [out.detach(), *m.autograd.grad((out * out).sum(), [x, y])]

    same(program, torch, rtol=1e-7)


def test_a_distance_of_zero_has_the_gradient_zero() -> None:
    x = gradcore.ones(2, 3).requires_grad_()
    gradcore.cdist(x, x.detach()).sum().backward()
    assert x.grad.tolist() == [[0.0] * 3] * 2


def test_the_older_names(rng: np.random.Generator) -> None:
    x = rng.normal(size=(4, 3)).tolist()

    def program(m: Any) -> Any:
        u, s, v = m.svd(m.tensor(x, dtype=m.float64))
        q, r = m.qr(m.tensor(x, dtype=m.float64), some=False)
        return [u.abs(), s, v.abs(), q, r, *m.svd(m.tensor(x, dtype=m.float64), compute_uv=False)]

    same(program, torch, rtol=1e-8)


def test_tolerances() -> None:
    def program(m: Any) -> Any:
        x = m.diag(m.tensor([1.0, 1e-2, 1e-5]))
        batch = m.stack([x, x])
        linalg = m.linalg
        return [
            linalg.matrix_rank(x),
            linalg.matrix_rank(x, tol=1e-3),
            linalg.matrix_rank(x, atol=1e-6),
            linalg.matrix_rank(x, rtol=0.1),
            linalg.matrix_rank(batch, atol=m.tensor([1e-3, 0.1])),
            linalg.matrix_rank(-x, hermitian=True, tol=1e-3),
            linalg.pinv(x, rtol=1e-3),
            linalg.pinv(x, 1e-3),
            linalg.pinv(batch, atol=m.tensor([1e-3, 0.1])),
            m.pinverse(x, 1e-3),
            linalg.matrix_rank(m.ones(0, 3)),
            linalg.cond(m.zeros(2, 2), 1),
            m.isfinite(linalg.solve_triangular(m.zeros(2, 2), m.ones(2, 1), upper=True)),
            *(linalg.cond(m.eye(3) + 1, p) for p in ("fro", "nuc", 1, -1, 2)),
        ]

    same(program, torch)


BAD: dict[str, Callable[[Any], Any]] = {
    "power of an oblong matrix": lambda m: m.linalg.matrix_power(m.ones(2, 3), 2),
    "broken power": lambda m: m.linalg.matrix_power(m.ones(2, 2), 1.5),
    "one factor": lambda m: m.linalg.multi_dot([m.ones(2, 3)]),
    "chain sizes": lambda m: m.linalg.multi_dot([m.ones(2, 3), m.ones(2, 3)]),
    "vector inside": lambda m: m.linalg.multi_dot([m.ones(2, 3), m.ones(3), m.ones(3, 2)]),
    "cross lengths": lambda m: m.linalg.cross(m.ones(2, 4), m.ones(2, 4)),
    "cross dims": lambda m: m.linalg.cross(m.ones(2, 3), m.ones(3)),
    "no cross": lambda m: m.cross(m.ones(2, 4), m.ones(2, 4)),
    "cross dtypes": lambda m: m.linalg.cross(m.ones(3), m.ones(3, dtype=m.float64)),
    "vecdot dtypes": lambda m: m.linalg.vecdot(m.ones(3), m.ones(3, dtype=m.float64)),
    "vecdot sizes": lambda m: m.linalg.vecdot(m.ones(4, 3), m.ones(4, 2)),
    "vecdot of integers": lambda m: m.linalg.vecdot(m.arange(3), m.arange(3)),
    "triangular sizes": lambda m: m.linalg.solve_triangular(m.ones(3, 3), m.ones(2, 2), upper=True),
    "triangular vector": lambda m: m.linalg.solve_triangular(m.ones(3, 3), m.ones(3), upper=True),
    "cholesky_solve of a vector": lambda m: m.cholesky_solve(m.ones(3), m.eye(3)),
    "pinv of a vector": lambda m: m.linalg.pinv(m.ones(3)),
    "pinv of integers": lambda m: m.linalg.pinv(m.ones(3, 3, dtype=m.int64)),
    "least squares sizes": lambda m: m.linalg.lstsq(m.ones(3, 2), m.ones(2, 1)),
    "least squares dtypes": lambda m: m.linalg.lstsq(m.ones(3, 2), m.ones(3, 1, dtype=m.float64)),
    "driver": lambda m: m.linalg.lstsq(m.ones(3, 2), m.ones(3, 1), driver="gelsx"),
    "cond of an oblong matrix": lambda m: m.linalg.cond(m.ones(2, 3), 1),
    "tensorinv": lambda m: m.linalg.tensorinv(m.ones(2, 3, 2), ind=1),
    "tensorinv ind": lambda m: m.linalg.tensorinv(m.ones(2, 2), ind=0),
    "distances of vectors": lambda m: m.cdist(m.ones(3), m.ones(2, 3)),
    "distances of integers": lambda m: m.cdist(m.ones(2, 3, dtype=m.int64), m.ones(2, 3, dtype=m.int64)),
    "distances of other lengths": lambda m: m.cdist(m.ones(2, 3), m.ones(2, 4)),
    "distance with p < 0": lambda m: m.cdist(m.ones(2, 3), m.ones(2, 3), p=-1),
    "eig of no number": lambda m: m.linalg.eig(m.full((2, 2), float("nan"))),
    "lu of a vector": lambda m: m.linalg.lu(m.ones(3)),
    "lu_solve of a vector": lambda m: m.linalg.lu_solve(m.eye(3), m.ones(3, dtype=m.int32), m.ones(3)),
    "vander": lambda m: m.linalg.vander(m.ones(3), N=1),
}


@pytest.mark.parametrize("name", BAD)
def test_torch_s_error(name: str) -> None:
    same(BAD[name], torch, words=3, may_raise=True)
