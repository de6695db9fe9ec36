"""Anomaly mode and the profiler: what they say, and that they leave nothing behind. It must not need torch."""

from __future__ import annotations

import json
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradcore
from gradcore import autograd, engine
from gradcore.autograd import profiler
from gradcore.autograd.anomaly_mode import is_anomaly_check_nan_enabled, is_anomaly_enabled
from gradcore.graph import modes


def leaf(*values: float) -> Any:
    return gradcore.tensor(values, dtype=gradcore.float64, requires_grad=True)


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Any:
    before = len(engine.observers)  # a program that uses checkpoints has one
    yield
    assert len(engine.observers) == before
    assert not modes.unusual
    assert not modes.noticing
    assert not modes.watchers
    assert not is_anomaly_enabled()


class Failing(autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        raise ValueError("no derivative today")


def notes_of(caught: Any) -> str:
    return "\n".join(caught.value.__notes__)


def detected(check_nan: bool = True) -> Any:
    with pytest.warns(UserWarning, match="Anomaly Detection has been enabled"):
        return autograd.detect_anomaly(check_nan)


def the_guilty_line(x: Any) -> Any:
    return x.sqrt()


def test_an_exception_names_the_forward_call() -> None:
    x = leaf(0.0, 1.0)
    with detected():
        y = Failing.apply(x)  # this line
        with pytest.raises(ValueError, match="today") as caught:
            (y * 2).sum().backward()
    assert "Error detected in FailingBackward. Traceback of forward call that caused the error:" in notes_of(caught)
    assert "# this line" in notes_of(caught)
    assert "gradcore/autograd/function.py" not in notes_of(caught)
    assert x.grad is None


def test_nan_is_an_error_that_names_function_output_and_call() -> None:
    x, w = leaf(0.0, 1.0), leaf(0.0, 1.0)
    with detected():
        y = the_guilty_line(x) * 0
        with pytest.raises(RuntimeError, match="Function 'SqrtBackward0' returned nan values in its 0th output") as caught:
            y.sum().backward(retain_graph=True)
        assert "in the_guilty_line" in notes_of(caught)
        assert x.grad is None
        with pytest.raises(RuntimeError, match="'DivBackward0' returned nan values in its 1th output"):
            ((x * 0).detach() / (w * 0)).sum().backward()
        with pytest.raises(RuntimeError, match="'SqrtBackward0'"):
            autograd.grad(y.sum(), x)
    with detected(check_nan=False):
        y = the_guilty_line(x) * 0
        y.sum().backward()
    assert np.isnan(x.grad.numpy()[0])
    y = the_guilty_line(w) * 0
    y.sum().backward()  # outside, nobody looks
    assert np.isnan(w.grad.numpy()[0])


def test_a_graph_from_outside_has_no_trace() -> None:
    x = leaf(0.0)
    y = (the_guilty_line(x) * 0).sum()
    with detected(), pytest.raises(RuntimeError, match="Sqrt") as caught:
        y.backward()
    assert "No forward pass information available" in notes_of(caught)
    z = leaf(4.0)
    the_guilty_line(z).sum().backward()
    assert z.grad.item() == 0.25


def test_an_overwritten_value_tells_where_it_was_saved() -> None:
    x = leaf(1.0, 2.0)
    with detected():
        y = x.exp()  # saved here
        y.add_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation") as caught:
            y.sum().backward()
    assert "# saved here" in notes_of(caught)


def test_what_a_backward_pass_recorded_names_its_parent() -> None:
    x = leaf(0.0, 1.0)
    with detected():
        y = (x**1.5).sum()  # the parent
        (g,) = autograd.grad(y, x, create_graph=True)
        assert g.grad_fn.metadata["parent_"].name() == "PowBackward0"
        with pytest.raises(RuntimeError, match="nan") as caught:
            autograd.grad((g / x).sum(), x)
        with pytest.raises(ValueError, match="today"):
            autograd.grad(Failing.apply(g).sum(), x)
    bad = [note for note in caught.value.__notes__ if "Error detected" in note]
    assert len(bad) == 1
    (g2,) = autograd.grad((x**1.5).sum(), x, create_graph=True)
    assert "parent_" not in g2.grad_fn.metadata


def test_previous_calculations_are_told() -> None:
    class Twice(autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return Failing.apply(g) * 2

    x = leaf(1.0)
    with detected():
        y = Twice.apply(x) ** 2  # where it began
        (g,) = autograd.grad(y.sum(), x, create_graph=True)
        with pytest.raises(ValueError, match="today") as caught:
            g.sum().backward()
    assert "Previous calculation was induced by TwiceBackward" in notes_of(caught)
    assert "# where it began" in notes_of(caught)


def test_the_switch_works_at_once_and_as_a_context() -> None:
    autograd.set_detect_anomaly(True, check_nan=False)
    assert is_anomaly_enabled()
    assert not is_anomaly_check_nan_enabled()
    with autograd.set_detect_anomaly(False):
        assert not is_anomaly_enabled()
    assert is_anomaly_enabled()
    autograd.set_detect_anomaly(False)
    assert not is_anomaly_enabled()
    assert is_anomaly_check_nan_enabled()


# -- the profiler -----------------------------------------------------------------------------------------------------


def profiled(**options: Any) -> Any:
    x = gradcore.ones(10, 10, requires_grad=True)
    with profiler.profile(**options) as prof:
        with profiler.record_function("block"):
            y = (x @ x).relu() * 2
        y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 40)
    return prof


def test_operations_nodes_and_blocks_are_recorded() -> None:
    prof = profiled(record_shapes=True, profile_memory=True, with_stack=True)
    events = prof.function_events
    names = [event.name for event in events]
    assert names == [
        "block", "aten::mm", "aten::relu", "aten::mul", "aten::sum",
        "SumBackward0", "MulBackward0", "ReluBackward0", "MmBackward0",
    ]  # fmt: skip
    block, mm = events[0], events[1]
    assert [child.name for child in block.cpu_children] == names[1:4]
    assert mm.cpu_parent is block
    assert mm.input_shapes == [[10, 10], [10, 10]]
    assert mm.cpu_memory_usage == 400
    backward = {event.name: event for event in events[5:]}
    assert mm.sequence_nr == backward["MmBackward0"].sequence_nr >= 0
    assert len({event.sequence_nr for event in events[1:5]}) == 4
    assert [backward[name].input_shapes for name in ("SumBackward0", "MulBackward0")] == [[[]], [[10, 10]]]
    assert block.cpu_memory_usage == 1200
    assert block.self_cpu_memory_usage == 0
    assert "test_anomaly_and_profiler.py" in mm.stack[0]
    inside = sum(child.cpu_time_total for child in block.cpu_children)
    assert 0 < inside <= block.cpu_time_total
    assert block.self_cpu_time_total == pytest.approx(block.cpu_time_total - inside)
    assert prof.self_cpu_time_total == pytest.approx(
        sum(e.cpu_time_total for e in events if e.cpu_parent is None), rel=1e-6
    )


def test_memory_counts_what_is_not_that_of_inputs() -> None:
    x, b = gradcore.rand(8, 4, requires_grad=True), gradcore.rand(6)
    with profiler.profile(profile_memory=True) as prof:
        out = gradcore.nn.functional.linear(x, gradcore.ones(6, 4), b)
        (out + 1).reshape(6, 8).t().tanh().sum().backward()
    sums = {each.key: each.self_cpu_memory_usage for each in prof.key_averages()}
    # The sum's and the last cotangent are spread, and AddBackward0 passes on what it gets.
    wanted = {"aten::addmm": 192, "aten::add": 192, "aten::t": 0, "aten::tanh": 192, "TanhBackward0": 192}
    wanted |= {"AddBackward0": 0, "TBackward0": 0, "AddmmBackward0": 128}
    assert {key: sums[key] for key in wanted} == wanted


def test_sums_and_tables() -> None:
    x = gradcore.ones(3, requires_grad=True)
    with profiler.profile(profile_memory=True, record_shapes=True) as prof:
        for _ in range(5):
            (x * 2).sum().backward()
        x.detach() * gradcore.ones(2, 3)
    sums = {each.key: each for each in prof.key_averages()}
    assert sums["aten::mul"].count == 6
    assert sums["MulBackward0"].count == 5
    assert sums["aten::mul"].cpu_time == pytest.approx(sums["aten::mul"].cpu_time_total / 6)
    by_shape = [each for each in prof.key_averages(group_by_input_shape=True) if each.key == "aten::mul"]
    assert sorted(each.count for each in by_shape) == [1, 5]
    table = prof.key_averages().table(sort_by="count", row_limit=2)
    lines = table.splitlines()
    assert lines[1].split()[:4] == ["Name", "Self", "CPU", "%"]
    assert lines[3].split()[0] == "aten::mul"
    assert lines[3].split()[-1] == "6"
    assert len(lines) == 3 + 2 + 2
    assert lines[-1].startswith("Self CPU time total: ")
    assert "CPU Mem" in lines[1]
    assert "Input Shapes" in str(prof)
    assert prof.total_average().count == len(prof.function_events)
    with pytest.raises(AttributeError):
        prof.table(sort_by="beauty")


def test_a_trace_for_chrome(tmp_path: Any) -> None:
    prof = profiled()
    path = tmp_path / "trace.json"
    prof.export_chrome_trace(path)
    events = json.loads(path.read_text())["traceEvents"]
    assert [event["name"] for event in events] == [event.name for event in prof.function_events]
    assert {event["ph"] for event in events} == {"X"}
    assert {event["cat"] for event in events} == {"user_annotation", "cpu_op"}
    block, mm = events[:2]
    assert block["ts"] <= mm["ts"]
    assert mm["ts"] + mm["dur"] <= block["ts"] + block["dur"]


def test_the_profile_is_of_its_thread_and_of_its_block() -> None:
    x = gradcore.ones(3, requires_grad=True)
    go, done = threading.Event(), threading.Event()

    def other() -> None:
        go.wait()
        x.exp().sum().backward()
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    with profiler.profile() as prof:
        go.set()
        done.wait()
        x.sin()
    thread.join()
    x.cos()
    assert [event.name for event in prof.function_events] == ["aten::sin"]


def test_a_profile_is_not_reentrant_and_may_be_off() -> None:
    with profiler.profile() as prof:
        with pytest.raises(RuntimeError, match="not reentrant"), profiler.profile():
            pass
        gradcore.ones(2).exp()
    assert [event.name for event in prof.function_events] == ["aten::exp"]
    with profiler.profile(enabled=False) as nothing:
        gradcore.ones(2).exp()
    assert nothing is None
    assert profiler.profile().function_events == []
    assert profiler.profile().table() == ""


def test_an_operation_that_fails_is_recorded_and_the_profile_goes_on() -> None:
    with profiler.profile() as prof:
        with pytest.raises(RuntimeError):
            gradcore.ones(2) + gradcore.ones(3)
        gradcore.ones(2).exp()
    assert [event.name for event in prof.function_events] == ["aten::add", "aten::exp"]


def test_named_functions() -> None:
    @profiler.record_function("named")
    def f(x: Any) -> Any:
        return x.exp()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        f(gradcore.ones(2))  # without a profile
    with profiler.profile() as prof:
        f(gradcore.ones(2))
    assert [event.name for event in prof.function_events] == ["named", "aten::exp"]
    assert f.__name__ == "f"


def test_stacks_for_a_flame_graph(tmp_path: Path) -> None:
    x = gradcore.ones(300, 300)

    def inner() -> Any:
        return x @ x

    with profiler.profile(with_stack=True) as prof:
        inner()
    prof.export_stacks(str(tmp_path / "stacks"))
    (line,) = (tmp_path / "stacks").read_text().splitlines()
    calls, microseconds = line.rsplit(" ", 1)
    assert int(microseconds) > 0
    assert [call.rsplit("_", 1)[1] for call in calls.split(";")][-1] == "inner"
    assert all(" " not in call for call in calls.split(";"))
    with pytest.raises(ValueError, match="metric should be one of"):
        prof.export_stacks(str(tmp_path / "stacks"), "elegance")
    with pytest.raises(AssertionError, match="with_stack"):
        profiler.profile().export_stacks(str(tmp_path / "stacks"))


def test_a_trace_has_what_it_is_given(tmp_path: Path) -> None:
    with profiler.profile() as prof:
        gradcore.ones(2).exp()
    prof.export_chrome_trace(tmp_path / "trace", {"machine": "mine"})
    trace = json.loads((tmp_path / "trace").read_text())
    assert trace["machine"] == "mine"
    assert [event["name"] for event in trace["traceEvents"]] == ["aten::exp"]


def test_events_of_ones_own_are_summed_and_shown() -> None:
    event = profiler.FunctionEvent
    outer, inner = event(1, "a", 0, 0, 10, cpu_memory_usage=100), event(2, "b", 0, 2, 5, cpu_memory_usage=40, flops=3)
    outer.append_cpu_child(inner)
    events = profiler.EventList([outer, inner], profile_memory=True)
    assert (inner.flops, inner.input_shapes, inner.is_async, inner.time_range.start) == (3, None, False, 2)
    assert [e.self_cpu_time_total for e in events] == [7, 3]
    assert [e.self_cpu_memory_usage for e in events] == [60, 40]
    assert (events.self_cpu_time_total, outer.cpu_time_total, outer.cpu_memory_usage) == (10, 10, 100)
    rows = events.key_averages().table(sort_by="cpu_time").splitlines()
    assert [row.split()[0] for row in rows if row.strip()[:1] in "ab"] == ["a", "b"]
    assert "CPU Mem" in rows[1]
    assert "Input Shapes" not in rows[1]
