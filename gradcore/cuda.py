"""torch.cuda over the backend of CUDA devices: what there is, which one is current, waiting, seeds, memory.
It must not know CuPy."""

from __future__ import annotations

import gc
from contextlib import AbstractContextManager
from types import ModuleType
from typing import Any

from gradcore import backends, devices, generator
from gradcore.ops import typed


def is_available() -> bool:
    """Say whether CUDA tensors can be made here."""
    return backends.why_not("cuda") is None


def device_count() -> int:
    """Return the number of CUDA devices, 0 where there is no CUDA."""
    return _backend().device_count() if is_available() else 0


def _backend() -> ModuleType:
    """The backend. Raises RuntimeError, saying what is missing."""
    return backends.for_device("cuda")


def _index(device: Any) -> int | None:
    """The index of a device, None for the current one. Raises ValueError for a device that is not CUDA."""
    if device is None or isinstance(device, int):
        return device
    where = devices.parse(device)
    if where.type != "cuda":
        raise ValueError(f"Expected a cuda device, but got: {where}")
    return where.index


def current_device() -> int:
    """Return the index of the device that new CUDA tensors are made on."""
    return _backend().current_device()  # type: ignore[no-any-return]


def set_device(device: Any) -> None:
    """Make new CUDA tensors on this device from now on; a negative index changes nothing."""
    index = _index(device)
    if index is not None and index >= 0:
        _backend().set_device(index)


class device:
    """In a `with` block, the device that new CUDA tensors are made on; None or a negative index changes
    nothing."""

    def __init__(self, device: Any) -> None:
        self.idx = _index(device)

    def __enter__(self) -> None:
        F = _backend()
        self._inside: AbstractContextManager[Any] = F.on_device(None if (self.idx or 0) < 0 else self.idx)
        self._inside.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._inside.__exit__(*error)


def synchronize(device: Any = None) -> None:
    """Wait until all work given to a device is done."""
    _backend().synchronize(_index(device))


def get_device_name(device: Any = None) -> str:
    """Return the name of a device."""
    return _backend().device_properties(_index(device))[0]  # type: ignore[no-any-return]


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """Return the compute capability of a device, major and minor."""
    return _backend().device_properties(_index(device))[1]  # type: ignore[no-any-return]


def memory_allocated(device: Any = None) -> int:
    """Return the bytes that tensors on a device hold, 0 where there is no CUDA."""
    return _backend().memory(_index(device))[0] if is_available() else 0


def memory_reserved(device: Any = None) -> int:
    """Return the bytes that the allocator of a device holds, 0 where there is no CUDA."""
    return _backend().memory(_index(device))[1] if is_available() else 0


def empty_cache() -> None:
    """Give memory that no tensor uses back to the device."""
    if is_available():
        gc.collect()
        _backend().free_memory()


def manual_seed(seed: int) -> None:
    """Seed the default generator of the current device; where there is no CUDA, that of the devices to
    come."""
    index = current_device() if is_available() else None
    generator.seed_devices(generator.checked_seed(seed), "cuda", index)


def manual_seed_all(seed: int) -> None:
    """Seed the default generators of all CUDA devices."""
    generator.seed_devices(generator.checked_seed(seed), "cuda")


globals().update(typed.on_cuda)
