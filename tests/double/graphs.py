"""The pretended captures: what is done while a stream captures is undone at their end, and done again by `launch`.

Until then, arrays that were made in a capture hold nothing. Whatever would make CUDA refuse a capture, or would not be
captured, is an error here. It must not know gradcore.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tests.double import queues, races
from tests.double.arrays import Pointer, living, ndarray, owner
from tests.double.machine import current


class Graph:
    """What was captured: functions with their arguments, and the arrays that they gave."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.work: list[tuple[Callable[..., Any], Any, Any, Any]] = []
        self.busy = False
        self.broken = False
        self.before: dict[int, tuple[Any, Any]] = {}  # memory that was there before, as it was
        self.made: list[ndarray] = []

    def note(self, args: Any) -> None:
        """Remember what is in arrays that may be written to."""
        for x in _all_arrays(args):
            memory = owner(x._host)
            if id(memory) not in self.before:
                self.before[id(memory)] = memory, memory.copy()

    def undo(self) -> None:
        for memory, was in self.before.values():
            np.copyto(memory, was)
        for x in self.made:
            if x.dtype.kind in "fc":
                owner(x._host).fill(np.nan)

    def let_go(self) -> None:
        """Hold the memory that was there before by its numbers alone, as a graph holds addresses."""
        own = {id(x) for x in self.made}
        self.work = [
            (function, _aliases(args, own), keywords, _aliases(results, own))
            for function, args, keywords, results in self.work
        ]

    def launch(self, stream: Any = None) -> None:
        assert current.capturing is None
        for function, args, keywords, results in self.work:
            for old, new in zip(_arrays(results), _arrays(function(*args, **keywords)), strict=True):
                if not np.shares_memory(old._host, new._host):
                    np.copyto(old._host, new._host)
                old._origin = new._origin
        Graph.launched += 1

    launched = 0


def _arrays(results: Any) -> list[ndarray]:
    if isinstance(results, (tuple, list)):
        return [array for each in results for array in _arrays(each)]
    return [results] if isinstance(results, ndarray) else []


def _aliases(args: Any, own: set[int]) -> Any:
    """The arguments, but for arrays of others new ones over their numbers."""
    if isinstance(args, (tuple, list)) and type(args) in (tuple, list):
        return type(args)(_aliases(each, own) for each in args)
    if not isinstance(args, ndarray) or id(args if args.base is None else args.base) in own:
        return args
    made = ndarray.__new__(ndarray)
    made._host, made._device, made._origin, made.base, made._block = args._host, args._device, args._origin, None, None
    living[id(made)] = made
    return made


def _all_arrays(args: Any) -> Iterator[ndarray]:
    """The arrays among arguments, and those whose addresses stand in a record that a kernel gets."""
    for x in args:
        if isinstance(x, ndarray):
            yield x
        elif isinstance(x, (tuple, list)):
            yield from _all_arrays(x)
        elif isinstance(x, Pointer) and (array := x.array()) is not None:
            yield array
        elif isinstance(x, np.ndarray) and "arrays" in (x.dtype.names or ()):
            known = {each.data.ptr: each for each in list(living.values())}
            yield from (known[int(address)] for address in np.unique(x["arrays"]) if int(address) in known)


def replayed(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, noted for replays if it is called while its stream captures, and not from within another such."""

    @functools.wraps(function)
    def call(*args: Any, **keywords: Any) -> Any:
        graph = current.capturing
        if graph is None or graph.busy:
            return function(*args, **keywords)
        stream = queues.get_current_stream()
        joined = stream.ptr == graph.stream.ptr or races.seen_by(races.key(stream)).get(races.key(graph.stream))
        assert joined, f"{function.__name__} is given to a stream that does not take part in the capture"
        graph.note((args, tuple(keywords.values())))
        graph.busy = True
        try:
            results = function(*args, **keywords)
        finally:
            graph.busy = False
        graph.work.append((function, args, keywords, results))
        graph.made += [x for x in _arrays(results) if id(owner(x._host)) not in graph.before]
        return results

    return call


def begin_capture(stream: Any, mode: int | None = None) -> None:
    if stream.ptr == 0:
        raise RuntimeError("cannot capture on the default (legacy) stream")
    assert mode in (0, 1, 2), "a mode of cudaStreamBeginCapture"
    current.capturing = Graph(stream)
    races.made(races.key(stream))


def end_capture(stream: Any) -> Graph:
    graph, current.capturing = current.capturing, None
    graph.undo()
    graph.let_go()
    if graph.broken:
        raise queues.CUDARuntimeError("cudaErrorStreamCaptureInvalidated: operation failed due to a previous error")
    return graph


queues.Stream.begin_capture = begin_capture  # type: ignore[attr-defined]
queues.Stream.end_capture = end_capture  # type: ignore[attr-defined]


class MemoryPool(queues.Pool):
    """A pool of one's own: it counts what it gave."""

    given = 0

    def malloc(self, size: int) -> Any:
        self.given += 1
        return super().malloc(size)


@contextmanager
def using_allocator(allocator: Callable[[int], Any]) -> Iterator[None]:
    before = queues.get_allocator()
    queues.set_allocator(allocator)
    try:
        yield
    finally:
        queues.set_allocator(before)


METHODS = """
    __getitem__ __setitem__ reshape transpose swapaxes squeeze ravel view copy flatten astype
    sum prod max min any all argmax argmin
""".split()


def install(*classes: type) -> None:
    """Let what these classes' objects do when they are called, and the array's methods, be replayed."""
    for cls in classes:
        cls.__call__ = replayed(cls.__call__)  # type: ignore[method-assign, operator]
    for name in METHODS:
        setattr(ndarray, name, replayed(getattr(ndarray, name)))
    Pointer.copy_from_host_async = replayed(Pointer.copy_from_host_async)  # type: ignore[method-assign]
    for name in ("T", "mT", "real", "imag"):
        found = vars(ndarray)[name]
        setattr(ndarray, name, property(replayed(found.fget), found.fset))
