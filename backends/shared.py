"""Functions that every backend offers with one implementation, over a namespace `F`; no array library here.

Each takes the backend first; numpy.py and cupy.py bind that argument (see `bind`).
"""
from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from importlib import import_module
from inspect import signature
from types import ModuleType
from typing import Any

Array = Any
# up to this many elements, a real array costs less than the 2 us of a zero-stride view, and keeps the next
# ufunc on its contiguous loop
SMALL = 4096


class OutOfMemoryError(RuntimeError, MemoryError):
    """A device or the host has no memory left for a result, in `where` if that is known."""

    where = ""


def bind(module: ModuleType, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function` with the backend as its first argument."""
    return functools.partial(function, module)


def parts(**names: str) -> dict[str, tuple[str, str]]:
    """Return, by the names in a backend, the modules beside this of which `part` gets functions, and their names there.

    In what is listed for a module, `f=g` is its function `f` under the name `g`.
    """
    listed = [(module, *each.partition("=")) for module, several in names.items() for each in several.split()]
    return {alias or name: (module, name) for module, name, _, alias in listed}


def part(backend: ModuleType, places: dict[str, tuple[str, str]], name: str) -> Callable[..., Any]:
    """Import the function `name` and give it to `backend`, bound if it takes `F`. Raises AttributeError if there is none."""
    if name not in places:
        raise AttributeError(f"module '{backend.__name__}' has no attribute '{name}'")
    module, own_name = places[name]
    function: Callable[..., Any] = getattr(import_module(f"{__package__}.{module}"), own_name)
    if "F" in signature(function).parameters:
        function = bind(backend, function)
    setattr(backend, name, function)
    return function


def is_narrow(x: Any, kinds: str = "fV") -> bool:
    """Say whether `x` is float16 (kind "f") or bfloat16 ("V"), whose running sums need a wider type."""
    return getattr(x, "itemsize", 0) == 2 and x.dtype.kind in kinds


def widened(function: Callable[..., Any], kinds: str = "fV") -> Callable[..., Any]:
    """Return `function` computing float16 and bfloat16 in float32, a float32 result rounded at the end."""

    @functools.wraps(function)
    def call(*operands: Any, **options: Any) -> Any:
        for x in operands:
            if is_narrow(x, kinds):
                narrow = x.dtype
                break
        else:
            return function(*operands, **options)
        out = function(*(x.astype("f4") if is_narrow(x, kinds) else x for x in operands), **options)
        if type(out) is tuple:
            return tuple(part.astype(narrow) for part in out)
        return out.astype(narrow) if out.dtype.char == "f" else out

    return call


# methods that every array has


def reshape(x: Array, shape: Any) -> Array:
    """Return `x` in another shape, a view where the strides allow."""
    return x.reshape(shape)


def transpose(x: Array, axes: Sequence[int] | None = None) -> Array:
    """Return a view with the axes in the given (or reversed) order."""
    return x.transpose(axes)


def swapaxes(x: Array, axis1: int, axis2: int) -> Array:
    """Return a view with two axes exchanged."""
    return x.swapaxes(axis1, axis2)


def matrix_transpose(x: Array) -> Array:
    """Return a view with the last two axes exchanged."""
    return x.swapaxes(-2, -1)


def squeeze(x: Array, axis: Any = None) -> Array:
    """Return a view without the given (or all) axes of length 1."""
    return x.squeeze(axis)


def argmax(x: Array, axis: int | None = None, *, keepdims: bool = False) -> Array:
    """Return the index of the first maximum; NaN wins."""
    return x.argmax(axis, keepdims=keepdims)


def argmin(x: Array, axis: int | None = None, *, keepdims: bool = False) -> Array:
    """Return the index of the first minimum; NaN wins."""
    return x.argmin(axis, keepdims=keepdims)


# layout


def expand_dims(F: Any, x: Array, axis: int | Sequence[int]) -> Array:
    """Return a view of `x` with axes of length 1 at the positions `axis` of the result."""
    shape = x.shape
    if isinstance(axis, int):
        axis %= len(shape) + 1
        return x.reshape((*shape[:axis], 1, *shape[axis:]))
    ndim = len(shape) + len(axis)
    widened = list(shape)
    for a in sorted(a % ndim for a in axis):
        widened.insert(a, 1)
    return x.reshape(widened)


def moveaxis(F: Any, x: Array, source: int | Sequence[int], destination: int | Sequence[int]) -> Array:
    """Return a view of `x` with the axes `source` at the positions `destination`."""
    ndim = x.ndim
    moved = [a % ndim for a in ((source,) if isinstance(source, int) else source)]
    places = [a % ndim for a in ((destination,) if isinstance(destination, int) else destination)]
    order = [a for a in range(ndim) if a not in moved]
    for place, a in sorted(zip(places, moved, strict=True)):
        order.insert(place, a)
    return x.transpose(order)


def stack(F: Any, arrays: Sequence[Array], axis: int = 0) -> Array:
    """Join arrays of one shape along a new axis."""
    return F.concatenate([expand_dims(F, x, axis) for x in arrays], axis)


def broadcast_to(F: Any, x: Array, shape: Sequence[int]) -> Array:
    """Return `x` broadcast to `shape`: `x` itself, a new array when small, a zero-stride view when large."""
    shape = tuple(shape)
    if x.shape == shape:
        return x
    if math.prod(shape) > SMALL:
        return F.broadcast_view(x, shape)
    out = F.empty(shape, x.dtype)
    out[...] = x
    return out


def full(F: Any, shape: int | Sequence[int], fill_value: Any, dtype: Any) -> Array:
    """Return a new array of `shape` and `dtype` filled with `fill_value`."""
    out = F.empty(shape, dtype)
    out[...] = fill_value
    return out


def ones(F: Any, shape: int | Sequence[int], dtype: Any) -> Array:
    """Return a new array of ones."""
    return full(F, shape, 1, dtype)


def zeros_like(F: Any, x: Array, dtype: Any = None) -> Array:
    """Return zeros of the shape of `x`."""
    return F.zeros(x.shape, x.dtype if dtype is None else dtype)


def ones_like(F: Any, x: Array, dtype: Any = None) -> Array:
    """Return ones of the shape of `x`."""
    return full(F, x.shape, 1, x.dtype if dtype is None else dtype)


def full_like(F: Any, x: Array, fill_value: Any, dtype: Any = None) -> Array:
    """Return an array of the shape of `x` filled with `fill_value`."""
    return full(F, x.shape, fill_value, x.dtype if dtype is None else dtype)


def empty_like(F: Any, x: Array, dtype: Any = None) -> Array:
    """Return an uninitialised array of the shape of `x`."""
    return F.empty(x.shape, x.dtype if dtype is None else dtype)


# elementwise


@widened
def round_half_even(F: Any, x: Array, decimals: int = 0) -> Array:
    """Round to `decimals` places, halves to even; negative `decimals` round to tens, hundreds, ..."""
    if decimals == 0:
        return F.rint(x)
    scale = 10.0 ** abs(decimals)
    return F.rint(x * scale) / scale if decimals > 0 else F.rint(x / scale) * scale


# statistics


def quantile(F: Any, x: Array, q: Any, axis: int | None = None, *, method: str = "linear",
             keepdims: bool = False) -> Array:
    """Return the quantiles `q` (a number or an array in [0, 1]) over `axis`; q's axes come first, NaN wins.

    `method` is "linear", "lower", "higher", "nearest" or "midpoint".
    """
    ordered = F.sort(x.reshape(-1) if axis is None else F.moveaxis(x, axis, -1), -1)
    count = ordered.shape[-1]
    position = F.asarray(q, x.dtype) * (count - 1)
    below, above = F.floor(position), F.ceil(position)
    if method == "nearest":
        below = above = F.rint(position)
    elif method != "linear":
        share = {"lower": 0.0, "higher": 1.0, "midpoint": 0.5}[method]
        position = below + share * (above - below)
    low = F.take(ordered, F.astype(below, "int64"), -1)
    high = F.take(ordered, F.astype(above, "int64"), -1)
    out = F.where(F.equal(low, high), low, low + (position - below) * (high - low))
    out = out.reshape((*ordered.shape[:-1], -1))
    out = F.where(F.isnan(ordered[..., -1:]), x.dtype.type("nan"), out)
    out = F.moveaxis(out, -1, 0).reshape((*position.shape, *ordered.shape[:-1]))
    if not keepdims:
        return out
    kept = [1 if axis is None or a == axis % x.ndim else n for a, n in enumerate(x.shape)]
    return out.reshape((*position.shape, *kept))


def median(F: Any, x: Array, axis: int | None = None, *, keepdims: bool = False) -> Array:
    """Return the median over `axis`, the mean of the two middle values of an even number; NaN wins."""
    return quantile(F, x, 0.5, axis, keepdims=keepdims)


# matrices


def solve_triangular(F: Any, a: Array, b: Array, lower: bool) -> Array:
    """Return the solution of a @ out = b for triangular `a`, like any other; lower ones upside down.

    So no rows are exchanged, and a zero on the diagonal is noticed.
    """
    return F.solve(a[..., ::-1, ::-1], b[..., ::-1, :])[..., ::-1, :] if lower else F.solve(a, b)


def eliminate(F: Any, a: Array, pivot: bool) -> tuple[Array, Array, Array]:
    """Return Gauss's factors of matrices in one, the places (from 0) that rows were exchanged with, and their order.

    If not `pivot`, no row is exchanged. The loop is over columns, for all matrices of a batch at once.
    """
    a, (m, n) = F.copy(a), a.shape[-2:]
    flat = a.reshape((math.prod(a.shape[:-2]), m, n))
    each = F.arange(flat.shape[0])
    rows = F.copy(F.broadcast_to(F.arange(m), flat.shape[:2]))
    pivots = F.zeros((flat.shape[0], min(m, n)), "int32")
    for k in range(pivots.shape[-1]):
        if pivot:
            column = flat[:, k:, k]
            size = F.absolute(F.real(column)) + F.absolute(F.imag(column)) if a.dtype.kind == "c" else F.absolute(column)
            p = F.argmax(size, -1) + k
            for x in (flat, rows):
                x[:, k], x[each, p] = x[each, p], F.copy(x[:, k])
        else:
            p = k
        pivots[:, k] = p
        top = flat[:, k, k]
        flat[:, k + 1 :, k] /= (top + (top == 0))[:, None]
        flat[:, k + 1 :, k + 1 :] -= flat[:, k + 1 :, k, None] * flat[:, None, k, k + 1 :]
    return a, pivots.reshape((*a.shape[:-2], min(m, n))), rows.reshape(a.shape[:-1])


def ldl(F: Any, a: Array, hermitian: bool) -> Any:
    """Raise NotImplementedError: the pivoting of LAPACK's sytrf is the host's."""
    raise NotImplementedError("linalg.ldl_factor and ldl_solve are LAPACK's, which is on the CPU: use .cpu()")


def ldl_solve(F: Any, factors: Array, pivots: Array, b: Array, hermitian: bool) -> Any:
    """Raise NotImplementedError, as `ldl`."""
    return ldl(F, factors, hermitian)


# memory


def storage_offset(F: Any, x: Array) -> int:
    """Return how many elements lie between the start of the storage of `x` and its first element."""
    return int(F.address(x) - F.address(F.storage(x))) // int(x.itemsize)


def flat_storage(F: Any, x: Array) -> Array:
    """Return the whole storage of `x` as a one-dimensional view of its dtype."""
    owner = F.storage(x)
    return F.strided(owner, (owner.size,), (owner.itemsize,)).view(x.dtype)


def as_strided(F: Any, x: Array, shape: Sequence[int], strides: Sequence[int], offset: int) -> Array:
    """Return the view of the storage of `x` with `strides` and `offset` counted in elements, as in torch.

    Raise RuntimeError where it would reach outside the storage, or for a negative stride.
    """
    storage = flat_storage(F, x)
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    inside = 0 in shape or 0 <= offset <= last < storage.size
    if not inside or min(strides, default=0) < 0:
        raise RuntimeError(
            f"as_strided: shape {tuple(shape)}, strides {tuple(strides)} and offset {offset} reach element "
            f"{last} of a storage of {storage.size} elements; strides may not be negative"
        )
    return F.strided(storage[offset:], tuple(shape), tuple(stride * x.itemsize for stride in strides))


def writable(F: Any, x: Array) -> Array:
    """Return `x` for writing: of a view that repeats elements, NumPy lets one write only to the memory underneath."""
    if getattr(x.flags, "writeable", True):
        return x
    return as_strided(F, x, x.shape, [s // x.itemsize for s in x.strides], storage_offset(F, x))


def sliding_window_view(F: Any, x: Array, window: Sequence[int], axis: Sequence[int]) -> Array:
    """Return the view whose last axes run through the windows of `x` along the axes `axis`."""
    shape = list(x.shape)
    for a, width in zip(axis, window, strict=True):
        shape[a] -= width - 1
    if min(shape, default=0) < 0:
        raise ValueError(f"sliding_window_view: window {tuple(window)} is larger than shape {tuple(x.shape)}")
    return F.strided(x, (*shape, *window), (*x.strides, *(x.strides[a] for a in axis)))


def spread(F: Any, x: Array, axis: Sequence[int] | None, shape: Sequence[int], count: float = 1) -> Array:
    """Return `x` / `count` repeated along `axis` of `shape`, perhaps as a view that is not to be written to."""
    dtype = x.dtype
    if axis is not None and x.ndim:
        x = x.reshape([1 if i in axis else n for i, n in enumerate(shape)])
    if count != 1:
        x = x / count if dtype.itemsize > 2 else F.astype(F.astype(x, "float32") / count, dtype)
    if math.prod(shape) > SMALL:
        return F.broadcast_view(x, shape)
    out = F.empty(shape, dtype)
    out[()] = x
    return out


def scatter_add(F: Any, x: Array, index: Any, values: Array) -> Array:
    """Add `values` to x[index] in place, every duplicate counting, and return `x`."""
    parts = index if type(index) is tuple else (index,)
    arrays = [i.dtype.kind for i in parts if hasattr(i, "dtype")]
    if not arrays or arrays == ["b"]:  # no element is named twice
        x[index] += values
    elif is_narrow(x):
        wide = x.astype("f4")
        F.add_at(wide, parts, values)
        x[...] = wide.astype(x.dtype)
    else:
        F.add_at(x, parts, values)
    return x


# random numbers


def random_uniform(F: Any, generator: Any, shape: Sequence[int], dtype: Any) -> Array:
    """Return numbers uniform in [0, 1) of a real or complex (both parts) dtype."""
    dtype = F.dtype(dtype)
    if dtype.kind == "c":
        return _complex(F, random_uniform, generator, shape, dtype)
    if dtype.itemsize > 2:
        return F.asarray(generator.random(tuple(shape), dtype))
    rounded = F.astype(F.asarray(generator.random(tuple(shape), F.dtype("f4"))), dtype)
    return F.where(rounded < 1, rounded, F.zeros((), dtype))  # rounding may have given 1


def random_normal(F: Any, generator: Any, shape: Sequence[int], dtype: Any) -> Array:
    """Return standard normal numbers; complex ones have variance 1, half of it in each part."""
    dtype = F.dtype(dtype)
    if dtype.kind == "c":
        return _complex(F, random_normal, generator, shape, dtype) * dtype.type(0.5**0.5)
    wide = dtype if dtype.itemsize > 2 else F.dtype("f4")
    return F.astype(F.asarray(generator.standard_normal(tuple(shape), wide)), dtype)


def convolution(way: str, first: Array, second: Array, shape: Any, padding: Any, stride: Any, dilation: Any) -> Any:
    """Return None: no library convolves; see convolutions.py."""


def random_integers(F: Any, generator: Any, low: int, high: int, shape: Sequence[int], dtype: Any) -> Array:
    """Return integers uniform in [low, high)."""
    return F.astype(F.asarray(generator.integers(low, high, tuple(shape))), dtype)


def random_poisson(F: Any, generator: Any, rates: Array) -> Array:
    """Return numbers of the Poisson distribution of the given rates, of their shape and dtype."""
    return F.astype(F.asarray(generator.poisson(F.astype(rates, "f8"))), rates.dtype)


def random_permutation(F: Any, generator: Any, n: int) -> Array:
    """Return the integers 0 ... n-1 in random order."""
    return F.argsort(random_uniform(F, generator, (n,), "f8"))


def _complex(F: Any, draw: Callable[..., Array], generator: Any, shape: Sequence[int], dtype: Any) -> Array:
    parts = draw(F, generator, (*shape, 2), "f8" if dtype.itemsize == 16 else "f4")
    return parts.view(dtype).reshape(shape)
