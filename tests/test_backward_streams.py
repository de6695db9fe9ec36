"""Backward on the streams of the forward, on a device where a stream that does not wait is seen. Not how it is done."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradcore as gc
from gradcore import cuda, engine
from gradcore.autograd import anomaly_mode, profiler
from gradcore.recorder import places
from tests.double import queues, races

rng = np.random.default_rng()


@pytest.fixture
def watched(strict_cuda: Any) -> Any:
    """A device that refuses an array where nobody waited for its making."""
    races.forget()
    races.watching.append(True)
    return strict_cuda


def host(*tensors: Any) -> list[Any]:
    """The numbers of tensors, however they got there."""
    return [t.detach()._array._host.copy() if t.is_cuda else t.detach().numpy() for t in tensors]


def leaves(device: str = "cuda") -> list[Any]:
    generator = np.random.default_rng(7)
    return [gc.tensor(generator.normal(size=4), device=device, requires_grad=True) for _ in range(3)]


class Ways:
    """Streams to choose from; on the CPU they are none."""

    def __init__(self, device: str) -> None:
        self.streams = [cuda.Stream(device), cuda.Stream(device)] if device.startswith("cuda") else [None, None]

    def on(self, i: int, *waits: Any) -> Any:
        stream = self.streams[i]
        if stream is not None:
            stream.wait_stream(cuda.current_stream())
            for other in waits:
                stream.wait_stream(self.streams[other])
        return cuda.stream(stream)

    def join(self) -> None:
        for stream in self.streams:
            if stream is not None:
                cuda.current_stream().wait_stream(stream)


def forked(x: Any, y: Any, z: Any, ways: Ways) -> Any:
    """Two branches on two streams, that share leaves and an inner value, and meet again."""
    shared = x * y
    with ways.on(0):
        a = (shared.exp() * x).sin()
        parts = a.split(2)
    with ways.on(1, 0):
        b = (shared * z + parts[0].sum()) * y
    ways.join()
    return (a * b + shared).sum() + parts[1].sum()


def nested(x: Any, y: Any, z: Any, ways: Ways) -> Any:
    """A stream inside a stream, and the default one inside that."""
    with ways.on(0):
        a = x.exp()
        with ways.on(1, 0):
            b = a * y
        ways.streams[0] and ways.streams[0].wait_stream(ways.streams[1])
        c = (a + b) * z
    ways.join()
    return (c * c).mean() + a.sum()


@pytest.mark.parametrize("program", [forked, nested])
def test_gradients_and_nobody_races(program: Any, watched: Any) -> None:
    expected = leaves("cpu")
    program(*expected, Ways("cpu")).backward()
    found = leaves()
    loss = program(*found, Ways("cuda"))
    with watched.never_waits():
        loss.backward()
        total = sum(leaf.grad.sum() for leaf in found)  # on the stream that called
    assert total.is_cuda
    for mine, other in zip(host(*(leaf.grad for leaf in found)), (leaf.grad.numpy() for leaf in expected), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-12)


@pytest.mark.parametrize("program", [forked, nested])
def test_grad_of_inner_values_and_of_gradients(program: Any, watched: Any) -> None:
    def run(device: str) -> list[Any]:
        xs = leaves(device)
        ways = Ways(device)
        inner = xs[0] * 2
        loss = program(inner, *xs[1:], ways)
        first = gc.autograd.grad(loss, [inner, *xs], create_graph=True)
        penalty = sum((g * g).sum() for g in first)
        second = gc.autograd.grad(penalty, xs)
        return host(*first, *second)

    for mine, other in zip(run("cuda"), run("cpu"), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-11)


def test_each_node_runs_on_the_stream_of_its_forward(watched: Any) -> None:
    x, side = gc.ones(3, device="cuda", requires_grad=True), cuda.Stream()
    side.wait_stream(cuda.current_stream())
    with cuda.stream(side):
        y = x.exp()
    cuda.current_stream().wait_stream(side)
    loss = y.sin().sum()
    races.work.clear()
    loss.backward()
    there = {what for what, (_, stream) in races.work if stream == side.cuda_stream}
    here = {what for what, (_, stream) in races.work if stream == 0}
    assert "multiply" in there  # by exp
    assert "cos" in here
    assert "cos" not in there
    assert (0, side.cuda_stream) in watched.ledger.waits
    assert (side.cuda_stream, 0) in watched.ledger.waits


def test_what_came_from_another_stream_is_kept_until_it_was_used(watched: Any) -> None:
    queues.Event.happened = False
    x, side = gc.ones(1000, device="cuda", requires_grad=True), cuda.Stream()
    side.wait_stream(cuda.current_stream())
    used = cuda.memory_allocated()
    with cuda.stream(side):
        y = x.exp()
    cuda.current_stream().wait_stream(side)
    y.sin().sum().backward()
    del y
    x.grad = None
    kept = cuda.memory_allocated() - used
    assert kept >= 2 * 8192 // 2
    queues.Event.happened = True
    gc.ones(1).pin_memory().cuda(non_blocking=True)
    assert cuda.memory_allocated() - used < kept


def test_hooks_and_observers_see_plain_values(watched: Any) -> None:
    x, seen, side = gc.ones(3, device="cuda", requires_grad=True), [], cuda.Stream()
    side.wait_stream(cuda.current_stream())
    with cuda.stream(side):
        y = x.exp()
        y.register_hook(lambda g: seen.append(g * 2))
        y.grad_fn.register_prehook(lambda g: seen.append(g[0]))
        y.grad_fn.register_hook(lambda into, out: seen.append(into[0] + out[0]))
    cuda.current_stream().wait_stream(side)
    x.register_hook(lambda g: seen.append(g + 1))
    loss = (y * y).sum()
    with anomaly_mode.set_detect_anomaly(True, check_nan=False), profiler.profile() as profile:
        loss.backward()
    assert len(seen) == 4
    assert all(type(each) is gc.Tensor and each.is_cuda for each in seen)
    assert any("Exp" in event.name for event in profile.function_events)


def test_an_error_on_the_way_leaves_the_stream_as_it_was(watched: Any) -> None:
    x, side = gc.ones(3, device="cuda", requires_grad=True), cuda.Stream()

    def fail(g: Any) -> None:
        raise ZeroDivisionError

    side.wait_stream(cuda.current_stream())
    with cuda.stream(side):
        y = x.exp()
        y.grad_fn.register_prehook(fail)
    cuda.current_stream().wait_stream(side)
    with pytest.raises(ZeroDivisionError):
        y.sum().backward()
    assert cuda.current_stream().cuda_stream == 0
    assert x.grad is None


def test_a_seed_for_one_value_twice(watched: Any) -> None:
    x, side = gc.ones(3, device="cuda", requires_grad=True), cuda.Stream()
    side.wait_stream(cuda.current_stream())
    with cuda.stream(side):
        y = x.exp().sum()
        z = y * 3
    cuda.current_stream().wait_stream(side)
    gc.autograd.backward([y, y, z])
    np.testing.assert_allclose(host(x.grad)[0], 5 * np.exp(1), rtol=1e-6)


def test_a_graph_spans_devices(watched: Any) -> None:
    def run(first: str, second: str) -> list[Any]:
        x, y, z = leaves(first)
        there = (x * y).to(second)
        loss = (there * there + there.exp() * z.to(second)).to(first).sum() + (x * z).sum()
        loss.backward()
        cuda.synchronize() if first != "cpu" else None
        assert str(x.grad.device) == first
        return host(x.grad, y.grad, z.grad)

    for mine, other in zip(run("cuda:0", "cuda:1"), run("cpu", "cpu"), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-12)


def test_a_stream_of_one_device_around_work_of_another(watched: Any) -> None:
    x, side = gc.ones(3, device="cuda:1", requires_grad=True), cuda.Stream("cuda:0")
    with cuda.stream(side):
        y = (x.exp() * x).sin()
    y.sum().backward()
    v = np.ones(3)
    np.testing.assert_allclose(host(x.grad)[0], np.cos(np.exp(v) * v) * np.exp(v) * (1 + v), rtol=1e-5)
    assert str(x.grad.device) == "cuda:1"


def test_without_streams_nobody_looks(strict_cuda: Any) -> None:
    engine.observers[:] = [each for each in engine.observers if each is not places.watch]
    x = gc.ones(3, device="cuda", requires_grad=True)
    with cuda.stream(None), cuda.stream(cuda.default_stream()):
        (x * x).sum().backward()
    assert places.watch not in engine.observers
