"""Gradients at kinks, ties and poles: the numbers that torch 2.13 gives, as constants and beside torch itself."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan
from typing import Any

import numpy as np
import pytest

import gradcore

# Each: a function of the library and a tensor, the points, and torch's gradient there.
Row = tuple[Callable[[Any, Any], Any], Any, list[Any]]
ROWS: dict[str, Row] = {
    "norm(0)": (lambda lib, x: x.norm(), [0.0, 0.0], [0, 0]),
    "vector_norm p=1 at 0": (lambda lib, x: lib.linalg.vector_norm(x, 1), [0.0, 2.0], [0, 1]),
    "sqrt(0)": (lambda lib, x: x.sqrt(), [0.0], [inf]),
    "sqrt(0)*0": (lambda lib, x: x.sqrt() * 0, [0.0], [nan]),
    "sqrt(sum(x**2)) at 0": (lambda lib, x: (x**2).sum().sqrt(), [0.0, 0.0], [nan, nan]),
    "where with a pole not taken": (lambda lib, x: lib.where(x > 0, x.sqrt(), x), [0.0, -1.0], [nan, nan]),
    "x**0.5 at 0": (lambda lib, x: x**0.5, [0.0], [inf]),
    "x**2 at 0": (lambda lib, x: x**2, [0.0], [0]),
    "prod with a zero": (lambda lib, x: x.prod(), [0.0, 2.0, 3.0], [6, 0, 0]),
    "amax ties": (lambda lib, x: x.amax(0), [1.0, 1.0], [0.5, 0.5]),
    "max() ties": (lambda lib, x: x.max(), [1.0, 1.0], [0.5, 0.5]),
    "max(dim) ties": (lambda lib, x: x.max(0).values, [0.0, 1.0, 1.0], [0, 1, 0]),
    "maximum(a, a)": (lambda lib, x: lib.maximum(x[0], x[1]), [1.0, 1.0], [0.5, 0.5]),
    "sort ties": (lambda lib, x: x.sort().values[0], [1.0, 1.0], [1, 0]),
    "median() ties": (lambda lib, x: x.median(), [1.0, 1.0], [0.5, 0.5]),
    "vector_norm inf ties": (lambda lib, x: lib.linalg.vector_norm(x, inf), [1.0, 1.0], [0.5, 0.5]),
    "clamp at its ends": (lambda lib, x: x.clamp(0.0, 1.0), [0.0, 1.0], [1, 1]),
    "relu6 at 6": (lambda lib, x: lib.nn.functional.relu6(x), [6.0], [0]),
    "hardtanh at 1": (lambda lib, x: lib.nn.functional.hardtanh(x), [1.0], [0]),
    "relu at 0": (lambda lib, x: x.relu(), [0.0], [0]),
    "leaky_relu at 0": (lambda lib, x: lib.nn.functional.leaky_relu(x), [0.0], [0.01]),
    "elu at 0": (lambda lib, x: lib.nn.functional.elu(x), [0.0], [1]),
    "abs at 0": (lambda lib, x: x.abs(), [0.0], [0]),
    "sign": (lambda lib, x: x.sign(), [0.0, 2.0], [0, 0]),
    "round": (lambda lib, x: x.round(), [0.5, 2.0], [0, 0]),
    "fmod(4, 2)": (lambda lib, x: x.fmod(2), [4.0], [1]),
    "atan2(0, 0)": (lambda lib, x: lib.atan2(x[0], x[1]), [0.0, 0.0], [0, 0]),
    "rsqrt(0)": (lambda lib, x: x.rsqrt(), [0.0], [-inf]),
    "std of two equal values": (lambda lib, x: x.std(), [1.0, 1.0], [0, 0]),
    "logsumexp(-inf, -inf)": (lambda lib, x: x.logsumexp(0), [-inf, -inf], [nan, nan]),
    "abs(z)**2 at 3+4j": (lambda lib, x: x.abs() ** 2, [3 + 4j], [6 + 8j]),
}


def gradient(lib: Any, f: Callable[[Any, Any], Any], at: Any) -> Any:
    dtype = lib.complex128 if isinstance(at[0], complex) else lib.float64
    x = lib.tensor(at, dtype=dtype, requires_grad=True)
    f(lib, x).sum().backward()
    return np.asarray(x.grad.tolist())


@pytest.mark.parametrize("name", ROWS)
def test_the_gradient_is_the_one_torch_gives(name: str) -> None:
    f, at, expected = ROWS[name]
    np.testing.assert_allclose(gradient(gradcore, f, at), np.asarray(expected), rtol=1e-12)


def test_vectors_without_a_phase_have_no_gradient() -> None:
    # The eigenvectors of the identity are any basis: there is no derivative to give.
    for function in (lambda a: gradcore.linalg.eigh(a)[1], lambda a: gradcore.linalg.svd(a)[0]):
        a = gradcore.eye(2, dtype=gradcore.float64, requires_grad=True)
        function(a).abs().sum().backward()
        assert bool(a.grad.isnan().all())
