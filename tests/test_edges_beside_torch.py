"""NaN, infinities, signed zeros and denormals beside torch: values and first gradients. It must not know primitives."""

from __future__ import annotations

from math import inf, nan
from operator import attrgetter
from typing import Any

import pytest

import gradcore

torch = pytest.importorskip("torch")

from tests.twin import Program, same  # noqa: E402


def pulled(m: Any, out: Any, *leaves: Any) -> list[Any]:
    """The result and the gradients of its sum, written out, for NaN goes everywhere in an expanded cotangent."""
    return [out, *m.autograd.grad(out, leaves, m.ones_like(out))]


def float64(m: Any, values: Any) -> Any:
    return m.tensor(values, dtype=m.float64, requires_grad=True)


def ignored_classes(m: Any, **options: Any) -> list[Any]:
    x = float64(m, [[-2.0, -1.5, -0.6], [inf, -1.9, 0.5], [nan, 1.0, 2.0]])
    target = m.tensor([2, 1, 1])
    results = []
    for reduction in ("mean", "sum", "none"):
        for weight in (None, m.tensor([1.0, 0.5, 2.0], dtype=m.float64)):
            loss = m.nn.functional.nll_loss(x, target, weight, ignore_index=1, reduction=reduction)
            results += pulled(m, loss, x)
            results += [m.nn.functional.cross_entropy(x, target, weight, ignore_index=1, reduction=reduction)]
    results.append(m.func.vmap(lambda x: m.nn.functional.nll_loss(x, target, ignore_index=1))(m.stack([x, 2 * x]).detach()))
    grads = m.func.vmap(m.func.grad(lambda x: m.nn.functional.nll_loss(x, target, ignore_index=1)))
    return [*results, grads(m.stack([x, 2 * x]).detach())]


def slopes_beside_what_cancels(m: Any) -> list[Any]:
    x = float64(m, [0.0, 1.0, inf, nan, 4.0, 5.0, 6.0, 2.0])
    return [
        *pulled(m, m.gradient(x, spacing=2.0, edge_order=2)[0], x),
        m.gradient(x, spacing=m.tensor(0.5))[0],
        m.gradient(x, spacing=(m.arange(8.0) ** 2,))[0],
        m.gradient(m.arange(5), spacing=2)[0],
    ]


def exponentials_of_a_batch(m: Any) -> list[Any]:
    large = m.eye(3, dtype=m.float64) * 12 + 1
    a = m.stack([large, m.full_like(large, nan), m.full_like(large, inf), large / 100]).requires_grad_()
    out = m.linalg.matrix_exp(a)
    finite = out[0] / 1e6, out[3]
    return [out[1:3], *finite, m.autograd.grad(sum(x.sum() for x in finite), a)[0][[0, 3]]]


def products_of_other_places(m: Any) -> list[Any]:
    x = float64(m, [[2.0, 3.0], [nan, 1.0], [inf, 0.5]])
    index = m.tensor([[0, 0], [0, 0], [0, 0]])
    out = m.ones(1, 2, dtype=m.float64).scatter_reduce(0, index, x, "prod")
    return [out, m.autograd.grad(out[0, 1], x)[0][:, 1]]


def poles_of_lgamma(m: Any) -> list[Any]:
    x = float64(m, [1e-310, -1e-310, 0.0, -0.0, -1.0, 2.5, inf, -inf, nan])
    return [m.lgamma(x), m.lgamma(m.tensor([1e-40, -1e-44, 0.0, 3.5]))]


def averages_of_nothing(m: Any) -> list[Any]:
    x, rows = float64(m, []), m.ones(0, 3, dtype=m.float64, requires_grad=True)
    out = rows.mean()
    first = m.autograd.grad(out, rows, create_graph=True)[0]
    return [*pulled(m, x.mean(), x), *pulled(m, rows.mean(0), rows), out, first, x.mean(-1, keepdim=True)]


def middles_of_nothing(m: Any) -> list[Any]:
    x = m.ones(0, 3, dtype=m.float64, requires_grad=True)
    empty = [m.empty(0, dtype=dtype) for dtype in (m.int64, m.uint8, m.float16)]
    others = [f(each) for each in empty for f in (m.median, m.nanmedian)]
    return [*pulled(m, m.median(x), x), *pulled(m, m.nanmedian(x), x), *others]


def numbers_turned_round(m: Any) -> list[Any]:
    x = float64(m, 3.0)
    return [*pulled(m, x.flip(-1), x), *pulled(m, m.flip(x, (0,)), x), x.flip(())]


def running_logarithms(m: Any) -> list[Any]:
    rows = [[0.0, inf, 1.0], [1.0, inf, inf], [-inf, 0.0, 1.0], [-inf, -inf, 0.0], [inf, 0.0, 1.0], [0.0, 1.0, nan]]
    x = float64(m, rows)
    return pulled(m, m.logcumsumexp(x, -1), x)


def parts_of_complex_numbers(m: Any) -> list[Any]:
    x, y = float64(m, [1.0, inf, nan, 2.0, -inf]), float64(m, [inf, 1.0, 2.0, -inf, nan])
    ones = m.tensor([1 + 1j] * 5)
    made = m.complex(x, y)
    return [m.view_as_real(made), *m.autograd.grad(made, (x, y), ones), m.view_as_real(m.polar(x, m.zeros_like(y)))]


def margins_of_nothing(m: Any) -> list[Any]:
    x, F = float64(m, [[1.0, nan, 2.0], [nan, 2.0, inf]]), m.nn.functional
    target, labels = m.tensor([1, 0]), m.tensor([[1, -1, 0], [0, 2, -1]])
    results = []
    for p in (1, 2):
        results += pulled(m, F.multi_margin_loss(x, target, p, reduction="none"), x)
        results += pulled(m, F.multi_margin_loss(x, m.tensor([0, 1]), p), x)
    return results + pulled(m, F.multilabel_margin_loss(x, labels), x)


def quantiles_out_of_range(m: Any) -> Any:
    return m.quantile(m.arange(3.0), m.tensor([0.5, nan]))


def targets_out_of_range(m: Any) -> Any:
    return m.nn.functional.binary_cross_entropy(m.tensor([0.5, 0.5]), m.tensor([0.0, 1.5]))


def no_definite_matrix(m: Any) -> Any:
    return m.linalg.cholesky(m.tensor([[4.0, nan], [nan, 3.0]], dtype=m.float64))


def no_definite_matrices(m: Any) -> list[Any]:
    x = m.tensor([[[4.0, nan], [nan, 3.0]], [[nan, 1.0], [1.0, 3.0]], [[4.0, 2.0], [2.0, 3.0]]], dtype=m.float64)
    factors, info = m.linalg.cholesky_ex(x)
    return [info, factors[2], m.linalg.cholesky(m.tensor([[4.0, nan], [2.0, 3.0]]))]


def powers_of_infinity(m: Any) -> list[Any]:
    x = float64(m, [2.0, inf, nan, -inf])
    return [m.linalg.vander(x, N=3), m.linalg.vander(x[:1], N=2)]


def the_other_triangle(m: Any) -> list[Any]:
    x = float64(m, [[2.0, nan], [1.0, 3.0]])
    b = m.tensor([[1.0], [2.0]], dtype=m.float64)
    return [m.cholesky_inverse(x), m.cholesky_inverse(x.T, upper=True), m.cholesky_solve(b, x)]


def columns_without_a_pivot(m: Any) -> list[Any]:
    tall = [[[0.0, 0.0]] * 3, [[0.0, 1.0], [0.0, 2.0], [0.0, 3.0]], [[1.0, 1.0]] * 3]
    batch = m.tensor(tall, dtype=m.float64)
    return [*m.linalg.lu(batch), *m.linalg.lu_factor_ex(batch), *m.linalg.lu(batch.mT), *m.linalg.lu(m.zeros(2, 2))]


def counts_of_differences(m: Any) -> list[Any]:
    x, y = float64(m, [[1.0, nan, 0.5], [inf, 0.0, 2.0]]), float64(m, [[1.0, 1.0, -inf], [inf, 0.0, nan]])
    return [*pulled(m, m.cdist(x, y, p=0), x, y), *pulled(m, m.nn.functional.pdist(x, p=0), x)]


def cubic_places_beside_infinity(m: Any) -> list[Any]:
    image = m.arange(16.0, dtype=m.float64).reshape(1, 1, 4, 4)
    image[0, 0, 1, 2] = inf
    image.requires_grad_()
    grid = float64(m, [[[[-0.9, 0.3], [0.2, -0.1]], [[0.45, 0.8], [-0.3, -0.7]]]])
    F = m.nn.functional
    made = [F.grid_sample(image, grid, "bicubic", padding, align_corners=False) for padding in ("zeros", "border")]
    return [each for out in made for each in pulled(m, out, image, grid)]


def nothing_to_solve(m: Any) -> Any:
    factors, pivots = -m.ones(3, 3) * inf, m.tensor([3, 3, 3], dtype=m.int32)
    return [m.linalg.lu_solve(factors, pivots, m.ones(3, 0)), m.linalg.solve_triangular(factors, m.ones(3, 0), upper=True)]


def norms_of_rows_with_nan(m: Any) -> list[Any]:
    x = float64(m, [[1.0, 2.0], [nan, 1.0], [3.0, 4.0], [inf, 1.0]])
    return [each for p in (1, 2) for each in pulled(m, m.renorm(x, p, 0, 3.0), x)]


def no_singular_values(m: Any) -> Any:
    return m.linalg.svdvals(m.tensor([[1.0, nan], [inf, 2.0], [0.0, 1.0]]))


def infinite_matrices(m: Any) -> list[Any]:
    x = m.tensor([[[1.0, 0.0], [inf, 2.0]], [[2.0, 0.0], [0.0, 1.0]]], dtype=m.float64)
    return [m.linalg.svdvals(x), m.linalg.pinv(x), m.linalg.matrix_norm(x, 2)]


def slopes_that_are_infinite(m: Any) -> list[Any]:
    x, weight = float64(m, [[1.0, -2.0, nan], [-0.0, inf, -inf]]), float64(m, [inf, nan, -inf])
    out = m.nn.functional.prelu(x, weight)
    return [out, m.autograd.grad(out, x, m.ones_like(out))[0]]


def neighbours_of_themselves(m: Any) -> list[Any]:
    x, y = (float64(m, each) for each in ([1.0, nan, inf, 0.0, 1.0, -0.0], [2.0, 1.0, inf, 1.0, nan, 0.0]))
    return pulled(m, m.nextafter(x, y), x, y)


def zero_pivot(m: Any) -> Any:
    return m.linalg.lu_factor(m.tensor([[1.0, 2.0], [2.0, 4.0]]))


def zero_pivots(m: Any) -> Any:
    return m.linalg.lu_factor(m.stack([m.eye(2), m.tensor([[1.0, 2.0], [2.0, 4.0]])]))


def zero_pivot_of_a_factor(m: Any) -> Any:
    return m.cholesky_inverse(m.tensor([[1.0, 0.0], [2.0, 0.0]]))


def margins_of_huge_numbers(m: Any) -> list[Any]:
    x, F = m.tensor([[1e30, 1e30, 2.0], [1e30, 2.0, -1e30]], dtype=m.float64), m.nn.functional
    target, labels = m.tensor([1, 0]), m.tensor([[1, -1, 0], [0, 2, -1]])
    return [F.multi_margin_loss(x, target, reduction="none"), F.multilabel_margin_loss(x, labels, reduction="none")]


def quantiles_of_infinities(m: Any) -> list[Any]:
    x, q = float64(m, [1.0, inf, 2.0, -inf]), float64(m, [0.1, 0.5, 0.8])
    results = []
    for how in ("linear", "midpoint", "nearest"):
        out = m.quantile(x, q, interpolation=how)
        results += [out, *m.autograd.grad(out, (x, q), m.ones_like(out), allow_unused=True)]
    return results


def bins_beside_huge_numbers(m: Any) -> list[Any]:
    rows = [[-1e30, -7.0, 3.0, 4.0], [1e30, -1e30, 3.0, 4.0], [0.0, -0.0, 1e-30, 1e-30]]
    return [m.histc(m.tensor(row, dtype=m.float64), bins=3) for row in rows]


PROGRAMS: list[Program] = [
    bins_beside_huge_numbers,
    quantiles_of_infinities,
    slopes_that_are_infinite,
    neighbours_of_themselves,
    zero_pivot,
    zero_pivots,
    zero_pivot_of_a_factor,
    margins_of_huge_numbers,
    no_singular_values,
    infinite_matrices,
    parts_of_complex_numbers,
    margins_of_nothing,
    quantiles_out_of_range,
    targets_out_of_range,
    no_definite_matrix,
    no_definite_matrices,
    powers_of_infinity,
    the_other_triangle,
    columns_without_a_pivot,
    counts_of_differences,
    cubic_places_beside_infinity,
    nothing_to_solve,
    norms_of_rows_with_nan,
    middles_of_nothing,
    numbers_turned_round,
    running_logarithms,
    averages_of_nothing,
    ignored_classes,
    slopes_beside_what_cancels,
    exponentials_of_a_batch,
    products_of_other_places,
    poles_of_lgamma,
]


def test_the_derivative_of_a_singular_qr_is_not_finite() -> None:
    for m in (torch, gradcore):
        x = float64(m, [[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]])
        q, r = m.linalg.qr(x)
        (g,) = m.autograd.grad(q.sum() + r.sum(), x)
        assert g.shape == (3, 2)
        assert not m.isfinite(g).any()


def test_the_svd_of_infinities_comes_to_an_end() -> None:
    x = gradcore.eye(3, dtype=gradcore.float64) - gradcore.full((3, 3), inf).tril(-1)  # LAPACK's own does not
    assert gradcore.linalg.svd(x).S.isnan().all()


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_what_is_not_finite_stays_where_it_is(program: Program) -> None:
    same(program, torch, rtol=1e-9, may_raise=True)


POINTS = (nan, inf, -inf, 0.0, -0.0, 1.0, -1.0, 0.5, 20.0, 30.0, -30.0, 800.0, -800.0, 1e-300)
# Where derivatives of the first to third order are not torch's, and why.
NOT_TORCHS = {
    "hardswish": "NaN where x is NaN, and not 1",
    "i0 i0e i1 i1e": "NaN where x is NaN; torch's third derivatives at 0 are 0. Ours cancel for the least of numbers",
    "lgamma gammaln multigammaln mvlgamma digamma psi polygamma": "poles are infinite, torch's are rounded, or NaN",
    "log_ndtr": "infinite at -inf, where torch's is NaN; its tails are rounded otherwise",
    "logit": "infinite at 0 of either sign",
    "logsigmoid": "1 less what is almost 1: rounded by torch above 0, by us below",
    "mish": "0, not NaN, where exp overflows",
    "nanmean": "0, not NaN, where nothing counts",
    "var": "NaN, not inf, where there is one value",
    "DoubleTensor Tensor normal poisson dropout alpha_dropout feature_alpha_dropout rrelu": "random, or no functions",
}
UNLIKE = {name for names in NOT_TORCHS for name in names.split()}


def of(m: Any, path: str) -> Any:
    return attrgetter(path)(m) if path else m


def derivatives(m: Any, function: Any, point: float) -> list[float]:
    x = m.tensor(point, dtype=m.float64, requires_grad=True)
    y, found = function(x), []
    assert y.requires_grad
    while len(found) < 3:
        y = m.autograd.grad(y, x, create_graph=True, allow_unused=True)[0] if y is not None and y.requires_grad else None
        found.append(0.0 if y is None else y.item())
    return found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", ["", "nn.functional", "special"])
def test_derivatives_up_to_the_third_at_edges_are_those_of_torch(path: str) -> None:
    compared = set()
    there, here = of(torch, path), of(gradcore, path)
    for name in dir(there):
        theirs, ours = getattr(there, name), getattr(here, name, None)
        if name.startswith(("_", "set_", "use_")) or "seed" in name or name in UNLIKE:  # what changes the process is none
            continue
        if not (callable(theirs) and callable(ours)):
            continue
        for point in POINTS:
            try:
                expected = derivatives(torch, theirs, point)
            except Exception:
                continue  # no function of one number, or of no derivative
            found = derivatives(gradcore, ours, point)
            for a, b in zip(found, expected, strict=True):
                assert a == pytest.approx(b, rel=1e-6, abs=1e-300, nan_ok=True), (name, point, found, expected)
            compared.add(name)
    assert len(compared) > 10
