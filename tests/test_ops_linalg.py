"""torch.linalg against torch and against the definitions. It must not know primitives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradcore

torch = pytest.importorskip("torch")

from tests.twin import compare, of_its_largest, outcome, same  # noqa: E402

DTYPES = ["float64", "float32", "complex128"]
TOLERANCE = {"float64": 1e-8, "float32": 1e-4, "complex128": 1e-8}


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng()


def matrices(rng: np.random.Generator, *shape: int, dtype: str = "float64", definite: bool = False) -> list[Any]:
    """Fresh matrices far from singular, hermitian and positive-definite on demand, as nested lists."""
    while True:
        x = rng.normal(size=shape)
        if dtype == "complex128":
            x = x + 1j * rng.normal(size=shape)
        u, s, v = np.linalg.svd(x, full_matrices=False)
        s = np.sort(rng.uniform(1, 3, size=s.shape), -1)[..., ::-1] + np.arange(s.shape[-1])[::-1] * 0.5
        if definite:
            v = np.conj(np.swapaxes(u, -2, -1))
        made = u * s[..., None, :] @ v
        side = s.shape[-1]
        if np.linalg.cond(made[..., :side, :side]).max() < 20:  # with what QR and LU begin
            return made.tolist()  # type: ignore[no-any-return]


def leaf(m: Any, values: Any, dtype: str = "float64") -> Any:
    return m.tensor(values, dtype=getattr(m, dtype)).requires_grad_()


def summed(m: Any, outs: Any) -> Any:
    """A real number that depends on all of the outputs, but on no phase of theirs that is free."""
    return sum((out.abs() ** 3).sum() for out in outs if out.requires_grad and out.numel())


def checked(f: Callable[..., Any], values: Any, dtype: str) -> Callable[[Any], Any]:
    """A program: results, first and second gradients."""

    def program(m: Any) -> Any:
        x = leaf(m, values, dtype)
        made = f(m, x)
        outs = [made] if hasattr(made, "requires_grad") else list(made)
        (first,) = m.autograd.grad(summed(m, outs), [x], create_graph=True)
        (second,) = m.autograd.grad((first.abs() ** 2).sum(), [x])
        second = of_its_largest(second) if dtype == "float32" and x.numel() else second
        return [*(out.detach().abs() for out in outs), first.detach(), second]

    return program


GENERAL: dict[str, Callable[..., Any]] = {
    "inv": lambda m, x: m.linalg.inv(x),
    "inverse": lambda m, x: m.inverse(x),
    "inv_ex": lambda m, x: m.linalg.inv_ex(x),
    "det": lambda m, x: m.linalg.det(x),
    "slogdet": lambda m, x: m.linalg.slogdet(x)[1],
    "logdet": lambda m, x: m.logdet(x @ x.mH),
    "solve": lambda m, x: m.linalg.solve(x, x.mT @ x),
    "solve from the right": lambda m, x: m.linalg.solve(x, x[..., :2, :] * 2, left=False),
    "solve for a vector": lambda m, x: m.linalg.solve(x, x[..., 0] * 3 + 1),
    "svd": lambda m, x: m.linalg.svd(x),
    "svd, reduced": lambda m, x: m.linalg.svd(x, full_matrices=False),
    "svdvals": lambda m, x: m.linalg.svdvals(x),
    "qr": lambda m, x: m.linalg.qr(x),
    "matrix norms": lambda m, x: [m.linalg.matrix_norm(x, o) for o in ("fro", "nuc", 2, -2, 1, -1)],
}
DEFINITE: dict[str, Callable[..., Any]] = {
    "cholesky": lambda m, x: m.linalg.cholesky(x),
    "cholesky, upper": lambda m, x: m.linalg.cholesky(x, upper=True),
    "torch.cholesky": lambda m, x: m.cholesky(x),
    "eigh": lambda m, x: m.linalg.eigh(x),
    "eigh, upper": lambda m, x: m.linalg.eigh(x, UPLO="U"),
    "eigvalsh": lambda m, x: m.linalg.eigvalsh(x),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(3, 3), (2, 3, 3), (1, 1), (2, 1, 2, 2)], ids=str)
@pytest.mark.parametrize("name", [*GENERAL, *DEFINITE])
def test_values_and_gradients(rng: np.random.Generator, name: str, shape: tuple[int, ...], dtype: str) -> None:
    values = matrices(rng, *shape, dtype=dtype, definite=name in DEFINITE)
    same(checked((GENERAL | DEFINITE)[name], values, dtype), torch, rtol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(4, 2), (2, 4), (3, 1), (2, 3, 2)], ids=str)
@pytest.mark.parametrize("name", ["svd", "svd, reduced", "svdvals", "qr", "matrix norms"])
def test_oblong_matrices(rng: np.random.Generator, name: str, shape: tuple[int, ...], dtype: str) -> None:
    f = GENERAL[name] if name != "svd" else lambda m, x: m.linalg.svd(x)[1:2]
    same(checked(f, matrices(rng, *shape, dtype=dtype), dtype), torch, rtol=TOLERANCE[dtype])


def test_the_definitions(rng: np.random.Generator) -> None:
    x = gradcore.tensor(matrices(rng, 2, 4, 4), dtype=gradcore.float64)
    eye = np.broadcast_to(np.eye(4), (2, 4, 4))
    linalg = gradcore.linalg
    np.testing.assert_allclose(np.asarray(linalg.inv(x) @ x), eye, atol=1e-12)
    u, s, vh = linalg.svd(x)
    np.testing.assert_allclose(np.asarray((u * s.unsqueeze(-2)) @ vh), np.asarray(x), 1e-12, 1e-12)
    q, r = linalg.qr(x)
    np.testing.assert_allclose(np.asarray(q @ r), np.asarray(x), 1e-12, 1e-12)
    np.testing.assert_allclose(np.asarray(q.mT @ q), eye, atol=1e-12)
    np.testing.assert_allclose(np.asarray(linalg.det(x).abs()), np.asarray(s.prod(-1)), 1e-12)
    sign, logabsdet = linalg.slogdet(x)
    np.testing.assert_allclose(np.asarray(sign * logabsdet.exp()), np.asarray(linalg.det(x)), 1e-12)
    values, vectors = linalg.eigh(x @ x.mT)
    np.testing.assert_allclose(np.asarray(values), np.asarray(s.flip(-1) ** 2), 1e-10)
    np.testing.assert_allclose(np.asarray((vectors * values.unsqueeze(-2)) @ vectors.mT), np.asarray(x @ x.mT), 1e-10)
    factor = linalg.cholesky(x @ x.mT)
    np.testing.assert_allclose(np.asarray(factor @ factor.mT), np.asarray(x @ x.mT), 1e-10)
    assert np.asarray(factor.triu(1)).any() == np.False_


# -- singular matrices -------------------------------------------------------------------------------------


def cofactors(x: Any) -> Any:
    """By their definition: signed determinants of what is left without a row and a column."""
    n = len(x)
    minors = [[np.linalg.det(np.delete(np.delete(x, i, 0), j, 1)) for j in range(n)] for i in range(n)]
    return np.array(minors) * (-1.0) ** np.add.outer(range(n), range(n))


@pytest.mark.parametrize("rank", [0, 1, 2, 3, 4])
def test_the_gradient_of_a_determinant_is_the_cofactors(rng: np.random.Generator, rank: int) -> None:
    values = rng.integers(-3, 4, (4, rank)) @ rng.integers(-3, 4, (rank, 4)).astype(float)
    x = leaf(gradcore, values.tolist())
    gradcore.linalg.det(x).backward()
    np.testing.assert_allclose(np.asarray(x.grad), cofactors(values), atol=1e-9 * (1 + np.abs(values).max() ** 3))


def test_second_derivatives_of_the_determinant_of_a_singular_matrix() -> None:
    # det is a sum of products of two elements of a 2 by 2 matrix: d^2/da dd = 1, d^2/db dc = -1.
    x = leaf(gradcore, [[1.0, 2.0], [2.0, 4.0]])
    (first,) = gradcore.autograd.grad(gradcore.linalg.det(x), x, create_graph=True)
    rows = [gradcore.autograd.grad(first[i, j], x, retain_graph=True)[0].tolist() for i in (0, 1) for j in (0, 1)]
    np.testing.assert_allclose(rows, [[[0, 0], [0, 1]], [[0, 0], [-1, 0]], [[0, -1], [0, 0]], [[1, 0], [0, 0]]], atol=1e-12)


def test_a_singular_matrix_has_no_logarithm() -> None:
    def program(m: Any) -> Any:
        x = leaf(m, [[1.0, 2.0], [2.0, 4.0]])
        out = m.linalg.slogdet(x)[1]
        return [out.detach(), m.linalg.det(x).detach(), m.isfinite(m.autograd.grad(out, x)[0]).any()]

    same(program, torch)


def test_degenerate_factors_have_no_derivative_but_values_do() -> None:
    def program(m: Any) -> Any:
        def grad(f: Callable[[Any], Any]) -> Any:
            x = m.eye(2, dtype=m.float64).requires_grad_()
            return m.autograd.grad(f(x), x)[0]

        return [
            m.isnan(grad(lambda x: m.linalg.eigh(x)[1].abs().sum())),
            grad(lambda x: m.linalg.eigh(x)[0].sum()),
            m.isnan(grad(lambda x: m.linalg.svd(x)[0].abs().sum())),
            grad(lambda x: m.linalg.svd(x)[1].sum()),
            grad(lambda x: m.linalg.svdvals(x).sum()),
            grad(lambda x: m.linalg.matrix_norm(x, "nuc")),
        ]

    same(program, torch)


@pytest.mark.parametrize("name", ["eigh", "eig", "svd"])
def test_a_loss_may_not_depend_on_phases(rng: np.random.Generator, name: str) -> None:
    values = matrices(rng, 3, 3, dtype="complex128", definite=name == "eigh")

    def program(m: Any) -> Any:
        x = leaf(m, values, "complex128")
        vectors = getattr(m.linalg, name)(x)[0 if name == "svd" else 1]
        vectors.sum().abs().pow(2).backward() if name == "svd" else (vectors.real * vectors.imag).sum().backward()

    assert outcome(program, torch)[0] == "raised"
    same(program, torch, words=12, may_raise=True)


SINGULAR = [[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [0.0, 1.0, 1.0]]
INDEFINITE = [[4.0, 1.0, 0.0], [1.0, -1.0, 0.0], [0.0, 0.0, 1.0]]
EYE = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
ZERO = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]

FAILING: dict[str, tuple[Any, Callable[..., Any]]] = {
    "inv": (ZERO, lambda m, x: m.linalg.inv(x)),
    "inv, full": (SINGULAR, lambda m, x: m.linalg.inv(x)),
    "inv of a batch": ([EYE, ZERO, ZERO], lambda m, x: m.linalg.inv(x)),
    "inverse": (ZERO, lambda m, x: x.inverse()),
    "inv_ex": (ZERO, lambda m, x: m.linalg.inv_ex(x, check_errors=True)),
    "solve": (ZERO, lambda m, x: m.linalg.solve(x, x[0])),
    "solve of a batch": ([EYE, ZERO], lambda m, x: m.linalg.solve(x, x)),
    "cholesky": (INDEFINITE, lambda m, x: m.linalg.cholesky(x)),
    "cholesky, upper": (INDEFINITE, lambda m, x: m.linalg.cholesky(x, upper=True)),
    "cholesky of a batch": ([EYE, INDEFINITE], lambda m, x: m.linalg.cholesky(x)),
    "cholesky_ex": (INDEFINITE, lambda m, x: m.linalg.cholesky_ex(x, check_errors=True)),
    "torch.cholesky": (INDEFINITE, lambda m, x: m.cholesky(x)),
}


@pytest.mark.parametrize("name", FAILING)
def test_what_cannot_be_done(name: str) -> None:
    values, f = FAILING[name]
    x = gradcore.tensor(values)
    with pytest.raises(gradcore.linalg.LinAlgError) as ours:
        f(gradcore, x)
    with pytest.raises(torch.linalg.LinAlgError) as theirs:
        f(torch, torch.tensor(values))
    assert str(ours.value) == str(theirs.value)
    assert isinstance(ours.value, RuntimeError)
    assert x.tolist() == values


def test_the_infos(rng: np.random.Generator) -> None:
    def program(m: Any) -> Any:
        x, y = m.tensor([EYE, ZERO, SINGULAR]), m.tensor([EYE, INDEFINITE])
        return [
            m.linalg.inv_ex(x).info,
            m.linalg.inv_ex(x).inverse[0],
            m.linalg.solve_ex(x, x).info,
            m.linalg.solve_ex(x, x).result[0],
            m.linalg.cholesky_ex(y).info,
            m.linalg.cholesky_ex(y).L[0],
            m.linalg.cholesky_ex(y, upper=True).info,
        ]

    same(program, torch)
    assert not np.isfinite(np.asarray(gradcore.linalg.inv_ex(gradcore.tensor(ZERO)).inverse)).all()


# -- shapes and dtypes -------------------------------------------------------------------------------------

SOLVED = [
    ((3, 3), (3,), True),
    ((3, 3), (2,), True),
    ((3, 3), (3, 2), True),
    ((3, 3), (2, 3), True),
    ((3, 3), (2, 3), False),
    ((3, 3), (3, 2), False),
    ((3, 3), (3,), False),
    ((2, 3, 3), (2, 3), True),
    ((2, 3, 3), (3,), True),
    ((2, 3, 3), (3, 2), True),
    ((2, 3, 3), (4, 3, 2), True),
    ((3, 3), (2, 3, 2), True),
    ((2, 3, 3), (2, 3), False),
    ((2, 3, 3), (3, 3), False),
    ((3, 3), (), True),
    ((0, 3, 3), (0, 3), True),
    ((4, 1, 3, 3), (5, 3, 2), True),
    ((4, 5, 3, 3), (5, 3), True),
    ((4, 5, 3, 3), (4, 5, 3), True),
    ((0, 0), (0, 2), True),
]


@pytest.mark.parametrize(("a", "b", "left"), SOLVED)
def test_the_shapes_solve_takes(a: tuple[int, ...], b: tuple[int, ...], left: bool, rng: np.random.Generator) -> None:
    x, y = rng.normal(size=a) + 3 * np.eye(a[-1]), rng.normal(size=b)

    def program(m: Any) -> Any:
        left_side, right_side = leaf(m, x.tolist()).reshape(a), leaf(m, y.tolist()).reshape(b)
        out = m.linalg.solve(left_side, right_side, left=left)
        return [out.detach(), *m.autograd.grad((out * out).sum(), [left_side, right_side])]

    same(program, torch, rtol=1e-8, may_raise=True)


CALLS = {name: f for name, f in (GENERAL | DEFINITE).items() if name not in ("matrix norms", "logdet")} | {
    "logdet": lambda m, x: m.logdet(x)
}
GIVEN: dict[str, Callable[[Any], Any]] = {
    "oblong": lambda m: m.ones(2, 3),
    "a vector": lambda m: m.ones(3),
    "integers": lambda m: m.eye(3, dtype=m.int64),
    "half": lambda m: m.eye(3, dtype=m.float16),
    "no tensor": lambda m: [[1.0]],
    "0 by 0": lambda m: m.ones(0, 0),
    "no matrices": lambda m: m.ones(0, 3, 3),
}


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("name", CALLS)
def test_what_is_refused_and_what_is_empty(name: str, given: str) -> None:
    if given == "no tensor" and not name.startswith(("inv", "det", "cholesky", "svd", "qr", "eig", "slogdet")):
        pytest.skip("the expression itself needs a tensor")
    if given == "oblong" and name.startswith("svd"):
        pytest.skip("what is not refused has other tests")
    theirs = outcome(lambda m: CALLS[name](m, GIVEN[given](m)), torch)
    ours = outcome(lambda m: CALLS[name](m, GIVEN[given](m)), gradcore)
    if isinstance(theirs, tuple) and theirs[0] == "raised" and theirs[1] == "NotImplementedError":
        assert ours[:2] == theirs[:2], ours
    else:
        compare(ours, theirs, words=0 if given in ("half", "no tensor") else 4)


def test_linalg_names_its_results() -> None:
    def program(m: Any) -> Any:
        x = m.eye(2)
        results = [m.linalg.svd(x), m.linalg.qr(x), m.linalg.eigh(x), m.linalg.slogdet(x), m.linalg.inv_ex(x)]
        return [f"{type(r).__name__} {r!r}".replace("-0.", "0.") for r in results]

    same(program, torch)
