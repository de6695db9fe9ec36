"""Convolutions and their derivatives by cuDNN, where it is installed and serves; must not know how they are computed else.

A convolution is planned once for its sizes, dtype and the settings of cudnn.py: a graph of one operation, for which cuDNN
names ways to compute it. Plans, and what cuDNN calls a handle, belong to a thread and a device.
"""
from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple

import cupy as cp

from gradcore.backends import captures, cudnn
from gradcore.backends.determinism import mode

Sizes = tuple[int, ...]

# What each way is called, and how its two operands.
WAYS = {
    "forward": ("conv_fprop", "image", "weight"),
    "transposed": ("conv_dgrad", "loss", "filter"),
    "kernel": ("conv_wgrad", "image", "loss"),
}
TYPES = {"float16": "HALF", "bfloat16": "BFLOAT16", "float32": "FLOAT", "float64": "DOUBLE"}
LIMIT = 1024  # plans that a thread keeps


class Asked(NamedTuple):
    """What a plan is for."""

    way: str
    first: Sizes
    second: Sizes
    result: Sizes
    dtype: str
    padding: Sizes
    stride: Sizes
    dilation: Sizes
    exact: bool
    single: bool


class Plan(NamedTuple):
    """A graph that was built: what to bind arrays to, the number of the way if it was chosen by trying, bytes to work in."""

    graph: Any
    ends: tuple[Any, Any, Any]
    number: int | None
    workspace: int

    def run(self, library: Any, handle: Any, arrays: tuple[Any, Any, Any]) -> None:
        """Give it to the current stream."""
        library.set_stream(handle, cp.cuda.get_current_stream().ptr)
        workspace = cp.empty(max(self.workspace, 1), "u1")
        bound = dict(zip(self.ends, (int(x.data.ptr) for x in arrays), strict=True))
        if self.number is None:
            self.graph.execute(bound, int(workspace.data.ptr), handle=handle)
        else:
            self.graph.execute_plan_at_index(bound, int(workspace.data.ptr), self.number, handle=handle)


class _Known(threading.local):
    def __init__(self) -> None:
        self.handles: dict[int, Any] = {}
        self.plans: dict[tuple[int, bool, Asked], Plan | None] = {}


_known = _Known()


def convolution(
    way: str, first: Any, second: Any, shape: Sizes, padding: tuple[Sizes, ...], stride: Sizes, dilation: Sizes
) -> Any:
    """Return a convolution ("forward"), its transpose or its derivative by the "kernel", of this shape; None if cuDNN
    does not serve."""
    if not cudnn.enabled or isinstance(library := cudnn.found(), str):
        return None
    if first.dtype.name not in TYPES or first.dtype != second.dtype or not 0 < len(stride) <= 3:
        return None
    if not (first.size and second.size and prod(shape)) or any(before != after or before < 0 for before, after in padding):
        return None
    # One axis is two, of which the first has one cell.
    more = (1,) * (len(stride) == 1)
    wide = [(*s[:2], *more, *s[2:]) for s in (first.shape, second.shape, shape)]
    ahead = (0,) * len(more), (1,) * len(more), (1,) * len(more)
    steps = [(*extra, *given) for extra, given in zip(ahead, ([p[0] for p in padding], stride, dilation), strict=True)]
    exact = cudnn.deterministic or mode.enabled
    single = not cudnn.allow_tf32 and first.dtype.name == "float32"
    asked = Asked(way, wide[0], wide[1], wide[2], first.dtype.name, steps[0], steps[1], steps[2], exact, single)
    device = int(first.data.device_id)
    arrays = cp.ascontiguousarray(first), cp.ascontiguousarray(second), cp.empty(shape, first.dtype)
    handle = _known.handles.get(device)
    if handle is None:
        handle = _known.handles[device] = library.create_handle()
    measured = cudnn.benchmark and not captures
    key = device, measured, asked
    if key not in _known.plans:
        if len(_known.plans) >= LIMIT:
            _known.plans.pop(next(iter(_known.plans)))
        _known.plans[key] = _planned(library, handle, asked, arrays if measured else None)
    plan = _known.plans[key]
    if plan is None:
        return None
    plan.run(library, handle, arrays)
    return arrays[2]


def _planned(library: Any, handle: Any, asked: Asked, arrays: Any) -> Plan | None:
    """A plan, the fastest if there are arrays to try it on; None, with a warning if that is strange, if there is none."""
    try:
        graph, ends = described(library, handle, asked)
        graph.validate()
        graph.build_operation_graph()
        graph.create_execution_plans([library.heur_mode.A, library.heur_mode.FALLBACK])
        notes = library.numerical_note
        unwanted = [notes.NONDETERMINISTIC] * asked.exact + [notes.DOWN_CONVERT_INPUTS, notes.TENSOR_CORE] * asked.single
        if unwanted:
            graph.deselect_numeric_notes(unwanted)
        graph.check_support()
        if arrays is not None:
            return _fastest(library, handle, graph, ends, arrays)
        graph.build_plans()
        return Plan(graph, ends, None, int(graph.get_workspace_size()))
    except library.cudnnGraphNotSupportedError:
        return None
    except (RuntimeError, ValueError, TypeError) as error:
        warnings.warn(f"cuDNN fails to plan {asked}: it is computed without ({error})", RuntimeWarning, stacklevel=2)
        return None


def described(library: Any, handle: Any, asked: Asked) -> tuple[Any, tuple[Any, Any, Any]]:
    """The graph of one operation, with its two operands and its result."""
    kind = getattr(library.data_type, TYPES[asked.dtype])
    wide = kind if asked.dtype == "float64" else library.data_type.FLOAT
    graph = library.pygraph(io_data_type=kind, intermediate_data_type=wide, compute_data_type=wide, handle=handle)
    operation, *names = WAYS[asked.way]
    operands = [
        graph.tensor(dim=list(shape), stride=packed(shape), data_type=kind) for shape in (asked.first, asked.second)
    ]
    build: Callable[..., Any] = getattr(graph, operation)
    result = build(
        **dict(zip(names, operands, strict=True)),
        padding=list(asked.padding), stride=list(asked.stride), dilation=list(asked.dilation),
    )  # fmt: skip
    result.set_output(True).set_dim(list(asked.result)).set_stride(packed(asked.result)).set_data_type(kind)
    return graph, (*operands, result)


def packed(shape: Sizes) -> list[int]:
    """The strides, in elements, of a contiguous array."""
    return [prod(shape[axis + 1 :]) for axis in range(len(shape))]


def _fastest(library: Any, handle: Any, graph: Any, ends: Any, arrays: Any) -> Plan | None:
    """The plan that takes the least time of those that can be built; the host waits for each."""
    best: tuple[float, Plan | None] = float("inf"), None
    count = graph.get_execution_plan_count()
    for index in range(min(count, cudnn.benchmark_limit or count)):
        try:
            graph.build_plan_at_index(index)
            plan = Plan(graph, ends, index, int(graph.get_workspace_size_plan_at_index(index)))
            plan.run(library, handle, arrays)
        except (library.cudnnGraphNotSupportedError, RuntimeError, cp.cuda.memory.OutOfMemoryError):
            continue
        start, end = cp.cuda.Event(), cp.cuda.Event()
        start.record()
        plan.run(library, handle, arrays)
        end.record()
        end.synchronize()
        best = min(best, (cp.cuda.get_elapsed_time(start, end), plan), key=lambda each: each[0])
    return best[1]
