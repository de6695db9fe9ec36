"""Constructors against torch: shapes, dtypes, values, strides, sharing, errors."""

from __future__ import annotations

import warnings
from array import array as machine_array
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gradcore

torch = pytest.importorskip("torch")


def outcome(library: Any, text: str) -> Any:
    """What an expression gives in a library: everything a user can see of it, or its error's type."""
    names = {"t": library, "np": np, "a": library.ones(2, 3), "i": library.ones(2, dtype=library.int8)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            made = eval(text, names)
        except Exception as error:
            return type(error)
    if not isinstance(made, library.Tensor):
        return repr(made)
    strides = () if made.numel() == 0 else made.stride()
    return repr(made), str(made.dtype), tuple(made.shape), strides, made.requires_grad, made.is_leaf


def uninitialised(library: Any, text: str) -> Any:
    found = outcome(library, text)
    return found if isinstance(found, type) else found[1:]


def listed(text: str) -> list[str]:
    """The expressions of a text, several to a line."""
    return [each for line in text.split("\n")[1:-1] for each in line.split(" ;; ")]


LITERALS = listed("""
t.tensor(np.float64(3)) ;; t.tensor([np.float64(3), 1]) ;; t.tensor([np.float32(3), 1.5])
t.tensor([np.float32(3), 2]) ;; t.tensor([np.int32(3), 2]) ;; t.tensor([np.bool_(True)])
t.tensor([True, 2]) ;; t.tensor([True, 2.5]) ;; t.tensor([1, 2.5j]) ;; t.tensor([[1, 2], [3]])
t.tensor([[1, 2], [3, 4, 5]]) ;; t.tensor([[1, 2], 3]) ;; t.tensor([1, [2]]) ;; t.tensor((1, (2,)))
t.tensor([[[1], [2]], [[3], [4, 5]]]) ;; t.tensor([]) ;; t.tensor([[], []]) ;; t.tensor([[], [1]])
t.tensor([t.tensor(1), t.tensor(2.)]) ;; t.tensor([t.tensor(1., dtype=t.float64), 2])
t.tensor([t.ones(2), t.ones(2)]) ;; t.tensor([t.ones(1), t.ones(1)]) ;; t.tensor([[t.tensor(1.)]])
t.tensor([np.ones(2), np.ones(2)]) ;; t.tensor([np.ones(2), np.ones(2)], dtype=t.float32)
t.tensor([np.ones(2), [1, 2]]) ;; t.tensor('abc') ;; t.tensor(['abc']) ;; t.tensor([None]) ;; t.tensor(None)
t.tensor({1: 2}) ;; t.tensor({1, 2}) ;; t.tensor(range(3)) ;; t.tensor(memoryview(b'ab')) ;; t.tensor(b'ab')
t.tensor([1, 2], requires_grad=True) ;; t.tensor([1., 2], requires_grad=True)
t.tensor(t.ones(2, requires_grad=True)) ;; t.tensor(t.ones(2), dtype=t.int32)
t.tensor(np.array([1, 2], dtype='>i4')) ;; t.tensor(np.array(['a'])) ;; t.tensor(2 ** 63)
t.tensor([2 ** 70]) ;; t.tensor([300], dtype=t.uint8) ;; t.tensor(300, dtype=t.uint8)
t.tensor([-1], dtype=t.uint8) ;; t.tensor([1.5], dtype=t.int32) ;; t.tensor([1.5], dtype=t.bool)
t.tensor([1.5j], dtype=t.float32) ;; t.tensor([float('nan')], dtype=t.int32)
t.tensor([1e40], dtype=t.float32) ;; t.tensor([1e40], dtype=t.float16)
t.tensor([1.5, 2], dtype=t.bfloat16) ;; t.tensor(1e40) ;; t.tensor([1, 2], dtype='float32')
t.tensor([1, 2], dtype=float) ;; t.tensor() ;; t.tensor([1], 2) ;; t.tensor(data=[1]) ;; t.tensor(1 + 2j)
t.tensor([1., True, 2], dtype=t.int8) ;; t.as_tensor([1, 2]) ;; t.as_tensor(3) ;; t.as_tensor(np.float32(2))
t.as_tensor([1.], requires_grad=True) ;; t.as_tensor(i, dtype=t.float32) ;; t.asarray([1, 2.])
t.asarray(t.ones(2, requires_grad=True), requires_grad=True) ;; t.asarray(np.array([1]), requires_grad=True)
t.asarray([1.], copy=False) ;; t.asarray(np.array([1.]), dtype=t.float32, copy=False)
t.asarray(bytearray(b'abc')) ;; t.asarray(bytearray(b'ab'), dtype=t.uint8)
t.frombuffer(bytearray(b'abcdefgh'), dtype=t.float32)
t.frombuffer(bytearray(b'abcdefgh'), dtype=t.int16, count=2, offset=2)
t.frombuffer(bytearray(b'abc'), dtype=t.int16) ;; t.frombuffer(bytearray(b'abcd'), dtype=t.int16, count=3)
t.from_numpy([1]) ;; t.from_numpy(np.float32(2)) ;; t.from_numpy(np.array([1, 2], dtype='O'))
t.from_dlpack(np.ones(2)) ;; t.from_dlpack([1]) ;; t.Tensor([1, 2]) ;; t.Tensor(3.5) ;; t.Tensor()
t.Tensor(i) ;; t.Tensor((2, 3)) ;; t.Tensor(np.ones(2)) ;; t.LongTensor([1.5]) ;; t.BoolTensor([1, 0])
a.new_tensor([1, 2]) ;; i.new_tensor([1.5, 2]) ;; a.new_tensor([1, 2], dtype=t.int64) ;; a.new([1, 2])
""")

FILLED = listed("""
t.zeros(2, 3) ;; t.zeros((2, 3)) ;; t.zeros([2]) ;; t.zeros(()) ;; t.zeros() ;; t.zeros(size=(2,))
t.zeros(t.Size([2])) ;; t.zeros(t.tensor(2)) ;; t.zeros(-1) ;; t.zeros(2.0)
t.zeros(2, dtype=t.int8, requires_grad=True) ;; t.zeros(2, dtype=float) ;; t.zeros(2, foo=1)
t.zeros(2, 3, out=t.empty(0)) ;; t.zeros(2, out=t.empty(3)) ;; t.zeros(2, out=t.empty(0, dtype=t.int32))
t.zeros(2, out=t.empty(0, dtype=t.int32), dtype=t.float32) ;; t.ones(0, 3) ;; t.ones(2, requires_grad=True)
t.ones(2, layout=t.strided) ;; t.full((2,), 1) ;; t.full((2,), True) ;; t.full((2,), 1.5)
t.full((2,), 1j) ;; t.full((2,), t.tensor(2.5)) ;; t.full((2,), t.tensor(2, dtype=t.int8)) ;; t.full(2, 1)
t.full((2,), 1, dtype=t.float64) ;; t.full((2,), t.tensor(2.5, requires_grad=True))
t.full((2,), 1.5, dtype=t.int32) ;; t.full((2,), 300, dtype=t.uint8) ;; t.full((2,), np.float64(2))
t.full_like(a, 2) ;; t.full_like(a, 2, dtype=t.int32) ;; t.full_like(i, 2.5) ;; t.ones_like(a.t())
t.zeros_like(a.expand(4, 2, 3)) ;; t.zeros_like(a.t(), memory_format=t.contiguous_format)
t.zeros_like(a, requires_grad=True) ;; t.zeros_like([1]) ;; a.new_zeros(2, 3) ;; a.new_zeros((2, 3))
a.new_full((2,), 2) ;; a.double().new_full((2,), 2) ;; a.new_ones(2, dtype=t.int32)
a.new_ones(2, requires_grad=True) ;; t.scalar_tensor(2) ;; t.scalar_tensor(2, dtype=t.int32) ;; t.arange(3)
t.arange(3.) ;; t.arange(1, 4) ;; t.arange(1, 4, dtype=t.float32) ;; t.arange(0, 1, 0.25)
t.arange(1, 0, -0.3) ;; t.arange(0) ;; t.arange(1, 0) ;; t.arange(0, 1, 0) ;; t.arange(0, 3, -1)
t.arange(t.tensor(3)) ;; t.arange(t.tensor(3.)) ;; t.arange(True) ;; t.arange(end=4)
t.arange(start=1, end=4, step=2) ;; t.arange(1, step=2, end=4) ;; t.arange() ;; t.arange(3, out=t.empty(0))
t.arange(2.5, dtype=t.int64) ;; t.arange(0.5, 4.5, 1.5, dtype=t.int64)
t.arange(0.5, 4.5, 1.5, dtype=t.int32) ;; t.arange(float('nan')) ;; t.arange(float('inf'))
t.arange(3, dtype=t.bool) ;; t.arange(3, dtype=t.complex64) ;; t.arange(3, dtype=t.bfloat16)
t.arange(3, requires_grad=True) ;; t.arange(3., requires_grad=True) ;; t.range(0, 3) ;; t.range(1, 2, 0.5)
t.linspace(0, 1, 5) ;; t.linspace(0, 1, 1) ;; t.linspace(0, 1, 0) ;; t.linspace(0, 1, -1)
t.linspace(0, 10, 5, dtype=t.int64) ;; t.linspace(0, 9, 5, dtype=t.int64) ;; t.linspace(0, 1j, 3)
t.linspace(t.tensor(0.), 1, 3) ;; t.linspace(t.tensor([0., 1]), 1, 3) ;; t.linspace(0, 1)
t.linspace(3, 4, steps=2) ;; t.logspace(0, 2, 3) ;; t.logspace(0, 2, 3, 2)
t.logspace(0, 2, 3, base=2, dtype=t.int64) ;; t.logspace(t.tensor(0.), 2, 3) ;; t.eye(2) ;; t.eye(2, 3)
t.eye(2, dtype=t.bool) ;; t.eye(-1) ;; t.eye(0) ;; t.eye(2, m=4) ;; t.eye(3, out=t.empty(0))
""")

EMPTY = listed("""
t.empty(2, 3) ;; t.empty((0, 3)) ;; t.empty(2, dtype=t.float16) ;; t.empty(2, requires_grad=True)
t.empty(2, memory_format=t.contiguous_format) ;; t.empty_like(a.t()) ;; t.empty_strided((2, 3), (1, 2))
t.empty_strided((2, 3), (0, 1)) ;; t.empty_strided((2, 3), (1,)) ;; a.new_empty(2) ;; t.Tensor(2, 3)
t.Tensor(t.Size([2, 3])) ;; t.FloatTensor(2, 3) ;; a.new(2, 2)
""")


@pytest.mark.parametrize("text", LITERALS + FILLED)
def test_constructors(text: str) -> None:
    assert outcome(gradcore, text) == outcome(torch, text)


@pytest.mark.parametrize("text", EMPTY)
def test_uninitialised(text: str) -> None:
    assert uninitialised(gradcore, text) == uninitialised(torch, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("t.tensor([[1, 2], [3, 4, 5]])", "expected sequence of length 2 at dim 1 (got 3)"),
        ("t.tensor([1], requires_grad=True)", "Only Tensors of floating point and complex dtype can require"),
        ("t.zeros(2, dtype=t.int8, requires_grad=True)", "Only Tensors of floating point and complex dtype"),
        ("t.zeros(-1)", "Dimension size must be non-negative"),
        ("t.arange(1, 0)", "upper bound and lower bound inconsistent with step sign"),
        ("t.linspace(0, 1, -1)", "number of steps must be non-negative"),
        ("t.eye(-1)", "n must be greater or equal to 0, got -1"),
        ("t.tensor(2 ** 63)", "Overflow when unpacking long long"),
        ("t.from_numpy([1])", "expected np.ndarray (got list)"),
    ],
)
def test_sentences_are_torchs(text: str, message: str) -> None:
    for library in (torch, gradcore):
        with pytest.raises(Exception) as caught:  # noqa: PT011
            eval(text, {"t": library})
        assert message in str(caught.value)


numbers = st.one_of(
    st.booleans(),
    st.integers(-(2**40), 2**40),
    st.floats(width=32),
    st.complex_numbers(width=64),
    st.sampled_from([np.float32(1.5), np.float64(0.1), np.int16(3), np.bool_(True), np.complex64(1j)]),
)


def nested(draw: Any, shape: tuple[int, ...]) -> Any:
    return [nested(draw, shape[1:]) for _ in range(shape[0])] if shape else draw(numbers)


@given(st.data())
def test_inference_of_dtypes(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(0, 3), max_size=3)))
    literal = nested(data.draw, shape)
    try:
        theirs = torch.tensor(literal)
    except (TypeError, RuntimeError):  # torch refuses numpy.bool among Python numbers, say
        return
    ours = gradcore.tensor(literal)
    assert str(ours.dtype) == str(theirs.dtype)
    assert tuple(ours.shape) == tuple(theirs.shape)
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@given(
    st.floats(-100, 100),
    st.floats(-100, 100),
    st.floats(0.1, 10),
    st.sampled_from(["float32", "float64", "int64"]),
)
def test_arange_has_torchs_length_and_values(start: float, end: float, step: float, dtype: str) -> None:
    step = step if end >= start else -step
    if dtype == "int64" and int(step) == 0:
        step = 1.0 if step > 0 else -1.0
    try:
        theirs = torch.arange(start, end, step, dtype=getattr(torch, dtype))
    except RuntimeError:
        with pytest.raises(RuntimeError):
            gradcore.arange(start, end, step, dtype=getattr(gradcore, dtype))
        return
    ours = gradcore.arange(start, end, step, dtype=getattr(gradcore, dtype))
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-6, atol=1e-4)
    assert ours.shape == tuple(theirs.shape)


@given(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3), st.integers(0, 50), st.sampled_from(["float32", "float64"]))
def test_linspace_ends_exactly_where_it_should(start: float, end: float, steps: int, dtype: str) -> None:
    ours = gradcore.linspace(start, end, steps, dtype=getattr(gradcore, dtype))
    theirs = torch.linspace(start, end, steps, dtype=getattr(torch, dtype))
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-5, atol=2e-4)
    if steps > 1:
        assert ours[0].item() == theirs[0].item()
        assert ours[-1].item() == theirs[-1].item()


# -- memory --------------------------------------------------------------------------------------------------


def test_what_shares_and_what_copies() -> None:
    array = np.arange(4.0)
    for share in (gradcore.from_numpy, gradcore.as_tensor, gradcore.asarray, gradcore.from_dlpack):
        shared = share(array)
        shared[0] = 7
        assert array[0] == 7
        array[0] = 0
        assert shared[0].item() == 0
    for copy in (gradcore.tensor, gradcore.Tensor, lambda x: gradcore.asarray(x, copy=True)):
        copied = copy(array)
        copied[0] = 7
        assert array[0] == 0
    assert gradcore.from_numpy(array)._array is array
    assert gradcore.as_tensor(shared) is shared
    assert gradcore.as_tensor(array, dtype=gradcore.float32).dtype is gradcore.float32
    backwards = gradcore.from_numpy(array[::-1])  # torch has no negative strides
    backwards[0] = 9
    assert array[3] == 9


def test_sharing_with_torch_by_dlpack() -> None:
    theirs = torch.arange(3.0)
    ours = gradcore.from_dlpack(theirs)
    ours[0] = 5
    assert theirs[0] == 5
    back = torch.from_dlpack(ours)
    back[1] = 6
    assert ours.tolist() == [5, 6, 2]


def test_arrays_of_other_libraries() -> None:
    theirs = torch.arange(3.0)
    gradcore.as_tensor(theirs)[0] = 9
    assert theirs[0] == 9
    assert gradcore.tensor([theirs[0], 2]).tolist() == [9, 2]
    assert gradcore.tensor([theirs, theirs]).shape == (2, 3)
    assert gradcore.tensor(machine_array("d", [1, 2])).tolist() == [1, 2]
    assert gradcore.tensor(memoryview(b"ab")).tolist() == [97, 98]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "complex64", "bool"])
def test_rarer_dtypes(dtype: str) -> None:
    makers = (
        lambda m, d: m.full((2,), 1, dtype=d),
        lambda m, d: m.ones(2, 2, dtype=d),
        lambda m, d: m.eye(2, dtype=d),
        lambda m, d: m.tensor([0, 1], dtype=d),
        lambda m, d: m.zeros(3, dtype=d),
    )
    for make in makers:
        assert repr(make(gradcore, getattr(gradcore, dtype))) == repr(make(torch, getattr(torch, dtype)))


def test_a_read_only_array_is_not_written() -> None:
    fixed = np.broadcast_to(np.ones(1), (3,))
    shared = gradcore.from_numpy(fixed)
    assert (shared + 1).tolist() == [2, 2, 2]
    with pytest.raises((ValueError, RuntimeError)):
        shared += 1
    assert fixed.tolist() == [1, 1, 1]


def test_copying_a_tensor_warns_and_forgets_its_history() -> None:
    x = gradcore.ones(2, requires_grad=True) * 2
    with pytest.warns(UserWarning, match=r"sourceTensor\.detach\(\)\.clone\(\)") as caught:
        copied = gradcore.tensor(x)
    assert caught[0].filename == __file__
    assert copied.is_leaf
    assert not copied.requires_grad
    with pytest.warns(UserWarning, match="new_tensor"):
        gradcore.ones(2).new_tensor(x)


# -- defaults ------------------------------------------------------------------------------------------------


def test_the_default_dtype() -> None:
    makers = (
        lambda m: m.tensor([1.5]),
        lambda m: m.tensor(1j),
        lambda m: m.zeros(2),
        lambda m: m.full((2,), 1.5),
        lambda m: m.arange(0, 1, 0.5),
        lambda m: m.linspace(0, 1, 3),
        lambda m: m.rand(2),
        lambda m: m.Tensor([1]),
        lambda m: m.ones(2, dtype=m.int32).to(float),
        lambda m: m.tensor([1]) / 2,
    )
    for library in (torch, gradcore):
        library.set_default_dtype(library.float64)
    try:
        assert [str(make(gradcore).dtype) for make in makers] == [str(make(torch).dtype) for make in makers]
    finally:
        for library in (torch, gradcore):
            library.set_default_dtype(library.float32)


def test_inference_tensors_are_marked() -> None:
    with gradcore.inference_mode():
        made = [gradcore.zeros(2), gradcore.tensor([1.0]), gradcore.rand(2), gradcore.arange(3.0)]
    for x in made:
        assert x.is_inference()
