"""The pretended CuPy array: NumPy's numbers under CuPy's rules. It must not know gradcore.

Mixing with host arrays or lists is an error, NumPy cannot read or compute with it, reductions give 0-d
arrays, integer arrays index modulo the length, of duplicate writes any may win, arrays of another device
than the current one are refused, and whatever makes the host wait is written into the ledger.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import numpy as np

from tests.double import races
from tests.double.machine import Device, current, ledger
from tests.double.queues import allocate, get_current_stream, is_locked

dice = np.random.default_rng()
living: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()  # the arrays, by their id


# -- across the border ---------------------------------------------------------------------------------------

NUMBERS = (bool, int, float, complex, np.generic)


def owner(host: Any) -> Any:
    """The array that owns the memory of a host array."""
    found, base = host, host.base
    while base is not None:
        if isinstance(base, np.ndarray):
            found = base
        base = getattr(base, "base", None)
    return found


def to_host(x: Any, what: str) -> Any:
    """What NumPy computes with for an argument; refuses what CuPy does."""
    if isinstance(x, ndarray):
        if x._device != current.id:
            raise ValueError(
                f"{what}: array device must be same as the current device: array device = {x._device} while "
                f"current = {current.id}"
            )
        races.used(x._origin, (x._device, get_current_stream(x._device).ptr), what)
        return x._host
    if isinstance(x, np.ndarray):
        raise TypeError(f"{what}: Unsupported type {type(x)}; a device array is needed")
    if type(x) in (list, tuple):
        return type(x)(to_host(each, what) for each in x)
    if isinstance(x, slice) or x is None or isinstance(x, (*NUMBERS, str, np.dtype, type, range)) or callable(x):
        return x
    if hasattr(x, "_array"):
        raise TypeError(f"{what}: Unsupported type {type(x)}; a raw array is needed")
    return x


def from_host(result: Any, sources: tuple[Any, ...]) -> Any:
    """A result of NumPy's as CuPy would return it: an array even if 0-d, a view if it is one of a source."""
    if isinstance(result, tuple):
        return tuple(from_host(each, sources) for each in result)
    if isinstance(result, list):
        return [from_host(each, sources) for each in result]
    if not isinstance(result, (np.ndarray, np.generic)):
        return result
    arrays = [s for s in _flat(sources) if isinstance(s, ndarray)]
    if isinstance(result, np.ndarray):
        whole = owner(result)
        for source in arrays:
            if result is source._host:
                return source
            if whole is owner(source._host):
                return ndarray(result, base=source)
    return ndarray(np.asarray(result, order="C"))


def _flat(items: Any) -> Iterator[Any]:
    for each in items:
        if type(each) in (list, tuple):
            yield from _flat(each)
        else:
            yield each


def check_dtype(dtype: Any) -> Any:
    """The dtype, if CuPy has it."""
    dtype = np.dtype(dtype)
    known = dtype.itemsize <= {"c": 16}.get(dtype.kind, 8) and dtype.kind in "biufc"
    if not known and dtype.name != "bfloat16":
        raise TypeError(f"Unsupported dtype {dtype}")
    return dtype


# -- the array -----------------------------------------------------------------------------------------------


class Flags:
    """CuPy's flags: there is no WRITEABLE among them."""

    def __init__(self, array: ndarray) -> None:
        self.c_contiguous: bool = array._host.flags.c_contiguous
        self.f_contiguous: bool = array._host.flags.f_contiguous
        self.owndata: bool = array.base is None
        self.forc = self.c_contiguous or self.f_contiguous
        self.fnc = self.f_contiguous and not self.c_contiguous


class Capsule:
    """What travels in a dlpack capsule."""

    def __init__(self, host: Any) -> None:
        self.host = host


class Pointer:
    """Where an array begins. It keeps the memory, as CuPy's does, and not the array."""

    def __init__(self, array: ndarray) -> None:
        self._host = array._host
        self.ptr: int = array._host.__array_interface__["data"][0]
        self.device_id = array._device
        self.mem = (array if array.base is None else array.base)._block
        self.array = weakref.ref(array)

    def copy_from_host_async(self, mem: int, size: int, stream: Any = None) -> None:
        assert is_locked(mem), "copy_from_host_async: a device reads page-locked memory only"
        ctypes.memmove(self.ptr, mem, size)


class ndarray:
    """An array on a pretended device; a method that CuPy's lacks is lacking here."""

    __slots__ = ("__weakref__", "_block", "_device", "_host", "_origin", "base")
    __module__ = "cupy"
    __hash__ = None  # type: ignore[assignment]
    __array_ufunc__ = None  # NumPy's operators leave the matter to ours
    __array_priority__ = 100

    def __init__(self, host: Any, base: ndarray | None = None) -> None:
        check_dtype(host.dtype)
        self._block = allocate(host.nbytes) if base is None else None
        self._host = host
        self._device: int = current.id if base is None else base._device
        where = (self._device, get_current_stream(self._device).ptr)
        self._origin = races.made(where) if base is None else base._origin
        self.base: ndarray | None = base if base is None or base.base is None else base.base
        living[id(self)] = self

    # what is known without the device

    shape = property(lambda self: self._host.shape)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    itemsize = property(lambda self: self._host.itemsize)
    nbytes = property(lambda self: self._host.nbytes)
    strides = property(lambda self: self._host.strides)
    device = property(lambda self: Device(self._device))
    data = property(Pointer)
    flags = property(Flags)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        host = self._host
        strides = None if host.flags.c_contiguous else host.strides
        data = (host.__array_interface__["data"][0], False)
        return {
            "shape": host.shape,
            "typestr": host.dtype.str,
            "data": data,
            "strides": strides,
            "version": 3,
        }

    def __dlpack__(self, *, stream: Any = None, max_version: Any = None, **options: Any) -> Capsule:
        return Capsule(self._host)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self._device

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of unsized object")
        return int(self.shape[0])

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    # views

    def _view(self, host: Any) -> ndarray:
        return self if host is self._host else from_host(host, (self,))

    T = property(lambda self: self._view(self._host.T))
    mT = property(lambda self: self._view(self._host.mT))

    @property
    def real(self) -> ndarray:
        return self._view(self._host.real)

    @real.setter
    def real(self, value: Any) -> None:
        self.real[...] = value

    @property
    def imag(self) -> ndarray:
        return self._view(self._host.imag if self.dtype.kind == "c" else np.zeros_like(self._host))

    @imag.setter
    def imag(self, value: Any) -> None:
        self.imag[...] = value

    def reshape(self, *shape: Any, order: str = "C", copy: Any = None) -> ndarray:
        shape = to_host(shape[0] if len(shape) == 1 else shape, "reshape")
        return self._view(self._host.reshape(shape, order=order))

    def transpose(self, *axes: Any) -> ndarray:
        return self._view(self._host.transpose(*axes))

    def swapaxes(self, axis1: int, axis2: int) -> ndarray:
        return self._view(self._host.swapaxes(axis1, axis2))

    def squeeze(self, axis: Any = None) -> ndarray:
        return self._view(self._host.squeeze(axis))

    def ravel(self, order: str = "C") -> ndarray:
        return self._view(self._host.ravel(order))

    def view(self, dtype: Any = None) -> ndarray:
        return self._view(self._host.view() if dtype is None else self._host.view(check_dtype(dtype)))

    def _set_shape_and_strides(self, shape: Any, strides: Any, c: bool, f: bool) -> None:
        self._host = np.lib.stride_tricks.as_strided(self._host, tuple(shape), tuple(strides))

    # copies

    def copy(self, order: str = "C") -> ndarray:
        return ndarray(self._host.copy(order))  # on the current device

    def flatten(self, order: str = "C") -> ndarray:
        return ndarray(self._host.flatten(order))

    def astype(self, dtype: Any, order: str = "K", casting: Any = None, subok: Any = None, copy: bool = True) -> ndarray:
        to_host(self, "astype")
        with np.errstate(all="ignore"):
            return self._view(self._host.astype(check_dtype(dtype), order, copy=copy))

    def fill(self, value: Any) -> None:
        self[...] = value

    # to the host: every one waits

    def get(self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True) -> Any:
        races.used(self._origin, (self._device, get_current_stream(self._device).ptr), "get")
        if not blocking and out is None:
            raise AssertionError("get: what the host gets of a copy that goes on is not there yet")
        if blocking or not is_locked(out.__array_interface__["data"][0]):
            ledger.sync("get")
        if out is None:
            return self._host.copy(order)
        np.copyto(out, self._host)
        return out

    def item(self) -> Any:
        ledger.sync("item")
        return self._host.item()

    def tolist(self) -> Any:
        ledger.sync("tolist")
        return self._host.tolist()

    def tobytes(self, order: str = "C") -> bytes:
        ledger.sync("tobytes")
        return bytes(self._host.tobytes(order))

    def __bool__(self) -> bool:
        ledger.sync("bool()")
        return bool(self._host)

    def __int__(self) -> int:
        ledger.sync("int()")
        return int(self._host)

    def __float__(self) -> float:
        ledger.sync("float()")
        return float(self._host)

    def __complex__(self) -> complex:
        ledger.sync("complex()")
        return complex(self._host)

    def __repr__(self) -> str:
        ledger.sync("repr()")
        return repr(self._host)

    def __format__(self, spec: str) -> str:
        ledger.sync("format()")
        return format(self._host.item() if self.ndim == 0 else self._host, spec)

    def __array__(self, dtype: Any = None, copy: Any = None) -> NoReturn:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy array explicitly."
        )

    def __array_function__(self, function: Any, types: Any, args: Any, keywords: Any) -> NoReturn:
        raise TypeError(f"numpy.{function.__name__} was called with a device array; use the backend's function")

    def __deepcopy__(self, memo: Any) -> ndarray:
        return self.copy()

    # indexing

    def __getitem__(self, key: Any) -> ndarray:
        index = Index(self, key)
        if index.mask:
            ledger.sync("boolean index")
        return self._view(self._host[index.host])

    def __setitem__(self, key: Any, value: Any) -> None:
        index = Index(self, key)
        host = to_host(value, "setitem")
        if isinstance(host, (list, tuple)):
            raise TypeError("setitem: a list is copied from the host; write a device array or a number")
        if index.mask:
            ledger.sync("boolean index")
        with np.errstate(all="ignore"):
            if index.places:
                write_in_any_order(self._host, index.host, host)
            else:
                self._host[index.host] = host


class Index:
    """An index as NumPy takes it, after CuPy's rules."""

    def __init__(self, x: ndarray, key: Any) -> None:
        to_host(x, "indexing")
        parts = key if type(key) is tuple else (key,)
        self.mask = self.places = False
        taken = sum(self._taken(part) for part in parts)
        axis = 0
        found: list[Any] = []
        for part in parts:
            if isinstance(part, ndarray):
                found.append(self._array(to_host(part, "index"), x.shape, axis))
            elif part is None or part is Ellipsis or isinstance(part, (bool, int, np.integer, slice)):
                found.append(part)
            else:
                raise IndexError(f"Unsupported type {type(part)}: an index is of device arrays, integers and slices")
            axis += x.ndim - taken if part is Ellipsis else self._taken(part)
        if not any(part is Ellipsis for part in parts):
            found.append(...)  # so that NumPy gives a 0-d array, not a scalar
        self.host = tuple(found)

    @staticmethod
    def _taken(part: Any) -> int:
        """How many axes a part of an index uses up."""
        if isinstance(part, ndarray) and part.dtype.kind == "b":
            return int(part.ndim)
        return 0 if part is None or part is Ellipsis or isinstance(part, bool) else 1

    def _array(self, host: Any, shape: tuple[int, ...], axis: int) -> Any:
        if host.dtype.kind == "b":
            self.mask = True
            return host
        if host.dtype.kind not in "iu":
            raise IndexError("arrays used as indices must be of integer or boolean type")
        self.places = True
        n = shape[axis] if axis < len(shape) else 0
        return host % n if n else host


def write_in_any_order(target: Any, index: Any, values: Any, combine: Callable[..., Any] | None = None) -> None:
    """Write `values` to target[index], any duplicate last, or `combine` them with a ufunc's `at`."""
    places = np.arange(target.size).reshape(target.shape)[index]
    values = np.broadcast_to(values, places.shape).reshape(-1)
    order = dice.permutation(places.size)
    flat, places = target.reshape(-1), places.reshape(-1)
    if combine is not None:
        combine(flat, places[order], values[order].astype(target.dtype))
    else:
        flat[places[order]] = values[order]
    if not np.shares_memory(flat, target):
        target[...] = flat.reshape(target.shape)
