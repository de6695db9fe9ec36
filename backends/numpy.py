"""The NumPy backend: flat NumPy-spelled functions on host arrays; must not know gradients, Tensors or CuPy.

Floating-point warnings: `token = quiet()` ... `unquiet(token)` around a group of calls silences NumPy's divide, overflow
and invalid warnings there and nowhere else (see `_find_error_state`).
"""
# ruff: noqa: F401  (the imported names are the surface)
from __future__ import annotations

import contextvars
import math
import operator
import sys
from collections.abc import Callable, Sequence
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

# isort: off
from numpy import (  # arithmetic
    add, subtract, multiply, divide, power, negative, positive, absolute, sign, sqrt, square, reciprocal, cbrt,
    fmod, remainder, floor_divide, floor, ceil, rint, trunc, maximum, minimum, fmax, fmin, gcd, lcm,
)
from numpy import (  # transcendental
    exp, exp2, expm1, log, log2, log10, log1p, logaddexp, logaddexp2, hypot,
    sin, cos, tan, arcsin, arccos, arctan, arctan2, sinh, cosh, tanh, arcsinh, arccosh, arctanh,
)
from numpy import (  # floating-point and complex parts
    copysign, nextafter, ldexp, frexp, heaviside, signbit, isnan, isinf, isfinite, isclose,
    real, imag, conj, angle,
)
from numpy import (  # comparison, logic, bits
    equal, not_equal, less, less_equal, greater, greater_equal, where,
    logical_and, logical_or, logical_not, logical_xor,
    bitwise_and, bitwise_or, bitwise_xor, bitwise_not, left_shift, right_shift,
)
from numpy import searchsorted, nonzero, count_nonzero, bincount, histogram, median, quantile  # search, statistics
from numpy import tensordot, outer, vdot  # products
from numpy import concatenate, flip, roll, repeat, tile, diagonal, tril, triu, copyto  # layout
from numpy import take, take_along_axis, put_along_axis  # gather
from numpy import empty, zeros, arange, linspace, eye, ascontiguousarray  # creation
from numpy import dtype
from numpy.fft import (
    fft, ifft, rfft, irfft, hfft, ihfft, fft2, ifft2, rfft2, irfft2, fftn, ifftn, rfftn, irfftn, fftshift, ifftshift,
)
from numpy.linalg import (
    LinAlgError, inv, solve, cholesky, det, slogdet, eigh, eigvalsh, svd, qr, eig, eigvals, matrix_power,
)
# isort: on
from numpy.lib.stride_tricks import sliding_window_view

from gradcore.backends import shared

name = "numpy"
device_type = "cpu"
Array = np.ndarray
generic = np.generic
_bind = partial(shared.bind, sys.modules[__name__])
_FLOATING = "fc"


# arrays and devices


as_array = np.asarray


def asarray(x: Any, dtype: Any = None) -> Any:
    """Return `x` (an array, a scalar, nested sequences) as an array, without a copy where its dtype allows."""
    return np.asarray(x, dtype)


def from_host(array: Any, device: int | None = None) -> Any:
    """Return the host array `array` on this device: itself."""
    return np.asarray(array)


def to_host(array: Any) -> Any:
    """Return `array` as a NumPy array: itself."""
    return np.asarray(array)


def device_of(array: Any) -> tuple[str, int | None]:
    """Return ("cpu", None)."""
    return "cpu", None


def storage(array: Any) -> Any:
    """Return the array that owns the memory of `array`: one object for every view of one buffer."""
    owner = array
    base = array.base
    while base is not None:
        if isinstance(base, np.ndarray):
            owner = base
        base = getattr(base, "base", None)
    return owner


def is_view(array: Any) -> bool:
    """Say whether writing into `array` may write into another array, or twice into one element."""
    return array.base is not None or 0 in array.strides


def owned(array: Any) -> Any:
    """Return a fresh, C-contiguous, writable copy."""
    return np.array(array, order="C")


def why_not() -> str | None:
    """Return None: the CPU is always there."""
    return None


def synchronize(device: int | None = None) -> None:
    """Do nothing: NumPy returns when the work is done."""


# reductions: the ufuncs' methods, at half the cost of the functions that wrap them


def sum(x: Any, axis: Any = None, *, keepdims: bool = False, dtype: Any = None) -> Any:
    """Return the sum over `axis`."""
    return _add_reduce(x, axis, dtype, None, keepdims)


def prod(x: Any, axis: Any = None, *, keepdims: bool = False, dtype: Any = None) -> Any:
    """Return the product over `axis`."""
    return _multiply_reduce(x, axis, dtype, None, keepdims)


def max(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """Return the maximum over `axis`; NaN wins."""
    return _maximum_reduce(x, axis, None, None, keepdims)


def min(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """Return the minimum over `axis`; NaN wins."""
    return _minimum_reduce(x, axis, None, None, keepdims)


def any(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """Say whether any element over `axis` is true."""
    return _or_reduce(x, axis, bool, None, keepdims)


def all(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """Say whether all elements over `axis` are true."""
    return _and_reduce(x, axis, bool, None, keepdims)


_add_reduce, _multiply_reduce = np.add.reduce, np.multiply.reduce
_maximum_reduce, _minimum_reduce = np.maximum.reduce, np.minimum.reduce
_or_reduce, _and_reduce = np.logical_or.reduce, np.logical_and.reduce


def argmax(x: Any, axis: int | None = None, *, keepdims: bool = False) -> Any:
    """Return the index of the first maximum; NaN wins."""
    return x.argmax(axis, keepdims=keepdims)


def argmin(x: Any, axis: int | None = None, *, keepdims: bool = False) -> Any:
    """Return the index of the first minimum; NaN wins."""
    return x.argmin(axis, keepdims=keepdims)


def cumsum(x: Any, axis: int, *, dtype: Any = None) -> Any:
    """Return the running sum along `axis`."""
    return np.add.accumulate(x, axis, dtype)


def cumprod(x: Any, axis: int, *, dtype: Any = None) -> Any:
    """Return the running product along `axis`."""
    return np.multiply.accumulate(x, axis, dtype)


# order


def sort(x: Any, axis: int = -1) -> Any:
    """Return the values in ascending order along `axis`, NaN last."""
    return np.sort(x, axis)


def argsort(x: Any, axis: int = -1) -> Any:
    """Return the indices that sort `x` along `axis`; equal elements keep their order."""
    return np.argsort(x, axis, stable=True)


def partition(x: Any, kth: int, axis: int = -1) -> Any:
    """Return `x` with its `kth` smallest element in place along `axis`."""
    return np.partition(x, kth, axis)


def argpartition(x: Any, kth: int, axis: int = -1) -> Any:
    """Return the indices that partition `x` along `axis`."""
    return np.argpartition(x, kth, axis)


def unique(x: Any, return_index: bool = False, return_inverse: bool = False, return_counts: bool = False,
           axis: int | None = None) -> Any:
    """Return the sorted distinct elements, then what the flags ask for."""
    return np.unique(x, return_index, return_inverse, return_counts, axis)


# elementwise that NumPy spells slower or otherwise


def clip(x: Any, lo: Any, hi: Any) -> Any:
    """Limit `x` to [lo, hi]; None leaves a side open, NaN stays, and `hi` wins where lo > hi."""
    return x.clip(lo, hi)


def nan_to_num(x: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Any:
    """Replace NaN and the infinities; None means the largest finite value."""
    return np.nan_to_num(x, True, nan, posinf, neginf)


def erf(x: Any) -> Any:
    """Return the error function of a real array."""
    return _special("erf", math.erf, x)


def erfc(x: Any) -> Any:
    """Return 1 - erf(x), accurate in the tail."""
    return _special("erfc", math.erfc, x)


def _special(function: str, scalar: Callable[[float], float], x: Any) -> Any:
    try:
        from scipy import special
    except ImportError:
        x = np.asarray(x)
        return np.fromiter(map(scalar, x.ravel().tolist()), float, x.size).reshape(x.shape).astype(x.dtype)
    return getattr(special, function)(x)


# products


def matmul(x: Any, y: Any) -> Any:
    """Return the matrix product, batched over leading axes."""
    return np.matmul(x, y)


def dot(x: Any, y: Any) -> Any:
    """Return the dot product of two vectors, or a matrix times a vector or matrix."""
    return np.dot(x, y)


def einsum(subscripts: str, *operands: Any) -> Any:
    """Return the sum of products that `subscripts` describe."""
    return np.einsum(subscripts, *operands, optimize=len(operands) > 2)


def lstsq(a: Any, b: Any, rcond: float | None = None) -> Any:
    """Return (solution, residuals, rank, singular values) of one least-squares problem."""
    return np.linalg.lstsq(a, b, rcond)


def pinv(a: Any, rcond: Any = 1e-15) -> Any:
    """Return the Moore-Penrose inverse; singular values below rcond times the largest count as zero."""
    return np.linalg.pinv(a, rcond)


# layout


def reshape(x: Any, shape: Any) -> Any:
    """Return `x` in another shape, a view where the strides allow."""
    return x.reshape(shape)


def transpose(x: Any, axes: Sequence[int] | None = None) -> Any:
    """Return a view with the axes in the given (or reversed) order."""
    return x.transpose(axes)


def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    """Return a view with two axes exchanged."""
    return x.swapaxes(axis1, axis2)


def squeeze(x: Any, axis: Any = None) -> Any:
    """Return a view without the given (or all) axes of length 1."""
    return x.squeeze(axis)


def broadcast_view(x: Any, shape: Any) -> Any:
    """Return a zero-stride view of `x` in `shape`, not to be written to."""
    return np.broadcast_to(x, shape)


def copy(x: Any) -> Any:
    """Return a copy in C order."""
    return np.array(x, order="C")


def astype(x: Any, dtype: Any, copy: bool = False) -> Any:
    """Return `x` in another dtype; a complex array gives its real part to a real dtype."""
    if x.dtype.kind == "c" and np.dtype(dtype).kind not in "cb":
        x = x.real
    return x.astype(dtype, copy=copy)


# indexing


def getitem(x: Any, index: Any) -> Any:
    """Return x[index]: for integers, slices, None and Ellipsis a view, 0-d ones included; else a copy."""
    out = x[index]
    if type(out) is np.ndarray:
        return out
    return x[(*index, ...) if type(index) is tuple else (index, ...)]


setitem = operator.setitem


def scatter_add(x: Any, index: Any, values: Any) -> Any:
    """Add `values` to x[index] in place, each duplicate counting, and return `x`."""
    np.add.at(x, index, values)
    return x


broadcast_to = _bind(shared.broadcast_to)
expand_dims = _bind(shared.expand_dims)
moveaxis = _bind(shared.moveaxis)
stack = _bind(shared.stack)
full = _bind(shared.full)
ones = _bind(shared.ones)
zeros_like = _bind(shared.zeros_like)
ones_like = _bind(shared.ones_like)
full_like = _bind(shared.full_like)
empty_like = _bind(shared.empty_like)
sigmoid = _bind(shared.sigmoid)
round_half_even = _bind(shared.round_half_even)


# random numbers


def generator(seed: int | None = None) -> Any:
    """Return a random generator with the given seed (None: from the system)."""
    return np.random.default_rng(seed)


# NumPy's floating-point warnings


def _find_error_state() -> tuple[Callable[[], Any], Callable[[Any], None]]:
    """Return (quiet, unquiet), a pair of calls that switch the warnings of this thread off and back.

    torch never warns for 1/0 or log(0). np.errstate around every call costs 0.9 us, a global np.seterr changes the
    user's own NumPy code, and a filter on the warning loses against a later `error` or `always` filter (pytest's, for
    one) and does not see the ufuncs that NumPy's own Python code calls. Since NumPy 2 the error state is a context
    variable; setting and resetting it costs 0.08 us. Its value is found through the public functions only.
    """
    before, after = contextvars.copy_context(), contextvars.copy_context()
    after.run(np.seterr, all="ignore")
    changed = [variable for variable in after if before.get(variable) is not after[variable]]
    if len(changed) == 1:
        return partial(changed[0].set, after[changed[0]]), changed[0].reset

    def enter() -> Any:
        state = np.errstate(all="ignore")
        state.__enter__()
        return state

    return enter, lambda state: state.__exit__(None, None, None)


quiet, unquiet = _find_error_state()
