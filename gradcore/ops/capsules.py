"""DLPack's capsules as objects that libraries take memory from. It must not know any operation."""

from __future__ import annotations

import ctypes
from typing import Any


class _Writable:
    """An array's memory, to be written as well."""

    def __init__(self, array: Any) -> None:
        self.array = array
        interface = array.__array_interface__
        self.__array_interface__ = {**interface, "data": (interface["data"][0], False)}


class Held:
    """A capsule as an object that gives it."""

    def __init__(self, capsule: Any) -> None:
        self.capsule = capsule

    def taken(self, F: Any) -> Any:
        """Return an array of the backend `F` over the memory, which counts as writable whatever the capsule says."""
        array = F.from_dlpack(self)
        return array if getattr(array.flags, "writeable", True) else F.asarray(_Writable(array), array.dtype)

    def __dlpack__(self, **options: Any) -> Any:
        return self.capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        """The kind and number of the device. Raises RuntimeError for a capsule that was used."""
        try:
            address = _pointer(self.capsule, b"dltensor")
        except ValueError:
            raise RuntimeError(
                "from_dlpack received an invalid capsule. Note that DLTensor capsules can be consumed only once, so you "
                "might have already constructed a tensor from it once."
            ) from None
        kind, number = (ctypes.c_int32 * 2).from_address(address + ctypes.sizeof(ctypes.c_void_p))  # behind the data's
        return kind, number


_pointer = ctypes.PYFUNCTYPE(ctypes.c_size_t, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_GetPointer", ctypes.pythonapi))
