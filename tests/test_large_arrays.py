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


def test_the_buffers_of_ufuncs_are_small_in_operations_alone() -> None:
    before = np.getbufsize()
    token = host.quiet()
    within = np.getbufsize()
    host.unquiet(token)
    assert (within, host.quietly(np.getbufsize), np.getbufsize()) == (1024, 1024, before)
    assert before != 1024
