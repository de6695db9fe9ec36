"""The repr of tensors, byte for byte against torch's, on random arrays, dtypes and print options."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gradcore import dtypes, printing
from gradcore.devices import device
from gradcore.printing import tensor_repr

torch = pytest.importorskip("torch")

STORED = [each for each in dtypes._ALL.values() if each is not dtypes.complex32]
DEFAULTS = [dtypes.float32, dtypes.float64, dtypes.float16, dtypes.bfloat16]
quick = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(autouse=True)
def _options() -> Iterator[None]:
    yield
    for module in (printing, torch):
        module.set_printoptions(profile="default")
    set_default(dtypes.float32)


def set_default(dtype: dtypes.dtype) -> None:
    dtypes.set_default_dtype(dtype)
    torch.set_default_dtype(getattr(torch, dtype.name))


def set_options(**options: Any) -> None:
    printing.set_printoptions(**options)
    torch.set_printoptions(**options)


def as_torch(array: Any) -> Any:
    if array.dtype == dtypes.bfloat16.numpy:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def cast(values: Any, dtype: dtypes.dtype) -> Any:
    with np.errstate(all="ignore"):
        return np.asarray(np.asarray(values).astype(dtype.numpy))


def assert_same(array: Any, **described: Any) -> None:
    assert tensor_repr(array, **described) == repr(as_torch(array))


# -- Random arrays -------------------------------------------------------------------------------------------

whole = st.integers(-(10**9), 10**9).map(float)
fractions = st.floats(-1000, 1000, width=32)
magnitudes = st.builds(math.ldexp, st.floats(-2, 2), st.integers(-1074, 1022))
odd = st.sampled_from([0.0, -0.0, math.nan, math.inf, -math.inf, 1.0, -1.0, 0.5, 1e-4, 1e8, 1e3, 99999.5])
palettes = st.one_of(
    st.lists(whole, min_size=1, max_size=6),
    st.lists(whole | odd, min_size=1, max_size=6),
    st.lists(fractions, min_size=1, max_size=6),
    st.lists(fractions | odd, min_size=1, max_size=6),
    st.lists(magnitudes | odd, min_size=1, max_size=6),
    st.lists(odd, min_size=1, max_size=6),
)
small_shapes = st.lists(st.integers(0, 5), max_size=4).map(tuple)
large_shapes = st.sampled_from(
    [
        (1001,),
        (5000,),
        (1, 1200),
        (1200, 1),
        (40, 40),
        (7, 200),
        (6, 300),
        (12, 10, 10),
        (3, 8, 50),
        (5, 3, 9, 12),
    ]
)


@st.composite
def arrays(
    draw: st.DrawFn, shapes: st.SearchStrategy[tuple[int, ...]], stored: list[dtypes.dtype] = STORED
) -> Any:
    dtype, shape = draw(st.sampled_from(stored)), draw(shapes)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    if dtype.is_complex:
        parts = [rng.choice(draw(palettes), shape) for _ in range(2)]
        with np.errstate(all="ignore"):
            return cast(np.stack(parts, -1), dtype.to_real()).view(dtype.numpy).reshape(shape)
    if dtype.is_floating_point:
        return cast(rng.choice(draw(palettes), shape), dtype)
    high = 1 if dtype is dtypes.bool else dtypes.iinfo(dtype).max
    low = -high - 1 if dtype.is_signed else 0
    palette = draw(
        st.lists(st.integers(low, high) | st.integers(max(low, -20), min(high, 20)), min_size=1, max_size=6)
    )
    return np.asarray(np.asarray(palette, dtype.numpy)[rng.integers(len(palette), size=shape)])


print_options = st.fixed_dictionaries(
    {},
    optional={
        "precision": st.integers(0, 12),
        "threshold": st.sampled_from([0, 1, 5, 100, 1000, math.inf]),
        "edgeitems": st.integers(0, 5),
        "linewidth": st.sampled_from([1, 10, 20, 40, 79, 80, 120, 10**6]),
        "profile": st.sampled_from(["default", "short", "full"]),
        "sci_mode": st.sampled_from([None, True, False]),
    },
)


@quick
@given(arrays(small_shapes))
def test_small(array: Any) -> None:
    assert_same(array)


@settings(quick, max_examples=60)
@given(arrays(large_shapes))
def test_summarised(array: Any) -> None:
    assert_same(array)


@settings(quick, max_examples=200)
@given(arrays(small_shapes), print_options, st.sampled_from(DEFAULTS))
def test_options(array: Any, options: dict[str, Any], default: dtypes.dtype) -> None:
    set_options(profile="default")
    set_options(**options)
    set_default(default)
    assert printing.get_printoptions() == torch._tensor_str.get_printoptions()
    assert_same(array)


@settings(quick, max_examples=40)
@given(arrays(large_shapes), print_options.filter(lambda options: options.get("threshold", 0) != math.inf))
def test_options_summarised(array: Any, options: dict[str, Any]) -> None:
    set_options(**(options | {"profile": "short"}))
    assert_same(array)


@quick
@given(
    arrays(small_shapes, [each for each in STORED if each.is_floating_point or each.is_complex]),
    st.sampled_from([10, 40, 60, 70, 80]),
)
def test_suffixes_of_the_graph(array: Any, linewidth: int) -> None:
    set_options(linewidth=linewidth)
    leaf = as_torch(array).requires_grad_()
    assert tensor_repr(array, requires_grad=True) == repr(leaf)
    assert tensor_repr(array, requires_grad=True, grad_fn_name="CloneBackward0") == repr(leaf.clone())
    assert "Parameter containing:\n" + tensor_repr(array, requires_grad=True) == repr(
        torch.nn.Parameter(leaf)
    )


@quick
@given(arrays(small_shapes), st.sampled_from([30, 50, 60, 70, 80]))
def test_device_suffix(array: Any, linewidth: int) -> None:
    """Told that CUDA is the default, torch names the CPU: as long a name as that of "mps"."""
    set_options(linewidth=linewidth)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch._C, "_get_default_device", lambda: "cuda")
        expected = repr(as_torch(array)).replace("device='cpu'", "device='mps'")
    assert "device='mps'" in expected
    assert tensor_repr(array, device=device("mps")) == expected


def test_device_index() -> None:
    array = np.float32([1.5])
    assert tensor_repr(array, device=device("cuda:1")) == "tensor([1.5000], device='cuda:1')"
    assert tensor_repr(array, device=device("cpu:1")) == "tensor([1.5000])"


# -- Chosen arrays -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("default", DEFAULTS, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (2, 0, 3), (1,), (2, 3)], ids=str)
@pytest.mark.parametrize("dtype", STORED, ids=str)
def test_every_dtype_and_default(dtype: dtypes.dtype, shape: tuple[int, ...], default: dtypes.dtype) -> None:
    set_default(default)
    assert_same(cast(np.ones(shape), dtype))


@pytest.mark.parametrize(
    "values",
    [
        [0.0, -0.0],
        [math.nan, math.inf, -math.inf],
        [1.0, math.nan],
        [0.5, math.nan, -math.inf, 0.0],
        [1e-45],
        [5e-324, 1.7976931348623157e308],
        [1.7976931348623157e308],
        [1e8, 1.0],
        [1e8 + 1],
        [1e-4],
        [9.9999e-5],
        [1.0, 1000.0],
        [1.0, 1001.0],
        [0.99995],
        [9999.99996],
        [-1e10, math.inf],
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [each for each in STORED if each.is_floating_point], ids=str)
def test_notation_at_its_borders(dtype: dtypes.dtype, values: list[float]) -> None:
    for sci_mode in (None, True, False):
        set_options(sci_mode=sci_mode)
        assert_same(cast(values, dtype))
        assert_same(cast(values[0], dtype))


@pytest.mark.parametrize("size", [999, 1000, 1001])
def test_threshold(size: int) -> None:
    assert_same(np.arange(size))
    assert ("..." in tensor_repr(np.arange(size))) == (size > 1000)


@pytest.mark.parametrize("size", [6, 7])
def test_edgeitems_that_leave_nothing_out(size: int) -> None:
    set_options(threshold=1)
    assert_same(np.arange(size * size).reshape(size, size))


def test_complex_parts() -> None:
    parts = [0.0, -0.0, 1.0, -1.5, math.nan, math.inf, -math.inf, 1e10]
    values = np.array([complex(*pair) for pair in itertools.product(parts, parts)])
    assert_same(values)
    for value in values:
        assert_same(np.asarray(value))
        assert_same(np.asarray([value, 1 + 1j]).astype(np.complex64))


def test_views() -> None:
    base = np.arange(4000.0).reshape(40, 100)
    for view in (base.T, base[:, :50], base[::2, ::3]):
        assert_same(view)
    assert tensor_repr(base[::-1]) == repr(torch.from_numpy(base[::-1].copy()))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, from forward_ad
def test_given_contents_class_and_tangent() -> None:
    class Sub(torch.Tensor):  # type: ignore[name-defined, misc, unused-ignore]
        pass

    values = np.arange(12.0, dtype=np.float32).reshape(3, 4)
    assert tensor_repr(values, class_name="Sub") == repr(as_torch(values).as_subclass(Sub))
    for array in (values, np.zeros((0, 2), np.float64)):
        expected = torch._tensor_str._str(as_torch(array), tensor_contents="...")
        assert tensor_repr(array, tensor_contents="...") == expected
    with torch.autograd.forward_ad.dual_level():
        tangent = torch.ones(3, 4)
        dual = torch.autograd.forward_ad.make_dual(as_torch(values), tangent)
        assert tensor_repr(values, tangent=repr(tangent)) == repr(dual)


def test_printing_changes_nothing() -> None:
    values = np.linspace(-1, 1, 2000)
    values.flags.writeable = False
    before = values.copy()
    tensor_repr(values)
    assert (values == before).all()


def test_summary_of_a_large_array_is_quick() -> None:
    start = time.perf_counter()
    for shape in [(10**7,), (10, 10**6), (10**6, 10), (7, 10**6)]:
        tensor_repr(np.broadcast_to(np.float32(1), shape))
    assert time.perf_counter() - start < 1.0


# -- format() and the options --------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", ["", ".3f", "10.2e", ">12", "g"])
@pytest.mark.parametrize("dtype", [each for each in STORED if each is not dtypes.bool], ids=str)
def test_format_of_scalars(dtype: dtypes.dtype, spec: str) -> None:
    array = cast(3.14159, dtype)
    assert printing.tensor_format(object(), array, spec) == format(as_torch(array), spec)


def test_format_of_more_than_a_scalar() -> None:
    class Told:
        def __str__(self) -> str:
            return "told"

    assert printing.tensor_format(Told(), np.ones(2), "") == "told"
    with pytest.raises(TypeError, match="unsupported format string"):
        printing.tensor_format(Told(), np.ones(2), ".3f")
    with pytest.raises(TypeError, match="unsupported format string"):
        format(torch.ones(2), ".3f")


def test_printoptions_restores_even_after_an_error() -> None:
    before = printing.get_printoptions()

    def fail() -> None:
        with printing.printoptions(precision=1, sci_mode=True):
            assert tensor_repr(np.float32([0.25])) == "tensor([2.5e-01])"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert printing.get_printoptions() == before
