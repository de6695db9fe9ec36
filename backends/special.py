"""Special functions of host arrays, SciPy's where it is installed; must not know gradients or Tensors."""
from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np

from gradcore.backends import shared


@shared.widened
def erf(x: Any) -> Any:
    """Return the error function of a real array; SciPy's where it is installed."""
    return _or_else("erf", math.erf)(x)


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
