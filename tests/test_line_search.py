"""The line search of L-BFGS beside torch's: where a cubic is least, within bounds or not, or has no minimum."""

from __future__ import annotations

import random

import pytest

from gradcore.optim.line_search import Point, cubic_minimum

torch = pytest.importorskip("torch")


def test_the_minimum_of_a_cubic_is_torchs() -> None:
    from torch.optim.lbfgs import _cubic_interpolate

    inside, middle = 0, 0
    for _ in range(400):
        a, b = (Point(random.uniform(0, 4), random.gauss(0, 1), random.gauss(0, 2), None) for _ in range(2))
        low, high = sorted(random.uniform(0, 4) for _ in range(2))
        found = cubic_minimum(a, b, low, high)
        first, second = ([torch.tensor(each, dtype=torch.float64) for each in (p.t, p.loss, p.slope)] for p in (a, b))
        wanted = _cubic_interpolate(*first, *second, bounds=(low, high))
        assert found == pytest.approx(float(wanted), rel=1e-9)
        inside += low < found < high
        middle += found == (low + high) / 2
    assert 0 < middle < inside < 400  # all three ways were gone
