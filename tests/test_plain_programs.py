"""Programs written for NumPy, differentiated unchanged: values, first and second derivatives against differences."""

from __future__ import annotations

import copy
import math
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import gradcore
from gradcore import func
from tests import numpy_programs
from tests.numpy_programs import PROGRAMS

RNG = np.random.default_rng()


def slope_along(f: Any, x: Any, way: Any, h: float) -> Any:
    return (np.asarray(f(x + h * way)) - np.asarray(f(x - h * way))) / (2 * h)


@pytest.mark.parametrize("name", PROGRAMS)
def test_derivatives_are_differences(name: str) -> None:
    program, x = PROGRAMS[name]
    expected = program(x.copy())
    given, way = x.copy(), RNG.normal(size=x.shape)
    gradient, value = func.grad_and_value(program)(given)
    assert type(gradient) is np.ndarray
    assert (gradient.dtype, gradient.shape) == (x.dtype, x.shape)
    assert (given == x).all(), "the caller's array was written"
    np.testing.assert_allclose(value, expected, 1e-10)
    slope = slope_along(lambda at: program(at.copy()), x, way, 1e-6)
    np.testing.assert_allclose(np.sum(gradient * way), slope, 1e-4, 1e-5)
    np.testing.assert_allclose(func.jvp(program, (x,), (way,))[1], np.sum(gradient * way), 1e-9, 1e-12)
    value, pull = func.vjp(program, x)
    np.testing.assert_allclose(pull(np.ones_like(value))[0], gradient, 1e-10)


@pytest.mark.parametrize("name", PROGRAMS)
def test_second_derivatives_are_differences_of_first(name: str) -> None:
    program, x = PROGRAMS[name]
    way = RNG.normal(size=x.shape)
    gradient = func.grad(program)
    curved = func.jvp(gradient, (x,), (way,))[1]
    np.testing.assert_allclose(curved, slope_along(gradient, x, way, 1e-6), 1e-3, 1e-4)


# Where NumPy makes double precision of single, or a program does.
IN_DOUBLE = ("moments", "ising", "monte_carlo", "table_lookup", "histograms", "fitted")


@pytest.mark.parametrize("name", [name for name in PROGRAMS if name not in IN_DOUBLE])
def test_single_precision_stays_as_in_numpy(name: str) -> None:
    program, x = PROGRAMS[name]
    single = x.astype(np.float32)
    gradient, value = func.grad_and_value(program)(single)
    assert gradient.dtype == np.float32
    assert value.dtype == np.asarray(program(single.copy())).dtype


@pytest.mark.parametrize("name", ["states_in_an_array", "masks", "burgers_in_place", "gaussian_process", "results_into"])
def test_whole_hessians(name: str) -> None:
    program, x = PROGRAMS[name]
    whole = func.hessian(program)(x).reshape(x.size, x.size)
    np.testing.assert_allclose(whole, whole.T, 1e-8, 1e-8)
    way = RNG.normal(size=x.shape)
    np.testing.assert_allclose(whole @ way.ravel(), func.jvp(func.grad(program), (x,), (way,))[1].ravel(), 1e-8, 1e-10)
    backwards = func.jacrev(func.grad(program))(x)
    np.testing.assert_allclose(backwards.reshape(whole.shape), whole, 1e-8, 1e-10)


def test_transforms_nest_and_batch() -> None:
    x = RNG.normal(size=(3, 4))
    inner = func.grad(lambda v: np.sum(np.sin(v) * v.std()))
    outer = func.grad(lambda v: np.sum(inner(v) ** 2))
    step = 1e-6 * np.eye(4)
    differences = [(np.sum(inner(x[0] + s) ** 2) - np.sum(inner(x[0] - s) ** 2)) / 2e-6 for s in step]
    np.testing.assert_allclose(outer(x[0]), differences, 1e-4, 1e-6)
    rows = func.vmap(func.grad(PROGRAMS["complex_numbers"][0]))(x)
    assert type(rows) is np.ndarray
    np.testing.assert_allclose(rows[1], func.grad(PROGRAMS["complex_numbers"][0])(x[1]), 1e-10)
    np.testing.assert_allclose(func.laplacian(lambda v: (v**3).sum())(x[0]), 6 * x[0].sum(), 1e-10)


# -- what a program may do with what it is given ---------------------------------------------------------------------------


def run(program: Any, *shape: int) -> Any:
    return func.grad(program)(RNG.normal(size=shape))


def test_arrays_behave_as_numpys() -> None:
    def program(x: Any) -> Any:
        plain = np.arange(12.0).reshape(3, 4)
        assert (x.shape, x.ndim, x.size, len(x), x.dtype) == ((3, 4), 2, 12, 3, np.dtype("float64"))
        assert (x.itemsize, x.nbytes, np.shape(x), np.size(x, 0)) == (8, 96, (3, 4), 3)
        y = x * 0 + plain
        assert y.tolist() == plain.tolist()
        assert y.item(5) == 5.0
        assert (int(y[1, 1]), round(y[0, 3]), bool(y[0, 0]), f"{y[2, 3]:.2f}") == (5, 3, False, "11.00")
        for index in (1, -1, slice(None, None, -2), (slice(2, None, -1), 1), (Ellipsis, None, 0), (0, [1, 3]),
                      ([0, 2], slice(None, None, -1)), [[0, 1], [1, 2]], plain > 5, (plain[:, 0] > 3, 2), np.uint8([2, 0]),
                      ([0, 1], [1, 1]), (np.int64(1), slice(1, 3)), (slice(None), np.array([[0], [3]]))):  # fmt: skip
            assert np.array_equal(y[index].tolist(), plain[index]), index
            ours, theirs = y.copy(), plain.copy()
            ours[index] = theirs[index] = -7.0
            assert ours.tolist() == theirs.tolist(), index
        cube = np.arange(24.0).reshape(2, 3, 4)
        assert (x[0, 0] * 0 + cube)[0, :, [1, 3]].tolist() == cube[0, :, [1, 3]].tolist()
        assert 5.0 in y
        assert copy.deepcopy(y).tolist() == y.tolist()
        assert np.can_cast(x.dtype, np.complex128)
        assert np.finfo(x.dtype).eps < 1e-10
        assert "traced" in repr(x)
        assert isinstance(x, np.ndarray)
        assert not np.isscalar(x)
        assert not isinstance(x, gradcore.Tensor)
        ordinary = [0.0, 1.0, 2.0]
        assert ordinary[x.argmax() % 3] in ordinary
        return x.sum()

    assert run(program, 3, 4).tolist() == np.ones((3, 4)).tolist()


def test_views_share_and_copies_do_not() -> None:
    def program(x: Any) -> Any:
        y = x.copy()
        row, turned, flat, own = y[1], y.T, y.reshape(-1), y.flatten()
        row[...] = 0.0
        assert (turned[0, 1], flat[2], own[2]) == (0.0, 0.0, x[1, 0])
        turned[1, 1] = 3.0
        flat[0] = x[0, 1] * 2
        assert (y[1, 1], row[1], y[0, 0]) == (3.0, 3.0, 2 * x[0, 1])
        return (y**2).sum()

    x = RNG.normal(size=(2, 2))
    np.testing.assert_allclose(func.grad(program)(x), [[0.0, 10 * x[0, 1]], [0.0, 0.0]])


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (lambda x: math.sqrt(x[0] ** 2), r"float\(\).*np\.sqrt, not math\.sqrt"),
        (lambda x: np.asarray(x, dtype="int64").sum() + complex(x[0]), r"complex\(\)"),
        (lambda x: np.add(x, 1, out=OUTSIDE), r"np\.add\(\).*made outside.*np\.zeros"),
        (lambda x: np.copyto(OUTSIDE, x), r"np\.copyto\(\).*made outside"),
        (lambda x: np.hypot.at(x, [0], 1.0), r"np\.hypot\.at\(\).*np\.add\.at"),
        (lambda x: np.histogram2d(x, x)[0], r"np\.histogram2d\(\)"),
        (lambda x: x.view(np.int64), r"astype"),
        (lambda x: np.random.default_rng(0).normal(x), r"would lose its derivative"),
    ],
    ids="math complex out copyto at unknown view random".split(),
)
def test_what_would_lose_a_derivative_is_refused(program: Any, message: str) -> None:
    before = OUTSIDE.copy()
    with pytest.raises(TypeError, match=message):
        run(program, 3)
    assert (before == OUTSIDE).all()


OUTSIDE = np.ones(3)


def test_writing_into_an_array_from_outside_is_refused() -> None:
    def program(x: Any) -> Any:
        OUTSIDE[0] = x[0]
        return x.sum()

    with pytest.raises((TypeError, ValueError)):
        run(program, 3)
    assert OUTSIDE[0] == 1.0


def test_numpy_is_as_it_was_afterwards() -> None:
    names = {name: getattr(np, name) for name in ("array", "zeros", "asarray", "full_like")}
    called = np.vectorize.__call__
    run(lambda x: np.zeros(3) @ x, 3)
    with pytest.raises(ZeroDivisionError):
        run(lambda x: 1 // 0, 3)
    assert {name: getattr(np, name) for name in names} == names
    assert np.vectorize.__call__ is called
    assert type(np.zeros(2)) is np.ndarray


def test_libraries_that_a_program_calls_get_plain_arrays() -> None:
    kinds = []

    def program(x: Any) -> Any:
        kinds.append(type(np.random.default_rng().random(3)))
        kinds.append(type(np.linspace(0, 1, 3)))
        kinds.append(type(np.asarray(OUTSIDE)))
        return x.sum()

    run(program, 3)
    assert kinds == [np.ndarray] * 3


def test_threads_do_not_disturb_each_other() -> None:
    running, over = threading.Event(), threading.Event()

    def program(x: Any) -> Any:
        running.set()
        assert over.wait(10)
        y = np.zeros(3)
        y[:] = x**2
        return y.sum()

    with ThreadPoolExecutor(2) as pool:
        job = pool.submit(run, program, 3)
        assert running.wait(10)
        assert type(np.zeros(3)) is np.ndarray  # here no program runs
        assert run(lambda x: np.array([x[0], x[1]]).sum(), 2).tolist() == [1.0, 1.0]
        over.set()
        assert job.result().shape == (3,)
    assert not hasattr(np.zeros, "__wrapped__")


def test_numbers_lists_and_more_results() -> None:
    slope, value = func.grad_and_value(lambda x: x**3)(np.float64(2.0))
    assert (float(slope), float(value)) == (12.0, 8.0)
    gradient, aux = func.grad(lambda x: ((x**2).sum(), {"mean": x.mean(), "label": "a"}), has_aux=True)(np.ones(2))
    assert (gradient.tolist(), float(aux["mean"]), aux["label"]) == ([2.0, 2.0], 1.0, "a")
    both = func.grad(lambda p: np.dot(p["w"], [1.0, 2.0]) * p["b"])({"w": np.ones(2), "b": np.asarray(3.0)})
    assert (both["w"].tolist(), both["b"].tolist()) == ([3.0, 6.0], 3.0)
    assert func.grad(lambda x: np.float64(1.0))(np.ones(2)).tolist() == [0.0, 0.0]
    rows = func.jacobian(lambda x: [x[0] * x, np.array([x[1], 1.0])])(np.array([2.0, 3.0]))
    assert [row.tolist() for row in rows] == [[[4.0, 0.0], [3.0, 2.0]], [[0.0, 1.0], [0.0, 0.0]]]
    weight = gradcore.tensor([1.0, 2.0], dtype=gradcore.float64, requires_grad=True)
    slope = func.grad(lambda x: (weight * x**2).sum())(np.ones(2))  # of a history outside, too
    assert isinstance(slope, gradcore.Tensor)
    assert slope.tolist() == [2.0, 4.0]
    slope.sum().backward()
    assert weight.grad.tolist() == [2.0, 2.0]


def test_tensors_are_handed_on_as_tensors() -> None:
    seen = []
    func.grad(lambda t: (seen.append(type(t)), t.sum())[1])(gradcore.ones(3))
    assert seen == [gradcore.Tensor]


# Programs that CuPy could run as well, and its stand-in can.
ON_A_DEVICE = """
    pendulum states_in_an_array burgers_in_place laplace orbit gaussian_process kalman convolved tensor_network
    rotations newton choices masks results_into methods numbers_are_no_views arguments_changed sequences complex_numbers
""".split()


@pytest.mark.parametrize("name", ON_A_DEVICE)
def test_programs_on_a_device(name: str, strict_cuda: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same programs with CuPy in NumPy's place."""
    import cupy as cp

    program, x = PROGRAMS[name]
    expected = func.grad(program)(x)
    monkeypatch.setattr(numpy_programs, "np", cp)
    gradient = func.grad(program)(strict_cuda.array(x))
    assert type(gradient).__module__ == "cupy"
    np.testing.assert_allclose(gradcore.tensor(gradient).cpu().numpy(), expected, 1e-8, 1e-8)


def test_on_a_device_by_cupys_own_names(strict_cuda: Any) -> None:
    import cupy as cp

    def program(x: Any) -> Any:
        y = cp.zeros(4)
        y[1:] = cp.sin(x) * cp.exp(-x)
        parts = cp.stack([x, y[1:]]).sum(axis=0)
        return cp.sum(cp.where(x > 0, parts, x**2)) + cp.linalg.norm(y) + cp.maximum(x, 0.5).std()

    def host(x: Any) -> Any:
        y = np.concatenate([[0.0], np.sin(x) * np.exp(-x)])
        parts = np.stack([x, y[1:]]).sum(axis=0)
        return np.sum(np.where(x > 0, parts, x**2)) + np.linalg.norm(y) + np.maximum(x, 0.5).std()

    x = RNG.normal(size=3)
    gradient = func.grad(program)(strict_cuda.array(x))
    assert type(gradient).__module__ == "cupy"
    np.testing.assert_allclose(gradcore.tensor(gradient).cpu().numpy(), func.grad(host)(x), 1e-10)
