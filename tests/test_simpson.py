"""Simpson's rule beside SciPy's, its derivatives beside differences. It must not know how it is computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import integrate

import gradcore

RNG = np.random.default_rng()


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 9])
@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("points", ["dx", "vector", "same"])
def test_integrals_are_scipys(n: int, axis: int, points: str) -> None:
    shape = (n, 3) if axis == 0 else (2, n)
    y, x = RNG.normal(size=shape), np.sort(RNG.uniform(0, 9, size=shape), axis)
    options: dict[str, Any] = {"dx": 0.7} if points == "dx" else {"x": x if points == "same" else np.arange(n) ** 1.5}
    ours = {k: gradcore.tensor(v) if k == "x" else v for k, v in options.items()}
    t = gradcore.tensor(y, requires_grad=True)
    if n > 1:
        expected = integrate.cumulative_simpson(y, axis=axis, **options)
        np.testing.assert_allclose(gradcore.cumulative_simpson(t, axis=axis, **ours).detach().numpy(), expected, rtol=1e-10)
        expected = integrate.cumulative_simpson(y, axis=axis, initial=1.5, **options)
        got = gradcore.cumulative_simpson(t, axis=axis, initial=1.5, **ours)
        np.testing.assert_allclose(got.detach().numpy(), expected, rtol=1e-10)
    expected = integrate.simpson(y, axis=axis, **options)
    np.testing.assert_allclose(gradcore.simpson(t, axis=axis, **ours).detach().numpy(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("n", [2, 5, 6])
def test_derivatives_by_values_and_points(n: int) -> None:
    y = gradcore.tensor(RNG.normal(size=n), requires_grad=True)
    x = gradcore.tensor(np.arange(n) + RNG.uniform(0, 0.5, size=n), requires_grad=True)
    for f in (gradcore.simpson, lambda y, x: gradcore.cumulative_simpson(y, x=x, initial=0.5)):
        assert gradcore.autograd.gradcheck(f, (y, x))
        assert gradcore.autograd.gradgradcheck(f, (y, x))


def test_cubics_are_exact_and_sequences_are_taken() -> None:
    x = gradcore.linspace(0, 2, 5, dtype=gradcore.float64, requires_grad=True)
    area = gradcore.simpson(x**3, x)
    assert area.item() == pytest.approx(4)
    assert gradcore.simpson([0.0, 1.0, 4.0]).item() == pytest.approx(8 / 3)
    assert gradcore.cumulative_simpson([1.0, 1.0, 1.0], x=np.array([0.0, 2.0, 3.0])).tolist() == pytest.approx([2, 3])


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one point"):
        gradcore.simpson(gradcore.zeros(2, 0))
    with pytest.raises(ValueError, match="shape of x must be"):
        gradcore.cumulative_simpson(gradcore.zeros(4), x=gradcore.zeros(5))
    with pytest.raises(IndexError):
        gradcore.simpson(gradcore.zeros(4), axis=1)


def test_on_a_device(strict_cuda: Any) -> None:
    y = gradcore.arange(6.0, device="cuda", requires_grad=True)
    out = gradcore.simpson(y * y, x=gradcore.arange(6.0, device="cuda"))
    out.backward()
    assert y.grad.device.type == "cuda"
    assert out.item() == pytest.approx(integrate.simpson(np.arange(6.0) ** 2), rel=1e-6)
