"""The pretended functions: NumPy's under CuPy's rules. It must not know gradcore.

Where CuPy is installed, each call is bound to its signature there and a ufunc computes in the dtypes of
CuPy's own table of loops; elsewhere NumPy's rules must do.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from tests.double import arrays
from tests.double.arrays import check_dtype, from_host, ndarray, to_host
from tests.double.machine import current, ledger


def words(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


def imported(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _half(dtype: Any) -> bool:
    return bool(dtype.itemsize == 2 and dtype.kind in "fV")


# -- ufuncs --------------------------------------------------------------------------------------------------


class Ufunc:
    """A ufunc: device arrays and numbers only, without `where`, computing in the loop that CuPy chooses."""

    def __init__(self, name: str, host: Any, real: Any, nin: int | None = None) -> None:
        self.__name__ = name
        self.host = host
        self.loops: list[tuple[list[Any], list[Any]]] = []
        for loop in getattr(real, "types", ()):
            into, _, out = loop.partition("->")
            try:
                self.loops.append(([_dtype(c) for c in into], [_dtype(c) for c in out]))
            except TypeError:  # bfloat16 without ml_dtypes
                continue
        self.nin: int = len(self.loops[0][0]) if self.loops else nin or getattr(host, "nin", 1)

    def __call__(self, *args: Any, out: Any = None, dtype: Any = None, casting: str = "same_kind") -> Any:
        args, outs = args[: self.nin], args[self.nin :] or (() if out is None else (out,))
        hosts = [to_host(x, self.__name__) for x in args]
        for x in hosts:
            if not isinstance(x, (np.ndarray, *arrays.NUMBERS)):
                raise TypeError(f"{self.__name__}: Unsupported type {type(x)}")
        with np.errstate(all="ignore"):
            result = self._computed(hosts, dtype)
        if outs:
            np.copyto(to_host(outs[0], self.__name__), result, casting=casting)  # type: ignore[call-overload]
            return outs[0]
        return from_host(result, ())

    def _computed(self, hosts: list[Any], dtype: Any) -> Any:
        result = self.host(*hosts, **({} if dtype is None else {"dtype": dtype}))
        if not self.loops or dtype is not None:
            return result
        into, out = self._loop(hosts)
        if any(isinstance(x, np.ndarray) and x.dtype != d for x, d in zip(hosts, into, strict=True)):
            cast = (np.asarray(x).astype(d, copy=False) for x, d in zip(hosts, into, strict=True))
            result = self.host(*cast)
        if isinstance(result, tuple):
            return tuple(np.asarray(r).astype(d, copy=False) for r, d in zip(result, out, strict=True))
        return np.asarray(result).astype(out[0], copy=False)

    def _loop(self, hosts: list[Any]) -> tuple[list[Any], list[Any]]:
        strong = [x.dtype for x in hosts if isinstance(x, (np.ndarray, np.generic))]
        wanted = [x.dtype if isinstance(x, (np.ndarray, np.generic)) else _weak(x, strong) for x in hosts]
        for into, out in self.loops:
            if all(map(np.can_cast, wanted, into)):
                return into, out
        raise TypeError(f"Wrong type ({wanted}) of arguments for cupy_{self.__name__}")


def _weak(number: Any, strong: list[Any]) -> Any:
    """The dtype of a Python number beside arrays."""
    try:
        return np.result_type(*strong, number)
    except TypeError:  # ml_dtypes knows no weak numbers
        return strong[0]


@cache
def _dtype(char: str) -> Any:
    if char == "E":
        ml_dtypes = imported("ml_dtypes")
        if ml_dtypes is None:
            raise TypeError("bfloat16")
        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(char)


# -- functions -----------------------------------------------------------------------------------------------

# Arguments of these names are arrays: a list would be copied from the host.
ARRAYS = words("a b x y x1 x2 v ar arr array indices values condition mask m q src dst")
WAITS = words("nonzero flatnonzero argwhere unique bincount histogram array_equal allclose extract compress")
TABLES = words("concatenate stack vstack hstack dstack column_stack")  # of addresses, which the host sends
NARROW = words("matmul dot tensordot vdot inner outer einsum sum prod mean trace")
# What CuPy gives to cuBLAS or cuSOLVER.
LIBRARIES = words("matmul dot tensordot vdot inner einsum inv solve cholesky eigh eigvalsh svd qr eig eigvals lstsq pinv")
DECOMPOSITIONS = words("inv solve cholesky eigh eigvalsh svd qr eig eigvals lstsq pinv tensorsolve tensorinv")


class Function:
    """A function: bound to CuPy's signature, refusing host arrays and lists where arrays are due."""

    def __init__(self, name: str, host: Callable[..., Any], real: Any) -> None:
        self.__name__ = name
        self.host = host
        try:
            self.signature = inspect.signature(host if real is None else real)
        except ValueError:
            self.signature = None

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        name = self.__name__
        if self.signature is not None:
            for parameter, value in self.signature.bind(*args, **keywords).arguments.items():
                if parameter in ARRAYS and type(value) in (list, tuple):
                    raise TypeError(f"{name}: argument '{parameter}' is a {type(value).__name__}, not a device array")
        if name in WAITS:
            ledger.sync(name)
        assert name not in TABLES or current.capturing is None, f"{name}: a replay would read a table that is gone"
        hosts = [to_host(x, name) for x in args]
        is_for_libraries = name in LIBRARIES and any(isinstance(x, np.ndarray) and x.dtype.kind not in "biu" for x in hosts)
        if is_for_libraries and current.capturing is not None:
            raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")
        named = {k: to_host(x, name) for k, x in keywords.items()}
        sources = (*args, *keywords.values())
        with np.errstate(all="ignore"):
            if name in NARROW:
                return from_host(wide(self.host, hosts, named), sources)
            if name in DECOMPOSITIONS:
                return from_host(_decomposed(self.host, hosts, named), sources)
            return from_host(self.host(*hosts, **named), sources)


def wide(host: Callable[..., Any], args: list[Any], keywords: dict[str, Any]) -> Any:
    """Products and sums of halves add up in float32."""
    narrow = next((x.dtype for x in args if isinstance(x, np.ndarray) and _half(x.dtype)), None)
    if narrow is None:
        return host(*args, **keywords)
    if narrow.kind == "V" and host in (np.matmul, np.einsum) and max(getattr(x, "ndim", 0) for x in args) > 2:
        raise TypeError(f"{host.__name__}: CuPy 14 has no products of batches of bfloat16")
    widened = (x.astype("f4") if isinstance(x, np.ndarray) and _half(x.dtype) else x for x in args)
    result = np.asarray(host(*widened, **keywords))
    return result.astype(narrow) if result.dtype == np.float32 and keywords.get("dtype") is None else result


# What cupyx.errstate(linalg=...) says.
_linalg: list[str | None] = [None]


@contextmanager
def errstate(*, linalg: str | None = None, **others: Any) -> Iterator[None]:
    """cupyx.errstate: without linalg="raise", a failed decomposition goes unnoticed."""
    _linalg.append(linalg)
    try:
        yield
    finally:
        _linalg.pop()


def _decomposed(host: Callable[..., Any], args: list[Any], keywords: dict[str, Any]) -> Any:
    if any(isinstance(x, np.ndarray) and x.dtype.kind not in "fc" for x in args):
        args = [x.astype("f8") if isinstance(x, np.ndarray) and x.dtype.kind in "biu" else x for x in args]
    if any(isinstance(x, np.ndarray) and _half(x.dtype) for x in args):
        raise TypeError(f"{host.__name__}: float16 and bfloat16 are not supported")
    if _linalg[-1] == "raise":
        ledger.sync(host.__name__)
    try:
        result = host(*args, **keywords)
    except np.linalg.LinAlgError as error:
        unnoticed = "ingular" in str(error) or "definite" in str(error) or "converge" in str(error)
        if _linalg[-1] == "raise" or not unnoticed:
            raise
        return np.full(args[-1].shape, np.nan, args[0].dtype)
    if host.__name__ == "eigvals":
        return _complex(result)
    if host.__name__ == "eig":
        return tuple(map(_complex, result))
    return tuple(result) if isinstance(result, tuple) else result


def _complex(x: Any) -> Any:
    """CuPy's eigenvalues are complex even where NumPy's are real."""
    return x.astype(np.result_type(x, np.complex64))


# -- functions with rules of their own -----------------------------------------------------------------------


def array(
    obj: Any,
    dtype: Any = None,
    copy: bool = True,
    order: str = "K",
    subok: bool = False,
    ndmin: int = 0,
    *,
    blocking: bool = False,
) -> Any:
    """cupy.array: the way from the host."""
    if blocking:
        ledger.sync("array")
    if isinstance(obj, ndarray):
        return ndarray(np.array(to_host(obj, "array"), dtype, copy=True, order=order))  # type: ignore[call-overload]
    if not isinstance(obj, arrays.NUMBERS):
        ledger.upload("array")
    host = np.array(obj, dtype, order=order)  # type: ignore[call-overload]
    return ndarray(host)


def asarray(a: Any, dtype: Any = None, order: Any = None, *, copy: Any = None, blocking: bool = False) -> Any:
    if isinstance(a, ndarray) and (dtype is None or np.dtype(dtype) == a.dtype):
        return a
    if hasattr(a, "__cuda_array_interface__") and dtype is None:
        return ndarray(np.asarray(SimpleNamespace(__array_interface__=a.__cuda_array_interface__, keeps=a)))
    return array(a, dtype)


def garbage(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    """cupy.empty: what was there before, as bad as can be."""
    host = np.empty(to_host(shape, "empty"), check_dtype(dtype), order)  # type: ignore[call-overload]
    kind = host.dtype.kind
    host[...] = arrays.dice.integers(0, 2, host.shape) if kind == "b" else 99 if kind in "iu" else np.nan
    return ndarray(host)


def empty_like(prototype: Any, dtype: Any = None, order: str = "K", subok: Any = None, shape: Any = None) -> ndarray:
    return garbage(prototype.shape if shape is None else shape, prototype.dtype if dtype is None else dtype)


def broadcast_to(array: Any, shape: Any) -> Any:
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    host = to_host(array, "broadcast_to")
    strides = np.broadcast_to(host, shape).strides
    return from_host(np.lib.stride_tricks.as_strided(host, shape, strides), (array,))


def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    if x is None:
        ledger.sync("where")
        return from_host(np.where(to_host(condition, "where")), ())
    if not isinstance(condition, (ndarray, bool, np.bool_)):
        raise TypeError(f"where: Unsupported type {type(condition)}")
    return _where()(condition, x, y)


@cache
def _where() -> Ufunc:
    search = imported("cupy._sorting.search")
    return Ufunc("where", np.where, getattr(search, "_where_ufunc", None), nin=3)


def put_along_axis(arr: Any, indices: Any, values: Any, axis: int | None) -> None:
    host, places = to_host(arr, "put_along_axis"), to_host(indices, "put_along_axis")
    n = host.size if axis is None else host.shape[axis]
    numbers = np.arange(host.size).reshape(host.shape)
    flat = np.take_along_axis(numbers, places % n if n else places, axis)
    values = np.broadcast_to(to_host(values, "put_along_axis"), flat.shape)
    arrays.write_in_any_order(host, np.unravel_index(flat, host.shape), values)


def take(a: Any, indices: Any, axis: int | None = None, out: Any = None) -> Any:
    host, places = to_host(a, "take"), to_host(indices, "take")
    if not isinstance(places, (np.ndarray, int, np.integer)):
        raise TypeError("take: indices must be a device array or an integer")
    n = host.size if axis is None else host.shape[axis]
    return from_host(np.take(host, places % n if n else places, axis), ())


def take_along_axis(a: Any, indices: Any, axis: int | None = -1) -> Any:
    host, places = to_host(a, "take_along_axis"), to_host(indices, "take_along_axis")
    n = host.size if axis is None else host.shape[axis]
    return from_host(np.take_along_axis(host, places % n if n else places, axis), ())


def repeat(a: Any, repeats: Any, axis: int | None = None) -> Any:
    if isinstance(repeats, ndarray):
        raise ValueError("cupy.ndarray cannot be specified as `repeats` argument; give a list of integers")
    return from_host(np.repeat(to_host(a, "repeat"), repeats, axis), ())


def argsort(a: Any, axis: int | None = -1, kind: Any = None) -> Any:
    return from_host(np.argsort(to_host(a, "argsort"), axis, stable=True), ())


def scatter(name: str, ufunc: Any) -> Callable[..., None]:
    def scatter(a: ndarray, slices: Any, value: Any) -> None:
        host, index = to_host(a, name), arrays.Index(a, slices)
        allowed = "i4 u4 u8 f2 f4 f8 c8 c16" if name == "scatter_add" else "i4 u4 i8 u8 f4 f8"
        if host.dtype.str[1:] not in allowed.split():
            raise TypeError(f"`{name}` only supports {allowed} as data type, got {host.dtype}")
        values = to_host(value, name)
        if not isinstance(values, (np.ndarray, *arrays.NUMBERS)):
            raise TypeError(f"{name}: Unsupported type {type(value)}")
        arrays.write_in_any_order(host, index.host, values, ufunc.at)

    return scatter


def from_dlpack(array: Any) -> ndarray:
    """cupy.from_dlpack: the same memory, without a base."""
    capsule = array.__dlpack__()
    if not isinstance(capsule, arrays.Capsule):
        raise TypeError(
            "CPU arrays cannot be directly imported to CuPy. Use `cupy.array(numpy.from_dlpack(input))` instead."
        )
    return ndarray(capsule.host)


def as_strided(x: Any, shape: Any = None, strides: Any = None) -> Any:
    # as in CuPy, without a base
    return ndarray(np.lib.stride_tricks.as_strided(to_host(x, "as_strided"), shape, strides))
