"""What a profile has recorded, and its forms: sums by name, a table, a trace for Chrome. It must not know what made it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from enum import Enum
from typing import Any, NamedTuple


class DeviceType(Enum):
    """Where an event ran."""

    CPU = 0
    CUDA = 1


class Interval:
    """A time from `start` to `end`, in microseconds."""

    def __init__(self, start: float, end: float) -> None:
        self.start, self.end = start, end

    def elapsed_us(self) -> float:
        """How long it is."""
        return self.end - self.start


class Kernel(NamedTuple):
    """What ran on a device, and how long."""

    name: Any
    device: int
    duration: float


class FunctionEvent:
    """One operation, node or named block: when it ran, in microseconds, and what ran inside it.

    All that torch's profilers tell of an event may be given; those of gradcore know the number, the name, the thread, the
    time, `activity_type`, `input_shapes`, `stack` and the memory.
    """

    count = 1
    input_shapes: list[list[int]] | None
    stack: list[str] | None
    device_type: DeviceType

    def __init__(
        self, id: Any, name: str, thread: int, start_us: float, end_us: float, overload_name: str | None = None,
        fwd_thread: int | None = None, input_shapes: list[list[int]] | None = None, stack: list[str] | None = None,
        scope: int = 0, use_device: str | None = None, cpu_memory_usage: int = 0, device_memory_usage: int = 0,
        is_async: bool = False, is_remote: bool = False, sequence_nr: int = -1, node_id: int = -1,
        device_type: DeviceType = DeviceType.CPU, device_index: int = 0, device_resource_id: int | None = None,
        is_legacy: bool = False, flops: int | None = None, trace_name: str | None = None, concrete_inputs: Any = None,
        kwinputs: Any = None, is_user_annotation: bool = False, is_python_function: bool = False,
        activity_type: str | None = None, metadata_json: str | None = None, flow_id: int | None = None,
        flow_type: int | None = None, flow_start: bool | None = None, external_id: int = 0, linked_correlation_id: int = 0,
        extra_meta: Any = None, structured_input_shapes: Any = None, structured_input_strides: Any = None,
        input_dtypes: Any = None, python_id: int = -1, python_parent_id: int = -1, python_module_id: int = -1,
    ) -> None:  # fmt: skip
        given = locals()
        told = set(given) - {"self", "start_us", "end_us", "cpu_memory_usage"}
        self.__dict__.update({name: given[name] for name in told})
        self.id, self.name, self.thread, self.activity_type = id, name, thread, activity_type
        self.time_range = Interval(start_us, end_us)
        self.own_memory = cpu_memory_usage
        self.kernels: list[Kernel] = []
        self.cpu_children: list[FunctionEvent] = []
        self.cpu_parent: FunctionEvent | None = None

    def append_cpu_child(self, child: FunctionEvent) -> None:
        """Note an event that ran inside this one."""
        self.cpu_children.append(child)
        child.cpu_parent = self

    def append_kernel(self, name: Any, device: int, duration: float) -> None:
        """Note a kernel that was launched during this event. Raises AssertionError if it ran on no CPU."""
        if self.device_type is not DeviceType.CPU:
            raise AssertionError("Expected device_type to be CPU")
        self.kernels.append(Kernel(name, device, duration))

    @property
    def key(self) -> str:
        """What events are summed by: the name."""
        return self.name

    @property
    def cpu_time_total(self) -> float:
        """Microseconds from start to end."""
        return self.time_range.elapsed_us()

    cpu_time = cpu_time_total

    @property
    def self_cpu_time_total(self) -> float:
        """Microseconds, less those of what ran inside."""
        return self.cpu_time_total - sum(child.cpu_time_total for child in self.cpu_children)

    @property
    def self_cpu_memory_usage(self) -> int:
        """Bytes of what it made, less those of what was made inside."""
        return max(self.own_memory - sum(child.own_memory for child in self.cpu_children), 0)

    @property
    def cpu_memory_usage(self) -> int:
        """Bytes of all that was made from start to end."""
        return self.self_cpu_memory_usage + sum(child.cpu_memory_usage for child in self.cpu_children)

    def __repr__(self) -> str:
        return (
            f"<FunctionEvent id={self.id} name={self.name} thread={self.thread} cpu_time={_time(self.cpu_time_total)} "
            f"cpu_children={[child.id for child in self.cpu_children]} input_shapes={self.input_shapes} "
            f"cpu_memory_usage={self.cpu_memory_usage}>"
        )


class FunctionEventAvg:
    """Events with one key, summed."""

    def __init__(self, key: str, events: Iterable[FunctionEvent], shapes: bool = False, stack: int = 0) -> None:
        events = list(events)
        self.key = self.name = key
        self.count = len(events)
        self.input_shapes = (shapes and events[0].input_shapes) or []
        self.stack = ((stack and events[0].stack) or [])[:stack]
        # What ran inside another event of this key is in that one's time.
        outer = [event for event in events if not _inside(event, key)]
        self.cpu_time_total = sum(event.cpu_time_total for event in outer)
        self.self_cpu_time_total = sum(event.self_cpu_time_total for event in events)
        self.cpu_memory_usage = sum(event.cpu_memory_usage for event in outer)
        self.self_cpu_memory_usage = sum(event.self_cpu_memory_usage for event in events)

    @property
    def cpu_time(self) -> float:
        """Microseconds of one event in the mean."""
        return self.cpu_time_total / self.count if self.count else 0.0

    def __repr__(self) -> str:
        return (
            f"<FunctionEventAvg key={self.key} self_cpu_time={_time(self.self_cpu_time_total)} "
            f"cpu_time={_time(self.cpu_time)} input_shapes={self.input_shapes} cpu_memory_usage={self.cpu_memory_usage}>"
        )


def _inside(event: FunctionEvent, key: str) -> bool:
    parent = event.cpu_parent
    while parent is not None:
        if parent.key == key:
            return True
        parent = parent.cpu_parent
    return False


class EventList(list[Any]):
    """Events, or sums of events."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._options = {name: kwargs.pop(name, None) for name in ("use_device", "profile_memory", "with_flops")}
        super().__init__(*args, **kwargs)

    @property
    def self_cpu_time_total(self) -> float:
        """The microseconds of all events, what contains others counted without these."""
        return float(sum(event.self_cpu_time_total for event in self))

    def key_averages(
        self, group_by_input_shapes: bool = False, group_by_stack_n: int = 0, group_by_overload_name: bool = False
    ) -> EventList:
        """Sum events of one name (and the same input shapes, the same innermost lines of the user's, if asked).

        Operations have no overloads to tell apart.
        """
        groups: dict[Any, list[FunctionEvent]] = {}
        for event in self:
            shapes = str(event.input_shapes) if group_by_input_shapes else ""
            groups.setdefault((event.key, shapes, tuple((event.stack or [])[:group_by_stack_n])), []).append(event)
        how = group_by_input_shapes, group_by_stack_n
        return EventList((FunctionEventAvg(key, events, *how) for (key, _, _), events in groups.items()), **self._options)

    def total_average(self) -> FunctionEventAvg:
        """The sum of all events."""
        return FunctionEventAvg("Total", self)

    def table(
        self,
        sort_by: str | None = None,
        row_limit: int = 100,
        max_src_column_width: int = 75,
        max_name_column_width: int = 55,
        max_shapes_column_width: int = 80,
        header: str | None = None,
        top_level_events_only: bool = False,
        time_unit: str | None = None,
    ) -> str:
        """The events as text, `row_limit` of them (-1: all).

        The largest `sort_by` comes first: "cpu_time", "cpu_time_total", "self_cpu_time_total", "cpu_memory_usage",
        "self_cpu_memory_usage", "count". Times are in `time_unit` ("s", "ms", "us"; None: what fits). Raises AttributeError
        for another sum.
        """
        if not self:
            return ""
        rows = list(self) if sort_by is None else sorted(self, key=lambda e: getattr(e, sort_by), reverse=True)
        if top_level_events_only:
            rows = [event for event in rows if getattr(event, "cpu_parent", None) is None]
        rows = rows if row_limit < 0 else rows[:row_limit]
        total = self.self_cpu_time_total

        def share(microseconds: float) -> str:
            return f"{100 * microseconds / total:.2f}%" if total else "NaN"

        def cut(text: str, width: int) -> str:
            return text if len(text) <= width else text[: width - 3] + "..."

        columns: list[tuple[str, list[str]]] = [
            ("Name", [cut(e.key, max_name_column_width) for e in rows]),
            ("Self CPU %", [share(e.self_cpu_time_total) for e in rows]),
            ("Self CPU", [_time(e.self_cpu_time_total, time_unit) for e in rows]),
            ("CPU total %", [share(e.cpu_time_total) for e in rows]),
            ("CPU total", [_time(e.cpu_time_total, time_unit) for e in rows]),
            ("CPU time avg", [_time(e.cpu_time, time_unit) for e in rows]),
        ]
        if self._options["profile_memory"]:
            columns += [
                ("CPU Mem", [_bytes(e.cpu_memory_usage) for e in rows]),
                ("Self CPU Mem", [_bytes(e.self_cpu_memory_usage) for e in rows]),
            ]
        columns.append(("# of Calls", [str(e.count) for e in rows]))
        if any(e.input_shapes for e in rows):
            columns.append(("Input Shapes", [cut(str(e.input_shapes), max_shapes_column_width) for e in rows]))
        if any(e.stack for e in rows):
            first = [e.stack[0].strip().splitlines()[0] if e.stack else "" for e in rows]
            columns.append(("Source Location", [cut(line, max_src_column_width) for line in first]))
        widths = [max(map(len, [title, *cells]), default=0) for title, cells in columns]
        rule = "  ".join("-" * width for width in widths)
        lines = [*([header] if header else []), rule]
        lines.append("  ".join(title.rjust(width) for (title, _), width in zip(columns, widths, strict=True)))
        lines.append(rule)
        lines += (
            "  ".join(cells[i].rjust(width) for (_, cells), width in zip(columns, widths, strict=True))
            for i in range(len(rows))
        )
        return "\n".join([*lines, rule, f"Self CPU time total: {_time(total, time_unit)}", ""])

    def supported_export_stacks_metrics(self) -> list[str]:
        """What `export_stacks` may be told to count."""
        return ["self_cpu_time_total"]

    def export_stacks(self, path: str, metric: str = "self_cpu_time_total") -> None:
        """Write the user's calls that led to each event, the outermost first, and its microseconds: for a flame graph.

        Raises ValueError for another metric.
        """
        if metric not in self.supported_export_stacks_metrics():
            raise ValueError(f"metric should be one of: {self.supported_export_stacks_metrics()}")
        with open(path, "w", encoding="utf-8") as file:
            for event in self:
                if event.stack and int(getattr(event, metric)) > 0:
                    calls = (re.sub(r"[\s;]", "_", call.strip().splitlines()[0]) for call in reversed(event.stack))
                    file.write(f"{';'.join(calls)} {int(getattr(event, metric))}\n")

    def export_chrome_trace(self, path: Any) -> None:
        """Write the events to a file that chrome://tracing and Perfetto show."""
        self.write_trace(path, {})

    def write_trace(self, path: Any, metadata: dict[str, Any]) -> None:
        """Write the events, and `metadata` beside them."""
        process = os.getpid()
        events = [
            {
                "ph": "X",
                "cat": event.activity_type,
                "name": event.name,
                "pid": process,
                "tid": event.thread,
                "ts": event.time_range.start,
                "dur": event.cpu_time_total,
                "args": {"Input Dims": event.input_shapes, "Bytes": event.cpu_memory_usage, "Call stack": event.stack},
            }
            for event in self
        ]
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"schemaVersion": 1, "displayTimeUnit": "ms", **metadata, "traceEvents": events}, file)

    def __str__(self) -> str:
        return self.table()


def _time(microseconds: float, unit: str | None = None) -> str:
    if unit is None:
        unit = "s" if microseconds >= 1e6 else "ms" if microseconds >= 1e3 else "us"
    return f"{microseconds / {'s': 1e6, 'ms': 1e3, 'us': 1}[unit]:.3f}{unit}"


def _bytes(n: int) -> str:
    for power, name in ((3, "GB"), (2, "MB"), (1, "KB")):
        if n >= 1024**power:
            return f"{n / 1024**power:.2f} {name}"
    return f"{n} B"
