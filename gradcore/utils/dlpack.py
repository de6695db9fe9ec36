"""torch.utils.dlpack: memory shared with other libraries, by capsules too. It must not know any operation."""

from __future__ import annotations

import ctypes
import enum
from typing import Any

from gradcore.ops.creation import from_dlpack as _from_dlpack
from gradcore.tensor import Tensor

__all__ = ["DLDeviceType", "from_dlpack", "to_dlpack"]


class DLDeviceType(enum.IntEnum):
    """The kinds of devices of the DLPack protocol."""

    kDLCPU = 1
    kDLCUDA = 2
    kDLCUDAHost = 3
    kDLOpenCL = 4
    kDLVulkan = 7
    kDLMetal = 8
    kDLVPI = 9
    kDLROCM = 10
    kDLROCMHost = 11
    kDLExtDev = 12
    kDLCUDAManaged = 13
    kDLOneAPI = 14
    kDLWebGPU = 15
    kDLHexagon = 16
    kDLMAIA = 17


def to_dlpack(tensor: Tensor) -> Any:
    """Return a capsule of the tensor's memory, to be given to one `from_dlpack`."""
    return tensor.detach().__dlpack__()


def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """Return a Tensor of the memory of another library's array, or of a capsule, which can be used once.

    With another `device` or `copy=True`, of a copy. Raises RuntimeError for anything else, ValueError for a used capsule.
    """
    if type(ext_tensor).__name__ == "PyCapsule":
        ext_tensor = _Held(ext_tensor)
    return _from_dlpack(ext_tensor, device=device, copy=copy)


class _Held:
    """A capsule as an object that gives it."""

    def __init__(self, capsule: Any) -> None:
        self.capsule = capsule

    def __dlpack__(self, **options: Any) -> Any:
        return self.capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        """The kind and number of the device. Raises ValueError for a capsule that was used."""
        address = _pointer(self.capsule, b"dltensor")
        kind, number = (ctypes.c_int32 * 2).from_address(address + ctypes.sizeof(ctypes.c_void_p))  # behind the data's
        return kind, number


_pointer = ctypes.PYFUNCTYPE(ctypes.c_size_t, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_GetPointer", ctypes.pythonapi))
