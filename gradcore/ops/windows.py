"""Windows for spectrograms, as torch makes them. It must not know any derivative."""

from __future__ import annotations

import math
from typing import Any

from gradcore import dtypes
from gradcore.ops.filling import arange, ones
from gradcore.ops.registry import op
from gradcore.ops.special import i0
from gradcore.primitives import elementwise as e
from gradcore.primitives import transcendental as t


def _places(name: str, n: int, periodic: bool, options: dict[str, Any]) -> Any:
    """Places from 0 to 1 in a window of `n` elements, whose end is the next one's beginning if it is `periodic`."""
    if not isinstance(periodic, bool):
        raise TypeError(f"{name}(): argument 'periodic' (position 2) must be bool, not {type(periodic).__name__}")
    dtype = options.get("dtype") or dtypes.get_default_dtype()
    if not dtype.is_floating_point:
        raise RuntimeError(f"{name}() expects floating point dtypes, got: {dtype}")
    if n < 0:
        raise RuntimeError(f"{name} requires non-negative window_length, got window_length={n}")
    if n == 1:
        return None
    return e.divide(arange(n, **{**options, "dtype": dtype, "requires_grad": False}), max(n if periodic else n - 1, 1))


def _made(window: Any, options: dict[str, Any]) -> Any:
    return ones(1, **options) if window is None else window.requires_grad_(bool(options.get("requires_grad")))


def _cosines(name: str, n: int, periodic: bool, weights: tuple[float, ...], options: dict[str, Any]) -> Any:
    """The sum of the cosines of multiples of the angle, with these weights."""
    x = _places(name, n, periodic, options)
    if x is None:
        return _made(None, options)
    total: Any = weights[0]
    for k, weight in enumerate(weights[1:], start=1):
        total = t.cos(e.multiply(x, 2 * math.pi * k)) * weight + total
    return _made(total, options)


@op(method=False)
def hann_window(window_length: int, periodic: bool = True, **options: Any) -> Any:
    """Return the window 1/2 - cos(x) / 2."""
    return _cosines("hann_window", window_length, periodic, (0.5, -0.5), options)


@op(method=False)
def hamming_window(
    window_length: int, periodic: bool = True, alpha: float = 0.54, beta: float = 0.46, **options: Any
) -> Any:
    """Return the window alpha - beta cos(x)."""
    return _cosines("hamming_window", window_length, periodic, (alpha, -beta), options)


@op(method=False)
def blackman_window(window_length: int, periodic: bool = True, **options: Any) -> Any:
    """Return the window 0.42 - cos(x) / 2 + 0.08 cos(2 x)."""
    return _cosines("blackman_window", window_length, periodic, (0.42, -0.5, 0.08), options)


@op(method=False)
def bartlett_window(window_length: int, periodic: bool = True, **options: Any) -> Any:
    """Return the triangular window."""
    x = _places("bartlett_window", window_length, periodic, options)
    return _made(None if x is None else 1 - e.absolute(e.multiply(x, 2) - 1), options)


@op(method=False)
def kaiser_window(window_length: int, periodic: bool = True, beta: float = 12.0, **options: Any) -> Any:
    """Return Kaiser's window, I0(beta sqrt(1 - x**2)) / I0(beta). Needs SciPy."""
    x = _places("kaiser_window", window_length, periodic, options)
    if x is None:
        return _made(None, options)
    centred = e.multiply(x, 2) - 1
    top = i0(e.multiply(e.sqrt(1 - centred * centred), beta))
    return _made(e.divide(top, i0(e.add(e.zero(centred), beta))), options)
