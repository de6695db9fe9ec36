"""Products against torch, NumPy and their own laws. It must not know primitives."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradcore

torch = pytest.importorskip("torch")

from tests.twin import of_its_largest, same  # noqa: E402

SHAPES = [
    (),
    (3,),
    (0,),
    (2, 3),
    (3, 2),
    (3, 3),
    (0, 3),
    (3, 0),
    (5, 2, 3),
    (5, 3, 2),
    (1, 3, 2),
    (6, 1, 2, 3),
]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng()


def given(rng: np.random.Generator, *shapes: tuple[int, ...], dtype: str = "float64") -> list[Any]:
    """Fresh numbers as nested lists, which both libraries read."""
    if dtype == "complex128":
        return [(rng.normal(size=s) + 1j * rng.normal(size=s)).tolist() for s in shapes]
    return [rng.normal(size=s).tolist() for s in shapes]


def leaf(m: Any, values: Any, shape: tuple[int, ...], dtype: str = "float64") -> Any:
    return m.tensor(values, dtype=getattr(m, dtype)).reshape(shape).requires_grad_()


def pulled(m: Any, f: Callable[..., Any], *leaves: Any) -> list[Any]:
    """The result, and the gradients of the sum of its sines, of the first and the second order."""
    out = f(*leaves)
    first = m.autograd.grad(out.sin().abs().sum(), leaves, create_graph=True)
    second = m.autograd.grad(sum((g * g).abs().sum() for g in first), leaves, allow_unused=True)
    return [out, *(g.detach() for g in first), *second]


# -- matmul ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("a", "b"), [*itertools.product(SHAPES, repeat=2)])
def test_matmul_of_all_shapes(rng: np.random.Generator, a: tuple[int, ...], b: tuple[int, ...]) -> None:
    x, y = given(rng, a, b)
    same(lambda m: (leaf(m, x, a) @ leaf(m, y, b)).detach(), torch, words=0, may_raise=True)
    if a and b and a[-1] == b[max(0, len(b) - 2)]:
        ours, theirs = (pulled(m, m.matmul, leaf(m, x, a), leaf(m, y, b)) for m in (gradcore, torch))
        for our, their in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(np.asarray(our.detach()), their.detach().numpy(), 1e-9, 1e-9)


def test_the_product_is_associative_and_its_transpose_reversed(rng: np.random.Generator) -> None:
    x, y, z = (gradcore.from_numpy(rng.normal(size=s)) for s in ((4, 2, 3), (3, 5), (4, 5, 2)))
    np.testing.assert_allclose(np.asarray((x @ y) @ z), np.asarray(x @ (y @ z)), 1e-12)
    np.testing.assert_allclose(np.asarray((x @ y).mT), np.asarray(y.mT @ x.mT), 1e-12)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_short_floats_add_up_in_float32(dtype: str) -> None:
    kind = getattr(gradcore, dtype)
    ones = gradcore.ones(1, 4096, dtype=kind)
    assert (ones @ ones.T).item() == 4096  # the sum of ones in these dtypes stops at 2048 and 256
    assert gradcore.dot(ones[0], ones[0]).item() == 4096
    assert gradcore.einsum("ij,kj->", ones, ones).item() == 4096


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32", "int64"])
def test_integers_multiply_and_wrap(rng: np.random.Generator, dtype: str) -> None:
    x, y = rng.integers(0, 100, (2, 3)).tolist(), rng.integers(0, 100, (3, 2)).tolist()

    def program(m: Any) -> Any:
        a, b = (m.tensor(v, dtype=getattr(m, dtype)) for v in (x, y))
        return [
            a @ b,
            m.einsum("ij,jk", a, b),
            a[0] @ b,
            m.dot(a[0], b[:, 0]),
            m.trace(b),
            m.outer(a[0], b[0]),
        ]

    same(program, torch)


@pytest.mark.parametrize("view", ["x.T", "x[:, ::2]", "x.flip(0)", "x[0].expand(3, 4)"])
def test_any_strides(rng: np.random.Generator, view: str) -> None:
    x, y = given(rng, (3, 4), (4, 3))

    def program(m: Any) -> Any:
        a, b = leaf(m, x, (3, 4)), leaf(m, y, (4, 3))
        seen = eval(view, {"x": a})
        out = seen @ b if seen.shape[-1] == b.shape[0] else seen @ b[: seen.shape[-1]]
        return [out.detach(), *m.autograd.grad((out * out).sum(), [a, b])]

    same(program, torch)


NAMED: dict[str, tuple[tuple[tuple[int, ...], ...], Callable[..., Any]]] = {
    "mm": (((2, 3), (3, 4)), lambda m, x, y: m.mm(x, y)),
    "bmm": (((5, 2, 3), (5, 3, 4)), lambda m, x, y: m.bmm(x, y)),
    "mv": (((2, 3), (3,)), lambda m, x, y: m.mv(x, y)),
    "dot": (((3,), (3,)), lambda m, x, y: m.dot(x, y)),
    "vdot": (((3,), (3,)), lambda m, x, y: m.vdot(x, y)),
    "inner": (((2, 3), (4, 3)), lambda m, x, y: m.inner(x, y)),
    "outer": (((2,), (3,)), lambda m, x, y: m.outer(x, y)),
    "@ of vectors": (((3,), (3,)), lambda m, x, y: x @ y),
    "vector @ matrix": (((3,), (3, 2)), lambda m, x, y: x @ y),
    "batch @ matrix": (((5, 2, 3), (3, 2)), lambda m, x, y: x @ y),
    "batch @ vector": (((5, 2, 3), (3,)), lambda m, x, y: x @ y),
    "batch @ batch": (((5, 2, 3), (5, 3, 4)), lambda m, x, y: x @ y),
    "trace": (((3, 4),), lambda m, x: m.trace(x)),
    "tensordot": (((2, 3, 4), (3, 4, 5)), lambda m, x, y: m.tensordot(x, y)),
    "einsum": (((2, 3), (3, 4)), lambda m, x, y: m.einsum("ij,jk", x, y)),
    "addmm": (((4,), (2, 3), (3, 4)), lambda m, x, y, z: m.addmm(x, y, z, beta=2, alpha=0.5)),
    "addmv": (((2,), (2, 3), (3,)), lambda m, x, y, z: m.addmv(x, y, z, alpha=-1)),
    "addr": (((2, 3), (2,), (3,)), lambda m, x, y, z: m.addr(x, y, z, beta=3)),
    "baddbmm": (((2, 1), (5, 2, 3), (5, 3, 4)), lambda m, x, y, z: m.baddbmm(x, y, z)),
    "addbmm": (((2, 4), (5, 2, 3), (5, 3, 4)), lambda m, x, y, z: m.addbmm(x, y, z, beta=0)),
}


@pytest.mark.parametrize("dtype", ["float64", "float32", "complex128"])
@pytest.mark.parametrize("name", NAMED)
def test_values_nodes_and_gradients(rng: np.random.Generator, name: str, dtype: str) -> None:
    shapes, f = NAMED[name]
    values = given(rng, *shapes, dtype=dtype)

    def program(m: Any) -> Any:
        leaves = [leaf(m, v, s, dtype) for v, s in zip(values, shapes, strict=True)]
        found = pulled(m, lambda *xs: f(m, *xs), *leaves)
        if dtype == "float32":
            found[1 + len(leaves) :] = [g if g is None else of_its_largest(g) for g in found[1 + len(leaves) :]]
        return found

    same(program, torch, rtol=3e-5 if dtype == "float32" else 1e-9)


def test_a_beta_of_zero_ignores_even_nan() -> None:
    def program(m: Any) -> Any:
        x = m.full((2, 2), float("nan")).requires_grad_()
        out = m.addmm(x, m.ones(2, 3), m.ones(3, 2), beta=0)
        return [out.detach(), m.autograd.grad(out.sum(), x)[0]]

    same(program, torch)


def test_in_place_and_out() -> None:
    def program(m: Any) -> Any:
        x = m.ones(2, 2)
        into = m.zeros(2, 2)
        return [
            x.clone().addmm_(x, x, alpha=3),
            x[0].clone().addmv_(x, x[1]),
            x.clone().addr_(x[0], x[1]),
            m.mm(x, x, out=into),
            into,
            m.tensordot(x, x, 2, out=m.empty(0)),
        ]

    same(program, torch)


def test_the_operator_asks_the_other_operand() -> None:
    class Other:
        def __rmatmul__(self, left: Any) -> str:
            return f"rmatmul of {tuple(left.shape)}"

    assert gradcore.ones(2) @ Other() == "rmatmul of (2,)"
    with pytest.raises(TypeError, match="unsupported operand"):
        gradcore.ones(2) @ 3


# -- einsum ------------------------------------------------------------------------------------------------

EQUATIONS = (
    "i->|i->i|ii|ii->i|iij->j|iji->ij|ij->ji|ij|ji|bA|ij->i|...|...->|...i->...|i...->...i|i...i->...|ij,jk|ij,jk->ki|"
    "i,i|i,j|i,i->i|i,j->ji|ij,ij->|ij,kj->ik|bij,bjk->bik|bij,bjk->ki|b...i,b...i->b...|...ij,...jk|...ij,jk->...ki|"
    "...,...|i...,...i->...|a,b,c|ij,jk,kl|ij,jk,ki|ijk,ja,kb->iab|bn,anm,bm->ba|ii,ij->j|aab,b->a|,|,i|ij,,j->i|"
    "i , j -> i j|ab,ab,c->|abc,cd,de->abe|ij->...|a->a...|ij,ik,il->jkl|abcd,badc"
).split("|")


def operands(rng: np.random.Generator, equation: str) -> list[Any]:
    """Arrays for an equation: every letter has its size, now and then 1; an ellipsis stands for up to two dimensions."""
    size = {letter: int(rng.integers(1, 4)) for letter in "abcdeijklmnA"}
    dots = [2, 3][: int(rng.integers(0, 3))]
    shapes = []
    for term in equation.replace(" ", "").partition("->")[0].split(","):
        before, ellipsis, after = term.partition("...")
        once = len(set(term)) == len(term)
        shape = [size[a] for a in before] + (dots if ellipsis else []) + [size[a] for a in after]
        shapes.append([1 if once and rng.uniform() < 0.1 else n for n in shape])
    return [rng.normal(size=shape) for shape in shapes]


@pytest.mark.parametrize("equation", EQUATIONS)
def test_einsum_as_torch(rng: np.random.Generator, equation: str) -> None:
    for _ in range(4):
        arrays = operands(rng, equation)

        def program(m: Any, arrays: Any = arrays) -> Any:
            leaves = [leaf(m, x.tolist(), x.shape) for x in arrays]
            out = m.einsum(equation, *leaves)
            again = m.einsum(equation, leaves)
            grads = m.autograd.grad((out * out).sum(), leaves)
            return [out.detach(), again.detach(), *grads]

        same(program, torch, rtol=1e-9)


def test_einsum_as_numpy(rng: np.random.Generator) -> None:
    arrays = [rng.normal(size=shape) for shape in ((3, 3, 4), (4, 2), (2, 3, 5))]
    out = gradcore.einsum("iij,jk,kil->li", *map(gradcore.from_numpy, arrays))
    np.testing.assert_allclose(np.asarray(out), np.einsum("iij,jk,kil->li", *arrays), 1e-12)


def test_einsum_with_lists_of_subscripts() -> None:
    def program(m: Any) -> Any:
        x, y = m.arange(6.0).reshape(2, 3), m.arange(12.0).reshape(3, 4)
        z = m.arange(8.0).reshape(2, 2, 2)
        return [
            m.einsum(x, [0, 1], y, [1, 2]),
            m.einsum(x, [0, 1], y, [1, 2], [2, 0]),
            m.einsum(x, [30, 2]),
            m.einsum(z, [..., 0], z, [..., 1], [0, 1, ...]),
        ]

    same(program, torch)


# -- what is refused ---------------------------------------------------------------------------------------


def one(m: Any, *shape: int, dtype: str = "float32") -> Any:
    return m.ones(shape, dtype=getattr(m, dtype))


BAD: dict[str, Callable[[Any], Any]] = {
    "mm of vectors": lambda m: m.mm(one(m, 3), one(m, 3, 2)),
    "mm sizes": lambda m: m.mm(one(m, 2, 3), one(m, 2, 3)),
    "@ sizes": lambda m: one(m, 2, 3) @ one(m, 2, 3),
    "@ row": lambda m: one(m, 3) @ one(m, 2, 3),
    "@ column": lambda m: one(m, 2, 3) @ one(m, 2),
    "@ scalar": lambda m: one(m) @ one(m, 3),
    "@ batches": lambda m: one(m, 5, 2, 3) @ one(m, 4, 3, 2),
    "@ in batches": lambda m: one(m, 5, 2, 3) @ one(m, 5, 2, 3),
    "@ folded": lambda m: one(m, 5, 2, 3) @ one(m, 2, 3),
    "@ dtypes": lambda m: one(m, 2, 3) @ one(m, 3, 2, dtype="float64"),
    "@ dtypes in batches": lambda m: one(m, 5, 2, 3) @ one(m, 5, 3, 2, dtype="float64"),
    "matmul of a number": lambda m: m.matmul(one(m, 3), 3.0),
    "bmm of matrices": lambda m: m.bmm(one(m, 2, 3), one(m, 3, 2)),
    "bmm batches": lambda m: m.bmm(one(m, 2, 3, 4), one(m, 3, 4, 5)),
    "mv sizes": lambda m: m.mv(one(m, 2, 3), one(m, 2)),
    "mv dtypes": lambda m: m.mv(one(m, 2, 3), one(m, 3, dtype="float64")),
    "mv of vectors": lambda m: m.mv(one(m, 3), one(m, 3)),
    "dot of matrices": lambda m: m.dot(one(m, 3, 1), one(m, 3)),
    "dot sizes": lambda m: m.dot(one(m, 3), one(m, 2)),
    "dot dtypes": lambda m: m.dot(one(m, 3), one(m, 3, dtype="float64")),
    "inner sizes": lambda m: m.inner(one(m, 2, 3), one(m, 4, 2)),
    "outer of a matrix": lambda m: m.outer(one(m, 3, 1), one(m, 2)),
    "trace of a batch": lambda m: m.trace(one(m, 2, 2, 2)),
    "addmm sizes": lambda m: m.addmm(one(m, 4), one(m, 2, 3), one(m, 2, 4)),
    "addmm dtypes": lambda m: m.addmm(one(m, 4), one(m, 2, 3, dtype="float64"), one(m, 3, 4)),
    "addmm input dtype": lambda m: m.addmm(one(m, 4, dtype="float64"), one(m, 2, 3), one(m, 3, 4)),
    "addmm input": lambda m: m.addmm(one(m, 2), one(m, 2, 3), one(m, 3, 4)),
    "addmm of a vector": lambda m: m.addmm(one(m, 2), one(m, 3), one(m, 3, 4)),
    "tensordot sizes": lambda m: m.tensordot(one(m, 2, 3), one(m, 2, 3), 1),
    "tensordot lists": lambda m: m.tensordot(one(m, 2, 3), one(m, 2, 3), ([0], [0, 1])),
    "tensordot negative": lambda m: m.tensordot(one(m, 2, 3), one(m, 2, 3), -1),
    "tensordot too many": lambda m: m.tensordot(one(m, 2, 3), one(m, 2, 3), 3),
    "tensordot twice": lambda m: m.tensordot(one(m, 2, 3), one(m, 2, 3), ([0, 0], [0, 0])),
    "tensordot dtypes": lambda m: m.tensordot(one(m, 2, 3), one(m, 3, 2, dtype="float64"), 1),
    **{
        f"einsum {equation}": lambda m, equation=equation, shapes=shapes: m.einsum(equation, *(one(m, *s) for s in shapes))
        for equation, shapes in {
            "ij,jk": [(2, 3)],
            "ij": [(2, 3), (2, 3)],
            "ij,jk->iz": [(2, 3), (3, 4)],
            "ij,jk->ii": [(2, 3), (3, 4)],
            "ij,jk ->": [(2, 3), (4, 4)],
            "ii": [(2, 3)],
            "i1j": [(2, 3)],
            "...i..": [(2, 3)],
            "i...j...": [(2, 3)],
            "ijk": [(2, 3)],
            "ij->j-i": [(2, 3)],
            "ij->>j": [(2, 3)],
            "...a,...a": [(2, 3), (4, 3)],
            ".": [()],
            "a.": [(2,)],
            "i": [(2, 3)],
        }.items()
    },
    "einsum of nothing": lambda m: m.einsum("i"),
    "einsum dtypes": lambda m: m.einsum("ij,jk", one(m, 2, 3), one(m, 3, 2, dtype="float64")),
    "einsum subscript": lambda m: m.einsum(one(m, 2), [53]),
}


@pytest.mark.parametrize("name", BAD)
def test_torch_s_error(name: str) -> None:
    same(BAD[name], torch, words=2 if name == "einsum ...a,...a" else 3, may_raise=True)
