"""Other dtypes, other devices and copies against torch, and across devices on the strict double."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import gradcore
from gradcore import backends

torch = pytest.importorskip("torch")

DTYPES = (
    *("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64"),
    *("complex64", "complex128"),
)
NAMED = {
    "float": "float32",
    "double": "float64",
    "half": "float16",
    "bfloat16": "bfloat16",
    "int": "int32",
    "long": "int64",
    "short": "int16",
    "char": "int8",
    "byte": "uint8",
    "bool": "bool",
    "cfloat": "complex64",
    "cdouble": "complex128",
}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """torch's warnings differ in how often they come."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Casting complex values", UserWarning)
        yield


def pair(data: Any, dtype: str, grad: bool = False) -> tuple[Any, Any]:
    """The same numbers in torch and here."""
    theirs = torch.tensor(data).to(getattr(torch, dtype))
    ours = gradcore.tensor(data).to(getattr(gradcore, dtype))
    return (theirs.requires_grad_(), ours.requires_grad_()) if grad else (theirs, ours)


def same(theirs: Any, ours: Any) -> None:
    assert str(ours.dtype) == str(theirs.dtype)
    assert tuple(ours.shape) == tuple(theirs.shape)
    assert ours.requires_grad == theirs.requires_grad
    assert (ours.grad_fn and ours.grad_fn.name()) == (theirs.grad_fn and theirs.grad_fn.name())
    np.testing.assert_array_equal(np.array(ours.detach().tolist()), np.array(theirs.detach().tolist()))


@pytest.mark.parametrize(("source", "target"), list(itertools.product(DTYPES, DTYPES)))
def test_every_dtype_becomes_every_other(source: str, target: str) -> None:
    data = np.random.default_rng().integers(0, 100, (2, 3)).tolist()
    floating = source.startswith(("float", "bfloat", "complex"))
    theirs, ours = pair(data, source, grad=floating)
    same(theirs.to(getattr(torch, target)), ours.to(getattr(gradcore, target)))
    if source == target:
        assert ours.to(getattr(gradcore, target)) is ours


@pytest.mark.parametrize("values", [[-1.5, 300.7, 0.0], [float("nan"), 0.0, 2.0]])
@pytest.mark.parametrize("target", ["bool", "float16", "bfloat16", "float64", "complex64"])
def test_values_that_need_care(values: list[float], target: str) -> None:
    theirs, ours = pair(values, "float32")
    same(theirs.to(getattr(torch, target)), ours.to(getattr(gradcore, target)))


@pytest.mark.parametrize(("method", "dtype"), NAMED.items())
def test_named_conversions(method: str, dtype: str) -> None:
    theirs, ours = pair([[1.0, 0.0], [2.0, 3.0]], "float64" if method == "float" else "float32", grad=True)
    same(getattr(theirs, method)(), getattr(ours, method)())
    done = getattr(ours.detach(), method)()
    assert getattr(done, method)() is done


@pytest.mark.parametrize(
    ("source", "via"),
    [
        ("float32", "float64"),
        ("float64", "float32"),
        ("float64", "complex128"),
        ("float32", "complex128"),
        ("complex128", "float64"),
        ("complex128", "complex64"),
        ("float64", "float16"),
    ],
)
def test_derivatives_of_conversions_to_the_second_order(source: str, via: str) -> None:
    data = np.random.default_rng().normal(size=4).round(3).tolist()
    found = []
    for library, x in (
        (torch, pair(data, source, grad=True)[0]),
        (gradcore, pair(data, source, grad=True)[1]),
    ):
        y = x.to(getattr(library, via))
        z = (y * y).to(getattr(library, source)).abs().sum()
        (first,) = library.autograd.grad(z, x, create_graph=True)
        (second,) = library.autograd.grad(first.abs().sum(), x)
        assert str(first.dtype) == str(second.dtype) == f"torch.{source}"
        found.append((first.detach().tolist(), second.tolist()))
    np.testing.assert_allclose(found[1][0], found[0][0], rtol=1e-3 if via == "float16" else 1e-6)
    np.testing.assert_allclose(found[1][1], found[0][1], rtol=1e-2 if via == "float16" else 1e-6)


@pytest.mark.parametrize(
    "call",
    [
        lambda m, x: x.to(m.float64),
        lambda m, x: x.to("cpu"),
        lambda m, x: x.to("cpu", m.float64),
        lambda m, x: x.to(m.device("cpu"), m.float64),
        lambda m, x: x.to(device="cpu", dtype=m.float64),
        lambda m, x: x.to(m.float64, True, True),
        lambda m, x: x.to("cpu", m.float32, False, True),
        lambda m, x: x.to(m.float32, copy=True),
        lambda m, x: x.to(m.ones(2, dtype=m.int32)),
        lambda m, x: x.to(float),
        lambda m, x: x.to(memory_format=m.contiguous_format),
        lambda m, x: x.to(),
        lambda m, x: x.type_as(m.ones(1, dtype=m.int64)),
        lambda m, x: x.type(m.float64),
        lambda m, x: x.type("torch.DoubleTensor"),
        lambda m, x: x.type(m.LongTensor),
        lambda m, x: x.cpu(),
        lambda m, x: x.clone(),
        lambda m, x: m.clone(x, memory_format=m.contiguous_format),
        lambda m, x: x.contiguous(),
        lambda m, x: x.detach(),
    ],
)
def test_calls_of_torch(call: Any) -> None:
    theirs, ours = pair([1.5, -2.0], "float32", grad=True)
    expected, found = call(torch, theirs), call(gradcore, ours)
    same(expected, found)
    assert (found is ours) == (expected is theirs)


def test_a_copy_is_a_copy_and_no_change_is_none() -> None:
    x = gradcore.ones(3)
    assert x.to(gradcore.float32) is x
    for copied in (x.to(gradcore.float32, copy=True), x.clone()):
        copied.zero_()
        assert x.tolist() == [1, 1, 1]


@pytest.mark.parametrize("turn", [lambda x: x, lambda x: x.t(), lambda x: x[:, ::2], lambda x: x.expand(4, 2, 6)])
@pytest.mark.parametrize(
    "make",
    [
        lambda m, x: x.clone(),
        lambda m, x: x.clone(memory_format=m.contiguous_format),
        lambda m, x: x.contiguous(),
        lambda m, x: m.zeros_like(x),
        lambda m, x: m.empty_like(x, memory_format=m.contiguous_format),
        lambda m, x: m.rand_like(x),
    ],
)
def test_memory_order(make: Any, turn: Any) -> None:
    theirs, ours = turn(torch.arange(12.0).reshape(2, 6)), turn(gradcore.arange(12.0).reshape(2, 6))
    assert make(gradcore, ours).stride() == make(torch, theirs).stride()


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda x: x.to("nowhere"), RuntimeError),
        (lambda x: x.to(gradcore.float32, "cpu", 1, 2, 3), TypeError),
        (lambda x: x.to(gradcore.float64, dtype=gradcore.float32), TypeError),
        (lambda x: x.to(speed=3), TypeError),
        (lambda x: x.chalf(), TypeError),
        (lambda x: x.type("torch.NoTensor"), ValueError),
        (lambda x: x.cuda("cpu"), RuntimeError),
    ],
)
def test_refusals(call: Any, error: type[Exception]) -> None:
    x = gradcore.ones(2)
    with pytest.raises(error):
        call(x)
    assert x.tolist() == [1, 1]


# -- devices -------------------------------------------------------------------------------------------------


@pytest.mark.skipif(backends.why_not("cuda") is None, reason="there is CUDA")
@pytest.mark.parametrize(
    "call",
    [
        lambda: gradcore.ones(2).to("cuda"),
        lambda: gradcore.ones(2).cuda(),
        lambda: gradcore.ones(2, device="cuda:1"),
        lambda: gradcore.tensor([1.0], device="cuda"),
        lambda: gradcore.randn(2, device="cuda"),
        lambda: gradcore.cuda.current_device(),
        lambda: gradcore.cuda.synchronize(),
    ],
)
def test_without_cuda_the_error_says_what_to_install(call: Any) -> None:
    with pytest.raises(RuntimeError, match=r"(?i)install"):
        call()


def test_cuda_questions_need_no_cuda() -> None:
    available = gradcore.cuda.is_available()
    assert available == (backends.why_not("cuda") is None)
    if not available:
        assert gradcore.cuda.device_count() == 0
        assert gradcore.cuda.memory_allocated() == 0
        gradcore.cuda.empty_cache()
        gradcore.cuda.manual_seed_all(1)


def test_there_and_back_is_recorded(strict_cuda: Any) -> None:
    rng = np.random.default_rng()
    x = gradcore.tensor(rng.normal(size=(2, 3)), requires_grad=True)
    on_device = x.to("cuda")
    assert on_device.device == gradcore.device("cuda", 0)
    assert on_device.grad_fn.name() == "ToCopyBackward0"
    assert on_device.to("cuda") is on_device is on_device.cuda(0)
    weights = gradcore.tensor(rng.normal(size=(2, 3)), device="cuda", requires_grad=True)
    with strict_cuda.never_waits():
        y = (on_device * weights * on_device).sum()
    y.backward(retain_graph=True)
    assert type(x.grad._array) is np.ndarray
    assert weights.grad.device.type == "cuda"
    host = weights.detach().cpu()
    np.testing.assert_allclose(x.grad.numpy(), (2 * x * host).detach().numpy())
    (first,) = gradcore.autograd.grad(y, x, create_graph=True)
    (second,) = gradcore.autograd.grad(first.sum(), x)
    np.testing.assert_allclose(second.numpy(), 2 * host.numpy())
    back = (x.to("cuda") * weights * x.cuda()).sum().cpu()
    assert back.device.type == "cpu"
    assert back.requires_grad
    x.grad = None
    back.backward()
    np.testing.assert_allclose(x.grad.numpy(), (2 * x * host).detach().numpy())


def test_device_and_dtype_at_once(strict_cuda: Any) -> None:
    x = gradcore.ones(3, requires_grad=True)
    y = x.to("cuda", gradcore.float64)
    assert y.dtype is gradcore.float64
    y.sum().backward()
    assert x.grad.dtype is gradcore.float32
    assert x.grad.tolist() == [1, 1, 1]
    assert x.to(y.detach()).device.type == "cuda"


def test_mixed_devices_are_named(strict_cuda: Any) -> None:
    x, y = gradcore.ones(2), gradcore.ones(2, device="cuda")
    with pytest.raises(RuntimeError, match="at least two devices, cpu and cuda:0"):
        x + y
    with pytest.raises(RuntimeError, match="at least two devices, cuda:0 and cpu"):
        y * x


def test_constructors_on_the_device(strict_cuda: Any) -> None:
    with gradcore.device("cuda"):
        made = [
            gradcore.zeros(2),
            gradcore.tensor([1.0, 2.0]),
            gradcore.as_tensor(np.ones(2)),
            gradcore.arange(3),
            gradcore.linspace(0, 1, 5),
            gradcore.eye(2),
            gradcore.full((2,), 3),
            gradcore.randn(3),
            gradcore.randint(3, (2,)),
            gradcore.randperm(4),
        ]
        assert gradcore.from_numpy(np.ones(2)).device.type == "cpu"
    assert all(x.device.type == "cuda" for x in made)
    x = gradcore.ones(2, 3, device="cuda")
    with strict_cuda.never_waits():
        like = [
            gradcore.zeros_like(x),
            gradcore.ones_like(x.t()),
            gradcore.full_like(x, 2.5),
            gradcore.rand_like(x),
            gradcore.randn_like(x),
            gradcore.bernoulli(x / 2),
            gradcore.empty(3, device="cuda").uniform_(-1, 1),
            gradcore.empty(3, device="cuda").exponential_(),
            x.new_zeros(2),
            x.new_full((2,), 1),
            x.double(),
            x.int(),
            x.clone(),
            x.t().contiguous(),
        ]
    assert all(each.device.type == "cuda" for each in like)
    assert gradcore.multinomial(x, 2).device.type == "cuda"


def test_device_arrays_are_shared(strict_cuda: Any) -> None:
    array = strict_cuda.array(np.arange(4.0))
    for shared in (gradcore.as_tensor(array), gradcore.asarray(array)):
        assert shared._array is array
        assert shared.device.type == "cuda"
    copied = gradcore.tensor(array)
    assert copied._array is not array
    assert copied.device.type == "cuda"
    assert gradcore.as_tensor(array, device="cpu").tolist() == [0, 1, 2, 3]
    with pytest.raises(TypeError, match=r"Tensor\.cpu\(\)"):
        copied.numpy()
    np.testing.assert_array_equal(copied.numpy(force=True), np.arange(4.0))
    assert copied.tolist() == [0, 1, 2, 3]
    assert copied[1].item() == 1


def test_the_cuda_module(strict_cuda: Any) -> None:
    cuda = gradcore.cuda
    assert cuda.is_available()
    assert cuda.device_count() >= 1
    assert cuda.current_device() == 0
    assert isinstance(cuda.get_device_name(), str)
    assert len(cuda.get_device_capability()) == 2
    cuda.synchronize()
    cuda.empty_cache()
    assert cuda.memory_allocated() >= 0
    assert cuda.memory_reserved() >= 0
    if cuda.device_count() > 1:
        with cuda.device(1):
            assert gradcore.ones(2, device="cuda").device.index == 1
        assert cuda.current_device() == 0
    with pytest.raises(ValueError, match="Expected a cuda device"):
        cuda.synchronize("cpu")
    cuda.manual_seed(3)
    first = gradcore.rand(4, device="cuda").tolist()
    cuda.manual_seed_all(3)
    assert gradcore.rand(4, device="cuda").tolist() == first
    gradcore.manual_seed(3)
    assert gradcore.rand(4, device="cuda").tolist() == first
    own = gradcore.Generator("cuda").manual_seed(3)
    assert gradcore.rand(4, device="cuda", generator=own).tolist() == first
    with pytest.raises(RuntimeError, match="Expected a 'cpu' device type for generator but found 'cuda'"):
        gradcore.rand(2, generator=own)
    with pytest.raises(NotImplementedError, match="manual_seed"):
        own.get_state()


@pytest.mark.cuda
def test_there_and_back_on_a_gpu() -> None:
    x = gradcore.tensor(np.random.default_rng().normal(size=5), requires_grad=True)
    y = (x.cuda() ** 2).sum().cpu()
    y.backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * x.detach().numpy())
