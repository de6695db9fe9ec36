"""DLPack's capsules, as objects that libraries take memory from and as tensors give them. It must not know any operation."""

from __future__ import annotations

import ctypes
from typing import Any

from gradcore import dtypes


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
        kind = _Kind.from_address(_tensor(self.capsule) + _KIND)
        is_bfloat16 = (kind.code, kind.bits) == (_BFLOAT, 16)
        if is_bfloat16:
            kind.code = _UNSIGNED
        array = F.from_dlpack(self)
        if not getattr(array.flags, "writeable", True):
            array = F.asarray(_Writable(array), array.dtype)
        return array.view(dtypes.bfloat16.numpy) if is_bfloat16 else array

    def __dlpack__(self, **options: Any) -> Any:
        return self.capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        """The kind and number of the device. Raises RuntimeError for a capsule that was used."""
        where, number = (ctypes.c_int32 * 2).from_address(_tensor(self.capsule) + ctypes.sizeof(ctypes.c_void_p))
        return where, number


def given(array: Any, **options: Any) -> Any:
    """Return a capsule of an array: of bfloat16, too, as words of 16 bits that are then called by their name."""
    if array.dtype.name != "bfloat16":
        return array.__dlpack__(**options)
    capsule = array.view("uint16").__dlpack__(**options)
    _Kind.from_address(_tensor(capsule) + _KIND).code = _BFLOAT
    return capsule


# What capsules point to, of dlpack.h: a DLTensor, or one behind a version, two pointers and flags. In it the kind of its
# numbers stands behind a pointer, two numbers of the device and the number of dimensions.
class _Kind(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16))


_UNSIGNED, _BFLOAT = 1, 4
_POINTER = ctypes.sizeof(ctypes.c_void_p)
_STARTS = ((b"dltensor", 0), (b"dltensor_versioned", 8 + 2 * _POINTER + 8))
_KIND = _POINTER + 12

_is_named = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_IsValid", ctypes.pythonapi))
_pointer = ctypes.PYFUNCTYPE(ctypes.c_size_t, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_GetPointer", ctypes.pythonapi))


def _tensor(capsule: Any) -> int:
    """The address of what a capsule holds. Raises RuntimeError for one that was used."""
    for name, start in _STARTS:
        if _is_named(capsule, name):
            return int(_pointer(capsule, name)) + start
    raise RuntimeError(
        "from_dlpack received an invalid capsule. Note that DLTensor capsules can be consumed only once, so you might have "
        "already constructed a tensor from it once."
    )
