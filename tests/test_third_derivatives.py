"""Third derivatives of every smooth primitive: forward mode over two sweeps, against differences of second derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradcore
from gradcore.recorder.value import wrap
from gradcore.transforms.crossings import holds, pair, tangent_part
from gradcore.transforms.lifted import Frame, inside
from tests.cases import Case
from tests.test_cases import HOST, TABLE, Run, fitting, inner, slope

# The third derivative of the determinant is written for invertible matrices only.
SINGULAR = {("det", label) for label in ("rank 2", "rank 1", "zero", "one zero")}
SMOOTH = [p for p in TABLE if p.values[0].smooth and (p.values[0].primitive, p.values[0].label) not in SINGULAR]


def second(run: Run, values: list[Any], weights: list[Any]) -> list[Any]:
    """The gradient of <weights, gradient of <cotangents, outputs>> at tensors that require gradients."""
    inputs = [wrap(x) if hasattr(x, "dtype") else x for x in run.inputs]
    for i, x in zip(run.active, values, strict=True):
        inputs[i] = x
    made = run.op.function(*inputs, **run.case.params)
    outs = run.differentiable(made if isinstance(made, tuple) else (made,))
    seeds = [wrap(g) for g in run.cotangents]
    first = gradcore.autograd.grad(outs, values, seeds, create_graph=True, allow_unused=True)
    kept = [(g, wrap(w)) for g, w in zip(first, weights, strict=True) if g is not None and g.requires_grad]
    if not kept:
        return [None] * len(values)
    roots, tails = zip(*kept, strict=True)
    return list(gradcore.autograd.grad(roots, values, tails, allow_unused=True))


@pytest.mark.parametrize("case", SMOOTH)
def test_third_derivatives_are_slopes_of_second_ones(case: Case, request: Any) -> None:
    run = Run(case, request)
    if not (run.active and run.cotangents):
        pytest.skip("nothing to differentiate")
    weights, directions, around = ([run.noise(x) for x in run.points] for _ in range(3))
    frame = Frame()
    with inside(frame):
        duals = [pair(wrap(x), wrap(v), frame=frame) for x, v in zip(run.points, directions, strict=True)]
        found = second(run, [wrap(d._array).requires_grad_() for d in duals], weights)
        moved = [tangent_part(g, frame=frame) if g is not None and holds(g, frame) else None for g in found]
    thirds = [fitting(HOST, g, x) for g, x in zip(moved, run.points, strict=True)]

    def f(points: list[Any]) -> float:
        at = second(run, [wrap(x).requires_grad_() for x in points], weights)
        return inner(around, [fitting(HOST, g, x) for g, x in zip(at, points, strict=True)])

    actual = inner(around, thirds)
    tried = []
    for h in (1e-3, 1e-4, 1e-5, 1e-6):  # near a kink only small steps see the slope
        tried.append(slope(f, run.points, directions, h))
        if abs(actual - tried[-1]) <= 1e-5 * (1 + abs(actual) + sum(abs(t).sum() for t in thirds)):
            return
    raise AssertionError(f"the third derivative is {actual} by forward mode and {tried} by differences")


# Their inputs are symmetric, or their outputs have phases, so that they are no rows of the table above.
OF_MATRICES = {
    "cholesky": lambda a: gradcore.linalg.cholesky(a @ a.mT + 1),
    "eigh": lambda a: gradcore.linalg.eigh(a + a.mT)[1].abs(),
    "eig": lambda a: gradcore.linalg.eig(a)[1].abs(),
}


@pytest.mark.parametrize("name", OF_MATRICES)
def test_third_derivatives_of_factors(name: str) -> None:
    rng, f = np.random.default_rng(), OF_MATRICES[name]
    point = rng.uniform(-0.4, 0.4, size=(3, 3)) + np.diag([2.0, 4.0, 7.0])
    weights, *directions = (gradcore.tensor(rng.normal(size=(3, 3))) for _ in range(4))

    def second(x: Any, graph: bool) -> Any:
        value = (f(x) * weights).sum()
        for v in directions[:2]:
            value = (gradcore.autograd.grad(value, x, create_graph=True)[0] * v).sum()
        return value if graph else value.item()

    x, h = gradcore.tensor(point, requires_grad=True), 1e-4
    third = (gradcore.autograd.grad(second(x, True), x)[0] * directions[2]).sum().item()
    ends = [second((x.detach() + s * directions[2]).requires_grad_(), False) for s in (h, -h)]
    assert third == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-4, abs=1e-5)
