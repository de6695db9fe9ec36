"""Marks for other profilers: NVTX on the strict double, ITT by a stand-in for Intel's package. It must not need torch."""

from __future__ import annotations

import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest

import gradcore
from gradcore import engine
from gradcore.autograd import profiler
from gradcore.graph import modes
from tests.double import queues


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Any:
    before = len(engine.observers)
    queues.ranges.clear()
    yield
    assert len(engine.observers) == before
    assert not modes.unusual
    assert not modes.watchers


@pytest.fixture
def itt(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the package was told: names of tasks that began, None for those that ended."""
    told: list[Any] = []

    def begin(domain: Any, name: Any) -> None:
        assert (domain, name[0]) == ("domain", "handle")
        told.append(name[1])

    stand_in = SimpleNamespace(
        domain=lambda name: "domain",
        string_handle=lambda name: ("handle", name),
        task_begin=begin,
        task_end=lambda domain: told.append(None),
    )
    monkeypatch.setitem(sys.modules, "ittapi", stand_in)
    return told


def plain(ranges: list[str | None]) -> list[str | None]:
    return [name and name.split(",")[0] for name in ranges]


def numbers(ranges: list[str | None]) -> dict[str, int]:
    """By name, the number of the first range."""
    told = (name.split(", seq = ") for name in reversed(ranges) if name and ", seq = " in name)
    return {name: int(number.split(",")[0]) for name, number in told}


def test_ranges_enclose_operations_blocks_and_nodes(strict_cuda: Any) -> None:
    x = gradcore.ones(2, 3, device="cuda", requires_grad=True)
    with profiler.emit_nvtx(record_shapes=True) as entered:
        with profiler.record_function("block"):
            y = (x * 2).exp()
        y.sum().backward()
    assert isinstance(entered, profiler.emit_nvtx)
    assert plain(queues.ranges) == [
        "block", "aten::mul", None, "aten::exp", None, None, "aten::sum", None,
        "SumBackward0", None, "ExpBackward0", None, "MulBackward0", None,
    ]  # fmt: skip
    of = numbers(queues.ranges)
    assert of["aten::mul"] == of["MulBackward0"] < of["aten::exp"] == of["ExpBackward0"] == y.grad_fn._sequence_nr()
    mul = next(name for name in queues.ranges if name and name.startswith("aten::mul"))
    assert mul == f"aten::mul, seq = {of['aten::mul']}, sizes = [[2, 3], []]"
    last = next(name for name in queues.ranges if name and name.startswith("SumBackward0"))
    assert last.endswith("sizes = [[]]")
    assert queues.ranges[0] == "block"
    queues.ranges.clear()
    (x * 2).sum().backward()
    assert queues.ranges == []


def test_without_recording_there_is_no_number_and_without_shapes_none(strict_cuda: Any) -> None:
    x = gradcore.ones(2, device="cuda")
    with profiler.emit_nvtx(), gradcore.no_grad():
        x.exp()
    assert queues.ranges == ["aten::exp", None]


def test_double_backward_has_numbers_of_its_own(strict_cuda: Any) -> None:
    x = gradcore.ones(2, device="cuda", requires_grad=True)
    with profiler.emit_nvtx():
        (g,) = gradcore.autograd.grad((x**3).sum(), x, create_graph=True)
        first = numbers(queues.ranges)
        queues.ranges.clear()
        g.sum().backward()
    assert first["PowBackward0"] == first["aten::pow"]
    again = numbers(queues.ranges)
    assert min(number for name, number in again.items() if "Backward" in name) > first["PowBackward0"]
    assert queues.ranges.count(None) * 2 == len(queues.ranges)


def test_an_operation_that_fails_ends_its_range(strict_cuda: Any) -> None:
    x = gradcore.ones(2, device="cuda", requires_grad=True)
    with profiler.emit_nvtx(), pytest.raises(RuntimeError):
        x + gradcore.ones(3, device="cuda")
    assert plain(queues.ranges) == ["aten::add", None]


def test_the_device_is_waited_for_before_and_after(strict_cuda: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[Any] = []
    monkeypatch.setattr(gradcore.cuda, "synchronize", lambda: waits.append(len(queues.ranges)))
    x = gradcore.ones(2, device="cuda")
    with profiler.emit_nvtx():
        x.exp()
    assert waits == [0, 2]


def test_a_cupy_without_nvtx_says_so(strict_cuda: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues.nvtx, "available", False)
    x = gradcore.ones(2, device="cuda")
    with profiler.emit_nvtx(), pytest.raises(RuntimeError, match="without NVTX"):
        x.exp()


def test_without_cuda_nvtx_is_refused_and_nothing_is_on() -> None:
    if gradcore.cuda.is_available():
        pytest.skip("there is CUDA")
    with pytest.raises(RuntimeError, match="device 'cuda' cannot be used"), profiler.emit_nvtx():
        pass
    with profiler.emit_nvtx(enabled=False) as nothing:
        gradcore.ones(2).exp()
    assert nothing is None


def test_tasks_of_itt(itt: list[Any]) -> None:
    x = gradcore.ones(2, requires_grad=True)
    with profiler.emit_itt(record_shapes=True), profiler.record_function("block"):
        (x * 2).sum().backward()
    assert itt == [
        "block", "aten::mul", None, "aten::sum", None, "SumBackward0", None, "MulBackward0", None, None,
    ]  # fmt: skip


def test_without_intels_package_itt_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ittapi", None)
    with pytest.raises(RuntimeError, match=r"ITT functions not installed.*pip install ittapi"), profiler.emit_itt():
        pass
    with profiler.emit_itt(enabled=False) as nothing:
        gradcore.ones(2).exp()
    assert nothing is None


def test_one_watches_a_thread_at_a_time(itt: list[Any]) -> None:
    once = profiler.emit_itt()
    with once:
        with pytest.raises(RuntimeError, match="ITT annotation context manager is not reentrant"), once:
            pass
        for other in (profiler.emit_itt, profiler.profile):
            with pytest.raises(RuntimeError, match="already enabled on this thread"), other():
                pass
        gradcore.ones(2).exp()
        thread = threading.Thread(target=lambda: gradcore.ones(2).sin())
        thread.start()
        thread.join()
    assert itt == ["aten::exp", None]
    with pytest.raises(RuntimeError, match="not reentrant"), once:
        pass
    with profiler.profile() as prof, pytest.raises(RuntimeError, match="already enabled"), profiler.emit_itt():
        pass
    assert prof.function_events == []
