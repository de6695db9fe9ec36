"""Functions that NumPy has and torch has not, under NumPy's names and with its signatures. It must not know any derivative.

NumPy's own, called with tensors, come to the same functions; these take arrays and sequences too and return tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any

from gradcore.ops import numpy_linalg, numpy_samples, numpy_selecting
from gradcore.ops.creation import as_tensor
from gradcore.ops.numpy_functions import apply_along_axis as _apply_along_axis
from gradcore.ops.registry import named
from gradcore.recorder.value import Value

_ARRAYS = frozenset(("x", "xp", "fp", "a", "v", "p", "arr"))


def _public(f: Callable[..., Any], what: str) -> Callable[..., Any]:
    """Publish `f`, whose arrays come as Tensors, as a function of whatever can be made one."""
    parameters = signature(f)

    @wraps(f)
    def public(*args: Any, **keywords: Any) -> Any:
        given = parameters.bind(*args, **keywords)
        like: Any = next((x for x in given.arguments.values() if isinstance(x, Value)), None)
        for name, x in given.arguments.items():
            if name in _ARRAYS and not isinstance(x, Value):
                given.arguments[name] = as_tensor(x, device=None if like is None else like.device)
        return f(*given.args, **given.kwargs)

    public.__doc__ = what
    return named(public, f.__name__)


interp = _public(
    numpy_samples.interp,
    "Return at `x` the piecewise linear function through the points (xp, fp), `xp` increasing; constant beyond the ends.",
)
convolve = _public(numpy_linalg.convolve, "Return the convolution of two vectors; `mode` is full, same or valid.")
correlate = _public(numpy_linalg.correlate, "Return the cross-correlation of two vectors; `mode` is valid, same or full.")
polyval = _public(
    numpy_samples.polyval, "Return at `x` the polynomial with the coefficients `p`, the highest power's first."
)
unwrap = _public(
    numpy_samples.unwrap, "Return the angles `p` with multiples of `period` added where they jump along `axis`."
)
apply_along_axis = _public(
    _apply_along_axis, "Return what `func1d` makes of each one-dimensional slice of `arr` along `axis`."
)
piecewise = _public(
    numpy_selecting.piecewise,
    "Return what each of `funclist`, functions or numbers, makes of the elements of `x` that its condition marks.",
)
