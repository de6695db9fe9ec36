"""What the fused kernels compute, without a GPU.

The strict double runs their C++ on the host with one thread a block (tests/double/kernels.py); here blocks have several.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from gradcore.backends import composed
from gradcore.backends import numpy as host
from gradcore.primitives.windows import Window
from tests import double
from tests.double import kernels as pretended

needs_a_compiler = pytest.mark.skipif(pretended.COMPILER is None, reason="needs g++")

rng = np.random.default_rng()
X, Y = rng.normal(size=(2, 5, 37))


# -- values, with one thread a block and with several, either of which may be first ------------------------------------

TOLERANCE = {"f2": 2e-3, "E": 1.6e-2, "f4": 1e-4, "f8": 1e-11}
BLOCKS = [(1, False), (4, False), (32, True), (128, False)]


@pytest.fixture(params=BLOCKS, ids=lambda p: f"{p[0]} threads{', last first' * p[1]}")
def block(request: pytest.FixtureRequest) -> Iterator[None]:
    with pretended.block(*request.param):
        yield


def dtype_of(code: str) -> Any:
    return np.dtype(pytest.importorskip("ml_dtypes").bfloat16 if code == "E" else code)


def close(mine: Any, other: Any, code: str, scale: float = 1.0) -> None:
    """The device's array `mine` is `other`, computed in float64, in the precision of this dtype."""
    assert (mine.shape, mine.dtype) == (np.shape(other), dtype_of(code))
    tolerance = TOLERANCE[code] * scale
    np.testing.assert_allclose(mine._host.astype("f8"), other, rtol=tolerance, atol=tolerance)


CALLS = "softmax log_softmax softmax_backward log_softmax_backward".split()


@needs_a_compiler
@pytest.mark.parametrize("code", TOLERANCE)
@pytest.mark.parametrize("name", CALLS)
def test_rows(name: str, code: str, block: None, strict_cuda: Any) -> None:
    arrays, before = [each.astype(dtype_of(code)) for each in (X, Y)[: 1 + name.endswith("backward")]], len(pretended.runs)
    out = getattr(strict_cuda.backend, name)(*map(strict_cuda.array, arrays), (1,))
    assert pretended.runs[before:] == [f"gradcore_{name}"]
    close(out, getattr(composed, name)(host, *(x.astype("f8") for x in arrays), (1,)), code, 8.0)


BROKEN = {
    "no barrier": ("__syncthreads();\n    for", "for"),
    "a barrier for some": ("value = part[0];\n    __sync", "value = part[0];\n    if (threadIdx.x) __sync"),
}


@needs_a_compiler
@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_barrier_would_be_seen(how: str, strict_cuda: Any) -> None:
    kernel = next(each for each in launch().raw_kernels if each.name == "gradcore_softmax")
    x, faults = strict_cuda.array(X), 0
    text = kernel.text("d").replace(*BROKEN[how])
    assert text != kernel.text("d")
    for last_first in (False, True):
        out = strict_cuda.backend.empty(X.shape, X.dtype)
        with pretended.block(8, last_first):
            try:
                pretended.RawKernel(text, kernel.name)((5,), (64,), (x, out, np.int64(37)), shared_mem=512)
            except AssertionError:
                faults += 1
                continue
        faults += not np.allclose(out._host, composed.softmax(host, X, (1,)))
    assert faults


@needs_a_compiler
def test_memory_that_nobody_asked_for_would_be_seen(strict_cuda: Any) -> None:
    kernel, x = next(each for each in launch().raw_kernels if each.name == "gradcore_softmax"), strict_cuda.array(X)
    text = kernel.text("d").replace("part[threadIdx.x] = value;", "part[64 + threadIdx.x] = part[threadIdx.x] = value;")
    assert text != kernel.text("d")
    with pretended.block(64), pytest.raises(AssertionError, match="or write to memory nobody asked for"):
        pretended.RawKernel(text, kernel.name)((5,), (64,), (x, x.copy(), np.int64(37)), shared_mem=512)


OTHERS = (
    "add_pieces add_rows attend attend_key attend_query column_parts column_total columns cross_entropy "
    "cross_entropy_backward destandardize dropout image normalize_backward normalize_weights standardize"
).split()
WINDOWS = {
    "line": ((2, 3, 9), Window((3,), (2,), (1,), ((1, 1),))),
    "plane": ((2, 3, 5, 7), Window((3, 2), (1, 2), (1, 2), ((1, 0), (2, 1)))),
    "one cell": ((2, 3, 4, 5), Window((1, 1), (1, 1), (1, 1), ((0, 0), (0, 0)))),
    "gaps": ((1, 2, 8, 8), Window((2, 2), (3, 3), (1, 1), ((0, 0), (0, 0)))),
    "room": ((2, 2, 4, 3, 5), Window((2, 3, 2), (1, 1, 2), (2, 1, 1), ((1, 1), (1, 1), (0, 1)))),
    "four axes": ((2, 3, 3, 3, 3, 3), Window((2,) * 4, (1,) * 4, (1,) * 4, ((0, 0),) * 4)),
}


@needs_a_compiler
@pytest.mark.parametrize("code", ["f4", "E"])
@pytest.mark.parametrize("which", WINDOWS)
def test_windows_as_columns_and_back(which: str, code: str, strict_cuda: Any) -> None:
    """The columns exactly; and adding them up is the transpose."""
    (shape, window), F, before = WINDOWS[which], strict_cuda.backend, len(pretended.runs)
    x = rng.integers(-8, 8, shape).astype(dtype_of(code))
    for together in (False, True):
        seen = F.columns(strict_cuda.array(x), window, together)
        expected = composed.columns(host, x.astype("f8"), window, together)
        assert (seen.shape, seen.dtype) == (expected.shape, x.dtype)
        np.testing.assert_array_equal(seen._host.astype("f8"), expected)
    y = rng.integers(-8, 8, composed.columns(host, x, window).shape)
    back = F.image(strict_cuda.array(y.astype(x.dtype)), window, shape[2:])
    assert back.shape == shape
    np.testing.assert_array_equal(back._host.astype("f8"), composed.image(host, y.astype("f8"), window, shape[2:]))
    assert pretended.runs[before:] == ["gradcore_columns", "gradcore_columns", "gradcore_image"] * (which != "four axes")


# What is normalised, the axes, and for weights the first axis along which they lie and how many.
NORMALISED = {
    "rows": ((5, 37), (1,), 1, 1),
    "one row": ((3, 7), (0, 1), 0, 2),
    "planes": ((5, 3, 11), (1, 2), 1, 2),
    "columns": ((37, 5), (0,), 1, 1),
    "images": ((3, 4, 2, 5), (0, 2, 3), 1, 1),
    "large images": ((2, 3, 150), (0, 2), 1, 1),
}


@needs_a_compiler
@pytest.mark.parametrize("code", TOLERANCE)
@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("which", NORMALISED)
def test_standardize_and_back(which: str, centred: bool, code: str, block: None, strict_cuda: Any) -> None:
    (shape, axis, _, _), F, before = NORMALISED[which], strict_cuda.backend, len(pretended.runs)
    kept = [1 if a in axis else n for a, n in enumerate(shape)]
    x, y, scale = (each.astype(dtype_of(code)) for each in (*rng.normal(size=(2, *shape)), rng.random(kept)))
    found = F.standardize(strict_cuda.array(x), axis, 1e-3, centred)
    back = F.destandardize(*map(strict_cuda.array, (x, y, scale)), axis, centred)
    assert pretended.runs[before:] == ["gradcore_standardize", "gradcore_destandardize"]
    x, y, scale = (each.astype("f8") for each in (x, y, scale))
    expected = (
        *composed.standardize(host, x, axis, 1e-3, centred),
        composed.destandardize(host, x, y, scale, axis, centred),
    )
    for mine, other in zip((*found, back), expected, strict=True):
        close(mine, other, code, 4.0)


@needs_a_compiler
@pytest.mark.parametrize("code", TOLERANCE)
@pytest.mark.parametrize("which", NORMALISED)
def test_normalize_and_back(which: str, code: str, block: None, strict_cuda: Any) -> None:
    """Rows far from 0, whose mean 16 bits do not hold: it is kept in 32."""
    (shape, axis, channel, many), F, before = NORMALISED[which], strict_cuda.backend, len(pretended.runs)
    weights = shape[channel : channel + many]
    x, g, scale, shift = (
        each.astype(dtype_of(code))
        for each in (rng.normal(size=shape) + 3, rng.normal(size=shape), *rng.normal(size=(2, *weights)))
    )
    out, kept, mean, variance = F.normalize(*map(strict_cuda.array, (x, scale, shift)), axis, 1e-3, channel)
    arrays = (strict_cuda.array(g), kept, strict_cuda.array(scale), mean, variance)
    back = [
        F.normalize_backward(*arrays, axis, 1e-3, channel, n)
        for n in ((True, True, True), (False, True, False), (True, False, False))
    ]
    rows = "gradcore_normalize_weights" if channel + many == len(shape) and channel == axis[0] else ""
    again = ["gradcore_normalize_weights", "gradcore_column_total"] * bool(rows)
    one = ["gradcore_normalize_backward"]
    assert pretended.runs[before:] == ["gradcore_standardize", *one, *again, *(again or one), *one]
    x, g, scale, shift = (each.astype("f8") for each in (x, g, scale, shift))
    expected, *saved = composed.normalize(host, x, scale, shift, axis, 1e-3, channel)
    close(out, expected, code, 4.0)
    assert mean.dtype == variance.dtype == ("f8" if code == "f8" else "f4")
    for mine, other in zip((mean, variance), saved[1:], strict=True):
        np.testing.assert_allclose(mine._host, other, rtol=1e-4)
    expected = composed.normalize_backward(host, g, saved[0], scale, *saved[1:], axis, 1e-3, channel, (True,) * 3)
    for mine, other in zip(back[0], expected, strict=True):
        close(mine, other, code, 8.0)
    assert [each is None for each in (*back[1], *back[2])] == [True, False, True, False, True, True]
    np.testing.assert_array_equal(back[1][1]._host, back[0][1]._host)
    np.testing.assert_array_equal(back[2][0]._host, back[0][0]._host)


@needs_a_compiler
@pytest.mark.parametrize("code", TOLERANCE)
@pytest.mark.parametrize("shape", [(8192, 37), (1 << 17, 2), (300, 30, 32), (5000, 64)], ids=str)
def test_sums_of_long_columns(shape: tuple[int, ...], code: str, strict_cuda: Any) -> None:
    x = rng.integers(-1, 2, shape).astype(dtype_of(code))
    before, axes = len(pretended.runs), tuple(range(len(shape) - 1))
    with pretended.block(64):
        out = strict_cuda.backend.sum(strict_cuda.array(x), axes)
    assert pretended.runs[before:] == ["gradcore_column_parts", "gradcore_column_total"]
    expected = x.astype("f8").sum(axes)
    np.testing.assert_array_equal(out._host, expected.astype(x.dtype))


@needs_a_compiler
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_cross_entropy(dtype: str, block: None, strict_cuda: Any) -> None:
    x, target, before = X.astype(dtype), np.array([0, 36, -1, 5, 5]), len(pretended.runs)
    loss, p = strict_cuda.backend.cross_entropy(strict_cuda.array(x), strict_cuda.array(target), 0.25)
    assert pretended.runs[before:] == ["gradcore_cross_entropy"]
    expected = np.exp(X) / np.exp(X).sum(1, keepdims=True)
    assert loss.dtype == p.dtype == dtype
    np.testing.assert_allclose(strict_cuda.host(p), expected, rtol=1e-5)
    np.testing.assert_allclose(strict_cuda.host(loss), -0.25 * np.log(expected[np.arange(5), target]).sum(), rtol=1e-5)
    g = strict_cuda.array(np.asarray(3.0, dtype))
    back = strict_cuda.backend.cross_entropy_backward(g, p, strict_cuda.array(target), 0.25)
    assert pretended.runs[before:] == ["gradcore_cross_entropy", "gradcore_cross_entropy_backward"]
    expected[np.arange(5), target] -= 1
    np.testing.assert_allclose(strict_cuda.host(back), expected * 0.75, rtol=1e-5, atol=1e-6)


EDGES = np.array([0.0, -0.0, 1e-30, -1e-30, 88.0, -88.0, 1e4, -1e4, np.inf, -np.inf, np.nan])
NUMBERS: dict[str, tuple[float, ...]] = {
    **dict.fromkeys(("softplus", "softplus_backward"), (2.0, 5.0)),
    **dict.fromkeys(("leaky_relu", "leaky_relu_backward"), (0.3,)),
    **dict.fromkeys(("elu", "elu_backward"), (1.7, 1.1, 0.6)),
}
ELEMENTWISE = (
    "affine sigmoid sigmoid_backward tanh_backward gelu gelu_backward gelu_tanh gelu_tanh_backward silu silu_backward "
    "softplus softplus_backward leaky_relu leaky_relu_backward elu elu_backward log_sigmoid log_sigmoid_backward"
).split()


@needs_a_compiler
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_a_kernel_computes_what_it_stands_for(name: str, dtype: str, strict_cuda: Any) -> None:
    """Also where functions saturate; and it is the kernel that runs, not what stands for it."""
    function = getattr(strict_cuda.backend, name)
    values = np.concatenate([EDGES, rng.normal(size=50) * 4]).astype(dtype)
    arrays = [np.ones_like(values), values] if name.endswith("backward") else [values]
    if name == "affine":
        arrays = [values[:, None], values[None, 11:], values[None, 11:]]
    with np.errstate(all="ignore"):
        expected = getattr(composed, name)(host, *arrays, *NUMBERS.get(name, ()))
    before = len(pretended.runs)
    out = strict_cuda.host(function(*map(strict_cuda.array, arrays), *NUMBERS.get(name, ())))
    assert pretended.runs[before:] == [f"gradcore_{name}"]
    assert out.dtype == dtype
    tolerance = 1e-5 if dtype == "f4" else 1e-13
    np.testing.assert_allclose(out, expected, rtol=tolerance, atol=tolerance)


@needs_a_compiler
def test_masked_keeps_nothing_of_what_it_hides(strict_cuda: Any) -> None:
    F = strict_cuda.backend
    for mask in (EDGES > 0, EDGES, np.arange(11) % 2):
        out = strict_cuda.host(F.masked(strict_cuda.array(EDGES), strict_cuda.array(mask)))
        np.testing.assert_array_equal(out, np.where(mask != 0, EDGES, 0))


@needs_a_compiler
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(
    ("shape", "index"),
    [
        ((7, 3), (rng.integers(0, 7, 50),)),
        ((7,), (rng.integers(-7, 7, 50),)),
        ((4, 5, 2), (rng.integers(0, 4, (6, 1)), rng.integers(0, 5, (1, 9)))),
        ((3, 300), (np.zeros(100, "i4"),)),
        ((3, 2), (np.zeros(0, "i8"),)),
        ((20, 20), tuple(rng.integers(-20, 20, (2, 30)).astype("i1"))),
        ((300,), (np.arange(-100, 100, dtype="i1"),)),
    ],
    ids=["rows", "numbers", "two axes", "one place", "nothing", "small integers", "fewer than places"],
)
def test_sums_at_places_come_in_the_order_of_the_values(shape: Any, index: Any, dtype: str, strict_cuda: Any) -> None:
    start = rng.normal(size=shape).astype(dtype)
    values = rng.normal(size=np.broadcast_shapes(*(i.shape for i in index)) + shape[len(index) :]).astype(dtype)
    x, before = strict_cuda.array(start), len(pretended.runs)
    with strict_cuda.never_waits():
        strict_cuda.backend.add_at(x, tuple(map(strict_cuda.array, index)), strict_cuda.array(values))
    assert set(pretended.runs[before:]) - {"gradcore_add_pieces"} == ({"gradcore_add_rows"} if values.size else set())
    np.add.at(start, index, values)
    np.testing.assert_array_equal(strict_cuda.host(x), start)


LONG = {
    "one": np.zeros(1000, "i8"),
    "few": rng.integers(0, 5, 3000),
    "as many as a piece": np.repeat([3, 1, 4], 128),
    "one more": np.repeat([3, 1, 4, 0], [129, 127, 257, 1]),
    "one here and there": np.repeat(np.arange(300), rng.integers(0, 3, 300) * 100 + 1),
}


@needs_a_compiler
@pytest.mark.parametrize("code", TOLERANCE)
@pytest.mark.parametrize("which", LONG)
def test_sums_of_many_values_come_in_pieces(which: str, code: str, strict_cuda: Any) -> None:
    """Values so small that every sum of them is exact; that of 16 bits is rounded once."""
    index, before = rng.permutation(LONG[which]), len(pretended.runs)
    start, values = rng.integers(-8, 8, (300, 2)), rng.integers(-1, 2, (index.size, 2))
    x = strict_cuda.array(start.astype(dtype_of(code)))
    out = strict_cuda.backend.scatter_add(
        x, strict_cuda.array(index), strict_cuda.array(values.astype(dtype_of(code)))
    )
    assert out is x
    assert pretended.runs[before:] == ["gradcore_add_rows", "gradcore_add_pieces"]
    np.add.at(start, index, values)
    np.testing.assert_array_equal(x._host.astype("f8"), start.astype(dtype_of(code)).astype("f8"))


@pytest.mark.parametrize("dtype", ["i8", "c16"])
def test_other_dtypes_are_composed(dtype: str, strict_cuda: Any) -> None:
    x = (X * 3).astype(dtype)
    out = strict_cuda.host(strict_cuda.backend.sigmoid(strict_cuda.array(x)))
    np.testing.assert_allclose(out, composed.sigmoid(host, x), rtol=1e-6)


def launch() -> Any:
    return double.parts()["gradcore.backends.kernels.launch"]


def test_every_kernel_is_in_a_table(strict_cuda: Any) -> None:
    names = {kernel.name for kernel in (*launch().elementwise_kernels, *launch().raw_kernels)}
    assert names == {f"gradcore_{name}" for name in (*ELEMENTWISE, "masked", *CALLS, *OTHERS)}


def test_kernels_that_may_have_the_largest_blocks_say_so(strict_cuda: Any) -> None:
    """Without it a compiler may take more registers for a thread than there are for 1024 of them."""
    bodies = [kernel.source.partition("__global__ void")[2] for kernel in launch().raw_kernels]
    kernels = [text for text in bodies if "block_sum(" in text or "row_top(" in text]
    assert len(kernels) >= 8
    assert all(text.startswith(" __launch_bounds__(1024) ") for text in kernels)


@needs_a_compiler
def test_more_blocks_than_a_launch_takes_are_composed(strict_cuda: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    B, before = strict_cuda.backend, len(pretended.runs)
    x, target, weight = strict_cuda.array(X), strict_cuda.array(np.arange(5)), strict_cuda.array(np.ones(37))
    programs = [
        lambda: B.softmax(x, (1,)),
        lambda: B.log_softmax_backward(x, x, (1,)),
        lambda: B.cross_entropy(x, target, 1.0)[0],
        lambda: B.standardize(x, (1,), 0.1)[0],
        lambda: B.normalize(x, weight, weight, (1,), 0.1, 1)[0],
        lambda: B.attend(x, x, x, None, 0.1, False)[0],
    ]
    expected = [program()._host for program in programs]
    assert len(pretended.runs) == before + len(programs)
    monkeypatch.setattr(launch(), "BLOCKS", 4)
    for program, values in zip(programs, expected, strict=True):
        np.testing.assert_allclose(program()._host, values, atol=1e-12)
    assert set(pretended.runs[before + len(programs) :]) <= {"gradcore_sigmoid", "gradcore_affine"}


@needs_a_compiler
def test_an_array_of_another_device_would_be_seen(strict_cuda: Any) -> None:
    x = strict_cuda.array(X)
    kernels = [each for each in launch().elementwise_kernels if each.name == "gradcore_sigmoid"]
    kernels += [lambda x: launch().raw_kernels[0].blocks((1,), 32, x)]
    with strict_cuda.cupy.cuda.Device(1):
        for kernel in kernels:
            with pytest.raises(ValueError, match="array device must be same as the current device"):
                kernel(x)
