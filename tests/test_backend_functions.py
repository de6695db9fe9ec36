"""What the functions of a backend mean, the same on every array library. It must not know Tensors.

The table of tests/backend_calls.py runs on NumPy, on the strict double and, where there is one, on a GPU.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gradcore import backends
from gradcore.backends import numpy as host
from tests.backend_calls import CALLS, PLACES, A

rng = np.random.default_rng()


@pytest.fixture(params=["numpy", "double", pytest.param("cuda", marks=pytest.mark.cuda)])
def place(request: pytest.FixtureRequest) -> Any:
    """A backend with the uncounted ways to it and back."""
    if request.param == "numpy":
        return SimpleNamespace(F=host, array=np.array, host=np.asarray)
    if request.param == "double":
        cuda = request.getfixturevalue("strict_cuda")
        return SimpleNamespace(F=cuda.backend, array=cuda.array, host=cuda.host)
    F = backends.for_device("cuda")
    return SimpleNamespace(F=F, array=F.from_host, host=F.to_host)


def on_host(place: Any, result: Any) -> Any:
    if isinstance(result, tuple | list):
        return [on_host(place, each) for each in result]
    if isinstance(result, int):
        return result
    array = place.F.as_array(result)
    assert type(array) is place.F.Array
    return place.host(array)


def assert_same(actual: Any, expected: Any) -> None:
    if isinstance(expected, tuple | list):
        assert len(actual) == len(expected)
        for a, e in zip(actual, expected, strict=True):
            assert_same(a, e)
    elif isinstance(expected, int):
        assert actual == expected
    else:
        expected = np.asarray(expected)
        assert actual.shape == expected.shape
        assert actual.dtype.kind == expected.dtype.kind
        if expected.dtype.kind in "fc":
            assert actual.dtype == expected.dtype
        tolerance = (
            {2: 2e-3, 4: 1e-6, 8: 1e-12}[np.real(expected).itemsize] if expected.dtype.kind in "fc" else 0
        )
        np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance * 10)


@pytest.mark.parametrize("name", CALLS)
def test_functions_mean_the_same_everywhere(name: str, place: Any) -> None:
    call, inputs, expected = CALLS[name]
    before = [x.copy() for x in inputs]
    noise = place.F.noise()
    place.F.quiet()
    try:
        result = call(place.F, *(place.array(x) for x in inputs))
    finally:
        place.F.unquiet(noise)
    assert_same(on_host(place, result), expected(*inputs))
    for x, y in zip(inputs, before, strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "i4", "i8", "f2", "f4", "f8", "c8", "c16"])
def test_scatter_add_counts_every_duplicate(dtype: str, place: Any) -> None:
    x = np.arange(12).reshape(4, 3).astype(dtype)
    values = rng.integers(0, 5, (5, 3)).astype(dtype)
    expected = x.copy()
    for i, row in zip(PLACES, values, strict=True):
        expected[i] += row
    out = place.F.scatter_add(place.array(x), place.array(PLACES), place.array(values))
    assert_same(place.host(out), expected)
    out = place.F.scatter_add(place.array(x), (slice(None), 1), place.array(values[:4, 0]))
    assert_same(place.host(out)[:, 1], x[:, 1] + values[:4, 0])


@pytest.mark.parametrize("rows", [5, 400])
def test_scatter_add_of_wide_rows_named_often_or_seldom(rows: int, place: Any) -> None:
    x, values, at = rng.normal(size=(rows, 40)), rng.normal(size=(300, 40)), rng.integers(0, rows, 300)
    expected = x.copy()
    np.add.at(expected, at, values)
    assert_same(place.host(place.F.scatter_add(place.array(x), place.array(at), place.array(values))), expected)


@pytest.mark.parametrize("mask", [True, False])
def test_scatter_add_at_pairs_and_masks(place: Any, mask: bool) -> None:
    x = rng.normal(size=(3, 4))
    if mask:
        chosen, values = x > 0, rng.normal(size=int((x > 0).sum()))
        out = place.F.scatter_add(place.array(x), place.array(chosen), place.array(values))
        expected = x.copy()
        expected[chosen] += values
    else:
        rows, columns = np.array([0, 1, 0]), np.array([3, -1, 3])
        expected = x.copy()
        np.add.at(expected, (rows, columns), np.ones(3))
        index = (place.array(rows), place.array(columns))
        out = place.F.scatter_add(place.array(x), index, place.array(np.ones(3)))
    assert_same(place.host(out), expected)


@pytest.mark.parametrize("trailing", [(), (2,), (3, 7)])
def test_scatter_add_and_take_at_many_pairs(place: Any, trailing: tuple[int, ...]) -> None:
    x, at = rng.normal(size=(30, 4, *trailing)), (rng.integers(-30, 30, (50, 1)), rng.integers(-4, 4, 60))
    values = rng.normal(size=(50, 60, *trailing))
    expected = x.copy()
    np.add.at(expected, at, values)
    index = tuple(map(place.array, at))
    assert_same(place.host(place.F.scatter_add(place.array(x), index, place.array(values))), expected)
    if not trailing:
        assert_same(place.host(place.F.take_at(place.array(x), index)), x[at])


@pytest.mark.parametrize("shape", [(1000, 1000), (300, 1003), (3, 9001), (1, 100_000), (300, 64), (200, 63)])
def test_running_sums_of_many_singles_are_as_good_as_one_rounding_or_few(shape: tuple[int, ...]) -> None:
    x = rng.normal(size=shape).astype("f4")
    for each in (x, x[:, ::-1], np.asfortranarray(x)):
        exact = np.cumsum(each, 1, "f8")
        columns = np.ascontiguousarray(each.T)
        for found in (host.cumsum(each, 1), host.cumsum(columns, 0).T, host.cumsum(each[:, :, None], 1)[..., 0]):
            assert found.dtype == "f4"
            error = np.abs(found - exact).max()
            assert error < 8 * np.finfo("f4").eps * np.abs(exact).max()  # one after the other, errors grow with the length


@pytest.mark.parametrize("at", [0, 7, 8, 500, 999])
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 3e38])
def test_running_sums_spread_what_is_not_finite_only_forwards(at: int, value: float) -> None:
    x = np.ones((200, 1000), "f4")
    x[3, at] = value
    x[3, min(at + 20, 999)] = value  # twice the largest numbers is infinity
    with np.errstate(all="ignore"):
        exact = np.cumsum(x, 1, "f8").astype("f4")
        assert_same(host.cumsum(x, 1), exact)
        assert_same(host.cumsum(np.ascontiguousarray(x.T), 0), exact.T)


@pytest.mark.parametrize(
    ("have", "wanted"),
    [((1, 3), (2, 3)), ((), (4,)), ((3, 1), (2, 3, 5)), ((0, 3), (2, 0, 3)), ((1,), (0,)), ((2, 3), (2, 3)), ((1,), (1, 1))],
)
def test_broadcast_views_repeat_without_a_copy_and_cannot_be_written(have: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    numbers = rng.normal(size=(2, *have))
    for x in (numbers[1:].reshape(have), np.array(numbers[1:].reshape(have), order="F"), np.ones(have, "V2")):
        out = host.broadcast_view(x, wanted)
        np.testing.assert_array_equal(out, np.broadcast_to(x, wanted))
        assert out.strides == np.broadcast_to(x, wanted).strides
        assert not out.flags.writeable
        assert not out.size or np.shares_memory(out, x)
    for wrong in ((7,), (2, 7), (3, 3, 3)):
        with pytest.raises(ValueError):  # noqa: PT011, in NumPy's words
            host.broadcast_view(np.ones((2, 3)), wrong)


@pytest.mark.parametrize("at", [30, -31])
def test_one_of_many_pairs_out_of_range_is_an_error(at: int) -> None:
    index = (np.where(np.arange(3000) == 7, at, 0), np.zeros(3000, "i8"))
    for call in (lambda x: host.take_at(x, index), lambda x: host.scatter_add(x, index, np.ones(3000))):
        with pytest.raises(IndexError):
            call(np.zeros((30, 4)))


@pytest.mark.parametrize("matrix", [np.zeros((2, 2)), -np.eye(2)])
def test_a_decomposition_that_fails_raises(matrix: Any, place: Any) -> None:
    call = place.F.inv if not matrix.any() else place.F.cholesky
    with pytest.raises(place.F.LinAlgError):
        call(place.array(matrix))


def test_views_share_one_storage(place: Any) -> None:
    F, x = place.F, place.array(A)
    for view in (
        x[1:],
        F.transpose(x),
        F.reshape(x, (-1,)),
        F.getitem(x, (0, 1)),
        F.broadcast_view(x[0], (9, 4)),
    ):
        assert F.storage(view) is F.storage(x)
        assert F.is_view(view)
    for copy in (F.copy(x), F.owned(x[1:]), F.add(x, 1.0), F.getitem(x, place.array(PLACES) % 3)):
        assert F.storage(copy) is not F.storage(x)
        assert not F.is_view(copy)
    F.setitem(F.getitem(x, (0, 1)), ..., 42.0)
    assert place.host(x)[0, 1] == 42.0
    with pytest.raises(RuntimeError, match="reach element"):
        F.as_strided(x, (3, 5), (4, 1), 0)
    with pytest.raises(ValueError, match="larger than shape"):
        F.sliding_window_view(x, (5,), (0,))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "c8", "c16"])
def test_random_numbers_have_their_distribution(dtype: str, place: Any) -> None:
    F = place.F
    g = F.generator(7)
    uniform, normal = (place.host(draw(g, (4000,), dtype)) for draw in (F.random_uniform, F.random_normal))
    assert uniform.dtype == normal.dtype == np.dtype(dtype)
    parts = uniform.view(uniform.real.dtype).astype("f8")
    assert parts.min() >= 0
    assert parts.max() < 1
    assert abs(parts.mean() - 0.5) < 0.05
    assert abs(np.mean(np.abs(normal.astype("c16")) ** 2) - 1) < 0.15
    integers = place.host(F.random_integers(g, -2, 3, (500,), "i8"))
    assert set(integers) == {-2, -1, 0, 1, 2}
    assert sorted(place.host(F.random_permutation(g, 9))) == list(range(9))
    for rate in (3, 40):
        counts = place.host(F.random_poisson(g, F.full((4000,), rate, "f4")))
        assert counts.dtype == np.float32
        assert bool((counts == counts.round()).all())
        assert abs(counts.mean() - rate) < 5 * (rate / 4000) ** 0.5
        assert abs(counts.var() / rate - 1) < 0.2


def test_bfloat16_sums_in_float32(place: Any) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    F = place.F
    x = F.full((600,), 0.1, ml_dtypes.bfloat16)
    for total in (F.sum(x), F.matmul(x, x) * 10):
        assert total.dtype == ml_dtypes.bfloat16
        assert abs(float(place.host(F.as_array(total)).astype("f8")) - 60) < 0.7


def test_bfloat16_stays_bfloat16(place: Any) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    F, x = place.F, place.array(A.astype(ml_dtypes.bfloat16))
    calls = [
        F.where(x > 0, x, x.dtype.type(0)),
        F.masked(x, x > 0),
        F.sort(x),
        F.matmul(x[None], F.transpose(x)),
        F.einsum("ij,kj->ik", x, x),
        F.cumsum(x, 0),
        F.max(x, 0),
        F.clip(x, -0.5, None),
        F.scatter_add(F.copy(x), place.array(PLACES), x[place.array(PLACES)]),
        F.exp(x) / 2,
    ]
    assert [y.dtype for y in calls] == [x.dtype] * len(calls)
    assert F.argsort(x).dtype == np.int64
    assert F.less(x, 0.0).dtype == np.bool_


def test_floating_point_warnings_are_silenced_and_come_back() -> None:
    one, zero = np.ones(2), np.zeros(2)
    noise = host.noise()
    host.quiet()
    host.divide(one, zero)
    host.unquiet(noise)
    assert np.isinf(host.quietly(host.divide, one, zero)).all()
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        host.divide(one, zero)


def test_numpy_arrays_are_taken_as_they_are() -> None:
    assert host.from_host(A) is A
    assert host.to_host(A) is A
    assert host.asarray(A) is A
    assert host.to_device(A, None) is A
    assert host.storage(A[1:][:, 2]) is A


# -- sums of many ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "axis"),
    [((100_003, 3), 0), ((3, 100_003), 1), ((70, 70, 5, 7), (0, 1)), ((9, 4, 50, 50), (0, 2, 3)), ((300_007,), None)],
    ids=str,
)
def test_sums_of_many_floats_stay_near_to_the_exact_ones(shape: tuple[int, ...], axis: Any) -> None:
    x = rng.random(shape, np.float32)
    np.testing.assert_allclose(host.sum(x, axis), x.astype(np.float64).sum(axis), rtol=1e-6)
    if x.ndim == 2:
        np.testing.assert_allclose(host.sum(np.asfortranarray(x), axis), x.astype(np.float64).sum(axis), rtol=1e-6)


@pytest.mark.parametrize("name", ["logical_and", "logical_or", "logical_xor", "logical_not"])
def test_complex_numbers_are_true_or_false(name: str, place: Any) -> None:
    x, y = np.array([0, 1, 1j, 2 + 1j, 0]), np.array([0, 0, 3j, 0, 1 + 1j])
    arrays = (x,) if name == "logical_not" else (x, y)
    result = getattr(place.F, name)(*map(place.array, arrays))
    np.testing.assert_array_equal(on_host(place, result), getattr(np, name)(*arrays))
