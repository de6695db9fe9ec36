"""NumPy's functions on tensors: values against NumPy, gradients against differences of NumPy's own results."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import gradcore
from tests.numpy_calls import FUNCTIONS

RNG = np.random.default_rng()


def drawn(name: str, shapes: Any) -> list[Any]:
    low, high = (0.1, 0.9) if "arc" in name else (0.5, 1.5)
    return [np.asarray(RNG.uniform(low, high, shape)) for shape in shapes]


def parts(result: Any) -> list[Any]:
    return list(result) if isinstance(result, (tuple, list)) else [result]


def host(x: Any) -> Any:
    return x.detach().numpy() if isinstance(x, gradcore.Tensor) else np.asarray(x)


def loss(result: Any, weights: Any) -> Any:
    """A weighted sum of all that can have a gradient."""
    total = 0.0
    for each, weight in zip(parts(result), weights, strict=True):
        if weight is not None:
            total = total + (each * weight).sum()
    return total


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_gradients_are_numpys(name: str) -> None:
    f, shapes = FUNCTIONS[name]
    arrays = drawn(name, shapes)
    expected = parts(f(*arrays))
    weights = [RNG.normal(size=np.shape(e)) if np.asarray(e).dtype.kind == "f" else None for e in expected]
    for tracked in [(i,) for i in range(len(arrays))] + [tuple(range(len(arrays)))]:
        leaves = [gradcore.tensor(a, requires_grad=True) if i in tracked else a for i, a in enumerate(arrays)]
        result = parts(f(*leaves))
        assert len(result) == len(expected)
        for ours, theirs in zip(result, expected, strict=True):
            if not isinstance(theirs, (int, bool)):
                assert isinstance(ours, gradcore.Tensor) or np.asarray(theirs).dtype.kind != "f"
            np.testing.assert_allclose(host(ours), theirs, 1e-9, 1e-9)
            assert host(ours).dtype == np.asarray(theirs).dtype
        value = loss(result, weights)
        if isinstance(value, gradcore.Tensor) and value.requires_grad:
            value.backward()
        for i in tracked:
            grad = leaves[i].grad
            slopes = differences(lambda *xs: loss(f(*xs), weights), arrays, i)
            np.testing.assert_allclose(0 * slopes if grad is None else host(grad), slopes, 2e-5, 2e-5)


def differences(f: Callable[..., Any], arrays: list[Any], at: int) -> Any:
    slopes = np.zeros_like(arrays[at])
    for place in np.ndindex(slopes.shape):
        values = []
        for step in (1e-6, -1e-6):
            moved = [a.copy() for a in arrays]
            moved[at][place] += step
            values.append(f(*moved))
        slopes[place] = (values[0] - values[1]) / 2e-6
    return slopes


SECOND = [
    "sum axis keepdims", "prod", "std", "@", "einsum", "linalg.solve", "linalg.inv", "linalg.norm", "stack", "where",
    "power", "array times", "cumprod", "convolve", "pad reflect", "clip", "sin", "arctan2", "logaddexp.reduce",
]  # fmt: skip


@pytest.mark.parametrize("name", SECOND)
def test_second_gradients_are_differences_of_first(name: str) -> None:
    f, shapes = FUNCTIONS[name]
    arrays = drawn(name, shapes)
    weights = [RNG.normal(size=np.shape(each)) for each in parts(f(*arrays))]
    ways = [RNG.normal(size=a.shape) for a in arrays]

    def slope(*xs: Any) -> Any:
        """The derivative of the squared loss along `ways`, recorded."""
        leaves = [x if isinstance(x, gradcore.Tensor) else gradcore.tensor(x, requires_grad=True) for x in xs]
        squared = [each**2 for each in parts(f(*leaves))]
        grads = gradcore.autograd.grad(loss(squared, weights), leaves, create_graph=True)
        return loss(grads, ways)

    leaves = [gradcore.tensor(a, requires_grad=True) for a in arrays]
    seconds = gradcore.autograd.grad(slope(*leaves), leaves)
    for i, second in enumerate(seconds):
        expected = differences(lambda *xs: slope(*xs).item(), arrays, i)
        np.testing.assert_allclose(host(second), expected, 1e-4, 1e-4)


# -- what is refused, and how ------------------------------------------------------------------------------------------


def tracked(*shape: int) -> Any:
    return gradcore.tensor(RNG.normal(size=shape), requires_grad=True)


REFUSED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "unknown function": (lambda t: np.histogram2d(t[0], t[1]), r"np\.histogram2d\(\).*t\.detach\(\)\.numpy\(\)"),
    "unknown in linalg": (lambda t: np.linalg.tensorinv(t, ind=1, foo=2), "foo"),
    "unknown ufunc": (lambda t: np.spacing(t), r"np\.spacing\(\).*t\.detach\(\)\.numpy\(\)"),
    "unknown method": (lambda t: np.hypot.reduceat(t, [0, 1]), r"np\.hypot\.reduceat\(\)"),
    "at": (lambda t: np.add.at(np.zeros(3), [0], t), r"np\.add\.at\(\)"),
    "a user's ufunc": (lambda t: np.frompyfunc(lambda x: x, 1, 1)(t), "detach"),
    "an argument": (lambda t: np.nansum(t, where=[True]), r"np\.nansum\(\).*'where'"),
    "an argument of a composed one": (lambda t: np.std(t, mean=t), r"np\.std\(\).*'mean'"),
    "out": (lambda t: np.sin(t, out=np.zeros((3, 3))), r"np\.sin\(\).*numpy\.ndarray.*t\.detach\(\)\.numpy\(\)"),
    "out of a function": (lambda t: np.sum(t, out=np.zeros(())), r"np\.sum\(\).*numpy\.ndarray"),
    "out by position": (lambda t: np.mean(t, 0, None, np.zeros(3)), r"np\.mean\(\).*numpy\.ndarray"),
    "where of a ufunc": (lambda t: np.sin(t, where=np.ones((3, 3), bool)), r"np\.sin\(\).*where="),
    "padding mode": (lambda t: np.pad(t, 1, mode="maximum"), "maximum"),
    "a wrong name": (lambda t: np.sum(t, dims=0), "dims"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_there_says_so(name: str) -> None:
    call, message = REFUSED[name]
    with pytest.raises(TypeError, match=message):
        call(tracked(3, 3))


def test_adding_into_an_array_is_refused_and_changes_nothing() -> None:
    array = np.ones(3)
    t = tracked(3)
    with pytest.raises(TypeError, match=r"np\.add\(\).*a = a \+ t"):
        array += t
    assert array.tolist() == [1, 1, 1]
    t2 = t * 1
    t2 += array
    assert t2.requires_grad


def test_asarray_keeps_torchs_refusal() -> None:
    for make in (np.asarray, np.array, np.asanyarray):
        with pytest.raises(RuntimeError, match=r"Can't call numpy\(\) on Tensor that requires grad"):
            make(tracked(3))


def test_out_is_honoured_for_constant_tensors_and_refused_for_tracked() -> None:
    a, b = gradcore.tensor([1.0, 2.0]), gradcore.zeros(2)
    assert np.add(a, a, out=b) is b
    assert b.tolist() == [2, 4]
    assert np.cumsum(a, out=b) is b
    assert b.tolist() == [1, 3]
    with pytest.raises(RuntimeError, match="out="):
        np.add(a, tracked(2), out=b)
    assert b.tolist() == [1, 3]
    with pytest.raises(TypeError, match="cannot write into a Tensor"):
        np.add(np.ones(2), 1, out=b)


def test_constants_on_the_host_may_go_where_no_gradient_is_lost() -> None:
    t = gradcore.tensor([1.0, 2.0, 2.5])
    counts, edges, _ = np.histogram2d(t, t, bins=3)
    assert counts.tolist() == np.histogram2d(t.numpy(), t.numpy(), bins=3)[0].tolist()
    assert type(edges) is np.ndarray
    broadcast = np.broadcast_arrays(t, None, "a")  # as matplotlib's bar does
    assert [x.shape for x in broadcast] == [(3,)] * 3
    with pytest.raises(TypeError, match="histogram2d"):
        np.histogram2d(t, t, weights=t.clone().requires_grad_())


def test_dtypes_follow_torch_and_numbers_are_weak() -> None:
    t = gradcore.ones(3, requires_grad=True)
    for made in (np.multiply(t, 2.5), np.float64(2) * t, np.maximum(t, 0.5), np.where(t > 0, t, 0.0), t / np.float64(3)):
        assert made.dtype is gradcore.float32
    assert np.multiply(t, np.ones(3)).dtype is gradcore.float64
    assert (np.arange(3) * t).dtype is gradcore.float32  # torch's promotion
    assert np.sin(t, dtype=np.float64).dtype is gradcore.float64
    assert np.sum(t, dtype=np.float64).dtype is gradcore.float64
    exact = gradcore.ones(3, dtype=gradcore.float64)
    assert np.maximum(exact, 1.1).tolist() == [1.1] * 3
    assert np.mean(gradcore.arange(3)).item() == 1


def test_questions_about_arrays_have_plain_answers() -> None:
    t = tracked(2, 3)
    assert (np.shape(t), np.ndim(t), np.size(t), np.size(t, 1)) == ((2, 3), 2, 6, 3)
    assert np.iscomplexobj(t) is False
    assert np.isrealobj(t) is True
    assert np.allclose(t, t.detach().numpy())
    assert np.array_equal(t, t) is True
    assert np.array_equal(t, t[0]) is False
    assert np.result_type(t, np.float32) == np.float64


def test_nodes_are_those_of_the_operators() -> None:
    t = tracked(3)
    assert (np.ones(3) * t).grad_fn.name() == "MulBackward0"
    assert (np.ones(3) / t).grad_fn.name() == "DivBackward0"
    assert np.power(t, 2).grad_fn.name() == "PowBackward0"
    assert np.sum(t).grad_fn.name() in ("SumBackward0", "SumBackward1")


def test_a_foreign_class_is_left_to_answer_itself() -> None:
    class Foreign:
        def __array_ufunc__(self, *args: Any, **keywords: Any) -> str:
            return "foreign"

        __array_function__ = __array_ufunc__

    assert np.add(tracked(2), Foreign()) == "foreign"
    assert np.stack([tracked(2), Foreign()]) == "foreign"


def test_a_users_ufunc_of_a_known_name_is_not_taken_for_it() -> None:
    class Named:
        __name__ = "sin"

    with pytest.raises(TypeError, match="detach"):
        tracked(2).__array_ufunc__(Named(), "__call__", tracked(2))


# -- a device ----------------------------------------------------------------------------------------------------------


def test_the_device_array_leaves_operators_to_the_tensor(strict_cuda: Any) -> None:
    """CuPy asks the instance for `__array_ufunc__` (None: ours is the operator), NumPy the class."""
    t = gradcore.tensor([1.0, 2.0], device="cuda", requires_grad=True)
    array = gradcore.tensor([3.0, 4.0], device="cuda")._array
    assert t.__array_ufunc__ is None
    assert callable(gradcore.Tensor.__array_ufunc__)
    assert callable(tracked(2).__array_ufunc__)
    with strict_cuda.never_waits():
        y = array * t + np.sin(t) * np.exp(array * t) + np.sum(t, axis=0, keepdims=True) + np.where(t > 1, t, array)
        np.maximum(np.stack([t, y]), 0.5).sum().backward()
    assert t.grad.is_cuda


def test_cupys_functions_of_elements_leave_tensors_to_themselves() -> None:
    """CuPy calls this method of an argument that is no array of its own (seen in cupy/_core/_kernel.pyx)."""
    t = tracked(3)
    for name, args, expected in (
        ("cupy_sin", (t,), t.sin()),
        ("cupy_add", (t, 2.0), t + 2),
        ("cupy_maximum", (0.5, t), t.clamp(min=0.5)),
    ):
        made = t.__cupy_override_elementwise_kernel__(SimpleNamespace(name=name), *args)
        assert made.requires_grad
        assert made.tolist() == expected.tolist()
    with pytest.raises(TypeError, match="my_kernel does not take tensors"):
        t.__cupy_override_elementwise_kernel__(SimpleNamespace(name="my_kernel"), t)


def test_a_host_array_does_not_meet_a_device_tensor_in_silence(strict_cuda: Any) -> None:
    t = gradcore.tensor([1.0, 2.0], device="cuda", requires_grad=True)
    with pytest.raises(RuntimeError, match="device"):
        np.multiply(t, np.ones(2))
    with pytest.raises(TypeError, match="not on the CPU"):
        np.histogram2d(t.detach(), t.detach())


def test_the_ends_of_linspace_are_exact_so_that_histograms_count_all() -> None:
    for x in np.random.default_rng().uniform(0.3, 1.7, (50, 9)):
        t = gradcore.tensor(x, requires_grad=True)
        line = np.linspace(t.min(), t.max(), 11)
        assert line[-1].item() == x.max()
        np.testing.assert_array_equal(np.histogram(t)[0].numpy(), np.histogram(x)[0])
        line.sum().backward()
        np.testing.assert_allclose(t.grad.numpy(), 5.5 * ((x == x.min()) + (x == x.max())), rtol=1e-12)
