"""Streams, events, peaks of memory and page-locked host memory, as CuPy has them; must not know arrays' maths.

Only gradcore.cuda and transfers ask for these, so that they are no part of what every backend offers.
"""
from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

import cupy as cp
import cupyx
import numpy as np

from gradcore.backends import captures
from gradcore.backends.cuda import current_device, memory, on_device

PINNED = 1  # what the CUDA runtime calls cudaMemoryTypeHost


# -- streams and events --------------------------------------------------------------------------------------


def new_stream(device: int | None, priority: int) -> Any:
    """Return a stream that does not wait for the default one; CUDA rounds `priority` into its range."""
    with on_device(device):
        return cp.cuda.Stream(non_blocking=True, priority=priority)


def external_stream(pointer: int, device: int | None) -> Any:
    """Return another library's stream, which that library keeps alive."""
    return cp.cuda.ExternalStream(pointer, current_device() if device is None else device)


def current_stream(device: int | None) -> Any:
    """Return the stream that work on a device is given to."""
    return cp.cuda.get_current_stream(-1 if device is None else device)


def default_stream() -> Any:
    """Return the stream that work is given to unless another is chosen."""
    return cp.cuda.Stream.null


def new_event(timing: bool, blocking: bool, interprocess: bool) -> Any:
    """Return an event that has not been recorded."""
    return cp.cuda.Event(blocking, not timing, interprocess)


def milliseconds(start: Any, end: Any) -> float:
    """Return the time between two events that are over."""
    return float(cp.cuda.get_elapsed_time(start, end))


# -- ranges for NVIDIA's profilers ---------------------------------------------------------------------------


def push_range(name: str) -> None:
    """Begin a range of this thread. Raises RuntimeError if CuPy was built without NVTX."""
    if not cp.cuda.nvtx.available:
        raise RuntimeError("this CuPy was built without NVTX: install one of cupy-cuda12x and cupy-cuda13x")
    cp.cuda.nvtx.RangePush(name)


def pop_range() -> None:
    """End the range of this thread that began last."""
    cp.cuda.nvtx.RangePop()


# -- what a stream still uses --------------------------------------------------------------------------------


class _Kept:
    """What is not to be given back before a stream has done what it had been given when that was said."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.waiting: dict[int, deque[tuple[Any, Any]]] = {}

    def add(self, thing: Any, stream: Any) -> None:
        if captures:  # an event of a capture cannot be asked; what is captured keeps it for its replays
            captures[-1].kept.append(thing)
            return
        with on_device(stream.device_id if stream.device_id >= 0 else None):
            event = cp.cuda.Event(disable_timing=True)
            event.record(stream)
        with self.lock:
            for waiting in self.waiting.values():
                while waiting and waiting[0][0].done:
                    waiting.popleft()
            self.waiting.setdefault(stream.ptr, deque()).append((event, thing))


_kept = _Kept()


def keep(thing: Any, stream: Any = None) -> None:
    """Keep `thing` until `stream`, or the current one, has done what it has been given so far."""
    _kept.add(thing, cp.cuda.get_current_stream() if stream is None else stream)


def used_by(array: Any, stream: Any) -> None:
    """Let the memory of `array` be given back only when `stream` has done what it is given while the array lives."""
    while array.base is not None:
        array = array.base
    weakref.finalize(array, keep, array.data, stream).atexit = False


# -- memory --------------------------------------------------------------------------------------------------


def memory_info(device: int | None) -> tuple[int, int]:
    """Return the bytes of a device that are free, and all of them, whoever holds them."""
    with on_device(device):
        free, total = cp.cuda.runtime.memGetInfo()
        return int(free), int(total)


def limit_memory(device: int | None, fraction: float) -> None:
    """Let the allocator take no more than a fraction of a device's memory."""
    total = memory_info(device)[1]
    with on_device(device):
        cp.get_default_memory_pool().set_limit(size=max(int(total * fraction), 1))  # 0 would lift the limit


class _Peaks:
    """The most that was in use and held on each device since it was last forgotten.

    CuPy keeps no such count, so that allocations are watched from the first question on.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.seen: dict[int, tuple[int, int]] = {}
        self.watching = False

    def watch(self) -> None:
        with self.lock:
            if not self.watching:
                cp.cuda.set_allocator(self._noting(cp.cuda.get_allocator()))
                self.watching = True

    def _noting(self, allocate: Callable[[int], Any]) -> Callable[[int], Any]:
        def noted(size: int) -> Any:
            block = allocate(size)
            self.note(current_device() or 0)
            return block

        return noted

    def note(self, device: int) -> tuple[int, int]:
        used, held = memory(device)
        with self.lock:
            most = self.seen.get(device, (0, 0))
            self.seen[device] = most = max(used, most[0]), max(held, most[1])
        return most

    def forget(self, device: int) -> None:
        self.seen.pop(device, None)


_peaks = _Peaks()


def peak_memory(device: int | None) -> tuple[int, int]:
    """Return the most bytes in use and held since `forget_peak`, or since one of the two was first called."""
    _peaks.watch()
    return _peaks.note(current_device() or 0 if device is None else device)


def forget_peak(device: int | None) -> None:
    """Count peaks from now on."""
    _peaks.watch()
    _peaks.forget(current_device() or 0 if device is None else device)


# -- page-locked memory of the host, which a device reads and writes while the host goes on ------------------


def is_pinned(array: Any) -> bool:
    """Say whether the memory of a host array is page-locked, whoever locked it."""
    return bool(array.size and cp.cuda.runtime.pointerGetAttributes(array.ctypes.data).type == PINNED)


def pinned_copy(array: Any) -> Any:
    """Return a copy of a host array in page-locked memory."""
    out = pinned_empty(array.shape, array.dtype)
    np.copyto(out, array)
    return out


def pinned_empty(shape: Any, dtype: Any) -> Any:
    """Return an uninitialised host array in page-locked memory."""
    return cupyx.empty_pinned(shape, dtype)


def sent(array: Any) -> Any:
    """Return a copy on the device of a contiguous host array in page-locked memory; the host does not wait."""
    out = cp.empty(array.shape, array.dtype)
    out.data.copy_from_host_async(array.ctypes.data, array.nbytes)
    keep(array)
    return out


def fetch(array: Any, into: Any) -> None:
    """Copy a device array into a contiguous host array of its shape and dtype in page-locked memory; do not wait."""
    with on_device(array.data.device_id):
        array.get(out=into, blocking=False)
        keep((array, into))
