"""torch.cuda's streams and events over the backend of CUDA devices. It must not know CuPy.

A stream is a queue of a device: work given to one runs in order, work of several at once. An event marks a
place in a stream, for others to wait for, or to measure time between two of them.
"""

from __future__ import annotations

import ctypes
from contextlib import ExitStack
from typing import Any

from gradcore import backends, devices
from gradcore.recorder import places


def index_of(device: Any) -> int | None:
    """The index of a device, None for the current one. Raises ValueError for a device that is not CUDA."""
    if device is None or isinstance(device, int):
        return device
    where = devices.parse(device)
    if where.type != "cuda":
        raise ValueError(f"Expected a cuda device, but got: {where}")
    return where.index


def _place(device: Any) -> int:
    """The index of a device; of the current one for None and for a negative index."""
    index = index_of(device)
    return int(backends.for_device("cuda").current_device()) if index is None or index < 0 else index


class Stream:
    """A queue of work on a device; in a `with` block, the one that work is given to.

    A negative `priority` goes before a higher one, as far as the device knows priorities.
    """

    def __init__(self, device: Any = None, priority: int = 0) -> None:
        index = _place(device)
        self._over(backends.cuda_streams().new_stream(index, priority), index)

    def _over(self, handle: Any, index: int) -> None:
        self._handle = handle
        self._index = index
        self._inside: list[StreamContext] = []

    @property
    def cuda_stream(self) -> int:
        """The address of the CUDA stream."""
        return int(self._handle.ptr)

    @property
    def device(self) -> devices.device:
        """The device whose queue this is."""
        return devices.device("cuda", self._index)

    @property
    def device_index(self) -> int:
        """The index of the device."""
        return self._index

    @property
    def priority(self) -> int:
        """The priority that the device gave."""
        return int(self._handle.priority)

    def query(self) -> bool:
        """Say whether all work given to it is done."""
        return bool(self._handle.done)

    def synchronize(self) -> None:
        """Wait until all work given to it is done."""
        self._handle.synchronize()

    def record_event(self, event: Event | None = None) -> Event:
        """Mark this place by `event`, or a new one, and return it."""
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        """Let what is given from now on wait for `event`."""
        event.wait(self)

    def wait_stream(self, stream: Stream) -> None:
        """Let what is given from now on wait for what `stream` has been given."""
        self.wait_event(stream.record_event())

    def __enter__(self) -> Stream:
        self._inside.append(StreamContext(self))
        self._inside[-1].__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._inside.pop().__exit__(*error)

    @property
    def _as_parameter_(self) -> ctypes.c_void_p:
        return ctypes.c_void_p(self.cuda_stream)

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self.cuda_stream

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and (self._index, self.cuda_stream) == (other._index, other.cuda_stream)

    def __hash__(self) -> int:
        return hash((self.cuda_stream, self.device))

    def __repr__(self) -> str:
        return f"<torch.cuda.Stream device={self.device} cuda_stream={self.cuda_stream:#x}>"


class ExternalStream(Stream):
    """Another library's stream by its address. That library keeps it alive."""

    def __init__(self, stream_ptr: int, device: Any = None) -> None:
        index = _place(device)
        self._over(backends.cuda_streams().external_stream(stream_ptr, index), index)


class StreamContext:
    """In a `with` block, the stream, with its device, that work is given to; None changes nothing."""

    def __init__(self, stream: Stream | None) -> None:
        self.stream = stream

    def __enter__(self) -> None:
        self._inside = ExitStack()
        if self.stream is not None:
            self._inside.enter_context(places.on(places.Place(self.stream.device_index, self.stream._handle)))

    def __exit__(self, *error: Any) -> None:
        self._inside.close()


def stream(stream: Stream | None) -> StreamContext:
    """Return a context in which work is given to `stream`; None changes nothing."""
    return StreamContext(stream)


def _known(handle: Any, index: int) -> Stream:
    found = Stream.__new__(Stream)
    found._over(handle, index)
    return found


def current_stream(device: Any = None) -> Stream:
    """Return the stream that work on a device is given to."""
    index = _place(device)
    return _known(backends.cuda_streams().current_stream(index), index)


def default_stream(device: Any = None) -> Stream:
    """Return the stream that work on a device is given to unless another is chosen."""
    index = _place(device)
    return _known(backends.cuda_streams().default_stream(), index)


class Event:
    """A place in a stream, for others to wait for and, with `enable_timing`, to measure time from or to."""

    def __init__(
        self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False, external: bool = False
    ) -> None:
        self._timing = enable_timing
        self._handle = backends.cuda_streams().new_event(enable_timing, blocking, interprocess)
        self._index: int | None = None

    @property
    def cuda_event(self) -> int:
        """The address of the CUDA event, 0 before it is recorded."""
        return 0 if self._index is None else int(self._handle.ptr)

    @property
    def device(self) -> devices.device | None:
        """The device it was recorded on."""
        return None if self._index is None else devices.device("cuda", self._index)

    def record(self, stream: Stream | None = None) -> None:
        """Mark what `stream`, or the current one, has been given up to now.

        Raises RuntimeError for a stream of another device than the event's.
        """
        stream = current_stream() if stream is None else stream
        if self._index not in (None, stream.device_index):
            raise RuntimeError(
                f"Event device index {self._index} does not match recording stream's device index {stream.device_index}."
            )
        with StreamContext(stream):
            self._handle.record(stream._handle)
        self._index = stream.device_index

    def wait(self, stream: Stream | None = None) -> None:
        """Let what `stream`, or the current one, is given from now on wait for the event."""
        if self._index is not None:
            stream = current_stream() if stream is None else stream
            with StreamContext(stream):
                stream._handle.wait_event(self._handle)

    def query(self) -> bool:
        """Say whether the work before it is done; true of an event that was never recorded."""
        return self._index is None or bool(self._handle.done)

    def synchronize(self) -> None:
        """Wait until the work before it is done."""
        if self._index is not None:
            self._handle.synchronize()

    def elapsed_time(self, end_event: Event) -> float:
        """Return the milliseconds from this event to `end_event`.

        Raises ValueError for events without timing or never recorded, RuntimeError if one is not over.
        """
        if not (self._timing and end_event._timing):
            raise ValueError("Both events must be created with argument 'enable_timing=True'.")
        if self._index is None or end_event._index is None:
            raise ValueError("Both events must be recorded before calculating elapsed time.")
        if not (self.query() and end_event.query()):
            raise RuntimeError("Both events must be completed before calculating elapsed time.")
        return float(backends.cuda_streams().milliseconds(self._handle, end_event._handle))

    @property
    def _as_parameter_(self) -> ctypes.c_void_p:
        return ctypes.c_void_p(self.cuda_event)

    def __repr__(self) -> str:
        return f"<torch.cuda.Event {self.cuda_event:#x}>" if self.cuda_event else "<torch.cuda.Event uninitialized>"
