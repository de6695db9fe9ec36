"""The pretended machine: devices, which is current, and the ledger of waits and copies. It must not know arrays."""

from __future__ import annotations

import sys
import threading
from typing import Any


class Ledger:
    """What the double saw: waits for the device and copies to it, each with the lines that caused it."""

    def __init__(self) -> None:
        self.syncs: list[str] = []
        self.uploads: list[str] = []
        self.waits: list[tuple[int, int]] = []  # the stream that waits, and the one it waits for

    def sync(self, what: str) -> None:
        if current.capturing is not None:
            current.capturing.broken = True
            text = "cudaErrorStreamCaptureUnsupported: operation not permitted when stream is capturing"
            raise RuntimeError(f"{text} ({what})")
        self.syncs.append(f"{what} at {_caller()}")

    def upload(self, what: str) -> None:
        assert current.capturing is None, f"{what}: a replay would read what the host has there by then"
        self.uploads.append(f"{what} at {_caller()}")

    def clear(self) -> None:
        self.syncs.clear()
        self.uploads.clear()
        self.waits.clear()


def _caller() -> str:
    frame: Any = sys._getframe(2)
    while frame is not None and "/double/" in frame.f_code.co_filename:
        frame = frame.f_back
    lines = []
    while frame is not None and len(lines) < 3:
        lines.append(f"{'/'.join(frame.f_code.co_filename.split('/')[-2:])}:{frame.f_lineno}")
        frame = frame.f_back
    return " < ".join(lines)


ledger = Ledger()


COUNT = 2


class _Current(threading.local):
    def __init__(self) -> None:
        self.id = 0
        self.capturing: Any = None  # the graph that is being captured, see graphs.py


current = _Current()


class Device:
    """A device by number; in a `with` it is the current one."""

    def __init__(self, id: int | None = None) -> None:
        self.id = current.id if id is None else int(id)
        if not 0 <= self.id < COUNT:
            raise RuntimeError(f"cudaErrorInvalidDevice: invalid device ordinal {self.id}")
        self._outside: list[int] = []

    def __enter__(self) -> Device:
        self._outside.append(current.id)
        current.id = self.id
        return self

    def __exit__(self, *error: object) -> None:
        current.id = self._outside.pop()

    def use(self) -> None:
        current.id = self.id

    @property
    def cublas_handle(self) -> int:
        return 0xB1A5 + self.id

    def synchronize(self) -> None:
        ledger.sync("Device.synchronize")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"
