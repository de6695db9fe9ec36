"""The pretended streams, events, memory pool and page-locked memory. It must not know arrays.

Everything runs at once, so that no event is ever awaited; the ledger notes who would have waited for whom.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np

from tests.double import races
from tests.double.machine import COUNT, current, ledger


class CUDARuntimeError(RuntimeError):
    """An error of the CUDA runtime."""


class OutOfMemoryError(MemoryError):
    """No room on the device."""


OutOfMemoryError.__module__ = "cupy.cuda.memory"


# -- streams and events --------------------------------------------------------------------------------------


class _Chosen(threading.local):
    def __init__(self) -> None:
        self.streams: dict[int, Any] = {}


chosen = _Chosen()
_numbers = itertools.count(0x1000)

# The ranges of profilers: "name" where one begins, None where one ends.
ranges: list[str | None] = []
nvtx = SimpleNamespace(
    available=True, RangePush=lambda message, id_color=-1: ranges.append(message), RangePop=lambda: ranges.append(None)
)


class Stream:
    """A stream; here everything runs at once."""

    null: Any = None

    def __init__(
        self, null: bool = False, non_blocking: bool = False, ptds: bool = False, priority: int | None = None
    ) -> None:
        self.ptr = 0 if null else next(_numbers)
        self.device_id = -1 if null else current.id
        self.priority = 0 if null else max(-5, min(priority or 0, 0))
        self.done = True
        self._outside: list[Any] = []

    def __enter__(self) -> Stream:
        if self.device_id not in (-1, current.id):
            raise RuntimeError(f"a stream of device {self.device_id} cannot be chosen on device {current.id}")
        self._outside.append(chosen.streams.get(current.id))
        chosen.streams[current.id] = self
        return self

    def __exit__(self, *error: object) -> None:
        chosen.streams[current.id] = self._outside.pop()

    def synchronize(self) -> None:
        ledger.sync("Stream.synchronize")
        races.host_waits(races.seen_by(races.key(self)))

    def wait_event(self, event: Any) -> None:
        if event.recorded is None:
            raise CUDARuntimeError("cudaErrorInvalidResourceHandle: invalid resource handle")
        races.merge(races.seen_by(races.key(self)), event.seen)
        ledger.waits.append((self.ptr, event.recorded))

    def record(self, event: Any = None) -> Any:
        event = Event() if event is None else event
        event.record(self)
        return event


class ExternalStream(Stream):
    """A stream by its address."""

    def __init__(self, ptr: int, device_id: int = -1) -> None:
        super().__init__()
        self.ptr = ptr
        self.device_id = device_id


Stream.null = Stream(null=True)


def get_current_stream(device_id: int = -1) -> Stream:
    return chosen.streams.get(current.id if device_id == -1 else device_id) or Stream.null


class Event:
    """An event; here it has always happened, unless a test says so. Its time is the number of records before it."""

    _clock = itertools.count()
    happened = True

    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False) -> None:
        self.ptr = next(_numbers)
        self.timing = not disable_timing
        self.recorded: int | None = None
        self.time = 0
        self._done: bool | None = None

    @property
    def done(self) -> bool:
        if current.capturing is not None:
            raise CUDARuntimeError("cudaErrorCapturedEvent: operation not permitted on an event last recorded in a capture")
        return Event.happened if self._done is None else self._done

    @done.setter
    def done(self, done: bool) -> None:
        self._done = done

    def record(self, stream: Any = None) -> None:
        stream = get_current_stream() if stream is None else stream
        if stream.device_id not in (-1, current.id):
            raise CUDARuntimeError("cudaErrorInvalidResourceHandle: invalid resource handle")
        self.recorded, self.time = stream.ptr, next(Event._clock)
        self.seen = dict(races.seen_by(races.key(stream)))

    def synchronize(self) -> None:
        ledger.sync("Event.synchronize")
        races.host_waits(self.seen)


def get_elapsed_time(start: Event, end: Event) -> float:
    if not (start.timing and end.timing):
        raise CUDARuntimeError("cudaErrorInvalidResourceHandle: invalid resource handle")
    return float(end.time - start.time)


# -- memory --------------------------------------------------------------------------------------------------

TOTAL = 2**33


class Block:
    """What an allocation holds until it is forgotten; in pieces of 512 bytes, as CuPy's pool gives them."""

    def __init__(self, size: int, pool: Pool) -> None:
        self.device, self.size, self.pool = current.id, 0, pool
        pool.take(self, -(-size // 512) * 512)

    def __del__(self) -> None:
        self.pool.used[self.device] -= self.size


class Pool:
    """A memory pool of CuPy's by device."""

    known: ClassVar[weakref.WeakSet[Any]] = weakref.WeakSet()

    def __init__(self) -> None:
        self.known.add(self)
        self.used = [0] * COUNT
        self.held = [0] * COUNT
        self.limits = [0] * COUNT

    def take(self, block: Block, size: int) -> None:
        used, limit = self.used[block.device], self.limits[block.device]
        if size and (used + size > (limit or TOTAL) or sum(each.used[block.device] for each in self.known) + size > TOTAL):
            text = f"Out of memory allocating {size:,} bytes (allocated so far: {used:,} bytes"
            raise OutOfMemoryError(f"{text}, limit set to: {limit:,} bytes)." if limit else f"{text}).")
        block.size = size
        self.used[block.device] += size
        self.held[block.device] = max(self.held[block.device], used + size)

    def malloc(self, size: int) -> Block:
        return Block(size, self)

    def used_bytes(self) -> int:
        return self.used[current.id]

    def total_bytes(self) -> int:
        return self.held[current.id]

    def free_all_blocks(self, stream: Any = None) -> None:
        self.held = list(self.used)

    def set_limit(self, size: int | None = None, fraction: float | None = None) -> None:
        self.limits[current.id] = int(TOTAL * (fraction or 0)) if size is None else size

    def get_limit(self) -> int:
        return self.limits[current.id]


pool = Pool()
_allocator: list[Callable[[int], Block]] = [pool.malloc]


def get_allocator() -> Callable[[int], Block]:
    return _allocator[0]


def set_allocator(allocator: Callable[[int], Block] | None = None) -> None:
    _allocator[0] = pool.malloc if allocator is None else allocator


def allocate(size: int) -> Block:
    """Memory for an array of the current device."""
    return _allocator[0](size)


# -- page-locked memory of the host --------------------------------------------------------------------------


class Locked(bytearray):
    """Memory that `pointerGetAttributes` knows for page-locked."""


_locked: weakref.WeakSet[Any] = weakref.WeakSet()


class _Span:
    def __init__(self, start: int, stop: int) -> None:
        self.start, self.stop = start, stop


def empty_pinned(shape: Any, dtype: Any = float, order: str = "C") -> Any:
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    memory = Locked(max(size, 1))
    array: Any = np.ndarray(shape, dtype, buffer=memory, order=order)  # type: ignore[call-overload]
    start = array.__array_interface__["data"][0]
    memory.span = _Span(start, start + max(size, 1))  # type: ignore[attr-defined]
    _locked.add(memory.span)  # type: ignore[attr-defined]
    return array


def is_locked(pointer: int) -> bool:
    return any(span.start <= pointer < span.stop for span in _locked)


def forget() -> None:
    """Take back what a test chose: device, streams, limits."""
    current.id = 0
    current.capturing = None
    Event.happened = True
    races.forget()
    chosen.streams.clear()
    pool.limits = [0] * COUNT


runtime = SimpleNamespace(
    getDeviceCount=lambda: COUNT,
    getDevice=lambda: current.id,
    setDevice=lambda id: setattr(current, "id", id),
    deviceSynchronize=lambda: (ledger.sync("deviceSynchronize"), races.host_waits_for_all()),
    runtimeGetVersion=lambda: 12090,
    driverGetVersion=lambda: 12090,
    getDeviceProperties=lambda id: {
        "name": b"pretended",
        "totalGlobalMem": TOTAL,
        "multiProcessorCount": 4,
        "warpSize": 32,
        "l2CacheSize": 2**20,
        "major": 9,
        "minor": 0,
    },
    memGetInfo=lambda: (TOTAL - sum(each.held[current.id] for each in Pool.known), TOTAL),
    pointerGetAttributes=lambda pointer: SimpleNamespace(type=int(is_locked(pointer))),
    CUDARuntimeError=CUDARuntimeError,
)
