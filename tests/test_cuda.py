"""gradcore.cuda on the strict double and without any CUDA. It must not know how the backend does it."""

from __future__ import annotations

import ctypes
import weakref
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import gradcore as gc
from gradcore import backends, cuda
from tests import double
from tests.double import queues

rng = np.random.default_rng()


# -- where there is none -------------------------------------------------------------------------------------


@pytest.fixture
def nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "by_device", {"cpu": backends.numpy})
    monkeypatch.setitem(__import__("sys").modules, "cupy", None)
    monkeypatch.delitem(__import__("sys").modules, double.BACKEND, raising=False)


@pytest.mark.parametrize(
    "ask",
    [
        lambda: cuda.current_device(),
        lambda: cuda.get_device_name(),
        lambda: cuda.get_device_capability(),
        lambda: cuda.get_device_properties(0),
        lambda: cuda.synchronize(),
        lambda: cuda.Stream(),
        lambda: cuda.ExternalStream(0),
        lambda: cuda.Event(),
        lambda: cuda.current_stream(),
        lambda: cuda.default_stream(),
        lambda: cuda.mem_get_info(),
        lambda: cuda.reset_peak_memory_stats(),
        lambda: cuda.set_per_process_memory_fraction(0.5),
        lambda: cuda.initial_seed(),
        lambda: gc.ones(2).pin_memory(),
        lambda: gc.ones(2, pin_memory=True),
        lambda: gc.tensor([1.0], pin_memory=True),
        lambda: gc.ones(2).cuda(),
    ],
)
def test_without_cupy_what_needs_a_device_says_what_to_install(ask: Any, nothing: None) -> None:
    with pytest.raises(RuntimeError, match=r"'cuda' cannot be used: CuPy is not installed.*pip install"):
        ask()


def test_without_cupy_what_only_asks_answers(nothing: None) -> None:
    assert cuda.is_available() is False
    counts = (cuda.device_count, cuda.memory_allocated, cuda.memory_reserved, cuda.max_memory_allocated)
    assert [ask() for ask in counts] == [0] * 4
    assert cuda.max_memory_reserved() == 0
    assert not gc.ones(2).is_pinned()
    with cuda.stream(None):
        cuda.empty_cache()
    for forget in (cuda.seed, cuda.seed_all, lambda: cuda.manual_seed(3), lambda: cuda.manual_seed_all(3)):
        forget()


# -- devices -------------------------------------------------------------------------------------------------


def test_what_a_device_is(strict_cuda: Any) -> None:
    properties = cuda.get_device_properties("cuda:1")
    assert cuda.get_device_name() == properties.name == "pretended"
    assert cuda.get_device_capability(0) == (properties.major, properties.minor) == (9, 0)
    assert (properties.total_memory, properties.multi_processor_count, properties.warp_size) == (2**33, 4, 32)
    assert repr(properties).startswith("_CudaDeviceProperties(name='pretended', major=9, minor=0, total_memory=8192MB, ")
    with pytest.raises(ValueError, match="Expected a cuda device, but got: cpu"):
        cuda.get_device_name("cpu")


# -- streams and events --------------------------------------------------------------------------------------


def test_streams_are_chosen_in_a_block_and_nest(strict_cuda: Any) -> None:
    first, second = cuda.Stream(), cuda.Stream(device=1, priority=-1)
    assert cuda.current_stream() == cuda.default_stream()
    with cuda.stream(first) as entered:
        assert entered is None
        assert cuda.current_stream() == first
        with second as entered:
            assert entered is second
            assert cuda.current_device() == 1
            assert cuda.current_stream() == second
            assert cuda.current_stream(0) == first
            assert str(gc.ones(2, device="cuda").device) == "cuda:1"
        with pytest.raises(ZeroDivisionError), cuda.stream(None):
            raise ZeroDivisionError
        assert (cuda.current_device(), cuda.current_stream()) == (0, first)
    assert cuda.current_stream().cuda_stream == 0
    assert first != second
    assert len({first, second, cuda.current_stream(), cuda.default_stream()}) == 3
    assert (second.device_index, second.priority, str(second.device)) == (1, -1, "cuda:1")
    assert repr(second) == f"<torch.cuda.Stream device=cuda:1 cuda_stream={second.cuda_stream:#x}>"
    assert second.__cuda_stream__() == (0, second.cuda_stream)
    assert isinstance(second._as_parameter_, ctypes.c_void_p)
    known = cuda.ExternalStream(second.cuda_stream, device=1)
    assert known == second
    assert cuda.Stream(device=-1).device_index == 0


def test_who_waits_for_whom(strict_cuda: Any) -> None:
    producer, consumer = cuda.Stream(), cuda.Stream()
    with strict_cuda.never_waits():
        event = producer.record_event()
        consumer.wait_event(event)
        event.wait()
        consumer.wait_stream(producer)
        cuda.current_stream().wait_stream(consumer)
        assert producer.query()
        assert event.query()
    a, b = producer.cuda_stream, consumer.cuda_stream
    assert strict_cuda.ledger.waits == [(b, a), (0, a), (b, a), (0, b)]
    for wait in (producer.synchronize, event.synchronize, cuda.synchronize):
        before = strict_cuda.syncs
        wait()
        assert strict_cuda.syncs == before + 1


def test_an_event_never_recorded_holds_nobody_up(strict_cuda: Any) -> None:
    event = cuda.Event()
    event.wait()
    event.synchronize()
    assert event.query()
    assert strict_cuda.syncs == 0
    assert strict_cuda.ledger.waits == []
    assert (event.cuda_event, event.device, repr(event)) == (0, None, "<torch.cuda.Event uninitialized>")
    event.record()
    assert repr(event) == f"<torch.cuda.Event {event.cuda_event:#x}>"
    with pytest.raises(RuntimeError, match="device index 0 does not match recording stream's device index 1"):
        event.record(cuda.Stream(device=1))


def test_time_between_events(strict_cuda: Any) -> None:
    start, end = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)
    start.record()
    with pytest.raises(ValueError, match="must be recorded before"):
        start.elapsed_time(end)
    end.record(cuda.Stream())
    assert start.elapsed_time(end) > 0
    assert end.elapsed_time(start) == -start.elapsed_time(end)
    with pytest.raises(ValueError, match="enable_timing=True"):
        start.elapsed_time(cuda.Event())
    end._handle.done = False
    with pytest.raises(RuntimeError, match="must be completed"):
        start.elapsed_time(end)


# -- memory --------------------------------------------------------------------------------------------------


def test_memory_is_counted_and_given_back(strict_cuda: Any) -> None:
    cuda.empty_cache()
    before, (free, total) = cuda.memory_allocated(), cuda.mem_get_info()
    others = total - free - before  # in pools of graphs that are no more
    cuda.reset_peak_memory_stats()
    x = gc.zeros(1000, 256, device="cuda")
    assert cuda.memory_allocated() - before == cuda.memory_allocated(0) - before == 1_024_000
    assert cuda.memory_allocated(1) == 0
    (x + 1).sum()
    assert cuda.max_memory_allocated() - before >= 2_048_000
    assert cuda.memory_allocated() - before < 1_100_000
    assert cuda.memory_reserved() == cuda.max_memory_reserved() == cuda.max_memory_allocated()
    free, total = cuda.mem_get_info()
    assert total - free == cuda.memory_reserved() + others
    cuda.reset_peak_memory_stats()
    assert cuda.max_memory_allocated() == cuda.memory_allocated()
    del x
    cuda.empty_cache()
    assert cuda.memory_allocated() == cuda.memory_reserved() == before


@pytest.fixture
def little(strict_cuda: Any) -> Any:
    """A device with room for 60 kB more than is in use."""
    queues.pool.set_limit(size=queues.pool.used_bytes() + 61_440)
    return strict_cuda


def test_out_of_memory_names_the_operation_and_the_process_goes_on(little: Any) -> None:
    x = gc.tensor(rng.normal(size=1000), device="cuda", requires_grad=True)
    used = cuda.memory_allocated()
    message = r"CUDA out of memory\. Out of memory allocating .* bytes.*\(multiply got float64\[1000, 1\] on cuda:0, "
    with pytest.raises(cuda.OutOfMemoryError, match=message) as e:
        gc.outer(x, x)
    assert isinstance(e.value, RuntimeError)
    assert isinstance(e.value, MemoryError)
    assert gc.OutOfMemoryError is cuda.OutOfMemoryError
    for build in (lambda: gc.zeros(100_000, device="cuda"), lambda: gc.tensor(np.ones(100_000), device="cuda")):
        with pytest.raises(cuda.OutOfMemoryError, match="CUDA out of memory"):
            build()
    del e
    assert cuda.memory_allocated() == used
    (x * 2).sum().backward()
    assert little.host(x.grad._array)[0] == 2


def test_out_of_memory_in_backward_leaves_every_gradient(strict_cuda: Any) -> None:
    values = rng.normal(size=(3, 1000))
    x, y, z = (gc.tensor(v, device="cuda", requires_grad=True) for v in values)
    y.grad = gc.ones(1000, device="cuda", dtype=gc.float64)
    out = ((x * y).exp() * z + x).sum()
    failures = []
    used = queues.pool.used_bytes()
    for room in range(0, 200_000, 4_096):
        queues.pool.set_limit(size=used + room)
        try:
            out.backward(retain_graph=True)
        except cuda.OutOfMemoryError as error:
            failures.append(str(error))
            assert x.grad is None
            assert z.grad is None
            assert (strict_cuda.host(y.grad._array) == 1).all()
        else:
            break
        assert queues.pool.used_bytes() == used
    assert len(failures) > 3
    assert all(text.startswith("CUDA out of memory. Out of memory allocating") for text in failures)
    places = {text.partition("(Mul")[1] or text.partition("adding up")[1] for text in failures}
    assert "(Mul" in places
    assert failures[-1].endswith("no .grad has changed)")
    queues.pool.set_limit(size=0)
    p, q, r = (gc.tensor(v, requires_grad=True) for v in values)
    ((p * q).exp() * r + p).sum().backward()
    for here, there in ((x.grad, p.grad), (y.grad - 1, q.grad), (z.grad, r.grad)):
        np.testing.assert_allclose(strict_cuda.host(here._array), there.numpy(), rtol=1e-12, atol=1e-12)


def test_out_of_memory_in_grad(strict_cuda: Any) -> None:
    x = gc.tensor(rng.normal(size=1000), device="cuda", requires_grad=True)
    out = (x.exp() * x).sum()
    queues.pool.set_limit(size=queues.pool.used_bytes() + 4_096)
    with pytest.raises(cuda.OutOfMemoryError, match=r"Backward0 for a cotangent of float64\[.*\] on cuda:0"):
        gc.autograd.grad(out, x, retain_graph=True)
    queues.pool.set_limit(size=0)
    assert gc.autograd.grad(out, x)[0].shape == (1000,)


def test_a_fraction_of_memory(strict_cuda: Any) -> None:
    cuda.set_per_process_memory_fraction(0.0)
    with pytest.raises(cuda.OutOfMemoryError):
        gc.ones(10, device="cuda")
    cuda.set_per_process_memory_fraction(1.0)
    gc.ones(10, device="cuda")
    with pytest.raises(TypeError, match="must be `float`"):
        cuda.set_per_process_memory_fraction(1)
    with pytest.raises(ValueError, match=r"Invalid fraction value: 1\.5"):
        cuda.set_per_process_memory_fraction(1.5)


# -- random numbers ------------------------------------------------------------------------------------------


def test_seeds(strict_cuda: Any) -> None:
    cuda.manual_seed(11)
    assert cuda.initial_seed() == 11
    first = strict_cuda.host(gc.rand(3, device="cuda")._array)
    cuda.manual_seed_all(11)
    assert (strict_cuda.host(gc.rand(3, device="cuda")._array) == first).all()
    cuda.seed()
    assert cuda.initial_seed() != 11
    cuda.seed_all()
    with cuda.device(1):
        seed = cuda.initial_seed()
    assert seed == cuda.initial_seed()


# -- transfers and other libraries ---------------------------------------------------------------------------


def test_pinned_memory_lets_copies_go_on(strict_cuda: Any) -> None:
    values = rng.normal(size=(3, 4))
    x = gc.tensor(values, requires_grad=True)
    pinned = x.pin_memory()
    assert (x.is_pinned(), pinned.is_pinned(), pinned[1:].is_pinned()) == (False, True, True)
    assert pinned.pin_memory() is pinned
    assert gc.ones(3, pin_memory=True).is_pinned()
    assert gc.tensor([1.0], pin_memory=True).is_pinned()
    before = strict_cuda.syncs
    there = pinned.to("cuda", non_blocking=True)
    x.detach().cuda()
    assert strict_cuda.syncs == before
    back = there.to("cpu", non_blocking=True)
    assert strict_cuda.syncs == before
    assert back.is_pinned()
    pinned.to("cuda")  # the host may write there next
    there.cpu()
    assert strict_cuda.syncs == before + 2
    assert not there.is_pinned()
    (back * back).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * values)
    with pytest.raises(RuntimeError, match="only dense CPU tensors can be pinned"):
        there.pin_memory()
    with pytest.raises(RuntimeError, match="Only dense CPU tensors can be pinned"):
        gc.ones(2, device="cuda", pin_memory=True)


@pytest.fixture
def busy(strict_cuda: Any) -> Any:
    """A device that is not done with anything."""
    queues.Event.happened = False
    return strict_cuda


def test_memory_that_a_copy_uses_is_kept_until_it_is_done(busy: Any) -> None:
    pinned = gc.tensor(rng.normal(size=50)).pin_memory()
    values, memory = pinned.numpy().copy(), weakref.ref(pinned._array)
    there = pinned.to("cuda", non_blocking=True)
    del pinned
    assert memory() is not None
    back, gone = there.to("cpu", non_blocking=True), weakref.ref(there._array)
    del there
    assert gone() is not None
    queues.Event.happened = True
    gc.ones(3).pin_memory().cuda(non_blocking=True)  # whoever copies next clears up
    assert (memory(), gone()) == (None, None)
    assert (back.numpy() == values).all()


def test_copy_in_place_lets_the_host_go_on(strict_cuda: Any) -> None:
    values = rng.normal(size=(3, 4))
    pinned = gc.tensor(values).pin_memory()
    there = gc.zeros(3, 4, dtype=gc.float64, device="cuda")
    back = gc.zeros(5, 4, dtype=gc.float64).pin_memory()
    version = back._version
    with strict_cuda.never_waits():
        assert there.copy_(pinned, non_blocking=True) is there
        assert back[:3].copy_(there, non_blocking=True)._base is back
    assert back._version > version
    np.testing.assert_array_equal(back.numpy(), [*values, [0] * 4, [0] * 4])
    for into in (gc.zeros(3, 4, dtype=gc.float64), gc.zeros(3, 4).pin_memory(), back[:3, :3]):
        before = strict_cuda.syncs
        into.copy_(there[: into.shape[0], : into.shape[1]], non_blocking=True)  # these cannot go on
        assert strict_cuda.syncs == before + 1
        np.testing.assert_allclose(into.numpy(), values[: into.shape[0], : into.shape[1]], rtol=1e-6)


def test_a_copy_to_another_device_has_a_gradient(strict_cuda: Any) -> None:
    x = gc.tensor([1.0, 2.0], requires_grad=True)
    for device in ("cuda:0", "cuda:1"):
        there = gc.zeros(2, device=device)
        there.copy_(x * 3)
        beside = gc.zeros(2, device="cuda:0")
        beside.copy_(there.exp())
        assert str(beside.device) == "cuda:0"
        beside.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * 3 * np.exp([3.0, 6.0]), rtol=1e-6)


def test_memory_that_another_stream_uses_is_kept_for_it(busy: Any) -> None:
    side, x = cuda.Stream(), gc.ones(1000, device="cuda")
    used = cuda.memory_allocated()
    view = x[:10]
    x.record_stream(side)
    del x
    assert cuda.memory_allocated() == used
    del view
    assert cuda.memory_allocated() == used
    queues.Event.happened = True
    gc.ones(1).pin_memory().cuda(non_blocking=True)
    assert cuda.memory_allocated() < used
    with pytest.raises(NotImplementedError, match="on a CUDA device"):
        gc.ones(1).record_stream(side)


def test_other_libraries_arrays_are_shared_not_copied(strict_cuda: Any) -> None:
    array = strict_cuda.array(rng.normal(size=(2, 3)))
    foreign = SimpleNamespace(__cuda_array_interface__=array.__cuda_array_interface__, keeps=array)
    shared = gc.as_tensor(foreign)
    shared *= 2
    assert str(shared.device) == "cuda:0"
    assert shared._array.data.ptr == array.data.ptr
    assert (strict_cuda.host(array) == strict_cuda.host(shared._array)).all()
    assert gc.tensor(foreign)._array.data.ptr != array.data.ptr
    for export in (shared.__cuda_array_interface__["data"][0], strict_cuda.cupy.asarray(shared).data.ptr):
        assert export == array.data.ptr
    with pytest.raises(AttributeError, match="non-CUDA tensor"):
        _ = gc.ones(2).__cuda_array_interface__
    with pytest.raises(RuntimeError, match="requires grad"):
        _ = shared.requires_grad_().__cuda_array_interface__
