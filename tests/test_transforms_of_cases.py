"""Every primitive in forward mode and in batches: <u, J t> = <J* u, t>, and a batch gives what a loop gives."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import gradcore
from gradcore import backends
from gradcore.recorder.value import wrap
from gradcore.transforms.crossings import batch, lift, pair, primal_part, tangent_part, unbatch
from gradcore.transforms.lifted import Frame, Lifted, inside
from tests.cases import Case
from tests.test_cases import HOST, OWN, TABLE, Place, Run, assert_close, dtypes, in_dtype, inner, kind, moved, names_of

each_case = pytest.mark.parametrize("case", TABLE)

# The rule of these is not the derivative: padding has no gradient, and a frequency divides it.
NOT_THE_DERIVATIVE = {("embedding", "padding"), ("embedding", "frequency")}
# Shapes that depend on values: vmap itself loops.
NEED_A_LOOP = {"bincount", "distinct", "unique", "unique_runs"}
N = 3


def agree(a: float, b: float, tolerance: float) -> bool:
    return bool(np.isclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True) or not (np.isfinite(a) and np.isfinite(b)))


def pushed(run: Run, tangents: list[Any], place: Place = HOST) -> tuple[list[Any], list[Any]]:
    """The differentiable outputs and their tangents, on the host."""
    frame = Frame()
    values: list[Any] = [wrap(place.array(x)) if isinstance(x, np.ndarray) else x for x in run.inputs]
    params = {name: moved(place, value) for name, value in run.case.params.items()}
    with inside(frame):
        for i, t in zip(run.active, tangents, strict=True):
            values[i] = pair(values[i], wrap(place.array(t)), frame=frame)
        with place.quietly(run.case):
            made = run.op.function(*values, **params)
        outs = run.differentiable(made if isinstance(made, tuple) else (made,))
        parts = [[crossing(x, frame=frame)._array for x in outs] for crossing in (primal_part, tangent_part)]
    return tuple([place.host(x) for x in part] for part in parts)  # type: ignore[return-value]


@each_case
def test_forward_mode_is_the_transpose_of_reverse_mode(case: Case, request: Any) -> None:
    if (case.primitive, case.label) in NOT_THE_DERIVATIVE:
        pytest.skip("the rule is not the derivative")
    for dtype in dtypes(case):
        run = Run(case, request, dtype)
        if not (run.active and run.cotangents):
            continue
        tangents = [run.noise(x) for x in run.points]
        outs, moved = pushed(run, tangents)
        for out, t in zip(outs, moved, strict=True):
            assert (t.shape, t.dtype) == (out.shape, out.dtype)
        back = run.pulled(HOST, run.points, run.cotangents)
        tolerance = 1e-5 if any(out.dtype.itemsize < 8 for out in outs) else 1e-9
        assert agree(inner(run.cotangents, moved), inner(back, tangents), tolerance)


@pytest.mark.cuda
@each_case
def test_forward_mode_on_a_gpu_is_the_hosts(case: Case, request: Any) -> None:
    if case.host:
        pytest.skip("CuPy has no such function")
    F = backends.for_device("cuda")
    run = Run(case, request)
    if not (run.active and run.cotangents):
        pytest.skip("nothing to differentiate")
    tangents = [run.noise(x) for x in run.points]
    for actual, expected in zip(pushed(run, tangents, Place(F, F.from_host, F.to_host)), pushed(run, tangents), strict=True):
        assert_close(actual, expected, 1e-8)


@each_case
def test_a_device_gives_the_same_tangents_and_batches_and_never_waits(case: Case, request: Any, strict_cuda: Any) -> None:
    if case.host:
        pytest.skip("CuPy has no such function")
    place = Place(strict_cuda.backend, strict_cuda.array, strict_cuda.host, strict_cuda)
    run = Run(case, request)
    if run.active and run.cotangents:
        tangents = [run.noise(x) for x in run.points]
        for there, here in zip(pushed(run, tangents, place), pushed(run, tangents), strict=True):
            assert_close(there, here, 1e-9)
    many = Batch(case, request, "float64", "all")
    if many.serves and case.primitive not in NEED_A_LOOP:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that there is no rule
            there, here = many.outputs(place)[0], many.outputs()[0]
            told = [each for name, *each in zip(names_of(run.op, there), there, here, strict=True) if name not in OWN]
            assert_close([place.host(x._array) for x, _ in told], [y._array for _, y in told], 1e-9)


class Batch:
    """A case with `N` sets of inputs of which those in `mapped` differ."""

    def __init__(self, case: Case, request: Any, dtype: str, which: str) -> None:
        self.runs = [Run(case, request, dtype) for _ in range(N)]
        first = self.first = self.runs[0]
        arrays = [i for i, x in enumerate(first.inputs) if isinstance(x, np.ndarray)]
        self.mapped = {"all": arrays, "first": arrays[:1], "last": arrays[-1:]}[which]
        self.serves = bool(self.mapped) and (which == "all" or len(arrays) > 1)
        for run in self.runs[1:]:
            fresh, other = run.case.make(run.rng), run.case.make(run.rng)
            if np.dtype(dtype).kind == "c":
                fresh = tuple(np.asarray(x + 1j * y) if kind(x) == "f" else x for x, y in zip(fresh, other, strict=True))
            for i in self.mapped:
                run.inputs[i] = in_dtype(fresh[i], np.dtype(dtype)) if kind(fresh[i]) in "fc" else fresh[i]
            run.cotangents = [run.noise(c) for c in run.cotangents]
            for i in range(len(run.inputs)):
                if i not in self.mapped:
                    run.inputs[i] = first.inputs[i]
            run.points = [run.inputs[i] for i in run.active]
        self.serves &= all(len({run.inputs[i].shape for run in self.runs}) == 1 for i in self.mapped)

    def outputs(self, place: Place = HOST) -> tuple[list[Any], dict[int, Any]]:
        """The outputs of all at once, the batch in front, and the leaves among the inputs."""
        frame, leaves, values = Frame(N), {}, []
        with inside(frame):
            for i, x in enumerate(self.first.inputs):
                value: Any = x
                if isinstance(x, np.ndarray):
                    whole = np.stack([run.inputs[i] for run in self.runs]) if i in self.mapped else x
                    value = wrap(place.array(whole))
                    if i in self.first.active:
                        leaves[i] = value.requires_grad_()
                    value = batch(value, axis=0, frame=frame) if i in self.mapped else value
                values.append(value)
            params = {name: moved(place, value) for name, value in self.first.case.params.items()}
            made = self.first.op.function(*values, **params)
            outs = made if isinstance(made, tuple) else (made,)
            return [unbatch(lift(x, frame), axis=0, frame=frame) for x in outs], leaves


@each_case
@pytest.mark.filterwarnings("ignore:vmap. there is no batching rule")
@pytest.mark.parametrize("which", ["all", "first", "last"])
def test_a_batch_gives_what_a_loop_gives(case: Case, which: str, request: Any) -> None:
    if case.primitive in NEED_A_LOOP:
        pytest.skip("its shape depends on values")
    for dtype in dtypes(case):
        many = Batch(case, request, dtype, which)
        if not many.serves:
            continue
        expected = [run.call(HOST, run.points)[0] for run in many.runs]
        outs, leaves = many.outputs()
        for i, (out, each) in enumerate(zip(outs, zip(*expected, strict=True), strict=True)):
            assert not isinstance(out._array, Lifted)
            if many.first.op.outputs[i : i + 1] == ("kept",):
                continue  # for the derivative: each backend its own way, and transforms by the composition
            whole = np.stack([x._array for x in each])
            assert (out._array.shape, out._array.dtype) == (whole.shape, whole.dtype)
            np.testing.assert_allclose(out._array, whole, rtol=1e-9, atol=1e-9)
        if leaves and many.first.cotangents:
            check_gradients(many, many.first.differentiable(outs), leaves)


@each_case
@pytest.mark.filterwarnings("ignore:vmap. there is no batching rule")
@pytest.mark.parametrize("outer", ["batch", "tangents"])
def test_tangents_in_a_batch_and_a_batch_of_tangents_are_those_of_a_loop(case: Case, outer: str, request: Any) -> None:
    many = Batch(case, request, "float64", "all")
    if not many.serves or case.primitive in NEED_A_LOOP or not (many.first.active and many.first.cotangents):
        pytest.skip("nothing to batch or to differentiate")
    tangents = [[run.noise(x) for x in run.points] for run in many.runs]
    expected = [pushed(run, each)[1] for run, each in zip(many.runs, tangents, strict=True)]
    frames = (Frame(N), Frame()) if outer == "batch" else (Frame(), Frame(N))
    values: list[Any] = list(many.first.inputs)
    with inside(frames[0]), inside(frames[1]):
        for i in many.mapped:
            parts = [wrap(np.stack([run.inputs[i] for run in many.runs]))]
            if i in many.first.active:
                parts.append(wrap(np.stack([each[many.first.active.index(i)] for each in tangents])))
            for frame in frames:
                if frame.size == N:
                    parts = [batch(x, axis=0, frame=frame) for x in parts]
                elif len(parts) == 2:
                    parts = [pair(*parts, frame=frame)]
            values[i] = parts[0]
        made = many.first.op.function(*values, **many.first.case.params)
        outs = many.first.differentiable(made if isinstance(made, tuple) else (made,))
        for frame in reversed(frames):
            if frame.size == N:
                outs = [unbatch(lift(x, frame), axis=0, frame=frame) for x in outs]
            else:
                outs = [tangent_part(x, frame=frame) for x in outs]
    for out, each in zip(outs, zip(*expected, strict=True), strict=True):
        assert not isinstance(out._array, Lifted)
        np.testing.assert_allclose(out._array, np.stack(each), rtol=1e-8, atol=1e-8)


@each_case
@pytest.mark.filterwarnings("ignore:vmap. there is no batching rule")
def test_second_derivatives_by_either_mode_in_a_batch_are_gradients_of_gradients(case: Case, request: Any) -> None:
    many = Batch(case, request, "float64", "all")
    first = many.first
    if not many.serves or case.primitive in NEED_A_LOOP or not (first.active and first.cotangents):
        pytest.skip("nothing to batch or to differentiate")
    rest = [i for i in many.mapped if i not in first.active]

    def outputs(others: Any) -> Any:
        def function(*points: Any) -> tuple[Any, ...]:
            values = list(first.inputs)
            for i, x in (*zip(first.active, points, strict=True), *zip(rest, others, strict=True)):
                values[i] = x
            made = first.op.function(*values, **case.params)
            return tuple(first.differentiable(made if isinstance(made, tuple) else (made,)))

        return function

    def gradients(points: Any, others: Any, cotangents: Any) -> tuple[Any, ...]:
        return gradcore.func.vjp(outputs(others), *points)[1](tuple(cotangents))  # type: ignore[no-any-return]

    def forward_over_reverse(points: Any, others: Any, cotangents: Any, t: Any) -> Any:
        return gradcore.func.jvp(lambda *x: gradients(x, others, cotangents), tuple(points), tuple(t))[1]

    def reverse_over_forward(points: Any, others: Any, cotangents: Any, t: Any) -> Any:
        function = outputs(others)
        return gradcore.func.vjp(lambda *x: gradcore.func.jvp(function, x, tuple(t))[1], *points)[1](tuple(cotangents))

    def forward_over_forward(points: Any, others: Any, t: Any) -> Any:
        function = outputs(others)
        return gradcore.func.jvp(lambda *x: gradcore.func.jvp(function, x, tuple(t))[1], tuple(points), tuple(t))[1]

    each = [
        tuple(list(map(wrap, part)) for part in (run.points, [run.inputs[i] for i in rest], run.cotangents, tangents))
        for run in many.runs
        for tangents in [[run.noise(x) for x in run.points]]
    ]
    together = [[gradcore.stack(x) for x in zip(*part, strict=True)] for part in zip(*each, strict=True)]
    points, others, _, t = together
    found = [gradcore.func.vmap(mode)(*together) for mode in (forward_over_reverse, reverse_over_forward)]
    curvatures = gradcore.func.vmap(forward_over_forward)(points, others, t)
    for i, (points, others, cotangents, t) in enumerate(each):
        leaves = [x.detach().requires_grad_() for x in points]
        # What does not depend on the leaves has the derivative 0.
        curved = [(g, x) for g, x in zip(gradients(leaves, others, cotangents), t, strict=True) if g.requires_grad]
        once, seeds = zip(*curved, strict=True) if curved else ([0 * x.abs().sum() for x in leaves], None)
        twice = gradcore.autograd.grad(once, leaves, seeds, allow_unused=True, materialize_grads=True)
        for way in found:
            for actual, expected in zip(way, twice, strict=True):
                # At a singular point (0 ** x) modes have their own limits, in torch as well.
                there = np.isfinite(expected.numpy())
                np.testing.assert_allclose(actual[i].numpy()[there], expected.numpy()[there], rtol=1e-7, atol=1e-7)
        along = [inner([c.numpy() for c in cotangents], [x[i].numpy() for x in curvatures])]
        assert agree(inner([x.numpy() for x in twice], [x.numpy() for x in t]), along[0], 1e-7)


def check_gradients(many: Batch, outs: list[Any], leaves: dict[int, Any]) -> None:
    """The gradients of a batch are those of the loop, summed where one input serves all."""
    seeds = [wrap(np.stack(parts)) for parts in zip(*(run.cotangents for run in many.runs), strict=True)]
    found = gradcore.autograd.grad(outs, list(leaves.values()), seeds, allow_unused=True)
    each = [run.pulled(HOST, run.points, run.cotangents) for run in many.runs]
    for k, (i, g) in enumerate(zip(leaves, found, strict=True)):
        whole = np.stack([grads[k] for grads in each])
        with np.errstate(invalid="ignore"):
            whole = whole if i in many.mapped else whole.sum(0)
        np.testing.assert_allclose(np.zeros_like(whole) if g is None else g._array, whole, rtol=1e-8, atol=1e-8)
