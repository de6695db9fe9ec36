"""Special functions of host arrays, SciPy's where it is installed; must not know gradients or Tensors."""
from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np

from gradcore.backends import shared

FEW = 512  # elements, up to which SciPy's functions are faster than polynomials over arrays
BLOCK = 1 << 16  # elements; a few arrays of so many are in the cache together


def constants(dtype: str, *values: float) -> tuple[Any, ...]:
    """Return `values` in `dtype`, without a dimension: NumPy takes them faster than numbers."""
    return tuple(np.array(value, dtype) for value in values)


def horner(polynomial: tuple[Any, ...], x: Any, out: Any) -> None:
    """Write the polynomial with these coefficients, the constant first, of `x` into `out`."""
    *lower, second, first = polynomial
    np.multiply(x, first, out)
    np.add(out, second, out)
    for coefficient in reversed(lower):
        np.multiply(out, x, out)
        np.add(out, coefficient, out)


# of x**2: times x, it has a tanh that is off from erf(x) by 1e-8 of it at most; beyond |x| = 4 it only grows
_AREA = constants(
    "f8", 1.1283791784564547, 0.10277216444193871, -0.00020665165311795587, -0.0005953107904521512, 6.932318436117631e-05,
    1.325571123536538e-06, -1.2887234047203924e-06, 1.5611872792418593e-07, -8.465820204512085e-09, 1.786399271109644e-10,
)  # fmt: skip


@shared.widened
def erf(x: Any) -> Any:
    """Return the error function of a real array; SciPy's where it is installed, but of many float32 numbers."""
    if x.dtype.char != "f" or x.size <= FEW:
        return _or_else("erf", math.erf)(x)
    out = np.empty(x.shape, x.dtype)
    flat, x = out.reshape(-1), x.reshape(-1)
    for start in range(0, x.size, BLOCK):
        y = x[start : start + BLOCK].astype("f8")
        squares = np.square(y)
        z = np.empty_like(y)
        horner(_AREA, squares, z)
        np.multiply(z, y, z)
        np.tanh(z, z)
        flat[start : start + BLOCK] = z
    return out


@shared.widened
def erfc(x: Any) -> Any:
    """Return 1 - erf(x), accurate where erf(x) is near 1; SciPy's where it is installed."""
    return _or_else("erfc", math.erfc)(x)


@shared.widened
def special(function: str, *operands: Any) -> Any:
    """Return SciPy's special function of this name. Raise ImportError where SciPy is not installed."""
    try:
        return _scipy(function)(*operands)
    except ImportError as error:
        raise ImportError(f"{function} needs SciPy: pip install scipy") from error


@cache
def _scipy(function: str) -> Callable[..., Any]:
    from scipy import special  # here, not above: it takes longer than importing gradcore

    return getattr(special, function)  # type: ignore[no-any-return]


@cache
def _or_else(function: str, scalar: Callable[[float], float]) -> Callable[[Any], Any]:
    try:
        return _scipy(function)
    except ImportError:
        return partial(_each, scalar)


def _each(scalar: Callable[[float], float], x: Any) -> Any:
    out = np.fromiter(map(scalar, x.ravel().tolist()), np.float64, x.size).reshape(x.shape)
    return out.astype(x.dtype if x.dtype.kind == "f" else np.float64, copy=False)
