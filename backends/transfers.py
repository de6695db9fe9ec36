"""Copies between the host and devices, and from device to device; must not know arrays' maths."""
from __future__ import annotations

from typing import Any

import cupy as cp

from gradcore.backends import captures
from gradcore.backends.cuda import on_device, reporting
from gradcore.backends.graphs import refuse
from gradcore.backends.streams import fetch, is_pinned, pinned_empty, sent

_array = reporting(cp.array)


def from_host(array: Any, device: int | None = None, non_blocking: bool = False) -> Any:
    """Return a copy of the host array `array` on this device; one number travels in a kernel's arguments.

    If `non_blocking`, the device itself reads page-locked memory, and `array` must stay as it is until it has.
    """
    with on_device(device):
        if array.ndim or array.dtype.kind not in "biufc":
            locked = is_pinned(array)
            if non_blocking and locked and array.flags.c_contiguous:
                return reporting(sent)(array)
            if captures:
                refuse("a copy from the host (but of page-locked memory, with non_blocking=True)")
            return _array(array, blocking=not non_blocking and locked)
        out = cp.empty((), array.dtype)
        out.fill(array.item())
        return out


def to_host(array: Any, non_blocking: bool = False) -> Any:
    """Return `array` as a NumPy array; waits for the device unless `non_blocking`, and then gives page-locked memory."""
    if not non_blocking:
        if captures:
            refuse("a value that the host waits for (item(), if, numpy(), a shape that depends on values)")
        return array.get()
    out = pinned_empty(array.shape, array.dtype)
    fetch(array, out)
    return out


def to_device(array: Any, device: int | None) -> Any:
    """Return `array` on this device, itself where it is there already."""
    if device is None or array.data.device_id == device:
        return array
    with on_device(device):
        return array.copy()


def device_of(array: Any) -> tuple[str, int | None]:
    """Return the device type and index of `array`."""
    return "cuda", array.data.device_id
