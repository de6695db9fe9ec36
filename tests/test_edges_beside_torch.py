"""NaN, infinities, signed zeros and denormals beside torch: values and first gradients. It must not know primitives."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import pytest

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


PROGRAMS: list[Program] = [
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


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_what_is_not_finite_stays_where_it_is(program: Program) -> None:
    same(program, torch, rtol=1e-9)
