"""The CuPy backend: the names and signatures of numpy.py on CUDA arrays; must not know gradients or Tensors.

It adapts what CuPy 14 does otherwise than NumPy. Nothing here copies to the host or waits for the device,
except `to_host`, `synchronize`, functions whose result's shape depends on values (nonzero, unique, boolean
masks, bincount) and decompositions, which check that they succeeded. Importing it needs no GPU.
"""
# ruff: noqa: F401  (the imported names are the surface)
from __future__ import annotations

import builtins
import operator
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import cupy as cp
import numpy as np

# isort: off
from cupy import (  # arithmetic
    add, subtract, multiply, divide, power, negative, positive, absolute, sign, sqrt, square, reciprocal,
    fmod, remainder, floor_divide, floor, ceil, rint, trunc, maximum, minimum, fmax, fmin, gcd, lcm, cbrt,
)
from cupy import (  # transcendental
    exp, exp2, expm1, log, log2, log10, log1p, logaddexp, logaddexp2, hypot,
    sin, cos, tan, arcsin, arccos, arctan, arctan2, sinh, cosh, tanh, arcsinh, arccosh, arctanh,
)
from cupy import (  # parts of a number
    copysign, nextafter, ldexp, frexp, heaviside, signbit, isnan, isinf, isfinite, real, imag, conj, angle,
)
from cupy import (  # comparison, logic, bits
    equal, not_equal, less, less_equal, greater, greater_equal, isclose,
    bitwise_and, bitwise_or, bitwise_xor, bitwise_not, left_shift, right_shift,
)
from cupy import outer, vdot, tensordot
from cupy import nonzero, count_nonzero, searchsorted, histogram
from cupy import flip, roll, tile, diagonal, tril, triu
from cupy import take, take_along_axis, copyto
from cupy import linspace, ascontiguousarray, from_dlpack, frombuffer
from cupy.linalg import det, slogdet, matrix_power
from cupyx.scipy import special as _special
from gradcore.backends import attention as _attention, captures as _captures, composed, shared
from gradcore.backends.determinism import refuse as _refuse_chance
from gradcore.backends.cuda import (
    current_device, device_count, device_properties, following, free_memory, memory, on_device, set_device,
    synchronize, why_not,
)
from gradcore.backends.convolutions import convolution
from gradcore.backends.cublas import dot, einsum, matmul
from gradcore.backends.cuda import follow as _follow
from gradcore.backends.cuda import reporting as _reporting
from gradcore.backends.cusolver import (
    cholesky, eig, eigh, eigvals, eigvalsh, inv, lstsq, pinv, qr, solve, svd,
)
from gradcore.backends.kernels import (
    columns as _sums, dropout as _dropout, losses as _losses, normalization as _norms, windows as _windows,
)
from gradcore.backends.kernels.activations import bound as _fused, masked as _masked
from gradcore.backends.kernels.dropout import generator
from gradcore.backends.kernels.rules import run_rule as _run_rule
from gradcore.backends.kernels.softmax import bound as _over_rows
from gradcore.backends.transfers import device_of, from_host, to_device, to_host
from gradcore.backends.writes import add_at, bincount, put_along_axis, scatter_add as _scatter_add, setitem, starts
from gradcore.backends.shared import argmax, argmin, matrix_transpose, reshape, squeeze, swapaxes, transpose
# isort: on

name = "cupy"
device_type = "cuda"
Array = cp.ndarray
dtype = np.dtype
LinAlgError = np.linalg.LinAlgError
_bind = partial(shared.bind, sys.modules[__name__])

# arrays and devices

generic = cp.generic
empty, zeros, arange, eye = (_reporting(f) for f in (cp.empty, cp.zeros, cp.arange, cp.eye))


def asarray(x: Any, dtype: Any = None) -> Any:
    """Return `x` (an array, a scalar, nested sequences) as an array; no copy where its dtype allows."""
    return cp.asarray(x, dtype)


def as_array(result: Any) -> Any:
    """Return a result as an array: CuPy's always are."""
    return result


def dense(x: Any) -> Any:
    """Return a result as a contiguous array, copied if it is none."""
    return x if x.flags.c_contiguous else ascontiguousarray(x)


def start() -> None:
    """Get ready when the driver is known to be there: with several devices, let functions follow their arrays."""
    _follow(globals())


# reductions: no where=, no initial=


def sum(x: Any, axis: Any = None, *, count: float = 1, keepdims: bool = False, dtype: Any = None) -> Any:
    """Return the sum over `axis` divided by `count`; float16 and bfloat16 add up and divide in float32."""
    if count != 1:
        return _average(x, axis, keepdims, count)
    if dtype is None and not keepdims and _sums.pays(x, axis):
        return _sums.column_sums(x, len(axis))
    return x.sum(axis, dtype, None, keepdims)


_average = shared.widened(lambda x, axis, keepdims, count: sum(x, axis, keepdims=keepdims) / count)


def prod(x: Any, axis: Any = None, *, keepdims: bool = False, dtype: Any = None) -> Any:
    """Return the product over `axis`; float16 and bfloat16 multiply in float32."""
    return x.prod(axis, dtype, None, keepdims)


def max(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """Return the maximum over `axis`; NaN wins."""
    return x.max(axis, None, keepdims)


def min(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """Return the minimum over `axis`; NaN wins."""
    return x.min(axis, None, keepdims)


def any(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """Say whether any element over `axis` is true."""
    return x.any(axis, None, keepdims)


def all(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """Say whether all elements over `axis` are true."""
    return x.all(axis, None, keepdims)


_wide_cumsum, _wide_cumprod = shared.widened(cp.cumsum), shared.widened(cp.cumprod)


def cumsum(x: Any, axis: int, *, dtype: Any = None) -> Any:
    """Return the running sum along `axis`."""
    if x.dtype.kind in "fcV":
        _refuse_chance("cumsum_cuda_kernel")
    return (_wide_cumsum if dtype is None else cp.cumsum)(x, axis, dtype)


def cumprod(x: Any, axis: int, *, dtype: Any = None) -> Any:
    """Return the running product along `axis`."""
    return (_wide_cumprod if dtype is None else cp.cumprod)(x, axis, dtype)


# order: CuPy's argsort is stable and takes no `stable=`


_sort, _argsort = shared.widened(cp.sort, "V"), shared.widened(cp.argsort, "V")


def sort(x: Any, axis: int = -1) -> Any:
    """Return the values in ascending order along `axis`, NaN last."""
    return _sort(x, axis)


def argsort(x: Any, axis: int = -1) -> Any:
    """Return the indices that sort `x` along `axis`; equal elements keep their order."""
    return _argsort(x, axis)


def partition(x: Any, kth: int, axis: int = -1) -> Any:
    """Return `x` with its `kth` smallest element in place along `axis`: sorted, as CuPy's mislays NaN."""
    return _sort(x, axis)


def argtop(x: Any, count: int, axis: int, largest: bool) -> Any:
    """Return the indices of the `count` largest (or smallest) elements along `axis`, in any order; NaN is above all."""
    order = _argsort(x, axis).swapaxes(axis, -1)
    return (order[..., order.shape[-1] - count :] if largest else order[..., :count]).swapaxes(axis, -1)


def unique(x: Any, return_index: bool = False, return_inverse: bool = False, return_counts: bool = False,
           axis: int | None = None) -> Any:
    """Return the sorted distinct elements, then what the flags ask for; the inverse has the shape of `x`."""
    out = cp.unique(x, return_index, return_inverse, return_counts, axis)
    if not return_inverse or axis is not None:
        return out
    place = 1 + return_index
    return (*out[:place], out[place].reshape(x.shape), *out[place + 1 :])


# elementwise

where = shared.widened(cp.where, "V")


@partial(shared.widened, kinds="V")
def clip(x: Any, lo: Any, hi: Any) -> Any:
    """Limit `x` to [lo, hi]; None leaves a side open, NaN stays, and `hi` wins where lo > hi."""
    if lo is not None:
        x = maximum(x, lo)
    return x if hi is None else minimum(x, hi)


def masked(x: Any, mask: Any) -> Any:
    """Return `x` where `mask` is not 0 and 0 elsewhere, whatever `x` is there."""
    return _wide_masked(x, mask) if "V" in x.dtype.kind + mask.dtype.kind else _masked(x, mask)


def relu(x: Any) -> Any:
    """Return `x` where it is positive or NaN and 0 elsewhere."""
    return maximum(x, 0)


def nan_to_num(x: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Any:
    """Replace NaN and the infinities; None means the largest finite value."""
    return cp.nan_to_num(x, True, nan, posinf, neginf)


@shared.widened
def erf(x: Any) -> Any:
    """Return the error function of a real array."""
    return _special.erf(x)


@shared.widened
def erfc(x: Any) -> Any:
    """Return 1 - erf(x), accurate where erf(x) is near 1."""
    return _special.erfc(x)


@shared.widened
def special(function: str, *operands: Any) -> Any:
    """Return SciPy's special function of this name. Raise NotImplementedError where CuPy lacks it."""
    if not hasattr(_special, function):
        raise NotImplementedError(f"CuPy has no special function {function}: compute it on the CPU, after x.cpu()")
    return getattr(_special, function)(*operands)


def fourier(transform: str, x: Any, shape: Any, axes: Any, norm: str) -> Any:
    """Return the `transform` "fftn", "ifftn", "rfftn" or "irfftn" of `x`, in its precision."""
    return getattr(cp.fft, transform)(x, shape, axes, norm)


# products


def vecdot(x: Any, y: Any) -> Any:
    """Return the sums over the last axis of the products of real arrays."""
    return (x * y).sum(-1)


# layout and memory


def broadcast_view(x: Any, shape: Any) -> Any:
    """Return a zero-stride view of `x` in `shape`, not to be written to."""
    return cp.broadcast_to(x, shape)


def copy(x: Any) -> Any:
    """Return a copy in C order."""
    return cp.array(x, order="C")


owned = copy


def concatenate(arrays: Any, axis: int = 0) -> Any:
    """Return arrays of one dtype side by side along `axis`."""
    if not _captures:
        return cp.concatenate(arrays, axis)
    axis, lengths = axis % arrays[0].ndim, [x.shape[axis] for x in arrays]
    out = cp.empty((*arrays[0].shape[:axis], builtins.sum(lengths), *arrays[0].shape[axis + 1 :]), arrays[0].dtype)
    start = 0
    for x, length in zip(arrays, lengths, strict=True):  # CuPy's kernel reads a table that the host has just sent
        out[(*(slice(None),) * axis, slice(start, start + length))] = x
        start += length
    return out


def repeat(x: Any, repeats: Any, axis: int | None = None) -> Any:
    """Return `x` with each element along `axis` repeated: by a number, or by an array, whose sum it awaits."""
    if not isinstance(repeats, cp.ndarray):
        return cp.repeat(x, repeats, axis)
    ends = cp.cumsum(cp.broadcast_to(repeats, (x.size if axis is None else x.shape[axis],)))
    total = int(ends[-1]) if ends.size else 0
    return cp.take(x, cp.searchsorted(ends, cp.arange(total), "right"), axis)


def astype(x: Any, dtype: Any, copy: bool = False) -> Any:
    """Return `x` in another dtype; a complex array gives its real part to a real dtype."""
    if x.dtype.kind == "c" and np.dtype(dtype).kind not in "cb":
        x, copy = x.real, True  # a part is a view
    return x.astype(dtype, copy=copy)


def storage(array: Any) -> Any:
    """Return the array that owns the memory of `array`: one object for all views of one buffer."""
    while array.base is not None:
        array = array.base
    return array


def is_view(array: Any) -> bool:
    """Say whether writing into `array` may change another array, or two elements at once."""
    return array.base is not None or 0 in array.strides


def address(array: Any) -> int:
    """Return the address of the first element."""
    return int(array.data.ptr)


def strided(x: Any, shape: Any, strides: Any) -> Any:
    """Return a view that begins where `x` does, with these strides in bytes, unchecked."""
    view = x.view()  # not CuPy's as_strided, whose result has no base to tell whose memory it shares
    view._set_shape_and_strides(shape, strides, True, True)
    return view


# indexing: 0-d results are views as they are; an integer array out of range wraps

getitem = operator.getitem


def take_at(x: Any, index: tuple[Any, ...]) -> Any:
    """Return x[index] for arrays of integers, one an axis."""
    return x[index]


def take_cells(x: Any, cells: Any) -> Any:
    """Return the elements of x (N, C, S) at `cells` (N, P), the same ones for all C: an array (N, C, P)."""
    return cp.take_along_axis(x, cells[:, None], 2)


_wide_masked = _bind(composed.masked)

# one kernel where there would be several: the nonlinearities and softmax, forward and backward

sigmoid, sigmoid_backward = _fused("sigmoid", _bind), _fused("sigmoid_backward", _bind)
tanh_backward = _fused("tanh_backward", _bind)
gelu, gelu_backward = _fused("gelu", _bind), _fused("gelu_backward", _bind)
gelu_tanh, gelu_tanh_backward = _fused("gelu_tanh", _bind), _fused("gelu_tanh_backward", _bind)
silu, silu_backward = _fused("silu", _bind), _fused("silu_backward", _bind)
leaky_relu, leaky_relu_backward = _fused("leaky_relu", _bind), _fused("leaky_relu_backward", _bind)
elu, elu_backward = _fused("elu", _bind), _fused("elu_backward", _bind)
log_sigmoid, log_sigmoid_backward = _fused("log_sigmoid", _bind), _fused("log_sigmoid_backward", _bind)
softplus, softplus_backward = _fused("softplus", _bind), _fused("softplus_backward", _bind)
softmax, softmax_backward = _over_rows("softmax", _bind), _over_rows("softmax_backward", _bind)
standardize, destandardize = _norms.standardize(_bind), _norms.destandardize(_bind)
normalize, normalize_backward = _norms.normalize(_bind), _norms.normalize_backward(_bind)
affine, cross_entropy, cross_entropy_backward = _fused("affine", _bind), _losses.bound(_bind), _losses.backward(_bind)
columns, image = _windows.columns(_bind), _windows.image(_bind)
dropout, dropout_backward = _dropout.dropout(_bind), _dropout.dropout_backward(_bind)
kept_places = _dropout.kept_places(_bind)
attend, attend_backward = _attention.attend(_bind), _attention.attend_backward(_bind)
run_rule = partial(_run_rule, _bind(composed.run_rule))
log_softmax, log_softmax_backward = _over_rows("log_softmax", _bind), _over_rows("log_softmax_backward", _bind)

# what shared.py writes over these

round_half_even = _bind(shared.round_half_even)
quantile = _bind(shared.quantile)
median = _bind(shared.median)
full = _bind(shared.full)
ones = _bind(shared.ones)
zeros_like = _bind(shared.zeros_like)
ones_like = _bind(shared.ones_like)
full_like = _bind(shared.full_like)
empty_like = _bind(shared.empty_like)
broadcast_to = _bind(shared.broadcast_to)
expand_dims = _bind(shared.expand_dims)
moveaxis = _bind(shared.moveaxis)
stack = _bind(shared.stack)
storage_offset = _bind(shared.storage_offset)
flat_storage = _bind(shared.flat_storage)
as_strided = _bind(shared.as_strided)
writable = _bind(shared.writable)
sliding_window_view = _bind(shared.sliding_window_view)
spread = _bind(shared.spread)
scatter_add = _bind(_scatter_add)

# random numbers

eliminate, solve_triangular = _bind(shared.eliminate), _bind(shared.solve_triangular)
ldl, ldl_solve = _bind(shared.ldl), _bind(shared.ldl_solve)
random_uniform = _bind(shared.random_uniform)
random_normal = _bind(shared.random_normal)
random_integers = _bind(shared.random_integers)
random_poisson = _bind(shared.random_poisson)
random_permutation = _bind(shared.random_permutation)

# logic: CuPy's own is of real numbers


def _of_truths(function: Any) -> Callable[..., Any]:
    return lambda *xs: function(*(x != 0 if getattr(x, "dtype", None) in _COMPLEX else x for x in xs))


_COMPLEX = frozenset(map(np.dtype, "FD"))
logical_and, logical_or, logical_xor = map(_of_truths, (cp.logical_and, cp.logical_or, cp.logical_xor))
logical_not = _of_truths(cp.logical_not)

# CUDA raises no floating-point warnings


def noise() -> Any:
    """Do nothing, as `quiet` and `unquiet`; see silence.py."""


def quiet() -> None: ...


def unquiet(before: Any) -> None: ...


def quietly(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Call `function`; see numpy.py."""
    return function(*args, **options)
