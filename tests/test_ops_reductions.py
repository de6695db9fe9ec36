"""Reductions, running, sorted and exponential ones, norms and counts against torch and against their own laws."""

from __future__ import annotations

import copy
import itertools
import math
import pickle
from typing import Any

import numpy as np
import pytest

import gradcore

torch = pytest.importorskip("torch")

from tests.twin import same  # noqa: E402

inf, nan = math.inf, math.nan


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng()


def data(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """x: any numbers; t: many ties; z: zeros among them; n: NaN among them; i, b: whole, logical; c: complex; e: none."""
    z = rng.normal(size=(3, 4))
    z[0, 1] = z[2, 0] = z[2, 3] = 0
    n = rng.normal(size=(3, 4))
    n[1, 2] = n[2, 0] = nan
    return {
        "x": rng.normal(size=(2, 3, 4)),
        "v": rng.normal(size=5),
        "s": rng.normal(size=()),
        "t": rng.integers(0, 3, size=(3, 5)).astype(float),
        "z": z,
        "n": n,
        "i": rng.integers(-3, 4, size=(3, 4)),
        "u": rng.integers(0, 200, size=(3, 4)).astype(np.uint8),
        "b": rng.integers(0, 2, size=(3, 4)).astype(bool),
        "c": rng.normal(size=(3, 4)) + 1j * rng.normal(size=(3, 4)),
        "h": rng.normal(size=(3, 4)).astype(np.float16),
        "e": rng.normal(size=(0, 3)),
    }


def run(expression: str, arrays: dict[str, np.ndarray], grad: bool = False) -> Any:
    """A program: what the expression gives; with `grad` also the first and the second gradient of x, v, ...."""

    def program(L: Any) -> Any:
        names = {name: L.from_numpy(a.copy()) for name, a in arrays.items()}
        leaves = [x.requires_grad_() for name, x in names.items() if grad and name in "xvstznce"]
        result = eval(expression, {"L": L, "inf": inf, **names})
        if not grad:
            return result
        # A second gradient that is not there and one that is zero are the same number.
        outs = [o for o in (result if isinstance(result, tuple) else (result,)) if o.requires_grad]
        if not outs:
            return result
        total = sum((o.abs() if o.is_complex() else o).sin().sum() for o in outs)
        first = [g for g in L.autograd.grad(total, leaves, create_graph=True, allow_unused=True) if g is not None]
        again = sum((g.abs() if g.is_complex() else g).sin().sum() for g in first)
        second = L.autograd.grad(again, leaves, allow_unused=True) if again.requires_grad else []
        return result, [g.detach() for g in first], [g for g in second if g is not None and bool((g != 0).any())]

    return program


OVER_AXES = [
    f"{x}.{call}"
    for x, call in itertools.product(
        ("x", "s", "e", "c"),
        (
            "sum()", "sum(-1)", "sum((0, -1), keepdim=True)", "sum(dim=())", "sum(dim=(0,), dtype=None)",
            "mean()", "mean(0)", "mean(dim=-1, keepdim=True)",
            "var()", "var(-1)", "var(0, correction=0)", "var(False)", "var(-1, False, True)", "std()",
            "std(-1, keepdim=True)",
            "prod()", "prod(0)", "prod(-1, keepdim=True)", "logsumexp(-1)", "logsumexp(0, keepdim=True)",
            "cumsum(0)", "cumsum(-1)", "cumprod(0)", "cumprod(-1)", "norm()", "norm(dim=-1)", "norm(p=3, dim=0)",
        ),
    )
]  # fmt: skip

ORDERED = [
    f"{x}.{call}"
    for x, call in itertools.product(
        ("x", "t", "s", "n"),
        (
            "amax()", "amax(-1)", "amin(0, keepdim=True)", "max()", "min()", "max(-1)", "min(0, keepdim=True)",
            "aminmax()", "aminmax(dim=-1)", "argmax()", "argmin(-1)", "argmax(0, keepdim=True)",
            "sort()", "sort(0, descending=True)", "sort(dim=-1, stable=True)", "argsort(0)", "msort()",
            "median()", "median(-1)", "nanmedian()", "nanmedian(0, keepdim=True)",
            "cummax(0)", "cummin(-1)", "nansum()", "nansum(-1)", "nanmean(0)",
            "quantile(.3)", "quantile(.5, dim=-1, keepdim=True)", "nanquantile(.7, dim=0)",
            "softmax(-1)", "log_softmax(0)", "logcumsumexp(-1)", "std(-1)", "norm(inf, -1)", "norm(-inf, -1)",
        ),
    )
]  # fmt: skip

OTHERS = [
    "x.max(x - .1)", "L.min(x, other=-x)", "v.topk(3)", "v.topk(2, largest=False)", "x.topk(2, dim=1)", "v.kthvalue(2)",
    "x.kthvalue(1, 0, True)", "z.prod()", "z.prod(0)", "z.prod(-1)", "z.cumprod(0)", "z.cumprod(1)", "z[:, :1].prod(0)",
    "L.var_mean(x, 0)", "L.std_mean(x, correction=2)", "L.var_mean(x, unbiased=False)", "t.mode()", "t.mode(0, True)",
    "z.norm(1)", "z.norm(1.5, -1)", "z.norm(.5)", "z.norm(4, 0, True)", "(z * 0).norm()", "(z * 0).norm(1)",
    "(z * 0).norm(3)", "(z * 0).norm(inf)", "(z * 0).std()", "L.ones(3, 4).std(0) * s",
    *(f"L.linalg.norm(z{o})" for o in ("", ", 2", ", 'nuc'", ", inf, (0, 1)", ", 1, 0", ", -2", ", dim=-1")),
    *(f"L.linalg.matrix_norm(x{o})" for o in ("", ", 1", ", -inf, (0, 1), True", ", 2, keepdim=True", ", 'nuc', (2, 0)")),
    "L.linalg.vector_norm(x, 5, (0, 2))", "L.linalg.vector_norm(c, 3)",
    "L.diff(x)", "L.diff(x, 2, 0)", "L.diff(z, dim=1, prepend=z[:, :1], append=z[:, 1:2])", "L.trapezoid(x, dx=.5, dim=0)",
    "L.trapezoid(x)", "L.trapezoid(z, z.cumsum(0), dim=0)", "L.cumulative_trapezoid(x, L.arange(3), dim=1)",
    "L.cumulative_trapezoid(z, dx=2)", "z.cov()", "L.cov(x[0], correction=0, aweights=v[:4] * v[:4])", "v.cov()",
    "L.cov(z, fweights=L.tensor([1, 2, 0, 3]))", "z.corrcoef()", "L.dist(x, z, 3)", "x.renorm(2, 1, .5)", "L.cov(c)",
    "L.gradient(x, edge_order=2, dim=(1, 2))", "L.gradient(z, spacing=.5)", "L.gradient(z, spacing=[2., .1], dim=(1, 0))",
    "L.gradient(z, spacing=(L.arange(4.) ** 2,), dim=1, edge_order=2)", "x.sum_to_size(3, 1)", "x.sum_to_size((2, 1, 4))",
    *(f"L.masked.{name}(z, 1, mask=z > -.3)" for name in (
        "sum", "prod", "amax", "amin", "mean", "var", "std", "median", "logsumexp", "cumsum", "cumprod", "argmax",
    )),
    *(f"L.masked.{name}(z, 0, mask=L.ones(3, 1, dtype=L.bool))" for name in ("softmax", "log_softmax", "softmin")),
    "L.masked.norm(x, 3, (0, 1), mask=z < .2)", "L.masked.normalize(x, 2, -1, mask=z < .2)", "L.masked.mean(x)",
    "L.masked.std(x, (0, 2), correction=0)", "L.masked.logaddexp(v, v.flip(0))", "L.masked.prod(x, (0, -1), keepdim=True)",
    "x.softmax(0, dtype=L.float32)", "x.quantile(L.tensor([.2, .9], dtype=L.float64), dim=1)",
    "x.quantile(.31, interpolation='nearest')", "x.quantile(.31, 0, interpolation='midpoint')",
]  # fmt: skip

PLAIN = [
    *(f"{x}.{call}" for x, call in itertools.product("iub", (
        "sum()", "sum(0)", "sum(dtype=L.uint8)", "sum(0, dtype=L.float32)", "prod()", "prod(-1)", "prod(0, dtype=L.int32)",
        "cumsum(0)", "cumprod(1)", "cumsum(0, dtype=L.uint8)", "amax(0)", "max()", "min(1)",
        "sort(dim=1, stable=True)", "cummax(1)", "argmax()", "logsumexp(0)", "all()", "any(0)", "all(1, keepdim=True)",
        "count_nonzero()", "count_nonzero((0, 1))", "unique()", "median()", "topk(2)[0]", "kthvalue(1)[0]", "mode()[0]",
        "mean()", "var()", "softmax(0)", "softmax(0, dtype=L.float32)", "norm()", "quantile(.5)", "nansum()", "nanmean()",
    ))),
    *(f"h.{call}" for call in ("sum()", "mean(0)", "var(1)", "std()", "prod(0)", "softmax(1)", "logsumexp(0)", "norm()")),
    "(u * 0 + 200).half().sum(0)", "L.ones(70000, dtype=L.float16).mean()",
    *(f"t.unique({o})" for o in ("", "return_inverse=True, return_counts=True", "dim=0", "dim=1, return_inverse=True")),
    *(f"t.unique_consecutive({o})" for o in ("", "True, True", "dim=1", "return_counts=True, dim=0")),
    "n.unique()", "u.flatten().long().bincount()", "u.flatten().bincount(u.flatten().double() / 3, minlength=300)",
    "L.bucketize(x, L.tensor([-1., 0, .5], dtype=L.float64), right=True)", "L.bucketize(.2, L.tensor([0, .1, .3]))",
    "L.searchsorted(v.sort()[0], x, out_int32=True)", "L.searchsorted(x.sort()[0], x - .2, side='right')",
    "L.searchsorted(t, t + 1, sorter=t.argsort(stable=True))", "L.isin(t, L.tensor([1., 7], dtype=L.float64))",
    "L.isin(1, i)", "L.isin(i, 2, invert=True)", "x.histc(7)", "x.histc(5, -1, 1)", "v.histogram(4)",
    "v.histogram(3, range=(-1., 1.), density=True, weight=v * v)", "v.histogram(L.tensor([-1., 0, 2], dtype=L.float64))",
    "x.sum(axis=0, keepdims=True)", "x.amax(axis=(0, 1))", "x.norm(dim=[])", "z.norm(0)",
    "L.linalg.vector_norm(c, 0, (0, 1), True)", "b.diff()", "v.corrcoef()",
    "L.masked.sum(i, 0, mask=b)", "L.masked.amax(i, mask=b)", "L.masked.argmin(i, 0, mask=b)",
    "str(x.max(0).indices.dtype)",
]  # fmt: skip

REFUSED = [
    "x.sum(3)", "x.sum((0, 0))", "x.mean((1, -2))", "s.sum(1)", "i.mean()", "x.mean(dtype=L.int64)", "i.var()", "b.std(0)",
    "e.max()", "e.max(0)", "e.amax(0)", "e.amin()", "e.aminmax()", "e.argmax()", "e.argmin(0)", "e.median(0)", "e.mode(0)",
    "e.kthvalue(1, 0)", "c.max()", "c.min(0)", "c.amax()", "c.argmax()", "c.argsort()", "c.sort()", "c.median()", "c.mode()",
    "c.cummax(0)", "c.topk(1)", "b.topk(1)", "x.topk(5)", "x.topk(-1)", "x.kthvalue(0)", "x.kthvalue(5)", "c.nansum()",
    "x.logsumexp(3)", "x.softmax(-4)", "i.softmax(0)", "c.log_softmax(0)", "i.logcumsumexp(0)", "x.cumsum(7)", "i.norm()",
    "x.norm(dtype=L.int64)", "x.norm(dtype=L.float32)", "c.norm(dtype=L.float64)", "L.linalg.vector_norm(e, inf)",
    "L.linalg.vector_norm(e, -1, 0)", "L.linalg.norm(x, 2)", "L.linalg.norm(x, dim=(0, 1, 2))", "L.linalg.norm(z, 3)",
    "L.linalg.matrix_norm(v)", "L.linalg.matrix_norm(z, 'a')", "L.linalg.matrix_norm(z, dim=(0, 0))", "x.norm('nuc')",
    "L.linalg.matrix_norm(z, dim=(0,))", "x.bincount()", "i.bincount()", "(i - 9).flatten().bincount()", "i.histc()",
    "L.ones(3, dtype=L.int64).bincount(v)", "L.ones(3, dtype=L.int64).bincount(minlength=-1)", "x.histc(0)",
    "x.histc(3, 2, 1)", "n.histc(3)", "i.histogram(3)", "v.histogram(0)", "L.bucketize(x, z)", "L.searchsorted(s, x)",
    "L.searchsorted(z, v)", "L.searchsorted(z, 2)", "L.searchsorted(v, x, side='middle')", "x.sum(out=5)",
    "L.searchsorted(v, x, side='left', right=True)", "L.searchsorted(v, x, sorter=v)", "L.isin(c, c)", "L.isin(b, b)",
    "x.quantile(1.5)", "x.half().quantile(.5)", "e.quantile(.5)", "x.quantile(.5, interpolation='best')",
    "x.unique(dim=3)", "x.max(0, out=(x[0], x[0]))", "L.sum([1, 2])", "L.max([1, 2])", "L.softmax(3, 0)", "L.all(None)",
    "s.diff()", "x.sum_to_size(5)", "L.gradient(x, edge_order=3)", "L.gradient(x[:1])",
    "x.diff(-1)", "L.masked.mean(i, 0)", "L.trapezoid(b)",
    "L.trapezoid(x, v)", "x.cov()", "b.cov()", "z.cov(fweights=v)", "z.cov(aweights=v)", "x.corrcoef()", "x.renorm(0, 0, 1)",
    "v.renorm(2, 0, 1)", "x.renorm(2, 0, -1)",
    "L.cumsum(x, 0, out=L.ones(2, 3, 4).long(), dtype=L.float64)", "L.softmax(x, 0, out=L.ones(2, 3, 4))",
]  # fmt: skip


@pytest.mark.parametrize("expression", OVER_AXES + ORDERED + OTHERS)
def test_values_first_and_second_gradients_are_torchs(expression: str, rng: np.random.Generator) -> None:
    refused_by_both = expression.startswith(("e.max", "e.min", "e.a", "e.med", "e.quant"))
    same(run(expression, data(rng), grad=not refused_by_both), torch, rtol=1e-6, may_raise=True)


@pytest.mark.parametrize("expression", PLAIN)
def test_values_and_dtypes_are_torchs(expression: str, rng: np.random.Generator) -> None:
    same(run(expression, data(rng)), torch, rtol=2e-3 if expression.startswith(("h.", "(u")) else 1e-6, may_raise=True)


@pytest.mark.parametrize("expression", REFUSED)
def test_what_torch_refuses_is_refused_with_its_type(expression: str, rng: np.random.Generator) -> None:
    given = data(rng)
    same(run(expression, given), torch, words=0, may_raise=True)


HALVES = [e for e in OVER_AXES + ORDERED if e.startswith("x.") and "sort" not in e and "quantile" not in e]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("expression", HALVES)
def test_gradients_of_halves_are_halves_of_torchs_size(expression: str, dtype: str, rng: np.random.Generator) -> None:
    values = rng.choice(np.arange(-32, 32) / 16, size=(2, 3, 4), replace=False)  # no ties, nothing to round

    def program(L: Any) -> Any:
        x = L.from_numpy(values.copy()).to(getattr(L, dtype)).requires_grad_()
        result = eval(expression, {"L": L, "inf": inf, "x": x})
        outs = [o for o in (result if isinstance(result, tuple) else (result,)) if o.requires_grad]
        if not outs:
            return result
        grads = L.autograd.grad([o.sum() for o in outs], [x], create_graph=True)
        return [(str(o.dtype), o.detach().double() / 64) for o in (*outs, *grads)]

    same(program, torch, rtol=0.02)


# -- laws, without torch's derivatives ---------------------------------------------------------------------------


def product_of_others(x: np.ndarray, *without: int) -> float:
    return float(np.prod([v for i, v in enumerate(x) if i not in without]))


@pytest.mark.parametrize("places", [(), (1,), (0, 3), (0, 1, 4), (0, 1, 2, 3, 4)])
def test_derivatives_of_a_product_are_products_of_the_other_factors(places: tuple[int, ...], rng: Any) -> None:
    values = rng.normal(size=5)
    values[list(places)] = 0
    x = gradcore.from_numpy(values.copy()).requires_grad_()
    (first,) = gradcore.autograd.grad(x.prod(), x, create_graph=True)
    np.testing.assert_allclose(first.detach().numpy(), [product_of_others(values, i) for i in range(5)], rtol=1e-12)
    for i in range(5):
        (row,) = gradcore.autograd.grad(first[i], x, create_graph=True)
        expected = [0.0 if i == j else product_of_others(values, i, j) for j in range(5)]
        np.testing.assert_allclose(row.detach().numpy(), expected, rtol=1e-12)
        for j in range(5):
            (third,) = gradcore.autograd.grad(row[j], x, retain_graph=True)
            expected = [0.0 if len({i, j, k}) < 3 else product_of_others(values, i, j, k) for k in range(5)]
            np.testing.assert_allclose(third.numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("places", [(), (2,), (0, 3)])
def test_derivatives_of_running_products_are_those_of_products(places: tuple[int, ...], rng: Any) -> None:
    values = rng.normal(size=6)
    values[list(places)] = 0
    weights = gradcore.from_numpy(rng.normal(size=6))
    runs, products = (gradcore.from_numpy(values.copy()).requires_grad_() for _ in range(2))
    pairs = []
    for x, y in ((runs, runs.cumprod(0)), (products, gradcore.stack([products[: k + 1].prod() for k in range(6)]))):
        (first,) = gradcore.autograd.grad((y * weights).sum(), x, create_graph=True)
        (second,) = gradcore.autograd.grad((first * weights.flip(0)).sum(), x)
        pairs.append((first.detach().numpy(), second.numpy()))
    np.testing.assert_allclose(pairs[0], pairs[1], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("shift", [0.0, 1e4, -1e4])
def test_exponentials_do_not_overflow(shift: float, rng: np.random.Generator) -> None:
    special = pytest.importorskip("scipy.special")
    values = rng.normal(size=(3, 7)) * 5 + shift
    x = gradcore.from_numpy(values)
    for name in ("softmax", "log_softmax"):
        # The logarithm of what is almost 1 is the rounding error of the sum, which is in another order.
        np.testing.assert_allclose(getattr(x, name)(1).numpy(), getattr(special, name)(values, 1), rtol=1e-10, atol=1e-15)
    np.testing.assert_allclose(x.logsumexp(1).numpy(), special.logsumexp(values, 1), rtol=1e-12)
    np.testing.assert_allclose(x.logcumsumexp(1)[:, -1].numpy(), special.logsumexp(values, 1), rtol=1e-12)


def test_sums_of_many_small_numbers_keep_their_digits(rng: np.random.Generator) -> None:
    values = rng.random(2**20).astype(np.float32)
    exact = math.fsum(values.tolist())
    for x, dim in ((values, None), (values.reshape(-1, 4), 1), (values.reshape(1024, 1024), 1)):
        total = float(gradcore.from_numpy(x).sum(dim).double().sum())
        assert abs(total - exact) <= 1e-6 * exact
    halves = np.full(5000, 1.0, np.float16)
    assert gradcore.from_numpy(halves).sum().item() == 5000.0
    assert gradcore.from_numpy(np.full(70000, 1.0, np.float16)).mean().item() == 1.0


@pytest.mark.parametrize("largest", [True, False])
def test_a_few_of_many_are_those_that_sorting_finds(largest: bool, rng: np.random.Generator) -> None:
    x = gradcore.from_numpy(rng.permutation(3000).reshape(2, 500, 3).astype(np.float64))
    values, indices = x.topk(7, 1, largest)
    ordered, order = x.sort(1, largest)
    assert bool((values == ordered[:, :7]).all())
    assert bool((indices == order[:, :7]).all())
    spoiled = np.where(rng.random(400) < 0.01, nan, rng.integers(0, 9, size=400))
    values, indices = gradcore.from_numpy(spoiled).topk(20, largest=largest)
    np.testing.assert_equal(values.numpy(), torch.from_numpy(spoiled).topk(20, largest=largest).values.numpy())
    np.testing.assert_equal(spoiled[indices.numpy()], values.numpy())
    assert len(set(indices.tolist())) == 20


def test_ties_share_the_gradient_of_an_extremum_of_all_and_the_first_takes_that_of_a_dimension() -> None:
    def gradient(f: Any) -> list[float]:
        x = gradcore.tensor([1.0, 3.0, 3.0, 1.0, 2.0], requires_grad=True)
        f(x).backward()
        return x.grad.tolist()  # type: ignore[union-attr, no-any-return]

    for name, high, low in (("max", [0.0, 0.5, 0.5, 0, 0], None), ("min", None, [0.5, 0, 0, 0.5, 0])):
        expected = high or low
        assert gradient(lambda x, name=name: getattr(x, name)()) == expected
        assert gradient(lambda x, name=name: getattr(x, f"a{name}")()) == expected
        first = [float(v != 0 and i == expected.index(0.5)) for i, v in enumerate(expected)]  # type: ignore[union-attr]
        assert gradient(lambda x, name=name: getattr(x, name)(0).values) == first
    assert gradient(lambda x: x.sort(descending=True)[0][0]) == [0, 1, 0, 0, 0]
    assert gradient(lambda x: x.topk(1)[0][0]) == [0, 1, 0, 0, 0]


def test_a_large_constant_gradient_takes_no_memory_on_its_way() -> None:
    seen: list[Any] = []
    x = gradcore.ones(1000, 1000, requires_grad=True)
    y = x * 1.0
    y.register_hook(lambda g: seen.append(g._array.strides))
    y.mean().backward()
    assert seen == [(0, 0)]
    assert x.grad is not None
    assert x.grad._array.strides == (4000, 4)


# -- named results -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("expression", ["x.max(0)", "v.sort()", "v.topk(1)", "v.aminmax()", "v.histogram(2)", "v.cummin(0)"])
def test_named_results_look_like_torchs(expression: str, rng: np.random.Generator) -> None:
    given = data(rng)
    same(run(f"repr({expression})", given), torch, may_raise=True)
    for name in ("values", "indices", "min", "hist", "n_such_thing"):
        same(run(f"{expression}.{name}", given), torch, words=0, may_raise=True)


def test_named_results_are_tuples_that_copy_and_pickle() -> None:
    result = gradcore.tensor([[3.0, 1.0], [2.0, 5.0]]).max(0)
    values, indices = result
    assert result == (values, indices)
    assert result.values is values
    for again in (copy.copy(result), pickle.loads(pickle.dumps(result)), copy.deepcopy(result)):
        assert type(again) is type(result)
        assert again.indices.tolist() == [0, 1]
    kind = type(result)
    match result:
        case kind(_, where):
            assert where is indices
    with pytest.raises(TypeError, match="2-sequence"):
        type(result)([values])
    with pytest.raises(AttributeError):
        result.values = indices  # type: ignore[misc]


# -- out= ----------------------------------------------------------------------------------------------------------


def test_out_is_left_alone_by_a_call_that_fails(rng: np.random.Generator) -> None:
    x = gradcore.from_numpy(rng.normal(size=(3, 4)))
    values, indices = gradcore.zeros(4, dtype=gradcore.float64), gradcore.zeros(4)
    with pytest.raises(RuntimeError):
        gradcore.sort(x, 0, out=(values, indices.int()))
    with pytest.raises(RuntimeError, match="dtype"):
        gradcore.aminmax(x, dim=0, out=(values, indices))
    with pytest.raises(RuntimeError, match="dtype"):
        gradcore.softmax(x, 0, out=indices)
    assert values.tolist() == indices.tolist() == [0.0] * 4


def test_out_takes_what_needs_gradients_where_the_result_does_not() -> None:
    x = gradcore.tensor([1.0, 3.0, 2.0], requires_grad=True)
    assert gradcore.argmax(x, out=gradcore.tensor(7)).item() == 1
    assert gradcore.bucketize(x, gradcore.tensor([1.5]), out=gradcore.zeros(3, dtype=gradcore.int64)).tolist() == [0, 1, 1]
    kept = gradcore.zeros(())
    with pytest.raises(RuntimeError, match=r"out=\.\.\. arguments don't support automatic differentiation"):
        gradcore.sum(x, out=kept)
    assert kept.item() == 0
    with gradcore.no_grad():
        assert gradcore.sum(x, out=kept).item() == 6


# -- another device ------------------------------------------------------------------------------------------------

ON_DEVICE = [e for e in OVER_AXES + ORDERED + OTHERS if e.startswith(("x.", "t.", "z.", "L.var", "L.linalg"))][::3]


@pytest.mark.parametrize("expression", ON_DEVICE)
def test_a_device_gives_the_same(expression: str, strict_cuda: Any, rng: np.random.Generator) -> None:
    results = []
    for device in ("cpu", "cuda"):
        given = {name: gradcore.from_numpy(a.copy()).to(device) for name, a in data(np.random.default_rng(3)).items()}
        x = {name: given[name].requires_grad_() for name in "xvstzn"}
        result = eval(expression, {"L": gradcore, "inf": inf, **given, **x})
        outs = result if isinstance(result, tuple) else (result,)
        roots = [o.abs().sin().sum() for o in outs if o.requires_grad]
        grads = gradcore.autograd.grad(roots, list(x.values()), allow_unused=True) if roots else ()
        assert all(o.device.type == device for o in (*outs, *grads) if o is not None)
        results.append([o.detach().cpu().numpy() for o in (*outs, *grads) if o is not None])
    for ours, host in zip(*results, strict=True):
        np.testing.assert_allclose(ours, host, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
@pytest.mark.parametrize("dim", [0, 1, 2])
def test_products_of_many_rows_have_torchs_derivatives(dim: int, dtype: str) -> None:
    numbers = np.random.default_rng().normal(size=(4, 5, 130))  # of which rows along `dim` are few, or many
    numbers[1, 2, 3] = numbers[0, 2, 3] = 0
    found = []
    for library in (gradcore, torch):
        x = library.tensor(numbers.tolist(), dtype=getattr(library, dtype), requires_grad=True)
        y = x.cumprod(dim)
        (g,) = library.autograd.grad((y * y.detach().cos()).sum().abs(), x, create_graph=True)
        (h,) = library.autograd.grad((g * x.detach().sin()).sum().abs(), x)
        found.append([each.detach().numpy() for each in (y, g, h)])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3 if dtype == "float32" else 1e-9, atol=1e-4)


@pytest.mark.parametrize("reverse", [False, True])
def test_wide_recurrences_are_what_a_loop_computes_and_infinities_stay_in_their_row(reverse: bool) -> None:
    from gradcore.primitives.cumulative import recurrence

    rng = np.random.default_rng()
    a, b = rng.normal(size=(3, 6, 50)), rng.normal(size=(3, 7, 50))
    a[0, 2, 5], b[1, 3, 7] = np.inf, np.nan
    order = range(5, -1, -1) if reverse else range(1, 7)
    expected = b.copy()
    for k in order:
        expected[:, k] += a[:, k] * expected[:, k + 1] if reverse else a[:, k - 1] * expected[:, k - 1]
    got = recurrence(gradcore.tensor(a), gradcore.tensor(b), axis=1, reverse=reverse).numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    assert np.isfinite(got[2]).all()
