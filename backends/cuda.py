"""The CUDA devices as CuPy knows them: which there are, which is current, waiting, memory; must not know arrays' maths."""
from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from typing import Any

import cupy as cp

from gradcore.backends import graphs
from gradcore.backends.shared import OutOfMemoryError


def on_device(device: int | None) -> AbstractContextManager[Any]:
    """Return a context in which new arrays are made on this device."""
    return nullcontext() if device is None else cp.cuda.Device(device)


def device_count() -> int:
    """Return the number of devices."""
    return int(cp.cuda.runtime.getDeviceCount())


def current_device() -> int | None:
    """Return the index of the device where new arrays are made."""
    return int(cp.cuda.runtime.getDevice())


def why_not() -> str | None:
    """Return the sentence that says why this backend cannot run here and what to install, or None."""
    runtime = cp.cuda.runtime
    try:
        if runtime.getDeviceCount() > 0:
            return None
        failure = "no devices"
    except runtime.CUDARuntimeError as error:
        failure = str(error)
    built, driver = runtime.runtimeGetVersion() // 1000, runtime.driverGetVersion() // 1000
    if driver == 0:
        return f"no CUDA driver was found ({failure}). Install NVIDIA's driver, for CUDA {built} or later"
    if driver < built:
        other = 'the matching CuPy with pip install "gradcore[cuda]", or ' if driver == 12 else ""
        return (
            f"CuPy is built for CUDA {built} and the driver supports CUDA {driver} at most ({failure}). "
            f"Install {other}a newer driver"
        )
    return f"the CUDA driver finds no GPU ({failure}). Check nvidia-smi and CUDA_VISIBLE_DEVICES"


def synchronize(device: int | None = None) -> None:
    """Wait for the device."""
    with on_device(device):
        cp.cuda.runtime.deviceSynchronize()


def set_device(device: int) -> None:
    """Make new arrays on this device from now on."""
    cp.cuda.runtime.setDevice(device)


def device_properties(device: int | None = None) -> tuple[Any, ...]:
    """Return a device's name, compute capability, memory and so on, in the order of `PROPERTIES`."""
    found = cp.cuda.runtime.getDeviceProperties(current_device() if device is None else device)
    return (found["name"].decode(), *(found.get(name, 0) for name in PROPERTIES[1:]))


# As the CUDA runtime spells them, in the order of gradcore.cuda's.
PROPERTIES = (
    "name", "major", "minor", "totalGlobalMem", "multiProcessorCount", "l2CacheSize", "warpSize",
    "maxThreadsPerMultiProcessor", "regsPerMultiprocessor", "sharedMemPerBlock", "sharedMemPerMultiprocessor",
    "integrated", "isMultiGpuBoard", "pciBusID", "pciDeviceID", "pciDomainID",
)


def free_memory() -> None:
    """Give memory that no array uses back to the device."""
    cp.get_default_memory_pool().free_all_blocks()
    cp.get_default_pinned_memory_pool().free_all_blocks()


def memory(device: int | None = None) -> tuple[int, int]:
    """Return the bytes in use and the bytes held by the allocator, those of graphs among them."""
    with on_device(device):
        pools = [cp.get_default_memory_pool(), *(each.memory for each in list(graphs.pools.values()))]
        return sum(pool.used_bytes() for pool in pools), sum(pool.total_bytes() for pool in pools)


def reporting(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function` raising OutOfMemoryError, with how much there is, where CuPy's own error is raised."""

    @wraps(function)
    def call(*operands: Any, **options: Any) -> Any:
        try:
            return function(*operands, **options)
        except cp.cuda.memory.OutOfMemoryError as error:
            raise OutOfMemoryError(f"CUDA out of memory. {error}") from error

    return call


# several devices: CuPy computes on the current one, torch where the arrays are

_several = False


def follow(namespace: dict[str, Any]) -> None:
    """Let every function of a backend follow its arrays, if there are several devices."""
    global _several
    _several = device_count() > 1
    if _several:
        for name, function in list(namespace.items()):
            if callable(function) and not isinstance(function, type) and not name.startswith("_"):
                namespace[name] = following(function)


def following(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function` run on the device of its first array; itself where there is but one device."""
    if not _several:
        return function

    @wraps(function)
    def call(*operands: Any, **options: Any) -> Any:
        device = _device_among(operands)
        if device is None or device == cp.cuda.runtime.getDevice():
            return function(*operands, **options)
        with cp.cuda.Device(device):
            return function(*operands, **options)

    return call


def _device_among(operands: Any) -> int | None:
    for x in operands:
        found = x.data.device_id if isinstance(x, cp.ndarray) else None
        if type(x) in (list, tuple):
            found = _device_among(x)
        if found is not None:
            return int(found)
    return None
