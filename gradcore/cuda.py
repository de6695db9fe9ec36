"""torch.cuda over the backend of CUDA devices: what there is, which one is current, streams, memory, seeds.
It must not know CuPy.

Where there is no CUDA, what only asks answers 0 or False, and what needs a device raises RuntimeError that says
which of CuPy, driver and GPU is missing and what to install.
"""

from __future__ import annotations

import gc
import os
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from gradcore import backends, generator
from gradcore.backends.shared import OutOfMemoryError as OutOfMemoryError
from gradcore.graphs import CUDAGraph as CUDAGraph
from gradcore.graphs import graph as graph
from gradcore.graphs import graph_pool_handle as graph_pool_handle
from gradcore.graphs import graphed_step as graphed_step
from gradcore.graphs import is_current_stream_capturing as is_current_stream_capturing
from gradcore.graphs import make_graphed_callables as make_graphed_callables
from gradcore.ops import typed
from gradcore.streams import Event as Event
from gradcore.streams import ExternalStream as ExternalStream
from gradcore.streams import Stream as Stream
from gradcore.streams import StreamContext as StreamContext
from gradcore.streams import current_stream as current_stream
from gradcore.streams import default_stream as default_stream
from gradcore.streams import index_of
from gradcore.streams import stream as stream


def is_available() -> bool:
    """Say whether CUDA tensors can be made here."""
    return backends.why_not("cuda") is None


def device_count() -> int:
    """Return the number of CUDA devices, 0 where there is no CUDA."""
    return _backend().device_count() if is_available() else 0


def _backend() -> ModuleType:
    """The backend. Raises RuntimeError, saying what is missing."""
    return backends.for_device("cuda")


def current_device() -> int:
    """Return the index of the device that new CUDA tensors are made on."""
    return _backend().current_device()  # type: ignore[no-any-return]


def set_device(device: Any) -> None:
    """Make new CUDA tensors on this device from now on; a negative index changes nothing."""
    index = index_of(device)
    if index is not None and index >= 0:
        _backend().set_device(index)


class device:
    """In a `with` block, the device that new CUDA tensors are made on; None or a negative index changes
    nothing."""

    def __init__(self, device: Any) -> None:
        self.idx = index_of(device)

    def __enter__(self) -> None:
        F = _backend()
        self._inside: AbstractContextManager[Any] = F.on_device(None if (self.idx or 0) < 0 else self.idx)
        self._inside.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._inside.__exit__(*error)


def synchronize(device: Any = None) -> None:
    """Wait until all work given to a device is done."""
    _backend().synchronize(index_of(device))


@dataclass(frozen=True)
class _CudaDeviceProperties:
    """What a device is; memory and caches in bytes."""

    name: str
    major: int
    minor: int
    total_memory: int
    multi_processor_count: int
    L2_cache_size: int
    warp_size: int
    max_threads_per_multi_processor: int
    regs_per_multiprocessor: int
    shared_memory_per_block: int
    shared_memory_per_multiprocessor: int
    is_integrated: bool
    is_multi_gpu_board: bool
    pci_bus_id: int
    pci_device_id: int
    pci_domain_id: int

    def __repr__(self) -> str:
        return (
            f"_CudaDeviceProperties(name='{self.name}', major={self.major}, minor={self.minor}, "
            f"total_memory={self.total_memory >> 20}MB, multi_processor_count={self.multi_processor_count}, "
            f"pci_bus_id={self.pci_bus_id}, pci_device_id={self.pci_device_id}, "
            f"pci_domain_id={self.pci_domain_id}, L2_cache_size={self.L2_cache_size >> 20}MB)"
        )


def get_device_properties(device: Any = None) -> _CudaDeviceProperties:
    """Return what a device is: name, capability, memory, processors."""
    return _CudaDeviceProperties(*_backend().device_properties(index_of(device)))


def get_device_name(device: Any = None) -> str:
    """Return the name of a device."""
    return get_device_properties(device).name


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """Return the compute capability of a device, major and minor."""
    properties = get_device_properties(device)
    return properties.major, properties.minor


# -- memory: the bytes of CuPy's pool ------------------------------------------------------------------------


def memory_allocated(device: Any = None) -> int:
    """Return the bytes that tensors on a device hold, 0 where there is no CUDA."""
    return _backend().memory(index_of(device))[0] if is_available() else 0


def memory_reserved(device: Any = None) -> int:
    """Return the bytes that the allocator of a device holds, 0 where there is no CUDA."""
    return _backend().memory(index_of(device))[1] if is_available() else 0


def max_memory_allocated(device: Any = None) -> int:
    """Return the most bytes that tensors held since `reset_peak_memory_stats`, 0 where there is no CUDA.

    CuPy keeps no such count: allocations are watched from the first call of one of these functions on.
    """
    return backends.cuda_streams().peak_memory(index_of(device))[0] if is_available() else 0


def max_memory_reserved(device: Any = None) -> int:
    """Return the most bytes that the allocator held; see `max_memory_allocated`."""
    return backends.cuda_streams().peak_memory(index_of(device))[1] if is_available() else 0


def reset_peak_memory_stats(device: Any = None) -> None:
    """Count the peaks of `max_memory_allocated` and `max_memory_reserved` from now on."""
    backends.cuda_streams().forget_peak(index_of(device))


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """Return the bytes of a device that are free, and all of them, whoever holds them."""
    return backends.cuda_streams().memory_info(index_of(device))  # type: ignore[no-any-return]


def set_per_process_memory_fraction(fraction: float, device: Any = None) -> None:
    """Let tensors take no more than a fraction of a device's memory; more raises OutOfMemoryError."""
    if not isinstance(fraction, float):
        raise TypeError("Invalid type for fraction argument, must be `float`")
    if not 0 <= fraction <= 1:
        raise ValueError(f"Invalid fraction value: {fraction}. Allowed range: 0~1")
    backends.cuda_streams().limit_memory(index_of(device), fraction)


def empty_cache() -> None:
    """Give memory that no tensor uses back to the device, page-locked memory to the host."""
    if is_available():
        gc.collect()
        _backend().free_memory()


# -- random numbers ------------------------------------------------------------------------------------------


def manual_seed(seed: int) -> None:
    """Seed the default generator of the current device; where there is no CUDA, that of the devices to
    come."""
    index = current_device() if is_available() else None
    generator.seed_devices(generator.checked_seed(seed), "cuda", index)


def manual_seed_all(seed: int) -> None:
    """Seed the default generators of all CUDA devices."""
    generator.seed_devices(generator.checked_seed(seed), "cuda")


def seed() -> None:
    """Seed the default generator of the current device with a number of the system's."""
    manual_seed(int.from_bytes(os.urandom(8), "little"))


def seed_all() -> None:
    """Seed the default generators of all CUDA devices with one number of the system's."""
    manual_seed_all(int.from_bytes(os.urandom(8), "little"))


def initial_seed() -> int:
    """Return the seed that the default generator of the current device last started from."""
    return generator.default(_backend(), current_device()).initial_seed()


globals().update(typed.on_cuda)
