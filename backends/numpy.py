"""The NumPy backend: flat NumPy-spelled functions on host arrays; must not know gradients, Tensors or CuPy.

cupy.py offers the same names with the same signatures. A 0-d result may be a NumPy scalar; `as_array` makes
it an array. Nothing warns of 1/0, overflow or invalid values between `quiet()` and `unquiet(noise)`, `noise` being
what `noise()` was before.
"""
# ruff: noqa: F401  (the imported names are the surface)
from __future__ import annotations

import builtins
import operator
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from math import prod as _length
from typing import Any, cast

import numpy as np

# isort: off
from numpy import (  # arithmetic
    add, subtract, multiply, divide, power, negative, positive, absolute, sign, sqrt, square, reciprocal,
    fmod, remainder, floor_divide, floor, ceil, rint, trunc, maximum, minimum, fmax, fmin, gcd, lcm, cbrt,
)
from numpy import (  # transcendental
    exp, exp2, expm1, log, log2, log10, log1p, logaddexp, logaddexp2, hypot,
    sin, cos, tan, arcsin, arccos, arctan, arctan2, sinh, cosh, tanh, arcsinh, arccosh, arctanh,
)
from numpy import (  # parts of a number
    copysign, nextafter, ldexp, frexp, heaviside, signbit, isnan, isinf, isfinite, real, imag, conj, angle,
)
from numpy import (  # comparison, logic, bits
    equal, not_equal, less, less_equal, greater, greater_equal, isclose,
    logical_and, logical_or, logical_not, logical_xor,
    bitwise_and, bitwise_or, bitwise_xor, bitwise_not, left_shift, right_shift,
)
from numpy import outer, vdot, vecdot
from numpy import nonzero, count_nonzero, searchsorted, bincount, histogram
from numpy import concatenate, flip, roll, repeat, tile, diagonal, tril, triu
from numpy import take, copyto
from numpy import empty, zeros, arange, linspace, eye, ascontiguousarray, from_dlpack, frombuffer
from numpy.linalg import (
    LinAlgError, inv, solve, det, slogdet, eigh, eigvalsh, qr, eig, eigvals, matrix_power,
)
# isort: on

from gradcore.backends import shared
from gradcore.backends.choices import relu, where
from gradcore.backends.repeats import broadcast_view
from gradcore.backends.scatters import add_at, put_along_axis, starts, take_along_axis, take_at, take_cells
from gradcore.backends.shared import argmax, argmin, convolution, matrix_transpose, reshape, squeeze, swapaxes, transpose
from gradcore.backends.silence import noise, quiet, quietly, unquiet
from gradcore.backends.sums import sum

name = "numpy"
device_type = "cpu"
Array = np.ndarray
dtype = np.dtype
_here: Any = sys.modules[__name__]
_np: Any = np  # where the types of NumPy's overloads are too narrow
_all = builtins.all  # `all` is the reduction below

# arrays and devices

as_array = np.asarray


def dense(x: Any) -> Any:
    """Return a result as a contiguous array, copied if it is none."""
    x = np.asarray(x)
    return x if x.flags.c_contiguous else np.ascontiguousarray(x)


generic = np.generic


def asarray(x: Any, dtype: Any = None) -> Any:
    """Return `x` (an array, a scalar, nested sequences) as an array; no copy where its dtype allows."""
    return np.asarray(x, dtype)


def from_host(array: Any, device: int | None = None, non_blocking: bool = False) -> Any:
    """Return the host array `array` on this device: itself."""
    return np.asarray(array)


def to_host(array: Any, non_blocking: bool = False) -> Any:
    """Return `array` as a NumPy array: itself."""
    return np.asarray(array)


def to_device(array: Any, device: int | None) -> Any:
    """Return `array` on this device: itself."""
    return array


def device_of(array: Any) -> tuple[str, int | None]:
    """Return the device type and index of `array`: ("cpu", None)."""
    return "cpu", None


def on_device(device: int | None) -> AbstractContextManager[Any]:
    """Return a context in which new arrays are made on this device."""
    return nullcontext()


def device_count() -> int:
    """Return the number of devices: 1."""
    return 1


def start() -> None:
    """Get ready: free a block of the most that glibc learns from (32 MiB), so that it no longer gives back smaller ones.

    Each page of memory that it gave back and gets again costs a fault, which takes longer than most of what is done to it.
    """
    empty((32 << 20) - 8192, "u1")


def following(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function` run on the device of its first array: as it is."""
    return function


def current_device() -> int | None:
    """Return the index of the device where new arrays are made: None."""
    return None


def why_not() -> str | None:
    """Return the sentence that says why this backend cannot run here: None."""
    return None


def synchronize(device: int | None = None) -> None:
    """Wait for the device: NumPy's work is done when it returns."""


def set_device(device: int) -> None:
    """Make new arrays on this device from now on: there is one."""


def device_properties(device: int | None = None) -> tuple[Any, ...]:
    """Return what is known of a device: its name."""
    return ("cpu",)


def free_memory() -> None:
    """Give unused memory back to the device: NumPy keeps none."""


def memory(device: int | None = None) -> tuple[int, int]:
    """Return the bytes in use and the bytes held by the allocator: NumPy counts none."""
    return 0, 0


# reductions: the ufuncs' methods, at half the cost of the functions that wrap them

_multiply_reduce = _np.multiply.reduce
_maximum_reduce, _minimum_reduce = _np.maximum.reduce, _np.minimum.reduce
_or_reduce, _and_reduce = _np.logical_or.reduce, _np.logical_and.reduce
_wide_prod = shared.widened(_multiply_reduce)
_wide_cumprod = shared.widened(np.multiply.accumulate)


def prod(x: Any, axis: Any = None, *, keepdims: bool = False, dtype: Any = None) -> Any:
    """Return the product over `axis`; float16 and bfloat16 multiply in float32."""
    if x.itemsize == 2 and dtype is None:
        return _wide_prod(x, axis, None, None, keepdims)
    return _multiply_reduce(x, axis, dtype, None, keepdims)


def max(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """Return the maximum over `axis`; NaN wins."""
    return _maximum_reduce(x, axis, None, None, keepdims)


def min(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """Return the minimum over `axis`; NaN wins."""
    return _minimum_reduce(x, axis, None, None, keepdims)


def any(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """Say whether any element over `axis` is true."""
    return _or_reduce(x, axis, None, None, keepdims)


def all(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """Say whether all elements over `axis` are true."""
    return _and_reduce(x, axis, None, None, keepdims)


def cumprod(x: Any, axis: int, *, dtype: Any = None) -> Any:
    """Return the running product along `axis`."""
    return (_wide_cumprod if dtype is None else np.multiply.accumulate)(x, axis, dtype)


# order


def sort(x: Any, axis: int = -1) -> Any:
    """Return the values in ascending order along `axis`, NaN last."""
    return np.sort(x, axis)


def partition(x: Any, kth: int, axis: int = -1) -> Any:
    """Return `x` with its `kth` smallest element in place along `axis`."""
    return np.partition(x, kth, axis)


def unique(x: Any, return_index: bool = False, return_inverse: bool = False, return_counts: bool = False,
           axis: int | None = None) -> Any:
    """Return the sorted distinct elements, then what the flags ask for; the inverse has the shape of `x`."""
    return _np.unique(x, return_index, return_inverse, return_counts, axis)


# elementwise

_wide_clip = shared.widened(np.clip)


def clip(x: Any, lo: Any, hi: Any) -> Any:
    """Limit `x` to [lo, hi]; None leaves a side open, NaN stays, and `hi` wins where lo > hi."""
    if x.itemsize == 2:
        return _wide_clip(x, lo, hi)
    if lo is None:
        return x.clip(lo, hi) if hi is None else np.minimum(hi, x)
    return np.maximum(lo, x) if hi is None else x.clip(lo, hi)  # -0.0 stays where a side is 0: the second of equals


_FEW = 512  # up to here np.putmask is faster
_ZEROS = {np.dtype(kind): np.zeros((), kind) for kind in ("f4", "f8")}
_UNIT = {np.dtype(kind): np.ones((), kind) for kind in ("f4", "f8")}
_BITS = {"e": np.dtype("i2"), "f": np.dtype("i4"), "d": np.dtype("i8")}


def masked(x: Any, mask: Any) -> Any:
    """Return `x` where `mask` is not 0 and 0 elsewhere, whatever `x` is there."""
    if x.size <= _FEW and x.shape == mask.shape:
        out = np.zeros(x.shape, x.dtype)
        np.putmask(out, mask, x)
        return out
    bits = _BITS.get(x.dtype.char)
    if bits is None:
        return np.where(mask, x, x.dtype.type(0))
    # a product of bits takes a tenth of the time of np.where, which branches
    if mask.dtype.kind != "b":
        mask = np.not_equal(mask, _ZEROS.get(mask.dtype, 0))
    return np.multiply(x.view(bits), mask.astype(bits)).view(x.dtype)


def sigmoid(x: Any) -> Any:
    """Return 1 / (1 + exp(-x)): where exp overflows the quotient is 0, as it should be."""
    one = _UNIT.get(x.dtype)
    if one is None or x.ndim == 0:
        return _here._any_sigmoid(x)
    out = np.negative(x)
    np.exp(out, out)
    np.add(out, one, out)
    return np.reciprocal(out, out)


def nan_to_num(x: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Any:
    """Replace NaN and the infinities; None means the largest finite value."""
    return np.nan_to_num(x, True, nan, posinf, neginf)


def fourier(transform: str, x: Any, shape: Any, axes: Any, norm: str) -> Any:
    """Return the `transform` "fftn", "ifftn", "rfftn" or "irfftn" of `x`, in its precision."""
    return getattr(np.fft, transform)(x, shape, axes, norm)


# products

_wide_matmul, _wide_dot = shared.widened(np.matmul), shared.widened(np.dot)
tensordot = shared.widened(np.tensordot)


def matmul(x: Any, y: Any) -> Any:
    """Return the matrix product, batched over leading axes; float16 and bfloat16 add up in float32."""
    return _wide_matmul(x, y) if x.itemsize == 2 else np.matmul(x, y)


def dot(x: Any, y: Any) -> Any:
    """Return the product of two arrays of at most two dimensions."""
    return _wide_dot(x, y) if x.itemsize == 2 else np.dot(x, y)


@shared.widened
def einsum(subscripts: str, *operands: Any) -> Any:
    """Return the sum of products that `subscripts` describes."""
    return np.einsum(subscripts, *operands, optimize=len(operands) > 2)


def pinv(a: Any, rcond: Any = 1e-15) -> Any:
    """Return the Moore-Penrose inverse; singular values up to rcond times the largest count as zero."""
    return np.linalg.pinv(a, rcond)


# layout and memory


def copy(x: Any) -> Any:
    """Return a copy in C order."""
    return np.array(x, order="C")


owned = copy


def astype(x: Any, dtype: Any, copy: bool = False) -> Any:
    """Return `x` in another dtype; a complex array gives its real part to a real dtype."""
    if x.dtype.kind == "c" and np.dtype(dtype).kind not in "cb":
        x, copy = x.real, True  # a part is a view
    return x.astype(dtype, copy=copy)


def storage(array: Any) -> Any:
    """Return the array that owns the memory of `array`: one object for all views of one buffer."""
    owner = array
    base = array.base
    while base is not None:
        if isinstance(base, np.ndarray):
            owner = base
        base = getattr(base, "base", None)
    return owner


def is_view(array: Any) -> bool:
    """Say whether writing into `array` may change another array, or two elements at once."""
    return array.base is not None or 0 in array.strides


def address(array: Any) -> int:
    """Return the address of the first element."""
    return cast(int, array.__array_interface__["data"][0])


def strided(x: Any, shape: Any, strides: Any) -> Any:
    """Return a view that begins where `x` does, with these strides in bytes, unchecked."""
    if x.size and x.flags.c_contiguous and x.dtype.kind in "biufc":
        return np.ndarray(shape, x.dtype, x, 0, strides)  # in an eighth of the time
    return np.lib.stride_tricks.as_strided(x, shape, strides)


# indexing


def getitem(x: Any, index: Any) -> Any:
    """Return x[index]: for integers, slices, None and Ellipsis a view, 0-d ones included; else a copy."""
    out = x[index]
    if type(out) is np.ndarray:
        return out
    return x[(*index, ...) if type(index) is tuple else (index, ...)]


setitem = operator.setitem


# what other modules have, imported when it is first asked for

_PARTS = shared.parts(
    activations="gelu gelu_backward",
    composed="""
        affine attend attend_backward columns cross_entropy cross_entropy_backward destandardize dropout dropout_backward elu
        elu_backward gelu_tanh gelu_tanh_backward image kept_places leaky_relu leaky_relu_backward log_sigmoid
        log_sigmoid_backward log_softmax log_softmax_backward run_rule=_run_rule sigmoid=_any_sigmoid sigmoid_backward silu
        silu_backward softmax softmax_backward softplus softplus_backward standardize tanh_backward
    """,
    lapack="cholesky eliminate ldl ldl_solve lstsq solve_triangular svd",
    normalizing="normalize normalize_backward",
    orders="argsort argtop",
    scans="cumsum",
    shared="""
        as_strided broadcast_to empty_like expand_dims flat_storage full full_like median moveaxis ones ones_like quantile
        random_integers random_normal random_poisson random_uniform round_half_even scatter_add sliding_window_view stack
        storage_offset writable zeros_like
    """,
    special="erf erfc special",
)


def __getattr__(name: str) -> Any:
    return shared.part(_here, _PARTS, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PARTS})


_spread = partial(shared.spread, _here)


def spread(x: Any, axis: Any, shape: Any, count: float = 1) -> Any:
    """Return `x` / `count` repeated along `axis` of `shape`, perhaps as a view that is not to be written to."""
    if x.ndim or _length(shape) > shared.SMALL:
        return _spread(x, axis, shape, count)
    out = empty(shape, x.dtype)
    # A division of Python's numbers takes a tenth of one of arrays, but knows no division by zero.
    out[()] = x if count == 1 else x.item() / count if count else x / count
    return out


# elements of an array that a rule for optimizers takes at once: they and what it makes of them stay in the cache
_BLOCK = 1 << 16


def run_rule(rule: Callable[..., None], sets: Any, names: tuple[str, ...], numbers: dict[str, Any]) -> None:
    """Let `rule` change each set of arrays but for their first, with `numbers` and those called `names` that end the set."""
    _here._run_rule(rule, _blocks(sets) if not names else sets, names, numbers)


def _blocks(sets: Any) -> Any:
    for arrays in sets:
        size = arrays[0].size
        if size <= _BLOCK or not _all(each.flags.c_contiguous for each in arrays):
            yield arrays
        else:
            flat = [each.reshape(-1) for each in arrays]
            for start in range(0, size, _BLOCK):
                yield [each[start : start + _BLOCK] for each in flat]


# random numbers


def generator(seed: int) -> Any:
    """Return a random generator with the given seed, whose numbers are those of torch's."""
    from gradcore.backends.mersenne import Mersenne  # importing numpy.random takes a while

    return Mersenne(seed)


def random_permutation(generator: Any, n: int) -> Any:
    """Return the integers 0 ... n-1 in random order."""
    return generator.permutation(n)
