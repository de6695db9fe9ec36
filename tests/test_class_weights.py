"""nll_loss and cross_entropy with weights that are zero, negative, infinite or nan, beside torch. No warnings of NumPy's."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

import gradcore
from tests.twin import compare, outcome

torch = pytest.importorskip("torch")

INF, NAN = float("inf"), float("nan")
WEIGHTS = [
    [1.0, -INF, INF], [INF, -INF, 1.0], [INF, 2.0, 1.0], [1.0, NAN, INF], [0.0, 0.0, 0.0], [3e38, 3e38, 3e38],
    [-1e38, -3e38, 3e38], [1.0, -1.0, 2.0], [1e-45, 0.0, 1.0],
]  # fmt: skip


@pytest.mark.parametrize("weights", WEIGHTS, ids=str)
@pytest.mark.parametrize("name", ["nll_loss", "cross_entropy"])
def test_any_weights(name: str, weights: list[float]) -> None:
    def program(lib: Any) -> Any:
        found = []
        for reduction, classes, ignored in product(
            ("mean", "sum", "none"), ([1, 2], [2, 2], [0, 1], [1, 1], [0, 0]), (-100, 0, 1)
        ):
            x = lib.tensor([[-1.0, 0.0, -0.5], [-1.0, -2.0, -3.0]], requires_grad=True)
            loss = getattr(lib.nn.functional, name)(
                x, lib.tensor(classes), weight=lib.tensor(weights), reduction=reduction, ignore_index=ignored
            )
            loss.sum().backward()
            counting = [weights[c] for c in classes if c != ignored]
            # gradcore divides the weights first: means are infinite, nan or rounded elsewhere where these are extreme.
            if reduction != "mean" or (sum(counting) and all(1e-30 < abs(w) < 1e30 for w in counting)):
                found.append((loss, x.grad))
        return found

    ours = program(gradcore)  # not in `outcome`, which hears no warnings
    assert len(ours) >= 30
    compare(outcome(program, gradcore), outcome(program, torch))
