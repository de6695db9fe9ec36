"""Rarer operations against torch: values, dtypes, node names, gradients, errors. It must not know primitives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradcore

torch = pytest.importorskip("torch")

from tests import twin  # noqa: E402
from tests.functional import Space, evaluated  # noqa: E402
from tests.operands import COMPLEX, REAL, SPECIAL, WHOLE, assert_same, numbers, outcome, tensor_of  # noqa: E402

# -- pointwise: all dtypes -------------------------------------------------------------------------------------

ONE: dict[str, Callable[..., Any]] = {
    **{
        name: lambda m, x, name=name: getattr(m, name)(x)
        for name in "asinh acosh atanh exp2 sinc frac logit nan_to_num deg2rad rad2deg".split()
    },
    "logit(.2)": lambda m, x: m.logit(x, 0.2),
    "nan_to_num(1, 2, 3)": lambda m, x: m.nan_to_num(x, 1, 2, 3),
    "xlogy(x, 2)": lambda m, x: m.xlogy(x, 2),
    "xlogy(2., x)": lambda m, x: m.xlogy(2.0, x),
    "copysign(x, -1)": lambda m, x: m.copysign(x, -1),
    "addcmul(x, x, x)": lambda m, x: m.addcmul(x, x, x, value=2),
    "addcdiv(x, x, 2)": lambda m, x: m.addcdiv(x, x, x + 7),
    "lerp(x, x, .5)": lambda m, x: m.lerp(x, x * 2, 0.3),
}
GATES = "mish hardswish hardsigmoid softsign tanhshrink hardshrink softshrink".split()
ONE |= {name: lambda m, x, name=name: getattr(m.nn.functional, name)(x) for name in GATES}
ONE |= {"threshold": lambda m, x: m.nn.functional.threshold(x, 0.5, 2.5)}
TWO: dict[str, Callable[..., Any]] = {
    name: lambda m, x, y, name=name: getattr(m, name)(x, y)
    for name in "hypot logaddexp logaddexp2 fmax fmin xlogy copysign".split()
}


def beyond(name: str, dtype: str, other: str = "") -> bool:
    """Where we go further than torch, or torch's numbers are an accident."""
    dtypes = {dtype, other}
    if name == "copysign" and dtypes & {"bfloat16"}:
        return True  # the sign of a NaN
    if name == "tanhshrink" and dtype == "bool":
        return True
    return bool(dtypes & {"float16", "bfloat16"} and dtypes & set(COMPLEX))  # complex32


@pytest.mark.parametrize("name", ONE)
def test_functions_of_one_tensor_in_all_dtypes(name: str) -> None:
    rng = np.random.default_rng()
    for dtype in (*REAL, *COMPLEX, *WHOLE):
        if beyond(name, dtype):
            continue
        values = numbers(rng, dtype)
        for each in (values, values[4], values[:0]):
            theirs, ours = (outcome(ONE[name], m, tensor_of(m, each, dtype)) for m in (torch, gradcore))
            assert_same(ours, theirs, f"{name} of {dtype} {each}")


@pytest.mark.parametrize("name", TWO)
def test_functions_of_two_tensors_in_all_dtypes(name: str) -> None:
    rng = np.random.default_rng()
    for dtype in (*REAL, *COMPLEX, *WHOLE):
        for other in (*REAL, *COMPLEX, *WHOLE):
            if beyond(name, dtype, other):
                continue
            x, y = numbers(rng, dtype), numbers(rng, other)
            for a, b in ((x, y), (x, y[0]), (x[4], y)):
                theirs, ours = (
                    outcome(TWO[name], m, tensor_of(m, a, dtype), tensor_of(m, b, other)) for m in (torch, gradcore)
                )
                assert_same(ours, theirs, f"{name} of {dtype} {a} and {other} {b}")


@pytest.mark.parametrize("name", TWO)
def test_gradients_of_two_at_special_points(name: str) -> None:
    x, y = (each.ravel().tolist() for each in np.meshgrid(SPECIAL, SPECIAL))
    twin.same(
        lambda m: m.autograd.grad(
            TWO[name](m, *(points := [m.tensor(v, dtype=m.float64, requires_grad=True) for v in (x, y)])).sum(), points
        ),
        torch,
    )


@pytest.mark.parametrize("name", ONE)
def test_gradients_of_one_at_special_points(name: str) -> None:
    def program(m: Any) -> Any:
        special = SPECIAL[: -1 if name == "hardswish" else None]  # torch's slope of it at NaN is 1
        x = m.tensor([*special, -3.0, 3.0], dtype=m.float64, requires_grad=True)
        return m.autograd.grad(ONE[name](m, x).sum(), x)

    twin.same(program, torch)


# -- expressions: values, node names, gradients, errors --------------------------------------------------------

EXPRESSIONS = """
t(3).asinh() + (u(3) + 1).acosh()
u(3).xlogy(2.0)
torch.xlogy(2.0, u(3))
u(3).copysign(-2.0)
u(2, 3).lerp(t(3), 0.7)
u(2, 3).lerp(t(3), t(2, 1))
c(3).lerp(t(3), 1.0) - c(3)
t(3).addcmul(t(2, 3), t(2, 1), value=-2)
t(3).addcdiv(t(2, 3), u(2, 1), value=-2)
i(3, 3).addcmul(i(3, 3), i(3, 3), value=2.5)
(t(3) * 1).lerp_(t(3), 0.2)
(t(3) * 1).addcmul_(t(3), t(3))
F.glu(t(3, 4)) + F.glu(t(6, 2), 0)
F.prelu(t(2, 3, 4), t(3))
torch.prelu(t(3), t(1)) + t(3).prelu(t(1))
F.threshold(i(9, 4), 3, 7)
F.threshold(t(4) * 1, 0.5, -2.0, True)
F.threshold_(t(4) * 1, 0.5, -2.0)
torch.threshold(t(4), 0.5, -2.0)
F.hardswish(t(4) * 1, inplace=True)
F.hardsigmoid(t(4) * 1, inplace=True)
F.mish(t(4) * 1, inplace=True)
t(3).hardshrink() + torch.hardshrink(t(3), 0.2)
F.rrelu(t(3), 0.1, 0.5)
(torch.manual_seed(3), F.rrelu(t(20), 0.1, 0.5, True))[1]
(torch.manual_seed(3), torch.rrelu_(t(2, 9, dtype="float32") * 1, 0.1, 0.5, True))[1]
F.cosine_similarity(t(2, 3), t(3), 1) + torch.cosine_similarity(t(2, 3), t(2, 1), -1)
F.cosine_similarity(t(2, 3), x([0, 0, 0]), 1)
F.pairwise_distance(t(2, 3), t(3), 1.5, keepdim=True)
F.huber_loss(x([0, 1, 2.5]), c(3) * 0, delta=1.0)
F.huber_loss(t(3), t(3), "sum", 0.5, c(3))
F.smooth_l1_loss(x([0, 1, 2.5]), c(3) * 0, reduction="none")
F.smooth_l1_loss(t(2, 3), t(3), beta=0.3)
F.smooth_l1_loss(t(3), t(3), beta=0)
F.kl_div(t(2, 3), u(2, 3), reduction="batchmean") + F.kl_div(t(2, 3), t(2, 3), log_target=True)
F.kl_div(t(2), x([0, 1]), reduction="sum")
F.triplet_margin_loss(t(2, 3), t(2, 3), t(2, 3), swap=True, reduction="none")
F.triplet_margin_with_distance_loss(t(2, 3), t(2, 3), t(2, 3), distance_function=lambda a, b: (a - b).abs().sum(-1))
F.margin_ranking_loss(t(3), t(3), c(3), 0.5)
F.hinge_embedding_loss(t(4), i(2, 4) * 2 - 1)
F.cosine_embedding_loss(t(4, 3), t(4, 3), i(2, 4) * 2 - 1, 0.2)
F.soft_margin_loss(t(4), c(4))
F.multilabel_soft_margin_loss(t(4, 3), c(4, 3), c(3), reduction="none")
F.poisson_nll_loss(t(4), u(4) * 4, full=True) + F.poisson_nll_loss(u(4), u(4), False)
F.gaussian_nll_loss(t(4, 2), t(4, 2), u(4), full=True) + F.gaussian_nll_loss(t(2), t(2), 0.5)
F.gaussian_nll_loss(t(2), t(2), x([0, 1]))
"""

REFUSED = """
u(3).lerp(t(3, dtype="float32"), 0.7)
i(3, 3).lerp(i(3, 3), 0.5)
i(3, 3).addcdiv(i(3, 3), i(3, 3))
F.glu(t(3, 3))
F.prelu(t(2, 3), t(2))
F.prelu(t(2, 3), t(3, dtype="float32"))
F.softshrink(t(4), -1)
F.mish(i(3, 4))
F.rrelu(t(3), 0.5, 0.1)
F.cosine_similarity(i(3, 3), i(3, 3), 0)
F.huber_loss(t(3), t(3), "none", 0)
F.huber_loss(i(3, 3), i(3, 3))
F.smooth_l1_loss(t(3), t(3), beta=-1)
F.kl_div(t(2), u(2), reduction="bad")
F.triplet_margin_loss(t(2, 3), t(3), t(2, 3))
F.triplet_margin_loss(t(2, 3), t(2, 3), t(2, 3), margin=-1)
F.margin_ranking_loss(t(3), t(3), c(3, 1), 0.5)
F.cosine_embedding_loss(t(4, 3), t(4, 3), i(2, 4, 1))
F.soft_margin_loss(t(4), t(4))
F.gaussian_nll_loss(t(4, 2), t(4, 2), u(3))
F.gaussian_nll_loss(t(2), t(2), x([-1, 1]))
"""


@pytest.mark.parametrize("expression", EXPRESSIONS.strip().splitlines())
def test_expressions(expression: str) -> None:
    twin.same(lambda m: evaluated(expression, Space(m)), torch)


@pytest.mark.parametrize("expression", REFUSED.strip().splitlines())
def test_what_is_refused(expression: str) -> None:
    twin.same(lambda m: evaluated(expression, Space(m)), torch, words=1, may_raise=True)
