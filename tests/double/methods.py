"""Operators and reductions of the pretended array, of the pretended functions. It must not know gradcore."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.double import arrays, graphs
from tests.double.arrays import from_host, ndarray, to_host
from tests.double.functions import Function, Ufunc, wide
from tests.double.kernels import ElementwiseKernel, RawKernel
from tests.double.modules import MODULES

cupy: Any = MODULES["cupy"]

OPERATORS = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "floordiv": "floor_divide",
    "mod": "remainder", "pow": "power", "matmul": "matmul", "and": "bitwise_and", "or": "bitwise_or",
    "xor": "bitwise_xor", "lshift": "left_shift", "rshift": "right_shift",
}  # fmt: skip
COMPARISONS = {
    "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal",
    "eq": "equal", "ne": "not_equal",
}  # fmt: skip
UNARY = {"neg": "negative", "pos": "positive", "invert": "invert", "abs": "absolute"}


def _binary(name: str, *, swapped: bool = False) -> Callable[..., Any]:
    def method(self: ndarray, other: Any) -> Any:
        if isinstance(other, (np.ndarray, list, tuple)):
            raise TypeError(f"{name}: Unsupported type {type(other)}; a device array or a number is needed")
        if not isinstance(other, (ndarray, *arrays.NUMBERS)):
            return NotImplemented
        return getattr(cupy, name)(*((other, self) if swapped else (self, other)))

    return method


def _in_place(name: str) -> Callable[..., Any]:
    def method(self: ndarray, other: Any) -> Any:
        if not isinstance(other, (ndarray, *arrays.NUMBERS)):
            raise TypeError(f"{name}: Unsupported type {type(other)}; a device array or a number is needed")
        return getattr(cupy, name)(self, other, self)

    return method


def _unary(name: str) -> Callable[..., Any]:
    return lambda self: getattr(cupy, name)(self)


for python, name in OPERATORS.items():
    setattr(ndarray, f"__{python}__", _binary(name))
    setattr(ndarray, f"__r{python}__", _binary(name, swapped=True))
    if python != "matmul":  # CuPy has none
        setattr(ndarray, f"__i{python}__", _in_place(name))
for python, name in COMPARISONS.items():
    setattr(ndarray, f"__{python}__", _binary(name))
for python, name in UNARY.items():
    setattr(ndarray, f"__{python}__", _unary(name))


# CuPy's own signatures: no `where`, no `initial`.


def _sum(self: ndarray, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    return _reduced(np.sum, self, axis=axis, dtype=dtype, keepdims=keepdims)


def _prod(self: ndarray, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    return _reduced(np.prod, self, axis=axis, dtype=dtype, keepdims=keepdims)


def _ordered(function: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: ndarray, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        return _reduced(function, self, axis=axis, keepdims=keepdims)

    return method


def _place(function: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: ndarray, axis: Any = None, out: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
        return _reduced(function, self, axis=axis, keepdims=keepdims)

    return method


def _reduced(function: Callable[..., Any], x: ndarray, **options: Any) -> Any:
    with np.errstate(all="ignore"):
        return from_host(wide(function, [to_host(x, function.__name__)], options), ())


def _same(name: str) -> Callable[..., Any]:
    """The function of that name as a method."""
    return lambda self, *args, **keywords: getattr(cupy, name)(self, *args, **keywords)


REDUCTIONS = {
    "sum": _sum, "prod": _prod, "max": _ordered(np.max), "min": _ordered(np.min), "any": _ordered(np.any),
    "all": _ordered(np.all), "argmax": _place(np.argmax), "argmin": _place(np.argmin),
}  # fmt: skip
for name, method in REDUCTIONS.items():
    setattr(ndarray, name, method)
for name in "take diagonal repeat dot trace nonzero searchsorted cumsum cumprod argsort mean".split():
    setattr(ndarray, name, _same(name))
ndarray.conj = ndarray.conjugate = _unary("conj")  # type: ignore[attr-defined]
graphs.install(Function, Ufunc, ElementwiseKernel, RawKernel)
