"""Captures of what a stream is given, as graphs that are given again in one go, with memory of their own. No arrays' maths.

While a thread captures, nothing is done: there are no values to wait for, and what the host copies to the device now would
not be copied again by a replay.
"""
from __future__ import annotations

import itertools
import threading
from contextlib import ExitStack
from typing import Any
from weakref import WeakValueDictionary

import cupy as cp

from gradcore.backends import captures


class Pool:
    """Memory that only graphs use: what a replay writes to nobody else may be given."""

    def __init__(self, handle: tuple[int, int]) -> None:
        self.handle = handle
        self.memory = cp.cuda.MemoryPool()


pools: WeakValueDictionary[tuple[int, int], Pool] = WeakValueDictionary()
_numbers = itertools.count(1)


def new_handle() -> tuple[int, int]:
    """Return what names a pool that does not exist yet."""
    return 0, next(_numbers)


def pool_of(handle: tuple[int, int] | None) -> Pool:
    """Return the pool of this name, a new one if none has it."""
    handle = new_handle() if handle is None else handle
    return pools.setdefault(handle, Pool(handle))


MODES = {"global": 0, "thread_local": 1, "relaxed": 2}  # as the CUDA runtime numbers them


class Capture:
    """What the current stream is given from `begin` to `end`, to be launched as often as one likes."""

    def __init__(self, pool: Pool, mode: str) -> None:
        self.pool, self.mode = pool, MODES[mode]
        self.kept: list[Any] = []  # what streams of the graph still use when the capture has no more use for it
        self.workspaces: dict[int, Any] = {}  # of cuBLAS, by stream
        self.graph: Any = None
        self.count: Any = None  # the number of the replay, for who has asked
        self.counts = False

    def begin(self) -> None:
        """Begin. Raises RuntimeError on the default stream."""
        self.stream = cp.cuda.get_current_stream()
        self.thread = threading.get_ident()
        self.inside = ExitStack()
        self.inside.enter_context(cp.cuda.using_allocator(self.pool.memory.malloc))
        try:
            self.count = cp.ones((), "u8")
            self.stream.begin_capture(self.mode)
        except BaseException:
            self.inside.close()
            raise
        captures.append(self)

    def end(self) -> None:
        """Make the graph. Raises the CUDA runtime's error if something has made that impossible."""
        captures.remove(self)
        self.inside.close()
        if self.counts:
            cp.add(self.count, 1, self.count)
        self.graph = self.stream.end_capture()

    def replays(self) -> int:
        """Return the address of the number of the replay, from 1 on."""
        self.counts = True
        return int(self.count.data.ptr)

    def launch(self) -> None:
        """Give the graph to the current stream."""
        self.graph.launch()


def capturing() -> bool:
    """Say whether this thread captures."""
    return any(each.thread == threading.get_ident() for each in captures)


def refuse(what: str) -> None:
    """Raise RuntimeError if this thread captures: `what` cannot be part of a graph."""
    if capturing():
        raise RuntimeError(refusal(what))


def refusal(what: str) -> str:
    """Return the sentence that says why `what` cannot be part of a graph."""
    return (
        f"{what} cannot be captured in a CUDA graph: while it is captured nothing is done, and a replay is work of the "
        "device alone. Do it before or after, or keep the value on the device"
    )
