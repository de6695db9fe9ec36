"""Every primitive's properties, proved from one table of inputs, tests/cases. It must not know any primitive.

On NumPy derivatives are compared with numerical differences along random directions, in torch's convention
for complex numbers: for L = Re(sum(conj(g) * f(x))), dL = Re(sum(conj(grad) * dx)). On the strict double and
on a GPU values and derivatives are compared with NumPy's, and nothing may wait for the device. Data are new
in every run; GRADCORE_SEED repeats one.
"""

from __future__ import annotations

import os
import pkgutil
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import pytest

import gradcore
from gradcore import backends, primitives
from gradcore.recorder import Primitive, registry, wrap
from tests import cases
from tests.cases import Case
from tests.double.functions import DECOMPOSITIONS

SEED = int(os.environ.get("GRADCORE_SEED", 0)) or int(np.random.SeedSequence().generate_state(1)[0])

for family in pkgutil.iter_modules(primitives.__path__):  # gradcore itself imports some when they are first used
    import_module(f"gradcore.primitives.{family.name}")


def table() -> Iterator[Any]:
    for family in pkgutil.iter_modules(cases.__path__):
        seen: dict[str, int] = {}
        for case in import_module(f"tests.cases.{family.name}").CASES:
            name = f"{family.name}-{case.primitive}" + (f"-{case.label}" if case.label else "")
            seen[name] = seen.get(name, 0) + 1
            yield pytest.param(case, id=name + (f"-{seen[name]}" if seen[name] > 1 else ""))


TABLE = list(table())
each_case = pytest.mark.parametrize("case", TABLE)
each_smooth_case = pytest.mark.parametrize("case", [p for p in TABLE if p.values[0].smooth])


# -- places: where a case runs -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """A backend, and the ways to it and back that no test counts."""

    F: Any
    array: Callable[[Any], Any]
    host: Callable[[Any], Any]
    cuda: Any = None

    def quietly(self, case: Case) -> Any:
        """A block that may not wait for the device."""
        if self.cuda is None or case.waits:
            return nullcontext()
        return self.cuda.never_waits(but_for=DECOMPOSITIONS)


HOST = Place(backends.numpy, np.array, np.asarray)


@pytest.fixture(params=["double", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> Place:
    """A place whose arrays NumPy cannot read."""
    if request.param == "double":
        cuda = request.getfixturevalue("strict_cuda")
        return Place(cuda.backend, cuda.array, cuda.host, cuda)
    F = backends.for_device("cuda")
    return Place(F, F.from_host, F.to_host)


# -- a case, run ---------------------------------------------------------------------------------------------


def contiguous(place: Place, x: Any) -> Any:
    return place.array(x)


def scattered(place: Place, x: Any) -> Any:
    """An array of the values of `x` with neighbours between them, its axes stored in reverse."""
    if x.ndim == 0:
        return place.array(np.stack([x, x]))[1:].reshape(())
    turned = np.ascontiguousarray(x.transpose())
    return place.array(np.repeat(turned, 2, axis=-1))[..., ::2].transpose()


class Run:
    """A case with data in one dtype: its values, cotangents of its inputs, and second derivatives."""

    def __init__(self, case: Case, request: Any, dtype: str = "float64") -> None:
        self.case = case
        self.op: Primitive = registry[case.primitive]
        name = request.node.name.partition("[")[2].replace("double-", "").replace("cuda-", "")
        print(f"GRADCORE_SEED={SEED}")
        self.rng = np.random.default_rng([SEED, zlib.crc32(name.encode())])
        inputs = case.make(self.rng)
        if np.dtype(dtype).kind == "c":
            pairs = zip(inputs, case.make(self.rng), strict=True)
            inputs = tuple(np.asarray(x + 1j * y) if kind(x) == "f" else x for x, y in pairs)
        self.inputs = [in_dtype(x, np.dtype(dtype)) if kind(x) in "fc" else x for x in inputs]
        self.active = [i for i, x in enumerate(self.inputs) if kind(x) in "fc" and self.op.has_rule(i)]
        self.points = [self.inputs[i] for i in self.active]
        outs = [place_free(out) for out in self.outputs(HOST, self.points)]
        self.cotangents = [self.noise(out) for out in outs]

    def noise(self, like: Any) -> Any:
        """Random numbers of the shape and dtype of `like`."""
        x = self.rng.normal(size=like.shape)
        x = x + 1j * self.rng.normal(size=like.shape) if kind(like) == "c" else x
        return np.asarray(x, like.dtype)

    def call(self, place: Place, points: Sequence[Any], layout: Any = contiguous, grad: bool = False) -> Any:
        """All outputs, and the Tensors of the differentiable inputs, which take the values `points`."""
        if self.case.host and place.F is not HOST.F:
            pytest.skip("CuPy has no such function")
        values = list(self.inputs)
        for i, point in zip(self.active, points, strict=True):
            values[i] = point
        tensors = [wrap(layout(place, x)) if isinstance(x, np.ndarray) else x for x in values]
        active = [tensors[i] for i in self.active]
        if grad:
            for x in active:
                x.requires_grad_()
        params = {name: moved(place, value) for name, value in self.case.params.items()}
        with place.quietly(self.case):
            out = self.op.function(*tensors, **params)
        return (out if isinstance(out, tuple) else (out,)), active

    def outputs(self, place: Place, points: Sequence[Any], **options: Any) -> list[Any]:
        """The differentiable outputs as Tensors."""
        return self.differentiable(self.call(place, points, **options)[0])

    def differentiable(self, outs: Sequence[Any]) -> list[Any]:
        kept = [out for name, out in zip(names_of(self.op, outs), outs, strict=True) if name not in self.op.constant]
        return [out for out in kept if kind(out._array) in "fc"]

    def pulled(self, place: Place, points: Sequence[Any], cotangents: Sequence[Any], layout: Any = contiguous) -> list[Any]:
        """The cotangents of the inputs, in a first-order sweep."""
        outs, xs = self.call(place, points, layout, grad=True)
        seeds = [wrap(layout(place, g)) for g in cotangents]
        with place.quietly(self.case):
            grads = gradcore.autograd.grad(self.differentiable(outs), xs, seeds, allow_unused=True)
        return [fitting(place, g, x) for g, x in zip(grads, self.points, strict=True)]

    def twice(self, place: Place, weights: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """A traced sweep's cotangents, and those of Re(sum(conj(weights) * them)) at inputs and seeds."""
        outs, xs = self.call(place, self.points, grad=True)
        seeds = [wrap(place.array(g)).requires_grad_() for g in self.cotangents]
        around = [wrap(place.array(w)) for w in weights]
        with place.quietly(self.case):
            options = {"create_graph": True, "allow_unused": True}
            first = gradcore.autograd.grad(self.differentiable(outs), xs, seeds, **options)
            kept = [(g, w) for g, w in zip(first, around, strict=True) if g is not None and g.requires_grad]
            second: Any = [None] * (len(xs) + len(seeds))
            if kept:
                roots, tails = zip(*kept, strict=True)
                second = gradcore.autograd.grad(roots, [*xs, *seeds], tails, allow_unused=True)
        given = [*self.points, *self.cotangents]
        return (
            [fitting(place, g, x) for g, x in zip(first, self.points, strict=True)],
            [fitting(place, g, x) for g, x in zip(second, given, strict=True)],
        )


def kind(x: Any) -> str:
    """The kind of an array's dtype, "-" for what is no array."""
    return str(x.dtype.kind) if hasattr(x, "dtype") else "-"


def in_dtype(x: Any, dtype: Any) -> Any:
    """`x` in a dtype, or in the complex one of its precision if `x` is complex."""
    return x.astype(np.result_type(dtype, np.complex64) if kind(x) == "c" else dtype)


def place_free(tensor: Any) -> Any:
    return np.asarray(tensor._array)


def moved(place: Place, value: Any) -> Any:
    """A parameter with its arrays moved to a place."""
    if isinstance(value, np.ndarray):
        return place.array(value)
    return type(value)(moved(place, v) for v in value) if type(value) in (list, tuple) else value


def fitting(place: Place, cotangent: Any, x: Any) -> Any:
    """A cotangent on the host, after a look at its shape and dtype; None is zero."""
    if cotangent is None:
        return np.zeros_like(x)
    array = place.host(cotangent._array)
    assert array.shape == x.shape
    assert array.dtype == x.dtype
    return array


OWN = ("kept", "dropped")  # what a backend keeps for the rule is its own affair


def names_of(op: Primitive, outs: Sequence[Any]) -> Sequence[str]:
    """What the outputs are called, if they are not any number of one name."""
    return op.outputs if len(op.outputs) == len(outs) else ("",) * len(outs)


def assert_close(actual: Sequence[Any], expected: Sequence[Any], tolerance: float) -> None:
    assert len(actual) == len(expected)
    for a, e in zip(actual, expected, strict=True):
        assert a.shape == e.shape
        scale = 1 + np.max(np.abs(e), initial=0, where=np.isfinite(e))
        np.testing.assert_allclose(a, e, rtol=tolerance, atol=tolerance * scale)


# -- numerical differences -----------------------------------------------------------------------------------


def inner(a: Sequence[Any], b: Sequence[Any]) -> float:
    """Re(sum(conj(a) * b))."""
    return float(sum(np.vdot(x, y).real for x, y in zip(a, b, strict=True)))


def slope(f: Callable[[list[Any]], float], points: Sequence[Any], directions: Sequence[Any], h: float) -> float:
    """The derivative of `f` at `points` along `directions`, by the symmetric formula of order four."""

    def at(t: float) -> float:
        return f([np.asarray(x + t * v) for x, v in zip(points, directions, strict=True)])

    return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)


def check_slope(f: Callable[[list[Any]], float], run: Run, points: Sequence[Any], grads: Sequence[Any]) -> None:
    """Compare the slope of `f` along random directions with what `grads` make of them."""
    for _ in range(2):
        directions = [run.noise(x) / 4 for x in points]
        actual = inner(grads, directions)
        size = sum(float(np.sum(np.abs(g * v))) for g, v in zip(grads, directions, strict=True))
        tried = []
        for h in (1e-3, 1e-4, 1e-5, 1e-6):  # near a kink or a pole only small steps see the slope
            tried.append(slope(f, points, directions, h))
            if abs(actual - tried[-1]) <= 1e-7 * (1 + size + abs(tried[-1])):
                break
        else:
            raise AssertionError(f"the slope is {actual} by the rule and {tried} by differences")


def dtypes(case: Case) -> list[str]:
    return ["float64", "complex128"] if case.complex_ else ["float64"]


# -- properties ----------------------------------------------------------------------------------------------


@each_case
def test_values_keep_their_dtype_and_layout_does_not_matter(case: Case, request: Any) -> None:
    for wide, narrow in (("float64", "float32"), ("complex128", "complex64"))[: 1 + case.complex_]:
        run = Run(case, request, wide)
        values, _ = run.call(HOST, run.points)
        again, _ = run.call(HOST, run.points, scattered)
        assert_close([x._array for x in again], [x._array for x in values], 1e-12)
        short = Run(case, request, narrow)
        rounded, _ = short.call(HOST, short.points)
        for x, y in zip(values, rounded, strict=True):
            assert type(x._array) is np.ndarray
            expected = np.dtype(narrow if x._array.dtype == wide else x._array.dtype)
            if x._array.dtype.kind in "fc" and x._array.dtype != wide:  # abs of a complex number, say
                real = np.empty(0, narrow).real.dtype
                expected = real if x._array.dtype.kind == "f" else np.result_type(real, np.complex64)
            assert y._array.dtype == expected
        if case.smooth:
            assert_close([y._array for y in rounded], [x._array for x in values], 1e-4)


@each_smooth_case
def test_cotangents_are_slopes(case: Case, request: Any) -> None:
    for dtype in dtypes(case):
        run = Run(case, request, dtype)
        if run.active and run.cotangents:

            def f(points: list[Any], run: Run = run) -> float:
                return inner(run.cotangents, [place_free(out) for out in run.outputs(HOST, points)])

            check_slope(f, run, run.points, run.pulled(HOST, run.points, run.cotangents))


@each_smooth_case
def test_cotangents_of_cotangents_are_slopes(case: Case, request: Any) -> None:
    for dtype in dtypes(case):
        run = Run(case, request, dtype)
        if run.active and run.cotangents:
            weights = [run.noise(x) for x in run.points]
            first, second = run.twice(HOST, weights)
            assert_close(first, run.pulled(HOST, run.points, run.cotangents), 1e-12)
            n = len(run.points)

            def f(given: list[Any], run: Run = run, n: int = n, weights: Any = weights) -> float:
                return inner(weights, run.pulled(HOST, given[:n], given[n:]))

            check_slope(f, run, [*run.points, *run.cotangents], second)


@each_case
def test_sweeps_agree_in_every_layout_and_keep_the_dtype(case: Case, request: Any) -> None:
    for dtype in ("float64", "float32", "complex64")[: 2 + case.complex_]:
        run = Run(case, request, dtype)
        if run.active and run.cotangents:
            tolerance = 1e-12 if dtype == "float64" else 1e-4
            plain = run.pulled(HOST, run.points, run.cotangents)
            assert_close(run.pulled(HOST, run.points, run.cotangents, scattered), plain, tolerance)
            assert_close(run.twice(HOST, run.points)[0], plain, tolerance)


@each_case
def test_a_device_gives_the_same_and_never_waits(case: Case, request: Any, device: Place) -> None:
    for dtype in ("float64", "float32", "complex128")[: 2 + case.complex_]:
        run = Run(case, request, dtype)
        tolerance = 1e-4 if dtype == "float32" else 1e-10
        expected, actual = (run.call(place, run.points)[0] for place in (HOST, device))
        assert all(type(x._array) is device.F.Array for x in actual)
        told = [each for name, *each in zip(names_of(run.op, actual), actual, expected, strict=True) if name not in OWN]
        assert all(x._array.dtype == y._array.dtype for x, y in told)
        assert_close([device.host(x._array) for x, _ in told], [y._array for _, y in told], tolerance)
        if run.active and run.cotangents:
            weights = [run.noise(x) for x in run.points]
            assert_close(
                run.pulled(device, run.points, run.cotangents, scattered),
                run.pulled(HOST, run.points, run.cotangents),
                tolerance,
            )
            (first, second), (first_host, second_host) = run.twice(device, weights), run.twice(HOST, weights)
            assert_close([*first, *second], [*first_host, *second_host], tolerance * 10)


HALVES = [p for p in TABLE if registry[p.values[0].primitive].kind == "elementwise"]


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
@pytest.mark.parametrize("case", HALVES)
def test_half_precision_is_kept(case: Case, name: str, request: Any, device: Place) -> None:
    dtype = np.dtype(name if name == "float16" else pytest.importorskip("ml_dtypes").bfloat16)
    run = Run(case, request)
    wide = [np.asarray(x._array) for x in run.call(HOST, run.points)[0]]
    run.inputs = [x.astype(dtype) if kind(x) == "f" else x for x in run.inputs]
    run.points = [x.astype(dtype) if kind(x) == "f" else x for x in run.points]
    for place in (HOST, device):
        outs, xs = run.call(place, run.points, grad=True)
        for x, y in zip(outs, wide, strict=True):
            if y.dtype == np.float64:
                assert x._array.dtype == dtype
                if case.smooth:
                    assert_close([place.host(x._array).astype("f8")], [y], 0.1)
        kept = [x for x, y in zip(outs, wide, strict=True) if y.dtype == np.float64 and x.requires_grad]
        seeds = [wrap(place.F.ones_like(x._array)) for x in kept]
        for g in gradcore.autograd.grad(kept, xs, seeds, allow_unused=True) if kept else []:
            assert g is None or g._array.dtype == dtype


def test_every_primitive_with_a_derivative_has_a_case() -> None:
    shown = {param.values[0].primitive for param in TABLE}
    primitives.load()
    ours = {name for name, op in registry.items() if op.module.startswith("gradcore.primitives")}
    unknown = sorted(shown - registry.keys())
    assert unknown == [], "no such primitives"
    missing = sorted(name for name in ours - shown if registry[name].differentiable)
    assert missing == [], "primitives without a case in tests/cases"
