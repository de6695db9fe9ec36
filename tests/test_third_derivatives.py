"""Third derivatives of every smooth primitive: forward mode over two sweeps, against differences of second derivatives."""

from __future__ import annotations

from typing import Any

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
