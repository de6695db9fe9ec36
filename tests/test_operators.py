"""Python's operators, and the forms of operations: in place, `out=`, bad input. It must not know primitives."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradcore

torch = pytest.importorskip("torch")

from tests.operands import assert_same, host, tensor_of  # noqa: E402


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng()


# -- operators -------------------------------------------------------------------------------------------------

OPERATORS = {"+": "add", "-": "sub", "*": "mul", "/": "truediv", "//": "floordiv", "%": "mod", "**": "pow"}
BITS = {"&": "and_", "|": "or_", "^": "xor", "<<": "lshift", ">>": "rshift"}
ORDER = {"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}


@pytest.mark.parametrize("symbol", [*OPERATORS, *BITS, *ORDER])
def test_operators_take_tensors_and_numbers_on_either_side(symbol: str, rng: np.random.Generator) -> None:
    f = getattr(operator, (OPERATORS | BITS | ORDER)[symbol])
    whole = symbol in BITS
    dtype = "int64" if whole else "float32"
    x = rng.integers(1, 9, size=3) if whole else rng.uniform(0.5, 3, size=3)
    y = rng.integers(1, 9, size=3) if whole else rng.uniform(0.5, 3, size=3)
    for number in (2, 3) if whole else (2, 2.5, 1, np.float64(1.5), np.int64(2)):
        pairs = {}
        for m in (torch, gradcore):
            a, b = tensor_of(m, x, dtype, not whole), tensor_of(m, y, dtype, not whole)
            pairs[m] = [(f(a, b), (a, b)), (f(a, number), (a,)), (f(number, a), (a,))]
        for (theirs, given), (ours, ours_given) in zip(pairs[torch], pairs[gradcore], strict=True):
            assert_same(ours, theirs, f"{symbol} with {number}")
            differentiable = theirs.grad_fn is not None and type(theirs.grad_fn).__name__ != "NotImplemented"
            if differentiable:
                assert f"<{type(theirs.grad_fn).__name__} object" in repr(ours.grad_fn)
                theirs.sum().backward()
                ours.sum().backward()
                for a, b in zip(ours_given, given, strict=True):
                    np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), 1e-5)
                    a.grad = b.grad = None


@pytest.mark.parametrize("symbol", [*OPERATORS, *BITS])
def test_operators_in_place_write_into_the_tensor(symbol: str, rng: np.random.Generator) -> None:
    f = getattr(operator, "i" + (OPERATORS | BITS)[symbol].rstrip("_"))
    whole = symbol in BITS
    x, y = (rng.integers(1, 9, size=3) * (1 if whole else 0.75) for _ in range(2))
    for other in (y, 2):
        results = []
        for m in (torch, gradcore):
            leaf = tensor_of(m, x, "int64" if whole else "float64", not whole)
            a = leaf.clone()
            alias = a.detach()
            b = tensor_of(m, other, "int64" if whole else "float64") if other is y else other
            out = f(a, b)
            assert out is a
            np.testing.assert_array_equal(host(alias), host(a))
            assert a._version == 1
            results.append((a, leaf))
        (theirs, their_leaf), (ours, our_leaf) = results
        assert_same(ours, theirs, symbol)
        if not whole and symbol != "//":
            theirs.sum().backward()
            ours.sum().backward()
            np.testing.assert_allclose(our_leaf.grad.numpy(), their_leaf.grad.numpy())


@pytest.mark.parametrize("symbol", [*OPERATORS, *ORDER])
def test_arrays_are_constants_on_either_side(symbol: str, rng: np.random.Generator) -> None:
    f = getattr(operator, (OPERATORS | ORDER)[symbol])
    x, y = (rng.uniform(0.5, 3, size=(2, 3)) for _ in range(2))
    for dtype in ("float32", "float64"):
        array = y.astype(dtype)
        a, constant = tensor_of(gradcore, x, "float32", True), tensor_of(gradcore, y, dtype)
        for ours, expected in ((f(a, array), f(a, constant)), (f(array, a), f(constant, a))):
            assert isinstance(ours, gradcore.Tensor)
            assert ours.dtype is expected.dtype
            np.testing.assert_allclose(ours.detach().numpy(), expected.detach().numpy(), 1e-6)
            if symbol in OPERATORS:
                got, want = (gradcore.autograd.grad(z.sum(), a)[0].numpy() for z in (ours, expected))
                np.testing.assert_allclose(got, want, 1e-5)


def test_unary_operators() -> None:
    x = gradcore.tensor([1.5, -2.0], requires_grad=True)
    assert (-x).tolist() == [-1.5, 2.0]
    assert abs(x).tolist() == [1.5, 2.0]
    assert +x is x
    assert (~gradcore.tensor([True, False])).tolist() == [False, True]
    assert (~gradcore.tensor([0, 5])).tolist() == [-1, -6]


def test_an_operand_of_a_foreign_type_is_pythons_business() -> None:
    class Meter:
        def __radd__(self, other: Any) -> str:
            return "added"

        def __lt__(self, other: Any) -> str:
            return "compared"

    x = gradcore.tensor([1.0, 2.0])
    assert x + Meter() == "added"
    assert (x > Meter()) == "compared"
    assert (x == "1") is False
    assert (x != None) is True  # noqa: E711
    for wrong in (None, "1", [1.0, 2.0], object()):
        for f in (operator.add, operator.pow, operator.floordiv, operator.lt, operator.iadd, operator.and_):
            with pytest.raises(TypeError):
                f(x, wrong)
            if f is not operator.iadd:
                with pytest.raises(TypeError):
                    f(wrong, x)
    assert x.tolist() == [1.0, 2.0]
    assert x._version == 0


# -- variants --------------------------------------------------------------------------------------------------

NAMES = (
    "add sub subtract mul multiply div divide true_divide neg negative abs absolute reciprocal square sqrt rsqrt pow "
    "exp expm1 log log2 log10 log1p sin cos tan asin arcsin acos arccos atan arctan sinh cosh tanh sigmoid erf atan2 "
    "arctan2 maximum minimum positive clamp clip clamp_min clamp_max where fill sign sgn floor ceil trunc fix round "
    "remainder fmod floor_divide eq ne not_equal lt less le less_equal gt greater ge greater_equal logical_and "
    "logical_or logical_xor logical_not isnan isinf isfinite isposinf isneginf isreal signbit heaviside isclose "
    "allclose equal bitwise_and bitwise_or bitwise_xor bitwise_not bitwise_left_shift bitwise_right_shift gcd lcm "
    "conj conj_physical resolve_conj resolve_neg is_conj is_neg real imag angle rsub is_complex is_floating_point"
).split()


@pytest.mark.parametrize("name", NAMES)
def test_every_form_that_torch_has(name: str) -> None:
    assert hasattr(gradcore, name)
    for method in (name, f"{name}_"):
        if hasattr(torch.Tensor, method) and method not in ("rsub_", "sgn_"):
            assert hasattr(gradcore.Tensor, method), method
        if method.endswith("_") and not hasattr(torch.Tensor, method):
            assert not hasattr(gradcore.Tensor, method), method


def test_out_receives_the_result_and_refuses_what_it_cannot_hold() -> None:
    x, y = gradcore.tensor([1.0, 2.0]), gradcore.tensor([3.0, 5.0])
    out = gradcore.tensor([0.0, 0.0], dtype=gradcore.float64)
    alias = out.detach()
    for f, expected in (
        (lambda: gradcore.add(x, y, out=out), [4.0, 7.0]),
        (lambda: gradcore.exp(x, out=out), np.exp(np.float32([1, 2])).tolist()),
        (lambda: gradcore.maximum(x, y, out=out), [3.0, 5.0]),
        (lambda: gradcore.lt(x, y, out=out), [1.0, 1.0]),
        (lambda: gradcore.where(x > 1, x, 0.5, out=out), [0.5, 2.0]),
        (lambda: gradcore.clamp(x, max=1.5, out=out), [1.0, 1.5]),
    ):
        assert f() is out
        np.testing.assert_allclose(alias.tolist(), expected, 1e-6)
    whole = gradcore.tensor([7, 7])
    with pytest.raises(RuntimeError, match="result type Float can't be cast to the desired output type Long"):
        gradcore.add(x, y, out=whole)
    with pytest.raises(RuntimeError, match="don't support automatic differentiation"):
        gradcore.mul(x.clone().requires_grad_(), y, out=out)
    assert gradcore.lt(x.clone().requires_grad_(), y, out=whole).tolist() == [1, 1]
    assert out.tolist() == [1.0, 1.5]


def test_arguments_go_by_numpys_names_too() -> None:
    x, y = gradcore.tensor([1.0, 4.0]), gradcore.tensor([2.0, 3.0])
    assert gradcore.sqrt(x=x).tolist() == gradcore.sqrt(input=x).tolist() == [1.0, 2.0]
    for given in ({"x1": x, "x2": y}, {"input": x, "other": y}, {"input": x, "x2": y}):
        assert gradcore.mul(**given).tolist() == [2.0, 12.0]
        assert gradcore.maximum(**given).tolist() == [2.0, 4.0]
    with pytest.raises(TypeError, match="argument 'input'"):
        gradcore.sqrt()
    with pytest.raises(TypeError, match="argument 'other'"):
        gradcore.mul(x)


FAILURES: list[tuple[str, Callable[[Any], Any], str]] = [
    ("integer // 0", lambda m: m.tensor([1]) // 0, "ZeroDivisionError"),
    ("integer % tensor with 0", lambda m: m.tensor([1, 2]) % m.tensor([1, 0]), "ZeroDivisionError"),
    ("fmod by 0", lambda m: m.fmod(m.tensor([1]), 0), "ZeroDivisionError"),
    ("rounded quotient by 0", lambda m: m.div(m.tensor([1]), 0, rounding_mode="trunc"), "ZeroDivisionError"),
    (
        "integer ** negative",
        lambda m: m.tensor([2]) ** -1,
        "Integers to negative integer powers are not allowed",
    ),
    ("rounding_mode", lambda m: m.div(m.tensor([1.0]), 2, rounding_mode="up"), "found 'up'"),
    ("bool - bool", lambda m: m.tensor([True]) - m.tensor([True]), "Bool|bool"),
    ("-bool", lambda m: -m.tensor([True]), "Bool|bool"),
    ("+bool", lambda m: +m.tensor([True]), "bool tensor is not supported"),
    ("complex < complex", lambda m: m.tensor([1j]) < m.tensor([1j]), "not implemented for 'Complex"),
    ("float & float", lambda m: m.tensor([1.0]) & 1, "not implemented for 'Float'"),
    ("sign of complex", lambda m: m.sign(m.tensor([1j])), "sgn"),
    ("imag of real", lambda m: m.imag(m.tensor([1.0])), "non-complex dtypes"),
    ("clamp without bounds", lambda m: m.tensor([1.0]).clamp(), "At least one of 'min' or 'max'"),
    ("where of integers", lambda m: m.where(m.tensor([1]), 1.0, 2.0), "boolean tensor"),
    ("fill with a vector", lambda m: m.tensor([1.0]).fill_(m.tensor([1.0])), "0-dimension"),
    ("300 as uint8", lambda m: m.tensor([1], dtype=m.uint8).fill_(300), "without overflow"),
    (
        "floating alpha",
        lambda m: m.add(m.tensor([1]), 1, alpha=1.5),
        "alpha must not be a floating point number",
    ),
    ("isclose of two dtypes", lambda m: m.isclose(m.tensor([1.0]), m.tensor([1])), "did not match"),
    ("float into integer", lambda m: m.tensor([1]).mul_(1.5), "can't be cast"),
    (
        "bool result into nothing larger",
        lambda m: m.tensor([1.0]).add_(m.tensor([[1.0], [2.0]])),
        "broadcast shape",
    ),
    ("shapes", lambda m: m.tensor([1.0, 2.0]) * m.tensor([1.0, 2.0, 3.0]), "must match the size of tensor b"),
    ("not a tensor", lambda m: m.exp(2.0), "argument 'input' .position 1. must be Tensor, not float"),
    (
        "not an operand",
        lambda m: m.add(m.tensor([1.0]), "a"),
        "argument 'other' .position 2. must be Tensor, not str",
    ),
    ("a number for a tensor", lambda m: m.maximum(m.tensor([1.0]), 2), "must be Tensor, not int"),
    ("alpha", lambda m: m.add(m.tensor([1.0]), 1, alpha="b"), "'alpha' must be Number, not str"),
    ("too large for 64 bits", lambda m: m.tensor([1]) + 2**70, "int too big to convert"),
]


@pytest.mark.parametrize(("f", "message"), [case[1:] for case in FAILURES], ids=[case[0] for case in FAILURES])
def test_bad_input_gets_torchs_error(f: Callable[[Any], Any], message: str) -> None:
    with pytest.raises((RuntimeError, TypeError, OverflowError)) as theirs:
        f(torch)
    with pytest.raises(theirs.type if theirs.type is not NotImplementedError else RuntimeError, match=message):
        f(gradcore)


def test_integer_operands_wrap_around_like_torchs() -> None:
    for dtype, number in (("uint8", 300), ("int8", 200), ("int32", 2**40 + 3), ("uint8", -1)):
        for f in (operator.add, operator.mul, operator.eq, operator.lt):
            theirs, ours = (f(tensor_of(m, [1, 44], dtype), number) for m in (torch, gradcore))
            assert_same(ours, theirs, f"{f.__name__} of {dtype} and {number}")
