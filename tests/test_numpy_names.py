"""What NumPy has and torch has not, as functions of gradcore: beside NumPy's. It must not know how they are computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradcore

RNG = np.random.default_rng()
X, Y = np.sort(RNG.normal(size=6)), RNG.normal(size=6)
AT = RNG.uniform(-2, 2, size=(2, 4))

CALLS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "interp": (lambda m, x, xp, fp: m.interp(x, xp, fp), (AT, X, Y)),
    "interp, ends": (lambda m, x, xp, fp: m.interp(x, xp, fp, left=-1.0, right=7.0), (AT, X, Y)),
    **{
        f"{name} {mode}": (lambda m, a, v, name=name, mode=mode: getattr(m, name)(a, v, mode), (X, Y[:n]))
        for name, n in (("convolve", 3), ("correlate", 4))
        for mode in ("full", "same", "valid")
    },
    "polyval": (lambda m, p, x: m.polyval(p, x), (X[:4], AT)),
    "unwrap": (lambda m, p: m.unwrap(p, axis=0), (4 * AT.T,)),
    "unwrap, period": (lambda m, p: m.unwrap(p, period=1.5), (2 * AT,)),
    "apply_along_axis": (lambda m, x: m.apply_along_axis(lambda row: row[::-1] if m is np else row.flip(0), 0, x), (AT,)),
    "piecewise": (lambda m, x: m.piecewise(x, [x < -1, x > 1], [lambda t: t * t, 3.0, lambda t: -t]), (AT,)),
}


@pytest.mark.parametrize("name", CALLS)
def test_values_and_derivatives_are_numpys(name: str) -> None:
    call, arrays = CALLS[name]
    expected = call(np, *arrays)
    leaves = [gradcore.tensor(x, requires_grad=True) for x in arrays]
    out = call(gradcore, *leaves)
    np.testing.assert_allclose(out.detach().numpy(), expected, rtol=1e-12, atol=1e-12)
    weights = RNG.normal(size=expected.shape)
    grads = gradcore.autograd.grad((out * weights).sum(), leaves, allow_unused=True)
    for i, grad in enumerate(grads):
        direction, h = RNG.normal(size=arrays[i].shape), 1e-7
        ends = [call(np, *arrays[:i], arrays[i] + s * direction, *arrays[i + 1 :]) for s in (h, -h)]
        slope = np.sum(weights * (ends[0] - ends[1])) / (2 * h)
        assert np.sum(grad.numpy() * direction) == pytest.approx(slope, rel=1e-4, abs=1e-5)


def test_arrays_and_sequences_are_taken_as_they_are() -> None:
    assert gradcore.polyval([1, 2, 3], gradcore.tensor(2.0)).item() == 11
    assert gradcore.interp([1.5], [1.0, 2.0], np.array([0.0, 10.0])).tolist() == [5.0]
    x = gradcore.tensor([1.0, 2.0], requires_grad=True)
    assert gradcore.convolve(x, np.ones(2)).requires_grad


def test_a_piece_sees_only_the_elements_that_it_is_for() -> None:
    x = gradcore.tensor([-4.0, 0.0, 4.0], requires_grad=True)
    gradcore.piecewise(x, [x > 0], [gradcore.sqrt, 0.0]).sum().backward()
    assert x.grad.tolist() == [0.0, 0.0, 0.25]  # not NaN where the root is none
    with pytest.raises(ValueError, match="2 or 3 functions are expected"):
        gradcore.piecewise(x, [x > 0, x < 0], [1.0])


def test_they_stay_on_the_device(strict_cuda: Any) -> None:
    x = gradcore.tensor(strict_cuda.array(np.array([0.5, 1.5])), requires_grad=True)
    points = [gradcore.tensor(strict_cuda.array(np.arange(3.0))) for _ in range(2)]
    with strict_cuda.never_waits():
        gradcore.interp(x, *points).sum().backward()
    assert x.grad.is_cuda


def test_a_dim_that_must_be_given_may_be_an_axis() -> None:
    x, i = gradcore.arange(6.0).view(2, 3), gradcore.tensor([[0, 1, 0]])
    assert gradcore.cumprod(x, axis=0).tolist() == [[0, 1, 2], [0, 4, 10]]
    assert gradcore.gather(x, axis=0, index=i).tolist() == [[0, 4, 2]]
    assert x.unsqueeze(axis=1).shape == (2, 1, 3)
    out = gradcore.empty(2, 3)
    assert gradcore.cumsum(x, axis=1, out=out) is out
    for f in (lambda: x.cumprod(), lambda: gradcore.gather(x, 0), lambda: gradcore.gather(x, axis=0)):
        with pytest.raises(TypeError, match=r"missing required arguments: '(dim|index)'"):
            f()
