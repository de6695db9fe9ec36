"""Plans of cuDNN, made once for what is asked of it; it must not know what can be asked.

What is asked describes itself as a graph, for which cuDNN names ways to compute it. Plans, and what cuDNN calls a handle,
belong to a thread and a device.
"""
from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Sequence
from math import prod
from typing import Any, NamedTuple, Protocol

import cupy as cp

from gradcore.backends import captures, cudnn
from gradcore.backends.determinism import mode

Sizes = tuple[int, ...]
Ends = tuple[Any, ...]

LIMIT = 1024  # plans that a thread keeps


class Asked(Protocol):
    """What a plan is for: hashable, with all that decides on it."""

    def described(self, library: Any, handle: Any) -> tuple[Any, Ends]:
        """The graph, with its operands and results."""

    def unwanted(self, notes: Any) -> list[Any]:
        """What must not be noted of a way to compute it."""


class Plan(NamedTuple):
    """A graph that was built: what to bind arrays to, the number of the way if it was chosen by trying, bytes to work in."""

    library: Any
    handle: Any
    graph: Any
    ends: Ends
    number: int | None
    workspace: int

    def run(self, *arrays: Any) -> None:
        """Give it to the current stream."""
        self.library.set_stream(self.handle, cp.cuda.get_current_stream().ptr)
        workspace = cp.empty(max(self.workspace, 1), "u1")
        bound = dict(zip(self.ends, (int(x.data.ptr) for x in arrays), strict=True))
        if self.number is None:
            self.graph.execute(bound, int(workspace.data.ptr), handle=self.handle)
        else:
            self.graph.execute_plan_at_index(bound, int(workspace.data.ptr), self.number, handle=self.handle)


class _Known(threading.local):
    def __init__(self) -> None:
        self.handles: dict[int, Any] = {}
        self.plans: dict[tuple[int, bool, Asked], Plan | None] = {}


known = _Known()


def exact() -> bool:
    """Say whether only what gives the same bits every time may be planned."""
    return cudnn.deterministic or mode.enabled


def usable() -> bool:
    """Say whether cuDNN may be asked."""
    return cudnn.enabled and not isinstance(cudnn.found(), str)


def plan(asked: Asked, device: int, arrays: Callable[[], Sequence[Any]]) -> Plan | None:
    """Return the plan, None if cuDNN has none; the fastest on `arrays`, which are made only to try that."""
    library = cudnn.found()
    handle = known.handles.get(device)
    if handle is None:
        handle = known.handles[device] = library.create_handle()  # type: ignore[union-attr]
    measured = cudnn.benchmark and not captures
    key = device, measured, asked
    if key not in known.plans:
        if len(known.plans) >= LIMIT:
            known.plans.pop(next(iter(known.plans)))
        known.plans[key] = _made(library, handle, asked, arrays() if measured else None)
    return known.plans[key]


def _made(library: Any, handle: Any, asked: Asked, arrays: Sequence[Any] | None) -> Plan | None:
    """A plan; None, with a warning if that is strange, if there is none."""
    try:
        graph, ends = asked.described(library, handle)
        graph.validate()
        graph.build_operation_graph()
        graph.create_execution_plans([library.heur_mode.A, library.heur_mode.FALLBACK])
        if unwanted := asked.unwanted(library.numerical_note):
            graph.deselect_numeric_notes(unwanted)
        graph.check_support()
        if arrays is not None:
            return _fastest(library, handle, graph, ends, arrays)
        graph.build_plans()
        return Plan(library, handle, graph, ends, None, int(graph.get_workspace_size()))
    except library.cudnnGraphNotSupportedError:
        return None
    except (RuntimeError, ValueError, TypeError) as error:
        warnings.warn(f"cuDNN fails to plan {asked}: it is computed without ({error})", RuntimeWarning, stacklevel=2)
        return None


def packed(shape: Sizes) -> list[int]:
    """The strides, in elements, of a contiguous array."""
    return [prod(shape[axis + 1 :]) for axis in range(len(shape))]


def operand(graph: Any, shape: Sizes, kind: Any) -> Any:
    """A contiguous operand of a graph."""
    return graph.tensor(dim=list(shape), stride=packed(shape), data_type=kind)


def result(end: Any, shape: Sizes, kind: Any) -> None:
    """Let an operation's result be the graph's, contiguous."""
    end.set_output(True).set_dim(list(shape)).set_stride(packed(shape)).set_data_type(kind)


def _fastest(library: Any, handle: Any, graph: Any, ends: Ends, arrays: Sequence[Any]) -> Plan | None:
    """The plan that takes the least time of those that can be built; the host waits for each."""
    best: tuple[float, Plan | None] = float("inf"), None
    count = graph.get_execution_plan_count()
    for index in range(min(count, cudnn.benchmark_limit or count)):
        try:
            graph.build_plan_at_index(index)
            tried = Plan(library, handle, graph, ends, index, int(graph.get_workspace_size_plan_at_index(index)))
            tried.run(*arrays)
        except (library.cudnnGraphNotSupportedError, RuntimeError, cp.cuda.memory.OutOfMemoryError):
            continue
        start, end = cp.cuda.Event(), cp.cuda.Event()
        start.record()
        tried.run(*arrays)
        end.record()
        end.synchronize()
        best = min(best, (cp.cuda.get_elapsed_time(start, end), tried), key=lambda each: each[0])
    return best[1]
