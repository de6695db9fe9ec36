"""What the host computes by other means where there are many numbers, beside closed forms in a wider dtype."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradcore
from gradcore.backends import numpy as host
from gradcore.nn import functional as F

EXTREMES = np.array([0, -0.0, np.inf, -np.inf, np.nan, 1e30, -1e30, 1e38, -1e38, 1e-40, -30, 30], "f4")

_erf, _erfc = (np.vectorize(f, otypes="d") for f in (math.erf, math.erfc))


def below(x: Any) -> Any:
    """The probability that a standard normal number is below x."""
    return _erfc(-x * math.sqrt(0.5)) / 2


def density(x: Any) -> Any:
    return np.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def points(low: float = -14, high: float = 14) -> Any:
    """Random numbers in float32, of all sizes; more than a block, and no multiple of it."""
    rng = np.random.default_rng()
    small = 2.0 ** rng.uniform(-126, 3, 30_001) * rng.choice([-1, 1], 30_001)
    return np.clip(np.concatenate([rng.uniform(low, high, 50_000), small]), low, high).astype("f4")


def pulled(f: Callable[..., Any], x: Any, g: Any) -> Any:
    leaf = gradcore.tensor(x, requires_grad=True)
    f(leaf).backward(gradcore.tensor(g))
    return leaf.grad.numpy()


def test_erf_of_many_is_rounded_almost_rightly() -> None:
    x = points()
    mine = gradcore.tensor(x).erf().numpy()
    assert mine.dtype == np.float32
    np.testing.assert_allclose(mine, _erf(x.astype("d")), rtol=1.2 * 2**-24, atol=1e-45)


def test_gelu_of_many_is_off_by_roundings() -> None:
    x = points()
    wide = x.astype("d")
    mine = F.gelu(gradcore.tensor(x)).numpy()
    np.testing.assert_allclose(mine, wide * below(wide), rtol=5 * 2**-24, atol=1.2e-7)
    near = wide > -2
    np.testing.assert_allclose(mine[near], (wide * below(wide))[near], rtol=2e-6, atol=1e-45)


def test_the_derivative_of_gelu_of_many_is_off_by_roundings() -> None:
    x, g = points(), np.random.default_rng().normal(size=80_001).astype("f4")
    expected = below(x.astype("d")) + x.astype("d") * density(x.astype("d"))
    np.testing.assert_allclose(pulled(F.gelu, x, g) / g, expected, rtol=5 * 2**-24, atol=3e-7)


@pytest.mark.parametrize("function", ["erf", "gelu"])
def test_extremes_among_many_are_those_among_few(function: str) -> None:
    few, many = EXTREMES, np.tile(EXTREMES, 10_000)
    f = getattr(gradcore, function, None) or getattr(F, function)
    for apply in (lambda x: f(gradcore.tensor(x)).numpy(), lambda x: pulled(f, x, np.ones_like(x))):
        mine, expected = apply(many).reshape(-1, few.size), np.tile(apply(few), (10_000, 1))
        np.testing.assert_allclose(mine, expected, rtol=1e-6, atol=1e-12)
        np.testing.assert_array_equal(np.signbit(mine[:, :4]), np.signbit(expected[:, :4]))


@pytest.mark.parametrize("function", ["erf", "gelu"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "bfloat16"])
def test_layouts_and_narrow_dtypes_of_many(function: str, dtype: str) -> None:
    f = getattr(gradcore, function, None) or getattr(F, function)
    x = gradcore.randn(90, 40, 30).to(getattr(gradcore, dtype))
    turned = x.permute(2, 0, 1)[::3, :, ::2]
    out = f(turned)
    assert out.dtype == x.dtype
    assert out.shape == turned.shape
    eps = gradcore.finfo(x.dtype).eps
    np.testing.assert_allclose(out.double().numpy(), f(turned.double()).numpy(), rtol=2 * eps, atol=1e-7)


def test_second_derivatives_of_gelu_of_many() -> None:
    x = points(-4, 4)
    leaf = gradcore.tensor(x, requires_grad=True)
    (first,) = gradcore.autograd.grad(F.gelu(leaf).sum(), leaf, create_graph=True)
    (second,) = gradcore.autograd.grad(first.sum(), leaf)
    wide = x.astype("d")
    np.testing.assert_allclose(second.numpy(), density(wide) * (2 - wide * wide), rtol=1e-5, atol=1e-6)


def test_what_is_computed_leaves_its_arguments_alone() -> None:
    x, g = points(), points()
    copies = x.copy(), g.copy()
    with np.errstate(all="ignore"):
        host.gelu(x), host.gelu_backward(g, x), host.erf(x)
    np.testing.assert_array_equal((x, g), copies)


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "i4"])
@pytest.mark.parametrize("n", [1, 500, 20_001])
def test_relu_keeps_what_is_positive_or_no_number(dtype: str, n: int) -> None:
    x = np.random.default_rng().normal(size=n, scale=3).astype(dtype)
    if dtype != "i4":
        x[::7] = np.nan
        x[3::7] = np.inf
    np.testing.assert_array_equal(host.relu(x), np.where(x <= 0, np.zeros((), dtype), x))


@pytest.mark.parametrize("n", [1, 10_000])
def test_leaky_relu_at_extremes(n: int) -> None:
    x = np.tile(EXTREMES, n)
    with np.errstate(all="ignore"):
        for slope in (0.0, 0.01, 1.0, 1.5, -0.5):
            expected = np.where(x > 0, x, x * np.float32(slope))
            np.testing.assert_array_equal(F.leaky_relu(gradcore.tensor(x), slope).numpy(), expected)
            leaf = gradcore.tensor(x, requires_grad=True)
            F.leaky_relu(leaf, slope).sum().backward()
            np.testing.assert_array_equal(leaf.grad.numpy(), np.where(x > 0, 1, slope).astype("f4"))


BITS = np.array([0x7FC00001, 0xFF800000, 0x80000000, 1, 0x3F800000, 0xFFFFFFFF], "u4").view("f4")  # nans of several kinds


@pytest.mark.parametrize(
    "pair",
    [
        lambda x: (x, x[::-1]),
        lambda x: (x.astype("d"), x[::-1].astype("d")),
        lambda x: (x, x[::-1].astype("d")),
        lambda x: (x, 1.5),
        lambda x: (float("-inf"), x),
        lambda x: (1e300, x),
        lambda x: (x, np.float32(2)),
        lambda x: (x, np.array(2, "f4")),
        lambda x: (x, True),
        lambda x: (x.astype("i8"), 3),
        lambda x: (x.astype("f2"), x[::-1].astype("f2")),
        lambda x: (x[:1], x),
        lambda x: (1.0, 2.0),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("n", [4, 5_000])
def test_where_is_numpys_bit_by_bit(pair: Callable[..., Any], turned: bool, n: int) -> None:
    with np.errstate(all="ignore"):
        x, y = pair(np.tile(BITS, n))
        condition = np.random.default_rng().integers(0, 2, BITS.size * n).astype(bool)
        if turned:
            x, y = (np.tile(each, (2, 1)).T if isinstance(each, np.ndarray) and each.ndim else each for each in (x, y))
            condition = np.stack([condition, ~condition], 1)
        mine, numpys = host.where(condition, x, y), np.where(condition, x, y)
        spread = host.where(condition[:1], x, y), np.where(condition[:1], x, y)
    assert (mine.dtype, mine.shape) == (numpys.dtype, numpys.shape)
    assert mine.tobytes() == numpys.tobytes()
    assert spread[0].tobytes() == spread[1].tobytes()


def test_the_buffers_of_ufuncs_are_small_in_operations_alone() -> None:
    before = np.getbufsize()
    token = host.quiet()
    within = np.getbufsize()
    host.unquiet(token)
    assert (within, host.quietly(np.getbufsize), np.getbufsize()) == (1024, 1024, before)
    assert before != 1024
