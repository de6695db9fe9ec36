"""Pointwise operations against torch and against their own laws. It must not know primitives."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradcore

torch = pytest.importorskip("torch")

from tests.operands import COMPLEX, REAL, SPECIAL, TOLERANCE, WHOLE, assert_same, host, numbers, outcome, tensor_of  # noqa: E402

NUMBERS = [2, 2.5, -1, 0.0, True, 1.5j, 300]

SMOOTH = (
    "neg reciprocal abs square sqrt rsqrt exp expm1 log log2 log10 log1p sin cos tan asin acos atan sinh cosh tanh "
    "sigmoid erf sign sgn floor ceil round trunc angle real conj_physical positive"
).split()
TESTS = "isfinite isinf isnan isneginf isposinf isreal logical_not bitwise_not signbit".split()
UNARY: dict[str, Callable[..., Any]] = {
    **{name: lambda m, x, name=name: getattr(m, name)(x) for name in (*SMOOTH, *TESTS)},
    "clamp(-.5, 1.5)": lambda m, x: m.clamp(x, -0.5, 1.5),
    "clamp(1, 2)": lambda m, x: m.clamp(x, 1, 2),
    "clamp(max=1.5)": lambda m, x: m.clamp(x, max=1.5),
    "clamp(2, 1)": lambda m, x: m.clamp(x, 2, 1),
    "clamp_min(.5)": lambda m, x: m.clamp_min(x, 0.5),
    "clamp_max(1)": lambda m, x: m.clamp_max(x, 1),
    "round(decimals=1)": lambda m, x: m.round(x, decimals=1),
    "round(decimals=-1)": lambda m, x: m.round(x, decimals=-1),
    "fill": lambda m, x: m.fill(x, 1.5),
    **{f"x ** {k}": lambda m, x, k=k: x**k for k in (0, 1, 2, 3, 4, 0.5, 2.5, -1.5, True)},
    **{f"{k} ** x": lambda m, x, k=k: k**x for k in (0, 1, 2, 2.5, 0.0)},
    **{f"1 {s} x": lambda m, x, f=f: f(1, x) for s, f in (("-", operator.sub), ("/", operator.truediv))},
}

DIFFERENTIABLE = "add sub mul div remainder fmod pow maximum minimum atan2 clamp_min clamp_max".split()
COMPARING = (
    "eq ne lt le gt ge logical_and logical_or logical_xor bitwise_and bitwise_or bitwise_xor bitwise_left_shift "
    "bitwise_right_shift gcd lcm isclose floor_divide heaviside"
).split()
BINARY: dict[str, Callable[..., Any]] = {
    **{name: lambda m, x, y, name=name: getattr(m, name)(x, y) for name in (*DIFFERENTIABLE, *COMPARING)},
    "rsub": lambda m, x, y: m.rsub(x, y),
    "add(alpha=2)": lambda m, x, y: m.add(x, y, alpha=2),
    "sub(alpha=2)": lambda m, x, y: m.sub(x, y, alpha=2),
    "div(floor)": lambda m, x, y: m.div(x, y, rounding_mode="floor"),
    "div(trunc)": lambda m, x, y: m.div(x, y, rounding_mode="trunc"),
    "clamp(max=y)": lambda m, x, y: m.clamp(x, max=y),
    "where": lambda m, x, y: m.where(m.tensor([True, False, True, False, True]), x, y),
}


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng()


def beyond_torch(name: str, *operands: Any) -> bool:
    """Where torch refuses and we go further, torch stores what NumPy cannot, or torch's number is an accident."""
    kinds = {x if isinstance(x, str) else type(x).__name__ for x in operands}
    if kinds & {"float16", "bfloat16"} and kinds & {*COMPLEX, "complex"}:
        return True  # complex32
    if kinds & {*COMPLEX, "complex"} and kinds & {*REAL, "float"} and name.startswith(("add", "sub", "rsub")):
        return True  # torch multiplies inf by alpha = 1 + 0j
    if name in ("rsub", "sub", "sub(alpha=2)", "1 - x"):
        return bool(kinds & {"bool"})
    if name == "x ** 0.5" and kinds & {"float16", "bfloat16"}:
        return True  # torch's root of -inf is inf, in other dtypes nan
    if name == "signbit" and "bfloat16" in kinds:
        return True  # the sign of a NaN
    if name == "where":
        return 300 in operands
    return name.startswith(("pow", "x ** ")) and kinds == {"bool"}


# -- values ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", UNARY)
def test_a_function_of_one_tensor_has_torchs_values_and_dtypes(name: str, rng: np.random.Generator) -> None:
    for dtype in (*REAL, *COMPLEX, *WHOLE):
        if beyond_torch(name, dtype, *((True,) if name == "x ** True" else ())):
            continue
        values = numbers(rng, dtype)
        for each in (values, values[4], values[:0]):
            theirs, ours = (outcome(UNARY[name], m, tensor_of(m, each, dtype)) for m in (torch, gradcore))
            assert_same(ours, theirs, f"{name} of {dtype} {each}")


@pytest.mark.parametrize("name", BINARY)
def test_a_function_of_two_tensors_has_torchs_values_and_dtypes(name: str, rng: np.random.Generator) -> None:
    function = BINARY[name]
    for dtype in (*REAL, *COMPLEX, *WHOLE):
        values = numbers(rng, dtype, positive=name == "pow")  # NumPy takes (-inf)**0.5 for a square root
        for other in (*REAL, *COMPLEX, *WHOLE):
            if beyond_torch(name, dtype, other):
                continue
            others = numbers(rng, other, positive=True)
            for x, y in ((values, others), (values, others[0]), (values[4], others)):
                theirs, ours = (
                    outcome(function, m, tensor_of(m, x, dtype), tensor_of(m, y, other)) for m in (torch, gradcore)
                )
                assert_same(ours, theirs, f"{name} of {dtype} {x} and {other} {y}")


@pytest.mark.parametrize("name", [name for name in BINARY if name != "isclose"])
def test_a_tensor_and_a_number_have_torchs_values_and_dtypes(name: str, rng: np.random.Generator) -> None:
    both_ways = ("add", "sub", "mul", "div", "pow", "remainder", "where")
    for dtype in (*REAL, *COMPLEX, *WHOLE):
        values = numbers(rng, dtype, positive=True)
        for number in NUMBERS:
            if beyond_torch(name, dtype, number) or beyond_torch(name, number, dtype):
                continue
            for swap in (False, True)[: 1 + (name in both_ways)]:
                results = []
                for m in (torch, gradcore):
                    x = tensor_of(m, values, dtype)
                    results.append(outcome(BINARY[name], m, *((number, x) if swap else (x, number))))
                assert_same(results[1], results[0], f"{name} of {dtype} {values} and {number}, {swap=}")


# -- gradients -------------------------------------------------------------------------------------------------


def gradients(m: Any, f: Callable[..., Any], points: list[Any], dtype: str, seed: Any) -> Any:
    xs = [tensor_of(m, x, dtype, grad=True) for x in points]
    out = f(m, *xs)
    if not out.requires_grad:
        return None
    seed = m.tensor(seed if out.is_complex() else seed.real, dtype=out.dtype)
    return m.autograd.grad(out, xs, seed, allow_unused=True)


def assert_same_gradients(name: str, f: Callable[..., Any], points: list[Any], dtype: str, seed: Any) -> None:
    if beyond_torch(name, dtype):
        return
    try:
        theirs = gradients(torch, f, points, dtype, seed)
    except RuntimeError:  # complex numbers, where torch has no such function
        return
    ours = gradients(gradcore, f, points, dtype, seed)
    assert (ours is None) == (theirs is None)
    for i, (a, b) in enumerate(zip(ours or (), theirs or (), strict=True)):
        b = torch.zeros_like(torch.tensor(points[i], dtype=getattr(torch, dtype))) if b is None else b
        assert a is not None
        assert str(a.dtype) == str(b.dtype)
        tolerance = 4 * TOLERANCE.get(dtype, 1e-9)
        b = b + 0  # a tensor that torch knows to be zero has no memory
        np.testing.assert_allclose(host(a), host(b), tolerance, tolerance, err_msg=f"{name}, {dtype}, input {i}")


@pytest.mark.parametrize("name", [name for name in UNARY if name not in TESTS])
def test_gradients_are_torchs_at_special_points_too(name: str, rng: np.random.Generator) -> None:
    for dtype in (*REAL, *COMPLEX):
        x = np.array([*SPECIAL, *rng.normal(size=4)])
        if dtype in COMPLEX:
            x = np.array([0, *(rng.normal(size=4) + 1j * rng.normal(size=4))])
        seed = rng.normal(size=x.shape) + 1j * rng.normal(size=x.shape)
        assert_same_gradients(name, UNARY[name], [x], dtype, seed)


@pytest.mark.parametrize("name", [name for name in BINARY if name not in (*COMPARING, "where")])
def test_gradients_of_two_are_torchs_at_special_points_too(name: str, rng: np.random.Generator) -> None:
    for dtype in (*REAL, *COMPLEX):
        x, y = (each.ravel() for each in np.meshgrid(SPECIAL, SPECIAL))
        if dtype in COMPLEX:
            x, y = (rng.normal(size=6) + 1j * rng.normal(size=6) for _ in range(2))
            x[:2] = y[1:3] = 0
        seed = rng.normal(size=x.shape) + 1j * rng.normal(size=x.shape)
        assert_same_gradients(name, BINARY[name], [x, y], dtype, seed)


def test_broadcast_inputs_of_where_get_sums(rng: np.random.Generator) -> None:
    chosen, x, y = rng.uniform(size=(4, 1)) < 0.5, rng.normal(size=(3,)), np.array(rng.normal())
    seed = rng.normal(size=(4, 3))
    theirs, ours = (
        gradients(m, lambda m, x, y: m.where(m.tensor(chosen), x, y), [x, y], "float64", seed) for m in (torch, gradcore)
    )
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy())


EDGES: list[tuple[str, Callable[[Any, Any], Any], list[complex], list[complex]]] = [
    ("sqrt(0)", lambda m, x: x.sqrt(), [0.0], [math.inf]),
    ("sqrt(0) * 0", lambda m, x: x.sqrt() * 0, [0.0], [math.nan]),
    ("sqrt(sum(x**2))", lambda m, x: (x**2).sum().sqrt(), [0.0, 0.0], [math.nan] * 2),
    ("where with a branch not taken", lambda m, x: m.where(x > 0, x.sqrt(), x), [0.0, -1.0], [math.nan] * 2),
    ("x**0.5", lambda m, x: x**0.5, [0.0], [math.inf]),
    ("x**2", lambda m, x: x**2, [0.0], [0.0]),
    ("maximum of equals", lambda m, x: m.maximum(x, x.detach()), [2.0], [0.5]),
    ("clamp at its bounds", lambda m, x: x.clamp(0, 1), [0.0, 1.0], [1.0, 1.0]),
    ("abs", lambda m, x: x.abs(), [0.0], [0.0]),
    ("sign and round", lambda m, x: x.sign() + x.round(), [0.0, 0.5], [0.0, 0.0]),
    ("fmod(4, 2)", lambda m, x: x.fmod(2), [4.0], [1.0]),
    ("atan2(0, 0)", lambda m, x: m.atan2(x, x.detach()), [0.0], [0.0]),
    ("rsqrt", lambda m, x: x.rsqrt(), [0.0], [-math.inf]),
    ("|z|**2", lambda m, x: x.abs() ** 2, [3 + 4j], [6 + 8j]),
]


@pytest.mark.parametrize(("name", "f", "at", "expected"), EDGES, ids=[edge[0] for edge in EDGES])
@pytest.mark.parametrize("library", [gradcore, torch])
def test_edge_gradients(library: Any, name: str, f: Any, at: list[complex], expected: list[complex]) -> None:
    x = tensor_of(library, at, "complex128" if isinstance(at[0], complex) else "float64", grad=True)
    f(library, x).sum().backward()
    np.testing.assert_allclose(host(x.grad), expected, 1e-14)


# -- laws ------------------------------------------------------------------------------------------------------


def test_quotient_and_rest_make_the_dividend(rng: np.random.Generator) -> None:
    x = gradcore.tensor(rng.integers(-50, 50, size=99))
    y = gradcore.tensor(rng.choice([-7, -3, -1, 1, 2, 9], size=99))
    assert gradcore.equal(x // y * y + x % y, x)
    assert gradcore.equal(gradcore.div(x, y, rounding_mode="trunc") * y + x.fmod(y), x)
    assert gradcore.equal(gradcore.gcd(x, y) * gradcore.lcm(x, y), (x * y).abs())


def test_complex_parts_are_views_and_make_the_whole() -> None:
    z = gradcore.tensor([1 + 2j, 3 - 4j])
    z.real = gradcore.tensor([5.0, 6.0])
    z.imag[0] = 7.0
    assert z.tolist() == [5 + 7j, 6 - 4j]
    assert gradcore.allclose(z, z.abs() * (1j * z.angle()).exp())
    assert gradcore.equal(z.conj().imag, -z.imag)


@pytest.mark.parametrize("name", ["abs_", "absolute_"])
def test_an_absolute_value_does_not_fit_where_complex_numbers_stood(name: str) -> None:
    for library in (gradcore, torch):
        z = library.tensor([3 + 4j])
        with pytest.raises(RuntimeError, match="In-place abs is not supported for complex tensors"):
            getattr(z, name)()
        assert z.tolist() == [3 + 4j]
        assert getattr(library.tensor([-2.0, 3.0]), name)().tolist() == [2.0, 3.0]
