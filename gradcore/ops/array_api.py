"""The array API standard's namespace, which a Tensor's `__array_namespace__` returns. It must not know any derivative.

What takes arrays is NumPy's function, which its protocols bring to gradcore, on either device; what makes arrays, and what
is about dtypes, is written here in the standard's spelling. `tests/test_array_api.py` counts what passes.
"""

from __future__ import annotations

import builtins
import math
from functools import partial
from typing import Any

from gradcore import dtypes, ops
from gradcore.backends import for_device
from gradcore.backends import numpy as host
from gradcore.devices import device as _device
from gradcore.devices import get_default_device

__array_api_version__ = "2024.12"
VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12")

e, pi, inf, nan, newaxis = math.e, math.pi, math.inf, math.nan, None
_numpy: Any = host.asarray(0.0).__array_namespace__()
linalg, fft = _numpy.linalg, _numpy.fft

_function: Any = partial(ops.function, "")

_INTEGERS = "int8 int16 int32 int64 uint8 uint16 uint32 uint64".split()
_KINDS = {
    "bool": ["bool"],
    "signed integer": _INTEGERS[:4],
    "unsigned integer": _INTEGERS[4:],
    "integral": _INTEGERS,
    "real floating": ["float32", "float64"],
    "complex floating": ["complex64", "complex128"],
    "numeric": [*_INTEGERS, "float32", "float64", "complex64", "complex128"],
}
_DTYPES = [*_KINDS["bool"], *_KINDS["numeric"]]


def __getattr__(name: str) -> Any:
    if name in _DTYPES:
        return getattr(dtypes, name)
    if name.startswith("_") or not hasattr(_numpy, name):
        raise AttributeError(f"the array API's namespace of gradcore has no {name}")
    return getattr(_numpy, name)


# -- arrays -----------------------------------------------------------------------------------------------------------


def _lengths(shape: Any) -> tuple[int, ...]:
    return (shape,) if isinstance(shape, int) else tuple(shape)


def asarray(obj: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None) -> Any:
    """Return `obj`, nested sequences, numbers or an array, as a Tensor; `copy` True makes a new one."""
    made = _function("as_tensor")(obj, dtype=dtype, device=device)
    if copy is False and made is not obj:
        raise ValueError("asarray(): what is no Tensor of this dtype and device must be copied; leave out copy=False")
    return made.clone() if copy else made


def arange(start: Any, /, stop: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None) -> Any:
    """Return start, start + step, ... before `stop`; with one argument, the numbers before it from 0 on."""
    first, end = (0, start) if stop is None else (start, stop)
    if (end - first) * step <= 0:
        floating = any(isinstance(x, float) for x in (first, end, step))
        return _function("empty")(0, dtype=dtype or (None if floating else dtypes.int64), device=device)
    return _function("arange")(first, end, step, dtype=dtype, device=device)


def linspace(
    start: Any, stop: Any, /, num: int, *, dtype: Any = None, device: Any = None, endpoint: bool = True
) -> Any:
    """Return `num` numbers from `start` to `stop`, or up to before it without `endpoint`."""
    last = stop if endpoint or not num else start + (stop - start) * (num - 1) / num
    return _function("linspace")(start, last, num, dtype=dtype, device=device)


def eye(n: int, m: int | None = None, /, *, k: int = 0, dtype: Any = None, device: Any = None) -> Any:
    """Return ones on diagonal `k` of an n x m matrix."""
    columns = n if m is None else m
    ones = _function("ones")(n + builtins.abs(k), columns + builtins.abs(k), dtype=dtype, device=device)
    return ones.triu(k).tril(k)[:n, :columns]


def zeros(shape: Any, *, dtype: Any = None, device: Any = None) -> Any:
    """Return zeros."""
    return _function("zeros")(_lengths(shape), dtype=dtype, device=device)


def ones(shape: Any, *, dtype: Any = None, device: Any = None) -> Any:
    """Return ones."""
    return _function("ones")(_lengths(shape), dtype=dtype, device=device)


def empty(shape: Any, *, dtype: Any = None, device: Any = None) -> Any:
    """Return what the memory holds."""
    return _function("empty")(_lengths(shape), dtype=dtype, device=device)


def full(shape: Any, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Any:
    """Return `fill_value` everywhere."""
    return _function("full")(_lengths(shape), fill_value, dtype=dtype, device=device)


def zeros_like(x: Any, /, *, dtype: Any = None, device: Any = None) -> Any:
    """Return zeros of the shape of `x`."""
    return _function("zeros_like")(x, dtype=dtype, device=device)


def ones_like(x: Any, /, *, dtype: Any = None, device: Any = None) -> Any:
    """Return ones of the shape of `x`."""
    return _function("ones_like")(x, dtype=dtype, device=device)


def empty_like(x: Any, /, *, dtype: Any = None, device: Any = None) -> Any:
    """Return what the memory holds, of the shape of `x`."""
    return _function("empty_like")(x, dtype=dtype, device=device)


def full_like(x: Any, /, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Any:
    """Return `fill_value` everywhere, of the shape of `x`."""
    return _function("full_like")(x, fill_value, dtype=dtype, device=device)


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Any:
    """Return a Tensor of the memory that `x` offers."""
    return asarray(_function("from_dlpack")(x), device=device, copy=copy)


# -- dtypes -----------------------------------------------------------------------------------------------------------


def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
    """Return `x` in a dtype, a copy unless `copy` is False and nothing changes."""
    return x.to(dtype=dtype, device=x.device if device is None else device, copy=copy)


def isdtype(dtype: Any, kind: Any) -> bool:
    """Say whether a dtype is another one, of a kind such as "real floating", or any of a tuple of them."""
    if isinstance(kind, tuple):
        return builtins.any(isdtype(dtype, each) for each in kind)
    return dtype in [getattr(dtypes, name) for name in _KINDS[kind]] if isinstance(kind, str) else bool(dtype == kind)


def can_cast(from_: Any, to: Any, /) -> bool:
    """Say whether promotion may take a dtype, or that of a Tensor, to another."""
    return bool(dtypes.can_cast(getattr(from_, "dtype", from_), to))


def result_type(*arrays_and_dtypes: Any) -> Any:
    """Return the dtype that all promote to."""
    given = [_function("empty")((1,), dtype=x) if isinstance(x, dtypes.dtype) else x for x in arrays_and_dtypes]
    found = _function("result_type")(given[0], given[-1])
    for each in given[1:-1]:
        found = dtypes.promote_types(found, _function("result_type")(each, each))
    return found


def finfo(type: Any, /) -> Any:
    """Return the limits of a floating-point dtype, or that of a Tensor."""
    return dtypes.finfo(getattr(type, "dtype", type))


def iinfo(type: Any, /) -> Any:
    """Return the limits of an integer dtype, or that of a Tensor."""
    return dtypes.iinfo(getattr(type, "dtype", type))


class Info:
    """What `__array_namespace_info__` says."""

    def capabilities(self) -> dict[str, Any]:
        """Indices may be booleans, shapes may depend on values."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> Any:
        """Return the device of new arrays."""
        return get_default_device()

    def default_dtypes(self, *, device: Any = None) -> dict[str, Any]:
        """Return the dtypes of new arrays."""
        real = dtypes.get_default_dtype()
        integer = dtypes.int64
        return {"real floating": real, "complex floating": real.to_complex(), "integral": integer, "indexing": integer}

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, Any]:
        """Return the dtypes there are, by name; of a kind, or of several."""
        kinds = (kind,) if isinstance(kind, str) else kind
        names = _DTYPES if kinds is None else [name for each in kinds for name in _KINDS[each]]
        return {name: getattr(dtypes, name) for name in names}

    def devices(self) -> list[Any]:
        """Return the devices there are."""
        try:
            count = for_device("cuda").device_count()
        except RuntimeError:  # no CuPy, or no GPU
            count = 0
        return [_device("cpu"), *(_device("cuda", i) for i in range(count))]


def __array_namespace_info__() -> Info:
    """Return what can be asked about the namespace."""
    return Info()
