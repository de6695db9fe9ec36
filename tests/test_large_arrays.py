"""What the host computes by other means where there are many numbers, beside closed forms in a wider dtype."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradcore
from gradcore.backends import lapack, shared
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


def normalized(x: Any, g: Any, scale: Any, shift: Any, axis: Any, eps: float) -> Any:
    """What normalisation of x gives and its three cotangents, of sums over `axis`, in float64."""
    x, g, scale, shift = (each.astype("d") for each in (x, g, scale, shift))
    unit = (x.var(axis, keepdims=True) + eps) ** -0.5
    y = (x - x.mean(axis, keepdims=True)) * unit
    h = g * scale
    dx = (h - h.mean(axis, keepdims=True) - y * (h * y).mean(axis, keepdims=True)) * unit
    return y * scale + shift, dx, g * y, g


@pytest.mark.parametrize("mean", [0.0, 0.5, 3.0, 1e3], ids="centred mild shifted far".split())
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("kind", ["batch", "batch of (N, C, L)", "short", "group", "layer", "layers", "turned"])
def test_normalisation_of_many(kind: str, dtype: str, mean: float) -> None:
    rng, c = np.random.default_rng(), 6
    shapes = {"batch of (N, C, L)": (5, c, 1100), "short": (300, c, 5), "turned": (8, c, 40, 7), "layers": (260, c, 7, 4)}
    shape: tuple[int, ...] = shapes.get(kind, (8, c, 7, 40))
    x, g = rng.normal(mean, 2, shape).astype(dtype), rng.normal(size=shape).astype(dtype)
    if kind == "turned":  # the same numbers in another order of memory
        x, g = x.swapaxes(2, 3), g.swapaxes(2, 3)
    size = shape[2:] if kind.startswith("layer") else (c,)
    weight, bias = (rng.normal(size=size).astype(dtype) for _ in range(2))
    column = (lambda each: each) if kind.startswith("layer") else (lambda each: each.reshape(c, *(1,) * (x.ndim - 2)))
    if kind == "group":
        grouped = x.shape[0], 3, 2, *x.shape[2:]
        arrays = x.reshape(grouped), g.reshape(grouped), weight.reshape(3, 2, 1, 1), bias.reshape(3, 2, 1, 1)
        expected = [each.reshape(x.shape) for each in normalized(*arrays, (2, 3, 4), 1e-3)]
    else:
        axis = (2, 3) if kind.startswith("layer") else (0, *range(2, x.ndim))
        expected = list(normalized(x, g, column(weight), column(bias), axis, 1e-3))
    others = (0, 1) if kind.startswith("layer") else (0, *range(2, x.ndim))
    expected[2:] = (each.sum(others) for each in expected[2:])
    leaves = [gradcore.tensor(each, requires_grad=True) for each in (x, weight, bias)]
    if kind.startswith("layer"):
        out = F.layer_norm(leaves[0], size, *leaves[1:], eps=1e-3)
    elif kind == "group":
        out = F.group_norm(leaves[0], 3, *leaves[1:], eps=1e-3)
    else:
        out = F.batch_norm(leaves[0], None, None, *leaves[1:], training=True, eps=1e-3)
    out.backward(gradcore.tensor(g))
    scale = max(1, mean) * (1e-6 if dtype == "f4" else 1e-14)
    for mine, wanted in zip([out.detach(), *(leaf.grad for leaf in leaves)], expected, strict=True):
        assert mine.dtype == leaves[0].dtype
        np.testing.assert_allclose(mine.numpy(), wanted, rtol=10 * scale, atol=10 * scale * np.abs(wanted).max())


@pytest.mark.parametrize("wanted", [(0,), (1,), (2,), (0, 2)])
def test_only_the_cotangents_that_are_wanted(wanted: tuple[int, ...]) -> None:
    values = gradcore.randn(4, 6, 300, dtype=gradcore.float64), gradcore.randn(6).double(), gradcore.randn(6).double()
    leaves = [value.requires_grad_(i in wanted) for i, value in enumerate(values)]
    g = gradcore.randn(4, 6, 300).double()
    few = gradcore.autograd.grad(F.group_norm(leaves[0], 2, *leaves[1:]), [leaves[i] for i in wanted], g)
    every = [value.detach().requires_grad_() for value in values]
    plain = (every[0].reshape(4, 2, 900) - every[0].reshape(4, 2, 900).mean(2, keepdim=True)) * (
        every[0].reshape(4, 2, 900).var(2, correction=0, keepdim=True) + 1e-5
    ) ** -0.5
    out = plain.reshape(4, 6, 300) * every[1][:, None] + every[2][:, None]
    for mine, expected in zip(few, gradcore.autograd.grad(out, [every[i] for i in wanted], g), strict=True):
        np.testing.assert_allclose(mine.numpy(), expected.numpy(), rtol=1e-10, atol=1e-10)


def test_what_group_norm_returns_is_no_view_and_may_be_written_to() -> None:
    x = gradcore.randn(4, 6, 300, requires_grad=True)
    w, b = gradcore.ones(6, requires_grad=True), gradcore.zeros(6, requires_grad=True)
    out = F.group_norm(x, 2, w, b)
    assert out.grad_fn.name() == "NativeGroupNormBackward0"
    assert not out._is_view()
    out.relu_()
    out.sum().backward()
    (expected,) = gradcore.autograd.grad(F.group_norm(x, 2, w, b).relu().sum(), x)
    np.testing.assert_array_equal(x.grad.numpy(), expected.numpy())


@pytest.mark.parametrize("apply", [
    lambda x: F.layer_norm(x, (30,)),
    lambda x: F.group_norm(x, 2),
    lambda x: F.batch_norm(x, None, None, training=True),
    lambda x: F.rms_norm(x, (30,)),
    lambda x: F.instance_norm(x),
])  # fmt: skip
def test_what_is_normalised_without_weights_may_be_written_to(apply: Callable[[Any], Any]) -> None:
    x = gradcore.randn(4, 6, 30, requires_grad=True)
    (expected,) = gradcore.autograd.grad((apply(x) * 2).sin().sum(), x)
    (mine,) = gradcore.autograd.grad(apply(x).mul_(2).sin_().sum(), x)
    np.testing.assert_allclose(mine.numpy(), expected.numpy(), rtol=1e-5, atol=1e-6)


def test_the_buffers_of_ufuncs_are_small_in_operations_alone() -> None:
    before = np.getbufsize()
    noise = host.noise()
    host.quiet()
    within = np.getbufsize()
    host.unquiet(noise)
    assert (within, host.quietly(np.getbufsize), np.getbufsize()) == (1024, 1024, before)
    assert before != 1024


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (2, 3, 6), (0, 2, 2), (3, 0)], ids=str)
@pytest.mark.parametrize("pivot", [True, False])
@pytest.mark.parametrize("kind", ["d", "D"])
def test_elimination_is_one_with_lapack_and_without(shape: tuple[int, ...], pivot: bool, kind: str) -> None:
    rng = np.random.default_rng()
    a = rng.normal(size=shape).astype(kind)
    if kind == "D":
        a += 1j * rng.normal(size=shape)
    made, expected = host.eliminate(a, pivot), shared.eliminate(host, a, pivot)
    for mine, other in zip(made, expected, strict=True):
        assert (mine.dtype, mine.shape) == (other.dtype, other.shape)
        np.testing.assert_allclose(mine, other, rtol=1e-9, atol=1e-9)
    factors, _, rows = made
    k = min(shape[-2:])
    lower, upper = np.tril(factors[..., :k], -1) + np.eye(shape[-2], k), np.triu(factors[..., :k, :])
    np.testing.assert_allclose(lower @ upper, np.take_along_axis(a, rows[..., None], -2), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("kind", ["f", "d", "D"])
def test_triangles_are_solved_with_lapack_and_without(lower: bool, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng()
    a = ((np.tril if lower else np.triu)(rng.normal(size=(2, 6, 6))) + 4 * np.eye(6)).astype(kind)
    b = rng.normal(size=(2, 6, 3)).astype(kind)
    for _ in range(2):
        made = host.solve_triangular(a, b, lower)
        assert made.dtype == a.dtype
        np.testing.assert_allclose(a @ made, b, rtol=1e-4, atol=1e-4)
        a[1, 2, 2] = 0
        with pytest.raises(host.LinAlgError):
            host.solve_triangular(a, b, lower)
        a[1, 2, 2] = 4
        monkeypatch.setattr(lapack, "_scipy", lambda function, kind: None)


@pytest.mark.parametrize("kind", ["u1", "i1", "i2", "i4", "i8", "f4"])
@pytest.mark.parametrize("low", ["least", "most", "around 0"])
def test_distinct_of_many_that_are_close_and_of_some_that_are_not(kind: str, low: str) -> None:
    rng, info = np.random.default_rng(), np.iinfo(kind.replace("f", "i"))
    least = {"least": info.min, "most": info.max - 100, "around 0": max(info.min, -50)}[low]
    x = (rng.integers(0, 100, (20, 30)) + least).astype(kind)
    for far in (False, True):
        if far:
            x[3, 4], x[5, 6] = (info.min, info.max) if kind[0] != "f" else (-np.inf, np.inf)
        expected = np.unique(x, return_inverse=True, return_counts=True)
        made = gradcore.unique(gradcore.tensor(x), return_inverse=True, return_counts=True)
        for mine, other in zip((*made, gradcore.unique(gradcore.tensor(x))), (*expected, expected[0]), strict=True):
            np.testing.assert_array_equal(mine.numpy(), other)
        assert made[0].numpy().dtype == x.dtype
