"""torch.autograd.profiler: how long operations and their backward took, by name. It must not know any operation."""

from __future__ import annotations

import functools
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

from gradcore.autograd.anomaly_mode import user_frames
from gradcore.autograd.profiler_events import EventList, FunctionEvent, FunctionEventAvg
from gradcore.autograd.profiler_marks import emit_itt, emit_nvtx
from gradcore.autograd.profiler_records import (
    EnforceUnique,
    KinetoStepTracker,
    MemRecordsAcc,
    load_nvprof,
    parse_nvprof_trace,
)
from gradcore.autograd.profiler_watching import Watching, running, shapes
from gradcore.backends import by_type, of
from gradcore.recorder.value import Value

__all__ = [
    "EnforceUnique", "EventList", "FunctionEvent", "FunctionEventAvg", "KinetoStepTracker", "MemRecordsAcc", "emit_itt",
    "emit_nvtx", "load_nvprof", "parse_nvprof_trace", "profile", "record_function",
]  # fmt: skip

F = TypeVar("F", bound=Callable[..., Any])


class profile(Watching):
    """Record the operations of this thread inside a `with` block, and the nodes that sweeps pass.

    Afterwards `function_events`, `key_averages()`, `table()` and `export_chrome_trace(path)` show them. `record_shapes`
    keeps the inputs' shapes, `profile_memory` the bytes of what was made, `with_stack` the user's lines. With `use_device`
    (or `use_cuda`), each operation is waited for, so that the time is the device's. Other options are there for torch's
    sake.

    Raises RuntimeError if a profile is on in this thread.
    """

    def __init__(
        self,
        enabled: bool = True,
        *,
        use_cuda: bool = False,
        use_device: str | None = None,
        record_shapes: bool = False,
        with_flops: bool = False,
        profile_memory: bool = False,
        with_stack: bool = False,
        with_modules: bool = False,
        use_kineto: bool = False,
        use_cpu: bool = True,
        experimental_config: Any = None,
        acc_events: bool = False,
        custom_trace_id_callback: Any = None,
        post_processing_timeout_s: float | None = None,
        activity_filters: Any = None,
    ) -> None:
        self.enabled = enabled
        self.record_shapes, self.profile_memory, self.with_stack = record_shapes, profile_memory, with_stack
        self._wait = use_cuda or use_device not in (None, "cpu")
        self._accumulate = acc_events
        self._events: EventList | None = None
        self._open: list[FunctionEvent] = []

    def __enter__(self) -> profile | None:
        if not self.enabled:
            return None
        if isinstance(running.watching, profile):
            raise RuntimeError("Profiler context manager is not reentrant")
        self.begin()
        if self._events is None or not self._accumulate:
            self._events = EventList(profile_memory=self.profile_memory)
        return self

    def __exit__(self, *exception: object) -> None:
        if not self.enabled:
            return
        self.end()

    # -- what it records ----------------------------------------------------------------------------------------------

    @contextmanager
    def event(
        self, name: str, kind: str, inputs: Sequence[Any] = (), sequence: int = -1
    ) -> Iterator[FunctionEvent]:
        """Record what happens inside as one event, a part of the one that is going on."""
        assert self._events is not None
        sizes = shapes(inputs) if self.record_shapes else []
        stack = traceback.format_list(user_frames())[::-1] if self.with_stack else []
        event = FunctionEvent(
            len(self._events), name, self.thread, 0, 0, input_shapes=sizes, stack=stack, activity_type=kind,
            sequence_nr=sequence,
        )  # fmt: skip
        if self._open:
            self._open[-1].append_cpu_child(event)
        self._events.append(event)
        self._open.append(event)
        event.time_range.start = time.perf_counter_ns() / 1000
        try:
            yield event
        finally:
            event.time_range.end = time.perf_counter_ns() / 1000
            self._open.pop()

    def made(self, event: FunctionEvent, results: Any, inputs: Sequence[Any]) -> None:
        """Note of an event what it made that is not memory of an input."""
        old = {id(of(array).storage(array)) for array in _arrays(inputs)}
        for array in _arrays(results if isinstance(results, (tuple, list)) else (results,)):
            if self._wait:
                of(array).synchronize()
            if id(of(array).storage(array)) not in old:
                event.own_memory += array.nbytes

    # -- what it shows ------------------------------------------------------------------------------------------------

    @property
    def function_events(self) -> EventList:
        """The events, in the order in which they began."""
        return EventList() if self._events is None else self._events

    def table(
        self,
        sort_by: str | None = None,
        row_limit: int = 100,
        max_src_column_width: int = 75,
        max_name_column_width: int = 55,
        max_shapes_column_width: int = 80,
        header: str | None = None,
        top_level_events_only: bool = False,
    ) -> str:
        """A table of the events; see `EventList.table`."""
        return self.function_events.table(
            sort_by, row_limit, max_src_column_width, max_name_column_width, max_shapes_column_width, header,
            top_level_events_only,
        )  # fmt: skip

    def key_averages(
        self, group_by_input_shape: bool = False, group_by_stack_n: int = 0, group_by_overload_name: bool = False
    ) -> EventList:
        """The events summed by name; see `EventList.key_averages`."""
        return self.function_events.key_averages(group_by_input_shape, group_by_stack_n, group_by_overload_name)

    def export_stacks(self, path: str, metric: str = "self_cpu_time_total") -> None:
        """Write stacks for a flame graph; see `EventList.export_stacks`. Raises AssertionError without `with_stack`."""
        if not self.with_stack:
            raise AssertionError("export_stacks() requires with_stack=True")
        self.function_events.export_stacks(path, metric)

    def total_average(self) -> FunctionEventAvg:
        """The sum of all events."""
        return self.function_events.total_average()

    def export_chrome_trace(
        self, path: Any, metadata: dict[str, Any] | None = None, use_python_export: bool = False
    ) -> None:
        """Write the events, and `metadata` beside them, to a file for chrome://tracing or Perfetto."""
        self.function_events.write_trace(path, metadata or {})

    @property
    def self_cpu_time_total(self) -> float:
        """The microseconds of all events, what contains others counted without these."""
        return self.function_events.self_cpu_time_total

    def __str__(self) -> str:
        return "<unfinished torch.autograd.profile>" if self._events is None else str(self._events)

    __repr__ = __str__


class record_function:
    """Name what happens inside a `with` block, or in a decorated function, in the profile that is on; else do nothing."""

    def __init__(self, name: str, args: str | None = None) -> None:
        self.name, self.args = name, args
        self._entered: list[AbstractContextManager[Any]] = []

    def __enter__(self) -> record_function:
        on = running.watching
        context = nullcontext() if on is None else on.event(self.name, "user_annotation")
        context.__enter__()
        self._entered.append(context)
        return self

    def __exit__(self, *exception: Any) -> None:
        self._entered.pop().__exit__(*exception)

    def __call__(self, function: F) -> F:
        @functools.wraps(function)
        def named(*args: Any, **keywords: Any) -> Any:
            with record_function(self.name, self.args):
                return function(*args, **keywords)

        return named  # type: ignore[return-value]


def _arrays(parts: Sequence[Any]) -> list[Any]:
    """The arrays of an array library among values and raw arrays."""
    arrays = [part._array if isinstance(part, Value) else part for part in parts]
    return [array for array in arrays if type(array) in by_type]
